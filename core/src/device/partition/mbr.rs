//! Master boot records: four entries, one of which may lead to a chain of further ones.

use super::{Disk, Entry, Scheme, Table, Uuid, hex};
use crate::device::volume::{self, Label, le16, le32};

const PROTECTIVE: u8 = 0xee;
/// Records of a chain without a partition, and partitions of a chain.
const MAX_EMPTY: u16 = 100;
/// More than the kernel makes nodes for.
const MAX_LOGICAL: u32 = 512;

/// An entry, in sectors.
#[derive(Clone, Copy, Debug, Default)]
struct Raw {
    boot: u8,
    kind: u8,
    start: u32,
    size: u32,
}

impl Raw {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

fn entries(sector: &[u8]) -> Option<[Raw; 4]> {
    if le16(sector, 510)? != 0xaa55 {
        return None;
    }
    let mut all = [Raw::default(); 4];
    for (raw, at) in all.iter_mut().zip([446, 462, 478, 494]) {
        let [boot, _, _, _, kind, ..] = sector.get(at..at + 16)? else { return None };
        *raw = Raw { boot: *boot, kind: *kind, start: le32(sector, at + 8)?, size: le32(sector, at + 12)? };
    }
    Some(all)
}

/// Whether a record says that a GPT is there.
pub(super) fn protects_gpt(sector: &[u8]) -> bool {
    entries(sector).is_some_and(|entries| entries.iter().any(|raw| raw.kind == PROTECTIVE))
}

/// The first record of a disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    entries: [Raw; 4],
    id: u32,
}

impl Record {
    /// `None` if this is no table, but code of a boot sector, a file system, or a part of something larger.
    pub(super) fn read(piece: &[u8]) -> Option<Self> {
        let entries = entries(piece)?;
        // AIX has a sign of its own there.
        let aix = piece.starts_with(&[0xc9, 0xc2, 0xd4, 0xc1]);
        if aix || entries.iter().any(|raw| !matches!(raw.boot, 0 | 0x80)) || volume::is_boot_sector(piece) {
            return None;
        }
        Some(Self { entries, id: le32(piece, 440)? })
    }

    /// Eight digits; empty if there is none.
    pub(super) fn id(&self) -> Uuid {
        let mut text = Uuid::EMPTY;
        if self.id != 0 {
            self.id.to_be_bytes().into_iter().for_each(|byte| text.push_hex(byte));
        }
        text
    }

    pub(super) fn entries(&self, disk: Disk) -> impl Iterator<Item = Entry> {
        let (entries, id) = (self.entries, self.id());
        entries.into_iter().zip(1u32..).filter(|(raw, _)| raw.size > 0).map(move |(raw, number)| {
            let unit = units(disk);
            entry(raw, number, id, u64::from(raw.start) * unit, u64::from(raw.size) * unit)
        })
    }

    /// The chain of the first entry that leads to one.
    pub(super) fn extended(&self, disk: Disk) -> Option<Chain> {
        let raw = self.entries.iter().find(|raw| raw.size > 0 && raw.is_extended())?;
        let unit = units(disk);
        let (start, size) = (u64::from(raw.start) * unit, u64::from(raw.size) * unit);
        Some(Chain { start, size, at: start, at_size: size, number: 5, empty: 0, found: [None; 4] })
    }
}

fn units(disk: Disk) -> u64 {
    disk.sector() / super::UNIT
}

fn entry(raw: Raw, number: u32, id: Uuid, offset: u64, size: u64) -> Entry {
    let mut uuid = id;
    if !uuid.is_empty() {
        uuid.push(b'-');
        let [.., high, low] = number.to_be_bytes();
        if high > 0 {
            uuid.push_hex(high);
        }
        uuid.push_hex(low);
    }
    Entry {
        scheme: Scheme::Dos,
        number,
        name: Label::EMPTY,
        uuid,
        kind: hex(raw.kind),
        flags: u64::from(raw.boot),
        offset,
        size,
    }
}

/// An extended partition: each record has an entry for one partition, and one for the next record. In units of 512 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    start: u64,
    size: u64,
    at: u64,
    at_size: u64,
    number: u32,
    empty: u16,
    /// Of the last record.
    found: [Option<(Raw, u32, u64, u64)>; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    More,
    Done,
}

impl Chain {
    pub(super) fn wanted(&self) -> (u64, usize) {
        (self.at.saturating_mul(super::UNIT), 512)
    }

    pub(super) fn feed(&mut self, piece: &[u8], disk: Disk) -> Fed {
        self.found = [None; 4];
        let Some(entries) = entries(piece) else { return Fed::Done };
        let unit = units(disk);
        let mut here = 0;
        for (index, raw) in
            entries.into_iter().enumerate().filter(|(_, raw)| raw.size > 0 && !raw.is_extended())
        {
            let (start, size) = (u64::from(raw.start) * unit, u64::from(raw.size) * unit);
            let (from, to) = (self.at + start, self.at + start + size);
            // The third and the fourth are seldom anything, and then often nonsense.
            let inside = start + size <= self.at_size && from >= self.start && to <= self.start + self.size;
            if index >= 2 && !inside {
                continue;
            }
            if let Some(place) = self.found.get_mut(here) {
                *place = Some((raw, self.number, from, size));
                here += 1;
                self.number += 1;
            }
        }
        self.empty = if here > 0 { 0 } else { self.empty + 1 };
        match entries.iter().find(|raw| raw.size > 0 && raw.is_extended()) {
            Some(next) if self.empty < MAX_EMPTY && self.number < MAX_LOGICAL => {
                self.at = self.start + u64::from(next.start) * unit;
                self.at_size = u64::from(next.size) * unit;
                Fed::More
            }
            // This record's entries still count.
            _ if here > 0 => {
                self.empty = MAX_EMPTY;
                Fed::More
            }
            _ => Fed::Done,
        }
    }

    pub(super) fn entries(&self, table: Option<Table>) -> impl Iterator<Item = Entry> {
        let id = table.map_or(Uuid::EMPTY, |table| table.uuid);
        self.found
            .into_iter()
            .flatten()
            .map(move |(raw, number, offset, size)| entry(raw, number, id, offset, size))
    }
}
