//! The libudev monitor message: how a device manager tells libudev's users about devices.
//!
//! ```text
//! offset  bytes  byte order  meaning
//!      0      8              "libudev" NUL
//!      8      4  big         magic 0xfeedcafe
//!     12      4  native      length of the header, 40
//!     16      4  native      where the properties start
//!     20      4  native      how many bytes they are
//!     24      4  big         hash of SUBSYSTEM, 0 without
//!     28      4  big         hash of DEVTYPE, 0 without
//!     32      8  big         Bloom filter of TAGS, 0 without
//!                            then KEY=VALUE NUL for each property
//! ```
//!
//! The hashes are MurmurHash2 with seed 0. Receivers filter by them in the kernel, before any process wakes
//! up. A message goes to multicast group 2 of the uevent socket family and must come from root;
//! libudev ignores one without `ACTION`, `DEVPATH`, `SUBSYSTEM` and `SEQNUM`.

use crate::builder::{BuildError, Strings, is_key};
use crate::message::{Uevent, split, value_of};
use crate::{Action, murmur};
use core::fmt;

/// The most bytes to send: what every libudev receives. systemd's own takes, and sends, more.
pub const MAX_MESSAGE: usize = 8192;

/// The length of the header that this module writes.
pub const HEADER_LEN: usize = 40;

pub(crate) const PREFIX: [u8; 8] = *b"libudev\0";

const MAGIC: u32 = 0xfeed_cafe;

/// The hash by which libudev filters subsystems and device types.
///
/// ```
/// assert_eq!(lunix_uevent::monitor::hash(b"block"), 0xf003_1db7);
/// ```
pub fn hash(name: &[u8]) -> u32 {
    murmur::hash(name)
}

/// The bits that `tag` sets in a message's Bloom filter: four of 64, or fewer where they coincide.
///
/// ```
/// # use lunix_uevent::monitor::bloom;
/// assert!((1..=4).contains(&bloom(b"seat").count_ones()));
/// ```
pub fn bloom(tag: &[u8]) -> u64 {
    let hash = murmur::hash(tag);
    [0, 6, 12, 18].into_iter().fold(0, |bits, shift| bits | 1 << (hash >> shift & 63))
}

/// Why bytes are not a libudev message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Fewer bytes than the header needs.
    TooShort,
    /// Does not begin with `libudev` and the magic number.
    Magic,
    /// The properties are not where the header says, or begin inside it.
    Layout,
    /// The last property does not end in NUL.
    NotTerminated,
    /// The string that starts at this offset is not `KEY=VALUE`.
    Property(usize),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "shorter than {HEADER_LEN} bytes"),
            Self::Magic => f.write_str("does not begin with libudev's magic"),
            Self::Layout => f.write_str("the properties are not where the header says"),
            Self::NotTerminated => f.write_str("does not end in NUL"),
            Self::Property(at) => write!(f, "no KEY=VALUE at byte {at}"),
        }
    }
}

impl core::error::Error for ParseError {}

/// A libudev message: borrowed bytes. Of any length, for systemd sends more than [`MAX_MESSAGE`]; the hashes
/// are the sender's and not checked against the properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    properties: &'b [u8],
    subsystem_hash: u32,
    devtype_hash: u32,
    tag_bloom: u64,
}

