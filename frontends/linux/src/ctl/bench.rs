//! `lunix bench`: how much a server carries, and how fast it answers.
//!
//! One connection says and hears everything, so the figures are those of a server together with one client.

mod figures;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::{PublishError, Sid};
use lunix_core::time::Instant;

use self::figures::{Latencies, Rate};
use super::{COMMON, Outcome, Task, Token};
use crate::bus::{Answer, Bus, Event, Options, Overflow};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::reactor::monotonic;

const NAME: &str = "lunix bench";

/// The command line.
pub const COMMAND: Command = Command {
    name: "bench",
    about: "measure what a server carries, and how fast it answers",
    arguments: &[Argument {
        name: "WHAT",
        help: "publish: messages that nobody hears; hear: messages that come back; request: questions, one after \
               the other [all three]",
        required: false,
        many: true,
        hint: Hint::OneOf(&["publish", "hear", "request"]),
    }],
    flags: &[
        &[
            Flag {
                names: &["messages", "m"],
                value: Some("N"),
                help: "how many are published [100000]",
                hint: Hint::None,
            },
            Flag {
                names: &["requests", "r"],
                value: Some("N"),
                help: "how many are asked, at most 1000000 [10000]",
                hint: Hint::None,
            },
            Flag {
                names: &["size", "s"],
                value: Some("BYTES"),
                help: "of each payload, up to what the server takes [128]",
                hint: Hint::None,
            },
            Flag {
                names: &["subject"],
                value: Some("PREFIX"),
                help: "below which subject all this is said; the process id follows [lunix.bench]",
                hint: Hint::None,
            },
        ],
        COMMON,
        NATS,
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &[
        "One connection publishes, hears and answers: the figures are those of the server and one client together. p50, p99 \
         and max say how long a question and its answer take; each passes the server twice.",
        "It needs the permission to publish and to subscribe below PREFIX; natsd gives that to users without \
         credentials below user.NAME.",
    ],
    commands: &[],
    examples: &[
        ("lunix bench", "a small message, a hundred thousand times"),
        ("lunix bench hear --size 65536 --messages 10000", "large ones"),
    ],
};

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Publish,
    Hear,
    Request,
}

impl Part {
    const ALL: [Self; 3] = [Self::Publish, Self::Hear, Self::Request];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Hear => "hear",
            Self::Request => "request",
        }
    }
}

/// Each question's time is kept.
const MAX_REQUESTS: u32 = 1_000_000;
const MAX_SIZE: usize = 64 << 20;
/// Longer than any server that works at all takes.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Bench {
    prefix: String,
    payload: Vec<u8>,
    messages: u64,
    requests: u32,
    /// What is still to be measured; the first is at work once it has begun.
    parts: Vec<Part>,
    begun: Option<Instant>,
    subscription: Option<Sid>,
    sent: u64,
    heard: u64,
    asked: Option<Instant>,
    latencies: Latencies,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Bench), UsageError> {
    let mut wanted = Vec::new();
    while let Some(word) = matches.argument_text(wanted.len())? {
        let part = Part::ALL.into_iter().find(|part| part.as_str() == word);
        wanted.push(part.ok_or_else(|| {
            matches.error(format_args!("WHAT: expected publish, hear or request, found '{word}'"))
        })?);
    }
    let messages = matches.parsed("messages", "a number")?.unwrap_or(100_000_u64);
    let requests = matches.parsed("requests", "a number")?.unwrap_or(10_000_u32);
    let size = matches.parsed("size", "a number")?.unwrap_or(128_usize);
    if messages == 0 {
        return Err(matches.wrong("messages", "a number from 1", "0"));
    }
    if !(1..=MAX_REQUESTS).contains(&requests) {
        return Err(matches.wrong("requests", "a number from 1 to 1000000", &requests.to_string()));
    }
    if size > MAX_SIZE {
        return Err(matches.wrong("size", "at most 67108864 bytes", &size.to_string()));
    }
    let prefix = matches.text("subject")?.unwrap_or("lunix.bench");
    if !lunix_proto::nats::subject::is_literal(prefix.as_bytes()) {
        return Err(matches.wrong("subject", "a subject without wildcards", prefix));
    }
    let options = Options::from_matches("lunix-bench", matches)?;
    // A few messages must fit, and what does not fit yet is published later.
    let pending = options.pending.max(4 * size + (64 << 10));
    let bench = Bench {
        prefix: format!("{prefix}.{}", std::process::id()),
        payload: vec![b'x'; size],
        messages,
        requests,
        parts: Part::ALL.into_iter().filter(|part| wanted.is_empty() || wanted.contains(part)).collect(),
        begun: None,
        subscription: None,
        sent: 0,
        heard: 0,
        asked: None,
        latencies: Latencies::with_capacity(requests),
    };
    Ok((Options { overflow: Overflow::RefuseNewest, pending, ..options }, bench))
}

