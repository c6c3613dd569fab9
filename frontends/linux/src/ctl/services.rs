//! `lunix services`: how services stand; and starting, stopping and reading them.

mod act;
mod list;
mod log;
mod reload;

use std::process::ExitCode;
use std::time::Duration;

use super::COMMON;
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style, UsageError};

const NAME: &str = "lunix services";

/// How long natsinit may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const JSON: &[Flag] = &[Flag {
    names: &["json", "j"],
    value: None,
    help: "for programs: one JSON object a line",
    hint: Hint::None,
}];

const WAITING: &[Flag] = &[
    Flag { names: &["no-wait"], value: None, help: "do not wait until it is done", hint: Hint::None },
    Flag {
        names: &["timeout", "t"],
        value: Some("TIME"),
        help: "how long to wait, as 500ms, 2s or 1m [1m]",
        hint: Hint::None,
    },
];

const NAMES: &[Argument] =
    &[Argument { name: "NAME", help: "the service", required: true, many: true, hint: Hint::None }];
const ONE: &[Argument] =
    &[Argument { name: "NAME", help: "the service", required: true, many: false, hint: Hint::None }];

/// The command line.
pub const COMMAND: Command = Command {
    name: "services",
    about: "show how services stand; start, stop and restart them, and read what they print",
    arguments: &[],
    flags: &[JSON, COMMON, NATS, BASIC],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &[
        "Without a command it shows all services. It asks natsinit, and fails, with one line that says so, if that does not \
         answer. What it may do is up to the server: by natsd's own rules everybody may look, and root may do anything.",
    ],
    commands: &[&START, &STOP, &RESTART, &RELOAD, &STATUS, &LOG],
    examples: &[
        ("lunix services", "all of them"),
        ("lunix services restart natstoast", "and wait until it is ready"),
        ("lunix services log -f natsd", "what it printed, and what it prints"),
        ("lunix services reload --dry-run", "what reading all definitions anew would change"),
    ],
};

const SUB: Command = Command {
    name: "",
    about: "",
    arguments: NAMES,
    flags: &[WAITING, COMMON, NATS, BASIC],
    of: Some(NAME),
    style: Style::Gnu,
    details: &[],
    commands: &[],
    examples: &[],
};

static START: Command = Command {
    name: "start",
    about: "start services and what they need, and wait until they are ready",
    details: &["It fails if one of them ends before it is ready; natsinit may still try again."],
    ..SUB
};

static STOP: Command = Command {
    name: "stop",
    about: "stop services and what needs them, and wait until they have ended",
    ..SUB
};

static RESTART: Command = Command {
    name: "restart",
    about: "stop services, start them again, and wait until they are ready",
    ..SUB
};

static RELOAD: Command = Command {
    name: "reload",
    about: "make services read their configuration; without NAME, make natsinit read all definitions anew",
    arguments: &[Argument {
        name: "NAME",
        help: "the service",
        required: false,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[Flag {
            names: &["dry-run", "n"],
            value: None,
            help: "without NAME: only say what would change",
            hint: Hint::None,
        }],
        JSON,
        COMMON,
        NATS,
        BASIC,
    ],
    details: &["Only what changed is restarted. The plan is printed: + new, - gone, ~ different."],
    ..SUB
};

static STATUS: Command = Command {
    name: "status",
    about: "say how services stand and what they have used",
    flags: &[JSON, COMMON, NATS, BASIC],
    details: &["Ends with 3 if one of them is neither ready nor waiting for what triggers it."],
    ..SUB
};

static LOG: Command = Command {
    name: "log",
    about: "print what a service has printed, as far as it is kept",
    arguments: ONE,
    flags: &[
        &[
            Flag {
                names: &["follow", "f"],
                value: None,
                help: "go on with what it prints",
                hint: Hint::None,
            },
            Flag {
                names: &["lines", "n"],
                value: Some("N"),
                help: "only the last N lines that are kept [all]",
                hint: Hint::None,
            },
        ],
        COMMON,
        NATS,
        BASIC,
    ],
    examples: &[("lunix services log -n 20 -f natsd", "the last lines, and what follows")],
    ..SUB
};

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    try_run(matches).unwrap_or_else(|error| error.report())
}

fn try_run(matches: &Matches) -> Result<ExitCode, UsageError> {
    match matches.command().name {
        "start" => act::run(matches, act::Verb::Start),
        "stop" => act::run(matches, act::Verb::Stop),
        "restart" => act::run(matches, act::Verb::Restart),
        "reload" if matches.arguments().is_empty() => reload::run(matches),
        "reload" if matches.has("dry-run") => Err(matches.error("--dry-run: expected no NAME")),
        "reload" => act::run(matches, act::Verb::Reload),
        "status" => list::run(matches, list::Form::Each),
        "log" => log::run(matches),
        _ => list::run(matches, list::Form::All),
    }
}
