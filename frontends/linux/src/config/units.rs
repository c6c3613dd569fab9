//! Numbers with units.

use std::fmt;
use std::time::Duration;

/// `12`, `-1`, `4k`, `64KB`, `1MiB`.
pub(super) fn scaled(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '+').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let power = |base: i64, unit: &str| {
        let exponent = "kmgtpe".find(unit.chars().next()?)?;
        base.checked_pow(u32::try_from(exponent).ok()? + 1)
    };
    let unit = unit.to_ascii_lowercase();
    let factor = match unit.get(1..) {
        None => 1,
        Some("") if unit == "b" => 1,
        Some("") => power(1_000, &unit)?,
        Some("b" | "i" | "ib") => power(1_024, &unit)?,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// `2`, `2s`, `1m30s`, `250ms`, `1.5h`. Whole numbers do: floating point would be a fortieth of the program.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return duration(&format!("{text}s"));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut nanos = whole.checked_mul(unit)?;
        let mut place = unit;
        for digit in fraction.bytes() {
            place /= 10;
            nanos = nanos.checked_add(u64::from(digit - b'0') * place)?;
        }
        total = total.checked_add(Duration::from_nanos(nanos))?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// A duration, displayed as one is written: `0s`, `1.5s`, `250ms`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::from(self.0.subsec_nanos());
        let (whole, mut rest, mut digits, unit) = match (self.0.as_secs(), nanos) {
            (0, 1..1_000) => (nanos, 0, 0, "ns"),
            (0, 1_000..1_000_000) => (nanos / 1_000, nanos % 1_000, 3, "µs"),
            (0, 1_000_000..) => (nanos / 1_000_000, nanos % 1_000_000, 6, "ms"),
            (seconds, _) => (seconds, nanos, 9, "s"),
        };
        write!(out, "{whole}")?;
        if rest > 0 {
            while rest.is_multiple_of(10) {
                (rest, digits) = (rest / 10, digits - 1);
            }
            write!(out, ".{rest:0digits$}")?;
        }
        out.write_str(unit)
    }
}
