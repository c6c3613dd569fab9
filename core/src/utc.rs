//! Points in time as people and other programs read them.

/// `2026-11-24T04:00:00Z`, from the seconds since 1970 UTC. Years end with 9999; later times stay there.
///
/// ```
/// assert_eq!(&lunix_core::utc::rfc3339(1_795_492_800), b"2026-11-24T04:00:00Z");
/// ```
pub fn rfc3339(seconds: u64) -> [u8; 20] {
    let seconds = seconds.min(253_402_300_799);
    let (mut year, mut day) = (1970, seconds / 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day + 1),
        (11, 2, seconds / 3_600 % 24),
        (14, 2, seconds / 60 % 60),
        (17, 2, seconds % 60),
    ];
    let mut text = *b"0000-00-00T00:00:00Z";
    for (at, width, mut number) in fields {
        for place in text.iter_mut().skip(at).take(width).rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
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
    }
}
