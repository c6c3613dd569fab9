//! `lunix boot`: what took how long until everything was ready.

mod chart;
mod record;
mod svg;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::RequestId;
use lunix_proto::json;

use self::record::Record;
use super::{COMMON, Outcome, Task, Token, known};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::escaped::Escaped;
use crate::terminal::Terminal;

const NAME: &str = "lunix boot";

/// The command line.
pub const COMMAND: Command = Command {
    name: "boot",
    about: "show what took how long until everything was ready",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["svg"],
                value: Some("FILE"),
                help: "draw it into this file instead; - is stdout",
                hint: Hint::File,
            },
            Flag {
                names: &["json", "j"],
                value: None,
                help: "the answer of natsinit as it came",
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
        "A line a service, in the order of their starts: dots while it waited for others, a bar from its process to its \
         readiness. What is marked with * is the chain of which each link waited for the one before: only there time can be won.",
        "Services that were first wanted after the boot are listed below it.",
    ],
    commands: &[],
    examples: &[
        ("lunix boot", "the chart"),
        ("lunix boot --svg boot.svg", "for a report"),
        ("lunix boot --json | jq '.services[] | {name, ready_us}'", "for programs"),
    ],
};

/// How long natsinit may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

enum Form {
    Chart,
    Svg(PathBuf),
    Json,
}

struct Boot {
    form: Form,
    /// The question how long it took, and the one whether natsinit is process 1.
    asked: Option<[RequestId; 2]>,
    times: Option<Message>,
    /// Whoever answers is process 1: what was before it is the kernel's share.
    init: Option<bool>,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Boot), UsageError> {
    let form = match (matches.path("svg"), matches.has("json")) {
        (Some(_), true) => return Err(matches.error("--svg and --json exclude each other")),
        (Some(path), false) => Form::Svg(path.to_owned()),
        (None, true) => Form::Json,
        (None, false) => Form::Chart,
    };
    let boot = Boot { form, asked: None, times: None, init: None };
    Ok((Options::from_matches("lunix-boot", matches)?, boot))
}

impl Task for Boot {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_none() {
            let mut ask = |subject| bus.request(subject, b"", PATIENCE);
            match (ask("service.boot"), ask("system.info")) {
                (Ok(times), Ok(info)) => self.asked = Some([times, info]),
                (Err(error), _) | (_, Err(error)) => {
                    eprintln!("{NAME}: {error}");
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Continue
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        let problem = match event {
            Event::Answer { request, answer } => match self.answered(request, answer) {
                Ok(()) => return self.show(),
                Err(problem) => problem,
            },
            Event::Error(text) => format!("the server says: {}", Escaped(&text)),
            _ => return Outcome::Continue,
        };
        eprintln!("{NAME}: {problem}");
        Outcome::Failed
    }
}

impl Boot {
    fn answered(&mut self, request: RequestId, answer: Answer) -> Result<(), String> {
        let is_info = self.asked.is_some_and(|[_, info]| info == request);
        match (answer, is_info) {
            (Answer::Message(message, _), true) => {
                let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
                let init = object.and_then(|object| object.get("init")?.as_bool());
                self.init = Some(init.unwrap_or_default());
            }
            (_, true) => self.init = Some(false),
            (Answer::Message(message, _), false) => match known::refusal(&message) {
                Some(why) => return Err(format!("natsinit says: {why}")),
                None => self.times = Some(message),
            },
            (Answer::NoResponders, false) => return Err("nobody answers: natsinit is not running".to_owned()),
            (Answer::TimedOut, false) => return Err("natsinit does not answer".to_owned()),
        }
        Ok(())
    }

    fn show(&mut self) -> Outcome {
        let (Some(times), Some(init)) = (&self.times, self.init) else { return Outcome::Continue };
        let Some(record) = Record::read(times.payload(), init) else {
            eprintln!("{NAME}: the answer says no times");
            return Outcome::Failed;
        };
        let text = match &self.form {
            Form::Chart => chart::draw(&record, &Terminal::of(io::stdout())),
            Form::Json => String::from_utf8_lossy(times.payload()).into_owned() + "\n",
            Form::Svg(path) => {
                let text = svg::draw(&record);
                if path.as_os_str() != "-" {
                    return match std::fs::write(path, text) {
                        Ok(()) => Outcome::Done,
                        Err(error) => {
                            eprintln!("{NAME}: --svg: {}: {error}", Escaped(&path.to_string_lossy()));
                            Outcome::Failed
                        }
                    };
                }
                text
            }
        };
        // Whoever reads our output has had enough.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        Outcome::Done
    }
}
