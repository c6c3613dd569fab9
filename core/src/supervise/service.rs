//! One service: where in the table it stands, what it is wanted to do, and how often it ended.

use super::{
    action::Exit,
    graph::Relation,
    policy::{Kind, Policy, Readiness, Restart, Signal},
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

/// All of a service that outlives a re-execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) goal: Goal,
    pub(super) phase: Phase,
    pub(super) pid: Option<u32>,
    pub(super) exit: Option<Exit>,
    /// Starts since it was last asked for, without the first and without those that were triggered.
    pub(super) restarts: u32,
    /// Ends since the last stable run.
    pub(super) lapses: u16,
    /// When it entered its phase.
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) command: Command,
    pub(super) announced: State,
    /// Counts tickets, so that an answer to an earlier one is known for what it is.
    pub(super) run: u32,
    /// Signals of the stop sequence that are spent.
    pub(super) step: u8,
    /// Its trigger came and nothing was made of it yet.
    pub(super) triggered: bool,
    /// What follows its delay is a process, not the wait for a trigger.
    pub(super) retry: bool,
    /// It has failed because of what it needs, and starts when that is back.
    pub(super) starved: bool,
}

impl Life {
    pub(super) const NEW: Self = Self {
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
        step: 0,
        triggered: false,
        retry: false,
        starved: false,
    };

    /// Moves along the table.
    pub(super) fn apply(&mut self, policy: &Policy, now: Instant, event: Event) -> Result<(), Impossible> {
        let (next, command) = match step(self.phase, event) {
            Step::To(next, command) => (next, command),
            Step::Stay => {
                self.starved |= event == Event::Starve;
                return Ok(());
            }
            Step::Never(why) => return Err(Impossible(why)),
        };
        self.command = command;
        if event == Event::Reload {
            return Ok(());
        }
        let stable = now.since(self.since) >= policy.backoff.stable;
        if stable && matches!(self.phase, Phase::Ready | Phase::Waiting) {
            self.lapses = 0;
        }
        match event {
            Event::Start | Event::Wait if self.goal == Goal::Start => {
                (self.restarts, self.lapses) = (0, 0);
                self.goal = Goal::Up;
            }
            Event::Start => self.restarts = self.restarts.saturating_add(1),
            Event::Starve => self.goal = Goal::Start,
            _ => {}
        }
        self.starved = event == Event::Starve;
        self.triggered = false;
        if matches!(command, Command::Spawn | Command::Undo) {
            self.run = self.run.wrapping_add(1);
        }
        if !next.has_process() {
            self.pid = None;
        }
        self.step = if event == Event::Escalate { self.step.saturating_add(1) } else { 0 };
        self.phase = next;
        self.since = now;
        self.deadline = self.span_from(policy, now);
        Ok(())
    }

    /// It is wanted as if for the first time.
    pub(super) fn anew(&mut self) {
        self.goal = Goal::Start;
        self.starved = false;
    }

    /// What it waits for, or has done, is nothing that its policy knows of: it starts as another one.
    pub(super) fn suit(&mut self, policy: &Policy) {
        let unknown = match self.phase {
            Phase::Waiting => !policy.on_demand,
            Phase::Done => policy.on_demand || policy.kind != Kind::Oneshot,
            _ => false,
        };
        if unknown && self.goal != Goal::Down {
            self.anew();
        }
    }

    /// It is not wanted.
    pub(super) fn leave(&mut self) {
        self.goal = Goal::Down;
        self.starved = false;
        self.triggered = false;
    }

    /// When the phase, entered or confirmed at `from`, ends by time.
    pub(super) fn span_from(&self, policy: &Policy, from: Instant) -> Option<Instant> {
        let span = match self.phase {
            Phase::Starting => policy.start_timeout?,
            Phase::Ready => policy.watchdog?,
            Phase::Terminating => {
                policy.stop.steps().nth(self.step.into()).map(|(_, span)| span).unwrap_or_default()
            }
            Phase::Killing => policy.kill_timeout,
            Phase::Undoing => policy.stop.span(),
            Phase::Backoff => policy.backoff.delay(self.lapses),
            _ => return None,
        };
        Some(from + span)
    }

