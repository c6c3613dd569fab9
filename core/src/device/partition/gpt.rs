//! GUID partition tables (UEFI 2.10, section 5.3): a header in the second sector or the last one, and a list of entries.

use super::{Disk, Entry, MAX_PIECE, Scheme, Uuid, Wanted};
use crate::device::crc32;
use crate::device::volume::{Label, le16, le32, le64};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Begin,
    End,
}

impl Place {
    fn sector(self, disk: Disk) -> Option<u64> {
        match self {
            Self::Begin => Some(1),
            Self::End => (disk.size / disk.sector()).checked_sub(1),
        }
    }

    pub(super) fn wanted(self, disk: Disk) -> Option<(u64, usize)> {
        let offset = self.sector(disk)?.checked_mul(disk.sector())?;
        Some((offset, usize::try_from(disk.sector()).unwrap_or(512)))
    }
}

/// Bytes of an entry: the least, which nearly all tables have, and the most.
const ENTRY: u32 = 128;
const MAX_ENTRY: u32 = 4096;
/// Bytes of all entries: as many as [`super::MAX_PIECES`] reads of the smallest pieces.
const MAX_ENTRIES: u64 = 1 << 20;

/// The entries, on the way through them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    place: Place,
    disk_uuid: Uuid,
    offset: u64,
    /// Bytes of an entry, entries left.
    entry: u32,
    left: u32,
    number: u32,
    usable: (u64, u64),
    crc: u32,
    expected: u32,
    found: Option<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    More,
    Complete,
    Wrong,
}

/// The header, if it is whole and says that it is here.
pub(super) fn header(piece: &[u8], place: Place, disk: Disk) -> Option<Entries> {
    if !piece.starts_with(b"EFI PART") {
        return None;
    }
    let size = usize::try_from(le32(piece, 12)?).ok().filter(|size| *size >= 92)?;
    let counted = piece.get(..size)?;
    let crc = crc32::update(!0, counted.get(..16)?);
    let crc = crc32::update(crc, &[0; 4]);
    let crc = !crc32::update(crc, counted.get(20..)?);
    if crc != le32(piece, 16)? || le64(piece, 24) != place.sector(disk) {
        return None;
    }
    let (first, last) = (le64(piece, 40)?, le64(piece, 48)?);
    let sectors = disk.size / disk.sector();
    if last < first || first > sectors || last > sectors {
        return None;
    }
    let (count, entry) = (le32(piece, 80)?, le32(piece, 84)?);
    let total = u64::from(count) * u64::from(entry);
    if !(ENTRY..=MAX_ENTRY).contains(&entry) || !entry.is_power_of_two() || total == 0 || total > MAX_ENTRIES
    {
        return None;
    }
    let offset = le64(piece, 72)?.checked_mul(disk.sector())?;
    Some(Entries {
        place,
        disk_uuid: guid(piece, 56)?,
        offset,
        entry,
        left: count,
        number: 1,
        usable: (first, last),
        crc: !0,
        expected: le32(piece, 88)?,
        found: None,
    })
}

impl Entries {
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn disk_uuid(&self) -> Uuid {
        self.disk_uuid
    }

    pub(super) fn found(&self) -> Option<Entry> {
        self.found
    }

    pub(super) fn wanted(&self) -> (u64, usize) {
        let left = usize::try_from(u64::from(self.left) * u64::from(self.entry)).unwrap_or(MAX_PIECE);
        (self.offset, left.clamp(1, MAX_PIECE))
    }

    pub(super) fn feed(&mut self, piece: &[u8], disk: Disk, wanted: Option<Wanted>) -> Fed {
        let (offset, len) = self.wanted();
        let Some(piece) = piece.get(..len) else { return Fed::Wrong };
        self.crc = crc32::update(self.crc, piece);
        for raw in piece.chunks_exact(usize::try_from(self.entry).unwrap_or(MAX_PIECE)) {
            if self.found.is_none() {
                self.found = entry(raw, self.number, self.usable, disk).filter(|entry| entry.is(wanted));
            }
            self.number += 1;
            self.left = self.left.saturating_sub(1);
        }
        self.offset = offset.saturating_add(len as u64);
        match self.left {
            0 if !self.crc == self.expected => Fed::Complete,
            0 => Fed::Wrong,
            _ => Fed::More,
        }
    }
}

fn entry(raw: &[u8], number: u32, usable: (u64, u64), disk: Disk) -> Option<Entry> {
    let kind = guid(raw, 0).filter(|kind| !kind.is_empty())?;
    let (first, last) = (le64(raw, 32)?, le64(raw, 40)?);
    if first < usable.0 || last > usable.1 || last < first {
        return None;
    }
    let units = disk.sector() / super::UNIT;
    let name = raw.get(56..128)?.chunks_exact(2).filter_map(|unit| le16(unit, 0));
    Some(Entry {
        scheme: Scheme::Gpt,
        number,
        name: Label::from_utf16(name),
        uuid: guid(raw, 16)?,
        kind,
        flags: le64(raw, 48)?,
        offset: first.checked_mul(units)?,
        size: (last - first).checked_add(1)?.checked_mul(units)?,
    })
}

/// Three numbers in little-endian order, then bytes.
fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    let mut bytes: [u8; 16] = *bytes.get(at..)?.first_chunk()?;
    for part in [0..4, 4..6, 6..8] {
        bytes.get_mut(part)?.reverse();
    }
    Some(Uuid::dce(Some(&bytes)))
}
