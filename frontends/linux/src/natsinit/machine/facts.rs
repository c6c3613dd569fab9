//! What the machine is and has used, read when somebody asks.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lunix_core::machine::encode::{self, Info, Storage};
use lunix_core::machine::{Pressure, Resource, proc};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::time::{ClockId, clock_gettime};

use super::Scope;
use crate::encoded::encoded;
use crate::reactor::monotonic;

/// No file of facts is longer, as far as it is read: `/proc/stat` of 64 processors with all its interrupts.
const LONGEST: u64 = 64 << 10;
/// Mounted file systems that are told.
const MOUNTS: usize = 32;
/// Kinds of file systems that live on storage of this machine and answer without reading it: asking a server that is
/// gone, a program, or a medium without a summary would make everything wait.
const LOCAL: [&[u8]; 11] = [
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"jffs2",
    b"ubifs",
    b"squashfs",
    b"erofs",
    b"overlay",
];

/// `system.info`
pub(super) fn info(scope: Scope) -> Vec<u8> {
    let system = rustix::system::uname();
    let release = read("/etc/os-release");
    let os = assigned(&release, b"PRETTY_NAME");
    let board = ["/proc/device-tree/model", "/sys/class/dmi/id/product_name", "/sys/class/dmi/id/board_name"]
        .into_iter()
        .map(|path| trimmed(read(path)))
        .find(|text| !text.is_empty());
    let line = read("/proc/cmdline");
    let boot_id = trimmed(read("/proc/sys/kernel/random/boot_id"));
    let info = Info {
        hostname: system.nodename().to_bytes(),
        kernel: system.release().to_bytes(),
        architecture: system.machine().to_bytes(),
        os,
        version: env!("CARGO_PKG_VERSION"),
        board: board.as_deref().unwrap_or_default(),
        slot: option(&line, b"lunix.slot"),
        boot_id: &boot_id,
        init: scope == Scope::Machine && rustix::process::getpid().is_init(),
        cpus: proc::cpu(&read("/proc/stat")).map(|(_, count)| count),
        memory: proc::memory(&read("/proc/meminfo")).total,
        uptime: uptime(),
    };
    encoded(1024, |out| encode::info(out, &info))
}

/// `system.usage`
pub(super) fn usage() -> Vec<u8> {
    let ticks = rustix::param::clock_ticks_per_second();
    let pressure: Vec<_> = Resource::ALL
        .into_iter()
        .map(|resource| (resource, proc::pressure(&read(&format!("/proc/pressure/{}", resource.as_str())))))
        .filter(|(_, pressure)| *pressure != Pressure::default())
        .collect();
    let table = read("/proc/self/mountinfo");
    let mounts = mounts(&table);
    let storage: Vec<_> = mounts.iter().filter_map(|(target, fstype)| measure(target, fstype)).collect();
    let usage = encode::Usage {
        at: monotonic(),
        cpu: proc::cpu(&read("/proc/stat")).map(|(cpu, count)| (cpu, ticks, count)),
        memory: proc::memory(&read("/proc/meminfo")),
        load: proc::load(&read("/proc/loadavg")),
        processes: processes(),
        pressure: &pressure,
        storage: &storage,
        uptime: uptime(),
    };
    encoded(4096, |out| encode::usage(out, &usage))
}

/// `kexec -l` was there.
pub(super) fn kernel_is_loaded() -> bool {
    read("/sys/kernel/kexec_loaded").starts_with(b"1")
}

/// The first bytes of a file; nothing if it cannot be read.
fn read(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(LONGEST).read_to_end(&mut bytes);
    }
    bytes
}

fn trimmed(text: Vec<u8>) -> Vec<u8> {
    // Texts of the device tree end with a zero.
    let end = text.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_ascii().to_vec()
}

/// The value of `KEY=value` or `KEY="value"` on a line of its own.
fn assigned<'t>(text: &'t [u8], key: &[u8]) -> &'t [u8] {
    let value = |line: &'t [u8]| line.strip_prefix(key)?.strip_prefix(b"=");
    let value = text.split(|byte| *byte == b'\n').find_map(value).unwrap_or_default().trim_ascii();
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The value of the kernel's option `key=value`, the last one of several.
fn option<'t>(line: &'t [u8], key: &[u8]) -> &'t [u8] {
    let value = |word: &'t [u8]| word.strip_prefix(key)?.strip_prefix(b"=");
    line.split(u8::is_ascii_whitespace).filter_map(value).next_back().unwrap_or_default()
}

/// Microseconds since boot, times of sleep included.
fn uptime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1_000
}

/// How many processes there are: every link of a folder of `/proc` is one, apart from those that are always there.
fn processes() -> Option<u64> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let is_process = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
    let count = entries.flatten().filter(|entry| is_process(entry.file_name().as_bytes())).count();
    u64::try_from(count).ok()
}

/// Targets and types of what is worth measuring, each device once, in `/proc/self/mountinfo` (proc(5)).
fn mounts(table: &[u8]) -> Vec<(Vec<u8>, &[u8])> {
    let mut found: Vec<(&[u8], Vec<u8>, &[u8])> = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(device), Some(target)) = (words.nth(2), words.nth(1)) else { continue };
        let Some(fstype) = words.skip_while(|word| *word != b"-").nth(1) else { continue };
        let known = found.iter().any(|(other, ..)| *other == device);
        if LOCAL.contains(&fstype) && !known && found.len() < MOUNTS {
            found.push((device, unescaped(target), fstype));
        }
    }
    found.into_iter().map(|(_, target, fstype)| (target, fstype)).collect()
}

/// A path in which blanks, newlines and backslashes are `\ooo`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
        out.push(code.unwrap_or(byte));
    }
    out
}

fn measure<'m>(target: &'m [u8], fstype: &'m [u8]) -> Option<Storage<'m>> {
    let path = Path::new(std::ffi::OsStr::from_bytes(target));
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Storage {
        target,
        fstype,
        size: bytes(found.f_blocks),
        available: bytes(found.f_bavail),
        read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_behind_hostile_names() {
        let table = b"22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n\
23 1 8:1 /x /bind rw - ext4 /dev/sda1 rw\n\
24 1 0:5 / /proc rw - proc proc rw\n\
25 1 0:6 / /srv\\040a\\134b rw - ubifs ubi0:data rw\n\
26 1 0:7 / /net rw - nfs4 server:/ rw\n\
27 1 0:8 / /fuse rw - fuse.ext4 x rw\n\
28\n 29 1 8:9 / /y\n30 1 8:10 / /z rw -\n";
        let found = mounts(table);
        let expected: [(Vec<u8>, &[u8]); 2] = [(b"/".to_vec(), b"ext4"), (b"/srv a\\b".to_vec(), b"ubifs")];
        assert_eq!(found, expected);
        assert_eq!(unescaped(b"a\\0\\999\\"), b"a\\0\\999\\");
    }

    #[test]
    fn texts_are_taken_apart() {
        assert_eq!(assigned(b"NAME=x\nPRETTY_NAME=\"Debian 13\"\n", b"PRETTY_NAME"), b"Debian 13");
        assert_eq!(assigned(b"NAME=x", b"NAME"), b"x");
        assert_eq!(assigned(b"XNAME=x", b"NAME"), b"");
        assert_eq!(option(b"quiet lunix.slot=a ro lunix.slot=b\n", b"lunix.slot"), b"b");
        assert_eq!(option(b"xlunix.slot=a", b"lunix.slot"), b"");
        assert_eq!(trimmed(b"QEMU virt\0\0".to_vec()), b"QEMU virt");
    }
}
