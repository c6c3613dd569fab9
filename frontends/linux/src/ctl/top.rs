//! `lunix top`: which services use the machine, live.

mod picture;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::RequestId;
use lunix_core::time::Instant;
use lunix_proto::json;

use self::picture::{Picture, Sort};
use self::screen::Screen;
use super::req::parse_time;
use super::{COMMON, Outcome, Task, Token};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::escaped::Escaped;
use crate::reactor::monotonic;
use crate::terminal::Terminal;

use super::known;

const NAME: &str = "lunix top";

/// The command line.
pub const COMMAND: Command = Command {
    name: "top",
    about: "show live which services use the machine",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["interval", "i"],
                value: Some("TIME"),
                help: "from one look to the next, from 100ms to 1m [1s]",
                hint: Hint::None,
            },
            Flag {
                names: &["sort", "s"],
                value: Some("COLUMN"),
                help: "what comes first [cpu]",
                hint: Hint::OneOf(&["cpu", "memory", "io", "tasks", "name"]),
            },
            Flag {
                names: &["once"],
                value: None,
                help: "print one picture, of one interval, and end",
                hint: Hint::None,
            },
            Flag {
                names: &["count", "n"],
                value: Some("N"),
                help: "end after so many pictures [without end on a terminal, else 1]",
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
        "Keys: c, m, i, t and n sort by processor, memory, storage, tasks and name; q ends. What is no terminal gets plain text.",
        "It asks natsinit, on this machine or another one, as often as the interval says, and natsps for processes, if \
         that runs. Of each processor there are 100 %.",
    ],
    commands: &[],
    examples: &[
        ("lunix top", "live"),
        ("lunix top --nats nats://192.168.1.7:4222 -i 5s", "of another machine, gently"),
        ("lunix top --once --sort memory", "one picture, for a log"),
    ],
};

/// How long natsinit may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for each picture.
const QUESTIONS: [&str; 4] = ["service.list", "service.usage", "system.usage", "ps.list"];

struct Top {
    interval: Duration,
    left: Option<u32>,
    picture: Picture,
    screen: Option<Screen>,
    /// What was asked, and not yet answered.
    asked: [Option<RequestId>; QUESTIONS.len()],
    /// When to look again.
    next: Option<Instant>,
    begun: bool,
    /// There is something to count from.
    sampled: bool,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Top), UsageError> {
    let interval = match matches.text("interval")? {
        None => Duration::from_secs(1),
        Some(text) => parse_time(text)
            .filter(|time| (Duration::from_millis(100)..=Duration::from_secs(60)).contains(time))
            .ok_or_else(|| matches.wrong("interval", "a time from 100ms to 1m", text))?,
    };
    let count: Option<u32> = matches.parsed("count", "a number")?;
    if matches.has("once") && count.is_some() {
        return Err(matches.error("--once and --count exclude each other"));
    }
    let terminal = Terminal::of(io::stdout());
    let live = terminal.obeys && !matches.has("once");
    let left = if matches.has("once") { Some(1) } else { count.or((!live).then_some(1)) };
    if left == Some(0) {
        return Err(matches.wrong("count", "a number from 1", "0"));
    }
    let sort = matches.text("sort")?.and_then(Sort::of).unwrap_or(Sort::Cpu);
    let options = Options::from_matches("lunix-top", matches)?;
    let screen = if live { Some(Screen::enter()) } else { None };
    let top = Top {
        interval,
        left,
        picture: Picture::new(sort),
        screen,
        asked: [None; QUESTIONS.len()],
        next: None,
        begun: false,
        sampled: false,
    };
    Ok((options, top))
}

impl Task for Top {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if std::mem::replace(&mut self.begun, true) { Outcome::Continue } else { self.ask(bus) }
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Answer { request, answer } => self.answered(request, answer),
            Event::Lost => {
                self.picture.note("the server is gone; waiting for it");
                self.asked = [None; QUESTIONS.len()];
                self.draw()
            }
            Event::Ready { again: true } => {
                self.picture.note("");
                Outcome::Continue
            }
            Event::Error(text) => self.fail(&format!("the server says: {}", Escaped(&text))),
            _ => Outcome::Continue,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    fn deadline(&mut self, bus: &mut Bus<Token>, now: Instant) -> Outcome {
        self.next = Some(now + self.interval);
        // Whoever is slower than the interval is not asked twice at once.
        if bus.is_ready() && self.asked.iter().all(Option::is_none) {
            self.ask(bus)
        } else {
            Outcome::Continue
        }
    }

