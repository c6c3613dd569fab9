//! Tables of partitions: which one a disk has, and what stands in it about one of its partitions.
//!
//! Like [`volume::Probe`](super::volume::Probe), [`Probe`] reads nothing itself: it names the piece of the disk that it
//! wants next, is given its bytes, and ends with an answer. The bytes may be hostile: every piece has at most
//! [`MAX_PIECE`] bytes, and there are at most [`MAX_PIECES`] of them.
//!
//! ```
//! use lunix_core::device::partition::{Disk, Probe, Scheme, Wanted};
//! // One partition, of type 0x83, from sector 8 on.
//! let mut disk = vec![0; 64 * 512];
//! disk[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
//! disk[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0, 0]);
//! disk[510..512].copy_from_slice(&[0x55, 0xaa]);
//!
//! let wanted = Wanted { offset: 8 * 512, size: 16 * 512 };
//! let mut probe = Probe::new(Disk { size: 64 * 512, sector: 512 }, Some(wanted));
//! while let Some((offset, len)) = probe.wanted() {
//!     let from = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.len());
//!     probe.feed(&disk[from..from.saturating_add(len).min(disk.len())]);
//! }
//! let table = probe.table().expect("a table");
//! assert_eq!((table.scheme, table.uuid.as_bytes()), (Scheme::Dos, &b"1234abcd"[..]));
//! let entry = probe.entry().expect("the partition");
//! assert_eq!((entry.number, entry.uuid.as_bytes()), (1, &b"1234abcd-01"[..]));
//! ```

mod gpt;
mod mbr;

use super::volume::{Label, Text, Uuid};

/// The most bytes that are wanted at once.
pub const MAX_PIECE: usize = 4096;

/// The most pieces that are wanted of one disk.
pub const MAX_PIECES: u16 = 600;

/// Bytes of the unit in which the kernel tells where a partition is, whatever the disk's sectors have.
const UNIT: u64 = 512;

/// The disk that has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// Bytes of a sector, as programs see it; what is no power of two from 512 to 4096 counts as 512.
    pub sector: u32,
}

impl Disk {
    fn sector(self) -> u64 {
        match self.sector {
            sector @ (512 | 1024 | 2048 | 4096) => u64::from(sector),
            _ => 512,
        }
    }
}

/// The partition that is asked about, by where it is on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A master boot record, and what extends it.
    Dos,
    /// UEFI's.
    Gpt,
}

impl Scheme {
    /// As `ID_PART_TABLE_TYPE` has it.
    ///
    /// ```
    /// assert_eq!(lunix_core::device::partition::Scheme::Dos.as_str(), "dos");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dos => "dos",
            Self::Gpt => "gpt",
        }
    }
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its form.
    pub scheme: Scheme,
    /// The UUID of the disk, or eight hexadecimal digits; empty if it has none.
    pub uuid: Uuid,
}

/// What a table says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The form of the table.
    pub scheme: Scheme,
    /// Its number; those within an extended partition begin with 5.
    pub number: u32,
    /// Its name; empty if it has none. Only [`Scheme::Gpt`] has names.
    pub name: Label,
    /// Its UUID, or that of the table with its number; empty if there is none.
    pub uuid: Uuid,
    /// What it is for: a UUID, or `0x83`.
    pub kind: Uuid,
    /// Attributes, or whether it is booted from (0x80).
    pub flags: u64,
    /// Where it begins, in units of 512 bytes.
    pub offset: u64,
    /// How large it is, in units of 512 bytes.
    pub size: u64,
}

impl Entry {
    fn is(&self, wanted: Option<Wanted>) -> bool {
        wanted.is_some_and(|wanted| {
            // The kernel shows of an extended partition as much as a boot loader needs.
            let extended = matches!(self.kind.as_bytes(), b"0x5" | b"0xf" | b"0x85");
            let size = wanted.size / UNIT;
            wanted.offset / UNIT == self.offset && (size == self.size || extended && size <= 2)
        })
    }
}

