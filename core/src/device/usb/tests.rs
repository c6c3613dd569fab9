extern crate std;

use std::collections::BTreeMap;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;
use std::{format, fs, println};

use lunix_uevent::Builder;
use serde_json::{Value, json};

use super::*;

const SHARE: usize = MAX_PATH + 2 * 768;

/// A machine in virtual time: what is in /sys, and what was said.
struct World {
    tracker: Tracker<'static>,
    now: Instant,
    sys: BTreeMap<String, Vec<OwnedFact>>,
    said: Vec<(String, Value)>,
    looks: usize,
    /// What volumes hold, by node.
    volumes: BTreeMap<String, [&'static str; 3]>,
    /// Questions that nobody answers yet.
    unanswered: Option<Vec<ProbeId>>,
}

#[derive(Clone, Debug)]
enum OwnedFact {
    Attribute(Attribute, String),
    Bound,
    Interface(u8, bool),
    Unit,
    Disk,
    Node(String),
    Volume(String, u64),
}

impl World {
    fn new(slots: usize) -> Self {
        let slots = vec![Slot::EMPTY; slots].leak();
        let bytes = vec![0xaa; slots.len() * SHARE].leak();
        Self {
            tracker: Tracker::new(slots, bytes, Config::default()),
            now: Instant::from_micros(1),
            sys: BTreeMap::new(),
            said: Vec::new(),
            looks: 0,
            volumes: BTreeMap::new(),
            unanswered: None,
        }
    }

    fn handle(&mut self, input: Input<'_>) -> Result<(), UsbError> {
        let result = self.tracker.handle(self.now, input);
        self.drain();
        result
    }

    fn drain(&mut self) {
        loop {
            match self.tracker.poll() {
                None => break,
                Some(Action::Inspect { device, devpath }) => {
                    self.looks += 1;
                    let facts =
                        self.sys.get(core::str::from_utf8(devpath).unwrap()).cloned().unwrap_or_default();
                    self.tracker.handle(self.now, Input::Look(device)).unwrap();
                    for fact in &facts {
                        let fact = match fact {
                            OwnedFact::Attribute(attribute, value) => {
                                Fact::Attribute(*attribute, value.as_bytes())
                            }
                            OwnedFact::Bound => Fact::Bound,
                            OwnedFact::Interface(class, bound) => {
                                Fact::Interface { class: *class, bound: *bound }
                            }
                            OwnedFact::Unit => Fact::Unit { disk: true },
                            OwnedFact::Disk => Fact::Disk,
                            OwnedFact::Node(node) => Fact::Node(node.as_bytes()),
                            OwnedFact::Volume(node, size) => {
                                Fact::Volume { devnode: node.as_bytes(), size: *size }
                            }
                        };
                        self.tracker.handle(self.now, Input::Found(device, fact)).unwrap();
                    }
                    self.tracker.handle(self.now, Input::Looked(device)).unwrap();
                }
                Some(Action::ProbeVolume { probe, devnode }) => {
                    let devnode = core::str::from_utf8(devnode).unwrap().to_string();
                    match &mut self.unanswered {
                        Some(questions) => questions.push(probe),
                        None => {
                            let found = self.volumes.get(&devnode).copied().unwrap_or_default();
                            let [fstype, label, uuid] = found.map(str::as_bytes);
                            let contents = Contents { fstype, label, uuid };
                            self.tracker.handle(self.now, Input::Probed(probe, contents)).unwrap();
                        }
                    }
                }
                Some(Action::Announce { device, happening }) => {
                    let mut out = [0; 4096];
                    let len = self.tracker.encode(device, false, &mut out).unwrap();
                    let json = serde_json::from_slice(&out[..len]).unwrap();
                    self.said.push((happening.as_str().to_string(), json));
                }
            }
        }
    }

