//! Stdout that never blocks the daemon: what a slow reader does not take is kept up to a bound, then dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use crate::reactor::{Key, Reactor, Ready};

/// What is kept for a reader that does not read.
const PENDING: usize = 64 * 1024;

/// Stdout of our own, non-blocking where it could block.
#[derive(Debug)]
pub(super) struct Output {
    file: std::fs::File,
    /// Where it can block, and so is watched.
    key: Option<Key>,
    pending: Vec<u8>,
    dropped: u64,
    closed: bool,
}

impl Output {
    /// Opens stdout anew: setting `O_NONBLOCK` on the inherited one would set it for the shell as well.
    pub(super) fn open<T: Copy>(reactor: &mut Reactor<T>, token: T) -> io::Result<Self> {
        let inherited = std::fs::File::from(rustix::io::dup(rustix::stdio::stdout())?);
        let kind = inherited.metadata()?.file_type();
        let mut output = Self { file: inherited, key: None, pending: Vec::new(), dropped: 0, closed: false };
        if kind.is_fifo() || kind.is_char_device() {
            let mut own = OpenOptions::new();
            own.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            // Without /proc, or on another user's terminal, writes go to the inherited one and may wait.
            if let Ok(file) = own.open("/proc/self/fd/1") {
                // Not everything can be watched (/dev/null), and what cannot never blocks.
                output.key = reactor.add(&file, token, Ready::default()).ok();
                output.file = file;
            }
        }
        Ok(output)
    }

    /// Queues one message whole, or drops and counts it.
    pub(super) fn say(&mut self, text: &str) {
        if self.closed || text.is_empty() {
            return;
        }
        if self.pending.len() + text.len() > PENDING {
            self.dropped += 1;
            return;
        }
        self.pending.extend_from_slice(text.as_bytes());
    }

    /// Writes what can be written now. The first error that means a reader is gone for good ends the output.
    pub(super) fn flush<T: Copy>(&mut self, reactor: &mut Reactor<T>) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(key) = self.key {
                        reactor.write_blocked(key);
                        reactor.want(key, Ready::WRITE);
                    }
                    return Ok(());
                }
                Err(error) => {
                    self.closed = true;
                    self.pending = Vec::new();
                    if let Some(key) = self.key.take() {
                        reactor.remove(key, &self.file);
                    }
                    return Err(error);
                }
            }
            if self.pending.is_empty() && self.dropped > 0 {
                let dropped = std::mem::take(&mut self.dropped);
                self.say(&format!("\u{2026} {dropped} more, while nobody read\n"));
            }
        }
        if let Some(key) = self.key {
            reactor.want(key, Ready::default());
        }
        self.pending.shrink_to(0);
        Ok(())
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
