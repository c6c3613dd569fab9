//! What this process costs.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use lunix_core::time::Instant;
use rustix::time::ClockId;

/// Looks at this process.
#[derive(Debug)]
pub(super) struct Process {
    /// The clock and the processor time of the last sample.
    at: Instant,
    spent: Duration,
    percent: f64,
}

impl Process {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, spent: spent(), percent: 0.0 }
    }

    /// Percents of one processor since the last question, if that is a second ago; what was answered then otherwise.
    pub(super) fn percent(&mut self, now: Instant) -> f64 {
        let past = now.since(self.at);
        if past >= Duration::from_secs(1) {
            let spent = spent();
            let share = spent.saturating_sub(self.spent).as_secs_f64() / past.as_secs_f64();
            *self = Self { at: now, spent, percent: (share * 1000.0).round() / 10.0 };
        }
        self.percent
    }
}

fn spent() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes of memory that are resident; 0 where there is no /proc.
pub(super) fn resident() -> u64 {
    let mut text = [0; 128];
    let read = File::open("/proc/self/statm").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = text.get(..read).and_then(|text| str::from_utf8(text).ok()).unwrap_or("");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
