//! `cargo xtask run`: lunix on this machine, as the README promises it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::compile;

/// Builds, then becomes `lunix up` with these arguments; returns only to say why it could not.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    let program = compile::release()?;
    let why = Command::new(&program).arg("up").args(args).exec();
    Err(why).with_context(|| format!("start {}", program.display()))
}
