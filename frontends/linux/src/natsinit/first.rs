//! The first process: early work, the supervisor of the machine, late work. It never ends by itself.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::boot::{self, Boot, NAME, emergency, end};
use super::files;
use super::machine::Scope;
use super::plan::{self, Folder, Origin, Plan};
use super::resume::{Number, Table};
use super::supervisor::{Start, Supervisor};
use super::{COMMAND, Wish};
use crate::cli::Matches;
use crate::log::{self, Level};
use crate::reactor::{Reactor, monotonic};
use crate::sys::resume;

/// Runs with whatever words the kernel, or a container's maker, gives: a mistake in them stops nothing.
pub(super) fn run_with(words: impl Iterator<Item = OsString>) -> ExitCode {
    let (ours, others) = sort(words);
    let parsed = COMMAND.parse(ours);
    match parsed.or_else(|_| COMMAND.parse(std::iter::empty())) {
        Ok(matches) => run(&matches, &others),
        Err(code) => code,
    }
}

/// Flags and services, and the words that mean something to nobody but the boot.
fn sort(words: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let flag = text.strip_prefix("--").and_then(|name| {
            let name = name.split('=').next().unwrap_or_default();
            COMMAND.flags().find(|flag| flag.names.contains(&name))
        });
        match flag {
            Some(flag) => {
                let apart = flag.value.is_some() && !text.contains('=');
                ours.push(word);
                ours.extend(apart.then(|| words.next()).flatten());
            }
            None if text.contains('=') && !text.starts_with('-') => ours.push(word),
            None => others.push(text),
        }
    }
    (ours, others)
}

/// Runs as the first process, or as if it were.
pub(super) fn run(matches: &Matches, words: &[String]) -> ExitCode {
    let (table, resumed) = match table(matches) {
        Ok(found) => found,
        Err(error) => return hopeless(error),
    };
    if let Err(error) = table.arm(std::env::args_os()) {
        log::line(Level::Error, NAME, format_args!("a fault will be the end: {error}"));
    }
    let fault = table.fault(monotonic());
    let boot = Boot::read(words);
    if let Some((signal, again)) = fault {
        log::line(Level::Error, NAME, format_args!("goes on after a fault (signal {signal})"));
        if again {
            log::line(Level::Error, NAME, "faults too often: a shell; it goes on when that ends");
            emergency::shell(&boot.settings.emergency);
            table.set(Number::FaultAt, 0);
        }
    }
    if !resumed {
        boot.early();
    }
    match supervise(matches, table, boot, resumed, fault.is_some()) {
        Ok(code) => code,
        Err(error) => hopeless(error),
    }
}

/// The table, and whether there was somebody before us.
fn table(matches: &Matches) -> io::Result<(Table, bool)> {
    let before = matches.text("resume").ok().flatten().and_then(|fd| fd.parse().ok());
    match before.map(Table::adopt) {
        Some(Ok(table)) => return Ok((table, true)),
        Some(Err(error)) => {
            log::line(Level::Error, NAME, format_args!("what the one before left cannot be read: {error}"));
            // Nobody knows whose they are.
            end::everybody();
        }
        None => {}
    }
    Ok((Table::new()?, false))
}

fn supervise(
    matches: &Matches,
    table: Table,
    boot: Boot,
    resumed: bool,
    fault: bool,
) -> io::Result<ExitCode> {
    let Boot { settings, options } = boot;
    let given = matches.text("services").ok().flatten().map(PathBuf::from);
    let services = given.or(options.services).unwrap_or_else(|| settings.services.clone());
    let folder = Folder::of_machine().or_else(|_| Folder::open())?;
    let commands = commands(matches, folder.path());
    let given: Vec<String> = commands.iter().map(|(definition, _)| definition.name.clone()).collect();
    let loaded = files::load(&services, &given);
    for mistake in &loaded.mistakes {
        log::line(Level::Error, NAME, mistake);
    }
    let mut definitions: Vec<_> =
        loaded.definitions.into_iter().map(|definition| (definition, Origin::File)).collect();
    definitions.extend(commands);
    if (definitions.is_empty() || !loaded.left_out.is_empty() || !loaded.mistakes.is_empty())
        && definitions.iter().all(|(definition, _)| definition.surroundings.terminal.is_none())
        && let Some(login) = console().and_then(|console| plan::login(&console))
    {
        log::line(Level::Warn, NAME, "no service has a login: there is one on the console");
        definitions.push((login, Origin::Fixed));
    }
    let url = matches.text("nats").ok().flatten().map(str::to_owned);
    let url = url.or_else(|| settings.environment.get("NATS_URL").cloned());
    let server = definitions.iter().find(|(definition, _)| definition.name == "natsd");
    let mut reactor = Reactor::new()?;
    let start = Start {
        name: NAME,
        scope: Scope::Machine,
        server: server.map(|(definition, _)| definition.name.clone()),
        definitions,
        urls: url.iter().flat_map(|urls| urls.split(',')).map(str::to_owned).collect(),
        folder: folder.path().to_owned(),
        services: Some(services),
        left_out: loaded.left_out,
        settings,
        table,
        resumed,
        fault,
    };
    let (code, ending, settings) = Supervisor::new(start, &mut reactor)?.run(&mut reactor);
    match ending {
        Some(ending) => {
            resume::disarm();
            end::end(ending, &settings);
            Ok(code)
        }
        // The loop has broken: what it watched is as it was.
        None => Err(io::Error::other("the supervisor has stopped")),
    }
}

/// Services of the command line.
fn commands(matches: &Matches, folder: &Path) -> Vec<(super::definition::Definition, Origin)> {
    let commands: Vec<&str> =
        (0..matches.arguments().len()).filter_map(|at| matches.argument_text(at).ok().flatten()).collect();
    match Plan::make(&Wish { commands, ..Wish::default() }, folder) {
        Ok(plan) => plan.services,
        Err(error) => {
            log::line(Level::Error, NAME, error);
            Vec::new()
        }
    }
}

/// The terminal that somebody sits at, if there is one.
fn console() -> Option<PathBuf> {
    if boot::is_first_of_machine() {
        // The last one is where the kernel's own words go.
        let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let name = active.split_whitespace().last().unwrap_or("console");
        return Some(Path::new("/dev").join(name));
    }
    if io::stdin().is_terminal() { std::fs::read_link("/proc/self/fd/0").ok() } else { None }
}

/// It cannot go on. The first process does not end: it gives people a shell, and tries again.
fn hopeless(error: io::Error) -> ExitCode {
    log::line(Level::Error, NAME, &error);
    if std::process::id() != 1 {
        return ExitCode::FAILURE;
    }
    loop {
        emergency::shell(&["/bin/sh".to_owned()]);
        log::line(Level::Error, NAME, resume::succeed());
        // Not even that: whoever is in the shell of the next turn can still do something.
        emergency::wait_a_second();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_stop_nothing() {
        let words =
            ["single", "--services", "/x", "auto", "web=sleep 1", "--bogus", "-b", "--nats=nats://a:1"];
        let (ours, others) = sort(words.into_iter().map(OsString::from));
        assert_eq!(ours, ["--services", "/x", "web=sleep 1", "--nats=nats://a:1"]);
        assert_eq!(others, ["single", "auto", "--bogus", "-b"]);
    }
}