/// Finds out what table a disk has.
#[derive(Clone, Debug)]
pub struct Probe {
    disk: Disk,
    wanted: Option<Wanted>,
    step: Step,
    pieces: u16,
    table: Option<Table>,
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    First,
    Gpt(gpt::Place),
    Entries(gpt::Entries),
    Extended(mbr::Chain),
    Done,
}

impl Probe {
    /// Nothing is known yet. Where a partition is wanted, its entry is looked for.
    pub const fn new(disk: Disk, wanted: Option<Wanted>) -> Self {
        Self { disk, wanted, step: Step::First, pieces: 0, table: None, entry: None }
    }

    /// The offset and the length, never zero and at most [`MAX_PIECE`], of the piece that
    /// [`feed`](Self::feed) must be given next; `None` when all is known.
    pub fn wanted(&self) -> Option<(u64, usize)> {
        match &self.step {
            // Enough to see whether it is the beginning of a file system instead.
            Step::First => Some((0, MAX_PIECE)),
            Step::Gpt(place) => place.wanted(self.disk),
            Step::Entries(entries) => Some(entries.wanted()),
            Step::Extended(chain) => Some(chain.wanted()),
            Step::Done => None,
        }
    }

    /// The bytes of that piece; fewer where the disk ends or cannot be read.
    pub fn feed(&mut self, piece: &[u8]) {
        self.pieces = self.pieces.saturating_add(1);
        self.step = match self.step {
            Step::First if mbr::protects_gpt(piece) => Step::Gpt(gpt::Place::Begin),
            Step::First => self.first(piece),
            Step::Gpt(place) => match gpt::header(piece, place, self.disk) {
                Some(entries) => Step::Entries(entries),
                None => gpt_elsewhere(place),
            },
            Step::Entries(mut entries) => match entries.feed(piece, self.disk, self.wanted) {
                gpt::Fed::More => Step::Entries(entries),
                gpt::Fed::Wrong => gpt_elsewhere(entries.place()),
                gpt::Fed::Complete => {
                    self.table = Some(Table { scheme: Scheme::Gpt, uuid: entries.disk_uuid() });
                    self.entry = entries.found();
                    Step::Done
                }
            },
            Step::Extended(mut chain) => match chain.feed(piece, self.disk) {
                mbr::Fed::Done => Step::Done,
                mbr::Fed::More => {
                    self.entry = chain.entries(self.table).find(|entry| entry.is(self.wanted));
                    if self.entry.is_some() { Step::Done } else { Step::Extended(chain) }
                }
            },
            Step::Done => Step::Done,
        };
        if self.pieces >= MAX_PIECES {
            self.step = Step::Done;
        }
    }

    fn first(&mut self, piece: &[u8]) -> Step {
        let Some(record) = mbr::Record::read(piece) else { return Step::Done };
        self.table = Some(Table { scheme: Scheme::Dos, uuid: record.id() });
        if self.wanted.is_none() {
            return Step::Done;
        }
        self.entry = record.entries(self.disk).find(|entry| entry.is(self.wanted));
        match record.extended(self.disk) {
            Some(chain) if self.entry.is_none() => Step::Extended(chain),
            _ => Step::Done,
        }
    }

    /// The table, once [`wanted`](Self::wanted) says `None`; `None` if there is none that is known.
    pub const fn table(&self) -> Option<&Table> {
        match (&self.step, &self.table) {
            (Step::Done, Some(table)) => Some(table),
            _ => None,
        }
    }

    /// The partition that was asked about, once [`wanted`](Self::wanted) says `None`; `None` if it is in no table.
    pub const fn entry(&self) -> Option<&Entry> {
        match (&self.step, &self.entry) {
            (Step::Done, Some(entry)) => Some(entry),
            _ => None,
        }
    }
}

const fn gpt_elsewhere(place: gpt::Place) -> Step {
    match place {
        gpt::Place::Begin => Step::Gpt(gpt::Place::End),
        gpt::Place::End => Step::Done,
    }
}

/// `0x83`
fn hex<const N: usize>(number: u8) -> Text<N> {
    let mut text = Text::of("0x");
    if number < 16 {
        text.push(if number < 10 { b'0' + number } else { b'a' + number - 10 });
    } else {
        text.push_hex(number);
    }
    text
}

#[cfg(test)]
mod tests;
