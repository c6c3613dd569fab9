//! `--plan`: what would change, and what speaks against it.

use std::fmt::Write as _;
use std::path::Path;

use lunix_core::slots::image::Piece;
use lunix_core::slots::manifest::{Change, Manifest};
use lunix_core::slots::upgrade::{Objection, objections};
use lunix_core::slots::{Part, Slot};

use super::source::Source;
use super::system::System;
use super::{Failure, keys};
use crate::cli::Matches;
use crate::escaped::Escaped;

/// Whose images are taken.
const KEYS: &str = "/etc/lunix/upgrade.keys";

/// Files here are services.
const SERVICES: &str = "/etc/lunix/services/";

/// Prints the plan.
///
/// # Errors
/// There is no such image or flash, or it would be refused.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let system = System::open(matches, false)?;
    let source = open(matches, &system)?;
    let keys = keys::read(matches.path("keys").unwrap_or(Path::new(KEYS))).unwrap_or_default();
    print(&system, &source, &keys).map_err(Failure::new)?;
    admit(matches, &system, &source)
}

/// The image that was named.
///
/// # Errors
/// None was; it is none, or not whole.
pub(super) fn open(matches: &Matches, system: &System) -> Result<Source, Failure> {
    let place = matches.argument_text(0)?;
    let place = place.ok_or_else(|| matches.error("IMAGE is missing: a file, or http://HOST/PATH"))?;
    Source::open(place, system.flash.layout.slot).map_err(Failure::new)
}

/// Everything that speaks against the image and was not overruled.
///
/// # Errors
/// One line for each.
pub(super) fn admit(matches: &Matches, system: &System, source: &Source) -> Result<(), Failure> {
    let header = &source.header;
    let mut refused = Vec::new();
    if !matches.has("force-unsigned") {
        let path = matches.path("keys").unwrap_or(Path::new(KEYS));
        match keys::read(path) {
            Err(error) => refused.push(format!("{error} (--force-unsigned takes any image)")),
            Ok(keys) if keys::signer(header, &keys).is_none() => refused.push(match header.signed {
                None => "nobody signed the image (--force-unsigned takes it)".to_owned(),
                Some(_) => format!(
                    "none of the keys in {} signed the image (--force-unsigned takes it)",
                    path.display()
                ),
            }),
            Ok(_) => {}
        }
    }
    let running = system.running.and_then(|slot| system.header(slot));
    let version = running.as_ref().map(|header| header.version.as_str());
    for objection in objections(header, &system.board, version).into_iter().flatten() {
        match objection {
            Objection::Board if matches.has("force-board") => {}
            Objection::Board => refused.push(format!(
                "the image is for '{}', and this is '{}' (--force-board takes it)",
                header.board,
                Escaped(&system.board)
            )),
            Objection::Older if matches.has("force-downgrade") => {}
            Objection::Older => refused.push(format!(
                "the image has {}, which is older than {} (--force-downgrade takes it)",
                header.version,
                version.unwrap_or("what runs")
            )),
        }
    }
    if header.len > system.flash.layout.slot {
        refused
            .push(format!("{} bytes are more than the {} of a slot", header.len, system.flash.layout.slot));
    }
    if system.is_on_trial() {
        refused.push("the system that runs is on trial: --confirm or --rollback first".to_owned());
    } else if let Some(running) = system.running
        && running != system.environment.good()
        && system.is_whole(system.environment.good())
    {
        refused.push(format!(
            "slot {running} runs, but slot {} is the good one: restart first",
            system.environment.good()
        ));
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::Refused(refused.join("\n"))) }
}

/// Prints what would change.
///
/// # Errors
/// The flash or the image cannot be read.
pub(super) fn print(system: &System, source: &Source, keys: &[keys::Key]) -> Result<(), std::io::Error> {
    let new = &source.header;
    let old = system.running.and_then(|slot| system.header(slot));
    let mut text = String::new();
    let mut line = |what: &str, said: std::fmt::Arguments<'_>| {
        // Text takes whatever is written to it.
        let _ = writeln!(text, "{what:<9} {said}");
    };
    line("board", format_args!("{}", new.board));
    match &old {
        Some(old) => line("version", format_args!("{} -> {}", old.version, new.version)),
        None => line("version", format_args!("{}", new.version)),
    }
    if let Some(key) = keys::signer(new, keys) {
        let owner = if key.owner.is_empty() { "a known key" } else { &key.owner };
        line("signed", format_args!("by {}", Escaped(owner)));
    }
    let room = system.flash.layout.slot;
    let slot = system.running.map_or(Slot::A, Slot::other);
    let had = system.header(slot).map_or("nothing".to_owned(), |header| header.version.to_string());
    line("slot", format_args!("{slot} is written, which has {had} now: {} of {room} bytes", new.len));
    line("kernel", format_args!("{}", difference(old.map(|old| old.kernel), new.kernel)));
    line("root", format_args!("{}", difference(old.map(|old| old.root), new.root)));
    let new_files = read(&new.manifest, |at, out| source.read(at, out))?;
    let old_files = match (old, system.running) {
        (Some(old), Some(slot)) => {
            read(&old.manifest, |at, out| system.flash.read(Part::Slot(slot), at, out))?
        }
        _ => Vec::new(),
    };
    if let (Ok(before), Ok(after)) = (Manifest::parse(&old_files), Manifest::parse(&new_files))
        && !old_files.is_empty()
        && !new_files.is_empty()
    {
        files(&mut text, before.changes(&after));
    }
    print!("{text}");
    Ok(())
}

fn files<'a>(text: &mut String, changes: impl Iterator<Item = Change<'a>>) {
    let (mut lines, mut services) = (String::new(), Vec::new());
    let (mut count, mut bytes) = (0_u32, 0_i64);
    for change in changes {
        let sign = match change {
            Change::Added(_) => '+',
            Change::Removed(_) => '-',
            Change::Changed(..) => '~',
        };
        // Text takes whatever is written to it.
        let _ = writeln!(lines, "  {sign} {} ({:+} bytes)", Escaped(change.path()), change.bytes());
        count += 1;
        bytes += change.bytes();
        if let Some(service) = change.path().strip_prefix(SERVICES) {
            services.push(service.split(['/', '.']).next().unwrap_or(service));
        }
    }
    services.dedup();
    let _ = writeln!(text, "{:<9} {count} differ, {bytes:+} bytes", "files");
    text.push_str(&lines);
    if !services.is_empty() {
        let _ = writeln!(text, "{:<9} {} are defined otherwise", "services", services.join(", "));
    }
}

fn difference(old: Option<Piece>, new: Piece) -> String {
    match old {
        Some(old) if old.sha256 == new.sha256 => format!("the same, {} bytes", new.len),
        Some(old) => {
            let more = i64::from(new.len) - i64::from(old.len);
            format!("{} -> {} bytes ({more:+}), sha256 {}", old.len, new.len, new.sha256)
        }
        None => format!("{} bytes, sha256 {}", new.len, new.sha256),
    }
}

fn read(piece: &Piece, read: impl FnOnce(u32, &mut [u8]) -> std::io::Result<()>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(piece.len).unwrap_or_default()];
    if !bytes.is_empty() {
        read(piece.offset, &mut bytes)?;
    }
    Ok(bytes)
}
