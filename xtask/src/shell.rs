//! Running other programs: every failure names the command line that failed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let mut out = String::new();
    for word in std::iter::once(command.get_program()).chain(command.get_args()) {
        if !out.is_empty() {
            out.push(' ');
        }
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if word.chars().all(plain) && !word.is_empty() {
            out.push_str(&word);
        } else {
            out.push('\'');
            out.push_str(&word.replace('\'', r"'\''"));
            out.push('\'');
        }
    }
    out
}

/// Runs it with the terminal as its own; fails unless it exits with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}`: {status}", line(command));
    }
    Ok(())
}

/// Runs it without a word; what it printed is shown only if it fails.
pub fn quiet(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}

/// Runs it and returns its standard output.
pub fn read(command: &mut Command) -> Result<String> {
    // Said again here: who ran it before may have led them elsewhere.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("start `{}`", line(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}`: {}\n{stdout}{stderr}", line(command), output.status);
    }
    Ok(stdout)
}

/// Finds a program in `$PATH`, and where root's programs are kept.
pub fn which(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|dir| dir.join(program.as_ref()))
        .find(|file| fs::metadata(file).is_ok_and(|meta| meta.is_file()))
}

/// The Cargo that started us.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::paths::root());
    command
}

/// `path` as seen from the repository's root.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(crate::paths::root()).unwrap_or(path).display().to_string()
}
