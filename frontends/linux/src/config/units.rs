//! Numbers with units.

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

/// `2`, `2s`, `1m30s`, `250ms`, `1.5h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        total = total.checked_add(span)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}
