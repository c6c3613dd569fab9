//! What this process costs.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use lunix_core::time::Instant;
use rustix::time::ClockId;

use super::json::Thousandths;

/// Looks at this process.
#[derive(Debug)]
pub(super) struct Process {
    /// The clock and the processor time of the last sample.
    at: Instant,
    spent: Duration,
    /// Of one processor.
    percent: Thousandths,
}

impl Process {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, spent: spent(), percent: Thousandths(0) }
    }

    /// Percents of one processor since the last question, if that is a second ago; what was answered then otherwise.
    pub(super) fn percent(&mut self, now: Instant) -> Thousandths {
        let past = now.since(self.at);
        if past >= Duration::from_secs(1) {
            let spent = spent();
            let share = spent.saturating_sub(self.spent).as_micros() * 1000 / past.as_micros().max(1);
            let percent = Thousandths(u64::try_from(share).unwrap_or(u64::MAX).saturating_mul(100));
            *self = Self { at: now, spent, percent };
        }
        self.percent
    }
}

fn spent() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processors that it may run on.
pub(super) fn cores() -> u32 {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count())
}

/// Bytes of memory that are resident; 0 where there is no /proc.
pub(super) fn resident() -> u64 {
    let mut text = [0; 128];
    let read = File::open("/proc/self/statm").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = text.get(..read).and_then(|text| str::from_utf8(text).ok()).unwrap_or("");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
