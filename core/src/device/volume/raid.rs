//! Parts of something larger: Linux's software RAID (`md_p.h`) and physical volumes of LVM 2.

use super::{Kind, Label, Usage, Uuid, Version, Volume, le32, le64};
use crate::device::crc32;

const MD_MAGIC: u32 = 0xa92b_4efc;
const MD: Kind = Kind::new("linux_raid_member", Usage::Raid);

/// Bytes that are wanted of a superblock, old or new: with its list of members.
pub(super) const MD_PIECE: usize = 4096;

/// Where the superblock of version 0.90 is: the last but one whole 64 KiB, or the last.
pub(super) const fn old_offset(size: u64) -> Option<u64> {
    (size & !0xffff).checked_sub(0x1_0000)
}

/// Where the superblock of version 1.0 is: at least 8 KiB before the end, at a multiple of 4 KiB.
pub(super) const fn end_offset(size: u64) -> Option<u64> {
    match (size & !511).checked_sub(16 * 512) {
        Some(offset) => Some(offset & !0xfff),
        None => None,
    }
}

/// Version 0.90, written in the byte order of the machine.
pub(super) fn old(block: &[u8], offset: u64) -> Option<Volume> {
    let little = le32(block, 0)? == MD_MAGIC;
    if !little && le32(block, 0)? != MD_MAGIC.swap_bytes() {
        return None;
    }
    let word = |index: usize| {
        let word = le32(block, index * 4)?;
        Some(if little { word } else { word.swap_bytes() })
    };
    let (major, minor, patch) = (word(1)?, word(2)?, word(3)?);
    // A partition that ends with the disk has the same last bytes: the superblock says how much is used before it.
    if major != 0 || minor > 99 || patch > 99 || u64::from(word(8)?) * 1024 > offset {
        return None;
    }
    let mut uuid = [0; 16];
    // The first of the four words was there first; the others came later.
    for (place, index) in uuid.chunks_exact_mut(4).zip([5, 13, 14, 15]) {
        if index == 5 || minor >= 90 {
            place.copy_from_slice(&word(index)?.to_be_bytes());
        }
    }
    let mut version = Version::EMPTY;
    for (index, part) in [major, minor, patch].into_iter().enumerate() {
        if index > 0 {
            version.push(b'.');
        }
        version.push_decimal(part);
    }
    Some(Volume { uuid: Uuid::dce(Some(&uuid)), version, ..Volume::new(MD) })
}

/// Version 1, which says itself where it is; `minor` is 0 at the end, 1 at the beginning, 2 after 4 KiB.
pub(super) fn new(block: &[u8], offset: u64, minor: u8) -> Option<Volume> {
    if le32(block, 0)? != MD_MAGIC || le32(block, 4)? != 1 || le64(block, 144)? != offset / 512 {
        return None;
    }
    let members = usize::try_from(le32(block, 220)?).ok()?;
    let counted = block.get(..256usize.checked_add(members.checked_mul(2)?)?)?;
    let mut sum = 0u64;
    for (index, word) in counted.chunks(4).enumerate() {
        let mut bytes = [0; 4];
        bytes.get_mut(..word.len())?.copy_from_slice(word);
        sum += if index == 54 { 0 } else { u64::from(u32::from_le_bytes(bytes)) };
    }
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    if folded & 0xffff_ffff != u64::from(le32(block, 216)?) {
        return None;
    }
    let mut version = Version::of("1.");
    version.push_decimal(u32::from(minor));
    Some(Volume {
        label: Label::trimmed(block.get(32..64)?),
        uuid: Uuid::dce(block.get(16..32)),
        uuid_sub: Uuid::dce(block.get(168..184)),
        version,
        ..Volume::new(MD)
    })
}

/// A physical volume of LVM 2: its label is one of the first four sectors.
pub(super) fn lvm(piece: &[u8]) -> Option<Volume> {
    const CRC: u32 = 0xf597_a6cf;
    let sectors = piece.chunks_exact(512).take(4).zip(0u64..);
    for (sector, number) in sectors {
        if !sector.starts_with(b"LABELONE") || sector.get(24..32) != Some(b"LVM2 001") {
            continue;
        }
        if le64(sector, 8)? != number || crc32::update(CRC, sector.get(20..)?) != le32(sector, 16)? {
            continue;
        }
        let start = usize::try_from(le32(sector, 20)?).ok()?;
        let id = sector.get(start..)?.get(..32)?;
        let mut uuid = Uuid::EMPTY;
        for (index, byte) in id.iter().enumerate() {
            if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) {
                uuid.push(b'-');
            }
            uuid.push(if byte.is_ascii_alphanumeric() { *byte } else { b'_' });
        }
        let kind = Kind::new("LVM2_member", Usage::Raid);
        return Some(Volume { uuid, version: Version::of("LVM2 001"), ..Volume::new(kind) });
    }
    None
}
