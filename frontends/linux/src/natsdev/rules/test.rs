//! `natsdev test`: what the rules make of a device, line by line; with `--apply`, done as well.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use lunix_core::device::rules::{Deed, Evaluation, Key, Outcome};

use super::Rules;
use super::evaluate::{self, Event, Terms, Writes, evaluate};
use crate::cli::{Matches, UsageError};
use crate::escaped::Escaped;
use crate::log::{self, Level};
use crate::natsdev::NAME;
use crate::natsdev::book::Book;
use crate::natsdev::database::Entry;
use crate::natsdev::device::{Device, Root};
use crate::natsdev::effects::Effects;

/// Runs `natsdev test DEVPATH`.
pub(in crate::natsdev) fn run(matches: &Matches) -> ExitCode {
    let parsed = parse(matches);
    let (devpath, action) = match &parsed {
        Ok(parsed) => parsed,
        Err(error) => return error.report(),
    };
    let (book, root) = match Book::of(matches) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let tested = match &book {
        Book::Udev(rules) => test(rules, &root, devpath, action, matches.has("apply")),
        Book::Mdev(conf) => conf.test(&root, devpath, action, matches.has("apply")),
    };
    tested.unwrap_or_else(|error| {
        log::line(Level::Error, NAME, error);
        ExitCode::FAILURE
    })
}

fn parse(matches: &Matches) -> Result<(Vec<u8>, String), UsageError> {
    if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
        log::set_level(level);
    }
    if let Some(other) = matches.argument_text(0)?.filter(|command| *command != "test") {
        return Err(matches.error(format_args!(
            "expected test, test-builtin, hwdb, trigger or settle, found '{}'",
            Escaped(other)
        )));
    }
    let devpath = matches.argument(1).ok_or_else(|| matches.error("expected DEVPATH"))?.as_bytes();
    // With or without /sys, as it is at hand.
    let devpath = devpath.strip_prefix(b"/sys").filter(|rest| rest.starts_with(b"/")).unwrap_or(devpath);
    Ok((devpath.to_vec(), matches.text("action")?.unwrap_or("add").to_owned()))
}

fn test(rules: &Rules, root: &Root, devpath: &[u8], action: &str, apply: bool) -> io::Result<ExitCode> {
    let of_path =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", devpath.escape_ascii()));
    let device = Device::read(root, devpath, action.as_bytes()).map_err(of_path)?;
    let entry = device.id().and_then(|id| Entry::read(&root.data(), &id));
    let effects = Effects::new(root, root.kernel_makes_nodes());
    if apply {
        effects.prepare(&device)?;
    }
    let writes = if apply { Writes::Done } else { Writes::Told };
    let mut text = String::new();
    let mut memory = vec![0; evaluate::MEMORY];
    let evaluation = told(rules, root, &device, entry.as_ref(), writes, &mut memory, &mut text)?;
    let outcome = evaluation.outcome();
    summary(&mut text, &device, outcome);
    let mut code = ExitCode::SUCCESS;
    if apply {
        effects.apply(&device, entry.as_ref(), outcome, |what, error| {
            log::line(Level::Error, NAME, format_args!("{what}: {error}"));
            code = ExitCode::FAILURE;
        });
        evaluate::run_all(root, &device, outcome, |event| say(&mut text, rules, event));
    }
    // A reader that went away is no error of ours.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(code)
}

/// Applies the rules, and adds a line to `text` for each thing that one does.
///
/// # Errors
/// What the kernel says of the device does not fit into `memory`.
pub(in crate::natsdev) fn told<'r, 'm>(
    rules: &'r Rules,
    root: &Root,
    device: &Device,
    entry: Option<&Entry>,
    writes: Writes,
    memory: &'m mut [u8],
    text: &mut String,
) -> io::Result<Evaluation<'r, 'm>> {
    let terms = Terms { writes, ..Terms::ALL };
    evaluate(rules, root, device, entry, terms, memory, |event| say(text, rules, event))
        .map_err(|_| io::Error::other("what the kernel says of the device does not fit"))
}

