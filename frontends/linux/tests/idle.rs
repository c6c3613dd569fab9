//! Idle means idle: with everything running and nothing happening, no daemon runs for a moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod free_port;
mod supervised;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use free_port::free_port;
use supervised::{Client, Supervisor, kill, own_daemons, ready, switches, until};

const WINDOW: Duration = Duration::from_secs(10);
/// A machine on which tests run is not always still: its kernel may say something, which is not idleness.
const TRIES: usize = 3;

#[test]
fn every_daemon_sleeps() {
    let port = free_port().to_string();
    let flags = [&["up", "--no-watch", "--port", &port][..], &own_daemons()].concat();
    let init = Supervisor::start("idle", &flags, &[]);
    let mut client = Client::connect(&format!("127.0.0.1:{port}"));
    let mut daemons = ready(&mut client);
    daemons.push(("natsinit".to_owned(), init.pid()));
    for (daemon, request) in [("natsdev", "hardware.list"), ("natstoast", "toast.list")] {
        if daemons.iter().any(|(name, _)| name == daemon) {
            until(request, || client.try_request(request));
        }
    }
    // Nobody else is on the bus from here on.
    drop(client);
    rest(&daemons);

    let mut awake = daemons.clone();
    for _ in 0..TRIES {
        let before: Vec<u64> = awake.iter().map(|(_, pid)| switches(*pid)).collect();
        std::thread::sleep(WINDOW);
        let mut before = before.into_iter();
        awake.retain(|(name, pid)| {
            // Those of a thread that ends meanwhile are gone, and it was awake.
            let count = switches(*pid).abs_diff(before.next().unwrap());
            println!("{name}: {count} context switches in {WINDOW:?}");
            count > 0
        });
        if awake.is_empty() {
            break;
        }
    }
    assert!(awake.is_empty(), "not idle: {awake:?}");
    syscalls(&daemons);
}

/// Waits until nobody moves for a moment: deadlines of the start are over, what was freed is freed.
fn rest(daemons: &[(String, u32)]) {
    let all = || daemons.iter().map(|(_, pid)| switches(*pid)).collect::<Vec<_>>();
    until("rest", || {
        let before = all();
        std::thread::sleep(Duration::from_millis(500));
        (before == all()).then_some(())
    });
}

fn syscalls(daemons: &[(String, u32)]) {
    for attempt in 1..=TRIES {
        let Some(calls) = trace(daemons) else { return };
        for (name, pid) in daemons {
            println!("{name}: {} system calls in {WINDOW:?}", calls.get(pid).map_or(0, Vec::len));
        }
        if calls.is_empty() {
            return;
        }
        assert!(attempt < TRIES, "not idle: {calls:#?}");
    }
}

/// The calls of each process in a window; `None` where nobody may trace.
fn trace(daemons: &[(String, u32)]) -> Option<BTreeMap<u32, Vec<String>>> {
    let file = std::env::temp_dir().join(format!("lunix-idle-{}.strace", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ttt", "-o"]).arg(&file);
    for (_, pid) in daemons {
        strace.args(["-p", &pid.to_string()]);
    }
    let Ok(mut strace) = strace.stderr(Stdio::null()).spawn() else {
        eprintln!("SKIPPED system calls of idle daemons: no strace");
        return None;
    };
    // To be attached to interrupts the one call in which a daemon sleeps; it calls again, and from then on it counts.
    let read = || fs::read_to_string(&file).unwrap_or_default();
    let attached = || daemons.iter().all(|(_, pid)| read().lines().any(|line| is_of(line, *pid)));
    until("the tracer", || (attached() || matches!(strace.try_wait(), Ok(Some(_)))).then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    if matches!(strace.try_wait(), Ok(Some(_))) {
        eprintln!("SKIPPED system calls of idle daemons: ptrace is not permitted");
        return None;
    }
    let settled = read().lines().count();
    std::thread::sleep(WINDOW);
    let text = read();
    kill(strace.id(), libc::SIGINT);
    let _ = strace.wait();
    let _ = fs::remove_file(&file);
    let mut calls: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for line in text.lines().skip(settled) {
        let pid = line.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or_default();
        calls.entry(pid).or_default().push(line.to_owned());
    }
    Some(calls)
}

fn is_of(line: &str, pid: u32) -> bool {
    line.split_whitespace().next().is_some_and(|word| word.parse() == Ok(pid))
}
