//! Requests that wait for their answers.

use crate::time::Instant;

/// Names a request until its last answer, its time-out or its cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// How often this slot was used before, so that a late answer finds no newer request.
    generation: u32,
    /// Answers still wanted; 0 = the slot is free.
    wanted: u32,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Requests<const N: usize> {
    slots: [Slot; N],
}

impl<const N: usize> Requests<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N > 0 && N <= 1 << 24, "1 to 16 million requests") }
        Self { slots: [Slot { generation: 0, wanted: 0, deadline: Instant::from_micros(0) }; N] }
    }

    pub(super) fn add(&mut self, wanted: u32, deadline: Instant) -> Option<RequestId> {
        let index = self.slots.iter().position(|slot| slot.wanted == 0)?;
        let slot = self.slots.get_mut(index)?;
        (slot.wanted, slot.deadline) = (wanted.max(1), deadline);
        Some(Self::id(index, slot.generation))
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        if let Some(slot) = self.find(id.0) {
            Self::free(slot);
        }
    }

    /// One answer has come; says whether it was the last one wanted.
    pub(super) fn answer(&mut self, number: u64) -> Option<(RequestId, bool)> {
        let slot = self.find(number)?;
        slot.wanted -= 1;
        let last = slot.wanted == 0;
        if last {
            Self::free(slot);
        }
        Some((RequestId(number), last))
    }

    /// Some request whose time is over; it is forgotten.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<RequestId> {
        let index = self.slots.iter().position(|slot| slot.wanted != 0 && slot.deadline <= now)?;
        let slot = self.slots.get_mut(index)?;
        let id = Self::id(index, slot.generation);
        Self::free(slot);
        Some(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| slot.wanted != 0).map(|slot| slot.deadline).min()
    }

    fn free(slot: &mut Slot) {
        slot.wanted = 0;
        slot.generation = slot.generation.wrapping_add(1);
    }

    fn find(&mut self, number: u64) -> Option<&mut Slot> {
        let index = usize::try_from(number % N as u64).ok()?;
        let slot = self.slots.get_mut(index)?;
        (slot.wanted != 0 && Self::id(index, slot.generation).0 == number).then_some(slot)
    }

    const fn id(index: usize, generation: u32) -> RequestId {
        RequestId(generation as u64 * N as u64 + index as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn answered_expired_or_cancelled_it_is_forgotten() {
        let mut requests = Requests::<3>::new();
        let one = requests.add(1, at(10)).unwrap();
        let many = requests.add(2, at(20)).unwrap();
        let never = requests.add(1, at(30)).unwrap();
        assert_eq!(requests.add(1, at(5)), None, "the table is full");
        assert_eq!(requests.next_deadline(), Some(at(10)));

        assert_eq!(requests.answer(one.0), Some((one, true)));
        assert_eq!(requests.answer(one.0), None);
        assert_eq!(requests.answer(many.0), Some((many, false)));
        requests.cancel(never);
        assert_eq!(requests.take_expired(at(19)), None);
        assert_eq!(requests.take_expired(at(20)), Some(many));
        assert_eq!(requests.next_deadline(), None);

        let next = requests.add(1, at(40)).unwrap();
        assert_ne!(next, one, "a late answer to the old one finds nothing");
        assert_eq!(requests.answer(one.0), None);
    }
}
