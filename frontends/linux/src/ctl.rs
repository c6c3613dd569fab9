//! The commands for people that speak NATS: `lunix sub`, `lunix watch`, `lunix services`, `lunix top`, …
//!
//! Exit codes: 0 = done, 1 = it did not work, 2 = the command line is wrong.

#[cfg(feature = "bench")]
pub mod bench;
pub mod boot;
mod columns;
pub mod devices;
#[cfg(feature = "import-unit")]
pub mod import_unit;
mod known;
pub mod pub_;
pub mod req;
pub mod services;
pub mod sub;
pub mod toast;
pub mod top;
pub mod watch;

use std::io::{self, Read as _};
use std::process::ExitCode;

use lunix_core::time::Instant;
use lunix_proto::nats::header;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bus::{Bus, Event, Options};
use crate::cli::{Flag, Hint, Matches, UsageError};
use crate::escaped::Escaped;
use crate::log::{self, Level};
use crate::reactor::{App, Key, Reactor, Ready};
use crate::sys::signals::Signals;

/// Flags of every command here.
const COMMON: &[Flag] = &[Flag {
    names: &["wait", "w"],
    value: None,
    help: "wait for the server if it is not there yet",
    hint: Hint::None,
}];

/// Flags of the commands that send.
const SEND: &[Flag] = &[Flag {
    names: &["header", "H"],
    value: Some("KEY=VALUE"),
    help: "add a header field (repeatable)",
    hint: Hint::None,
}];

/// A command, once there is a server.
trait Task {
    /// Called at the end of every turn while there is a server: start, or go on with, what needs room to be sent.
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome;

    /// Called for what happens.
    fn event(&mut self, bus: &mut Bus<Token>, event: Event) -> Outcome;

    /// When [`Task::deadline`] is to be called.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The time has come.
    fn deadline(&mut self, _bus: &mut Bus<Token>, _now: Instant) -> Outcome {
        Outcome::Continue
    }

    /// It listens to what is typed on stdin, a terminal.
    fn is_typed_to(&self) -> bool {
        false
    }

    /// This was typed.
    fn typed(&mut self, _bus: &mut Bus<Token>, _bytes: &[u8]) -> Outcome {
        Outcome::Continue
    }
}

/// Whether a command is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Continue,
    /// What is pending is still sent.
    Done,
    /// It has said why.
    Failed,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    Bus,
    Signals,
    Typed,
}

struct Runner<T> {
    name: &'static str,
    task: T,
    bus: Bus<Token>,
    signals: Signals,
    /// Failures before the first connection that mean that no server is there; 0 = wait for one.
    patience: usize,
    outcome: Outcome,
}

/// Runs what a command line means, unless it is wrong.
fn start<T: Task>(
    matches: &Matches,
    name: &'static str,
    parsed: Result<(Options, T), UsageError>,
) -> ExitCode {
    match parsed {
        Ok((options, task)) => run(matches, name, options, task),
        Err(error) => error.report(),
    }
}

