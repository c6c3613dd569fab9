//! Whatever the kernel says, and whoever says it: in the end the table is as a model has it, with rules at work and without.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use lunix_inject::receiver::listeners;
use lunix_inject::storm::{Pace, event};
use lunix_uevent::Uevent;
use rig::{Client, World, inside, wait};
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Absent,
    AtWork,
}

const BOTH: [Rules; 2] = [Rules::Absent, Rules::AtWork];

/// What devices there are: written without a look at how natsdev knows.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, Facts>);

struct Facts {
    class: String,
    minor: Option<u32>,
}

impl Model {
    fn apply(&mut self, event: &Uevent<'_>) {
        let devpath = event.devpath().to_vec();
        match event.action().as_bytes() {
            b"add" => {
                let class = String::from_utf8_lossy(event.subsystem()).into_owned();
                self.0.insert(devpath, Facts { class, minor: event.minor() });
            }
            b"remove" => drop(self.0.remove(&devpath)),
            b"move" => {
                let old = event.devpath_old().unwrap();
                let is_old = |known: &[u8]| {
                    known.strip_prefix(old).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
                };
                let moved: Vec<_> = self.0.keys().filter(|known| is_old(known)).cloned().collect();
                for known in moved {
                    let facts = self.0.remove(&known).unwrap();
                    self.0.insert([&devpath, &known[old.len()..]].concat(), facts);
                }
            }
            _ => {}
        }
    }

    /// Paths and classes, as JSON can say them.
    fn list(&self) -> Vec<(String, String)> {
        let list = self
            .0
            .iter()
            .map(|(path, facts)| (String::from_utf8_lossy(path).into_owned(), facts.class.clone()));
        let mut list: Vec<_> = list.collect();
        list.sort();
        list
    }

    /// The ids of devices with a node of class `mem`.
    fn ids(&self) -> Vec<String> {
        let nodes = self.0.values().filter(|facts| facts.class == "mem").filter_map(|facts| facts.minor);
        let mut ids: Vec<_> = nodes.map(|minor| format!("c1:{minor}")).collect();
        ids.sort();
        ids
    }
}

struct Case {
    rules: Rules,
    model: Model,
    client: Client,
    world: World,
    markers: u32,
}

impl Case {
    fn new(rules: Rules, flags: &[&str]) -> Self {
        let mut world = World::new();
        let mut flags = flags.to_vec();
        let (root, folder) = (world.folder.clone(), world.folder.join("rules"));
        if rules == Rules::AtWork {
            fs::create_dir_all(&folder).unwrap();
            fs::create_dir_all(root.join("run/udev")).unwrap();
            let text = "SUBSYSTEM==\"mem\", SYMLINK+=\"by/%k\", TAG+=\"t\", ENV{MINE}=\"$env{WHAT}\"\n";
            fs::write(folder.join("50-test.rules"), text).unwrap();
            flags.extend([
                "--manage",
                "yes",
                "--rules",
                folder.to_str().unwrap(),
                "--root",
                root.to_str().unwrap(),
            ]);
        } else {
            flags.extend(["--manage", "no"]);
        }
        world.start_natsdev(&flags);
        if rules == Rules::AtWork {
            world.wait_for_log("handled by the rules");
        }
        Self { rules, model: Model::default(), client: Client::connect(), world, markers: 0 }
    }

    /// It happens, and the kernel says so.
    fn happen(&mut self, event: &[u8]) {
        self.silently(event);
        self.world.kernel.inject(event);
    }

    /// It happens, and the kernel has not said so yet.
    fn silently(&mut self, event: &[u8]) {
        let parsed = Uevent::parse(event).unwrap();
        self.model.apply(&parsed);
        self.world.sysfs.apply(&parsed);
    }

    /// All that was said is known, and the table is the model's.
    fn compare(&mut self, when: &str) {
        // What comes last is a device of which we hear.
        self.markers += 1;
        let marker = format!("/devices/virtual/mem/marker{}", self.markers);
        self.happen(&node("add", &marker, 100_000 + self.markers));
        self.client.about("hardware.mem.add", &marker);
        let expected = self.model.list();
        let client = &mut self.client;
        let (mut list, mut count) = (Vec::new(), None);
        let begin = Instant::now();
        // A list leaves out what /sys does not have; the table must not have more, once all events are handled.
        while (list != expected || count != Some(expected.len() as u64)) && begin.elapsed() < rig::PATIENCE {
            let answer = client.request("hardware.list", "");
            let pair = |device: &serde_json::Value| {
                (device["devpath"].as_str().unwrap().to_owned(), device["class"].as_str().unwrap().to_owned())
            };
            list = answer.as_array().unwrap().iter().map(pair).collect();
            list.sort();
            count = client.request("natsdev.stats", "")["devices"].as_u64();
        }
        assert_eq!(list, expected, "{when}, rules {:?}", self.rules);
        assert_eq!(count, Some(expected.len() as u64), "{when}, rules {:?}", self.rules);
        if self.rules == Rules::AtWork {
            wait(|| !self.world.folder.join("run/udev/queue").exists(), || "the end of the queue".to_owned());
            let tagged = fs::read_dir(self.world.folder.join("run/udev/tags/t")).unwrap();
            let mut tagged: Vec<_> = tagged
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .filter(|id| id.starts_with('c'))
                .collect();
            tagged.sort();
            assert_eq!(tagged, self.model.ids(), "{when}: entries of devices with nodes");
        }
    }
}

