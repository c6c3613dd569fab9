//! The fields that packets are made of [1.5].

use core::num::NonZeroU16;

use super::DecodeError;

/// What of a packet is not yet read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b> {
    pub(super) rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) const fn new(rest: &'b [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Length)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn two(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn four(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn packet_id(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.two()?).ok_or(DecodeError::PacketId)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Length)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'b [u8], DecodeError> {
        let len = self.two()?;
        self.take(usize::from(len))
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'b str, DecodeError> {
        text(self.binary()?)
    }

    /// In as few bytes as it needs [MQTT-1.5.5-1].
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let Some(Varint { value, len, shortest: true }) = varint(self.rest)? else {
            return Err(DecodeError::Length);
        };
        self.take(len)?;
        Ok(value)
    }
}

/// A variable byte integer [1.5.5].
#[derive(Clone, Copy)]
pub(super) struct Varint {
    pub(super) value: u32,
    /// 1 to 4.
    pub(super) len: usize,
    /// It has as few bytes as it needs.
    pub(super) shortest: bool,
}

/// The integer that `bytes` begins with; `None` if it goes on where they end.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<Option<Varint>, DecodeError> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return Ok(Some(Varint { value, len: at + 1, shortest: at == 0 || byte != 0 }));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(DecodeError::Length) }
}

/// U+0000 must not be in a text [MQTT-1.5.4-2]; other control characters and non-characters should not, and whoever
/// gets them may refuse the packet. They are refused, as mosquitto does: no subject of NATS could hold half of them.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = core::str::from_utf8(bytes).map_err(|_| DecodeError::Text)?;
    let plain = bytes.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if plain || text.chars().all(is_plain) { Ok(text) } else { Err(DecodeError::Text) }
}

const fn is_plain(char: char) -> bool {
    let code = char as u32;
    !char.is_ascii_control()
        && !matches!(code, 0x80..=0x9F | 0xFDD0..=0xFDEF)
        // The last two of each plane.
        && code & 0xFFFE != 0xFFFE
}
