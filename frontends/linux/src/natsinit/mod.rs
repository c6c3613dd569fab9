//! `natsinit`: the supervisor, here for a session. As PID 1 it comes with the image.

mod child;
mod lines;
mod link;
pub(crate) mod plan;
mod session;
mod terminal;
mod usage;

use std::process::ExitCode;

use plan::{Folder, Plan, PlanError, Wish};
use session::Session;

use crate::bus::Options;
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, Style, UsageError};
use crate::log::{self, Level};
use crate::reactor::Reactor;

/// Flags of `natsinit` and `lunix up` alike.
pub(crate) const SHARED: &[Flag] = &[
    Flag {
        names: &["service", "s"],
        value: Some("NAME"),
        help: "only this daemon, and the server; repeatable [all that are in this binary]",
        hint: Hint::None,
    },
    Flag {
        names: &["port", "p"],
        value: Some("PORT"),
        help: "where natsd listens on 127.0.0.1, 0 for any [4222, or the next that is free]",
        hint: Hint::None,
    },
    Flag {
        names: &["nats"],
        value: Some("URL"),
        help: "use this server instead of starting natsd",
        hint: Hint::None,
    },
    Flag {
        names: &["restarts"],
        value: Some("N"),
        help: "so many restarts without a stable run of 10 s, then a service has failed [10]",
        hint: Hint::None,
    },
];

/// The command line of `natsinit`.
pub static COMMAND: Command = Command {
    name: "natsinit",
    about: "start, watch, restart and stop services, and tell the bus about it",
    arguments: &[Argument {
        name: "NAME=COMMAND",
        help: "a service: its name, and the words of its command line (no shell)",
        required: false,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[Flag {
            names: &["session"],
            value: None,
            help: "supervise without being PID 1, as any user",
            hint: Hint::None,
        }],
        SHARED,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Without --service and without commands, natsd and every other daemon of this binary run.",
        "It publishes service.NAME.STATE with STATE one of starting, ready, stopping, stopped, failed, backoff, \
         and answers service.list and service.NAME.status, start, stop, restart and usage.",
        "SIGTERM or Ctrl-C stops all services in the reverse order of their needs; Ctrl-C then kills them.",
    ],
    commands: &[],
    examples: &[
        ("natsinit --session", "the daemons of lunix"),
        (
            "natsinit --session web='python3 -m http.server'",
            "one service of your own, on the bus of 127.0.0.1:4222",
        ),
    ],
};

/// Runs `natsinit`.
pub fn run(matches: &Matches) -> ExitCode {
    if !matches.has("session") {
        return matches.error("--session is missing: this build does not run as PID 1").report();
    }
    let commands =
        (0..matches.arguments().len()).map(|at| Ok(matches.argument_text(at)?.unwrap_or_default()));
    let wish = commands.collect::<Result<Vec<_>, UsageError>>().and_then(|commands| {
        let mut wish = wish(matches)?;
        wish.daemons = commands.is_empty() || !wish.services.is_empty();
        wish.commands = commands;
        Ok(wish)
    });
    match wish {
        Ok(wish) => start(COMMAND.name, matches, &wish, |_| true),
        Err(error) => error.report(),
    }
}

/// What the shared flags say.
pub(crate) fn wish(matches: &Matches) -> Result<Wish<'_>, UsageError> {
    Ok(Wish {
        services: matches.texts("service")?,
        nats: matches.text("nats")?,
        port: matches.parsed("port", "a port from 0 to 65535")?,
        limit: matches.parsed("restarts", "a number from 0 to 65535")?,
        ..Wish::default()
    })
}

/// Makes the plan, shows it to `go`, and runs it if `go` says so.
pub(crate) fn start(
    name: &'static str,
    matches: &Matches,
    wish: &Wish<'_>,
    go: impl FnOnce(&Plan) -> bool,
) -> ExitCode {
    let failed = |error: std::io::Error| {
        log::line(Level::Error, name, error);
        ExitCode::FAILURE
    };
    if let Some(urls) = wish.nats {
        let options = Options::new(name, urls).map_err(|error| format!("--nats: {error}"));
        if let Err(line) = options.and_then(|options| options.secured(None)) {
            return matches.error(line).report();
        }
    }
    let folder = match Folder::open() {
        Ok(folder) => folder,
        Err(error) => return failed(error),
    };
    let plan = match Plan::make(wish, folder.path()) {
        Ok(plan) => plan,
        Err(PlanError::Usage(line)) => return matches.error(line).report(),
        Err(PlanError::Machine(line)) => return failed(std::io::Error::other(line)),
    };
    if !go(&plan) {
        return ExitCode::SUCCESS;
    }
    let mut reactor = match Reactor::new() {
        Ok(reactor) => reactor,
        Err(error) => return failed(error),
    };
    match Session::new(name, plan, folder.path(), &mut reactor) {
        Ok(session) => session.run(&mut reactor),
        Err(error) => failed(error),
    }
}
