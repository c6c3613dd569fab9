//! The life of one service: every phase against every event, in one place.
#![doc = include_str!("TABLE.md")]

/// What the world is told a service is doing: the last token of `service.<name>.<state>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being spawned, or running and not yet ready.
    Starting,
    /// Running and fit for use.
    Ready,
    /// Asked to end, not yet gone.
    Stopping,
    /// Not running, and not meant to.
    Stopped,
    /// Given up: restarted too often, or its process cannot be killed.
    Failed,
    /// Ended by itself; started again when its delay is over and its needs are ready.
    Backoff,
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
        }
    }
}

/// Where in its life a service is: finer than [`State`], one row of the table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No process.
    Stopped,
    /// A [`SpawnTicket`](super::SpawnTicket) is out; a process may or may not exist.
    Spawning,
    /// As `Spawning`, but whatever comes of it shall end.
    Cancelling,
    /// A process, not yet ready.
    Starting,
    /// A process that is ready.
    Ready,
    /// A process that was sent the stop signal.
    Terminating,
    /// A process that was sent SIGKILL.
    Killing,
    /// A process that outlived SIGKILL: it sleeps in the kernel and nothing can be done.
    Stuck,
    /// No process; one comes when the delay is over.
    Backoff,
    /// No process; none comes unless asked for.
    Failed,
}

impl Phase {
    /// Every phase, in the table's order.
    pub const ALL: [Self; 10] = [
        Self::Stopped,
        Self::Spawning,
        Self::Cancelling,
        Self::Starting,
        Self::Ready,
        Self::Terminating,
        Self::Killing,
        Self::Stuck,
        Self::Backoff,
        Self::Failed,
    ];

    /// The state that is published for this phase.
    pub const fn state(self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Spawning | Self::Starting => State::Starting,
            Self::Ready => State::Ready,
            Self::Cancelling | Self::Terminating | Self::Killing => State::Stopping,
            Self::Backoff => State::Backoff,
            Self::Stuck | Self::Failed => State::Failed,
        }
    }

    /// Whether a process exists in this phase.
    pub const fn has_process(self) -> bool {
        matches!(self, Self::Starting | Self::Ready | Self::Terminating | Self::Killing | Self::Stuck)
    }

    /// Whether what the service needs may stop: there is no process that still could use it or still could end.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Stopped | Self::Stuck | Self::Backoff | Self::Failed)
    }
}

/// What can happen to one service. The end of a process arrives as one of three events, because what
/// follows depends on what was wanted and on how often it ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is its turn to start: it is wanted and its needs are ready.
    Start,
    /// It is its turn to stop: it is not wanted and nothing that needs it runs.
    Stop,
    /// Everything shall end at once.
    Kill,
    /// The ticket was answered: there is a process.
    Spawned,
    /// The process says that it is ready, or its readiness is its start.
    Ready,
    /// The deadline of the phase has passed.
    Timeout,
    /// The process ended (or could not be made), and that is what was wanted.
    Ended,
    /// The process ended (or could not be made) by itself, and may be tried again.
    Lapsed,
    /// The process ended (or could not be made) by itself once too often.
    Exhausted,
}

impl Event {
    /// Every event, in the table's order.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Stop,
        Self::Kill,
        Self::Spawned,
        Self::Ready,
        Self::Timeout,
        Self::Ended,
        Self::Lapsed,
        Self::Exhausted,
    ];
}

/// What the driver must do when a phase is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Command {
    None,
    Spawn,
    Terminate,
    Kill,
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
const RETRY_IS_START: &str = "a retry that is due is a start";
const TICKET_FIRST: &str = "the ticket is answered first";
const ENDS_AS_ASKED: &str = "what is cancelled ends as it was asked to";

/// The table. Nothing else in the crate moves a service from one phase to another.
pub(super) const fn step(phase: Phase, event: Event) -> Step {
    use {Event as E, Phase as P};
    match (phase, event) {
        (P::Stopped | P::Backoff | P::Failed, E::Start) => Step::To(P::Spawning, Command::Spawn),
        (_, E::Start) => Step::Stay,

        (P::Spawning, E::Stop | E::Kill) => Step::To(P::Cancelling, Command::None),
        (P::Starting | P::Ready, E::Stop) => Step::To(P::Terminating, Command::Terminate),
        (P::Starting | P::Ready | P::Terminating, E::Kill) => Step::To(P::Killing, Command::Kill),
        (P::Backoff | P::Failed, E::Stop | E::Kill) => Step::To(P::Stopped, Command::None),
        (P::Stopped | P::Cancelling | P::Terminating | P::Killing | P::Stuck, E::Stop | E::Kill) => {
            Step::Stay
        }

        (P::Spawning, E::Spawned) => Step::To(P::Starting, Command::None),
        (P::Cancelling, E::Spawned) => Step::To(P::Terminating, Command::Terminate),
        (_, E::Spawned) => Step::Never(NO_TICKET),

        (P::Starting, E::Ready) => Step::To(P::Ready, Command::None),
        (P::Ready | P::Terminating | P::Killing | P::Stuck, E::Ready) => Step::Stay,
        (P::Spawning | P::Cancelling, E::Ready) => Step::Never(TICKET_FIRST),
        (P::Stopped | P::Backoff | P::Failed, E::Ready) => Step::Never(NO_PROCESS),

        (P::Starting, E::Timeout) => Step::To(P::Terminating, Command::Terminate),
        (P::Terminating, E::Timeout) => Step::To(P::Killing, Command::Kill),
        (P::Killing, E::Timeout) => Step::To(P::Stuck, Command::None),
        (P::Backoff, E::Timeout) => Step::Never(RETRY_IS_START),
        (_, E::Timeout) => Step::Never(NO_DEADLINE),

        (P::Stopped | P::Backoff | P::Failed, E::Ended | E::Lapsed | E::Exhausted) => Step::Never(NO_PROCESS),
        (P::Cancelling, E::Lapsed | E::Exhausted) => Step::Never(ENDS_AS_ASKED),
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
                Phase::Spawning | Phase::Cancelling => "perhaps",
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
        out += "\n\n`=` stays; *spawn*, *terminate*, *kill* are what the driver is told to do; `-n` cannot happen, because:\n";
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
                let end = matches!(event, Event::Ended | Event::Lapsed | Event::Exhausted);
                assert!(!vanishes || end, "{phase:?} x {event:?}");
            }
        }
    }

    #[test]
    fn every_state_has_its_token() {
        let tokens: Vec<_> = Phase::ALL.iter().map(|phase| phase.state().as_str()).collect();
        for token in ["starting", "ready", "stopping", "stopped", "failed", "backoff"] {
            assert!(tokens.contains(&token), "{token}");
        }
        assert!(Phase::Stuck.is_down() && !Phase::Killing.is_down());
    }
}
