//! Slots of a slice as a free list and as a hash table, both linked by index.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// The slot `index`; `None` for [`NONE`].
pub(super) fn at<T>(slots: &[T], index: u32) -> Option<&T> {
    slots.get(usize::try_from(index).ok()?)
}

/// The slot `index`; `None` for [`NONE`].
pub(super) fn at_mut<T>(slots: &mut [T], index: u32) -> Option<&mut T> {
    slots.get_mut(usize::try_from(index).ok()?)
}

/// A slot that can wait in a list for its reuse.
pub(super) trait Slot {
    /// The next one in the list that this slot is in.
    fn next(&self) -> u32;
    /// Sets the next one.
    fn set_next(&mut self, next: u32);
}

/// What a slot needs to be found by hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The first slot of the bucket with this slot's number. It belongs to the bucket, not to what the slot holds.
    pub(super) head: u32,
    /// The next slot of the same bucket, or of the free list.
    pub(super) next: u32,
    /// The hash of what the slot holds.
    pub(super) hash: u32,
}

impl Link {
    pub(super) const EMPTY: Self = Self { head: NONE, next: NONE, hash: 0 };
}

/// A slot that can be found by hash.
pub(super) trait Linked {
    fn link(&self) -> &Link;
    fn link_mut(&mut self) -> &mut Link;
}

impl<T: Linked> Slot for T {
    fn next(&self) -> u32 {
        self.link().next
    }

    fn set_next(&mut self, next: u32) {
        self.link_mut().next = next;
    }
}

/// Which slots of a slice are in use. The slice may become longer at any time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    /// The first of the slots that were used and are free again.
    free: u32,
    /// Slots from here on were never used.
    fresh: u32,
    /// Slots in use.
    used: u32,
}

impl Pool {
    pub(super) const NEW: Self = Self { free: NONE, fresh: 0, used: 0 };

    /// Slots in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// How many slots of `len` are free.
    pub(super) fn room(&self, len: usize) -> usize {
        len.saturating_sub(self.used as usize)
    }

    /// Takes a slot. What it holds is left over from its last use.
    pub(super) fn take<T: Slot>(&mut self, slots: &[T]) -> Option<u32> {
        let index = if self.free != NONE {
            let index = self.free;
            self.free = at(slots, index)?.next();
            index
        } else {
            let index = self.fresh;
            at(slots, index)?;
            self.fresh += 1;
            index
        };
        self.used += 1;
        Some(index)
    }

    /// Gives a slot back.
    pub(super) fn give<T: Slot>(&mut self, slots: &mut [T], index: u32) {
        if let Some(slot) = at_mut(slots, index) {
            slot.set_next(self.free);
            self.free = index;
            self.used = self.used.saturating_sub(1);
        }
    }
}

/// Chained hashing whose bucket heads lie in the slots themselves, as many as are filled: linear hashing
/// (Litwin 1980) adds one bucket at a time, so that no insertion ever moves more than one chain, and any
/// number of slots will do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    buckets: u32,
    filled: u32,
}

impl Buckets {
    pub(super) const NEW: Self = Self { buckets: 1, filled: 0 };

    fn bucket(&self, hash: u32) -> u32 {
        let mask = self.buckets.next_power_of_two().wrapping_sub(1);
        let bucket = hash & mask;
        if bucket < self.buckets { bucket } else { bucket & (mask >> 1) }
    }

    /// The first slot with `hash` for which `is` holds.
    pub(super) fn find<T: Linked>(&self, slots: &[T], hash: u32, is: impl Fn(&T) -> bool) -> Option<u32> {
        let mut index = at(slots, self.bucket(hash))?.link().head;
        while let Some(slot) = at(slots, index) {
            if slot.link().hash == hash && is(slot) {
                return Some(index);
            }
            index = slot.link().next;
        }
        None
    }

    /// Makes the slot `index` one to be found by `hash`.
    pub(super) fn insert<T: Linked>(&mut self, slots: &mut [T], index: u32, hash: u32) {
        self.filled += 1;
        if self.filled > self.buckets && (self.buckets as usize) < slots.len() {
            self.split(slots);
        }
        self.push(slots, index, hash);
    }

    fn push<T: Linked>(&self, slots: &mut [T], index: u32, hash: u32) {
        let bucket = self.bucket(hash);
        let Some(first) =
            at_mut(slots, bucket).map(|slot| core::mem::replace(&mut slot.link_mut().head, index))
        else {
            return;
        };
        if let Some(slot) = at_mut(slots, index) {
            let link = slot.link_mut();
            link.next = first;
            link.hash = hash;
        }
    }

