//! What a fresh Debian machine lacks: said aloud, then installed by root or asked for.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// A program that a task needs, and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name in `$PATH`, or the absolute path of a file.
    pub program: &'static str,
    /// The package to install.
    pub package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// What compiles the C code of TLS for static programs.
pub const MUSL: &[Tool] = &[tool("musl-gcc", "musl-tools")];

/// What the VM needs.
pub const VM: &[Tool] = &[
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("busybox", "busybox-static"),
    tool("dpkg-deb", "dpkg"),
    tool("depmod", "kmod"),
    tool("mkfs.vfat", "dosfstools"),
    tool("mcopy", "mtools"),
];

/// What a machine with a Debian root needs.
pub const DEBIAN: &[Tool] = &[
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("busybox", "busybox-static"),
    tool("dpkg-deb", "dpkg"),
    tool("apt-get", "apt"),
    tool("depmod", "kmod"),
    tool("mkfs.vfat", "dosfstools"),
    tool("mcopy", "mtools"),
    tool("mkfs.ext4", "e2fsprogs"),
    tool("unshare", "util-linux"),
];

/// What the tests against official clients and servers need, and the examples.
pub const PEERS: &[Tool] = &[
    tool("cc", "gcc"),
    tool("nats-server", "nats-server"),
    tool("node", "nodejs"),
    tool("npm", "npm"),
    tool("/usr/include/nats/nats.h", "libnats-dev"),
    tool("python3", "python3-venv"),
];

/// What fetches Node-RED and runs it, and makes certificates for it.
pub const NODE: &[Tool] = &[tool("node", "nodejs"), tool("npm", "npm"), tool("openssl", "openssl")];

/// What looks at pages as people do.
pub const BROWSER: &[Tool] = &[tool("chromium", "chromium"), tool("node", "nodejs"), tool("npm", "npm")];

/// What makes small screenshots of them, with letters that are made for screens.
pub const SCREENSHOTS: &[Tool] = &[
    tool("chromium", "chromium"),
    tool("node", "nodejs"),
    tool("npm", "npm"),
    tool("pngquant", "pngquant"),
    tool("/usr/share/fonts/truetype/jetbrains-mono/JetBrainsMono-Regular.ttf", "fonts-jetbrains-mono"),
    tool("/usr/share/fonts/opentype/inter/Inter-Regular.otf", "fonts-inter"),
];

/// What examples in further languages need.
pub const LANGUAGES: &[Tool] = &[
    tool("jq", "jq"),
    tool("mosquitto_pub", "mosquitto-clients"),
    tool("/usr/include/json-c/json.h", "libjson-c-dev"),
    tool("go", "golang-go"),
    tool("/usr/share/gocode/src/github.com/nats-io/nats.go/nats.go", "golang-github-nats-io-go-nats-dev"),
];

/// What weighs the firmware and runs it.
pub const FIRMWARE: &[Tool] = &[tool("qemu-system-arm", "qemu-system-arm"), tool("size", "binutils")];

/// What natsd is measured against.
pub const RIVALS: &[Tool] = &[tool("nats-server", "nats-server"), tool("python3", "python3-venv")];

/// What natsmqtt is measured against.
pub const BROKERS: &[Tool] = &[tool("mosquitto", "mosquitto"), tool("python3", "python3-venv")];

/// What natsdev is measured against, with the rules that it takes, and what puts all of them into a network of their own.
pub const HOTPLUG: &[Tool] = &[
    tool("busybox", "busybox-static"),
    tool("/lib/systemd/systemd-udevd", "udev"),
    tool("ip", "iproute2"),
    tool("unshare", "util-linux"),
];

/// What natsinit is measured against, and what makes a small machine for each.
pub const SUPERVISORS: &[Tool] = &[
    tool("busybox", "busybox-static"),
    tool("s6-svscan", "s6"),
    tool("runsvdir", "runit"),
    tool("ip", "iproute2"),
    tool("unshare", "util-linux"),
    tool("dpkg-deb", "dpkg"),
    tool("apt-get", "apt"),
];

/// What fetches peers from the Python package index.
pub const PYTHON: &[Tool] = &[tool("python3", "python3-venv")];

/// What the firmware is weighed with, and static programs with TLS are compiled with.
pub const SIZES: &[Tool] =
    &[tool("qemu-system-arm", "qemu-system-arm"), tool("size", "binutils"), tool("musl-gcc", "musl-tools")];

/// What puts servers into networks of their own, and a client among them.
pub const NETWORKS: &[Tool] =
    &[tool("ip", "iproute2"), tool("unshare", "util-linux"), tool("python3", "python3-venv")];

/// What reads the manual pages and completions.
pub const READERS: &[Tool] = &[tool("man", "man-db"), tool("zsh", "zsh"), tool("fish", "fish")];

