//! The root, and the mounts of the settings: checked, then mounted.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use lunix_core::device::volume::{MAX_PIECE, Probe};
use rustix::mount::{MountFlags, mount as mount_at, mount_remount};

use super::super::files::{InitSettings, Mount};
use super::options::Options;
use super::{NAME, PATIENCE, is_first_of_machine, mounts, step, tool};
use crate::log::{self, Level};
use crate::mount_flags::flag;

/// Checks the root and makes it writable, if it shall be.
pub(super) fn root(settings: &InitSettings, options: &Options) {
    let wanted = options.writable_root.unwrap_or(settings.writable_root) || settings.writable_root;
    let read_only = rustix::fs::statvfs("/")
        .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if !wanted || !read_only || !is_first_of_machine() {
        return;
    }
    if let Some(device) = root_device() {
        check(&settings.fsck, &device);
    }
    step("/ writable", mount_remount("/", MountFlags::empty(), c""));
}

/// What the root is on, if that is a device.
fn root_device() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/"))?;
    let source =
        line.split(' ').next().filter(|source| source.starts_with("/dev/") && *source != "/dev/root")?;
    Some(source.to_owned())
}

/// Mounts one of the settings' file systems.
pub(super) fn mount(wanted: &Mount, fsck: &[String]) -> io::Result<()> {
    if mounts::is_mounted(&wanted.target) {
        return Ok(());
    }
    let source = match find(&wanted.source) {
        Some(source) => source,
        None if wanted.optional => return Ok(()),
        None => {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", wanted.source)));
        }
    };
    if wanted.check {
        check(fsck, &source.display().to_string());
    }
    fs::create_dir_all(&wanted.target)?;
    let (flags, data) = flags(&wanted.options);
    let data = CString::new(data)?;
    match mount_at(&source, &wanted.target, wanted.kind.as_str(), flags, Some(data.as_c_str())) {
        Err(error) if wanted.optional => {
            let target = wanted.target.display();
            log::line(Level::Info, NAME, format_args!("{target}: {error}; boot goes on without it"));
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Flags of mount(2), and what is left for the file system.
fn flags(options: &[String]) -> (MountFlags, String) {
    let (mut flags, mut data) = (MountFlags::empty(), Vec::new());
    for option in options {
        match (option.as_str(), flag(option)) {
            ("bind", _) => flags |= MountFlags::BIND,
            ("defaults" | "auto" | "noauto" | "nofail", _) => {}
            (_, Some((flag, on))) => flags.set(flag, on),
            (other, None) => data.push(other),
        }
    }
    (flags, data.join(","))
}

/// The file behind `LABEL=` and `UUID=`; anything else is what it is, a device only if it is there.
fn find(source: &str) -> Option<PathBuf> {
    let by = |wanted: &str, label: bool| {
        let disks = fs::read_dir("/sys/class/block").ok()?.filter_map(Result::ok);
        let mut nodes: Vec<PathBuf> = disks.map(|disk| Path::new("/dev").join(disk.file_name())).collect();
        nodes.sort();
        nodes.into_iter().find(|node| holds(node, wanted, label))
    };
    match source.split_once('=') {
        Some(("LABEL", label)) => by(label, true),
        Some(("UUID", uuid)) => by(uuid, false),
        _ => Some(PathBuf::from(source)).filter(|path| !path.starts_with("/dev") || path.exists()),
    }
}

fn holds(node: &Path, wanted: &str, label: bool) -> bool {
    let Ok(file) = File::open(node) else { return false };
    let (mut probe, mut piece) = (Probe::new(), [0; MAX_PIECE]);
    while let Some((offset, len)) = probe.wanted() {
        let room = piece.get_mut(..len).unwrap_or_default();
        let read = file.read_at(room, offset).unwrap_or(0);
        probe.feed(room.get(..read).unwrap_or_default());
    }
    probe.volume().is_some_and(|volume| match label {
        true => volume.label.as_bytes() == wanted.as_bytes(),
        false => volume.uuid.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()),
    })
}

/// Runs the settings' checker. What it could repair is well; the rest is said, and mounting shows whether it is usable.
fn check(fsck: &[String], source: &str) {
    if fsck.is_empty() {
        return;
    }
    let words: Vec<&str> = fsck.iter().map(String::as_str).chain([source]).collect();
    match tool::run(&words, PATIENCE) {
        // fsck(8): 1 = errors corrected.
        Ok(0) => {}
        Ok(1) => log::line(Level::Info, NAME, format_args!("{source}: was repaired")),
        Ok(code) => log::line(Level::Error, NAME, format_args!("{source}: the check ended with {code}")),
        Err(error) => log::line(Level::Error, NAME, format_args!("{source}: cannot be checked: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_and_the_rest() {
        let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (flags, data) = flags(&words("ro,nosuid,size=4m,rw,mode=0755,defaults"));
        assert_eq!((flags, data.as_str()), (MountFlags::NOSUID, "size=4m,mode=0755"));
        assert_eq!(find("tmpfs").as_deref(), Some(Path::new("tmpfs")));
        assert!(find("/dev/no-such-disk").is_none());
    }
}
