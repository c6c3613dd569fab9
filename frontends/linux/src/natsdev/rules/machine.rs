//! Answers what `lunix_core::device::rules` asks, from /sys, /proc, the database and the files of users and groups.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lunix_core::device::rules::{Answer, Question};

use crate::natsdev::database::Entry;
use crate::natsdev::device::{Device, Root, limited, link_name, relative};
use crate::natsdev::owners;

/// An answer with a memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    No,
    Yes,
    Text(Vec<u8>),
    Device {
        devpath: Vec<u8>,
        subsystem: Vec<u8>,
    },
    /// Whoever asks has to run this.
    Run {
        command: Vec<u8>,
        builtin: bool,
    },
}

impl Reply {
    pub(super) fn answer(&self) -> Answer<'_> {
        match self {
            Self::No | Self::Run { .. } => Answer::No,
            Self::Yes => Answer::Yes,
            Self::Text(text) => Answer::Text(text),
            Self::Device { devpath, subsystem } => Answer::Device { devpath, subsystem },
        }
    }

    fn text(text: Option<Vec<u8>>) -> Self {
        text.map_or(Self::No, Self::Text)
    }

    fn yes(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// The machine, as seen from one device.
#[derive(Debug)]
pub(super) struct Machine<'r> {
    root: &'r Root,
    sys: PathBuf,
    /// The folders of the device and of those above it, as far as they were asked for.
    folders: Vec<PathBuf>,
    /// Above the last of them, there is none.
    whole: bool,
    /// The device's entry before this event.
    entry: Option<Entry>,
}

/// Bytes of an attribute: a page.
const ATTRIBUTE: u64 = 4096;
/// Bytes of other files.
const FILE: u64 = 1 << 20;
/// Entries of a folder that are tried for `/*/`.
const ENTRIES: usize = 4096;

impl<'r> Machine<'r> {
    pub(super) fn new(root: &'r Root, device: &Device, entry: Option<Entry>) -> Self {
        let sys = root.sys();
        let folder = sys.join(relative(&device.devpath));
        Self { root, sys, folders: vec![folder], whole: false, entry }
    }

    /// Finds it out.
    pub(super) fn answer(&mut self, question: &Question<'_>) -> Reply {
        match *question {
            Question::Parent { device } => self.parent(device).unwrap_or(Reply::No),
            Question::Driver { device } => {
                Reply::text(self.folder(device).and_then(|folder| link_name(&folder.join("driver"))))
            }
            Question::Attribute { device, name } => Reply::text(self.attribute(device, name)),
            Question::Tags { device } => {
                let tags = self.entry_above(device).map(|entry| entry.present_tags.join(&b':'));
                Reply::text(tags)
            }
            Question::Node { device } => Reply::text(self.node(device)),
            Question::Constant(name) => Reply::text(constant(self.root, name)),
            Question::User(name) => Reply::text(owners::field(self.root, "/etc/passwd", (0, name), 2)),
            Question::Group(name) => Reply::text(owners::field(self.root, "/etc/group", (0, name), 2)),
            Question::Sysctl(name) => Reply::text(limited(&self.sysctl(name), FILE).ok()),
            Question::Exists { path, mode } => Reply::yes(self.exists(path, mode)),
            Question::Program(command) | Question::ImportProgram(command) => {
                Reply::Run { command: command.to_vec(), builtin: false }
            }
            Question::ImportBuiltin(command) => Reply::Run { command: command.to_vec(), builtin: true },
            Question::ImportFile(path) => {
                Reply::text(limited(&self.root.path(OsStr::from_bytes(path)), FILE).ok())
            }
            Question::ImportDatabase(key) => {
                Reply::text(self.entry.as_ref().and_then(|entry| entry.property(key)).map(<[u8]>::to_vec))
            }
            Question::ImportCommandLine(key) => self.command_line(key),
            Question::ImportParent(_) => Reply::text(self.parents_properties()),
        }
    }

    /// Writes an attribute of the device, or a parameter of the kernel.
    pub(super) fn write(&self, sysctl: bool, name: &[u8], value: &[u8]) -> io::Result<()> {
        let path = if sysctl { Some(self.sysctl(name)) } else { self.attribute_path(0, name) };
        let path = path.and_then(expand_folder).ok_or(io::ErrorKind::NotFound)?;
        File::options().write(true).open(path)?.write_all(value)
    }

