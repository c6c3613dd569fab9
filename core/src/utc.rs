//! Points in time as people and other programs read them.

/// A date and a time of day of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// From 1970 on.
    pub year: u64,
    /// From 1 on.
    pub month: u8,
    /// From 1 on.
    pub day: u8,
    /// Below 24.
    pub hour: u8,
    /// Below 60.
    pub minute: u8,
    /// Below 60: leap seconds are none.
    pub second: u8,
    /// Days since Sunday.
    pub weekday: u8,
}

impl Utc {
    /// So many seconds after 1970 began.
    ///
    /// ```
    /// let time = lunix_core::utc::Utc::of(1_795_492_800);
    /// assert_eq!((time.year, time.month, time.day, time.hour), (2026, 11, 24, 4));
    /// ```
    pub const fn of(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March, in which the leap day is the last; 400 of them have 146,097 days.
        let day = days + 719_468;
        let (era, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: era * 400 + year + (month <= 2) as u64,
            month: month as u8,
            day: day as u8,
            hour: (second / 3_600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            weekday: ((days + 4) % 7) as u8,
        }
    }
}

/// `2026-11-24T04:00:00Z`, from the seconds since 1970 UTC. Years end with 9999; later times stay there.
///
/// ```
/// assert_eq!(&lunix_core::utc::rfc3339(1_795_492_800), b"2026-11-24T04:00:00Z");
/// ```
pub fn rfc3339(seconds: u64) -> [u8; 20] {
    let Utc { year, month, day, hour, minute, second, .. } = Utc::of(seconds.min(253_402_300_799));
    // Of the year two digits and two; all of these are below 100.
    let (century, year) = ((year / 100) as u8, (year % 100) as u8);
    let mut text = *b"0000-00-00T00:00:00Z";
    let pairs = [(0, century), (2, year), (5, month), (8, day), (11, hour), (14, minute), (17, second)];
    for (at, number) in pairs {
        if let Some(pair) = text.get_mut(at..at + 2) {
            pair.copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, b"1970-01-01T00:00:00Z"),
            (951_782_399, b"2000-02-28T23:59:59Z"),
            (951_782_400, b"2000-02-29T00:00:00Z"),
            (4_107_542_399, b"2100-02-28T23:59:59Z"),
            (4_107_542_400, b"2100-03-01T00:00:00Z"),
            (1_798_761_599, b"2026-12-31T23:59:59Z"),
            (u64::MAX, b"9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(&rfc3339(seconds), text);
        }
        assert_eq!([0, 951_782_400, 1_795_493_321].map(|seconds| Utc::of(seconds).weekday), [4, 2, 2]);
    }
}
