//! The pieces that a control line is made of: verbs, line ends, arguments, sizes.

use super::decode::DecodeError;

/// What the rest of the line is to be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Message { with_header: bool },
    Sub,
    Unsub,
    Connect,
    Info,
    Ping,
    Pong,
    Ok,
    Err,
}

pub(super) struct Rule {
    name: &'static [u8],
    /// One blank must follow at once.
    separated: bool,
    verb: Verb,
}

const fn rule(name: &'static str, separated: bool, verb: Verb) -> Rule {
    Rule { name: name.as_bytes(), separated, verb }
}

const MESSAGE: Verb = Verb::Message { with_header: false };
const MESSAGE_WITH_HEADER: Verb = Verb::Message { with_header: true };

/// No name is the beginning of another, so the first that fits is the only one.
static CLIENT: [Rule; 10] = [
    rule("PUB", true, MESSAGE),
    rule("HPUB", true, MESSAGE_WITH_HEADER),
    rule("SUB", true, Verb::Sub),
    rule("UNSUB", true, Verb::Unsub),
    rule("PING", false, Verb::Ping),
    rule("PONG", false, Verb::Pong),
    rule("CONNECT", false, Verb::Connect),
    rule("INFO", false, Verb::Info),
    rule("+OK", false, Verb::Ok),
    rule("-ERR", true, Verb::Err),
];

static SERVER: [Rule; 7] = [
    rule("MSG", true, MESSAGE),
    rule("HMSG", true, MESSAGE_WITH_HEADER),
    rule("PING", false, Verb::Ping),
    rule("PONG", false, Verb::Pong),
    rule("+OK", false, Verb::Ok),
    rule("INFO", false, Verb::Info),
    rule("-ERR", true, Verb::Err),
];

/// Of a leaf node's connection, both sides.
pub(super) static LEAF: [Rule; 10] = [
    rule("LMSG", true, MESSAGE),
    rule("HMSG", true, MESSAGE_WITH_HEADER),
    rule("LS+", true, Verb::Sub),
    rule("LS-", true, Verb::Unsub),
    rule("PING", false, Verb::Ping),
    rule("PONG", false, Verb::Pong),
    rule("INFO", false, Verb::Info),
    rule("CONNECT", false, Verb::Connect),
    rule("+OK", false, Verb::Ok),
    rule("-ERR", true, Verb::Err),
];

/// The verb and where its arguments may begin; `None` if more bytes are needed to tell.
#[inline]
pub(super) fn verb<const BY_SERVER: bool>(bytes: &[u8]) -> Result<Option<(Verb, usize)>, DecodeError> {
    // The two that a data path consists of, by one load each.
    if let Some(&[a, b, c, d, e]) = bytes.first_chunk() {
        // Setting this bit makes capitals small and keeps what is not a letter from becoming one.
        let word = u32::from_le_bytes([a, b, c, d]) | 0x2020_2020;
        let (short, long) = if BY_SERVER { (b"msg ", b"hmsg") } else { (b"pub ", b"hpub") };
        if word & 0x00FF_FFFF == u32::from_le_bytes(*short) & 0x00FF_FFFF && is_blank(d) {
            return Ok(Some((MESSAGE, 4)));
        }
        if word == u32::from_le_bytes(*long) && is_blank(e) {
            return Ok(Some((MESSAGE_WITH_HEADER, 5)));
        }
    }
    verb_by_table(bytes, if BY_SERVER { &SERVER } else { &CLIENT })
}

pub(super) fn verb_by_table(bytes: &[u8], rules: &[Rule]) -> Result<Option<(Verb, usize)>, DecodeError> {
    for &Rule { name, separated, verb } in rules {
        if !name.iter().zip(bytes).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
            continue;
        }
        return match bytes.get(name.len()) {
            // Too short to tell, or to tell whether a blank follows.
            None if separated || bytes.len() < name.len() => Ok(None),
            Some(&byte) if is_blank(byte) => Ok(Some((verb, name.len() + 1))),
            Some(_) if separated => Err(DecodeError::UnknownOperation),
            _ => Ok(Some((verb, name.len()))),
        };
    }
    Err(DecodeError::UnknownOperation)
}

pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Eight bytes as one word, the first in the lowest place.
type Word = u64;

const LOW_BITS: Word = 0x7F7F_7F7F_7F7F_7F7F;
const HIGH_BITS: Word = !LOW_BITS;

/// The high bit of every byte of `word` that is at most a space; exact, no carry crosses a byte.
const fn at_most_space(word: Word) -> Word {
    !(((word & LOW_BITS) + 0x5F5F_5F5F_5F5F_5F5F) | word) & HIGH_BITS
}

