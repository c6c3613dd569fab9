//! `lunix sub`: prints what is published.

use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lunix_core::utc;
use lunix_proto::nats::subject;

use crate::bus::{Bus, Event, Message, Options};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::escaped::Escaped;
use crate::terminal::Terminal;

use super::{COMMON, Outcome, Task, Token};

const NAME: &str = "lunix sub";

/// The command line.
pub const COMMAND: Command = Command {
    name: "sub",
    about: "subscribe, and print messages as they come",
    arguments: &[Argument {
        name: "SUBJECT",
        help: "what to subscribe to; * stands for one token, > for all that follow",
        required: true,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[
            Flag {
                names: &["count", "n"],
                value: Some("N"),
                help: "end after so many messages",
                hint: Hint::None,
            },
            Flag {
                names: &["queue", "q"],
                value: Some("GROUP"),
                help: "join a queue group, of which one member gets each message",
                hint: Hint::None,
            },
            Flag {
                names: &["raw", "r"],
                value: None,
                help: "print payloads only, one a line, byte by byte",
                hint: Hint::None,
            },
            Flag { names: &["headers"], value: None, help: "print header fields, too", hint: Hint::None },
            Flag {
                names: &["timestamps", "t"],
                value: None,
                help: "print the time of arrival (UTC)",
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
        "One line a message: its subject and its payload, in which control characters are escaped. \
         `lunix watch` shows the events of lunix in a friendlier way.",
        "Goes on when the server restarts. Ends on Ctrl-C, and when nobody reads its output any more.",
    ],
    commands: &[],
    examples: &[
        ("lunix sub 'hardware.>'", "everything about hardware"),
        ("lunix sub --raw --count 1 hardware.usb.add", "wait for one stick, print its JSON"),
    ],
};

struct Subscribe {
    subjects: Vec<String>,
    queue: Option<String>,
    left: Option<u64>,
    raw: bool,
    headers: bool,
    timestamps: bool,
    colour: bool,
    subscribed: bool,
    out: BufWriter<StdoutLock<'static>>,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Subscribe), UsageError> {
    let pattern = |text: &str| subject::is_pattern(text.as_bytes());
    let subjects = matches.arguments_that("tokens separated by dots", pattern)?;
    let task = Subscribe {
        subjects,
        queue: matches.text("queue")?.map(str::to_owned),
        left: matches.parsed("count", "a number")?,
        raw: matches.has("raw"),
        headers: matches.has("headers"),
        timestamps: matches.has("timestamps"),
        colour: Terminal::of(io::stdout()).colour,
        subscribed: false,
        out: BufWriter::new(io::stdout().lock()),
    };
    Ok((Options::from_matches("lunix-sub", matches)?, task))
}

impl Subscribe {
    fn print(&mut self, message: &Message) -> io::Result<()> {
        let Self { out, .. } = self;
        if self.timestamps {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let text = utc::rfc3339(since.as_secs());
            // Milliseconds go before the final Z.
            let (seconds, _) = text.split_at(text.len() - 1);
            out.write_all(seconds)?;
            write!(out, ".{:03}Z ", since.subsec_millis())?;
        }
        if !self.raw {
            let (bold, dim, off) =
                if self.colour { ("\x1b[1;36m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
            write!(out, "{bold}{}{off}", printable(message.subject()))?;
            if let Some(reply) = message.reply() {
                write!(out, " {dim}[{}]{off}", printable(reply))?;
            }
            out.write_all(b" ")?;
        }
        if self.headers && !message.header().is_empty() {
            if !self.raw {
                out.write_all(b"\n")?;
            }
            print_headers(out, message)?;
        }
        if self.raw {
            out.write_all(message.payload())?;
        } else {
            out.write_all(printable(message.payload()).as_bytes())?;
        }
        out.write_all(b"\n")
    }
}

/// The header fields, one a line, and an empty line.
pub(super) fn print_headers(out: &mut impl Write, message: &Message) -> io::Result<()> {
    let Some(headers) = message.headers() else { return Ok(()) };
    if let Some(status) = headers.status() {
        writeln!(out, "Status: {status} {}", printable(headers.description()))?;
    }
    for (name, value) in headers.iter() {
        writeln!(out, "{}: {}", printable(name), printable(value))?;
    }
    out.write_all(b"\n")
}

/// Text without anything that a terminal obeys, and without line ends.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            // Writing into a String does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

impl Task for Subscribe {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if !self.subscribed {
            self.subscribed = true;
            for subject in &self.subjects {
                let subscribed = match &self.queue {
                    Some(queue) => bus.subscribe_queue(subject, queue),
                    None => bus.subscribe(subject),
                };
                match subscribed {
                    // With one subject the server counts, too, and sends not one too many.
                    Ok(sid) if self.subjects.len() == 1 && self.left.is_some_and(|left| left > 0) => {
                        bus.unsubscribe_after(sid, self.left.unwrap_or(1));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        eprintln!("{NAME}: '{}': {error}", Escaped(subject));
                        return Outcome::Failed;
                    }
                }
            }
        }
        if self.left == Some(0) || self.out.flush().is_err() { Outcome::Done } else { Outcome::Continue }
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Message(message) => {
                if self.left == Some(0) {
                    return Outcome::Done;
                }
                // Whoever read our output has had enough.
                if self.print(&message).is_err() {
                    return Outcome::Done;
                }
                self.left = self.left.map(|left| left - 1);
                if self.left == Some(0) {
                    let _ = self.out.flush();
                    return Outcome::Done;
                }
            }
            Event::Lost => eprintln!("{NAME}: the server is gone; waiting for it"),
            Event::Ready { again: true } => eprintln!("{NAME}: connected again"),
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {text}");
                return Outcome::Failed;
            }
            _ => {}
        }
        Outcome::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_obeys() {
        assert_eq!(printable(b"a\x1b[2Jb\nc\xff\x07"), "a\\u{1b}[2Jb\\nc\\xff\\u{7}");
        assert_eq!(printable("tempête 21°".as_bytes()), "tempête 21°");
    }
}
