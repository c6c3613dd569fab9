//! A NOR flash that the power can be cut from, with the boot loader and the system that live on it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test may panic anywhere"
)]

use lunix_core::slots::environment::{Boot, COPY, Environment, Mark, Standing, Write};
use lunix_core::slots::image::{Digest, HEADER_LEN, Header, ImageId, Lengths, Piece};
use lunix_core::slots::upgrade::{CHUNK, Input, Job, Refusal, Step};
use lunix_core::slots::{Layout, Name, Part, Slot};

/// The power is gone: nothing more can be done until the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// When the power goes: in the operation with this number, leaving what this variant leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel {
    pub operations: u32,
    pub variant: u32,
}

/// Bits are cleared by words of four bytes, and set by erase blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nor {
    pub bytes: Vec<u8>,
    block: usize,
}

impl Nor {
    fn erase(&mut self, at: usize, cut: Option<u32>) {
        assert!(at.is_multiple_of(self.block), "an erase begins at a block");
        let block = &mut self.bytes[at..at + self.block];
        match cut {
            None => block.fill(0xFF),
            // Not begun; no bit is anything; half of it done; every bit was set or not.
            Some(0) => {}
            Some(1) => {
                for (at, byte) in block.iter_mut().enumerate() {
                    *byte = noise(at, 1);
                }
            }
            Some(2) => {
                let half = block.len() / 2;
                block[..half].fill(0xFF);
            }
            Some(variant) => {
                for (at, byte) in block.iter_mut().enumerate() {
                    *byte |= noise(at, variant);
                }
            }
        }
    }

    fn word(&mut self, at: usize, word: [u8; 4], cut: Option<u32>) {
        for (i, new) in word.into_iter().enumerate() {
            let kept = match cut {
                None => 0,
                // No bit; some; the first bytes; others.
                Some(0) => 0xFF,
                Some(2) => [0, 0, 0xFF, 0xFF][i],
                Some(variant) => noise(at + i, variant),
            };
            self.bytes[at + i] &= new | kept;
        }
    }
}

/// Bits without a pattern, always the same ones.
fn noise(at: usize, variant: u32) -> u8 {
    let mixed = (u32::try_from(at).unwrap() ^ variant << 16).wrapping_mul(0x9E37_79B9);
    (mixed ^ mixed >> 15).wrapping_mul(0x85EB_CA6B).to_be_bytes()[0]
}

/// A device with its flash, at some moment of its life.
#[derive(Clone, Debug)]
pub struct Device {
    pub nor: Nor,
    pub layout: Layout,
    /// Operations since the beginning.
    pub operations: u32,
    /// `None` for power that stays.
    pub fuel: Option<Fuel>,
}

/// What a boot loader started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub slot: Slot,
    pub image: ImageId,
    pub trial: bool,
}

/// An image, with its bytes.
#[derive(Clone, Debug)]
pub struct Image {
    pub header: Header,
    pub bytes: Vec<u8>,
}

impl Image {
    /// One that has nothing in common with others.
    pub fn new(number: u8) -> Self {
        let fill = |len: usize| (0..len).map(|at| noise(at, u32::from(number) + 7)).collect::<Vec<u8>>();
        let (kernel, root) = (fill(36), fill(23));
        let lengths = Lengths { kernel: 36, root: 23, manifest: 0 };
        let header = Header::new(
            Name::new("test").unwrap(),
            Name::new(&format!("0.{number}.0")).unwrap(),
            Name::EMPTY,
            lengths,
            [hash(&kernel), hash(&root), hash(&[])],
        )
        .unwrap();
        let mut bytes = vec![0xFF; usize::try_from(header.len).unwrap()];
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        for (piece, part) in [(header.kernel, kernel), (header.root, root)] {
            bytes[piece.offset as usize..][..part.len()].copy_from_slice(&part);
        }
        Self { header, bytes }
    }

    pub fn id(&self) -> ImageId {
        self.header.id()
    }
}

/// Stands for SHA-256, of which the machine does not know how it is made.
fn hash(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    digest[..8].copy_from_slice(&state.to_le_bytes());
    Digest(digest)
}

impl Device {
    /// From the factory: `image` in slot A; the environment says so, or is as erased.
    pub fn new(image: &Image, settled: bool) -> Self {
        let layout = Layout { block: COPY, loader: 0, environment: 2 * COPY, slot: 3 * COPY, data: 0 };
        layout.check().unwrap();
        let bytes = vec![0xFF; layout.len() as usize];
        let nor = Nor { bytes, block: layout.block as usize };
        let mut device = Self { nor, layout, operations: 0, fuel: None };
        let at = layout.area(Part::Slot(Slot::A)).offset as usize;
        device.nor.bytes[at..at + image.bytes.len()].copy_from_slice(&image.bytes);
        if settled {
            let record = device.environment().settled(Slot::A, image.id());
            device.carry_out(Job::environment(&layout, record), None).unwrap();
        }
        device.operations = 0;
        device
    }

    pub fn environment(&self) -> Environment {
        let at = self.layout.area(Part::Environment).offset as usize;
        let copy = self.layout.environment as usize / 2;
        Environment::decode(&self.nor.bytes[at..at + copy], &self.nor.bytes[at + copy..at + 2 * copy])
    }

