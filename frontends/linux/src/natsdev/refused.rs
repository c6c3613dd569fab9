//! Datagrams that are not believed are counted, and now and then a line says so.

use lunix_core::time::{Duration, Instant};

use super::NAME;
use crate::log::{self, Level};
use crate::sys::uevent::Refusal;

/// The least time between two log lines about refused datagrams.
const REFUSALS: Duration = Duration::from_secs(60);

/// Datagrams that were not believed, by kind.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) sender: u64,
    pub(super) credentials: u64,
    pub(super) truncated: u64,
    since_said: u64,
    said: Option<Instant>,
}

impl Refused {
    pub(super) fn count(&mut self, now: Instant, why: Refusal) {
        let (count, text) = match why {
            Refusal::Sender => (&mut self.sender, "a process sent it, not the kernel"),
            Refusal::Credentials => (&mut self.credentials, "without the credentials of the kernel"),
            Refusal::Truncated => (&mut self.truncated, "longer than any message of the kernel"),
        };
        *count += 1;
        self.say(now, format_args!("{text}"));
    }

    /// The first one at once, then at most one line a minute, which says how many there were.
    pub(super) fn say(&mut self, now: Instant, why: std::fmt::Arguments<'_>) {
        self.since_said += 1;
        if self.said.is_none_or(|said| now >= said + REFUSALS) {
            log::line(
                Level::Warn,
                NAME,
                format_args!("datagram refused: {why} ({} so far)", self.since_said),
            );
            self.said = Some(now);
        }
    }
}
