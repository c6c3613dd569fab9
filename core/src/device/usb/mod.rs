//! USB devices, each announced once, when it is ready for use.
//!
//! The kernel makes a dozen devices of one stick, over about a second: the USB device, its interfaces, drivers
//! that bind, a SCSI host, a unit, a disk, partitions. [`Tracker`] watches these events, but does not count
//! them: when one comes that may complete a device, it asks its driver to look at the device's folder in /sys
//! ([`Action::Inspect`]). So it does not matter whether a stick was just plugged in, was there before the
//! daemon, or came while events were lost.
//!
//! A device is ready when it and all its interfaces have drivers, and every SCSI unit of a mass-storage interface
//! has its disk. The kernel tells of a disk when its partitions exist already, and not a moment before, so that
//! event is waited for even if the disk is in /sys. Then the driver is asked what
//! each volume holds ([`Action::ProbeVolume`], one after the other), and the device is announced.
//!
//! - Some interfaces have no driver at all: after [`Config::drivers`] the others are enough. A mass-storage
//!   interface is worth the wait for its driver.
//! - [`Config::ready`] after it appeared, a device is announced with what it has.
//! - A device that goes before it was announced was never there: nothing is said. Every announced device has
//!   exactly one removal.
//! - What happens below an announced device (a medium is put into a card reader, a modem changes its mode) makes
//!   it be looked at again after [`Config::settle`]; if it is different then, that is announced as a change.
//!   Unless it has fewer drivers than before: a device that is pulled loses them first, so that is only believed
//!   after [`Config::ready`].
//! - Root hubs are the computer's own sockets, not something that somebody plugs in: they are left out. Other
//!   hubs are devices as any other.

mod facts;
mod interfaces;
mod slot;

use lunix_proto::Full;
use lunix_uevent::{Action as Kernel, Uevent};

pub use facts::{Attribute, Contents, Fact};
use facts::{Facts, Readiness};
pub use interfaces::{MAX_INTERFACES, interface_type, interfaces, scsi_type, storage_type};
use slot::Phase;
pub use slot::Slot;

use super::{Happening, name, table::is_below};
use crate::time::{Duration, Instant};

/// The USB devices of a machine. Memory is the caller's.
///
/// `handle` causes at most one action for an event or an answer, and at most one per device for
/// [`Input::Tick`] and [`Input::Resynced`].
#[derive(Debug)]
pub struct Tracker<'m> {
    slots: &'m mut [Slot],
    bytes: &'m mut [u8],
    config: Config,
    /// Each device's share of `bytes`.
    share: usize,
    refused: u64,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// After this, a device is announced with what it has.
    pub ready: Duration,
    /// After this, an interface without a driver will have none (mass storage excepted).
    pub drivers: Duration,
    /// How long after an event an announced device is looked at again. What comes meanwhile is the same look;
    /// a removal makes it needless.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(10),
            drivers: Duration::from_secs(1),
            settle: Duration::from_millis(300),
        }
    }
}

/// A device that the tracker knows, until it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId {
    slot: u16,
    generation: u16,
}

/// A question about a volume, to be answered with [`Input::Probed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId {
    device: DeviceId,
    inspection: u16,
    volume: u16,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A kernel event, of any subsystem.
    Event(&'a Uevent<'a>),
    /// A scan of /sys found a USB device (`DEVTYPE=usb_device`) that the device table did not know.
    Present(&'a [u8]),
    /// A scan of /sys no longer found what was there, or found another device in its place.
    Absent(&'a [u8]),
    /// The driver begins to look at a device, as [`Action::Inspect`] asked. What happens from now on is news.
    Look(DeviceId),
    /// What it found, piece by piece.
    Found(DeviceId, Fact<'a>),
    /// That was all.
    Looked(DeviceId),
    /// What a volume holds: the answer that every [`Action::ProbeVolume`] must get, once, within a time that the
    /// driver bounds.
    Probed(ProbeId, Contents<'a>),
    /// Events were lost and the scan is over: all devices are looked at again.
    Resynced,
    /// The deadline has come.
    Tick,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'t> {
    /// Look at the folder `devpath` below /sys, once all events that have arrived are handled: [`Input::Look`],
    /// any number of [`Input::Found`] in an order that does not change from look to look, [`Input::Looked`].
    /// If the folder is gone, nothing is found.
    Inspect {
        /// The device.
        device: DeviceId,
        /// Its path below /sys.
        devpath: &'t [u8],
    },
    /// Find out what `devnode` holds, and answer with [`Input::Probed`].
    ProbeVolume {
        /// The question.
        probe: ProbeId,
        /// The node.
        devnode: &'t [u8],
    },
    /// Say `hardware.usb.<happening>` with what [`Tracker::encode`] makes of the device now.
    Announce {
        /// The device.
        device: DeviceId,
        /// What happened to it.
        happening: Happening,
    },
}

/// Why an input was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsbError {
    /// All slots are taken: the device will not be announced.
    Full,
    /// The device's path is longer than [`MAX_PATH`]: it will not be announced.
    PathTooLong,
}

impl core::fmt::Display for UsbError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "the table of USB devices is full",
            Self::PathTooLong => "the path of the USB device is too long",
        })
    }
}

