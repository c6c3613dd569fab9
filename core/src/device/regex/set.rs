//! What stands in `[…]`.

use super::RegexError;
use super::syntax::wrong;
use crate::device::class::is_of;

/// Whether `byte` is in the set of which `set` is what stands between the brackets.
pub(super) fn has(set: &[u8], byte: u8) -> bool {
    let (is_inverse, set) = match set {
        [b'^', set @ ..] => (true, set),
        set => (false, set),
    };
    let mut found = false;
    let mut rest = set;
    while let Some((item, more)) = item(rest) {
        found |= match item {
            Item::Range(low, high) => (low..=high).contains(&byte),
            Item::Class(class) => is_of(class, byte) == Some(true),
        };
        rest = more;
    }
    found != is_inverse
}

/// The set at the beginning of `text`, which follows a `[`, and what comes after its `]`.
pub(super) fn bracket(text: &[u8]) -> Result<(&[u8], &[u8]), RegexError> {
    let mut at = usize::from(text.starts_with(b"^"));
    let first = at;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest {
            // It is the `[` before the text that has none.
            [] => return Err(RegexError { at: text.len() + 1, expected: "']' for this '['" }),
            [b']', after @ ..] if at > first => return Ok((text.get(..at).unwrap_or_default(), after)),
            _ => {}
        }
        let (item, more) = item(rest).ok_or_else(|| wrong(rest, "a class such as [:digit:]"))?;
        match item {
            Item::Range(low, high) if low > high => return Err(wrong(rest, "a range that goes up")),
            Item::Class(class) if is_of(class, 0).is_none() => {
                return Err(wrong(rest, "a class such as [:digit:]"));
            }
            _ => at = text.len() - more.len(),
        }
    }
}

enum Item<'t> {
    Range(u8, u8),
    Class(&'t [u8]),
}

fn item(text: &[u8]) -> Option<(Item<'_>, &[u8])> {
    match text {
        [b'[', b':', rest @ ..] => {
            let end = rest.windows(2).position(|pair| pair == b":]")?;
            Some((Item::Class(rest.get(..end)?), rest.get(end + 2..)?))
        }
        // Signs by their names in a language: nobody has any here.
        [b'[', b'.' | b'=', ..] => None,
        [low, b'-', high, rest @ ..] if *high != b']' => Some((Item::Range(*low, *high), rest)),
        [byte, rest @ ..] => Some((Item::Range(*byte, *byte), rest)),
        [] => None,
    }
}
