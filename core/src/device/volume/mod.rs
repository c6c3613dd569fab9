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
mod iso9660;
mod ntfs;
mod simple;
mod text;

pub use text::{Label, Uuid};

/// The most bytes that are wanted at once.
pub const MAX_PIECE: usize = 4096;

/// The most pieces that are wanted of one volume.
pub const MAX_PIECES: u16 = 600;

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The file system, as `mount -t` and blkid name it.
    pub fstype: &'static str,
    /// Its label; empty if it has none.
    pub label: Label,
    /// Its UUID or serial number; empty if it has none.
    pub uuid: Uuid,
}

impl Volume {
    const fn new(fstype: &'static str) -> Self {
        Self { fstype, label: Label::EMPTY, uuid: Uuid::EMPTY }
    }
}

/// Finds out what a volume holds.
#[derive(Clone, Debug)]
pub struct Probe {
    step: Step,
    pieces: u16,
    found: Option<Volume>,
}

/// What to do with the piece that comes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Fat(fat::Directory),
    Exfat(exfat::Directory),
    Ntfs(ntfs::VolumeRecord),
    Iso(iso9660::Descriptors),
    Btrfs,
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
    /// Nothing is known yet.
    pub const fn new() -> Self {
        Self { step: Step::Start, pieces: 0, found: None }
    }

    /// The offset and the length, never zero and at most [`MAX_PIECE`], of the piece that
    /// [`feed`](Self::feed) must be given next; `None` when all is known.
    pub fn wanted(&self) -> Option<(u64, usize)> {
        match &self.step {
            Step::Start => Some((0, MAX_PIECE)),
            Step::Fat(directory) => Some(directory.wanted()),
            Step::Exfat(directory) => Some(directory.wanted()),
            Step::Iso(descriptors) => Some(descriptors.wanted()),
            Step::Ntfs(record) => Some(record.wanted()),
            Step::Btrfs => Some(simple::BTRFS),
            Step::Done => None,
        }
    }

    /// The bytes of that piece; fewer where the volume ends or cannot be read.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut found = self.found;
        let outcome = match &self.step {
            Step::Start => start(piece, &mut found),
            Step::Fat(directory) => directory.feed(piece, &mut found),
            Step::Exfat(directory) => directory.feed(piece, &mut found),
            Step::Iso(descriptors) => descriptors.feed(piece, &mut found),
            Step::Ntfs(record) => record.feed(piece, &mut found),
            Step::Btrfs => simple::btrfs(piece).map_or(Outcome::Other, Outcome::Found),
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
                Step::Start => Step::Iso(iso9660::Descriptors::FIRST),
                Step::Iso(_) => Step::Btrfs,
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
    if let Some(volume) = ext::superblock(piece.get(1024..).unwrap_or_default()) {
        return Outcome::Found(volume);
    }
    if let Some(volume) = simple::at_start(piece) {
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

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
