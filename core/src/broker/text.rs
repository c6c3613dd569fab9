//! Text of any length in slots of one size: short text lies in place, long text in a chain of blocks.

use super::pool::{NONE, Pool, Slot, at, at_mut};

/// A block of long text.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    next: u32,
    bytes: [u8; Chunk::BYTES],
}

impl Chunk {
    /// A block that was never used.
    pub const EMPTY: Self = Self { next: NONE, bytes: [0; Self::BYTES] };

    const BYTES: usize = 28;
}

impl Slot for Chunk {
    fn next(&self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// Text, up to `N` bytes in place; `N` is at least 8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<const N: usize> {
    /// The length, or [`LONG`]: then the first block and the length are in `bytes`.
    len: u8,
    bytes: [u8; N],
}

const LONG: u8 = u8::MAX;

impl<const N: usize> Text<N> {
    pub(super) const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    /// How many chunks so many bytes take.
    pub(super) fn chunks(len: usize) -> usize {
        if len <= N { 0 } else { len.div_ceil(Chunk::BYTES) }
    }

    /// Stores `bytes`; `None` if there are fewer than [`Text::chunks`] chunks left.
    pub(super) fn store(bytes: &[u8], chunks: &mut [Chunk], pool: &mut Pool) -> Option<Self> {
        let mut text = Self::EMPTY;
        if let Some(place) = text.bytes.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            text.len = u8::try_from(bytes.len()).ok()?;
            return Some(text);
        }
        if pool.room(chunks.len()) < Self::chunks(bytes.len()) {
            return None;
        }
        // From the end to the beginning, so that each block knows its successor.
        let mut first = NONE;
        for part in bytes.chunks(Chunk::BYTES).rev() {
            let index = pool.take(chunks)?;
            let chunk = at_mut(chunks, index)?;
            chunk.bytes.get_mut(..part.len())?.copy_from_slice(part);
            chunk.next = first;
            first = index;
        }
        text.len = LONG;
        *text.bytes.first_chunk_mut()? = first.to_le_bytes();
        *text.bytes.get_mut(4..)?.first_chunk_mut()? = u32::try_from(bytes.len()).ok()?.to_le_bytes();
        Some(text)
    }

    /// Gives the chunks back.
    pub(super) fn release(&mut self, chunks: &mut [Chunk], pool: &mut Pool) {
        let (mut index, _) = self.long();
        while let Some(chunk) = at(chunks, index) {
            let next = chunk.next;
            pool.give(chunks, index);
            index = next;
        }
        *self = Self::EMPTY;
    }

    /// First chunk and length; [`NONE`] if the text is in place.
    fn long(&self) -> (u32, u32) {
        let word = |from: usize| {
            self.bytes.get(from..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
        };
        if self.len == LONG { (word(0), word(4)) } else { (NONE, 0) }
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> usize {
        if self.len == LONG { self.long().1 as usize } else { usize::from(self.len) }
    }

    /// The text with what follows it in its place, and its length; `None` if it is long.
    #[inline]
    pub(super) fn short(&self) -> Option<(&[u8; N], usize)> {
        (self.len != LONG).then_some((&self.bytes, usize::from(self.len)))
    }

    /// The text in pieces.
    pub(super) fn parts<'a>(&'a self, chunks: &'a [Chunk]) -> Parts<'a> {
        match self.bytes.get(..usize::from(self.len)) {
            Some(inline) => Parts { inline: Some(inline), chunks, next: NONE, left: 0 },
            None => {
                let (next, left) = self.long();
                Parts { inline: None, chunks, next, left: left as usize }
            }
        }
    }

    /// The text is `bytes`.
    pub(super) fn is(&self, chunks: &[Chunk], bytes: &[u8]) -> bool {
        if self.len != LONG {
            return self.bytes.get(..usize::from(self.len)) == Some(bytes);
        }
        if self.len() != bytes.len() {
            return false;
        }
        self.parts(chunks).zip(bytes.chunks(Chunk::BYTES)).all(|(ours, theirs)| ours == theirs)
    }
}

/// Iterator over the pieces of a text.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    inline: Option<&'a [u8]>,
    chunks: &'a [Chunk],
    next: u32,
    left: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(inline) = self.inline.take() {
            return Some(inline);
        }
        let chunk = at(self.chunks, self.next)?;
        let part = chunk.bytes.get(..self.left.min(Chunk::BYTES))?;
        self.next = chunk.next;
        self.left -= part.len();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn text_of_every_length_comes_back_and_leaves_nothing_behind() {
        let mut chunks = [Chunk::EMPTY; 6];
        let mut pool = Pool::NEW;
        for length in 0..=6 * Chunk::BYTES {
            let bytes: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut text = Text::<11>::store(&bytes, &mut chunks, &mut pool).unwrap();
            assert_eq!(text.len(), length);
            assert_eq!(text.parts(&chunks).collect::<Vec<_>>().concat(), bytes);
            assert!(text.is(&chunks, &bytes));
            if length > 0 {
                assert!(!text.is(&chunks, &bytes[1..]));
                let mut other = bytes.clone();
                other[length - 1] ^= 1;
                assert!(!text.is(&chunks, &other));
            }
            assert_eq!(pool.used() as usize, Text::<11>::chunks(bytes.len()));
            text.release(&mut chunks, &mut pool);
            assert_eq!(pool.used(), 0);
        }
        assert!(Text::<11>::store(&[0; 6 * Chunk::BYTES + 1], &mut chunks, &mut pool).is_none());
    }
}
