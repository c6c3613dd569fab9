//! The one event loop of all Linux daemons: mio's edge-triggered epoll turned into remembered
//! readiness, and one timerfd for all deadlines.
//!
//! Rules, so that no wake-up is ever lost and none is ever needless:
//!
//! - Tokens are the application's own `Copy` enum; dispatch is its `match`. Nothing is stored but data.
//! - An edge sets a readiness bit. Only the application's word that a call would have blocked
//!   ([`Reactor::read_blocked`], [`Reactor::read_short`], [`Reactor::write_blocked`]) clears it. A source that is ready and
//!   wanted stays on the work list, so a handler may stop after its fair share of bytes and is called again.
//! - Order of a turn: deadlines, then ready sources, then [`App::flush`], where queued output is written.
//! - With an empty work list the loop sleeps in one `epoll_wait` without time-out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use lunix_core::time::{Duration, Instant};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// What a daemon does with what the reactor tells it.
pub trait App {
    /// Names a source; comes back with its readiness.
    type Token: Copy;

    /// `key` is ready in a direction that was wanted. Read or write until it would block (and say so with
    /// [`Reactor::read_blocked`] or [`Reactor::write_blocked`]) or until this source had its fair share.
    fn ready(&mut self, reactor: &mut Reactor<Self::Token>, key: Key, token: Self::Token, ready: Ready);

    /// The time that [`App::next_deadline`] named has come.
    fn deadline(&mut self, reactor: &mut Reactor<Self::Token>);

    /// The end of a turn: write what the turn queued. Called before the loop may sleep.
    fn flush(&mut self, reactor: &mut Reactor<Self::Token>);

    /// When [`App::deadline`] must be called if nothing else happens; `None` lets the daemon sleep for ever.
    fn next_deadline(&self) -> Option<Instant>;
}

/// A registered source, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(usize);

/// In which directions a source can make progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read, an accept or a receive will not block (it may report an error or the end).
    pub readable: bool,
    /// A write or the end of a connect will not block.
    pub writable: bool,
}

impl Ready {
    /// Readable only: the right wish for listeners, signal and event descriptors.
    pub const READ: Self = Self { readable: true, writable: false };
    /// Writable only: a socket whose connect is in progress.
    pub const WRITE: Self = Self { readable: false, writable: true };
    /// Both directions.
    pub const BOTH: Self = Self { readable: true, writable: true };

    const fn and(self, other: Self) -> Self {
        Self { readable: self.readable && other.readable, writable: self.writable && other.writable }
    }

    const fn any(self) -> bool {
        self.readable || self.writable
    }
}

struct Slot<T> {
    token: T,
    ready: Ready,
    wanted: Ready,
    queued: bool,
    /// The peer has ended its side, of which there will be no further edge.
    ended: bool,
}

/// The event loop. `T` is the application's token type.
pub struct Reactor<T> {
    poll: Poll,
    events: Events,
    slots: Vec<Option<Slot<T>>>,
    free: Vec<usize>,
    work: VecDeque<usize>,
    timer: OwnedFd,
    armed: Option<Instant>,
    now: Instant,
    stopped: bool,
    again: bool,
    /// For how long it looks for what is ready before it sleeps.
    busy: Duration,
}

const TIMER: Token = Token(usize::MAX);
const EVENTS_A_TURN: usize = 256;

