//! NTFS: a boot sector, and the label as an attribute of the file `$Volume`, record 3 of the master file table.

use super::{Kind, Label, MAX_PIECE, Outcome, Uuid, Volume, le16, le32, le64};

/// Where the record of `$Volume` is.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeRecord {
    offset: u64,
    len: usize,
}

const VOLUME: u64 = 3;
const VOLUME_NAME: u32 = 0x60;
const END: u32 = 0xffff_ffff;
/// A record of 4096 bytes holds no more attributes than this.
const MAX_ATTRIBUTES: usize = 64;

pub(super) fn boot_sector(sector: &[u8]) -> Option<(Volume, VolumeRecord)> {
    if sector.get(3..11)? != b"NTFS    " {
        return None;
    }
    let sector_size = u64::from(le16(sector, 11)?);
    // Above 128 sectors, a cluster's size is a negative power of two.
    let cluster_sectors = match *sector.get(13)? {
        count @ 0..=128 => u64::from(count),
        power => 1u64.checked_shl(256 - u32::from(power))?,
    };
    if !sector_size.is_power_of_two() || !(256..=4096).contains(&sector_size) || cluster_sectors == 0 {
        return None;
    }
    let cluster = sector_size.checked_mul(cluster_sectors)?;
    let record = match *sector.get(64)? as i8 {
        clusters @ 1.. => cluster.checked_mul(u64::from(clusters.unsigned_abs()))?,
        power => 1u64.checked_shl(u32::from(power.unsigned_abs()))?,
    };
    let table = le64(sector, 48)?.checked_mul(cluster)?;
    let len = usize::try_from(record).ok().filter(|len| (256..=MAX_PIECE).contains(len))?;
    let offset = table.checked_add(record * VOLUME)?;
    let volume = Volume { uuid: Uuid::serial64(le64(sector, 72)?), ..Volume::new(Kind::filesystem("ntfs")) };
    Some((volume, VolumeRecord { offset, len }))
}

impl VolumeRecord {
    pub(super) fn wanted(&self) -> (u64, usize) {
        (self.offset, self.len)
    }

    pub(super) fn feed(&self, piece: &[u8], found: &mut Option<Volume>) -> Outcome {
        if let (Some(volume), Some(label)) = (found, name(piece)) {
            volume.label = label;
        }
        Outcome::Other
    }
}

fn name(record: &[u8]) -> Option<Label> {
    if !record.starts_with(b"FILE") {
        return None;
    }
    let mut attribute = record.get(usize::from(le16(record, 20)?)..)?;
    for _ in 0..MAX_ATTRIBUTES {
        let (kind, len) = (le32(attribute, 0)?, usize::try_from(le32(attribute, 4)?).ok()?);
        if kind == VOLUME_NAME {
            let size = usize::try_from(le32(attribute, 16)?).ok()?;
            let value = attribute.get(usize::from(le16(attribute, 20)?)..)?.get(..size)?;
            return Some(Label::from_utf16(value.chunks_exact(2).filter_map(|unit| le16(unit, 0))));
        }
        if kind == END || len == 0 {
            return None;
        }
        attribute = attribute.get(len..)?;
    }
    None
}
