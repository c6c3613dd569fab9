//! Kills because memory ran out: how many in a cgroup (`memory.events`), and who (`/dev/kmsg`).

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use lunix_core::machine::kmsg::{Notice, notice};
use lunix_core::machine::proc;

use crate::reactor::{Key, Reactor, Ready};

/// Counts the kills in a cgroup.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) file: File,
    pub(super) key: Key,
    pub(super) seen: u64,
}

impl Counter {
    /// Counts from what is there now; `None` where the controller is not.
    pub(super) fn open<T: Copy>(reactor: &mut Reactor<T>, token: T, group: &Path) -> Option<Self> {
        let file = File::open(group.join("memory.events")).ok()?;
        let key = reactor.add_priority(&file, token).ok()?;
        let mut counter = Self { file, key, seen: 0 };
        counter.read();
        Some(counter)
    }

    /// How many are new, and how many there were in all. Also lets the kernel tell the next change.
    pub(super) fn read(&mut self) -> (u64, u64) {
        let mut text = [0; 512];
        let length = self.file.read_at(&mut text, 0).unwrap_or_default();
        let killed = proc::flat(text.get(..length).unwrap_or_default(), b"oom_kill").unwrap_or(self.seen);
        let new = killed.saturating_sub(self.seen);
        self.seen = killed;
        (new, killed)
    }

    pub(super) fn close<T: Copy>(self, reactor: &mut Reactor<T>) {
        reactor.remove(self.key, &self.file);
    }
}

/// Somebody who was chosen to be killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) pid: Option<u32>,
    pub(super) comm: Vec<u8>,
    pub(super) group: String,
}

/// Somebody who was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Killed {
    pub(super) pid: u32,
    pub(super) comm: Vec<u8>,
    /// Empty if the kernel did not tell.
    pub(super) group: String,
    pub(super) everywhere: bool,
    pub(super) memory: Option<u64>,
}

/// The kernel's log, from now on.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    pub(super) key: Key,
    chosen: VecDeque<Chosen>,
}

/// Chosen ones that are kept in mind until they are asked for.
const CHOSEN: usize = 32;
/// A record has at most so many bytes (CONSOLE_EXT_LOG_MAX).
const RECORD: usize = 8192;

impl Log {
    /// `None` without the right to read it.
    pub(super) fn open<T: Copy>(reactor: &mut Reactor<T>, token: T) -> Option<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        let key = reactor.add(&file, token, Ready::READ).ok()?;
        Some(Self { file, key, chosen: VecDeque::new() })
    }

    /// Reads until somebody was killed, or until there is no more.
    pub(super) fn next(&mut self) -> Option<Killed> {
        let mut record = [0; RECORD];
        loop {
            let length = match self.file.read(&mut record) {
                Ok(0) => return None,
                Ok(length) => length,
                // The oldest records were overwritten before they were read: the next read goes on behind them.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(_) => return None,
            };
            match notice(record.get(..length).unwrap_or_default()) {
                Some(Notice::Chosen { pid, comm, group }) => {
                    if self.chosen.len() == CHOSEN {
                        self.chosen.pop_front();
                    }
                    let group = String::from_utf8_lossy(group).into_owned();
                    self.chosen.push_back(Chosen { pid: Some(pid), comm: comm.to_vec(), group });
                }
                Some(Notice::Killed { pid, comm, everywhere, memory }) => {
                    let chosen = self.chosen.iter().rev().find(|chosen| chosen.pid == Some(pid));
                    let group = chosen.map(|chosen| chosen.group.clone()).unwrap_or_default();
                    return Some(Killed { pid, comm: comm.to_vec(), group, everywhere, memory });
                }
                None => {}
            }
        }
    }

    /// Whoever was chosen first in the group at `path` or below, once.
    pub(super) fn take(&mut self, path: &str) -> Option<Chosen> {
        let at = self.chosen.iter().position(|chosen| is_within(&chosen.group, path))?;
        self.chosen.remove(at)
    }
}

/// Whether the group is the one at `path`, or below it.
pub(super) fn is_within(group: &str, path: &str) -> bool {
    group.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
