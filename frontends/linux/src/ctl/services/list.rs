//! How services stand: all in a table, or some in detail.

use std::cell::Cell as Shared;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::rc::Rc;

use lunix_core::session::RequestId;
use lunix_proto::json::{self, Writer};

use super::super::columns::{self, Cell, Column};
use super::super::known::{self, Service, Usage, or_dash};
use super::super::{Outcome, Task, Token};
use super::{NAME, PATIENCE};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{Matches, UsageError};
use crate::encoded::encoded;
use crate::escaped::Escaped;
use crate::terminal::{self, Terminal};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All services, one a line.
    All,
    /// Those that are named, in detail.
    Each,
}

struct List {
    form: Form,
    json: bool,
    names: Vec<String>,
    asked: Option<[RequestId; 3]>,
    services: Option<Vec<Service>>,
    usages: Vec<Usage>,
    /// The time at natsinit, if the machine tells it.
    now: Option<u64>,
    waiting: usize,
    /// All that were asked for are as they should be.
    good: Rc<Shared<bool>>,
}

pub(super) fn run(matches: &Matches, form: Form) -> Result<ExitCode, UsageError> {
    let good = Rc::new(Shared::new(true));
    let list = List {
        form,
        json: matches.has("json"),
        names: if form == Form::Each { known::names(matches)? } else { Vec::new() },
        asked: None,
        services: None,
        usages: Vec::new(),
        now: None,
        waiting: 0,
        good: Rc::clone(&good),
    };
    let options = Options::from_matches("lunix-services", matches)?;
    let code = super::super::run(matches, NAME, options, list);
    // As the Linux Standard Base has it of a program that does not run.
    Ok(if code == ExitCode::SUCCESS && !good.get() { ExitCode::from(3) } else { code })
}

impl Task for List {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_none() {
            let mut ask = |subject| bus.request(subject, b"", PATIENCE);
            match (ask("service.list"), ask("service.usage"), ask("system.usage")) {
                (Ok(list), Ok(usage), Ok(system)) => {
                    self.asked = Some([list, usage, system]);
                    self.waiting = 3;
                }
                _ => {
                    eprintln!("{NAME}: there is no room for a request");
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Continue
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Answer { request, answer } => self.answered(request, answer),
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {}", Escaped(&text));
                Outcome::Failed
            }
            _ => Outcome::Continue,
        }
    }
}

impl List {
    fn answered(&mut self, request: RequestId, answer: Answer) -> Outcome {
        let Some(place) = self.asked.and_then(|asked| asked.into_iter().position(|of| of == request)) else {
            return Outcome::Continue;
        };
        self.waiting = self.waiting.saturating_sub(1);
        let problem = match (answer, place) {
            (Answer::Message(message, _), 0) => self.listed(&message).err(),
            (Answer::Message(message, _), 1) => {
                let objects = known::objects(message.payload()).unwrap_or_default();
                self.usages = objects.iter().map(Usage::read).collect();
                None
            }
            (Answer::Message(message, _), _) => {
                let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
                self.now = object.and_then(|object| object.get("at_us")?.as_u64());
                None
            }
            (Answer::NoResponders, 0) => Some("nobody answers: natsinit is not running".to_owned()),
            (Answer::TimedOut, 0) => Some("natsinit does not answer".to_owned()),
            // Somebody who says nothing of usage still says how services stand.
            (Answer::NoResponders | Answer::TimedOut, _) => None,
        };
        if let Some(problem) = problem {
            eprintln!("{NAME}: {problem}");
            return Outcome::Failed;
        }
        if self.waiting > 0 { Outcome::Continue } else { self.show() }
    }

    fn listed(&mut self, message: &Message) -> Result<(), String> {
        if let Some(why) = known::refusal(message) {
            return Err(format!("natsinit says: {why}"));
        }
        let objects = known::objects(message.payload()).ok_or("the answer is no list of services")?;
        self.services = Some(objects.iter().filter_map(Service::read).collect());
        Ok(())
    }

