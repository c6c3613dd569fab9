//! Devices: USB sticks that come, go and answer in any order; volumes that hold anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lunix_core::device::partition::{self, Disk, Wanted};
use lunix_core::device::table::{Applied, Identity, Slot as TableSlot};
use lunix_core::device::usb::{
    Action, Attribute, Config, Contents, DeviceId, Fact, Input, ProbeId, Slot, Tracker, UsbError,
};
use lunix_core::device::volume::{MAX_PIECE, MAX_PIECES, Probe};
use lunix_core::device::{DeviceTable, Happening, encode, json, subject};
use lunix_core::time::{Duration, Instant};
use lunix_proto::json::parse;
use lunix_proto::nats::subject::is_literal;
use lunix_uevent::{Builder, Uevent};

/// A volume of these bytes; the first one says at which piece reading begins to fail.
pub fn volume_probe(data: &[u8]) {
    let (fails, image) = data.split_first().map_or((255, data), |(first, rest)| (*first, rest));
    for mut probe in [Probe::new(), Probe::of_size(image.len() as u64)] {
        let mut pieces = 0;
        while let Some((offset, len)) = probe.wanted() {
            assert!((1..=MAX_PIECE).contains(&len));
            pieces += 1;
            assert!(pieces <= MAX_PIECES);
            probe.feed(if pieces > u16::from(fails) { &[] } else { piece(image, offset, len) });
        }
        if let Some(volume) = probe.volume() {
            assert!(!volume.fstype.is_empty());
            assert!(volume.uuid.as_bytes().iter().all(u8::is_ascii));
        }
    }
}

/// Takes lines `KEY=VALUE` as the properties of a device, and looks at what is told of it; and has all of it encoded and
/// decoded.
pub fn device_json(data: &[u8]) {
    assert!(encode::decoded(&encode::encoded(data).collect::<Vec<_>>()).eq(data.iter().copied()));
    let pair = |line: &'_ [u8]| {
        line.iter().position(|byte| *byte == b'=').map(|at| (line[..at].to_vec(), line[at + 1..].to_vec()))
    };
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = data.split(|byte| *byte == b'\n').filter_map(pair).collect();
    let properties = || pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    let mut room = vec![0; 6 * data.len() + 1024];
    let len = json::device(b"/devices/x/sda", b"block", properties(), false, &mut room).expect("room");
    let said: serde_json::Value = serde_json::from_slice(&room[..len]).expect("JSON");
    for key in ["vendor", "product"] {
        if let Some(digits) = said.get(key).and_then(|value| value.as_str()) {
            assert!(digits.len() == 4 && u16::from_str_radix(digits, 16).is_ok(), "{key}");
        }
    }
    for (key, _) in said.as_object().expect("an object") {
        assert!(
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{key}"
        );
    }
    if let Some(links) = said.get("links") {
        assert!(
            links
                .as_array()
                .expect("links")
                .iter()
                .all(|link| link.as_str().is_some_and(|link| !link.is_empty()))
        );
    }
    // With less room it says how much it needs, and tells the same with that.
    let needed = json::device(b"/devices/x/sda", b"block", properties(), false, &mut room[..len - 1]);
    assert_eq!(needed.expect_err("one byte less").needed, len);
}

/// A disk of these bytes; the first says how large its sectors are, the next two where the partition is that is wanted.
pub fn partition_table(data: &[u8]) {
    let Some(([sector, start, size], image)) = data.split_first_chunk() else { return };
    let wanted = Wanted { offset: u64::from(*start) * 512, size: u64::from(*size) * 512 };
    let disk = Disk { size: image.len() as u64, sector: 512 << (sector % 5) };
    for wanted in [None, Some(wanted)] {
        let mut probe = partition::Probe::new(disk, wanted);
        let mut pieces = 0;
        while let Some((offset, len)) = probe.wanted() {
            assert!((1..=partition::MAX_PIECE).contains(&len));
            pieces += 1;
            assert!(pieces <= partition::MAX_PIECES);
            probe.feed(piece(image, offset, len));
        }
        if let Some(entry) = probe.entry() {
            assert_eq!(wanted.map(|wanted| wanted.offset / 512), Some(entry.offset));
            assert_eq!(probe.table().map(|table| table.scheme), Some(entry.scheme));
        }
    }
}

fn piece(image: &[u8], offset: u64, len: usize) -> &[u8] {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
    &image[from..from.saturating_add(len).min(image.len())]
}

const PATHS: [&str; 6] = [
    "/devices/pci0/usb1",
    "/devices/pci0/usb1/1-1",
    "/devices/pci0/usb1/1-1/1-1.1",
    "/devices/pci0/usb1/1-1/1-1.2",
    "/devices/pci0/usb1/1-2",
    "/devices/pci0/usb1/1-20",
];
const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "bind", "unbind", "online", "hibernate"];

