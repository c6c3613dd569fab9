//! Which slot is started: a log of records that only ever clears bits between two erasures.
//!
//! The environment has two copies, each at the beginning of an erase block (or more) of its own. A copy is [`COPY`] bytes of
//! records of [`RECORD`] bytes each. The newest record whose checksum is right, in either copy, is the one that counts. The
//! next goes behind what is written in the same copy; when that is full, the *other* copy is erased and gets it, so there
//! is a record at any time.
//!
//! | bytes of a record | what |
//! |---|---|
//! | 0 | `'L'`, `'e'` |
//! | 2 | u8: format, 1 |
//! | 3 | u8: bit 0 the good slot (0 is A), bit 1 whether the other one is on trial, bits 4 to 7 how many tries that has |
//! | 4 | u32: number of the record, higher is newer |
//! | 8 | u32: [`ImageId`] of the good slot |
//! | 12 | u32: [`ImageId`] of the slot on trial |
//! | 16 | 8 bytes: zero |
//! | 24 | u32: CRC-32 of the first 24 bytes |
//! | 28 | u32: marks, 0xFFFF_FFFF as it is written |
//!
//! What happens to a record afterwards is a mark: one bit that is cleared, by itself. Bits 0 to 7: that many tries were
//! taken; bit 16: the slot on trial was seen healthy, and is the good one from now on; bit 17: it was given up, and the good
//! slot is the good one again, for good.
//!
//! ```
//! use lunix_core::slots::{Slot, environment::{COPY, Environment, Mark}, image::ImageId};
//! let (old, new) = (ImageId(1), ImageId(2));
//! let mut copies = [[0xFF_u8; COPY as usize]; 2];
//! let mut carry_out = |write: lunix_core::slots::environment::Write| {
//!     let copy = &mut copies[write.copy];
//!     if write.erase {
//!         copy.fill(0xFF);
//!     }
//!     for (at, byte) in (write.at as usize..).zip(write.bytes()) {
//!         copy[at] &= byte;
//!     }
//!     let [a, b] = &copies;
//!     Environment::decode(a, b)
//! };
//! // A runs, and B was written: it gets one try.
//! let blank = Environment::decode(&[], &[]);
//! let trial = carry_out(blank.trial(Slot::A, old, new, 1));
//! let boot = trial.choose([Some(old), Some(new)]);
//! assert_eq!((boot.slots, boot.trial), ([Some(Slot::B), Some(Slot::A)], true));
//! // The boot loader marks the try first. If nobody confirms B, A is back at the next start.
//! let tried = carry_out(boot.mark.unwrap());
//! assert_eq!(tried.choose([Some(old), Some(new)]).slots, [Some(Slot::A), Some(Slot::B)]);
//! // If somebody does, B it is from now on.
//! let confirmed = carry_out(tried.mark(Mark::Confirmed).unwrap());
//! assert_eq!(confirmed.choose([Some(old), Some(new)]).slots, [Some(Slot::B), Some(Slot::A)]);
//! ```

use super::Slot;
use super::image::ImageId;
use crate::device::crc32;

/// Bytes of a record.
pub const RECORD: u32 = 32;

/// Bytes of a copy, at the beginning of its erase block.
pub const COPY: u32 = 4096;

/// The most tries of a slot on trial.
pub const MAX_TRIES: u8 = 8;

const MARKS: u32 = 28;
const CONFIRMED: u32 = 1 << 16;
const REFUSED: u32 = 1 << 17;

/// A record, without what was marked on it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Higher is newer.
    pub number: u32,
    /// The slot that was running, and known to be good, when the record was written.
    pub good: Slot,
    /// Its image.
    pub good_image: ImageId,
    /// The other slot, if it is on trial.
    pub trial: Option<Trial>,
}

/// A slot that is to show that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was written there. Anything else that may be there by now has no trial.
    pub image: ImageId,
    /// How often it is started before it is given up; 1 to [`MAX_TRIES`].
    pub tries: u8,
}

/// What can be marked on the newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The slot on trial is healthy.
    Confirmed,
    /// Back to the slot that was good, be the other one confirmed or not.
    Refused,
}

/// Something that is to be written into the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which copy: 0 or 1.
    pub copy: usize,
    /// Whether that copy is erased first.
    pub erase: bool,
    /// Where in the copy; a multiple of four.
    pub at: u32,
    bytes: [u8; MARKS as usize],
    len: usize,
}