/// What unit tests compare with: a server, a tracer, the makers of file systems, the programs of a desktop.
pub const WITNESSES: &[Tool] = &[
    tool("nats-server", "nats-server"),
    tool("strace", "strace"),
    tool("mkfs.vfat", "dosfstools"),
    tool("mkfs.exfat", "exfatprogs"),
    tool("mkfs.ext4", "e2fsprogs"),
    tool("mkfs.xfs", "xfsprogs"),
    tool("mkfs.btrfs", "btrfs-progs"),
    tool("mkfs.f2fs", "f2fs-tools"),
    tool("mkntfs", "ntfs-3g"),
    tool("genisoimage", "genisoimage"),
    tool("cpio", "cpio"),
    tool("sfdisk", "fdisk"),
    tool("mkfs.erofs", "erofs-utils"),
    tool("mkfs.jffs2", "mtd-utils"),
    tool("cryptsetup", "cryptsetup-bin"),
    tool("mksquashfs", "squashfs-tools"),
    tool("mkudffs", "udftools"),
    tool("udevadm", "udev"),
    tool("dbus-daemon", "dbus-daemon"),
    tool("dbus-send", "dbus-bin"),
    tool("notify-send", "libnotify-bin"),
];

/// What builds a board's kernel.
pub const KERNEL: &[Tool] = &[
    tool("/usr/src/linux-source-6.12.tar.xz", "linux-source-6.12"),
    tool("make", "make"),
    tool("cc", "gcc"),
    tool("flex", "flex"),
    tool("bison", "bison"),
    tool("bc", "bc"),
    tool("xz", "xz-utils"),
    tool("patch", "patch"),
    tool("perl", "perl"),
    tool("/usr/include/libelf.h", "libelf-dev"),
    tool("/usr/include/openssl/ssl.h", "libssl-dev"),
];

/// What builds it for ARM.
pub const CROSS: &[Tool] = &[tool("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf")];

/// What makes an image of a board's flash.
pub const IMAGE: &[Tool] = &[
    tool("mksquashfs", "squashfs-tools"),
    tool("busybox", "busybox-static"),
    tool("dpkg-deb", "dpkg"),
    tool("apt-get", "apt"),
    tool("sha256sum", "coreutils"),
];

/// What makes and boots the images of all boards.
pub const IMAGES: &[Tool] = &[
    tool("mksquashfs", "squashfs-tools"),
    tool("busybox", "busybox-static"),
    tool("dpkg-deb", "dpkg"),
    tool("apt-get", "apt"),
    tool("/usr/src/linux-source-6.12.tar.xz", "linux-source-6.12"),
    tool("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("qemu-system-arm", "qemu-system-arm"),
    tool("mkfs.vfat", "dosfstools"),
    tool("mcopy", "mtools"),
];

/// What boots it, and a stick for it.
pub const BOARDS: &[Tool] = &[
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("qemu-system-arm", "qemu-system-arm"),
    tool("mkfs.vfat", "dosfstools"),
    tool("mcopy", "mtools"),
];

/// What building the static binaries needs.
pub const BUILD: &[Tool] = &[tool("cc", "gcc")];

/// The tools that are not here.
pub fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| shell::which(tool.program).is_none()).collect()
}

/// Makes sure that `tools` are here. Root gets them installed; anyone else is shown the command, and asked
/// whether `sudo` may run it if there is somebody to ask.
pub fn need(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
    eprintln!("setup: missing {} (Debian: {})", programs.join(" "), packages.join(" "));
    if shell::which("apt-get").is_none() {
        bail!("this machine has no apt-get: install {} by its own means", programs.join(", "));
    }
    let root = shell::read(Command::new("id").arg("-u"))?.trim() == "0";
    let install = |mut command: Command, packages: &[&str]| -> Result<()> {
        command.args(["apt-get", "install", "-y", "--no-install-recommends"]);
        // A machine that updates itself when it is started has the lock for a while.
        command.args(["-o", "DPkg::Lock::Timeout=120"]).args(packages);
        eprintln!("setup: {}", shell::line(&command));
        shell::run(&mut command)
    };
    if root {
        let by_root = || {
            let mut command = Command::new("env");
            command.arg("DEBIAN_FRONTEND=noninteractive");
            command
        };
        // A fresh image's lists are empty; old ones may do where one of the sources is away.
        if let Err(error) = shell::quiet(Command::new("apt-get").arg("update")) {
            eprintln!("setup: {error:#}");
        }
        if install(by_root(), &packages).is_err() {
            // One package that cannot be had keeps none of the others away.
            for package in &packages {
                if let Err(error) = install(by_root(), &[package]) {
                    eprintln!("setup: {error:#}");
                }
            }
        }
    } else {
        let line = format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "));
        if !io::stdin().is_terminal() {
            bail!("run this once, then start again:\n  {line}");
        }
        eprint!("setup: may I run `{line}`? [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            bail!("run this once, then start again:\n  {line}");
        }
        install(Command::new("sudo"), &packages)?;
    }
    match self::missing(tools).first() {
        None => Ok(()),
        Some(tool) => bail!("{} is still missing after installing {}", tool.program, tool.package),
    }
}