struct World<'m> {
    tracker: Tracker<'m>,
    table: DeviceTable<'m>,
    now: Instant,
    looks: VecDeque<DeviceId>,
    probes: VecDeque<ProbeId>,
    /// The devices that are announced and not yet said to be gone.
    announced: BTreeSet<String>,
    /// The devices of the table.
    known: BTreeSet<String>,
    /// What is in /sys, as bits.
    sys: BTreeMap<String, u8>,
    /// What is said is written here.
    room: Vec<u8>,
}

/// Operations of four bytes: kind, path, what, milliseconds / 16.
pub fn device_events(data: &[u8]) {
    let (mut slots, mut bytes) = ([Slot::EMPTY; 3], [0; 3 * 420]);
    let (mut table_slots, mut table_bytes) = ([TableSlot::EMPTY; 4], [0; 160]);
    let mut world = World {
        tracker: Tracker::new(&mut slots, &mut bytes, Config::default()),
        table: DeviceTable::new(&mut table_slots, &mut table_bytes),
        now: Instant::from_micros(0),
        looks: VecDeque::new(),
        probes: VecDeque::new(),
        announced: BTreeSet::new(),
        known: BTreeSet::new(),
        sys: BTreeMap::new(),
        room: vec![0; 4096],
    };
    for op in data.chunks_exact(4) {
        let &[kind, path, what, time] = op else { unreachable!() };
        world.pass(u64::from(time) * 16);
        let path = PATHS[usize::from(path) % PATHS.len()];
        match kind % 8 {
            0..=2 => world.event(path, kind / 8, what),
            3 => drop(world.sys.insert(path.to_owned(), what)),
            4 => world.look(),
            5 => world.answer(what),
            6 => world.scan(what),
            _ => drop(world.handle(Input::Resynced)),
        }
    }
    // Whatever happened, in the end everybody is gone, and nothing is left to wait for.
    for path in PATHS {
        let _ = world.handle(Input::Absent(path.as_bytes()));
    }
    assert!(world.announced.is_empty(), "{:?}", world.announced);
    assert_eq!(world.tracker.next_deadline(), None);
    assert_eq!(world.tracker.announced().count(), 0);
}

