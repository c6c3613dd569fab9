//! `udevadm info --attribute-walk`: what rules can match, of a device and of all above it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::record::{Attribute, Record};

const HEAD: &[u8] = b"
Udevadm info starts with the device specified by the devpath and then
walks up the chain of parent devices. It prints for every device
found, all possible attributes in the udev rules key format.
A rule to match, can be composed by the attributes of the device
and the attributes from one single parent device.

";

/// Shown as something else, or not for rules.
const LEFT_OUT: [&str; 7] = ["uevent", "dev", "modalias", "resource", "driver", "subsystem", "module"];

/// The text for a device and all above it.
pub(super) fn walk(device: Record) -> Vec<u8> {
    let mut text = HEAD.to_vec();
    let (mut next, mut above) = (Some(device), false);
    while let Some(mut device) = next {
        describe(&mut text, &mut device, above);
        (next, above) = (device.parent(), true);
    }
    text
}

fn describe(text: &mut Vec<u8>, device: &mut Record, above: bool) {
    let (parent, plural) = if above { ("parent ", "S") } else { ("", "") };
    let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| text.extend_from_slice(part));
    push(&[b"  looking at ", parent.as_bytes(), b"device '", device.devpath(), b"':\n"]);
    let name = device.name();
    let subsystem = device.subsystem().unwrap_or_default().to_vec();
    let driver = device.driver().unwrap_or_default();
    for (key, value) in [("KERNEL", &name), ("SUBSYSTEM", &subsystem), ("DRIVER", &driver)] {
        push(&[b"    ", key.as_bytes(), plural.as_bytes(), b"==\"", value, b"\"\n"]);
    }
    for attribute in attributes(device.folder()) {
        let value = match device.attribute(&attribute) {
            Some(Attribute::Value(value)) if is_shown(&value) => value,
            Some(Attribute::Unreadable) => b"(not readable)".to_vec(),
            _ => continue,
        };
        let name = attribute.as_bytes();
        push(&[b"    ATTR", plural.as_bytes(), b"{", name, b"}==\"", &value, b"\"\n"]);
    }
    push(&[b"\n"]);
}

/// Paths and what cannot be printed are no attributes for rules.
fn is_shown(value: &[u8]) -> bool {
    !value.starts_with(b"/") && value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The names of its attributes, sorted; those in folders, too, unless a folder is a device by itself.
fn attributes(device: &Path) -> Vec<OsString> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = device.join(&folder);
        if !folder.as_os_str().is_empty() && path.join("uevent").exists() {
            continue;
        }
        let Ok(entries) = fs::read_dir(path) else { continue };
        for entry in entries.flatten() {
            let name = folder.join(entry.file_name());
            // Of the entry itself, not of what it may lead to.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(name);
            } else if (meta.is_file() || meta.is_symlink()) && meta.mode() & 0o600 != 0 && !is_left_out(&name)
            {
                names.push(name.into_os_string());
            }
        }
    }
    names.sort_unstable();
    names
}

fn is_left_out(name: &Path) -> bool {
    LEFT_OUT.iter().any(|left_out| name.as_os_str() == OsStr::new(left_out))
}
