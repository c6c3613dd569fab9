//! One service: where in the table it stands, what it is wanted to do, and how often it ended.

use super::{
    policy::{Policy, Readiness, Restart, Signal},
    system::Exit,
    table::{Command, Event, Phase, State, Step, step},
};
use crate::time::Instant;

/// What is wanted of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Goal {
    /// That it is not there.
    Down,
    /// That it starts as soon as it can; becomes `Up` when it does.
    Start,
    /// That it stays as its restart policy says.
    Up,
}

/// A pair that the table calls impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Impossible(pub(super) &'static str);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Service {
    pub(super) policy: Policy,
    pub(super) goal: Goal,
    pub(super) phase: Phase,
    pub(super) pid: Option<u32>,
    pub(super) exit: Option<Exit>,
    /// Starts since it was last asked for, without the first.
    pub(super) restarts: u32,
    /// Ends since the last stable run.
    pub(super) lapses: u16,
    /// When it entered its phase.
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) command: Command,
    pub(super) announced: State,
    /// Counts spawns, so that an answer to an earlier ticket is known for what it is.
    pub(super) run: u32,
}

impl Service {
    pub(super) const fn new(policy: Policy) -> Self {
        Self {
            policy,
            goal: Goal::Down,
            phase: Phase::Stopped,
            pid: None,
            exit: None,
            restarts: 0,
            lapses: 0,
            since: Instant::from_micros(0),
            deadline: None,
            command: Command::None,
            announced: State::Stopped,
            run: 0,
        }
    }

    /// Moves along the table.
    pub(super) fn apply(&mut self, now: Instant, event: Event) -> Result<(), Impossible> {
        let (next, command) = match step(self.phase, event) {
            Step::To(next, command) => (next, command),
            Step::Stay => return Ok(()),
            Step::Never(why) => return Err(Impossible(why)),
        };
        if command == Command::Spawn {
            if self.goal == Goal::Start {
                (self.restarts, self.lapses) = (0, 0);
            } else {
                self.restarts = self.restarts.saturating_add(1);
            }
            self.goal = Goal::Up;
            self.run = self.run.wrapping_add(1);
        }
        if !next.has_process() {
            self.pid = None;
        }
        self.phase = next;
        self.command = command;
        self.since = now;
        self.deadline = match next {
            Phase::Starting => self.policy.start_timeout.map(|span| now + span),
            Phase::Terminating => Some(now + self.policy.stop_timeout),
            Phase::Killing => Some(now + self.policy.kill_timeout),
            Phase::Backoff => Some(now + self.policy.backoff.delay(self.lapses)),
            _ => None,
        };
        Ok(())
    }

    /// The process ended, or could not be made.
    pub(super) fn end(&mut self, now: Instant, exit: Exit) -> Result<(), Impossible> {
        let clean = exit == Exit::Code(0) && matches!(self.phase, Phase::Starting | Phase::Ready);
        let again = match self.policy.restart {
            Restart::Always => true,
            Restart::OnFailure => !clean,
            Restart::Never => false,
        };
        let event = if self.goal != Goal::Up || (clean && !again) {
            Event::Ended
        } else {
            let backoff = self.policy.backoff;
            if self.phase == Phase::Ready && now.since(self.since) >= backoff.stable {
                self.lapses = 0;
            }
            self.lapses = self.lapses.saturating_add(1);
            let spent = backoff.limit.is_some_and(|limit| self.lapses > limit);
            if again && !spent { Event::Lapsed } else { Event::Exhausted }
        };
        self.apply(now, event)?;
        self.exit = Some(exit);
        Ok(())
    }

    /// What this service does next by itself at `now`, given that its needs are `ready` and that what needs it
    /// is `free` of it.
    pub(super) fn due(&self, now: Instant, ready: bool, free: bool, abort: bool) -> Option<Event> {
        let passed = self.deadline.is_some_and(|at| at <= now);
        let moves = |event| matches!(step(self.phase, event), Step::To(..));
        match self.goal {
            _ if abort && moves(Event::Kill) => Some(Event::Kill),
            _ if self.phase == Phase::Starting && self.policy.readiness == Readiness::Start => {
                Some(Event::Ready)
            }
            _ if passed && self.phase != Phase::Backoff => Some(Event::Timeout),
            Goal::Down if free && moves(Event::Stop) => Some(Event::Stop),
            Goal::Start if ready && moves(Event::Start) => Some(Event::Start),
            Goal::Up if ready && passed && self.phase == Phase::Backoff => Some(Event::Start),
            _ => None,
        }
    }

    /// When `due` can change its answer by time alone.
    pub(super) fn deadline(&self, ready: bool) -> Option<Instant> {
        let waits = self.phase == Phase::Backoff && (self.goal != Goal::Up || !ready);
        self.deadline.filter(|_| !waits)
    }

    /// The signal that is due, if one is.
    pub(super) fn take_signal(&mut self) -> Option<Signal> {
        let signal = match self.command {
            Command::Terminate => self.policy.stop_signal,
            Command::Kill => Signal::KILL,
            Command::None | Command::Spawn => return None,
        };
        self.command = Command::None;
        Some(signal)
    }

    /// Whether there is something to tell the world. A spawn is told when there is a process.
    pub(super) fn take_announcement(&mut self) -> bool {
        if self.phase == Phase::Spawning || self.phase.state() == self.announced {
            return false;
        }
        self.announced = self.phase.state();
        true
    }
}
