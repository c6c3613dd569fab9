//! What is said: subjects and payloads, from the models of `lunix-core` to the bus.

use lunix_core::device::usb::{DeviceId, Tracker};
use lunix_core::device::{Happening, json, subject};
use lunix_proto::Full;
use lunix_uevent::{MAX_MESSAGE, Uevent};

use super::Token;
use crate::bus::Bus;

/// The bus, and the memory in which messages are made.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) bus: Bus<Token>,
    subject: Vec<u8>,
    payload: Vec<u8>,
    /// Messages handed to the bus.
    pub(super) published: u64,
    /// Before the first connection, what is present is not said one by one: all of it will be, then.
    pub(super) introduced: bool,
}

/// Room for the longest message. So much at once comes from the kernel as zeroes, of which only what is written ever
/// takes memory; an allocation of just the right size would be cleared by hand, and be there for good.
const PAYLOAD: usize = 256 << 10;
/// Room for the longest subject: action and subsystem of one kernel message.
const MAX_SUBJECT: usize = MAX_MESSAGE + 64;
const _: () = assert!(PAYLOAD >= json::MAX_UEVENT_JSON);

impl Voice {
    pub(super) fn new(bus: Bus<Token>) -> Self {
        let payload = vec![0; PAYLOAD];
        Self { bus, subject: vec![0; MAX_SUBJECT], payload, published: 0, introduced: false }
    }

    /// `uevent.<subsystem>.<action>`
    pub(super) fn uevent(&mut self, event: &Uevent<'_>) {
        self.say(|out| subject::uevent(event, out), |out| json::uevent(event, out));
    }

    /// `uevent.lost`
    pub(super) fn lost(&mut self, from: u64, to: u64) {
        self.say(|out| fixed("uevent.lost", out), |out| json::lost(from, to, out));
    }

    /// `hardware.full`
    pub(super) fn full(&mut self, devpath: &[u8], subsystem: &[u8], limit: usize) {
        self.say(|out| fixed("hardware.full", out), |out| json::full(devpath, subsystem, limit as u64, out));
    }

    /// `hardware.snapshot.begin`
    pub(super) fn snapshot_begin(&mut self, again: bool) {
        self.say(|out| fixed("hardware.snapshot.begin", out), |out| json::snapshot_begin(again, out));
    }

    /// `hardware.snapshot.end`
    pub(super) fn snapshot_end(&mut self, again: bool, devices: u64) {
        self.say(|out| fixed("hardware.snapshot.end", out), |out| json::snapshot_end(again, devices, out));
    }

    /// `hardware.<class>.<happening>` of a device that is no USB device.
    pub(super) fn device<'v>(
        &mut self,
        happening: Happening,
        devpath: &[u8],
        class: &[u8],
        properties: impl Iterator<Item = (&'v [u8], &'v [u8])>,
        again: bool,
    ) {
        if self.introduced || again {
            self.say(
                |out| subject::hardware(class, happening, out),
                |out| json::device(devpath, class, properties, again, out),
            );
        }
    }

    /// `hardware.usb.<happening>`
    pub(super) fn usb(&mut self, happening: Happening, usb: &Tracker<'_>, device: DeviceId, again: bool) {
        if self.introduced || again {
            self.say(|out| subject::hardware(b"usb", happening, out), |out| usb.encode(device, again, out));
        }
    }

    fn say(
        &mut self,
        subject: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
        payload: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
    ) {
        let Self { bus, subject: subject_space, payload: payload_space, .. } = self;
        // Both are sized for the longest kernel message.
        if let (Ok(subject_len), Ok(payload_len)) = (subject(subject_space), payload(payload_space))
            && let Some(subject) = subject_space.get(..subject_len)
            && let Some(payload) = payload_space.get(..payload_len)
            // What the bus gives up, it counts and says itself.
            && bus.publish(subject, payload).is_ok()
        {
            self.published += 1;
        }
    }
}

fn fixed(subject: &str, out: &mut [u8]) -> Result<usize, Full> {
    let needed = subject.len();
    out.get_mut(..needed).ok_or(Full { needed })?.copy_from_slice(subject.as_bytes());
    Ok(needed)
}
