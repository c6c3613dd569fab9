//! `cargo xtask run`: lunix on this machine, as the README promises it. `cargo xtask inject`: hardware for it.
//! `cargo xtask soak init`: chaos.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{compile, paths, setup, shell};

/// Builds, then becomes `lunix up` with these arguments; returns only to say why it could not.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    let program = compile::release()?;
    let why = Command::new(&program).arg("up").args(args).exec();
    Err(why).with_context(|| format!("start {}", program.display()))
}

/// Builds `lunix-inject`, then becomes it; returns only to say why it could not.
pub fn inject<'a>(args: impl IntoIterator<Item = &'a OsString>) -> Result<()> {
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "lunix-inject"]))?;
    let program = paths::target().join("debug/lunix-inject");
    let why = Command::new(&program).args(args).exec();
    Err(why).with_context(|| format!("start {}", program.display()))
}

/// The long form of natsinit's chaos: ten thousand turns, and a flood of a whole gigabyte.
pub fn chaos() -> Result<()> {
    setup::need(setup::PYTHON)?;
    let mut command = shell::cargo();
    command.args([
        "test",
        "--release",
        "--package",
        "lunix",
        "--test",
        "init_chaos",
        "--test",
        "init_hostile",
    ]);
    command.args(["--", "--nocapture", "--test-threads=1"]).env("LUNIX_CHAOS", "10000");
    shell::run(&mut command)
}
