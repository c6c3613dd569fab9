//! Files in TOML: what the services are (`/etc/lunix/services/`), and PID 1's own settings (`/etc/lunix/init.toml`).
//! docs/services.md is the reference of both.

mod changes;
mod folder;
mod graph;
mod init;
mod policy;
mod read;
mod values;
mod world;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use changes::{Changes, diff};
pub(crate) use init::{Clock, CtrlAltDel, InitSettings, Interface, Mount, Watchdog};
#[cfg(feature = "import-unit")]
pub(crate) use values::{CAPABILITIES, is_name};

use super::definition::Definition;
use crate::config::{self, Mistake};
use world::World;

/// Where the definitions of services are.
pub(crate) const SERVICES: &str = "/etc/lunix/services";
/// PID 1's settings.
pub(crate) const INIT: &str = "/etc/lunix/init.toml";

/// What a folder of services says.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The services without a mistake whose needs are all here; sorted by name.
    pub(crate) definitions: Vec<Definition>,
    /// The services that are left out, sorted, each with why in a few words: `its file has a mistake`, `it needs b`.
    pub(crate) left_out: Vec<(String, String)>,
    /// All mistakes, by file and line, each displayed in one line.
    pub(crate) mistakes: Vec<Mistake>,
}

/// Reads the services of `folder`: each `NAME.toml`, and its drop-ins `NAME.toml.d/*.toml` in the order of their names.
/// A folder that is not there has no services. Those of the names `given` are there without a file.
pub(crate) fn load(folder: &Path, given: &[String]) -> Loaded {
    let (services, mistakes) = folder::services(folder);
    graph::check(services, mistakes, &World::here(given))
}

/// Reads PID 1's settings. What is wrong is as if it were not there; a file that is not there is all defaults.
pub(crate) fn load_init(file: &Path) -> (InitSettings, Vec<Mistake>) {
    let text = match folder::text(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Default::default(),
        Err(error) => return (InitSettings::default(), vec![Mistake::of_file(file, &error)]),
    };
    init_settings(file, &text)
}

fn init_settings(file: &Path, text: &str) -> (InitSettings, Vec<Mistake>) {
    let mut section = config::parse_toml(file, text);
    let settings = init::settings(&mut section);
    (settings, section.finish().err().map(config::Mistakes::into_vec).unwrap_or_default())
}

/// Prints every mistake in the services of `folder`, one a line on stderr, and which services are left out for them.
/// 0 if there is none, else 2. Services of the names `given` are there without a file.
pub(crate) fn check(folder: &Path, given: &[String]) -> ExitCode {
    let loaded = match std::fs::read_dir(folder) {
        Ok(_) => load(folder, given),
        Err(error) => Loaded { mistakes: vec![Mistake::of_file(folder, &error)], ..Loaded::default() },
    };
    for mistake in &loaded.mistakes {
        eprintln!("{mistake}");
    }
    for (name, why) in loaded.left_out.iter().filter(|(_, why)| why != graph::MISTAKE) {
        eprintln!("{}: {name}: left out, as {why}", folder.display());
    }
    if loaded.mistakes.is_empty() {
        let count = loaded.definitions.len();
        println!("{}: {count} service{}", folder.display(), if count == 1 { "" } else { "s" });
        return ExitCode::SUCCESS;
    }
    ExitCode::from(2)
}

/// Such text is a signal's name or number.
#[cfg(feature = "import-unit")]
pub(crate) fn is_signal(text: &str) -> bool {
    values::signal_of(text).is_some()
}

/// What is wrong on this machine with services whose files are `files`, by name and text; one a line.
#[cfg(feature = "import-unit")]
pub(crate) fn check_texts(files: &[(&str, &str)]) -> Vec<String> {
    let (services, mistakes) = folder::of_texts(files);
    graph::check(services, mistakes, &World::here(&[])).mistakes.iter().map(ToString::to_string).collect()
}

/// What is wrong with services whose files are `files`, by name and text, and `init` as PID 1's settings: for the fuzzer,
/// which has no machine. Drop-ins are named `NAME.toml.d/OTHER.toml`.
#[doc(hidden)]
pub fn mistakes_of(files: &[(&str, &str)], init: &str) -> Vec<String> {
    let (services, mistakes) = folder::of_texts(files);
    let loaded = graph::check(services, mistakes, &World::default());
    let (_, wrong) = init_settings(Path::new("init.toml"), init);
    let same = diff(&loaded.definitions, &loaded.definitions);
    debug_assert!(same.is_empty());
    loaded.mistakes.iter().chain(&wrong).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
