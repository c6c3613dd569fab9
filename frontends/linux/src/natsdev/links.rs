//! Links in /dev that several devices want: the one with the highest priority has it.
//!
//! Who wants a link is remembered as udev does: `/run/udev/links/LINK/ID` is a link to `PRIORITY:/dev/NODE`. Of equal
//! priorities, the one that came last has it. A lock in the folder makes one change after the other.
//!
//! A claim is there before the link and until after it: who is killed in between leaves a claim, by which `sweep` finds the link.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::device::Root;

/// How often a folder is made anew that somebody else has just removed because it was empty.
const ATTEMPTS: u32 = 64;
/// The longest name of a file.
const NAME: usize = 255;
/// How many devices may want the same link.
const CLAIMS: usize = 65536;

/// A device, and what it wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'c> {
    /// The device's name in the database.
    pub(super) id: &'c str,
    /// Its node, relative to /dev.
    pub(super) node: &'c [u8],
    pub(super) priority: i32,
}

/// A claim as it is written down: the device's name in the database, its node, its priority.
type Claimed = (String, Vec<u8>, i32);

/// The links of one machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'r> {
    root: &'r Root,
}

impl<'r> Links<'r> {
    pub(super) fn new(root: &'r Root) -> Self {
        Self { root }
    }

    /// A device wants `link`, relative to /dev.
    pub(super) fn claim(&self, link: &[u8], claim: Claim<'_>) -> io::Result<()> {
        let folder = Folder::lock(self.root, link)?;
        let present = self.owner(link, &folder);
        folder.write(claim)?;
        match present {
            // Who has it already keeps it, unless it wants it less than before.
            Some((id, priority)) if id == claim.id && priority <= claim.priority => Ok(()),
            Some((id, priority)) if id != claim.id && priority > claim.priority => Ok(()),
            Some((id, _)) if id != claim.id => self.point(link, claim.node),
            _ => self.settle(link, &folder.claims(), Some(claim)),
        }
    }

    /// A device no longer wants `link`.
    pub(super) fn release(&self, link: &[u8], id: &str) -> io::Result<()> {
        let folder = Folder::lock(self.root, link)?;
        let given = match self.owner(link, &folder) {
            Some((owner, _)) if owner != id => Ok(()),
            _ => {
                let mut others = folder.claims();
                others.retain(|(other, ..)| other != id);
                self.settle(link, &others, None)
            }
        };
        folder.remove(id)?;
        given
    }

    /// A link to a node, whoever else may want it: `/dev/block/8:0`.
    pub(super) fn point(&self, link: &[u8], node: &[u8]) -> io::Result<()> {
        let path = self.path(link);
        let ups = link.iter().filter(|byte| **byte == b'/').count();
        let target = [b"../".repeat(ups).as_slice(), node].concat();
        let target = Path::new(OsStr::from_bytes(&target));
        match fs::read_link(&path) {
            Ok(present) if present == target => return Ok(()),
            // Something else has this name.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            _ => {}
        }
        let mut new = path.clone().into_os_string();
        new.push(format!(".#{}", std::process::id()));
        let new = PathBuf::from(new);
        again(|| {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let _ = fs::remove_file(&new);
            symlink(target, &new)?;
            fs::rename(&new, &path)
        })
    }

    /// Removes a link, and the folders that are empty without it.
    pub(super) fn remove(&self, link: &[u8]) -> io::Result<()> {
        let path = self.path(link);
        match fs::symlink_metadata(&path) {
            Ok(meta) if !meta.is_symlink() => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.remove_empty_folders(&path);
        Ok(())
    }

    /// Removes the folders above `path` that are empty, but not /dev.
    pub(super) fn remove_empty_folders(&self, path: &Path) {
        let dev = self.root.path("/dev");
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&dev) && *folder != dev)
        {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    fn path(&self, link: &[u8]) -> PathBuf {
        self.root.path("/dev").join(OsStr::from_bytes(link))
    }

    /// Who has the link now, and with which priority.
    fn owner(&self, link: &[u8], folder: &Folder) -> Option<(String, i32)> {
        let path = self.path(link);
        let target = fs::canonicalize(path.parent()?.join(fs::read_link(&path).ok()?)).ok()?;
        let dev = fs::canonicalize(self.root.path("/dev")).ok()?;
        let node = target.strip_prefix(dev).ok()?.as_os_str().as_bytes().to_vec();
        let owner = folder.claims().into_iter().find(|(_, claimed, _)| *claimed == node);
        owner.map(|(id, _, priority)| (id, priority))
    }

    /// Gives the link to who wants it most; `new` before others of the same priority.
    fn settle(&self, link: &[u8], claims: &[Claimed], new: Option<Claim<'_>>) -> io::Result<()> {
        let mut best = new.map(|claim| (claim.node, claim.priority));
        for (_, node, priority) in claims {
            let is_there = self.path(node).exists();
            if is_there && best.is_none_or(|(_, highest)| *priority > highest) {
                best = Some((node, *priority));
            }
        }
        match best {
            Some((node, _)) => self.point(link, node),
            None => self.remove(link),
        }
    }
}

/// Does it again while a folder goes away in between.
fn again(mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut result = attempt();
    for _ in 0..ATTEMPTS {
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => result = attempt(),
            result => return result,
        }
    }
    result
}

