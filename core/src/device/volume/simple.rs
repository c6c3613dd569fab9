//! File systems that say all in one superblock at a fixed place.

use super::{Label, Uuid, Volume};

/// What lies within the first piece.
pub(super) fn at_start(piece: &[u8]) -> Option<Volume> {
    let label = |from: usize, to: usize| piece.get(from..to).map(Label::trimmed);
    if piece.starts_with(b"XFSB") {
        let uuid = Uuid::dce(piece.get(32..48));
        return Some(Volume { fstype: "xfs", label: label(108, 120)?, uuid });
    }
    if piece.starts_with(b"LUKS\xba\xbe") {
        let uuid = Uuid::plain(piece.get(168..208)?);
        // Version 2 has a label, version 1 has not.
        let label = if piece.get(6..8) == Some(&[0, 2]) { label(24, 72)? } else { Label::EMPTY };
        return Some(Volume { fstype: "crypto_LUKS", label, uuid });
    }
    if piece.starts_with(b"hsqs") {
        return Some(Volume::new("squashfs"));
    }
    if piece.get(4086..4096).is_some_and(|magic| magic == b"SWAPSPACE2") {
        let uuid = Uuid::dce(piece.get(1036..1052));
        return Some(Volume { fstype: "swap", label: label(1052, 1068)?, uuid });
    }
    if piece.get(1024..1028) == Some(&[0x10, 0x20, 0xf5, 0xf2]) {
        let uuid = Uuid::dce(piece.get(1024 + 108..1024 + 124));
        let units = piece.get(1024 + 124..1024 + 124 + 1024)?.chunks_exact(2);
        let units = units.filter_map(|unit| unit.first_chunk().copied()).map(u16::from_le_bytes);
        return Some(Volume { fstype: "f2fs", label: Label::from_utf16(units), uuid });
    }
    None
}

/// Where the superblock of btrfs lies.
pub(super) const BTRFS: (u64, usize) = (0x1_0000, 1024);

pub(super) fn btrfs(piece: &[u8]) -> Option<Volume> {
    if piece.get(0x40..0x48)? != b"_BHRfS_M" {
        return None;
    }
    let uuid = Uuid::dce(piece.get(0x20..0x30));
    Some(Volume { fstype: "btrfs", label: Label::trimmed(piece.get(0x12b..0x22b)?), uuid })
}