    fn is_typed_to(&self) -> bool {
        self.screen.is_some() && io::stdin().is_terminal()
    }

    fn typed(&mut self, _: &mut Bus<Token>, bytes: &[u8]) -> Outcome {
        for byte in bytes {
            match byte {
                b'q' | b'Q' | 0x1b => return Outcome::Done,
                b'c' => self.picture.sort = Sort::Cpu,
                b'm' => self.picture.sort = Sort::Memory,
                b'i' => self.picture.sort = Sort::Io,
                b't' => self.picture.sort = Sort::Tasks,
                b'n' => self.picture.sort = Sort::Name,
                _ => {}
            }
        }
        self.draw()
    }
}

impl Top {
    fn ask(&mut self, bus: &mut Bus<Token>) -> Outcome {
        self.next = Some(monotonic() + self.interval);
        for (place, subject) in self.asked.iter_mut().zip(QUESTIONS) {
            match bus.request(subject, b"", PATIENCE) {
                Ok(request) => *place = Some(request),
                Err(error) => {
                    let problem = error.to_string();
                    return self.fail(&problem);
                }
            }
        }
        Outcome::Continue
    }

    fn answered(&mut self, request: RequestId, answer: Answer) -> Outcome {
        let Some(place) = self.asked.iter().position(|of| *of == Some(request)) else {
            return Outcome::Continue;
        };
        if let Some(asked) = self.asked.get_mut(place) {
            *asked = None;
        }
        match (answer, place) {
            (Answer::Message(message, _), _) => {
                if let Err(problem) = self.take(place, &message) {
                    return self.fail(&problem);
                }
            }
            (Answer::NoResponders, 0) => return self.fail("nobody answers: natsinit is not running"),
            (Answer::TimedOut, 0) => return self.fail("natsinit does not answer"),
            // Somebody who says nothing of usage still says how services stand.
            (Answer::NoResponders | Answer::TimedOut, _) => {}
        }
        if self.asked.iter().any(Option::is_some) {
            return Outcome::Continue;
        }
        // Usage is counted from one look to the next.
        if !std::mem::replace(&mut self.sampled, true) && self.screen.is_none() {
            return Outcome::Continue;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.draw()
    }

    fn take(&mut self, place: usize, message: &Message) -> Result<(), String> {
        let at = message.received();
        if place == 2 {
            if let Some(object) = json::parse(message.payload()).ok().and_then(|value| value.as_object()) {
                self.picture.machine(&object);
            }
            return Ok(());
        }
        if place == 0
            && let Some(why) = known::refusal(message)
        {
            return Err(format!("natsinit says: {why}"));
        }
        match (known::objects(message.payload()), place) {
            (Some(objects), 0) => self.picture.services(&objects),
            (Some(objects), 1) => self.picture.usages(&objects, at),
            (Some(objects), _) => self.picture.processes(&objects, at),
            (None, 0) => return Err("the answer is no list of services".to_owned()),
            (None, _) => {}
        }
        Ok(())
    }

    fn draw(&mut self) -> Outcome {
        let written = match &self.screen {
            Some(screen) => screen.draw(&self.picture),
            None => io::stdout()
                .lock()
                .write_all(self.picture.lines(&Terminal::PLAIN, usize::MAX).join("\n").as_bytes())
                .and_then(|()| {
                    let mut out = io::stdout().lock();
                    out.write_all(b"\n")?;
                    out.flush()
                }),
        };
        // Whoever read our output has had enough.
        if written.is_err() || self.left == Some(0) { Outcome::Done } else { Outcome::Continue }
    }

    fn fail(&mut self, problem: &str) -> Outcome {
        // The line must stay on the terminal that people come back to.
        self.screen = None;
        eprintln!("{NAME}: {problem}");
        Outcome::Failed
    }
}
