//! `natsdev hwdb`: makes the table, and asks it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Built, Mapped, TABLES, build};
use crate::cli::{Matches, UsageError};
use crate::log::{self, Level};
use crate::natsdev::NAME;
use crate::natsdev::builtins::{Properties, lines};
use crate::natsdev::device::Root;

/// Where the texts are; a file hides those of its name in later folders.
const FOLDERS: [&str; 3] = ["/etc/udev/hwdb.d", "/run/udev/hwdb.d", "/usr/lib/udev/hwdb.d"];

/// Runs `natsdev hwdb update` or `natsdev hwdb query MODALIAS`.
pub(in crate::natsdev) fn run(matches: &Matches) -> ExitCode {
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let result = match matches.argument(1).map(OsStr::as_bytes) {
        Some(b"update") => update(&root, TABLES[0], !matches.has("skip-mistakes")).map(|built| {
            built.mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
            let refused = !built.mistakes.is_empty() && !matches.has("skip-mistakes");
            if refused { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }),
        Some(b"query") => match matches.argument(2) {
            Some(name) => query(&root, name.as_bytes()).map(|properties| {
                // A reader that went away is no error of ours.
                let _ = io::stdout().lock().write_all(&lines(&properties));
                if properties.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
            }),
            None => return usage(matches, "expected MODALIAS"),
        },
        _ => return usage(matches, "expected 'hwdb update' or 'hwdb query MODALIAS'"),
    };
    result.unwrap_or_else(|error| {
        log::line(Level::Error, NAME, error);
        ExitCode::FAILURE
    })
}

fn usage(matches: &Matches, expected: &str) -> ExitCode {
    let error: UsageError = matches.error(expected);
    error.report()
}

/// Makes the table `path` of the texts, if there is no mistake in them or `strict` is not asked for.
pub(in crate::natsdev) fn update(root: &Root, path: &str, strict: bool) -> io::Result<Built> {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.path(folder)).collect();
    let built = build(&folders)?;
    let Built { table, mistakes, patterns } = &built;
    if mistakes.is_empty() || !strict {
        let path = root.path(path);
        write(&path, table)?;
        let said = format_args!("{}: {patterns} patterns, {} bytes", path.display(), table.len());
        log::line(Level::Info, NAME, said);
    }
    Ok(built)
}

/// Whoever reads meanwhile has the old one or the new one, whole.
fn write(path: &Path, table: &[u8]) -> io::Result<()> {
    let new = path.with_extension(format!("lunix.{}", std::process::id()));
    let written = (|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&new)?;
        file.write_all(table)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// What the table knows of `name`.
pub(in crate::natsdev) fn query(root: &Root, name: &[u8]) -> io::Result<Properties> {
    let Some(mapped) = Mapped::open(root)? else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no table; 'natsdev hwdb update' makes one",
        ));
    };
    let matches = mapped.hwdb()?.lookup(name);
    let mut properties = Properties::new();
    for (key, value) in matches.properties() {
        match properties.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value.to_vec(),
            None => properties.push((key.to_vec(), value.to_vec())),
        }
    }
    Ok(properties)
}
