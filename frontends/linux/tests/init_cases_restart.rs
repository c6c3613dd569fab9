//! natsinit as process 1: services that end by themselves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::time::{Duration, Instant};

use init_rig::{PATIENCE, Setup, kill, skipped, until};

/// Ready as soon as it runs, and unlike any other process.
const SLEEP: &str = "command = [\"sleep\", \"1000\"]\n";

#[test]
fn a_killed_service_is_back_at_once_with_its_events_in_order() {
    if skipped("a_killed_service_is_back_at_once_with_its_events_in_order") {
        return;
    }
    // No back-off stands before the first one: this one is longer than anybody waits here.
    let machine = Setup::new("back").service("a", &format!("{SLEEP}restart = {{ base = \"30s\" }}\n")).boot();
    let mut bus = machine.bus();
    let mut best = Duration::MAX;
    for round in 1..=5 {
        // A service that was well for a while is back at once, others wait.
        bus.ask("service.a.restart");
        bus.is("a", "ready");
        let old = bus.pid("a");
        bus.drain();
        let start = Instant::now();
        kill(machine.outside(old).unwrap(), libc::SIGKILL);
        let ready = bus.event("service.a.ready");
        best = best.min(start.elapsed());
        assert_ne!(ready["pid"].as_u64().unwrap(), old, "{round}");
        let backoff = bus.event("service.a.backoff");
        let starting = bus.event("service.a.starting");
        assert_eq!(backoff["signal"], 9, "{backoff}");
        assert_eq!(starting["pid"], ready["pid"]);
        let at = |event: &serde_json::Value| event["at_us"].as_u64().unwrap();
        assert!(at(&backoff) <= at(&starting) && at(&starting) <= at(&ready));
    }
    println!("back after {best:?}");
}

#[test]
fn the_server_itself_comes_back_and_hears_what_happened_meanwhile() {
    if skipped("the_server_itself_comes_back_and_hears_what_happened_meanwhile") {
        return;
    }
    let machine = Setup::new("server").service("a", SLEEP).boot();
    let mut bus = machine.bus();
    let (server, pid) = (bus.pid("natsd"), bus.pid("a"));
    drop(bus);
    kill(machine.outside(server).unwrap(), libc::SIGKILL);
    kill(machine.outside(pid).unwrap(), libc::SIGKILL);
    until("another server", || {
        machine.processes("natsd -a").into_iter().find(|pid| Some(*pid) != machine.outside(server))
    });
    let mut bus = machine.bus();
    // Until natsinit is back on the bus, nobody answers.
    until("answer", || {
        bus.try_ask("service.a.status", "", PATIENCE).filter(|answer| answer.contains("\"restarts\":1"))
    });
    assert_eq!(bus.status("natsd")["restarts"], 1);
    bus.is("natsd", "ready");
    bus.is("a", "ready");
}

#[test]
fn a_crash_loop_ends_in_failed_and_harms_nobody() {
    if skipped("a_crash_loop_ends_in_failed_and_harms_nobody") {
        return;
    }
    let machine = Setup::new("loop")
        .service("good", SLEEP)
        .service("bad", "command = [\"false\"]\nrestart = { limit = 3, base = \"10ms\" }\n")
        .service(
            "ugly",
            "command = [\"sh\", \"-c\", \"kill -SEGV $$\"]\nrestart = { limit = 2, base = \"10ms\" }\n",
        )
        .boot();
    let mut bus = machine.bus();
    let failed = bus.is("bad", "failed");
    assert_eq!((failed["exit_code"].as_i64(), failed["restarts"].as_u64()), (Some(1), Some(3)), "{failed}");
    assert_eq!(bus.is("ugly", "failed")["signal"], 11);
    assert_eq!(bus.status("good")["restarts"], 0);
    bus.is("good", "ready");
    // Who asks for it gets it, with all tries.
    bus.drain();
    bus.ask("service.bad.start");
    assert_eq!(bus.event("service.bad.failed")["restarts"], 3);
    until("burial", || machine.zombies().is_empty().then_some(()));
}

