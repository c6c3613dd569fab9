//! What the supervisor writes for people: whole lines that never make it wait.

use std::io::{self, IsTerminal as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::supervisor::Token;
use crate::reactor::{Key, Reactor, Ready};

/// Lines on stderr. A terminal that is halted by Ctrl-S, or a full pipe, holds up nobody: lines are kept up to
/// a bound, those beyond it are given up, and their number is said when there is room again.
#[derive(Debug)]
pub(super) struct Terminal {
    colour: bool,
    backlog: Vec<u8>,
    dropped: u64,
    /// Watched only while something is kept.
    key: Option<Key>,
}

const BACKLOG: usize = 64 * 1024;
/// What a pipe that reports room takes without blocking (PIPE_BUF).
const PIECE: usize = 4096;

/// How a word looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look(pub(super) &'static str);

impl Look {
    pub(super) const PLAIN: Self = Self("");
    pub(super) const DIM: Self = Self("\x1b[2m");
    pub(super) const GOOD: Self = Self("\x1b[32m");
    pub(super) const WARN: Self = Self("\x1b[33m");
    pub(super) const BAD: Self = Self("\x1b[1;31m");
    /// Colours that tell services apart.
    pub(super) const SERVICES: [Self; 6] = [
        Self("\x1b[36m"),
        Self("\x1b[35m"),
        Self("\x1b[34m"),
        Self("\x1b[33m"),
        Self("\x1b[96m"),
        Self("\x1b[95m"),
    ];
}

impl Terminal {
    pub(super) fn new() -> Self {
        let colour =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour, backlog: Vec::new(), dropped: 0, key: None }
    }

    /// Queues a line made of words and how they look.
    pub(super) fn line(&mut self, words: &[(Look, &str)]) {
        let start = self.backlog.len();
        for (look, text) in words {
            let coloured = self.colour && !look.0.is_empty();
            if coloured {
                self.backlog.extend_from_slice(look.0.as_bytes());
            }
            self.backlog.extend_from_slice(text.as_bytes());
            if coloured {
                self.backlog.extend_from_slice(b"\x1b[0m");
            }
        }
        self.backlog.push(b'\n');
        if self.backlog.len() > BACKLOG {
            self.backlog.truncate(start);
            self.dropped += 1;
        }
    }

    /// Writes as much as goes without waiting.
    pub(super) fn flush(&mut self, reactor: &mut Reactor<Token>) {
        let stderr = io::stderr();
        while !self.backlog.is_empty() {
            let piece = self.backlog.get(..PIECE).unwrap_or(&self.backlog);
            let mut ask = [PollFd::new(&stderr, PollFlags::OUT)];
            let room = poll(&mut ask, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
            if !room {
                if self.key.is_none() {
                    self.key = reactor.add(&stderr, Token::Terminal, Ready::WRITE).ok();
                }
                if let Some(key) = self.key {
                    reactor.write_blocked(key);
                }
                return;
            }
            match rustix::io::write(&stderr, piece) {
                Ok(written) => drop(self.backlog.drain(..written)),
                // Nobody reads: there is nobody to tell.
                Err(_) => self.backlog.clear(),
            }
            if self.backlog.is_empty() && self.dropped > 0 {
                let dropped = std::mem::take(&mut self.dropped);
                self.line(&[(Look::WARN, &format!("… {dropped} lines were not shown"))]);
            }
        }
        if let Some(key) = self.key.take() {
            reactor.remove(key, &stderr);
        }
    }
}
