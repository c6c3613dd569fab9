//! The decoder of frames.
//!
//! # Grammar
//!
//! ```text
//!  0               1                                   extended length        masking key
//! +-+-+-+-+-------+-+-------------+ +---------------------------+ +----------------+ +---------
//! |F|R|R|R| opcode|M| length      | | 126: 2 bytes, above 125   | | if M: 4 bytes  | | payload
//! |I|S|S|S|       | | 0..=125     | | 127: 8 bytes, above 65535 | |                | |
//! |N|V|V|V|       | |             | |      and below 2^63       | |                | |
//! +-+-+-+-+-------+-+-------------+ +---------------------------+ +----------------+ +---------
//! ```
//!
//! | frame                      | allowed                                                |
//! |----------------------------|--------------------------------------------------------|
//! | 0x0 continuation           | while a message is unfinished                          |
//! | 0x1 text, 0x2 binary       | while none is                                          |
//! | 0x8 close, 0x9 ping, 0xA pong | always, FIN set, at most 125 bytes                  |
//!
//! RSV bits are zero. What a client sends is masked, what a server sends is not. Each rule is held at the first
//! byte that breaks it.

use super::utf8::Utf8;
use super::{Close, CloseCode, Kind, MAX_CONTROL, Mask, Side, opcode};

/// What a caller's buffer must hold at least: the longest head, and the longest control frame's payload.
pub const MAX_UNDECODED: usize = 14 + MAX_CONTROL;

/// Why a stream cannot go on: the peer broke the protocol, or said more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A bit of an extension, and none was agreed on.
    ReservedBits,
    /// An opcode that is not defined.
    Opcode,
    /// A control frame that is a fragment, or longer than 125 bytes.
    Control,
    /// A continuation of nothing, or a message within another.
    Fragmentation,
    /// A client's frame without mask, or a server's with one.
    Masking,
    /// A length in more bytes than it needs, or above 2^63.
    Length,
    /// A Close frame whose payload has one byte, or a code that none may carry.
    Close,
    /// Text that is no UTF-8.
    Utf8,
    /// A message longer than the decoder takes.
    TooBig,
}