    fn event(&mut self, action: &str, devpath: &str, vars: &[(&str, &str)]) -> Result<(), UsbError> {
        let mut out = [0; 4096];
        let mut builder = Builder::new(&mut out, action.as_bytes(), devpath.as_bytes());
        for (key, value) in vars {
            builder = builder.var(key, value);
        }
        let len = builder.finish().unwrap();
        self.handle(Input::Event(&Uevent::parse(&out[..len]).unwrap()))
    }

    fn usb(&mut self, action: &str, devpath: &str) -> Result<(), UsbError> {
        self.event(action, devpath, &[("SUBSYSTEM", "usb"), ("DEVTYPE", "usb_device")])
    }

    fn interface(&mut self, action: &str, devpath: &str) {
        self.event(action, devpath, &[("SUBSYSTEM", "usb"), ("DEVTYPE", "usb_interface")]).unwrap();
    }

    fn block(&mut self, action: &str, devpath: &str, devname: &str) {
        let (_, below) = devpath.split_once("/block/").unwrap();
        let devtype = if below.contains('/') { "partition" } else { "disk" };
        let vars = [("SUBSYSTEM", "block"), ("DEVNAME", devname), ("DEVTYPE", devtype)];
        self.event(action, devpath, &vars).unwrap();
    }

    /// Lets time pass; deadlines come on time.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.tracker.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.handle(Input::Tick).unwrap();
        }
        self.now = end;
    }

    fn said(&self) -> Vec<(&str, &str)> {
        self.said.iter().map(|(what, json)| (what.as_str(), json["devpath"].as_str().unwrap())).collect()
    }

    /// A stick on `devpath` with its disk `disk` and one partition.
    fn plug(&mut self, devpath: &str, disk: &str) {
        let facts =
            vec![OwnedFact::Attribute(Attribute::Class, "00\n".into()), OwnedFact::Interface(8, false)];
        self.sys.insert(devpath.into(), facts);
        self.usb("add", devpath).unwrap();
        self.interface("add", &format!("{devpath}/i"));
        self.sys.get_mut(devpath).unwrap()[1] = OwnedFact::Interface(8, true);
        self.interface("bind", &format!("{devpath}/i"));
        self.sys.get_mut(devpath).unwrap().push(OwnedFact::Bound);
        self.usb("bind", devpath).unwrap();
        self.pass(1000);
        let facts = self.sys.get_mut(devpath).unwrap();
        facts.push(OwnedFact::Unit);
        self.event("add", &format!("{devpath}/i/u"), &[("SUBSYSTEM", "scsi"), ("DEVTYPE", "scsi_device")])
            .unwrap();
        self.insert(devpath, disk);
    }

    fn insert(&mut self, devpath: &str, disk: &str) {
        self.sys.get_mut(devpath).unwrap().extend([
            OwnedFact::Disk,
            OwnedFact::Node(format!("/dev/{disk}")),
            OwnedFact::Node(format!("/dev/{disk}1")),
            OwnedFact::Volume(format!("/dev/{disk}1"), 1 << 20),
        ]);
        self.block("add", &format!("{devpath}/i/u/block/{disk}"), disk);
        self.block("add", &format!("{devpath}/i/u/block/{disk}/{disk}1"), &format!("{disk}1"));
    }

    fn unplug(&mut self, devpath: &str, disk: &str) {
        self.sys.remove(devpath);
        self.block("remove", &format!("{devpath}/i/u/block/{disk}/{disk}1"), &format!("{disk}1"));
        self.block("remove", &format!("{devpath}/i/u/block/{disk}"), disk);
        self.interface("unbind", &format!("{devpath}/i"));
        self.interface("remove", &format!("{devpath}/i"));
        self.usb("unbind", devpath).unwrap();
        self.usb("remove", devpath).unwrap();
    }
}

const PORT: &str = "/devices/pci0000:00/0000:00:03.0/usb1/1-1";

