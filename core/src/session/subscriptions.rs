//! What this client is subscribed to, across connections.

use lunix_proto::Full;
use lunix_proto::nats::{encode, subject};

use super::SubscribeError;
use super::digits::Digits;

/// Names a subscription for as long as it lives, across reconnects; the number is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub(super) u64);

impl Sid {
    /// The number on the wire.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What the server has been told of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// Nothing yet: a SUB is owed.
    New,
    /// All of it.
    Told,
    /// It is there, but should count to another maximum: an UNSUB with a number is owed.
    TellMax,
    /// It is still there: an UNSUB is owed.
    Leaving,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    inbox: bool,
    /// How often this slot was used before, so that a late message finds no newer subscription.
    generation: u32,
    subject: u16,
    queue: u16,
    text: u32,
    /// Messages since the subscription's start, and how many of them came before this connection.
    received: u64,
    before: u64,
    /// Ends when `received` reaches it; 0 = never.
    max: u64,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) sid: Sid,
    pub(super) inbox: bool,
    pub(super) last: bool,
}

/// `N` subscriptions, their subjects and queue names one after the other in `text`.
#[derive(Debug)]
pub(super) struct Subscriptions<B, const N: usize> {
    slots: [Slot; N],
    text: B,
    used: usize,
    /// How many slots owe the server a line.
    owing: usize,
}

/// Room that `SUB`, `UNSUB`, two sids, a maximum and line ends take at most beside the text.
const LINES: usize = 96;

impl<B: AsRef<[u8]> + AsMut<[u8]>, const N: usize> Subscriptions<B, N> {
    pub(super) const fn new(text: B) -> Self {
        const { assert!(N > 0 && N <= 1 << 24, "1 to 16 million subscriptions") }
        let slot = Slot {
            state: State::Free,
            inbox: false,
            generation: 0,
            subject: 0,
            queue: 0,
            text: 0,
            received: 0,
            before: 0,
            max: 0,
        };
        Self { slots: [slot; N], text, used: 0, owing: 0 }
    }

    pub(super) fn memory_mut(&mut self) -> &mut B {
        &mut self.text
    }

    pub(super) const fn owes(&self) -> bool {
        self.owing > 0
    }

    /// `longest` bounds the lines that announce it, so that they fit into the control buffer.
    pub(super) fn add(
        &mut self,
        name: &[u8],
        queue: Option<&[u8]>,
        inbox: bool,
        longest: usize,
    ) -> Result<Sid, SubscribeError> {
        let queue_name = queue.unwrap_or_default();
        let queue_valid = queue.is_none_or(|queue| {
            !queue.is_empty()
                && !queue.iter().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
        });
        if !subject::is_pattern(name) || !queue_valid {
            return Err(SubscribeError::InvalidSubject);
        }
        let length = name.len().saturating_add(queue_name.len());
        let (Ok(subject), Ok(queue)) = (u16::try_from(name.len()), u16::try_from(queue_name.len())) else {
            return Err(SubscribeError::TooLong);
        };
        if length.saturating_add(LINES) > longest {
            return Err(SubscribeError::TooLong);
        }
        let index =
            self.slots.iter().position(|slot| slot.state == State::Free).ok_or(SubscribeError::TooMany)?;
        let needed = self.used.saturating_add(length);
        let room = self.text.as_mut().get_mut(self.used..needed).ok_or(SubscribeError::Full { needed })?;
        for (to, from) in room.iter_mut().zip(name.iter().chain(queue_name)) {
            *to = *from;
        }
        let text = u32::try_from(self.used).map_err(|_| SubscribeError::TooMany)?;
        let slot = self.slots.get_mut(index).ok_or(SubscribeError::TooMany)?;
        let generation = slot.generation;
        *slot = Slot {
            state: State::New,
            inbox,
            generation,
            subject,
            queue,
            text,
            received: 0,
            before: 0,
            max: 0,
        };
        self.used = needed;
        self.owing += 1;
        Ok(Self::sid(index, generation))
    }

    /// `connected`: the server knows of it, and must be told.
    pub(super) fn remove(&mut self, sid: Sid, connected: bool) {
        let Some(index) = self.find(sid.0) else { return };
        self.leave(index, connected);
    }

    pub(super) fn remove_all(&mut self, connected: bool) {
        for index in 0..N {
            self.leave(index, connected);
        }
    }

    /// Ends the subscription after `max` messages since its start.
    pub(super) fn limit(&mut self, sid: Sid, max: u64, connected: bool) {
        let Some(index) = self.find(sid.0) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        if max <= slot.received {
            return self.leave(index, connected);
        }
        slot.max = max;
        if slot.state == State::Told {
            slot.state = State::TellMax;
            self.owing += 1;
        }
    }

