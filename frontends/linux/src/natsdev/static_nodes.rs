//! Nodes of modules that are not loaded yet: who opens one has its module loaded by the kernel. Which there are, the module's
//! makers say (`modules.dep`'s neighbour `modules.devname`); who may open one, rules with `OPTIONS+="static_node=…"`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use lunix_core::device::rules::{StaticNode, Table};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::system::uname;

use super::NAME;
use super::device::{Root, limited};
use super::effects::give;
use super::owners;
use crate::log::{self, Level};

/// Bytes of a list of nodes.
const LIST: u64 = 1 << 20;

/// Makes the nodes. What goes wrong is logged, and the rest is done.
pub(super) fn make(root: &Root) {
    for folder in ["/lib/modules", "/usr/lib/modules"] {
        let folder = root.path(folder).join(uname().release().to_string_lossy().as_ref());
        let Ok(list) = limited(&folder.join("modules.devname"), LIST) else { continue };
        for module in list.split(|byte| *byte == b'\n').filter_map(Module::read) {
            complain(module.node, module.make(root));
        }
        break;
    }
}

/// Gives them to whom rules want to have them.
pub(super) fn permit_all(root: &Root, table: &Table<'_>) {
    for node in table.static_nodes() {
        complain(node.node, permit(root, &node));
    }
}

fn complain(node: &[u8], result: io::Result<()>) {
    if let Err(error) = result {
        log::line(Level::Warn, NAME, format_args!("static node {}: {error}", node.escape_ascii()));
    }
}

/// A line of `modules.devname`: a module, the name of its node below /dev, its kind and number.
#[derive(Debug, PartialEq, Eq)]
struct Module<'l> {
    node: &'l [u8],
    kind: FileType,
    major: u32,
    minor: u32,
}

impl<'l> Module<'l> {
    /// `fuse fuse c10:229`
    fn read(line: &'l [u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let (_, node, number) = (words.next()?, words.next()?, words.next()?);
        let (kind, number) = number.split_first()?;
        let kind = match kind {
            b'c' => FileType::CharacterDevice,
            b'b' => FileType::BlockDevice,
            _ => return None,
        };
        let (major, minor) = str::from_utf8(number).ok()?.split_once(':')?;
        Some(Self { node, kind, major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// What is there already stays as it is.
    fn make(&self, root: &Root) -> io::Result<()> {
        let path = path(root, self.node)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match mknodat(CWD, &path, self.kind, Mode::RUSR | Mode::WUSR, makedev(self.major, self.minor)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn permit(root: &Root, node: &StaticNode<'_>) -> io::Result<()> {
    let path = path(root, node.node)?;
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        // Most rules are about modules that this machine does not have.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kind = meta.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Ok(());
    }
    for tag in node.tags() {
        let folder = root.path("/run/udev/static_node-tags").join(path_of_tag(tag)?);
        fs::create_dir_all(&folder)?;
        // As udev writes it.
        let name: Vec<u8> = node
            .node
            .iter()
            .flat_map(|byte| match byte {
                b'/' => br"\x2f".to_vec(),
                b'.' => br"\x2e".to_vec(),
                b'\\' => br"\x5c".to_vec(),
                byte => vec![*byte],
            })
            .collect();
        match symlink(
            Path::new("/dev").join(OsStr::from_bytes(node.node)),
            folder.join(OsStr::from_bytes(&name)),
        ) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let id = |file: &str, name: Option<&[u8]>| {
        let name = name?;
        let text = |bytes: &[u8]| str::from_utf8(bytes).ok()?.parse().ok();
        text(name).or_else(|| text(&owners::field(root, file, (0, name), 2)?))
    };
    let (owner, group) = (id("/etc/passwd", node.owner()), id("/etc/group", node.group()));
    match (owner, group, node.mode()) {
        (None, None, None) => Ok(()),
        // Who names a group wants it to have access.
        (owner, group, mode) => {
            give(&path, &meta, owner, group, mode.or(Some(if group.is_some() { 0o660 } else { 0o600 })))
        }
    }
}

/// A tag as the name of a folder.
fn path_of_tag(tag: &[u8]) -> io::Result<&Path> {
    let tag = Path::new(OsStr::from_bytes(tag));
    let mut parts = tag.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(tag),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// A node below /dev, and nothing above it.
fn path(root: &Root, node: &[u8]) -> io::Result<PathBuf> {
    let node = Path::new(OsStr::from_bytes(node));
    let inside = node.components().all(|part| matches!(part, Component::Normal(_)));
    match inside && node.components().next().is_some() {
        true => Ok(root.path("/dev").join(node)),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "no name below /dev")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_modules() {
        let tun = Module { node: b"net/tun", kind: FileType::CharacterDevice, major: 10, minor: 200 };
        assert_eq!(Module::read(b"tun net/tun c10:200"), Some(tun));
        assert_eq!(
            Module::read(b"loop loop-control b7:0").map(|node| node.kind),
            Some(FileType::BlockDevice)
        );
        for odd in ["", "# Device nodes", "a b", "a b x1:2", "a b c1", "a b c1:x", "a b c"] {
            assert_eq!(Module::read(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn no_name_leads_out_of_dev() {
        let root = Root::new(Path::new("/r"));
        assert_eq!(path(&root, b"net/tun").unwrap(), Path::new("/r/dev/net/tun"));
        for odd in ["", "/etc/passwd", "../etc/passwd", "a/../../b", ".", "./a"] {
            assert!(path(&root, odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(path_of_tag(b"uaccess").is_ok());
        for odd in ["", "..", "a/b", "/a", "."] {
            assert!(path_of_tag(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
