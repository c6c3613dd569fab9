//! Which file system a volume holds, and its label and UUID as `blkid` prints them.
//!
//! [`Probe`] reads nothing itself: it names the piece that it wants next, is given its bytes, and ends with an
//! answer. What it is given may be hostile: every number that a volume names is checked before it is used, each
//! piece has at most [`MAX_PIECE`] bytes, and there are at most [`MAX_PIECES`] of them.
//!
//! ```
//! use lunix_core::device::volume::Probe;
//! let image = vec![0; 64 * 1024]; // an empty disk
//! let mut probe = Probe::new();
//! while let Some((offset, len)) = probe.wanted() {
//!     let from = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
//!     let to = from.saturating_add(len).min(image.len());
//!     probe.feed(&image[from..to]);
//! }
//! assert!(probe.volume().is_none());
//! ```

mod exfat;
mod ext;
mod fat;
mod flash;
mod iso9660;
mod luks;
mod ntfs;
mod raid;
mod simple;
mod swap;
mod text;
mod udf;

pub use text::{Label, Text, Uuid, Version};

/// The most bytes that are wanted at once.
pub const MAX_PIECE: usize = 4096;

/// The most pieces that are wanted of one volume.
pub const MAX_PIECES: u16 = 600;

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The file system, as `mount -t` and blkid name it.
    pub fstype: &'static str,
    /// What it is for.
    pub usage: Usage,
    /// The version of its format; empty where blkid says none.
    pub version: Version,
    /// Its label; empty if it has none.
    pub label: Label,
    /// Its UUID or serial number; empty if it has none.
    pub uuid: Uuid,
    /// The UUID of this part of it, where it has several.
    pub uuid_sub: Uuid,
}

/// What a volume is for, as blkid says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It can be mounted.
    Filesystem,
    /// It is a part of something larger.
    Raid,
    /// Something is in it that needs a key.
    Crypto,
    /// Swap areas, journals.
    Other,
}

impl Usage {
    /// As `ID_FS_USAGE` has it.
    ///
    /// ```
    /// assert_eq!(lunix_core::device::volume::Usage::Raid.as_str(), "raid");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Raid => "raid",
            Self::Crypto => "crypto",
            Self::Other => "other",
        }
    }
}

/// A type and what it is for.
#[derive(Clone, Copy, Debug)]
struct Kind {
    fstype: &'static str,
    usage: Usage,
}

impl Kind {
    const fn new(fstype: &'static str, usage: Usage) -> Self {
        Self { fstype, usage }
    }

    const fn filesystem(fstype: &'static str) -> Self {
        Self::new(fstype, Usage::Filesystem)
    }
}

impl Volume {
    const fn new(kind: Kind) -> Self {
        Self {
            fstype: kind.fstype,
            usage: kind.usage,
            version: Version::EMPTY,
            label: Label::EMPTY,
            uuid: Uuid::EMPTY,
            uuid_sub: Uuid::EMPTY,
        }
    }
}

/// Finds out what a volume holds.
#[derive(Clone, Debug)]
pub struct Probe {
    step: Step,
    pieces: u16,
    found: Option<Volume>,
    size: Option<u64>,
}

/// What to do with the piece that comes. Those that begin anew stand in the order in which they are tried: parts of
/// something larger look like the whole, so they come first.
#[derive(Clone, Copy, Debug)]
enum Step {
    MdOld(u64),
    MdEnd(u64),
    MdAfter,
    Start,
    Fat(fat::Directory),
    Exfat(exfat::Directory),
    Ntfs(ntfs::VolumeRecord),
    Iso(iso9660::Descriptors),
    Udf(udf::Descriptors),
    Btrfs,
    Swap(u8),
    SwapHeader(swap::Sign),
    Done,
}

/// What a step came to.
enum Outcome {
    /// Go on with this step.
    Next(Step),
    /// What was found stands.
    Found(Volume),
    /// It is not this file system.
    Other,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// Nothing is known yet, not even the size of the volume: what is known by its end is not found.
    pub const fn new() -> Self {
        Self { step: Step::MdAfter, pieces: 0, found: None, size: None }
    }

    /// The volume has `bytes` bytes.
    ///
    /// ```
    /// use lunix_core::device::volume::Probe;
    /// // The last whole 64 KiB, where old RAIDs have their superblock.
    /// assert_eq!(Probe::of_size(1 << 20).wanted().map(|(offset, _)| offset), Some((1 << 20) - (1 << 16)));
    /// ```
    pub const fn of_size(bytes: u64) -> Self {
        let step = match raid::old_offset(bytes) {
            Some(offset) => Step::MdOld(offset),
            None => Step::MdAfter,
        };
        Self { step, pieces: 0, found: None, size: Some(bytes) }
    }