    fn folder(&self, device: u8) -> Option<&Path> {
        self.folders.get(usize::from(device)).map(PathBuf::as_path)
    }

    /// The next folder above that is a device's.
    fn parent(&mut self, device: u8) -> Option<Reply> {
        let below = usize::from(device).checked_sub(1)?;
        let is_last = below + 1 == self.folders.len();
        if is_last && self.whole {
            return None;
        }
        let Some(folder) = above(&self.sys, self.folders.get(below)?) else {
            self.whole = is_last;
            return None;
        };
        let relative = folder.strip_prefix(&self.sys).ok()?;
        let reply = Reply::Device {
            devpath: [b"/", relative.as_os_str().as_bytes()].concat(),
            subsystem: link_name(&folder.join("subsystem")).unwrap_or_default(),
        };
        self.folders.truncate(usize::from(device));
        self.folders.push(folder);
        self.whole = false;
        Some(reply)
    }

    fn attribute_path(&self, device: u8, name: &[u8]) -> Option<PathBuf> {
        match self.elsewhere(name) {
            Some(path) => path,
            None => Some(self.folder(device)?.join(relative(name))),
        }
    }

    /// `[subsystem/device]attribute`; nothing in it if there is no such device.
    fn elsewhere(&self, name: &[u8]) -> Option<Option<PathBuf>> {
        let inside = name.strip_prefix(b"[")?;
        let mut parts = inside.splitn(2, |byte| *byte == b']');
        let (device, attribute) = (parts.next()?, parts.next()?);
        let mut parts = device.splitn(2, |byte| *byte == b'/');
        let (subsystem, name) = (parts.next()?, parts.next()?);
        let subsystem = OsStr::from_bytes(subsystem);
        let name: Vec<u8> = name.iter().map(|byte| if *byte == b'/' { b'!' } else { *byte }).collect();
        let name = OsStr::from_bytes(&name);
        let folders = [
            self.sys.join("subsystem").join(subsystem).join("devices"),
            self.sys.join("bus").join(subsystem).join("devices"),
            self.sys.join("class").join(subsystem),
        ];
        let folder = folders.iter().map(|folder| folder.join(name)).find(|folder| folder.exists());
        Some(folder.map(|folder| match relative(attribute) {
            attribute if attribute.as_os_str().is_empty() => folder,
            attribute => folder.join(attribute),
        }))
    }

    fn attribute(&self, device: u8, name: &[u8]) -> Option<Vec<u8>> {
        let path = self.attribute_path(device, name)?;
        let meta = fs::symlink_metadata(&path).ok()?;
        if meta.is_symlink() {
            // Other links lead to devices, whose paths are no values.
            let known = [&b"driver"[..], b"subsystem", b"module"].iter().any(|link| name.ends_with(link));
            return if known { link_name(&path) } else { None };
        }
        let readable = meta.is_file() && meta.permissions().mode() & 0o400 != 0;
        if readable { limited(&path, ATTRIBUTE).ok() } else { None }
    }

    /// The device of a folder, from its own files.
    fn device_in(&self, folder: &Path) -> Option<Device> {
        let relative = folder.strip_prefix(&self.sys).ok()?;
        Device::of_folder(folder, [b"/", relative.as_os_str().as_bytes()].concat(), b"").ok()
    }

    /// The folder above the device that is the first of one, whatever was asked for.
    fn folder_above(&self, device: u8) -> Option<PathBuf> {
        match self.folder(device) {
            Some(folder) => Some(folder.to_path_buf()),
            None if self.whole && self.folders.len() == 1 => None,
            None => above(&self.sys, self.folder(0)?),
        }
    }

    fn entry_above(&self, device: u8) -> Option<Entry> {
        let device = self.device_in(self.folder(device)?)?;
        Entry::read(&self.root.data(), &device.id()?)
    }

    fn node(&self, device: u8) -> Option<Vec<u8>> {
        let device = self.device_in(&self.folder_above(device)?)?;
        Some([b"/dev/", device.node()?].concat())
    }

    fn parents_properties(&self) -> Option<Vec<u8>> {
        let device = self.device_in(&self.folder_above(1)?)?;
        let entry = device.id().and_then(|id| Entry::read(&self.root.data(), &id)).unwrap_or_default();
        let mut lines = Vec::new();
        for (key, value) in device.properties.iter().chain(&entry.properties) {
            lines.extend_from_slice(&[key, &b"="[..], value, b"\n"].concat());
        }
        Some(lines)
    }

