//! Keys as text: base32 (RFC 4648, capitals, no padding) of a prefix, 32 bytes and a little-endian CRC-16.

use super::KeyError;
use super::crc::crc16;

/// Whose key it is: the first letter of its text, or the second one of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `O`
    Operator,
    /// `A`
    Account,
    /// `U`
    User,
    /// `N`
    Server,
    /// `C`
    Cluster,
}

impl Kind {
    const fn prefix(self) -> u8 {
        match self {
            Self::Operator => 14 << 3,
            Self::Account => 0,
            Self::User => 20 << 3,
            Self::Server => 13 << 3,
            Self::Cluster => 2 << 3,
        }
    }

    fn of(prefix: u8) -> Option<Self> {
        [Self::Operator, Self::Account, Self::User, Self::Server, Self::Cluster]
            .into_iter()
            .find(|kind| kind.prefix() == prefix)
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    /// Whose.
    pub kind: Kind,
    /// The Ed25519 key.
    pub bytes: [u8; 32],
}

/// A secret key, from which the others follow. It is not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// Whose.
    pub kind: Kind,
    /// The Ed25519 seed.
    pub bytes: [u8; 32],
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Seed").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Prefix, key and checksum, in bytes and in letters.
const PUBLIC: usize = 35;
const PUBLIC_TEXT: usize = 56;
/// A seed has two bytes of prefix.
const SEED: usize = 36;
const SEED_TEXT: usize = 58;
const SEED_PREFIX: u8 = 18 << 3;

impl PublicKey {
    /// Reads the text of a public key of any kind.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut raw = [0; PUBLIC];
        decode(text, PUBLIC_TEXT, &mut raw)?;
        let [prefix, rest @ ..] = raw;
        let kind = Kind::of(prefix).ok_or(KeyError::Prefix)?;
        let bytes = *rest.first_chunk().ok_or(KeyError::Text)?;
        Ok(Self { kind, bytes })
    }

    /// Reads the text of a public key of this kind.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_as(kind: Kind, text: &str) -> Result<Self, KeyError> {
        Self::parse(text).and_then(|key| if key.kind == kind { Ok(key) } else { Err(KeyError::Prefix) })
    }

    /// Its text.
    pub fn text(&self) -> PublicKeyText {
        let mut raw = [0; PUBLIC];
        let [prefix, rest @ ..] = &mut raw;
        *prefix = self.kind.prefix();
        rest.iter_mut().zip(self.bytes).for_each(|(place, byte)| *place = byte);
        let mut text = [0; PUBLIC_TEXT];
        encode(&mut raw, &mut text);
        PublicKeyText(text)
    }
}

/// The text of a public key: 56 letters and digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKeyText([u8; PUBLIC_TEXT]);

impl PublicKeyText {
    /// As a string.
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl core::fmt::Display for PublicKeyText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Debug for PublicKeyText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl Seed {
    /// Reads the text of a seed.
    ///
    /// ```
    /// use lunix_proto::nkey::{Kind, Seed};
    /// let seed = Seed::parse("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY").unwrap();
    /// assert_eq!(seed.kind, Kind::User);
    /// ```
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut raw = [0; SEED];
        decode(text, SEED_TEXT, &mut raw)?;
        let [first, second, rest @ ..] = raw;
        // Five bits say that it is a seed, the next eight whose.
        if first & 0xF8 != SEED_PREFIX || second & 0x07 != 0 {
            return Err(KeyError::Prefix);
        }
        let kind = Kind::of(((first & 0x07) << 5) | (second >> 3)).ok_or(KeyError::Prefix)?;
        let bytes = *rest.first_chunk().ok_or(KeyError::Text)?;
        Ok(Self { kind, bytes })
    }
}

fn decode(text: &str, len: usize, out: &mut [u8]) -> Result<(), KeyError> {
    if text.len() != len {
        return Err(KeyError::Text);
    }
    let mut places = out.iter_mut();
    let (mut bits, mut count) = (0_u16, 0);
    for letter in text.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return Err(KeyError::Text),
        };
        bits = (bits << 5) | u16::from(digit);
        count += 5;
        if count >= 8 {
            count -= 8;
            let [_, low] = (bits >> count).to_be_bytes();
            *places.next().ok_or(KeyError::Text)? = low;
            bits &= (1 << count) - 1;
        }
    }
    // Bits that say nothing must be none, or one key would have several texts.
    if bits != 0 {
        return Err(KeyError::Text);
    }
    let (key, check) = out.split_last_chunk::<2>().ok_or(KeyError::Text)?;
    if crc16(key) == u16::from_le_bytes(*check) { Ok(()) } else { Err(KeyError::Checksum) }
}

/// Puts the checksum in its place at the end of `raw`, and writes all of it.
fn encode(raw: &mut [u8], text: &mut [u8]) {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    if let Some((key, check)) = raw.split_last_chunk_mut::<2>() {
        *check = crc16(key).to_le_bytes();
    }
    let mut bytes = raw.iter();
    let (mut bits, mut count) = (0_u16, 0);
    for place in text {
        if count < 5 {
            bits = (bits << 8) | u16::from(bytes.next().copied().unwrap_or(0));
            count += 8;
        }
        count -= 5;
        let digit = usize::from((bits >> count) & 31);
        bits &= (1 << count) - 1;
        *place = ALPHABET.get(digit).copied().unwrap_or(b'A');
    }
}
