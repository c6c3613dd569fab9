//! What is known of a device between its events, in files as libudev reads them: `/run/udev/data/ID`.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Bytes of an entry.
const BYTES: u64 = 4 << 20;

/// A device's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Links to its node, relative to /dev.
    pub(super) links: Vec<Vec<u8>>,
    pub(super) link_priority: i32,
    /// When it was first handled, in microseconds after boot.
    pub(super) initialized_us: u64,
    pub(super) properties: Vec<(Vec<u8>, Vec<u8>)>,
    /// All tags that it ever had.
    pub(super) tags: Vec<Vec<u8>>,
    /// Those that its last event has given to it.
    pub(super) present_tags: Vec<Vec<u8>>,
    /// It is kept when the machine leaves its first file system.
    pub(super) persistent: bool,
}

/// By what a device is known to the database: `b8:0`, `c1:3`, `n2`, `+usb:1-1`. `None` if it has no name of its own.
pub(super) fn id(
    subsystem: &[u8],
    name: &[u8],
    property: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let number = |key: &[u8]| -> Option<u32> { str::from_utf8(&property(key)?).ok()?.parse().ok() };
    if let (Some(major @ 1..), Some(minor)) = (number(b"MAJOR"), number(b"MINOR")) {
        let kind = if subsystem == b"block" { 'b' } else { 'c' };
        return Some(format!("{kind}{major}:{minor}"));
    }
    if let Some(index @ 1..) = number(b"IFINDEX") {
        return Some(format!("n{index}"));
    }
    let name = String::from_utf8_lossy(name);
    let safe = !subsystem.is_empty() && !subsystem.contains(&b'/') && !name.contains('/');
    safe.then(|| format!("+{}:{name}", String::from_utf8_lossy(subsystem)))
}

impl Entry {
    /// The entry of `id` in `folder`, if there is one that can be read.
    pub(super) fn read(folder: &Path, id: &str) -> Option<Self> {
        let mut text = Vec::new();
        let file = File::open(folder.join(id)).ok()?;
        let persistent = file.metadata().ok()?.permissions().mode() & 0o1000 != 0;
        file.take(BYTES).read_to_end(&mut text).ok()?;
        Some(Self { persistent, ..Self::parse(&text) })
    }