/// Connects, runs `task` to its end, and makes the exit code of it.
fn run(matches: &Matches, name: &'static str, options: Options, task: impl Task) -> ExitCode {
    let patience = if matches.has("wait") { 0 } else { options.servers.len() };
    // What a daemon logs, a command says in its own words.
    log::set_level(Level::Error);
    let bus = Bus::new(options, Token::Bus);
    match try_run(name, bus, patience, task) {
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(name: &'static str, bus: Bus<Token>, patience: usize, task: impl Task) -> io::Result<Outcome> {
    let signals = Signals::new(&[libc::SIGINT, libc::SIGTERM])?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    if task.is_typed_to() {
        reactor.add(&io::stdin(), Token::Typed, Ready::READ)?;
    }
    let mut runner = Runner { name, task, bus, signals, patience, outcome: Outcome::Continue };
    reactor.run(&mut runner)?;
    Ok(runner.outcome)
}

impl<T: Task> Runner<T> {
    fn take(&mut self, event: Event) -> Outcome {
        match event {
            Event::Failed(why) if self.patience == 1 => {
                eprintln!("{}: no server: {why}", self.name);
                Outcome::Failed
            }
            Event::Failed(_) => {
                self.patience = self.patience.saturating_sub(1);
                Outcome::Continue
            }
            Event::Ready { .. } => {
                self.patience = 0;
                self.task.event(&mut self.bus, event)
            }
            event => self.task.event(&mut self.bus, event),
        }
    }

    fn read_typed(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        // The terminal is not ours alone, so it is not made non-blocking: it is read only if something is there.
        let stdin = io::stdin();
        let mut ask = [PollFd::new(&stdin, PollFlags::IN)];
        let mut typed = [0; 64];
        match poll(&mut ask, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(1..) => match rustix::io::read(&stdin, &mut typed) {
                Ok(length @ 1..) if self.outcome == Outcome::Continue => {
                    let outcome = self.task.typed(&mut self.bus, typed.get(..length).unwrap_or_default());
                    self.finish(outcome);
                }
                Ok(1..) => {}
                _ => reactor.read_blocked(key),
            },
            _ => reactor.read_blocked(key),
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        if self.outcome == Outcome::Continue && outcome != Outcome::Continue {
            self.outcome = outcome;
            if outcome == Outcome::Done {
                self.bus.drain();
            } else {
                self.bus.close();
            }
        }
    }
}

impl<T: Task> App for Runner<T> {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.bus.ready(reactor, key),
            Token::Signals => {
                while self.signals.next().is_some() {
                    // The second one does not wait for the server.
                    if self.outcome != Outcome::Continue {
                        reactor.stop();
                    }
                    self.finish(Outcome::Done);
                }
                reactor.read_blocked(key);
            }
            Token::Typed => self.read_typed(reactor, key),
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.bus.deadline(reactor);
        let now = reactor.now();
        if self.outcome == Outcome::Continue && self.task.next_deadline().is_some_and(|at| at <= now) {
            let outcome = self.task.deadline(&mut self.bus, now);
            self.finish(outcome);
        }
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(event) = self.bus.next() {
            if matches!(event, Event::Closed) {
                reactor.stop();
            } else if self.outcome == Outcome::Continue {
                let outcome = self.take(event);
                self.finish(outcome);
            }
        }
        if self.outcome == Outcome::Continue && self.bus.is_ready() {
            let outcome = self.task.turn(&mut self.bus);
            self.finish(outcome);
        }
        self.bus.flush(reactor);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = self.task.next_deadline().filter(|_| self.outcome == Outcome::Continue);
        [self.bus.next_deadline(), own].into_iter().flatten().min()
    }
}

/// The argument TEXT: itself, all of stdin for `-`, nothing if it is missing.
fn payload(matches: &Matches, index: usize) -> Result<Vec<u8>, UsageError> {
    use std::os::unix::ffi::OsStrExt as _;
    /// The largest payload of any nats-server.
    const LIMIT: u64 = 64 << 20;
    match matches.argument(index) {
        None => Ok(Vec::new()),
        Some(text) if text.as_bytes() == b"-" => {
            let mut bytes = Vec::new();
            match io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes) {
                Err(error) => Err(matches.error(format_args!("stdin: {error}"))),
                Ok(read) if read as u64 > LIMIT => Err(matches.error("stdin: more than 64 MiB")),
                Ok(_) => Ok(bytes),
            }
        }
        Some(text) => Ok(text.as_bytes().to_vec()),
    }
}

/// The header block of the flags `--header`; empty if there are none.
fn header_block(matches: &Matches) -> Result<Vec<u8>, UsageError> {
    let fields = matches.texts("header")?;
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let mut block = vec![0; 64 + fields.iter().map(|field| field.len() + 8).sum::<usize>()];
    let mut writer = header::Writer::new(&mut block);
    for field in fields {
        let split = field.split_once('=').or_else(|| field.split_once(':'));
        let (key, value) = split.ok_or_else(|| matches.wrong("header", "KEY=VALUE", field))?;
        let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if key.is_empty() || !key.bytes().all(is_token) || value.contains(['\r', '\n']) {
            return Err(matches.wrong("header", "KEY=VALUE", field));
        }
        writer.field(key, value.trim_start().as_bytes());
    }
    let length = writer.finish().map_err(|_| matches.error("--header: too long"))?;
    block.truncate(length);
    Ok(block)
}

/// The argument SUBJECT, which messages can be published to.
fn literal(matches: &Matches) -> Result<String, UsageError> {
    let subject = matches.argument_text(0)?.unwrap_or_default();
    if !lunix_proto::nats::subject::is_literal(subject.as_bytes()) {
        return Err(matches.error(format_args!(
            "SUBJECT: expected tokens separated by dots, without wildcards, found '{}'",
            Escaped(subject)
        )));
    }
    Ok(subject.to_owned())
}
