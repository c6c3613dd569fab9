//! The folder of the services' files.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::values::is_name;
use crate::config::{self, Mistake, Section};

/// Bytes of a file.
const BYTES: u64 = 64 << 10;
/// Services.
const SERVICES: usize = 1024;
/// Drop-ins of a service.
const DROP_INS: usize = 64;
/// Entries that are looked at in a folder.
const ENTRIES: usize = 16 * SERVICES;

/// A service's files, read and laid over one another.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) section: Section,
    /// One of its files cannot be read.
    pub(super) broken: bool,
}

/// The services of `folder` by their names, and what is wrong with the folder and its files as such.
pub(super) fn services(folder: &Path) -> (Vec<Source>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let entries = names(folder, &mut mistakes);
    let mut sources = Vec::new();
    for entry in &entries {
        let file = folder.join(entry);
        if let Some(name) = drop_ins_of(entry) {
            if !entries.contains(&format!("{name}.toml")) {
                mistakes.push(Mistake::of_file(&file, &format!("there is no {name}.toml beside it")));
            }
            continue;
        }
        let Some(name) = service(entry, &file, &mut mistakes) else { continue };
        if sources.len() == SERVICES {
            mistakes.push(Mistake::of_file(folder, &format!("there may be {SERVICES} services")));
            break;
        }
        let mut parts = vec![(file.clone(), text(&file))];
        let beside = folder.join(format!("{entry}.d"));
        if entries.contains(&format!("{entry}.d")) {
            let mut drop_ins = names(&beside, &mut mistakes);
            drop_ins.retain(|entry| entry.ends_with(".toml"));
            if drop_ins.len() > DROP_INS {
                mistakes.push(Mistake::of_file(&beside, &format!("there may be {DROP_INS} drop-ins")));
                drop_ins.truncate(DROP_INS);
            }
            parts.extend(
                drop_ins.iter().map(|entry| beside.join(entry)).map(|file| (file.clone(), text(&file))),
            );
        }
        sources.push(source(name, parts, &mut mistakes));
    }
    (sources, mistakes)
}

/// As [`services`], without a folder.
pub(super) fn of_texts(files: &[(&str, &str)]) -> (Vec<Source>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let mut sources = Vec::new();
    for (&file, &text) in files.iter().filter(|(file, _)| !file.contains('/')).take(SERVICES) {
        let Some(name) = service(file, Path::new(file), &mut mistakes) else { continue };
        let over = format!("{file}.d/");
        let over = files.iter().filter(|(file, _)| file.starts_with(&over)).take(DROP_INS);
        let parts = std::iter::once((&file, &text)).chain(over);
        let parts = parts.map(|(file, text)| (PathBuf::from(file), Ok((*text).to_owned()))).collect();
        sources.push(source(name, parts, &mut mistakes));
    }
    (sources, mistakes)
}

fn source(name: String, parts: Vec<(PathBuf, io::Result<String>)>, mistakes: &mut Vec<Mistake>) -> Source {
    let mut whole: Option<Section> = None;
    let mut broken = false;
    for (file, text) in parts {
        let text = text.unwrap_or_else(|error| {
            broken = true;
            mistakes.push(Mistake::of_file(&file, &error));
            String::new()
        });
        match &mut whole {
            None => whole = Some(config::parse_toml(&file, &text)),
            Some(section) => section.overlay_toml(&file, &text),
        }
    }
    let section = whole.unwrap_or_else(|| config::parse_toml(Path::new(""), ""));
    Source { name, section, broken }
}

/// The name of the service whose file `entry` is; `None` for other files.
fn service(entry: &str, file: &Path, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let name = entry.strip_suffix(".toml").filter(|_| !entry.starts_with('.'))?;
    if !is_name(name) {
        let line = "expected NAME.toml, NAME of at most 32 letters, digits, '-' and '_'";
        mistakes.push(Mistake::of_file(file, &line));
        return None;
    }
    Some(name.to_owned())
}

/// The name of the service whose drop-ins are in `entry`.
fn drop_ins_of(entry: &str) -> Option<&str> {
    entry.strip_suffix(".toml.d").filter(|_| !entry.starts_with('.'))
}

/// The names in `folder`, sorted. One that is not there has none.
fn names(folder: &Path, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return names,
        Err(error) => {
            mistakes.push(Mistake::of_file(folder, &error));
            return names;
        }
    };
    for entry in entries {
        match entry {
            Ok(entry) => names.extend(entry.file_name().into_string()),
            Err(error) => mistakes.push(Mistake::of_file(folder, &error)),
        }
        if names.len() > ENTRIES {
            mistakes.push(Mistake::of_file(folder, &format!("there may be {ENTRIES} files")));
            break;
        }
    }
    names.sort_unstable();
    names
}

/// The text of a file, which must be one: to open a pipe or a terminal could wait for ever.
pub(super) fn text(file: &Path) -> io::Result<String> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let open = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    if !open.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file"));
    }
    let mut bytes = Vec::new();
    open.take(BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("expected at most {BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected UTF-8 text, found other bytes in line {line}"),
        )
    })
}