#[test]
fn one_stick_is_announced_once_when_its_volume_is_there() {
    let mut world = World::new(4);
    world.volumes.insert("/dev/sda1".into(), ["vfat", "HOLIDAY", "1A2B-3C4D"]);
    world.plug(PORT, "sda");
    assert_eq!(world.said(), [("add", PORT)]);
    assert_eq!(
        world.said[0].1,
        json!({"devpath": PORT, "class": "storage", "port": "1-1", "net": [], "input": [],
            "nodes": ["/dev/sda", "/dev/sda1"],
            "volumes": [{"devnode": "/dev/sda1", "fstype": "vfat", "label": "HOLIDAY", "uuid": "1A2B-3C4D",
                "size": 1 << 20}]})
    );
    world.pass(60_000);
    assert_eq!(world.tracker.next_deadline(), None, "idle means idle");
    let announced = world.said[0].1.clone();
    world.unplug(PORT, "sda");
    world.pass(60_000);
    assert_eq!(world.said(), [("add", PORT), ("remove", PORT)]);
    assert_eq!(world.said[1].1, announced, "the removal says what is gone");
    assert_eq!(world.tracker.announced().count(), 0);
}

#[test]
fn a_real_stick_as_the_kernel_told_of_it() {
    let mut files: Vec<_> = fs::read_dir("../uevent/tests/captures")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("usb-"))
        .collect();
    files.sort();
    let mut world = World::new(4);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let event = Uevent::parse(&bytes).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let path = String::from_utf8(event.devpath().to_vec()).unwrap();
        println!("{name} {path}");
        let device = world.sys.keys().next().cloned();
        let facts = device.as_ref().map(|device| world.sys[device].clone()).unwrap_or_default();
        let with = |fact: OwnedFact| facts.iter().cloned().chain([fact]).collect::<Vec<_>>();
        match name.split_once('-').unwrap().1.split_once('-').unwrap().1 {
            "add-usb_device" => {
                world.sys.insert(path, vec![OwnedFact::Interface(8, true)]);
            }
            "bind-usb_device" => {
                world.sys.insert(device.unwrap(), with(OwnedFact::Bound));
            }
            "add-scsi_device" if event.devtype().is_some() => {
                world.sys.insert(device.unwrap(), with(OwnedFact::Unit));
            }
            "add-block_disk" => {
                world.sys.insert(device.unwrap(), with(OwnedFact::Disk));
                let name = String::from_utf8(event.devname().unwrap().to_vec()).unwrap();
                assert!(world.said.is_empty(), "announced before its disk was there");
                let device = world.sys.keys().next().cloned().unwrap();
                let facts = world.sys.get_mut(&device).unwrap();
                facts.push(OwnedFact::Node(format!("/dev/{name}")));
                facts.push(OwnedFact::Node(format!("/dev/{name}1")));
                facts.push(OwnedFact::Volume(format!("/dev/{name}1"), 1));
            }
            "remove-block_partition" => {
                assert_eq!(world.said.len(), 1);
                world.sys.clear();
            }
            _ => {}
        }
        world.pass(1);
        world.handle(Input::Event(&event)).unwrap();
    }
    world.pass(60_000);
    let said: Vec<_> = world.said.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(said, ["add", "remove"]);
    assert!(world.looks <= 6, "{} looks", world.looks);
}

#[test]
fn ten_sticks_in_and_out_quickly() {
    let mut world = World::new(16);
    for round in 0..3 {
        for index in 0..10 {
            world.plug(&format!("{PORT}.{index}"), &format!("sd{round}{index}"));
        }
        for index in 0..10 {
            world.unplug(&format!("{PORT}.{index}"), &format!("sd{round}{index}"));
        }
    }
    assert_eq!(world.said.len(), 60);
    for index in 0..10 {
        let path = format!("{PORT}.{index}");
        let order: Vec<_> =
            world.said().into_iter().filter(|(_, other)| *other == path).map(|(what, _)| what).collect();
        assert_eq!(order, ["add", "remove", "add", "remove", "add", "remove"]);
    }
}

