//! `udevadm settle`: waits until all that has happened is handled.

use std::io;
use std::path::Path;

use lunix_core::time::Duration;

use super::{Failure, seconds};
use crate::cli::Matches;
use crate::natsdev::ask::{self, Conversation};
use crate::natsdev::control::Wish;
use crate::natsdev::device::Root;
use crate::reactor::monotonic;

/// How long an answer may take at least, however little time there is for the rest.
const ANSWER: Duration = Duration::from_secs(5);

/// Runs `udevadm settle`.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    if super::in_chroot() {
        return Ok(());
    }
    let span = match matches.all("timeout").last() {
        Some(value) => seconds(matches, "timeout", value)?,
        None => Duration::from_secs(120),
    };
    let root = Root::new(Path::new("/"));
    if rustix::process::geteuid().is_root() {
        // Where nobody handles devices, there is nothing to wait for.
        let Ok(conversation) = Conversation::begin(&root) else { return Ok(()) };
        conversation.end(&[Wish::Ping], monotonic() + span.max(ANSWER)).map_err(late)?;
    } else if !Path::new("/run/udev/control").exists() {
        return Err(Failure::Failed("nobody handles devices here".into()));
    }
    let deletions = ask::deletions(&root)?;
    let exists = || matches.path("exit-if-exists").is_some_and(Path::exists);
    ask::drained(&root, &deletions, monotonic() + span, exists).map_err(late)
}

fn late(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::Failed("events are still being handled".into()),
        _ => error.into(),
    }
}
