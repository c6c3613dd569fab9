//! `natsinit --session` with real processes, and on the bus of Debian's `nats-server`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod free_port;
mod supervised;

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use free_port::free_port;
use supervised::{Client, PATIENCE, Supervisor, kill, switches, until, zombies};

fn start(name: &str, nats: Option<&str>, args: &[&str]) -> Supervisor {
    let fixed = ["natsinit", "--session", "--nats", nats.unwrap_or("nats://127.0.0.1:1")];
    Supervisor::start(name, &[&fixed, args].concat(), &[])
}

#[test]
fn a_killed_service_is_back_at_once() {
    let folder = std::env::temp_dir().join(format!("lunix-test-back-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // No back-off stands before the first one: this one is longer than anybody waits here.
    fs::write(folder.join("a.toml"), "command = [\"sleep\", \"1000\"]\nrestart = { base = \"30s\" }\n")
        .unwrap();
    let init = start("back", None, &["--services", folder.to_str().unwrap()]);
    let old = until("process", || init.processes("sleep\x001000").first().copied());
    let start = Instant::now();
    kill(old, libc::SIGKILL);
    until("new process", || init.processes("sleep\x001000").into_iter().find(|pid| *pid != old));
    println!("back after {:?}", start.elapsed());
    init.line("signal 9");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn more_services_run_than_the_usual_limit_of_descriptors_has_room_for_and_get_that_limit() {
    let script = std::env::temp_dir().join(format!("lunix-test-files-{}", std::process::id()));
    fs::write(&script, "echo $(ulimit -Sn) of $(ulimit -Hn); exec sleep 91410").unwrap();
    let services: Vec<String> = (0..40).map(|at| format!("s{at}=sleep 91410")).collect();
    let mut init = Command::new("sh")
        .args([
            "-c",
            "ulimit -Sn 64; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_lunix"),
            "natsinit",
            "--session",
        ])
        .args(["--nats", "nats://127.0.0.1:1"])
        .args(services)
        .arg(format!("limit=sh {}", script.display()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(init.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains(" of ")).unwrap();
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", init.id())).unwrap();
    until("all", || (children().split_whitespace().count() == 41).then_some(()));
    kill(init.id(), libc::SIGTERM);
    assert!(init.wait().unwrap().success());
    fs::remove_file(script).unwrap();
    assert!(line.contains("64 of ") && !line.contains("of 64"), "{line}");
}

#[test]
fn a_crash_loop_is_backed_off_and_fails_without_harm_to_others() {
    let begin = Instant::now();
    let mut init = start("loop", None, &["--restarts", "3", "good=sleep 1000", "bad=false", "ugly=/nowhere"]);
    // Which of them fails first is for the scheduler to say.
    let mut said: Vec<String> = Vec::new();
    let count = |said: &[String], text: &str| said.iter().filter(|line| line.contains(text)).count();
    while count(&said, "bad  | failed") + count(&said, "ugly | failed") < 2 {
        said.push(init.line(""));
    }
    assert_eq!(count(&said, "bad  | ended by itself (exit code 1)"), 3, "{said:#?}");
    // At once, after 100 ms, after 200 ms.
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    until("the good one", || (init.processes("sleep\x001000").len() == 1).then_some(()));
    init.signal(libc::SIGINT);
    assert_eq!(init.wait(), Some(0));
    assert!(init.processes("").is_empty());
}

#[test]
fn output_is_shown_in_lines_that_name_the_service() {
    let script = "i=0; while [ $i -lt 300 ]; do echo out $i; i=$((i+1)); done; printf 'esc\\033[2J end' >&2";
    let folder = std::env::temp_dir().join(format!("lunix-test-talk-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("talk.sh"), script).unwrap();
    let mut init = start(
        "lines",
        None,
        &["--restarts", "0", &format!("talker=sh {}", folder.join("talk.sh").display())],
    );
    for i in 0..300 {
        assert_eq!(init.line("out"), format!("talker | out {i}"));
    }
    assert_eq!(init.line("esc"), "talker | esc\u{fffd}[2J end");
    init.line("talker | failed (exit code 0)");
    init.signal(libc::SIGTERM);
    assert_eq!(init.wait(), Some(0));
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn what_services_leave_behind_is_reaped_and_at_the_end_killed() {
    let folder = std::env::temp_dir().join(format!("lunix-test-left-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let script = folder.join("leave.sh");
    fs::write(&script, "setsid sleep 0.05 & setsid sleep 7777 & sleep 8888 & exec sleep 1000").unwrap();
    let mut init = start("left", None, &[&format!("a=sh {}", script.display())]);
    let main = until("process", || init.processes("sleep\x001000").first().copied());
    // Those that have fled: before it has a session of its own, `setsid` is one of the group, too.
    let fled = |init: &Supervisor| {
        init.processes("sleep\x007777").into_iter().filter(|pid| session_of(*pid) == Some(*pid)).count()
    };
    let stayed = |init: &Supervisor| init.processes("sleep\x008888").len();
    until("helpers", || (fled(&init) == 1 && stayed(&init) == 1).then_some(()));
    kill(main, libc::SIGKILL);
    until("new process", || init.processes("sleep\x001000").into_iter().find(|pid| *pid != main));
    // The helper in the service's process group went with it. The one that fled into its own session did so only where
    // the service has a group of the kernel's.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", init.pid())).unwrap();
    let left = if groups.contains("/natsinit.") { 1 } else { 2 };
    until("helpers again", || (fled(&init) == left && stayed(&init) == 1).then_some(()));
    until("reaping", || zombies(init.pid()).is_empty().then_some(()));
    init.signal(libc::SIGTERM);
    assert_eq!(init.wait(), Some(0));
    assert!(init.processes("").is_empty());
    let _ = fs::remove_dir_all(&folder);
}

/// The session of a process (proc_pid_stat(5), the fourth after its name).
fn session_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(3)?.parse().ok()
}

#[test]
fn a_group_that_somebody_removes_is_made_anew() {
    let init = start("group", None, &["a=sleep 0.2"]);
    until("process", || init.processes("sleep").first().copied());
    let own = fs::read_to_string(format!("/proc/{}/cgroup", init.pid())).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" cgroup2 "));
    let Some(mount) = mount.and_then(|line| line.split(' ').nth(1)).filter(|_| own.contains("/natsinit."))
    else {
        return println!("SKIPPED a_group_that_somebody_removes_is_made_anew: no group of the kernel's");
    };
    let group = Path::new(&format!("{mount}{own}")).with_file_name("a");
    // Between one process and the next nobody is in it.
    until("a moment to remove it", || fs::remove_dir(&group).ok());
    until("a new process in a new one", || {
        fs::read_to_string(group.join("cgroup.procs")).ok().filter(|pids| !pids.is_empty())
    });
}

#[test]
fn a_second_ctrl_c_kills_what_ignores_the_first() {
    let folder = std::env::temp_dir().join(format!("lunix-test-stubborn-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let script = folder.join("stubborn.sh");
    let up = folder.join("up");
    let text = format!("trap '' TERM INT; : > {}; while :; do sleep 1000; done", up.display());
    fs::write(&script, text).unwrap();
    // Alone it would take longer than anybody waits here.
    let patient = "[stop]\nsignals = [\"TERM 60s\"]\n";
    let services = folder.join("services");
    fs::create_dir_all(&services).unwrap();
    fs::write(
        services.join("a.toml"),
        format!("command = [\"sh\", {:?}]\n{patient}", script.display().to_string()),
    )
    .unwrap();
    let mut init = start("stubborn", None, &["--services", services.to_str().unwrap()]);
    until("its trap", || up.exists().then_some(()));
    init.signal(libc::SIGINT);
    init.line("Ctrl-C kills");
    assert!(init.child.try_wait().unwrap().is_none());
    init.signal(libc::SIGINT);
    assert_eq!(init.wait(), Some(0));
    assert!(init.processes("").is_empty());
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn services_die_with_a_killed_supervisor() {
    let mut init = start("orphans", None, &["a=sleep 1000", "b=sleep 1001", "c=sleep 1002"]);
    until("processes", || (init.processes("sleep").len() == 3).then_some(()));
    init.signal(libc::SIGKILL);
    init.wait();
    until("end of all", || init.processes("").is_empty().then_some(()));
}

#[test]
fn an_idle_supervisor_sleeps() {
    // A server that says nothing: the connection stays as it is.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nats = format!("nats://{}", listener.local_addr().unwrap());
    let init = start("idle", Some(&nats), &["a=sleep 1000"]);
    listener.set_nonblocking(true).unwrap();
    let (mut peer, _) = until("connection", || listener.accept().ok());
    peer.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(b"INFO {\"server_id\":\"x\",\"version\":\"2.9.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n")
        .unwrap();
    let mut buffer = [0; 4096];
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"PING") {
        let length = peer.read(&mut buffer).unwrap();
        assert!(length > 0);
        heard.extend_from_slice(&buffer[..length]);
    }
    peer.write_all(b"PONG\r\n").unwrap();
    while !heard.windows(14).any(|window| window == b"service.*.stop") {
        let length = peer.read(&mut buffer).unwrap();
        assert!(length > 0);
        heard.extend_from_slice(&buffer[..length]);
    }
    peer.write_all(b"PING\r\n").unwrap();
    while !heard.ends_with(b"PONG\r\n") {
        let length = peer.read(&mut buffer).unwrap();
        heard.extend_from_slice(&buffer[..length]);
    }
    // The deadline of the connect and of the stop may still be disarmed; then nothing moves.
    until("rest", || {
        let before = switches(init.pid());
        std::thread::sleep(Duration::from_millis(1500));
        (before == switches(init.pid())).then_some(())
    });
    let before = switches(init.pid());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(init.pid()) - before, 0);
}

#[test]
fn wrong_command_lines_are_refused() {
    for (args, said) in [
        (&["natsinit"][..], "natsinit: --session is missing"),
        (&["natsinit", "--session", "a"], "natsinit: expected NAME=COMMAND"),
        (&["natsinit", "--session", "a=x", "a=y"], "natsinit: the service a is given twice"),
        (&["natsinit", "--session", "--port", "x"], "natsinit: --port: expected a port"),
        (&["natsinit", "--session", "--nats", "http://x", "a=x"], "natsinit: --nats: "),
        (&["natsinit", "--session", "--service", "x"], "natsinit: --service: expected one of"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_lunix")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with(said) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    }
}

/// Debian's server on a free port.
struct Server {
    child: Child,
    url: String,
    address: String,
}

impl Server {
    fn start() -> Option<Self> {
        let port = free_port();
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let address = format!("127.0.0.1:{port}");
        Some(Self { child, url: format!("nats://{address}"), address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_bus_hears_states_and_answers() {
    let Some(server) = Server::start() else {
        eprintln!("SKIPPED the_bus_hears_states_and_answers: no nats-server");
        return;
    };
    let mut client = Client::connect(&server.address);
    let mut init = start("bus", Some(&server.url), &["--restarts", "1", "a=sleep 1000", "b=false"]);
    // What happened before the connection stood is delivered.
    let starting = client.event("service.a.starting");
    assert!(starting.starts_with("{\"name\":\"a\",\"state\":\"starting\",\"pid\":"), "{starting}");
    client.event("service.a.ready");
    let failed = client.event("service.b.failed");
    assert!(failed.contains("\"exit_code\":1,\"restarts\":1"), "{failed}");

    let pid = until("process", || init.processes("sleep\x001000").first().copied());
    let list = until("list", || Some(client.request("service.list")).filter(|list| list.contains("failed")));
    assert!(list.starts_with("[{\"name\":\"a\",\"state\":\"ready\",") && list.ends_with("}]"), "{list}");
    let status = client.request("service.a.status");
    assert!(status.contains(&format!("\"pid\":{pid},\"restarts\":0")), "{status}");
    let usage = client.request("service.a.usage");
    for key in ["cpu_us", "rss", "peak_rss", "pids", "io_read", "io_write"] {
        assert!(usage.contains(&format!("\"{key}\":")), "{usage}");
    }
    assert_eq!(client.request("service.b.usage"), "{\"error\":\"it does not run\"}");

    kill(pid, libc::SIGKILL);
    assert!(client.event("service.a.backoff").contains("\"signal\":9"));
    client.event("service.a.starting");
    assert!(client.event("service.a.ready").contains("\"restarts\":1"));

    let answer = client.request("service.a.restart");
    assert!(answer.contains("\"state\":\"stopping\""), "{answer}");
    client.event("service.a.ready");
    assert!(client.request("service.a.stop").contains("\"state\":\"stopping\""));
    client.event("service.a.stopped");
    assert!(init.processes("sleep").is_empty());
    assert!(client.request("service.a.start").contains("\"state\":\"ready\""));

    init.signal(libc::SIGTERM);
    client.event("service.a.stopped");
    assert_eq!(init.wait(), Some(0));
}