impl Bench {
    fn part(&self) -> Option<Part> {
        self.parts.first().copied()
    }

    fn subject(&self, part: Part) -> String {
        format!("{}.{}", self.prefix, part.as_str())
    }

    /// Begins the next part, or goes on with it.
    fn go_on(&mut self, bus: &mut Bus<Token>) -> Result<(), String> {
        let Some(part) = self.part() else { return Ok(()) };
        let subject = self.subject(part);
        if self.begun.is_none() {
            if part != Part::Publish {
                self.subscription = Some(bus.subscribe(&subject).map_err(|error| error.to_string())?);
            }
            (self.sent, self.heard) = (0, 0);
            self.begun = Some(monotonic());
        }
        if part == Part::Request {
            return self.ask(bus, &subject);
        }
        while self.sent < self.messages {
            match bus.publish(&subject, &self.payload) {
                Ok(()) => self.sent += 1,
                Err(PublishError::Full { .. }) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
            if part == Part::Publish && self.sent == self.messages {
                bus.barrier();
            }
        }
        Ok(())
    }

    fn ask(&mut self, bus: &mut Bus<Token>, subject: &str) -> Result<(), String> {
        if self.asked.is_none() && self.latencies.len() < self.requests {
            self.asked = Some(monotonic());
            bus.request(subject, &self.payload, TIMEOUT).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Says what became of the part, and turns to the next one.
    fn ended(&mut self, bus: &mut Bus<Token>) -> Outcome {
        let (Some(part), Some(begun)) = (self.part(), self.begun.take()) else { return Outcome::Continue };
        let time = monotonic().since(begun);
        if let Some(subscription) = self.subscription.take() {
            bus.unsubscribe(subscription);
        }
        let count = if part == Part::Request { self.requests.into() } else { self.messages };
        let rate = Rate { count, size: self.payload.len(), time };
        let mut out = io::stdout().lock();
        let said = match part {
            Part::Request => writeln!(out, "{:<8} {rate}   {}", part.as_str(), self.latencies.summary()),
            _ => writeln!(out, "{:<8} {rate}", part.as_str()),
        };
        self.parts.remove(0);
        // Whoever reads our output has had enough.
        if said.and_then(|()| out.flush()).is_err() || self.parts.is_empty() {
            Outcome::Done
        } else {
            self.turn(bus)
        }
    }
}

impl Task for Bench {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.payload.len() > bus.max_payload() {
            return failed(format_args!("--size: the server takes at most {} bytes", bus.max_payload()));
        }
        match self.go_on(bus) {
            Ok(()) => Outcome::Continue,
            Err(error) => failed(error),
        }
    }

    fn event(&mut self, bus: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Flushed { certain: true, .. } if self.part() == Some(Part::Publish) => self.ended(bus),
            Event::Message(_) if self.part() == Some(Part::Hear) => {
                self.heard += 1;
                if self.heard == self.messages { self.ended(bus) } else { Outcome::Continue }
            }
            Event::Message(message) => match bus.respond(&message, message.payload()) {
                Ok(()) => Outcome::Continue,
                Err(error) => failed(error),
            },
            Event::Answer { answer: Answer::Message(..), .. } => {
                if let Some(asked) = self.asked.take() {
                    self.latencies.push(monotonic().since(asked));
                }
                if self.latencies.len() == self.requests { self.ended(bus) } else { self.turn(bus) }
            }
            Event::Answer { .. } => failed("a question was not answered"),
            // What was on its way may be lost: the figures would mean nothing.
            Event::Lost | Event::Flushed { certain: false, .. } => failed("the connection broke"),
            Event::Error(text) => failed(format_args!("the server says: {text}")),
            _ => Outcome::Continue,
        }
    }
}

fn failed(why: impl std::fmt::Display) -> Outcome {
    eprintln!("{NAME}: {why}");
    Outcome::Failed
}
