//! ext2, ext3, ext4: one superblock, 1024 bytes from the start (`fs/ext4/ext4.h`, `struct ext4_super_block`).

use super::{Kind, Label, Usage, Uuid, Version, Volume, le16, le32};

const MAGIC: u16 = 0xef53;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_JOURNAL_DEVICE: u32 = 0x8;
/// filetype, recover, meta_bg
const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
/// filetype, meta_bg
const EXT2_INCOMPAT: u32 = 0x2 | 0x10;
/// sparse_super, large_file, btree_dir
const EXT2_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

pub(super) fn superblock(block: &[u8]) -> Option<Volume> {
    if le16(block, 56)? != MAGIC {
        return None;
    }
    let (compat, incompat, ro_compat) = (le32(block, 92)?, le32(block, 96)?, le32(block, 100)?);
    let journal = compat & COMPAT_HAS_JOURNAL != 0;
    let fstype = if incompat & INCOMPAT_JOURNAL_DEVICE != 0 {
        "jbd"
    } else if ro_compat & !EXT2_RO_COMPAT == 0 && !journal && incompat & !EXT2_INCOMPAT == 0 {
        "ext2"
    } else if ro_compat & !EXT2_RO_COMPAT == 0 && journal && incompat & !EXT3_INCOMPAT == 0 {
        "ext3"
    } else {
        "ext4"
    };
    let uuid = Uuid::dce(block.get(104..120));
    let usage = if fstype == "jbd" { Usage::Other } else { Usage::Filesystem };
    let mut version = Version::EMPTY;
    version.push_decimal(le32(block, 76)?);
    version.push(b'.');
    version.push_decimal(u32::from(le16(block, 62)?));
    let label = Label::trimmed(block.get(120..136)?);
    Some(Volume { label, uuid, version, ..Volume::new(Kind::new(fstype, usage)) })
}
