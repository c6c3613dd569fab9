//! The times of day at which a user may be connected.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunix_proto::json::Str;
use lunix_proto::nkey::claims::{List, Times};

use crate::sys::local_time::LocalTime;

const DAY: u32 = 86_400;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How long a user may stay; `Some(None)` for ever, `None` if it may not be there now.
///
/// Time zones are the server's own and UTC; who names another one is refused.
pub(super) fn rest(times: List<'_, Times<'_>>, location: Str<'_>) -> Option<Option<Duration>> {
    let mut times = times.into_iter().peekable();
    if times.peek().is_none() {
        return Some(None);
    }
    let now = match location.to_string().as_str() {
        "" | "Local" => {
            let LocalTime { hour, minute, second, .. } = LocalTime::now();
            u32::from(hour) * 3_600 + u32::from(minute) * 60 + u32::from(second)
        }
        "UTC" | "Etc/UTC" => u32::try_from(now().rem_euclid(i64::from(DAY))).ok()?,
        _ => return None,
    };
    let all: Option<Vec<Option<u32>>> = times
        .map(|Times { start, end }| Some(left(seconds(&start.to_string())?, seconds(&end.to_string())?, now)))
        .collect();
    let longest = all?.into_iter().flatten().max()?;
    Some(Some(Duration::from_secs(u64::from(longest))))
}

/// Seconds until `end`, if `now` is between; midnight may be so too.
fn left(start: u32, end: u32, now: u32) -> Option<u32> {
    if start <= end {
        (start < now && now < end).then(|| end - now)
    } else if now < end {
        Some(end - now)
    } else {
        (start < now).then(|| end + DAY - now)
    }
}

/// `HH:MM:SS`
fn seconds(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let mut part = |below: u32| {
        let text = parts.next().filter(|text| text.len() == 2)?;
        text.parse::<u32>().ok().filter(|number| *number < below)
    };
    let seconds = part(24)? * 3_600 + part(60)? * 60 + part(60)?;
    parts.next().is_none().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_times_of_day() {
        let at = |text: &str| seconds(text).unwrap();
        for (start, end, now, rest) in [
            ("11:00:00", "22:00:00", "13:00:00", Some(9 * 3_600)),
            ("11:00:00", "22:00:00", "22:00:00", None),
            ("11:00:00", "22:00:00", "10:59:59", None),
            ("22:00:00", "06:00:00", "05:00:00", Some(3_600)),
            ("22:00:00", "06:00:00", "23:30:00", Some(6 * 3_600 + 1_800)),
            ("22:00:00", "06:00:00", "12:00:00", None),
        ] {
            assert_eq!(left(at(start), at(end), at(now)), rest, "{start} {end} {now}");
        }
        for text in ["", "1:00:00", "24:00:00", "00:60:00", "00:00:00:00", "00:00", "-1:00:00"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
