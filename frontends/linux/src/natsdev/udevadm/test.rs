//! `udevadm test`, `test-builtin`, `verify` and `hwdb`: natsdev's own commands, in the words that scripts know.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::record::{Record, add_lists, once};
use super::{ACTIONS, Failure, complain, print};
use crate::cli::Matches;
use crate::natsdev::builtins;
use crate::natsdev::database::Entry;
use crate::natsdev::device::{Device, Root};
use crate::natsdev::hwdb;
use crate::natsdev::rules::evaluate::{self, Writes};
use crate::natsdev::rules::source::Source;
use crate::natsdev::rules::test::told;
use crate::natsdev::rules::{Rules, Strictness};
use crate::reactor::monotonic;

const HEAD: &str = "This program is for debugging only, it does not run any program
specified by a RUN key. It may show incorrect results, because
some values may be different, or not available at a simulation run.

";

/// Runs `udevadm test`: what the rules make of a device on stdout, and line by line why on stderr.
pub(super) fn test(matches: &Matches) -> Result<(), Failure> {
    let root = Root::new(Path::new("/"));
    let Some(action) = action(matches)? else { return Ok(()) };
    if matches.arguments().is_empty() {
        return Err(matches.error("expected a device: its path or node").into());
    }
    print(HEAD.as_bytes())?;
    let rules = Source::usual(&root, Strictness::LeaveOut).read().map_err(Failure::listed)?;
    let device = device(&root, matches, 0, action)?;
    let entry = device.id().and_then(|id| Entry::read(&root.data(), &id));
    let mut why = String::new();
    let mut memory = vec![0; evaluate::MEMORY];
    let evaluation = told(&rules, &root, &device, entry.as_ref(), Writes::Told, &mut memory, &mut why)?;
    eprint!("{why}");
    let outcome = evaluation.outcome();
    let mut text = Vec::new();
    let mut line = |parts: &[&[u8]]| parts.iter().for_each(|part| text.extend_from_slice(part));
    outcome.properties().for_each(|(key, value)| line(&[key, b"=", value, b"\n"]));
    let mut lists = Vec::new();
    let links: Vec<_> = outcome.links().map(|link| [b"/dev/", link].concat()).collect();
    let present = once(outcome.tags().map(<[u8]>::to_vec));
    let known = entry.as_ref().map(|entry| entry.tags.clone()).unwrap_or_default();
    add_lists(&mut lists, &links, &once(known.into_iter().chain(present.clone())), &present);
    lists.iter().for_each(|(key, value)| line(&[key, b"=", value, b"\n"]));
    let since = entry.map_or_else(|| monotonic().as_micros(), |entry| entry.initialized_us);
    line(&[b"USEC_INITIALIZED=", since.to_string().as_bytes(), b"\n"]);
    outcome.runs().for_each(|run| line(&[b"run: '", run.command, b"'\n"]));
    print(&text)
}

/// Runs `udevadm test-builtin`.
pub(super) fn test_builtin(matches: &Matches) -> Result<(), Failure> {
    let root = Root::new(Path::new("/"));
    let Some(action) = action(matches)? else { return Ok(()) };
    let device = device(&root, matches, 1, action)?;
    let command = matches.argument(0).unwrap_or_default();
    // What was found before counts, as for the daemon.
    let entry = device.id().and_then(|id| Entry::read(&root.data(), &id)).unwrap_or_default();
    let known: Vec<_> =
        entry.properties.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let found = builtins::run(&root, &device, &known, Writes::Told, command.as_bytes());
    match found.map_err(|error| Failure::of(command.display(), error))? {
        Some(properties) => print(&builtins::lines(&properties)),
        None => Err(Failure::Failed(format!("{}: it has found nothing", command.display()))),
    }
}

/// Runs `udevadm verify`: the rules of this machine, or those in the files and folders that are named.
pub(super) fn verify(matches: &Matches) -> Result<(), Failure> {
    if matches.arguments().is_empty() {
        let rules = Source::usual(&Root::new(Path::new("/")), Strictness::Refuse).read();
        return rules.map(drop).map_err(Failure::listed);
    }
    let mut mistakes = String::new();
    for path in matches.arguments().iter().map(PathBuf::from) {
        let rules = if path.is_dir() {
            Rules::read(&[path], Strictness::Refuse)
        } else {
            let text = std::fs::read(&path).map_err(|error| Failure::of(path.display(), error))?;
            Rules::parse(&path, &text, Strictness::Refuse)
        };
        match rules {
            Ok(rules) => rules.remarks.iter().for_each(|remark| complain("verify", remark)),
            Err(error) => mistakes += &format!("{error}\n"),
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::listed(mistakes.trim_end())) }
}

/// Runs `udevadm hwdb`.
pub(super) fn hwdb(matches: &Matches) -> Result<(), Failure> {
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let (update, modalias) = (matches.has("update"), matches.all("test").last());
    if !update && modalias.is_none() {
        return Err(matches.error("expected --update or --test").into());
    }
    if update {
        let [own, shipped] = hwdb::TABLES;
        let path = if matches.has("usr") { shipped } else { own };
        let built = hwdb::command::update(&root, path, matches.has("strict"))?;
        built.mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
        if matches.has("strict") && !built.mistakes.is_empty() {
            return Err(Failure::Said);
        }
    }
    match modalias {
        Some(modalias) => print(&builtins::lines(&hwdb::command::query(&root, modalias.as_bytes())?)),
        None => Ok(()),
    }
}

/// The action that is supposed; `None` if all are listed.
fn action(matches: &Matches) -> Result<Option<&str>, Failure> {
    match matches.text("action")? {
        Some("help") => print(format!("{}\n", ACTIONS.join("\n")).as_bytes()).map(|()| None),
        action => Ok(Some(action.unwrap_or("add"))),
    }
}

fn device(root: &Root, matches: &Matches, index: usize, action: &str) -> Result<Device, Failure> {
    let id = matches.argument(index).ok_or_else(|| matches.error("expected a device: its path or node"))?;
    let record = Record::find(id, Some("/sys")).map_err(|error| Failure::of(id.display(), error))?;
    Device::read(root, record.devpath(), action.as_bytes()).map_err(|error| Failure::of(id.display(), error))
}
