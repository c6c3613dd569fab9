//! natsinit as process 1: how services say that they are ready, and what waits for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::fs;
use std::time::Duration;

use init_rig::{Setup, kill, skipped, until};

/// Says `$1` to the supervisor as sd_notify(3) does, when `/shared/$2` is there, and then sleeps.
const NOTIFY: &str = r#"exec python3 -c '
import os, socket, sys, time
place = os.environ["NOTIFY_SOCKET"]
place = "\0" + place[1:] if place[0] == "@" else place
while not os.path.exists("/shared/" + sys.argv[2]): time.sleep(0.01)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), place)
time.sleep(1000)' "$@""#;

fn python() -> bool {
    fs::exists("/usr/bin/python3").unwrap_or_default()
}

#[test]
fn each_way_to_say_it_counts_and_nothing_before() {
    if skipped("each_way_to_say_it_counts_and_nothing_before") {
        return;
    }
    if !python() {
        eprintln!("SKIPPED each_way_to_say_it_counts_and_nothing_before: no python3");
        return;
    }
    let wait = "while [ ! -e /shared/go ]; do sleep 0.01; done";
    let machine = Setup::new("ready")
        .script("fd.sh", &format!("{wait}\necho >&7\nexec sleep 1000"))
        .script("notify.sh", NOTIFY)
        .script("publish.sh", &format!("{wait}\n/srv/lunix pub up.and.running\nexec sleep 1000"))
        .script("listen.sh", &format!("{wait}\nexec /srv/lunix natsd -a 127.0.0.1 -p 4333"))
        .service("fd", "command = [\"/shared/fd.sh\"]\nready = { fd = 7, timeout = \"none\" }\n")
        .service("notify", "command = [\"/shared/notify.sh\", \"STATUS=well\\nREADY=1\", \"go\"]\nready = { by = \"sd_notify\", timeout = \"none\" }\n")
        .service("publish", "command = [\"/shared/publish.sh\"]\nneeds = [\"natsd\"]\nready = { subject = \"up.and.running\", timeout = \"none\" }\n")
        .service("listen", "command = [\"/shared/listen.sh\"]\nready = { address = \"tcp:127.0.0.1:4333\", timeout = \"none\" }\n")
        .service("after-all", "command = [\"sleep\", \"1000\"]\nneeds = [\"fd\", \"notify\", \"publish\", \"listen\"]\n")
        .boot();
    let mut bus = machine.bus();
    let ways = ["fd", "notify", "publish", "listen"];
    for way in ways {
        bus.is(way, "starting");
    }
    std::thread::sleep(Duration::from_millis(300));
    for way in ways {
        assert_eq!(bus.state(way), "starting", "{way}");
    }
    assert!(machine.processes("sleep 1000").is_empty());
    fs::write(machine.folder.join("go"), "").unwrap();
    for way in ways {
        bus.is(way, "ready");
    }
    bus.is("after-all", "ready");

    // And again, after each of what can happen to it.
    for way in ways {
        let pid = bus.pid(way);
        bus.drain();
        kill(machine.outside(pid).unwrap(), libc::SIGKILL);
        bus.event(&format!("service.{way}.ready"));
        bus.is("after-all", "ready");
        bus.drain();
        bus.ask(&format!("service.{way}.restart"));
        bus.event(&format!("service.{way}.ready"));
        bus.is("after-all", "ready");
    }
}