/// The link of which a folder has the claims; `None` if it is none.
pub(super) fn decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut link = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, more @ ..] = rest {
        rest = more;
        match (byte, rest) {
            (b'\\', [b'x', b'2', b'f', more @ ..]) => {
                link.push(b'/');
                rest = more;
            }
            (b'\\', [b'x', b'5', b'c', more @ ..]) => {
                link.push(b'\\');
                rest = more;
            }
            (b'\\', _) => return None,
            (byte, _) => link.push(*byte),
        }
    }
    // Nobody made such a link; whoever made the folder is not to lead us elsewhere.
    let parts = link.split(|byte| *byte == b'/');
    (!parts.clone().any(|part| matches!(part, b"" | b"." | b".."))).then_some(link)
}

/// The claims to a link, and the lock on them.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    fn lock(root: &Root, link: &[u8]) -> io::Result<Self> {
        let mut name = Vec::new();
        for byte in link {
            match byte {
                b'/' => name.extend_from_slice(b"\\x2f"),
                b'\\' => name.extend_from_slice(b"\\x5c"),
                byte => name.push(*byte),
            }
        }
        if name.len() > NAME {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let path = root.path("/run/udev/links").join(OsStr::from_bytes(&name));
        fs::create_dir_all(&path)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(".lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self { path, _lock: lock })
    }

    fn write(&self, claim: Claim<'_>) -> io::Result<()> {
        let mut target = format!("{}:/dev/", claim.priority).into_bytes();
        target.extend_from_slice(claim.node);
        let target = Path::new(OsStr::from_bytes(&target));
        let path = self.path.join(claim.id);
        if fs::read_link(&path).is_ok_and(|present| present == target) {
            return Ok(());
        }
        let new = format!(".#{}.{}", claim.id, std::process::id());
        self.remove(&new)?;
        symlink(target, self.path.join(&new))?;
        fs::rename(self.path.join(&new), path)
    }

    fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The devices that want the link.
    fn claims(&self) -> Vec<Claimed> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let claim = |entry: fs::DirEntry| {
            let id = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            let target = fs::read_link(entry.path()).ok()?;
            let target = target.as_os_str().as_bytes();
            let colon = target.iter().position(|byte| *byte == b':')?;
            let (priority, node) = target.split_at(colon);
            let node = node.strip_prefix(b":/dev/")?.to_vec();
            Some((id, node, str::from_utf8(priority).ok()?.parse().ok()?))
        };
        let mut claims: Vec<_> = entries.take(CLAIMS).filter_map(|entry| claim(entry.ok()?)).collect();
        claims.sort_unstable();
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_claims_says_which_link_it_is() {
        for (name, link) in [
            (&br"disk\x2fby-id\x2fx"[..], Some(&b"disk/by-id/x"[..])),
            (br"a\x5cx2fb", Some(br"a\x2fb")),
            (b"cdrom", Some(b"cdrom")),
            (br"a\x2f..\x2fb", None),
            (br"\x2fetc", None),
            (br"a\n", None),
        ] {
            assert_eq!(decoded(name).as_deref(), link, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn the_one_that_wants_it_most_has_the_link() {
        let folder = std::env::temp_dir().join(format!("lunix-links-{}", std::process::id()));
        fs::create_dir_all(folder.join("dev/sub")).unwrap();
        for node in ["a", "b", "sub/c"] {
            fs::write(folder.join("dev").join(node), "").unwrap();
        }
        let root = Root::new(&folder);
        let links = Links::new(&root);
        let target = || {
            fs::read_link(folder.join("dev/disk/by/x")).ok().and_then(|path| path.to_str().map(str::to_owned))
        };
        let claim = |id, node, priority| {
            links.claim(b"disk/by/x", Claim { id, node, priority }).unwrap();
        };
        claim("b1", b"a", 0);
        assert_eq!(target().as_deref(), Some("../../a"));
        claim("b2", b"b", 10);
        assert_eq!(target().as_deref(), Some("../../b"));
        claim("b3", b"sub/c", 5);
        assert_eq!(target().as_deref(), Some("../../b"));
        // It wants it less than before.
        claim("b2", b"b", -1);
        assert_eq!(target().as_deref(), Some("../../sub/c"));
        links.release(b"disk/by/x", "b3").unwrap();
        assert_eq!(target().as_deref(), Some("../../a"));
        links.release(b"disk/by/x", "b2").unwrap();
        assert_eq!(target().as_deref(), Some("../../a"));
        links.release(b"disk/by/x", "b1").unwrap();
        assert_eq!(target(), None);
        assert!(!folder.join("dev/disk").exists());
        // A node is no link.
        assert!(links.claim(b"a", Claim { id: "b2", node: b"b", priority: 0 }).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn devices_that_come_and_go_at_once_agree() {
        let folder = std::env::temp_dir().join(format!("lunix-links-many-{}", std::process::id()));
        fs::create_dir_all(folder.join("dev")).unwrap();
        let devices: Vec<(String, String)> =
            (0..8).map(|number| (format!("b8:{number}"), format!("sd{number}"))).collect();
        let root = Root::new(&folder);
        let links = Links::new(&root);
        for _ in 0..20 {
            let at_once = |work: &(dyn Fn(&str, &str, i32) + Sync)| {
                std::thread::scope(|scope| {
                    for (priority, (id, node)) in (0..).zip(&devices) {
                        scope.spawn(move || work(id, node, priority));
                    }
                });
            };
            at_once(&|id, node, priority| {
                fs::write(folder.join("dev").join(node), "").unwrap();
                links.claim(b"disk/x", Claim { id, node: node.as_bytes(), priority }).unwrap();
            });
            let target = fs::read_link(folder.join("dev/disk/x")).unwrap();
            assert_eq!(target, Path::new("../sd7"));
            at_once(&|id, node, _| {
                fs::remove_file(folder.join("dev").join(node)).unwrap();
                links.release(b"disk/x", id).unwrap();
            });
            assert!(!folder.join("dev/disk").exists());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
