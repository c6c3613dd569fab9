//! `lunix services`, `lunix top` and `lunix boot` as a user types them: with a real supervisor on natsd, with somebody who
//! stands in for what a session does not have, and with nobody who answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod nats_server;
mod supervised;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use nats_server::Server;
use serde_json::Value;
use supervised::{Supervisor, until};

fn lunix(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.args(args).env("NATS_URL", url).stdin(Stdio::null());
    command
}

fn output(url: &str, args: &[&str]) -> Output {
    lunix(url, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it prints, if it ends well.
fn good(url: &str, args: &[&str]) -> String {
    let output = output(url, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What it says on stderr, in one line, and its exit code.
fn bad(url: &str, args: &[&str]) -> (String, Option<i32>) {
    let output = output(url, args);
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    (stderr.trim_end().to_owned(), output.status.code())
}

/// A supervisor on natsd.
fn start(name: &str, services: &[&str]) -> (Server, Supervisor) {
    let server = Server::natsd();
    let url = server.url();
    let fixed = ["natsinit", "--session", "--nats", &url];
    let init = Supervisor::start(name, &[&fixed, services].concat(), &[]);
    until("answers", || output(&url, &["services"]).status.success().then_some(()));
    (server, init)
}

fn script(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("lunix-test-{name}-{}.sh", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn services_are_shown_started_and_stopped() {
    let (server, init) =
        start("act", &["--restarts", "0", "good=sleep 1000", "bad=false", "ugly=/nowhere/x"]);
    let url = server.url();
    let pid = until("process", || init.processes("sleep\x001000").first().copied()).to_string();
    let table = until("failure", || Some(good(&url, &["services"])).filter(|table| table.contains("failed")));
    let row = |name: &str| {
        let line = table
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{table}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("NAME")[..4], ["NAME", "STATE", "PID", "RESTARTS"]);
    assert_eq!(row("good")[..4], ["good", "ready", &pid, "0"]);
    assert!(
        row("bad")[1] == "failed" && row("bad").ends_with(&["exit".into(), "code".into(), "1".into()]),
        "{table}"
    );

    let lines = good(&url, &["services", "--json"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["name"], lines[0]["pid"].to_string()), (&Value::from("good"), pid.clone()));
    assert!(lines[0]["rss"].as_u64().unwrap() > 4096 && lines[0]["since_us"].is_u64());
    assert_eq!(lines[1]["last_end"], "exit code 1");

    assert!(good(&url, &["services", "status", "good"]).starts_with("good: ready for "));
    let both = output(&url, &["services", "status", "good", "bad"]);
    assert_eq!(both.status.code(), Some(3));
    assert!(text(&both.stdout).contains("bad: failed"));

    assert_eq!(
        good(&url, &["services", "stop", "good"]),
        format!("good: stopping pid {pid}\ngood: stopped\n")
    );
    assert!(init.processes("sleep\x001000").is_empty());
    assert_eq!(good(&url, &["services", "stop", "good"]), "good: stopped\n");
    let started = good(&url, &["services", "start", "good"]);
    let new = until("process", || init.processes("sleep\x001000").first().copied()).to_string();
    assert_eq!(started, format!("good: ready pid {new}\n"));
    let restarted = good(&url, &["services", "restart", "good"]);
    let states: Vec<_> = restarted.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(states, ["stopping", "stopped", "starting", "ready"], "{restarted}");
    assert!(good(&url, &["services", "restart", "--no-wait", "good"]).starts_with("good: stopping pid "));

    // What cannot start is said to have failed, and why.
    let failed = output(&url, &["services", "start", "good", "ugly"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stdout);
    assert!(said.contains("good: ") && said.contains("ugly: failed (No such file or directory"), "{said}");
    // A supervisor of a session leaves those to others: each waits for them.
    thread::scope(|scope| {
        for verb in ["start", "stop", "restart", "reload"] {
            let url = &url;
            scope.spawn(move || {
                let (line, code) = bad(url, &["services", verb, "nope"]);
                assert!(line.starts_with("lunix services: nope: nobody knows this service"), "{line}");
                assert_eq!(code, Some(1));
            });
        }
    });
    assert_eq!(bad(&url, &["services", "status", "nope"]).0, "lunix services: there is no service 'nope'");
}

#[test]
fn waiting_has_an_end() {
    let stubborn = script("stubborn", "trap '' TERM; echo up; while :; do sleep 1000; done");
    let (server, init) = start("stubborn", &[&format!("a=sh {}", stubborn.display())]);
    init.line("up");
    let ended = output(&server.url(), &["services", "stop", "-t", "300ms", "a"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(text(&ended.stderr), "lunix services: a: still stopping after 300ms\n");
    let _ = fs::remove_file(stubborn);
}

#[test]
fn top_finds_who_is_busy() {
    let busy = script("busy", "while :; do :; done");
    let (server, _init) = start("top", &["idle=sleep 1000", &format!("busy=sh {}", busy.display())]);
    let url = server.url();
    let picture = good(&url, &["top", "--once", "-i", "1s"]);
    let lines: Vec<_> = picture.lines().collect();
    assert!(
        lines[0].starts_with("up ") && lines[0].contains("cpu ") && lines[1].starts_with("memory "),
        "{picture}"
    );
    let share = |name: &str| {
        let line = lines
            .iter()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{picture}"));
        line.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap()
    };
    // Others may want the processors, too.
    assert!(share("busy") > 1.0 && share("busy") < 130.0 && share("idle") < 1.0, "{picture}");
    assert!(lines[3].starts_with("SERVICE") && lines[4].starts_with("busy"), "{picture}");
    assert!(!picture.contains('\u{1b}'), "{picture}");
    let names = good(&url, &["top", "--count", "2", "-i", "100ms", "--sort", "name"]);
    let order: Vec<_> =
        names.lines().filter(|line| line.contains(" ready ")).map(|line| &line[..4]).collect();
    assert_eq!(order, ["busy", "idle", "busy", "idle"]);
    let _ = fs::remove_file(busy);
}

#[test]
fn top_gives_the_terminal_back() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED top_gives_the_terminal_back: no script(1)");
        return;
    }
    let (server, _init) = start("screen", &["a=sleep 1000"]);
    let run = |typed: &str| {
        let program = format!("exec {} top -i 100ms", env!("CARGO_BIN_EXE_lunix"));
        let mut child = Command::new("script")
            .args(["-qec", &program, "/dev/null"])
            .env("NATS_URL", server.url())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        // Two pictures, then keys.
        while seen.windows(3).filter(|window| window == b"\x1b[J").count() < 2 {
            let length = out.read(&mut buffer).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..length]);
        }
        let mut keys = child.stdin.take().unwrap();
        keys.write_all(typed.as_bytes()).unwrap();
        out.read_to_end(&mut seen).unwrap();
        (child.wait().unwrap().code(), String::from_utf8_lossy(&seen).into_owned())
    };
    for typed in ["mnq", "\x03"] {
        let (code, seen) = run(typed);
        assert_eq!(code, Some(0), "{seen}");
        assert!(seen.contains("\x1b[?1049h") && seen.contains("SERVICE"), "{seen}");
        assert!(seen.trim_end().ends_with("\x1b[?25h\x1b[?1049l"), "{seen}");
    }
}

#[test]
fn boot_is_drawn_in_three_ways() {
    let (server, _init) =
        start("chart", &["--restarts", "0", "one=sleep 1000", "two=sleep 1001", "bad=/nowhere/x"]);
    let url = server.url();
    let chart = good(&url, &["boot"]);
    for name in ["one", "two", "bad", "total "] {
        assert!(chart.lines().any(|line| line.starts_with(name)), "{chart}");
    }
    assert!(chart.contains("\n* ") && !chart.contains("kernel"), "{chart}");
    let json: Value = serde_json::from_str(&good(&url, &["boot", "--json"])).unwrap();
    assert_eq!(json["services"].as_array().unwrap().len(), 3);
    let file = std::env::temp_dir().join(format!("lunix-test-boot-{}.svg", std::process::id()));
    assert_eq!(good(&url, &["boot", "--svg", file.to_str().unwrap()]), "");
    let svg = fs::read_to_string(&file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains(">two</text>"), "{svg}");
    assert!(!svg.contains("<script"));
    fs::remove_file(&file).unwrap();
    let (line, code) = bad(&url, &["boot", "--svg", "/nowhere/x.svg"]);
    assert_eq!(
        (line.as_str(), code),
        ("lunix boot: --svg: /nowhere/x.svg: No such file or directory (os error 2)", Some(1))
    );
}

/// Somebody who answers questions in place of natsinit.
struct StandIn {
    stream: TcpStream,
}

impl StandIn {
    fn new(server: &Server, answers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let mut subscribe = "CONNECT {\"verbose\":false}\r\n".to_owned();
        for (sid, (subject, _)) in answers.iter().enumerate() {
            subscribe += &format!("SUB {subject} {sid}\r\n");
        }
        stream.write_all((subscribe + "PING\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let mut writer = stream.try_clone().unwrap();
        let answers: Vec<String> = answers.iter().map(|(_, answer)| (*answer).to_owned()).collect();
        thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                line.clear();
                let [_, _, sid, reply, length] = words.as_slice() else { continue };
                let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).unwrap();
                // What was asked can be put into the answer.
                let asked = String::from_utf8_lossy(&payload[..payload.len() - 2]).into_owned();
                let answer =
                    answers[sid.parse::<usize>().unwrap()].replace("ASKED", &asked.replace('"', "'"));
                let publish = format!("PUB {reply} {}\r\n{answer}\r\n", answer.len());
                writer.write_all(publish.as_bytes()).unwrap();
            }
        });
        Self { stream }
    }

    fn publish(&mut self, subject: &str, payload: &str) {
        let text = format!("PUB {subject} {}\r\n{payload}\r\n", payload.len());
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn logs_are_read_and_followed() {
    let server = Server::natsd();
    let kept = r#"[{"at_us":1000000,"line":"one"},{"at_us":2000000,"line":"\u001b[2Jtwo \u4e2d"},{"at_us":3000000,"line":"three"}]"#;
    let mut natsinit =
        StandIn::new(&server, &[("service.web.tail", kept), ("system.usage", r#"{"at_us":3500000}"#)]);
    let url = server.url();
    let words = |line: &str| line.split_once("  ").map(|(_, line)| line.to_owned()).unwrap_or_default();
    let all = good(&url, &["services", "log", "web"]);
    let lines: Vec<_> = all.lines().map(words).collect();
    assert_eq!(lines, ["one", "two \u{4e2d}", "three"], "{all}");
    // A second lies between them, whatever our own clock shows.
    let second = |line: &str| line[6..8].parse::<u32>().unwrap();
    let times: Vec<_> = all.lines().map(second).collect();
    assert_eq!((times[1] + 60 - times[0]) % 60, 1, "{all}");
    assert_eq!(good(&url, &["services", "log", "-n", "1", "web"]).lines().count(), 1);
    assert_eq!(good(&url, &["services", "log", "-n", "0", "web"]), "");

    let mut child =
        lunix(&url, &["services", "log", "-f", "-n", "1", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "no more lines");
        words(line.trim_end())
    };
    assert_eq!(next(), "three");
    natsinit.publish("service.web.log", r#"{"name":"web","at_us":4000000,"line":"four"}"#);
    assert_eq!(next(), "four");
    natsinit.publish("service.web.log", r#"{"name":"web","at_us":5000000,"line":"five","dropped":7}"#);
    assert_eq!(next(), "\u{2026} 7 lines were not told");
    assert_eq!(next(), "five");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let (line, code) = bad(&url, &["services", "log", "other"]);
    assert!(line.starts_with("lunix services: nobody keeps what 'other' prints"), "{line}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_reload_prints_its_plan() {
    let server = Server::natsd();
    let plan =
        r#"{"added":["new"],"removed":[],"changed":[{"name":"web","keys":["command"],"restart":true}]}"#;
    let natsinit = StandIn::new(&server, &[("service.reload", plan)]);
    let url = server.url();
    assert_eq!(good(&url, &["services", "reload"]), "+ new\n~ web: restarts (command)\n");
    assert_eq!(good(&url, &["services", "reload", "--json"]), format!("{plan}\n"));
    drop(natsinit);
    let refusing = Server::natsd();
    let answers = [(
        "service.reload",
        r#"{"added":[],"mistakes":["a.toml:3: nmae: expected one of name, found 'ASKED'"]}"#,
    )];
    let _natsinit = StandIn::new(&refusing, &answers);
    let asked = output(&refusing.url(), &["services", "reload", "--dry-run"]);
    assert_eq!(asked.status.code(), Some(1));
    assert_eq!(text(&asked.stdout), "nothing would change\n");
    assert_eq!(text(&asked.stderr), "a.toml:3: nmae: expected one of name, found '{'dry_run':true}'\n");
}

#[test]
fn top_shows_processes_where_somebody_tells_of_them() {
    let server = Server::natsd();
    let processes = r#"[{"pid":7,"ppid":1,"uid":0,"comm":"evil","cmdline":"evil \u001b[2J --now","rss":5000000,"cpu_us":1,"start_us":2}]"#;
    let list = r#"[{"name":"\u4e2d\u6587","state":"ready","pid":7,"restarts":3,"at_us":1}]"#;
    let _natsinit = StandIn::new(&server, &[("service.list", list), ("ps.list", processes)]);
    let picture = good(&server.url(), &["top", "--once", "-i", "100ms"]);
    let lines: Vec<_> = picture.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("\u{4e2d}\u{6587}")), "{picture}");
    let process = lines.last().unwrap();
    assert!(process.contains("5.0 MB") && process.ends_with("evil  --now"), "{picture}");
    assert!(!picture.contains('\u{1b}'), "{picture}");
}

#[test]
fn one_line_says_what_is_wrong() {
    let server = Server::natsd();
    let url = server.url();
    for (args, said) in [
        (&["services"][..], "lunix services: nobody answers: natsinit is not running"),
        (&["top", "--once"], "lunix top: nobody answers: natsinit is not running"),
        (&["boot"], "lunix boot: nobody answers: natsinit is not running"),
        (
            &["services", "reload"],
            "lunix services: nobody answers: there is no natsinit that reads definitions",
        ),
    ] {
        assert_eq!(bad(&url, args), (said.to_owned(), Some(1)), "{args:?}");
    }
    for (args, said) in [
        (&["services", "strat", "x"][..], "lunix services: unknown command 'strat' (see --help)"),
        (&["services", "start"], "lunix services start: NAME is missing: the service (see --help)"),
        (
            &["services", "start", "a.b"],
            "lunix services start: NAME: expected the name of a service, found 'a.b'",
        ),
        (
            &["services", "start", "*"],
            "lunix services start: NAME: expected the name of a service, found '*'",
        ),
        (
            &["services", "stop", "-t", "x", "a"],
            "lunix services stop: --timeout: expected a time as 500ms or 2s, found 'x'",
        ),
        (&["services", "reload", "-n", "a"], "lunix services reload: --dry-run: expected no NAME"),
        (&["services", "log", "-n", "x", "a"], "lunix services log: --lines: expected a number, found 'x'"),
        (&["services", "log", "a", "b"], "lunix services log: unexpected argument 'b' (see --help)"),
        (&["top", "-i", "1ms"], "lunix top: --interval: expected a time from 100ms to 1m, found '1ms'"),
        (
            &["top", "--sort", "x"],
            "lunix top: --sort: expected one of cpu, memory, io, tasks, name, found 'x'",
        ),
        (&["top", "--once", "-n", "2"], "lunix top: --once and --count exclude each other"),
        (&["top", "-n", "0"], "lunix top: --count: expected a number from 1, found '0'"),
        (&["boot", "--json", "--svg", "x"], "lunix boot: --svg and --json exclude each other"),
    ] {
        assert_eq!(bad(&url, args), (said.to_owned(), Some(2)), "{args:?}");
    }
}
