//! `--watch-trial`: started at boot, it waits until the system is healthy and confirms it, or restarts into the one before.
//!
//! It is ready, for who supervises it, when it listens: so what it waits for is not said before. A system that is not on trial
//! needs none of it, and it ends at once.

use std::io;
use std::process::Command;
use std::time::Duration;

use lunix_core::time::Instant;
use rustix::system::RebootCommand;

use super::system::System;
use super::{Failure, NAME, status};
use crate::bus::{Answer, Bus, Event, Options};
use crate::cli::Matches;
use crate::config::Span;
use crate::notify;
use crate::reactor::{App, Key, Reactor, Ready, monotonic};
use crate::sys::signals::Signals;

/// What PID 1 says when everything that was wanted at boot is ready.
const HEALTHY: &str = "system.healthy";

/// What asks PID 1 to stop everything and start anew.
const REBOOT: &str = "system.reboot";
/// What it says to that, so that people see why.
const REASON: &[u8] = br#"{"reason":"the system on trial was not healthy in time"}"#;

/// How long PID 1 may take to answer that, and then to do it.
const ORDERLY: Duration = Duration::from_secs(10);
const STOPPING: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
enum Token {
    Bus,
    Signals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until then it has to be healthy.
    Waiting(Instant),
    /// PID 1 was asked to restart.
    Asked(Instant),
    /// It is doing that.
    Restarting(Instant),
    /// It does not.
    Stuck,
    Healthy,
    /// Told to stop by whoever supervises it.
    Stopped,
}

struct Watch {
    bus: Bus<Token>,
    signals: Signals,
    phase: Phase,
    listens: bool,
    /// Whether it is the machine itself that is restarted, by PID 1.
    by_bus: bool,
}

/// Waits for the verdict.
///
/// # Errors
/// There is no flash; it was not healthy in time, and could not be restarted.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let within = match matches.text("within")? {
        None => Duration::from_secs(60),
        Some(text) => parse_time(text).ok_or_else(|| matches.wrong("within", "a time as 60s or 5m", text))?,
    };
    let options = Options::from_matches("lunix-upgrade", matches)?;
    let mut system = System::open(matches, true)?;
    if !system.is_on_trial() {
        notify::ready();
        println!("{NAME}: the system that runs is not on trial");
        return Ok(());
    }
    let instead = matches.path("instead");
    let by_bus = instead.is_none() && matches.path("flash").is_none();
    match watch(options, within, by_bus).map_err(Failure::new)? {
        Phase::Healthy => return status::confirm_system(&mut system),
        Phase::Stopped => return Ok(()),
        _ => {}
    }
    let late = format!("the system was not healthy within {}", Span(within));
    if let Some(program) = instead {
        eprintln!("{NAME}: {late}: {}", program.display());
        return match Command::new(program).status() {
            Ok(_) => Err(Failure::new(late)),
            Err(error) => Err(Failure::new(format_args!("{}: {error}", program.display()))),
        };
    }
    if !by_bus {
        return Err(Failure::new(late));
    }
    eprintln!("{NAME}: {late}: restarting without PID 1");
    rustix::fs::sync();
    rustix::system::reboot(RebootCommand::Restart)
        .map_err(|error| Failure::new(format_args!("{late}, and cannot be restarted: {error}")))
}

fn watch(options: Options, within: Duration, by_bus: bool) -> io::Result<Phase> {
    let signals = Signals::new(&[libc::SIGINT, libc::SIGTERM])?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    let phase = Phase::Waiting(monotonic() + within);
    let mut watch = Watch { bus: Bus::new(options, Token::Bus), signals, phase, listens: false, by_bus };
    if watch.bus.subscribe(HEALTHY).is_err() {
        return Err(io::Error::other("there is no room for a subscription"));
    }
    reactor.run(&mut watch)?;
    Ok(watch.phase)
}

impl Watch {
    fn take(&mut self, now: Instant, event: Event) {
        match (event, self.phase) {
            (Event::Ready { .. }, _) => _ = self.bus.barrier(),
            (Event::Flushed { certain: true, .. }, _) if !self.listens => {
                self.listens = true;
                notify::ready();
            }
            (Event::Message(_), Phase::Waiting(_)) => self.phase = Phase::Healthy,
            (Event::Answer { answer: Answer::Message(..), .. }, Phase::Asked(_)) => {
                self.phase = Phase::Restarting(now + STOPPING);
            }
            (Event::Answer { .. }, Phase::Asked(_)) => self.phase = Phase::Stuck,
            _ => {}
        }
    }
}

impl App for Watch {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.bus.ready(reactor, key),
            Token::Signals => {
                while self.signals.next().is_some() {
                    self.phase = Phase::Stopped;
                }
                reactor.read_blocked(key);
            }
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.bus.deadline(reactor);
        let now = reactor.now();
        self.phase = match self.phase {
            Phase::Waiting(at) if at <= now => {
                let asked = self.by_bus && self.bus.request(REBOOT, REASON, ORDERLY).is_ok();
                if asked { Phase::Asked(now + ORDERLY) } else { Phase::Stuck }
            }
            Phase::Asked(at) | Phase::Restarting(at) if at <= now => Phase::Stuck,
            phase => phase,
        };
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(event) = self.bus.next() {
            self.take(reactor.now(), event);
        }
        self.bus.flush(reactor);
        if matches!(self.phase, Phase::Healthy | Phase::Stuck | Phase::Stopped) {
            reactor.stop();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Waiting(at) | Phase::Asked(at) | Phase::Restarting(at) => Some(at),
            Phase::Healthy | Phase::Stuck | Phase::Stopped => None,
        };
        [own, self.bus.next_deadline()].into_iter().flatten().min()
    }
}

/// `60s`, `5m`, or seconds; not more than a day, and not nothing.
fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = number.parse::<u64>().ok()?.checked_mul(match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    })?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}
