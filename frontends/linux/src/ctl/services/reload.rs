//! Making natsinit read all definitions anew.

use std::io::{self, Write as _};
use std::process::ExitCode;

use lunix_core::session::RequestId;
use lunix_proto::json::{self, Object};

use super::super::known;
use super::super::{Outcome, Task, Token};
use super::{NAME, PATIENCE};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{Matches, UsageError};
use crate::escaped::Escaped;
use crate::terminal::Terminal;

struct Reload {
    dry: bool,
    json: bool,
    asked: Option<RequestId>,
}

pub(super) fn run(matches: &Matches) -> Result<ExitCode, UsageError> {
    let reload = Reload { dry: matches.has("dry-run"), json: matches.has("json"), asked: None };
    let options = Options::from_matches("lunix-services", matches)?;
    Ok(super::super::run(matches, NAME, options, reload))
}

impl Task for Reload {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if self.asked.is_none() {
            let payload: &[u8] = if self.dry { br#"{"dry_run":true}"# } else { b"" };
            match bus.request("service.reload", payload, PATIENCE) {
                Ok(request) => self.asked = Some(request),
                Err(error) => {
                    eprintln!("{NAME}: {error}");
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Continue
    }

    fn event(&mut self, _: &mut Bus<Token>, event: Event) -> Outcome {
        let problem = match event {
            Event::Answer { answer: Answer::Message(message, _), .. } => match self.show(&message) {
                Ok(outcome) => return outcome,
                Err(problem) => problem,
            },
            Event::Answer { answer: Answer::NoResponders, .. } => {
                "nobody answers: there is no natsinit that reads definitions".to_owned()
            }
            Event::Answer { answer: Answer::TimedOut, .. } => "natsinit does not answer".to_owned(),
            Event::Error(text) => format!("the server says: {}", Escaped(&text)),
            _ => return Outcome::Continue,
        };
        eprintln!("{NAME}: {problem}");
        Outcome::Failed
    }
}

impl Reload {
    /// Prints the plan; definitions with mistakes make it fail.
    fn show(&self, message: &Message) -> Result<Outcome, String> {
        if let Some(why) = known::refusal(message) {
            return Err(format!("natsinit says: {why}"));
        }
        let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
        let object = object.ok_or("the answer is no plan")?;
        let mut out = io::stdout().lock();
        let text = match self.json {
            true => String::from_utf8_lossy(message.payload()).into_owned() + "\n",
            false => plan(&object, self.dry, &Terminal::of(io::stdout())),
        };
        let _ = out.write_all(text.as_bytes());
        let mistakes = known::texts(&object, "mistakes");
        for mistake in &mistakes {
            eprintln!("{mistake}");
        }
        Ok(if mistakes.is_empty() { Outcome::Done } else { Outcome::Failed })
    }
}

/// The plan, a line a service.
fn plan(object: &Object<'_>, dry: bool, terminal: &Terminal) -> String {
    let mut text = String::new();
    let mut line = |colour: &'static str, mark: &str, name: &str, what: &str| {
        text += &terminal.paint(colour, &format!("{mark} {name}"));
        if !what.is_empty() {
            text += &format!(": {what}");
        }
        text.push('\n');
    };
    for (key, colour, mark) in [("added", "32", "+"), ("removed", "31", "-")] {
        for name in known::texts(object, key) {
            line(colour, mark, &name, "");
        }
    }
    let changed = object.get("changed").and_then(|value| value.as_array()).into_iter().flatten();
    for object in changed.filter_map(|value| value.as_object()) {
        let restarts = object.get("restart").and_then(|value| value.as_bool()).unwrap_or_default();
        let how = if restarts { "restarts" } else { "goes on" };
        let keys = known::texts(&object, "keys").join(", ");
        line("33", "~", &known::text(&object, "name"), &format!("{how} ({keys})"));
    }
    if text.is_empty() {
        text += if dry { "nothing would change\n" } else { "nothing has changed\n" };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_for_people() {
        let text = br#"{"added":["new"],"removed":["old"],"changed":[{"name":"web","keys":["command","env"],"restart":true},
            {"name":"log","keys":["ring"],"restart":false}]}"#;
        let object = json::parse(text).unwrap().as_object().unwrap();
        assert_eq!(
            plan(&object, false, &Terminal::PLAIN),
            "+ new\n- old\n~ web: restarts (command, env)\n~ log: goes on (ring)\n"
        );
        let nothing = json::parse(b"{}").unwrap().as_object().unwrap();
        assert_eq!(plan(&nothing, true, &Terminal::PLAIN), "nothing would change\n");
    }
}
