//! The manifest of an image: which files its root file system has, so that two images can be compared without reading them.
//!
//! One line a file, sorted by path: 16 hexadecimal digits, the number of bytes, the path, with one space between them. The
//! digits are the first eight bytes of a SHA-256 over what the file is; whoever makes the image decides what that covers
//! (`lunix upgrade --pack`: mode in octal, a space, then the content or the target of the link).
//!
//! ```
//! use lunix_core::slots::manifest::{Change, Manifest};
//! let old = Manifest::parse(b"00000000000000aa 10 /bin/sh\n00000000000000bb 20 /etc/hosts\n")?;
//! let new = Manifest::parse(b"00000000000000ac 11 /bin/sh\n00000000000000cc 5 /etc/issue\n")?;
//! let changes: Vec<_> = old.changes(&new).map(|change| (change.path(), change.bytes())).collect();
//! assert_eq!(changes, [("/bin/sh", 1), ("/etc/hosts", -20), ("/etc/issue", 5)]);
//! # Ok::<(), lunix_core::slots::manifest::ManifestError>(())
//! ```

use core::cmp::Ordering;
use core::iter::Peekable;

use super::image::MAX_MANIFEST;

/// The longest path.
pub const MAX_PATH: usize = 512;

/// A list of files that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a>(&'a str);

/// A file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// The same as long as the file is.
    pub hash: u64,
    /// Bytes.
    pub len: u32,
    /// From the root on, `/etc/hosts`.
    pub path: &'a str,
}

/// The number of the line, from 1, that is no file or does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError(pub u32);

impl core::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {} of the manifest is no file, or not in its place", self.0)
    }
}

impl core::error::Error for ManifestError {}

/// What one image has otherwise than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only the new one has it.
    Added(File<'a>),
    /// Only the old one has it.
    Removed(File<'a>),
    /// The old one, and the new one.
    Changed(File<'a>, File<'a>),
}

impl<'a> Change<'a> {
    /// Of the file.
    pub const fn path(&self) -> &'a str {
        match self {
            Self::Added(file) | Self::Removed(file) | Self::Changed(_, file) => file.path,
        }
    }

    /// How many bytes more the new image has for it.
    pub fn bytes(&self) -> i64 {
        match self {
            Self::Added(file) => i64::from(file.len),
            Self::Removed(file) => -i64::from(file.len),
            Self::Changed(old, new) => i64::from(new.len) - i64::from(old.len),
        }
    }
}

impl<'a> Manifest<'a> {
    /// A manifest without a file.
    pub const EMPTY: Self = Self("");

    /// Checks every line.
    ///
    /// # Errors
    /// The first line that is at fault; line 0 if it is longer than [`MAX_MANIFEST`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ManifestError> {
        let text = core::str::from_utf8(bytes).map_err(|_| ManifestError(0))?;
        if u32::try_from(text.len()).is_ok_and(|len| len > MAX_MANIFEST) {
            return Err(ManifestError(0));
        }
        let (mut before, mut number) = ("", 0_u32);
        for line in text.split_inclusive('\n') {
            number = number.saturating_add(1);
            let file = line.strip_suffix('\n').and_then(file).ok_or(ManifestError(number))?;
            if file.path <= before {
                return Err(ManifestError(number));
            }
            before = file.path;
        }
        Ok(Self(text))
    }

    /// Its files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> + Clone + use<'a> {
        self.0.lines().filter_map(file)
    }

    /// What `new` has otherwise, sorted by path.
    pub fn changes(&self, new: &Manifest<'a>) -> impl Iterator<Item = Change<'a>> + use<'a> {
        Changes { old: self.files().peekable(), new: new.files().peekable() }
    }
}

struct Changes<I: Iterator> {
    old: Peekable<I>,
    new: Peekable<I>,
}

impl<'a, I: Iterator<Item = File<'a>>> Iterator for Changes<I> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        loop {
            let order = match (self.old.peek(), self.new.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(new.path),
            };
            match order {
                Ordering::Less => return self.old.next().map(Change::Removed),
                Ordering::Greater => return self.new.next().map(Change::Added),
                Ordering::Equal => {
                    let (old, new) = (self.old.next()?, self.new.next()?);
                    if old != new {
                        return Some(Change::Changed(old, new));
                    }
                }
            }
        }
    }
}

fn file(line: &str) -> Option<File<'_>> {
    let (hash, rest) = line.split_once(' ')?;
    let (len, path) = rest.split_once(' ')?;
    let digits = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hash.len() != 16 || !digits(hash) || !digits(len) {
        return None;
    }
    let well = path.starts_with('/') && path.len() <= MAX_PATH && !path.chars().any(char::is_control);
    let hash = u64::from_str_radix(hash, 16).ok()?;
    well.then_some(File { hash, len: len.parse().ok()?, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_at_fault_is_named() {
        let cases: [(&[u8], u32); 8] = [
            (b"00000000000000aa 10 /a\n00000000000000aa 10 /a\n", 2),
            (b"00000000000000aa 10 /b\n00000000000000aa 10 /a\n", 2),
            (b"00000000000000aa 10 /a", 1),
            (b"00000000000000aa 10 a\n", 1),
            (b"0aa 10 /a\n", 1),
            (b"00000000000000aa +1 /a\n", 1),
            (b"00000000000000aa 10 /\x1b\n", 1),
            (b"\xFF", 0),
        ];
        for (text, line) in cases {
            assert_eq!(Manifest::parse(text), Err(ManifestError(line)), "{text:?}");
        }
        assert_eq!(Manifest::parse(b""), Ok(Manifest::EMPTY));
    }
}
