//! /sys: which devices there are, what is below a USB device, and how the kernel is asked to say it all again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use lunix_core::device::usb::{Attribute, Fact};
use lunix_uevent::{Builder, MAX_MESSAGE};

/// A sysfs, mounted or made by a test.
#[derive(Debug)]
pub(super) struct Sysfs {
    root: PathBuf,
}

/// The devices that a scan found.
///
/// A scan comes once a start and once a resync: what it needs is large enough to come from the kernel and to go
/// back to it, and not to stay in the heap for ever.
#[derive(Debug)]
pub(super) struct Devices {
    bytes: Vec<u8>,
    found: Vec<Found>,
    subsystems: Vec<OsString>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    at: u32,
    len: u16,
    subsystem: u16,
}

impl Devices {
    const BYTES: usize = 1 << 18;
    const FOUND: usize = 1 << 15;

    /// Paths and subsystems, parents before their children.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.found.iter().map(|found| (self.path(found), self.subsystem(found)))
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    fn path(&self, found: &Found) -> &[u8] {
        let at = found.at as usize;
        self.bytes.get(at..at + usize::from(found.len)).unwrap_or_default()
    }

    fn subsystem(&self, found: &Found) -> &[u8] {
        self.subsystems.get(usize::from(found.subsystem)).map_or(&[], |name| name.as_bytes())
    }

    fn sort(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable_by(|one, other| self.path(one).cmp(self.path(other)));
        found.dedup_by(|one, other| self.path(one) == self.path(other));
        self.found = found;
    }
}

/// How deep below a USB device is looked, and at how many folders: several times what any device has.
const MAX_DEPTH: u32 = 16;
const MAX_FOLDERS: u32 = 2048;
/// The largest `uevent` file: what the kernel can put into a message.
const MAX_UEVENT: u64 = 4096;
/// A partition that small holds other partitions.
const EXTENDED: u64 = 1024;

impl Sysfs {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The number of the last event that the kernel made.
    pub(super) fn newest(&self) -> Option<u64> {
        fs::read_to_string(self.root.join("kernel/uevent_seqnum")).ok()?.trim().parse().ok()
    }

    /// All devices that belong to a bus or a class.
    pub(super) fn devices(&self) -> Devices {
        let mut devices = Devices {
            bytes: Vec::with_capacity(Devices::BYTES),
            found: Vec::with_capacity(Devices::FOUND),
            subsystems: Vec::new(),
        };
        for class in names(&self.root.join("class")) {
            self.links(&self.root.join("class").join(&class), class, &mut devices);
        }
        for bus in names(&self.root.join("bus")) {
            self.links(&self.root.join("bus").join(&bus).join("devices"), bus, &mut devices);
        }
        devices.sort();
        devices
    }

    fn links(&self, folder: &Path, subsystem: OsString, devices: &mut Devices) {
        let Ok(number) = u16::try_from(devices.subsystems.len()) else { return };
        devices.subsystems.push(subsystem);
        for name in names(folder) {
            // A class may hold files of its own beside the links.
            let Ok(target) = fs::read_link(folder.join(name)) else { continue };
            let start = devices.bytes.len();
            // ../../devices/…
            for part in target.components() {
                if let Component::Normal(part) = part {
                    devices.bytes.push(b'/');
                    devices.bytes.extend_from_slice(part.as_bytes());
                }
            }
            let devpath = devices.bytes.get(start..).unwrap_or_default();
            match (u32::try_from(start), u16::try_from(devpath.len())) {
                (Ok(at), Ok(len)) if devpath.starts_with(b"/devices/") => {
                    devices.found.push(Found { at, len, subsystem: number });
                }
                _ => devices.bytes.truncate(start),
            }
        }
    }

    /// A device's variables: the text of its `uevent` file, to be read with [`vars`].
    pub(super) fn uevent(&self, devpath: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = fs::File::open(self.folder(devpath).join("uevent"))?;
        io::Read::read_to_end(&mut io::Read::take(file, MAX_UEVENT), &mut text)?;
        Ok(text)
    }

    /// Asks the kernel to say `add` of a device again, marked with `uuid`.
    pub(super) fn trigger(&self, devpath: &[u8], uuid: &str) -> io::Result<()> {
        self.say(devpath, "add", uuid)
    }

