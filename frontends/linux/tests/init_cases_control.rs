//! natsinit as process 1: start, stop, reload, activation, re-execution and the end, as people and programs ask for them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use init_rig::{PATIENCE, Setup, inside, kill, skipped, until};

const SLEEP: &str = "command = [\"sleep\", \"1000\"]\n";

#[test]
fn start_stop_restart_and_what_cannot_be() {
    if skipped("start_stop_restart_and_what_cannot_be") {
        return;
    }
    let machine = Setup::new("control").service("a", SLEEP).service("b", SLEEP).boot();
    let mut bus = machine.bus();
    bus.is("a", "ready");
    let b = bus.pid("b");
    for _ in 0..3 {
        bus.ask("service.a.stop");
        bus.is("a", "stopped");
        until("the other one", || (machine.processes("sleep 1000").len() == 1).then_some(()));
        // Nothing to do is no mistake.
        assert_eq!(bus.ask("service.a.stop")["state"], "stopped");
        bus.ask("service.a.start");
        let pid = bus.is("a", "ready")["pid"].clone();
        assert_eq!(bus.ask("service.a.start")["pid"], pid);
        bus.ask("service.a.restart");
        bus.is("a", "ready");
    }
    assert_eq!(bus.pid("b"), b);
    is_unknown(&mut bus, "nobody");
    // Stopped means stopped, whatever happens to others.
    bus.ask("service.a.stop");
    bus.is("a", "stopped");
    kill(machine.outside(b).unwrap(), libc::SIGKILL);
    until("another b", || bus.status("b")["pid"].as_u64().filter(|pid| *pid != b));
    assert_eq!(bus.state("a"), "stopped");
    let list = bus.ask("service.list");
    let names: Vec<_> =
        list.as_array().unwrap().iter().filter_map(|service| service["name"].as_str()).collect();
    assert_eq!(names.iter().filter(|name| ["a", "b", "natsd"].contains(name)).count(), 3, "{list}");
}

#[test]
fn a_signal_reloads_a_service_without_a_restart() {
    if skipped("a_signal_reloads_a_service_without_a_restart") {
        return;
    }
    let script =
        "trap 'echo usr1 >> /shared/heard' USR1\necho up >> /shared/heard\nwhile :; do sleep 0.05; done";
    let machine = Setup::new("signal")
        .script("hears.sh", script)
        .service("hears", "command = [\"/shared/hears.sh\"]\nreload = { signal = \"USR1\" }\n")
        .service(
            "runs",
            "command = [\"sleep\", \"1000\"]\nreload = { command = [\"touch\", \"/shared/reloaded\"] }\n",
        )
        .boot();
    let mut bus = machine.bus();
    until("its start", || machine.read("heard").contains("up").then_some(()));
    let pid = bus.pid("hears");
    bus.ask("service.hears.reload");
    until("the signal", || machine.read("heard").contains("usr1").then_some(()));
    assert_eq!(bus.pid("hears"), pid);
    bus.ask("service.runs.reload");
    until("the command", || machine.folder.join("reloaded").exists().then_some(()));
    until("rest", || machine.zombies().is_empty().then_some(()));
}

