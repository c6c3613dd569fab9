//! What a USB device can do, by its descriptors and numbers, in udev's words.

/// The longest list that is told: 72 interfaces.
pub const MAX_INTERFACES: usize = 505;

const DEVICE: usize = 18;
const INTERFACE: u8 = 4;
const INTERFACE_LEN: usize = 9;

/// The different interfaces that the `descriptors` of a device name, as `:ccsspp:ccsspp:` (class, subclass, protocol);
/// empty if there are none, or if the descriptors are damaged.
///
/// ```
/// use lunix_core::device::usb::{MAX_INTERFACES, interfaces};
/// let mut descriptors = [0; 18 + 2 * 9];
/// descriptors[0] = 18;
/// descriptors[18..27].copy_from_slice(&[9, 4, 0, 0, 2, 8, 6, 0x50, 0]);
/// descriptors[27] = 9;
/// let mut out = [0; MAX_INTERFACES];
/// assert_eq!(interfaces(&descriptors, &mut out), b":080650:");
/// ```
pub fn interfaces<'o>(descriptors: &[u8], out: &'o mut [u8; MAX_INTERFACES]) -> &'o [u8] {
    let (mut len, mut at) = (0, 0);
    if descriptors.len() < DEVICE {
        return &[];
    }
    while at + INTERFACE_LEN < descriptors.len() && len + 7 < MAX_INTERFACES {
        let Some([size, kind, _, _, _, class, subclass, protocol, ..]) = descriptors.get(at..) else { break };
        if *size < 3 {
            break;
        }
        if usize::from(*size) > descriptors.len() - INTERFACE_LEN {
            return &[];
        }
        at += usize::from(*size);
        if *kind != INTERFACE {
            continue;
        }
        let text = text([*class, *subclass, *protocol]);
        let known = out.get(..len).is_some_and(|known| known.chunks_exact(7).any(|known| known == text));
        if let Some(place) = out.get_mut(len..len + 7).filter(|_| !known) {
            place.copy_from_slice(&text);
            len += 7;
        }
    }
    if let Some(end) = out.get_mut(len).filter(|_| len > 0) {
        *end = b':';
        len += 1;
    }
    out.get(..len).unwrap_or_default()
}

fn text(numbers: [u8; 3]) -> [u8; 7] {
    let mut text = [b':'; 7];
    for (place, nibble) in text.iter_mut().skip(1).zip(numbers.iter().flat_map(|byte| [byte >> 4, byte & 15]))
    {
        *place = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    text
}

/// What an interface of this class is.
///
/// ```
/// assert_eq!(lunix_core::device::usb::interface_type(0x0e), "video");
/// ```
pub const fn interface_type(class: u8) -> &'static str {
    match class {
        1 => "audio",
        3 => "hid",
        6 => "media",
        7 => "printer",
        8 => "storage",
        9 => "hub",
        0x0e => "video",
        _ => "generic",
    }
}

/// What a storage interface of this subclass is, and whether SCSI commands say more of it.
///
/// ```
/// assert_eq!(lunix_core::device::usb::storage_type(6), ("scsi", true));
/// ```
pub const fn storage_type(subclass: u8) -> (&'static str, bool) {
    match subclass {
        1 => ("rbc", false),
        2 => ("atapi", true),
        3 => ("tape", false),
        4 => ("floppy", false),
        6 => ("scsi", true),
        _ => ("generic", false),
    }
}

/// What a SCSI device of this type is.
///
/// ```
/// assert_eq!(lunix_core::device::usb::scsi_type(5), "cd");
/// ```
pub const fn scsi_type(number: u8) -> &'static str {
    match number {
        0 | 0xe => "disk",
        1 => "tape",
        4 | 7 | 0xf => "optical",
        5 => "cd",
        _ => "generic",
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::*;

    #[test]
    fn damaged_descriptors_end() {
        let mut whole = vec![18; 18];
        for number in 0..200u8 {
            whole.extend([9, 4, 0, 0, 0, number, 0, 0, 0]);
        }
        let mut out = [0; MAX_INTERFACES];
        assert_eq!(interfaces(&whole, &mut out).len(), 7 * 72 + 1);
        for len in 0..whole.len() {
            interfaces(&whole[..len], &mut out);
        }
        for damage in [0, 1, 2, 255] {
            for at in (0..200).step_by(9) {
                let mut damaged = whole.clone();
                damaged[at] = damage;
                interfaces(&damaged, &mut out);
            }
        }
    }
}
