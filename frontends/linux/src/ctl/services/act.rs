//! Starting, stopping, restarting and reloading services, and waiting until that is done.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::session::RequestId;
use lunix_core::time::Instant;
use lunix_proto::json;

use super::super::known::{self, Service};
use super::super::req::parse_time;
use super::super::{Outcome, Task, Token};
use super::{NAME, PATIENCE};
use crate::bus::{Answer, Bus, Event, Options};
use crate::cli::{Matches, UsageError};
use crate::config::Span;
use crate::escaped::Escaped;
use crate::reactor::monotonic;
use crate::terminal::Terminal;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
}

/// The states that are published: only these are listened to, as whoever listens to a request counts as one who answers it.
const STATES: [&str; 7] = ["starting", "ready", "stopping", "stopped", "failed", "backoff", "waiting"];
/// Services that can be waited for at once: the connection has 128 subscriptions.
const MOST: usize = 16;

struct Act {
    verb: Verb,
    wait: bool,
    timeout: Duration,
    end: Option<Instant>,
    todo: VecDeque<String>,
    asked: Vec<(RequestId, String)>,
    /// Services that have not come to where they shall be, and what was last said of each.
    waiting: Vec<(String, String)>,
    started: bool,
    failed: bool,
    terminal: Terminal,
}

pub(super) fn run(matches: &Matches, verb: Verb) -> Result<ExitCode, UsageError> {
    let names = known::names(matches)?;
    if names.len() > MOST {
        return Err(matches.error(format_args!("NAME: at most {MOST}")));
    }
    let timeout = match matches.text("timeout")? {
        None => Duration::from_secs(60),
        Some(text) => {
            parse_time(text).ok_or_else(|| matches.wrong("timeout", "a time as 500ms or 2s", text))?
        }
    };
    let mut todo: VecDeque<String> = VecDeque::new();
    for name in names {
        if !todo.contains(&name) {
            todo.push_back(name);
        }
    }
    let act = Act {
        verb,
        wait: verb != Verb::Reload && !matches.has("no-wait"),
        timeout,
        end: None,
        todo,
        asked: Vec::new(),
        waiting: Vec::new(),
        started: false,
        failed: false,
        terminal: Terminal::of(io::stdout()),
    };
    let options = Options::from_matches("lunix-services", matches)?;
    Ok(super::super::run(matches, NAME, options, act))
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }

    /// Whether a service in this state has come to where it shall be; `None` while it is on its way.
    fn is_done(self, service: &Service) -> Option<bool> {
        match (self, service.state.as_str()) {
            (Self::Stop, "stopped") => Some(true),
            // Something that does not end on SIGKILL has failed with its process.
            (Self::Stop, "failed") => Some(service.pid.is_none()),
            (Self::Stop, _) => None,
            (_, "ready" | "waiting") => Some(true),
            // Between its two processes.
            (Self::Restart, "stopped") => None,
            (_, "failed" | "backoff" | "stopped") => Some(false),
            _ => None,
        }
    }
}

impl Task for Act {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if !std::mem::replace(&mut self.started, true) {
            self.end = Some(monotonic() + self.timeout);
            while let Some(name) = self.todo.pop_front() {
                if let Err(problem) = self.ask(bus, &name) {
                    eprintln!("{NAME}: {}: {problem}", Escaped(&name));
                    return Outcome::Failed;
                }
            }
        }
        self.outcome()
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Answer { request, answer } => self.answered(request, answer),
            Event::Message(message) => {
                let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
                if let Some(service) = object.and_then(|object| Service::read(&object)) {
                    self.heard(&service);
                }
            }
            Event::Lost => {
                eprintln!("{NAME}: the server is gone");
                return Outcome::Failed;
            }
            Event::Error(text) => {
                eprintln!("{NAME}: the server says: {}", Escaped(&text));
                return Outcome::Failed;
            }
            _ => {}
        }
        self.outcome()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.end.filter(|_| self.wait)
    }

    fn deadline(&mut self, _: &mut Bus<Token>, _: Instant) -> Outcome {
        for (name, state) in &self.waiting {
            eprintln!("{NAME}: {name}: still {state} after {}", Span(self.timeout));
        }
        Outcome::Failed
    }
}

