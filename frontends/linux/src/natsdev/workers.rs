//! Threads that handle events that take a while, as many as there are to be handled at once: what one device waits for need
//! not hold up another one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lunix_core::device::queue::EventId;
use rustix::event::{EventfdFlags, eventfd};

use super::handle::{Ground, Handled};
use super::rules::evaluate::{self, Time};
use crate::sys::thread;

/// Threads at the same time: programs of rules wait more than they compute.
const MOST: usize = 8;
/// Rules nest nothing, but the standard library has buffers of its own.
const STACK: usize = 128 << 10;
/// How long a thread is kept that has nothing to do: events come in bursts.
const REST: Duration = Duration::from_secs(1);

/// The threads. They begin with the events, and end with them.
#[derive(Debug)]
pub(super) struct Workers {
    desk: Arc<Desk>,
}

/// Where they meet whoever has work for them.
#[derive(Debug)]
struct Desk {
    ground: Ground,
    done: OwnedFd,
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    jobs: VecDeque<(EventId, Vec<u8>)>,
    done: VecDeque<(EventId, Handled)>,
    threads: usize,
    /// Of them, those that wait for a job.
    idle: usize,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; `None` when there is none for a while. Whoever gets none ends.
    fn next(&self) -> Option<(EventId, Vec<u8>)> {
        let mut work = self.work();
        if let Some(job) = work.jobs.pop_front() {
            return Some(job);
        }
        work.idle += 1;
        let waited = self.more.wait_timeout_while(work, REST, |work| work.jobs.is_empty());
        let (mut work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        work.idle -= 1;
        let job = work.jobs.pop_front();
        work.threads -= usize::from(job.is_none());
        job
    }

    fn handle_all(&self) {
        // Pages that are never written to take no memory.
        let mut memory = vec![0; evaluate::MEMORY];
        while let Some((event, message)) = self.next() {
            let handled = self.ground.handle(&message, &mut memory, Time::Enough).unwrap_or_default();
            self.work().done.push_back((event, handled));
            // It can only fail if it is read not even once in 2^64 times.
            let _ = rustix::io::write(&self.done, &1_u64.to_ne_bytes());
        }
    }
}

impl Workers {
    /// None yet.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn new(ground: Ground) -> io::Result<Self> {
        let done = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let desk = Desk { ground, done, work: Mutex::default(), more: Condvar::new() };
        Ok(Self { desk: Arc::new(desk) })
    }

    pub(super) fn ground(&self) -> &Ground {
        &self.desk.ground
    }

    /// Has an event handled, as soon as a thread has time for it. Without any thread it is handled here and now.
    pub(super) fn handle(&self, event: EventId, message: &[u8]) {
        let mut work = self.desk.work();
        work.jobs.push_back((event, message.to_vec()));
        if work.idle >= work.jobs.len() || work.threads >= MOST {
            return self.desk.more.notify_one();
        }
        work.threads += 1;
        drop(work);
        let desk = Arc::clone(&self.desk);
        if thread::spawn(c"rules", STACK, Box::new(move || desk.handle_all())).is_err() {
            let mut work = self.desk.work();
            work.threads -= 1;
            if work.threads == 0 {
                drop(work);
                self.handle_here();
            }
        }
    }

    fn handle_here(&self) {
        let Some((event, message)) = self.desk.work().jobs.pop_front() else { return };
        let memory = &mut vec![0; evaluate::MEMORY];
        let handled = self.desk.ground.handle(&message, memory, Time::Enough).unwrap_or_default();
        self.desk.work().done.push_back((event, handled));
        let _ = rustix::io::write(&self.desk.done, &1_u64.to_ne_bytes());
    }

    /// The next event that is handled, after the descriptor was readable; `None` when there is none now.
    pub(super) fn done(&self) -> Option<(EventId, Handled)> {
        self.desk.work().done.pop_front()
    }

    /// Makes the descriptor wait for the next one. Call it before [`Workers::done`].
    pub(super) fn heard(&self) {
        let _ = rustix::io::read(&self.desk.done, &mut [0; 8]);
    }
}

impl AsFd for Workers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.desk.done.as_fd()
    }
}