impl World<'_> {
    fn handle(&mut self, input: Input<'_>) -> usize {
        if let Err(UsbError::Full | UsbError::PathTooLong) = self.tracker.handle(self.now, input) {
            assert!(self.tracker.refused() > 0);
        }
        let mut actions = 0;
        while let Some(action) = self.tracker.poll() {
            actions += 1;
            match action {
                Action::Inspect { device, devpath } => {
                    assert!(PATHS.iter().any(|path| path.as_bytes() == devpath));
                    self.looks.push_back(device);
                }
                Action::ProbeVolume { probe, devnode } => {
                    assert!(devnode.starts_with(b"/dev/"));
                    self.probes.push_back(probe);
                }
                Action::Announce { device, happening } => self.announce(device, happening),
            }
        }
        actions
    }

    fn announce(&mut self, device: DeviceId, happening: Happening) {
        let len = self.tracker.encode(device, false, &mut self.room).expect("room");
        // That our reader and serde_json agree is another target's subject.
        let json = parse(&self.room[..len]).expect("JSON").as_object().expect("an object");
        let path: String =
            json.get("devpath").and_then(|path| path.as_str()).expect("a path").chars().collect();
        assert!(!path.ends_with("usb1"), "a root hub");
        match happening {
            Happening::Add => assert!(self.announced.insert(path), "announced twice"),
            Happening::Change => assert!(self.announced.contains(&path), "changed, but not announced"),
            Happening::Remove => assert!(self.announced.remove(&path), "removed, but not announced"),
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        for _ in 0..64 {
            let Some(at) = self.tracker.next_deadline().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.handle(Input::Tick);
            assert!(self.tracker.next_deadline().is_none_or(|next| next > self.now), "ticks for ever");
        }
        self.now = self.now.max(end);
    }

    fn event(&mut self, path: &str, action: u8, what: u8) {
        let action = ACTIONS[usize::from(action) % ACTIONS.len()];
        let child = format!("{path}/child{}", what % 3);
        let node = format!("sd{}", what % 4);
        let own = [("SUBSYSTEM", "usb"), ("DEVTYPE", "usb_device")];
        let (devpath, mut vars) = match what / 4 % 4 {
            0 | 1 => (path, own.to_vec()),
            2 => (child.as_str(), vec![("SUBSYSTEM", "block"), ("DEVNAME", node.as_str())]),
            _ => (child.as_str(), vec![("SUBSYSTEM", "scsi"), ("DEVTYPE", "scsi_device")]),
        };
        if what & 0x80 != 0 {
            vars.push(("SYNTH_UUID", "0"));
        }
        if action == "move" {
            vars.push(("DEVPATH_OLD", PATHS[usize::from(what) % PATHS.len()]));
        }
        let mut out = [0; 1024];
        let mut builder = Builder::new(&mut out, action.as_bytes(), devpath.as_bytes());
        for (key, value) in vars {
            builder = builder.var(key, value);
        }
        let len = builder.finish().expect("room");
        let event = Uevent::parse(&out[..len]).expect("our own event");
        self.say(&event);
        match self.table.apply(&event) {
            Ok(Applied::Said(Happening::Add)) => assert!(self.known.insert(devpath.to_owned())),
            Ok(Applied::Said(Happening::Remove)) => assert!(self.known.remove(devpath)),
            // A rename moves others along.
            _ if action == "move" => self.known = self.listed(),
            _ => {}
        }
        self.is_known();
        assert!(self.handle(Input::Event(&event)) <= 1, "one event, one action");
    }

    fn listed(&self) -> BTreeSet<String> {
        assert!(self.table.len() <= self.table.capacity());
        let path = |path: &[u8]| String::from_utf8(path.to_vec()).expect("a path of ours");
        self.table.iter().map(|device| path(device.devpath)).collect()
    }

    /// The table has what is known, and nothing else.
    fn is_known(&self) {
        let mut devices = 0;
        for device in self.table.iter() {
            devices += 1;
            assert!(self.known.contains(std::str::from_utf8(device.devpath).expect("a path of ours")));
        }
        assert_eq!(devices, self.known.len());
    }

    fn say(&mut self, event: &Uevent<'_>) {
        let len = subject::uevent(event, &mut self.room).expect("room");
        assert!(is_literal(&self.room[..len]));
        let len = json::uevent(event, &mut self.room).expect("room");
        assert!(parse(&self.room[..len]).is_ok(), "JSON");
    }

    fn look(&mut self) {
        let Some(device) = self.looks.pop_front() else { return };
        let path = self.tracker.devpath(device).map(|path| String::from_utf8_lossy(path).into_owned());
        self.handle(Input::Look(device));
        let bits = path.and_then(|path| self.sys.get(&path).copied()).unwrap_or(0);
        let facts = [
            (1, Fact::Bound),
            (2, Fact::Interface { class: 8, bound: bits & 4 != 0 }),
            (8, Fact::Interface { class: 255, bound: bits & 4 != 0 }),
            (16, Fact::Unit { disk: true }),
            (32, Fact::Disk),
            (64, Fact::Volume { devnode: b"/dev/sd0", size: 512 }),
            (64, Fact::Node(b"/dev/sd0")),
            (128, Fact::Volume { devnode: b"/dev/sd1", size: u64::MAX }),
            (128, Fact::Attribute(Attribute::Serial, b" \xff\0\n")),
        ];
        for (bit, fact) in facts {
            if bits & bit != 0 {
                assert_eq!(self.handle(Input::Found(device, fact)), 0);
            }
        }
        assert!(self.handle(Input::Looked(device)) <= 1);
    }

    fn answer(&mut self, what: u8) {
        let Some(probe) = self.probes.pop_front() else { return };
        if what & 1 != 0 {
            // Twice: the second answer is to nothing.
            self.probes.push_back(probe);
        }
        let label = [what; 255];
        let label = &label[..usize::from(what)];
        let contents = Contents { fstype: b"vfat", label, uuid: b"1234-ABCD" };
        assert!(self.handle(Input::Probed(probe, contents)) <= 1);
    }

    fn scan(&mut self, what: u8) {
        self.table.begin_scan(u64::from(what));
        for (index, path) in PATHS.iter().enumerate() {
            if what >> index & 1 == 0 {
                continue;
            }
            let number = [what / 64];
            let identity = Identity::of([(&b"DEVNUM"[..], &number[..])].into_iter());
            match self.table.scan(path.as_bytes(), b"usb", identity) {
                Ok(Applied::Said(Happening::Add)) => {
                    assert!(self.known.insert((*path).to_owned()));
                    self.handle(Input::Present(path.as_bytes()));
                }
                Ok(Applied::Replaced) => {
                    self.handle(Input::Absent(path.as_bytes()));
                    self.handle(Input::Present(path.as_bytes()));
                }
                _ => {}
            }
        }
        while let Some(device) = self.table.next_missing() {
            let path = String::from_utf8(device.devpath.to_vec()).expect("a path of ours");
            assert!(self.known.remove(&path));
            self.handle(Input::Absent(path.as_bytes()));
        }
        self.is_known();
    }
}
