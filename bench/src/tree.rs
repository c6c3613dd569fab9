//! A process and all that it has started, and what the kernel says that they use.

use std::fs;
use std::io;
use std::time::Duration;

/// Of a daemon that has nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// In KiB.
    pub rss: u64,
    /// Nobody else's, in KiB.
    pub private: u64,
    pub processes: usize,
    /// How often any of its threads was woken.
    pub wakes: u64,
}

/// `root` and its descendants.
pub fn processes(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        next += 1;
        for task in tasks(process) {
            let children = fs::read_to_string(format!("{task}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

fn tasks(process: u32) -> Vec<String> {
    let folder = format!("/proc/{process}/task");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect()
}

/// Whether any of them runs, or waits for a disk.
pub fn is_awake(root: u32) -> bool {
    let awake = |task: String| {
        let stat = fs::read_to_string(format!("{task}/stat")).unwrap_or_default();
        matches!(after_name(&stat).next(), Some("R" | "D"))
    };
    processes(root).into_iter().flat_map(tasks).any(awake)
}

/// What stands behind the name, which may hold anything.
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit(')').next().unwrap_or_default().split_whitespace()
}

/// Processor time of all, those that have ended included. The kernel counts in steps of 10 ms.
pub fn cpu(root: u32) -> Duration {
    const STEP: Duration = Duration::from_millis(10);
    let of = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // utime, stime, and both of children that were waited for.
        after_name(&stat).skip(11).take(4).filter_map(|steps| steps.parse::<u32>().ok()).sum::<u32>()
    };
    STEP * processes(root).into_iter().map(of).sum::<u32>()
}

/// The sum of `keys` over `root` and its descendants, in KiB.
pub fn memory(root: u32, keys: &[&str]) -> u64 {
    memory_of(&processes(root), keys)
}

/// The sum of `keys` over these processes, in KiB.
pub fn memory_of(processes: &[u32], keys: &[&str]) -> u64 {
    let of = |process: u32| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        let line = |line: &str| {
            let (key, rest) = line.split_once(':')?;
            let size = rest.trim().strip_suffix(" kB")?;
            keys.contains(&key).then(|| size.parse::<u64>().ok()).flatten()
        };
        rollup.lines().filter_map(line).sum::<u64>()
    };
    processes.iter().copied().map(of).sum()
}

/// How often the threads of these processes went to sleep, or were made to wait for others.
pub fn switches_of(processes: &[u32]) -> u64 {
    let of = |task: String| {
        let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
        let count = |line: &str| {
            line.split_once("ctxt_switches:").and_then(|(_, count)| count.trim().parse::<u64>().ok())
        };
        status.lines().filter_map(count).sum::<u64>()
    };
    processes.iter().copied().flat_map(tasks).map(of).sum()
}

/// How often a thread of them went to sleep of its own accord.
pub fn sleeps(root: u32) -> u64 {
    let of = |task: String| {
        let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    processes(root).into_iter().flat_map(tasks).map(of).sum()
}

/// Waits until none has slept for a second, and looks on for `time`.
pub fn idle(root: u32, time: Duration) -> io::Result<Idle> {
    let mut before = sleeps(root);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(1200));
        let now = sleeps(root);
        if now == before {
            break;
        }
        before = now;
    }
    before = sleeps(root);
    std::thread::sleep(time);
    Ok(Idle {
        wakes: sleeps(root).saturating_sub(before),
        rss: memory(root, &["Rss"]),
        private: memory(root, &["Private_Clean", "Private_Dirty"]),
        processes: processes(root).len(),
    })
}
