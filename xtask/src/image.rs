//! `cargo xtask image`: the flash of a board, from its parts, and what each part weighs.

pub mod board;
pub mod budget;
pub mod flash;
pub mod foreign;
pub mod kernel;
pub mod manifest;
pub mod root;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::board::Board;
use self::budget::Size;
use self::root::Programs;
use crate::{compile, paths, setup, shell};

/// An image and what it was made of, in files.
pub struct Image {
    /// Whose.
    pub board: &'static Board,
    /// What it was made of.
    pub made: Made,
    /// The root file system.
    pub root: PathBuf,
    /// What a slot gets, and what `lunix upgrade` is given.
    pub slot: PathBuf,
    /// The whole flash of a new device.
    pub flash: PathBuf,
}

/// Builds everything, into `target/image/<board>/`; with the page, `<board>-web`.
pub fn build(board: &'static Board) -> Result<Image> {
    setup::need(setup::IMAGE)?;
    let kernel = kernel::build(board)?;
    let programs = Programs::of(board)?;
    let loader = compile::loader(board)?;
    let folder = if board.web { format!("{}-web", board.name) } else { board.name.to_owned() };
    let folder = paths::target().join("image").join(folder);
    fs::create_dir_all(&folder)?;
    assemble(board, Made { loader, kernel, programs }, &folder)
}

/// What an image is made of.
#[derive(Clone)]
pub struct Made {
    /// The boot loader, for a board with one of its own.
    pub loader: Option<Vec<u8>>,
    /// The kernel.
    pub kernel: PathBuf,
    /// The programs of the root file system.
    pub programs: Programs,
}

/// Makes the root, the slot and the flash in `folder`, of what is there.
pub fn assemble(board: &'static Board, made: Made, folder: &Path) -> Result<Image> {
    let [root, manifest, slot, whole] =
        ["root.squashfs", "manifest", "slot.image", "flash"].map(|name| folder.join(name));
    fs::write(&manifest, root::write(board, &made.programs, &root)?)?;
    let parts =
        flash::Parts { options: board.options, kernel: &made.kernel, root: &root, manifest: &manifest };
    let bytes = flash::slot(board, env!("CARGO_PKG_VERSION"), &parts)?;
    fs::write(&slot, &bytes).with_context(|| format!("write {}", slot.display()))?;
    fs::write(
        &whole,
        flash::assemble(&board.layout()?, made.loader.as_deref().unwrap_or_default(), &bytes)?,
    )?;
    Ok(Image { board, made, root, slot, flash: whole })
}

impl Image {
    /// What each part weighs, as `targets/<board>/budget.toml` calls it.
    pub fn sizes(&self) -> Result<Vec<Size>> {
        let size = |name: &'static str, file: &Path| -> Result<Size> {
            let bytes = fs::metadata(file).with_context(|| format!("look at {}", file.display()))?.len();
            Ok(Size { name, bytes })
        };
        Ok(vec![
            size("lunix", &self.made.programs.lunix)?,
            size("busybox", &self.made.programs.busybox)?,
            size("kernel", &self.made.kernel)?,
            size("root", &self.root)?,
            size("slot", &self.slot)?,
            size("flash", &self.flash)?,
        ])
    }
}

/// Builds the image of a board, and prints what it weighs beside what it may.
pub fn run(name: &str) -> Result<()> {
    let image = build(Board::of(name, false)?)?;
    let budget = budget::read(image.board)?;
    let sizes = image.sizes()?;
    print!("{}", budget::chart(&sizes, &budget));
    println!(
        "{}: {} in a slot of {}",
        shell::shown(&image.flash),
        shell::shown(&image.slot),
        image.board.layout()?.slot
    );
    Ok(())
}
