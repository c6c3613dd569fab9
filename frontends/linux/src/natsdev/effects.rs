//! What the rules want of a device, done: its node, owner, permissions, links, and its entry in the database.
//!
//! In this order, as others rely on it: the node, its permissions, the links, the tags, the entry. Who waits for the entry
//! finds all the rest.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lunix_core::device::rules::Outcome;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags, chownat, lsetxattr, makedev, mknodat};
use rustix::io::Errno;

use super::database::{self, Entry};
use super::device::{Device, Root};
use super::links::{Claim, Links};

/// Names of extended attributes that hold the labels of security modules.
const LABELS: [(&[u8], &str); 2] = [(b"selinux", "security.selinux"), (b"smack", "security.SMACK64")];

/// Does to a machine what rules want of devices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effects<'r> {
    root: &'r Root,
    /// The kernel makes and removes the nodes (devtmpfs).
    kernel_makes_nodes: bool,
}

/// A node of a device: its file, and what kind and number it has.
#[derive(Clone, Debug)]
pub(super) struct Node<'d> {
    /// Relative to /dev.
    pub(super) name: &'d [u8],
    path: PathBuf,
    number: Number,
}

/// What the kernel knows a device by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) block: bool,
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl<'r> Effects<'r> {
    pub(super) fn new(root: &'r Root, kernel_makes_nodes: bool) -> Self {
        Self { root, kernel_makes_nodes }
    }

    /// Before the rules: makes the node, where the kernel does not. Nobody but root can use it yet.
    pub(super) fn prepare(&self, device: &Device) -> io::Result<()> {
        let Some(node) = self.node(device) else { return Ok(()) };
        if self.kernel_makes_nodes {
            return Ok(());
        }
        if device.action == b"remove" {
            return node.remove(self.root);
        }
        node.make()
    }

    /// After the rules. `entry` is the device's entry before. What went wrong is told, and the rest is done. Answers when
    /// the device was first handled, in microseconds after boot.
    pub(super) fn apply(
        &self,
        device: &Device,
        entry: Option<&Entry>,
        outcome: &Outcome<'_>,
        mut wrong: impl FnMut(&str, io::Error),
    ) -> u64 {
        let initialized_us = match entry.map_or(0, |entry| entry.initialized_us) {
            0 => crate::reactor::monotonic().as_micros(),
            first => first,
        };
        let Some(id) = device.id() else { return initialized_us };
        if device.action == b"remove" {
            self.removed(device, &id, entry, outcome, wrong);
            return initialized_us;
        }
        if let Some(node) = self.node(device) {
            // A device that went before its event was handled has no node any more; its `remove` waits already.
            if let Err(error) = permit(&node, device, outcome)
                && error.kind() != io::ErrorKind::NotFound
            {
                wrong("permissions of the node", error);
            }
            self.link(&node, &id, entry, outcome, &mut wrong);
        }
        let mut tags: Vec<Vec<u8>> = outcome.tags().map(<[u8]>::to_vec).collect();
        let present_tags = tags.clone();
        for tag in entry.map(|entry| entry.tags.as_slice()).unwrap_or_default() {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        for tag in &tags {
            if let Err(error) = self.tag(tag, &id) {
                wrong("a tag", error);
            }
        }
        let is_node = self.node(device).is_some();
        let new = Entry {
            links: if is_node { outcome.links().map(<[u8]>::to_vec).collect() } else { Vec::new() },
            link_priority: outcome.link_priority(),
            initialized_us,
            properties: stored(device, outcome),
            tags,
            present_tags,
            persistent: outcome.db_persist(),
        };
        let nothing = new.links.is_empty() && new.properties.is_empty() && new.tags.is_empty();
        if nothing && !is_node && device.property(b"IFINDEX").is_none() {
            database::remove(&self.root.data(), &id);
        } else if !entry.is_some_and(|entry| entry.says_the_same(&new))
            && let Err(error) = new.write(&self.root.data(), &id)
        {
            wrong("the entry in the database", error);
        }
        initialized_us
    }

    fn removed(
        &self,
        device: &Device,
        id: &str,
        entry: Option<&Entry>,
        outcome: &Outcome<'_>,
        mut wrong: impl FnMut(&str, io::Error),
    ) {
        for tag in entry.map(|entry| entry.tags.as_slice()).unwrap_or_default() {
            let _ = fs::remove_file(self.tag_path(tag).join(id));
        }
        database::remove(&self.root.data(), id);
        let Some(node) = self.node(device) else { return };
        let links = Links::new(self.root);
        for link in outcome.links() {
            if let Err(error) = links.release(link, id) {
                wrong(&format!("the link {}", link.escape_ascii()), error);
            }
        }
        if let Err(error) = links.remove(node.by_number().as_bytes()) {
            wrong("the link by number", error);
        }
    }

    fn link(
        &self,
        node: &Node<'_>,
        id: &str,
        entry: Option<&Entry>,
        outcome: &Outcome<'_>,
        wrong: &mut impl FnMut(&str, io::Error),
    ) {
        let links = Links::new(self.root);
        let mut done = |link: &[u8], result: io::Result<()>| {
            if let Err(error) = result {
                wrong(&format!("the link {}", link.escape_ascii()), error);
            }
        };
        for link in entry.map(|entry| entry.links.as_slice()).unwrap_or_default() {
            if !outcome.links().any(|wanted| wanted == link) {
                done(link, links.release(link, id));
            }
        }
        let claim = Claim { id, node: node.name, priority: outcome.link_priority() };
        for link in outcome.links().filter(|link| *link != node.name) {
            done(link, links.claim(link, claim));
        }
        let by_number = node.by_number();
        done(by_number.as_bytes(), links.point(by_number.as_bytes(), node.name));
    }

    fn tag_path(&self, tag: &[u8]) -> PathBuf {
        self.root.path("/run/udev/tags").join(OsStr::from_bytes(tag))
    }

    fn tag(&self, tag: &[u8], id: &str) -> io::Result<()> {
        let folder = self.tag_path(tag);
        fs::create_dir_all(&folder)?;
        fs::File::create(folder.join(id)).map(|_| ())
    }

    fn node<'d>(&self, device: &'d Device) -> Option<Node<'d>> {
        Node::new(self.root, device.node()?, Number::of(device)?)
    }
}

