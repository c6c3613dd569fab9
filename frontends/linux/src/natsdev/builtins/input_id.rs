//! `input_id`: what kind of input device it is.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use lunix_core::device::input::{Bits, Capabilities, Kinds};
use lunix_core::device::name;

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};
use crate::sys::evdev::axis;

/// Bits of the kernel's words, as far as it shows: it writes for 32 bits to programs of 32 bits.
const WORD: u32 = usize::BITS;

pub(super) fn run(asked: &Asked<'_>) -> Option<Properties> {
    let device = Ancestor::of(asked.root, asked.device)?;
    let mut properties = Properties::new();
    // `event3` is a part of `input3`, which is what can do something.
    let inputs = std::iter::successors(Some(device), |device| device.above("input", None));
    let Some(input) = inputs.into_iter().find(|device| device.attribute("capabilities/ev").is_some()) else {
        return Some(properties);
    };
    let bits = |name: &str| Bits::read(&input.attribute(name).unwrap_or_default(), WORD);
    let bus = input.text("id/bustype").and_then(|bus| u16::from_str_radix(&bus, 16).ok());
    let kinds = Kinds::of(&Capabilities {
        ev: bits("capabilities/ev"),
        abs: bits("capabilities/abs"),
        key: bits("capabilities/key"),
        rel: bits("capabilities/rel"),
        props: bits("properties"),
        bus: bus.unwrap_or(0),
    });
    kinds.properties().for_each(|name| put(&mut properties, name, "1"));
    let _ = size(asked, &mut properties);
    Some(properties)
}

/// How large a touchpad or tablet is, where it says so: by its node.
fn size(asked: &Asked<'_>, properties: &mut Properties) -> Option<()> {
    const X: u8 = 0;
    const Y: u8 = 1;
    if !name(&asked.device.devpath).starts_with(b"event") {
        return None;
    }
    let node = asked.root.path("/dev").join(OsStr::from_bytes(asked.device.node()?));
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(node).ok()?;
    let size = |code| {
        let axis = axis(&file, code).ok()?;
        axis.maximum.checked_sub(axis.minimum)?.checked_div(axis.resolution)
    };
    let (width, height) = (size(X)?, size(Y)?);
    put(properties, "ID_INPUT_WIDTH_MM", width.to_string());
    put(properties, "ID_INPUT_HEIGHT_MM", height.to_string());
    Some(())
}
