//! File systems for flash memory: F2FS on blocks, UBIFS and JFFS2 on raw chips.

use super::{Kind, Label, Uuid, Version, Volume, le16, le32};
use crate::device::crc32;

pub(super) fn f2fs(piece: &[u8]) -> Option<Volume> {
    let block = piece.get(1024..)?;
    if le32(block, 0)? != 0xf2f5_2010 {
        return None;
    }
    let mut version = Version::EMPTY;
    version.push_decimal(u32::from(le16(block, 4)?));
    version.push(b'.');
    version.push_decimal(u32::from(le16(block, 6)?));
    let mut volume = Volume { version, ..Volume::new(Kind::filesystem("f2fs")) };
    // Version 1.0 has no name and no UUID.
    if le16(block, 4)? > 1 || le16(block, 6)? > 0 {
        volume.uuid = Uuid::dce(block.get(108..124));
        let units = block.get(124..124 + 1024)?.chunks_exact(2).filter_map(|unit| le16(unit, 0));
        volume.label = Label::from_utf16(units);
    }
    Some(volume)
}

pub(super) fn ubifs(piece: &[u8]) -> Option<Volume> {
    const SUPERBLOCK_NODE: u8 = 6;
    if le32(piece, 0)? != 0x0610_1831 || piece.get(20) != Some(&SUPERBLOCK_NODE) {
        return None;
    }
    let mut version = Version::of("w");
    version.push_decimal(le32(piece, 80)?);
    version.push(b'r');
    version.push_decimal(le32(piece, 124)?);
    Some(Volume { uuid: Uuid::dce(piece.get(108..124)), version, ..Volume::new(Kind::filesystem("ubifs")) })
}

/// A node's head, in the byte order of the machine: magic, type, length, checksum of these.
pub(super) fn jffs2(piece: &[u8]) -> Option<Volume> {
    let little = match piece.get(..2)? {
        [0x85, 0x19] => true,
        [0x19, 0x85] => false,
        _ => return None,
    };
    let sum = le32(piece, 8)?;
    let sum = if little { sum } else { sum.swap_bytes() };
    (crc32::update(0, piece.get(..8)?) == sum).then(|| Volume::new(Kind::filesystem("jffs2")))
}
