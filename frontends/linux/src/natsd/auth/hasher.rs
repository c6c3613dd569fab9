//! Bcrypt beside the one thread that serves everybody: a helper hashes, and an eventfd tells that it has.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::secret::Bcrypt;
use crate::sys::thread;

/// How many passwords may wait; who comes then is refused.
const WAITING: usize = 256;

/// Whose password it is: the number of a client, and what tells it from others that had the number.
pub(crate) type Whose = (u32, u64);

/// A password to be checked.
struct Job {
    whose: Whose,
    hash: Bcrypt,
    password: Vec<u8>,
}

/// The helper. Its thread begins with the first password, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Hasher {
    desk: Arc<Desk>,
    runs: bool,
}

/// Where the two meet.
struct Desk {
    answered: OwnedFd,
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Default)]
struct Work {
    jobs: VecDeque<Job>,
    answers: VecDeque<(Whose, bool)>,
    ends: bool,
}

impl std::fmt::Debug for Desk {
    /// Without passwords.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Desk")
    }
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next password; `None` when there will be no more.
    fn next(&self) -> Option<Job> {
        let mut work = self.work();
        while !work.ends {
            if let Some(job) = work.jobs.pop_front() {
                return Some(job);
            }
            work = self.more.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn hash_all(&self) {
        while let Some(Job { whose, hash, password }) = self.next() {
            let answer = (whose, hash.is_of(&password));
            self.work().answers.push_back(answer);
            // It can only fail if it is read not even once in 2^64 times.
            let _ = rustix::io::write(&self.answered, &1_u64.to_ne_bytes());
        }
    }
}

impl Hasher {
    /// A helper that has nothing to do.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let answered = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let desk = Desk { answered, work: Mutex::default(), more: Condvar::new() };
        Ok(Self { desk: Arc::new(desk), runs: false })
    }

    /// Takes a password; `false` if too many wait already.
    pub(super) fn check(&mut self, whose: Whose, hash: Bcrypt, password: &[u8]) -> bool {
        if !self.runs {
            let desk = Arc::clone(&self.desk);
            self.runs = thread::spawn(c"bcrypt", 64 << 10, Box::new(move || desk.hash_all())).is_ok();
        }
        let mut work = self.desk.work();
        let takes = self.runs && work.jobs.len() < WAITING;
        if takes {
            work.jobs.push_back(Job { whose, hash, password: password.to_vec() });
            self.desk.more.notify_one();
        }
        takes
    }

    /// The next answer, after the event was readable; `None` when there is none now.
    pub(crate) fn answer(&self) -> Option<(Whose, bool)> {
        self.desk.work().answers.pop_front()
    }

    /// Makes the event wait for the next answer. Call it before [`Hasher::answer`].
    pub(crate) fn heard(&self) {
        let _ = rustix::io::read(&self.desk.answered, &mut [0; 8]);
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.desk.work().ends = true;
        self.desk.more.notify_one();
    }
}

impl AsFd for Hasher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.desk.answered.as_fd()
    }
}
