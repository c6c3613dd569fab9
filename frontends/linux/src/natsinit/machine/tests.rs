use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::oom::Chosen;
use super::*;
use crate::reactor::{App, Ready, monotonic};

/// A driver that runs until something is said that is `wanted`, or for 15 seconds.
struct Driver {
    machine: Machine<()>,
    wanted: fn(&Said) -> bool,
    found: Option<Said>,
    end: Instant,
}

impl App for Driver {
    type Token = ();

    fn ready(&mut self, reactor: &mut Reactor<()>, key: Key, (): (), _: Ready) {
        self.machine.ready(reactor, key);
    }

    fn deadline(&mut self, reactor: &mut Reactor<()>) {
        reactor.stop();
    }

    fn flush(&mut self, reactor: &mut Reactor<()>) {
        while let Some(said) = self.machine.next() {
            println!("{} {}", said.subject, String::from_utf8_lossy(&said.payload));
            if self.found.is_none() && (self.wanted)(&said) {
                self.found = Some(said);
                reactor.stop();
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.end)
    }
}

fn until(machine: Machine<()>, reactor: &mut Reactor<()>, wanted: fn(&Said) -> bool) -> Option<Value> {
    let mut driver = Driver { machine, wanted, found: None, end: monotonic() + Duration::from_secs(15) };
    reactor.run(&mut driver).unwrap();
    driver.found.map(|said| serde_json::from_slice(&said.payload).unwrap())
}

struct Busy(Vec<Child>);

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_kernel_tells_that_processors_are_short() {
    let mut reactor = Reactor::new().unwrap();
    let machine = Machine::open(&mut reactor, (), Scope::Machine);
    if machine.triggers.is_empty() {
        println!("SKIPPED the_kernel_tells_that_processors_are_short: no right to be told of pressure");
        return;
    }
    let count = 3 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let busy = Busy(std::iter::repeat_with(busy).take(count).collect());
    let said = until(machine, &mut reactor, |said| said.subject == "system.pressure.cpu").unwrap();
    drop(busy);
    assert_eq!(said["resource"], "cpu");
    assert!(said["some"]["total_us"].as_u64().unwrap() > 0, "{said}");
    assert!(said["some"]["avg10"].is_number() && said["at_us"].is_u64(), "{said}");
}

/// A group of the memory controller of cgroup v1 for one test.
struct Limited(std::path::PathBuf);

impl Limited {
    fn new(name: &str, bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.split_once(":memory:"))?.1.to_owned();
        let root = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/'));
        let group = root.join(format!("lunix-test-{name}-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        Some(group)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn who_was_killed_is_in_the_kernels_log() {
    let mut reactor = Reactor::new().unwrap();
    let machine = Machine::open(&mut reactor, (), Scope::Machine);
    let (true, Some(group)) = (machine.log.is_some(), Limited::new("oom", 16 << 20)) else {
        println!(
            "SKIPPED who_was_killed_is_in_the_kernels_log: no kernel log, or no group of the memory controller"
        );
        return;
    };
    let tasks = group.0.join("cgroup.procs");
    let mut hog = Command::new("sh")
        .args(["-c", &format!("echo $$ > {} && exec tail /dev/zero", tasks.display())])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = until(machine, &mut reactor, |said| said.subject == "system.oom");
    let status = hog.wait().unwrap();
    let said = said.unwrap_or_else(|| panic!("nothing said; the hog ended with {status}"));
    assert_eq!(
        (said["pid"].as_u64(), said["comm"].as_str()),
        (Some(hog.id().into()), Some("tail")),
        "{said}"
    );
    assert_eq!(said["everywhere"], false);
    let name = group.0.file_name().unwrap().to_string_lossy();
    assert!(said["group"].as_str().is_some_and(|group| group.ends_with(&*name)), "{said}");
    assert!(said["memory"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{said}");
}

/// A group of cgroup v2, which may have no controllers.
struct Unified(std::path::PathBuf);

impl Unified {
    fn new() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let root = roots.iter().map(Path::new).find(|root| root.join("cgroup.controllers").exists())?;
        let group = root.join(own).join(format!("lunix-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        group.0.join("memory.pressure").exists().then_some(group)
    }
}

impl Drop for Unified {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_kernel_tells_that_a_services_memory_is_short() {
    let (Some(group), Some(limit)) = (Unified::new(), Limited::new("pressure", 8 << 20)) else {
        println!("SKIPPED the_kernel_tells_that_a_services_memory_is_short: no groups of both kinds");
        return;
    };
    let mut reactor = Reactor::new().unwrap();
    let mut machine = Machine::open(&mut reactor, (), Scope::Session);
    machine.watch(&mut reactor, "my.web", &group.0);
    assert!(machine.groups[0].pressure.is_some() && machine.groups[0].path.starts_with("/lunix-test-"));
    let file = std::env::temp_dir().join(format!("lunix-test-pressure-{}", std::process::id()));
    // Made within the group, for its pages to count as the group's; what is read again was given up meanwhile.
    let script = format!(
        "echo $$ > {}/cgroup.procs && echo $$ > {}/cgroup.procs && dd if=/dev/zero of={file} bs=64k count=768 2> /dev/null\n\
         for i in 1 2 3 4 5 6; do (while :; do cat {file} > /dev/null; done) & done; wait",
        group.0.display(),
        limit.0.display(),
        file = file.display()
    );
    let mut hog = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let said = until(machine, &mut reactor, |said| said.subject == "service.my_web.pressure");
    let stalled = fs::read(group.0.join("memory.pressure")).unwrap();
    let _ = hog.kill();
    let _ = hog.wait();
    // Its children are gone when the group is empty.
    let end = monotonic() + Duration::from_secs(5);
    while monotonic() < end {
        let left = fs::read_to_string(group.0.join("cgroup.procs")).unwrap();
        let left: Vec<_> =
            left.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).collect();
        if left.is_empty() {
            break;
        }
        for pid in left {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_file(&file);
    let stalled = lunix_core::machine::proc::pressure(&stalled).some.map_or(0, |some| some.total);
    if said.is_none() && stalled < 2_000_000 {
        println!(
            "SKIPPED the_kernel_tells_that_a_services_memory_is_short: storage is too fast ({stalled} us)"
        );
        return;
    }
    let said = said.unwrap();
    assert_eq!(
        (said["name"].as_str(), said["resource"].as_str()),
        (Some("my.web"), Some("memory")),
        "{said}"
    );
    assert!(said["some"]["total_us"].as_u64().unwrap() > 0, "{said}");
}

#[test]
fn kills_in_a_group_are_told_as_the_services() {
    let mut reactor = Reactor::new().unwrap();
    let mut machine = Machine::open(&mut reactor, (), Scope::Session);
    let folder = std::env::temp_dir().join(format!("lunix-test-events-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let events = |killed: u64| {
        fs::write(folder.join("memory.events"), format!("low 0\noom 9\noom_kill {killed}\n")).unwrap();
    };
    events(3);
    // A file that is none of the kernel's cannot be watched: only what it holds is of interest here.
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let key = reactor.add(&pipe, (), Ready::READ).unwrap();
    let mut kills = Counter { file: fs::File::open(folder.join("memory.events")).unwrap(), key, seen: 0 };
    assert_eq!(kills.read(), (3, 3));
    machine.groups.push(Group {
        name: "my.web".into(),
        path: "/lunix/web".into(),
        counted: true,
        kills: Some(kills),
        pressure: None,
    });
    machine.ready(&mut reactor, key);
    assert_eq!(machine.next(), None);
    events(5);
    machine.ready(&mut reactor, key);
    let said: Vec<_> = std::iter::from_fn(|| machine.next()).collect();
    assert_eq!(said.len(), 2);
    for (said, killed) in said.iter().zip([4, 5]) {
        assert_eq!(said.subject, "service.my_web.oom");
        let payload: Value = serde_json::from_slice(&said.payload).unwrap();
        assert_eq!((payload["name"].as_str(), payload["killed"].as_u64()), (Some("my.web"), Some(killed)));
    }
    events(6);
    machine.forget(&mut reactor, "my.web");
    assert!(machine.next().is_some() && machine.next().is_none() && machine.groups.is_empty());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn victims_belong_to_their_group_and_those_below() {
    for (group, path, yes) in [
        ("/lunix/web", "/lunix/web", true),
        ("/lunix/web/worker", "/lunix/web", true),
        ("/lunix/web2", "/lunix/web", false),
        ("/x/lunix/web", "/lunix/web", false),
        ("", "/lunix/web", false),
    ] {
        assert_eq!(oom::is_within(group, path), yes, "{group} {path}");
    }
    assert_eq!(Chosen::default().pid, None);
}

#[test]
fn what_this_machine_is_and_has_used() {
    for scope in [Scope::Machine, Scope::Session] {
        let said: Value = serde_json::from_slice(&facts::info(scope)).unwrap();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(said["kernel"].as_str(), Some(kernel.trim()));
        assert_eq!(
            (said["version"].as_str(), said["init"].as_bool()),
            (Some(env!("CARGO_PKG_VERSION")), Some(false))
        );
        assert!(said["cpus"].as_u64().is_some_and(|count| count > 0), "{said}");
    }
    let said: Value = serde_json::from_slice(&facts::usage()).unwrap();
    let total = said["memory"]["total"].as_u64().unwrap();
    assert!(said["memory"]["available"].as_u64().is_some_and(|free| free > 0 && free < total), "{said}");
    // In ticks of 10 ms, the sum of all states of all processors is the time since boot.
    let cpu = said["cpu"].as_object().unwrap();
    let sum: u64 = cpu.iter().filter(|(key, _)| *key != "cpus").map(|(_, us)| us.as_u64().unwrap()).sum();
    let expected = said["uptime_us"].as_u64().unwrap() * cpu["cpus"].as_u64().unwrap();
    assert!(sum > 0 && sum < expected + expected / 5 + 1_000_000, "{sum} {expected}");
    assert!(said["processes"].as_u64().is_some_and(|count| count > 1), "{said}");
    for storage in said["storage"].as_array().unwrap() {
        assert!(storage["size"].as_u64() >= storage["available"].as_u64(), "{storage}");
    }
}
