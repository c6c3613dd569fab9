//! `udevadm`: natsdev answers scripts that know udev, in udev's words.
//!
//! What goes to stdout, and the exit codes, are those of udevadm 252; complaints are our own. Where natsdev does not do
//! what a flag asks for, that is said and nothing is done.
//!
//! | file | what it does |
//! |---|---|
//! | `tables` | the command lines |
//! | `info`, `walk` | tells what is known of a device |
//! | `trigger`, `settle` | asks for events, and waits until they are handled |
//! | `monitor`, `heard` | shows events |
//! | `control` | tells the daemon what to do |
//! | `test` | natsdev's own commands by their names here |
//! | `record`, `enumerate` | a device, and the list of them, as libudev shows them |

mod control;
mod enumerate;
mod heard;
mod info;
mod monitor;
mod record;
mod settle;
mod tables;
mod test;
mod trigger;
mod walk;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use lunix_core::time::Duration;
pub use tables::COMMAND;

use crate::cli::{Matches, UsageError};
use crate::log::{self, Level};

/// What scripts compare: the version of udev whose face this is.
const VERSION: &str = "252";
const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];

/// Why a command ends with 1.
#[derive(Debug)]
enum Failure {
    Usage(UsageError),
    Failed(String),
    /// That was said already.
    Said,
    /// There is nothing to say, or nobody who reads it.
    Silent,
}

impl Failure {
    fn of(what: impl fmt::Display, error: io::Error) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }

    /// Lines that say themselves where they belong.
    fn listed(lines: impl fmt::Display) -> Self {
        eprintln!("{lines}");
        Self::Said
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs `udevadm`.
pub fn run(matches: &Matches) -> ExitCode {
    let command = matches.command().name;
    let result = match command {
        _ if matches.has(tables::VERSION_KEY) => print(format!("{VERSION}\n").as_bytes()),
        "version" => print(format!("{VERSION}\n").as_bytes()),
        "info" => info::run(matches),
        "trigger" => trigger::run(matches),
        "settle" => settle::run(matches),
        "monitor" => monitor::run(matches),
        "control" => control::run(matches),
        "test" => test::test(matches),
        "test-builtin" => test::test_builtin(matches),
        "verify" => test::verify(matches),
        "hwdb" => test::hwdb(matches),
        _ => Err(matches.error("expected a command (see --help)").into()),
    };
    match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => return error.report(),
        Err(Failure::Failed(why)) => complain(command, why),
        Err(Failure::Said | Failure::Silent) => {}
    }
    ExitCode::FAILURE
}

fn complain(command: &str, why: impl fmt::Display) {
    log::line(Level::Warn, "udevadm", format_args!("{command}: {why}"));
}

/// Writes to stdout; a reader that went away is no error of ours, but there is nothing left to do.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(|_| Failure::Silent)
}

/// Whether this is the root of another system than the one that runs: in it, there is nothing to ask the kernel for.
fn in_chroot() -> bool {
    let id = |path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let elsewhere = matches!((id("/proc/1/root"), id("/")), (Ok(one), Ok(other)) if one != other);
    if elsewhere {
        log::line(Level::Info, "udevadm", "in a chroot: nothing is done");
    }
    elsewhere
}

/// A time span as systemd.time(7) has it: `30`, `1.5`, `500ms`, `1min 30s`, `infinity`.
fn seconds(matches: &Matches, flag: &str, value: &OsStr) -> Result<Duration, UsageError> {
    let text = value.to_string_lossy();
    span(&text).ok_or_else(|| matches.wrong(flag, "a time span, like 30 or 500ms", &text))
}

fn span(text: &str) -> Option<Duration> {
    /// In microseconds.
    const UNITS: [(&str, u64); 12] = [
        ("", 1_000_000),
        ("s", 1_000_000),
        ("sec", 1_000_000),
        ("second", 1_000_000),
        ("seconds", 1_000_000),
        ("ms", 1000),
        ("msec", 1000),
        ("us", 1),
        ("usec", 1),
        ("m", 60_000_000),
        ("min", 60_000_000),
        ("h", 3_600_000_000),
    ];
    let mut rest = text.trim();
    if rest == "infinity" {
        return Some(Duration::MAX);
    }
    let mut micros: u64 = (!rest.is_empty()).then_some(0)?;
    while !rest.is_empty() {
        let split = |text: &str, number: bool| {
            let is = |letter: char| letter.is_ascii_digit() || letter == '.';
            text.find(|letter| is(letter) != number).unwrap_or(text.len())
        };
        let (number, tail) = rest.split_at_checked(split(rest, true))?;
        let (unit, tail) = tail.split_at_checked(split(tail, false))?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // Digits beyond the sixth are of no account.
        let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
        let part = factor.checked_mul(fraction.parse().ok()?)? / 1_000_000;
        micros = micros.checked_add(factor.checked_mul(whole.parse().ok()?)?)?.checked_add(part)?;
        rest = tail;
    }
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans() {
        for (text, span) in [
            ("30", Some(30_000)),
            ("1.5", Some(1500)),
            ("500ms", Some(500)),
            ("1min 30s", Some(90_000)),
            (" 2 h ", Some(7_200_000)),
            ("0", Some(0)),
            ("", None),
            ("x", None),
            ("5 parsecs", None),
            ("-1", None),
            ("1..2", None),
        ] {
            assert_eq!(super::span(text), span.map(Duration::from_millis), "{text}");
        }
        assert_eq!(span("infinity"), Some(Duration::MAX));
    }
}
