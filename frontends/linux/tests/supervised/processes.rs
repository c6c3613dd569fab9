//! Processes, as everybody sees them in `/proc`.

#![allow(dead_code, unreachable_pub, reason = "each rig uses its part")]

use std::fs;
use std::time::{Duration, Instant};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn kill(pid: u32, signal: i32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::from_named_raw(signal).unwrap());
}

/// Looks until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Children of all threads, zombies included.
pub fn children(pid: u32) -> Vec<u32> {
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .map(of)
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// What the process is called in its own namespace.
pub fn inside(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// Ended children that nobody has waited for.
pub fn zombies(parent: u32) -> Vec<String> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    children(parent).into_iter().map(stat).filter(|stat| stat.contains(") Z ")).collect()
}

/// How often the threads of a process were taken from a processor.
pub fn switches(pid: u32) -> u64 {
    let number = |line: &str| line.split_whitespace().last().unwrap().parse::<u64>().unwrap();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map_while(Result::ok);
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    statuses
        .map(|status| status.lines().filter(|line| line.contains("ctxt_switches")).map(number).sum::<u64>())
        .sum()
}
