//! The calendar.

use std::time::{SystemTime, UNIX_EPOCH};

/// A date and a time of day of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc {
    pub(super) year: u64,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
    /// Days since Sunday.
    pub(super) weekday: u8,
}

impl Utc {
    pub(super) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// `time`, or the beginning of 1970 if it is earlier.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        // Days to a date, in years that begin in March.
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let second = seconds % 86_400;
        // All of these are below 256.
        let small = |number: u64| number as u8;
        Self {
            year,
            month: small(month),
            day: small(day),
            hour: small(second / 3_600),
            minute: small(second / 60 % 60),
            second: small(second % 60),
            micros: since.subsec_micros(),
            weekday: small((seconds / 86_400 + 4) % 7),
        }
    }
}
