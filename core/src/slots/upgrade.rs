//! What an upgrade does to the flash, step by step.
//!
//! A [`Job`] names one [`Step`] at a time; its driver carries it out, waits until the flash has done it, and says so. The
//! driver stops at the first step that fails, at a power cut, or whenever it likes: the same job begun again, by whichever
//! system then runs, ends well.
//!
//! ```
//! use lunix_core::slots::upgrade::{Input, Job, Step};
//! use lunix_core::slots::{Layout, Name, Slot, environment::Environment, image::*};
//! let header = |version| Header::new(
//!     Name::new("arm-virt").unwrap(),
//!     Name::new(version).unwrap(),
//!     Name::EMPTY,
//!     Lengths { kernel: 300_000, root: 300_000, manifest: 0 },
//!     [Digest([1; 32]); 3],
//! );
//! let blank = Environment::decode(&[], &[]);
//! let mut job = Job::upgrade(&Layout::BLOCKS_256K, &blank, Slot::A, header("0.1.0")?.id(), header("0.2.0")?, 1).unwrap();
//! let mut steps = 0;
//! while let Some(step) = job.poll() {
//!     // Erase, write, or read back.
//!     assert!(matches!(step, Step::Erase { .. } | Step::Copy { .. } | Step::Check { .. } | Step::Write { .. }));
//!     job.handle(Input::Done);
//!     steps += 1;
//! }
//! assert!(job.is_finished());
//! // Three blocks; what is copied, in pieces of at most 4096 bytes; two parts; the header; the record.
//! assert_eq!(steps, 3 + 148 + 2 + 1 + 2);
//! # Ok::<(), HeaderError>(())
//! ```

use core::cmp::Ordering;
use core::fmt;

use super::environment::{Environment, Standing, Write};
use super::image::{HEADER_LEN, Header, ImageId, Piece};
use super::{Layout, Part, Slot, newer};

/// The most bytes of one step that writes.
pub const CHUNK: u32 = 4096;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nothing is allocated, and there is one at a time")]
pub enum Step {
    /// Erase one block.
    Erase {
        /// Of this part.
        part: Part,
        /// From its beginning.
        at: u32,
        /// [`Layout::block`].
        len: u32,
    },
    /// Write bytes of the image to the same place in the slot.
    Copy {
        /// The slot.
        slot: Slot,
        /// Where, in both.
        at: u32,
        /// At most [`CHUNK`], and within one block.
        len: u32,
    },
    /// Read a piece of the slot back, and compare its hash.
    Check {
        /// The slot.
        slot: Slot,
        /// What has to be there.
        piece: Piece,
    },
    /// Write these bytes, and read them back.
    Write {
        /// To this part.
        part: Part,
        /// From its beginning; a multiple of four.
        at: u32,
        /// What; a multiple of four bytes.
        bytes: Bytes,
    },
}

/// Up to [`HEADER_LEN`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    bytes: [u8; HEADER_LEN],
    len: usize,
}

impl Bytes {
    fn new(of: &[u8]) -> Self {
        let mut bytes = [0; HEADER_LEN];
        for (place, byte) in bytes.iter_mut().zip(of) {
            *place = *byte;
        }
        Self { bytes, len: of.len().min(HEADER_LEN) }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

/// How the last step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// As it should.
    Done,
    /// It did not, or what was read back is something else. The job ends here.
    Failed,
}

/// A change of the flash under way.
#[derive(Clone, Debug)]
pub struct Job {
    next: State,
    asked: bool,
    block: u32,
    copy: u32,
    image: Option<(Slot, Header)>,
    record: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of the slot are erased, and everything before `copied` is written.
    Image {
        erased: u32,
        copied: u32,
    },
    /// The piece with this number.
    Check(usize),
    Header,
    EraseRecord,
    Record,
    Finished,
    Failed,
}

/// Why there cannot be such an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The image has more bytes than a slot.
    Large {
        /// Bytes of the image.
        len: u32,
        /// Bytes of a slot.
        room: u32,
    },
    /// The system that runs is on trial itself: what would be overwritten is the only one that is known to be good.
    OnTrial,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Large { len, room } => write!(f, "{len} bytes are more than the {room} of a slot"),
            Self::OnTrial => f.write_str("the system that runs is on trial; confirm it, or go back, first"),
        }
    }
}

impl core::error::Error for Refusal {}

/// What speaks against an image, and can be overruled by whoever knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It is made for another board.
    Board,
    /// It is older than what runs.
    Older,
}

/// What speaks against replacing a system of `board` and, if it is known, `running` by `new`.
///
/// ```
/// # use lunix_core::slots::{Name, image::*, upgrade::{Objection, objections}};
/// # let header = |version| Header::new(Name::new("arm-virt").unwrap(), Name::new(version).unwrap(), Name::EMPTY,
/// #     Lengths { kernel: 1, root: 1, manifest: 0 }, [Digest([1; 32]); 3]).unwrap();
/// let (old, new) = (header("0.1.0"), header("0.2.0"));
/// assert_eq!(objections(&new, "arm-virt", Some("0.1.0")), [None, None]);
/// assert_eq!(objections(&old, "x86_64", Some("0.2.0")), [Some(Objection::Board), Some(Objection::Older)]);
/// ```
pub fn objections(new: &Header, board: &str, running: Option<&str>) -> [Option<Objection>; 2] {
    let older = running.is_some_and(|running| newer(new.version.as_str(), running) == Ordering::Less);
    [(new.board.as_str() != board).then_some(Objection::Board), older.then_some(Objection::Older)]
}