#[test]
fn pulled_before_it_was_ready_it_was_never_there() {
    let mut world = World::new(2);
    world.sys.insert(PORT.into(), vec![OwnedFact::Interface(8, true), OwnedFact::Bound]);
    for _ in 0..5 {
        world.usb("add", PORT).unwrap();
        world.usb("bind", PORT).unwrap();
        world.pass(500);
        world.usb("unbind", PORT).unwrap();
        world.usb("remove", PORT).unwrap();
    }
    world.pass(60_000);
    assert_eq!(world.said(), []);
    assert_eq!(world.tracker.next_deadline(), None);
}

#[test]
fn pulled_while_its_volume_is_read() {
    let mut world = World::new(1);
    world.unanswered = Some(Vec::new());
    world.plug(PORT, "sda");
    world.unplug(PORT, "sda");
    world.plug(PORT, "sdb");
    let questions = world.unanswered.take().unwrap();
    assert_eq!(questions.len(), 2);
    let stale = Contents { fstype: b"old", ..Contents::default() };
    let fresh = Contents { fstype: b"new", ..Contents::default() };
    world.handle(Input::Probed(questions[0], stale)).unwrap();
    assert_eq!(world.said(), []);
    world.handle(Input::Probed(questions[1], fresh)).unwrap();
    world.handle(Input::Probed(questions[1], stale)).unwrap();
    assert_eq!(world.said(), [("add", PORT)]);
    assert_eq!(world.said[0].1["volumes"][0]["fstype"], "new");
}

#[test]
fn a_disk_that_never_comes_is_waited_for_ten_seconds() {
    let mut world = World::new(2);
    world.sys.insert(PORT.into(), vec![OwnedFact::Interface(8, true), OwnedFact::Bound, OwnedFact::Unit]);
    world.usb("add", PORT).unwrap();
    world.usb("bind", PORT).unwrap();
    world.pass(9_999);
    assert_eq!(world.said(), []);
    world.pass(1);
    assert_eq!(world.said(), [("add", PORT)]);
    world.pass(60_000);
    // It comes after all.
    world.insert(PORT, "sda");
    world.pass(1_000);
    assert_eq!(world.said(), [("add", PORT), ("change", PORT)]);
    assert_eq!(world.said[1].1["volumes"][0]["devnode"], "/dev/sda1");
}

#[test]
fn interfaces_without_a_driver_cost_a_second() {
    let mut world = World::new(2);
    world.sys.insert(
        PORT.into(),
        vec![OwnedFact::Interface(3, true), OwnedFact::Interface(0xff, false), OwnedFact::Bound],
    );
    world.usb("add", PORT).unwrap();
    world.usb("bind", PORT).unwrap();
    world.pass(999);
    assert_eq!(world.said(), []);
    world.pass(1);
    assert_eq!(world.said(), [("add", PORT)]);
    assert_eq!(world.said[0].1["class"], "hid");
}

