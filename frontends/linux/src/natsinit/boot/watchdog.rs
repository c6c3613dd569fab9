//! The hardware's watchdog: fed for as long as the supervisor turns, so that a machine that hangs starts again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use lunix_core::time::Instant;

use super::super::files;
use super::step;
use crate::sys::machine;

/// A watchdog that is armed. It stays so when this value is dropped, even after the machine was told to halt.
#[derive(Debug)]
pub(in crate::natsinit) struct Watchdog {
    device: File,
    every: Duration,
    next: Instant,
}

impl Watchdog {
    /// Arms the settings' watchdog.
    ///
    /// # Errors
    /// There is none, or somebody else has it.
    pub(in crate::natsinit) fn arm(settings: &files::Watchdog, now: Instant) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(&settings.device)?;
        Self::take(device, settings, now)
    }

    /// Goes on with one that was armed before a re-execution.
    pub(in crate::natsinit) fn adopt(
        fd: OwnedFd,
        settings: &files::Watchdog,
        now: Instant,
    ) -> io::Result<Self> {
        Self::take(fd.into(), settings, now)
    }

    fn take(device: File, settings: &files::Watchdog, now: Instant) -> io::Result<Self> {
        let wanted = u32::try_from(settings.timeout.as_secs().max(1)).unwrap_or(u32::MAX);
        // Some have a fixed time, which they tell when they are asked to change it.
        let taken = machine::set_watchdog(&device, wanted).unwrap_or(wanted);
        let every = Duration::from_secs(taken.max(1).into()) / 3;
        let mut watchdog = Self { device, every, next: now };
        watchdog.feed(now);
        Ok(watchdog)
    }

    /// When it must be fed at the latest.
    pub(in crate::natsinit) fn deadline(&self) -> Instant {
        self.next
    }

    /// Feeds it, if it is time.
    pub(in crate::natsinit) fn feed(&mut self, now: Instant) {
        if now >= self.next {
            step("watchdog", machine::feed_watchdog(&self.device));
            self.next = now + self.every;
        }
    }

    /// Stops it, where the hardware allows it: the machine halts and shall stay so.
    pub(in crate::natsinit) fn disarm(mut self) {
        let _ = self.device.write_all(b"V");
    }
}

impl AsFd for Watchdog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
