//! natsinit as the first process of namespaces of its own, as finit's tests do it: no root is needed, nothing of the machine
//! is touched. Every test has a `/run` and an `/etc/lunix` of its own, and asks the bus.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod free_port;
mod pid1_rig;
mod supervised;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use free_port::free_port;
use pid1_rig::{Killed, Machine, server, sleeper};
use supervised::{inside, kill, switches, until};

#[test]
fn services_start_restart_and_stop_with_the_machine() {
    let Some(folder) = Machine::folder("life") else { return };
    // No back-off stands before the first one: this one is longer than anybody waits here.
    Machine::service(&folder, "a", &format!("{}restart = {{ base = \"30s\" }}\n", sleeper(91001)));
    Machine::service(&folder, "b", &format!("{}needs = [\"a\"]\n", sleeper(91002)));
    let mut machine = Machine::start(&folder, &[]);
    machine.one("91002");
    let old = machine.one("91001");
    let start = Instant::now();
    kill(old, libc::SIGKILL);
    until("new process", || machine.processes("91001").into_iter().find(|pid| *pid != old));
    println!("back after {:?}", start.elapsed());
    machine.signal(libc::SIGTERM);
    let status = machine.end();
    assert!(status.success(), "{status}: {}", machine.log());
}

#[test]
fn what_the_kernel_hands_on_stops_nothing() {
    let Some(folder) = Machine::folder("words") else { return };
    Machine::service(&folder, "a", &sleeper(91011));
    let machine = Machine::start(&folder, &["auto", "splash", "--nonsense", "-z", "web=sleep 91012"]);
    machine.one("91011");
    machine.one("91012");
}

#[test]
fn a_broken_file_is_named_and_the_others_run() {
    let Some(folder) = Machine::folder("broken") else { return };
    Machine::service(&folder, "good", &sleeper(91021));
    Machine::service(&folder, "bad", "command = [\"sleep\", \"1\"]\ncolour = \"red\"\n");
    Machine::service(&folder, "needy", &format!("{}needs = [\"bad\"]\n", sleeper(91022)));
    let machine = Machine::start(&folder, &[]);
    machine.one("91021");
    machine.says("bad.toml:2:");
    machine.says("colour");
    machine.says("needy: is left out");
    assert!(machine.processes("91022").is_empty());
}

#[test]
fn a_fault_is_survived_and_every_service_keeps_its_process() {
    let Some(folder) = Machine::folder("fault") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    for (name, number) in [("a", 91031), ("b", 91032), ("c", 91033)] {
        Machine::service(&folder, name, &sleeper(number));
    }
    let mut client = supervised::Client::connect(&address);
    let mut machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    let first = machine.pid();
    let before: Vec<u32> = [91031, 91032, 91033].map(|number: u32| machine.one(&number.to_string())).to_vec();
    until("list", || client.try_request("service.list").filter(|list| list.matches("ready").count() == 3));
    machine.signal(libc::SIGSEGV);
    machine.says("goes on after a fault (signal 11)");
    until("list again", || {
        client.try_request("service.list").filter(|list| list.matches("ready").count() == 3)
    });
    assert_eq!(machine.pid(), first);
    let after: Vec<u32> = [91031, 91032, 91033].map(|number: u32| machine.one(&number.to_string())).to_vec();
    assert_eq!(before, after);
    let list = client.request("service.list");
    for pid in &before {
        assert!(list.contains(&format!("\"pid\":{},", inside(*pid).unwrap())), "{list}");
    }
    // They are its own again: one that dies is back, and the bus hears of it.
    kill(before[1], libc::SIGKILL);
    assert!(client.event("service.b.backoff").contains("\"signal\":9"));
    client.event("service.b.starting");
    client.event("service.b.ready");
    machine.signal(libc::SIGTERM);
    machine.end();
}

