//! UDF (ECMA-167, OSTA UDF 2.60): an anchor leads to a sequence of descriptors, one of which leads to another.

use super::{Kind, Label, Outcome, Step, Uuid, Version, Volume, le16, le32, text::Text};

/// Sizes of blocks: of discs, of disks.
const SIZES: [u32; 4] = [2048, 512, 1024, 4096];
/// The block that an anchor has.
const ANCHOR: u32 = 256;
/// As much of a descriptor as counts.
const DESCRIPTOR: usize = 512;
/// Descriptors of a sequence that are looked at.
const MAX_DESCRIPTORS: u32 = 64;

const TAG_PRIMARY: u16 = 1;
const TAG_ANCHOR: u16 = 2;
const TAG_LOGICAL: u16 = 6;
const TAG_TERMINATING: u16 = 8;
const TAG_INTEGRITY: u16 = 9;

/// On the way through them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Descriptors {
    /// The anchor, if blocks have the size of this number.
    Anchor(u8),
    /// One of the sequence.
    Sequence { size: u32, block: u32, left: u32, integrity: Option<u32> },
    /// What has the version of who wrote last.
    Integrity { size: u32, block: u32 },
}

impl Descriptors {
    pub(super) const FIRST: Self = Self::Anchor(0);

    pub(super) fn wanted(&self) -> (u64, usize) {
        let (size, block) = match self {
            Self::Anchor(number) => (size(*number), ANCHOR),
            Self::Sequence { size, block, .. } | Self::Integrity { size, block } => (*size, *block),
        };
        (u64::from(size) * u64::from(block), DESCRIPTOR)
    }

    pub(super) fn feed(&self, piece: &[u8], found: &mut Option<Volume>) -> Outcome {
        match *self {
            Self::Anchor(number) => match anchor(piece, number) {
                Some(next) => {
                    // Of two file systems on one disc, this one is the newer.
                    *found = Some(Volume::new(Kind::filesystem("udf")));
                    Outcome::Next(Step::Udf(next))
                }
                None if usize::from(number) + 1 < SIZES.len() => {
                    Outcome::Next(Step::Udf(Self::Anchor(number + 1)))
                }
                None => Outcome::Other,
            },
            Self::Sequence { size, block, left, mut integrity } => {
                let kind = tag(piece, block);
                if let Some(volume) = found {
                    match kind {
                        Some(TAG_PRIMARY) => volume.uuid = of_set(piece.get(72..200).unwrap_or_default()),
                        Some(TAG_LOGICAL) => {
                            volume.label = string(piece.get(84..212).unwrap_or_default());
                            volume.version = version(le16(piece, 240).unwrap_or(0));
                            integrity = le32(piece, 436).filter(|_| le32(piece, 432) > Some(0));
                        }
                        _ => {}
                    }
                }
                let next = left.checked_sub(1).filter(|left| *left > 0).zip(block.checked_add(1));
                match (kind, next) {
                    (Some(kind), Some((left, block))) if kind != TAG_TERMINATING => {
                        Outcome::Next(Step::Udf(Self::Sequence { size, block, left, integrity }))
                    }
                    _ => match integrity {
                        Some(block) => Outcome::Next(Step::Udf(Self::Integrity { size, block })),
                        None => Outcome::Other,
                    },
                }
            }
            Self::Integrity { block, .. } => {
                if let (Some(TAG_INTEGRITY), Some(volume), Some(revision)) =
                    (tag(piece, block), found, revision(piece))
                {
                    volume.version = version(revision);
                }
                Outcome::Other
            }
        }
    }
}

fn size(number: u8) -> u32 {
    SIZES.get(usize::from(number)).copied().unwrap_or(2048)
}

fn anchor(piece: &[u8], number: u8) -> Option<Descriptors> {
    if tag(piece, ANCHOR)? != TAG_ANCHOR {
        return None;
    }
    let size = size(number);
    let left = (le32(piece, 16)? / size).min(MAX_DESCRIPTORS);
    (left > 0).then_some(Descriptors::Sequence { size, block: le32(piece, 20)?, left, integrity: None })
}

/// What kind of descriptor stands in this block, if it is one.
fn tag(piece: &[u8], block: u32) -> Option<u16> {
    let tag = piece.get(..16)?;
    let sum = tag.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_sub(*tag.get(4)?);
    (sum == *tag.get(4)? && le32(tag, 12)? == block).then(|| le16(tag, 0))?
}

/// The revision that a reader must know; discs of 2.60 say 2.50 there, and what a writer must know is it.
fn revision(integrity: &[u8]) -> Option<u16> {
    let partitions = usize::try_from(le32(integrity, 72)?).ok()?;
    if le32(integrity, 76)? < 46 {
        return None;
    }
    let at = partitions.checked_mul(8)?.checked_add(80 + 40)?;
    let (read, write) = (le16(integrity, at)?, le16(integrity, at + 2)?);
    let revision = if read == 0x0250 && write > read { write } else { read };
    (revision > 0).then_some(revision)
}

/// `0x0201` is 2.01.
fn version(revision: u16) -> Version {
    let mut version = Version::EMPTY;
    let [major, minor] = revision.to_be_bytes();
    if revision != 0 {
        if major > 15 {
            version.push_hex(major);
        } else {
            version.push(b'0' + major % 10);
        }
        version.push(b'.');
        version.push_hex(minor);
    }
    version
}

/// A "dstring": how its characters are encoded, the characters, and as the last byte how many bytes these are.
fn string<const N: usize>(bytes: &[u8]) -> Text<N> {
    let Some((len, text)) = bytes.split_last() else { return Text::EMPTY };
    let text = text.get(..usize::from(*len).min(text.len())).unwrap_or_default();
    match text.split_first() {
        Some((8 | 254, text)) => Text::from_utf16(text.iter().map(|byte| u16::from(*byte))),
        Some((16 | 255, text)) => Text::from_utf16(
            text.chunks_exact(2).filter_map(|unit| unit.first_chunk().copied()).map(u16::from_be_bytes),
        ),
        _ => Text::EMPTY,
    }
}

/// The beginning of the name of a volume's set, made unique by who writes it: 16 hexadecimal digits, or 8 and what they
/// were to be, or bytes as digits.
fn of_set(bytes: &[u8]) -> Uuid {
    let name: Label = string(bytes);
    let name = name.as_bytes();
    let mut uuid = Uuid::EMPTY;
    if name.len() < 8 {
        return uuid;
    }
    let digits = name.iter().take(16).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let plain = if digits >= 16 {
        16
    } else if digits >= 8 {
        8
    } else {
        0
    };
    name.iter().take(plain).for_each(|byte| uuid.push(byte.to_ascii_lowercase()));
    for index in plain..plain + (16 - plain) / 2 {
        uuid.push_hex(name.get(index).copied().unwrap_or(0));
    }
    uuid
}
