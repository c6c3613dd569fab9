//! `input_id`: what kind of input device it is.

use lunix_core::device::input::{Bits, Capabilities, Kinds};

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};

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
    Some(properties)
}
