//! Swap areas, and memories of machines that sleep in them: a sign at the end of the first page, whose size depends on
//! the machine that made it.

use super::{Kind, Label, Usage, Uuid, Version, Volume, le32};

/// Sizes of pages, besides 4 KiB.
const PAGES: [u64; 4] = [0x2000, 0x4000, 0x8000, 0x1_0000];
const SIGN: usize = 10;
/// The header, whatever the page's size.
pub(super) const HEADER: (u64, usize) = (1024, 512);

/// What the sign at the end of a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    fstype: &'static str,
    version: &'static str,
}

/// Where the sign is for the page of this number.
pub(super) fn wanted(number: u8) -> Option<(u64, usize)> {
    PAGES.get(usize::from(number)).map(|page| (page - SIGN as u64, SIGN))
}

pub(super) fn sign(bytes: &[u8]) -> Option<Sign> {
    const KNOWN: [(&[u8], &str, &str); 7] = [
        (b"SWAPSPACE2", "swap", "1"),
        (b"SWAP-SPACE", "swap", "0"),
        (b"S1SUSPEND", "swsuspend", "s1suspend"),
        (b"S2SUSPEND", "swsuspend", "s2suspend"),
        (b"ULSUSPEND", "swsuspend", "ulsuspend"),
        (b"LINHIB0001", "swsuspend", "linhib0001"),
        (b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c", "swsuspend", "tuxonice"),
    ];
    let (_, fstype, version) = KNOWN.iter().find(|(magic, ..)| bytes.starts_with(magic))?;
    Some(Sign { fstype, version })
}

impl Sign {
    /// The area, by the bytes from 1024 on.
    pub(super) fn volume(self, header: &[u8]) -> Option<Volume> {
        let kind = Kind::new(self.fstype, Usage::Other);
        let mut volume = Volume { version: Version::of(self.version), ..Volume::new(kind) };
        if self.version == "0" {
            return Some(volume);
        }
        let (version, last) = (le32(header, 0)?, le32(header, 4)?);
        if self.version == "1" && (!matches!(version, 1 | 0x0100_0000) || last == 0) {
            return None;
        }
        // Very old areas have other things there.
        if header.get(12 + 32 + 128..12 + 32 + 136) == Some(&[0; 8]) {
            volume.uuid = Uuid::dce(header.get(12..28));
            volume.label = Label::trimmed(header.get(28..44)?);
        }
        Some(volume)
    }
}
