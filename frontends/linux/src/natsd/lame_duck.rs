//! Lame duck mode: nobody new comes in, who is there is told, and closed one after the other.

use std::time::Duration;

use lunix_core::broker::{ClientId, Input, Reason};
use lunix_core::time::Instant;

use super::log::Tag;
use super::server::{Server, Token};
use crate::reactor::Reactor;

/// What is left to be done in lame duck mode.
#[derive(Debug)]
pub(super) struct LameDuck {
    /// When the next client is closed.
    at: Instant,
    /// At most so long after the one before it.
    step: Duration,
    /// Clients below this number are closed.
    index: u32,
}

/// Clients are closed at least so often.
const LONGEST_STEP: Duration = Duration::from_secs(1);
/// The time for all of them, if the grace period leaves none.
const LEAST: Duration = Duration::from_secs(1);

impl LameDuck {
    pub(super) fn next(&self) -> Instant {
        self.at
    }
}

impl Server {
    /// Begins lame duck mode, if it has not begun yet.
    pub(super) fn enter_lame_duck(&mut self, reactor: &mut Reactor<Token>) {
        if self.lame_duck.is_some() {
            return;
        }
        self.wires.log.line(Tag::Info, "Entering lame duck mode, stop accepting new clients");
        self.listeners.clear();
        let operation = &self.source.settings.operation;
        let grace = operation.lame_duck_grace_period;
        let span = operation.lame_duck_duration.checked_sub(grace).filter(|span| !span.is_zero());
        let step = span.unwrap_or(LEAST) / self.broker.statistics().connections.max(1);
        let at = reactor.now() + grace;
        self.lame_duck = Some(LameDuck { at, step: step.min(LONGEST_STEP), index: 0 });
        self.wires.identity.ldm = true;
        self.drive(reactor.now(), Input::Inform);
        // It is said once, not again with the next change.
        self.wires.identity.ldm = false;
        self.say_end(reactor.now(), "LAMEDUCK");
        self.close_what_ended(reactor);
        self.stop_if_lame_and_alone(reactor);
    }

    /// Closes the clients whose time has come.
    pub(super) fn close_lamely(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(duck) = &mut self.lame_duck
            && duck.at <= reactor.now()
        {
            let index = duck.index;
            if index == 0 {
                self.wires.log.line(Tag::Info, "Closing existing clients");
            }
            let Some(place) = self.wires.connections.get(index as usize) else {
                return reactor.stop();
            };
            duck.index += 1;
            if place.is_some() {
                // Not in step with other servers that were told to stop together with this one.
                let jitter = duck.step / 200 * (index.wrapping_mul(61) % 100);
                duck.at = duck.at + duck.step / 2 + jitter;
                self.finish(reactor, ClientId::new(index), Some(Reason::Shutdown));
            }
        }
    }

    /// Ends where nobody is left to be closed.
    pub(super) fn stop_if_lame_and_alone(&self, reactor: &mut Reactor<Token>) {
        if self.lame_duck.is_some() && self.broker.statistics().connections == 0 {
            reactor.stop();
        }
    }
}