impl core::error::Error for UsbError {}

/// The longest path of a USB device: seven hubs deep behind a few bridges it has half of that.
pub const MAX_PATH: usize = 256;

impl<'m> Tracker<'m> {
    /// No device yet. Of `bytes`, every slot gets the same share: [`MAX_PATH`], and the rest twice for what is
    /// known of the device. 1024 bytes are enough for most; what does not fit is left out and the device's JSON
    /// says `"truncated": true`.
    pub fn new(slots: &'m mut [Slot], bytes: &'m mut [u8], config: Config) -> Self {
        slots.fill(Slot::EMPTY);
        let share = bytes.len().checked_div(slots.len()).unwrap_or(0).min(usize::from(u16::MAX));
        // Without room for a path there is no room for a device.
        let usable = if share < MAX_PATH { 0 } else { slots.len().min(usize::from(u16::MAX)) };
        let slots = slots.get_mut(..usable).unwrap_or_default();
        Self { slots, bytes, config, share, refused: 0 }
    }

    /// How many devices were refused for lack of room.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// How many devices there is room for.
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The devices that are announced now.
    pub fn announced(&self) -> impl Iterator<Item = DeviceId> {
        let announced = |slot: &Slot| slot.announced && !matches!(slot.phase, Phase::Free | Phase::Left);
        self.slots
            .iter()
            .enumerate()
            .filter(move |(_, slot)| announced(slot))
            .map(|(index, slot)| slot.id(index))
    }

    /// Where a device is below /sys.
    pub fn devpath(&self, device: DeviceId) -> Option<&[u8]> {
        let index = self.index(device)?;
        Some(self.path(index))
    }

    /// The JSON of a device: `devpath vendor product vendor_name product_name manufacturer model serial class speed
    /// devnode port nodes net input volumes`. What the device does not tell is left out; of a volume, it is null. `again`: see
    /// [`json::device`](super::json::device).
    ///
    /// # Errors
    /// It does not fit into `out`.
    pub fn encode(&self, device: DeviceId, again: bool, out: &mut [u8]) -> Result<usize, Full> {
        let Some(index) = self.index(device) else {
            return Facts::new(&[]).encode(b"", again, out);
        };
        self.facts(index).encode(self.path(index), again, out)
    }

