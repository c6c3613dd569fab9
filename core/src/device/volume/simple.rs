//! File systems that say all in one superblock at a fixed place.

use super::{Kind, Label, Uuid, Version, Volume, le16, le32};

pub(super) fn xfs(piece: &[u8]) -> Option<Volume> {
    // A size of blocks that is none is somebody else's text.
    let block = u32::from_be_bytes(*piece.get(4..)?.first_chunk()?);
    if !piece.starts_with(b"XFSB") || !block.is_power_of_two() || !(512..=0x1_0000).contains(&block) {
        return None;
    }
    let label = Label::trimmed(piece.get(108..120)?);
    Some(Volume { label, uuid: Uuid::dce(piece.get(32..48)), ..Volume::new(Kind::filesystem("xfs")) })
}

/// Little-endian, and big-endian as it was before version 4.
pub(super) fn squashfs(piece: &[u8]) -> Option<Volume> {
    let (major, minor) = (le16(piece, 28)?, le16(piece, 30)?);
    let (major, minor) = match piece.get(..4)? {
        b"hsqs" => (major, minor),
        b"sqsh" => (major.swap_bytes(), minor.swap_bytes()),
        _ => return None,
    };
    let fstype = if major >= 4 { "squashfs" } else { "squashfs3" };
    let mut version = Version::EMPTY;
    version.push_decimal(u32::from(major));
    version.push(b'.');
    version.push_decimal(u32::from(minor));
    Some(Volume { version, ..Volume::new(Kind::filesystem(fstype)) })
}

pub(super) fn erofs(piece: &[u8]) -> Option<Volume> {
    let block = piece.get(1024..)?;
    if le32(block, 0)? != 0xe0f5_e1e2 {
        return None;
    }
    let label = Label::trimmed(block.get(64..80)?);
    Some(Volume { label, uuid: Uuid::dce(block.get(48..64)), ..Volume::new(Kind::filesystem("erofs")) })
}

/// Where the superblock of btrfs lies.
pub(super) const BTRFS: (u64, usize) = (0x1_0000, 1024);

pub(super) fn btrfs(piece: &[u8]) -> Option<Volume> {
    if piece.get(0x40..0x48)? != b"_BHRfS_M" {
        return None;
    }
    Some(Volume {
        label: Label::trimmed(piece.get(0x12b..0x22b)?),
        uuid: Uuid::dce(piece.get(0x20..0x30)),
        uuid_sub: Uuid::dce(piece.get(0x10b..0x11b)),
        ..Volume::new(Kind::filesystem("btrfs"))
    })
}
