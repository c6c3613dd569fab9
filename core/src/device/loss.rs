//! When events were lost, and when the device table has to be compared with /sys again.
//!
//! Only the kernel's word `ENOBUFS` means loss. A gap in SEQNUM does not: events of other network namespaces
//! take numbers too. Nor does a number smaller than the one before: the kernel numbers an event before it
//! sends it, and two processors may send in the other order.

use crate::time::{Duration, Instant};

/// Follows the numbers of the events and turns overruns into `uevent.lost` and resyncs, at most one each
/// [`Loss::INTERVAL`], however long a flood lasts.
///
/// One input causes at most one action.
///
/// ```
/// use lunix_core::device::loss::{Action, Input, Loss};
/// use lunix_core::time::Instant;
/// let now = Instant::from_micros(0);
/// let mut loss = Loss::new();
/// loss.handle(now, Input::Seen { seqnum: 10 });
/// loss.handle(now, Input::Overrun);
/// loss.handle(now, Input::Seen { seqnum: 11 });   // was queued before the overrun
/// assert_eq!(loss.poll(), None);
/// loss.handle(now, Input::Drained { newest: Some(90) });
/// assert_eq!(loss.poll(), Some(Action::Resync { from: 12, to: 90 }));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loss {
    highest: u64,
    /// What is to be reported, while `due`.
    from: u64,
    to: u64,
    /// The last number reported as lost: none is reported twice.
    reported: u64,
    overrun: bool,
    /// An overrun whose queue was emptied: the resync is due now or when `not_before` has come.
    due: bool,
    act: bool,
    not_before: Option<Instant>,
    overruns: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// An event with this number was received.
    Seen {
        /// Its `SEQNUM`.
        seqnum: u64,
    },
    /// The socket reported `ENOBUFS`.
    Overrun,
    /// The socket is empty. `newest` is the kernel's present number, from /sys/kernel/uevent_seqnum; it is
    /// only looked at after an overrun ([`Loss::wants_newest`]).
    Drained {
        /// The number of the last event that the kernel made.
        newest: Option<u64>,
    },
    /// The deadline has come.
    Tick,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say that events of these numbers may be missing, then compare the table with /sys.
    Resync {
        /// The first number that may be missing.
        from: u64,
        /// The last number that may be missing; never below `from`.
        to: u64,
    },
}

impl Loss {
    /// The least time between two resyncs.
    pub const INTERVAL: Duration = Duration::from_millis(250);

    /// Nothing seen, nothing lost.
    pub const fn new() -> Self {
        Self {
            highest: 0,
            from: 0,
            to: 0,
            reported: 0,
            overrun: false,
            due: false,
            act: false,
            not_before: None,
            overruns: 0,
        }
    }

    /// How often the socket overran.
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Whether [`Input::Drained`] should come with the kernel's number.
    pub const fn wants_newest(&self) -> bool {
        self.overrun
    }

    /// Takes what happened; then [`poll`](Self::poll).
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Seen { seqnum } => self.highest = self.highest.max(seqnum),
            Input::Overrun => {
                self.overrun = true;
                self.overruns = self.overruns.saturating_add(1);
            }
            Input::Drained { newest } => {
                if self.overrun {
                    self.overrun = false;
                    if !self.due {
                        self.due = true;
                        self.from = self.highest.max(self.reported).saturating_add(1);
                    }
                    self.to = newest.unwrap_or(0).max(self.from);
                }
            }
            Input::Tick => {}
        }
        // While the queue still holds events from before the loss, what was lost is not known.
        if self.due && !self.overrun && self.not_before.is_none_or(|at| at <= now) {
            self.due = false;
            self.act = true;
            self.not_before = Some(now + Self::INTERVAL);
        }
    }

    /// What has to be done; call it after each [`handle`](Self::handle) until it says `None`.
    pub fn poll(&mut self) -> Option<Action> {
        if !self.act {
            return None;
        }
        self.act = false;
        self.reported = self.to;
        Some(Action::Resync { from: self.from, to: self.to })
    }

    /// When [`Input::Tick`] is due: only while a resync waits for the end of the interval.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.due && !self.overrun { self.not_before } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn gaps_and_inversions_are_no_loss() {
        let mut loss = Loss::new();
        for seqnum in [5, 9, 7, 1000, 898] {
            loss.handle(at(0), Input::Seen { seqnum });
            assert_eq!(loss.poll(), None);
        }
        loss.handle(at(1), Input::Drained { newest: Some(2000) });
        assert_eq!((loss.poll(), loss.next_deadline(), loss.overruns()), (None, None, 0));
    }

    #[test]
    fn a_flood_resyncs_once_an_interval_and_once_after_its_end() {
        let mut loss = Loss::new();
        let (mut resyncs, mut lost) = (0, 0);
        for step in 0..1000 {
            loss.handle(at(step), Input::Seen { seqnum: step * 100 });
            loss.handle(at(step), Input::Overrun);
            loss.handle(at(step), Input::Drained { newest: Some(step * 100 + 99) });
            while let Some(Action::Resync { from, to }) = loss.poll() {
                assert!(from <= to && from > lost, "{from} {to} {lost}");
                lost = to;
                resyncs += 1;
            }
        }
        assert_eq!(resyncs, 4);
        let due = loss.next_deadline().unwrap();
        loss.handle(due, Input::Tick);
        assert_eq!(loss.poll(), Some(Action::Resync { from: 75_001, to: 99_999 }));
        assert_eq!((loss.poll(), loss.next_deadline()), (None, None));
    }

    #[test]
    fn no_resync_while_the_queue_is_not_empty() {
        let mut loss = Loss::new();
        loss.handle(at(0), Input::Overrun);
        assert!(loss.wants_newest());
        loss.handle(at(9_999), Input::Tick);
        assert_eq!((loss.poll(), loss.next_deadline()), (None, None));
        loss.handle(at(10_000), Input::Drained { newest: None });
        assert_eq!(loss.poll(), Some(Action::Resync { from: 1, to: 1 }));
        assert!(!loss.wants_newest());
    }
}
