//! LUKS, versions 1 and 2: a header at the beginning.

use super::{Kind, Label, Usage, Uuid, Version, Volume};

pub(super) fn header(piece: &[u8]) -> Option<Volume> {
    if !piece.starts_with(b"LUKS\xba\xbe") {
        return None;
    }
    let volume = Volume {
        uuid: Uuid::plain(piece.get(168..208)?),
        ..Volume::new(Kind::new("crypto_LUKS", Usage::Crypto))
    };
    match piece.get(6..8)? {
        [0, 1] => Some(Volume { version: Version::of("1"), ..volume }),
        [0, 2] => {
            Some(Volume { version: Version::of("2"), label: Label::trimmed(piece.get(24..72)?), ..volume })
        }
        _ => None,
    }
}
