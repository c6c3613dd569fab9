//! The machine with a Debian root on a disk, and a shell on its console that does what this side says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::debian::Root;
use super::guest;
use super::initramfs::Archive;
use super::kernel::Kernel;
use super::part::Part;
use super::qemu::{Machine, Qemu};
use crate::paths::Scratch;

/// What the first root needs to find the second: nothing else is loaded by hand.
const MODULES: &[&str] = &["nvme", "crc32c_generic", "ext4"];

/// MiB.
const MEMORY: u32 = 512;

/// More bytes than firmware needs for what it finds.
const FIRMWARE: usize = 2 << 20;

/// For what a command may take.
const ANSWER: Duration = Duration::from_secs(120);

/// A file that the root gets before it is started.
pub enum Extra<'a> {
    /// A copy of one of this machine.
    Copy(&'a str, u32, PathBuf),
    /// With this text.
    Text(&'a str, u32, String),
    /// A link.
    Link(&'a str, &'a str),
}

/// What is to be booted.
pub struct Boot<'a> {
    /// What is added to Debian's root; paths are relative to it.
    pub extras: &'a [Extra<'a>],
    /// Process 1.
    pub init: &'a str,
    /// Added to the kernel's command line.
    pub append: &'a str,
    /// Hardware that is there from the start.
    pub parts: &'a [&'a Part],
}

/// A running machine.
pub struct Rooted {
    /// The machine.
    pub qemu: Qemu,
    commands: u32,
}

impl Rooted {
    /// Starts it. What is written to the root is forgotten when it ends.
    pub fn boot(kernel: &Kernel, root: &Root, scratch: &Scratch, boot: &Boot) -> Result<Self> {
        let initramfs = scratch.path().join("initramfs");
        write(&initramfs, kernel, boot)?;
        let mut parts: Vec<String> = [
            "-drive",
            &format!("file={},if=none,id=root,format=raw,snapshot=on", root.image().display()),
            "-device",
            "nvme,drive=root,serial=lunix-root,addr=8",
            "-device",
            "pcie-root-port,id=slot1,chassis=1,addr=9",
            "-device",
            "pcie-root-port,id=slot2,chassis=2,addr=10",
            "-chardev",
            "null,id=nobody",
            "-netdev",
            "user,id=second",
            // Cards come and go as in a real slot, by the port and not by ACPI.
            "-global",
            "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        ]
        .map(str::to_owned)
        .to_vec();
        parts.extend(boot.parts.iter().flat_map(|part| part.arguments()));
        let machine = Machine {
            kernel: &kernel.image(),
            initramfs: &initramfs,
            append: boot.append,
            parts: &parts,
            memory: MEMORY,
            page: None,
        };
        Ok(Self { qemu: Qemu::start(&machine, |_| {})?, commands: 0 })
    }

    /// Has the shell on the console run this line; fails unless it ends with 0.
    pub fn run(&mut self, line: &str) -> Result<Vec<String>> {
        self.run_for(line, ANSWER)
    }

    /// The same, with a limit of one's own.
    pub fn run_for(&mut self, line: &str, limit: Duration) -> Result<Vec<String>> {
        self.commands += 1;
        let (begin, end) = (format!("@<{}", self.commands), format!("@>{} ", self.commands));
        // Apart, so that an echo of the line is no mark.
        let command = format!("echo @'<'{n}; {{ {line}\n}} 2>&1; echo @'>'{n} $?\n", n = self.commands);
        self.qemu.console.write_all(command.as_bytes()).context("write to the guest's console")?;
        let (said, status) = self
            .qemu
            .log
            .between(limit, &begin, &end)
            .with_context(|| format!("`{line}`; the guest's console:\n{}", self.console()))?;
        if status != "0" {
            bail!("`{line}` ended with {status}: {}", said.join("\n"));
        }
        Ok(said)
    }

    /// The last of what the guest wrote, for showing after a failure.
    pub fn console(&self) -> String {
        self.qemu.log.tail(100).iter().fold(String::new(), |text, line| text + "  > " + line + "\n")
    }
}

/// The first root: it finds the disk, adds the extras and hands over.
fn write(to: &Path, kernel: &Kernel, boot: &Boot) -> Result<()> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "mnt", "extras"] {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.copy("bin/busybox", 0o755, &guest::busybox()?)?;
    archive.link("bin/sh", "busybox");
    let modules = kernel.closure(&MODULES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    for module in &modules {
        archive.copy(&format!("lib/modules/{module}"), 0o644, &kernel.modules_dir().join(module))?;
    }
    for extra in boot.extras {
        match extra {
            Extra::Copy(path, mode, from) => archive.copy(&format!("extras/{path}"), *mode, from)?,
            Extra::Text(path, mode, text) => archive.file(&format!("extras/{path}"), *mode, text.as_bytes()),
            Extra::Link(path, to) => archive.link(&format!("extras/{path}"), to),
        }
    }
    let insmod: String = modules.iter().map(|module| format!("insmod /lib/modules/{module}\n")).collect();
    let init = format!(
        "#!/bin/sh\nexport PATH=/bin\n/bin/busybox --install -s /bin\n\
         mount -t proc proc /proc\nmount -t sysfs sysfs /sys\nmount -t devtmpfs devtmpfs /dev\n{insmod}\
         while [ ! -b /dev/nvme0n1 ]; do usleep 20000; done\n\
         mount -t ext4 /dev/nvme0n1 /mnt\ncp -a /extras/. /mnt/\n\
         umount /proc\numount /sys\nmount --move /dev /mnt/dev\nexec switch_root /mnt {}\n",
        boot.init
    );
    archive.file("init", 0o755, init.as_bytes());
    // QEMU puts the archive at the end of memory, all but 160 KB. There its firmware keeps what controllers for USB
    // and disks write to, and where there are several of them, that reaches further: into nothing.
    let mut bytes = archive.finish();
    bytes.resize(bytes.len() + FIRMWARE, 0);
    fs::write(to, bytes).with_context(|| format!("write {}", to.display()))
}
