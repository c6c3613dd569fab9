//! The life of one service: every phase against every event, in one place.
#![doc = include_str!("TABLE.md")]

/// What the world is told a service is doing: the last token of `service.<name>.<state>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being spawned, or running and not yet ready.
    Starting,
    /// Running and fit for use, or a oneshot that is done.
    Ready,
    /// Asked to end, not yet gone; or a oneshot that is being undone.
    Stopping,
    /// Not running, and not meant to.
    Stopped,
    /// Given up: restarted too often, or what it needs has failed, or its process cannot be killed.
    Failed,
    /// Ended by itself; started again when its delay is over and its needs are fulfilled.
    Backoff,
    /// Not running until its trigger comes.
    Waiting,
}

impl State {
    /// The state's token in a subject.
    ///
    /// ```
    /// assert_eq!(lunix_core::supervise::State::Backoff.as_str(), "backoff");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Backoff => "backoff",
            Self::Waiting => "waiting",
        }
    }
}

/// Where in its life a service is: finer than [`State`], one row of the table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No process.
    Stopped,
    /// No process; its trigger makes one.
    Waiting,
    /// A [`SpawnTicket`](super::SpawnTicket) is out; a process may or may not exist.
    Spawning,
    /// As `Spawning`, but whatever comes of it shall end.
    Cancelling,
    /// A process, not yet ready.
    Starting,
    /// A process that is ready.
    Ready,
    /// No process: a oneshot's work is done.
    Done,
    /// A process that was sent a signal of its stop sequence.
    Terminating,
    /// A process that was sent SIGKILL.
    Killing,
    /// A process that outlived SIGKILL: it sleeps in the kernel and nothing can be done.
    Stuck,
    /// A ticket is out for the process that undoes a oneshot.
    Reverting,
    /// A process that undoes a oneshot.
    Undoing,
    /// No process; one comes when the delay is over.
    Backoff,
    /// No process; none comes unless asked for, or what it lacked comes back.
    Failed,
}

impl Phase {
    /// Every phase, in the table's order.
    pub const ALL: [Self; 14] = [
        Self::Stopped,
        Self::Waiting,
        Self::Spawning,
        Self::Cancelling,
        Self::Starting,
        Self::Ready,
        Self::Done,
        Self::Terminating,
        Self::Killing,
        Self::Stuck,
        Self::Reverting,
        Self::Undoing,
        Self::Backoff,
        Self::Failed,
    ];

    /// The state that is published for this phase.
    pub const fn state(self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Waiting => State::Waiting,
            Self::Spawning | Self::Starting => State::Starting,
            Self::Ready | Self::Done => State::Ready,
            Self::Cancelling | Self::Terminating | Self::Killing | Self::Reverting | Self::Undoing => {
                State::Stopping
            }
            Self::Backoff => State::Backoff,
            Self::Stuck | Self::Failed => State::Failed,
        }
    }

    /// Whether a process exists in this phase.
    pub const fn has_process(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Ready | Self::Terminating | Self::Killing | Self::Stuck | Self::Undoing
        )
    }

    /// Whether a ticket is out in this phase, so that a process may exist.
    pub const fn has_ticket(self) -> bool {
        matches!(self, Self::Spawning | Self::Cancelling | Self::Reverting)
    }

    /// Whether what needs the service may start.
    pub const fn is_fulfilled(self) -> bool {
        matches!(self, Self::Ready | Self::Done | Self::Waiting)
    }

    /// Whether what the service needs may stop: there is nothing that still could use it or still could end.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Stopped | Self::Stuck | Self::Backoff | Self::Failed)
    }
}

/// What can happen to one service. The end of a process arrives as one of five events, because what
/// follows depends on what was wanted and on how often it ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is its turn to start: it is wanted, and nothing holds it back.
    Start,
    /// It is its turn to wait for its trigger: it is wanted on demand, and nothing holds it back.
    Wait,
    /// Its trigger came, and nothing holds it back.
    Trigger,
    /// It is its turn to stop: it is not wanted, and nothing that needs it runs.
    Stop,
    /// As `Stop`, but there is something to undo.
    Undo,
    /// Everything shall end at once.
    Kill,
    /// The ticket was answered: there is a process.
    Spawned,
    /// The process says that it is ready, or its readiness is its start.
    Ready,
    /// It shall read its configuration anew.
    Reload,
    /// The deadline of the phase has passed.
    Timeout,
    /// The deadline of a stop signal has passed, and it was not the last one.
    Escalate,
    /// What it lacks does not come by itself: a need that has failed or is stopped.
    Starve,
    /// The process ended (or could not be made), and nothing follows.
    Ended,
    /// The process of a oneshot ended, its work done.
    Done,
    /// The process ended, and the next one comes with the next trigger.
    Rest,
    /// The process ended (or could not be made) by itself, and may be tried again.
    Lapsed,
    /// The process ended (or could not be made) by itself once too often.
    Exhausted,
}

