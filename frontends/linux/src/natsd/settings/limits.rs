//! What clients may do, in bytes and numbers.

use std::time::Duration;

use lunix_core::broker::Limits;

use super::facts::OrNone;
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::{Section, Span, Value};

/// The limits if nobody says anything: what waits for slow clients may take a sixteenth of the memory, 4 MiB of 64.
pub(super) fn of_this_machine() -> Limits {
    let mut limits = Limits::default();
    let memory = usize::try_from(rustix::system::sysinfo().totalram).unwrap_or(usize::MAX);
    limits.pending_all = limits.pending_all.min((memory / 16).max(1 << 20));
    limits.pending = limits.pending.min(limits.pending_all / 2);
    limits
}

impl Subject for Limits {
    fn configure(&mut self, file: &mut Section) {
        let size = |value: &Value, least| value.size(least, 1 << 30);
        let payload = file.take(&["max_payload"]);
        let pending = file.take(&["max_pending"]);
        self.payload = payload.as_ref().and_then(|value| size(value, 0)).unwrap_or(self.payload);
        self.pending = pending.as_ref().and_then(|value| size(value, 4096)).unwrap_or(self.pending);
        for (key, place, least) in [
            ("max_control_line", &mut self.control_line, 64),
            ("max_pending_all", &mut self.pending_all, 4096),
        ] {
            *place = file.take(&[key]).and_then(|value| size(&value, least)).unwrap_or(*place);
        }
        match (pending, payload) {
            (Some(_), Some(payload)) if self.payload > self.pending => {
                payload.wrong(&format!("at most max_pending ({})", self.pending));
            }
            (Some(pending), None) if self.payload > self.pending => {
                pending.wrong(&format!("at least max_payload ({})", self.payload));
            }
            _ => self.pending = self.pending.max(self.payload),
        }
        // Who allows one client more allows it to all of them.
        self.pending_all = self.pending_all.max(self.pending);
        for (keys, place) in [
            (&["max_connections", "max_conn"][..], &mut self.connections),
            (&["max_subscriptions", "max_subs"], &mut self.subscriptions),
        ] {
            *place = match file.integer(keys, -1, 1 << 30) {
                None => *place,
                // nats-server's 0 and -1 mean that there is no limit.
                Some(..=0) => u32::MAX,
                Some(number) => u32::try_from(number).unwrap_or(u32::MAX),
            };
        }
        let (least, day) = (Duration::from_millis(10), Duration::from_secs(86_400));
        self.ping_interval = file.duration(&["ping_interval"], least, day).or(self.ping_interval);
        if let Some(number) = file.integer(&["ping_max"], 1, 255) {
            self.ping_max = u8::try_from(number).unwrap_or(u8::MAX);
        }
        let hour = Duration::from_secs(3_600);
        self.write_deadline = file.duration(&["write_deadline"], least, hour).unwrap_or(self.write_deadline);
        self.stall = file.truth(&["no_fast_producer_stall"]).map_or(self.stall, |without| !without);
        self.headers = file.truth(&["no_header_support"]).map_or(self.headers, |without| !without);
    }

    fn apply(&mut self, _: &Matches) -> Result<(), UsageError> {
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        let number = |limit| OrNone(Some(limit).filter(|limit| *limit != u32::MAX));
        facts.live("max_payload", &self.payload);
        facts.live("max_control_line", &self.control_line);
        facts.live("max_pending", &self.pending);
        facts.live("max_pending_all", &self.pending_all);
        facts.live("max_connections", &number(self.connections));
        facts.live("max_subscriptions", &number(self.subscriptions));
        facts.live("ping_interval", &OrNone(self.ping_interval.map(Span)));
        facts.live("ping_max", &self.ping_max);
        facts.live("write_deadline", &Span(self.write_deadline));
        facts.live("no_fast_producer_stall", &!self.stall);
        facts.fixed("no_header_support", &!self.headers);
    }
}
