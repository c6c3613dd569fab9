//! Writes a uevent in the kernel's form: for tests, fakes and replays.

use crate::{MAX_MESSAGE, MAX_VARS};
use core::fmt;

/// Why a message cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The buffer is too small for a message of `needed` bytes.
    Full {
        /// The bytes that the message would need.
        needed: usize,
    },
    /// The message would be longer than any receiver takes.
    TooLong,
    /// More variables than the kernel can send.
    TooManyVars,
    /// A part cannot be written so that it reads back the same: it holds a NUL, the key is empty or holds `=`,
    /// the action is empty or holds `@`, the path does not begin with `/`, or `ACTION` or `DEVPATH` is
    /// given another value than the header's.
    Malformed,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needed } => write!(f, "the buffer is smaller than the message's {needed} bytes"),
            Self::TooLong => f.write_str("longer than a receiver takes"),
            Self::TooManyVars => write!(f, "more than {MAX_VARS} variables"),
            Self::Malformed => f.write_str("a part that would not read back the same"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Writes a kernel uevent into a buffer: the header, `ACTION`, `DEVPATH`, then what [`var`](Self::var) is
/// given. What goes wrong on the way is said once, by [`finish`](Self::finish).
///
/// ```
/// use lunix_uevent::{BuildError, Builder, Uevent};
/// let mut buffer = [0; 128];
/// let len = Builder::new(&mut buffer, b"add", b"/devices/virtual/mem/null")
///     .var("SUBSYSTEM", "mem")
///     .var("SEQNUM", "7")
///     .finish()?;
/// let uevent = Uevent::parse(&buffer[..len]).unwrap();
/// assert_eq!((uevent.subsystem(), uevent.seqnum()), (&b"mem"[..], Some(7)));
///
/// let small = Builder::new(&mut [0; 8], b"add", b"/devices/virtual/mem/null").finish();
/// assert_eq!(small, Err(BuildError::Full { needed: 75 }));
/// # Ok::<(), BuildError>(())
/// ```
#[derive(Debug)]
pub struct Builder<'b> {
    strings: Strings<'b>,
    vars: usize,
    /// Lengths of the header's parts, to compare with a repeated `ACTION` or `DEVPATH`.
    action: usize,
    devpath: usize,
    malformed: bool,
}

impl<'b> Builder<'b> {
    /// Writes the header and the variables `ACTION` and `DEVPATH`, as the kernel does.
    pub fn new(out: &'b mut [u8], action: &[u8], devpath: &[u8]) -> Self {
        let mut strings = Strings::new(out, 0);
        strings.push(&[action, b"@", devpath]);
        strings.push(&[b"ACTION=", action]);
        strings.push(&[b"DEVPATH=", devpath]);
        let malformed = action.is_empty() || action.contains(&b'@') || !devpath.starts_with(b"/");
        Self { strings, vars: 2, action: action.len(), devpath: devpath.len(), malformed }
    }

    /// Adds `key=value`. `ACTION` and `DEVPATH` are written already: to say them again changes nothing, so
    /// that all variables of a parsed message can be put in.
    #[must_use]
    pub fn var(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.push_var(key.as_ref(), value.as_ref());
        self
    }

    fn push_var(&mut self, key: &[u8], value: &[u8]) {
        let said = match key {
            b"ACTION" => 0..self.action,
            b"DEVPATH" => self.action + 1..self.action + 1 + self.devpath,
            _ => {
                self.vars = self.vars.saturating_add(1);
                self.malformed |= !is_key(key);
                return self.strings.push(&[key, b"=", value]);
            }
        };
        // Without room for the header there is nothing to compare with, and `finish` fails anyway.
        self.malformed |= self.strings.out.get(said).is_some_and(|said| said != value);
    }

    /// The length of the message.
    pub fn finish(self) -> Result<usize, BuildError> {
        if self.malformed {
            return Err(BuildError::Malformed);
        }
        if self.vars > MAX_VARS {
            return Err(BuildError::TooManyVars);
        }
        self.strings.finish(MAX_MESSAGE)
    }
}

pub(crate) fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && !key.contains(&b'=')
}

/// NUL-terminated strings in a buffer. Counts on after the buffer is full.
#[derive(Debug)]
pub(crate) struct Strings<'b> {
    pub(crate) out: &'b mut [u8],
    pub(crate) len: usize,
    nul_inside: bool,
}

impl<'b> Strings<'b> {
    pub(crate) fn new(out: &'b mut [u8], len: usize) -> Self {
        Self { out, len, nul_inside: false }
    }

    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.nul_inside |= part.contains(&0);
            self.put(part);
        }
        self.put(&[0]);
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    pub(crate) fn finish(&self, limit: usize) -> Result<usize, BuildError> {
        if self.nul_inside {
            Err(BuildError::Malformed)
        } else if self.len > limit {
            Err(BuildError::TooLong)
        } else if self.len > self.out.len() {
            Err(BuildError::Full { needed: self.len })
        } else {
            Ok(self.len)
        }
    }
}
