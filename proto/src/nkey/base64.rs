//! Base64 (RFC 4648) in the forms that NATS uses it in: of URLs without padding, and as a client may have it the
//! usual one with padding.

use crate::Full;
use crate::out::Out;

/// Text that is no base64, or for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Error {
    /// It is none.
    Text,
    /// The bytes do not fit.
    Full(Full),
}

impl core::fmt::Display for Base64Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Text => f.write_str("no base64"),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl core::error::Error for Base64Error {}

const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const USUAL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How many bytes `len` letters without padding are, at most.
pub const fn decoded_len(len: usize) -> usize {
    len / 4 * 3 + (len % 4) * 3 / 4
}

/// Writes the bytes of `text` into `out`: letters of URLs, no padding, no bits that say nothing.
///
/// ```
/// use lunix_proto::nkey::base64::decode_url;
/// let mut room = [0; 8];
/// assert_eq!(decode_url("-_8", &mut room), Ok(&b"\xFB\xFF"[..]));
/// assert!(decode_url("+/8", &mut room).is_err() && decode_url("-_8=", &mut room).is_err());
/// ```
///
/// # Errors
/// It is no such text, or `out` is too short for it.
pub fn decode_url<'o>(text: &str, out: &'o mut [u8]) -> Result<&'o [u8], Base64Error> {
    decode(text.as_bytes(), [b'-', b'_'], out)
}

/// Writes the bytes of `text` into `out`: letters of URLs without padding, or the usual ones with it. So
/// nats-server reads signatures.
///
/// # Errors
/// It is no such text, or `out` is too short for it.
pub fn decode_any<'o>(text: &str, out: &'o mut [u8]) -> Result<&'o [u8], Base64Error> {
    let plain = text.bytes().any(|letter| matches!(letter, b'+' | b'/' | b'='));
    if !plain {
        return decode_url(text, out);
    }
    let unpadded = text.trim_end_matches('=');
    let padding = text.len() - unpadded.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(Base64Error::Text);
    }
    decode(unpadded.as_bytes(), [b'+', b'/'], out)
}

fn decode<'o>(text: &[u8], last: [u8; 2], out: &'o mut [u8]) -> Result<&'o [u8], Base64Error> {
    let mut cursor = Out::new(out);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for letter in group {
            let digit = match *letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                other if other == last[0] => 62,
                other if other == last[1] => 63,
                _ => return Err(Base64Error::Text),
            };
            bits = (bits << 6) | u32::from(digit);
        }
        let [_, a, b, c] = match group.len() {
            4 => bits.to_be_bytes(),
            3 if bits & 0x3 == 0 => (bits << 6).to_be_bytes(),
            2 if bits & 0xF == 0 => (bits << 12).to_be_bytes(),
            _ => return Err(Base64Error::Text),
        };
        cursor.put([a, b, c].get(..group.len() - 1).unwrap_or_default());
    }
    let len = cursor.finish().map_err(Base64Error::Full)?;
    let bytes: &'o [u8] = out;
    Ok(bytes.get(..len).unwrap_or_default())
}

/// Writes `bytes` as letters of URLs without padding.
///
/// ```
/// use lunix_proto::nkey::base64::encode_url;
/// let mut room = [0; 8];
/// assert_eq!(encode_url(b"\xFB\xFF", &mut room), Ok("-_8"));
/// ```
///
/// # Errors
/// `out` is too short.
pub fn encode_url<'o>(bytes: &[u8], out: &'o mut [u8]) -> Result<&'o str, Full> {
    encode_with(bytes, URL, b"", out)
}

/// Writes `bytes` as the usual letters, with padding.
///
/// ```
/// use lunix_proto::nkey::base64::encode;
/// let mut room = [0; 8];
/// assert_eq!(encode(b"\xFB\xFF", &mut room), Ok("+/8="));
/// assert_eq!(encode(b"\xFB\xFF", &mut room[..3]).unwrap_err().needed, 4);
/// ```
///
/// # Errors
/// `out` is too short.
pub fn encode<'o>(bytes: &[u8], out: &'o mut [u8]) -> Result<&'o str, Full> {
    encode_with(bytes, USUAL, b"==", out)
}

fn encode_with<'o>(
    bytes: &[u8],
    letters: &[u8; 64],
    padding: &[u8],
    out: &'o mut [u8],
) -> Result<&'o str, Full> {
    let mut cursor = Out::new(out);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded.iter_mut().skip(1).zip(group).for_each(|(place, byte)| *place = *byte);
        let bits = u32::from_be_bytes(padded);
        for shift in [18, 12, 6, 0].into_iter().take(group.len() + 1) {
            let digit = usize::try_from((bits >> shift) & 63).unwrap_or(0);
            cursor.put(&[letters.get(digit).copied().unwrap_or(b'A')]);
        }
        cursor.put(padding.get(..3 - group.len()).unwrap_or_default());
    }
    let len = cursor.finish()?;
    let text: &'o [u8] = out;
    Ok(text.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default())
}
