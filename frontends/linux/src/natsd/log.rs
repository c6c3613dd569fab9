//! Log lines in nats-server's form, which its users' scripts and test suites read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::settings::Logging;

/// Where log lines go, and how many.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<(PathBuf, File)>,
    pub(super) debug: bool,
    pub(super) trace: bool,
    time: bool,
}

/// A line's tag.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag {
    Info,
    Warn,
    Error,
    Debug,
    Trace,
}

impl Log {
    pub(super) fn new(wish: &Logging) -> io::Result<Self> {
        let open = |path: &PathBuf| Ok::<_, io::Error>((path.clone(), open(path)?));
        let file = wish.file.as_ref().map(open).transpose()?;
        Ok(Self { file, debug: wish.debug, trace: wish.trace, time: wish.time })
    }

    /// Follows changed settings. A new file that cannot be opened is said in the old one, which stays.
    pub(super) fn follow(&mut self, wish: &Logging) {
        match Self::new(wish) {
            Ok(new) => *self = new,
            Err(error) => {
                self.line(Tag::Error, format_args!("log_file: {error}"));
                *self =
                    Self { debug: wish.debug, trace: wish.trace, time: wish.time, file: self.file.take() };
            }
        }
    }

    /// Opens the file anew, after somebody has moved it away.
    pub(super) fn reopen(&mut self) {
        if let Some((path, file)) = &mut self.file
            && let Ok(new) = open(path)
        {
            *file = new;
        }
    }

    pub(super) fn line(&self, tag: Tag, message: impl fmt::Display) {
        let tag = match tag {
            Tag::Debug if !self.debug => return,
            Tag::Trace if !self.trace => return,
            Tag::Info => "INF",
            Tag::Warn => "WRN",
            Tag::Error => "ERR",
            Tag::Debug => "DBG",
            Tag::Trace => "TRC",
        };
        let pid = std::process::id();
        let line = if self.time {
            format!("[{pid}] {} [{tag}] {message}\n", Utc::now())
        } else {
            format!("[{pid}] [{tag}] {message}\n")
        };
        // A log that cannot be written must not stop the server.
        let _ = match &self.file {
            Some((_, file)) => (&mut &*file).write_all(line.as_bytes()),
            None => io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A point in time, displayed as `2026/11/24 04:08:41.529446`.
struct Utc {
    seconds: u64,
    micros: u32,
}

impl Utc {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), micros: since.subsec_micros() }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a date of the Gregorian calendar, in years that begin in March.
        let days = self.seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let second = self.seconds % 86_400;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(out, "{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{:06}", self.micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970/01/01 00:00:00.000042"),
            (951_782_399, "2000/02/28 23:59:59.000042"),
            (951_782_400, "2000/02/29 00:00:00.000042"),
            (1_795_493_321, "2026/11/24 04:08:41.000042"),
            (4_107_542_400, "2100/03/01 00:00:00.000042"),
        ] {
            assert_eq!(Utc { seconds, micros: 42 }.to_string(), text);
        }
    }
}