    /// The offset and the length, never zero and at most [`MAX_PIECE`], of the piece that
    /// [`feed`](Self::feed) must be given next; `None` when all is known.
    pub fn wanted(&self) -> Option<(u64, usize)> {
        match &self.step {
            Step::MdOld(offset) | Step::MdEnd(offset) => Some((*offset, raid::MD_PIECE)),
            Step::MdAfter => Some((4096, raid::MD_PIECE)),
            Step::Start => Some((0, MAX_PIECE)),
            Step::Fat(directory) => Some(directory.wanted()),
            Step::Exfat(directory) => Some(directory.wanted()),
            Step::Iso(descriptors) => Some(descriptors.wanted()),
            Step::Ntfs(record) => Some(record.wanted()),
            Step::Udf(descriptors) => Some(descriptors.wanted()),
            Step::Btrfs => Some(simple::BTRFS),
            Step::Swap(number) => swap::wanted(*number),
            Step::SwapHeader(_) => Some(swap::HEADER),
            Step::Done => None,
        }
    }

    /// The bytes of that piece; fewer where the volume ends or cannot be read.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut found = self.found;
        let volume = |volume: Option<Volume>| volume.map_or(Outcome::Other, Outcome::Found);
        let outcome = match &self.step {
            Step::MdOld(offset) => volume(raid::old(piece, *offset)),
            Step::MdEnd(offset) => volume(raid::new(piece, *offset, 0)),
            Step::MdAfter => volume(raid::new(piece, 4096, 2)),
            Step::Start => start(piece, &mut found),
            Step::Fat(directory) => directory.feed(piece, &mut found),
            Step::Exfat(directory) => directory.feed(piece, &mut found),
            Step::Iso(descriptors) => descriptors.feed(piece, &mut found),
            Step::Ntfs(record) => record.feed(piece, &mut found),
            Step::Udf(descriptors) => descriptors.feed(piece, &mut found),
            Step::Btrfs => volume(simple::btrfs(piece)),
            Step::Swap(_) => {
                swap::sign(piece).map_or(Outcome::Other, |sign| Outcome::Next(Step::SwapHeader(sign)))
            }
            Step::SwapHeader(sign) => volume(sign.volume(piece)),
            Step::Done => return,
        };
        self.found = found;
        self.pieces = self.pieces.saturating_add(1);
        self.step = match outcome {
            Outcome::Next(step) => step,
            Outcome::Found(volume) => {
                self.found = Some(volume);
                Step::Done
            }
            Outcome::Other => match self.step {
                _ if self.found.is_some() => Step::Done,
                Step::MdOld(_) => self.size.and_then(raid::end_offset).map_or(Step::MdAfter, Step::MdEnd),
                Step::MdEnd(_) => Step::MdAfter,
                Step::MdAfter => Step::Start,
                Step::Start => Step::Iso(iso9660::Descriptors::FIRST),
                Step::Iso(_) | Step::Udf(_) => Step::Btrfs,
                Step::Btrfs => Step::Swap(0),
                Step::Swap(number) if swap::wanted(number + 1).is_some() => Step::Swap(number + 1),
                _ => Step::Done,
            },
        };
        if self.pieces >= MAX_PIECES {
            self.step = Step::Done;
        }
    }

    /// What was found, once [`wanted`](Self::wanted) says `None`; `None` if nothing known is on the volume.
    pub const fn volume(&self) -> Option<&Volume> {
        match (&self.step, &self.found) {
            (Step::Done, Some(volume)) => Some(volume),
            _ => None,
        }
    }
}

/// All that can be told from the first piece.
fn start(piece: &[u8], found: &mut Option<Volume>) -> Outcome {
    let swap = || swap::sign(piece.get(4086..)?)?.volume(piece.get(1024..)?);
    let volume = raid::new(piece, 0, 1)
        .or_else(|| raid::lvm(piece))
        .or_else(|| luks::header(piece))
        .or_else(|| ext::superblock(piece.get(1024..)?))
        .or_else(swap)
        .or_else(|| simple::xfs(piece))
        .or_else(|| simple::squashfs(piece))
        .or_else(|| simple::erofs(piece))
        .or_else(|| flash::f2fs(piece))
        .or_else(|| flash::ubifs(piece))
        .or_else(|| flash::jffs2(piece));
    if let Some(volume) = volume {
        return Outcome::Found(volume);
    }
    if let Some((volume, record)) = ntfs::boot_sector(piece) {
        *found = Some(volume);
        return Outcome::Next(Step::Ntfs(record));
    }
    if let Some((volume, directory)) = exfat::boot_sector(piece) {
        *found = Some(volume);
        return Outcome::Next(Step::Exfat(directory));
    }
    if let Some((volume, directory)) = fat::boot_sector(piece) {
        *found = Some(volume);
        return Outcome::Next(Step::Fat(directory));
    }
    Outcome::Other
}

/// Whether a sector that ends like a table of partitions is the beginning of a file system, or of a physical volume.
pub(super) fn is_boot_sector(piece: &[u8]) -> bool {
    raid::lvm(piece).is_some()
        || ntfs::boot_sector(piece).is_some()
        || exfat::boot_sector(piece).is_some()
        || fat::boot_sector(piece).is_some()
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