    fn split<T: Linked>(&mut self, slots: &mut [T]) {
        let new = self.buckets;
        // `new` without its highest bit: the bucket that has been holding for both.
        let old = new & !(1 << new.ilog2());
        self.buckets += 1;
        let Some(mut index) =
            at_mut(slots, old).map(|slot| core::mem::replace(&mut slot.link_mut().head, NONE))
        else {
            return;
        };
        if let Some(slot) = at_mut(slots, new) {
            slot.link_mut().head = NONE;
        }
        while let Some(slot) = at(slots, index) {
            let Link { next, hash, .. } = *slot.link();
            self.push(slots, index, hash);
            index = next;
        }
    }

    /// Takes the slot `index` out.
    pub(super) fn remove<T: Linked>(&mut self, slots: &mut [T], index: u32) {
        let Some(&Link { next, hash, .. }) = at(slots, index).map(Linked::link) else { return };
        let bucket = self.bucket(hash);
        let Some(first) = at_mut(slots, bucket) else { return };
        let mut before = first.link().head;
        if before == index {
            first.link_mut().head = next;
            self.filled = self.filled.saturating_sub(1);
            return;
        }
        while let Some(slot) = at_mut(slots, before) {
            if slot.link().next == index {
                slot.link_mut().next = next;
                self.filled = self.filled.saturating_sub(1);
                return;
            }
            before = slot.link().next;
        }
    }
}

/// Hashes `bytes` under `seed`, which keeps strangers from choosing names that collide.
pub(super) fn hash(seed: u64, salt: u32, bytes: &[u8]) -> u32 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    fn fold(a: u64, b: u64) -> u64 {
        let [low, high] = {
            let product = u128::from(a) * u128::from(b);
            [product as u64, (product >> 64) as u64]
        };
        low ^ high
    }
    let mut state = seed ^ u64::from(salt).wrapping_mul(STEP);
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        state = fold(state ^ word, STEP);
    }
    let rest = words.remainder();
    let last = match (rest.first_chunk(), rest.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32)
        }
        _ => rest.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte)),
    };
    state = fold(state ^ last, STEP ^ ((bytes.len() as u64) << 1));
    // The low half of a mixed word.
    (state ^ (state >> 29)) as u32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::HashMap;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[derive(Clone, Copy)]
    struct Item {
        link: Link,
        key: u32,
    }

    impl Linked for Item {
        fn link(&self) -> &Link {
            &self.link
        }
        fn link_mut(&mut self) -> &mut Link {
            &mut self.link
        }
    }

    const EMPTY: Item = Item { link: Link::EMPTY, key: 0 };

    #[test]
    fn a_table_that_grows_slot_by_slot_finds_what_a_map_finds() {
        let mut slots: Vec<Item> = Vec::new();
        let (mut pool, mut buckets) = (Pool::NEW, Buckets::NEW);
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut random = 7_u32;
        for round in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let key = random % 997;
            // Few distinct hashes, so that chains are long.
            let hash = key.wrapping_mul(0x9e37) % 300;
            let found = buckets.find(&slots, hash, |item| item.key == key);
            assert_eq!(found, model.get(&key).copied(), "round {round}");
            match found {
                Some(index) => {
                    buckets.remove(&mut slots, index);
                    pool.give(&mut slots, index);
                    model.remove(&key);
                }
                None => {
                    if pool.room(slots.len()) == 0 {
                        slots.extend(vec![EMPTY; 1 + round % 3]);
                    }
                    let index = pool.take(&slots).unwrap();
                    slots[index as usize].key = key;
                    buckets.insert(&mut slots, index, hash);
                    model.insert(key, index);
                }
            }
            assert_eq!(pool.used() as usize, model.len());
        }
    }

    #[test]
    fn hashes_depend_on_every_byte_and_on_the_length() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        let mut seen = std::collections::HashSet::new();
        for length in 0..=text.len() {
            assert!(seen.insert(hash(1, 2, &text[..length])));
            for place in 0..length {
                let mut changed = text[..length].to_vec();
                changed[place] ^= 1;
                assert!(seen.insert(hash(1, 2, &changed)), "{length} {place}");
            }
        }
        assert_ne!(hash(1, 2, b"a"), hash(1, 3, b"a"));
        assert_ne!(hash(1, 2, b"a"), hash(2, 2, b"a"));
    }
}