impl<'b> Message<'b> {
    /// Reads one datagram.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, ParseError> {
        let (&header, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::TooShort)?;
        let field = |at: usize| match header.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(word) => *word,
            None => [0; 4],
        };
        let native = |at| u32::from_ne_bytes(field(at)) as usize;
        let big = |at| u32::from_be_bytes(field(at));
        if !header.starts_with(&PREFIX) || big(8) != MAGIC {
            return Err(ParseError::Magic);
        }
        let (start, len) = (native(16), native(20));
        if start < HEADER_LEN {
            return Err(ParseError::Layout);
        }
        let properties = bytes.get(start..start.saturating_add(len)).ok_or(ParseError::Layout)?;
        check_properties(properties, start)?;
        Ok(Self {
            properties,
            subsystem_hash: big(24),
            devtype_hash: big(28),
            tag_bloom: u64::from(big(32)) << 32 | u64::from(big(36)),
        })
    }

    /// The properties in the sender's order.
    pub fn properties(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'b> {
        strings(self.properties).filter_map(split)
    }

    /// The value of the property named `key`; of the last one, as libudev has it, if there are several.
    pub fn get(&self, key: &str) -> Option<&'b [u8]> {
        let key = key.as_bytes();
        let values = strings(self.properties).filter_map(|property| value_of(property, key));
        values.last().filter(|_| !key.contains(&b'='))
    }

    /// `ACTION`, as the kernel names it.
    pub fn action(&self) -> Option<Action<'b>> {
        self.get("ACTION").map(Action::from_bytes)
    }

    /// The hash of `SUBSYSTEM`; 0 if the device has none.
    pub const fn subsystem_hash(&self) -> u32 {
        self.subsystem_hash
    }

    /// The hash of `DEVTYPE`; 0 if the device has none.
    pub const fn devtype_hash(&self) -> u32 {
        self.devtype_hash
    }

    /// The [`bloom`] bits of all `TAGS`.
    pub const fn tag_bloom(&self) -> u64 {
        self.tag_bloom
    }
}

fn check_properties(properties: &[u8], start: usize) -> Result<(), ParseError> {
    if properties.last().is_some_and(|&last| last != 0) {
        return Err(ParseError::NotTerminated);
    }
    let mut at = start;
    for property in strings(properties) {
        if split(property).is_none_or(|(key, _)| key.is_empty()) {
            return Err(ParseError::Property(at));
        }
        at += property.len() + 1;
    }
    Ok(())
}

fn strings(nul_terminated: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    // Without the last NUL, which would make an empty string after itself; nothing has no strings at all.
    let body = nul_terminated.split_last().map(|(_, body)| body.split(|&byte| byte == 0));
    body.into_iter().flatten()
}

/// Writes a libudev message into a buffer. `SUBSYSTEM`, `DEVTYPE` and `TAGS` (`:tag:tag:`) make the hashes of
/// the header. What goes wrong on the way is said once, by [`finish`](Self::finish).
///
/// ```
/// use lunix_uevent::monitor::{Builder, Message, bloom, hash};
/// let mut buffer = [0; 256];
/// let len = Builder::new(&mut buffer)
///     .property("ACTION", "add")
///     .property("DEVPATH", "/devices/virtual/mem/null")
///     .property("SUBSYSTEM", "mem")
///     .property("SEQNUM", "7")
///     .property("TAGS", ":seat:")
///     .finish()?;
/// let message = Message::parse(&buffer[..len]).unwrap();
/// assert_eq!(message.get("SEQNUM"), Some(&b"7"[..]));
/// assert_eq!(message.subsystem_hash(), hash(b"mem"));
/// assert_eq!((message.devtype_hash(), message.tag_bloom()), (0, bloom(b"seat")));
/// # Ok::<(), lunix_uevent::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Builder<'b> {
    strings: Strings<'b>,
    subsystem_hash: u32,
    devtype_hash: u32,
    tag_bloom: u64,
    malformed: bool,
}

impl<'b> Builder<'b> {
    /// Starts with no properties.
    pub fn new(out: &'b mut [u8]) -> Self {
        let strings = Strings::new(out, HEADER_LEN);
        Self { strings, subsystem_hash: 0, devtype_hash: 0, tag_bloom: 0, malformed: false }
    }

    /// Starts with all variables of `uevent`.
    ///
    /// ```
    /// use lunix_uevent::{Uevent, monitor};
    /// let uevent = Uevent::parse(b"add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=mem\0SEQNUM=7\0").unwrap();
    /// let mut buffer = [0; 256];
    /// let len = monitor::Builder::from_uevent(&mut buffer, &uevent).property("TAGS", ":seat:").finish()?;
    /// assert_eq!(monitor::Message::parse(&buffer[..len]).unwrap().properties().count(), 5);
    /// # Ok::<(), lunix_uevent::BuildError>(())
    /// ```
    pub fn from_uevent(out: &'b mut [u8], uevent: &Uevent<'_>) -> Self {
        let mut builder = Self::new(out);
        for (key, value) in uevent.vars() {
            builder.push(key, value);
        }
        builder
    }

