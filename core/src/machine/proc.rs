//! The kernel's texts about the machine, as proc(5) and `Documentation/accounting/psi.rst` define them.
//!
//! A line that is not understood is passed over: newer kernels say more, and containers say less.

use super::{Cpu, Hundredths, Load, Memory, Pressure, Stall};

/// `/proc/stat`: processor time of all processors together, and how many there are.
///
/// ```
/// use lunix_core::machine::proc::cpu;
/// let (time, count) = cpu(b"cpu  10 2 3 400 5 0 1 0 0 0\ncpu0 10 2 3 400 5 0 1 0 0 0\nintr 1\n").unwrap();
/// assert_eq!((time.user, time.idle, time.steal, count), (10, 400, 0, 1));
/// ```
pub fn cpu(stat: &[u8]) -> Option<(Cpu, u32)> {
    let all = lines(stat).find_map(|line| line.strip_prefix(b"cpu "))?;
    let mut numbers = words(all).map(number);
    let mut next = || numbers.next().flatten();
    let mut cpu = Cpu { user: next()?, nice: next()?, system: next()?, idle: next()?, ..Cpu::default() };
    // Each of these came with a later kernel.
    for field in [&mut cpu.iowait, &mut cpu.irq, &mut cpu.softirq, &mut cpu.steal] {
        *field = next().unwrap_or_default();
    }
    let one =
        |line: &&[u8]| line.strip_prefix(b"cpu").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit);
    let count = lines(stat).filter(one).count();
    Some((cpu, u32::try_from(count).unwrap_or(u32::MAX)))
}

/// `/proc/meminfo`
///
/// ```
/// use lunix_core::machine::proc::memory;
/// let memory = memory(b"MemTotal:       62464 kB\nMemAvailable:   41000 kB\nHugePages_Total:   0\n");
/// assert_eq!((memory.total, memory.available, memory.free), (Some(62464 << 10), Some(41000 << 10), None));
/// ```
pub fn memory(meminfo: &[u8]) -> Memory {
    let mut memory = Memory::default();
    for line in lines(meminfo) {
        let Some((key, value)) = split(line, b':') else { continue };
        let field = match key {
            b"MemTotal" => &mut memory.total,
            b"MemFree" => &mut memory.free,
            b"MemAvailable" => &mut memory.available,
            b"Buffers" => &mut memory.buffers,
            b"Cached" => &mut memory.cached,
            b"Shmem" => &mut memory.shared,
            b"Slab" => &mut memory.slab,
            b"SwapTotal" => &mut memory.swap_total,
            b"SwapFree" => &mut memory.swap_free,
            _ => continue,
        };
        *field = words(value).next().and_then(number).and_then(|kib| kib.checked_mul(1024));
    }
    memory
}

/// `/proc/loadavg`
///
/// ```
/// use lunix_core::machine::{Hundredths, proc::load};
/// let load = load(b"0.52 1.06 10.00 2/123 4567\n").unwrap();
/// assert_eq!(load.averages, [Hundredths(52), Hundredths(106), Hundredths(1000)]);
/// assert_eq!((load.running, load.threads), (2, 123));
/// ```
pub fn load(loadavg: &[u8]) -> Option<Load> {
    let mut words = words(loadavg);
    let averages = [hundredths(words.next()?)?, hundredths(words.next()?)?, hundredths(words.next()?)?];
    let (running, threads) = split(words.next()?, b'/')?;
    let count = |digits| u32::try_from(number(digits)?).ok();
    Some(Load { averages, running: count(running)?, threads: count(threads)? })
}

/// `/proc/pressure/*`
///
/// ```
/// use lunix_core::machine::{Hundredths, proc::pressure};
/// let text = b"some avg10=16.42 avg60=6.57 avg300=2.68 total=15020931\n";
/// let some = pressure(text).some.unwrap();
/// assert_eq!((some.averages[0], some.total), (Hundredths(1642), 15_020_931));
/// ```
pub fn pressure(text: &[u8]) -> Pressure {
    let mut pressure = Pressure::default();
    for line in lines(text) {
        match split(line, b' ') {
            Some((b"some", rest)) => pressure.some = stall(rest),
            Some((b"full", rest)) => pressure.full = stall(rest),
            _ => {}
        }
    }
    pressure
}

fn stall(text: &[u8]) -> Option<Stall> {
    let value =
        |key: &str| words(text).find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
    let average = |key| hundredths(value(key)?);
    Some(Stall {
        averages: [average("avg10")?, average("avg60")?, average("avg300")?],
        total: number(value("total")?)?,
    })
}

/// The number of the line `key number`, as cgroups' flat files have it: `memory.events`.
///
/// ```
/// use lunix_core::machine::proc::flat;
/// assert_eq!(flat(b"oom 2\noom_kill 1\n", b"oom_kill"), Some(1));
/// ```
pub fn flat(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| number(split(line, b' ').filter(|(name, _)| *name == key)?.1))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

pub(super) fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// Decimal digits and nothing else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

/// `12.34`, as the kernel writes it: always two decimals.
fn hundredths(text: &[u8]) -> Option<Hundredths> {
    let (whole, decimals) = split(text, b'.')?;
    let decimals = number(decimals).filter(|_| decimals.len() == 2)?;
    let sum = number(whole)?.checked_mul(100)?.checked_add(decimals)?;
    u32::try_from(sum).ok().map(Hundredths)
}
