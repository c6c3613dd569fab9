//! A device as /sys and the kernel's event describe it, and where /sys, /dev and /run are.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use lunix_core::device::name;
use lunix_uevent::Uevent;

use super::database;
use super::sysfs::vars;

/// Bytes of a `uevent` file.
const UEVENT: u64 = 1 << 16;

/// The folders that all paths begin with: `/`, or another one that holds `sys`, `dev`, `run`, `proc` and `etc`.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_path_buf())
    }

    /// An absolute path, below the root.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether the kernel itself makes the nodes in /dev.
    pub(super) fn kernel_makes_nodes(&self) -> bool {
        let dev = self.path("/dev");
        let mounts = fs::read(self.path("/proc/self/mountinfo")).unwrap_or_default();
        // … MOUNT-POINT OPTIONS … - TYPE …; of several on one folder, the last is seen.
        let mut types = mounts.rsplit(|byte| *byte == b'\n').filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            (fields.nth(4)? == dev.as_os_str().as_bytes()).then_some(())?;
            fields.skip_while(|field| *field != b"-").nth(1)
        });
        types.next() == Some(b"devtmpfs")
    }

    pub(super) fn sys(&self) -> PathBuf {
        self.path("/sys")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path("/run/udev/data")
    }
}

/// A device as /sys and the kernel's event describe it.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) action: Vec<u8>,
    pub(super) devpath: Vec<u8>,
    pub(super) subsystem: Vec<u8>,
    /// What the kernel says of it, besides the three above.
    pub(super) properties: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Device {
    /// The device of an event of the kernel.
    pub(super) fn of(event: &Uevent<'_>) -> Self {
        let of_head = |key: &[u8]| matches!(key, b"ACTION" | b"DEVPATH" | b"SUBSYSTEM");
        let vars = event.vars().filter(|(key, _)| !of_head(key));
        Self {
            action: event.action().as_bytes().to_vec(),
            devpath: event.devpath().to_vec(),
            subsystem: event.subsystem().to_vec(),
            properties: vars.map(|(key, value)| (key.to_vec(), value.to_vec())).collect(),
        }
    }

    /// The device at `devpath` below /sys, which may be a link to it, as if the kernel had said `action` of it.
    pub(super) fn read(root: &Root, devpath: &[u8], action: &[u8]) -> io::Result<Self> {
        let path = relative(devpath);
        // The kernel never sends such a path; whoever does is not to lead us elsewhere.
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sys = fs::canonicalize(root.sys())?;
        let folder = fs::canonicalize(sys.join(path))?;
        let below = folder.strip_prefix(sys).map_err(|_| io::ErrorKind::InvalidInput)?;
        Self::of_folder(&folder, [b"/", below.as_os_str().as_bytes()].concat(), action)
    }

    /// The device of a folder that is no link to one, and leads through none.
    pub(super) fn of_folder(folder: &Path, devpath: Vec<u8>, action: &[u8]) -> io::Result<Self> {
        let uevent = limited(&folder.join("uevent"), UEVENT)?;
        let properties = vars(&uevent).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let subsystem = link_name(&folder.join("subsystem")).unwrap_or_default();
        Ok(Self { action: action.to_vec(), devpath, subsystem, properties })
    }

    pub(super) fn property(&self, key: &[u8]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    pub(super) fn id(&self) -> Option<String> {
        database::id(&self.subsystem, name(&self.devpath), |key| self.property(key).map(<[u8]>::to_vec))
    }

    /// Where its node is, relative to /dev.
    pub(super) fn node(&self) -> Option<&[u8]> {
        let node = self.property(b"DEVNAME")?;
        Some(node.strip_prefix(b"/dev/").unwrap_or(node))
    }
}

/// An absolute path as a relative one.
pub(super) fn relative(path: &[u8]) -> &Path {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    Path::new(OsStr::from_bytes(path.get(start..).unwrap_or_default()))
}

/// The last part of what a link leads to.
pub(super) fn link_name(link: &Path) -> Option<Vec<u8>> {
    Some(fs::read_link(link).ok()?.file_name()?.as_bytes().to_vec())
}

/// At most `limit` bytes of a file.
pub(super) fn limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}
