//! What is remembered of one device, besides its path and its facts.

use super::DeviceId;
use crate::device::Happening;
use crate::time::{Duration, Instant};

/// The memory of one device, besides its share of bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    pub(super) phase: Phase,
    pub(super) generation: u16,
    /// Counts inspections, so that an answer to a former one is known.
    pub(super) inspection: u16,
    /// The volume that is being probed.
    pub(super) volume: u16,
    pub(super) since: Instant,
    pub(super) wake: Option<Instant>,
    pub(super) announced: bool,
    /// Something happened since the inspection began.
    pub(super) dirty: bool,
    /// It has waited long enough.
    pub(super) overdue: bool,
    /// Announced, but losing its drivers since `since`: on its way out, or changing its mode.
    pub(super) retreating: bool,
    /// It may have been told of before we listened: what /sys has of it counts, told or not.
    pub(super) cold: bool,
    /// Disks below it that the kernel told of.
    pub(super) disks_told: u16,
    pub(super) path: u16,
    pub(super) facts: u16,
    pub(super) draft: u16,
}

impl Slot {
    /// No device.
    pub const EMPTY: Self = Self {
        phase: Phase::Free,
        generation: 0,
        inspection: 0,
        volume: 0,
        since: Instant::from_micros(0),
        wake: None,
        announced: false,
        dirty: false,
        overdue: false,
        retreating: false,
        cold: false,
        disks_told: 0,
        path: 0,
        facts: 0,
        draft: 0,
    };
}

/// Where a device is on its way. What is `…Due` becomes an action at the next `poll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Free,
    /// Nothing to do until something happens.
    Idle,
    InspectDue,
    Inspecting,
    ProbeDue,
    Probing,
    AnnounceDue(Happening),
    /// Its removal was told to the driver, who may still `encode` it.
    Left,
}

impl Slot {
    pub(super) fn id(&self, index: usize) -> DeviceId {
        DeviceId { slot: u16::try_from(index).unwrap_or(u16::MAX), generation: self.generation }
    }

    /// After `wait`, or when what goes on now is over.
    pub(super) fn look_again(&mut self, now: Instant, wait: Duration) {
        match self.phase {
            Phase::Idle if wait.is_zero() => self.phase = Phase::InspectDue,
            Phase::Idle => {
                let at = now + wait;
                self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
            }
            _ => self.dirty = true,
        }
    }
}

impl Phase {
    pub(super) const fn is_due(self) -> bool {
        matches!(self, Self::InspectDue | Self::ProbeDue | Self::AnnounceDue(_))
    }
}