/// The high bit of every byte of `word` that is LF; exact as well.
const fn equal_lf(word: Word) -> Word {
    let difference = word ^ 0x0A0A_0A0A_0A0A_0A0A;
    !(((difference & LOW_BITS) + LOW_BITS) | difference) & HIGH_BITS
}

/// Where the lowest of the bytes lies whose high bit is set.
const fn first_marked(marks: Word) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// The words of a slice; the last is filled up with 0x7F, which is no blank and no line end.
#[inline]
fn words(bytes: &[u8]) -> impl Iterator<Item = Word> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = move || {
        let mut last = [0x7F; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        Word::from_le_bytes(last)
    };
    whole.iter().map(|chunk| Word::from_le_bytes(*chunk)).chain(core::iter::once_with(last))
}

/// Where the first LF is.
pub(super) fn find_lf(bytes: &[u8]) -> Option<usize> {
    words(bytes).enumerate().find_map(|(index, word)| {
        let marks = equal_lf(word);
        (marks != 0).then(|| index * 8 + first_marked(marks))
    })
}

/// What `bytes` may hold of a line whose arguments begin at `start`: the limit's worth of it and CR LF.
fn window(bytes: &[u8], start: usize, limit: usize) -> &[u8] {
    let end = start.saturating_add(limit).saturating_add(2).min(bytes.len());
    bytes.get(start..end).unwrap_or_default()
}

/// The text from `start` to the line's end, blanks around it removed, and where the next line begins;
/// `None` if no LF ends it within the limit.
pub(super) fn line(bytes: &[u8], start: usize, limit: usize) -> Option<(&[u8], usize)> {
    let window = window(bytes, start, limit);
    let (text, _) = window.split_at_checked(find_lf(window)?)?;
    let end = start + text.len() + 1;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    (text.len() <= limit).then(|| (trim(text), end))
}

/// Without the blanks around it; a form feed is none.
fn trim(mut text: &[u8]) -> &[u8] {
    const BLANKS: &[u8; 3] = b" \t\r";
    while let [first, rest @ ..] = text
        && BLANKS.contains(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && BLANKS.contains(last)
    {
        text = rest;
    }
    text
}

/// A line's arguments.
pub(super) struct Args<'b> {
    /// As many as `count` says, but not more than there is room for.
    tokens: [&'b [u8]; MAX_ARGS],
    count: usize,
    /// Where the next line begins.
    pub(super) end: usize,
}

/// No verb has more arguments: `HMSG subject sid reply header size`.
const MAX_ARGS: usize = 5;

impl<'b> Args<'b> {
    /// Splits the line whose arguments begin at `start`; `None` if no LF ends it within the limit.
    #[inline]
    pub(super) fn split(bytes: &'b [u8], start: usize, limit: usize) -> Option<Self> {
        let window = window(bytes, start, limit);
        let mut args = Self { tokens: [&[]; MAX_ARGS], count: 0, end: 0 };
        let mut token = 0;
        let mut cr = None;
        let mut stray_cr = false;
        for (index, word) in words(window).enumerate() {
            let mut marks = at_most_space(word);
            while marks != 0 {
                let at = index * 8 + first_marked(marks);
                let byte = (word >> (first_marked(marks) * 8)) as u8;
                marks &= marks - 1;
                if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                    // Another control character, which is part of its token.
                    continue;
                }
                if at > token {
                    args.push(window.get(token..at).unwrap_or_default());
                }
                token = at + 1;
                if byte == b'\r' {
                    stray_cr |= cr.replace(at).is_some();
                } else if byte == b'\n' {
                    let length = cr.filter(|cr| cr + 1 == at).unwrap_or(at);
                    if length > limit {
                        return None;
                    }
                    if stray_cr || cr.is_some_and(|cr| cr + 1 != at) {
                        // More than any verb has: an error of the arguments, whatever they are.
                        args.count = MAX_ARGS + 1;
                    }
                    args.end = start + at + 1;
                    return Some(args);
                }
            }
        }
        None
    }

    #[inline]
    fn push(&mut self, token: &'b [u8]) {
        if let Some(slot) = self.tokens.get_mut(self.count) {
            *slot = token;
        }
        self.count += 1;
    }

    /// The arguments, if there are so many that any verb can have them.
    #[inline]
    pub(super) fn tokens(&self) -> Result<&[&'b [u8]], DecodeError> {
        self.tokens.get(..self.count).ok_or(DecodeError::Arguments)
    }
}

/// A size: one to nine digits.
#[inline]
pub(super) fn size(token: &[u8]) -> Option<usize> {
    if token.is_empty() || token.len() > 9 {
        return None;
    }
    let mut size = 0;
    for byte in token {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Below 10^9, which any usize of 32 bits holds.
        size = size * 10 + usize::from(digit);
    }
    Some(size)
}

/// The text of an error without the quotes around it.
pub(super) fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}
