//! Bcrypt beside the one thread that serves everybody: a helper hashes, and an eventfd tells that it has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

use rustix::event::{EventfdFlags, eventfd};

use super::secret::Bcrypt;

/// How many passwords may wait; who comes then is refused.
const WAITING: usize = 256;

/// A password to be checked, for whoever `T` is.
struct Job<T> {
    whose: T,
    hash: Bcrypt,
    password: Vec<u8>,
}

/// The helper. Its thread begins with the first password.
#[derive(Debug)]
pub(crate) struct Hasher<T> {
    event: Arc<OwnedFd>,
    jobs: Option<SyncSender<Job<T>>>,
    answered: Sender<(T, bool)>,
    answers: Receiver<(T, bool)>,
}

impl<T: Send + 'static> Hasher<T> {
    /// A helper that has nothing to do.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (answered, answers) = channel();
        Ok(Self { event: Arc::new(event), jobs: None, answered, answers })
    }

    /// Takes a password; `false` if too many wait already.
    pub(super) fn check(&mut self, whose: T, hash: Bcrypt, password: &[u8]) -> bool {
        if self.jobs.is_none() {
            self.jobs = self.start().ok();
        }
        let Some(jobs) = &self.jobs else { return false };
        match jobs.try_send(Job { whose, hash, password: password.to_vec() }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                self.jobs = None;
                false
            }
        }
    }

    fn start(&self) -> io::Result<SyncSender<Job<T>>> {
        let (sender, jobs) = sync_channel::<Job<T>>(WAITING);
        let (event, answers) = (Arc::clone(&self.event), self.answered.clone());
        let helper = move || {
            for Job { whose, hash, password } in jobs {
                if answers.send((whose, hash.is_of(&password))).is_err() {
                    return;
                }
                // It can only fail if it is read not even once in 2^64 times.
                let _ = rustix::io::write(&event, &1_u64.to_ne_bytes());
            }
        };
        std::thread::Builder::new().name("bcrypt".to_owned()).stack_size(64 << 10).spawn(helper)?;
        Ok(sender)
    }

    /// The next answer, after the event was readable; `None` when there is none now.
    pub(crate) fn answer(&self) -> Option<(T, bool)> {
        self.answers.try_recv().ok()
    }

    /// Makes the event wait for the next answer. Call it before [`Hasher::answer`].
    pub(crate) fn heard(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

impl<T> AsFd for Hasher<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