fn device(action: &str, devpath: &[u8], vars: &[(&str, &[u8])]) -> Vec<u8> {
    let vars: Vec<_> = vars.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
    event(action.as_bytes(), devpath, &vars).unwrap()
}

/// A device of the class `mem`, named as the last part of its path.
fn node(action: &str, devpath: &str, minor: u32) -> Vec<u8> {
    numbered(action, devpath, minor, None)
}

/// The same, with a number of its own, which stands before the kernel's.
fn numbered(action: &str, devpath: &str, minor: u32, seqnum: Option<u64>) -> Vec<u8> {
    let name = devpath.rsplit('/').next().unwrap();
    let (minor, seqnum) = (minor.to_string(), seqnum.map(|number| number.to_string()));
    let mut vars: Vec<(&str, &[u8])> = vec![
        ("SUBSYSTEM", b"mem"),
        ("MAJOR", b"1"),
        ("MINOR", minor.as_bytes()),
        ("DEVNAME", name.as_bytes()),
    ];
    vars.extend(seqnum.as_ref().map(|number| ("SEQNUM", number.as_bytes())));
    device(action, devpath.as_bytes(), &vars)
}

fn renamed(old: &str, new: &str, minor: u32) -> Vec<u8> {
    let (minor, name) = (minor.to_string(), new.rsplit('/').next().unwrap());
    let vars: [(&str, &[u8]); 5] = [
        ("DEVPATH_OLD", old.as_bytes()),
        ("SUBSYSTEM", b"mem"),
        ("MAJOR", b"1"),
        ("MINOR", minor.as_bytes()),
        ("DEVNAME", name.as_bytes()),
    ];
    device("move", new.as_bytes(), &vars)
}

fn path(number: u32) -> String {
    format!("/devices/virtual/mem/d{number}")
}

#[test]
fn a_socket_that_overran() {
    if !inside("a_socket_that_overran") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &["--rcvbuf", "4096"]);
        (0..50).for_each(|number| case.happen(&node("add", &path(number), number)));
        case.compare("before");
        case.world.hold_natsdev(true);
        (0..40).for_each(|number| case.happen(&node("remove", &path(number), number)));
        (100..300).for_each(|number| case.happen(&node("add", &path(number), number)));
        // Another device where one was.
        case.happen(&node("remove", &path(45), 45));
        case.happen(&node("add", &path(45), 900));
        let renamed = renamed(&path(49), &path(500), 49);
        case.happen(&renamed);
        assert!(listeners().unwrap().iter().any(|listener| listener.dropped > 100));
        case.world.hold_natsdev(false);
        let lost = case.client.nth("uevent.lost", 1);
        assert!(lost["from"].as_u64() <= lost["to"].as_u64(), "{lost}");
        case.compare("after an overrun");
    }
}

#[test]
fn numbers_that_go_back() {
    if !inside("numbers_that_go_back") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &["--max-devices", "1000"]);
        // Later ones first, 102 and more before those that were numbered earlier.
        for number in (0..300).rev() {
            case.happen(&numbered("add", &path(number), number, Some(10_000 + u64::from(number))));
        }
        case.compare("after 300 numbers in the wrong order");
        // Of one device: it went, came again, and the second is heard first. What counts is what the kernel meant.
        case.world.hold_natsdev(true);
        case.world.kernel.inject(&numbered("add", &path(7), 7, Some(20_200)));
        case.world.kernel.inject(&numbered("remove", &path(7), 7, Some(20_098)));
        case.world.hold_natsdev(false);
        case.compare("after a device that went and came, heard the other way round");
        // And the other way: it came and went.
        case.silently(&node("remove", &path(8), 8));
        case.world.hold_natsdev(true);
        case.world.kernel.inject(&numbered("remove", &path(8), 8, Some(20_500)));
        case.world.kernel.inject(&numbered("change", &path(8), 8, Some(20_398)));
        case.world.hold_natsdev(false);
        case.compare("after a device that went, and a change of before");
    }
}

