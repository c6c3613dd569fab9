//! Labels and UUIDs: short texts in place.

/// The label of a volume, in UTF-8 unless the file system holds bytes of another code page.
pub type Label = Text<96>;

/// The UUID or serial number of a volume, as blkid prints it.
pub type Uuid = Text<38>;

/// The version of a file system's format.
pub type Version = Text<24>;

/// At most `N` bytes of text; `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// All of `bytes`; `None` if they are too many.
    ///
    /// ```
    /// use lunix_core::device::volume::Text;
    /// assert_eq!(Text::<3>::whole(b"abc").unwrap().as_bytes(), b"abc");
    /// assert_eq!(Text::<3>::whole(b"abcd"), None);
    /// ```
    pub fn whole(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= N).then(|| Self::cut(bytes))
    }

    /// As many of `bytes` as there is room for.
    pub fn cut(bytes: &[u8]) -> Self {
        let mut text = Self::EMPTY;
        bytes.iter().for_each(|byte| text.push(*byte));
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// As blkid takes labels: up to the first NUL, without white space at the end. What is too long is cut.
    pub(in crate::device) fn trimmed(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let mut text = Self::EMPTY;
        for byte in bytes.get(..end).unwrap_or_default().trim_ascii_end() {
            text.push(*byte);
        }
        text
    }

    /// From UTF-16 code units up to the first zero, without white space at the end.
    pub(in crate::device) fn from_utf16(units: impl Iterator<Item = u16>) -> Self {
        let mut text = Self::EMPTY;
        for unit in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
            let mut utf8 = [0; 4];
            let utf8 = unit.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut utf8).as_bytes();
            if usize::from(text.len) + utf8.len() > N {
                break;
            }
            utf8.iter().for_each(|byte| text.push(*byte));
        }
        text.len = u8::try_from(text.as_bytes().trim_ascii_end().len()).unwrap_or(text.len);
        text
    }

    pub(in crate::device) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    /// A text of ours, as far as it fits.
    pub(in crate::device) fn of(text: &str) -> Self {
        let mut new = Self::EMPTY;
        text.bytes().for_each(|byte| new.push(byte));
        new
    }

    pub(in crate::device) fn push_decimal(&mut self, number: u32) {
        let mut divisor = 1_000_000_000;
        while divisor > 0 {
            if number >= divisor || divisor == 1 {
                self.push(b'0' + u8::try_from(number / divisor % 10).unwrap_or(0));
            }
            divisor /= 10;
        }
    }

    /// Two digits.
    pub(in crate::device) fn push_hex(&mut self, byte: u8) {
        self.push_digits(byte, b"0123456789abcdef");
    }

    fn push_digits(&mut self, byte: u8, digits: &[u8; 16]) {
        for nibble in [byte >> 4, byte & 15] {
            self.push(digits.get(usize::from(nibble)).copied().unwrap_or(b'?'));
        }
    }
}

impl Uuid {
    /// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; empty if all is zero.
    pub(in crate::device) fn dce(bytes: Option<&[u8]>) -> Self {
        let mut text = Self::EMPTY;
        let Some(bytes) = bytes.filter(|bytes| bytes.iter().any(|byte| *byte != 0)) else { return text };
        for (index, byte) in bytes.iter().enumerate().take(16) {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
            text.push_hex(*byte);
        }
        text
    }

    /// A UUID that stands there as text.
    pub(in crate::device) fn plain(bytes: &[u8]) -> Self {
        let text = Self::trimmed(bytes);
        let valid = text.as_bytes().iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
        if valid { text } else { Self::EMPTY }
    }

    /// `XXXX-XXXX`, from a little-endian serial number; empty if it is zero.
    pub(in crate::device) fn serial32(serial: u32) -> Self {
        let mut text = Self::EMPTY;
        if serial != 0 {
            for (index, byte) in serial.to_be_bytes().into_iter().enumerate() {
                if index == 2 {
                    text.push(b'-');
                }
                text.push_digits(byte, b"0123456789ABCDEF");
            }
        }
        text
    }

    /// `XXXXXXXXXXXXXXXX`; empty if it is zero.
    pub(in crate::device) fn serial64(serial: u64) -> Self {
        let mut text = Self::EMPTY;
        if serial != 0 {
            serial.to_be_bytes().into_iter().for_each(|byte| text.push_digits(byte, b"0123456789ABCDEF"));
        }
        text
    }
}

impl<const N: usize> core::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}
