//! The text of an expression as branches and pieces.

use core::fmt;

use super::set::bracket;

/// Groups in one another: the depth of the stack depends on it.
const NESTED: usize = 16;
/// The largest number in `{…}` (`RE_DUP_MAX`).
const REPEATED: u16 = 255;

/// What is no expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegexError {
    /// The byte of the text that should be something else.
    pub at: usize,
    /// What that is.
    pub expected: &'static str,
}

impl fmt::Display for RegexError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "expected {} at byte {}", self.expected, self.at)
    }
}

impl core::error::Error for RegexError {}

/// A mistake where `rest` begins; its place is put right by who knows the whole text.
pub(super) fn wrong(rest: &[u8], expected: &'static str) -> RegexError {
    RegexError { at: rest.len(), expected }
}

/// What is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Atom<'t> {
    Byte(u8),
    Any,
    /// What stands between brackets.
    Set(&'t [u8]),
    /// What stands between parentheses.
    Group(&'t [u8]),
    Begin,
    End,
}

/// How often it is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    pub(super) atom: Atom<'t>,
    pub(super) min: u16,
    /// `None` without an end.
    pub(super) max: Option<u16>,
}

/// The pieces of a branch, each with what follows it.
pub(super) fn pieces(branch: &[u8]) -> impl Iterator<Item = (Piece<'_>, &[u8])> {
    let mut rest = branch;
    core::iter::from_fn(move || {
        let (piece, more) = piece(rest).ok()?;
        rest = more;
        Some((piece, more))
    })
}

/// The first branch of an alternation, and the others.
pub(super) fn branch(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut rest = text;
    while let Ok((_, more)) = piece(rest) {
        rest = more;
    }
    match rest {
        [b'|', more @ ..] => (text.get(..text.len() - rest.len()).unwrap_or_default(), Some(more)),
        _ => (text, None),
    }
}

/// How many groups begin in a text.
pub(super) fn groups(text: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let [byte, more @ ..] = rest {
        rest = match byte {
            b'\\' => more.get(1..).unwrap_or_default(),
            b'[' => bracket(more).map_or(more, |(_, after)| after),
            _ => more,
        };
        count += usize::from(*byte == b'(');
    }
    count
}

/// Finds what is wrong with a text.
pub(super) fn check(text: &[u8]) -> Result<(), RegexError> {
    nested(text, NESTED).map_err(|error| RegexError { at: text.len() - error.at.min(text.len()), ..error })
}

/// Places in errors are counted from the end of `text`.
fn nested(text: &[u8], depth: usize) -> Result<(), RegexError> {
    let mut rest = text;
    while !rest.is_empty() {
        if let [b'|', more @ ..] = rest {
            rest = more;
            continue;
        }
        let (piece, more) = piece(rest)?;
        if let Atom::Group(inner) = piece.atom {
            let depth =
                depth.checked_sub(1).ok_or_else(|| wrong(rest, "at most 16 groups in one another"))?;
            let after = rest.len() - inner.len() - 1;
            nested(inner, depth).map_err(|error| RegexError { at: error.at + after, ..error })?;
        }
        rest = more;
    }
    Ok(())
}

fn piece(text: &[u8]) -> Result<(Piece<'_>, &[u8]), RegexError> {
    let (atom, mut rest) = atom(text)?;
    let (mut min, mut max) = (1, Some(1));
    if let [b'{', after @ ..] = rest {
        (min, max, rest) = interval(after).ok_or_else(|| {
            wrong(rest, "numbers of at most 255, the larger one last, in braces such as {2,3}")
        })?;
    } else {
        while let [sign @ (b'*' | b'+' | b'?'), after @ ..] = rest {
            min = min.min(u16::from(*sign == b'+'));
            max = max.filter(|_| *sign == b'?');
            rest = after;
        }
    }
    Ok((Piece { atom, min, max }, rest))
}

/// `2}`, `2,}` or `2,3}`.
fn interval(text: &[u8]) -> Option<(u16, Option<u16>, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'}')?;
    let number = |digits: &[u8]| -> Option<u16> {
        let plain = digits.iter().all(u8::is_ascii_digit);
        let number: u16 = core::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
        (number <= REPEATED).then_some(number)
    };
    let (inside, rest) = (text.get(..end)?, text.get(end + 1..)?);
    let (min, max) = match inside.iter().position(|byte| *byte == b',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some(comma) => {
            let max = inside.get(comma + 1..)?;
            let max = if max.is_empty() { None } else { Some(number(max)?) };
            (number(inside.get(..comma)?)?, max)
        }
    };
    max.is_none_or(|max| min <= max).then_some((min, max, rest))
}

/// The atom at the beginning of `text`, and what follows it.
fn atom(text: &[u8]) -> Result<(Atom<'_>, &[u8]), RegexError> {
    match text {
        [b'(', rest @ ..] => {
            let end = closing(rest).ok_or_else(|| wrong(text, "')' for this '('"))?;
            let (inner, after) = rest.split_at_checked(end).unwrap_or_default();
            Ok((Atom::Group(inner), after.get(1..).unwrap_or_default()))
        }
        [b'[', rest @ ..] => {
            let (set, after) = bracket(rest)?;
            Ok((Atom::Set(set), after))
        }
        [b'\\', byte, ..] if byte.is_ascii_alphanumeric() => {
            Err(wrong(text, "a sign after '\\': neither a letter nor a digit"))
        }
        [b'\\', byte, rest @ ..] => Ok((Atom::Byte(*byte), rest)),
        [b'.', rest @ ..] => Ok((Atom::Any, rest)),
        [b'^', rest @ ..] => Ok((Atom::Begin, rest)),
        [b'$', rest @ ..] => Ok((Atom::End, rest)),
        [b')', ..] => Err(wrong(text, "a '(' before this ')'")),
        [b'*' | b'+' | b'?' | b'{', ..] => Err(wrong(text, "something that is to be repeated")),
        [] | [b'|', ..] => Err(wrong(text, "an expression")),
        [b'\\'] => Err(wrong(text, "a sign after '\\'")),
        [byte, rest @ ..] => Ok((Atom::Byte(*byte), rest)),
    }
}

/// Where the `)` is that belongs to the `(` before `text`.
fn closing(text: &[u8]) -> Option<usize> {
    let mut open = 1;
    let mut rest = text;
    while let [byte, more @ ..] = rest {
        rest = match byte {
            b'\\' => more.get(1..)?,
            b'[' => bracket(more).map_or(more, |(_, after)| after),
            _ => more,
        };
        open += i32::from(*byte == b'(') - i32::from(*byte == b')');
        if open == 0 {
            return Some(text.len() - more.len() - 1);
        }
    }
    None
}
