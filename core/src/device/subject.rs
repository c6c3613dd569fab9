//! On which subjects devices are talked about.
//!
//! A subsystem or an action becomes one token: every byte that a NATS token cannot hold turns into `_`, and a
//! missing one is `_` alone.

use lunix_proto::Full;
use lunix_proto::nats::subject::push_token;
use lunix_uevent::Uevent;

/// `uevent.<subsystem>.<action>`, the subject of a kernel event.
///
/// ```
/// use lunix_core::device::subject;
/// use lunix_uevent::Uevent;
/// let event = Uevent::parse(b"add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=scsi disk\0").unwrap();
/// let mut out = [0; 64];
/// let len = subject::uevent(&event, &mut out)?;
/// assert_eq!(&out[..len], b"uevent.scsi_disk.add");
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// The subject does not fit into `out`.
pub fn uevent(event: &Uevent<'_>, out: &mut [u8]) -> Result<usize, Full> {
    three_tokens(b"uevent.", event.subsystem(), event.action().as_bytes(), out)
}

/// `hardware.<class>.<action>`, the subject of a device that is ready, changed or gone.
///
/// ```
/// use lunix_core::device::{Happening, subject};
/// let mut out = [0; 64];
/// let len = subject::hardware(b"usb", Happening::Add, &mut out)?;
/// assert_eq!(&out[..len], b"hardware.usb.add");
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// The subject does not fit into `out`.
pub fn hardware(class: &[u8], happening: super::Happening, out: &mut [u8]) -> Result<usize, Full> {
    three_tokens(b"hardware.", class, happening.as_str().as_bytes(), out)
}

fn three_tokens(head: &[u8], middle: &[u8], last: &[u8], out: &mut [u8]) -> Result<usize, Full> {
    let needed = head.len() + middle.len().max(1) + 1 + last.len().max(1);
    let out = out.get_mut(..needed).ok_or(Full { needed })?;
    let (start, rest) = out.split_at_mut_checked(head.len()).ok_or(Full { needed })?;
    start.copy_from_slice(head);
    let len = push_token(rest, middle)?;
    let rest = rest.get_mut(len..).unwrap_or_default();
    if let Some(dot) = rest.first_mut() {
        *dot = b'.';
    }
    push_token(rest.get_mut(1..).unwrap_or_default(), last)?;
    Ok(needed)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::*;
    use crate::device::Happening;

    #[test]
    fn tokens_from_outside_cannot_break_a_subject() {
        for (class, expected) in [
            (&b"usb"[..], &b"hardware.usb.remove"[..]),
            (b"", b"hardware._.remove"),
            (b"a.b>*c d", b"hardware.a_b__c_d.remove"),
            (b"\t\r\n\0", b"hardware.____.remove"),
        ] {
            let mut out = [0; 64];
            let len = hardware(class, Happening::Remove, &mut out).unwrap();
            assert_eq!(&out[..len], expected);
            assert!(lunix_proto::nats::subject::is_literal(&out[..len]));
        }
    }

    #[test]
    fn too_short_says_how_much() {
        for room in 0..16 {
            let mut out = vec![0; room];
            assert_eq!(hardware(b"usb", Happening::Add, &mut out), Err(Full { needed: 16 }));
        }
        assert_eq!(hardware(b"usb", Happening::Add, &mut [0; 16]), Ok(16));
    }
}
