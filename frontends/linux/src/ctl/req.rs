//! `lunix req`: asks, and prints the answers.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::RequestId;

use crate::bus::{Answer, Bus, Event, Message, Options, Overflow};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::config::Span;

use super::{COMMON, Outcome, SEND, Task, Token};

const NAME: &str = "lunix req";

/// The command line.
pub const COMMAND: Command = Command {
    name: "req",
    about: "ask, and print the answer",
    arguments: &[
        Argument { name: "SUBJECT", help: "whom to ask", required: true, many: false, hint: Hint::None },
        Argument {
            name: "TEXT",
            help: "the question; - reads it from stdin, and none is an empty one",
            required: false,
            many: false,
            hint: Hint::None,
        },
    ],
    flags: &[
        &[
            Flag {
                names: &["timeout", "t"],
                value: Some("TIME"),
                help: "how long to wait, as 500ms or 2s [2s]",
                hint: Hint::None,
            },
            Flag {
                names: &["replies", "n"],
                value: Some("N"),
                help: "take so many answers; 0 takes all until the time is over [1]",
                hint: Hint::None,
            },
            Flag { names: &["headers"], value: None, help: "print header fields, too", hint: Hint::None },
        ],
        SEND,
        COMMON,
        NATS,
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &["Fails, with one line that says so, if nobody answers."],
    commands: &[],
    examples: &[
        ("lunix req hardware.list", "what is plugged in"),
        ("lunix req --replies 0 '$SRV.PING'", "which daemons are there"),
    ],
};

struct Request {
    subject: String,
    header: Vec<u8>,
    payload: Vec<u8>,
    timeout: Duration,
    replies: u32,
    headers: bool,
    asked: Option<RequestId>,
    answers: u32,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Request), UsageError> {
    let timeout = match matches.text("timeout")? {
        None => Duration::from_secs(2),
        Some(text) => {
            parse_time(text).ok_or_else(|| matches.wrong("timeout", "a time as 500ms or 2s", text))?
        }
    };
    let task = Request {
        subject: super::literal(matches)?,
        header: super::header_block(matches)?,
        timeout,
        replies: matches.parsed("replies", "a number")?.unwrap_or(1),
        headers: matches.has("headers"),
        payload: super::payload(matches, 1)?,
        asked: None,
        answers: 0,
    };
    let options = Options::from_matches("lunix-req", matches)?;
    let pending = options.pending.max(task.payload.len() + task.header.len() + (16 << 10));
    Ok((Options { overflow: Overflow::RefuseNewest, pending, ..options }, task))
}

/// `500ms`, `2s`, `1m`, or seconds. Not more than a day.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(millis)?;
    (millis <= 86_400_000).then(|| Duration::from_millis(millis))
}

impl Request {
    fn print(&self, message: &Message) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.headers {
            super::sub::print_headers(&mut out, message)?;
        }
        out.write_all(message.payload())?;
        if !message.payload().ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

impl Task for Request {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_some() {
            return Outcome::Continue;
        }
        let wanted = if self.replies == 0 { u32::MAX } else { self.replies };
        match bus.request_with(&self.subject, &self.header, &self.payload, wanted, self.timeout) {
            Ok(request) => {
                self.asked = Some(request);
                Outcome::Continue
            }
            Err(error) => {
                eprintln!("{NAME}: {error}");
                Outcome::Failed
            }
        }
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Answer { answer: Answer::Message(message, last), .. } => {
                self.answers += 1;
                // Whoever reads our output has had enough.
                if self.print(&message).is_err() || last { Outcome::Done } else { Outcome::Continue }
            }
            Event::Answer { answer: Answer::NoResponders, .. } => {
                eprintln!("{NAME}: nobody answers on '{}'", self.subject);
                Outcome::Failed
            }
            Event::Answer { answer: Answer::TimedOut, .. } if self.answers == 0 => {
                eprintln!("{NAME}: no answer on '{}' within {}", self.subject, Span(self.timeout));
                Outcome::Failed
            }
            Event::Answer { answer: Answer::TimedOut, .. } => Outcome::Done,
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {text}");
                Outcome::Failed
            }
            _ => Outcome::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("3", 3_000), ("1m", 60_000), ("0", 0)] {
            assert_eq!(parse_time(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1h30", "1.5s", "99999999999s", "18446744073709551615m"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