impl Event {
    /// Every event, in the table's order.
    pub const ALL: [Self; 17] = [
        Self::Start,
        Self::Wait,
        Self::Trigger,
        Self::Stop,
        Self::Undo,
        Self::Kill,
        Self::Spawned,
        Self::Ready,
        Self::Reload,
        Self::Timeout,
        Self::Escalate,
        Self::Starve,
        Self::Ended,
        Self::Done,
        Self::Rest,
        Self::Lapsed,
        Self::Exhausted,
    ];
}

/// What the driver must do when a phase is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Command {
    None,
    Spawn,
    Undo,
    Terminate,
    Kill,
    Reload,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    To(Phase, Command),
    Stay,
    Never(&'static str),
}

const NO_PROCESS: &str = "there is no process";
const NO_TICKET: &str = "no ticket is out";
const NO_DEADLINE: &str = "this phase has no deadline";
const NO_SEQUENCE: &str = "no stop signal was sent, or the last one";
const NO_TRIGGER: &str = "its trigger is not watched";
const RETRY_IS_START: &str = "a retry that is due is a start";
const TICKET_FIRST: &str = "the ticket is answered first";
const ENDS_AS_ASKED: &str = "what shall end ends as it was asked to";
const NOT_DONE: &str = "there is nothing to undo";
const ONLY_WHOLE: &str = "only a start that was not stopped can be done or rest";
const ENDING: &str = "it is ending";
const NOT_READY: &str = "it is not ready yet";
const HAS_STARTED: &str = "it has started already";