    /// What the header of a slot says, if it is whole.
    pub fn header(&self, slot: Slot) -> Option<Header> {
        Header::decode(self.slot(slot)).ok()
    }

    pub fn is_whole(&self, slot: Slot) -> bool {
        self.header(slot).is_some_and(|header| header.pieces().all(|piece| self.piece_is_whole(slot, &piece)))
    }

    fn slot(&self, slot: Slot) -> &[u8] {
        let area = self.layout.area(Part::Slot(slot));
        &self.nor.bytes[area.offset as usize..area.end() as usize]
    }

    fn piece_is_whole(&self, slot: Slot, piece: &Piece) -> bool {
        let (from, len) = (piece.offset as usize, piece.len as usize);
        let bytes = self.slot(slot).get(from..).and_then(|rest| rest.get(..len));
        bytes.is_some_and(|bytes| hash(bytes) == piece.sha256)
    }

    /// What the boot loader would do.
    pub fn choice(&self) -> Boot {
        self.environment().choose(Slot::BOTH.map(|slot| self.header(slot).map(|header| header.id())))
    }

    /// What the boot loader does. No system at all fails the test.
    pub fn start(&mut self) -> Result<Started, Cut> {
        let boot = self.choice();
        for (number, slot) in boot.slots.into_iter().enumerate() {
            let Some(slot) = slot.filter(|slot| self.is_whole(*slot)) else {
                continue;
            };
            if let (0, Some(mark)) = (number, boot.mark) {
                self.write_record(mark)?;
            }
            let image = self.header(slot).unwrap().id();
            return Ok(Started { slot, image, trial: boot.trial && number == 0 });
        }
        panic!("nothing can be started: {boot:?}, {:?}", self.environment());
    }

    /// What `lunix upgrade --apply` does in the system in `running`.
    pub fn upgrade(
        &mut self,
        running: Started,
        image: &Image,
        tries: u8,
    ) -> Result<Result<(), Refusal>, Cut> {
        let environment = self.environment();
        let job = Job::upgrade(&self.layout, &environment, running.slot, running.image, image.header, tries);
        match job {
            Ok(job) => self.carry_out(job, Some(image)).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Marks the newest record; whether there was anything to mark.
    pub fn mark(&mut self, mark: Mark) -> Result<bool, Cut> {
        let Some(write) = self.environment().mark(mark) else {
            return Ok(false);
        };
        self.carry_out(Job::environment(&self.layout, write), None)?;
        Ok(true)
    }

    pub fn standing(&self) -> Standing {
        self.environment().standing()
    }

    /// Writes a record, without a cut.
    pub fn record(&mut self, write: Write) {
        self.write_record(write).unwrap();
    }

    fn write_record(&mut self, write: Write) -> Result<(), Cut> {
        self.carry_out(Job::environment(&self.layout, write), None)
    }

    fn carry_out(&mut self, mut job: Job, image: Option<&Image>) -> Result<(), Cut> {
        while let Some(step) = job.poll() {
            assert_eq!(job.poll(), None, "one step at a time");
            match step {
                Step::Erase { part, at, len } => {
                    assert_eq!(len, self.layout.block);
                    let at = (self.layout.area(part).offset + at) as usize;
                    let cut = self.spend();
                    self.nor.erase(at, cut);
                    cut.map_or(Ok(()), |_| Err(Cut))?;
                }
                Step::Copy { slot, at, len } => {
                    assert!(len <= CHUNK && len > 0);
                    assert_eq!(at / self.layout.block, (at + len - 1) / self.layout.block);
                    let bytes = &image.expect("an image").bytes[at as usize..(at + len) as usize];
                    self.write(Part::Slot(slot), at, bytes)?;
                }
                Step::Check { slot, piece } => assert!(self.piece_is_whole(slot, &piece)),
                Step::Write { part, at, bytes } => self.write(part, at, bytes.as_slice())?,
            }
            job.handle(Input::Done);
        }
        assert!(job.is_finished());
        Ok(())
    }

    fn write(&mut self, part: Part, at: u32, bytes: &[u8]) -> Result<(), Cut> {
        let area = self.layout.area(part);
        assert!(at + u32::try_from(bytes.len()).unwrap() <= area.len, "within its part");
        let from = (area.offset + at) as usize;
        for (number, chunk) in bytes.chunks(4).enumerate() {
            let mut word = [0xFF; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            let at = from + number * 4;
            let cut = self.spend();
            self.nor.word(at, word, cut);
            cut.map_or(Ok(()), |_| Err(Cut))?;
            // A bit that is to be one and was cleared before would be a fault of the machine.
            assert_eq!(self.nor.bytes[at..at + chunk.len()], *chunk_or_marks(part, chunk, &self.nor, at));
        }
        Ok(())
    }

    /// The variant of the cut, if it comes in this operation.
    fn spend(&mut self) -> Option<u32> {
        self.operations += 1;
        let fuel = self.fuel.as_mut()?;
        if fuel.operations == 0 {
            return Some(fuel.variant);
        }
        fuel.operations -= 1;
        None
    }
}

/// What has to be there after a write: what was written, but for marks, which add to others.
fn chunk_or_marks<'a>(part: Part, chunk: &'a [u8], nor: &'a Nor, at: usize) -> &'a [u8] {
    if part == Part::Environment && at % 32 == 28 { &nor.bytes[at..at + chunk.len()] } else { chunk }
}
