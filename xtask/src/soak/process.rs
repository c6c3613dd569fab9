//! What the kernel says of a process.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

pub(super) struct Process {
    id: u32,
}

/// What a process did in a time in which it should have done nothing.
pub(super) struct Idle {
    cpu: Duration,
    wakes: u64,
}

impl Idle {
    pub(super) fn is_still(&self) -> bool {
        self.cpu.is_zero() && self.wakes == 0
    }
}

impl std::fmt::Display for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s of CPU, {} wake-ups", self.cpu.as_secs_f64(), self.wakes)
    }
}

impl Process {
    pub(super) fn new(id: u32) -> Self {
        Self { id }
    }

    /// Private memory in KiB: what is not mapped from a file.
    pub(super) fn memory(&self) -> Result<u64> {
        self.status("RssAnon:")
    }

    /// User and system time.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // pid (name) state …: the 14th and 15th of all, in hundredths of a second.
        let fields: Vec<&str> =
            stat.rsplit_once(") ").context("stat of the process")?.1.split_ascii_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
    }

    /// Watches it for a while.
    pub(super) fn idle(&self, time: Duration) -> Result<Idle> {
        const WAKES: &str = "voluntary_ctxt_switches:";
        let (cpu, wakes) = (self.cpu()?, self.status(WAKES)?);
        thread::sleep(time);
        Ok(Idle { cpu: self.cpu()?.saturating_sub(cpu), wakes: self.status(WAKES)?.saturating_sub(wakes) })
    }

    fn status(&self, key: &str) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| key.to_owned())?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.id);
        fs::read_to_string(&path).context(path)
    }
}