/// The table. Nothing else in the crate moves a service from one phase to another.
pub(super) const fn step(phase: Phase, event: Event) -> Step {
    use {Event as E, Phase as P};
    match (phase, event) {
        (P::Stopped | P::Backoff | P::Failed, E::Start) => Step::To(P::Spawning, Command::Spawn),
        (P::Stopped | P::Backoff | P::Failed, E::Wait) => Step::To(P::Waiting, Command::None),
        (P::Waiting, E::Trigger) => Step::To(P::Spawning, Command::Spawn),
        (P::Stopped | P::Done | P::Failed, E::Trigger) => Step::Never(NO_TRIGGER),
        (_, E::Start | E::Wait | E::Trigger) => Step::Stay,

        (P::Spawning, E::Stop | E::Kill) => Step::To(P::Cancelling, Command::None),
        (P::Starting | P::Ready, E::Stop) => Step::To(P::Terminating, Command::Terminate),
        (P::Starting | P::Ready | P::Terminating | P::Undoing, E::Kill) => {
            Step::To(P::Killing, Command::Kill)
        }
        (P::Waiting | P::Done | P::Backoff | P::Failed, E::Stop | E::Kill) => {
            Step::To(P::Stopped, Command::None)
        }
        (_, E::Stop | E::Kill) => Step::Stay,
        (P::Done, E::Undo) => Step::To(P::Reverting, Command::Undo),
        (_, E::Undo) => Step::Never(NOT_DONE),

        (P::Spawning, E::Spawned) => Step::To(P::Starting, Command::None),
        (P::Cancelling, E::Spawned) => Step::To(P::Terminating, Command::Terminate),
        (P::Reverting, E::Spawned) => Step::To(P::Undoing, Command::None),
        (_, E::Spawned) => Step::Never(NO_TICKET),

        (P::Starting, E::Ready) => Step::To(P::Ready, Command::None),
        (P::Ready | P::Terminating | P::Killing | P::Stuck | P::Undoing, E::Ready) => Step::Stay,
        (P::Spawning | P::Cancelling | P::Reverting, E::Ready | E::Reload) => Step::Never(TICKET_FIRST),
        (_, E::Ready) => Step::Never(NO_PROCESS),

        (P::Ready, E::Reload) => Step::To(P::Ready, Command::Reload),
        (P::Starting, E::Reload) => Step::Never(NOT_READY),
        (P::Terminating | P::Killing | P::Stuck | P::Undoing, E::Reload) => Step::Never(ENDING),
        (_, E::Reload) => Step::Never(NO_PROCESS),

        (P::Starting | P::Ready, E::Timeout) => Step::To(P::Terminating, Command::Terminate),
        (P::Terminating | P::Undoing, E::Timeout) => Step::To(P::Killing, Command::Kill),
        (P::Killing, E::Timeout) => Step::To(P::Stuck, Command::None),
        (P::Backoff, E::Timeout) => Step::Never(RETRY_IS_START),
        (_, E::Timeout) => Step::Never(NO_DEADLINE),
        (P::Terminating, E::Escalate) => Step::To(P::Terminating, Command::Terminate),
        (_, E::Escalate) => Step::Never(NO_SEQUENCE),

        (P::Stopped | P::Waiting | P::Backoff, E::Starve) => Step::To(P::Failed, Command::None),
        (P::Failed, E::Starve) => Step::Stay,
        (_, E::Starve) => Step::Never(HAS_STARTED),

        (
            P::Stopped | P::Waiting | P::Done | P::Backoff | P::Failed,
            E::Ended | E::Done | E::Rest | E::Lapsed | E::Exhausted,
        ) => Step::Never(NO_PROCESS),
        (P::Spawning, E::Done) => Step::Never(TICKET_FIRST),
        (P::Starting | P::Ready, E::Done) => Step::To(P::Done, Command::None),
        (P::Spawning | P::Starting | P::Ready | P::Terminating | P::Killing | P::Stuck, E::Rest) => {
            Step::To(P::Waiting, Command::None)
        }
        (_, E::Done | E::Rest) => Step::Never(ONLY_WHOLE),
        (P::Cancelling | P::Reverting | P::Undoing, E::Lapsed | E::Exhausted) => Step::Never(ENDS_AS_ASKED),
        (_, E::Ended) => Step::To(P::Stopped, Command::None),
        (_, E::Lapsed) => Step::To(P::Backoff, Command::None),
        (_, E::Exhausted) => Step::To(P::Failed, Command::None),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn name(value: impl core::fmt::Debug) -> String {
        format!("{value:?}").to_lowercase()
    }

    fn render() -> String {
        let mut reasons: Vec<&str> = Vec::new();
        let mut out = String::from("\n| phase | published | has a process |");
        for event in Event::ALL {
            out += &format!(" {} |", name(event));
        }
        out += "\n|---|---|---|";
        out += &"---|".repeat(Event::ALL.len());
        for phase in Phase::ALL {
            let process = match phase {
                _ if phase.has_ticket() => "perhaps",
                _ if phase.has_process() => "yes",
                _ => "no",
            };
            out += &format!("\n| **{}** | {} | {process} |", name(phase), phase.state().as_str());
            for event in Event::ALL {
                match step(phase, event) {
                    Step::To(next, Command::None) => out += &format!(" {} |", name(next)),
                    Step::To(next, command) => out += &format!(" {}, *{}* |", name(next), name(command)),
                    Step::Stay => out += " = |",
                    Step::Never(why) => {
                        let at = reasons.iter().position(|known| *known == why).unwrap_or_else(|| {
                            reasons.push(why);
                            reasons.len() - 1
                        });
                        out += &format!(" -{} |", at + 1);
                    }
                }
            }
        }
        out += "\n\n`=` stays; *spawn*, *undo*, *terminate*, *kill*, *reload* are what the driver is told to do; `-n` cannot happen, because:\n";
        for (at, why) in reasons.iter().enumerate() {
            out += &format!("\n{}. {why}", at + 1);
        }
        out.push('\n');
        out
    }

    /// `LUNIX_BLESS=1 cargo test -p lunix-core table` writes the page anew.
    #[test]
    fn the_page_shows_the_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/src/supervise/TABLE.md");
        if std::env::var_os("LUNIX_BLESS").is_some() {
            std::fs::write(page, render()).expect("TABLE.md is writable");
        }
        let written = std::fs::read_to_string(page).expect("TABLE.md exists");
        assert!(written == render(), "TABLE.md is stale: LUNIX_BLESS=1 cargo test -p lunix-core table");
    }

    #[test]
    fn a_process_never_appears_or_vanishes_without_its_event() {
        for phase in Phase::ALL {
            for event in Event::ALL {
                let Step::To(next, _) = step(phase, event) else { continue };
                let appears = !phase.has_process() && next.has_process();
                let vanishes = phase.has_process() && !next.has_process();
                assert_eq!(appears, event == Event::Spawned, "{phase:?} x {event:?}");
                let end = matches!(
                    event,
                    Event::Ended | Event::Done | Event::Rest | Event::Lapsed | Event::Exhausted
                );
                assert!(!vanishes || end, "{phase:?} x {event:?}");
            }
        }
    }

    #[test]
    fn every_state_has_its_token() {
        let tokens: Vec<_> = Phase::ALL.iter().map(|phase| phase.state().as_str()).collect();
        for token in ["starting", "ready", "stopping", "stopped", "failed", "backoff", "waiting"] {
            assert!(tokens.contains(&token), "{token}");
        }
        assert!(Phase::Stuck.is_down() && !Phase::Killing.is_down());
    }
}
