//! natstoast and `lunix toast` as senders, presenters and users see them, with natsd and with Debian's nats-server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod nats_server;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nats_server::{Server, each};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lunix");
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon, killed at the end.
struct Daemon(Child);

impl Daemon {
    fn start(server: &Server) -> (Self, BufReader<ChildStdout>) {
        let mut child = Command::new(PROGRAM)
            .args(["natstoast", "--log", "warn"])
            .env("NATS_URL", server.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (Self(child), out)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Ends it as a supervisor does; its exit code.
    fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.0.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that keeps events in the order of their coming.
struct Client {
    stream: BufReader<TcpStream>,
    events: VecDeque<(String, Value)>,
    asked: u32,
}

impl Client {
    /// Listens to `toast.show`, `toast.closed` and `toast.action`; the server knows it on return.
    fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), events: VecDeque::new(), asked: 0 };
        client.send(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n\
              SUB toast.show 1\r\nSUB toast.closed 2\r\nSUB toast.action 3\r\nSUB _INBOX.test.* 4\r\nPING\r\n",
        );
        while client.line() != "PONG" {}
        client
    }

    /// Connects when natstoast answers.
    fn ready(server: &Server) -> Self {
        let mut client = Self::connect(server);
        let start = Instant::now();
        while client.try_request("toast.list", b"").is_none() {
            assert!(start.elapsed() < PATIENCE, "natstoast does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stream.read_line(&mut line).unwrap() > 0, "the server ended the connection");
        line.trim_end().to_owned()
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat());
    }

    /// The next message: subject, header, payload.
    fn message(&mut self) -> (String, String, Vec<u8>) {
        loop {
            let line = self.line();
            let words: Vec<_> = line.split(' ').collect();
            let header = match words[0] {
                "MSG" => 0,
                "HMSG" => words[words.len() - 2].parse().unwrap(),
                _ => continue,
            };
            let mut body = vec![0; words[words.len() - 1].parse::<usize>().unwrap() + 2];
            self.stream.read_exact(&mut body).unwrap();
            body.truncate(body.len() - 2);
            let payload = body.split_off(header);
            return (words[1].to_owned(), String::from_utf8(body).unwrap(), payload);
        }
    }

    /// `None` where nobody answers.
    fn try_request(&mut self, subject: &str, payload: &[u8]) -> Option<Value> {
        self.asked += 1;
        let inbox = format!("_INBOX.test.{}", self.asked);
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat());
        loop {
            let (subject, header, payload) = self.message();
            if subject == inbox {
                let refused = header.contains("Nats-Service-Error: ");
                let answer: Value = serde_json::from_slice(&payload).ok()?;
                assert_eq!(answer.get("error").is_some(), refused, "{header}");
                return Some(answer);
            }
            self.events.push_back((subject, serde_json::from_slice(&payload).unwrap()));
        }
    }

    fn request(&mut self, subject: &str, payload: impl ToString) -> Value {
        self.try_request(subject, payload.to_string().as_bytes()).unwrap()
    }

    fn event(&mut self) -> (String, Value) {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let (subject, _, payload) = self.message();
        (subject, serde_json::from_slice(&payload).unwrap())
    }

    #[track_caller]
    fn expect(&mut self, subject: &str, payload: &Value) {
        assert_eq!(self.event(), (subject.to_owned(), payload.clone()));
    }

    /// Nothing else was said until now.
    #[track_caller]
    fn expect_nothing(&mut self) {
        self.request("toast.list", "");
        assert_eq!(self.events, []);
    }
}

