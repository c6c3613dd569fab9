//! Debian's kernel, unpacked into the cache: nothing is installed on this machine.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::{Scratch, cache};
use crate::shell;

/// The package whose dependency is the current kernel.
const META_PACKAGE: &str = "linux-image-amd64";

/// Where the unpacked kernel lies in the cached tree.
const UNPACKED: &str = "boot/vmlinux";

/// An unpacked kernel.
pub struct Kernel {
    /// What `uname -r` says in it.
    pub release: String,
    /// The unpacked package.
    dir: PathBuf,
}

impl Kernel {
    /// The newest kernel in the cache; if there is none, the one that apt would install. To move to a newer
    /// one, delete the cached one.
    pub fn fetch() -> Result<Self> {
        let dir = match newest_cached()? {
            Some(dir) => dir,
            None => download()?,
        };
        Self::open(dir)
    }

    fn open(dir: PathBuf) -> Result<Self> {
        let modules = dir.join("lib/modules");
        let release = fs::read_dir(&modules)
            .with_context(|| format!("read {}", modules.display()))?
            .next()
            .with_context(|| format!("{} is empty: delete {}", modules.display(), dir.display()))??
            .file_name()
            .to_string_lossy()
            .into_owned();
        Ok(Self { release, dir })
    }

    /// What QEMU boots: the unpacked kernel where there is one, which saves the emulated processor half of
    /// the boot.
    pub fn image(&self) -> PathBuf {
        let unpacked = self.dir.join(UNPACKED);
        if unpacked.exists() { unpacked } else { self.packed() }
    }

    /// The kernel as the package has it.
    pub fn packed(&self) -> PathBuf {
        self.dir.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// Where this kernel's modules and their tables are.
    pub fn modules_dir(&self) -> PathBuf {
        self.dir.join("lib/modules").join(&self.release)
    }

    /// The files of `names` and of everything that they need, in an order in which they can be loaded,
    /// relative to [`Self::modules_dir`]. What is built into the kernel is left out.
    pub fn closure(&self, names: &[String]) -> Result<Vec<String>> {
        let read = |file: &str| {
            let path = self.modules_dir().join(file);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        load_order(names, &read("modules.dep")?, &read("modules.builtin")?)
    }
}

/// The kernel package's name and version.
fn candidate() -> Result<(String, String)> {
    let depends = shell::read(Command::new("apt-cache").args(["depends", "--important", META_PACKAGE]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("apt knows no {META_PACKAGE}: apt-get update"))?
        .to_owned();
    let show = shell::read(Command::new("apt-cache").args(["show", "--no-all-versions", &package]))?;
    let version = show
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .with_context(|| format!("apt knows no version of {package}"))?
        .to_owned();
    Ok((package, version))
}

fn newest_cached() -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(cache()?)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kernel-")))
        .collect();
    found.sort();
    Ok(found.pop())
}

/// Fetches and unpacks into the cache; the directory appears whole or not at all.
fn download() -> Result<PathBuf> {
    let (package, version) = candidate()?;
    eprintln!("vm: fetching {package} {version} (70 MB, once)");
    let scratch = Scratch::under(&cache()?)?;
    let deb_dir = scratch.path().join("deb");
    fs::create_dir(&deb_dir)?;
    shell::quiet(
        Command::new("apt-get")
            .args(["download", "-q", &format!("{package}={version}")])
            .current_dir(&deb_dir),
    )?;
    let deb = fs::read_dir(&deb_dir)?.next().context("apt-get download left nothing")??.path();
    let tree = scratch.path().join("tree");
    shell::quiet(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree))?;
    let release = package.strip_prefix("linux-image-").unwrap_or(&package);
    // The package leaves modules.dep to its postinst.
    let depmod = shell::which("depmod").context("no depmod")?;
    shell::quiet(Command::new(depmod).arg("-b").arg(&tree).arg(release))?;
    if let Err(e) = unpack(&tree.join(format!("boot/vmlinuz-{release}")), &tree.join(UNPACKED)) {
        eprintln!("vm: the kernel stays packed: {e:#}");
    }
    // An epoch's colon has no place in a path.
    let dir = cache()?.join(format!("kernel-{package}_{}", version.replace(':', "%3a")));
    fs::rename(&tree, &dir).with_context(|| format!("move the kernel to {}", dir.display()))?;
    Ok(dir)
}

/// Takes the ELF kernel out of a bzImage (Documentation/arch/x86/boot.rst: `setup_sects`, `payload_offset`,
/// `payload_length`). QEMU enters it through its PVH note.
fn unpack(image: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(image)?;
    let payload = payload(&bytes).context("no bzImage")?;
    let unpacker = if payload.starts_with(b"\xfd7zXZ\0") {
        "xz"
    } else if payload.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        "zstd"
    } else {
        bail!("neither xz nor zstd");
    };
    let packed = to.with_extension("packed");
    fs::write(&packed, payload)?;
    let unpacked = File::create(to)?;
    let status = Command::new(unpacker).arg("-dc").stdin(File::open(&packed)?).stdout(unpacked).status();
    fs::remove_file(&packed)?;
    if !status.with_context(|| format!("start {unpacker}"))?.success()
        || !fs::read(to)?.starts_with(b"\x7fELF")
    {
        fs::remove_file(to)?;
        bail!("{unpacker} does not unpack it");
    }
    Ok(())
}

/// The packed kernel without the four bytes of its unpacked size behind it.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let long =
        |at: usize| image.get(at..at + 4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
    let setup_sectors = usize::from(*image.get(0x1F1)?);
    let start = (setup_sectors + 1) * 512 + usize::try_from(long(0x248)?).ok()?;
    let length = usize::try_from(long(0x24C)?).ok()?.checked_sub(4)?;
    image.get(start..)?.get(..length)
}

/// A module's name as the kernel compares it: no directory, no suffix, `-` as `_`.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// Depth-first over `modules.dep`, whose lines list every need of a module, the nearest first: so each
/// line is walked from its end.
fn load_order(names: &[String], dep: &str, builtin: &str) -> Result<Vec<String>> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        let wanted = module_name(name);
        if builtin.lines().any(|path| module_name(path) == wanted) {
            continue;
        }
        let line =
            dep.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| module_name(path) == wanted);
        let Some((path, needs)) = line else { bail!("this kernel has no module {name}") };
        visit(path, needs, dep, &mut seen, &mut order);
    }
    Ok(order)
}

fn visit(path: &str, needs: &str, dep: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
    if !seen.insert(path.to_owned()) {
        return;
    }
    for need in needs.split_whitespace().rev() {
        let own = dep.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| *path == need);
        visit(need, own.map_or("", |(_, needs)| needs), dep, seen, order);
    }
    order.push(path.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/usb/host/xhci-pci.ko: kernel/drivers/usb/host/xhci-hcd.ko kernel/drivers/usb/core/usbcore.ko
kernel/drivers/usb/host/xhci-hcd.ko: kernel/drivers/usb/core/usbcore.ko
kernel/drivers/usb/core/usbcore.ko:
kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko
kernel/fs/fat/fat.ko:
";

    #[test]
    fn needs_come_first_and_once() {
        let order = load_order(
            &["xhci_pci", "vfat", "xhci-hcd", "evdev"].map(String::from),
            DEP,
            "kernel/x/evdev.ko\n",
        )
        .unwrap();
        let names: Vec<String> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(names, ["usbcore", "xhci_hcd", "xhci_pci", "fat", "vfat"]);
    }

    #[test]
    fn an_unknown_module_is_named() {
        let error = load_order(&["zzz".to_owned()], DEP, "").unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no module zzz");
    }
}
