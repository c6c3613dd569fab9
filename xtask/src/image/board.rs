//! The boards for which images are built.

use anyhow::{Context, Result};
use lunix_core::slots::Layout;

use crate::paths;

/// What is to be known of a board to build for it and to boot it in QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What people call it; what is special about it is in `targets/<name>/`.
    pub name: &'static str,
    /// `ARCH` of the kernel's build.
    pub arch: &'static str,
    /// What the names of its compiler and linker begin with; empty for this machine's own.
    pub cross: &'static str,
    /// What the kernel's build makes.
    pub make: &'static str,
    /// Where that is, from the build's folder on.
    pub kernel: &'static str,
    /// rustc's name of it.
    pub target: &'static str,
    /// Debian's name of it.
    pub debian: &'static str,
    /// The branch filter with which xz packs its programs smaller.
    pub filter: &'static str,
    /// Bytes of the root file system that are packed together, at most 1 MiB. Eight times as much is 7 % less flash and
    /// 5 MB more memory.
    pub block: u32,
    /// What the kernel calls the flash.
    pub flash: &'static str,
    /// What the boot loader puts first on the kernel's command line.
    pub options: &'static str,
    /// The terminal of the console.
    pub console: &'static str,
    /// natsws is in it, for which the usual flash has no room: it has one twice as large.
    pub web: bool,
}

/// In the order in which they are built.
pub const BOARDS: &[Board] = &[
    Board {
        name: "x86_64",
        arch: "x86_64",
        cross: "",
        make: "bzImage",
        kernel: "arch/x86/boot/bzImage",
        target: "x86_64-unknown-linux-musl",
        debian: "amd64",
        filter: "x86",
        block: 256 << 10,
        flash: "flash",
        options: "console=ttyS0 quiet panic=5 block2mtd.block2mtd=/dev/vda,65536,flash",
        console: "ttyS0",
        web: false,
    },
    Board {
        name: "arm-virt",
        arch: "arm",
        cross: "arm-linux-gnueabihf-",
        make: "zImage",
        kernel: "arch/arm/boot/zImage",
        target: "armv7-unknown-linux-musleabihf",
        debian: "armhf",
        filter: "armthumb",
        block: 1 << 20,
        flash: "0.flash",
        options: "console=ttyAMA0 quiet panic=5",
        console: "ttyAMA0",
        web: false,
    },
];

/// The same, with the page of natsws.
const WITH_WEB: &[Board] = &[BOARDS[0].with_web(), BOARDS[1].with_web()];

impl Board {
    const fn with_web(self) -> Self {
        Self { web: true, ..self }
    }

    /// The board of this name; with the page of natsws, if `web`.
    pub fn of(name: &str, web: bool) -> Result<&'static Self> {
        let boards = if web { WITH_WEB } else { BOARDS };
        boards.iter().find(|board| board.name == name).with_context(|| format!("no board is called {name}"))
    }

    /// What is special about it.
    pub fn folder(&self) -> std::path::PathBuf {
        paths::root().join("targets").join(self.name)
    }

    /// Where the parts of its flash are.
    pub fn layout(&self) -> Result<Layout> {
        let usual = Layout::of_board(self.name);
        let usual = usual.with_context(|| format!("{} has no layout in core::slots", self.name))?;
        Ok(if self.web { usual.doubled() } else { usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_what_an_image_needs() {
        for board in BOARDS.iter().chain(WITH_WEB) {
            let layout = board.layout().unwrap();
            layout.check().unwrap();
            assert_eq!(layout.len(), if board.web { 16 << 20 } else { 8 << 20 }, "{}", board.name);
            assert_eq!(Board::of(board.name, board.web).unwrap(), board);
            for file in ["kernel.fragment", "manifest", "budget.toml"] {
                assert!(board.folder().join(file).exists(), "targets/{}/{file}", board.name);
            }
        }
    }
}
