//! The wall clock in the user's time zone, which only the C library knows.
#![allow(unsafe_code, reason = "localtime_r")]

use std::fmt;
use std::mem::MaybeUninit;

use rustix::time::{ClockId, clock_gettime};

/// A point in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60.
    pub second: u8,
    /// Millisecond, 0 to 999.
    pub milli: u16,
}

impl LocalTime {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Realtime);
        Self::at(now.tv_sec, u32::try_from(now.tv_nsec / 1_000_000).unwrap_or_default())
    }

    /// So many seconds and milliseconds after the epoch.
    pub fn at(seconds: i64, millis: u32) -> Self {
        // The type that `localtime_r` takes here, whose name libc has deprecated.
        let seconds = seconds as _;
        let mut parts = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: `localtime_r` reads the first and writes the second; all-zero is a valid `tm` should it fail.
        let parts = unsafe {
            libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
            parts.assume_init()
        };
        let small = |value: i32| u8::try_from(value).unwrap_or(0);
        Self {
            hour: small(parts.tm_hour),
            minute: small(parts.tm_min),
            second: small(parts.tm_sec),
            milli: u16::try_from(millis).unwrap_or(0),
        }
    }
}

impl fmt::Display for LocalTime {
    /// `HH:MM:SS`, or with `{:#}` `HH:MM:SS.mmm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        if f.alternate() { write!(f, ".{:03}", self.milli) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day() {
        let time = LocalTime { hour: 7, minute: 5, second: 9, milli: 42 };
        assert_eq!((time.to_string(), format!("{time:#}")), ("07:05:09".into(), "07:05:09.042".into()));
        let now = LocalTime::now();
        assert!(now.hour < 24 && now.minute < 60 && now.second < 61 && now.milli < 1000);
    }
}
