//! The built-ins that rules name in `IMPORT{builtin}` and `RUN{builtin}`: each finds properties of a device, or does
//! something with it.
//!
//! | file | what it finds or does |
//! |---|---|
//! | `ancestry` | the device and those above it, as all of these read /sys |
//! | `blkid` | what a volume holds, by a child that reads it |
//! | `hwdb` | what others know of the hardware |
//! | `input_id` | what kind of input device it is |
//! | `keyboard` | tells it which keys it has |
//! | `kmod`, `modules` | loads the modules that drive it |
//! | `net_id`, `net_setup_link` | names for network interfaces, and which of them is wanted |
//! | `path_id` | where it is attached |
//! | `uaccess` | lets who sits at the machine use it |
//! | `usb_id` | what a USB device says of itself |

mod ancestry;
mod blkid;
mod hwdb;
mod input_id;
mod keyboard;
mod kmod;
mod modules;
mod net_id;
mod net_setup_link;
mod path_id;
pub(super) mod test;
mod uaccess;
mod usb_id;

use std::io;

use super::device::{Device, Root};
use super::rules::evaluate::Writes;
use super::rules::words;

pub(super) use blkid::Contents;

/// Names and values, in order.
pub(super) type Properties = Vec<(Vec<u8>, Vec<u8>)>;

/// Who asks, and what.
pub(super) struct Asked<'a> {
    root: &'a Root,
    device: &'a Device,
    /// What is known of the device by now.
    known: &'a [(&'a [u8], &'a [u8])],
    writes: Writes,
    /// What follows the built-in's name.
    arguments: Vec<Vec<u8>>,
}

impl Asked<'_> {
    /// A property by its name.
    fn property(&self, key: &[u8]) -> Option<&[u8]> {
        let known = self.known.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        known.or_else(|| self.device.property(key))
    }
}

/// Runs a built-in by its command line. `None`: it has found nothing, and what asks for it does not match.
///
/// # Errors
/// It could not do what it was asked for.
pub(super) fn run(
    root: &Root,
    device: &Device,
    known: &[(&[u8], &[u8])],
    writes: Writes,
    command: &[u8],
) -> io::Result<Option<Properties>> {
    let mut arguments = words(command);
    if arguments.is_empty() {
        return Ok(None);
    }
    let name = arguments.remove(0);
    let asked = Asked { root, device, known, writes, arguments };
    match name.as_slice() {
        b"blkid" => blkid::run(&asked),
        b"hwdb" => hwdb::run(&asked),
        b"input_id" => Ok(input_id::run(&asked)),
        b"keyboard" => keyboard::run(&asked),
        b"kmod" => kmod::run(&asked),
        b"net_driver" => Ok(net_id::driver(&asked)),
        b"net_id" => Ok(net_id::run(&asked)),
        b"net_setup_link" => net_setup_link::run(&asked),
        b"path_id" => Ok(path_id::run(&asked)),
        b"usb_id" => Ok(usb_id::run(&asked)),
        b"uaccess" => uaccess::run(&asked),
        // Images and the factory are others' business; a btrfs of one disk is ready as it is.
        b"btrfs" | b"dissect_image" | b"factory_reset" => Ok(Some(Properties::new())),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether a built-in reads a disk or loads a module.
pub(super) fn takes_time(command: &[u8]) -> bool {
    [&b"blkid"[..], b"kmod"].iter().any(|name| command.trim_ascii_start().starts_with(name))
}

/// `KEY=VALUE` lines, as an import takes them.
pub(super) fn lines(properties: &Properties) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in properties {
        text.extend_from_slice(&[key, &b"="[..], value, b"\n"].concat());
    }
    text
}

/// Puts a property to the others.
fn put(properties: &mut Properties, key: &str, value: impl AsRef<[u8]>) {
    properties.push((key.as_bytes().to_vec(), value.as_ref().to_vec()));
}

#[cfg(test)]
mod tests;
