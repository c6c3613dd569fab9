//! What is known of a device besides what the kernel says: what rules have found, as the database has it, and what the
//! table of hardware calls it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use lunix_core::device::{encode, name};
use lunix_uevent::MAX_MESSAGE;

use super::database::{self, Entry};
use super::device::{Root, limited};
use super::hwdb::Mapped;
use super::probe::Contents;
use super::sysfs::var;

/// Where it stands.
#[derive(Debug)]
pub(super) struct Known {
    /// Nothing is known without it.
    root: Option<Root>,
    /// The database is kept up: by us, or by udevd. What an old one says may be wrong.
    pub(super) database: bool,
}

/// What is known of one device.
#[derive(Debug, Default)]
pub(super) struct Properties {
    entry: Entry,
    /// `DEVLINKS`: the links, as a property has them.
    links: Vec<u8>,
}

impl Known {
    pub(super) fn new(root: Option<Root>, database: bool) -> Self {
        Self { root, database }
    }

    /// What is known of the device at `devpath`; `uevent` is the text of its file.
    pub(super) fn of(&self, devpath: &[u8], subsystem: &[u8], uevent: &[u8]) -> Properties {
        let Some(root) = &self.root else { return Properties::default() };
        let property = |key: &[u8]| var(uevent, key).map(<[u8]>::to_vec);
        let entry = || Entry::read(&root.data(), &database::id(subsystem, name(devpath), property)?);
        match self.database.then(entry).flatten() {
            Some(entry) => Properties::of(entry),
            None => Properties { entry: named(root, subsystem, uevent), ..Properties::default() },
        }
    }

    /// What the volume at `node` holds, as far as rules have found out.
    pub(super) fn contents(&self, node: &[u8]) -> Option<Contents> {
        let root = self.root.as_ref().filter(|_| self.database)?;
        // The kernel writes `!` for a slash in a name.
        let mut name = node.strip_prefix(b"/dev/").unwrap_or(node).to_vec();
        name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'!');
        let folder = root.sys().join("class/block").join(OsStr::from_bytes(&name));
        let uevent = limited(&folder.join("uevent"), MAX_MESSAGE as u64).ok()?;
        let property = |key: &[u8]| var(&uevent, key).map(<[u8]>::to_vec);
        let entry = Entry::read(&root.data(), &database::id(b"block", &name, property)?)?;
        let text = |key: &str| {
            let value = encode::decoded(entry.property(key.as_bytes())?).collect::<Vec<_>>();
            Some(String::from_utf8_lossy(&value).into_owned())
        };
        Some(Contents {
            fstype: text("ID_FS_TYPE")?,
            label: text("ID_FS_LABEL_ENC").unwrap_or_default(),
            uuid: text("ID_FS_UUID_ENC").unwrap_or_default(),
        })
    }
}

/// What the table of hardware calls a device that nobody else knows.
fn named(root: &Root, subsystem: &[u8], uevent: &[u8]) -> Entry {
    let mut entry = Entry::default();
    let Some(alias) = alias(subsystem, uevent) else { return entry };
    // A table that is none is complained of by the rules that want it.
    let Ok(Some(table)) = Mapped::open(root) else { return entry };
    let Ok(hwdb) = table.hwdb() else { return entry };
    for (key, value) in hwdb.lookup(&alias).properties() {
        if let b"ID_VENDOR_FROM_DATABASE" | b"ID_MODEL_FROM_DATABASE" = key {
            entry.properties.push((key.to_vec(), value.to_vec()));
        }
    }
    entry
}

/// By what the table of hardware knows a device; `None` if it has no such name.
fn alias(subsystem: &[u8], uevent: &[u8]) -> Option<Vec<u8>> {
    let Some(b"usb_device") = var(uevent, b"DEVTYPE").filter(|_| subsystem == b"usb") else {
        return var(uevent, b"MODALIAS").map(<[u8]>::to_vec);
    };
    // 951/1666/110: numbers without leading zeroes.
    let mut numbers = str::from_utf8(var(uevent, b"PRODUCT")?).ok()?.split('/');
    let mut number = || u16::from_str_radix(numbers.next()?, 16).ok();
    Some(format!("usb:v{:04X}p{:04X}:", number()?, number()?).into_bytes())
}

impl Properties {
    fn of(entry: Entry) -> Self {
        let mut links = Vec::new();
        for link in &entry.links {
            links.extend_from_slice(if links.is_empty() { b"/dev/" } else { b" /dev/" });
            links.extend_from_slice(link);
        }
        Self { entry, links }
    }

    /// As they follow those of the kernel.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let links = Some((&b"DEVLINKS"[..], self.links.as_slice())).filter(|_| !self.links.is_empty());
        let found = self.entry.properties.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        found.chain(links)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entry.property(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usb_device_is_known_by_its_numbers() {
        let usb = b"DEVTYPE=usb_device\nPRODUCT=951/1666/110\nMODALIAS=other\n";
        assert_eq!(alias(b"usb", usb).as_deref(), Some(&b"usb:v0951p1666:"[..]));
        assert_eq!(alias(b"pci", b"MODALIAS=pci:v8086\n").as_deref(), Some(&b"pci:v8086"[..]));
        for odd in ["", "PRODUCT=951", "PRODUCT=x/y/z", "PRODUCT=12345/1/1"] {
            assert_eq!(alias(b"usb", format!("DEVTYPE=usb_device\n{odd}\n").as_bytes()), None, "{odd}");
        }
        assert_eq!(alias(b"mem", b"MAJOR=1\n"), None);
    }
}
