//! What waits to be written to a connection: in a buffer that goes from one connection to the next, and, where a socket
//! does not take it or it is very much, in blocks of pages behind that.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::sys::pages::Pages;

/// Bytes in their order.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// All of its length can be written to; of it, `from..to` waits. Empty while nothing does.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// What waits behind that.
    blocks: Option<Box<Blocks>>,
    /// The socket takes nothing more, and the buffer is not made longer: pages are exactly as many as are needed, and the
    /// kernel's again afterwards.
    full: bool,
}

#[derive(Debug, Default)]
struct Blocks {
    /// None is empty.
    blocks: VecDeque<Block>,
    /// How much of the first one is written.
    from: usize,
    /// How much of all of them waits.
    left: usize,
}

#[derive(Debug)]
struct Block {
    pages: Pages,
    to: usize,
}

/// Buffers that have no output at the moment, warm from their last use.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Vec<Vec<u8>>,
    blocks: Vec<Pages>,
    bytes: usize,
}

/// The first buffer's length; it doubles.
const FIRST: usize = 4 << 10;
/// How long it becomes: enough for what one read causes, mostly.
const LONGEST: usize = 128 << 10;
/// Pages behind it, if no piece is longer.
const BLOCK: usize = 64 << 10;
/// How much is kept for the next output.
const KEPT: usize = 16 << 20;
/// Pieces of one write.
const PIECES: usize = 64;

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.len();
        buffer
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if buffer.len() <= LONGEST && self.bytes + buffer.len() <= KEPT {
            self.bytes += buffer.len();
            self.buffers.push(buffer);
        }
    }

    fn take_block(&mut self, len: usize) -> Pages {
        if len > BLOCK {
            return Pages::new(len);
        }
        match self.blocks.pop() {
            Some(pages) => {
                self.bytes -= BLOCK;
                pages
            }
            None => Pages::new(BLOCK),
        }
    }

    fn give_block(&mut self, pages: Pages) {
        // Most blocks are of slow consumers, whose memory is nobody's when they have gone.
        if pages.len() == BLOCK && self.bytes + BLOCK <= KEPT / 4 {
            self.bytes += BLOCK;
            self.blocks.push(pages);
        }
    }

    /// Bytes that wait for their next use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Blocks {
    /// The room behind what waits, at least `needed` bytes.
    fn room(&mut self, pool: &mut Pool, needed: usize) -> &mut [u8] {
        let short = self.blocks.back().is_none_or(|block| block.pages.len() - block.to < needed);
        if short {
            self.blocks.push_back(Block { pages: pool.take_block(needed), to: 0 });
        }
        let last = self.blocks.back_mut();
        last.and_then(|block| block.pages.get_mut(block.to..)).unwrap_or_default()
    }

    /// So much was put into [`Blocks::room`].
    fn grow(&mut self, len: usize) {
        if let Some(last) = self.blocks.back_mut() {
            last.to += len;
            self.left += len;
        }
    }

    fn written(&mut self, pool: &mut Pool, mut len: usize) {
        self.left -= len;
        while let Some(first) = self.blocks.front() {
            let here = first.to - self.from;
            if len < here {
                self.from += len;
                return;
            }
            len -= here;
            self.from = 0;
            if let Some(block) = self.blocks.pop_front() {
                pool.give_block(block.pages);
            }
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let froms = std::iter::once(self.from).chain(std::iter::repeat(0));
        self.blocks.iter().zip(froms).filter_map(|(block, from)| block.pages.get(from..block.to))
    }
}

impl Output {
    /// How much waits.
    pub(super) fn left(&self) -> usize {
        self.to - self.from + self.blocks.as_ref().map_or(0, |blocks| blocks.left)
    }

