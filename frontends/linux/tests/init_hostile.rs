//! natsinit as process 1 among services that behave badly: each is contained, each is said, none hurts another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::fs;
use std::time::{Duration, Instant};

use init_rig::{Bus, Machine, PATIENCE, Setup, kill, skipped, until};

const SLEEP: &str = "command = [\"sleep\", \"1000\"]\n";
/// The longest that anybody waits for an answer while somebody behaves badly; processors are shared with other tests.
/// Less than the ordinary stop time-out.
const BOUND: Duration = Duration::from_millis(4500);
/// What process 1 may grow by meanwhile, in KiB.
const ROOM: u64 = 2048;

fn with_good(name: &str) -> Setup {
    Setup::new(name).service("good", SLEEP)
}

/// The good one still runs as it did, answers come soon, and it can be restarted.
fn others_are_well(machine: &Machine, bus: &mut Bus, good: u64) {
    let start = Instant::now();
    assert_eq!(bus.pid("good"), good);
    assert!(start.elapsed() < BOUND, "an answer took {:?}", start.elapsed());
    until("burial", || (machine.zombies().len() < 10).then_some(()));
    bus.ask("service.good.restart");
    bus.find(PATIENCE, |subject, event| subject == "service.good.ready" && event["pid"] != good).unwrap();
}

#[test]
fn a_fork_bomb() {
    if skipped("a_fork_bomb") {
        return;
    }
    // Rlimits bind nobody who is root outside, too, and a group needs a cgroup2 of our own: then only the namespace's
    // own bound is there, which leaves nothing for others while it lasts.
    let bound = !rustix::process::geteuid().is_root();
    if !bound {
        eprintln!(
            "SKIPPED a_fork_bomb (others start meanwhile): root has no limit of processes without cgroup2"
        );
    }
    let machine = with_good("bomb")
        .before("echo 1500 > proc/sys/kernel/pid_max || true")
        .script("bomb.sh", "while :; do /shared/bomb.sh & done 2> /dev/null")
        .service("bomb", "command = [\"/shared/bomb.sh\"]\nenabled = false\nlimits = { processes = 200, pids = 200, nice = 19 }\n")
        .boot();
    if fs::read_to_string(format!("/proc/{}/root/proc/sys/kernel/pid_max", machine.init))
        .is_ok_and(|most| most.trim() != "1500")
        && !bound
    {
        eprintln!("SKIPPED a_fork_bomb: nothing on this machine bounds it");
        return;
    }
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    bus.fire("service.bomb.start");
    let end = Instant::now() + Duration::from_secs(3);
    let (mut most, mut slowest) = (0, Duration::ZERO);
    // It may need a while, as it is nice.
    while Instant::now() < end || (most <= 100 && Instant::now() < end + PATIENCE) {
        let start = Instant::now();
        assert_eq!(bus.pid("good"), good);
        slowest = slowest.max(start.elapsed());
        most = most.max(machine.processes("bomb").len());
        std::thread::sleep(Duration::from_millis(100));
    }
    if bound {
        others_are_well(&machine, &mut bus, good);
    }
    bus.ask("service.bomb.stop");
    bus.is("bomb", "stopped");
    until("the end of all of them", || machine.processes("bomb").is_empty().then_some(()));
    println!("{most} processes at most, {slowest:?} for the slowest answer");
    assert!(most > 100, "that was no bomb: {most}");
    assert!(slowest < BOUND, "{slowest:?}");
    let good = bus.pid("good");
    others_are_well(&machine, &mut bus, good);
    until("burial", || machine.zombies().is_empty().then_some(()));
}

