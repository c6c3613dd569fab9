//! Building the programs: for this machine, and static and small for the image.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::board::Board;
use crate::image::foreign;
use crate::{paths, setup, shell, toolchain};

/// Static programs for this machine are built for it.
const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// Of [`Programs::All`], which the image ships. TLS is left out: it would double the program, and its C code needs a
/// compiler for musl.
const ALL: &str = "natsd,jwt,leaf,monitoring,natsdev,udevadm,natsinit,natsmount,natstoast,commands,upgrade";

/// Of [`Programs::Bridge`]. With TLS: what faces other machines is not without.
const BRIDGE: &str = "natsmqtt,natsws,credentials,tls";

/// Of [`Programs::Web`]. Without TLS, as [`ALL`] is.
const WEB: &str = "natsws";

/// Nothing unwinds, and a panic is an illegal instruction: its messages and what prints them would be a fifth
/// of the program, the tables an eighth, relocations at its start a twelfth. The kernel logs where it was
/// ("invalid opcode ip:"), and at that address it is in the same program with `--config profile.size.strip=false`.
/// `{:?}` writes nothing; clippy sees to it that nobody needs what it would.
const SMALL: [&str; 5] = [
    "-Cforce-unwind-tables=no",
    "-Crelocation-model=static",
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
    "-Zfmt-debug=none",
];

/// The multi-call program for this machine, as `cargo xtask run` starts it, with that of the bridges beside it.
pub fn release() -> Result<PathBuf> {
    setup::need(setup::BUILD)?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "lunix",
        "--package",
        "lunix-bridge",
    ]))?;
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
    /// The bridges: natsmqtt and natsws.
    Bridge,
    /// natsws alone, without TLS: what a board has that is to show the page.
    Web,
}

impl Programs {
    /// The package, which its program is called after.
    fn package(self) -> &'static str {
        if matches!(self, Self::Bridge | Self::Web) { "lunix-bridge" } else { "lunix" }
    }

    fn features(self) -> &'static str {
        match self {
            Self::All => ALL,
            Self::Daemons => "natsd,jwt,leaf,monitoring,natsdev,natstoast",
            Self::DaemonsBare => "natsd,natsdev,natstoast",
            Self::Natsd => "natsd,jwt,leaf,monitoring",
            Self::NatsdBare => "natsd",
            Self::Bridge => BRIDGE,
            Self::Web => WEB,
        }
    }
}

/// The command that makes the static multi-call program, where it leaves it, and with which library.
pub fn size_command(programs: Programs) -> Result<(Command, PathBuf, Std)> {
    setup::need(setup::BUILD)?;
    if programs == Programs::Bridge {
        setup::need(setup::MUSL)?;
    }
    toolchain::complete()?;
    let std = if toolchain::has_source()? { Std::Own } else { Std::Prebuilt };
    let mut command = shell::cargo();
    command.args(["build", "--package", programs.package(), "--profile", "size", "--target", STATIC_TARGET]);
    command.args(["--no-default-features", "--features", programs.features()]);
    if std == Std::Own {
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"]);
        // The toolchain's own linker neither pads segments to pages nor keeps functions that are the same: 10 KB.
        let own = ["-Clinker-features=+lld", "-Clink-self-contained=+linker", "-Clink-arg=-Wl,--icf=all"];
        let flags = [SMALL.as_slice(), &own].concat();
        let flags = format!("target.{STATIC_TARGET}.rustflags={flags:?}");
        command.args(["--config", &flags]);
    }
    let program = paths::target().join(STATIC_TARGET).join("size").join(programs.package());
    Ok((command, program, std))
}

/// The static multi-call program, as the image ships it.
pub fn size() -> Result<PathBuf> {
    size_of(Programs::All)
}

/// The static program.
pub fn size_of(programs: Programs) -> Result<PathBuf> {
    let (mut command, program, std) = size_command(programs)?;
    if std == Std::Prebuilt {
        eprintln!("build: no rust-src here, so the standard library is the prebuilt one: about 300 KB more");
    }
    shell::run(&mut command).context("build the static program")?;
    Ok(program)
}

/// The same for a board; for the processor of this machine it is the very same program.
pub fn size_for(board: &Board, programs: Programs) -> Result<PathBuf> {
    if board.target == STATIC_TARGET {
        return size_of(programs);
    }
    toolchain::complete()?;
    ensure!(
        toolchain::has_source()?,
        "no rust-src here, and no prebuilt standard library for {}",
        board.target
    );
    let musl = musl(board)?;
    let mut command = shell::cargo();
    command.env("RUSTC_BOOTSTRAP", "1");
    command.args(["build", "--package", programs.package(), "--profile", "size", "--target", board.target]);
    command.args(["--no-default-features", "--features", programs.features()]);
    command.args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"]);
    let start =
        ["crt1.o", "crti.o", "crtn.o"].map(|file| format!("-Clink-arg={}", musl.join(file).display()));
    let libraries = format!("-Lnative={}", musl.display());
    // Thumb is a quarter smaller than ARM.
    let own = [
        "-Ctarget-feature=+thumb-mode",
        "-Clinker=rust-lld",
        "-Clinker-flavor=gnu-lld",
        "-Clink-self-contained=no",
    ];
    let flags: Vec<&str> = SMALL
        .into_iter()
        .chain(own)
        .chain(["-Clink-arg=--icf=all", &libraries])
        .chain(start.iter().map(String::as_str))
        .collect();
    command.args(["--config", &format!("target.{}.rustflags={flags:?}", board.target)]);
    // It calls a feature unstable in every crate.
    command.env("CARGO_TERM_QUIET", "true").arg("--quiet");
    shell::quiet(&mut command).with_context(|| format!("build the static program for {}", board.name))?;
    Ok(paths::target().join(board.target).join("size").join(programs.package()))
}

/// musl's library and start files. Nothing unwinds, so of libunwind there need be no more than the name.
fn musl(board: &Board) -> Result<PathBuf> {
    let tree = foreign::fetch(board.debian, &["musl-dev"])?;
    let folder = tree.join("usr/lib/arm-linux-musleabihf");
    ensure!(folder.join("libc.a").exists(), "no {} in Debian's musl-dev", folder.display());
    std::fs::write(folder.join("libunwind.a"), "!<arch>\n")?;
    Ok(folder)
}

/// The board's boot loader, as it stands at the beginning of the flash; `None` for a board that has none.
pub fn loader(board: &Board) -> Result<Option<Vec<u8>>> {
    if board.name != "arm-virt" {
        return Ok(None);
    }
    toolchain::complete()?;
    // Its target and how it is linked are told there.
    let folder = paths::root().join("targets/boot-loader");
    let out = paths::target().join("boot-loader");
    let mut command = shell::cargo();
    command.args(["build", "--quiet", "--release", "--target-dir"]).arg(&out).current_dir(folder);
    if board.web {
        command.args(["--features", "flash-16m"]);
    }
    shell::quiet(&mut command).context("build the boot loader")?;
    let file = out.join("armv7a-none-eabi/release/boot-loader");
    std::fs::read(&file).map(Some).with_context(|| format!("read {}", file.display()))
}