#[test]
fn forgers() {
    if !inside("forgers") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &[]);
        case.happen(&node("add", &path(1), 1));
        case.compare("before");
        let ports: Vec<_> = listeners().unwrap().iter().map(|listener| listener.port).collect();
        assert_eq!(ports.len(), 1, "natsdev listens, and nobody else");
        let forged =
            [node("add", &path(2), 2), node("remove", &path(1), 1), vec![b'x'; 8000], b"libudev\0".to_vec()];
        for event in &forged {
            case.world.kernel.forge(event);
            case.world.kernel.forge_to(ports[0], event);
        }
        case.compare("after forgeries to all and to one");
        let stats = case.client.request("natsdev.stats", "");
        assert_eq!((&stats["refused"]["sender"], &stats["events"]), (&json!(8), &json!(3)));
        assert_eq!(case.client.count("hardware.mem.remove"), 0);
    }
}

#[test]
fn the_longest_events_of_the_kernel() {
    if !inside("the_longest_events_of_the_kernel") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &[]);
        // Three of the head, the kernel's own, and sixty: as many as there can be.
        let names: Vec<_> = (0..60).map(|number| format!("V{number}")).collect();
        let mut vars: Vec<(&str, &[u8])> = vec![("SUBSYSTEM", b"mem")];
        vars.extend(names.iter().map(|name| (name.as_str(), &b"value"[..])));
        case.happen(&device("add", b"/devices/virtual/mem/many", &vars));
        let said = case.client.about("uevent.mem.add", "/devices/virtual/mem/many");
        assert_eq!(said["env"].as_object().unwrap().len(), 64);
        // The kernel's buffer holds 2048 bytes, with its number and the head of the request; one byte more it refuses.
        let of = |length: usize| {
            device(
                "add",
                b"/devices/virtual/mem/long",
                &[("SUBSYSTEM", b"mem"), ("WHAT", &vec![b'x'; length])],
            )
        };
        let mut length = 2048;
        while case.world.kernel.try_inject(&of(length)).is_err() {
            length -= 1;
        }
        assert!(of(length).len() > 2000, "{length}");
        case.silently(&of(length));
        let said = case.client.about("uevent.mem.add", "/devices/virtual/mem/long");
        assert_eq!(said["env"]["WHAT"].as_str().unwrap().len(), length);
        case.compare("after the longest events");
    }
}

#[test]
fn devices_that_are_renamed() {
    if !inside("devices_that_are_renamed") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &[]);
        let at = |name: &str| format!("/devices/virtual/mem/{name}");
        let renamed = |old: &str, new: &str, minor| renamed(&at(old), &at(new), minor);
        case.happen(&node("add", &at("a"), 1));
        case.happen(&node("add", &at("b"), 2));
        case.happen(&node("add", &at("a/part"), 3));
        case.compare("before");
        case.happen(&renamed("a", "c", 1));
        case.compare("after a rename of what has parts");
        // Two that take each other's name.
        case.happen(&renamed("b", "tmp", 2));
        case.happen(&renamed("c", "b", 1));
        case.happen(&renamed("tmp", "c", 2));
        case.compare("after an exchange of names");
        case.happen(&node("remove", &at("b/part"), 3));
        case.happen(&node("remove", &at("b"), 1));
        case.compare("after the end of one");
        assert_eq!(case.client.order("hardware.mem.remove"), [at("b/part"), at("b")]);
        if rules == Rules::AtWork {
            let mut links: Vec<_> = fs::read_dir(case.world.folder.join("dev/by"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            links.sort();
            assert_eq!(links, ["c", "marker1", "marker2", "marker3", "marker4"]);
        }
    }
}

#[test]
fn drivers_that_come_and_go() {
    if !inside("drivers_that_come_and_go") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &[]);
        case.happen(&node("add", &path(1), 1));
        for action in ["bind", "unbind", "bind", "change", "offline", "online", "unbind", "hibernate"] {
            case.happen(&node(action, &path(1), 1));
            if rules == Rules::Absent {
                // Of a device that is not there, nothing follows. Rules are not asked whether it is.
                case.world.kernel.inject(&node(action, &path(2), 2));
            }
        }
        case.compare("after drivers came and went");
        // Once, and in no order: with rules, they are handled at the same time.
        let mut added = case.client.order("hardware.mem.add");
        added.sort();
        assert_eq!(added, [path(1), "/devices/virtual/mem/marker1".to_owned()]);
        assert_eq!(case.client.count("hardware.mem.remove"), 0);
    }
}