impl Number {
    /// What the kernel says of a device that has a node.
    pub(super) fn of(device: &Device) -> Option<Self> {
        let number = |key: &[u8]| -> Option<u32> { str::from_utf8(device.property(key)?).ok()?.parse().ok() };
        let (major, minor) = (number(b"MAJOR").filter(|major| *major > 0)?, number(b"MINOR")?);
        Some(Self { block: device.subsystem == b"block", major, minor })
    }

    fn device(self) -> u64 {
        makedev(self.major, self.minor)
    }
}

impl<'d> Node<'d> {
    /// `name` is relative to /dev; `None` if it leads out of there.
    pub(super) fn new(root: &Root, name: &'d [u8], number: Number) -> Option<Self> {
        let path = root.path("/dev").join(OsStr::from_bytes(name));
        is_below_dev(name).then_some(Self { name, path, number })
    }

    /// Makes it, unless it is there. Nobody but root can use a new one yet.
    pub(super) fn make(&self) -> io::Result<()> {
        let kind = if self.number.block { FileType::BlockDevice } else { FileType::CharacterDevice };
        let made = || mknodat(CWD, &self.path, kind, Mode::RUSR | Mode::WUSR, self.number.device());
        let mut result = made();
        if let (Err(Errno::NOENT), Some(folder)) = (result, self.path.parent()) {
            fs::create_dir_all(folder)?;
            result = made();
        }
        match result {
            // Whether it is this node, is looked at before anybody gets it.
            Err(Errno::EXIST) => Ok(()),
            result => result.map_err(Into::into),
        }
    }

    /// Removes it, if it is there, and the folders that are empty without it.
    pub(super) fn remove(&self, root: &Root) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Links::new(root).remove_empty_folders(&self.path);
        Ok(())
    }

    /// What the file is, if it is this node, and nothing else with its name.
    pub(super) fn check(&self) -> io::Result<fs::Metadata> {
        let meta = fs::symlink_metadata(&self.path)?;
        let kind = meta.file_type();
        let right = if self.number.block { kind.is_block_device() } else { kind.is_char_device() };
        if right && meta.rdev() == self.number.device() {
            return Ok(meta);
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file has the name of the node"))
    }

    /// Gives it an owner, a group and permissions, which are never wider in between than before or after.
    pub(super) fn permit(&self, owner: Option<u32>, group: Option<u32>, mode: Option<u32>) -> io::Result<()> {
        give(&self.path, &self.check()?, owner, group, mode)
    }

    /// `block/8:0`, relative to /dev.
    fn by_number(&self) -> String {
        let Number { block, major, minor } = self.number;
        format!("{}/{major}:{minor}", if block { "block" } else { "char" })
    }
}

/// Gives a node, of which `meta` is known, to its owner and group, with these permissions; what is `None` stays.
pub(super) fn give(
    node: &Path,
    meta: &fs::Metadata,
    owner: Option<u32>,
    group: Option<u32>,
    mode: Option<u32>,
) -> io::Result<()> {
    let new = |wanted: Option<u32>, present| wanted.filter(|wanted| *wanted != present);
    // Nobody new may use it by the permissions of before.
    if let Some(mode) = new(mode, meta.permissions().mode() & 0o7777) {
        let shared = meta.permissions().mode() & mode & 0o7777;
        fs::set_permissions(node, fs::Permissions::from_mode(shared))?;
    }
    let (owner, group) = (new(owner, meta.uid()), new(group, meta.gid()));
    if owner.is_some() || group.is_some() {
        let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(CWD, node, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    match mode {
        Some(mode) => fs::set_permissions(node, fs::Permissions::from_mode(mode)),
        None => Ok(()),
    }
}

/// Whether a name relative to /dev is one that the kernel could say; whoever says another is not to lead us elsewhere.
pub(super) fn is_below_dev(name: &[u8]) -> bool {
    !name.contains(&0) && !name.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b".."))
}

