//! Back-pressure: a client that sends to one that is behind is not read from for a moment, as nats-server stalls fast
//! producers. Who is behind is a matter of its own limit and of what is left for everybody.

use super::client::{Client, ClientId, State};
use super::memory::{Memory, Tables};
use super::passage::Passage;
use super::pool::{NONE, at, at_mut};
use super::turn::{Step, Turn};
use super::{Limits, Machine};
use crate::time::{Duration, Instant};

/// How long one read waits for consumers at most; nats-server allows as much. A consumer that reads nothing fills what
/// is left of its limit all the same, a read at a time.
const PATIENCE: Duration = Duration::from_millis(10);

/// What a client waits for that is not read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    until: Instant,
    /// The consumer; [`NONE`] for who does not wait.
    consumer: u32,
    /// Who waits next.
    next: u32,
}

impl Stall {
    pub(super) const NONE: Self = Self { until: Instant::from_micros(0), consumer: NONE, next: NONE };

    fn is(self) -> bool {
        self.consumer != NONE
    }
}

/// All of them. Each waits equally long, so the first one's time is over first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stalls {
    pub(super) first: u32,
    last: u32,
    /// When the first one's time is over.
    pub(super) until: Option<Instant>,
}

impl Stalls {
    pub(super) const NONE: Self = Self { first: NONE, last: NONE, until: None };
}

impl Limits {
    /// nats-server's high-water mark of one client.
    pub(super) const fn mark(&self) -> usize {
        self.pending / 4 * 3
    }

    /// Whether a client is behind for which `pending` bytes wait, of `pending_all` for everybody: it has three quarters of
    /// its own limit, or more than is left for all others together (dynamic thresholds, Choudhury and Hahne 1998).
    #[inline]
    pub(super) fn is_behind(&self, pending: usize, pending_all: usize) -> bool {
        pending > self.mark() || pending.saturating_add(pending_all) > self.pending_all
    }
}

impl Machine {
    pub(super) fn is_behind(&self, slot: &Client) -> bool {
        self.limits.is_behind(slot.pending, self.statistics.pending)
    }

    /// Remembers that the message at hand was for a client that is behind, if that stalls its publisher.
    pub(super) fn note_behind(&self, tables: &Tables<'_>, passage: &mut Passage<'_>, consumer: u32) {
        if self.limits.stall
            && is_client(tables, passage.from)
            && at(tables.clients, consumer).is_some_and(|slot| self.is_behind(slot))
        {
            passage.behind = consumer;
            // The usual way does not look at it.
            passage.usual.is = false;
        }
    }

    /// Puts a publisher behind all that are stalled; answers whether it was not among them.
    fn stall(&mut self, tables: &mut Tables<'_>, now: Instant, producer: u32, consumer: u32) -> bool {
        match at_mut(tables.clients, consumer) {
            Some(slot) if slot.state == State::Open => slot.is_awaited = true,
            _ => return false,
        }
        let Some(slot) =
            at_mut(tables.clients, producer).filter(|slot| slot.state == State::Open && !slot.stall.is())
        else {
            return false;
        };
        let until = now + PATIENCE;
        slot.stall = Stall { until, consumer, next: NONE };
        let before = core::mem::replace(&mut self.stalls.last, producer);
        match at_mut(tables.clients, before) {
            Some(slot) => slot.stall.next = producer,
            None => (self.stalls.first, self.stalls.until) = (producer, Some(until)),
        }
        self.statistics.stalls += 1;
        true
    }

    /// Takes a client out of those that are stalled, if it is there.
    pub(super) fn unstall(&mut self, tables: &mut Tables<'_>, producer: u32) {
        let Some(slot) = at_mut(tables.clients, producer).filter(|slot| slot.stall.is()) else { return };
        let Stall { next, .. } = core::mem::replace(&mut slot.stall, Stall::NONE);
        // Mostly it is the first one.
        let (mut before, mut index) = (NONE, self.stalls.first);
        while index != producer && index != NONE {
            before = index;
            index = at(tables.clients, index).map_or(NONE, |slot| slot.stall.next);
        }
        if next == NONE {
            self.stalls.last = before;
        }
        match at_mut(tables.clients, before) {
            Some(slot) => slot.stall.next = next,
            None => {
                self.stalls.first = next;
                self.stalls.until = at(tables.clients, next).map(|slot| slot.stall.until);
            }
        }
    }

    fn has_to_wait(&self, tables: &Tables<'_>, now: Instant, stall: Stall) -> bool {
        stall.until > now
            && at(tables.clients, stall.consumer)
                .is_some_and(|slot| slot.state == State::Open && self.is_behind(slot))
    }
}

/// Whether that is a client: neither leaf node nor the server itself.
pub(super) fn is_client(tables: &Tables<'_>, from: u32) -> bool {
    at(tables.clients, from).is_some_and(|slot| slot.leaf == NONE)
}

impl<M: Memory> Turn<'_, M> {
    /// Stalls the publisher of a message that was for a client that is behind.
    #[cold]
    pub(super) fn stall(&mut self, producer: u32, consumer: u32) -> bool {
        self.broker.machine.stall(&mut self.broker.memory.tables(), self.now, producer, consumer)
    }

    /// Looks at all stalled clients in this turn.
    pub(super) fn look_at_stalled(&mut self) {
        self.stalled = self.broker.machine.stalls.first;
    }

    /// The next client that need not wait any longer.
    pub(super) fn resume<'t>(&mut self) -> Option<Step<'t>> {
        let mut tables = self.broker.memory.tables();
        let machine = &mut self.broker.machine;
        while let Some(stall) =
            at(tables.clients, self.stalled).map(|slot| slot.stall).filter(|stall| stall.is())
        {
            let producer = core::mem::replace(&mut self.stalled, stall.next);
            if !machine.has_to_wait(&tables, self.now, stall) {
                machine.unstall(&mut tables, producer);
                return Some(Step::Resume(ClientId::new(producer)));
            }
        }
        self.stalled = NONE;
        None
    }
}
