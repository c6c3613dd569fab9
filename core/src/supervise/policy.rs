//! How one service is started, judged and stopped.

use crate::time::Duration;

/// What makes a running service a ready one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// That it runs.
    Start,
    /// That it says so: a newline on its notification fd, `READY=1` by `sd_notify`, or whatever else
    /// the driver turns into [`Input::Ready`](super::Input::Ready).
    Notify,
}

/// When a service that ended by itself is started again. A oneshot that ended with exit code 0 is done, whatever
/// this says; an on-demand service then waits for its next trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Whenever it ended.
    Always,
    /// When it ended with another exit code than 0, by a signal, or could not be spawned.
    OnFailure,
    /// Never; ending with exit code 0 leaves it stopped, anything else failed. An on-demand service waits again.
    Never,
}

/// The delays between one end of a service and its next start.
///
/// The first restart after a stable run comes at once; the second waits `base`, and each further one
/// twice as long as the one before it, up to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The delay of the second restart.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
    /// After so many restarts without a stable run the service has failed; `None` never gives up.
    /// Runs of an on-demand longrun that end at once count, too, so that what its trigger left behind cannot make
    /// it spin.
    pub limit: Option<u16>,
    /// A service that was ready for this long, or waited this long for its trigger, starts over with an immediate
    /// restart.
    pub stable: Duration,
}

impl Backoff {
    /// What [`Default`] answers.
    pub const STANDARD: Self = Self {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(30),
        limit: Some(10),
        stable: Duration::from_secs(10),
    };

    /// The delay before the restart number `restart` (from 1) since the last stable run.
    ///
    /// ```
    /// use lunix_core::{supervise::Backoff, time::Duration};
    /// let backoff = Backoff::default();
    /// assert_eq!(backoff.delay(1), Duration::ZERO);
    /// assert_eq!(backoff.delay(2), Duration::from_millis(100));
    /// assert_eq!(backoff.delay(4), Duration::from_millis(400));
    /// assert_eq!(backoff.delay(u16::MAX), Duration::from_secs(30));
    /// ```
    pub fn delay(&self, restart: u16) -> Duration {
        let Some(doublings) = restart.checked_sub(2) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(u32::from(doublings)).unwrap_or(u32::MAX);
        self.base.checked_mul(factor).map_or(self.cap, |delay| delay.min(self.cap))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// A signal by its number: 1 to 31 of POSIX and Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(pub u8);

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(1);
    /// SIGINT.
    pub const INT: Self = Self(2);
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
}

/// The signals that ask a service to stop, one after the other, and how long each is given. When the last has had
/// its time, SIGKILL follows.
///
/// ```
/// use lunix_core::{supervise::{Signal, Stop}, time::Duration};
/// let second = Duration::from_secs(1);
/// let stop = Stop::of(&[(Signal::INT, second), (Signal::TERM, 4 * second)]).unwrap();
/// assert_eq!(stop.span(), 5 * second);
/// assert_eq!(Stop::of(&[(Signal::TERM, second); Stop::MOST + 1]), None);
/// assert_eq!(Stop::KILL.steps().count(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    signals: [Signal; Self::MOST],
    spans: [Duration; Self::MOST],
    len: u8,
}

impl Stop {
    /// The most signals before SIGKILL.
    pub const MOST: usize = 4;

    /// SIGKILL at once.
    pub const KILL: Self =
        Self { signals: [Signal(0); Self::MOST], spans: [Duration::ZERO; Self::MOST], len: 0 };

    /// One signal.
    pub const fn new(signal: Signal, timeout: Duration) -> Self {
        let (mut signals, mut spans) = (Self::KILL.signals, Self::KILL.spans);
        let ([first, ..], [span, ..]) = (&mut signals, &mut spans);
        (*first, *span) = (signal, timeout);
        Self { signals, spans, len: 1 }
    }

    /// Signals in their order; `None` if there are more than [`MOST`](Self::MOST).
    pub fn of(steps: &[(Signal, Duration)]) -> Option<Self> {
        let mut stop = Self::KILL;
        stop.len = u8::try_from(steps.len()).ok().filter(|len| usize::from(*len) <= Self::MOST)?;
        let places = stop.signals.iter_mut().zip(&mut stop.spans);
        for ((signal, span), step) in places.zip(steps) {
            (*signal, *span) = *step;
        }
        Some(stop)
    }

    /// The signals in their order, each with its time.
    pub fn steps(&self) -> impl Iterator<Item = (Signal, Duration)> + '_ {
        self.signals.iter().copied().zip(self.spans.iter().copied()).take(self.len.into())
    }

    /// From the first signal to SIGKILL.
    pub fn span(&self) -> Duration {
        self.steps().fold(Duration::ZERO, |sum, (_, span)| sum.saturating_add(span))
    }
}

/// What a service's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A daemon: it is there while its process is.
    Longrun,
    /// A piece of work: it is there, without a process, from its end with exit code 0 until it is stopped.
    ///
    /// Its start is its whole run, so [`Policy::start_timeout`] bounds that, and its readiness is its end.
    Oneshot,
}

/// Everything that one service's definition says to the machine.
///
/// ```
/// use lunix_core::supervise::{Policy, Readiness};
/// let policy = Policy { readiness: Readiness::Notify, ..Policy::default() };
/// assert!(policy.start_timeout.is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What its process is.
    pub kind: Kind,
    /// A start only makes it wait: each [`Input::Trigger`](super::Input::Trigger) then makes a process, and when
    /// that has ended, it waits again. Nothing of an on-demand oneshot is undone.
    pub on_demand: bool,
    /// When it starts at boot: after the lower stages. What another one needs, wants or comes after, belongs to
    /// that one's stage if its own is higher.
    pub stage: u8,
    /// What makes a longrun ready.
    pub readiness: Readiness,
    /// A start that takes longer has failed; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// What asks it to stop. An undoing process may take as long as the whole sequence before SIGKILL.
    pub stop: Stop,
    /// From SIGKILL until it is given up as stuck in the kernel.
    pub kill_timeout: Duration,
    /// Whether it is started again.
    pub restart: Restart,
    /// When it is started again.
    pub backoff: Backoff,
    /// A ready process that does not say within this time that it lives, is stopped and has failed.
    pub watchdog: Option<Duration>,
    /// What makes it read its configuration anew; `None` if no signal does.
    pub reload: Option<Signal>,
    /// A oneshot that is done is undone by another process when it stops.
    pub undo: bool,
}

impl Policy {
    /// What [`Default`] answers.
    pub const STANDARD: Self = Self {
        kind: Kind::Longrun,
        on_demand: false,
        stage: 0,
        readiness: Readiness::Start,
        start_timeout: Some(Duration::from_secs(10)),
        stop: Stop::new(Signal::TERM, Duration::from_secs(5)),
        kill_timeout: Duration::from_secs(2),
        restart: Restart::Always,
        backoff: Backoff::STANDARD,
        watchdog: None,
        reload: None,
        undo: false,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::STANDARD
    }
}
