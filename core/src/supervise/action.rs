//! What the machine is told, and what it says.

use core::fmt;

use super::{
    policy::Signal,
    table::{Event, Phase, State},
};
use crate::time::{Duration, Instant};

/// A service of one [`System`](super::System): its place in the driver's tables. The place of a service that was
/// removed is given to the next that is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub(super) u16);

impl ServiceId {
    /// The service in place `index`; the first added has 0.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Its place in the driver's tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be made; the system's error number.
    NotSpawned(i32),
}

/// The duty to make one process, and to say by [`Input::Spawned`] or [`Input::NotSpawned`] what came of it.
///
/// It can be neither copied nor made: while one is out, the service has no other.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "answer it with Input::Spawned or Input::NotSpawned, or the service waits for ever"]
pub struct SpawnTicket {
    pub(super) service: ServiceId,
    pub(super) run: u32,
}

impl SpawnTicket {
    /// The service whose process is to be made.
    pub const fn service(&self) -> ServiceId {
        self.service
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A service is wanted, and so is everything that it needs or wants. What conflicts with these is not, nor what
    /// needs that; of what is only wanted, what would conflict with the rest is left out. What waits for its delay
    /// or has failed starts afresh.
    Start(ServiceId),
    /// A service is not wanted, nor is anything that needs it.
    Stop(ServiceId),
    /// A service shall have a new process; nothing else is stopped for that, not even what needs it. A oneshot is
    /// undone and done again; an on-demand service ends and waits for its trigger.
    Restart(ServiceId),
    /// A service shall read its configuration anew, by the signal of its policy.
    Reload(ServiceId),
    /// What an on-demand service waits for has happened. One that runs or comes up already makes nothing of it.
    Trigger(ServiceId),
    /// Everything shall end in order, and nothing starts any more but what undoes.
    Shutdown,
    /// Everything shall end now: SIGKILL for all, in no order, and nothing is undone.
    Abort,
    /// The ticket's process exists.
    Spawned {
        /// The duty that is done.
        ticket: SpawnTicket,
        /// The process.
        pid: u32,
    },
    /// The ticket's process could not be made.
    NotSpawned {
        /// The duty that could not be done.
        ticket: SpawnTicket,
        /// The system's error number.
        errno: i32,
    },
    /// A process says that it is ready. A oneshot is ready by its end alone.
    Ready {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
    },
    /// A process says that it lives: its watchdog starts over.
    Alive {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
    },
    /// A process needs more time to start, to stop or to undo: `by` from now, if that is later than its deadline.
    /// SIGKILL, once sent, waits no longer for that, and the watchdog neither.
    Extend {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
        /// From now.
        by: Duration,
    },
    /// Another process of the service is its main one from now on: what is said and asked of the service is about that one,
    /// and its end is the service's. That it belongs to the service is for the driver to know.
    Follow {
        /// Its service.
        service: ServiceId,
        /// The process that was the main one.
        pid: u32,
        /// The one that is, not 0.
        main: u32,
    },
    /// A process has ended and left no zombie.
    Exited {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
        /// How.
        exit: Exit,
    },
    /// Nothing but time.
    Tick,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a process.
    Spawn(SpawnTicket),
    /// Make a process that undoes what a oneshot did. It is answered as `Spawn` is, and it ends the same way.
    Undo(SpawnTicket),
    /// Send a signal.
    Signal {
        /// Whose process.
        service: ServiceId,
        /// The process.
        pid: u32,
        /// The signal.
        signal: Signal,
    },
    /// Tell the world. A trigger is watched from the report of [`State::Waiting`] to the next report.
    Announce(Report),
    /// The shutdown is complete.
    Down,
}

/// How a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which one.
    pub service: ServiceId,
    /// Its state.
    pub state: State,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// How often it was restarted since it was last asked to start.
    pub restarts: u32,
    /// When it came into this state.
    pub at: Instant,
}

/// Why an input was refused. The machine is as it was; all are the driver's or its caller's mistakes, or late
/// words about a process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputError {
    /// There is no such service.
    UnknownService,
    /// The system is shutting down: nothing starts.
    ShuttingDown,
    /// The process or ticket belongs to an earlier run.
    Stale,
    /// No signal makes this service read its configuration anew.
    NotReloadable,
    /// A oneshot, and what is ending, keep the process that they have.
    NotFollowed,
    /// The event cannot happen in the service's phase, for this reason.
    Impossible(Phase, Event, &'static str),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::ShuttingDown => f.write_str("the system is shutting down"),
            Self::Stale => f.write_str("word of a process that is gone"),
            Self::NotReloadable => f.write_str("no signal makes it reload"),
            Self::NotFollowed => f.write_str("a oneshot, and what is ending, keep their process"),
            Self::Impossible(_, _, why) => write!(f, "impossible now: {why}"),
        }
    }
}

impl core::error::Error for InputError {}
