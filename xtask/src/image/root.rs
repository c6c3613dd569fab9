//! The root file system: a squashfs of what the manifest names. The same files make the same bytes, whoever makes it, and
//! nobody needs to be root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::board::Board;
use super::foreign;
use super::manifest::{self, Entry};
use crate::paths::Scratch;
use crate::vm::guest;
use crate::{compile, shell};

/// The programs of the root file system, by the name that the manifest has for them.
#[derive(Clone)]
pub struct Programs {
    /// The multi-call program.
    pub lunix: PathBuf,
    /// Of Debian.
    pub busybox: PathBuf,
    /// natsws, for a board that has it.
    pub bridge: Option<PathBuf>,
}

impl Programs {
    /// Builds and fetches them.
    pub fn of(board: &Board) -> Result<Self> {
        let busybox = match board.debian {
            "amd64" => guest::busybox()?,
            other => foreign::fetch(other, &["busybox-static"])?.join("bin/busybox"),
        };
        let bridge = board.web.then(|| compile::size_for(board, compile::Programs::Web)).transpose()?;
        Ok(Self { lunix: compile::size_for(board, compile::Programs::All)?, busybox, bridge })
    }

    fn file(&self, name: &str) -> Result<&Path> {
        match (name, &self.bridge) {
            ("lunix", _) => Ok(&self.lunix),
            ("busybox", _) => Ok(&self.busybox),
            ("lunix-bridge", Some(bridge)) => Ok(bridge),
            _ => bail!(
                "targets: no program is called {name}; there are lunix, busybox and, with --web, lunix-bridge"
            ),
        }
    }
}

/// Makes the file system in `to`, and returns the list of its files as `core::slots::manifest` wants it.
pub fn write(board: &Board, programs: &Programs, to: &Path) -> Result<String> {
    let entries = manifest::read(board)?;
    let parent = to.parent().context("the image has no folder")?;
    let scratch = Scratch::under(parent)?;
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree)?;
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))?;
    let mut special = String::new();
    for entry in &entries {
        let path = tree.join(entry.path().trim_start_matches('/'));
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        let copy = |from: &Path, mode: u32| -> Result<()> {
            fs::write(&path, fs::read(from).with_context(|| format!("read {}", from.display()))?)?;
            Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
        };
        match entry {
            Entry::Directory(_, mode) => {
                fs::create_dir_all(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
            }
            Entry::File(name, mode) => copy(&manifest::source(board, name)?, *mode)?,
            Entry::Program(_, name) => copy(programs.file(name)?, 0o755)?,
            Entry::Link(_, target) => symlink(target, &path)?,
            Entry::Character(name, mode, major, minor) => {
                special += &format!("{name} c {mode:o} 0 0 {major} {minor}\n");
            }
        }
    }
    let pseudo = scratch.path().join("pseudo");
    fs::write(&pseudo, special)?;
    let _ = fs::remove_file(to);
    shell::quiet(
        Command::new("mksquashfs")
            .arg(&tree)
            .arg(to)
            .args(["-comp", "xz", "-b", &board.block.to_string(), "-Xbcj", board.filter])
            // Times, owners and the number of processors are those of whoever makes it; none of that gets in.
            .args([
                "-all-root",
                "-no-xattrs",
                "-noappend",
                "-no-progress",
                "-quiet",
                "-mkfs-time",
                "0",
                "-all-time",
                "0",
            ])
            .args(["-processors", "1", "-pf"])
            .arg(&pseudo)
            .env_remove("SOURCE_DATE_EPOCH"),
    )?;
    files(&tree, &entries)
}

/// A line a file: a hash over its mode and what is in it, its bytes, its path.
fn files(tree: &Path, entries: &[Entry]) -> Result<String> {
    let scratch = Scratch::under(tree.parent().context("no folder")?)?;
    let mut lines = Vec::new();
    for entry in entries {
        let path = tree.join(entry.path().trim_start_matches('/'));
        let content = match entry {
            Entry::Directory(..) | Entry::Character(..) => continue,
            Entry::Link(_, target) => [b"120777 ".as_slice(), target.as_bytes()].concat(),
            Entry::File(..) | Entry::Program(..) => {
                let mode = format!("{:o} ", fs::metadata(&path)?.permissions().mode() | 0o100_000);
                [mode.as_bytes(), &fs::read(&path)?].concat()
            }
        };
        let space = content.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let file = scratch.path().join("content");
        fs::write(&file, &content)?;
        let digest = super::flash::sha256(&file)?;
        lines.push((
            entry.path().to_owned(),
            format!("{} {} {}\n", &digest[..16], content.len() - space, entry.path()),
        ));
    }
    lines.sort();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}