    /// The process ended, or could not be made.
    pub(super) fn end(&mut self, policy: &Policy, now: Instant, exit: Exit) -> Result<(), Impossible> {
        let event = self.judge(policy, now, exit);
        self.apply(policy, now, event)?;
        self.exit = Some(exit);
        Ok(())
    }

    /// What an end makes of the service.
    fn judge(&mut self, policy: &Policy, now: Instant, exit: Exit) -> Event {
        let ending = matches!(self.phase, Phase::Cancelling | Phase::Reverting | Phase::Undoing);
        if ending || self.goal != Goal::Up {
            return Event::Ended;
        }
        let clean = exit == Exit::Code(0) && matches!(self.phase, Phase::Starting | Phase::Ready);
        if clean && policy.kind == Kind::Oneshot {
            self.lapses = 0;
            return if policy.on_demand { Event::Rest } else { Event::Done };
        }
        self.retry = match policy.restart {
            Restart::Always => !(clean && policy.on_demand),
            Restart::OnFailure => !clean,
            Restart::Never => false,
        };
        if !self.retry && !policy.on_demand {
            return if clean { Event::Ended } else { Event::Exhausted };
        }
        if self.phase == Phase::Ready && now.since(self.since) >= policy.backoff.stable {
            self.lapses = 0;
        }
        self.lapses = self.lapses.saturating_add(1);
        if policy.backoff.limit.is_some_and(|limit| self.lapses > limit) {
            Event::Exhausted
        } else if !self.retry && self.lapses == 1 {
            Event::Rest
        } else {
            Event::Lapsed
        }
    }

    /// What this service does next by itself, given that nothing holds its start or its stop (`may_start`,
    /// `may_stop`), and that something it needs does not come by itself (`starving`).
    pub(super) fn due(&self, policy: &Policy, now: Instant, held: Held) -> Option<Event> {
        let passed = self.deadline.is_some_and(|at| at <= now);
        let moves = |event| matches!(step(self.phase, event), Step::To(..));
        if held.abort && moves(Event::Kill) {
            return Some(Event::Kill);
        }
        match self.phase {
            Phase::Starting if policy.kind == Kind::Longrun && policy.readiness == Readiness::Start => {
                return Some(Event::Ready);
            }
            Phase::Terminating if passed => {
                let more = usize::from(self.step) + 1 < policy.stop.steps().count();
                return Some(if more { Event::Escalate } else { Event::Timeout });
            }
            Phase::Starting | Phase::Ready | Phase::Killing | Phase::Undoing if passed => {
                return Some(Event::Timeout);
            }
            _ => {}
        }
        match (self.goal, self.phase) {
            (Goal::Down, Phase::Done) if held.may_stop && policy.undo && !held.abort => Some(Event::Undo),
            (Goal::Down, _) => Some(Event::Stop).filter(|event| held.may_stop && moves(*event)),
            (Goal::Start, Phase::Done) if policy.undo => Some(Event::Undo),
            (Goal::Start, Phase::Done | Phase::Waiting) => Some(Event::Stop),
            (Goal::Start, Phase::Stopped | Phase::Failed | Phase::Backoff) => {
                let start = if policy.on_demand { Event::Wait } else { Event::Start };
                held.start(start, !self.starved)
            }
            (Goal::Up, Phase::Waiting) if self.triggered => held.start(Event::Trigger, true),
            (Goal::Up, Phase::Backoff) if passed => {
                let again = self.retry || !policy.on_demand;
                held.start(if again { Event::Start } else { Event::Wait }, true)
            }
            (Goal::Up, Phase::Backoff) => held.starve(),
            _ => None,
        }
    }

