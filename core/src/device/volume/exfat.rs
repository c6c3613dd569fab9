//! exFAT (Microsoft, "exFAT file system specification"): a boot sector, and the label as an entry of the root
//! directory, which is a chain of clusters.

use super::{Kind, Label, MAX_PIECE, Outcome, Step, Uuid, Version, Volume, le16, le32};

/// The root directory, on the way through it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    offset: u64,
    /// Bytes left of this cluster.
    left: u32,
    cluster: u32,
    geometry: Geometry,
    /// The piece that is wanted is an entry of the allocation table.
    link: bool,
}

#[derive(Clone, Copy, Debug)]
struct Geometry {
    table: u64,
    heap: u64,
    clusters: u32,
    cluster_size: u32,
}

const ENTRY: usize = 32;
const VOLUME_LABEL: u8 = 0x83;
/// Characters of a label.
const MAX_LABEL: usize = 11;

pub(super) fn boot_sector(sector: &[u8]) -> Option<(Volume, Directory)> {
    if sector.get(3..11)? != b"EXFAT   " || le16(sector, 510)? != 0xaa55 {
        return None;
    }
    let sector_shift = *sector.get(108)?;
    let cluster_shift = sector_shift.checked_add(*sector.get(109)?)?;
    if !(9..=12).contains(&sector_shift) || cluster_shift > 25 {
        return None;
    }
    let geometry = Geometry {
        table: u64::from(le32(sector, 80)?) << sector_shift,
        heap: u64::from(le32(sector, 88)?) << sector_shift,
        clusters: le32(sector, 92)?,
        cluster_size: 1 << cluster_shift,
    };
    let mut version = Version::EMPTY;
    version.push_decimal(u32::from(*sector.get(105)?));
    version.push(b'.');
    version.push_decimal(u32::from(*sector.get(104)?));
    let uuid = Uuid::serial32(le32(sector, 100)?);
    let volume = Volume { uuid, version, ..Volume::new(Kind::filesystem("exfat")) };
    Some((volume, geometry.directory(le32(sector, 96)?)?))
}

impl Geometry {
    fn directory(self, cluster: u32) -> Option<Directory> {
        let index = cluster.checked_sub(2).filter(|index| *index < self.clusters)?;
        let offset = self.heap + u64::from(index) * u64::from(self.cluster_size);
        Some(Directory { offset, left: self.cluster_size, cluster, geometry: self, link: false })
    }
}

impl Directory {
    pub(super) fn wanted(&self) -> (u64, usize) {
        if self.link {
            return (self.offset, 4);
        }
        let left = usize::try_from(self.left).unwrap_or(MAX_PIECE);
        (self.offset, left.clamp(ENTRY, MAX_PIECE))
    }

    pub(super) fn feed(&self, piece: &[u8], found: &mut Option<Volume>) -> Outcome {
        if self.link {
            return match le32(piece, 0).and_then(|cluster| self.geometry.directory(cluster)) {
                Some(directory) => Outcome::Next(Step::Exfat(directory)),
                None => Outcome::Other,
            };
        }
        for entry in piece.chunks_exact(ENTRY) {
            match entry {
                [0, ..] => return Outcome::Other,
                [VOLUME_LABEL, len, text @ ..] => {
                    let units = text.chunks_exact(2).filter_map(|unit| le16(unit, 0));
                    if let Some(volume) = found {
                        volume.label = Label::from_utf16(units.take(usize::from(*len).min(MAX_LABEL)));
                    }
                    return Outcome::Other;
                }
                _ => {}
            }
        }
        if piece.len() < self.wanted().1 {
            return Outcome::Other;
        }
        let done = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let next = match self.left.checked_sub(done).filter(|left| *left > 0) {
            Some(left) => Self { offset: self.offset + u64::from(done), left, ..*self },
            None => {
                let offset = self.geometry.table + u64::from(self.cluster) * 4;
                Self { offset, link: true, ..*self }
            }
        };
        Outcome::Next(Step::Exfat(next))
    }
}
