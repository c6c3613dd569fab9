//! A device as libudev shows it. What is asked for first stands first among its properties, as there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use crate::natsdev::database::{self, Entry};
use crate::natsdev::device::{limited, link_name};
use crate::natsdev::sysfs::vars;

const SYS: &str = "/sys";
const DATA: &str = "/run/udev/data";

/// Bytes of a `uevent` file, and of an attribute.
const UEVENT: u64 = 1 << 16;
const ATTRIBUTE: u64 = 4 << 20;

/// A device; what is not asked for is not read.
#[derive(Debug)]
pub(super) struct Record {
    folder: PathBuf,
    devpath: Vec<u8>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    subsystem: Option<Vec<u8>>,
    subsystem_read: bool,
    uevent_read: bool,
    /// Outside, whether it was read; inside, whether there is one.
    entry: Option<Option<Entry>>,
}

/// An attribute, as far as there is something to say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Value(Vec<u8>),
    /// It is not for whoever asks, or for nobody.
    Unreadable,
}

impl Record {
    /// The device that `path` is, or leads to. In /sys/devices it has a `uevent` file; elsewhere (drivers, modules,
    /// buses) any folder is one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = fs::canonicalize(path)?;
        let below = folder.strip_prefix(SYS).map_err(|_| absent())?.as_os_str().as_bytes();
        let is_device = match below.strip_prefix(b"devices") {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => folder.join("uevent").exists(),
            _ => !below.is_empty() && folder.is_dir(),
        };
        if !is_device {
            return Err(absent());
        }
        let devpath = [b"/", below].concat();
        Ok(Self {
            properties: vec![(b"DEVPATH".to_vec(), devpath.clone())],
            folder,
            devpath,
            subsystem: None,
            subsystem_read: false,
            uevent_read: false,
            entry: None,
        })
    }

    /// The device that `id` names: a path in /dev or /sys, or what is one behind `prefix`, or the name of a unit.
    pub(super) fn find(id: &OsStr, prefix: Option<&str>) -> io::Result<Self> {
        let at = |path: &Path| if path.starts_with("/dev") { Self::of_node(path) } else { Self::open(path) };
        if let Ok(record) = at(Path::new(id)) {
            return Ok(record);
        }
        if let Some(prefix) = prefix.filter(|prefix| !Path::new(id).starts_with(prefix))
            && let Ok(record) = at(&below(prefix, id))
        {
            return Ok(record);
        }
        let unit = id.as_bytes().strip_suffix(b".device").filter(|name| !name.contains(&b'/'));
        let path = unit.and_then(unit_path).ok_or_else(absent)?;
        at(Path::new(OsStr::from_bytes(&path)))
    }

    /// The device of a node, or of a link to one. `/dev/block/8:0` need not be there.
    fn of_node(path: &Path) -> io::Result<Self> {
        for kind in ["block", "char"] {
            let number = path.strip_prefix("/dev").ok().and_then(|rest| rest.strip_prefix(kind).ok());
            if let Some((major, minor)) = number.and_then(Path::to_str).and_then(|text| text.split_once(':'))
                && let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
            {
                return Self::of_number(kind, major, minor);
            }
        }
        let meta = fs::metadata(path)?;
        let kind = match meta.file_type() {
            kind if kind.is_block_device() => "block",
            kind if kind.is_char_device() => "char",
            _ => return Err(absent()),
        };
        Self::of_number(kind, major(meta.rdev()), minor(meta.rdev()))
    }

    fn of_number(kind: &str, major: u32, minor: u32) -> io::Result<Self> {
        let mut record = Self::open(Path::new(&format!("{SYS}/dev/{kind}/{major}:{minor}")))?;
        let same = record.number() == Some((major, minor))
            && (record.subsystem() == Some(b"block")) == (kind == "block");
        if same { Ok(record) } else { Err(absent()) }
    }

    /// The device that the database calls `id`.
    pub(super) fn of_id(id: &str) -> io::Result<Self> {
        let kind = id.get(..1).unwrap_or_default();
        let rest = id.get(1..).unwrap_or_default();
        match kind {
            "b" | "c" => {
                let (major, minor) = rest.split_once(':').ok_or_else(absent)?;
                let (major, minor) = (major.parse().ok(), minor.parse().ok());
                let (major, minor) = major.zip(minor).ok_or_else(absent)?;
                Self::of_number(if kind == "b" { "block" } else { "char" }, major, minor)
            }
            "n" => {
                let is = |folder: &Path| {
                    fs::read(folder.join("ifindex")).is_ok_and(|text| text.trim_ascii() == rest.as_bytes())
                };
                let mut folders =
                    fs::read_dir("/sys/class/net")?.filter_map(|entry| Some(entry.ok()?.path()));
                Self::open(&folders.find(|folder| is(folder)).ok_or_else(absent)?)
            }
            "+" => {
                let (subsystem, name) = rest.split_once(':').ok_or_else(absent)?;
                Self::of_name(subsystem, name)
            }
            _ => Err(absent()),
        }
    }

    fn of_name(subsystem: &str, name: &str) -> io::Result<Self> {
        let mut places = Vec::new();
        match (subsystem, name.split_once(':')) {
            ("subsystem", _) => places = vec![format!("bus/{name}"), format!("class/{name}")],
            ("module", _) => places.push(format!("module/{name}")),
            ("drivers", Some((bus, "drivers"))) => places.push(format!("bus/{bus}/drivers")),
            ("drivers", Some((bus, name))) => places.push(format!("bus/{bus}/drivers/{name}")),
            _ => {}
        }
        places.extend([
            format!("bus/{subsystem}/devices/{name}"),
            format!("class/{subsystem}/{name}"),
            format!("firmware/{subsystem}/{name}"),
        ]);
        let place = places.iter().map(|place| Path::new(SYS).join(place)).find(|place| place.exists());
        Self::open(&place.ok_or_else(absent)?)
    }

    /// The nearest one above it.
    pub(super) fn parent(&self) -> Option<Self> {
        let above = self.folder.ancestors().skip(1);
        above.take_while(|folder| *folder != Path::new(SYS)).find_map(|folder| Self::open(folder).ok())
    }

    /// Where it is in /sys.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn devpath(&self) -> &[u8] {
        &self.devpath
    }

    /// Its name; what /sys calls `a!b` is `a/b`.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = lunix_core::device::name(&self.devpath);
        name.iter().map(|byte| if *byte == b'!' { b'/' } else { *byte }).collect()
    }

    /// The digits at the end of its name, if there is something before them.
    pub(super) fn name_number(&self) -> Option<Vec<u8>> {
        let name = self.name();
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0 && digits < name.len()).then(|| name.get(name.len() - digits..).map(<[u8]>::to_vec))?
    }

    pub(super) fn subsystem(&mut self) -> Option<&[u8]> {
        if !self.subsystem_read {
            self.subsystem_read = true;
            self.subsystem = link_name(&self.folder.join("subsystem")).or_else(|| self.implied_subsystem());
            if let Some(subsystem) = self.subsystem.clone() {
                self.put(b"SUBSYSTEM", Some(&subsystem));
            }
        }
        self.subsystem.as_deref()
    }

    fn implied_subsystem(&self) -> Option<Vec<u8>> {
        let below = |folder: &[u8]| self.devpath.strip_prefix(folder).is_some_and(|rest| !rest.is_empty());
        let name = if below(b"/module/") {
            "module"
        } else if self.drivers_bus().is_some() {
            "drivers"
        } else if below(b"/class/") || below(b"/bus/") {
            "subsystem"
        } else {
            return None;
        };
        Some(name.into())
    }

    /// The bus, if it is a driver or the folder of a bus's drivers.
    fn drivers_bus(&self) -> Option<&[u8]> {
        let at = self.devpath.windows(9).position(|part| part == b"/drivers/");
        let before = match at {
            Some(at) => self.devpath.get(..at)?,
            None => self.devpath.strip_suffix(b"/drivers")?,
        };
        before.rsplit(|byte| *byte == b'/').next()
    }

    /// What drives it, if anything. Asking for it makes it the property `DRIVER`, or takes that away.
    pub(super) fn driver(&mut self) -> Option<Vec<u8>> {
        let driver = link_name(&self.folder.join("driver"));
        self.put(b"DRIVER", driver.as_deref());
        driver
    }

    /// One of the properties that the kernel gives it.
    pub(super) fn of_kernel(&mut self, key: &[u8]) -> Option<&[u8]> {
        self.read_uevent();
        self.known(key)
    }

    pub(super) fn number(&mut self) -> Option<(u32, u32)> {
        let number = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
        let major = number(self.of_kernel(b"MAJOR")?)?;
        Some((major, self.of_kernel(b"MINOR").and_then(number).unwrap_or(0)))
    }

    fn read_uevent(&mut self) {
        if std::mem::replace(&mut self.uevent_read, true) {
            return;
        }
        let text = limited(&self.folder.join("uevent"), UEVENT).unwrap_or_default();
        add_kernels(&mut self.properties, vars(&text));
    }

    /// Its entry in the database, if it has one.
    pub(super) fn entry(&mut self) -> Option<&Entry> {
        if self.entry.is_none() {
            let entry = self.id().and_then(|id| Entry::read(Path::new(DATA), &id));
            if let Some(entry) = &entry {
                if entry.initialized_us != 0 {
                    self.put(b"USEC_INITIALIZED", Some(entry.initialized_us.to_string().as_bytes()));
                }
                for (key, value) in &entry.properties {
                    self.put(key, Some(value.as_slice()).filter(|value| !value.is_empty()));
                }
            }
            self.entry = Some(entry);
        }
        self.entry.as_ref()?.as_ref()
    }

    fn id(&mut self) -> Option<String> {
        self.read_uevent();
        let mut name = lunix_core::device::name(&self.devpath).to_vec();
        let subsystem = self.subsystem()?.to_vec();
        if subsystem == b"drivers" {
            name = [self.drivers_bus()?, b":", &name].concat();
        }
        database::id(&subsystem, &name, |key| self.known(key).map(<[u8]>::to_vec))
    }

    /// The links to its node, with /dev.
    pub(super) fn links(&mut self) -> Vec<Vec<u8>> {
        let links = self.entry().map(|entry| entry.links.clone()).unwrap_or_default();
        once(links.iter().map(|link| [b"/dev/", link.as_slice()].concat()))
    }

    /// All tags that it ever had.
    pub(super) fn tags(&mut self) -> Vec<Vec<u8>> {
        let Some(entry) = self.entry() else { return Vec::new() };
        once(entry.tags.iter().chain(&entry.present_tags).cloned())
    }

    /// All properties; none if it belongs to no subsystem, for then it has no place in the database.
    pub(super) fn properties(&mut self) -> &[(Vec<u8>, Vec<u8>)] {
        self.read_uevent();
        if self.subsystem().is_none() {
            return &[];
        }
        let (links, tags) = (self.links(), self.tags());
        let present = once(self.entry().map(|entry| entry.present_tags.clone()).unwrap_or_default());
        add_lists(&mut self.properties, &links, &tags, &present);
        &self.properties
    }

    /// An attribute: what its file says, or for three links the name of what they lead to.
    pub(super) fn attribute(&self, name: &OsStr) -> Option<Attribute> {
        let path = self.folder.join(Path::new(name).strip_prefix("/").unwrap_or(Path::new(name)));
        let meta = fs::symlink_metadata(&path).ok()?;
        if meta.is_symlink() {
            let is_value = matches!(name.as_bytes(), b"driver" | b"subsystem" | b"module");
            return is_value.then(|| link_name(&path).map(Attribute::Value))?;
        }
        if meta.is_dir() {
            return None;
        }
        if meta.mode() & 0o400 == 0 {
            return Some(Attribute::Unreadable);
        }
        let mut value = match limited(&path, ATTRIBUTE) {
            Ok(value) => value,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Some(Attribute::Unreadable);
            }
            Err(_) => return None,
        };
        let end =
            value.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
        value.truncate(end);
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        value.truncate(end);
        Some(Attribute::Value(value))
    }

    fn known(&self, key: &[u8]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        put(&mut self.properties, key, value);
    }
}

