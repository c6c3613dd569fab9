//! The grammar of RFC 8259: validating a document, and finding one's way in a valid one.

use super::{MAX_DEPTH, SyntaxError};

/// Validates a whole document; the answer is the text from its value's first byte to the last byte of all.
///
/// No recursion: the kinds of the open brackets are the bits of one word, so the stack does not grow with the
/// input. Work is linear in the bytes.
pub(super) fn document(bytes: &[u8]) -> Result<&str, SyntaxError> {
    // Of what is not UTF-8 and what is not JSON, the first is the error.
    let (text, whole) = match bytes.utf8_chunks().next() {
        Some(chunk) => (chunk.valid(), chunk.invalid().is_empty()),
        None => ("", true),
    };
    let mut cursor = Cursor { rest: text.as_bytes() };
    match cursor.document() {
        Ok(()) if whole => Ok(trim_start(text)),
        Ok(()) | Err(Invalid) => Err(SyntaxError { at: text.len() - cursor.rest.len() }),
    }
}

/// Something that is not JSON; the cursor stays where it is.
struct Invalid;

struct Cursor<'b> {
    rest: &'b [u8],
}

/// The open brackets, the innermost in the lowest bit: 1 for an object.
#[derive(Clone, Copy)]
struct Open {
    kinds: u32,
    depth: usize,
}

const _: () = assert!(MAX_DEPTH <= u32::BITS as usize);

impl Cursor<'_> {
    fn document(&mut self) -> Result<(), Invalid> {
        let mut open = Open { kinds: 0, depth: 0 };
        loop {
            self.blanks();
            // A value begins here.
            match self.rest.first() {
                Some(b'{') => {
                    self.open(&mut open, 1)?;
                    self.blanks();
                    if self.rest.first() != Some(&b'}') {
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.open(&mut open, 0)?;
                    self.blanks();
                    if self.rest.first() != Some(&b']') {
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value ends here, or an empty container is about to.
            loop {
                self.blanks();
                if open.depth == 0 {
                    return if self.rest.is_empty() { Ok(()) } else { Err(Invalid) };
                }
                let in_object = open.kinds & 1 == 1;
                match self.rest.first() {
                    Some(b',') => {
                        self.skip(1);
                        if in_object {
                            self.blanks();
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    _ => return Err(Invalid),
                }
                self.skip(1);
                open.kinds >>= 1;
                open.depth -= 1;
            }
        }
    }

    fn open(&mut self, open: &mut Open, kind: u32) -> Result<(), Invalid> {
        if open.depth == MAX_DEPTH {
            return Err(Invalid);
        }
        self.skip(1);
        open.kinds = open.kinds << 1 | kind;
        open.depth += 1;
        Ok(())
    }

    /// A key and the colon after it.
    fn key(&mut self) -> Result<(), Invalid> {
        self.string()?;
        self.blanks();
        self.byte(b':')
    }

    fn string(&mut self) -> Result<(), Invalid> {
        self.byte(b'"')?;
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(**byte, 0..0x20 | b'"' | b'\\')).count();
            self.skip(plain);
            match self.rest {
                [b'"', ..] => {
                    self.skip(1);
                    return Ok(());
                }
                [b'\\', b'u', ..] => {
                    let (escape, len) = unicode_escape(self.rest);
                    escape.ok_or(Invalid)?;
                    self.skip(len);
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.skip(2),
                _ => return Err(Invalid),
            }
        }
    }

    fn number(&mut self) -> Result<(), Invalid> {
        if let [b'-', ..] = self.rest {
            self.skip(1);
        }
        match self.rest {
            [b'0', ..] => self.skip(1),
            _ => self.digits()?,
        }
        if let [b'.', ..] = self.rest {
            self.skip(1);
            self.digits()?;
        }
        if let [b'e' | b'E', ..] = self.rest {
            self.skip(1);
            if let [b'+' | b'-', ..] = self.rest {
                self.skip(1);
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.skip(digits);
        if digits > 0 { Ok(()) } else { Err(Invalid) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Invalid> {
        self.rest = self.rest.strip_prefix(word).ok_or(Invalid)?;
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), Invalid> {
        self.word(&[byte])
    }

    fn blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|byte| is_blank(**byte)).count();
        self.skip(blanks);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The text without the blanks in front.
pub(super) fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// The character that `\uXXXX` or a pair of them stands for, and the escape's length. A half of a surrogate
/// pair alone stands for nothing.
pub(super) fn unicode_escape(bytes: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| -> Option<u32> {
        let escape = bytes.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    match unit(0) {
        Some(high @ 0xD800..0xDC00) => match unit(6) {
            Some(low @ 0xDC00..0xE000) => {
                (char::from_u32(0x1_0000 + ((high - 0xD800) << 10 | (low - 0xDC00))), 12)
            }
            _ => (None, 6),
        },
        Some(unit) => (char::from_u32(unit), 6),
        None => (None, 6),
    }
}

/// Splits a valid text after the value that it begins with.
pub(super) fn split_value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let len = match bytes.first()? {
        b'"' => string_len(bytes),
        b'{' | b'[' => container_len(bytes),
        _ => bytes
            .iter()
            .position(|byte| is_blank(*byte) || matches!(byte, b',' | b']' | b'}'))
            .unwrap_or(bytes.len()),
    };
    text.split_at_checked(len)
}

/// The length of the valid string that `bytes` begins with, quotes included.
fn string_len(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let end = bytes.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(bytes.len(), |end| end + 2)
}

/// The length of the valid array or object that `bytes` begins with.
fn container_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_len(bytes.get(at..).unwrap_or_default());
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}
