//! What a process has used, from `/proc`, when somebody asks.

use std::collections::BTreeSet;
use std::fs;

use lunix_core::supervise::encode::Usage;

/// A process and what came from it: its children and theirs, and who is in its process group or session, as one that
/// was left by its parent is. One that has left both of them is not found without a group of the kernel's.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<_> = pids
        .filter_map(|pid| Some((pid, relations(&fs::read(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect();
    members(pid, &all)
}

/// The parent of a process, and the user that it runs as.
pub(super) fn parent_and_user(pid: u32) -> Option<(u32, u32)> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let number = |key| u32::try_from(line(&status, key)?).ok();
    Some((number("PPid")?, number("Uid")?))
}

/// The parent, process group and session of a process.
fn relations(stat: &[u8]) -> Option<[u32; 3]> {
    let fields = stat.rsplit(|byte| *byte == b')').next()?;
    let mut words = fields.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
    let mut next = || words.next().and_then(decimal).and_then(|number| u32::try_from(number).ok());
    Some([next()?, next()?, next()?])
}

fn members(pid: u32, all: &[(u32, [u32; 3])]) -> Vec<u32> {
    let mut found: BTreeSet<u32> = BTreeSet::new();
    let mut last = None;
    while last != Some(found.len()) {
        last = Some(found.len());
        let belongs = |(other, [parent, group, session]): &(u32, [u32; 3])| {
            *other == pid || *group == pid || *session == pid || *parent == pid || found.contains(parent)
        };
        let more: Vec<u32> = all.iter().filter(|process| belongs(process)).map(|(pid, _)| *pid).collect();
        found.extend(more);
    }
    found.into_iter().collect()
}

/// What these processes, and the children that they have reaped, have used together. Memory that several share counts
/// for each.
pub(super) fn of_processes(pids: impl IntoIterator<Item = u32>) -> Usage {
    let add = |sum: Option<u64>, next: Option<u64>| match (sum, next) {
        (Some(sum), Some(next)) => Some(sum.saturating_add(next)),
        (sum, next) => sum.or(next),
    };
    pids.into_iter().map(of_process).fold(Usage::default(), |sum, next| Usage {
        cpu_us: add(sum.cpu_us, next.cpu_us),
        rss: add(sum.rss, next.rss),
        peak_rss: add(sum.peak_rss, next.peak_rss),
        pids: add(sum.pids, next.pids),
        io_read: add(sum.io_read, next.io_read),
        io_write: add(sum.io_write, next.io_write),
    })
}

/// What the process `pid`, and the children that it has reaped, have used. What cannot be read is left out.
pub(super) fn of_process(pid: u32) -> Usage {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (stat, status, io) = (read("stat"), read("status"), read("io"));
    parse(&stat, &status, &io, rustix::param::clock_ticks_per_second())
}

fn parse(stat: &[u8], status: &[u8], io: &[u8], ticks_per_second: u64) -> Usage {
    // The name of the program stands in parentheses and may hold anything; proc_pid_stat(5) counts from 1.
    let fields = stat.rsplit(|byte| *byte == b')').next().unwrap_or_default();
    let field = |number: usize| {
        let word = fields.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(number - 3)?;
        decimal(word)
    };
    let ticks = [14, 15, 16, 17].into_iter().try_fold(0_u64, |sum, number| sum.checked_add(field(number)?));
    let cpu_us = ticks.and_then(|ticks| ticks.checked_mul(1_000_000)?.checked_div(ticks_per_second));
    let kib = |key| line(status, key).and_then(|value| value.checked_mul(1024));
    Usage {
        cpu_us,
        rss: kib("VmRSS"),
        peak_rss: kib("VmHWM"),
        pids: line(status, "Threads"),
        io_read: line(io, "read_bytes"),
        io_write: line(io, "write_bytes"),
    }
}

/// The number in the line `key: number …`.
fn line(text: &[u8], key: &str) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?;
        decimal(value.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?)
    })
}

fn decimal(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_hostile_names() {
        let stat =
            b"7 (a) b) 99 (c) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 5 6 20 0 1 0 100 1000 20 18446744073709551615";
        let status = b"Name:\ta\nVmHWM:\t    1200 kB\nVmRSS:\t     900 kB\nThreads:\t2\n";
        let io = b"rchar: 1\nread_bytes: 4096\nwrite_bytes: 0\n";
        let usage = parse(stat, status, io, 100);
        assert_eq!(usage.cpu_us, Some(180_000));
        assert_eq!((usage.rss, usage.peak_rss), (Some(900 << 10), Some(1200 << 10)));
        assert_eq!((usage.pids, usage.io_read, usage.io_write), (Some(2), Some(4096), Some(0)));
        assert_eq!(parse(b"", b"", b"", 100), Usage::default());
        assert_eq!(parse(b"7 (x", b"VmRSS:", b"read_bytes: x", 0), Usage::default());
    }

    #[test]
    fn a_family_is_what_came_from_a_process() {
        assert_eq!(relations(b"7 (a) b) 9) S 1 7 6 0 -1"), Some([1, 7, 6]));
        assert_eq!(relations(b"7 (a"), None);
        let all = [
            (1, [0, 1, 1]),
            (5, [1, 5, 1]),
            (6, [5, 5, 1]),
            (7, [6, 7, 7]),
            (8, [1, 5, 1]),
            (9, [8, 9, 9]),
            (10, [1, 10, 10]),
        ];
        assert_eq!(members(5, &all), [5, 6, 7, 8, 9]);
        assert_eq!(members(10, &all), [10]);
        assert!(members(11, &all).is_empty());
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let family = family(std::process::id());
        assert!(family.contains(&child.id()) && family.contains(&std::process::id()));
        let (one, both) = (of_process(child.id()), of_processes([child.id(), std::process::id()]));
        assert!(both.rss > one.rss && both.pids > one.pids);
        let user = rustix::process::getuid().as_raw();
        assert_eq!(parent_and_user(child.id()), Some((std::process::id(), user)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn our_own_process_has_memory() {
        let usage = of_process(std::process::id());
        assert!(usage.rss.is_some_and(|rss| rss > 4096));
        assert!(usage.peak_rss >= usage.rss);
        assert!(usage.cpu_us.is_some() && usage.pids.is_some_and(|pids| pids > 0));
    }
}
