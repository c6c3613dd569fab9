//! FAT12, FAT16, FAT32 (Microsoft, "FAT: General Overview of On-Disk Format", 1.03).
//!
//! The label is the volume entry of the root directory; where there is none, the boot sector's.

use super::{Kind, Label, MAX_PIECE, Outcome, Step, Uuid, Version, Volume, le16, le32};

/// A root directory, on the way through it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    offset: u64,
    /// Bytes left of the fixed directory or of this cluster.
    left: u32,
    chain: Option<Chain>,
    /// The piece that is wanted is an entry of the allocation table.
    link: bool,
}

/// FAT32's root directory is a chain of clusters.
#[derive(Clone, Copy, Debug)]
struct Chain {
    cluster: u32,
    cluster_size: u32,
    table: u64,
    data: u64,
    clusters: u32,
}

const NO_NAME: &[u8] = b"NO NAME    ";
const ENTRY: usize = 32;

pub(super) fn boot_sector(sector: &[u8]) -> Option<(Volume, Directory)> {
    // A jump, then the parameters. A partition table has a jump too, but no parameters that make sense.
    if !matches!(sector.first()?, 0xeb | 0xe9) {
        return None;
    }
    let sector_size = u32::from(le16(sector, 11)?);
    let cluster_sectors = u32::from(*sector.get(13)?);
    let reserved = u32::from(le16(sector, 14)?);
    let tables = u32::from(*sector.get(16)?);
    let root_entries = u32::from(le16(sector, 17)?);
    let media = *sector.get(21)?;
    let sectors = match le16(sector, 19)? {
        0 => le32(sector, 32)?,
        small => u32::from(small),
    };
    let short_table = u32::from(le16(sector, 22)?);
    let table_sectors = if short_table == 0 { le32(sector, 36)? } else { short_table };
    let plausible = matches!(sector_size, 512 | 1024 | 2048 | 4096)
        && cluster_sectors.is_power_of_two()
        && reserved != 0
        && (1..=4).contains(&tables)
        && matches!(media, 0xf0 | 0xf8..)
        && table_sectors != 0;
    if !plausible {
        return None;
    }
    let root_size = root_entries * ENTRY as u32;
    let root_sectors = root_size.div_ceil(sector_size);
    let data_start = u64::from(reserved) + u64::from(tables) * u64::from(table_sectors);
    let clusters =
        u64::from(sectors).checked_sub(data_start + u64::from(root_sectors))? / u64::from(cluster_sectors);
    let clusters = u32::try_from(clusters).ok()?;
    let long = short_table == 0;
    // A table of the FAT's size must have an entry for every cluster, two more at the beginning.
    let entry_bits = if long {
        32
    } else if clusters < 0xff5 {
        12
    } else {
        16
    };
    let entries = u64::from(table_sectors) * u64::from(sector_size) * 8 / entry_bits;
    if clusters == 0 || entries < u64::from(clusters) + 2 || (!long && clusters >= 0xfff5) {
        return None;
    }

    let extended = if long { 64 } else { 36 };
    let mut volume = Volume::new(Kind::filesystem("vfat"));
    volume.version = Version::of(match entry_bits {
        12 => "FAT12",
        16 => "FAT16",
        _ => "FAT32",
    });
    // 0x29: serial number and label follow; 0x28: the serial number alone.
    let signature = *sector.get(extended + 2)?;
    if matches!(signature, 0x28 | 0x29) {
        volume.uuid = Uuid::serial32(le32(sector, extended + 3)?);
    }
    if signature == 0x29 {
        volume.label = label(sector.get(extended + 7..extended + 18)?);
    }

    let size = u64::from(sector_size);
    let directory = if long {
        let chain = Chain {
            cluster: le32(sector, 44)?,
            cluster_size: cluster_sectors * sector_size,
            table: u64::from(reserved) * size,
            data: data_start * size,
            clusters,
        };
        chain.directory()?
    } else {
        Directory { offset: data_start * size, left: root_size, chain: None, link: false }
    };
    Some((volume, directory))
}

impl Chain {
    fn directory(self) -> Option<Directory> {
        let index = self.cluster.checked_sub(2).filter(|index| *index < self.clusters)?;
        let offset = self.data + u64::from(index) * u64::from(self.cluster_size);
        Some(Directory { offset, left: self.cluster_size, chain: Some(self), link: false })
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
            let next = le32(piece, 0).map(|entry| entry & 0x0fff_ffff);
            let directory =
                self.chain.zip(next).and_then(|(chain, cluster)| Chain { cluster, ..chain }.directory());
            return match directory {
                Some(directory) => Outcome::Next(Step::Fat(directory)),
                None => Outcome::Other,
            };
        }
        for entry in piece.chunks_exact(ENTRY) {
            match Entry::of(entry) {
                Entry::End => return Outcome::Other,
                Entry::Label(text) => {
                    if let Some(volume) = found {
                        volume.label = label(&text);
                    }
                    return Outcome::Other;
                }
                Entry::File => {}
            }
        }
        let done = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        if piece.len() < self.wanted().1 {
            return Outcome::Other;
        }
        match (self.left.checked_sub(done).filter(|left| *left > 0), self.chain) {
            (Some(left), _) => {
                let offset = self.offset + u64::from(done);
                Outcome::Next(Step::Fat(Self { offset, left, ..*self }))
            }
            (None, Some(chain)) => {
                let offset = chain.table + u64::from(chain.cluster) * 4;
                Outcome::Next(Step::Fat(Self { offset, link: true, ..*self }))
            }
            (None, None) => Outcome::Other,
        }
    }
}

enum Entry {
    End,
    File,
    Label([u8; 11]),
}

impl Entry {
    fn of(entry: &[u8]) -> Self {
        let (Some(name), Some(&attributes)) = (entry.first_chunk::<11>(), entry.get(11)) else {
            return Self::End;
        };
        let cluster = (le16(entry, 20), le16(entry, 26));
        match name.first() {
            Some(0) | None => Self::End,
            // Deleted, a part of a long name, a folder: no label.
            Some(0xe5) => Self::File,
            Some(&first) if attributes & 0x18 == 0x08 && attributes & 0x3f != 0x0f => match cluster {
                (Some(0), Some(0)) => {
                    let mut text = *name;
                    if let Some(byte) = text.first_mut() {
                        *byte = if first == 0x05 { 0xe5 } else { first };
                    }
                    Self::Label(text)
                }
                _ => Self::File,
            },
            _ => Self::File,
        }
    }
}

fn label(text: &[u8]) -> Label {
    if text == NO_NAME { Label::EMPTY } else { Label::trimmed(text) }
}