#[test]
fn a_memory_hog() {
    if skipped("a_memory_hog") {
        return;
    }
    eprintln!(
        "SKIPPED a_memory_hog (killed by its group's limit): no cgroup2 of our own here; the VM has one"
    );
    let machine = with_good("hog")
        .service(
            "hog",
            "command = [\"sh\", \"-c\", \"tail -n 1 < /dev/zero\"]\nenabled = false\nlimits = { address_space = \"64M\" }\nrestart = { limit = 2, base = \"10ms\" }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let (good, before) = (bus.pid("good"), machine.memory());
    bus.ask("service.hog.start");
    let failed = bus.is("hog", "failed");
    assert_eq!(failed["restarts"], 2, "{failed}");
    assert!(machine.memory() < before + ROOM);
    others_are_well(&machine, &mut bus, good);
}

#[test]
fn who_ignores_sigterm_is_killed() {
    if skipped("who_ignores_sigterm_is_killed") {
        return;
    }
    let machine = with_good("deaf")
        .script("deaf.sh", "trap '' TERM INT HUP\necho up\nwhile :; do sleep 0.1; done")
        .service(
            "deaf",
            "command = [\"/shared/deaf.sh\"]\nstop = { signals = [\"INT 100ms\", \"TERM 200ms\"] }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    until("its trap", || bus.ask("service.deaf.tail").to_string().contains("up").then_some(()));
    let start = Instant::now();
    bus.ask("service.deaf.stop");
    let stopped = bus.event("service.deaf.stopped");
    assert_eq!(stopped["signal"], 9, "{stopped}");
    assert!(
        start.elapsed() >= Duration::from_millis(290) && start.elapsed() < BOUND,
        "{:?}",
        start.elapsed()
    );
    until("the end of its helpers", || machine.processes("deaf").is_empty().then_some(()));
    others_are_well(&machine, &mut bus, good);
}

#[test]
fn who_flees_into_a_session_of_its_own() {
    if skipped("who_flees_into_a_session_of_its_own") {
        return;
    }
    let mut machine = with_good("flees")
        .service(
            "flees",
            "command = [\"sh\", \"-c\", \"setsid sleep 7777 & exit 0\"]\nrestart = { limit = 3, base = \"10ms\" }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    let failed = bus.is("flees", "failed");
    assert_eq!((failed["exit_code"].as_i64(), failed["restarts"].as_u64()), (Some(0), Some(3)), "{failed}");
    // Without groups nobody knows whose they are; but they are no more than there were starts, and they end with the machine.
    let fled = machine.processes("sleep 7777").len();
    println!("{fled} have fled");
    assert!(fled <= 4, "{fled}");
    others_are_well(&machine, &mut bus, good);
    for pid in machine.processes("sleep 7777").into_iter().take(2) {
        kill(pid, libc::SIGKILL);
    }
    until("burial", || machine.zombies().is_empty().then_some(()));
    bus.ask("system.shutdown");
    until("the end", || machine.ended());
}

#[test]
fn who_floods_its_log() {
    if skipped("who_floods_its_log") {
        return;
    }
    // The optimised program takes the whole of it in the long run.
    let long = std::env::var_os("LUNIX_CHAOS").is_some();
    let bytes: u64 = if long { 1 << 30 } else { 100 << 20 };
    let machine = with_good("flood")
        .script("flood.sh", &format!("yes 'the quick brown fox jumps over the lazy dog, again and again and again' | head -c {bytes}\necho; sleep 1; echo the last\ntouch /shared/over\nexec sleep 1000"))
        .service("flood", "command = [\"/shared/flood.sh\"]\nenabled = false\nlog = { ring = \"16K\" }\n")
        .service("talks", "command = [\"sh\", \"-c\", \"i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done\"]\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    let server = machine.outside(bus.pid("natsd")).unwrap();
    let (before, server_before) = (machine.memory(), dirty(server));
    // Who hears of others waits for nobody.
    let mut other = bus.again();
    let start = Instant::now();
    bus.ask("service.flood.start");
    let (mut slowest, mut memory, mut server_memory, mut lines, mut dropped) =
        (Duration::ZERO, 0, 0, 0, 0_u64);
    let mut count = |events: Vec<(String, serde_json::Value)>| {
        for (_, line) in events.iter().filter(|(subject, _)| subject == "service.flood.log") {
            lines += 1;
            dropped += line["dropped"].as_u64().unwrap_or(0);
        }
        (lines, dropped)
    };
    let of_others = |events: Vec<(String, serde_json::Value)>| {
        events.iter().filter(|(subject, _)| subject == "service.talks.log").count()
    };
    let mut told = 0;
    while !machine.folder.join("over").exists() {
        assert!(start.elapsed() < Duration::from_secs(300), "it does not end");
        let asked = Instant::now();
        assert_eq!(bus.pid("good"), good);
        slowest = slowest.max(asked.elapsed());
        memory = memory.max(machine.memory());
        server_memory = server_memory.max(dirty(server));
        count(bus.drain());
        told += of_others(other.drain());
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = start.elapsed();
    // It is said with the next line that is told.
    let said = || Some(count(bus.drain())).filter(|(_, dropped)| *dropped > 0);
    let (lines, dropped) = until("word that lines were left out", said);
    println!(
        "{} MB in {took:?}: {lines} lines told, {dropped} said to be too many; slowest answer {slowest:?}",
        bytes >> 20
    );
    println!("process 1: {before} KiB before, {memory} KiB at most; natsd: {server_before}, {server_memory}");
    assert!(slowest < BOUND, "{slowest:?}");
    assert!(memory < before + ROOM && server_memory < server_before + 8 * ROOM);
    // Others' lines were told meanwhile.
    told += of_others(other.drain());
    assert!(
        told as u128 * 50 * 10 >= took.as_millis().min(10_000),
        "{told} lines of another one in {took:?}"
    );
    // Once it is quiet, its lines count again.
    until("the last line", || bus.ask("service.flood.tail").to_string().contains("the last").then_some(()));
    others_are_well(&machine, &mut bus, good);
}

fn dirty(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of =
        |line: &str| line.strip_prefix("Private_Dirty:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    rollup.lines().filter_map(of).sum()
}

#[test]
fn who_closes_what_it_was_given() {
    if skipped("who_closes_what_it_was_given") {
        return;
    }
    let machine = with_good("closes")
        .service(
            "closes",
            "command = [\"sh\", \"-c\", \"exec 5>&-; exec sleep 4444\"]\nenabled = false\nready = { fd = 5, timeout = \"700ms\" }\nrestart = { limit = 1, base = \"10ms\" }\n",
        )
        .service("mute", "command = [\"sh\", \"-c\", \"exec >&- 2>&- <&-; exec sleep 5555\"]\n")
        .service(
            "mad",
            "command = [\"sh\", \"-c\", \"head -c 3000 /dev/urandom >&5; exec sleep 6666\"]\nready = { fd = 5, timeout = \"5s\" }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    // It has said nothing, and so it is not ready; its time is over in the end.
    assert_eq!(bus.ask("service.closes.start")["state"], "starting");
    let failed = bus.is("closes", "failed");
    assert_eq!(failed["restarts"], 1, "{failed}");
    assert!(machine.processes("sleep 4444").is_empty());
    // There is a newline in so many bytes.
    bus.is("mad", "ready");
    bus.is("mute", "ready");
    let before = machine.switches();
    std::thread::sleep(Duration::from_secs(1));
    let woken = machine.switches() - before;
    assert!(woken < 10, "an end that is closed keeps it awake: {woken}");
    others_are_well(&machine, &mut bus, good);
}

#[test]
fn a_full_disk() {
    if skipped("a_full_disk") {
        return;
    }
    let machine = with_good("full")
        .before("mkdir small && mount -t tmpfs -o size=64k none small")
        .script("talks.sh", "i=0; while :; do i=$((i+1)); echo \"line $i of a log that is longer than its disk is large\"; [ $i -lt 4000 ] || sleep 0.02; done")
        .service("talks", "command = [\"/shared/talks.sh\"]\nlog = { file = \"/small/log\", file_size = \"1M\" }\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    machine.line("log file");
    bus.is("talks", "ready");
    let size = || fs::metadata(format!("/proc/{}/root/small/log", machine.init)).map_or(0, |file| file.len());
    until("a full file", || (size() > 50_000).then_some(()));
    // The ring and the bus go on.
    bus.drain();
    bus.find(PATIENCE, |subject, _| subject == "service.talks.log").unwrap();
    assert!(bus.ask("service.talks.tail").to_string().contains("of a log"));
    assert_eq!(bus.status("talks")["restarts"], 0);
    others_are_well(&machine, &mut bus, good);
    // Room again: it writes again, and says so.
    fs::write(format!("/proc/{}/root/small/log", machine.init), "").unwrap();
    machine.line("again");
    let again = |line: &serde_json::Value| line.as_str().is_some_and(|line| line.starts_with("its log file"));
    bus.find(PATIENCE, |subject, event| subject == "service.talks.log" && again(&event["line"])).unwrap();
    until("new lines", || (size() > 0).then_some(()));
}

#[test]
fn a_root_that_cannot_be_written_to() {
    if skipped("a_root_that_cannot_be_written_to") {
        return;
    }
    let machine = with_good("ro")
        .before("mkdir -p var/log; mount -o remount,ro \"$root\"")
        .service("logs", "command = [\"sh\", \"-c\", \"echo here I am; exec sleep 2222\"]\nlog = { file = \"/var/log/logs\" }\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let good = bus.pid("good");
    bus.is("logs", "ready");
    machine.line("log file");
    until("the line", || bus.ask("service.logs.tail").to_string().contains("here I am").then_some(()));
    until("word of its file", || {
        bus.ask("service.logs.tail").to_string().contains("its log file: Read-only").then_some(())
    });
    others_are_well(&machine, &mut bus, good);
    bus.ask("system.reexec");
    until("answer", || {
        bus.try_ask("service.good.status", "", Duration::from_millis(500))
            .filter(|answer| answer.contains("ready"))
    });
}

#[test]
fn who_floods_the_notification_socket() {
    if skipped("who_floods_the_notification_socket") {
        return;
    }
    if !fs::exists("/usr/bin/python3").unwrap_or_default() {
        eprintln!("SKIPPED who_floods_the_notification_socket: no python3");
        return;
    }
    let script = r#"exec python3 -c '
import os, socket
place = os.environ["NOTIFY_SOCKET"]
place = "\0" + place[1:] if place[0] == "@" else place
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", place)
junk = [b"", b"=", b"READY=0", b"STATUS=" + b"x" * 3000, bytes(range(256)), b"EXTEND_TIMEOUT_USEC=99999999999999999999", b"MAINPID=1"]
i = 0
while True:
    try: s.sendto(junk[i % len(junk)], place)
    except OSError: pass
    i += 1'"#;
    let machine = with_good("notices")
        .script("spams.sh", script)
        .service(
            "spams",
            "command = [\"/shared/spams.sh\"]\nready = { by = \"sd_notify\" }\nlimits = { nice = 19 }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    let (good, before) = (bus.pid("good"), machine.memory());
    bus.is("spams", "ready");
    let end = Instant::now() + Duration::from_secs(2);
    let mut slowest = Duration::ZERO;
    while Instant::now() < end {
        let asked = Instant::now();
        assert_eq!(bus.pid("good"), good);
        slowest = slowest.max(asked.elapsed());
    }
    println!("slowest answer {slowest:?}");
    assert!(slowest < BOUND && machine.memory() < before + ROOM);
    others_are_well(&machine, &mut bus, good);
    bus.ask("service.spams.stop");
    bus.is("spams", "stopped");
}
