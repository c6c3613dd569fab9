//! What waits to be written to a connection, in a buffer that goes from one connection to the next.

/// Bytes in their order.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// All of its length can be written to; of it, `from..to` waits. Empty while nothing does.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

/// Buffers that have no output at the moment, warm from their last use.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// The first buffer's length; it doubles.
const FIRST: usize = 4 << 10;
/// Longer ones are of slow consumers, and are given back.
const LONGEST: usize = 1 << 20;
/// How much is kept for the next output.
const KEPT: usize = 16 << 20;

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

    /// Bytes that wait for their next use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Output {
    /// How much waits.
    pub(super) fn left(&self) -> usize {
        self.to - self.from
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// So much of what waits is written.
    pub(super) fn written(&mut self, len: usize) {
        self.from = (self.from + len).min(self.to);
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
            if self.buffer.len() - self.to < needed {
                self.make_room(pool, needed);
            }
            match encode(self.buffer.get_mut(self.to..).unwrap_or_default()) {
                Ok(written) => return self.to = (self.to + written).min(self.buffer.len()),
                Err(more) if more > needed => needed = more,
                Err(_) => return,
            }
        }
    }

    /// Adds bytes.
    pub(super) fn put(&mut self, pool: &mut Pool, bytes: &[u8]) {
        self.put_with(pool, bytes.len(), |out| {
            let place = out.get_mut(..bytes.len()).ok_or(bytes.len())?;
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        });
    }

    #[cold]
    fn make_room(&mut self, pool: &mut Pool, needed: usize) {
        if self.buffer.is_empty() {
            self.buffer = pool.take();
        }
        if self.from > self.left() {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.left());
        }
        if self.buffer.len() - self.to < needed {
            let more = self.buffer.len().clamp(FIRST, LONGEST).max(needed);
            self.buffer.resize(self.buffer.len() + more, 0);
        }
    }

    /// Nothing waits any more.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        (self.from, self.to) = (0, 0);
        if !self.buffer.is_empty() {
            pool.give(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_out_in_its_order_however_it_is_taken() {
        let (mut pool, mut output, mut expected) = (Pool::default(), Output::default(), Vec::new());
        for round in 0..2000_usize {
            let piece: Vec<u8> = (0..round % 97).map(|byte| (byte + round) as u8).collect();
            output.put(&mut pool, &piece);
            expected.extend_from_slice(&piece);
            assert_eq!(output.waiting(), expected);
            let taken = (round * 31 % 131).min(expected.len());
            output.written(taken);
            expected.drain(..taken);
            assert_eq!(output.left(), expected.len());
            if expected.is_empty() {
                output.release(&mut pool);
                assert!(output.waiting().is_empty());
            }
        }
        output.release(&mut pool);
        assert_eq!(pool.bytes(), pool.buffers.iter().map(Vec::len).sum::<usize>());
        assert!(pool.bytes() > 0);
    }

    #[test]
    fn a_piece_that_needs_more_room_than_was_guessed_gets_it() {
        let (mut pool, mut output) = (Pool::default(), Output::default());
        output.put_with(&mut pool, 1, |out| {
            let place = out.get_mut(..FIRST * 3).ok_or(FIRST * 3)?;
            place.fill(b'x');
            Ok(FIRST * 3)
        });
        assert_eq!(output.left(), FIRST * 3);
    }
}