    /// Adds `key=value`.
    #[must_use]
    pub fn property(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.push(key.as_ref(), value.as_ref());
        self
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"SUBSYSTEM" => self.subsystem_hash = hash(value),
            b"DEVTYPE" => self.devtype_hash = hash(value),
            b"TAGS" => {
                let tags = value.split(|&byte| byte == b':').filter(|tag| !tag.is_empty());
                self.tag_bloom = tags.fold(0, |bits, tag| bits | bloom(tag));
            }
            _ => self.malformed |= !is_key(key),
        }
        self.strings.push(&[key, b"=", value]);
    }

    /// Writes the header; the length of the message.
    pub fn finish(self) -> Result<usize, BuildError> {
        if self.malformed {
            return Err(BuildError::Malformed);
        }
        let len = self.strings.finish(MAX_MESSAGE)?;
        let fields = [
            MAGIC.to_be_bytes(),
            (HEADER_LEN as u32).to_ne_bytes(),
            (HEADER_LEN as u32).to_ne_bytes(),
            ((len - HEADER_LEN) as u32).to_ne_bytes(),
            self.subsystem_hash.to_be_bytes(),
            self.devtype_hash.to_be_bytes(),
            ((self.tag_bloom >> 32) as u32).to_be_bytes(),
            (self.tag_bloom as u32).to_be_bytes(),
        ];
        let header = PREFIX.iter().chain(fields.as_flattened());
        for (to, from) in self.strings.out.iter_mut().zip(header) {
            *to = *from;
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn message() -> ([u8; 64], usize) {
        let mut buffer = [0; 64];
        let len = Builder::new(&mut buffer).property("K", "v").property("E", "").finish().unwrap();
        (buffer, len)
    }

    #[test]
    fn malformed_messages_are_named() {
        let damaged = |at: usize, byte: u8| {
            let (mut buffer, len) = message();
            buffer[at] = byte;
            Message::parse(&buffer[..len]).map(|message| message.properties().count())
        };
        assert_eq!(damaged(40, b'k'), Ok(2));
        assert_eq!(damaged(0, b'L'), Err(ParseError::Magic));
        assert_eq!(damaged(11, 0), Err(ParseError::Magic));
        let (low, high) = if cfg!(target_endian = "little") { (0, 3) } else { (3, 0) };
        assert_eq!(damaged(16 + low, 39), Err(ParseError::Layout));
        assert_eq!(damaged(16 + low, 41), Err(ParseError::Layout));
        assert_eq!(damaged(16 + high, 255), Err(ParseError::Layout));
        assert_eq!(damaged(20 + low, 255), Err(ParseError::Layout));
        assert_eq!(damaged(20 + low, 0), Ok(0));
        assert_eq!(damaged(20 + low, 5), Err(ParseError::NotTerminated));
        assert_eq!(damaged(40, b'='), Err(ParseError::Property(40)));
        assert_eq!(damaged(45, b'-'), Err(ParseError::Property(44)));
        assert_eq!(Message::parse(b"add@/d\0"), Err(ParseError::TooShort));
    }

    #[test]
    fn get_wants_the_whole_key() {
        let (buffer, len) = message();
        let message = Message::parse(&buffer[..len]).unwrap();
        assert_eq!((message.get("K"), message.get("E")), (Some(&b"v"[..]), Some(&b""[..])));
        assert_eq!((message.get(""), message.get("K=")), (None, None));
        let mut buffer = [0; 64];
        let len =
            Builder::new(&mut buffer).property("DEVTYPE", "a").property("DEVTYPE", "b").finish().unwrap();
        let message = Message::parse(&buffer[..len]).unwrap();
        assert_eq!((message.get("DEVTYPE"), message.devtype_hash()), (Some(&b"b"[..]), hash(b"b")));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn hashes_of_every_rest() {
        let hashes = [&b""[..], b"a", b"ab", b"abc", b"abcd", b"usb_device"].map(hash);
        assert_eq!(hashes, [0, 0x9268_5f5e, 0x1aa1_4063, 0x1357_7c9b, 0x2687_3021, 0x27f8_f50c]);
    }
}
