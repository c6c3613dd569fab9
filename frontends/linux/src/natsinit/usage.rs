//! What a process has used, from `/proc`, when somebody asks.

use std::fs;

use lunix_core::supervise::encode::Usage;

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
    fn our_own_process_has_memory() {
        let usage = of_process(std::process::id());
        assert!(usage.rss.is_some_and(|rss| rss > 4096));
        assert!(usage.peak_rss >= usage.rss);
        assert!(usage.cpu_us.is_some() && usage.pids.is_some_and(|pids| pids > 0));
    }
}