/// Names that devices give themselves.
const HOSTILE: [&[u8]; 16] = [
    b"new\nline",
    b"a b",
    b"\xff\xfe",
    b"caf\xe9",
    b"*",
    b">",
    b".x",
    b"...",
    b"a.b",
    b"$(reboot)",
    b"`reboot`",
    b"'\"",
    b"\\",
    b"%k$env{PATH}",
    b"\x01\x7f",
    b"\xe2\x80\xae",
];

#[test]
fn hostile_names() {
    if !inside("hostile_names") {
        return;
    }
    for rules in BOTH {
        let mut case = Case::new(rules, &[]);
        let before: Vec<_> = names_in(&case.world.folder);
        let at = |name: &[u8]| [b"/devices/virtual/mem/", name].concat();
        for (minor, name) in (1_u32..).zip(HOSTILE) {
            let minor = minor.to_string();
            let vars: [(&str, &[u8]); 5] = [
                ("SUBSYSTEM", b"mem"),
                ("MAJOR", b"1"),
                ("MINOR", minor.as_bytes()),
                ("DEVNAME", name),
                ("WHAT", name),
            ];
            case.happen(&device("add", &at(name), &vars));
            // As a class, and as an action.
            case.happen(&device("add", &at(&[b"of-", name].concat()), &[("SUBSYSTEM", name)]));
            case.happen(&device(&String::from_utf8_lossy(name), &at(name), &vars));
        }
        // Nodes elsewhere than in /dev.
        for (minor, name) in (100_u32..).zip([
            "../escaped",
            "../../escaped",
            "/escaped",
            "a/../../escaped",
            "..",
            ".",
            "",
            "a//b",
        ]) {
            let minor = minor.to_string();
            let devpath = format!("/devices/virtual/mem/elsewhere{minor}");
            let vars: [(&str, &[u8]); 4] = [
                ("SUBSYSTEM", b"elsewhere"),
                ("MAJOR", b"1"),
                ("MINOR", minor.as_bytes()),
                ("DEVNAME", name.as_bytes()),
            ];
            case.happen(&device("add", devpath.as_bytes(), &vars));
        }
        case.compare("after hostile names");
        for (subject, payload) in case.client.all("") {
            // Our own questions are heard, too.
            if subject == "hardware.list" || subject == "natsdev.stats" {
                continue;
            }
            let tokens = subject.split('.').count();
            assert!(!subject.starts_with("uevent.") || tokens == 3, "{subject}");
            assert!(!subject.starts_with("hardware.") || tokens == 3, "{subject}");
            assert!(subject.starts_with('_') || payload.is_object(), "{subject}: {payload}");
        }
        for name in HOSTILE {
            case.happen(&device("remove", &at(&[b"of-", name].concat()), &[("SUBSYSTEM", name)]));
        }
        case.compare("after half of them went");
        let after: Vec<_> = names_in(&case.world.folder);
        assert_eq!(before, after, "something has left /dev");
        assert!(!std::env::temp_dir().join("escaped").exists() && !std::path::Path::new("/escaped").exists());
    }
}

fn names_in(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
    names.sort();
    names
}

#[test]
fn a_storm_of_a_thousand_devices() {
    if inside("a_storm_of_a_thousand_devices") {
        storm(Rules::Absent);
    }
}

#[test]
fn a_storm_of_a_thousand_devices_with_rules() {
    if inside("a_storm_of_a_thousand_devices_with_rules") {
        storm(Rules::AtWork);
    }
}

fn storm(rules: Rules) {
    const DEVICES: u32 = 1000;
    const RATE: u32 = 80_000;
    let mut case = Case::new(rules, &["--max-devices", "2000"]);
    let storm = |case: &mut Case, when: &str, events: &[Vec<u8>]| {
        // What the kernel says has happened already; it is said as fast as a machine that starts says it.
        events.iter().for_each(|event| case.silently(event));
        let mut pace = Pace::new(Some(RATE));
        let begin = Instant::now();
        for event in events {
            pace.wait();
            case.world.kernel.inject(event);
        }
        let rate = events.len() as f64 / begin.elapsed().max(Duration::from_micros(1)).as_secs_f64();
        eprintln!("{when}: {rate:.0} events a second, rules {rules:?}");
        case.compare(when);
    };
    let all =
        |action: &str| (0..DEVICES).map(|number| node(action, &path(number), number)).collect::<Vec<_>>();
    for round in 0..3 {
        storm(&mut case, &format!("round {round}, all added"), &all("add"));
        storm(&mut case, &format!("round {round}, all removed"), &all("remove"));
    }
    // Each of them in and out at once, and a third of them in again.
    let mut mixed = Vec::new();
    for number in 0..DEVICES {
        mixed.extend([node("add", &path(number), number), node("remove", &path(number), number)]);
        if number % 3 == 0 {
            mixed.push(node("add", &path(number), number));
        }
    }
    storm(&mut case, "in and out at once", &mixed);
}
