//! `cargo xtask fuzz`: discovery with libFuzzer. What it finds lands under `target/`; only what `--minimise`
//! picks goes into the committed corpus.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{paths, shell};

/// The names of all targets.
pub fn names() -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(paths::root().join("fuzz/fuzz_targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Fuzzes for so many seconds, from the committed corpus and from what earlier runs found.
pub fn run(name: &str, seconds: u64) -> Result<()> {
    let found = found(name)?;
    let committed = committed(name)?;
    let mut command = cargo_fuzz(name)?;
    command.arg(&found).arg(&committed).args(["--", &format!("-max_total_time={seconds}")]);
    // Nearly all inputs are far smaller, and every limit of the parsers lies below.
    command.args(["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    let dictionary = paths::root().join("fuzz/dictionaries").join(name).with_extension("dict");
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    shell::run(&mut command)
}

/// Adds to the committed corpus the least of the found inputs that reaches what they all reach together.
pub fn minimise(name: &str) -> Result<()> {
    let found = found(name)?;
    let committed = committed(name)?;
    let before = fs::read_dir(&committed)?.count();
    shell::run(cargo_fuzz(name)?.arg(&committed).arg(&found).args(["--", "-merge=1"]))?;
    let after = fs::read_dir(&committed)?.count();
    println!("{}: {before} inputs before, {after} after", shell::shown(&committed));
    Ok(())
}

fn found(name: &str) -> Result<PathBuf> {
    if !names()?.iter().any(|known| known == name) {
        bail!("no target {name}; `cargo xtask fuzz --list` names them");
    }
    let folder = paths::target().join("fuzz-corpus").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn committed(name: &str) -> Result<PathBuf> {
    let folder = paths::root().join("fuzz/corpus").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn cargo_fuzz(name: &str) -> Result<Command> {
    if shell::which("cargo-fuzz").is_none() {
        bail!("cargo-fuzz is missing: cargo install --locked cargo-fuzz");
    }
    // Not the Cargo that started us: that one is pinned, and only rustup's knows `+nightly`.
    let mut command = Command::new("cargo");
    command.current_dir(paths::root()).args(["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz"]);
    command.args(["--features", "libfuzzer", name]);
    Ok(command)
}