/// No such device; which of the ways in which it is none does not matter.
fn absent() -> io::Error {
    io::Error::from(rustix::io::Errno::NODEV)
}

/// `name` below `prefix`, whether it begins with a slash or not.
pub(super) fn below(prefix: &str, name: &OsStr) -> PathBuf {
    let mut path = [prefix.as_bytes(), b"/"].concat();
    path.extend_from_slice(name.as_bytes());
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// The path that systemd.unit(5) makes a name of: `sys-class-net-a\x2db` is /sys/class/net/a-b.
fn unit_path(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = vec![b'/'];
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'-', _) => path.push(b'/'),
            (b'\\', [b'x', digits @ ..]) => {
                let digits = str::from_utf8(digits.get(..2)?).ok()?;
                path.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail.get(3..)?;
            }
            (byte, _) => path.push(*byte),
        }
    }
    (path.len() > 1).then_some(path)
}

/// Each of them once, in the order in which they came first.
pub(super) fn once(all: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// Changes a property where it stands, adds it at the end, or takes it away.
pub(super) fn put(properties: &mut Vec<(Vec<u8>, Vec<u8>)>, key: &[u8], value: Option<&[u8]>) {
    let place = properties.iter().position(|(known, _)| known == key);
    match (place.and_then(|index| properties.get_mut(index)), value) {
        (Some((_, known)), Some(value)) => *known = value.to_vec(),
        (None, Some(value)) => properties.push((key.to_vec(), value.to_vec())),
        (_, None) => properties.retain(|(known, _)| known != key),
    }
}

/// Adds what the kernel says of a device. Numbers that are none are left out; those of the node come last.
pub(super) fn add_kernels<'t>(
    properties: &mut Vec<(Vec<u8>, Vec<u8>)>,
    pairs: impl Iterator<Item = (&'t [u8], &'t [u8])>,
) {
    let number = |value: &[u8]| str::from_utf8(value).ok()?.parse::<u64>().ok();
    let (mut major, mut minor) = (None, None);
    for (key, value) in pairs {
        let is_valid = match key {
            b"MAJOR" => {
                major = Some(value);
                false
            }
            b"MINOR" => {
                minor = Some(value);
                false
            }
            b"IFINDEX" | b"DISKSEQ" => number(value).is_some_and(|number| number > 0),
            b"DEVMODE" => {
                u32::from_str_radix(&String::from_utf8_lossy(value), 8).is_ok_and(|mode| mode <= 0o7777)
            }
            _ => true,
        };
        if key == b"DEVNAME" && !value.starts_with(b"/") {
            put(properties, key, Some(&[b"/dev/", value].concat()));
        } else if is_valid {
            put(properties, key, Some(value));
        }
    }
    if let Some(major) = major.filter(|major| number(major).is_some_and(|major| major > 0)) {
        put(properties, b"MAJOR", Some(major));
        if minor.is_some() {
            put(properties, b"MINOR", minor);
        }
    }
}

