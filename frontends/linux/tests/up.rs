//! `lunix up` as a user has it: real daemons, killed, stopped, left alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod free_port;
mod supervised;

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Instant;

use free_port::free_port;
use supervised::{Client, Supervisor, kill, own_daemons, ready, until, zombies};

/// `lunix up` on a free port, and a client once the server is there.
fn up(name: &str, args: &[&str]) -> (Supervisor, Client) {
    let port = free_port().to_string();
    let init = Supervisor::start(name, &[&["up", "--port", &port], &own_daemons()[..], args].concat(), &[]);
    let client = Client::connect(&format!("127.0.0.1:{port}"));
    (init, client)
}

#[test]
fn everything_starts_says_where_it_is_and_stops() {
    let start = Instant::now();
    let (mut init, mut client) = up("up-whole", &["--no-watch"]);
    let services = ready(&mut client);
    println!("ready after {:?}: {services:?}", start.elapsed());
    assert_eq!(services.first().map(|(name, _)| name.as_str()), Some("natsd"));
    let server = init.line("nats://127.0.0.1:");
    assert!(server.trim_start().starts_with("server"), "{server}");
    init.signal(libc::SIGINT);
    let stop = Instant::now();
    // Nobody has to be killed: the server says its last words, and the end of all others is on it.
    for _ in &services[1..] {
        let (subject, end) = client.find(|subject| subject.ends_with(".stopped"));
        assert!(end.contains("\"exit_code\":0"), "{subject}: {end}");
    }
    init.line("Server Exiting");
    assert_eq!(init.wait(), Some(0));
    println!("stopped after {:?}", stop.elapsed());
    assert!(init.processes("").is_empty());
    let left: Vec<std::ffi::OsString> = std::fs::read_dir(init.folder.join("lunix"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_killed_daemon_is_back_and_the_bus_hears_of_it() {
    let (init, mut client) = up("up-kill", &["--no-watch"]);
    let time = |event: &str| {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        event["at_us"].as_u64().unwrap()
    };
    for (name, pid) in ready(&mut client).into_iter().skip(1) {
        let start = Instant::now();
        kill(pid, libc::SIGKILL);
        let ended = client.event(&format!("service.{name}.backoff"));
        assert!(ended.contains("\"signal\":9"), "{ended}");
        let started = client.event(&format!("service.{name}.starting"));
        println!("{name}: back after {:?}", start.elapsed());
        assert!(client.event(&format!("service.{name}.ready")).contains("\"restarts\":1"));
        println!("{name}: ready after {:?}", start.elapsed());
        // Sooner than the shortest back-off: none stands before the first one.
        let gap = time(&started) - time(&ended);
        assert!(gap < 100_000, "{name}: {gap} us between {ended} and {started}");
    }
    until("reaping", || zombies(init.pid()).is_empty().then_some(()));
}

#[test]
fn a_killed_server_is_back_and_so_is_everybody_on_it() {
    let (init, mut client) = up("up-server", &["--no-watch"]);
    let before = ready(&mut client);
    kill(before[0].1, libc::SIGKILL);
    init.line("ended by itself (signal 9)");
    until("the end of the connection", || client.try_request("service.list").is_none().then_some(()));
    let mut client = client.again();
    let after = ready(&mut client);
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1..], after[1..], "a daemon outlives its server");
    if after.iter().any(|(name, _)| name == "natstoast") {
        until("toasts again", || client.try_request("toast.list"));
    }
}

#[test]
fn a_crash_loop_ends_in_failed() {
    let (mut init, mut client) = up("up-loop", &["--no-watch", "--restarts", "3"]);
    let services = ready(&mut client);
    let Some((name, pid)) = services.get(1) else {
        eprintln!("SKIPPED a_crash_loop_ends_in_failed: there is no daemon but the server");
        return;
    };
    kill(*pid, libc::SIGKILL);
    for restart in 1..=3 {
        let ready = client.event(&format!("service.{name}.ready"));
        let report: serde_json::Value = serde_json::from_str(&ready).unwrap();
        assert_eq!(report["restarts"], restart);
        kill(u32::try_from(report["pid"].as_u64().unwrap()).unwrap(), libc::SIGKILL);
    }
    client.event(&format!("service.{name}.failed"));
    let answer = client.request(&format!("service.{name}.start"));
    assert!(answer.contains("starting"), "{answer}");
    client.event(&format!("service.{name}.ready"));
    init.signal(libc::SIGTERM);
    assert_eq!(init.wait(), Some(0));
}

#[test]
fn nothing_outlives_a_killed_up() {
    let (mut init, mut client) = up("up-orphans", &[]);
    let services = ready(&mut client);
    assert!(init.processes("").len() >= services.len());
    init.signal(libc::SIGKILL);
    init.wait();
    until("end of all", || init.processes("").is_empty().then_some(()));
}

#[test]
fn live_events_are_shown() {
    let start = Instant::now();
    let (init, mut client) = up("up-watch", &[]);
    if Command::new(env!("CARGO_BIN_EXE_lunix")).args(["watch", "--help"]).output().unwrap().status.code()
        != Some(0)
    {
        eprintln!("SKIPPED live_events_are_shown: there is no lunix watch");
        return;
    }
    until("live event", || {
        client.publish("hardware.needle.add", "{\"devpath\":\"/devices/needle\"}");
        std::thread::sleep(std::time::Duration::from_millis(10));
        init.lines.try_iter().any(|line| line.contains("needle")).then_some(())
    });
    println!("live after {:?}", start.elapsed());
}

#[test]
fn a_taken_port_is_passed_over_or_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lunix")).args(["up", "--port", &port]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&port) && stderr.lines().count() == 1, "{stderr}");
    // Whether or not somebody has 4222 here: with it taken, another one is found and said.
    let _default = TcpListener::bind("127.0.0.1:4222");
    let output = Command::new(env!("CARGO_BIN_EXE_lunix")).args(["up", "--dry-run"]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("port 4222 is taken") && !stdout.contains("nats://127.0.0.1:4222"), "{stdout}");
}

/// A child that does not outlive a failing test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_ordinary_user_has_it_too() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED an_ordinary_user_has_it_too: the other tests are run by one");
        return;
    }
    // The test binary lies in a folder that nobody else may enter: it is copied.
    let folder = std::env::temp_dir().join(format!("lunix-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
    let binary = folder.join("lunix");
    // By a process of its own: what another test starts meanwhile would have our copy open for writing (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_lunix")).arg(&binary).status().unwrap();
    assert!(copied.success(), "{copied}");
    let port = free_port();
    let child = Command::new(&binary)
        .args(["up", "--no-watch", "--port", &port.to_string()])
        .env("XDG_RUNTIME_DIR", &folder)
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let mut client = Client::connect(&format!("127.0.0.1:{port}"));
    let services = ready(&mut client);
    println!("as nobody: {services:?}");
    kill(child.0.id(), libc::SIGTERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}