    /// Counts a message for the sid as it stands on the wire.
    pub(super) fn deliver(&mut self, wire: &[u8]) -> Option<Delivery> {
        let index = self.find(super::digits::parse(wire)?)?;
        let slot = self.slots.get_mut(index)?;
        if slot.state == State::Leaving {
            return None;
        }
        slot.received = slot.received.saturating_add(1);
        let last = slot.max != 0 && slot.received >= slot.max;
        let delivery = Delivery { sid: Self::sid(index, slot.generation), inbox: slot.inbox, last };
        if last {
            // The server counts, too, and has ended it by itself.
            self.free(index);
        }
        Some(delivery)
    }

    pub(super) fn contains(&self, sid: Sid) -> bool {
        self.find(sid.0).is_some()
    }

    /// A new server knows of nothing.
    pub(super) fn forget_server(&mut self) {
        for index in 0..N {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            match slot.state {
                State::Leaving => self.free(index),
                State::Told => {
                    slot.state = State::New;
                    slot.before = slot.received;
                    self.owing += 1;
                }
                State::TellMax => {
                    slot.state = State::New;
                    slot.before = slot.received;
                }
                State::Free | State::New => {}
            }
        }
    }

    /// The first slot that owes a line, and how long that line may be.
    pub(super) fn first_owing(&self) -> Option<(usize, usize)> {
        if self.owing == 0 {
            return None;
        }
        let owes = |slot: &Slot| !matches!(slot.state, State::Free | State::Told);
        let index = self.slots.iter().position(owes)?;
        let slot = self.slots.get(index)?;
        let text = usize::from(slot.subject) + usize::from(slot.queue);
        Some((index, if slot.state == State::New { text + LINES } else { LINES }))
    }

    /// The owed lines of a slot; [`Self::settled`] once they are under way.
    pub(super) fn encode(&self, index: usize, out: &mut [u8]) -> Result<usize, Full> {
        let Some(slot) = self.slots.get(index) else { return Ok(0) };
        let sid = Digits::new(Self::sid(index, slot.generation).0);
        let left = slot.max.saturating_sub(slot.before);
        match slot.state {
            State::Free | State::Told => Ok(0),
            State::Leaving => encode::unsubscribe(out, sid.as_bytes(), None),
            State::TellMax => encode::unsubscribe(out, sid.as_bytes(), Some(left)),
            State::New => {
                let at = slot.text as usize;
                let queue = at + usize::from(slot.subject);
                let end = queue + usize::from(slot.queue);
                let text = self.text.as_ref();
                let name = text.get(at..queue).unwrap_or_default();
                let group = text.get(queue..end).filter(|group| !group.is_empty());
                let written = encode::subscribe(out, name, group, sid.as_bytes())?;
                if slot.max == 0 {
                    return Ok(written);
                }
                let rest = out.get_mut(written..).unwrap_or_default();
                Ok(written + encode::unsubscribe(rest, sid.as_bytes(), Some(left))?)
            }
        }
    }

    pub(super) fn settled(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        match slot.state {
            State::Free | State::Told => {}
            State::Leaving => self.free(index),
            State::New | State::TellMax => {
                slot.state = State::Told;
                self.owing -= 1;
            }
        }
    }

    fn leave(&mut self, index: usize, connected: bool) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        match slot.state {
            State::Free | State::Leaving => {}
            State::Told if connected => {
                slot.state = State::Leaving;
                self.owing += 1;
            }
            State::TellMax if connected => slot.state = State::Leaving,
            State::New | State::Told | State::TellMax => self.free(index),
        }
    }

    fn free(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if !matches!(slot.state, State::Free | State::Told) {
            self.owing -= 1;
        }
        slot.state = State::Free;
        slot.generation = slot.generation.wrapping_add(1);
        let at = slot.text;
        let length = u32::from(slot.subject) + u32::from(slot.queue);
        let (from, to) = ((at + length) as usize, at as usize);
        if from <= self.used && self.used <= self.text.as_ref().len() {
            self.text.as_mut().copy_within(from..self.used, to);
        }
        self.used -= length as usize;
        for other in &mut self.slots {
            if other.state != State::Free && other.text > at {
                other.text -= length;
            }
        }
    }

    fn find(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(1)? % N as u64).ok()?;
        let slot = self.slots.get(index)?;
        (slot.state != State::Free && Self::sid(index, slot.generation).0 == number).then_some(index)
    }

    const fn sid(index: usize, generation: u32) -> Sid {
        Sid(generation as u64 * N as u64 + index as u64 + 1)
    }
}