#[test]
fn faults_that_do_not_end_give_a_shell_and_no_panic() {
    let Some(folder) = Machine::folder("faults") else { return };
    Machine::service(&folder, "a", &sleeper(91041));
    let machine = Machine::start(&folder, &[]);
    let service = machine.one("91041");
    // Of a process that is just being made nothing is kept.
    machine.sleeps();
    machine.signal(libc::SIGSEGV);
    machine.says("goes on after a fault (signal 11)");
    machine.sleeps();
    machine.signal(libc::SIGBUS);
    machine.says("faults too often: a shell");
    // The shell has read the end of its input and has ended by itself: it goes on with what there was.
    until("going on", || (machine.log().matches("goes on after a fault").count() == 2).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(machine.one("91041"), service);
    kill(service, libc::SIGKILL);
    until("new process", || machine.processes("91041").into_iter().find(|pid| *pid != service));
}

#[test]
fn renewal_keeps_every_process_and_loses_no_event() {
    let Some(folder) = Machine::folder("renewal") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    for (number, name) in (91100..).zip(&names) {
        Machine::service(&folder, name, &sleeper(number));
    }
    let mut client = supervised::Client::connect(&address);
    let machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    until("all", || {
        client.try_request("service.list").filter(|list| list.matches("\"ready\"").count() == 20)
    });
    let mut killed = 0;
    let mut client = client.again();
    for round in 0..8_u32 {
        machine.signal(libc::SIGQUIT);
        // In the middle of it, services die.
        for number in [91100 + round % 5, 91105 + round % 5] {
            if let Some(pid) = machine.processes(&number.to_string()).first() {
                kill(*pid, libc::SIGKILL);
                killed += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    // Every end is told, and every start, however long that takes; then nothing more.
    let mut told = std::collections::BTreeMap::<String, usize>::new();
    let mut asked = false;
    loop {
        let (subject, payload) = client.message();
        if payload.contains("\"end\"") {
            break;
        }
        *told.entry(subject.rsplit('.').next().unwrap().to_owned()).or_default() += 1;
        let all = |state: &str| told.get(state).is_some_and(|told| *told >= killed);
        if !asked && ["backoff", "starting", "ready"].into_iter().all(all) {
            client.publish("service.x.stopped", "{\"end\":true}");
            asked = true;
        }
    }
    println!("{killed} killed during 8 renewals: {told:?}");
    assert_eq!(told["backoff"], killed, "an end was not told");
    assert_eq!(told["starting"], killed);
    let list = client.request("service.list");
    assert_eq!(list.matches("\"ready\"").count(), 20, "{list}");
    until("twenty processes", || (machine.processes("sleep\x00911").len() == 20).then_some(()));
}

#[test]
fn a_service_that_is_not_there_is_refused() {
    let Some(folder) = Machine::folder("nobody") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    Machine::service(&folder, "known", &sleeper(91041));
    let mut client = supervised::Client::connect(&address);
    let _machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    until("known", || client.try_request("service.list").filter(|list| list.contains("\"ready\"")));
    let lunix = |words: &[&str]| {
        let url = format!("nats://{address}");
        Command::new(env!("CARGO_BIN_EXE_lunix")).args(words).args(["--nats", &url]).output().unwrap()
    };
    for verb in ["status", "start", "stop", "restart", "reload", "usage", "tail", "freeze", "thaw"] {
        let subject = format!("service.nobody.{verb}");
        assert_eq!(client.request(&subject), r#"{"error":"there is no such service"}"#, "{verb}");
    }
    let answer = lunix(&["req", "--headers", "service.nobody.start", ""]);
    let answer = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.contains("Nats-Service-Error-Code: 404"), "{answer}");
    assert!(answer.contains("Nats-Service-Error: there is no such service"), "{answer}");
    assert!(client.request("service.known.status").contains("\"ready\""));
    let start = lunix(&["services", "start", "nobody"]);
    assert_eq!(start.status.code(), Some(1));
    let said = String::from_utf8_lossy(&start.stderr);
    assert!(said.contains("nobody: there is no such service"), "{said}");
}

#[test]
fn an_idle_machine_makes_no_system_call() {
    let Some(folder) = Machine::folder("idle") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    Machine::service(&folder, "a", &sleeper(91061));
    let machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    machine.one("91061");
    let mut client = supervised::Client::connect(&address);
    until("list", || client.try_request("service.list"));
    drop(client);
    until("rest", || {
        let before = switches(machine.pid());
        std::thread::sleep(Duration::from_millis(700));
        (before == switches(machine.pid())).then_some(())
    });
    let before = switches(machine.pid());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(switches(machine.pid()) - before, 0);
}

#[test]
fn the_plan_of_a_reload_is_said_and_only_what_changed_restarts() {
    let Some(folder) = Machine::folder("reload") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    Machine::service(&folder, "stays", &sleeper(91071));
    Machine::service(&folder, "changes", &sleeper(91072));
    Machine::service(&folder, "goes", &sleeper(91073));
    let mut client = supervised::Client::connect(&address);
    let machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    until("all", || client.try_request("service.list").filter(|list| list.matches("\"ready\"").count() == 3));
    let (stays, changes) = (machine.one("91071"), machine.one("91072"));
    Machine::service(&folder, "changes", &sleeper(91074));
    Machine::service(&folder, "comes", &sleeper(91075));
    fs::remove_file(folder.join("services/goes.toml")).unwrap();
    machine.signal(libc::SIGHUP);
    machine.one("91074");
    machine.one("91075");
    until("the end of what goes", || machine.processes("91073").is_empty().then_some(()));
    until("the end of what changed", || machine.processes("91072").is_empty().then_some(()));
    assert_eq!(machine.one("91071"), stays);
    assert_ne!(machine.one("91074"), changes);
    let list = until("list", || {
        client.try_request("service.list").filter(|list| list.matches("\"ready\"").count() == 3)
    });
    assert!(list.contains("comes") && !list.contains("goes"), "{list}");
    // A mistake stops nothing.
    Machine::service(&folder, "stays", "command = 7\n");
    machine.signal(libc::SIGHUP);
    machine.says("stays   | goes on as it was");
    assert_eq!(machine.one("91071"), stays);
}

#[test]
fn services_are_started_by_what_they_wait_for() {
    let Some(folder) = Machine::folder("triggers") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    let port = free_port();
    let out = |name: &str| folder.join(name).display().to_string();
    Machine::service(
        &folder,
        "message",
        &format!(
            "type = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n[activation]\nsubject = \"work.do\"\n",
            out("m")
        ),
    );
    Machine::service(
        &folder,
        "device",
        &format!(
            "type = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"echo $LUNIX_DEVICE >> {}\"]\n[activation]\ndevice = {{ class = \"usb\", matches = {{ vendor = \"0951\" }} }}\n",
            out("d")
        ),
    );
    Machine::service(
        &folder,
        "timer",
        &format!(
            "type = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"echo tick >> {}\"]\n[activation]\ntimer = {{ first = \"200ms\", every = \"300ms\" }}\n",
            out("t")
        ),
    );
    Machine::service(
        &folder,
        "socket",
        &format!(
            "command = [\"sh\", \"-c\", \"echo $LISTEN_FDS $LISTEN_FDNAMES >> {}; exec sleep 91081\"]\n[activation]\nsockets = {{ web = \"tcp:127.0.0.1:{port}\" }}\n",
            out("s")
        ),
    );
    let mut client = supervised::Client::connect(&address);
    let machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    until("waiting", || {
        client.try_request("service.list").filter(|list| list.matches("\"waiting\"").count() >= 3)
    });
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    client.publish("work.do", "one\n");
    client.publish("work.do", "two\n");
    client.publish("work.do", "three\n");
    until("messages", || (read("m") == "one\ntwo\nthree\n").then_some(()));
    client.publish("hardware.usb.add", "{\"vendor\":\"1234\"}");
    client.publish("hardware.usb.add", "{\"vendor\":\"0951\"}");
    until("device", || (read("d") == "{\"vendor\":\"0951\"}\n").then_some(()));
    until("timer", || (read("t").lines().count() >= 2).then_some(()));
    assert!(machine.processes("91081").is_empty() && read("s").is_empty());
    let _connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    machine.one("91081");
    until("sockets", || (read("s") == "1 web\n").then_some(()));
}

#[test]
fn readiness_in_every_way() {
    let Some(folder) = Machine::folder("ready") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    let port = free_port();
    let lunix = env!("CARGO_BIN_EXE_lunix");
    Machine::service(
        &folder,
        "fd",
        "command = [\"sh\", \"-c\", \"sleep 0.2; echo >&5; exec sleep 91091\"]\n[ready]\nfd = 5\n",
    );
    Machine::service(
        &folder,
        "never",
        "command = [\"sh\", \"-c\", \"exec sleep 91092\"]\n[ready]\nfd = 5\ntimeout = \"none\"\n",
    );
    Machine::service(
        &folder,
        "listens",
        &format!(
            "command = [\"{lunix}\", \"natsd\", \"-a\", \"127.0.0.1\", \"-p\", \"{port}\"]\n[ready]\naddress = [\"tcp:127.0.0.1:{port}\"]\n"
        ),
    );
    Machine::service(
        &folder,
        "publish",
        &format!(
            "command = [\"sh\", \"-c\", \"{lunix} pub --nats nats://{address} i.am ready; exec sleep 91093\"]\n[ready]\nsubject = \"i.am\"\n"
        ),
    );
    let mut client = supervised::Client::connect(&address);
    let _machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    for name in ["fd", "listens", "publish"] {
        until(name, || {
            client
                .try_request(&format!("service.{name}.status"))
                .filter(|status| status.contains("\"ready\""))
        });
    }
    let never = client.request("service.never.status");
    assert!(never.contains("\"starting\""), "{never}");
}

#[test]
fn the_end_comes_in_order_by_whatever_asks_for_it() {
    let Some(folder) = Machine::folder("end") else { return };
    let Some((server, address)) = server() else { return };
    let _server = Killed(server);
    let stubborn = "command = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 91201; done\"]\n[stop]\nsignals = [\"TERM 300ms\"]\n";
    Machine::service(&folder, "a", &sleeper(91202));
    Machine::service(&folder, "b", &format!("needs = [\"a\"]\n{stubborn}"));
    Machine::service(&folder, "c", &format!("needs = [\"b\"]\n{}", sleeper(91203)));
    Machine::service(
        &folder,
        "off",
        "type = \"oneshot\"\ncommand = [\"lunix\", \"poweroff\"]\n[activation]\nsubject = \"work.off\"\n",
    );
    let mut client = supervised::Client::connect(&address);
    let mut machine = Machine::start(&folder, &["--nats", &format!("nats://{address}")]);
    until("all", || client.try_request("service.list").filter(|list| list.matches("\"ready\"").count() == 3));
    let mut client = client.again();
    let start = Instant::now();
    client.publish("work.off", "");
    let (mut order, mut all, mut times) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
    while order.len() < 3 {
        let (subject, payload) = client.message();
        let said: serde_json::Value = serde_json::from_str(&payload).unwrap();
        times.insert(subject.clone(), said["at_us"].as_u64().unwrap());
        if subject.ends_with(".stopped") && !subject.contains("off") {
            order.push(subject.clone());
        }
        all.push(format!("{subject} {payload}"));
    }
    assert_eq!(order, ["service.c.stopped", "service.b.stopped", "service.a.stopped"], "{all:#?}");
    // The kernel ends the namespace as it would the machine (reboot(2)).
    let status = machine.end();
    println!("down after {:?}: {status}", start.elapsed());
    assert!(!status.success(), "{status}");
    // Whom its own time-out ends waits for no other one.
    let took = times["service.b.stopped"] - times["service.b.stopping"];
    assert!((300_000..5_000_000).contains(&took), "{took} us");
}

#[test]
fn a_session_is_executed_anew_too() {
    let mut init = supervised::Supervisor::start(
        "anew",
        &["natsinit", "--session", "--nats", "nats://127.0.0.1:1", "a=sleep 91301"],
        &[],
    );
    // Said by its loop, which begins when the first process is made and recorded: a fault before that makes another.
    init.line("trying again");
    let word = "sleep\x0091301";
    let pid = until("process", || init.processes(word).first().copied());
    for signal in [libc::SIGSEGV, libc::SIGRTMIN() + 25] {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(init.pid().to_string()).status();
        assert!(sent.unwrap().success());
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(init.processes(word), [pid]);
    }
    init.line("goes on after a fault (signal 11)");
    kill(pid, libc::SIGKILL);
    until("new process", || init.processes(word).into_iter().find(|new| *new != pid));
    init.signal(libc::SIGTERM);
    assert_eq!(init.wait(), Some(0));
}