fn say(text: &mut String, rules: &Rules, event: &Event<'_>) {
    let _ = match event {
        Event::Did(Deed { origin, key, operator, name, value }) => {
            let place = rules.place(*origin);
            let (name, value) = (name.escape_ascii(), value.escape_ascii());
            match key {
                Key::Goto => writeln!(text, "{place}: GOTO=\"{name}\""),
                key => writeln!(
                    text,
                    "{place}: {}{}\"{value}\"",
                    said(*key, &name.to_string()),
                    operator.as_str()
                ),
            }
        }
        Event::Wrote { origin, sysctl, name, value, result } => {
            let key = if *sysctl { "SYSCTL" } else { "ATTR" };
            let place = rules.place(*origin);
            let _ = write!(text, "{place}: {key}{{{}}}=\"{}\"", name.escape_ascii(), value.escape_ascii());
            match result {
                Some(error) => writeln!(text, ": {error}"),
                None => writeln!(text),
            }
        }
        Event::Failed { command, error } => writeln!(text, "\"{}\": {error}", command.escape_ascii()),
        Event::NoRoom(origin) => writeln!(text, "{}: no room", rules.place(*origin)),
    };
}

/// A key as it is written in rules.
fn said(key: Key, name: &str) -> String {
    let (key, name) = match key {
        Key::Program => ("PROGRAM", ""),
        Key::ImportFile => ("IMPORT", "file"),
        Key::ImportProgram => ("IMPORT", "program"),
        Key::ImportBuiltin => ("IMPORT", "builtin"),
        Key::ImportDb => ("IMPORT", "db"),
        Key::ImportCmdline => ("IMPORT", "cmdline"),
        Key::ImportParent => ("IMPORT", "parent"),
        Key::Owner => ("OWNER", ""),
        Key::Group => ("GROUP", ""),
        Key::Mode => ("MODE", ""),
        Key::SetTag => ("TAG", ""),
        Key::Seclabel => ("SECLABEL", name),
        Key::SetEnv => ("ENV", name),
        Key::SetName => ("NAME", ""),
        Key::SetSymlink => ("SYMLINK", ""),
        Key::RunBuiltin => ("RUN", "builtin"),
        Key::RunProgram => ("RUN", "program"),
        _ => ("OPTIONS", ""),
    };
    if name.is_empty() { key.to_owned() } else { format!("{key}{{{name}}}") }
}

/// What became of the device.
fn summary(text: &mut String, device: &Device, outcome: &Outcome<'_>) {
    if let Some(node) = device.node() {
        let _ = write!(text, "node /dev/{}", node.escape_ascii());
        let id = |text: &mut String, what: &str, id: Option<u32>| match id {
            Some(id) => write!(text, " {what} {id}"),
            None => Ok(()),
        };
        let _ = id(text, "owner", outcome.owner());
        let _ = id(text, "group", outcome.group());
        let _ = outcome.mode().map_or(Ok(()), |mode| write!(text, " mode {mode:04o}"));
        let _ = writeln!(text);
    }
    let mut line = |what: &str, value: &[u8]| {
        let _ = writeln!(text, "{what} {}", value.escape_ascii());
    };
    if let Some(name) = outcome.name() {
        line("name", name);
    }
    for (module, label) in outcome.labels() {
        line("label", &[module, b"=", label].concat());
    }
    if outcome.link_priority() != 0 {
        line("link_priority", outcome.link_priority().to_string().as_bytes());
    }
    outcome.links().for_each(|link| line("link", &[b"/dev/", link].concat()));
    outcome.tags().for_each(|tag| line("tag", tag));
    outcome.properties().for_each(|(key, value)| line("property", &[key, b"=", value].concat()));
    for run in outcome.runs() {
        line(if run.builtin { "run builtin" } else { "run" }, run.command);
    }
}
