//! `lunix devices`: what is there, as a tree, a table or JSON; and what comes and goes.

mod draw;
mod inventory;

use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::RequestId;
use lunix_proto::json;
use lunix_proto::nats::header::Headers;
use lunix_proto::nats::subject;

use self::draw::Mark;
use self::inventory::{Device, Inventory};
use super::{COMMON, Outcome, Task, Token};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::escaped::Escaped;
use crate::terminal::Terminal;

const NAME: &str = "lunix devices";

/// The command line.
pub const COMMAND: Command = Command {
    name: "devices",
    about: "show which devices are there",
    arguments: &[Argument {
        name: "CLASS",
        help: "only devices of this class: usb, block, net, input, … [all]",
        required: false,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[
            Flag { names: &["table", "t"], value: None, help: "one line a device", hint: Hint::None },
            Flag {
                names: &["json", "j"],
                value: None,
                help: "one JSON object a line, as natsdev says it; with --watch it begins with an action",
                hint: Hint::None,
            },
            Flag {
                names: &["watch"],
                value: None,
                help: "go on with what comes, goes and changes",
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
        "A device stands below the one that it is plugged into, a volume below its stick. On a terminal lines are cut to its \
         width, and devices that are no hardware (/devices/virtual) are folded into a line a class; on a pipe all is whole.",
        "It asks natsdev, and fails, with one line that says so, if that does not answer.",
    ],
    commands: &[],
    examples: &[
        ("lunix devices", "the tree"),
        ("lunix devices usb", "what is plugged in, and its volumes"),
        ("lunix devices --table block net", "disks and network interfaces, one a line"),
        ("lunix devices --json usb | jq -r .model", "for programs"),
        ("lunix devices --watch", "the tree, then what changes"),
    ],
};

/// How long natsdev may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Classes that can be asked for at once.
const CLASSES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tree,
    Table,
    Json,
}

struct Devices {
    classes: Vec<String>,
    form: Form,
    watch: bool,
    known: Inventory,
    /// What the answers have told so far.
    asked: Option<Inventory>,
    waiting: Vec<RequestId>,
    shown: bool,
    terminal: Terminal,
    out: BufWriter<StdoutLock<'static>>,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Devices), UsageError> {
    let token = |text: &str| subject::is_literal(text.as_bytes()) && !text.contains('.');
    let mut classes = matches.arguments_that("a word such as usb", token)?;
    classes.sort_unstable();
    classes.dedup();
    if classes.len() > CLASSES {
        return Err(matches.error(format_args!("CLASS: at most {CLASSES}")));
    }
    let form = match (matches.has("table"), matches.has("json")) {
        (true, true) => return Err(matches.error("--table and --json exclude each other")),
        (true, false) => Form::Table,
        (false, true) => Form::Json,
        (false, false) => Form::Tree,
    };
    let devices = Devices {
        classes,
        form,
        watch: matches.has("watch"),
        known: Inventory::default(),
        asked: None,
        waiting: Vec::new(),
        shown: false,
        terminal: Terminal::of(io::stdout()),
        out: BufWriter::new(io::stdout().lock()),
    };
    Ok((Options::from_matches("lunix-devices", matches)?, devices))
}

/// The subjects `hardware.CLASS.LAST`, or the one for all classes.
fn subjects(classes: &[String], all: &str, last: &str) -> Vec<String> {
    if classes.is_empty() {
        return vec![all.to_owned()];
    }
    classes.iter().map(|class| format!("hardware.{class}.{last}")).collect()
}

impl Task for Devices {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_none()
            && !self.shown
            && let Err(error) = self.start(bus)
        {
            eprintln!("{NAME}: {error}");
            return Outcome::Failed;
        }
        // Whoever read our output has had enough.
        if self.out.flush().is_err() { Outcome::Done } else { Outcome::Continue }
    }

    fn event(&mut self, bus: &mut Bus<Token>, event: Event) -> Outcome {
        let written = match event {
            Event::Answer { request, answer } => return self.answered(request, answer),
            Event::Message(message) => self.happened(&message),
            Event::Ready { again: true } => {
                eprintln!("{NAME}: connected again");
                // What happened meanwhile is in no event. Of an answer that fails, natsdev says the same once it is back.
                let _ = self.ask(bus);
                Ok(())
            }
            Event::Lost => {
                eprintln!("{NAME}: the server is gone; waiting for it");
                Ok(())
            }
            Event::Error(text) if !self.shown => {
                eprintln!("{NAME}: the server says: {}", Escaped(&text));
                return Outcome::Failed;
            }
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {}", Escaped(&text));
                Ok(())
            }
            _ => Ok(()),
        };
        if written.is_err() { Outcome::Done } else { Outcome::Continue }
    }
}