impl<T: Copy> Reactor<T> {
    /// An empty reactor.
    ///
    /// # Errors
    /// The kernel refuses an epoll or timer descriptor.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_A_TURN),
            slots: Vec::new(),
            free: Vec::new(),
            work: VecDeque::new(),
            timer,
            armed: None,
            now: monotonic(),
            stopped: false,
            again: false,
            busy: Duration::ZERO,
        })
    }

    /// Whenever something has been done, the next thing is looked for again and again for this long, before the process
    /// sleeps: where a core that sleeps is slow to wake, an answer is then heard sooner. It is not done unless it is asked for.
    pub fn set_busy(&mut self, span: Duration) {
        self.busy = span;
    }

    /// The time at which this turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Watches `fd`, which must be non-blocking and must stay open until [`Reactor::remove`].
    ///
    /// # Errors
    /// The descriptor cannot be watched (a regular file), or the kernel's limit of watches is reached.
    pub fn add(&mut self, fd: &impl AsFd, token: T, wanted: Ready) -> io::Result<Key> {
        self.register(fd, token, wanted, Interest::READABLE | Interest::WRITABLE)
    }

    /// Watches a file of the kernel that can always be read and says by EPOLLPRI that it holds news: a pressure
    /// trigger, `memory.events`, `/proc/self/mounts`. News counts as readable.
    ///
    /// # Errors
    /// As [`Reactor::add`].
    pub fn add_priority(&mut self, fd: &impl AsFd, token: T) -> io::Result<Key> {
        self.register(fd, token, Ready::READ, Interest::PRIORITY)
    }

    fn register(&mut self, fd: &impl AsFd, token: T, wanted: Ready, interest: Interest) -> io::Result<Key> {
        let index = self.free.pop().unwrap_or(self.slots.len());
        let raw = fd.as_fd().as_raw_fd();
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&raw), Token(index), interest) {
            if index < self.slots.len() {
                self.free.push(index);
            }
            return Err(error);
        }
        let slot = Slot { token, ready: Ready::default(), wanted, queued: false, ended: false };
        match self.slots.get_mut(index) {
            Some(place) => *place = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        Ok(Key(index))
    }

    /// Stops watching. Call it before `fd` is closed.
    pub fn remove(&mut self, key: Key, fd: &impl AsFd) {
        // The kernel forgets a descriptor by itself when its last copy closes, so an error changes nothing.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_fd().as_raw_fd()));
        if let Some(place) = self.slots.get_mut(key.0)
            && place.take().is_some()
        {
            self.free.push(key.0);
        }
    }

    /// Changes the directions of which the application wants to hear.
    pub fn want(&mut self, key: Key, wanted: Ready) {
        if let Some(Some(slot)) = self.slots.get_mut(key.0) {
            slot.wanted = wanted;
            self.enqueue(key.0);
        }
    }

    /// The application's read would have blocked: the next edge will say when to read again.
    pub fn read_blocked(&mut self, key: Key) {
        if let Some(Some(slot)) = self.slots.get_mut(key.0) {
            slot.ready.readable = false;
        }
    }

    /// The application's read of a stream got less than it had room for: there is no more until the next edge
    /// (epoll(7)), unless what comes next is the end. Spares the read that would have blocked.
    pub fn read_short(&mut self, key: Key) {
        if let Some(Some(slot)) = self.slots.get_mut(key.0)
            && !slot.ended
        {
            slot.ready.readable = false;
        }
    }

    /// The application's write would have blocked: the next edge will say when to write again.
    pub fn write_blocked(&mut self, key: Key) {
        if let Some(Some(slot)) = self.slots.get_mut(key.0) {
            slot.ready.writable = false;
        }
    }

    /// This turn had its fair share of work that no source stands for: the next one begins without sleep.
    pub fn come_back(&mut self) {
        self.again = true;
    }

    /// Ends [`Reactor::run`] after this turn.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Runs `app` until it calls [`Reactor::stop`]. May be called again.
    ///
    /// # Errors
    /// `epoll_wait` or the timer fails, which the kernel does only for a broken program.
    pub fn run<A: App<Token = T>>(&mut self, app: &mut A) -> io::Result<()> {
        while !self.stopped {
            self.turn(app, true)?;
        }
        self.stopped = false;
        Ok(())
    }

    /// Runs `app` as far as it gets without sleep, for another loop that watches this one's descriptor (see [`AsRawFd`]): call
    /// it whenever that is readable, and after anything was done to `app`. `false` once `app` has called [`Reactor::stop`].
    ///
    /// # Errors
    /// As [`Reactor::run`].
    pub fn run_ready<A: App<Token = T>>(&mut self, app: &mut A) -> io::Result<bool> {
        loop {
            self.turn(app, false)?;
            if self.stopped || self.work.is_empty() && !self.again && self.events.is_empty() {
                return Ok(!std::mem::take(&mut self.stopped));
            }
        }
    }

    fn turn<A: App<Token = T>>(&mut self, app: &mut A, sleep: bool) -> io::Result<()> {
        // What was set up or changed since the last turn (before the first, all of it) is written before sleeping.
        self.now = monotonic();
        app.flush(self);
        if self.stopped {
            return Ok(());
        }
        self.arm(app.next_deadline())?;

        let again = std::mem::take(&mut self.again);
        let timeout = if sleep && self.work.is_empty() && !again { None } else { Some(Duration::ZERO) };
        let found =
            timeout.is_none() && !self.busy.is_zero() && !self.events.is_empty() && self.look_busily()?;
        match if found { Ok(()) } else { self.poll.poll(&mut self.events, timeout) } {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        self.now = monotonic();
        self.collect();

        if self.armed.is_some_and(|at| at <= self.now) {
            self.armed = None;
            app.deadline(self);
        }
        for _ in 0..self.work.len() {
            let Some(index) = self.work.pop_front() else { break };
            let Some(Some(slot)) = self.slots.get_mut(index) else { continue };
            slot.queued = false;
            let ready = slot.ready.and(slot.wanted);
            if ready.any() {
                let token = slot.token;
                app.ready(self, Key(index), token, ready);
                self.enqueue(index);
            }
        }
        Ok(())
    }

    /// Whether something is ready within [`Reactor::set_busy`].
    fn look_busily(&mut self) -> io::Result<bool> {
        let end = monotonic() + self.busy;
        while monotonic() < end {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ if !self.events.is_empty() => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn collect(&mut self) {
        let Self { events, slots, work, timer, .. } = self;
        for event in events.iter() {
            if event.token() == TIMER {
                let mut expirations = [0; 8];
                let _ = rustix::io::read(&*timer, &mut expirations);
                continue;
            }
            let index = event.token().0;
            let Some(Some(slot)) = slots.get_mut(index) else { continue };
            // An error or a hang-up is told by the next read or write itself.
            slot.ready.readable |=
                event.is_readable() || event.is_priority() || event.is_read_closed() || event.is_error();
            slot.ended |= event.is_read_closed() || event.is_error();
            slot.ready.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            if !slot.queued && slot.ready.and(slot.wanted).any() {
                slot.queued = true;
                work.push_back(index);
            }
        }
    }

    fn enqueue(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !slot.queued
            && slot.ready.and(slot.wanted).any()
        {
            slot.queued = true;
            self.work.push_back(index);
        }
    }

    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        // An absolute time of zero would disarm; one microsecond after boot is as past as any other time.
        let micros = deadline.map_or(0, |at| at.as_micros().max(1));
        let value = Timespec {
            tv_sec: (micros / 1_000_000).cast_signed(),
            tv_nsec: ((micros % 1_000_000) * 1_000).cast_signed(),
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed = deadline;
        Ok(())
    }
}

impl<T> AsRawFd for Reactor<T> {
    /// Its epoll descriptor, readable when [`Reactor::run_ready`] has something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

/// The kernel's monotonic clock, which all machines are driven by.
pub fn monotonic() -> Instant {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    Instant::from_micros(now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1_000)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    struct Echo {
        peer: UnixStream,
        read: Vec<u8>,
        deadline: Option<Instant>,
        turns: u32,
    }

    impl App for Echo {
        type Token = ();

        fn ready(&mut self, reactor: &mut Reactor<()>, key: Key, (): (), _: Ready) {
            // One byte a call: the source must come back without a new edge.
            let mut byte = [0];
            match self.peer.read(&mut byte) {
                Ok(0) => reactor.stop(),
                Ok(_) => self.read.push(byte[0]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    reactor.read_blocked(key);
                }
            }
            self.turns += 1;
        }

        fn deadline(&mut self, reactor: &mut Reactor<()>) {
            self.deadline = None;
            reactor.stop();
        }

        fn flush(&mut self, _: &mut Reactor<()>) {}

        fn next_deadline(&self) -> Option<Instant> {
            self.deadline
        }
    }

    #[test]
    fn readiness_is_remembered_until_it_would_block() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        reactor.add(&theirs, (), Ready::READ).unwrap();
        let mut app = Echo { peer: theirs, read: Vec::new(), deadline: None, turns: 0 };
        ours.write_all(b"abc").unwrap();
        drop(ours);
        reactor.run(&mut app).unwrap();
        assert_eq!(app.read, b"abc");
        assert_eq!(app.turns, 4);
    }

    #[test]
    fn another_loop_can_watch_this_one() {
        let readable = |reactor: &Reactor<()>| {
            let (mut other, mut events) = (Poll::new().unwrap(), Events::with_capacity(1));
            let mut source = SourceFd(&reactor.as_raw_fd());
            other.registry().register(&mut source, Token(0), Interest::READABLE).unwrap();
            other.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        reactor.add(&theirs, (), Ready::READ).unwrap();
        let mut app = Echo { peer: theirs, read: Vec::new(), deadline: None, turns: 0 };
        assert!(reactor.run_ready(&mut app).unwrap());
        assert!(!readable(&reactor));
        ours.write_all(b"abc").unwrap();
        assert!(readable(&reactor));
        assert!(reactor.run_ready(&mut app).unwrap(), "it does not sleep");
        assert_eq!(app.read, b"abc");
        assert!(!readable(&reactor), "nothing is left to do");
        drop(ours);
        assert!(!reactor.run_ready(&mut app).unwrap(), "the application stopped");
    }

    #[test]
    fn a_deadline_wakes_the_loop() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let start = monotonic();
        let at = start + Duration::from_millis(20);
        let mut app = Echo { peer: theirs, read: Vec::new(), deadline: Some(at), turns: 0 };
        reactor.run(&mut app).unwrap();
        assert!(monotonic() >= at);
    }
}
