//! The writer.

use super::{MAX_DEPTH, Str};
use crate::Full;
use crate::out::Out;

/// Writes JSON into the caller's slice; commas are its business.
///
/// What it makes is one valid JSON document whatever it is told: a value without a key gets the key `""`, a key
/// without a value gets `null`, an `end` closes what is innermost whatever its kind, what would nest deeper
/// than [`MAX_DEPTH`] becomes `null`, what would follow the end of the document is left out, and
/// [`finish`](Self::finish) closes what is open. Room that runs out is remembered and told by `finish` as well.
///
/// ```
/// use lunix_proto::json::Writer;
/// let mut out = [0; 64];
/// let mut json = Writer::new(&mut out);
/// json.begin_object().key("id").number(7).key("tags").begin_array().string("a\"b").end_array().end_object();
/// let len = json.finish().unwrap();
/// assert_eq!(&out[..len], br#"{"id":7,"tags":["a\"b"]}"#);
/// ```
#[derive(Debug)]
pub struct Writer<'o> {
    out: Out<'o>,
    /// The open brackets, the innermost in the lowest bit: 1 for an object.
    kinds: u32,
    depth: usize,
    /// How many of the levels now open are too deep to be written.
    too_deep: usize,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A container's first element or member, or the document.
    First,
    /// A further element or member.
    Further,
    /// The value of the key just written.
    Value,
    /// Nothing: the document is complete.
    End,
}

const _: () = assert!(MAX_DEPTH <= u32::BITS as usize);

impl<'o> Writer<'o> {
    /// Starts a document.
    pub const fn new(out: &'o mut [u8]) -> Self {
        Self { out: Out::new(out), kinds: 0, depth: 0, too_deep: 0, next: Next::First }
    }

    /// `{`
    pub fn begin_object(&mut self) -> &mut Self {
        self.begin(1, b"{")
    }

    /// `}`
    pub fn end_object(&mut self) -> &mut Self {
        self.end()
    }

    /// `[`
    pub fn begin_array(&mut self) -> &mut Self {
        self.begin(0, b"[")
    }

    /// `]`
    pub fn end_array(&mut self) -> &mut Self {
        self.end()
    }

    /// The key of the value that comes next; nothing outside of an object.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.key_bytes(key.as_bytes())
    }

    /// As [`key`](Self::key); what is not UTF-8 becomes U+FFFD.
    pub fn key_bytes(&mut self, key: &[u8]) -> &mut Self {
        if self.too_deep > 0 || !self.in_object() {
            return self;
        }
        if self.next == Next::Value {
            self.null();
        }
        if self.next == Next::Further {
            self.out.put(b",");
        }
        self.quoted(key);
        self.out.put(b":");
        self.next = Next::Value;
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.string_bytes(text.as_bytes())
    }

    /// A string; what is not UTF-8 becomes U+FFFD, one for each maximal part, as everywhere in Rust.
    pub fn string_bytes(&mut self, text: &[u8]) -> &mut Self {
        if self.before_value() {
            self.quoted(text);
        }
        self
    }

    /// A string that came from elsewhere.
    pub fn str(&mut self, text: Str<'_>) -> &mut Self {
        if let Some(plain) = text.as_plain() {
            return self.string(plain);
        }
        if self.before_value() {
            self.out.put(b"\"");
            for char in text.chars() {
                self.escape(char.encode_utf8(&mut [0; 4]));
            }
            self.out.put(b"\"");
        }
        self
    }

    /// A number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        if self.before_value() {
            self.out.put_number(number);
        }
        self
    }

    /// A number.
    pub fn signed(&mut self, number: i64) -> &mut Self {
        if self.before_value() {
            if number < 0 {
                self.out.put(b"-");
            }
            self.out.put_number(number.unsigned_abs());
        }
        self
    }

    /// `true` or `false`.
    pub fn bool(&mut self, truth: bool) -> &mut Self {
        self.verbatim(if truth { b"true" } else { b"false" })
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.verbatim(b"null")
    }

    /// A value that is JSON already, or `null` if it is not or nests too deep to be put here.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        let valid = self.depth + nesting(json) <= MAX_DEPTH && super::parse(json).is_ok();
        self.verbatim(if valid { json.trim_ascii() } else { b"null" })
    }

    /// Closes what is open and returns the document's length; of nothing at all becomes `null`.
    pub fn finish(&mut self) -> Result<usize, Full> {
        while self.depth > 0 || self.too_deep > 0 {
            self.end();
        }
        if self.next != Next::End {
            self.null();
        }
        self.out.finish()
    }

    const fn in_object(&self) -> bool {
        self.depth > 0 && self.kinds & 1 == 1
    }

    /// Writes what must stand before a value; whether there may be one at all.
    fn before_value(&mut self) -> bool {
        if self.too_deep > 0 || self.next == Next::End {
            return false;
        }
        if self.in_object() && self.next != Next::Value {
            self.key_bytes(b"");
        } else if self.next == Next::Further {
            self.out.put(b",");
        }
        self.next = if self.depth == 0 { Next::End } else { Next::Further };
        true
    }

    fn begin(&mut self, kind: u32, bracket: &[u8]) -> &mut Self {
        if self.too_deep > 0 || self.depth == MAX_DEPTH {
            if self.too_deep == 0 {
                self.null();
            }
            self.too_deep = self.too_deep.saturating_add(1);
        } else if self.before_value() {
            self.out.put(bracket);
            self.kinds = self.kinds << 1 | kind;
            self.depth += 1;
            self.next = Next::First;
        }
        self
    }

    fn end(&mut self) -> &mut Self {
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else if self.depth > 0 {
            if self.next == Next::Value {
                self.null();
            }
            self.out.put(if self.in_object() { b"}" } else { b"]" });
            self.kinds >>= 1;
            self.depth -= 1;
            self.next = if self.depth == 0 { Next::End } else { Next::Further };
        }
        self
    }

    fn verbatim(&mut self, json: &[u8]) -> &mut Self {
        if self.before_value() {
            self.out.put(json);
        }
        self
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.put(b"\"");
        for chunk in text.utf8_chunks() {
            self.escape(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.out.put("\u{FFFD}".as_bytes());
            }
        }
        self.out.put(b"\"");
    }

    fn escape(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        // What needs no escape goes out in one piece.
        while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            let (plain, from) = rest.split_at_checked(at).unwrap_or_default();
            let (byte, after) = from.split_first().unwrap_or((&0, &[]));
            self.out.put(plain);
            match byte {
                b'"' => self.out.put(b"\\\""),
                b'\\' => self.out.put(b"\\\\"),
                b'\n' => self.out.put(b"\\n"),
                b'\r' => self.out.put(b"\\r"),
                b'\t' => self.out.put(b"\\t"),
                byte => {
                    let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
                    self.out.put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                }
            }
            rest = after;
        }
        self.out.put(rest);
    }
}

/// How deep valid JSON nests; of what is not JSON it is an upper bound.
fn nesting(json: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    deepest
}