impl Devices {
    /// Subscribes first, so that nothing is missed between the list and the events.
    fn start(&mut self, bus: &mut Bus<Token>) -> Result<(), String> {
        if self.watch {
            for action in ["add", "remove", "change"] {
                for subject in subjects(&self.classes, &format!("hardware.*.{action}"), action) {
                    bus.subscribe(&subject).map_err(|error| format!("'{subject}': {error}"))?;
                }
            }
        }
        self.ask(bus)
    }

    fn ask(&mut self, bus: &mut Bus<Token>) -> Result<(), String> {
        self.asked = Some(Inventory::default());
        self.waiting.clear();
        for subject in subjects(&self.classes, "hardware.list", "list") {
            let asked = bus.request(&subject, b"", PATIENCE);
            self.waiting.push(asked.map_err(|error| format!("'{subject}': {error}"))?);
        }
        Ok(())
    }

    fn answered(&mut self, request: RequestId, answer: Answer) -> Outcome {
        if !self.waiting.contains(&request) {
            return Outcome::Continue;
        }
        let problem = match answer {
            Answer::Message(message, _) => match self.listed(&message) {
                Ok(()) => {
                    self.waiting.retain(|other| *other != request);
                    if !self.waiting.is_empty() {
                        return Outcome::Continue;
                    }
                    let written = self.complete();
                    let ends = written.is_err() || !self.watch;
                    return if ends { Outcome::Done } else { Outcome::Continue };
                }
                Err(problem) => problem,
            },
            Answer::NoResponders => "nobody answers: natsdev is not running".into(),
            Answer::TimedOut => "natsdev does not answer".into(),
        };
        if self.shown {
            self.waiting.clear();
            self.asked = None;
            return Outcome::Continue;
        }
        eprintln!("{NAME}: {problem}");
        Outcome::Failed
    }

    /// Takes in an answer.
    fn listed(&mut self, message: &Message) -> Result<(), String> {
        let refusal = |headers: Headers<'_>| {
            let why = headers.get("Nats-Service-Error")?;
            Some(format!("natsdev says: {}", crate::terminal::one_line(why)))
        };
        if let Some(refusal) = message.headers().and_then(refusal) {
            return Err(refusal);
        }
        let list = json::parse(message.payload()).ok().and_then(|list| list.as_array());
        let list = list.ok_or("the answer is no list of devices")?;
        if let Some(asked) = &mut self.asked {
            list.iter().filter_map(|object| Device::read(object.as_object()?)).for_each(|it| asked.add(it));
        }
        Ok(())
    }

    /// All answers are there: shows them, or after a reconnect what is different.
    fn complete(&mut self) -> io::Result<()> {
        let Some(mut new) = self.asked.take() else { return Ok(()) };
        if !std::mem::replace(&mut self.shown, true) {
            // What came before the list is news that the list may be too old for.
            for device in std::mem::take(&mut self.known).into_devices() {
                new.add(device);
            }
            self.known = new;
            let text = match self.form {
                Form::Tree => draw::tree(&self.known, &self.terminal),
                Form::Table => draw::table(&self.known, &self.terminal),
                Form::Json => {
                    let action = self.watch.then_some("present");
                    self.known.iter().map(|device| device.json(action)).collect()
                }
            };
            return self.out.write_all(text.as_bytes());
        }
        let old = std::mem::replace(&mut self.known, new);
        let mut text = String::new();
        for device in old.iter().filter(|device| !self.known.has(device)) {
            text += &self.line(Mark::Remove, device);
        }
        for device in self.known.iter().filter(|device| !old.has(device)) {
            text += &self.line(Mark::Add, device);
        }
        self.out.write_all(text.as_bytes())
    }

    /// Takes in an event, and shows it if it is news.
    fn happened(&mut self, message: &Message) -> io::Result<()> {
        let mark = match message.subject().rsplit(|byte| *byte == b'.').next() {
            Some(b"add") => Mark::Add,
            Some(b"remove") => Mark::Remove,
            _ => Mark::Change,
        };
        let object = json::parse(message.payload()).ok().and_then(|object| object.as_object());
        let Some(device) = object.and_then(Device::read) else { return Ok(()) };
        let known = self.known.has(&device);
        let news = match mark {
            Mark::Add => !known,
            Mark::Remove => known,
            Mark::Change => true,
        };
        let line = if self.shown && news { self.line(mark, &device) } else { String::new() };
        for inventory in self.asked.iter_mut().chain([&mut self.known]) {
            match mark {
                Mark::Remove => inventory.remove(&device),
                _ => inventory.add(device.clone()),
            }
        }
        self.out.write_all(line.as_bytes())
    }

    fn line(&self, mark: Mark, device: &Device) -> String {
        match self.form {
            Form::Json => device.json(Some(mark.action())),
            _ => draw::line(mark, device, &self.terminal),
        }
    }
}
