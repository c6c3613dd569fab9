//! Building the programs: for this machine, and static and small for the image.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, setup, shell, toolchain};

/// Every program of the image is built for it.
const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// The multi-call program for this machine, as `cargo xtask run` starts it.
pub fn release() -> Result<PathBuf> {
    setup::need(setup::BUILD)?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "lunix"]))?;
    Ok(paths::target().join("release/lunix"))
}

/// natsd alone, fast rather than small.
pub fn natsd() -> Result<PathBuf> {
    setup::need(setup::BUILD)?;
    let mut command = shell::cargo();
    command.args([
        "build",
        "--release",
        "--package",
        "lunix",
        "--no-default-features",
        "--features",
        "natsd,jwt,leaf,monitoring",
    ]);
    shell::run(&mut command)?;
    Ok(paths::target().join("release/lunix"))
}

/// How the size build gets its standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Std {
    /// Compiled for size together with the program: 300 KB less. Cargo calls it unstable, so it takes the
    /// bootstrap switch; the compiler is the pinned one all the same.
    Own,
    /// As rustup ships it.
    Prebuilt,
}

/// What is in the static program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// Every daemon and command: what the image ships.
    All,
    /// natsd, natsdev and natstoast alone, natsd with everything but TLS.
    Daemons,
    /// The same three, natsd with nothing that can be left out.
    DaemonsBare,
    /// natsd alone, with everything but TLS.
    Natsd,
    /// natsd alone, with nothing that can be left out.
    NatsdBare,
}

/// The command that makes the static multi-call program, where it leaves it, and with which library.
pub fn size_command(programs: Programs) -> Result<(Command, PathBuf, Std)> {
    setup::need(setup::BUILD)?;
    toolchain::complete()?;
    let std = if toolchain::has_source()? { Std::Own } else { Std::Prebuilt };
    let mut command = shell::cargo();
    command.args(["build", "--package", "lunix", "--profile", "size", "--target", STATIC_TARGET]);
    // TLS is left out: it would double the program, and its C code needs a compiler for musl.
    let features = match programs {
        Programs::All => "natsd,jwt,leaf,monitoring,natsdev,udevadm,natsinit,natsmount,natstoast,commands",
        Programs::Daemons => "natsd,jwt,leaf,monitoring,natsdev,natstoast",
        Programs::DaemonsBare => "natsd,natsdev,natstoast",
        Programs::Natsd => "natsd,jwt,leaf,monitoring",
        Programs::NatsdBare => "natsd",
    };
    command.args(["--no-default-features", "--features", features]);
    if std == Std::Own {
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"]);
        // Nothing unwinds, and a panic is an illegal instruction: its messages and what prints them would be a fifth
        // of the program, the tables an eighth, relocations at its start a twelfth. The kernel logs where it was
        // ("invalid opcode ip:"), and at that address it is in the same program with `--config profile.size.strip=false`.
        // `{:?}` writes nothing; clippy sees to it that nobody needs what it would. The toolchain's own linker
        // neither pads segments to pages nor keeps functions that are the same: 10 KB.
        let flags = [
            "-Cforce-unwind-tables=no",
            "-Crelocation-model=static",
            "-Zunstable-options",
            "-Cpanic=immediate-abort",
            "-Zfmt-debug=none",
            "-Clinker-features=+lld",
            "-Clink-self-contained=+linker",
            "-Clink-arg=-Wl,--icf=all",
        ];
        let flags = format!("target.{STATIC_TARGET}.rustflags={flags:?}");
        command.args(["--config", &flags]);
    }
    let program = paths::target().join(STATIC_TARGET).join("size/lunix");
    Ok((command, program, std))
}

/// The static multi-call program, as the image ships it.
pub fn size() -> Result<PathBuf> {
    let (mut command, program, std) = size_command(Programs::All)?;
    if std == Std::Prebuilt {
        eprintln!("build: no rust-src here, so the standard library is the prebuilt one: about 300 KB more");
    }
    shell::run(&mut command).context("build the static program")?;
    Ok(program)
}
