//! `cargo xtask image`: what the VM boots from, and what each part of it weighs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::vm::guest::{self, Role};
use crate::vm::kernel::Kernel;
use crate::{compile, paths, setup, shell};

/// Builds the static program and the first root with a prompt in it, and prints their sizes.
pub fn run() -> Result<()> {
    setup::need(setup::VM)?;
    let program = compile::size()?;
    let kernel = Kernel::fetch()?;
    let folder = paths::target().join("image");
    fs::create_dir_all(&folder)?;
    let initramfs = folder.join("initramfs.cpio");
    guest::write(&initramfs, &kernel, Some(&program), &Role::Shell)?;
    let modules = kernel.closure(&guest::modules()?)?;
    let modules =
        modules.iter().map(|module| size(&kernel.modules_dir().join(module))).sum::<Result<u64>>()?;
    let rows = [
        (format!("{} (all programs of lunix)", shell::shown(&program)), size(&program)?, xz(&program)?),
        ("busybox".to_owned(), size(&guest::busybox()?)?, xz(&guest::busybox()?)?),
        (format!("modules of {}", kernel.release), modules, None),
        (format!("{} (all of the above)", shell::shown(&initramfs)), size(&initramfs)?, xz(&initramfs)?),
        (format!("vmlinuz-{} (Debian's, packed already)", kernel.release), size(&kernel.packed())?, None),
    ];
    println!("{:>10}  {:>10}", "bytes", "as xz");
    for (name, bytes, packed) in rows {
        let packed = packed.map_or(String::new(), |bytes| bytes.to_string());
        println!("{bytes:>10}  {packed:>10}  {name}");
    }
    Ok(())
}

fn size(file: &Path) -> Result<u64> {
    Ok(fs::metadata(file).with_context(|| format!("look at {}", file.display()))?.len())
}

/// What a compressing file system would make of it.
fn xz(file: &Path) -> Result<Option<u64>> {
    let Some(xz) = shell::which("xz") else { return Ok(None) };
    let output = Command::new(xz).args(["-c", "-9e"]).arg(file).output()?;
    Ok(Some(u64::try_from(output.stdout.len())?))
}
