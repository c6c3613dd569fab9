//! Log lines on stderr, one an event: `natsdev: warn: …`. The level is the process's own.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much is said. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// It did not work, and somebody should look.
    Error,
    /// It worked with a loss, or will not for long.
    Warn,
    /// What an operator wants to see by default.
    Info,
    /// What a developer wants to see.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

impl Level {
    /// The level of a priority of syslog(3).
    pub fn from_priority(priority: u32) -> Self {
        match priority {
            0..=3 => Self::Error,
            4 => Self::Warn,
            5 | 6 => Self::Info,
            _ => Self::Debug,
        }
    }

    /// The level named by `--log`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return None,
        })
    }
}

/// Says from now on what is at most as chatty as `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether `level` is said now.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line. `program` is the daemon's name. A closed stderr is not an error.
pub fn line(level: Level, program: &str, message: impl fmt::Display) {
    if !enabled(level) {
        return;
    }
    let word = match level {
        Level::Error => "error: ",
        Level::Warn => "warn: ",
        Level::Info => "",
        Level::Debug => "debug: ",
    };
    // One write, so that lines of several processes on one terminal do not mix.
    let line = format!("{program}: {word}{message}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name_and_order() {
        assert_eq!(Level::from_name("warn"), Some(Level::Warn));
        assert_eq!(Level::from_name("loud"), None);
        assert_eq!(
            [3, 4, 6, 7].map(Level::from_priority),
            [Level::Error, Level::Warn, Level::Info, Level::Debug]
        );
        assert!(enabled(Level::Error) && enabled(Level::Info) && !enabled(Level::Debug));
    }
}
