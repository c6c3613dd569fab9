//! How far boot and shutdown have come: what of each stage is on its way, and what is still there.

use super::{
    service::Face,
    slot::Lists,
    system::{System, shift},
};

/// For each stage, how many services are wanted and on their way, and how many are not down.
#[derive(Clone, Debug)]
pub(super) struct Stages {
    pending: Counts,
    alive: Counts,
}

#[derive(Clone, Debug)]
struct Counts {
    of: [u16; 256],
    /// A bit for each stage whose count is not 0.
    some: [u64; 4],
}

impl Counts {
    const NEW: Self = Self { of: [0; 256], some: [0; 4] };

    /// Counts; whether a stage has now none.
    fn shift(&mut self, stage: u8, before: bool, after: bool) -> bool {
        let Some(count) = self.of.get_mut(usize::from(stage)) else { return false };
        if !shift(count, before, after) {
            return false;
        }
        let none = *count == 0;
        if let Some(word) = self.some.get_mut(usize::from(stage / 64)) {
            let bit = 1 << (stage % 64);
            *word = if none { *word & !bit } else { *word | bit };
        }
        none
    }

    fn lowest(&self) -> Option<u8> {
        let (at, word) = (0_u8..).zip(self.some).find(|(_, word)| *word != 0)?;
        u8::try_from(word.trailing_zeros()).ok().map(|bit| at * 64 + bit)
    }

    fn highest(&self) -> Option<u8> {
        let (at, word) = (0_u8..4).zip(self.some).rev().find(|(_, word)| *word != 0)?;
        u8::try_from(63 - word.leading_zeros()).ok().map(|bit| at * 64 + bit)
    }
}

impl Stages {
    pub(super) const NEW: Self = Self { pending: Counts::NEW, alive: Counts::NEW };

    /// Whether what is held back by its stage is to be looked at.
    pub(super) fn shift_pending(&mut self, stage: u8, before: bool, after: bool) -> bool {
        self.pending.shift(stage, before, after)
    }

    /// Whether what is held back by its stage is to be looked at.
    pub(super) fn shift_alive(&mut self, stage: u8, before: bool, after: bool) -> bool {
        self.alive.shift(stage, before, after)
    }

    pub(super) fn lowest_pending(&self) -> Option<u8> {
        self.pending.lowest()
    }

    pub(super) fn highest_alive(&self) -> Option<u8> {
        self.alive.highest()
    }
}

impl<const N: usize, const E: usize> System<N, E> {
    /// Finds the stage of a service anew, and of all that it waits for: its own or the lowest of those that wait for
    /// it.
    pub(super) fn restage(&mut self, at: u16) {
        self.enlist(Lists::STAGE, at);
        // What waits is never waited for by what it waits for, so this ends.
        while let Some(at) = self.unlist(Lists::STAGE) {
            if self.restage_one(at) {
                let mut edges = self.first_of(at);
                while let Some(edge) = self.next_of(&mut edges) {
                    if edge.relation.orders() {
                        self.enlist(Lists::STAGE, edge.on);
                    }
                }
            }
        }
    }

    /// Whether its stage is another one now.
    fn restage_one(&mut self, at: u16) -> bool {
        let Some(slot) = self.slot(at) else { return false };
        let (own, before, face) = (slot.policy.stage, slot.place.stage, slot.place.face);
        let users = self.edges_into(at).filter(|(_, edge)| edge.relation.orders());
        let stage = users.filter_map(|(_, edge)| Some(self.slot(edge.of)?.place.stage)).min();
        let stage = stage.map_or(own, |lowest| lowest.min(own));
        if stage == before {
            return false;
        }
        self.count(before, face, Face::NONE);
        if let Some(slot) = self.slots.get_mut(usize::from(at)) {
            slot.place.stage = stage;
        }
        self.count(stage, Face::NONE, face);
        self.queue(at);
        true
    }
}
