//! Pressure that the kernel tells by itself (PSI triggers): nothing is looked at until threads have waited too long.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use lunix_core::machine::{Pressure, Resource, proc};
use lunix_core::time::{Duration, Instant};

use crate::log::{self, Level};
use crate::reactor::{Key, Reactor, monotonic};

/// A trigger of the kernel, which lives as long as its file is open.
#[derive(Debug)]
pub(super) struct Trigger {
    file: File,
    pub(super) key: Key,
    pub(super) resource: Resource,
    /// Microseconds that must be lost in a window.
    threshold: u64,
    opened: Instant,
    /// What was lost before.
    before: u64,
}

/// For so long after a trigger is made, the kernel compares with totals that it has not brought up to date, and may tell
/// what is not so.
const WARMING: Duration = Duration::from_secs(5);

/// Of a second in which so many microseconds were lost; processors are shared, so they may be short for longer. The
/// kernel tells it once a second at most.
const fn threshold(resource: Resource) -> u32 {
    match resource {
        Resource::Memory | Resource::Io => 150_000,
        Resource::Cpu => 500_000,
    }
}

fn total(pressure: &Pressure) -> u64 {
    pressure.some.map_or(0, |some| some.total)
}

impl Trigger {
    /// One for the whole machine.
    pub(super) fn of_machine<T: Copy>(
        reactor: &mut Reactor<T>,
        token: T,
        resource: Resource,
    ) -> Option<Self> {
        let path = format!("/proc/pressure/{}", resource.as_str());
        Self::open(reactor, token, resource, path.as_ref())
    }

    /// One for the memory of the cgroup in this folder.
    pub(super) fn of_group<T: Copy>(reactor: &mut Reactor<T>, token: T, group: &Path) -> Option<Self> {
        Self::open(reactor, token, Resource::Memory, &group.join("memory.pressure"))
    }

    fn open<T: Copy>(reactor: &mut Reactor<T>, token: T, resource: Resource, path: &Path) -> Option<Self> {
        let threshold = threshold(resource);
        // Without CAP_SYS_RESOURCE a window must be a multiple of two seconds (Linux 6.5).
        let wishes = [(threshold, 1_000_000), (2 * threshold, 2_000_000)];
        let opened = wishes.iter().find_map(|(stall, window)| {
            // A trigger that was refused leaves its file as it was; but one file takes one trigger only.
            let mut file =
                OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
            file.write_all(format!("some {stall} {window}\0").as_bytes()).ok()?;
            Some((file, *stall))
        });
        let watched =
            opened.and_then(|(file, stall)| Some((reactor.add_priority(&file, token).ok()?, file, stall)));
        let Some((key, file, stall)) = watched else {
            log::line(Level::Debug, "natsinit", format_args!("{}: no pressure is told", path.display()));
            return None;
        };
        let mut trigger =
            Self { file, key, resource, threshold: stall.into(), opened: monotonic(), before: 0 };
        trigger.before = total(&trigger.read());
        Some(trigger)
    }

    /// How it stands, where the kernel has told something that is so.
    pub(super) fn news(&self, now: Instant) -> Option<Pressure> {
        let read = self.read();
        let warm = now.since(self.opened) >= WARMING;
        (warm || total(&read).saturating_sub(self.before) >= self.threshold).then_some(read)
    }

    fn read(&self) -> Pressure {
        let mut text = [0; 512];
        let length = self.file.read_at(&mut text, 0).unwrap_or_default();
        proc::pressure(text.get(..length).unwrap_or_default())
    }

    pub(super) fn close<T: Copy>(self, reactor: &mut Reactor<T>) {
        reactor.remove(self.key, &self.file);
    }
}
