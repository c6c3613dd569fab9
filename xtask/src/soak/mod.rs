//! `cargo xtask soak`: natsd among clients that live as badly as they can, beside some that do not.
//!
//! Two thousand clients connect, subscribe, are slow or do not read at all, send garbage, and go without a word,
//! over and over. Meanwhile a few publishers count, and a few healthy subscribers and a queue group check that
//! nothing is missing, twice there, or out of order. The server's memory must not grow, and when all have gone it
//! must do nothing at all.

mod chaos;
mod healthy;
pub(crate) mod mqtt;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::chaos::Counts;
use self::process::Process;
use crate::server::{Natsd, Server};
use crate::{paths, shell};

/// What everybody in a soak knows.
pub(super) struct Ground {
    pub(super) port: u16,
    over: AtomicBool,
}

impl Ground {
    /// Whether it is time to go.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Clients that live badly, and the threads that drive them.
const CHAOTIC: usize = 2000;
const DRIVERS: usize = 4;
/// How often the server's memory is looked at.
const SAMPLE: Duration = Duration::from_secs(2);
/// What a server that has nothing to do is given to put its things away, and how long it is then watched.
const REST: Duration = Duration::from_secs(15);
const WATCH: Duration = Duration::from_secs(15);

/// True if all is well.
pub(crate) fn run(minutes: u64) -> Result<bool> {
    room_for_sockets()?;
    let natsd = Natsd::build()?;
    let server = Server::start(&paths::target().join("release/lunix"))?;
    drop(natsd);
    let process = Process::new(server.id());
    let ground = Arc::new(Ground { port: server.port, over: AtomicBool::new(false) });
    let before = process.memory()?;

    let healthy = healthy::begin(&ground)?;
    let drivers: Vec<_> = (0..DRIVERS)
        .map(|driver| {
            let ground = Arc::clone(&ground);
            thread::spawn(move || chaos::drive(&ground, CHAOTIC / DRIVERS, driver as u64))
        })
        .collect();

    let mut memory = Vec::new();
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    while Instant::now() < end {
        thread::sleep(SAMPLE.min(end.saturating_duration_since(Instant::now())));
        memory.push(process.memory().context("natsd has ended")?);
        if memory.len() % 30 == 0 {
            println!("{} minutes: {} KiB", memory.len() / 30, memory.last().copied().unwrap_or(0));
        }
    }
    let busy = process.cpu()?;
    let heard = healthy.end();
    ground.over.store(true, Ordering::Relaxed);
    let mut counts = Counts::default();
    for driver in drivers {
        counts += driver.join().map_err(|_| anyhow::anyhow!("a driver of clients has panicked"))?;
    }

    thread::sleep(REST);
    let idle = process.idle(WATCH)?;
    let after = process.memory()?;
    let flat = is_flat(&memory);

    println!("{minutes} minutes, {CHAOTIC} clients at a time on {} cores", thread::available_parallelism()?);
    println!("clients: {counts}");
    let peak = memory.iter().max().copied().unwrap_or(0);
    println!(
        "private memory: {before} KiB at first, {peak} KiB at most, {after} KiB at last: {}",
        if flat { "flat" } else { "GROWING" }
    );
    println!("CPU: {:.1} s in all; when idle for {} s: {idle}", busy.as_secs_f64(), WATCH.as_secs());
    match &heard {
        Ok(heard) => println!("healthy: {heard}"),
        Err(error) => println!("healthy: FAILED: {error:#}"),
    }
    Ok(flat && idle.is_still() && heard.is_ok())
}

/// The middle of the second half is not above that of the first by more than a quarter.
fn is_flat(memory: &[u64]) -> bool {
    let middle = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or(0)
    };
    let (first, second) = memory.split_at(memory.len() / 2);
    middle(second) <= middle(first) + middle(first) / 4 + 1024
}

/// Two ends of so many connections are more files than a shell allows at first.
fn room_for_sockets() -> Result<()> {
    let pid = std::process::id().to_string();
    let files = format!("--nofile={}:", 2 * CHAOTIC + 1000);
    shell::quiet(std::process::Command::new("prlimit").args(["--pid", &pid, &files]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_what_does_not_grow() {
        assert!(is_flat(&[9000; 20]));
        assert!(is_flat(&[1000, 9000, 5000, 8000, 2000, 9000, 4000, 8500]));
        let growing: Vec<u64> = (1..40).map(|sample| sample * 1000).collect();
        assert!(!is_flat(&growing));
    }
}