#[test]
fn a_reload_touches_only_what_differs() {
    if skipped("a_reload_touches_only_what_differs") {
        return;
    }
    let machine = Setup::new("reload")
        .service("same", SLEEP)
        .service("changes", "command = [\"sleep\", \"2001\"]\n")
        .service("goes", "command = [\"sleep\", \"2002\"]\n")
        .service("needs", "command = [\"sleep\", \"2003\"]\nneeds = [\"same\"]\n")
        .boot();
    let mut bus = machine.bus();
    for name in ["same", "changes", "goes", "needs"] {
        bus.is(name, "ready");
    }
    let (same, needs, changes) = (bus.pid("same"), bus.pid("needs"), bus.pid("changes"));
    // Nothing has changed: nothing happens.
    bus.drain();
    let plan = bus.ask("service.reload");
    for key in ["added", "removed", "changed"] {
        assert_eq!(plan[key].as_array().map(Vec::len), Some(0), "{plan}");
    }
    assert_eq!((bus.pid("same"), bus.pid("changes")), (same, changes));

    machine.service("changes", "command = [\"sleep\", \"2011\"]\n");
    machine.service("comes", "command = [\"sleep\", \"2004\"]\n");
    machine.remove("goes");
    let wish = bus.ask_with("service.reload", r#"{"dry_run":true}"#);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(bus.pid("changes"), changes, "a plan is only a plan");
    let plan = bus.ask("service.reload");
    for plan in [&wish, &plan] {
        assert!(plan["added"].to_string().contains("comes"), "{plan}");
        assert!(plan["removed"].to_string().contains("goes"), "{plan}");
        assert!(plan["changed"].to_string().contains("changes"), "{plan}");
        assert!(!plan.to_string().contains("same"), "{plan}");
    }
    bus.is("comes", "ready");
    until("the new arguments", || (machine.processes("sleep 2011").len() == 1).then_some(()));
    until("the end of the old", || machine.processes("sleep 2001").is_empty().then_some(()));
    until("the end of what is gone", || machine.processes("sleep 2002").is_empty().then_some(()));
    assert_eq!((bus.pid("same"), bus.pid("needs")), (same, needs));
    is_unknown(&mut bus, "goes");

    // A file that is broken keeps what runs, and says so.
    machine.service("same", "command = \n");
    let plan = bus.ask("service.reload");
    assert!(plan["mistakes"][0].as_str().is_some_and(|line| line.contains("same.toml:1:")), "{plan}");
    machine.line("same.toml:1");
    assert_eq!(bus.pid("same"), same);
    machine.service("same", SLEEP);

    // What is needed can change while it runs.
    machine.service("needs", "command = [\"sleep\", \"2003\"]\nneeds = [\"same\", \"comes\"]\n");
    bus.ask("service.reload");
    bus.is("needs", "ready");
    bus.ask("service.comes.stop");
    bus.is("needs", "stopped");
    machine.service("needs", "command = [\"sleep\", \"2003\"]\n");
    bus.ask("service.reload");
    bus.ask("service.needs.start");
    bus.is("needs", "ready");
    assert_eq!(bus.state("comes"), "stopped");
}

#[test]
fn what_is_not_enabled_waits_for_somebody() {
    if skipped("what_is_not_enabled_waits_for_somebody") {
        return;
    }
    let machine =
        Setup::new("enable").service("a", &format!("{SLEEP}enabled = false\n")).service("b", SLEEP).boot();
    let mut bus = machine.bus();
    bus.is("b", "ready");
    assert_eq!(bus.state("a"), "stopped");
    machine.service("a", &format!("{SLEEP}enabled = true\n"));
    bus.ask("service.reload");
    bus.is("a", "ready");
}

#[test]
fn sockets_timers_devices_and_messages_start_services() {
    if skipped("sockets_timers_devices_and_messages_start_services") {
        return;
    }
    let machine = Setup::new("activation")
        .script("socket.sh", "env > /shared/socket.env\nexec sleep 1000")
        .script("timer.sh", "echo tick >> /shared/ticks")
        .script("device.sh", "printf '%s' \"$LUNIX_DEVICE\" > /shared/device; exec sleep 1000")
        .script("message.sh", "cat > /shared/message; exec sleep 1000")
        .service("socket", "command = [\"/shared/socket.sh\"]\nactivation = { sockets = [\"unix:/shared/wake.sock\"] }\n")
        .service("timer", "type = \"oneshot\"\ncommand = [\"/shared/timer.sh\"]\nactivation = { timer = { first = \"200ms\", every = \"300ms\" } }\n")
        .service(
            "device",
            "command = [\"/shared/device.sh\"]\nactivation = { device = { class = \"usb\", matches = { vendor = \"1234\" } } }\n",
        )
        .service("message", "command = [\"/shared/message.sh\"]\nactivation = { subject = \"wake.*\" }\n")
        .boot();
    let mut bus = machine.bus();
    for name in ["socket", "device", "message"] {
        bus.is(name, "waiting");
    }
    until("three ticks", || (machine.read("ticks").lines().count() >= 3).then_some(()));
    // Only what matches.
    bus.publish("hardware.usb.add", r#"{"devpath":"/devices/x","vendor":"9999","product":"1"}"#);
    bus.publish("hardware.block.add", r#"{"devpath":"/devices/y","vendor":"1234"}"#);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(bus.state("device"), "waiting");
    bus.publish("hardware.usb.add", r#"{"devpath":"/devices/z","vendor":"1234","product":"1"}"#);
    bus.is("device", "ready");
    until("the device", || machine.read("device").contains("/devices/z").then_some(()));
    bus.publish("wake.up", "good morning");
    bus.is("message", "ready");
    until("the payload", || (machine.read("message") == "good morning").then_some(()));
    let _visitor = std::os::unix::net::UnixStream::connect(machine.folder.join("wake.sock")).unwrap();
    bus.is("socket", "ready");
    for expected in ["LISTEN_FDS=1", "LISTEN_PID="] {
        until(expected, || machine.read("socket.env").contains(expected).then_some(()));
    }
    // Stopped, it is not woken; started, it waits again.
    bus.ask("service.message.stop");
    bus.is("message", "stopped");
    bus.publish("wake.up", "no");
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(bus.state("message"), "stopped");
    bus.ask("service.message.start");
    bus.is("message", "waiting");
}

#[test]
fn a_reexecution_and_a_fault_leave_services_alone() {
    if skipped("a_reexecution_and_a_fault_leave_services_alone") {
        return;
    }
    let mut machine = Setup::new("reexec")
        .script("talks.sh", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done")
        .service("talks", "command = [\"/shared/talks.sh\"]\n")
        .service("a", SLEEP)
        .service("off", SLEEP)
        .service(
            "socket",
            "command = [\"sleep\", \"3000\"]\nactivation = { sockets = [\"unix:/shared/wake.sock\"] }\n",
        )
        .boot();
    let mut bus = machine.bus();
    for name in ["talks", "a", "off"] {
        bus.is(name, "ready");
    }
    bus.ask("service.off.stop");
    bus.is("off", "stopped");
    let before = [bus.pid("talks"), bus.pid("a"), bus.pid("natsd")];
    let image = |machine: &init_rig::Machine| {
        let stat = fs::read_to_string(format!("/proc/{}/maps", machine.init)).unwrap_or_default();
        // Where it begins; it grows towards the other end.
        let line = stat.lines().find(|line| line.ends_with("[stack]"))?;
        Some(line.split_once('-')?.1.split_once(' ')?.0.to_owned())
    };
    for round in 0..4 {
        let stack = image(&machine);
        if round < 3 {
            assert_eq!(bus.ask("system.reexec")["accepted"], true);
        } else {
            // The kernel asks nobody; whoever debugs can.
            machine.signal(libc::SIGSEGV);
        }
        until("another image", || (image(&machine) != stack).then_some(()));
        until("answer", || {
            bus.try_ask("service.a.status", "", Duration::from_millis(500))
                .filter(|answer| answer.contains("ready"))
        });
        assert_eq!([bus.pid("talks"), bus.pid("a"), bus.pid("natsd")], before, "{round}");
        assert_eq!(bus.state("off"), "stopped", "{round}");
        assert_eq!(bus.state("socket"), "waiting", "{round}");
        // Output goes on.
        bus.drain();
        bus.find(PATIENCE, |subject, _| subject == "service.talks.log").expect("lines after it");
        assert!(machine.is_alive());
    }
    // And it watches those that it found.
    kill(machine.outside(before[1]).unwrap(), libc::SIGKILL);
    bus.find(PATIENCE, |subject, status| subject == "service.a.ready" && status["pid"] != before[1]).unwrap();
    let _visitor = std::os::unix::net::UnixStream::connect(machine.folder.join("wake.sock")).unwrap();
    bus.is("socket", "ready");
    until("burial", || machine.zombies().is_empty().then_some(()));
}

#[test]
fn the_end_is_orderly_and_always_comes() {
    if skipped("the_end_is_orderly_and_always_comes") {
        return;
    }
    for (subject, signal) in [("system.shutdown", libc::SIGINT), ("system.reboot", libc::SIGHUP)] {
        let stops = |name: &str| {
            format!("trap 'echo {name} >> /shared/log; exit' TERM\necho >&3\nwhile :; do sleep 0.02; done")
        };
        let mut machine = Setup::new("end")
            .script("below.sh", &stops("below"))
            .script("above.sh", &stops("above"))
            .script("deaf.sh", "trap '' TERM HUP INT\nsetsid sleep 7777 &\nwhile :; do sleep 0.05; done")
            // Ready once they have their traps.
            .service("below", "command = [\"/shared/below.sh\"]\nready = { fd = 3 }\n")
            .service("above", "command = [\"/shared/above.sh\"]\nneeds = [\"below\"]\nready = { fd = 3 }\n")
            .service("deaf", "command = [\"/shared/deaf.sh\"]\nstop = { signals = [\"TERM 300ms\"], kill_timeout = \"1s\" }\n")
            .boot();
        let mut bus = machine.bus();
        for name in ["below", "above", "deaf"] {
            bus.is(name, "ready");
        }
        until("what is left behind", || (!machine.processes("7777").is_empty()).then_some(()));
        let start = Instant::now();
        assert_eq!(bus.ask(subject)["accepted"], true);
        for name in ["above", "below", "deaf"] {
            bus.event(&format!("service.{name}.stopped"));
        }
        assert_eq!(machine.read("log"), "above\nbelow\n");
        drop(bus);
        let init = machine.init;
        let status = until("the end", || machine.ended());
        println!("{subject}: {status:?} after {:?}", start.elapsed());
        // The kernel tells whoever made the namespace how the machine in it ended.
        assert_eq!(status.signal().or(status.code().map(|code| code - 128)), Some(signal), "{status:?}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
    }
}

#[test]
fn idle_means_idle() {
    if skipped("idle_means_idle") {
        return;
    }
    // Other tests press upon this machine, and it is told so.
    let machine = Setup::new("idle")
        .before("[ ! -e proc/pressure ] || mount -t tmpfs none proc/pressure")
        .service("a", SLEEP)
        .service("b", SLEEP)
        .boot();
    let mut bus = machine.bus();
    bus.is("a", "ready");
    drop(bus);
    until("rest", || {
        let before = machine.switches();
        std::thread::sleep(Duration::from_millis(500));
        (machine.switches() == before).then_some(())
    });
    let before = machine.switches();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(machine.switches() - before, 0);
}

/// Each supervisor answers for its own services only, so there is no answer, or that there is none.
fn is_unknown(bus: &mut init_rig::Bus, name: &str) {
    let answer = bus.try_ask(&format!("service.{name}.status"), "", Duration::from_millis(300));
    assert!(answer.as_ref().is_none_or(|answer| answer.contains("error")), "{answer:?}");
}

#[test]
fn every_refusal_says_whose_fault_it_is() {
    if skipped("every_refusal_says_whose_fault_it_is") {
        return;
    }
    let machine = Setup::new("refused")
        .service("off", "command = [\"sleep\", \"1000\"]\nenabled = false\n")
        .service("on", "command = [\"sleep\", \"1000\"]\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("on", "ready");
    for (subject, payload, code, why) in [
        ("service.none.status", "", 404, "there is no such service"),
        ("service.none.stop", "", 404, "there is no such service"),
        ("service.off.usage", "", 409, "it does not run"),
        ("service.off.freeze", "", 409, "it does not run"),
        ("service.on.reload", "", 409, "no signal makes it reload"),
        ("service.reload", "[]", 400, "expected nothing or one JSON object"),
        ("service.reload", r#"{"dry_run":1}"#, 400, "dry_run: expected true or false"),
        ("system.reboot", "1", 400, "expected nothing or one JSON object"),
        ("system.halt", r#"{"reason":1}"#, 400, "reason: expected text"),
    ] {
        assert_eq!(bus.refused(subject, payload), (code, why.to_owned()), "{subject}");
    }
}

#[test]
fn a_session_at_the_machines_server_answers_for_what_it_has() {
    if skipped("a_session_at_the_machines_server_answers_for_what_it_has") {
        return;
    }
    let session = r#"
command = ["natsinit", "--session", "--nats", "unix:///shared/natsd.sock", "web=sleep 4444"]
needs = ["natsd"]
"#;
    let machine = Setup::new("sessions").service("session", session).boot();
    let mut bus = machine.bus();
    until("the session", || (bus.ask("service.web.here")["state"] == "ready").then_some(()));
    // Whoever is faster: what has the service wins.
    for _ in 0..200 {
        assert_eq!(bus.state("web"), "ready");
        assert_eq!(bus.state("natsd"), "ready");
        assert_eq!(bus.refused("service.none.status", "").0, 404);
    }
    bus.ask("service.web.stop");
    bus.is("web", "stopped");
    // Nobody has it any more.
    bus.ask("service.session.stop");
    bus.is("session", "stopped");
    until("the end of the session", || {
        (bus.status("web")["error"] == "there is no such service").then_some(())
    });
}

/// The number of a process that is being made, in the table that outlives natsinit (`resume.rs`).
const NEWBORN: u64 = 32;

#[test]
fn a_fault_while_a_service_is_made_leaves_it_running_once() {
    if skipped("a_fault_while_a_service_is_made_leaves_it_running_once") {
        return;
    }
    let machine = Setup::new("newborn")
        .script("leave.sh", "setsid sleep 6666 & exec sleep 1000")
        .service("a", "command = [\"/shared/leave.sh\"]\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("a", "ready");
    until("what will be left", || (machine.processes("sleep 6666").len() == 1).then_some(()));
    bus.drain();
    bus.ask("service.a.restart");
    bus.event("service.a.stopping");
    bus.event("service.a.ready");
    let pid = bus.pid("a");
    until("the new one's", || (machine.processes("sleep 6666").len() == 2).then_some(()));
    // A child of natsinit that is no service's, as one is that was made when the fault came.
    let newborn = machine.own("sleep 6666")[0];
    let number = u32::try_from(inside(newborn).unwrap()).unwrap();
    let table = fs::OpenOptions::new().write(true).open(machine.file("/memfd:natsinit (deleted)")).unwrap();
    table.write_all_at(&number.to_le_bytes(), NEWBORN).unwrap();
    machine.signal(libc::SIGSEGV);
    until("its end", || (!machine.processes("sleep 6666").contains(&newborn)).then_some(()));
    until("natsinit again", || (bus.status("a")["pid"].as_u64() == Some(pid)).then_some(()));
    assert_eq!(machine.processes("sleep 6666").len(), 1);
    until("burial", || machine.zombies().is_empty().then_some(()));
}
