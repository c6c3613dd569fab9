//! A connection's bytes: what was read of an unfinished operation, and what waits to be written.

use std::io::{self, IoSlice};

use lunix_core::broker::Delivery;
use rustix::io::Errno;

use super::monitor::About;
use super::output::{Output, Pool};
use super::transport::{Read, Transport};
use crate::reactor::{Key, Ready};

/// One client's socket. While nothing is under way it holds no buffers.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) key: Key,
    /// Where it comes from, for the log.
    pub(super) name: String,
    /// What it says about itself.
    pub(super) about: Option<Box<About>>,
    /// It has been said to `$SYS` that it is there.
    pub(super) is_announced: bool,
    /// It is in the system's account.
    pub(super) is_of_system: bool,
    /// The beginning of an operation that has not come whole.
    unread: Vec<u8>,
    /// The length that `unread` has to reach.
    needed: usize,
    output: Output,
    /// It is on the list of those to be written to.
    pub(super) dirty: bool,
    /// The socket is full; the reactor will say when it is not.
    pub(super) blocked: bool,
    /// Others do not keep up with what it sends, and it is not read from for a moment.
    pub(super) stalled: bool,
    /// Nothing is read before it is known who this is.
    pub(super) waits: bool,
    /// The broker has closed it.
    pub(super) closed: bool,
}

/// The read buffer that all connections share.
pub(super) const SHARED: usize = 64 << 10;
/// How long it becomes for long messages.
const LONGEST_SHARED: usize = 256 << 10;

/// Bodies from this size on are written from where they lie, if nothing waits before them.
const DIRECT: usize = 16 << 10;

impl Connection {
    pub(super) fn new(transport: Transport, key: Key, name: String) -> Self {
        Self {
            transport,
            key,
            name,
            about: None,
            is_announced: false,
            is_of_system: false,
            unread: Vec::new(),
            needed: 0,
            output: Output::default(),
            dirty: false,
            blocked: false,
            stalled: false,
            waits: false,
            closed: false,
        }
    }

    /// Reads once behind what is unread, into `shared` or, if the operation at hand is too long for that, into
    /// a buffer of its own; `most` bytes of short operations. Answers that buffer; [`Connection::keep`] takes it back.
    pub(super) fn read(&mut self, shared: &mut Vec<u8>, most: usize) -> (Vec<u8>, Read) {
        let mut buffer = if self.needed <= LONGEST_SHARED {
            let mut buffer = std::mem::take(shared);
            buffer.clear();
            // Where messages are long there should be some of them in one read.
            buffer.reserve_exact(if self.needed > most / 2 { LONGEST_SHARED } else { most });
            buffer.extend_from_slice(&self.unread);
            self.unread.clear();
            buffer
        } else {
            let mut own = std::mem::take(&mut self.unread);
            // Address space for the whole message; the kernel gives pages only as its bytes come.
            own.reserve_exact(self.needed.saturating_sub(own.len()).max(1));
            own
        };
        let read = self.transport.read(&mut buffer);
        (buffer, read)
    }

    /// Keeps what follows the first `done` bytes of `buffer`, which must become `needed` bytes long before it
    /// makes sense to look at them again. Gives `buffer` back to `shared` if it is that.
    pub(super) fn keep(&mut self, mut buffer: Vec<u8>, done: usize, needed: usize, shared: &mut Vec<u8>) {
        let rest = buffer.get(done..).unwrap_or_default();
        self.needed = if rest.is_empty() { 0 } else { needed };
        if done == 0 && self.needed > LONGEST_SHARED && shared.capacity() > 0 {
            // A long message in the midst of its arrival stays where it is.
            self.unread = buffer;
            return;
        }
        if rest.is_empty() {
            self.unread = Vec::new();
        } else {
            self.unread.extend_from_slice(rest);
        }
        if shared.capacity() == 0 {
            buffer.clear();
            *shared = buffer;
        }
    }

    /// Takes back what [`Connection::keep`] has kept.
    pub(super) fn unread(&mut self) -> Vec<u8> {
        self.needed = 0;
        std::mem::take(&mut self.unread)
    }

