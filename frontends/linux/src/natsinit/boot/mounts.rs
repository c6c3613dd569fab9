//! File systems of the kernel, and memory: what must be there before anything else.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use super::super::files::Mount;
use super::step;

/// What is mounted where: target, file system, flags, options of the file system.
type Place = (&'static str, &'static str, MountFlags, &'static str);

const NOTHING_RUNS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const MEMORY: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

const FIRST: [Place; 8] = [
    ("/proc", "proc", NOTHING_RUNS, ""),
    ("/sys", "sysfs", NOTHING_RUNS, ""),
    ("/dev", "devtmpfs", MountFlags::NOSUID, "mode=0755"),
    ("/dev/pts", "devpts", MountFlags::NOSUID.union(MountFlags::NOEXEC), "gid=5,mode=620,ptmxmode=666"),
    ("/dev/shm", "tmpfs", MEMORY, "mode=1777"),
    ("/run", "tmpfs", MEMORY, "mode=0755"),
    ("/sys/fs/cgroup", "cgroup2", NOTHING_RUNS, "nsdelegate,memory_recursiveprot"),
    ("/sys/kernel/security", "securityfs", NOTHING_RUNS, ""),
];

/// Targets whose folder is not made: it is there where the kernel has such a thing.
const KERNEL_HAS: [&str; 2] = ["/sys/fs/cgroup", "/sys/kernel/security"];

/// `/proc`, without which nothing is known.
pub(super) fn proc() {
    let [place, ..] = FIRST;
    step(place.0, one(place));
}

/// Everything of the kernel's, as `settings` want it.
pub(super) fn first(settings: &[Mount]) {
    for place in FIRST {
        match settings.iter().find(|mount| mount.target == Path::new(place.0)) {
            Some(instead) if !is_mounted(&instead.target) => step(place.0, super::disks::mount(instead, &[])),
            Some(_) => {}
            None => step(place.0, one(place)),
        }
    }
    // What a container has there is its maker's.
    if super::is_first_of_machine() {
        links();
    }
}

/// Whether [`first`] has dealt with it.
pub(super) fn is_early(target: &Path) -> bool {
    FIRST.iter().any(|place| target == Path::new(place.0))
}

fn one((target, kind, flags, options): Place) -> io::Result<()> {
    let path = Path::new(target);
    if is_mounted(path) || (KERNEL_HAS.contains(&target) && !path.exists()) {
        return Ok(());
    }
    if target == "/sys/fs/cgroup" && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        // Hierarchies of the first version stand below.
        return Ok(());
    }
    if !KERNEL_HAS.contains(&target) {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let data = CString::new(options)?;
    mount(kind, path, kind, flags, Some(data.as_c_str())).or_else(|error| {
        // An older kernel does not know every option.
        if error == rustix::io::Errno::INVAL && kind == "cgroup2" {
            return mount(kind, path, kind, flags, None);
        }
        Err(error)
    })?;
    Ok(())
}

/// Names that programs expect in `/dev` and that no driver makes.
fn links() {
    for (name, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        // It is there, or this `/dev` is not ours.
        let _ = std::os::unix::fs::symlink(to, name);
    }
}

/// Whether `path` is the root of a mount: it stands on another device than its parent.
pub(super) fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    match (device(path), path.parent().and_then(device)) {
        (Some(own), Some(parent)) => own != parent,
        _ => false,
    }
}

/// A `/tmp` that can be written to, if it is none: what can be is left as it is.
pub(super) fn writable_tmp() {
    let path = Path::new("/tmp");
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        step("/tmp", one(("/tmp", "tmpfs", MEMORY, "mode=1777")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_known() {
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")) && !is_mounted(Path::new("/nowhere/at/all")));
        assert!(is_early(Path::new("/run")) && !is_early(Path::new("/data")));
    }
}