impl Write {
    /// What is written: 4 or 28 bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// How the slot that is not [`Record::good`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was written there since the record.
    Idle,
    /// On trial, with this many tries left.
    Trial(u8),
    /// It had its tries, and nobody confirmed it.
    Failed,
    /// It is the good one now.
    Confirmed,
    /// It was given up.
    Refused,
}

/// What a boot loader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot to start, and the one to start if the first turns out to be damaged.
    pub slots: [Option<Slot>; 2],
    /// What is to be written before the first of them is started. Not for the second.
    pub mark: Option<Write>,
    /// Whether the first is on trial.
    pub trial: bool,
}

/// What the two copies say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    newest: Option<Newest>,
    /// Where the next record goes; `None` if nothing can be said for either copy, which are erased then.
    free: Option<(usize, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    record: Record,
    copy: usize,
    at: u32,
    marks: u32,
}

impl Environment {
    /// Reads the first [`COPY`] bytes of both copies; what is missing counts as erased.
    pub fn decode(a: &[u8], b: &[u8]) -> Self {
        let (newest_a, free_a) = read(0, a);
        let (newest_b, free_b) = read(1, b);
        let newest = match (newest_a, newest_b) {
            (Some(a), Some(b)) if b.record.number > a.record.number => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        };
        let free = match newest {
            Some(Newest { copy: 0, .. }) => free_a,
            Some(_) => free_b,
            None => None,
        };
        Self { newest, free: free.map(|at| (newest.map_or(0, |newest| newest.copy), at)) }
    }

    /// The record that counts.
    pub fn record(&self) -> Option<Record> {
        self.newest.map(|newest| newest.record)
    }

    /// How the slot that is not the record's good one stands.
    pub fn standing(&self) -> Standing {
        let Some(newest) = self.newest else {
            return Standing::Idle;
        };
        match newest.record.trial {
            None => Standing::Idle,
            Some(_) if newest.marks & REFUSED == 0 => Standing::Refused,
            Some(_) if newest.marks & CONFIRMED == 0 => Standing::Confirmed,
            Some(_) => newest.next_try().map_or(Standing::Failed, |(left, _)| Standing::Trial(left)),
        }
    }

    /// The slot that is started unless another one is on trial; A where nothing was ever written.
    pub fn good(&self) -> Slot {
        match self.record() {
            None => Slot::A,
            Some(record) if self.standing() == Standing::Confirmed => record.good.other(),
            Some(record) => record.good,
        }
    }

    /// Which slot to start, if these are the images in them: what stands in a header whose checksum is right.
    ///
    /// The slot on trial, while it has tries left; else the good one; and the other one only if that is damaged. A slot
    /// that has another image than the record says comes after one that has the right one.
    pub fn choose(&self, images: [Option<ImageId>; 2]) -> Boot {
        let known = |slot: Slot| match self.newest {
            None => true,
            Some(Newest { record, .. }) if slot == record.good => {
                images_match(slot, images, record.good_image)
            }
            Some(Newest { record, .. }) => {
                record.trial.is_some_and(|trial| images_match(slot, images, trial.image))
            }
        };
        let there = |slot: Slot| slot.of_pair(images).map(|_| slot);
        if let (Some(newest), Standing::Trial(_)) = (self.newest, self.standing()) {
            let slot = newest.record.good.other();
            if known(slot)
                && let Some((_, bit)) = newest.next_try()
            {
                let mark = Some(newest.mark(bit));
                return Boot { slots: [there(slot), there(slot.other())], mark, trial: true };
            }
        }
        let good = self.good();
        let first = if !known(good) && there(good.other()).is_some() && known(good.other()) {
            good.other()
        } else {
            good
        };
        let slots = match (there(first), there(first.other())) {
            (None, second) => [second, None],
            both => [both.0, both.1],
        };
        Boot { slots, mark: None, trial: false }
    }

    /// Puts the slot other than `running` on trial. `tries` below 1 count as 1, above [`MAX_TRIES`] as that.
    pub fn trial(&self, running: Slot, running_image: ImageId, image: ImageId, tries: u8) -> Write {
        let tries = tries.clamp(1, MAX_TRIES);
        self.append(running, running_image, Some(Trial { image, tries }))
    }

    /// Says that `good` is what is started, and that there is no other: a new device.
    pub fn settled(&self, good: Slot, image: ImageId) -> Write {
        self.append(good, image, None)
    }

    /// What writes `mark`; `None` if there is no trial on which it could be, or it is there.
    pub fn mark(&self, mark: Mark) -> Option<Write> {
        let newest = self.newest?;
        newest.record.trial?;
        let bit = match mark {
            Mark::Confirmed => CONFIRMED,
            Mark::Refused => REFUSED,
        };
        (newest.marks & bit != 0).then(|| newest.mark(bit))
    }

