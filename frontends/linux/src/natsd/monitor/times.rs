//! Points in time and spans as HTTP, JSON and Go write them.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunix_core::utc::Utc;

/// A point in time as RFC 3339 has it, with as many digits of the second as there are: `2026-11-24T04:08:41.5294Z`.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsd) struct Rfc3339(pub(in crate::natsd) SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = since_1970(self.0);
        let Utc { year, month, day, hour, minute, second, .. } = Utc::of(since.as_secs());
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        fraction(out, since.subsec_micros().into(), 6)?;
        out.write_char('Z')
    }
}

/// A point in time as HTTP has it: `Tue, 24 Nov 2026 04:08:41 GMT`.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsd) struct HttpDate(pub(in crate::natsd) SystemTime);

impl fmt::Display for HttpDate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Utc { year, month, day, hour, minute, second, weekday } = Utc::of(since_1970(self.0).as_secs());
        let weekday = DAYS.get(usize::from(weekday)).unwrap_or(&"");
        let month = MONTHS.get(usize::from(month).saturating_sub(1)).unwrap_or(&"");
        write!(out, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

/// Nothing for what is earlier.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A span as nats-server shows how long something has been running: `1d2h3m4s`.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsd) struct Uptime(pub(in crate::natsd) Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        if days >= 365 {
            write!(out, "{}y", days / 365)?;
        }
        if days > 0 {
            write!(out, "{}d", days % 365)?;
        }
        if hours > 0 {
            write!(out, "{}h", hours % 24)?;
        }
        if minutes > 0 {
            write!(out, "{}m", minutes % 60)?;
        }
        write!(out, "{}s", seconds % 60)
    }
}

/// A short span as Go shows it: `451µs`, `1.25ms`, `2.5s`.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsd) struct Span(pub(in crate::natsd) Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let (whole, rest, digits, unit) = match micros {
            0 => (0, 0, 0, "s"),
            1..1_000 => (micros, 0, 0, "µs"),
            1_000..1_000_000 => (micros / 1_000, micros % 1_000, 3, "ms"),
            _ => (micros / 1_000_000, micros % 1_000_000, 6, "s"),
        };
        let (minutes, whole) = if unit == "s" { (whole / 60, whole % 60) } else { (0, whole) };
        if minutes >= 60 {
            write!(out, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(out, "{}m", minutes % 60)?;
        }
        write!(out, "{whole}")?;
        fraction(out, rest, digits)?;
        out.write_str(unit)
    }
}

/// `.` and the `digits` digits of `rest` without the zeros at their end; nothing for 0.
fn fraction(out: &mut fmt::Formatter<'_>, mut rest: u64, mut digits: usize) -> fmt::Result {
    if rest == 0 {
        return Ok(());
    }
    while rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    write!(out, ".{rest:0digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, micros, rfc, http) in [
            (0, 42, "1970-01-01T00:00:00.000042Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, 500_000, "2000-02-28T23:59:59.5Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, 0, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_493_321, 120, "2026-11-24T04:08:41.00012Z", "Tue, 24 Nov 2026 04:08:41 GMT"),
            (4_107_542_400, 999_999, "2100-03-01T00:00:00.999999Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(Rfc3339(time).to_string(), rfc);
            assert_eq!(HttpDate(time).to_string(), http);
        }
    }

    #[test]
    fn spans() {
        for (micros, text) in [
            (0, "0s"),
            (451, "451µs"),
            (1_000, "1ms"),
            (1_250, "1.25ms"),
            (2_500_000, "2.5s"),
            (60_000_001, "1m0.000001s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            assert_eq!(Span(Duration::from_micros(micros)).to_string(), text);
        }
        for (seconds, text) in
            [(0, "0s"), (61, "1m1s"), (3_600, "1h0m0s"), (90_061, "1d1h1m1s"), (31_536_000, "1y0d0h0m0s")]
        {
            assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
