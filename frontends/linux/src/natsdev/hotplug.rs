//! The models of `lunix-core`, driven: what came from the kernel or from /sys goes in, what is to be said goes to
//! the [`Voice`], what is to be looked at waits until all that has arrived is handled.

use std::collections::VecDeque;

use lunix_core::device::loss::{self, Loss};
use lunix_core::device::table::{Applied, Device, Identity};
use lunix_core::device::usb::{
    self, Action, Attribute, Config, Contents, DeviceId, Fact, Input, ProbeId, Tracker,
};
use lunix_core::device::{DeviceTable, Happening, json, table};
use lunix_core::time::Instant;
use lunix_uevent::{ParseError, Uevent, monitor};

use super::announce::Announcement;
use super::known::Known;
use super::sysfs::{Sysfs, var, vars};
use super::voice::Voice;
use crate::log::{self, Level};

/// All that is known of the devices.
#[derive(Debug)]
pub(super) struct Hotplug {
    pub(super) table: DeviceTable<'static>,
    pub(super) usb: Tracker<'static>,
    pub(super) loss: Loss,
    pub(super) voice: Voice,
    pub(super) sysfs: Sysfs,
    pub(super) known: Known,
    pub(super) announcements: VecDeque<Announcement>,
    /// Marks the events that we asked for ourselves.
    pub(super) uuid: String,
    /// Devices are said only when an event of theirs has been handled, those too that a scan finds.
    pub(super) handles: bool,
    /// A comparison with /sys has found that devices went of which nobody has told us.
    pub(super) gone_unseen: bool,
    /// Devices that a scan found, and that are not said yet.
    unsaid: Vec<Vec<u8>>,
    /// Of them, those that the kernel is to be asked to speak of.
    pub(super) asks: Vec<Vec<u8>>,
    /// Devices to look at.
    looks: Vec<DeviceId>,
    pub(super) questions: Vec<(ProbeId, Vec<u8>)>,
    pub(super) counters: Counters,
}

/// What `natsdev.stats` tells, besides what the models count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) events: u64,
    /// Events that we asked for.
    pub(super) own: u64,
    pub(super) malformed: u64,
    pub(super) libudev: u64,
    pub(super) resyncs: u64,
    /// Devices that found no room.
    pub(super) full: u64,
}

/// Why there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Something has happened.
    Kernel,
    /// We wanted to hear of the device.
    Asked,
}

/// The devices that somebody asks for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) class: Option<Vec<u8>>,
    /// The device, and all below it.
    pub(super) devpath: Option<Vec<u8>>,
}

impl Filter {
    pub(super) fn is_everything(&self) -> bool {
        self.class.is_none() && self.devpath.is_none()
    }