impl DecodeError {
    /// The code with which to close.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Utf8 => CloseCode::INVALID_PAYLOAD,
            Self::TooBig => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// In a few words, as a Close frame's reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bits are set",
            Self::Opcode => "an unknown opcode",
            Self::Control => "a control frame in fragments or above 125 bytes",
            Self::Fragmentation => "a fragment out of order",
            Self::Masking => "masked by the wrong side",
            Self::Length => "a length out of range",
            Self::Close => "an invalid close frame",
            Self::Utf8 => "text that is not UTF-8",
            Self::TooBig => "the message is too big",
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for DecodeError {}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The next bytes of a message, none if a frame has none. Where frames begin and end within it is not said.
    Data {
        /// The same for all of a message.
        kind: Kind,
        /// Unmasked. Of text, it may begin and end within a character; that it is UTF-8 is checked.
        bytes: &'b [u8],
        /// The message ends with them.
        last: bool,
    },
    /// To be answered by a Pong of the same payload, at most [`MAX_CONTROL`] bytes.
    Ping(&'b [u8]),
    /// The answer to a Ping, or unasked for.
    Pong(&'b [u8]),
    /// To be answered by a Close, unless this is the answer. Nothing is decoded after it.
    Close(Option<Close<'b>>),
}

/// Decodes what one side sends.
///
/// The caller keeps the bytes. The decoder remembers where in a frame and a message it is, in at most
/// 96 bytes.
#[derive(Clone, Debug)]
pub struct Decoder {
    sender: Side,
    max_message: u64,
    /// The message that is unfinished.
    message: Option<Message>,
    /// The data frame whose payload comes.
    frame: Option<Frame>,
    /// Nothing follows.
    ended: Option<Result<(), DecodeError>>,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    kind: Kind,
    /// The lengths of its frames up to now.
    len: u64,
    text: Utf8,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    left: u64,
    mask: Option<Mask>,
}

impl Decoder {
    /// At the beginning of what `sender` sends after the handshake; no message is longer than `max_message` bytes.
    pub const fn new(sender: Side, max_message: u64) -> Self {
        Self { sender, max_message, message: None, frame: None, ended: None }
    }

    /// Decodes what `bytes` begins with and says how many of them that was.
    ///
    /// `bytes` starts at the first byte not yet consumed. After `None` the next call must pass the same bytes and
    /// more at their end, which are never more than [`MAX_UNDECODED`]; after an event, what follows its length.
    /// Only bytes that are consumed are changed.
    ///
    /// # Errors
    /// The peer is at fault; it is to be told by [`DecodeError::close_code`]. An error is final.
    pub fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Result<Option<(Event<'b>, usize)>, DecodeError> {
        if let Some(end) = self.ended {
            return end.map(|()| None);
        }
        let found = self.next(bytes);
        if let Err(error) = found {
            self.ended = Some(Err(error));
        }
        found
    }

    fn next<'b>(&mut self, bytes: &'b mut [u8]) -> Result<Option<(Event<'b>, usize)>, DecodeError> {
        if let Some(frame) = self.frame {
            return self.payload(frame, 0, bytes);
        }
        let Some(head) = self.head(bytes)? else { return Ok(None) };
        if head.opcode >= opcode::CLOSE {
            return self.control(&head, bytes);
        }
        let message = self.message_with(&head)?;
        // An empty frame is all there; of another, some of its payload is waited for.
        if head.len > 0 && bytes.len() == head.size {
            return Ok(None);
        }
        self.message = Some(message);
        let frame = Frame { fin: head.fin, left: head.len, mask: head.mask };
        self.payload(frame, head.size, bytes)
    }

    /// The head that `bytes` begins with, held against every rule as far as it is there.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, DecodeError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        if first & 0x70 != 0 {
            return Err(DecodeError::ReservedBits);
        }
        match (opcode, &self.message) {
            (opcode::CONTINUATION, Some(_)) | (opcode::TEXT | opcode::BINARY, None) => {}
            (opcode::CONTINUATION | opcode::TEXT | opcode::BINARY, _) => {
                return Err(DecodeError::Fragmentation);
            }
            (opcode::CLOSE | opcode::PING | opcode::PONG, _) if fin => {}
            (opcode::CLOSE | opcode::PING | opcode::PONG, _) => return Err(DecodeError::Control),
            _ => return Err(DecodeError::Opcode),
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if masked != matches!(self.sender, Side::Client) {
            return Err(DecodeError::Masking);
        }
        let (len, size) = match second & 0x7F {
            126 | 127 if opcode >= opcode::CLOSE => return Err(DecodeError::Control),
            126 => {
                let Some(len) = array(bytes, 2) else { return Ok(None) };
                (u64::from(u16::from_be_bytes(len)), 4)
            }
            127 => {
                let Some(len) = array(bytes, 2) else { return Ok(None) };
                (u64::from_be_bytes(len), 10)
            }
            len => (u64::from(len), 2),
        };
        let least = match size {
            4 => 126,
            10 => 1 << 16,
            _ => 0,
        };
        if len < least || len >> 63 != 0 {
            return Err(DecodeError::Length);
        }
        if !masked {
            return Ok(Some(Head { fin, opcode, len, mask: None, size }));
        }
        let key = array(bytes, size);
        Ok(key.map(|key| Head { fin, opcode, len, mask: Some(Mask::new(key)), size: size + 4 }))
    }

    /// The message as it is with this frame.
    fn message_with(&self, head: &Head) -> Result<Message, DecodeError> {
        let before = self.message.unwrap_or(Message {
            kind: if head.opcode == opcode::TEXT { Kind::Text } else { Kind::Binary },
            len: 0,
            text: Utf8::default(),
        });
        let len = before.len.saturating_add(head.len);
        if len > self.max_message { Err(DecodeError::TooBig) } else { Ok(Message { len, ..before }) }
    }

    /// A control frame, once all of it is there.
    fn control<'b>(
        &mut self,
        head: &Head,
        bytes: &'b mut [u8],
    ) -> Result<Option<(Event<'b>, usize)>, DecodeError> {
        // No more than MAX_CONTROL.
        let end = head.size + head.len as usize;
        let Some(payload) = bytes.get_mut(head.size..end) else { return Ok(None) };
        if let Some(mut mask) = head.mask {
            mask.apply(payload);
        }
        let payload: &[u8] = payload;
        let event = match head.opcode {
            opcode::PING => Event::Ping(payload),
            opcode::PONG => Event::Pong(payload),
            _ => {
                let close = close(payload)?;
                self.ended = Some(Ok(()));
                Event::Close(close)
            }
        };
        Ok(Some((event, end)))
    }

    /// What is there of the payload of a data frame, from `start` on.
    fn payload<'b>(
        &mut self,
        mut frame: Frame,
        start: usize,
        bytes: &'b mut [u8],
    ) -> Result<Option<(Event<'b>, usize)>, DecodeError> {
        let there = bytes.len().saturating_sub(start);
        let len = usize::try_from(frame.left).map_or(there, |left| left.min(there));
        let (Some(piece), Some(message)) = (bytes.get_mut(start..start + len), &mut self.message) else {
            return Ok(None);
        };
        if frame.left > 0 && len == 0 {
            return Ok(None);
        }
        if let Some(mask) = &mut frame.mask {
            mask.apply(piece);
        }
        frame.left -= len as u64;
        let ends = frame.left == 0;
        let last = ends && frame.fin;
        let kind = message.kind;
        if kind == Kind::Text && !(message.text.push(piece) && (!last || message.text.is_whole())) {
            return Err(DecodeError::Utf8);
        }
        self.frame = (!ends).then_some(frame);
        if last {
            self.message = None;
        }
        Ok(Some((Event::Data { kind, bytes: piece, last }, start + len)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Head {
    fin: bool,
    opcode: u8,
    /// Of the payload.
    len: u64,
    mask: Option<Mask>,
    /// Of the head itself, in bytes.
    size: usize,
}

/// What a Close frame's payload says (section 5.5.1).
fn close(payload: &[u8]) -> Result<Option<Close<'_>>, DecodeError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(DecodeError::Close) };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(DecodeError::Close);
    }
    let reason = core::str::from_utf8(reason).map_err(|_| DecodeError::Utf8)?;
    Ok(Some(Close { code, reason }))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