/// Adds the three properties that are lists.
pub(super) fn add_lists(
    properties: &mut Vec<(Vec<u8>, Vec<u8>)>,
    links: &[Vec<u8>],
    tags: &[Vec<u8>],
    present: &[Vec<u8>],
) {
    if !links.is_empty() {
        put(properties, b"DEVLINKS", Some(&links.join(&b' ')));
    }
    for (key, tags) in [(&b"TAGS"[..], tags), (b"CURRENT_TAGS", present)] {
        if !tags.is_empty() {
            put(properties, key, Some(&[b":", tags.join(&b':').as_slice(), b":"].concat()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_are_paths() {
        for (name, path) in [
            (&b"sys-class-net-lo"[..], Some(&b"/sys/class/net/lo"[..])),
            (br"dev-disk-by\x2did-a", Some(b"/dev/disk/by-id/a")),
            (br"a\x2", None),
            (br"a\xzz", None),
            (b"", None),
        ] {
            assert_eq!(unit_path(name).as_deref(), path);
        }
    }

    #[test]
    fn what_the_kernel_says_is_put_in_order() {
        let mut properties = vec![(b"DEVPATH".to_vec(), b"/d".to_vec())];
        let pairs: [(&[u8], &[u8]); 8] = [
            (b"MAJOR", b"8"),
            (b"MINOR", b"1"),
            (b"DEVNAME", b"a/b"),
            (b"DEVMODE", b"99"),
            (b"IFINDEX", b"0"),
            (b"DISKSEQ", b"x"),
            (b"EMPTY", b""),
            (b"DEVMODE", b"0660"),
        ];
        add_kernels(&mut properties, pairs.into_iter());
        add_lists(&mut properties, &[b"/dev/x".to_vec(), b"/dev/y".to_vec()], &[b"t".to_vec()], &[]);
        let lines: Vec<_> = properties.iter().map(|(key, value)| [&key[..], value].join(&b'=')).collect();
        let expected = ["DEVPATH=/d", "DEVNAME=/dev/a/b", "EMPTY=", "DEVMODE=0660", "MAJOR=8", "MINOR=1"];
        let lists = ["DEVLINKS=/dev/x /dev/y", "TAGS=:t:"];
        assert_eq!(lines, expected.iter().chain(&lists).map(|line| line.as_bytes()).collect::<Vec<_>>());
    }
}
