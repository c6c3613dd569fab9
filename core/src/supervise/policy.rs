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

/// When a service that ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Whenever it ended.
    Always,
    /// When it ended with another exit code than 0, by a signal, or could not be spawned.
    OnFailure,
    /// Never; ending with exit code 0 leaves it stopped, anything else failed.
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
    pub limit: Option<u16>,
    /// A service that was ready for this long starts over with an immediate restart.
    pub stable: Duration,
}

impl Backoff {
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
        Self {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            limit: Some(10),
            stable: Duration::from_secs(10),
        }
    }
}

/// A signal by its number: 1 to 31 of POSIX and Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(pub u8);

impl Signal {
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
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
    /// What makes it ready.
    pub readiness: Readiness,
    /// A start that takes longer has failed; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// What asks it to stop.
    pub stop_signal: Signal,
    /// From the stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// From SIGKILL until it is given up as stuck in the kernel.
    pub kill_timeout: Duration,
    /// Whether it is started again.
    pub restart: Restart,
    /// When it is started again.
    pub backoff: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            readiness: Readiness::Start,
            start_timeout: Some(Duration::from_secs(10)),
            stop_signal: Signal::TERM,
            stop_timeout: Duration::from_secs(5),
            kill_timeout: Duration::from_secs(2),
            restart: Restart::Always,
            backoff: Backoff::default(),
        }
    }
}
