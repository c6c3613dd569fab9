//! `lunix toast`: makes a toast, lists those that are there, takes them back.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use lunix_core::toast::{MAX_ACTIONS, subject};
use lunix_proto::json::{self, Object, Value, Writer};

use super::{Outcome, Task, Token};
use crate::bus::{Answer, Bus, Event, Message, Options};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::encoded::encoded;
use crate::escaped::Escaped;
use crate::terminal::{self, Terminal};

const NAME: &str = "lunix toast";

/// How long to wait for the service.
const PATIENCE: Duration = Duration::from_secs(2);

/// The command line.
pub const COMMAND: Command = Command {
    name: "toast",
    about: "make a toast, or list and close them",
    arguments: &[Argument {
        name: "TEXT",
        help: "what it says: the first line is the summary, the rest the body; - reads it from stdin",
        required: false,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[
            Flag {
                names: &["urgency", "u"],
                value: Some("LEVEL"),
                help: "low, normal or critical; a critical one stays until it is closed [normal]",
                hint: Hint::OneOf(&["low", "normal", "critical"]),
            },
            Flag {
                names: &["summary", "title", "s", "t"],
                value: Some("LINE"),
                help: "the summary; TEXT is the body then",
                hint: Hint::None,
            },
            Flag { names: &["app", "a"], value: Some("NAME"), help: "who speaks", hint: Hint::None },
            Flag {
                names: &["icon", "i"],
                value: Some("NAME"),
                help: "name or path of a picture",
                hint: Hint::File,
            },
            Flag {
                names: &["progress", "p"],
                value: Some("PERCENT"),
                help: "how far something has come, 0 to 100",
                hint: Hint::None,
            },
            Flag {
                names: &["timeout"],
                value: Some("TIME"),
                help: "how long to show it, as 500ms or 8s; 0 is for ever [by urgency: 5s, 10s, 0]",
                hint: Hint::None,
            },
            Flag {
                names: &["replaces", "r"],
                value: Some("ID"),
                help: "take the place of that toast",
                hint: Hint::None,
            },
            Flag {
                names: &["action", "A"],
                value: Some("ID=LABEL"),
                help: "offer an action (repeatable, at most 6)",
                hint: Hint::None,
            },
            Flag { names: &["print-id"], value: None, help: "print the toast's number", hint: Hint::None },
            Flag {
                // `wait` alone is the other commands' word for waiting for the server.
                names: &["until-closed", "wait", "w"],
                value: None,
                help: "return when it is closed, and print the action that was chosen",
                hint: Hint::None,
            },
            Flag {
                names: &["list", "l"],
                value: None,
                help: "list the toasts that are present",
                hint: Hint::None,
            },
            Flag {
                names: &["history"],
                value: None,
                help: "list those that were closed last",
                hint: Hint::None,
            },
            Flag {
                names: &["close", "c"],
                value: Some("ID"),
                help: "close that toast, or `all` (repeatable)",
                hint: Hint::None,
            },
        ],
        NATS,
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &["Fails, with one line that says so, if no toast service is there or it refuses the toast."],
    commands: &[],
    examples: &[
        ("lunix toast 'dinner is ready'", "a toast"),
        (
            "id=$(lunix toast --print-id --progress 0 copying); lunix toast -r $id --progress 50 copying",
            "a progress bar that moves",
        ),
        ("lunix toast --wait -A open=Open -A eject=Eject 'USB stick'", "ask, and print `open` or `eject`"),
    ],
};

/// What to do, one request after the other.
enum Work {
    Show { payload: Vec<u8>, print_id: bool, wait: bool },
    List(&'static str),
    Close(Vec<u32>),
    CloseAll,
}

struct Toast {
    work: Work,
    asked: bool,
    /// The toast whose end is waited for.
    id: Option<u64>,
    failed: bool,
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    super::start(matches, NAME, parse(matches))
}

fn parse(matches: &Matches) -> Result<(Options, Toast), UsageError> {
    let modes = ["list", "history", "close"].into_iter().filter(|mode| matches.has(mode)).count();
    let text = !matches.arguments().is_empty() || matches.has("summary");
    if modes + usize::from(text) != 1 {
        return Err(matches.error("expected TEXT, or one of --list, --history and --close (see --help)"));
    }
    let work = if matches.has("list") {
        Work::List(subject::LIST)
    } else if matches.has("history") {
        Work::List(subject::HISTORY)
    } else if matches.has("close") {
        parse_close(matches)?
    } else {
        Work::Show {
            payload: parse_toast(matches)?,
            print_id: matches.has("print-id"),
            wait: matches.has("until-closed"),
        }
    };
    Ok((
        Options::from_matches("lunix-toast", matches)?,
        Toast { work, asked: false, id: None, failed: false },
    ))
}

fn parse_close(matches: &Matches) -> Result<Work, UsageError> {
    let ids = matches.texts("close")?;
    if ids.contains(&"all") {
        return Ok(Work::CloseAll);
    }
    let id = |text: &&str| {
        text.parse().map_err(|_| matches.wrong("close", "the number of a toast, or `all`", text))
    };
    // The last first, so that they can be popped.
    Ok(Work::Close(ids.iter().rev().map(id).collect::<Result<_, _>>()?))
}

/// The JSON of `toast.in`.
fn parse_toast(matches: &Matches) -> Result<Vec<u8>, UsageError> {
    use std::os::unix::ffi::OsStrExt as _;
    let text = match matches.arguments() {
        [_] => super::payload(matches, 0)?,
        words => words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' '),
    };
    let text = text.trim_ascii();
    let (summary, body) = match matches.text("summary")? {
        Some(summary) => (summary.as_bytes(), text),
        None => match text.iter().position(|&byte| byte == b'\n') {
            Some(end) => text.split_at(end),
            None => (text, &b""[..]),
        },
    };
    let timeout = match matches.text("timeout")? {
        None => None,
        Some(text) => {
            let time = super::req::parse_time(text);
            Some(time.ok_or_else(|| matches.wrong("timeout", "a time as 500ms or 8s", text))?)
        }
    };
    let progress: Option<u8> = matches.parsed("progress", "a whole number, 0 to 100")?;
    if progress.is_some_and(|percent| percent > 100) {
        return Err(matches.wrong(
            "progress",
            "a whole number, 0 to 100",
            &progress.unwrap_or(0).to_string(),
        ));
    }
    let replaces: Option<u32> = matches.parsed("replaces", "the number of a toast")?;
    let mut actions = Vec::new();
    for action in matches.texts("action")? {
        let (id, label) = action.split_once('=').unwrap_or((action, ""));
        if id.is_empty() || actions.len() == MAX_ACTIONS {
            return Err(matches.wrong("action", "at most 6 times ID=LABEL", action));
        }
        actions.push((id, label));
    }
    let texts = [
        ("urgency", matches.text("urgency")?),
        ("app", matches.text("app")?),
        ("icon", matches.text("icon")?),
    ];
    Ok(encoded(512, |out| {
        let mut json = Writer::new(out);
        json.begin_object().key("summary").string_bytes(summary);
        if !body.is_empty() {
            json.key("body").string_bytes(body.trim_ascii());
        }
        for (key, text) in texts {
            if let Some(text) = text {
                json.key(key).string(text);
            }
        }
        if let Some(timeout) = timeout {
            json.key("timeout_ms").number(u64::try_from(timeout.as_millis()).unwrap_or(0));
        }
        if let Some(replaces) = replaces {
            json.key("replaces").number(replaces.into());
        }
        if let Some(percent) = progress {
            json.key("progress").number(percent.into());
        }
        if !actions.is_empty() {
            json.key("actions").begin_array();
            for (id, label) in &actions {
                json.begin_object().key("id").string(id).key("label").string(label).end_object();
            }
            json.end_array();
        }
        json.end_object();
        json.finish()
    }))
}

impl Task for Toast {
    fn turn(&mut self, bus: &mut Bus<Token>) -> Outcome {
        if std::mem::replace(&mut self.asked, true) {
            return Outcome::Continue;
        }
        let asked = match &mut self.work {
            Work::Show { payload, wait, .. } => {
                if *wait && self.id.is_none() {
                    // Before the toast exists, so that its end cannot be missed.
                    for subject in [subject::CLOSED, subject::ACTION] {
                        if let Err(error) = bus.subscribe(subject) {
                            return self.fail(&error.to_string());
                        }
                    }
                }
                bus.request(subject::IN, payload, PATIENCE)
            }
            Work::List(subject) => bus.request(*subject, b"", PATIENCE),
            Work::CloseAll => bus.request(subject::LIST, b"", PATIENCE),
            Work::Close(ids) => match ids.pop() {
                Some(id) => bus.request(subject::CLOSE, id.to_string().as_bytes(), PATIENCE),
                None if self.failed => return Outcome::Failed,
                None => return Outcome::Done,
            },
        };
        match asked {
            Ok(_) => Outcome::Continue,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn event(&mut self, bus: &mut Bus<Token>, event: Event) -> Outcome {
        match event {
            Event::Answer { answer: Answer::Message(message, _), .. } => self.answer(&message),
            Event::Answer { .. } => self.fail("no toast service answers (natstoast is one)"),
            Event::Message(message) => self.told(&message),
            // What happened meanwhile is not known: is the toast still there?
            Event::Ready { again: true } if self.id.is_some() => {
                match bus.request(subject::LIST, b"", PATIENCE) {
                    Ok(_) => Outcome::Continue,
                    Err(error) => self.fail(&error.to_string()),
                }
            }
            Event::Error(text) => self.fail(&format!("the server says: {}", Escaped(&text))),
            _ => Outcome::Continue,
        }
    }
}

impl Toast {
    fn fail(&self, why: &str) -> Outcome {
        eprintln!("{NAME}: {why}");
        Outcome::Failed
    }

    fn answer(&mut self, message: &Message) -> Outcome {
        let value = json::parse(message.payload()).ok();
        let object = value.as_ref().and_then(Value::as_object);
        if let Some(error) = object.and_then(|object| object.get("error")).and_then(|error| error.as_str()) {
            let why: String =
                lunix_core::toast::Text::from(error).chars().filter(|c| !c.is_control()).collect();
            if let Work::Close(_) = self.work {
                // The others are still closed.
                self.failed = true;
                self.asked = false;
                eprintln!("{NAME}: {why}");
                return Outcome::Continue;
            }
            return self.fail(&why);
        }
        let id = object.and_then(|object| object.get("id")).and_then(|id| id.as_u64());
        let toasts = value.as_ref().and_then(Value::as_array);
        match (&mut self.work, id, toasts) {
            (Work::Show { print_id, wait, .. }, Some(id), _) if self.id.is_none() => {
                if *print_id && writeln!(io::stdout(), "{id}").is_err() {
                    return Outcome::Failed;
                }
                if !*wait {
                    return Outcome::Done;
                }
                self.id = Some(id);
                Outcome::Continue
            }
            (Work::Show { .. }, _, Some(toasts)) => {
                let here = toasts.iter().filter_map(|toast| toast.as_object()?.get("id")?.as_u64());
                if here.into_iter().any(|id| self.id == Some(id)) { Outcome::Continue } else { Outcome::Done }
            }
            (Work::List(_), _, Some(toasts)) => {
                let terminal = Terminal::of(io::stdout());
                let list: String =
                    toasts.iter().filter_map(|toast| Some(row(&toast.as_object()?, &terminal))).collect();
                // A reader that went away has had enough.
                let _ = io::stdout().write_all(list.as_bytes());
                Outcome::Done
            }
            (Work::CloseAll, _, Some(toasts)) => {
                let ids = toasts.iter().filter_map(|toast| toast.as_object()?.get("id")?.as_u64());
                self.work = Work::Close(ids.filter_map(|id| u32::try_from(id).ok()).collect());
                self.asked = false;
                Outcome::Continue
            }
            (Work::Close(_), Some(_), _) => {
                self.asked = false;
                Outcome::Continue
            }
            _ => self.fail("the toast service's answer is not understood"),
        }
    }

    /// The end of the toast that is waited for.
    fn told(&mut self, message: &Message) -> Outcome {
        let Ok(Value::Object(told)) = json::parse(message.payload()) else { return Outcome::Continue };
        if self.id.is_none() || told.get("id").and_then(|id| id.as_u64()) != self.id {
            return Outcome::Continue;
        }
        if message.subject() == subject::ACTION.as_bytes() {
            let action = text(&told, "action");
            // The end follows; a second choice of another presenter must not be printed.
            self.id = None;
            return match writeln!(io::stdout(), "{action}") {
                Ok(()) => Outcome::Done,
                Err(_) => Outcome::Failed,
            };
        }
        Outcome::Done
    }
}

fn text(object: &Object<'_>, key: &str) -> String {
    let found = object.get(key).and_then(|value| value.as_str());
    found.map(|found| found.chars().filter(|c| !c.is_control()).collect()).unwrap_or_default()
}

/// `  12  critical  8s left   usb: Copying 40 %  [stop]`.
fn row(toast: &Object<'_>, terminal: &Terminal) -> String {
    let number = |key: &str| toast.get(key).and_then(|value| value.as_u64());
    let (urgency, state) = (text(toast, "urgency"), text(toast, "state"));
    let when = match (state.as_str(), number("left_ms")) {
        ("shown", Some(left)) => format!("{} s left", left.div_ceil(1_000)),
        _ => state,
    };
    let mut says = match text(toast, "app") {
        app if app.is_empty() => text(toast, "summary"),
        app => format!("{app}: {}", text(toast, "summary")),
    };
    if let Some(percent) = number("progress") {
        let _ = write!(says, " {percent} %");
    }
    if let Some(actions) = toast.get("actions").and_then(|actions| actions.as_array()) {
        for action in actions.iter().filter_map(|action| action.as_object()) {
            let _ = write!(says, " [{}]", text(&action, "id"));
        }
    }
    let colour = match urgency.as_str() {
        "critical" => "1;31",
        "low" => "2",
        _ => "36",
    };
    let head = format!("{:>4}  {urgency:<8}  {when:<11}  ", number("id").unwrap_or(0));
    let says = if terminal.obeys {
        terminal::fit(&says, terminal.width.saturating_sub(head.len()))
    } else {
        says.into()
    };
    format!("{}{says}\n", terminal.paint(colour, &head))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn parsed(args: &[&str]) -> Result<Vec<u8>, String> {
        static TABLE: Command = COMMAND;
        let matches = TABLE.try_parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())?;
        match parse(&matches).map_err(|error| error.to_string())?.1.work {
            Work::Show { payload, .. } => Ok(payload),
            Work::List(subject) => Ok(subject.into()),
            Work::Close(ids) => Ok(format!("{ids:?}").into()),
            Work::CloseAll => Ok("all".into()),
        }
    }

    #[test]
    fn flags_become_json() {
        for (args, json) in [
            (&["hello", "world"][..], r#"{"summary":"hello world"}"#),
            (&["one\ntwo\nthree\n"], r#"{"summary":"one","body":"two\nthree"}"#),
            (&["--title", "T", "body"], r#"{"summary":"T","body":"body"}"#),
            (&["-s", "only"], r#"{"summary":"only"}"#),
            (
                &[
                    "-u",
                    "critical",
                    "--timeout",
                    "0",
                    "-r",
                    "7",
                    "--progress",
                    "40",
                    "-A",
                    "a=B c",
                    "-A",
                    "d",
                    "x",
                ],
                concat!(
                    r#"{"summary":"x","urgency":"critical","timeout_ms":0,"replaces":7,"progress":40,"#,
                    r#""actions":[{"id":"a","label":"B c"},{"id":"d","label":""}]}"#
                ),
            ),
            (&["--timeout", "1500ms", "{\"not\": json"], r#"{"summary":"{\"not\": json","timeout_ms":1500}"#),
            (&["--list"], "toast.list"),
            (&["--close", "3", "-c4"], "[4, 3]"),
            (&["--close", "all"], "all"),
        ] {
            assert_eq!(
                parsed(args).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).as_deref(),
                Ok(json)
            );
        }
        let long = "x".repeat(5000);
        assert_eq!(parsed(&[&long]).unwrap().len(), 5000 + r#"{"summary":""}"#.len());
    }

    #[test]
    fn mistakes_are_one_line() {
        for (args, line) in [
            (&[][..], "lunix toast: expected TEXT, or one of --list, --history and --close (see --help)"),
            (
                &["--list", "x"],
                "lunix toast: expected TEXT, or one of --list, --history and --close (see --help)",
            ),
            (
                &["--progress", "101", "x"],
                "lunix toast: --progress: expected a whole number, 0 to 100, found '101'",
            ),
            (
                &["--timeout", "soon", "x"],
                "lunix toast: --timeout: expected a time as 500ms or 8s, found 'soon'",
            ),
            (&["--close", "x"], "lunix toast: --close: expected the number of a toast, or `all`, found 'x'"),
            (&["-A", "=x", "y"], "lunix toast: --action: expected at most 6 times ID=LABEL, found '=x'"),
        ] {
            assert_eq!(parsed(args), Err(line.into()));
        }
    }

    #[test]
    fn rows_align() {
        let toast =
            br#"{"id":2,"summary":"Copying","app":"usb","urgency":"low","progress":80,"state":"shown",
            "left_ms":4982,"actions":[{"id":"stop","label":"Stop"}]}"#;
        let Ok(Value::Object(toast)) = json::parse(toast) else { panic!("JSON") };
        assert_eq!(row(&toast, &Terminal::PLAIN), "   2  low       5 s left     usb: Copying 80 % [stop]\n");
    }
}