    /// The signal that is due, if one is.
    pub(super) fn take_signal(&mut self, policy: &Policy) -> Option<Signal> {
        let signal = match self.command {
            Command::Terminate => policy.stop.steps().nth(self.step.into()).map(|(signal, _)| signal),
            Command::Kill => Some(Signal::KILL),
            Command::Reload => policy.reload,
            Command::None | Command::Spawn | Command::Undo => return None,
        };
        self.command = Command::None;
        signal
    }

    /// Whether there is something to tell the world. A spawn is told when there is a process.
    pub(super) fn take_announcement(&mut self) -> bool {
        if self.phase == Phase::Spawning || self.phase.state() == self.announced {
            return false;
        }
        self.announced = self.phase.state();
        true
    }

    /// A start that others wait for has come to an end, a good one or not. A second end without a stable run is
    /// one, too, so that what never becomes ready cannot hold up the rest.
    pub(super) const fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Ready | Phase::Done | Phase::Waiting | Phase::Stuck => true,
            Phase::Stopped | Phase::Failed => matches!(self.goal, Goal::Up) || self.starved,
            Phase::Spawning | Phase::Starting | Phase::Backoff => self.lapses > 1,
            _ => false,
        }
    }
}

/// What stands between a service and its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) may_start: bool,
    pub(super) starving: bool,
    pub(super) may_stop: bool,
    pub(super) abort: bool,
}

impl Held {
    fn start(self, event: Event, starves: bool) -> Option<Event> {
        if self.may_start { Some(event) } else { self.starve().filter(|_| starves) }
    }

    fn starve(self) -> Option<Event> {
        self.starving.then_some(Event::Starve)
    }
}

/// What other services see of one: they wait for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face {
    /// What needs it may start.
    pub(super) fulfilled: bool,
    /// It is wanted and on its way.
    pub(super) pending: bool,
    /// It does not come by itself.
    pub(super) out: bool,
    /// What conflicts with it may start.
    pub(super) gone: bool,
    /// It does not go by itself.
    pub(super) stuck: bool,
    /// What it needs may stop.
    pub(super) down: bool,
    /// It is not wanted.
    pub(super) leaving: bool,
    /// A shutdown need not wait for it.
    pub(super) over: bool,
}

impl Face {
    /// Of a place without a service.
    pub(super) const NONE: Self = Self {
        fulfilled: false,
        pending: false,
        out: true,
        gone: true,
        stuck: false,
        down: true,
        leaving: true,
        over: true,
    };

    pub(super) const fn of(life: &Life) -> Self {
        let phase = life.phase;
        let wanted = !matches!(life.goal, Goal::Down);
        let asked = matches!(life.goal, Goal::Start) && !life.starved;
        Self {
            fulfilled: phase.is_fulfilled(),
            pending: wanted && !life.is_settled(),
            out: match phase {
                Phase::Stuck => true,
                Phase::Stopped | Phase::Failed => !asked,
                _ => false,
            },
            gone: !phase.has_process() && !phase.has_ticket() && !matches!(phase, Phase::Done),
            stuck: matches!(phase, Phase::Stuck),
            down: phase.is_down(),
            leaving: !wanted,
            over: matches!(phase, Phase::Stopped | Phase::Stuck),
        }
    }

    /// Whether one with this face holds back the start of what is so related to it.
    pub(super) const fn holds_start(self, relation: Relation) -> bool {
        match relation {
            Relation::Needs => !self.fulfilled,
            Relation::Wants | Relation::After => self.pending,
            Relation::Conflicts => !self.gone,
        }
    }

    /// Whether waiting for it is in vain.
    pub(super) const fn starves(self, relation: Relation) -> bool {
        match relation {
            Relation::Needs => self.out,
            Relation::Conflicts => self.stuck,
            Relation::Wants | Relation::After => false,
        }
    }

    /// Whether one with this face holds back the stop of what it is so related to.
    pub(super) const fn holds_stop(self, relation: Relation) -> bool {
        match relation {
            Relation::Needs => !self.down,
            Relation::Wants | Relation::After => !self.down && self.leaving,
            Relation::Conflicts => false,
        }
    }
}