    /// The same for any action; without a mark if `uuid` is empty.
    pub(super) fn say(&self, devpath: &[u8], action: &str, uuid: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(self.folder(devpath).join("uevent"))?;
        file.write_all(format!("{action} {uuid}").trim_end().as_bytes())
    }

    /// What the kernel would say if it said `add` of a device: without a number, for it does not.
    pub(super) fn message(&self, devpath: &[u8]) -> Option<Vec<u8>> {
        let text = self.uevent(devpath).ok()?;
        let subsystem = fs::read_link(self.folder(devpath).join("subsystem")).ok()?;
        let subsystem = subsystem.file_name()?.as_bytes();
        let mut out = vec![0; MAX_MESSAGE];
        let builder = Builder::new(&mut out, b"add", devpath).var("SUBSYSTEM", subsystem);
        let len = vars(&text).fold(builder, |builder, (key, value)| builder.var(key, value)).finish().ok()?;
        out.truncate(len);
        Some(out)
    }

    /// What there is to know of a USB device and of all that is below it.
    pub(super) fn inspect(&self, devpath: &[u8], mut tell: impl FnMut(Fact<'_>)) {
        let folder = self.folder(devpath);
        let Ok(uevent) = self.uevent(devpath) else { return };
        for attribute in Attribute::ALL {
            let value = match (attribute.file(), attribute) {
                (Some(file), _) => read(&folder, file),
                (None, Attribute::Devnode) => node(&uevent),
                (None, _) => continue,
            };
            tell(Fact::Attribute(attribute, &value));
        }
        if is_bound(&folder) {
            tell(Fact::Bound);
        }
        let mut folders = MAX_FOLDERS;
        descend(&folder, MAX_DEPTH, &mut folders, &mut tell);
    }

    fn folder(&self, devpath: &[u8]) -> PathBuf {
        let relative = devpath.strip_prefix(b"/").unwrap_or(devpath);
        // The kernel never sends such a path; whoever does is not to lead us elsewhere.
        let safe = !Path::new(OsStr::from_bytes(relative))
            .components()
            .any(|part| !matches!(part, Component::Normal(_)));
        self.root.join(if safe { OsStr::from_bytes(relative) } else { OsStr::new("-") })
    }
}

/// The variables of a `uevent` file.
pub(super) fn vars(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((line.get(..at)?, line.get(at + 1..)?))
    })
}

/// The value of one variable of a `uevent` file.
pub(super) fn var<'t>(text: &'t [u8], key: &[u8]) -> Option<&'t [u8]> {
    vars(text).find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn descend(folder: &Path, depth: u32, folders: &mut u32, tell: &mut impl FnMut(Fact<'_>)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for name in names(folder) {
        let path = folder.join(&name);
        if *folders == 0 {
            return;
        }
        // Links lead out of the device; files are no children.
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) || is_barren(&name) {
            continue;
        }
        *folders -= 1;
        let uevent = fs::read(path.join("uevent")).unwrap_or_default();
        let subsystem = fs::read_link(path.join("subsystem")).unwrap_or_default();
        let subsystem = subsystem.file_name().unwrap_or_default();
        let devtype = var(&uevent, b"DEVTYPE").unwrap_or_default();
        match (subsystem.as_bytes(), devtype) {
            // What is plugged into a hub is not a part of it.
            (b"usb", b"usb_device") => continue,
            (b"usb", b"usb_interface") => {
                let class = String::from_utf8(read(&path, "bInterfaceClass")).unwrap_or_default();
                let class = u8::from_str_radix(class.trim(), 16).unwrap_or(0);
                tell(Fact::Interface { class, bound: is_bound(&path) });
            }
            (b"scsi", b"scsi_device") => {
                // Disk, CD/DVD, optical memory, simplified disk; and what does not say its type yet.
                let kind = read(&path, "type");
                tell(Fact::Unit { disk: matches!(kind.trim_ascii(), b"0" | b"5" | b"7" | b"14" | b"") });
            }
            (b"net", _) => tell(Fact::Net(name.as_bytes())),
            (b"block", b"disk") => tell(Fact::Disk),
            _ => {}
        }
        let node = node(&uevent);
        if !node.is_empty() {
            tell(Fact::Node(&node));
            if subsystem == "input" && node.starts_with(b"/dev/input/event") {
                tell(Fact::Input(&node));
            }
            if subsystem == "block"
                && let Some(size) = volume_size(&path, devtype)
            {
                tell(Fact::Volume { devnode: &node, size });
            }
        }
        descend(&path, depth, folders, tell);
    }
}

