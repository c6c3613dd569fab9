//! `lunix pub`: publishes, and does not return before the server has it.

use std::process::ExitCode;

use lunix_core::session::PublishError;

use crate::bus::{Bus, Event, Options, Overflow};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};

use super::{COMMON, Outcome, SEND, Task, Token};

const NAME: &str = "lunix pub";

/// The command line.
pub const COMMAND: Command = Command {
    name: "pub",
    about: "publish a message",
    arguments: &[
        Argument { name: "SUBJECT", help: "where to publish", required: true, many: false, hint: Hint::None },
        Argument {
            name: "TEXT",
            help: "the payload; - reads it from stdin, and none is an empty one",
            required: false,
            many: false,
            hint: Hint::None,
        },
    ],
    flags: &[
        &[
            Flag {
                names: &["count", "n"],
                value: Some("N"),
                help: "publish it so many times [1]",
                hint: Hint::None,
            },
            Flag {
                names: &["reply", "r"],
                value: Some("SUBJECT"),
                help: "where an answer is wanted",
                hint: Hint::None,
            },
        ],
        SEND,
        COMMON,
        NATS,
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &["Returns when the server has confirmed the messages, and fails if it did not."],
    commands: &[],
    examples: &[
        ("lunix pub toast.in 'dinner is ready'", "make a toast"),
        ("date | lunix pub clock -", "publish what a program prints"),
    ],
};

struct Publish {
    subject: String,
    reply: Option<String>,
    header: Vec<u8>,
    payload: Vec<u8>,
    left: u64,
    asked: bool,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Publish), UsageError> {
    let reply = matches.text("reply")?;
    if let Some(reply) = reply
        && !lunix_proto::nats::subject::is_literal(reply.as_bytes())
    {
        return Err(matches.wrong("reply", "a subject without wildcards", reply));
    }
    let task = Publish {
        subject: super::literal(matches)?,
        reply: reply.map(str::to_owned),
        header: super::header_block(matches)?,
        left: matches.parsed("count", "a number")?.unwrap_or(1),
        payload: super::payload(matches, 1)?,
        asked: false,
    };
    let options = Options::from_matches("lunix-pub", matches)?;
    // One message must fit, and what does not fit yet is published later.
    let pending = options.pending.max(task.payload.len() + task.header.len() + (16 << 10));
    Ok((Options { overflow: Overflow::RefuseNewest, pending, ..options }, task))
}

impl Task for Publish {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        while self.left > 0 {
            let reply = self.reply.as_ref().map(String::as_bytes);
            match bus.publish_with(&self.subject, reply, &self.header, &self.payload) {
                Ok(()) => self.left -= 1,
                Err(PublishError::Full { .. }) => return Outcome::Continue,
                Err(error) => {
                    eprintln!("{NAME}: {error}");
                    return Outcome::Failed;
                }
            }
        }
        if !self.asked {
            self.asked = true;
            bus.barrier();
        }
        Outcome::Continue
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Flushed { certain: true, .. } => Outcome::Done,
            Event::Flushed { certain: false, .. } => {
                eprintln!("{NAME}: the connection broke before the server confirmed");
                Outcome::Failed
            }
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {text}");
                Outcome::Failed
            }
            _ => Outcome::Continue,
        }
    }
}