    fn append(&self, good: Slot, good_image: ImageId, trial: Option<Trial>) -> Write {
        let number = self.newest.map_or(0, |newest| newest.record.number.saturating_add(1));
        let bytes = Record { number, good, good_image, trial }.encode();
        let (copy, at, erase) = match (self.free, self.newest) {
            (Some((copy, at)), _) => (copy, at, false),
            (None, Some(newest)) => (1 - newest.copy.min(1), 0, true),
            (None, None) => (0, 0, true),
        };
        Write { copy, erase, at, bytes, len: bytes.len() }
    }
}

impl Newest {
    /// How many tries are left, and the bit of the next one.
    fn next_try(&self) -> Option<(u8, u32)> {
        let tries = self.record.trial?.tries;
        let mut left = (0..tries).filter(|bit| self.marks & 1 << bit != 0);
        let next = left.next()?;
        Some((u8::try_from(left.count()).unwrap_or(u8::MAX).saturating_add(1), 1 << next))
    }

    fn mark(&self, bit: u32) -> Write {
        let mut bytes = [0; MARKS as usize];
        if let Some(word) = bytes.first_chunk_mut() {
            *word = (!bit).to_le_bytes();
        }
        Write { copy: self.copy, erase: false, at: self.at.saturating_add(MARKS), bytes, len: 4 }
    }
}

impl Record {
    /// The bytes of a record, up to its marks, which stay erased.
    fn encode(&self) -> [u8; MARKS as usize] {
        let good = match self.good {
            Slot::A => 0,
            Slot::B => 1,
        };
        let trial = self.trial.map_or(0, |trial| 2 | trial.tries << 4);
        let image = self.trial.map_or(ImageId(0), |trial| trial.image);
        let words = [
            u32::from_le_bytes([b'L', b'e', 1, good | trial]),
            self.number,
            self.good_image.0,
            image.0,
            0,
            0,
        ];
        let mut bytes = [0; MARKS as usize];
        let (chunks, _) = bytes.as_chunks_mut();
        for (chunk, word) in chunks.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        if let Some((checked, crc)) = bytes.split_last_chunk_mut() {
            *crc = (!crc32::update(!0, checked)).to_le_bytes();
        }
        bytes
    }

    fn decode(bytes: &[u8; RECORD as usize]) -> Option<(Self, u32)> {
        let (checked, marks) = bytes.split_last_chunk()?;
        let (chunks, _) = checked.as_chunks();
        let mut words = chunks.iter().map(|word| u32::from_le_bytes(*word));
        let (head, number) = (words.next()?, words.next()?);
        let (good_image, image) = (ImageId(words.next()?), ImageId(words.next()?));
        let [b'L', b'e', 1, flags] = head.to_le_bytes() else {
            return None;
        };
        let tries = flags >> 4;
        let good = if flags & 1 == 0 { Slot::A } else { Slot::B };
        let trial = match flags & 0xe {
            0 if tries == 0 && image == ImageId(0) => None,
            2 if (1..=MAX_TRIES).contains(&tries) => Some(Trial { image, tries }),
            _ => return None,
        };
        let record = Self { number, good, good_image, trial };
        (record.encode() == checked).then_some((record, u32::from_le_bytes(*marks)))
    }
}

fn images_match(slot: Slot, images: [Option<ImageId>; 2], image: ImageId) -> bool {
    slot.of_pair(images) == Some(image)
}

/// The newest record of a copy, and where its next one goes: behind everything that is not as erased.
fn read(copy: usize, bytes: &[u8]) -> (Option<Newest>, Option<u32>) {
    let bytes = bytes.get(..COPY as usize).unwrap_or(bytes);
    let mut newest: Option<Newest> = None;
    let mut free = 0;
    for (at, some) in (0_u32..).step_by(RECORD as usize).zip(bytes.chunks(RECORD as usize)) {
        let mut bytes = [0xFF; RECORD as usize];
        for (byte, of) in bytes.iter_mut().zip(some) {
            *byte = *of;
        }
        if bytes != [0xFF; RECORD as usize] {
            free = at.saturating_add(RECORD);
        }
        if let Some((record, marks)) = Record::decode(&bytes)
            && newest.is_none_or(|newest| record.number >= newest.record.number)
        {
            newest = Some(Newest { record, copy, at, marks });
        }
    }
    (newest, (free < COPY).then_some(free))
}
