//! `natsinit`: the first process of a machine or a container, and the supervisor of a session.

mod boot;
mod cgroup;
mod definition;
pub(crate) mod files;
mod first;
mod lines;
mod link;
mod machine;
pub(crate) mod plan;
pub mod power;
mod process;
mod rare;
mod resume;
mod ring;
mod supervisor;
mod terminal;
mod untold;
mod usage;

use std::process::ExitCode;

#[doc(hidden)]
pub use files::mistakes_of;

use definition::Definition;
use files::InitSettings;
use machine::Scope;
use plan::{Folder, Origin, Plan, PlanError, Wish};
use resume::{Number, Own, Table};
use supervisor::{Start, Supervisor};

use crate::bus::Options;
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, Style, UsageError};
use crate::log::{self, Level};
use crate::reactor::{Reactor, monotonic};

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
    Flag {
        names: &["resume"],
        value: Some("FD"),
        help: "for itself: go on from what the supervisor before it has left there",
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
        &[
            Flag {
                names: &["session"],
                value: None,
                help: "supervise without being PID 1, as any user",
                hint: Hint::None,
            },
            Flag {
                names: &["pid1"],
                value: None,
                help: "do everything that PID 1 does, although it is not",
                hint: Hint::None,
            },
            Flag {
                names: &["services"],
                value: Some("DIR"),
                help: "where the files of services are [as PID 1 /etc/lunix/services, else none]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["check-config"],
                value: None,
                help: "say every mistake in the files of services, and exit",
                hint: Hint::None,
            },
        ],
        SHARED,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "As PID 1 it brings the machine up by /etc/lunix/init.toml, runs the services of /etc/lunix/services, and ends \
         the machine in order. Its signals: HUP reads the services anew, TERM and INT (Ctrl-Alt-Del) reboot, USR1 halts, \
         USR2 and PWR power off, QUIT executes it anew; RTMIN+3 to RTMIN+6 halt, power off, reboot and kexec. As PID 1 of \
         a container TERM and INT stop the services and end.",
        "With --session, without --service, --services and without commands, natsd and every other daemon of this binary \
         run. SIGTERM or Ctrl-C stops all services in the reverse order of their needs; Ctrl-C then kills them.",
        "It publishes service.NAME.STATE with STATE one of starting, ready, stopping, stopped, failed, backoff, waiting, \
         and answers service.list, service.boot, service.reload, and service.NAME.status, start, stop, restart, reload, \
         usage, tail, freeze and thaw.",
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
    if matches.has("check-config") {
        return match matches.text("services") {
            Ok(folder) => files::check(folder.unwrap_or(files::SERVICES).as_ref(), &given(matches)),
            Err(error) => error.report(),
        };
    }
    if matches.has("pid1") || (std::process::id() == 1 && !matches.has("session")) {
        return first::run(matches, &[]);
    }
    if !matches.has("session") {
        return matches.error("--session is missing: this is not PID 1").report();
    }
    let commands =
        (0..matches.arguments().len()).map(|at| Ok(matches.argument_text(at)?.unwrap_or_default()));
    let wish = commands.collect::<Result<Vec<_>, UsageError>>().and_then(|commands| {
        let mut wish = wish(matches)?;
        let files = matches.text("services")?;
        wish.daemons = (commands.is_empty() && files.is_none()) || !wish.services.is_empty();
        wish.commands = commands;
        wish.files = files;
        Ok(wish)
    });
    match wish {
        Ok(wish) => start(COMMAND.name, matches, wish, |_| true),
        Err(error) => error.report(),
    }
}

/// The names of services that the command line asks for.
fn given(matches: &Matches) -> Vec<String> {
    let daemons = matches.texts("service").unwrap_or_default();
    let server = daemons.first().map(|_| "natsd");
    let words = (0..matches.arguments().len()).filter_map(|at| matches.argument_text(at).ok().flatten());
    let commands = words.filter_map(|word| Some(word.split_once('=')?.0));
    server.into_iter().chain(daemons).chain(commands).map(str::to_owned).collect()
}

/// Runs as the first process, with whatever words it was given.
pub fn run_first(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    first::run_with(words)
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
    mut wish: Wish<'_>,
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
    let before = matches.text("resume").ok().flatten().and_then(|fd| Table::adopt(fd.parse().ok()?).ok());
    let folder = match before.and_then(|table| Some((table, table.folder()?))) {
        Some((table, path)) => Ok(Folder::again(path, table.inherit_own(Own::Folder).map(Into::into))),
        None => Folder::open(),
    };
    let folder = match folder {
        Ok(folder) => folder,
        Err(error) => return failed(error),
    };
    if let Some(port) = before.and_then(|table| table.number(Number::Port).checked_sub(1)) {
        wish.port = u16::try_from(port).ok();
    }
    wish.resumed = before.is_some();
    let plan = match Plan::make(&wish, folder.path()) {
        Ok(plan) => plan,
        Err(PlanError::Usage(line)) => return matches.error(line).report(),
        Err(PlanError::Machine(line)) => return failed(std::io::Error::other(line)),
    };
    if before.is_none() && !go(&plan) {
        return ExitCode::SUCCESS;
    }
    match supervise(name, &wish, plan, &folder, before) {
        Ok(code) => code,
        Err(error) => failed(error),
    }
}

fn supervise(
    name: &'static str,
    wish: &Wish<'_>,
    plan: Plan,
    folder: &Folder,
    before: Option<Table>,
) -> std::io::Result<ExitCode> {
    let table = match before {
        Some(table) => table,
        None => Table::new()?,
    };
    table.arm(std::env::args_os())?;
    let fault = table.fault(monotonic());
    if let Some((signal, again)) = fault {
        log::line(Level::Error, name, format_args!("goes on after a fault (signal {signal})"));
        if again {
            // Services end with us.
            return Err(std::io::Error::other("faults too often"));
        }
    }
    table.set_folder(folder.path());
    table.set(Number::Port, plan.server.as_ref().map_or(0, |(_, port)| u32::from(*port) + 1));
    table.keep_own(Own::Folder, folder.lock().map(std::os::fd::AsFd::as_fd));
    let mut definitions: Vec<(Definition, Origin)> = plan.services;
    let services = wish.files.map(std::path::PathBuf::from);
    let given: Vec<String> = definitions.iter().map(|(definition, _)| definition.name.clone()).collect();
    let loaded = services.as_deref().map(|folder| files::load(folder, &given)).unwrap_or_default();
    for mistake in &loaded.mistakes {
        log::line(Level::Error, name, mistake);
    }
    definitions.extend(loaded.definitions.into_iter().map(|definition| (definition, Origin::File)));
    let mut reactor = Reactor::new()?;
    let start = Start {
        name,
        scope: Scope::Session,
        definitions,
        server: plan.server.map(|(name, _)| name),
        urls: plan.urls,
        folder: folder.path().to_owned(),
        services,
        left_out: loaded.left_out,
        settings: InitSettings::default(),
        table,
        resumed: before.is_some(),
        fault: fault.is_some(),
    };
    let (code, ..) = Supervisor::new(start, &mut reactor)?.run(&mut reactor);
    Ok(code)
}