/// What rules say of a node, else the kernel.
fn permit(node: &Node<'_>, device: &Device, outcome: &Outcome<'_>) -> io::Result<()> {
    let kernel =
        |key: &[u8], radix| u32::from_str_radix(str::from_utf8(device.property(key)?).ok()?, radix).ok();
    let owner = outcome.owner().or_else(|| kernel(b"DEVUID", 10));
    let group = outcome.group().or_else(|| kernel(b"DEVGID", 10));
    let mode = outcome.mode().or_else(|| kernel(b"DEVMODE", 8));
    // Who names a group wants it to have access.
    let mode = mode.or_else(|| group.filter(|group| *group > 0).map(|_| 0o660));
    node.permit(owner, group, mode)?;
    if device.action == b"add" {
        for (module, label) in outcome.labels() {
            if let Some((_, attribute)) = LABELS.iter().find(|(known, _)| *known == module) {
                lsetxattr(&node.path, *attribute, label, XattrFlags::empty())?;
            }
        }
    }
    Ok(())
}

/// The properties that the database keeps: those that rules have set, and not the kernel.
fn stored(device: &Device, outcome: &Outcome<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of_kernel = |key: &[u8], value: &[u8]| {
        matches!(key, b"ACTION" | b"DEVPATH" | b"SUBSYSTEM" | b"DEVNAME")
            || device.property(key) == Some(value)
    };
    outcome
        .properties()
        .filter(|(key, value)| !key.starts_with(b".") && !of_kernel(key, value))
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::natsdev::rules::evaluate::{MEMORY, Terms, evaluate};
    use crate::natsdev::rules::{Rules, Strictness};

    #[test]
    fn a_device_comes_changes_and_goes() {
        let folder = std::env::temp_dir().join(format!("lunix-effects-{}", std::process::id()));
        let sys = folder.join("sys/devices/zero!0");
        fs::create_dir_all(&sys).unwrap();
        fs::write(sys.join("uevent"), "MAJOR=1\nMINOR=5\nDEVNAME=sub/zero\nDEVMODE=0666\n").unwrap();
        std::os::unix::fs::symlink("/sys/class/mem", sys.join("subsystem")).unwrap();
        let root = Root::new(&folder);
        let effects = Effects::new(&root, false);
        let rules = "ACTION==\"add\", SYMLINK+=\"a/one two\", TAG+=\"seat\", ENV{ID}=\"7\", ENV{.X}=\"8\"\n\
                     ACTION==\"change\", SYMLINK+=\"two\", MODE=\"0600\", OPTIONS+=\"link_priority=3\"";
        let rules = Rules::parse("x".as_ref(), rules.as_bytes(), Strictness::Refuse).unwrap();
        let read = || Entry::read(&root.data(), "c1:5");
        let happens = |action: &str| {
            let device = Device::read(&root, b"/devices/zero!0", action.as_bytes()).unwrap();
            let entry = read();
            effects.prepare(&device)?;
            let mut memory = vec![0; MEMORY];
            let evaluation =
                evaluate(&rules, &root, &device, entry.as_ref(), Terms::ALL, &mut memory, |_| {}).unwrap();
            effects.apply(&device, entry.as_ref(), evaluation.outcome(), |what, error| {
                panic!("{what}: {error}")
            });
            io::Result::Ok(())
        };
        if let Err(error) = happens("add") {
            eprintln!("SKIPPED a_device_comes_changes_and_goes: no nodes can be made here: {error}");
            return fs::remove_dir_all(&folder).unwrap();
        }
        let dev = folder.join("dev");
        let link = |name: &str| fs::read_link(dev.join(name)).ok();
        let mode = || fs::metadata(dev.join("sub/zero")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o666);
        assert_eq!(link("a/one").as_deref(), Some(Path::new("../sub/zero")));
        assert_eq!(link("char/1:5").as_deref(), Some(Path::new("../sub/zero")));
        let entry = read().unwrap();
        assert_eq!(entry.properties, [(b"ID".to_vec(), b"7".to_vec())]);
        assert_eq!((entry.links.len(), entry.present_tags.len()), (2, 1));
        assert!(folder.join("run/udev/tags/seat/c1:5").exists());

        happens("change").unwrap();
        assert_eq!((mode(), link("a/one"), link("two").is_some()), (0o600, None, true));
        let changed = read().unwrap();
        assert_eq!((changed.link_priority, changed.initialized_us), (3, entry.initialized_us));
        // What it was once tagged with, it was; now it is not.
        assert_eq!((changed.tags.len(), changed.present_tags.len()), (1, 0));

        happens("remove").unwrap();
        assert_eq!(read(), None);
        assert_eq!(link("two"), None);
        assert!(!dev.join("sub").exists());
        assert!(!folder.join("run/udev/tags/seat/c1:5").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