/// The size of a partition, or of a disk without partitions; `None` for what holds no file system.
fn volume_size(folder: &Path, devtype: &[u8]) -> Option<u64> {
    let sectors: u64 = String::from_utf8(read(folder, "size")).ok()?.trim().parse().ok()?;
    let size = sectors.checked_mul(512).filter(|size| *size > 0)?;
    match devtype {
        b"partition" => (size > EXTENDED).then_some(size),
        _ => names(folder).iter().all(|name| !folder.join(name).join("partition").exists()).then_some(size),
    }
}

/// Folders that hold no devices.
fn is_barren(name: &OsStr) -> bool {
    matches!(name.as_bytes(), b"power" | b"queue" | b"mq" | b"statistics" | b"trace" | b"holders" | b"slaves")
}

fn is_bound(folder: &Path) -> bool {
    folder.join("driver").symlink_metadata().is_ok()
}

fn node(uevent: &[u8]) -> Vec<u8> {
    match var(uevent, b"DEVNAME") {
        Some(name) if name.starts_with(b"/") => name.to_vec(),
        Some(name) if !name.is_empty() => [b"/dev/", name].concat(),
        _ => Vec::new(),
    }
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_default()
}

/// The names in a folder, sorted: two looks at the same thing have to find the same thing.
fn names(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.sort_unstable_by(|one, other| natural(one.as_bytes(), other.as_bytes()));
    names
}

/// `sda2` before `sda10`.
fn natural(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    let split = |name: &[u8]| {
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count().min(18);
        let (head, tail) = name.split_at(name.len() - digits);
        let number = String::from_utf8_lossy(tail).parse::<u64>().unwrap_or(0);
        (head.to_vec(), number, digits)
    };
    split(one).cmp(&split(other))
}

/// A UUID of version 4, from the kernel's random numbers.
pub(super) fn random_uuid() -> io::Result<String> {
    let text = fs::read("/proc/sys/kernel/random/uuid")?;
    Ok(OsString::from_vec(text.trim_ascii().to_vec()).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_uevent_file() {
        let text = b"MAJOR=8\nDEVNAME=sda\nODD\nEMPTY=\nMODALIAS=a=b\n";
        let all: Vec<_> = vars(text).collect();
        assert_eq!(
            all,
            [(&b"MAJOR"[..], &b"8"[..]), (b"DEVNAME", b"sda"), (b"EMPTY", b""), (b"MODALIAS", b"a=b")]
        );
        assert_eq!(var(text, b"DEVNAME"), Some(&b"sda"[..]));
        assert_eq!(node(text), b"/dev/sda");
        assert_eq!(node(b"A=B"), b"");
    }

    #[test]
    fn names_are_in_the_order_that_people_expect() {
        let mut names = ["sda10", "sda2", "sda", "sdb1", "sda1"];
        names.sort_by(|one, other| natural(one.as_bytes(), other.as_bytes()));
        assert_eq!(names, ["sda", "sda1", "sda2", "sda10", "sdb1"]);
    }

    #[test]
    fn no_path_leads_out_of_sysfs() {
        let sysfs = Sysfs::new(Path::new("/sys"));
        assert_eq!(sysfs.folder(b"/devices/a"), Path::new("/sys/devices/a"));
        for path in ["/../etc", "/devices/../../etc", "//etc/passwd"] {
            assert_eq!(sysfs.folder(path.as_bytes()), Path::new("/sys/-"), "{path}");
        }
    }

    #[test]
    fn uuids_are_of_the_form_that_the_kernel_takes() {
        let uuid = random_uuid().unwrap();
        assert_eq!(uuid.len(), 36);
        assert!(uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
        assert_ne!(uuid, random_uuid().unwrap());
    }
}