    fn parse(text: &[u8]) -> Self {
        let mut entry = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let (Some(kind), Some(value)) = (line.get(..2), line.get(2..)) else { continue };
            let number = || str::from_utf8(value).ok();
            match kind {
                b"S:" => entry.links.push(value.to_vec()),
                b"L:" => entry.link_priority = number().and_then(|text| text.parse().ok()).unwrap_or(0),
                b"I:" => entry.initialized_us = number().and_then(|text| text.parse().ok()).unwrap_or(0),
                b"G:" => entry.tags.push(value.to_vec()),
                b"Q:" => entry.present_tags.push(value.to_vec()),
                b"E:" => {
                    if let Some(at) = value.iter().position(|byte| *byte == b'=') {
                        let (key, value) = value.split_at(at);
                        entry.properties.push((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
                    }
                }
                _ => {}
            }
        }
        entry
    }

    pub(super) fn property(&self, key: &[u8]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    /// Whether to put the other one in its place would change nothing. When the device was first handled does not change.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let Self { links, link_priority, initialized_us: _, properties, tags, present_tags, persistent } =
            self;
        (links, properties, tags, present_tags)
            == (&other.links, &other.properties, &other.tags, &other.present_tags)
            && (*link_priority, *persistent) == (other.link_priority, other.persistent)
    }

    /// Puts the entry in the place of the one of `id`; whoever reads sees the old one or the new one.
    pub(super) fn write(&self, folder: &Path, id: &str) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let new = folder.join(format!(".#{id}.{}", std::process::id()));
        let written = self.write_to(&new).and_then(|()| fs::rename(&new, folder.join(id)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        let sticky = if self.persistent { 0o1000 } else { 0 };
        file.set_permissions(fs::Permissions::from_mode(0o644 | sticky))?;
        // That the file is there says enough, and an empty one takes no page of memory.
        if self.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        let mut line = |kind: &str, parts: &[&[u8]]| {
            // A newline would begin a line of another kind.
            if !parts.iter().any(|part| part.contains(&b'\n')) {
                text.extend_from_slice(kind.as_bytes());
                parts.iter().for_each(|part| text.extend_from_slice(part));
                text.push(b'\n');
            }
        };
        self.links.iter().for_each(|link| line("S:", &[link]));
        if self.link_priority != 0 {
            line("L:", &[self.link_priority.to_string().as_bytes()]);
        }
        if self.initialized_us != 0 {
            line("I:", &[self.initialized_us.to_string().as_bytes()]);
        }
        self.properties.iter().for_each(|(key, value)| line("E:", &[key, b"=", value]));
        self.tags.iter().for_each(|tag| line("G:", &[tag]));
        self.present_tags.iter().for_each(|tag| line("Q:", &[tag]));
        line("V:", &[b"1"]);
        file.write_all(&text)
    }

    /// Nothing is known but that the device has been handled.
    fn is_empty(&self) -> bool {
        self.links.is_empty() && self.link_priority == 0 && self.properties.is_empty() && self.tags.is_empty()
    }
}

/// Removes the entry of `id`.
pub(super) fn remove(folder: &Path, id: &str) {
    let _ = fs::remove_file(folder.join(id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_the_names_that_libudev_gives_them() {
        let none = |_: &[u8]| None;
        let with = |pairs: &'static [(&[u8], &[u8])]| {
            move |key: &[u8]| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_vec())
        };
        let node = with(&[(b"MAJOR", b"8"), (b"MINOR", b"1")]);
        assert_eq!(id(b"block", b"sda1", node).as_deref(), Some("b8:1"));
        assert_eq!(id(b"tty", b"tty1", node).as_deref(), Some("c8:1"));
        assert_eq!(id(b"net", b"eth0", with(&[(b"IFINDEX", b"2")])).as_deref(), Some("n2"));
        assert_eq!(id(b"usb", b"1-1", none).as_deref(), Some("+usb:1-1"));
        assert_eq!(id(b"", b"x", none), None);
        assert_eq!(id(b"../..", b"x", none), None);
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let folder = std::env::temp_dir().join(format!("lunix-database-{}", std::process::id()));
        let entry = Entry {
            links: vec![b"disk/a".to_vec(), b"b".to_vec()],
            link_priority: -10,
            initialized_us: 7,
            properties: vec![(b"A".to_vec(), b"b=c".to_vec()), (b"E".to_vec(), Vec::new())],
            tags: vec![b"old".to_vec(), b"new".to_vec()],
            present_tags: vec![b"new".to_vec()],
            persistent: true,
        };
        entry.write(&folder, "b8:0").unwrap();
        assert_eq!(Entry::read(&folder, "b8:0").as_ref(), Some(&entry));
        assert_eq!(entry.property(b"A"), Some(&b"b=c"[..]));
        assert!(entry.says_the_same(&Entry { initialized_us: 8, ..entry.clone() }));
        assert!(!entry.says_the_same(&Entry { present_tags: Vec::new(), ..entry.clone() }));
        let hostile = Entry { properties: vec![(b"A".to_vec(), b"x\nS:../etc".to_vec())], ..entry };
        hostile.write(&folder, "b8:0").unwrap();
        assert_eq!(Entry::read(&folder, "b8:0").unwrap().links.len(), 2);
        assert!(fs::read_dir(&folder).unwrap().count() == 1);
        remove(&folder, "b8:0");
        assert_eq!(Entry::read(&folder, "b8:0"), None);
        // As udevd leaves it for the many terminals of which rules say nothing.
        Entry { initialized_us: 7, ..Entry::default() }.write(&folder, "c4:1").unwrap();
        assert_eq!(fs::read(folder.join("c4:1")).unwrap(), b"");
        assert_eq!(Entry::read(&folder, "c4:1"), Some(Entry::default()));
        fs::remove_dir_all(&folder).unwrap();
    }
}
