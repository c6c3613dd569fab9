//! Positions in a subject: before each of its bytes, and behind the last one.

use super::MAX_SUBJECT;

const WORDS: usize = MAX_SUBJECT / 64 + 1;

/// A set of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positions([u64; WORDS]);

impl Positions {
    pub(super) const NONE: Self = Self([0; WORDS]);

    pub(super) fn one(at: usize) -> Self {
        let mut set = Self::NONE;
        set.insert(at);
        set
    }

    /// From 0 to `end`.
    pub(super) fn all(end: usize) -> Self {
        let mut set = Self::NONE;
        (0..=end).for_each(|at| set.insert(at));
        set
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
    }

    /// `at`, if it is there.
    pub(super) fn only(&self, at: usize) -> Self {
        if self.has(at) { Self::one(at) } else { Self::NONE }
    }

    /// Those behind a byte that is wanted.
    pub(super) fn after(&self, subject: &[u8], wanted: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::NONE;
        for (index, word) in self.0.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                let at = index * 64 + word.trailing_zeros() as usize;
                if subject.get(at).is_some_and(|byte| wanted(*byte)) {
                    set.insert(at + 1);
                }
                word &= word - 1;
            }
        }
        set
    }

    /// From `end` down.
    pub(super) fn down_from(&self, end: usize) -> impl Iterator<Item = usize> {
        (0..=end).rev().filter(|at| self.has(*at))
    }

    fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }
}
