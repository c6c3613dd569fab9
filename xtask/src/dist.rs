//! `cargo xtask dist`: the programs, their manual pages and completions, all from the tables of `lunix::cli`.
//!
//! What reads the tables stands behind the feature `dist`, so that everybody else's first `cargo xtask` need
//! not compile the daemons.

#[cfg(feature = "dist")]
mod pages;

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result};

use crate::compile::Programs;
use crate::{compile, paths, shell};

/// Writes `target/dist/{bin,man,completions}`.
pub fn run() -> Result<()> {
    let folder = paths::target().join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("bin"))?;
    shell::run(shell::cargo().args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "dist",
        "--",
        "dist",
        "--pages",
    ]))?;
    for programs in [Programs::All, Programs::Bridge] {
        let program = compile::size_of(programs)?;
        let installed = folder.join("bin").join(program.file_name().unwrap_or_default());
        fs::copy(&program, &installed).with_context(|| format!("copy {}", program.display()))?;
    }
    for line in fs::read_to_string(folder.join("links"))?.lines() {
        let (link, program) = line.split_once(' ').context("a link and its program")?;
        symlink(program, folder.join("bin").join(link))?;
    }
    fs::remove_file(folder.join("links"))?;
    println!("{}:", shell::shown(&folder));
    for part in ["bin", "man/man1", "completions/bash", "completions/zsh", "completions/fish"] {
        let mut names: Vec<String> = fs::read_dir(folder.join(part))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        println!("  {part}: {}", names.join(" "));
    }
    Ok(())
}

/// The half that knows the tables.
#[cfg(feature = "dist")]
pub fn pages() -> Result<()> {
    pages::write(&paths::target().join("dist"))
}

/// The half that knows the tables.
#[cfg(not(feature = "dist"))]
pub fn pages() -> Result<()> {
    anyhow::bail!("this xtask was built without the feature `dist`")
}
