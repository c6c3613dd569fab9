//! WebSocket (RFC 6455), both sides of it: the opening handshake, frames, masks and close codes.
//!
//! A [`Decoder`] gives payloads in the pieces they come in, unmasked where they lie, so that a message of any
//! size passes through a buffer of any size from [`MAX_UNDECODED`] up. [`encode`] writes the heads of frames; their
//! payload goes out from where it is. Extensions are not negotiated, and their bits are refused.
//!
//! ```
//! use lunix_proto::ws::{Decoder, Event, Kind, Side, encode};
//!
//! // RFC 6455, 5.7: a masked "Hello".
//! let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let mut decoder = Decoder::new(Side::Client, 1 << 20);
//! let event = decoder.decode(&mut bytes).unwrap().unwrap();
//! assert_eq!(event, (Event::Data { kind: Kind::Text, bytes: b"Hello", last: true }, 11));
//!
//! let mut head = [0; 14];
//! let len = encode::data(&mut head, Kind::Binary, true, true, 5, None).unwrap();
//! assert_eq!(&head[..len], b"\x82\x05");
//! ```

mod close;
mod decode;
pub mod encode;
pub mod handshake;
mod mask;
mod sha1;
mod utf8;

pub use close::{Close, CloseCode};
pub use decode::{DecodeError, Decoder, Event, MAX_UNDECODED};
pub use mask::Mask;

/// Who sends: clients mask what they send, servers never do (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who opened the connection.
    Client,
    /// Who was asked to.
    Server,
}

/// What a message says it is (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8, over the message as a whole.
    Text,
    /// Any bytes.
    Binary,
}

/// The longest payload of a control frame (section 5.5).
pub const MAX_CONTROL: usize = 125;

/// Opcodes on the wire (section 5.2); all others are reserved.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xA;
}
