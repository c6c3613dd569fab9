//! Short text of a fixed number of bytes, as headers have it.

use core::fmt;

/// Printable ASCII of at most `N` bytes, filled up with NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name<const N: usize>([u8; N]);

impl<const N: usize> Name<N> {
    /// No text.
    pub const EMPTY: Self = Self([0; N]);

    /// `text`, if it fits and has nothing but printable ASCII.
    ///
    /// ```
    /// use lunix_core::slots::Name;
    /// assert_eq!(Name::<8>::new("arm-virt").unwrap().as_str(), "arm-virt");
    /// assert!(Name::<8>::new("arm-virt2").is_none());
    /// assert!(Name::<8>::new("a\nb").is_none());
    /// ```
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Self::decode(bytes)
    }

    /// The text in these bytes: nothing but NUL after it.
    pub fn decode(bytes: [u8; N]) -> Option<Self> {
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(N);
        let (text, rest) = bytes.split_at_checked(len)?;
        let well = text.iter().all(|byte| matches!(byte, b' '..=b'~')) && rest.iter().all(|byte| *byte == 0);
        well.then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(N);
        self.0.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
    }

    /// The bytes of a header.
    pub const fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
