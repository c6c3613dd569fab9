//! `udevadm control`: tells who handles devices what to do.

use std::ffi::OsStr;
use std::path::Path;

use lunix_core::time::Duration;

use super::{Failure, seconds};
use crate::cli::Matches;
use crate::natsdev::ask::Conversation;
use crate::natsdev::control::Wish;
use crate::natsdev::device::Root;
use crate::reactor::monotonic;

/// Runs `udevadm control`. Nothing is done if something of it cannot be done.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    if super::in_chroot() {
        return Ok(());
    }
    let mut wishes = Vec::new();
    let mut span = Duration::from_secs(60);
    for (flag, value) in matches.flags() {
        let value = value.unwrap_or_default();
        wishes.push(match flag {
            "reload" => Wish::Reload,
            "ping" => Wish::Ping,
            "exit" => Wish::Exit,
            "log-level" => Wish::LogLevel(priority(matches, value)?),
            "timeout" => {
                span = seconds(matches, flag, value)?;
                continue;
            }
            "stop-exec-queue" | "start-exec-queue" | "property" | "children-max" => {
                return Err(matches.error(format_args!("--{flag}: natsdev has nothing of that kind")).into());
            }
            _ => continue,
        });
    }
    if matches.flags().next().is_none() {
        return Err(matches.error("expected a flag (see --help)").into());
    }
    // What is said after it would not be heard.
    if let Some(exit) = wishes.iter().position(|wish| *wish == Wish::Exit) {
        wishes.truncate(exit + 1);
    }
    if wishes.is_empty() {
        return Ok(());
    }
    let conversation = Conversation::begin(&Root::new(Path::new("/")))
        .map_err(|error| Failure::of("nobody handles devices here, or it is not yours to tell", error))?;
    conversation.end(&wishes, monotonic() + span).map_err(|error| Failure::of("no answer", error))
}

/// A priority of syslog(3), by its name or number.
fn priority(matches: &Matches, value: &OsStr) -> Result<u32, Failure> {
    const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let text = value.to_string_lossy();
    let by_name = NAMES.iter().position(|name| *name == text).and_then(|number| u32::try_from(number).ok());
    by_name
        .or_else(|| text.parse().ok().filter(|number| *number < 8))
        .ok_or_else(|| matches.wrong("log-level", &format!("one of {}", NAMES.join(", ")), &text).into())
}