#[test]
fn who_never_says_it_is_stopped_in_time_and_who_cannot_start_is_said() {
    if skipped("who_never_says_it_is_stopped_in_time_and_who_cannot_start_is_said") {
        return;
    }
    let machine = Setup::new("late")
        .script("gone.sh", "exec sleep 1000")
        .service("late", "command = [\"sleep\", \"5555\"]\nready = { fd = 5, timeout = \"200ms\" }\nrestart = { limit = 1, base = \"1ms\" }\n")
        .service("gone", "command = [\"/shared/gone.sh\"]\nenabled = false\nrestart = { limit = 1, base = \"1ms\" }\n")
        .service("needy", "command = [\"sleep\", \"1001\"]\nneeds = [\"late\"]\n")
        .service("wishful", "command = [\"sleep\", \"1002\"]\nwants = [\"late\"]\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("late", "failed");
    assert!(machine.processes("sleep 5555").is_empty());
    // Who needs it does not start; who only wants it does.
    bus.is("wishful", "ready");
    assert!(machine.processes("sleep 1001").is_empty(), "{}", bus.status("needy"));
    // There when the file was read, not there when it is to be executed.
    fs::remove_file(machine.folder.join("gone.sh")).unwrap();
    bus.ask("service.gone.start");
    let failed = bus.is("gone", "failed");
    assert_eq!(failed["errno"], libc::ENOENT, "{failed}");
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_its_service() {
    if skipped("a_watchdog_that_is_not_fed_restarts_its_service") {
        return;
    }
    if !python() {
        eprintln!("SKIPPED a_watchdog_that_is_not_fed_restarts_its_service: no python3");
        return;
    }
    let feeder = r#"exec python3 -c '
import os, socket, time
place = os.environ["NOTIFY_SOCKET"]
place = "\0" + place[1:] if place[0] == "@" else place
say = lambda text: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text, place)
say(b"READY=1")
while not os.path.exists("/shared/hang"):
    say(b"WATCHDOG=1")
    time.sleep(0.1)
time.sleep(1000)'"#;
    let machine = Setup::new("watchdog")
        .script("feeder.sh", feeder)
        .service(
            "fed",
            "command = [\"/shared/feeder.sh\"]\nready = { by = \"sd_notify\" }\nwatchdog = \"3s\"\nstop = { signals = [\"TERM 1s\"] }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("fed", "ready");
    // Longer than the watchdog's patience, which is long enough for a machine that does much else.
    std::thread::sleep(Duration::from_secs(4));
    let before = bus.status("fed");
    assert_eq!((before["state"].as_str(), before["restarts"].as_u64()), (Some("ready"), Some(0)), "{before}");
    fs::write(machine.folder.join("hang"), "").unwrap();
    until("restart", || (bus.status("fed")["restarts"].as_u64() >= Some(1)).then_some(()));
}

#[test]
fn everything_wanted_is_ready_and_said_to_be_healthy() {
    if skipped("everything_wanted_is_ready_and_said_to_be_healthy") {
        return;
    }
    let machine = Setup::new("healthy")
        .script(
            "slow.sh",
            "while [ ! -e /shared/go ]; do sleep 0.01; done\nsleep 1\necho >&3\nexec sleep 1000",
        )
        .service(
            "slow",
            "command = [\"/shared/slow.sh\"]\nready = { fd = 3, timeout = \"none\" }\nneeds = [\"natsd\"]\n",
        )
        .boot();
    let mut bus = machine.bus();
    // Not before somebody hears of it.
    fs::write(machine.folder.join("go"), "").unwrap();
    bus.event("system.healthy");
    assert_eq!(bus.state("slow"), "ready");
    // Boot is explained.
    let boot = bus.ask("service.boot");
    let slow = boot["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["name"] == "slow")
        .unwrap()
        .clone();
    let at = |key: &str| slow[key].as_u64().unwrap_or_else(|| panic!("{key} in {slow}"));
    assert!(at("wanted_us") <= at("spawned_us") && at("ready_us") - at("spawned_us") >= 900_000, "{slow}");
}

#[test]
fn who_was_ready_and_is_not_any_more_is_not_healthy() {
    if skipped("who_was_ready_and_is_not_any_more_is_not_healthy") {
        return;
    }
    let machine = Setup::new("unwell")
        .script("slow.sh", "while [ ! -e /shared/go ]; do sleep 0.01; done\necho >&3\nexec sleep 1000")
        .script("done.sh", "echo >&3\nexit 0")
        .service("slow", "command = [\"/shared/slow.sh\"]\nready = { fd = 3, timeout = \"none\" }\n")
        .service("other", "command = [\"sleep\", \"1000\"]\n")
        // Its work is done.
        .service(
            "done",
            "command = [\"/shared/done.sh\"]\nready = { fd = 3 }\nrestart = { when = \"on-failure\" }\n",
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("done", "stopped");
    bus.is("other", "ready");
    bus.ask("service.other.stop");
    bus.is("other", "stopped");
    fs::write(machine.folder.join("go"), "").unwrap();
    bus.is("slow", "ready");
    assert!(bus.ask("service.boot").get("healthy_us").is_none());
    bus.ask("service.other.start");
    bus.event("system.healthy");
    assert!(bus.ask("service.boot").get("healthy_us").is_some());
}

/// Makes a child. Both do what their words say, the parent those before the `/` and the child those behind it, and sleep then.
/// What is nothing to be done is said as sd_notify(3) does, a datagram a word, with `;` between its lines.
const FORKS: &str = r#"exec python3 -c '
import os, socket, sys, time
place = os.environ["NOTIFY_SOCKET"]
say = lambda text: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), place)
mine, its = sys.argv[1].split("/")
pipe = os.pipe()
child = os.fork()
words = (mine if child else its).split()
names = {"child": child or os.getpid(), "server": os.environ.get("SERVER")}
for word in words:
    if word == "leave": os._exit(0)
    elif word == "setsid": os.setsid()
    elif word == "tell": os.write(pipe[1], b"x")
    elif word == "told": os.read(pipe[0], 1)
    elif word == "go":
        while not os.path.exists("/shared/go"): time.sleep(0.01)
    else: say("\n".join(part.format(**names) for part in word.split(";")))
time.sleep(1000)' "$@""#;

/// A service of [`FORKS`].
fn forks(words: &str) -> String {
    format!("command = [\"/shared/forks.sh\", \"{words}\"]\nready = {{ by = \"sd_notify\" }}\n")
}

#[test]
fn a_service_is_followed_to_the_process_that_it_names() {
    if skipped("a_service_is_followed_to_the_process_that_it_names") {
        return;
    }
    if !python() {
        eprintln!("SKIPPED a_service_is_followed_to_the_process_that_it_names: no python3");
        return;
    }
    // Who names it, when, and whether it leaves: none of it matters.
    let ways = [
        ("said-first", "MAINPID={child} leave/setsid READY=1"),
        ("said-last", "told leave/setsid READY=1;MAINPID={child} tell"),
        ("same-group", "READY=1;MAINPID={child} leave/"),
    ];
    let mut setup = Setup::new("follow").script("forks.sh", FORKS);
    for (name, words) in ways {
        setup = setup.service(name, &forks(words));
    }
    let machine = setup.boot();
    let mut bus = machine.bus();
    for (name, _) in ways {
        bus.is(name, "ready");
        // What was made ends, and takes nobody along.
        let left = until("one process of each", || {
            let all = machine.processes("MAINPID={child}");
            (all.len() == ways.len()).then_some(all)
        });
        // Whether it is named before it is ready or after that is for the kernel's scheduler to say.
        until("it", || {
            let process = machine.outside(bus.pid(name))?;
            left.contains(&process).then_some(())
        });
        assert_eq!(bus.status(name)["restarts"].as_u64(), Some(0), "{name}");
    }
    // Also by the one after us.
    let pids = ways.map(|(name, _)| bus.pid(name));
    bus.ask("system.reexec");
    for ((name, _), pid) in ways.into_iter().zip(pids) {
        until("natsinit again", || (bus.status(name)["pid"].as_u64() == Some(pid)).then_some(()));
        bus.drain();
        kill(machine.outside(pid).unwrap(), libc::SIGKILL);
        let lapsed = bus.event(&format!("service.{name}.backoff"));
        assert_eq!(lapsed["signal"].as_u64(), Some(9), "{lapsed}");
        assert_ne!(bus.is(name, "ready")["pid"].as_u64(), Some(pid));
    }
    bus.ask("service.same-group.stop");
    bus.is("same-group", "stopped");
    until("two are left", || (machine.processes("MAINPID={child}").len() == 2).then_some(()));
    until("burial", || machine.zombies().is_empty().then_some(()));
}

#[test]
fn a_process_that_is_followed_ends_the_service_with_all_that_is_left() {
    let name = "a_process_that_is_followed_ends_the_service_with_all_that_is_left";
    if skipped(name) {
        return;
    }
    if !python() {
        eprintln!("SKIPPED {name}: no python3");
        return;
    }
    let machine = Setup::new("followed")
        .script("forks.sh", FORKS)
        // The parent stays, and never asks how its child has ended.
        .service(
            "kept",
            &format!(
                "{}restart = {{ when = \"never\" }}\n",
                forks("MAINPID={child}/setsid READY=1 go leave")
            ),
        )
        .boot();
    let mut bus = machine.bus();
    bus.is("kept", "ready");
    until("both", || (machine.processes("MAINPID={child}").len() == 2).then_some(()));
    fs::write(machine.folder.join("go"), "").unwrap();
    bus.is("kept", "failed");
    until("nothing of it is left", || machine.processes("MAINPID={child}").is_empty().then_some(()));

    // Nobody is followed who is another's.
    let server = bus.pid("natsd");
    let words = "READY=1;MAINPID={server} MAINPID=1 MAINPID=4000000/";
    machine.service("thief", &format!("{}environment = {{ SERVER = {server} }}\n", forks(words)));
    bus.ask("service.reload");
    let pid = bus.is("thief", "ready")["pid"].as_u64();
    let line = machine.line("is not followed");
    assert!(
        line.contains(&format!("MAINPID={server} is not followed: it is none of the service's")),
        "{line}"
    );
    assert_eq!(bus.status("thief")["pid"].as_u64(), pid);
    bus.ask("service.thief.stop");
    bus.is("thief", "stopped");
    assert_eq!(bus.pid("natsd"), server);
}