    /// Takes what happened; then [`poll`](Self::poll) until `None`.
    ///
    /// # Errors
    /// A new device finds no room; all others are as they were.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), UsbError> {
        self.sweep();
        match input {
            Input::Event(event) => return self.event(now, event),
            Input::Present(devpath) => return self.appeared(now, devpath, true),
            Input::Absent(devpath) => self.disappeared(devpath),
            Input::Look(device) => {
                if let Some(slot) = self.slot(device, Phase::Inspecting) {
                    slot.dirty = false;
                    slot.draft = 0;
                    slot.inspection = slot.inspection.wrapping_add(1);
                }
            }
            Input::Found(device, fact) => {
                if self.slot(device, Phase::Inspecting).is_some() {
                    self.draft(device, |bytes, len| facts::push(bytes, len, fact));
                }
            }
            Input::Looked(device) => {
                if self.slot(device, Phase::Inspecting).is_some() {
                    self.looked(now, device);
                }
            }
            Input::Probed(probe, contents) => self.probed(now, probe, contents),
            Input::Resynced => {
                for slot in self.slots.iter_mut().filter(|slot| slot.phase != Phase::Free) {
                    slot.cold = true;
                    slot.look_again(now, Duration::ZERO);
                }
            }
            Input::Tick => self.tick(now),
        }
        Ok(())
    }

    /// What has to be done; call it after each [`handle`](Self::handle) until it says `None`.
    pub fn poll(&mut self) -> Option<Action<'_>> {
        self.sweep();
        let index = self.slots.iter().position(|slot| slot.phase.is_due())?;
        let slot = self.slots.get_mut(index)?;
        let device = slot.id(index);
        match slot.phase {
            Phase::InspectDue => {
                slot.phase = Phase::Inspecting;
                Some(Action::Inspect { device, devpath: self.path(index) })
            }
            Phase::ProbeDue => {
                slot.phase = Phase::Probing;
                let probe = ProbeId { device, inspection: slot.inspection, volume: slot.volume };
                let devnode = Facts::new(self.draft_bytes(index)).volume(probe.volume).unwrap_or_default();
                Some(Action::ProbeVolume { probe, devnode })
            }
            Phase::AnnounceDue(happening) => {
                slot.phase = match happening {
                    Happening::Remove => Phase::Left,
                    _ => Phase::Idle,
                };
                Some(Action::Announce { device, happening })
            }
            _ => None,
        }
    }

    /// When [`Input::Tick`] is due; `None` if no device waits for anything.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| slot.phase != Phase::Free).filter_map(|slot| slot.wake).min()
    }

    fn event(&mut self, now: Instant, event: &Uevent<'_>) -> Result<(), UsbError> {
        let devpath = event.devpath();
        if event.subsystem() == b"usb" && event.devtype() == Some(b"usb_device") {
            match event.action() {
                // Coldplug: what was there before has been bound before.
                Kernel::Add => return self.appeared(now, devpath, event.synth_uuid().is_some()),
                Kernel::Remove => {
                    self.disappeared(devpath);
                    return Ok(());
                }
                _ => {}
            }
        }
        let Some(index) = self.owner(devpath) else { return Ok(()) };
        if event.subsystem() == b"block" && event.devtype() == Some(b"disk") {
            self.disk(index, event.action());
        }
        let announced = self.slots.get(index).is_some_and(|slot| slot.announced);
        let relevant = if announced { may_differ(event, self.facts(index)) } else { may_complete(event) };
        if relevant {
            self.look_again(now, index);
        }
        Ok(())
    }

    /// A disk is in /sys before its partitions are; it is told of when they are there, too.
    fn disk(&mut self, index: usize, action: Kernel<'_>) {
        if let Some(slot) = self.slots.get_mut(index) {
            match action {
                Kernel::Add => slot.disks_told = slot.disks_told.saturating_add(1),
                Kernel::Remove => slot.disks_told = slot.disks_told.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn appeared(&mut self, now: Instant, devpath: &[u8], bound: bool) -> Result<(), UsbError> {
        if is_root_hub(devpath) {
            return Ok(());
        }
        if let Some(index) = self.position(devpath) {
            self.look_again(now, index);
            return Ok(());
        }
        let found = match self.slots.iter().position(|slot| slot.phase == Phase::Free) {
            _ if devpath.len() > MAX_PATH => Err(UsbError::PathTooLong),
            None => Err(UsbError::Full),
            Some(index) => Ok(index),
        };
        let index = found.inspect_err(|_| self.refused = self.refused.saturating_add(1))?;
        let at = index * self.share;
        if let Some(place) = self.bytes.get_mut(at..at + devpath.len()) {
            place.copy_from_slice(devpath);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot {
                phase: if bound { Phase::InspectDue } else { Phase::Idle },
                generation: slot.generation.wrapping_add(1),
                since: now,
                wake: Some(now + self.config.ready),
                cold: bound,
                path: u16::try_from(devpath.len()).unwrap_or(0),
                ..Slot::EMPTY
            };
        }
        Ok(())
    }

    fn look_again(&mut self, now: Instant, index: usize) {
        let settle = self.config.settle;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.look_again(now, if slot.announced { settle } else { Duration::ZERO });
        }
    }

    fn disappeared(&mut self, devpath: &[u8]) {
        if let Some(index) = self.position(devpath)
            && let Some(slot) = self.slots.get_mut(index)
        {
            slot.wake = None;
            slot.phase = if slot.announced { Phase::AnnounceDue(Happening::Remove) } else { Phase::Free };
        }
    }

    fn looked(&mut self, now: Instant, device: DeviceId) {
        let Some(index) = self.index(device) else { return };
        let draft = Facts::new(self.draft_bytes(index));
        let (readiness, driverless) = (draft.readiness(), draft.driverless());
        let lost_drivers = driverless > self.facts(index).driverless();
        let disks = draft.disks();
        let config = self.config;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let retreating = slot.announced && lost_drivers;
        if retreating && !slot.retreating {
            slot.since = now;
        }
        slot.retreating = retreating;
        let (drivers, overdue) = (slot.since + config.drivers, slot.since + config.ready);
        let ready = match readiness {
            _ if slot.overdue => true,
            _ if slot.announced => !retreating,
            _ if !slot.cold && disks > usize::from(slot.disks_told) => false,
            Readiness::Ready => true,
            Readiness::ButDrivers => now >= drivers,
            Readiness::Not => false,
        };
        let gone = slot.draft == 0;
        if gone || !ready {
            // Where the folder is gone, the removal is on its way, or was told already.
            slot.wake = match readiness {
                _ if slot.overdue || gone && slot.announced => None,
                Readiness::ButDrivers if !slot.announced => Some(drivers.min(overdue)),
                _ => Some(overdue),
            };
            slot.phase = if slot.dirty { Phase::InspectDue } else { Phase::Idle };
            slot.dirty = false;
            return;
        }
        slot.overdue = false;
        slot.retreating = false;
        slot.volume = 0;
        // The driver bounds the time of each probe.
        slot.wake = None;
        self.probe_or_announce(now, index);
    }

    fn probed(&mut self, now: Instant, probe: ProbeId, contents: Contents<'_>) {
        let Some(slot) = self.slot(probe.device, Phase::Probing) else { return };
        if (slot.inspection, slot.volume) != (probe.inspection, probe.volume) {
            return;
        }
        slot.volume = slot.volume.saturating_add(1);
        self.draft(probe.device, |bytes, len| facts::push_contents(bytes, len, probe.volume, contents));
        if let Some(index) = self.index(probe.device) {
            self.probe_or_announce(now, index);
        }
    }

    fn probe_or_announce(&mut self, now: Instant, index: usize) {
        let Some(slot) = self.slots.get(index).copied() else { return };
        let differs = self.draft_bytes(index) != self.facts_bytes(index);
        let phase = if Facts::new(self.draft_bytes(index)).volume(slot.volume).is_some() {
            Phase::ProbeDue
        } else if !slot.announced {
            Phase::AnnounceDue(Happening::Add)
        } else if differs {
            Phase::AnnounceDue(Happening::Change)
        } else {
            Phase::Idle
        };
        if let Phase::AnnounceDue(_) = phase {
            let room = self.room();
            let at = index * self.share + MAX_PATH;
            let draft = at + room;
            if draft + usize::from(slot.draft) <= self.bytes.len() {
                self.bytes.copy_within(draft..draft + usize::from(slot.draft), at);
            }
        }
        let settle = self.config.settle;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.phase = phase;
        match phase {
            Phase::ProbeDue => return,
            Phase::AnnounceDue(_) => {
                slot.announced = true;
                slot.facts = slot.draft;
            }
            _ => {}
        }
        if slot.dirty {
            slot.dirty = false;
            slot.wake = Some(now + settle);
        }
    }

    fn tick(&mut self, now: Instant) {
        let ready = self.config.ready;
        for slot in self.slots.iter_mut() {
            if slot.wake.is_none_or(|at| at > now) {
                continue;
            }
            slot.wake = None;
            slot.overdue = (!slot.announced || slot.retreating) && now >= slot.since + ready;
            if !slot.announced && !slot.overdue {
                slot.wake = Some(slot.since + ready);
            }
            slot.look_again(now, Duration::ZERO);
        }
    }

    /// Frees the slots whose removal was told.
    fn sweep(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.phase == Phase::Left) {
            slot.phase = Phase::Free;
        }
    }

    fn slot(&mut self, device: DeviceId, phase: Phase) -> Option<&mut Slot> {
        let index = self.index(device)?;
        self.slots.get_mut(index).filter(|slot| slot.phase == phase)
    }

    fn index(&self, device: DeviceId) -> Option<usize> {
        let index = usize::from(device.slot);
        let slot = self.slots.get(index)?;
        (slot.phase != Phase::Free && slot.generation == device.generation).then_some(index)
    }

    fn position(&self, devpath: &[u8]) -> Option<usize> {
        self.present().find(|index| self.path(*index) == devpath)
    }

    /// The device that `devpath` is a part of. Of a hub and the stick in it, it is the stick.
    fn owner(&self, devpath: &[u8]) -> Option<usize> {
        self.present()
            .filter(|index| {
                let path = self.path(*index);
                path == devpath || is_below(devpath, path)
            })
            .max_by_key(|index| self.path(*index).len())
    }

    fn present(&self) -> impl Iterator<Item = usize> {
        let gone = [Phase::Free, Phase::Left, Phase::AnnounceDue(Happening::Remove)];
        self.slots
            .iter()
            .enumerate()
            .filter(move |(_, slot)| !gone.contains(&slot.phase))
            .map(|(index, _)| index)
    }

    fn path(&self, index: usize) -> &[u8] {
        let at = index * self.share;
        let len = self.slots.get(index).map_or(0, |slot| usize::from(slot.path));
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    /// The length of each of the two lists of facts of a device.
    const fn room(&self) -> usize {
        self.share.saturating_sub(MAX_PATH) / 2
    }

    fn facts(&self, index: usize) -> Facts<'_> {
        Facts::new(self.facts_bytes(index))
    }

    fn facts_bytes(&self, index: usize) -> &[u8] {
        let at = index * self.share + MAX_PATH;
        let len = self.slots.get(index).map_or(0, |slot| usize::from(slot.facts));
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    fn draft_bytes(&self, index: usize) -> &[u8] {
        let at = index * self.share + MAX_PATH + self.room();
        let len = self.slots.get(index).map_or(0, |slot| usize::from(slot.draft));
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    fn draft(&mut self, device: DeviceId, push: impl FnOnce(&mut [u8], usize) -> usize) {
        let (room, index) = (self.room(), usize::from(device.slot));
        let at = index * self.share + MAX_PATH + room;
        if let Some(slot) = self.slots.get_mut(index)
            && let Some(bytes) = self.bytes.get_mut(at..at + room)
        {
            slot.draft = u16::try_from(push(bytes, usize::from(slot.draft))).unwrap_or(slot.draft);
        }
    }
}

/// Whether an event may be the last that a device was waiting for.
fn may_complete(event: &Uevent<'_>) -> bool {
    match event.action() {
        Kernel::Bind => true,
        Kernel::Add | Kernel::Change => {
            event.subsystem() == b"block" || event.devtype() == Some(b"scsi_device")
        }
        _ => false,
    }
}

/// Whether an event may make an announced device different from what was said of it.
fn may_differ(event: &Uevent<'_>, facts: Facts<'_>) -> bool {
    let node = event.devname();
    match event.action() {
        // The nodes of a device are often announced right behind the event that made it complete.
        Kernel::Add => event.subsystem() == b"net" || node.is_some_and(|devname| !facts.has_node(devname)),
        Kernel::Remove | Kernel::Change | Kernel::Move => event.subsystem() == b"net" || node.is_some(),
        Kernel::Bind | Kernel::Unbind => event.subsystem() == b"usb",
        _ => false,
    }
}

/// The kernel names root hubs `usb1`, `usb2`, …, and devices by bus and ports: `1-1.4`.
fn is_root_hub(devpath: &[u8]) -> bool {
    name(devpath).starts_with(b"usb")
}

#[cfg(test)]
mod tests;