    fn sysctl(&self, name: &[u8]) -> PathBuf {
        let first = name.iter().find(|byte| matches!(byte, b'.' | b'/'));
        let path: Vec<u8> = name
            .iter()
            .map(|byte| match byte {
                b'.' if first == Some(&b'.') => b'/',
                b'/' if first == Some(&b'.') => b'.',
                byte => *byte,
            })
            .collect();
        self.root.path("/proc/sys").join(relative(&path))
    }

    fn exists(&self, path: &[u8], mode: Option<u32>) -> bool {
        let path = match self.elsewhere(path) {
            Some(None) => return false,
            Some(Some(path)) => path,
            None if path.starts_with(b"/") => self.root.path(OsStr::from_bytes(path)),
            None => match self.folder(0) {
                Some(folder) => folder.join(OsStr::from_bytes(path)),
                None => return false,
            },
        };
        let meta = expand_folder(path).and_then(|path| fs::metadata(path).ok());
        meta.is_some_and(|meta| mode.is_none_or(|mode| meta.permissions().mode() & mode != 0))
    }

    fn command_line(&self, key: &[u8]) -> Reply {
        let text = limited(&self.root.path("/proc/cmdline"), FILE).unwrap_or_default();
        let mut reply = Reply::No;
        // Signs for a hyphen and a line are the same here; the last one counts.
        let same = |one: &u8, other: &u8| one == other || matches!((one, other), (b'-', b'_') | (b'_', b'-'));
        for word in super::programs::words(&text) {
            let end = word.iter().position(|byte| *byte == b'=');
            let (name, value) = word.split_at(end.unwrap_or(word.len()));
            if name.len() == key.len() && name.iter().zip(key).all(|(one, other)| same(one, other)) {
                reply = value.get(1..).map_or(Reply::Yes, |value| Reply::Text(value.to_vec()));
            }
        }
        reply
    }
}

/// The first folder above `below` that has a device in it.
fn above(sys: &Path, below: &Path) -> Option<PathBuf> {
    // These two are no devices, and nothing above them is.
    let (devices, made_up) = (sys.join("devices"), sys.join("devices/virtual"));
    below
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(sys) && *folder != devices && *folder != made_up)
        .find(|folder| folder.join("uevent").exists())
        .map(Path::to_path_buf)
}

/// A path with a folder `*` in it, which may be any.
fn expand_folder(path: PathBuf) -> Option<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let Some(at) = bytes.windows(3).position(|window| window == b"/*/") else { return Some(path) };
    let (folder, rest) = (bytes.get(..at)?, bytes.get(at + 3..)?);
    let entries = fs::read_dir(OsStr::from_bytes(folder)).ok()?;
    entries
        .take(ENTRIES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")))
        .map(|path| path.join(OsStr::from_bytes(rest)))
        .find(|path| path.exists())
}

fn constant(root: &Root, name: &[u8]) -> Option<Vec<u8>> {
    let vendors = [
        ("QEMU", "kvm"),
        ("KVM", "kvm"),
        ("Amazon EC2", "amazon"),
        ("VMware", "vmware"),
        ("VirtualBox", "oracle"),
        ("innotek GmbH", "oracle"),
        ("Xen", "xen"),
        ("Bochs", "bochs"),
        ("Parallels", "parallels"),
        ("BHYVE", "bhyve"),
        ("Hyper-V", "microsoft"),
        ("Apple Virtualization", "apple"),
        ("Google Compute Engine", "google"),
    ];
    let text = match name {
        b"arch" => match std::env::consts::ARCH {
            "x86_64" => "x86-64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64",
            "riscv64gc" => "riscv64",
            arch => arch,
        },
        b"virt" => ["product_name", "sys_vendor", "board_vendor", "bios_vendor"]
            .iter()
            .filter_map(|file| limited(&root.sys().join("class/dmi/id").join(file), ATTRIBUTE).ok())
            .find_map(|text| vendors.iter().find(|(vendor, _)| text.starts_with(vendor.as_bytes())))
            .map_or("none", |(_, virt)| virt),
        _ => "none",
    };
    Some(text.as_bytes().to_vec())
}
