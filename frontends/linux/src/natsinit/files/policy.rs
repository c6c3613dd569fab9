//! What a file says about starting and stopping, as core::supervise wants it.

use std::time::Duration;

use lunix_core::supervise::{Backoff, Kind, Policy, Readiness, Restart, Signal, Stop};

use super::super::definition::Notification;

/// What was said; `None` is what is usual.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) oneshot: bool,
    pub(super) on_demand: bool,
    pub(super) undo: bool,
    pub(super) stage: Option<u8>,
    pub(super) start_timeout: Option<Option<Duration>>,
    pub(super) restart: Option<Restart>,
    pub(super) backoff: Option<Backoff>,
    pub(super) stop: Option<Vec<(Signal, Duration)>>,
    pub(super) kill_timeout: Option<Duration>,
    pub(super) watchdog: Option<Duration>,
    pub(super) reload: Option<Signal>,
}

/// The stage of a service that names none.
pub(super) const STAGE: u8 = 5;

impl Said {
    pub(super) fn new(oneshot: bool) -> Self {
        Self { oneshot, ..Self::default() }
    }

    /// A oneshot takes as long as it takes and is not tried again, unless something else is said.
    pub(super) fn policy(&self, readiness: &Notification) -> Policy {
        let usual = Policy::default();
        let (kind, start_timeout, restart) = if self.oneshot {
            (Kind::Oneshot, None, Restart::Never)
        } else {
            (Kind::Longrun, usual.start_timeout, usual.restart)
        };
        Policy {
            kind,
            on_demand: self.on_demand,
            stage: self.stage.unwrap_or(STAGE),
            readiness: if *readiness == Notification::Start { Readiness::Start } else { Readiness::Notify },
            start_timeout: self.start_timeout.unwrap_or(start_timeout),
            stop: self.stop.as_deref().and_then(Stop::of).unwrap_or(usual.stop),
            kill_timeout: self.kill_timeout.unwrap_or(usual.kill_timeout),
            restart: self.restart.unwrap_or(restart),
            backoff: self.backoff.unwrap_or(usual.backoff),
            watchdog: self.watchdog,
            reload: self.reload,
            undo: self.undo,
        }
    }
}
