//! A device and those above it, as they stand in /sys.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::natsdev::device::{Device, Root, limited, link_name, relative};
use crate::natsdev::sysfs::var;

/// Bytes of an attribute.
const ATTRIBUTE: u64 = 1 << 16;

/// A folder of a device below /sys.
#[derive(Clone, Debug)]
pub(super) struct Ancestor {
    sys: PathBuf,
    folder: PathBuf,
    /// Subsystem and type of the device itself, which the event says; of one that has gone, /sys says nothing.
    said: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Ancestor {
    /// The device itself.
    pub(super) fn of(root: &Root, device: &Device) -> Option<Self> {
        let sys = fs::canonicalize(root.sys()).ok()?;
        let folder = sys.join(relative(&device.devpath));
        let said = (device.subsystem.clone(), device.property(b"DEVTYPE").map(<[u8]>::to_vec));
        Some(Self { sys, folder, said: Some(said) })
    }

    /// A device by its subsystem and name, wherever it is attached.
    pub(super) fn named(&self, subsystem: &str, name: &[u8]) -> Option<Self> {
        let name = OsStr::from_bytes(name);
        let folders =
            [self.sys.join("class").join(subsystem), self.sys.join("bus").join(subsystem).join("devices")];
        let folder = folders.iter().find_map(|folder| fs::canonicalize(folder.join(name)).ok())?;
        folder.starts_with(&self.sys).then(|| Self { sys: self.sys.clone(), folder, said: None })
    }

    /// A device to which a link of this name leads.
    pub(super) fn linked(&self, link: &str) -> Option<Self> {
        let folder = fs::canonicalize(self.folder.join(link)).ok()?;
        folder.starts_with(&self.sys).then(|| Self { sys: self.sys.clone(), folder, said: None })
    }

    /// A folder of a bus.
    pub(super) fn bus_folder(&self, bus: &str, name: &str) -> PathBuf {
        self.sys.join("bus").join(bus).join(name)
    }

    /// The next one above.
    pub(super) fn parent(&self) -> Option<Self> {
        let above = self.folder.ancestors().skip(1);
        let mut above = above.take_while(|folder| folder.starts_with(&self.sys) && *folder != self.sys);
        let folder = above.find(|folder| folder.join("uevent").exists())?.to_path_buf();
        Some(Self { sys: self.sys.clone(), folder, said: None })
    }

    /// It, and all above it.
    pub(super) fn chain(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// The next one above of this subsystem, and of this type if one is named.
    pub(super) fn above(&self, subsystem: &str, devtype: Option<&str>) -> Option<Self> {
        self.chain().skip(1).find(|ancestor| {
            ancestor.is(subsystem)
                && devtype.is_none_or(|wanted| ancestor.devtype().as_deref() == Some(wanted.as_bytes()))
        })
    }

    /// The uppermost one that it reaches through nothing but this subsystem.
    pub(super) fn skip(self, subsystem: &str) -> Self {
        let through = self.chain().take_while(|ancestor| ancestor.is(subsystem)).last();
        through.unwrap_or(self)
    }

    pub(super) fn name(&self) -> &[u8] {
        self.folder.file_name().map(OsStr::as_bytes).unwrap_or_default()
    }

    /// The digits with which its name ends.
    pub(super) fn number(&self) -> Option<&[u8]> {
        let name = self.name();
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        name.get(name.len() - digits..).filter(|digits| !digits.is_empty() && digits.len() < name.len())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether its path has this part.
    pub(super) fn is_below(&self, part: &str) -> bool {
        self.folder.as_os_str().as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
    }

    pub(super) fn is(&self, subsystem: &str) -> bool {
        self.subsystem().as_deref() == Some(subsystem.as_bytes())
    }

    pub(super) fn subsystem(&self) -> Option<Vec<u8>> {
        match &self.said {
            Some((subsystem, _)) => Some(subsystem.clone()),
            None => link_name(&self.folder.join("subsystem")),
        }
    }

    pub(super) fn devtype(&self) -> Option<Vec<u8>> {
        match &self.said {
            Some((_, devtype)) => devtype.clone(),
            None => self.variable(b"DEVTYPE"),
        }
    }

    /// What the kernel says in the file `uevent`.
    pub(super) fn variable(&self, key: &[u8]) -> Option<Vec<u8>> {
        let text = limited(&self.folder.join("uevent"), ATTRIBUTE).ok()?;
        var(&text, key).map(<[u8]>::to_vec)
    }

    /// An attribute without the end of its line, or the name of what a link leads to.
    pub(super) fn attribute(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(name);
        if fs::symlink_metadata(&path).ok()?.is_symlink() {
            return link_name(&path);
        }
        let mut text = limited(&path, ATTRIBUTE).ok()?;
        while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            text.pop();
        }
        Some(text)
    }

    /// An attribute that is text without line breaks.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.attribute(name)?).ok()
    }

    pub(super) fn decimal(&self, name: &str) -> Option<u32> {
        self.text(name)?.trim().parse().ok()
    }
}
