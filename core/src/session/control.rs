//! Lines of the connection itself: the hand-shake, PING and PONG, and what the server must be told of
//! subscriptions. They are owed until there is room for them, and never lost.

use lunix_proto::Full;
use lunix_proto::nats::encode;

use super::Session;
use super::connection::{Phase, Ping};

/// Room for PING or PONG.
const LINE: usize = 8;
/// Room of the outbox that only PING and PONG take, one of each at least: nothing that waits is given up for them, and a server
/// that died is found out although nothing else has room.
pub(super) const KEPT: usize = 2 * LINE;

/// Lines that go ahead of the outbox: the hand-shake and the subscriptions.
#[derive(Debug)]
pub(super) struct Control<B> {
    pub(super) memory: B,
    head: usize,
    end: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Control<B> {
    pub(super) const fn new(memory: B) -> Self {
        Self { memory, head: 0, end: 0 }
    }

    pub(super) fn unsent(&self) -> &[u8] {
        self.memory.as_ref().get(self.head..self.end).unwrap_or_default()
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.head = self.head.saturating_add(count).min(self.end);
        if self.head == self.end {
            self.clear();
        }
    }

    pub(super) const fn clear(&mut self) {
        (self.head, self.end) = (0, 0);
    }

    pub(super) fn append(
        &mut self,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
    ) -> Result<(), Full> {
        let room = self.memory.as_mut().get_mut(self.end..).unwrap_or_default();
        let most = room.len();
        self.end += encode(room)?.min(most);
        Ok(())
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const SUBS: usize, const REQS: usize> Session<B, SUBS, REQS> {
    /// Writes the lines that are owed, as far as there is room. In order: answers to PINGs, which the server
    /// counts; subscriptions, which later publishes may rely on; then the barrier.
    pub(super) fn settle(&mut self) {
        if !matches!(self.phase, Phase::Proving { .. } | Phase::Up { .. }) {
            return;
        }
        while self.pongs_owed > 0 && self.append_control(KEPT, encode::pong).is_ok() {
            self.pongs_owed -= 1;
        }
        if !self.is_ready() {
            return;
        }
        while let Some((index, room)) = self.subscriptions.first_owing() {
            if self.append_owed(index, room).is_err() {
                return;
            }
            self.subscriptions.settled(index);
        }
        if self.restoring && self.control.unsent().is_empty() {
            self.restoring = false;
        }
        if !self.restoring && self.ping.is_none() && self.reached < self.barriers {
            self.send_ping();
        }
    }

    fn append_owed(&mut self, index: usize, room: usize) -> Result<(), Full> {
        let subscriptions = &self.subscriptions;
        if self.restoring {
            return self.control.append(|out| subscriptions.encode(index, out));
        }
        let room = room.saturating_add(KEPT);
        if self.outbox.append(room, |out| subscriptions.encode(index, out)).is_ok() {
            return Ok(());
        }
        self.overflow(room);
        let subscriptions = &self.subscriptions;
        self.outbox.append(room, |out| subscriptions.encode(index, out))
    }

    fn append_control(
        &mut self,
        room: usize,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
    ) -> Result<(), Full> {
        if self.restoring || !self.is_ready() {
            return self.control.append(encode);
        }
        self.outbox.append(room, encode)
    }

    pub(super) fn send_ping(&mut self) {
        if self.append_control(LINE, encode::ping).is_ok() {
            let bytes = self.taken + self.outbox.unsent().len() as u64;
            self.ping = Some(Ping { covers: self.barriers, bytes, sent: self.now });
        }
    }
}