    /// What waits, or the beginning of it.
    pub(super) fn waiting(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// [`Output::waiting`] is all of it.
    pub(super) fn is_short(&self) -> bool {
        self.blocks.is_none()
    }

    /// What waits in pieces, or the beginning of it; and how many they are.
    pub(super) fn pieces(&self) -> ([IoSlice<'_>; PIECES], usize) {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        let blocks = self.blocks.iter().flat_map(|blocks| blocks.pieces());
        let all = std::iter::once(self.waiting()).chain(blocks).filter(|piece| !piece.is_empty());
        for (place, piece) in pieces.iter_mut().zip(all) {
            *place = IoSlice::new(piece);
            count += 1;
        }
        (pieces, count)
    }

    /// So much of what waits is written.
    pub(super) fn written(&mut self, pool: &mut Pool, len: usize) {
        let here = len.min(self.to - self.from);
        self.from += here;
        if let Some(blocks) = &mut self.blocks {
            blocks.written(pool, len - here);
            if blocks.left == 0 {
                self.blocks = None;
            }
            if self.from == self.to {
                self.release_buffer(pool);
            }
        }
    }

    /// So much of [`Output::waiting`] is not to be written.
    pub(super) fn skip(&mut self, len: usize) {
        self.from = (self.from + len).min(self.to);
    }

    /// The socket takes nothing more for now.
    pub(super) fn is_full(&mut self) {
        self.full = true;
    }

    /// Adds a piece made by `encode`, which is told how much room it has, at least `guess`, and answers `Err` with how
    /// much it needs.
    #[inline]
    pub(super) fn put_with(
        &mut self,
        pool: &mut Pool,
        guess: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>,
    ) {
        let mut needed = guess;
        loop {
            let out = self.room(pool, needed);
            let room = out.len();
            match encode(out) {
                Ok(written) => return self.grow(written.min(room)),
                Err(more) if more > needed => needed = more,
                Err(_) => return,
            }
        }
    }

    /// Adds bytes.
    pub(super) fn put(&mut self, pool: &mut Pool, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // Long ones are cut where a block ends.
            let out = self.room(pool, bytes.len().min(FIRST));
            let len = out.len().min(bytes.len());
            let (part, rest) = bytes.split_at(len);
            if let Some(place) = out.get_mut(..len) {
                place.copy_from_slice(part);
            }
            bytes = rest;
            self.grow(len);
        }
    }

    #[inline]
    fn room(&mut self, pool: &mut Pool, needed: usize) -> &mut [u8] {
        if self.blocks.is_none() && self.buffer.len() - self.to < needed {
            self.make_room(pool, needed);
        }
        match &mut self.blocks {
            None => self.buffer.get_mut(self.to..).unwrap_or_default(),
            Some(blocks) => blocks.room(pool, needed),
        }
    }

    #[inline]
    fn grow(&mut self, len: usize) {
        match &mut self.blocks {
            None => self.to += len,
            Some(blocks) => blocks.grow(len),
        }
    }

    /// Makes the buffer longer, or begins with blocks.
    #[cold]
    fn make_room(&mut self, pool: &mut Pool, needed: usize) {
        if self.buffer.is_empty() && !self.full {
            self.buffer = pool.take();
        }
        let left = self.to - self.from;
        if self.from > left {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, left);
        }
        if self.buffer.len() - self.to >= needed {
            return;
        }
        let more = self.buffer.len().max(FIRST).max(needed);
        if self.full || self.buffer.len() + more > LONGEST {
            self.blocks = Some(Box::default());
        } else {
            self.buffer.resize(self.buffer.len() + more, 0);
        }
    }

    /// Nothing waits any more.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.full = false;
        self.blocks = None;
        self.release_buffer(pool);
    }

    fn release_buffer(&mut self, pool: &mut Pool) {
        (self.from, self.to) = (0, 0);
        if !self.buffer.is_empty() {
            pool.give(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(output: &Output) -> Vec<u8> {
        let (pieces, count) = output.pieces();
        pieces[..count].iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[test]
    fn what_is_put_comes_out_in_its_order_however_it_is_taken() {
        let (mut pool, mut output, mut expected) = (Pool::default(), Output::default(), Vec::new());
        for round in 0..4000_usize {
            // Now and then it becomes long, and the socket full; then it is taken down to nothing again.
            let longest = if round / 500 % 2 == 1 { 9_001 } else { 97 };
            let piece: Vec<u8> = (0..round % longest).map(|byte| (byte + round) as u8).collect();
            if round % 3 == 0 {
                output.put_with(&mut pool, piece.len(), |out| {
                    out[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                });
            } else {
                output.put(&mut pool, &piece);
            }
            expected.extend_from_slice(&piece);
            assert!(expected.starts_with(&all(&output)));
            let taken = (round * 3571 % (2 * longest)).min(expected.len());
            let taken = if round % 500 > 400 { expected.len().min(300_000) } else { taken };
            output.written(&mut pool, taken);
            expected.drain(..taken);
            assert_eq!(output.left(), expected.len());
            if expected.is_empty() {
                output.release(&mut pool);
                assert!(all(&output).is_empty());
            } else if round % 7 == 0 {
                output.is_full();
            }
        }
        output.release(&mut pool);
        let blocks = pool.blocks.iter().map(|pages| pages.len()).sum::<usize>();
        assert_eq!(pool.bytes(), pool.buffers.iter().map(Vec::len).sum::<usize>() + blocks);
        assert!(pool.bytes() > 0);
    }

    #[test]
    fn a_piece_that_needs_more_room_than_was_guessed_gets_it() {
        for (len, full) in [(FIRST * 3, false), (LONGEST * 3, false), (FIRST * 3, true)] {
            let (mut pool, mut output) = (Pool::default(), Output::default());
            if full {
                output.is_full();
            }
            output.put_with(&mut pool, 1, |out| {
                out.get_mut(..len).ok_or(len)?.fill(b'x');
                Ok(len)
            });
            assert_eq!(output.left(), len);
        }
    }

    #[test]
    fn what_waits_for_a_full_socket_takes_little_more_than_it_is() {
        let (mut pool, mut output) = (Pool::default(), Output::default());
        output.put(&mut pool, &[1; 3000]);
        output.is_full();
        (0..1000).for_each(|_| output.put(&mut pool, &[2; 1000]));
        let blocks = output.blocks.as_ref().map_or(0, |blocks| blocks.blocks.len());
        assert!(output.buffer.len() == FIRST && blocks * BLOCK < 1_003_000 + BLOCK);
        output.written(&mut pool, 1_003_000);
        assert_eq!((output.left(), output.is_short()), (0, true));
    }
}