    pub(super) fn admits(&self, devpath: &[u8], class: &[u8]) -> bool {
        let below = |parent: &Vec<u8>| {
            devpath
                .strip_prefix(parent.as_slice())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.class.as_ref().is_none_or(|wanted| wanted == class) && self.devpath.as_ref().is_none_or(below)
    }
}

/// Bytes that the path and the subsystem of a device take, on average, and more.
const BYTES_A_DEVICE: usize = 160;
/// Twice this much is known of a USB device at most.
const USB_FACTS: usize = 2048;

impl Hotplug {
    /// With room for so many USB devices, and none for others yet.
    pub(super) fn new(
        (config, max_usb): (Config, usize),
        (sysfs, known): (Sysfs, Known),
        voice: Voice,
        uuid: String,
    ) -> Self {
        let usb_slots = vec![usb::Slot::EMPTY; max_usb].leak();
        let usb_bytes = vec![0; max_usb * (usb::MAX_PATH + 2 * USB_FACTS)].leak();
        Self {
            table: DeviceTable::new(&mut [], &mut []),
            usb: Tracker::new(usb_slots, usb_bytes, config),
            loss: Loss::new(),
            voice,
            sysfs,
            known,
            announcements: VecDeque::new(),
            uuid,
            handles: false,
            gone_unseen: false,
            unsaid: Vec::new(),
            asks: Vec::new(),
            looks: Vec::new(),
            questions: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Makes room for so many devices, once; what is not used of it costs nothing.
    pub(super) fn reserve(&mut self, devices: usize) {
        let slots = vec![table::Slot::EMPTY; devices].leak();
        let bytes = vec![0; devices * BYTES_A_DEVICE].leak();
        self.table = DeviceTable::new(slots, bytes);
    }

    /// A datagram of the kernel: it is said as it came. [`Hotplug::handled`] follows when the device is ready for use.
    pub(super) fn heard(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ParseError> {
        let event = Uevent::parse(bytes).inspect_err(|error| match error {
            ParseError::LibudevMessage => self.counters.libudev += 1,
            _ => self.counters.malformed += 1,
        })?;
        self.counters.events += 1;
        if let Some(seqnum) = event.seqnum() {
            self.loss.handle(now, loss::Input::Seen { seqnum });
        }
        let own = self.origin(&event) == Origin::Asked;
        self.counters.own += u64::from(own);
        // Before anybody can listen, our own coldplug is nobody's news.
        if self.voice.introduced || !own {
            self.voice.uevent(&event);
        }
        Ok(())
    }

    /// What a datagram means is done, as far as it is not for us to say. `told` is what users of libudev hear of it; where
    /// nobody handles devices, it is empty. Answers whose the event was.
    pub(super) fn handled(&mut self, now: Instant, bytes: &[u8], told: &[u8]) -> Origin {
        let Ok(event) = Uevent::parse(bytes) else { return Origin::Kernel };
        let (devpath, class) = (event.devpath(), event.subsystem());
        let unsaid = self.unsaid.iter().position(|unsaid| unsaid == devpath);
        let unsaid = unsaid.map(|at| self.unsaid.swap_remove(at));
        match self.table.apply(&event) {
            Ok(Applied::Known) if unsaid.is_some() && class != b"usb" => {
                self.say(Happening::Add, &event, told);
            }
            Ok(Applied::Said(happening)) if class != b"usb" => self.say(happening, &event, told),
            Ok(Applied::Replaced) if class == b"usb" => {
                let _ = self.usb.handle(now, Input::Absent(devpath));
                self.settle();
            }
            Ok(Applied::Replaced) => {
                self.voice.device(Happening::Remove, devpath, class, std::iter::empty(), false);
                self.say(Happening::Add, &event, told);
            }
            Ok(_) => {}
            Err(table::TableFull) => self.full(devpath, class),
        }
        if self.usb.handle(now, Input::Event(&event)).is_err() {
            self.full(devpath, class);
        }
        self.settle();
        self.origin(&event)
    }

    /// A message that was read from /sys has no number.
    fn origin(&self, event: &Uevent<'_>) -> Origin {
        let asked = event.synth_uuid().is_some_and(|uuid| uuid == self.uuid.as_bytes());
        if asked || event.seqnum().is_none() { Origin::Asked } else { Origin::Kernel }
    }

    /// Says what has happened to a device, with all that is known of it.
    fn say(&mut self, happening: Happening, event: &Uevent<'_>, told: &[u8]) {
        let (devpath, class) = (event.devpath(), event.subsystem());
        match monitor::Message::parse(told) {
            Ok(message) => self.voice.device(happening, devpath, class, message.properties(), false),
            Err(_) => self.voice.device(happening, devpath, class, event.vars(), false),
        }
    }

    /// The socket is empty: if events were lost, this is when it is known which.
    pub(super) fn drained(&mut self, now: Instant) {
        let newest = if self.loss.wants_newest() { self.sysfs.newest() } else { None };
        self.loss_happened(now, loss::Input::Drained { newest });
    }

    fn loss_happened(&mut self, now: Instant, input: loss::Input) {
        self.loss.handle(now, input);
        while let Some(loss::Action::Resync { from, to }) = self.loss.poll() {
            self.counters.resyncs += 1;
            log::line(
                Level::Warn,
                super::NAME,
                format_args!("the kernel dropped events (numbers {from} to {to}): comparing with /sys"),
            );
            self.voice.lost(from, to);
            self.compare(now);
        }
    }

    /// Compares all that is known with /sys, and says what differs.
    pub(super) fn compare(&mut self, now: Instant) {
        self.scan(now);
        let _ = self.usb.handle(now, Input::Resynced);
        self.settle();
    }

    /// Compares the table with /sys, and says what differs.
    pub(super) fn scan(&mut self, now: Instant) {
        self.table.begin_scan(self.sysfs.newest().unwrap_or(0));
        for (devpath, class) in self.sysfs.devices().iter() {
            // It went while we looked: then it is not there.
            let Ok(text) = self.sysfs.uevent(devpath) else { continue };
            let stick = class == b"usb" && var(&text, b"DEVTYPE") == Some(b"usb_device");
            let applied = self.table.scan(devpath, class, Identity::of(vars(&text)));
            match applied {
                Ok(Applied::Said(_) | Applied::Replaced) => {}
                Ok(_) => continue,
                Err(table::TableFull) => {
                    self.full(devpath, class);
                    continue;
                }
            }
            let replaced = applied == Ok(Applied::Replaced);
            if stick {
                if replaced {
                    let _ = self.usb.handle(now, Input::Absent(devpath));
                    self.settle();
                }
                if self.usb.handle(now, Input::Present(devpath)).is_err() {
                    self.full(devpath, class);
                }
                self.settle();
            } else if class != b"usb" {
                if replaced {
                    self.voice.device(Happening::Remove, devpath, class, std::iter::empty(), false);
                }
                if !self.handles {
                    let found = self.known.of(devpath, class, &text);
                    let properties = vars(&text).chain(found.iter());
                    self.voice.device(Happening::Add, devpath, class, properties, false);
                }
            }
            if self.handles {
                self.asks.push(devpath.to_vec());
                self.unsaid.push(devpath.to_vec());
            }
        }
        while let Some(Device { devpath, subsystem }) = self.table.next_missing() {
            self.gone_unseen = true;
            if subsystem == b"usb" {
                let _ = self.usb.handle(now, Input::Absent(devpath));
                settle(&mut self.usb, &mut self.voice, &mut self.looks, &mut self.questions);
            } else {
                self.voice.device(Happening::Remove, devpath, subsystem, std::iter::empty(), false);
            }
        }
    }

    /// All that the kernel was asked for has been handled: of what is not said yet, it says nothing.
    pub(super) fn settled(&mut self) {
        for devpath in std::mem::take(&mut self.unsaid) {
            if let Some(device) = self.table.find(&devpath)
                && device.subsystem != b"usb"
                && let Ok(text) = self.sysfs.uevent(&devpath)
            {
                let found = self.known.of(&devpath, device.subsystem, &text);
                let properties = vars(&text).chain(found.iter());
                self.voice.device(Happening::Add, &devpath, device.subsystem, properties, false);
            }
        }
    }

    /// Looks at the USB devices for which it is time. To be called when the socket is empty.
    pub(super) fn look(&mut self, now: Instant) {
        while let Some(device) = self.looks.pop() {
            let Some(devpath) = self.usb.devpath(device).map(<[u8]>::to_vec) else { continue };
            let _ = self.usb.handle(now, Input::Look(device));
            let usb = &mut self.usb;
            let mut tell = |fact: Fact<'_>| {
                let _ = usb.handle(now, Input::Found(device, fact));
            };
            if let Ok(text) = self.sysfs.uevent(&devpath) {
                let found = self.known.of(&devpath, b"usb", &text);
                let names = [
                    (Attribute::VendorName, &b"ID_VENDOR_FROM_DATABASE"[..]),
                    (Attribute::ProductName, b"ID_MODEL_FROM_DATABASE"),
                ];
                for (attribute, key) in names {
                    tell(Fact::Attribute(attribute, found.get(key).unwrap_or_default()));
                }
            }
            self.sysfs.inspect(&devpath, tell);
            let _ = self.usb.handle(now, Input::Looked(device));
            self.settle();
        }
    }

    /// A question about a volume is answered.
    pub(super) fn probed(&mut self, now: Instant, probe: ProbeId, contents: &super::probe::Contents) {
        let contents = Contents {
            fstype: contents.fstype.as_bytes(),
            label: contents.label.as_bytes(),
            uuid: contents.uuid.as_bytes(),
        };
        let _ = self.usb.handle(now, Input::Probed(probe, contents));
        self.settle();
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.loss_happened(now, loss::Input::Tick);
        let _ = self.usb.handle(now, Input::Tick);
        self.settle();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.usb.next_deadline().into_iter().chain(self.loss.next_deadline()).min()
    }

    /// Hands what was announced, one by one and in the same words, to `tell`.
    pub(super) fn list(&self, filter: &Filter, mut tell: impl FnMut(&[u8])) {
        let mut out = vec![0; 4 * USB_FACTS];
        for Device { devpath, subsystem } in self.table.iter() {
            if subsystem != b"usb"
                && filter.admits(devpath, subsystem)
                && let Ok(text) = self.sysfs.uevent(devpath)
            {
                let found = self.known.of(devpath, subsystem, &text);
                let properties = vars(&text).chain(found.iter());
                if let Ok(len) = json::device(devpath, subsystem, properties, false, &mut out) {
                    tell(out.get(..len).unwrap_or_default());
                }
            }
        }
        for device in self.usb.announced() {
            if filter.admits(self.usb.devpath(device).unwrap_or_default(), b"usb")
                && let Ok(len) = self.usb.encode(device, false, &mut out)
            {
                tell(out.get(..len).unwrap_or_default());
            }
        }
    }

    /// The devices that `filter` admits, by path.
    pub(super) fn paths(&self, filter: &Filter) -> Vec<Vec<u8>> {
        self.table
            .iter()
            .filter(|device| filter.admits(device.devpath, device.subsystem))
            .map(|device| device.devpath.to_vec())
            .collect()
    }

    fn full(&mut self, devpath: &[u8], class: &[u8]) {
        self.counters.full += 1;
        let limit = if class == b"usb" { self.usb.capacity() } else { self.table.capacity() };
        log::line(
            Level::Error,
            super::NAME,
            format_args!("no room for {}: more than {limit} devices", devpath.escape_ascii()),
        );
        self.voice.full(devpath, class, limit);
    }

    fn settle(&mut self) {
        settle(&mut self.usb, &mut self.voice, &mut self.looks, &mut self.questions);
    }
}

/// Carries out what the tracker of USB devices wants.
fn settle(
    usb: &mut Tracker<'_>,
    voice: &mut Voice,
    looks: &mut Vec<DeviceId>,
    questions: &mut Vec<(ProbeId, Vec<u8>)>,
) {
    while let Some(action) = usb.poll() {
        match action {
            Action::Inspect { device, .. } => looks.push(device),
            Action::ProbeVolume { probe, devnode } => questions.push((probe, devnode.to_vec())),
            Action::Announce { device, happening } => voice.usb(happening, usb, device, false),
        }
    }
}
