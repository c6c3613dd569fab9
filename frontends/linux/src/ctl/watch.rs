//! `lunix watch`: everything that happens, for people.

mod fold;
mod line;
mod look;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lunix_core::time::Instant;
use lunix_core::utc;
use lunix_proto::Full;
use lunix_proto::json::{self, Writer};
use lunix_proto::nats::subject;

use self::fold::Fold;
use self::line::{Painter, Seen};
use super::{COMMON, Outcome, Task, Token};
use crate::bus::{Bus, Event, Message, Options};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::encoded::encoded;
use crate::escaped::Escaped;
use crate::reactor::monotonic;
use crate::sys::local_time::LocalTime;
use crate::terminal::Terminal;

const NAME: &str = "lunix watch";

/// The command line.
pub const COMMAND: Command = Command {
    name: "watch",
    about: "show live what happens",
    arguments: &[Argument {
        name: "FILTER",
        help: "subjects to show; * stands for one token, > for all that follow [>]",
        required: false,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[
            Flag {
                names: &["all", "a"],
                value: None,
                help: "show answers to requests (_INBOX.>), too",
                hint: Hint::None,
            },
            Flag {
                names: &["not", "x"],
                value: Some("FILTER"),
                help: "leave these subjects out (repeatable)",
                hint: Hint::None,
            },
            Flag {
                names: &["json", "j"],
                value: None,
                help: "one JSON object a line: time, subject, reply, payload",
                hint: Hint::None,
            },
            Flag {
                names: &["raw", "r"],
                value: None,
                help: "subject and payload byte by byte: fit for a pipe, not for a terminal",
                hint: Hint::None,
            },
            Flag {
                names: &["count", "n"],
                value: Some("N"),
                help: "end after so many messages",
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
        "One line a message: local time, subject (with ? where an answer is wanted), what matters most, the \
         rest dimmed. On a terminal lines are cut to its width, what nests is folded, and of a burst of one kind only the first \
         few are shown; on a pipe all is whole.",
    ],
    commands: &[],
    examples: &[
        ("lunix watch", "everything"),
        ("lunix watch 'hardware.>' 'toast.>'", "devices and toasts"),
        ("lunix watch -x 'uevent.>' -x 'process.>'", "everything but the chatter"),
        ("lunix watch --json | jq .payload", "for programs"),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    People,
    Json,
    Raw,
}

struct Watch {
    filters: Vec<String>,
    not: Vec<String>,
    form: Form,
    left: Option<u64>,
    painter: Painter,
    fold: Fold,
    subscribed: bool,
    out: BufWriter<StdoutLock<'static>>,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Watch), UsageError> {
    let pattern = |text: &str| subject::is_pattern(text.as_bytes());
    let mut filters = matches.arguments_that("tokens separated by dots", pattern)?;
    let mut not: Vec<String> = Vec::new();
    for filter in matches.texts("not")? {
        if !pattern(filter) {
            return Err(matches.wrong("not", "tokens separated by dots", filter));
        }
        not.push(filter.to_owned());
    }
    if filters.is_empty() {
        filters.push(">".into());
    }
    // Answers belong to those who asked, unless somebody asks for them here by name.
    if !matches.has("all") && !filters.iter().any(|filter| filter.starts_with("_INBOX.")) {
        not.push("_INBOX.>".into());
    }
    let form = match (matches.has("json"), matches.has("raw")) {
        (true, true) => return Err(matches.error("--json and --raw exclude each other")),
        (true, false) => Form::Json,
        (false, true) => Form::Raw,
        (false, false) => Form::People,
    };
    let watch = Watch {
        filters,
        not,
        form,
        left: matches.parsed("count", "a number")?,
        painter: Painter::new(Terminal::of(io::stdout())),
        fold: Fold::default(),
        subscribed: false,
        out: BufWriter::new(io::stdout().lock()),
    };
    Ok((Options::from_matches("lunix-watch", matches)?, watch))
}

impl Task for Watch {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if !std::mem::replace(&mut self.subscribed, true) {
            for (index, filter) in self.filters.iter().enumerate() {
                // Of filters that overlap the server would send each message twice.
                let covered = |(other, wider): (usize, &String)| {
                    other != index && covers(wider, filter) && (wider != filter || other < index)
                };
                if self.filters.iter().enumerate().any(covered) {
                    continue;
                }
                if let Err(error) = bus.subscribe(filter) {
                    eprintln!("{NAME}: '{}': {error}", Escaped(filter));
                    return Outcome::Failed;
                }
            }
        }
        // Whoever read our output has had enough.
        if self.left == Some(0) || self.out.flush().is_err() { Outcome::Done } else { Outcome::Continue }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.fold.due()
    }

    fn deadline(&mut self, _: &mut Bus<Token>, _: Instant) -> Outcome {
        let said = self.fold.end().map_or(Ok(()), |burst| self.aside("2", &burst));
        if said.and_then(|()| self.out.flush()).is_err() { Outcome::Done } else { Outcome::Continue }
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        let shown = match event {
            Event::Message(message) => self.show(&message),
            Event::Ready { again: true } => self.note("connected again"),
            Event::Lost => self.note("the server is gone; waiting for it"),
            Event::Error(text) => self.note(&format!("the server says: {}", Escaped(&text))),
            _ => Ok(()),
        };
        if shown.is_err() || self.left == Some(0) { Outcome::Done } else { Outcome::Continue }
    }
}

impl Watch {
    fn show(&mut self, message: &Message) -> io::Result<()> {
        let subject = message.subject();
        if self.left == Some(0) || self.not.iter().any(|not| subject::matches(not.as_bytes(), subject)) {
            return Ok(());
        }
        self.left = self.left.map(|left| left - 1);
        match self.form {
            Form::People => {
                // On a pipe every message counts.
                if self.painter.terminal.obeys {
                    let (shown, ended) = self.fold.take(monotonic(), subject);
                    ended.map_or(Ok(()), |burst| self.aside("2", &burst))?;
                    if !shown {
                        return Ok(());
                    }
                }
                let clock = format!("{:#}", LocalTime::now());
                let seen = Seen {
                    subject,
                    asks: message.reply().is_some(),
                    headers: message.headers(),
                    payload: message.payload(),
                };
                // The window may have another size since the last line.
                if self.painter.terminal.obeys {
                    self.painter.terminal = Terminal::of(io::stdout());
                }
                self.out.write_all(self.painter.line(&clock, &seen).as_bytes())
            }
            Form::Json => {
                let room = 256 + 2 * message.payload().len();
                self.out.write_all(&encoded(room, |line| json_line(line, message)))?;
                self.out.write_all(b"\n")
            }
            Form::Raw => {
                self.out.write_all(subject)?;
                self.out.write_all(b" ")?;
                self.out.write_all(message.payload())?;
                self.out.write_all(b"\n")
            }
        }
    }

    /// Says something about the connection, where a person looks.
    fn note(&mut self, text: &str) -> io::Result<()> {
        if self.form != Form::People || !self.painter.terminal.obeys {
            eprintln!("{NAME}: {text}");
            return Ok(());
        }
        self.aside("33", &format!("\u{2014} {text}"))
    }

    /// A line between those of messages.
    fn aside(&mut self, colour: &'static str, text: &str) -> io::Result<()> {
        let line = format!("{:#}  {text}", LocalTime::now());
        self.out.write_all(self.painter.terminal.paint(colour, &line).as_bytes())?;
        self.out.write_all(b"\n")
    }
}

fn json_line(out: &mut [u8], message: &Message) -> Result<usize, Full> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = utc::rfc3339(now.as_secs());
    let seconds = time.get(..19).unwrap_or_default();
    let time = format!("{}.{:03}Z", String::from_utf8_lossy(seconds), now.subsec_millis());
    let mut json = Writer::new(out);
    json.begin_object().key("time").string(&time).key("subject").string_bytes(message.subject());
    if let Some(reply) = message.reply() {
        json.key("reply").string_bytes(reply);
    }
    json.key("payload");
    // Text stays text; only what is JSON by intent is taken apart.
    match json::parse(message.payload()) {
        Ok(_) => json.raw(message.payload().trim_ascii()),
        Err(_) => json.string_bytes(message.payload()),
    };
    json.end_object();
    json.finish()
}

/// All that matches `narrow` matches `wide`, too.
fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for token in wide.split('.') {
        match (token, narrow.next()) {
            (">", Some(_)) => return true,
            (_, None) | (_, Some(">")) => return false,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_others_cover() {
        for (wide, narrow, yes) in [
            (">", "a.b", true),
            (">", ">", true),
            ("a.>", "a.*", true),
            ("a.>", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.>", false),
            ("a.b", "a.*", false),
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*.c", "a.>", false),
        ] {
            assert_eq!(covers(wide, narrow), yes, "{wide} {narrow}");
        }
    }
}