    /// In which directions it is to be heard of.
    pub(super) fn wanted(&self) -> Ready {
        Ready { readable: !self.stalled && !self.waits, writable: self.blocked }
    }

    /// Bytes that wait.
    pub(super) fn left(&self) -> usize {
        self.output.left() + self.transport.left()
    }

    /// Queues a piece made by `encode`, which is told how much room it has, at least `guess`, and answers `Err` with how
    /// much it needs.
    #[inline]
    pub(super) fn push_with(
        &mut self,
        pool: &mut Pool,
        guess: usize,
        encode: impl FnMut(&mut [u8]) -> Result<usize, usize>,
    ) {
        self.output.put_with(pool, guess, encode);
    }

    /// Queues a message.
    #[inline]
    pub(super) fn push_message(&mut self, pool: &mut Pool, delivery: &Delivery<'_>) {
        if delivery.body().len() >= DIRECT {
            self.push_with(pool, delivery.head_len(), |out| {
                delivery.encode_head(out).map_err(|full| full.needed)
            });
            return self.push(pool, delivery.body());
        }
        let needed = delivery.encoded_len() + Delivery::SLACK;
        self.push_with(pool, needed, |out| delivery.encode(out).map_err(|full| full.needed));
    }

    /// Queues bytes. Long ones are written at once with all that waits, as far as the socket takes them, so that they
    /// are not copied.
    pub(super) fn push(&mut self, pool: &mut Pool, bytes: &[u8]) {
        let mut rest = bytes;
        if bytes.len() >= DIRECT && !self.blocked && self.left() < DIRECT && self.output.is_short() {
            let waiting = self.output.waiting();
            let pieces = [IoSlice::new(waiting), IoSlice::new(bytes)];
            // An error is seen again, and acted upon, when the rest is written.
            let taken = self.transport.write_pieces(&pieces).unwrap_or(0);
            let of_waiting = taken.min(waiting.len());
            self.output.written(pool, of_waiting);
            rest = bytes.get(taken - of_waiting..).unwrap_or_default();
            if !rest.is_empty() {
                self.output.is_full();
            }
        }
        self.output.put(pool, rest);
    }

    /// Closes it. What waits is lost; the buffer it is in is not.
    pub(super) fn discard(mut self, pool: &mut Pool) {
        self.output.release(pool);
    }

    /// Writes what waits. `Ok(true)` if all of it is written; its buffer is then in `pool`.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn write(&mut self, pool: &mut Pool) -> io::Result<bool> {
        while self.output.left() > 0 {
            let taken = if self.output.is_short() {
                self.transport.write(self.output.waiting())
            } else {
                let (pieces, count) = self.output.pieces();
                self.transport.write_pieces(pieces.get(..count).unwrap_or_default())
            };
            match taken {
                Ok(taken) => self.output.written(pool, taken),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.output.is_full();
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !self.transport.flush()? {
            return Ok(false);
        }
        self.output.release(pool);
        Ok(true)
    }
}

/// What is said before TLS begins.
impl Connection {
    /// Says in the clear what is queued, if that is how the client learns that it has to begin TLS.
    ///
    /// # Errors
    /// The peer is gone, or takes less than a line.
    pub(super) fn greet(&mut self) -> io::Result<()> {
        let len = self.output.waiting().len();
        let refused = self.closed;
        match self.transport.tls() {
            None => Ok(()),
            Some(stream) => {
                if stream.greets(len) || refused {
                    self.write_clear(len)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Says in the clear what [`Connection::greet`] has held back.
    ///
    /// # Errors
    /// As there.
    pub(super) fn greet_late(&mut self) -> io::Result<()> {
        let len = self.transport.tls().map_or(0, |stream| stream.greeting());
        self.write_clear(len)
    }

    fn write_clear(&mut self, len: usize) -> io::Result<()> {
        let Some(stream) = self.transport.tls() else { return Ok(()) };
        let line = self.output.waiting().get(..len).unwrap_or_default();
        if stream.write_clear(line)? < len {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.output.skip(len);
        Ok(())
    }
}
