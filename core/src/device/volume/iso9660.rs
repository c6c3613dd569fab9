//! ISO 9660 (ECMA-119) and its Joliet extension: volume descriptors of 2048 bytes, from byte 32768 on. Among them stands
//! also that there is a UDF (ECMA-167, part 2).

use super::{Kind, Label, Outcome, Step, Uuid, Version, Volume, udf};

/// The descriptors, on the way through them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    number: u8,
}

const SIZE: usize = 2048;
const START: u64 = 0x8000;
/// As many as blkid looks at.
const MAX_DESCRIPTORS: u8 = 16;

impl Descriptors {
    pub(super) const FIRST: Self = Self { number: 0 };

    pub(super) fn wanted(&self) -> (u64, usize) {
        (START + u64::from(self.number) * SIZE as u64, SIZE)
    }

    pub(super) fn feed(&self, piece: &[u8], found: &mut Option<Volume>) -> Outcome {
        let next = match self.number.saturating_add(1) {
            number if number < MAX_DESCRIPTORS => Outcome::Next(Step::Iso(Self { number })),
            _ => Outcome::Other,
        };
        let kind = match piece {
            [kind, b'C', b'D', b'0', b'0', b'1', ..] => kind,
            [_, b'N', b'S', b'R', b'0', b'2' | b'3', ..] => {
                return Outcome::Next(Step::Udf(udf::Descriptors::FIRST));
            }
            [_, b'B', b'E', b'A', ..] | [_, b'C', b'D', b'W', ..] | [_, b'B', b'O', b'O', b'T', ..] => {
                return next;
            }
            // Where blocks have 4096 bytes, every other place is empty.
            [0, 0, 0, 0, 0, 0, 0, ..] if self.number > 0 => return next,
            _ => return Outcome::Other,
        };
        match kind {
            1 => {
                let volume = found.get_or_insert(Volume::new(Kind::filesystem("iso9660")));
                volume.label = Label::trimmed(piece.get(40..72).unwrap_or_default());
                // Modification (830), else creation (813).
                volume.uuid =
                    [830, 813].into_iter().find_map(|at| date(piece.get(at..)?)).unwrap_or(Uuid::EMPTY);
            }
            2 if piece.get(88..91).is_some_and(|escape| matches!(escape, b"%/@" | b"%/C" | b"%/E")) => {
                let units = piece.get(40..72).unwrap_or_default().chunks_exact(2);
                let joliet = Label::from_utf16(
                    units.filter_map(|unit| unit.first_chunk().copied()).map(u16::from_be_bytes),
                );
                if let Some(volume) = found {
                    volume.version = Version::of("Joliet Extension");
                }
                if let Some(volume) = found
                    && !joliet.is_empty()
                    && !longer_of_the_same(volume.label.as_bytes(), joliet.as_bytes())
                {
                    volume.label = joliet;
                }
            }
            _ => {}
        }
        next
    }
}

/// Joliet has room for 16 characters only: a label that it cut is better taken from the plain descriptor.
fn longer_of_the_same(plain: &[u8], joliet: &[u8]) -> bool {
    plain.len() > joliet.len()
        && plain.get(..joliet.len()).is_some_and(|start| start.eq_ignore_ascii_case(joliet))
}

/// `YYYYMMDDhhmmsscc` as `YYYY-MM-DD-hh-mm-ss-cc`; nothing if it was not set, or is no date.
fn date(bytes: &[u8]) -> Option<Uuid> {
    let digits = bytes.get(..16)?;
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|byte| *byte == b'0') {
        return None;
    }
    let mut text = Uuid::EMPTY;
    for (index, digit) in digits.iter().enumerate() {
        if index >= 4 && index % 2 == 0 {
            text.push(b'-');
        }
        text.push(*digit);
    }
    Some(text)
}
