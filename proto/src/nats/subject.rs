//! Subjects and the patterns of subscriptions.
//!
//! A subject is tokens with dots between them. A token is any bytes but blanks and line breaks, which a
//! control line could not carry, and is not empty. `*` and `>` are wildcards only where they are a whole token,
//! and only in patterns: `*` matches one token, `>` matches all that is left, one token at least.

use crate::Full;
use crate::out::Out;

/// Whether a message may be published to `subject`: no token of it is a wildcard.
///
/// ```
/// use lunix_proto::nats::subject::is_literal;
/// assert!(is_literal(b"hardware.usb.add") && is_literal(b"a*.b>"));
/// assert!(!is_literal(b"") && !is_literal(b"a..b") && !is_literal(b"a.*") && !is_literal(b"a b"));
/// ```
#[inline]
pub fn is_literal(subject: &[u8]) -> bool {
    is_valid(subject, false)
}

/// Whether `pattern` may be subscribed to: tokens may be `*`, and the last one may be `>`.
///
/// ```
/// use lunix_proto::nats::subject::is_pattern;
/// assert!(is_pattern(b"hardware.*.add") && is_pattern(b"hardware.>") && is_pattern(b">"));
/// assert!(!is_pattern(b"hardware.>.add") && !is_pattern(b".add"));
/// ```
#[inline]
pub fn is_pattern(pattern: &[u8]) -> bool {
    is_valid(pattern, true)
}

fn is_valid(subject: &[u8], wildcards: bool) -> bool {
    let mut start = 0;
    let mut tail = false;
    // One pass over the bytes and a dot after the last: a token is judged where it ends.
    for (at, byte) in subject.iter().copied().chain([b'.']).enumerate() {
        match byte {
            b'.' => {
                if tail || at == start {
                    return false;
                }
                if at - start == 1 {
                    match subject.get(start) {
                        Some(b'*') if !wildcards => return false,
                        Some(b'>') if !wildcards => return false,
                        Some(b'>') => tail = true,
                        _ => {}
                    }
                }
                start = at + 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' => return false,
            _ => {}
        }
    }
    true
}

/// Whether a pattern matches a literal subject.
///
/// Both must be valid, see [`is_pattern`] and [`is_literal`]; for others the answer means nothing.
///
/// ```
/// use lunix_proto::nats::subject::matches;
/// assert!(matches(b"hardware.*.add", b"hardware.usb.add"));
/// assert!(matches(b"hardware.>", b"hardware.usb.add"));
/// assert!(!matches(b"hardware.>", b"hardware"));
/// assert!(!matches(b"hardware.*", b"hardware.usb.add"));
/// ```
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    let mut patterns = tokens(pattern);
    let mut subjects = tokens(subject);
    loop {
        match (patterns.next(), subjects.next()) {
            (None, None) | (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(_)) => {}
            (Some(pattern), Some(subject)) if pattern == subject => {}
            _ => return false,
        }
    }
}

/// Whether every subject that the pattern `part` matches is matched by the pattern `whole`, too.
///
/// Both must be valid, see [`is_pattern`]; for others the answer means nothing.
///
/// ```
/// use lunix_proto::nats::subject::covers;
/// assert!(covers(b"a.>", b"a.*.c") && covers(b"a.*", b"a.b") && covers(b"a.*.>", b"a.*.>"));
/// assert!(!covers(b"a.*", b"a.>") && !covers(b"a.b", b"a.*") && !covers(b"a.>", b"a"));
/// ```
pub fn covers(whole: &[u8], part: &[u8]) -> bool {
    let mut wholes = tokens(whole);
    let mut parts = tokens(part);
    loop {
        match (wholes.next(), parts.next()) {
            (None, None) | (Some(b">"), Some(_)) => return true,
            (Some(_), Some(b">")) => return false,
            (Some(b"*"), Some(_)) => {}
            (Some(whole), Some(part)) if whole == part => {}
            _ => return false,
        }
    }
}

/// Whether there is a subject that both patterns match.
///
/// Both must be valid, see [`is_pattern`]; for others the answer means nothing.
///
/// ```
/// use lunix_proto::nats::subject::overlaps;
/// assert!(overlaps(b"a.*", b"*.b") && overlaps(b"a.>", b"*.*.c") && overlaps(b"a", b"a"));
/// assert!(!overlaps(b"a.*", b"b.*") && !overlaps(b"a.>", b"a") && !overlaps(b"a.*", b"a.b.c"));
/// ```
pub fn overlaps(one: &[u8], other: &[u8]) -> bool {
    let mut ones = tokens(one);
    let mut others = tokens(other);
    loop {
        match (ones.next(), others.next()) {
            (None, None) | (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// The tokens of a subject or pattern, valid or not: what lies between the dots.
///
/// ```
/// use lunix_proto::nats::subject::tokens;
/// assert!(tokens(b"hardware.usb.add").eq([&b"hardware"[..], b"usb", b"add"]));
/// ```
pub const fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// The iterator that [`tokens`] returns.
#[derive(Clone, Debug)]
pub struct Tokens<'b> {
    /// `None` once the last token was returned.
    rest: Option<&'b [u8]>,
}

impl<'b> Tokens<'b> {
    /// What was not yet returned: the tokens left, with the dots between them.
    pub const fn rest(&self) -> Option<&'b [u8]> {
        self.rest
    }
}

impl<'b> Iterator for Tokens<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.rest?;
        let Some(dot) = rest.iter().position(|byte| *byte == b'.') else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = rest.get(dot + 1..);
        rest.get(..dot)
    }
}

impl core::iter::FusedIterator for Tokens<'_> {}

/// Writes `raw` as one token and returns its length.
///
/// Every byte that a token cannot hold becomes `_`, and so do those that it should not: dots, wildcards, control
/// characters, and bytes that are not UTF-8, which break some client libraries. Of nothing, too, becomes `_`.
///
/// ```
/// use lunix_proto::nats::subject::push_token;
/// let mut out = [0; 16];
/// let len = push_token(&mut out, b"My disk v1.0\xFF").unwrap();
/// assert_eq!(&out[..len], b"My_disk_v1_0_");
/// assert_eq!(push_token(&mut out, b""), Ok(1));
/// assert_eq!(push_token(&mut [], b"usb").unwrap_err().needed, 3);
/// ```
pub fn push_token(out: &mut [u8], raw: &[u8]) -> Result<usize, Full> {
    let mut out = Out::new(out);
    for chunk in raw.utf8_chunks() {
        // Bytes above 0x7F are part of a valid character.
        for &byte in chunk.valid().as_bytes() {
            out.put(&[if is_plain(byte) { byte } else { b'_' }]);
        }
        chunk.invalid().iter().for_each(|_| out.put(b"_"));
    }
    if raw.is_empty() {
        out.put(b"_");
    }
    out.finish()
}

const fn is_plain(byte: u8) -> bool {
    !matches!(byte, 0..=b' ' | 0x7F | b'.' | b'*' | b'>')
}