#[test]
fn how_a_service_ended_decides_whether_it_starts_again() {
    if skipped("how_a_service_ended_decides_whether_it_starts_again") {
        return;
    }
    let once = |when: &str, end: &str| {
        format!(
            "command = [\"sh\", \"-c\", \"{end}\"]\nrestart = {{ when = \"{when}\", limit = 2, base = \"1ms\" }}\n"
        )
    };
    let machine = Setup::new("when")
        .service("well", &once("on-failure", "exit 0"))
        .service("ill", &once("on-failure", "exit 3"))
        .service("killed", &once("on-failure", "kill -KILL $$"))
        .service("never-well", &once("never", "exit 0"))
        .service("never-ill", &once("never", "exit 4"))
        .boot();
    let mut bus = machine.bus();
    assert_eq!(bus.is("well", "stopped")["restarts"], 0);
    assert_eq!(bus.is("ill", "failed")["restarts"], 2);
    assert_eq!(bus.is("killed", "failed")["restarts"], 2);
    assert_eq!(bus.is("never-well", "stopped")["restarts"], 0);
    let failed = bus.is("never-ill", "failed");
    assert_eq!((failed["restarts"].as_u64(), failed["exit_code"].as_i64()), (Some(0), Some(4)), "{failed}");
}

#[test]
fn a_service_can_restart_itself() {
    if skipped("a_service_can_restart_itself") {
        return;
    }
    let script = "echo $$ >> /shared/runs\n\
                  [ $(wc -l < /shared/runs) -ge 4 ] || /srv/lunix req service.self.restart\n\
                  exec sleep 1000";
    let machine = Setup::new("self")
        .script("self.sh", script)
        .service("self", "command = [\"/shared/self.sh\"]\nneeds = [\"natsd\"]\n")
        .boot();
    let mut bus = machine.bus();
    until("four runs", || (machine.read("runs").lines().count() == 4).then_some(()));
    bus.is("self", "ready");
    // It was asked for, so it counts as no failure.
    assert_eq!(bus.status("self")["restarts"], 0);
    until("one process", || (machine.processes("sleep 1000").len() == 1).then_some(()));
}

#[test]
fn what_daemonises_is_still_its_service() {
    if skipped("what_daemonises_is_still_its_service") {
        return;
    }
    // The child stays in the group of its service; the process that was started ends well.
    let machine = Setup::new("fork")
        .service(
            "fork",
            "command = [\"sh\", \"-c\", \"sleep 7777 & exit 0\"]\nrestart = { limit = 3, base = \"1ms\" }\n",
        )
        .service("good", SLEEP)
        .boot();
    let mut bus = machine.bus();
    let failed = bus.is("fork", "failed");
    assert_eq!(failed["exit_code"], 0, "{failed}");
    // What each run left behind went with it: else they would pile up.
    until("end of what was left behind", || machine.processes("7777").is_empty().then_some(()));
    bus.is("good", "ready");
}

#[test]
fn the_number_of_the_process_is_the_true_one() {
    if skipped("the_number_of_the_process_is_the_true_one") {
        return;
    }
    let machine = Setup::new("pid").service("a", "command = [\"sleep\", \"4321\"]\n").boot();
    let mut bus = machine.bus();
    for _ in 0..3 {
        bus.is("a", "ready");
        let pid = bus.pid("a");
        // The kernel tells natsinit that it is executed a moment before it shows its words in /proc.
        let process = until("process", || machine.processes("sleep 4321").first().copied());
        assert_eq!(Some(process), machine.outside(pid));
        bus.drain();
        bus.ask("service.a.restart");
        let ready = bus.event("service.a.ready");
        assert_ne!(ready["pid"].as_u64(), Some(pid));
    }
}
