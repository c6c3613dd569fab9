//! What runs in the guest: the initramfs and its `/init`. Busybox is PID 1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::initramfs::Archive;
use super::kernel::Kernel;
use crate::{paths, shell};

/// What `/init` does once the devices are there.
pub enum Role<'a> {
    /// Prints every kernel uevent; nothing of ours runs.
    Uevents,
    /// A prompt on the console.
    Shell,
    /// This script.
    Script(&'a str),
}

/// Said on the console when the guest is as far as its role takes it by itself.
pub const READY: &str = "guest: ready";

/// The static multi-call programs of the guest.
#[derive(Clone, Copy, Default)]
pub struct Programs<'a> {
    /// That of the daemons, if it is wanted.
    pub lunix: Option<&'a Path>,
    /// That of natsws, if it is wanted.
    pub bridge: Option<&'a Path>,
}

/// Writes the initramfs for `role` to `to`.
pub fn write(to: &Path, kernel: &Kernel, programs: Programs, role: &Role) -> Result<()> {
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "sys", "run", "tmp", "etc", "mnt"] {
        archive.directory(directory);
    }
    // The kernel opens it for PID 1 before any devtmpfs is mounted.
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.copy("bin/busybox", 0o755, &busybox()?)?;
    archive.link("bin/sh", "busybox");
    if let Some(bridge) = programs.bridge {
        archive.copy("bin/natsws", 0o755, bridge)?;
    }
    if let Some(lunix) = programs.lunix {
        archive.copy("bin/lunix", 0o755, lunix)?;
        for applet in ["natsd", "natsdev", "natsinit", "natsmount", "natstoast", "udevadm"] {
            archive.link(&format!("bin/{applet}"), "lunix");
        }
    }
    let modules = kernel.closure(&modules()?)?;
    for module in &modules {
        archive.copy(&format!("lib/modules/{module}"), 0o644, &kernel.modules_dir().join(module))?;
    }
    archive.file("init", 0o755, init(&modules, role)?.as_bytes());
    fs::write(to, archive.finish()).with_context(|| format!("write {}", to.display()))
}

/// The modules that the image has, by name: `targets/vm/modules`.
pub fn modules() -> Result<Vec<String>> {
    let text = manifest("modules")?;
    Ok(text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()))
        .map(|lines| lines.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn manifest(file: &str) -> Result<String> {
    let path = paths::root().join("targets/vm").join(file);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Busybox as a static program.
pub fn busybox() -> Result<PathBuf> {
    let path = shell::which("busybox").context("no busybox")?;
    let image = fs::read(&path)?;
    ensure!(is_static(&image), "{} is not static: install busybox-static", path.display());
    Ok(path)
}

/// A 64-bit ELF program without a loader (program header PT_INTERP).
pub fn is_static(image: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let word = |at: usize| image.get(at..at + 2).map(|raw| usize::from(u16::from_le_bytes([raw[0], raw[1]])));
    let table = image.get(32..40).and_then(|raw| raw.try_into().ok()).map(u64::from_le_bytes);
    let (Some(table), Some(entry_size), Some(count)) = (table, word(54), word(56)) else { return false };
    let kind = |index: usize| {
        let at = usize::try_from(table).ok()?.checked_add(index * entry_size)?;
        image.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
    };
    image.starts_with(b"\x7fELF\x02")
        && (0..count).all(|index| kind(index).is_some_and(|kind| kind != PT_INTERP))
}

fn init(modules: &[String], role: &Role) -> Result<String> {
    let insmod: String = modules.iter().map(|module| format!("insmod /lib/modules/{module}\n")).collect();
    let role = match role {
        Role::Uevents => format!("echo {READY}\nexec uevent\n"),
        Role::Shell => format!("echo {READY}\nsetsid cttyhack sh -l\npoweroff -f\n"),
        Role::Script(own) => (*own).to_owned(),
    };
    Ok(manifest("init")?.replace("@MODULES@\n", &insmod) + &role)
}
