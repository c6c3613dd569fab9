//! Log lines in nats-server's form, which its users' scripts and test suites read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunix_core::utc::Utc;

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
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("[{pid}] {} [{tag}] {message}\n", Stamp(since))
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

/// The time since 1970, displayed as `2026/11/24 04:08:41.529446`.
struct Stamp(Duration);

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Utc { year, month, day, hour, minute, second, .. } = Utc::of(self.0.as_secs());
        let micros = self.0.subsec_micros();
        write!(out, "{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}
