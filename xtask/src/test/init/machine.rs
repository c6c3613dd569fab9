//! Debian's kernel with natsinit as process 1 of an initramfs, and a disk with both of them for `kexec`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::nats::Client;
use crate::paths::{Scratch, root};
use crate::vm::initramfs::Archive;
use crate::vm::kernel::{Kernel, module_name};
use crate::vm::lunix::MEMORY;
use crate::vm::qemu::{self, Qemu};
use crate::vm::{guest, packages};
use crate::{compile, shell};

/// From power-on, or from one kernel's end, to what is asked of services, on an emulated processor of a busy machine.
pub(super) const BOOT: Duration = Duration::from_secs(120);

const MODULES: &[&str] = &["virtio_pci", "virtio_net", "virtio_blk", "vfat", "nls_cp437", "nls_ascii", "bfq"];

/// Of busybox.
const PROGRAMS: &[&str] = &["cat", "grep", "kill", "modprobe", "readlink", "sh", "sleep"];

/// The files of the services, by name.
const SERVICES: &[(&str, &str)] = &[
    ("facts", include_str!("services/facts.toml")),
    ("keeper", include_str!("services/keeper.toml")),
    ("load", include_str!("services/load.toml")),
    ("signal", include_str!("services/signal.toml")),
    ("user", include_str!("services/user.toml")),
];

/// KiB.
const DISK: u64 = 64 << 10;

/// Where FAT16 has its state, and the bit that says that it is in use.
const STATE: usize = 0x25;
const IN_USE: u8 = 1;

/// A running machine.
pub(super) struct Machine {
    pub(super) qemu: Qemu,
    disk: PathBuf,
    _scratch: Scratch,
}

impl Machine {
    pub(super) fn boot() -> Result<Self> {
        let kernel = Kernel::fetch()?;
        let scratch = Scratch::new()?;
        let (initramfs, disk) = (scratch.path().join("initramfs"), scratch.path().join("disk"));
        write(&initramfs, &kernel)?;
        shell::quiet(Command::new("mkfs.vfat").args(["-C", "-F", "16"]).arg(&disk).arg(DISK.to_string()))?;
        let copy = |from: &Path, to: &str| {
            shell::quiet(Command::new("mcopy").arg("-i").arg(&disk).arg(from).arg(format!("::{to}")))
        };
        copy(&kernel.packed(), "vmlinuz")?;
        copy(&initramfs, "initramfs")?;
        let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
        let parts = ["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"].map(str::to_owned);
        let machine = qemu::Machine {
            kernel: &kernel.image(),
            initramfs: &initramfs,
            append: "loglevel=5",
            parts: &parts,
            memory: MEMORY,
            page: None,
        };
        Ok(Self { qemu: Qemu::start(&machine, |_| {})?, disk, _scratch: scratch })
    }

    /// A client of the guest's server.
    pub(super) fn client(&self) -> Result<Client> {
        Client::connect(self.qemu.nats_port, BOOT)
    }

    /// Asks until the answer is what is wanted.
    pub(super) fn ask(&self, subject: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + BOOT;
        let mut client = self.client()?;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            // Nobody may be there yet.
            if let Some(answer) = client.request(subject, "", BOOT)? {
                last = answer.json();
                if wanted(&last) {
                    return Ok(last);
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("{subject}: the last answer was {last}")
    }

    /// Starts a service.
    pub(super) fn start(&self, name: &str) -> Result<()> {
        let answer = self.ask(&format!("service.{name}.start"), |_| true)?;
        ensure!(answer["error"].is_null(), "{name}: {answer}");
        Ok(())
    }

    /// Waits until a oneshot has done its work; what it printed.
    pub(super) fn done(&self, name: &str) -> Result<Vec<String>> {
        let status = self.ask(&format!("service.{name}.status"), |status| {
            ["ready", "failed"].iter().any(|state| status["state"] == *state)
        })?;
        let lines = self.ask(&format!("service.{name}.tail"), |_| true)?;
        let lines = lines.as_array().context("no lines")?;
        let lines = lines.iter().map(|line| line["line"].as_str().unwrap_or_default().to_owned()).collect();
        ensure!(status["state"] == "ready", "{name}: {status}; it says {lines:?}");
        Ok(lines)
    }

    /// Whether the disk's file system is mounted, as it says itself.
    pub(super) fn disk_is_in_use(&self) -> Result<bool> {
        let state = *fs::read(&self.disk)?.get(STATE).context("no boot sector")?;
        Ok(state & IN_USE != 0)
    }

    /// How often something was said on the console so far.
    pub(super) fn said(&self, what: &str) -> usize {
        self.qemu.log.tail(usize::MAX).iter().filter(|line| line.contains(what)).count()
    }

    /// The last of what the guest wrote, for showing after a failure.
    pub(super) fn console(&self) -> Vec<String> {
        self.qemu.log.tail(100)
    }
}

/// The root of both kernels.
fn write(to: &Path, kernel: &Kernel) -> Result<()> {
    let mut archive = Archive::default();
    for directory in ["boot", "dev", "etc", "proc", "run", "sys", "tmp"] {
        archive.directory(directory);
    }
    // The kernel opens it for process 1, before that has mounted anything.
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.copy("bin/lunix", 0o755, &compile::size()?)?;
    archive.link("init", "bin/lunix");
    archive.copy("bin/busybox", 0o755, &guest::busybox()?)?;
    for program in PROGRAMS {
        archive.link(&format!("bin/{program}"), "busybox");
    }
    archive.tree(&packages::program("kexec-tools", "sbin/kexec")?)?;
    let modules = kernel.closure(&MODULES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    let folder = format!("lib/modules/{}", kernel.release);
    for file in &modules {
        archive.copy(&format!("{folder}/{file}"), 0o644, &kernel.modules_dir().join(file))?;
    }
    // All of Debian's would be read for each of them.
    let needs = fs::read_to_string(kernel.modules_dir().join("modules.dep"))?;
    let ours = |line: &&str| modules.iter().any(|file| line.split(':').next() == Some(file));
    let needs: String = needs.lines().filter(ours).map(|line| format!("{line}\n")).collect();
    archive.file(&format!("{folder}/modules.dep"), 0o644, needs.as_bytes());
    let names: Vec<String> = modules.iter().map(|path| format!("{:?}", module_name(path))).collect();
    let settings = include_str!("init.toml").replace("@MODULES@", &names.join(", "));
    archive.file("etc/lunix/init.toml", 0o644, settings.as_bytes());
    for file in ["natsd.conf", "services/natsd.toml"] {
        let board = root().join("targets/rootfs/etc/lunix").join(file);
        archive.copy(&format!("etc/lunix/{file}"), 0o644, &board)?;
    }
    for (name, text) in SERVICES {
        archive.file(&format!("etc/lunix/services/{name}.toml"), 0o644, text.as_bytes());
    }
    fs::write(to, archive.finish()).with_context(|| format!("write {}", to.display()))
}
