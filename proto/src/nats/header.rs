//! Header blocks: `NATS/1.0`, perhaps a status, and fields.
//!
//! ```text
//! NATS/1.0[␣code[␣description]] CR LF
//! name:[␣]value CR LF …
//! CR LF
//! ```
//!
//! Reading is as lenient as nats-server, which looks into no header block that it passes on: LF alone ends a
//! line too, a line without a colon is skipped, the empty line at the end may be missing. Names keep the case
//! in which they were sent.

use crate::Full;
use crate::out::Out;

const VERSION: &[u8] = b"NATS/1.0";

/// A header block.
///
/// ```
/// use lunix_proto::nats::header::Headers;
/// let headers = Headers::parse(b"NATS/1.0 503 No Responders\r\nNats-Subject: door\r\n\r\n").unwrap();
/// assert_eq!(headers.status(), Some(503));
/// assert_eq!(headers.description(), b"No Responders");
/// assert_eq!(headers.get("Nats-Subject"), Some(&b"door"[..]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Headers<'b> {
    /// What follows the version on the first line.
    status: &'b [u8],
    fields: &'b [u8],
}

impl<'b> Headers<'b> {
    /// Reads a header block; `None` if it does not begin with `NATS/1.0`.
    pub fn parse(block: &'b [u8]) -> Option<Self> {
        let (first, fields) = split_line(block);
        Some(Self { status: first.strip_prefix(VERSION)?.trim_ascii(), fields })
    }

    /// The status code of the first line, three digits as in `NATS/1.0 503`.
    pub fn status(&self) -> Option<u16> {
        let code = self.status.first_chunk::<3>()?;
        let digits = code.iter().all(u8::is_ascii_digit);
        digits.then(|| code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    }

    /// What follows the status code on the first line; empty if there is nothing.
    pub fn description(&self) -> &'b [u8] {
        if self.status().is_none() {
            return self.status;
        }
        self.status.get(3..).unwrap_or_default().trim_ascii()
    }

    /// The first value of the field `name`, compared byte by byte as nats-server and most clients do.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.values(name).next()
    }

    /// Every value of the field `name`, in the order sent.
    ///
    /// ```
    /// use lunix_proto::nats::header::Headers;
    /// let headers = Headers::parse(b"NATS/1.0\r\nTag: a\r\ntag: b\r\nTag:c\r\n\r\n").unwrap();
    /// assert!(headers.values("Tag").eq([b"a", b"c"]));
    /// ```
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + Clone + use<'b, 'n> {
        self.iter().filter(move |(field, _)| *field == name.as_bytes()).map(|(_, value)| value)
    }

    /// Every field in the order sent: its name, and its value without the blanks around it.
    pub const fn iter(&self) -> Fields<'b> {
        Fields { rest: self.fields }
    }
}

impl<'b> IntoIterator for Headers<'b> {
    type Item = (&'b [u8], &'b [u8]);
    type IntoIter = Fields<'b>;

    fn into_iter(self) -> Fields<'b> {
        self.iter()
    }
}

/// The iterator that [`Headers::iter`] returns.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Fields<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (line, rest) = split_line(self.rest);
            self.rest = rest;
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                let (name, value) = line.split_at_checked(colon)?;
                return Some((name, value.get(1..)?.trim_ascii()));
            }
        }
        None
    }
}

impl core::iter::FusedIterator for Fields<'_> {}

/// The first line without its end, and what follows it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default())
}

/// Builds a header block in the caller's slice; room that runs out is remembered and told at the end.
///
/// What would break the block is replaced: in names everything but visible ASCII without the colon becomes `_`,
/// in values and descriptions CR and LF become spaces.
///
/// ```
/// use lunix_proto::nats::header::Writer;
/// let mut out = [0; 64];
/// let len = Writer::new(&mut out).field("Status", b"404").finish().unwrap();
/// assert_eq!(&out[..len], b"NATS/1.0\r\nStatus: 404\r\n\r\n");
/// ```
#[derive(Debug)]
pub struct Writer<'o> {
    out: Out<'o>,
    finished: bool,
}

impl<'o> Writer<'o> {
    /// Begins with `NATS/1.0`.
    pub fn new(out: &'o mut [u8]) -> Self {
        let mut writer = Self { out: Out::new(out), finished: false };
        writer.out.put(VERSION);
        writer.out.put(b"\r\n");
        writer
    }

    /// Begins with `NATS/1.0 code description`; a code above 999 is written as 999.
    ///
    /// ```
    /// use lunix_proto::nats::header::Writer;
    /// let mut out = [0; 16];
    /// let len = Writer::with_status(&mut out, 503, "").finish().unwrap();
    /// assert_eq!(&out[..len], b"NATS/1.0 503\r\n\r\n");
    /// ```
    pub fn with_status(out: &'o mut [u8], code: u16, description: &str) -> Self {
        let mut writer = Self { out: Out::new(out), finished: false };
        writer.out.put(VERSION);
        let code = code.min(999);
        let digit = |value: u16| b'0' + (value % 10) as u8;
        writer.out.put(&[b' ', digit(code / 100), digit(code / 10), digit(code)]);
        if !description.is_empty() {
            writer.out.put(b" ");
            writer.put_value(description.as_bytes());
        }
        writer.out.put(b"\r\n");
        writer
    }

    /// Adds a field; after [`finish`](Self::finish) nothing.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        if !self.finished {
            if name.is_empty() {
                self.out.put(b"_");
            }
            for byte in name.bytes() {
                self.out.put(&[if byte.is_ascii_graphic() && byte != b':' { byte } else { b'_' }]);
            }
            self.out.put(b": ");
            self.put_value(value);
            self.out.put(b"\r\n");
        }
        self
    }

    /// Ends the block with its empty line and returns its length.
    pub fn finish(&mut self) -> Result<usize, Full> {
        if !self.finished {
            self.out.put(b"\r\n");
            self.finished = true;
        }
        self.out.finish()
    }

    fn put_value(&mut self, value: &[u8]) {
        for (index, line) in value.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            if index > 0 {
                self.out.put(b" ");
            }
            self.out.put(line);
        }
    }
}
