//! natsinit as process 1: services that need, want, follow or exclude each other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::time::Duration;

use init_rig::{Bus, Setup, kill, skipped, until};

const SLEEP: &str = "command = [\"sleep\", \"1000\"]\n";

fn chain(name: &str) -> Setup {
    Setup::new(name)
        .service("base", SLEEP)
        .service("middle", &format!("{SLEEP}needs = [\"base\"]\n"))
        .service("top", &format!("{SLEEP}needs = [\"middle\"]\n"))
        .service("other", SLEEP)
}

/// When each of these was last said of each service.
fn times(bus: &mut Bus, state: &str, names: &[&str]) -> Vec<u64> {
    names
        .iter()
        .map(|name| bus.event(&format!("service.{name}.{state}"))["at_us"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_chain_starts_from_below_and_stops_from_above() {
    if skipped("a_chain_starts_from_below_and_stops_from_above") {
        return;
    }
    let machine = chain("chain").boot();
    let mut bus = machine.bus();
    bus.is("top", "ready");
    bus.drain();
    bus.ask("service.base.stop");
    let stopped = times(&mut bus, "stopped", &["top", "middle", "base"]);
    assert!(stopped.is_sorted(), "{stopped:?}");
    assert_eq!(bus.state("other"), "ready");
    bus.drain();
    // Who starts the top starts all.
    bus.ask("service.top.start");
    let ready = times(&mut bus, "ready", &["base", "middle", "top"]);
    assert!(ready.is_sorted(), "{ready:?}");
    // What is below does not care for what is above.
    bus.ask("service.top.stop");
    bus.event("service.top.stopped");
    assert_eq!((bus.state("base"), bus.state("middle")), ("ready".to_owned(), "ready".to_owned()));
}

#[test]
fn a_restart_and_a_crash_take_nobody_along() {
    if skipped("a_restart_and_a_crash_take_nobody_along") {
        return;
    }
    let machine = chain("dep").boot();
    let mut bus = machine.bus();
    bus.is("top", "ready");
    let others = ["middle", "top", "other"];
    let before = others.map(|name| bus.pid(name));
    bus.drain();
    bus.ask("service.base.restart");
    bus.event("service.base.ready");
    assert_eq!(others.map(|name| bus.pid(name)), before);
    let base = bus.pid("base");
    kill(machine.outside(base).unwrap(), libc::SIGKILL);
    until("another base", || bus.status("base")["pid"].as_u64().filter(|pid| *pid != base));
    bus.is("base", "ready");
    assert_eq!(others.map(|name| bus.pid(name)), before);
    // What starts while it is down waits for it, and brings it up.
    bus.ask("service.base.stop");
    bus.is("base", "stopped");
    bus.drain();
    bus.ask("service.middle.start");
    let ready = times(&mut bus, "ready", &["base", "middle"]);
    assert!(ready.is_sorted(), "{ready:?}");
}

#[test]
fn cycles_and_unknown_names_are_named_with_their_lines_and_the_rest_boots() {
    if skipped("cycles_and_unknown_names_are_named_with_their_lines_and_the_rest_boots") {
        return;
    }
    let machine = Setup::new("cycles")
        .service("a", &format!("{SLEEP}needs = [\"b\"]\n"))
        .service("b", &format!("{SLEEP}after = [\"c\"]\n"))
        .service("c", &format!("{SLEEP}wants = [\"a\"]\n"))
        .service("self", &format!("{SLEEP}needs = [\"self\"]\n"))
        .service("lost", &format!("{SLEEP}needs = [\"nowhere\"]\n"))
        .service("needs-lost", &format!("{SLEEP}needs = [\"lost\"]\n"))
        .service("hopes", &format!("{SLEEP}wants = [\"nowhere\"]\n"))
        .service("broken", "command = [\"sleep\", 5\n")
        .service("odd", &format!("{SLEEP}colour = \"red\"\n"))
        .service("absent", "command = [\"/no/such/program\"]\n")
        .service("good", SLEEP)
        .boot();
    let mut bus = machine.bus();
    bus.is("good", "ready");
    bus.is("hopes", "ready");
    machine.says(&[
        "lost.toml:2:",
        "needs: there is no service 'nowhere'",
        "broken.toml:1",
        "odd.toml:2:",
        "absent.toml:1:",
        "/no/such/program",
        // The ring is printed with all that is in it.
        "ring",
        "a needs b",
        "self needs self",
    ]);
    for name in ["a", "b", "c", "self", "lost", "needs-lost", "broken", "odd", "absent"] {
        let list = bus.ask("service.list");
        let found = list
            .as_array()
            .unwrap()
            .iter()
            .any(|service| service["name"] == name && service["state"] == "ready");
        assert!(!found, "{name}: {list}");
    }
}

#[test]
fn all_files_broken_and_there_is_still_a_machine() {
    if skipped("all_files_broken_and_there_is_still_a_machine") {
        return;
    }
    let mut machine = Setup::new("broken").service("natsd", "command = 1\n").service("a", "= =\n").boot();
    machine.line("natsd.toml:1");
    std::thread::sleep(Duration::from_millis(300));
    assert!(machine.is_alive(), "{}", machine.said());
    // Mended, it boots on.
    machine.service("natsd", init_rig::NATSD);
    machine.service("a", SLEEP);
    machine.signal(libc::SIGHUP);
    machine.bus().is("a", "ready");
}

#[test]
fn after_only_orders_and_conflicts_exclude() {
    if skipped("after_only_orders_and_conflicts_exclude") {
        return;
    }
    let slow = "command = [\"/shared/slow.sh\"]\nready = { fd = 3 }\n";
    let machine = Setup::new("after")
        .script("slow.sh", "sleep 0.3\necho >&3\nexec sleep 1000")
        .service("first", slow)
        .service("second", &format!("{SLEEP}after = [\"first\"]\n"))
        .service("off", &format!("{SLEEP}enabled = false\n"))
        .service("third", &format!("{SLEEP}after = [\"off\"]\n"))
        .service("day", SLEEP)
        .service("night", &format!("{SLEEP}enabled = false\nconflicts = [\"day\"]\n"))
        .boot();
    let mut bus = machine.bus();
    let (first, second) = (bus.is("first", "ready"), bus.is("second", "ready"));
    assert!(first["at_us"].as_u64() <= second["at_us"].as_u64());
    // It is not started by those that come after it.
    bus.is("third", "ready");
    assert_eq!(bus.state("off"), "stopped");
    bus.is("day", "ready");
    bus.ask("service.night.start");
    bus.is("night", "ready");
    assert_eq!(bus.state("day"), "stopped");
    bus.ask("service.day.start");
    bus.is("day", "ready");
    assert_eq!(bus.state("night"), "stopped");
}

#[test]
fn oneshots_prepare_and_clean_up_and_one_that_fails_keeps_others_down() {
    if skipped("oneshots_prepare_and_clean_up_and_one_that_fails_keeps_others_down") {
        return;
    }
    let machine = Setup::new("prepost")
        .script("pre.sh", "sleep 0.1\necho pre >> /shared/log")
        .script("post.sh", "echo post >> /shared/log")
        .script("main.sh", "echo main >> /shared/log\nexec sleep 1000")
        .script("fails.sh", "[ -e /shared/well ]")
        .service("pre", "type = \"oneshot\"\ncommand = [\"/shared/pre.sh\"]\nstop = { command = [\"/shared/post.sh\"] }\n")
        .service("main", "command = [\"/shared/main.sh\"]\nneeds = [\"pre\"]\n")
        .service("fails", "type = \"oneshot\"\ncommand = [\"/shared/fails.sh\"]\n")
        .service("depends", "command = [\"sleep\", \"3333\"]\nneeds = [\"fails\"]\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("main", "ready");
    bus.is("pre", "ready");
    until("both lines", || (machine.read("log") == "pre\nmain\n").then_some(()));
    // Whoever stops what prepared it stops it before.
    bus.ask("service.pre.stop");
    bus.is("pre", "stopped");
    assert_eq!(bus.state("main"), "stopped");
    assert_eq!(machine.read("log"), "pre\nmain\npost\n");
    bus.ask("service.main.start");
    bus.is("main", "ready");
    until("all again", || (machine.read("log") == "pre\nmain\npost\npre\nmain\n").then_some(()));

    let failed = bus.is("fails", "failed");
    assert_eq!(failed["exit_code"], 1, "{failed}");
    assert!(machine.processes("sleep 3333").is_empty());
    // Well again, who asks for it gets it.
    std::fs::write(machine.folder.join("well"), "").unwrap();
    bus.ask("service.depends.start");
    bus.is("depends", "ready");
    bus.is("fails", "ready");
}

#[test]
fn stages_start_in_order_and_one_that_fails_does_not_stop_the_boot() {
    if skipped("stages_start_in_order_and_one_that_fails_does_not_stop_the_boot") {
        return;
    }
    let slow = "command = [\"/shared/slow.sh\"]\nready = { fd = 3 }\n";
    let machine = Setup::new("stages")
        .script("slow.sh", "sleep 0.2\necho >&3\nexec sleep 1000")
        .service("two", &format!("{slow}stage = 2\n"))
        .service("three", &format!("{slow}stage = 3\n"))
        .service("bad", "command = [\"false\"]\nstage = 3\nrestart = { limit = 2, base = \"10ms\" }\n")
        .service("nine", &format!("{SLEEP}stage = 9\n"))
        .boot();
    let mut bus = machine.bus();
    bus.is("nine", "ready");
    bus.is("bad", "failed");
    let boot = bus.ask("service.boot");
    let at = |name: &str, key: &str| {
        let service = boot["services"].as_array().unwrap().iter().find(|service| service["name"] == name);
        service.and_then(|service| service[key].as_u64()).unwrap_or_else(|| panic!("{name} {key}: {boot}"))
    };
    assert!(at("natsd", "ready_us") <= at("two", "spawned_us"));
    assert!(at("two", "ready_us") <= at("three", "spawned_us"));
    assert!(at("three", "ready_us") <= at("nine", "spawned_us"));
}