    fn show(&mut self) -> Outcome {
        let mut services = self.services.take().unwrap_or_default();
        if self.form == Form::Each {
            for name in &self.names {
                if !services.iter().any(|service| service.name == *name) {
                    eprintln!("{NAME}: there is no service '{}'", Escaped(name));
                    return Outcome::Failed;
                }
            }
            services.retain(|service| self.names.contains(&service.name));
            let good = |service: &Service| matches!(service.state.as_str(), "ready" | "waiting");
            self.good.set(services.iter().all(good));
        }
        let terminal = Terminal::of(io::stdout());
        let text = match (self.json, self.form) {
            (true, _) => services.iter().map(|service| self.json_line(service)).collect(),
            (false, Form::All) => self.table(&services, &terminal),
            (false, Form::Each) => {
                let each: Vec<_> = services.iter().map(|service| self.detail(service, &terminal)).collect();
                each.join("\n")
            }
        };
        // Whoever reads our output has had enough.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        Outcome::Done
    }

    fn usage(&self, service: &Service) -> Option<&Usage> {
        self.usages.iter().find(|usage| usage.name == service.name)
    }

    fn table(&self, services: &[Service], terminal: &Terminal) -> String {
        let left = |title| Column { title, right: false };
        let right = |title| Column { title, right: true };
        let columns = [
            left("NAME"),
            left("STATE"),
            right("PID"),
            right("RESTARTS"),
            right("SINCE"),
            right("MEMORY"),
            right("CPU"),
            left("LAST END"),
        ];
        let row = |service: &Service| -> Vec<Cell> {
            let usage = self.usage(service);
            vec![
                service.name.clone().into(),
                Cell { text: service.state.clone(), colour: service.colour() },
                or_dash(service.pid, |pid| pid.to_string()).into(),
                service.restarts.to_string().into(),
                or_dash(self.since(service), known::age).into(),
                or_dash(usage.and_then(|usage| usage.rss), terminal::bytes).into(),
                or_dash(usage.and_then(|usage| usage.cpu), known::span).into(),
                service.end.clone().into(),
            ]
        };
        let rows: Vec<_> = services.iter().map(row).collect();
        columns::lines(&columns, &rows, terminal).into_iter().map(|line| line + "\n").collect()
    }

    fn detail(&self, service: &Service, terminal: &Terminal) -> String {
        let usage = self.usage(service).cloned().unwrap_or_default();
        let pair = |a: Option<u64>, b: Option<u64>, words: [&str; 2]| {
            let parts = [a, b].into_iter().zip(words);
            let parts: Vec<_> =
                parts.filter_map(|(n, word)| Some(format!("{}{word}", terminal::bytes(n?)))).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        };
        let state = terminal.paint(service.colour(), &service.state).into_owned();
        let mut text = match self.since(service) {
            Some(since) => format!("{}: {state} for {}\n", service.name, known::age(since)),
            None => format!("{}: {state}\n", service.name),
        };
        let restarts = (service.restarts > 0).then(|| service.restarts.to_string());
        for (key, value) in [
            ("pid", service.pid.map(|pid| pid.to_string())),
            ("last end", Some(service.end.clone()).filter(|end| !end.is_empty())),
            ("restarts", restarts),
            ("memory", pair(usage.rss, usage.peak, ["", " at most"])),
            ("cpu", usage.cpu.map(known::span)),
            ("tasks", usage.pids.map(|pids| pids.to_string())),
            ("storage", pair(usage.read, usage.written, [" read", " written"])),
        ] {
            if let Some(value) = value {
                text += &format!("  {key:<10}{value}\n");
            }
        }
        text
    }

    fn since(&self, service: &Service) -> Option<u64> {
        self.now?.checked_sub(service.at)
    }

    fn json_line(&self, service: &Service) -> String {
        let usage = self.usage(service);
        let line = encoded(512, |out| {
            let mut json = Writer::new(out);
            json.begin_object().key("name").string(&service.name).key("state").string(&service.state);
            let of = |read: fn(&Usage) -> Option<u64>| usage.and_then(read);
            for (key, value) in [
                ("pid", service.pid),
                ("restarts", Some(service.restarts)),
                ("since_us", self.since(service)),
                ("cpu_us", of(|usage| usage.cpu)),
                ("rss", of(|usage| usage.rss)),
                ("peak_rss", of(|usage| usage.peak)),
                ("pids", of(|usage| usage.pids)),
                ("io_read", of(|usage| usage.read)),
                ("io_write", of(|usage| usage.written)),
            ] {
                if let Some(value) = value {
                    json.key(key).number(value);
                }
            }
            if !service.end.is_empty() {
                json.key("last_end").string(&service.end);
            }
            json.end_object();
            json.finish()
        });
        String::from_utf8_lossy(&line).into_owned() + "\n"
    }
}
