//! What a service has printed, and what it prints.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lunix_core::session::RequestId;
use lunix_proto::json::{self, Object};

use super::super::known;
use super::super::{Outcome, Task, Token};
use super::{NAME, PATIENCE};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{Matches, UsageError};
use crate::escaped::Escaped;
use crate::sys::local_time::LocalTime;
use crate::terminal::Terminal;

/// Lines that are kept until it is known what time it is there.
const LATER: usize = 1 << 12;

struct Log {
    name: String,
    follow: bool,
    lines: Option<usize>,
    /// The question what time it is at natsinit, and the one for lines.
    asked: Option<(RequestId, RequestId)>,
    /// What our clock shows when natsinit's shows nothing, in microseconds since the epoch.
    epoch: Option<u64>,
    /// What was kept, until both are answered.
    kept: Option<Message>,
    /// What came after that meanwhile.
    later: Vec<Message>,
    clock_answered: bool,
    shown: bool,
    terminal: Terminal,
}

pub(super) fn run(matches: &Matches) -> Result<ExitCode, UsageError> {
    let log = Log {
        name: known::names(matches)?.into_iter().next().unwrap_or_default(),
        follow: matches.has("follow"),
        lines: matches.parsed("lines", "a number")?,
        asked: None,
        epoch: None,
        kept: None,
        later: Vec::new(),
        clock_answered: false,
        shown: false,
        terminal: Terminal::of(io::stdout()),
    };
    let options = Options::from_matches("lunix-services", matches)?;
    Ok(super::super::run(matches, NAME, options, log))
}

impl Task for Log {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_none() {
            // Listening begins first, so that nothing is missed between what is kept and what comes.
            let listens = if self.follow {
                bus.subscribe(format!("service.{}.log", self.name)).map(drop)
            } else {
                Ok(())
            };
            let tail = bus.request(format!("service.{}.tail", self.name), b"", PATIENCE);
            let clock = bus.request("system.usage", b"", PATIENCE);
            match (listens, clock, tail) {
                (Ok(()), Ok(clock), Ok(tail)) => self.asked = Some((clock, tail)),
                _ => {
                    eprintln!("{NAME}: there is no room for a request");
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Continue
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        let problem = match event {
            Event::Answer { request, answer } => {
                let is_clock = self.asked.is_some_and(|(clock, _)| clock == request);
                match (answer, is_clock) {
                    (Answer::Message(message, _), true) => {
                        self.set_clock(&message);
                        return self.show();
                    }
                    (_, true) => {
                        self.clock_answered = true;
                        return self.show();
                    }
                    (Answer::Message(message, _), false) => match known::refusal(&message) {
                        Some(why) => format!("natsinit says: {why}"),
                        None => {
                            self.kept = Some(message);
                            return self.show();
                        }
                    },
                    (Answer::NoResponders, false) => format!(
                        "nobody keeps what '{}' prints: natsinit does not know it, or does not run",
                        Escaped(&self.name)
                    ),
                    (Answer::TimedOut, false) => "natsinit does not answer".to_owned(),
                }
            }
            // What comes before the answer is in the answer.
            Event::Message(message) if self.shown => {
                let written = self.write(&self.said(&message));
                return if written.is_err() { Outcome::Done } else { Outcome::Continue };
            }
            Event::Message(message) if self.kept.is_some() && self.later.len() < LATER => {
                self.later.push(message);
                return Outcome::Continue;
            }
            Event::Lost => {
                eprintln!("{NAME}: the server is gone; waiting for it");
                return Outcome::Continue;
            }
            Event::Ready { again: true } => {
                eprintln!("{NAME}: connected again; lines may be missing");
                return Outcome::Continue;
            }
            Event::Error(text) => format!("the server says: {}", Escaped(&text)),
            _ => return Outcome::Continue,
        };
        eprintln!("{NAME}: {problem}");
        Outcome::Failed
    }
}

impl Log {
    fn set_clock(&mut self, message: &Message) {
        self.clock_answered = true;
        let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
        let theirs = object.and_then(|object| object.get("at_us")?.as_u64());
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.epoch = u64::try_from(ours).ok().zip(theirs).and_then(|(ours, theirs)| ours.checked_sub(theirs));
    }

    /// Prints what was kept, once its times can be told.
    fn show(&mut self) -> Outcome {
        if !self.clock_answered {
            return Outcome::Continue;
        }
        let Some(message) = self.kept.take() else { return Outcome::Continue };
        let Some(objects) = known::objects(message.payload()) else {
            eprintln!("{NAME}: the answer is no list of lines");
            return Outcome::Failed;
        };
        self.shown = true;
        let skipped = self.lines.map_or(0, |lines| objects.len().saturating_sub(lines));
        let mut text: String = objects.iter().skip(skipped).map(|object| self.line(object)).collect();
        text.extend(std::mem::take(&mut self.later).iter().map(|message| self.said(message)));
        if self.write(&text).is_err() || !self.follow { Outcome::Done } else { Outcome::Continue }
    }

    /// The line of an event; nothing if it is none.
    fn said(&self, message: &Message) -> String {
        let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
        object.map(|object| self.line(&object)).unwrap_or_default()
    }

    fn line(&self, object: &Object<'_>) -> String {
        let number = |key| object.get(key).and_then(|value| value.as_u64());
        let clock = number("at_us").zip(self.epoch).map(|(at, epoch)| {
            let micros = epoch.saturating_add(at);
            let seconds = i64::try_from(micros / 1_000_000).unwrap_or_default();
            let millis = u32::try_from(micros % 1_000_000 / 1_000).unwrap_or_default();
            format!("{:#}  ", LocalTime::at(seconds, millis))
        });
        let clock = clock.unwrap_or_default();
        let mut text = String::new();
        if let Some(dropped) = number("dropped").filter(|dropped| *dropped > 0) {
            text += &self.terminal.paint("33", &format!("{clock}\u{2026} {dropped} lines were not told"));
            text.push('\n');
        }
        text + &self.terminal.paint("2", &clock) + &known::text(object, "line") + "\n"
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