#[test]
fn a_card_reader_says_when_a_card_comes_and_goes() {
    let mut world = World::new(2);
    let empty = vec![
        OwnedFact::Interface(8, true),
        OwnedFact::Bound,
        OwnedFact::Unit,
        OwnedFact::Disk,
        OwnedFact::Node("/dev/sda".into()),
    ];
    world.sys.insert(PORT.into(), empty.clone());
    world.usb("add", PORT).unwrap();
    world.usb("bind", PORT).unwrap();
    assert_eq!(world.said(), [], "the kernel still looks for partitions");
    let disk = format!("{PORT}/i/u/block/sda");
    world.block("add", &disk, "sda");
    assert_eq!(world.said(), [("add", PORT)]);
    for _ in 0..2 {
        let facts = world.sys.get_mut(PORT).unwrap();
        facts.push(OwnedFact::Node("/dev/sda1".into()));
        facts.push(OwnedFact::Volume("/dev/sda1".into(), 4096));
        world.block("change", &disk, "sda");
        world.block("add", &format!("{disk}/sda1"), "sda1");
        world.pass(1_000);
        world.sys.insert(PORT.into(), empty.clone());
        world.block("remove", &format!("{disk}/sda1"), "sda1");
        world.block("change", &disk, "sda");
        world.pass(1_000);
        // Nothing is different: nothing is said.
        world.block("change", &disk, "sda");
        world.pass(1_000);
    }
    assert_eq!(
        world.said(),
        [("add", PORT), ("change", PORT), ("change", PORT), ("change", PORT), ("change", PORT)]
    );
    let volumes: Vec<_> =
        world.said.iter().map(|(_, json)| json["volumes"].as_array().unwrap().len()).collect();
    assert_eq!(volumes, [0, 1, 0, 1, 0]);
}

#[test]
fn a_stick_that_goes_slowly_is_not_a_stick_that_changes() {
    let mut world = World::new(2);
    world.plug(PORT, "sda");
    // The kernel takes the driver away, then the disk; the device itself hangs for seconds.
    let facts = vec![OwnedFact::Interface(8, false), OwnedFact::Bound];
    world.sys.insert(PORT.into(), facts);
    world.block("remove", &format!("{PORT}/i/u/block/sda"), "sda");
    world.pass(3_000);
    world.interface("unbind", &format!("{PORT}/i"));
    world.pass(3_000);
    world.unplug(PORT, "sda");
    assert_eq!(world.said(), [("add", PORT), ("remove", PORT)]);
    assert_eq!(world.tracker.next_deadline(), None);

    // Or somebody took only the driver away, and gave it back later.
    let port = format!("{PORT}.3");
    world.plug(&port, "sdb");
    let whole = world.sys[&port].clone();
    world.sys.insert(port.clone(), vec![OwnedFact::Interface(8, false), OwnedFact::Bound]);
    world.interface("unbind", &format!("{port}/i"));
    world.pass(9_000);
    assert_eq!(world.said().len(), 3);
    world.pass(2_000);
    assert_eq!(world.said()[3], ("change", &*port));
    world.pass(60_000);
    world.sys.insert(port.clone(), whole);
    world.interface("bind", &format!("{port}/i"));
    world.pass(1_000);
    assert_eq!(world.said()[4..], [("change", &*port)]);
    assert_eq!(world.tracker.next_deadline(), None);
}

#[test]
fn hubs_are_devices_and_root_hubs_are_not() {
    let mut world = World::new(4);
    let hub = "/devices/pci0000:00/usb1/1-2";
    world
        .sys
        .insert("/devices/pci0000:00/usb1".into(), vec![OwnedFact::Interface(9, true), OwnedFact::Bound]);
    world.sys.insert(hub.into(), vec![OwnedFact::Interface(9, true), OwnedFact::Bound]);
    for path in ["/devices/pci0000:00/usb1", hub] {
        world.usb("add", path).unwrap();
        world.usb("bind", path).unwrap();
    }
    assert_eq!(world.said(), [("add", hub)]);
    assert_eq!(world.said[0].1["class"], "hub");
    // What happens to a stick is not the hub's business.
    let stick = format!("{hub}/1-2.4");
    world.plug(&stick, "sda");
    assert_eq!(world.said(), [("add", hub), ("add", &stick)]);
    world.unplug(&stick, "sda");
    world.pass(10_000);
    assert_eq!(world.said(), [("add", hub), ("add", &stick), ("remove", &stick)]);
}