fn toast(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("toast").args(args).env("NATS_URL", server.url()).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_configuration_file_has_no_keys_yet() {
    let file = std::env::temp_dir().join(format!("natstoast-{}.conf", std::process::id()));
    let check =
        || Command::new(PROGRAM).args(["natstoast", "--check-config", "-c"]).arg(&file).output().unwrap();
    std::fs::write(&file, "# nothing yet\n").unwrap();
    assert_eq!(check().status.code(), Some(0));
    std::fs::write(&file, "# one\ncolour: blue\n").unwrap();
    let refused = check();
    assert_eq!(refused.status.code(), Some(2));
    let said = format!("natstoast: {}:2: unknown key 'colour'\n", file.display());
    assert_eq!(String::from_utf8_lossy(&refused.stderr), said);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(check().status.code(), Some(2));
}

#[test]
fn a_toast_lives_as_the_contract_says() {
    each("a_toast_lives_as_the_contract_says", |server| {
        let (daemon, mut out) = Daemon::start(&server);
        let mut client = Client::ready(&server);

        client.publish("toast.in", b"a USB stick was plugged in!");
        let first = json!({
            "id": 1, "summary": "a USB stick was plugged in!", "urgency": "normal", "timeout_ms": 10000
        });
        client.expect("toast.show", &first);

        let wish = json!({
            "summary": "Copying", "body": "12 files", "app": "usb", "urgency": "low", "timeout_ms": 0,
            "progress": 40, "actions": [{"id": "stop", "label": "Stop"}, {"id": "hide"}], "unknown": {}
        });
        assert_eq!(client.request("toast.in", wish), json!({"id": 2}));
        let mut copying = json!({
            "id": 2, "summary": "Copying", "body": "12 files", "app": "usb", "urgency": "low", "timeout_ms": 0,
            "progress": 40, "actions": [{"id": "stop", "label": "Stop"}, {"id": "hide", "label": "hide"}]
        });
        client.expect("toast.show", &copying);

        let list = client.request("toast.list", "");
        assert_eq!(list[0]["id"], 1);
        assert!(list[0]["left_ms"].as_u64().unwrap() <= 10_000);
        assert_eq!((&list[1]["id"], &list[1]["state"]), (&json!(2), &json!("shown")));
        assert_eq!(list[1].get("left_ms"), None);

        let wish = json!({"summary": "Copied", "replaces": 2, "timeout_ms": 0, "actions": [{"id": "open"}]});
        assert_eq!(client.request("toast.in", wish), json!({"id": 2}));
        client.expect("toast.closed", &json!({"id": 2, "reason": "replaced"}));
        copying = json!({
            "id": 2, "summary": "Copied", "urgency": "normal", "timeout_ms": 0,
            "actions": [{"id": "open", "label": "open"}]
        });
        client.expect("toast.show", &copying);

        assert_eq!(client.request("toast.close", json!({"id": 1})), json!({"id": 1}));
        client.expect("toast.closed", &json!({"id": 1, "reason": "closed"}));
        assert_eq!(
            client.request("toast.close", json!({"id": 1})),
            json!({"error": "id: no toast 1 is present"})
        );

        // What a presenter does.
        client.publish("toast.action", br#"{"id":2,"action":"open"}"#);
        client.expect("toast.action", &json!({"id": 2, "action": "open"}));
        client.expect("toast.closed", &json!({"id": 2, "reason": "dismissed"}));

        assert_eq!(
            client.request("toast.in", json!({"summary": "soon", "timeout_ms": 50})),
            json!({"id": 3})
        );
        assert_eq!(client.event().1["id"], 3);
        client.expect("toast.closed", &json!({"id": 3, "reason": "expired"}));

        client.publish("toast.in", br#"{"summary":"stays","urgency":"critical"}"#);
        assert_eq!(client.event().1["timeout_ms"], 0);
        assert_eq!(client.request("toast.dismiss", "4"), json!({"id": 4}));
        client.expect("toast.closed", &json!({"id": 4, "reason": "dismissed"}));

        let history = client.request("toast.history", "");
        let reasons: Vec<_> = history.as_array().unwrap().iter().map(|toast| &toast["state"]).collect();
        assert_eq!(reasons, ["dismissed", "expired", "dismissed", "closed"]);
        assert_eq!(client.request("toast.list", ""), json!([]));
        client.expect_nothing();

        assert_eq!(daemon.stop(), Some(0));
        let mut lines = String::new();
        out.read_to_string(&mut lines).unwrap();
        // Without the times.
        let said: Vec<_> = lines.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
        assert_eq!(
            said,
            [
                "show 1 normal a USB stick was plugged in!",
                "show 2 low usb: Copying / 12 files 40% [stop=Stop] [hide=hide]",
                "closed 2 replaced",
                "show 2 normal Copied [open=open]",
                "closed 1 closed",
                "closed 2 dismissed",
                "show 3 normal soon",
                "closed 3 expired",
                "show 4 critical stays",
                "closed 4 dismissed",
            ]
        );
    });
}

#[test]
fn mistakes_are_answered_and_change_nothing() {
    each("mistakes_are_answered_and_change_nothing", |server| {
        let (_daemon, _out) = Daemon::start(&server);
        let mut client = Client::ready(&server);
        for (subject, payload, error) in [
            ("toast.in", "", "expected text or a JSON object"),
            ("toast.in", "{}", "summary: expected a string"),
            ("toast.in", r#"{"summary":"\u001b[0m"}"#, "summary: expected text that can be shown"),
            ("toast.in", r#"{"summary":"x","progress":101}"#, "progress: expected a whole number, 0 to 100"),
            ("toast.in", r#"{"summary":"x","urgency":"high"}"#, "urgency: expected low, normal or critical"),
            ("toast.in", r#"{"summary":"x","actions":[{}]}"#, "actions[0].id: expected a string"),
            ("toast.close", "{}", "id: expected the number of a toast"),
            ("toast.dismiss", "7", "id: no toast 7 is present"),
        ] {
            assert_eq!(client.request(subject, payload), json!({ "error": error }), "{payload}");
        }
        // What is not JSON is text, whatever it looks like.
        client.publish("toast.in", b"{\"summary\": oops");
        assert_eq!(client.event().1["summary"], "{\"summary\": oops");
    });
}

#[test]
fn hostile_text_reaches_no_presenter() {
    each("hostile_text_reaches_no_presenter", |server| {
        let (daemon, mut out) = Daemon::start(&server);
        let mut client = Client::ready(&server);
        let strange: Vec<u8> =
            (0..=255).chain(*b"\x1b]0;owned\x07\x1b[2J\xc2\x9b31m\xe2\x80\xaeend").collect();
        client.publish("toast.in", &strange);
        let json = json!({
            "summary": "\u{1b}[31mred\u{9b}H\r\nx", "body": "a\u{7}\u{202e}b\u{0}\nc", "app": "\u{1b}c app\u{8}"
        });
        client.publish("toast.in", json.to_string().as_bytes());
        client.publish("toast.in", "x".repeat(900_000).as_bytes());
        for _ in 0..3 {
            let (_, shown) = client.event();
            for key in ["summary", "body", "app"] {
                let text = shown.get(key).and_then(Value::as_str).unwrap_or_default();
                assert!(
                    text.chars().all(|c| c == '\n' && key == "body" || !c.is_control()),
                    "{key}: {text:?}"
                );
            }
        }
        assert_eq!(client.request("toast.list", "")[1]["summary"], "red x");
        assert_eq!(daemon.stop(), Some(0));
        let mut said = Vec::new();
        out.read_to_end(&mut said).unwrap();
        assert!(text(&said).chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
        assert_eq!(text(&said).lines().count(), 3);
    });
}

#[test]
fn a_flood_is_bounded_and_told() {
    each("a_flood_is_bounded_and_told", |server| {
        // Nobody reads the daemon's stdout, which therefore fills.
        let (_daemon, _out) = Daemon::start(&server);
        let mut client = Client::ready(&server);
        let big = format!("{} {}", "word".repeat(60), "body ".repeat(200));
        for id in 1..=64 {
            assert_eq!(
                client.request("toast.in", json!({"summary": big, "urgency": "critical"})),
                json!({ "id": id })
            );
        }
        let error = json!({"error": "too many toasts: 32 are shown and 32 wait"});
        assert_eq!(client.request("toast.in", "one more"), error);
        for round in 0..50 {
            for id in 1..=32 {
                let wish = json!({"summary": big, "body": big, "replaces": id, "timeout_ms": 0});
                assert_eq!(client.request("toast.in", wish), json!({ "id": id }), "{round}");
            }
        }
        assert_eq!(client.request("toast.list", "").as_array().unwrap().len(), 64);
        assert_eq!(client.request("toast.close", "1"), json!({"id": 1}));
        assert_eq!(client.request("toast.in", "one more"), json!({"id": 65}));
    });
}

#[test]
fn a_closed_stdout_is_survived() {
    each("a_closed_stdout_is_survived", |server| {
        let (daemon, out) = Daemon::start(&server);
        drop(out);
        let mut client = Client::ready(&server);
        for id in 1..=3 {
            assert_eq!(client.request("toast.in", "hello"), json!({ "id": id }));
            assert_eq!(client.event().0, "toast.show");
        }
        assert_eq!(daemon.stop(), Some(0));
    });
}

#[test]
fn the_server_comes_back_and_toasts_are_announced_again() {
    each("the_server_comes_back_and_toasts_are_announced_again", |mut server| {
        let (daemon, _out) = Daemon::start(&server);
        let mut client = Client::ready(&server);
        assert_eq!(
            client.request("toast.in", json!({"summary": "stays", "timeout_ms": 0})),
            json!({"id": 1})
        );
        assert_eq!(
            client.request("toast.in", json!({"summary": "ends", "timeout_ms": 1500})),
            json!({"id": 2})
        );
        drop(client);
        server.kill();
        // While there is no server, time goes on.
        std::thread::sleep(Duration::from_millis(1700));
        // It must not be back before somebody listens.
        daemon.signal("-STOP");
        server.restart();
        let mut client = Client::connect(&server);
        daemon.signal("-CONT");
        let mut events = [client.event(), client.event()];
        events.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(events[0], ("toast.closed".into(), json!({"id": 2, "reason": "expired"})));
        let again = json!({"id": 1, "summary": "stays", "urgency": "normal", "timeout_ms": 0, "again": true});
        assert_eq!(events[1], ("toast.show".into(), again));
        assert_eq!(client.request("toast.list", "")[0]["id"], 1);
    });
}

#[test]
fn the_command_makes_lists_and_closes() {
    each("the_command_makes_lists_and_closes", |server| {
        let nobody = toast(&server, &["hello"]);
        assert_eq!(nobody.status.code(), Some(1));
        assert_eq!(text(&nobody.stderr), "lunix toast: no toast service answers (natstoast is one)\n");

        let (_daemon, _out) = Daemon::start(&server);
        let mut client = Client::ready(&server);
        let quiet = toast(&server, &["hello", "world"]);
        assert_eq!((quiet.status.code(), text(&quiet.stdout), text(&quiet.stderr)), (Some(0), "", ""));
        assert_eq!(client.event().1["summary"], "hello world");
        let made = toast(&server, &["--print-id", "-u", "critical", "--title", "T", "--progress", "7", "b"]);
        assert_eq!(text(&made.stdout), "2\n");
        let shown = json!({
            "id": 2, "summary": "T", "body": "b", "urgency": "critical", "timeout_ms": 0, "progress": 7
        });
        client.expect("toast.show", &shown);
        let list = toast(&server, &["--list"]);
        let list = text(&list.stdout);
        assert_eq!(list.lines().count(), 2, "{list}");
        assert!(list.contains("   2  critical  shown        T 7 %\n"), "{list}");
        let refused = toast(&server, &["--close", "9", "--close", "2"]);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(text(&refused.stderr), "lunix toast: id: no toast 9 is present\n");
        client.expect("toast.closed", &json!({"id": 2, "reason": "closed"}));
        assert_eq!(toast(&server, &["--close", "all"]).status.code(), Some(0));
        client.expect("toast.closed", &json!({"id": 1, "reason": "closed"}));
        assert_eq!(text(&toast(&server, &["--list"]).stdout), "");

        for (publish, said) in [("toast.action", "open\n"), ("toast.dismiss", "")] {
            let waiting = Command::new(PROGRAM)
                .args(["toast", "--wait", "--timeout", "0", "-A", "open=Open it", "ask"])
                .env("NATS_URL", server.url())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (_, shown) = client.event();
            client.publish(publish, json!({"id": shown["id"], "action": "open"}).to_string().as_bytes());
            let output = waiting.wait_with_output().unwrap();
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), said));
            while client.event().0 != "toast.closed" {}
        }
    });
}

#[test]
fn the_desktop_is_there_for_as_long_as_natstoast() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("natstoast-dbus");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("lunix");
    std::fs::hard_link(PROGRAM, &program).unwrap();
    let natstoast = || {
        let mut natstoast = Command::new(&program);
        natstoast.args([
            "natstoast",
            "--dbus",
            "-p",
            "none",
            "--log",
            "error",
            "--nats",
            "nats://127.0.0.1:1",
        ]);
        natstoast.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped());
        natstoast
    };
    let missing = natstoast().env("PATH", "/nowhere").output().unwrap();
    let line = "natstoast: --dbus: expected lunix-bridge beside natstoast or in $PATH";
    assert_eq!((missing.status.code(), text(&missing.stderr).lines().next()), (Some(2), Some(line)));
    // A shell takes the name of the program that it is to be for that of a script.
    std::os::unix::fs::symlink("/bin/sh", folder.join("lunix-bridge")).unwrap();
    std::fs::write(folder.join("natstoast-dbus"), "echo \"$@\"\nexec sleep 1000\n").unwrap();
    let mut daemon = natstoast().spawn().unwrap();
    let mut out = BufReader::new(daemon.stdout.take().unwrap());
    let daemon = Daemon(daemon);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "--log error --nats nats://127.0.0.1:1\n");
    drop(daemon);
    // The end comes once nobody can write there any more.
    assert_eq!(out.read_to_string(&mut line).unwrap(), 0);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn command_lines() {
    for (args, code, line) in [
        (&["natstoast", "--check-config"][..], 0, ""),
        (
            &["natstoast", "--presenter", "x11"],
            2,
            "natstoast: --presenter: expected one of console, none, found 'x11'\n",
        ),
        (&["natstoast", "x"], 2, "natstoast: unexpected argument 'x' (see --help)\n"),
        (&["watch", "a..b"], 2, "lunix watch: FILTER: expected tokens separated by dots, found 'a..b'\n"),
        (&["watch", "--json", "--raw"], 2, "lunix watch: --json and --raw exclude each other\n"),
    ] {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(code), line));
    }
}