impl Job {
    /// Writes the slot that is not `running` and puts it on trial with that many tries. The signature of `header` was checked.
    ///
    /// # Errors
    /// It does not fit, or the one that runs is on trial, or was given up: then the other one is what is left.
    pub fn upgrade(
        layout: &Layout,
        environment: &Environment,
        running: Slot,
        running_image: ImageId,
        header: Header,
        tries: u8,
    ) -> Result<Self, Refusal> {
        if header.len > layout.slot {
            return Err(Refusal::Large { len: header.len, room: layout.slot });
        }
        let on_trial = environment.record().is_some_and(|record| record.good == running.other())
            && matches!(environment.standing(), Standing::Trial(_) | Standing::Failed | Standing::Refused);
        if on_trial {
            return Err(Refusal::OnTrial);
        }
        Ok(Self {
            next: State::Image { erased: 0, copied: 0 },
            asked: false,
            block: layout.block,
            copy: layout.environment / 2,
            image: Some((running.other(), header)),
            record: environment.trial(running, running_image, header.id(), tries),
        })
    }

    /// Writes slot A of a new device, which starts it from then on: no trial, and nothing to go back to.
    ///
    /// # Errors
    /// It does not fit.
    pub fn install(layout: &Layout, environment: &Environment, header: Header) -> Result<Self, Refusal> {
        if header.len > layout.slot {
            return Err(Refusal::Large { len: header.len, room: layout.slot });
        }
        let image = Some((Slot::A, header));
        Ok(Self {
            next: State::Image { erased: 0, copied: 0 },
            image,
            ..Self::environment(layout, environment.settled(Slot::A, header.id()))
        })
    }

    /// Writes into the environment only: a mark, or what a new device starts.
    pub fn environment(layout: &Layout, record: Write) -> Self {
        Self {
            next: if record.erase { State::EraseRecord } else { State::Record },
            asked: false,
            block: layout.block,
            copy: layout.environment / 2,
            image: None,
            record,
        }
    }

    /// What is to be done next; `None` until that is done, and when there is no more.
    pub fn poll(&mut self) -> Option<Step> {
        if core::mem::replace(&mut self.asked, true) {
            return None;
        }
        let record_at = self.copy.saturating_mul(u32::from(self.record.copy == 1));
        let environment = Part::Environment;
        match self.next {
            State::Image { erased, copied } => {
                let (slot, header) = self.image?;
                match piece_from(&header, copied) {
                    Some((at, _)) if at >= erased => {
                        Some(Step::Erase { part: Part::Slot(slot), at: erased, len: self.block })
                    }
                    Some((at, end)) => {
                        Some(Step::Copy { slot, at, len: (end - at).min(CHUNK).min(erased - at) })
                    }
                    None => None,
                }
            }
            State::Check(number) => {
                let (slot, header) = self.image?;
                let piece = header.pieces().nth(number)?;
                Some(Step::Check { slot, piece })
            }
            State::Header => {
                let (slot, header) = self.image?;
                Some(Step::Write { part: Part::Slot(slot), at: 0, bytes: Bytes::new(&header.encode()) })
            }
            State::EraseRecord => Some(Step::Erase { part: environment, at: record_at, len: self.block }),
            State::Record => {
                let at = record_at.saturating_add(self.record.at);
                Some(Step::Write { part: environment, at, bytes: Bytes::new(self.record.bytes()) })
            }
            State::Finished | State::Failed => None,
        }
    }

    /// How the step went that [`poll`](Self::poll) named last; counts for nothing if it named none. One step comes of it at most.
    pub fn handle(&mut self, input: Input) {
        if !core::mem::take(&mut self.asked) || matches!(self.next, State::Finished | State::Failed) {
            return;
        }
        self.next = match (input, self.next, self.image) {
            (Input::Failed, _, _) => State::Failed,
            (Input::Done, State::Image { erased, copied }, Some((_, header))) => {
                self.after(&header, erased, copied)
            }
            (Input::Done, State::Check(number), Some((_, header))) => {
                if number + 1 < header.pieces().count() { State::Check(number + 1) } else { State::Header }
            }
            (Input::Done, State::Header, _) if self.record.erase => State::EraseRecord,
            (Input::Done, State::Header | State::EraseRecord, _) => State::Record,
            (Input::Done, _, _) => State::Finished,
        };
    }

    /// Whether everything was done.
    pub fn is_finished(&self) -> bool {
        self.next == State::Finished
    }

    /// How far it is: bytes of the image that are written, and all of them.
    pub fn progress(&self) -> (u32, u32) {
        let all = self.image.map_or(0, |(_, header)| header.len);
        match self.next {
            State::Image { copied, .. } => (copied.min(all), all),
            _ => (all, all),
        }
    }

    fn after(&self, header: &Header, erased: u32, copied: u32) -> State {
        match piece_from(header, copied) {
            Some((at, _)) if at >= erased => {
                State::Image { erased: erased.saturating_add(self.block), copied }
            }
            Some((at, end)) => {
                let copied = at.saturating_add((end - at).min(CHUNK).min(erased - at));
                match piece_from(header, copied) {
                    Some(_) => State::Image { erased, copied },
                    None => State::Check(0),
                }
            }
            None => State::Check(0),
        }
    }
}

/// The first byte of a piece from `copied` on, and the end of that piece.
fn piece_from(header: &Header, copied: u32) -> Option<(u32, u32)> {
    header
        .pieces()
        .map(|piece| (piece.offset.max(copied), piece.offset.saturating_add(piece.len)))
        .find(|(at, end)| at < end)
}
