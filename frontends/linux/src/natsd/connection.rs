//! A connection's bytes: what was read of an unfinished operation, and what waits to be written.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::monitor::About;
use crate::reactor::Key;

/// One client's socket. While nothing is under way it holds no buffers.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) key: Key,
    /// Where it comes from, for the log.
    pub(super) name: String,
    /// What it says about itself.
    pub(super) about: Option<Box<About>>,
    /// The beginning of an operation that has not come whole.
    unread: Vec<u8>,
    /// The length that `unread` has to reach.
    needed: usize,
    output: Vec<u8>,
    /// How much of `output` is written.
    written: usize,
    /// It is on the list of those to be written to.
    pub(super) dirty: bool,
    /// The socket is full; the reactor will say when it is not.
    pub(super) blocked: bool,
    /// The broker has closed it.
    pub(super) closed: bool,
}

/// The end of a read.
#[derive(Debug)]
pub(super) enum Read {
    /// There are bytes; `true` if there were fewer than there was room for.
    Bytes(bool),
    /// There are none now.
    Blocked,
    /// The peer is gone.
    End,
}

/// The read buffer that all connections share.
pub(super) const SHARED: usize = 64 << 10;

/// Bodies from this size on are written from where they lie, if nothing waits before them.
const DIRECT: usize = 16 << 10;

impl Connection {
    pub(super) fn new(socket: OwnedFd, key: Key, name: String) -> Self {
        Self {
            socket,
            key,
            name,
            about: None,
            unread: Vec::new(),
            needed: 0,
            output: Vec::new(),
            written: 0,
            dirty: false,
            blocked: false,
            closed: false,
        }
    }

    /// Reads once behind what is unread, into `shared` or, if the operation at hand is too long for that, into
    /// a buffer of its own. Answers that buffer; [`Connection::keep`] takes it back.
    pub(super) fn read(&mut self, shared: &mut Vec<u8>) -> (Vec<u8>, Read) {
        let mut buffer = if self.needed <= SHARED {
            let mut buffer = std::mem::take(shared);
            buffer.clear();
            buffer.reserve_exact(SHARED);
            buffer.extend_from_slice(&self.unread);
            self.unread = Vec::new();
            buffer
        } else {
            let mut own = std::mem::take(&mut self.unread);
            // Address space for the whole message; the kernel gives pages only as its bytes come.
            own.reserve_exact(self.needed.saturating_sub(own.len()).max(1));
            own
        };
        let room = buffer.capacity() - buffer.len();
        let read = loop {
            match rustix::io::read(&self.socket, spare_capacity(&mut buffer)) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Read::Blocked,
                Ok(0) | Err(_) => break Read::End,
                Ok(bytes) => break Read::Bytes(bytes < room),
            }
        };
        (buffer, read)
    }

    /// Keeps what follows the first `done` bytes of `buffer`, which must become `needed` bytes long before it
    /// makes sense to look at them again. Gives `buffer` back to `shared` if it is that.
    pub(super) fn keep(&mut self, mut buffer: Vec<u8>, done: usize, needed: usize, shared: &mut Vec<u8>) {
        let rest = buffer.get(done..).unwrap_or_default();
        self.needed = if rest.is_empty() { 0 } else { needed };
        if done == 0 && self.needed > SHARED && shared.capacity() > 0 {
            // A long message in the midst of its arrival stays where it is.
            self.unread = buffer;
            return;
        }
        self.unread = rest.to_vec();
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

    /// Bytes that wait.
    pub(super) fn left(&self) -> usize {
        self.output.len() - self.written
    }

    /// Queues a piece made by `encode`, which is told how much room it has and answers `Err` with how much it needs.
    pub(super) fn push_with(
        &mut self,
        pool: &mut Vec<Vec<u8>>,
        guess: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>,
    ) {
        self.prepare(pool);
        let begin = self.output.len();
        let mut room = guess;
        loop {
            self.output.resize(begin + room, 0);
            match encode(self.output.get_mut(begin..).unwrap_or_default()) {
                Ok(written) => return self.output.truncate(begin + written),
                Err(needed) if needed > room => room = needed,
                Err(_) => return self.output.truncate(begin),
            }
        }
    }

    /// Queues bytes behind what [`Connection::push_with`] has queued. Long ones are written at once with all that
    /// waits, if the socket takes them, so that they are not copied.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if bytes.len() >= DIRECT && !self.blocked && self.left() < DIRECT {
            let waiting = self.output.get(self.written..).unwrap_or_default();
            let pieces = [IoSlice::new(waiting), IoSlice::new(bytes)];
            // An error is seen again, and acted upon, when the rest is written.
            let taken = rustix::io::writev(&self.socket, &pieces).unwrap_or(0);
            let of_waiting = taken.min(waiting.len());
            self.written += of_waiting;
            rest = bytes.get(taken - of_waiting..).unwrap_or_default();
        }
        self.output.extend_from_slice(rest);
    }

    fn prepare(&mut self, pool: &mut Vec<Vec<u8>>) {
        if self.output.capacity() == 0
            && let Some(buffer) = pool.pop()
        {
            self.output = buffer;
        }
        if self.written > 0 && self.written >= self.output.len() / 2 {
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// Writes what waits. `Ok(true)` if all of it is written; its buffer is then in `pool`.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn write(&mut self, pool: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        while self.written < self.output.len() {
            let waiting = self.output.get(self.written..).unwrap_or_default();
            match rustix::io::write(&self.socket, waiting) {
                Ok(taken) => self.written += taken,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.written = 0;
        let mut buffer = std::mem::take(&mut self.output);
        buffer.clear();
        if buffer.capacity() > 0 && buffer.capacity() <= POOLED && pool.len() < POOL {
            pool.push(buffer);
        }
        Ok(true)
    }
}

/// How many buffers are kept for the next output, and how long they may be.
const POOL: usize = 64;
const POOLED: usize = 256 << 10;
