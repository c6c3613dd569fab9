//! `mdev` on a machine that is a folder.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{CWD, FileType, Mode, major, makedev, minor, mknodat};

pub const SDA: (&str, &str) = ("DEVPATH", "/block/sda");
pub const ADD: (&str, &str) = ("ACTION", "add");
pub const REMOVE: (&str, &str) = ("ACTION", "remove");

/// A small machine: a folder with sys, dev and etc.
pub struct Machine(pub PathBuf);

impl Machine {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lunix-mdev-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for part in ["dev", "etc", "sys", "bin"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("etc/passwd"), "root:x:0:0::/:\nplay:x:31:32::/:\n").unwrap();
        fs::write(folder.join("etc/group"), "root:x:0:\ndisk:x:6:\naudio:x:63:play\n").unwrap();
        Self(folder)
    }

    /// A device at `path` below /sys.
    pub fn device(&self, path: &str, number: &str) {
        let folder = self.0.join("sys").join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
    }

    pub fn conf(&self, text: &str) {
        fs::write(self.0.join("etc/mdev.conf"), text).unwrap();
    }

    pub fn clear(&self) {
        fs::remove_dir_all(self.0.join("dev")).unwrap();
        fs::create_dir(self.0.join("dev")).unwrap();
    }

    /// Ours, called as busybox's is.
    pub fn mdev(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let link = self.0.join("mdev");
        let _ = symlink(env!("CARGO_BIN_EXE_lunix"), &link);
        let mut command = Command::new(link);
        command.args(arguments).arg("--root").arg(&self.0).env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// busybox's, in this folder as its root.
    pub fn busybox(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("chroot");
        command
            .arg(&self.0)
            .arg("/bin/mdev")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/bin");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// What is in /dev but for folders, a line each.
    pub fn listing(&self) -> String {
        fn walk(folder: &Path, name: &[u8], lines: &mut Vec<String>) {
            let meta = fs::symlink_metadata(folder).unwrap();
            let name = OsStr::from_bytes(name).as_bytes().escape_ascii().to_string();
            if meta.is_dir() {
                for entry in fs::read_dir(folder).unwrap().flatten() {
                    let inside = [name.as_bytes(), if name.is_empty() { b"" } else { b"/" }];
                    walk(&entry.path(), &[&inside.concat(), entry.file_name().as_bytes()].concat(), lines);
                }
            } else if meta.is_symlink() {
                lines.push(format!("{name} -> {}", fs::read_link(folder).unwrap().display()));
            } else {
                let kind = if meta.file_type().is_block_device() { "b" } else { "c" };
                let (number, mode) = (meta.rdev(), meta.permissions().mode() & 0o7777);
                let owner = format!("{}:{}", meta.uid(), meta.gid());
                lines.push(format!("{name} {kind}{},{} {mode:o} {owner}", major(number), minor(number)));
            }
        }
        let mut lines = Vec::new();
        walk(&self.0.join("dev"), b"", &mut lines);
        lines.sort();
        lines.join("\n")
    }

    pub fn node(&self, name: &str, kind: FileType, (major, minor): (u32, u32)) {
        let path = self.0.join("dev").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor)).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether nodes can be made here.
pub fn nodes(name: &str) -> bool {
    let path = std::env::temp_dir().join(format!("lunix-mdev-node-{name}-{}", std::process::id()));
    let made = mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 3));
    let _ = fs::remove_file(path);
    if let Err(error) = made {
        eprintln!("SKIPPED {name}: no nodes can be made here: {error}");
    }
    made.is_ok()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn devices(machine: &Machine) {
    machine.device("/block/sda", "8:0");
    machine.device("/block/sda/sda1", "8:1");
    machine.device("/block/hdb", "3:64");
    machine.device("/block/mmcblk0/mmcblk0p2", "179:2");
    for (name, minor) in [("capi", 0), ("capi1", 1), ("capi20", 20)] {
        machine.device(&format!("/class/tty/{name}"), &format!("191:{minor}"));
    }
    machine.device("/class/tty/ttyS0", "4:64");
    machine.device("/class/input/event3", "13:67");
    fs::create_dir_all(machine.0.join("sys/class/net/eth0")).unwrap();
}
