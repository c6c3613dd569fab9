//! All that is present is said, one after the other and no faster than the server reads.

use std::vec::IntoIter;

use lunix_core::device::Happening;

use super::hotplug::{Filter, Hotplug};
use super::sysfs::vars;

/// Devices that are to be said.
#[derive(Debug)]
pub(super) struct Announcement {
    devices: IntoIter<(Vec<u8>, Kind)>,
    again: bool,
    /// It is of all devices: who has heard it knows what there is.
    whole: bool,
    begun: bool,
    said: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Usb,
    Other,
}

/// Announcements that wait; those who want more are refused.
const WAITING: usize = 8;
/// Of each, /sys is read: what happens meanwhile waits for no more than these.
const AT_ONCE: usize = 2;
/// Bytes that wait for the server, above which the rest has to, too.
const AHEAD: usize = 64 << 10;

impl Hotplug {
    /// Has all devices said that are present. How many those are; `None` if too much waits already.
    pub(super) fn announce(&mut self, filter: &Filter, again: bool) -> Option<usize> {
        if self.announcements.len() >= WAITING {
            return None;
        }
        let others = self.table.iter().filter(|device| device.subsystem != b"usb");
        let others = others.filter(|device| filter.admits(device.devpath, device.subsystem));
        let others = others.map(|device| (device.devpath.to_vec(), Kind::Other));
        let usb = self.usb.announced().filter_map(|device| self.usb.devpath(device));
        let usb = usb.filter(|devpath| filter.admits(devpath, b"usb"));
        let devices: Vec<_> = others.chain(usb.map(|devpath| (devpath.to_vec(), Kind::Usb))).collect();
        let count = devices.len();
        self.announcements.push_back(Announcement {
            devices: devices.into_iter(),
            again,
            whole: filter.is_everything(),
            begun: false,
            said: 0,
        });
        Some(count)
    }

    /// Whether there is something to be announced, and the server has read what was said before.
    pub(super) fn may_announce(&self) -> bool {
        !self.announcements.is_empty() && self.voice.bus.pending() < AHEAD
    }

    /// Says some of it.
    pub(super) fn announce_some(&mut self) {
        for _ in 0..AT_ONCE {
            if !self.may_announce() {
                return;
            }
            let Some(announcement) = self.announcements.front_mut() else { return };
            let Announcement { again, whole, said, .. } = *announcement;
            if !std::mem::replace(&mut announcement.begun, true) && whole {
                self.voice.snapshot_begin(again);
            }
            match announcement.devices.next() {
                Some((devpath, kind)) => {
                    let is_said = self.say_present(&devpath, kind, again);
                    if let Some(announcement) = self.announcements.front_mut() {
                        announcement.said += u64::from(is_said);
                    }
                }
                None => {
                    self.announcements.pop_front();
                    if whole {
                        self.voice.snapshot_end(again, said);
                    }
                }
            }
        }
    }

    /// Whoever would have heard it is gone.
    pub(super) fn stop_announcing(&mut self) {
        self.announcements.clear();
    }

    /// Says a device, if it is still there.
    fn say_present(&mut self, devpath: &[u8], kind: Kind, again: bool) -> bool {
        let Self { table, usb, voice, sysfs, known, .. } = self;
        match kind {
            Kind::Usb => {
                let device = usb.announced().find(|device| usb.devpath(*device) == Some(devpath));
                device.inspect(|device| voice.usb(Happening::Add, usb, *device, again)).is_some()
            }
            Kind::Other => {
                let Some(device) = table.find(devpath) else { return false };
                let Ok(text) = sysfs.uevent(devpath) else { return false };
                let found = known.of(devpath, device.subsystem, &text);
                let properties = vars(&text).chain(found.iter());
                voice.device(Happening::Add, devpath, device.subsystem, properties, again);
                true
            }
        }
    }
}
