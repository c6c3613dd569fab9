//! A Debian root, made of its packages in the cache.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::packages;
use crate::paths::{Scratch, cache};
use crate::shell;

/// What the root has, with all that these depend on.
const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libinput-bin",
    "libinput10",
    "libpam-runtime",
    "login",
    "mount",
    "passwd",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
];

/// What it has without that: its programs for a desktop need one, and nobody starts them here.
const ALONE: &[&str] = &["libinput-tools"];

/// Weighs much, and nobody here reads it.
const LEFT_OUT: &[&str] = &[
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./usr/share/perl*",
    "./usr/lib/x86_64-linux-gnu/perl*",
    "./usr/lib/x86_64-linux-gnu/libperl*",
];

/// Counts changes of what is made of the packages below.
const RECIPE: u32 = 2;

/// Bytes of the image beside what is in it.
const ROOM: u64 = 128 << 20;

/// The image of a root with Debian's systemd, udev and libinput, and with all modules of its kernel.
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// The cached one; if there is none that has what it is to have, it is made. To move to newer packages, delete it.
    pub fn fetch(kernel: &Kernel) -> Result<Self> {
        let prefix = format!("root-{:016x}-", fingerprint(kernel));
        let cached = fs::read_dir(cache()?)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
            .max();
        let dir = match cached {
            Some(dir) => dir,
            None => make(kernel, &prefix)?,
        };
        Ok(Self { dir })
    }

    /// An ext4 file system.
    pub fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    /// Debian's texts on hardware, and the settings of udev, as a tree.
    pub fn udev(&self) -> PathBuf {
        self.dir.join("udev")
    }
}

/// Of what the image is made, but for the versions of packages.
fn fingerprint(kernel: &Kernel) -> u64 {
    let parts = PACKAGES.iter().chain(ALONE).chain(LEFT_OUT).copied();
    let recipe = RECIPE.to_string();
    // FNV-1a.
    parts
        .chain([kernel.release.as_str(), &recipe])
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
}

/// The folder appears whole or not at all.
fn make(kernel: &Kernel, prefix: &str) -> Result<PathBuf> {
    eprintln!("vm: making a Debian root (45 MB to fetch, once)");
    let scratch = Scratch::under(&cache()?)?;
    let packages = packages::download(scratch.path(), PACKAGES, ALONE)?;
    let tree = scratch.path().join("tree");
    packages::unpack(&packages, &tree, LEFT_OUT)?;
    configure(&tree).context("settings of the Debian root")?;
    let modules = tree.join("usr/lib/modules");
    fs::create_dir_all(&modules)?;
    shell::quiet(Command::new("cp").arg("-a").arg(kernel.modules_dir()).arg(&modules))?;
    let whole = scratch.path().join("whole");
    fs::create_dir(&whole)?;
    image(&tree, &whole.join("image"))?;
    let udev = whole.join("udev/usr/lib");
    fs::create_dir_all(&udev)?;
    shell::quiet(Command::new("cp").arg("-a").arg(tree.join("usr/lib/udev")).arg(&udev))?;
    let version = packages::version(&packages, "udev")?;
    let dir = cache()?.join(format!("{prefix}{version}"));
    fs::rename(&whole, &dir).with_context(|| format!("move the root to {}", dir.display()))?;
    Ok(dir)
}

/// What the scripts of the packages would do, as far as it matters here.
fn configure(tree: &Path) -> Result<()> {
    let etc = tree.join("etc");
    for table in ["passwd", "group"] {
        fs::copy(tree.join(format!("usr/share/base-passwd/{table}.master")), etc.join(table))?;
    }
    // Root comes in without a password.
    let users = fs::read_to_string(etc.join("passwd"))?;
    fs::write(etc.join("passwd"), users.replacen("root:*:", "root::", 1))?;
    fs::write(etc.join("hostname"), "debian\n")?;
    // A machine without one asks its owner for much on its console.
    fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n")?;
    for stage in ["auth", "account", "session", "password"] {
        let line = format!("{stage} required pam_permit.so\n");
        fs::write(etc.join(format!("pam.d/common-{stage}")), line)?;
    }
    let sh = tree.join("usr/bin/sh");
    if !sh.exists() {
        symlink("dash", sh)?;
    }
    // Groups that rules name, and that the package udev adds when it is set up.
    fs::create_dir_all(etc.join("sysusers.d"))?;
    fs::write(etc.join("sysusers.d/udev.conf"), "g input -\ng kvm -\ng render -\ng sgx -\n")?;
    native(tree, "usr/bin/systemd-sysusers", &["--root=@"])?;
    native(tree, "usr/bin/systemd-hwdb", &["--root=@", "update"])
}

/// Runs a program of the tree with its own libraries; `@` in arguments is the tree.
fn native(tree: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/systemd"]
        .map(|folder| tree.join(folder).display().to_string())
        .join(":");
    shell::quiet(
        as_root(&tree.join("lib64/ld-linux-x86-64.so.2"))
            .args(["--library-path", &libraries])
            .arg(tree.join(program))
            .args(arguments.iter().map(|argument| argument.replace('@', &tree.display().to_string()))),
    )
}

/// What belongs to who started us belongs to root for this program.
fn as_root(program: &Path) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg(program);
    command
}

fn image(tree: &Path, to: &Path) -> Result<()> {
    let used = shell::read(Command::new("du").args(["-s", "--block-size=1"]).arg(tree))?;
    let used: u64 = used.split_whitespace().next().context("du says nothing")?.parse()?;
    let mkfs = shell::which("mkfs.ext4").context("no mkfs.ext4")?;
    shell::quiet(
        as_root(&mkfs)
            .args(["-q", "-L", "lunix-root", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0"])
            .arg("-d")
            .arg(tree)
            .arg(to)
            .arg(format!("{}k", (used + used / 16 + ROOM) / 1024)),
    )
}