impl Act {
    fn ask(&mut self, bus: &mut Bus<Token>, name: &str) -> Result<(), String> {
        if self.wait {
            for state in STATES {
                bus.subscribe(format!("service.{name}.{state}")).map_err(|error| error.to_string())?;
            }
        }
        let subject = format!("service.{name}.{}", self.verb.as_str());
        let request = bus.request(&subject, b"", PATIENCE).map_err(|error| error.to_string())?;
        self.asked.push((request, name.to_owned()));
        Ok(())
    }

    fn answered(&mut self, request: RequestId, answer: Answer) {
        let Some(at) = self.asked.iter().position(|(of, _)| *of == request) else { return };
        let (_, name) = self.asked.swap_remove(at);
        let problem = match answer {
            Answer::Message(message, _) => match known::refusal(&message) {
                Some(why) => why,
                None => {
                    let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
                    match object.and_then(|object| Service::read(&object)) {
                        Some(service) => {
                            self.waiting.push((service.name.clone(), String::new()));
                            return self.heard(&service);
                        }
                        None => "the answer does not say how it stands".to_owned(),
                    }
                }
            },
            // A supervisor of a session is silent about the services of others.
            Answer::NoResponders | Answer::TimedOut => {
                "nobody knows this service: natsinit does not, or it does not run".to_owned()
            }
        };
        eprintln!("{NAME}: {}: {problem}", Escaped(&name));
        self.failed = true;
    }

    /// Takes in how a service stands: from the answer, or from an event after it.
    fn heard(&mut self, service: &Service) {
        let Some(at) = self.waiting.iter().position(|(name, _)| *name == service.name) else { return };
        let Some((_, last)) = self.waiting.get_mut(at) else { return };
        if *last != service.state {
            last.clone_from(&service.state);
            let state = self.terminal.paint(service.colour(), &service.state);
            let end = match service.end.as_str() {
                "" => String::new(),
                // How it ended before is no news of a service that was started or stopped.
                _ if !matches!(service.state.as_str(), "failed" | "backoff") => String::new(),
                end => format!(" ({end})"),
            };
            let pid = service.pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
            let _ = writeln!(io::stdout().lock(), "{}: {state}{pid}{end}", service.name);
        }
        match self.verb.is_done(service).or((!self.wait).then_some(true)) {
            None => return,
            Some(true) => {}
            // Without waiting, its state is all that was asked for.
            Some(false) => self.failed |= self.wait,
        }
        self.waiting.swap_remove(at);
    }

    fn outcome(&self) -> Outcome {
        match (self.started && self.asked.is_empty() && self.waiting.is_empty(), self.failed) {
            (false, _) => Outcome::Continue,
            (true, false) => Outcome::Done,
            (true, true) => Outcome::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_and_what_has_failed() {
        let service = |state: &str, pid| Service { state: state.into(), pid, ..Service::default() };
        for (verb, state, pid, done) in [
            (Verb::Start, "starting", Some(1), None),
            (Verb::Start, "ready", Some(1), Some(true)),
            (Verb::Start, "waiting", None, Some(true)),
            (Verb::Start, "backoff", None, Some(false)),
            (Verb::Start, "failed", None, Some(false)),
            (Verb::Restart, "stopping", Some(1), None),
            (Verb::Restart, "stopped", None, None),
            (Verb::Start, "stopped", None, Some(false)),
            (Verb::Stop, "stopping", Some(1), None),
            (Verb::Stop, "stopped", None, Some(true)),
            (Verb::Stop, "failed", Some(1), Some(false)),
            (Verb::Stop, "backoff", None, None),
        ] {
            assert_eq!(verb.is_done(&service(state, pid)), done, "{verb:?} {state}");
        }
    }
}
