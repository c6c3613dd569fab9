//! Where subjects lead: what a walk over the trie found, kept for the next message to the same subject.

use super::pool::{NONE, hash};

/// A subject and the subscribed subjects that match it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// When this was true; see [`Cache::generation`]. 0 for never.
    generation: u64,
    /// In which account's subjects.
    root: u32,
    len: u8,
    nodes: Nodes,
    subject: [u8; Found::LONGEST],
}

impl Found {
    /// A slot that was never used.
    pub const EMPTY: Self =
        Self { generation: 0, root: 0, len: 0, nodes: Nodes::NONE, subject: [0; Self::LONGEST] };

    /// Longer subjects are looked for anew each time.
    const LONGEST: usize = 62;
}

/// A few nodes that have subscriptions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nodes {
    len: u8,
    nodes: [u32; Self::MOST],
}

impl Nodes {
    /// A subject that more patterns match is looked for anew each time: then that is the lesser work.
    const MOST: usize = 4;

    pub(super) const NONE: Self = Self { len: 0, nodes: [NONE; Self::MOST] };

    /// Answers whether there was room.
    pub(super) fn push(&mut self, node: u32) -> bool {
        let place = self.nodes.get_mut(usize::from(self.len));
        self.len += u8::from(place.is_some());
        place.map(|place| *place = node).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last one that [`Nodes::pop`] has not answered.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        self.nodes.get(usize::from(self.len)).copied()
    }
}

/// The bookkeeping; what was found is in [`Tables::found`](super::Tables::found). Each subject has one place there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cache {
    seed: u64,
    /// Becomes another one with every subscribed subject that comes or goes: nothing older is true.
    generation: u64,
    /// How often a subject came whose place another one has.
    misses: u32,
}

impl Cache {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed: seed.rotate_left(48), generation: 1, misses: 0 }
    }

    /// A subject is subscribed to for the first time, or nobody subscribes to it any more.
    pub(super) fn forget(&mut self) {
        self.generation += 1;
    }

    /// The place of `subject`, if it may have one.
    #[inline]
    pub(super) fn place(&self, len: usize, root: u32, subject: &[u8]) -> Option<usize> {
        if len == 0 || subject.len() > Found::LONGEST {
            return None;
        }
        let hash = u64::from(hash(self.seed, root, subject));
        // Less than `len`.
        Some(((hash * len as u64) >> 32) as usize)
    }

    /// What `place` knows of `subject`.
    #[inline]
    pub(super) fn find(&self, found: &[Found], place: usize, root: u32, subject: &[u8]) -> Option<Nodes> {
        let slot = found.get(place)?;
        let is = slot.generation == self.generation
            && slot.root == root
            && slot.subject.get(..usize::from(slot.len)) == Some(subject);
        is.then_some(slot.nodes)
    }

    /// Whether `place` is for a subject that was not found there. Where there are more subjects than places, most
    /// stay who they are: else none would ever be found again.
    pub(super) fn is_free(&mut self, found: &[Found], place: usize) -> bool {
        let taken = found.get(place).is_some_and(|slot| slot.generation == self.generation);
        self.misses = self.misses.wrapping_add(u32::from(taken));
        !taken || self.misses.is_multiple_of(8)
    }

    /// Keeps what was found.
    pub(super) fn keep(&self, found: &mut [Found], place: usize, root: u32, subject: &[u8], nodes: Nodes) {
        if let Some(slot) = found.get_mut(place)
            && let Some(text) = slot.subject.get_mut(..subject.len())
        {
            text.copy_from_slice(subject);
            (slot.generation, slot.root, slot.len) = (self.generation, root, subject.len() as u8);
            slot.nodes = nodes;
        }
    }
}