#[test]
fn coldplug_and_resync_need_no_bind_event() {
    let mut world = World::new(4);
    world.plug(PORT, "sda");
    let other = format!("{PORT}.7");
    world.sys.insert(other.clone(), vec![OwnedFact::Interface(3, true), OwnedFact::Bound]);
    world.handle(Input::Present(other.as_bytes())).unwrap();
    let vars = [("SUBSYSTEM", "usb"), ("DEVTYPE", "usb_device"), ("SYNTH_UUID", "0")];
    world.event("add", PORT, &vars).unwrap();
    world.event("add", &other, &vars).unwrap();
    world.pass(5_000);
    assert_eq!(world.said(), [("add", PORT), ("add", &other)]);

    // While nobody listened: one went, its partition became two.
    world.sys.remove(&other);
    world.sys.get_mut(PORT).unwrap().push(OwnedFact::Node("/dev/sda2".into()));
    world.handle(Input::Absent(other.as_bytes())).unwrap();
    world.handle(Input::Resynced).unwrap();
    assert_eq!(world.said()[2..], [("remove", &*other), ("change", PORT)]);
}

#[test]
fn full_is_said_and_costs_nobody_else_anything() {
    let mut world = World::new(2);
    world.plug(PORT, "sda");
    let path = |index: u32| format!("{PORT}.{index}");
    world.usb("add", &path(1)).unwrap();
    assert_eq!(world.usb("add", &path(2)), Err(UsbError::Full));
    assert_eq!(world.usb("add", &format!("/devices/{}", "x".repeat(MAX_PATH))), Err(UsbError::PathTooLong));
    assert_eq!(world.tracker.refused(), 2);
    world.unplug(PORT, "sda");
    world.usb("add", &path(2)).unwrap();
    assert_eq!(world.said(), [("add", PORT), ("remove", PORT)]);
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let mut world = World::new(1);
    let mut facts = vec![OwnedFact::Bound];
    facts.extend((0..200).map(|index| OwnedFact::Node(format!("/dev/node{index}"))));
    world.sys.insert(PORT.into(), facts);
    world.handle(Input::Present(PORT.as_bytes())).unwrap();
    assert_eq!(world.said[0].1["truncated"], true);
    assert!(world.said[0].1["nodes"].as_array().unwrap().len() > 30);
}

#[test]
fn attributes() {
    let mut world = World::new(1);
    let attribute = |attribute, value: &str| OwnedFact::Attribute(attribute, value.into());
    world.sys.insert(
        PORT.into(),
        vec![
            OwnedFact::Bound,
            attribute(Attribute::Vendor, "0951\n"),
            attribute(Attribute::Product, "1666\n"),
            attribute(Attribute::VendorName, "Kingston Technology"),
            attribute(Attribute::ProductName, ""),
            attribute(Attribute::Manufacturer, " Kingston \n"),
            attribute(Attribute::Model, "DataTraveler \u{2603}\n"),
            attribute(Attribute::Serial, "\n"),
            attribute(Attribute::Speed, "1.5\n"),
            attribute(Attribute::Class, "ef\n"),
            attribute(Attribute::Devnode, "/dev/bus/usb/001/002"),
        ],
    );
    world.handle(Input::Present(PORT.as_bytes())).unwrap();
    assert_eq!(
        world.said[0].1,
        json!({"devpath": PORT, "vendor": "0951", "product": "1666", "vendor_name": "Kingston Technology",
            "manufacturer": "Kingston", "model": "DataTraveler \u{2603}", "speed": 1.5, "devnode": "/dev/bus/usb/001/002", "port": "1-1",
            "nodes": [], "net": [], "input": [], "volumes": []})
    );
}

#[test]
fn no_memory_is_no_device() {
    let mut slots = [Slot::EMPTY; 2];
    let mut tracker = Tracker::new(&mut slots, &mut [], Config::default());
    assert_eq!(tracker.handle(Instant::from_micros(0), Input::Present(PORT.as_bytes())), Err(UsbError::Full));
    assert_eq!(tracker.poll(), None);
    assert_eq!((tracker.capacity(), tracker.next_deadline()), (0, None));
}
