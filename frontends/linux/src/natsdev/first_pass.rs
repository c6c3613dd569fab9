//! The first pass over all devices: what was there at the start is unknown until its end.
//!
//! Who supervises natsdev is told that it is ready when it hears the kernel and answers on the bus, which is before. Who
//! asks for devices meanwhile is answered at the end.

use std::collections::VecDeque;

use lunix_core::time::{Duration, Instant};

use crate::bus::Message;
use crate::notify;

/// Requests that wait for the end.
const WAITING: usize = 64;

#[derive(Debug)]
pub(super) struct FirstPass {
    start: Instant,
    begun: bool,
    ended: Option<Instant>,
    /// Only its end makes us ready.
    settle: bool,
    ready: bool,
    waiting: VecDeque<Message>,
}

impl FirstPass {
    /// Of a daemon that starts now.
    pub(super) fn new(now: Instant, settle: bool) -> Self {
        Self { start: now, begun: false, ended: None, settle, ready: false, waiting: VecDeque::new() }
    }

    /// There is a server, which knows our subscriptions.
    pub(super) fn connected(&mut self) {
        if !self.settle {
            self.ready();
        }
    }

    /// Whether it is time to begin: those who wait for us need not wait for a part of it, unless for all of it.
    pub(super) fn may_begin(&self, no_server: bool) -> bool {
        self.settle || self.ready || no_server
    }

    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// All devices that were there are handled. How long after the start, if it is the end.
    pub(super) fn end(&mut self, now: Instant) -> Option<Duration> {
        if self.ended.is_some() {
            return None;
        }
        self.ended = Some(now);
        // Without a server, too: others need devices, and not us.
        self.ready();
        Some(now.since(self.start))
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.ended
    }

    /// Keeps a request until the end, if there is room for it.
    #[must_use]
    pub(super) fn keep(&mut self, message: &Message) -> bool {
        let room = self.waiting.len() < WAITING;
        if room {
            self.waiting.push_back(message.clone());
        }
        room
    }

    /// The next request that has waited.
    pub(super) fn next_waiting(&mut self) -> Option<Message> {
        self.waiting.pop_front()
    }

    fn ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            notify::ready();
        }
    }
}
