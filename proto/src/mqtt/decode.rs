//! The decoders of both sides: one way to find packets, two views of what is found.
//!
//! # Grammar
//!
//! A packet is a byte of type and flags, a variable byte integer, and as many bytes as that says [2.1]. `id` is the
//! packet identifier; `properties` are their length and themselves, and there in 5 alone; `text` and `data` have their
//! length before them in two bytes; `…` is repeated once at least; the packet may end before what has a `?`.
//!
//! | type                        | flags    | then                                                          | said by    |
//! |-----------------------------|----------|---------------------------------------------------------------|------------|
//! | `CONNECT`                   | 0        | name level flags keep-alive properties text, will, text, data | client     |
//! | `CONNACK`                   | 0        | flags code properties                                         | server     |
//! | `PUBLISH`                   | DUP QoS RETAIN | text, id if QoS is not 0, properties payload            | both       |
//! | `PUBACK` `PUBREC` `PUBCOMP` | 0        | id, in 5 reason? properties?                                  | both       |
//! | `PUBREL`                    | 2        | id, in 5 reason? properties?                                  | both       |
//! | `SUBSCRIBE`                 | 2        | id properties (text options)…                                 | client     |
//! | `SUBACK`                    | 0        | id properties reason…                                         | server     |
//! | `UNSUBSCRIBE`               | 2        | id properties text…                                           | client     |
//! | `UNSUBACK`                  | 0        | id, in 5 properties reason…                                   | server     |
//! | `PINGREQ`                   | 0        |                                                               | client     |
//! | `PINGRESP`                  | 0        |                                                               | server     |
//! | `DISCONNECT`                | 0        | in 5 reason? properties?                                      | client, in 5 both |
//! | `AUTH`                      | 0        | reason? properties                                            | both, in 5 |
//!
//! A will is properties, text, data. In 3.1 flags are not looked at but those of `PUBLISH`.

use super::parse::{self, Side};
use super::read::{Reader, Varint, varint};
use super::{ClientPacket, DecodeError, PacketType, Payload, Property, ServerPacket, Version};

/// What a decoder accepts at most.
///
/// ```
/// use lunix_proto::mqtt::Limits;
/// assert_eq!(Limits::default(), Limits { packet: 1 << 20, whole: 1 << 20 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a packet, its fixed header included; MQTT itself ends at 268,435,460.
    pub packet: usize,
    /// Bytes of a packet that has to be there whole. A `PUBLISH` that is longer comes in pieces, the first of which
    /// has all but the payload; other packets that are longer are refused.
    pub whole: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet: 1 << 20, whole: 1 << 20 }
    }
}

/// Decodes what clients send.
///
/// The caller keeps the bytes; the decoder remembers how many it needs and what of a message is still to come.
///
/// ```
/// use lunix_proto::mqtt::{ClientDecoder, ClientPacket, DecodeError, Limits, Payload};
/// let mut decoder = ClientDecoder::new(Limits { packet: 64, whole: 24 });
/// assert_eq!(decoder.decode(b"\x10\x0E\x00\x04MQTT"), Ok(None));
/// assert_eq!(decoder.needed(), 16);
/// assert!(decoder.decode(b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me").is_ok());
/// // A message that is longer than what is to come whole: its head, and what there is of it.
/// let bytes = b"\x30\x20\x00\x04doorOh, ";
/// let Ok(Some((ClientPacket::Publish(publish), 12))) = decoder.decode(bytes) else { panic!() };
/// assert_eq!((publish.topic, publish.payload, publish.following), ("door", &b"Oh, "[..], 22));
/// let Ok(Some((ClientPacket::Payload(payload), 5))) = decoder.decode(b"hello") else { panic!() };
/// assert_eq!(payload, Payload { bytes: b"hello", following: 17 });
/// ```
#[derive(Clone, Debug)]
pub struct ClientDecoder {
    framer: Framer,
}

impl ClientDecoder {
    /// A decoder at the beginning of a connection, of which the first packet has to be `CONNECT`.
    pub const fn new(limits: Limits) -> Self {
        Self { framer: Framer::new(limits, None, PacketType::Connect.bit()) }
    }

    /// Other limits, from the next packet on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.framer.limits = limits;
    }

    /// The version that the connection speaks: known since `CONNECT`, also if that was otherwise wrong.
    pub const fn version(&self) -> Option<Version> {
        self.framer.version
    }

    /// Decodes the packet that `bytes` begins with and says how long it is.
    ///
    /// `bytes` starts at the first byte not yet consumed. After `None` the next call must pass the same bytes
    /// and more at their end; after a packet, what follows its length.
    ///
    /// # Errors
    /// The client broke the protocol; an error is final.
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(ClientPacket<'b>, usize)>, DecodeError> {
        let Some((frame, len)) = self.framer.frame(bytes, CLIENT)? else { return Ok(None) };
        let side = Side::Client;
        let (kind, flags, reader, following) = match frame {
            Frame::Packet { kind, flags, reader, following } => (kind, flags, reader, following),
            Frame::Payload(payload) => return Ok(Some((ClientPacket::Payload(payload), len))),
        };
        if kind == PacketType::Connect {
            let connect = parse::connect(flags, reader, &mut self.framer.version)?;
            // [MQTT-4.12.0-7]
            let method = |property| matches!(property, Property::AuthenticationMethod(_));
            let auth = if connect.properties.iter().any(method) { 0 } else { PacketType::Auth.bit() };
            self.framer.begin(CLIENT & !PacketType::Connect.bit() & !auth)?;
            self.framer.taken(following);
            return Ok(Some((ClientPacket::Connect(connect), len)));
        }
        let Some(version) = self.framer.version else { return Err(DecodeError::Order) };
        let packet = match kind {
            PacketType::Publish => {
                ClientPacket::Publish(parse::publish(flags, reader, version, side, following)?)
            }
            PacketType::Puback => ClientPacket::Puback(parse::ack(reader, version, kind)?),
            PacketType::Pubrec => ClientPacket::Pubrec(parse::ack(reader, version, kind)?),
            PacketType::Pubrel => ClientPacket::Pubrel(parse::ack(reader, version, kind)?),
            PacketType::Pubcomp => ClientPacket::Pubcomp(parse::ack(reader, version, kind)?),
            PacketType::Subscribe => ClientPacket::Subscribe(parse::subscribe(reader, version)?),
            PacketType::Unsubscribe => ClientPacket::Unsubscribe(parse::unsubscribe(reader, version)?),
            PacketType::Pingreq => {
                parse::finished(&reader)?;
                ClientPacket::Pingreq
            }
            PacketType::Disconnect => ClientPacket::Disconnect(parse::disconnect(reader, version, side)?),
            // Expected of those alone who named a method in CONNECT, which only 5 can.
            PacketType::Auth => ClientPacket::Auth(parse::auth(reader, side)?),
            _ => return Err(DecodeError::PacketType),
        };
        self.framer.taken(following);
        Ok(Some((packet, len)))
    }

    /// After `None`: the length that the bytes must reach before another call can get further.
    ///
    /// That is the whole packet's as soon as it is known, never more than [`Limits::whole`].
    pub const fn needed(&self) -> usize {
        self.framer.needed
    }
}

/// Decodes what servers send; used as [`ClientDecoder`] is.
///
/// ```
/// use lunix_proto::mqtt::{Limits, ReasonCode, ServerDecoder, ServerPacket, Version};
/// let mut decoder = ServerDecoder::new(Version::V5, Limits::default());
/// let Ok(Some((ServerPacket::Connack(connack), 5))) = decoder.decode(b"\x20\x03\x00\x87\x00") else { panic!() };
/// assert_eq!(connack.reason, ReasonCode::NotAuthorized);
/// ```
#[derive(Clone, Debug)]
pub struct ServerDecoder {
    framer: Framer,
}

impl ServerDecoder {
    /// A decoder at the beginning of a connection, on which the client has said that it speaks `version`. The
    /// first packet has to be `CONNACK`, or in 5 `AUTH` and then that [MQTT-3.14.0-1, 4.12].
    pub const fn new(version: Version, limits: Limits) -> Self {
        Self {
            framer: Framer::new(limits, Some(version), PacketType::Connack.bit() | PacketType::Auth.bit()),
        }
    }

    /// Decodes the packet that `bytes` begins with and says how long it is; see [`ClientDecoder::decode`].
    ///
    /// # Errors
    /// The server broke the protocol; an error is final.
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(ServerPacket<'b>, usize)>, DecodeError> {
        let Some((frame, len)) = self.framer.frame(bytes, SERVER)? else { return Ok(None) };
        let side = Side::Server;
        let (kind, flags, reader, following) = match frame {
            Frame::Packet { kind, flags, reader, following } => (kind, flags, reader, following),
            Frame::Payload(payload) => return Ok(Some((ServerPacket::Payload(payload), len))),
        };
        let Some(version) = self.framer.version else { return Err(DecodeError::Order) };
        let packet = match kind {
            PacketType::Connack => {
                let connack = parse::connack(reader, version)?;
                self.framer.begin(SERVER & !PacketType::Connack.bit())?;
                ServerPacket::Connack(connack)
            }
            PacketType::Publish => {
                ServerPacket::Publish(parse::publish(flags, reader, version, side, following)?)
            }
            PacketType::Puback => ServerPacket::Puback(parse::ack(reader, version, kind)?),
            PacketType::Pubrec => ServerPacket::Pubrec(parse::ack(reader, version, kind)?),
            PacketType::Pubrel => ServerPacket::Pubrel(parse::ack(reader, version, kind)?),
            PacketType::Pubcomp => ServerPacket::Pubcomp(parse::ack(reader, version, kind)?),
            PacketType::Suback => ServerPacket::Suback(parse::suback(reader, version)?),
            PacketType::Unsuback => ServerPacket::Unsuback(parse::unsuback(reader, version)?),
            PacketType::Pingresp => {
                parse::finished(&reader)?;
                ServerPacket::Pingresp
            }
            PacketType::Disconnect if version == Version::V5 => {
                ServerPacket::Disconnect(parse::disconnect(reader, version, side)?)
            }
            PacketType::Auth if version == Version::V5 => ServerPacket::Auth(parse::auth(reader, side)?),
            _ => return Err(DecodeError::PacketType),
        };
        self.framer.taken(following);
        Ok(Some((packet, len)))
    }

    /// After `None`: the length that the bytes must reach before another call can get further.
    pub const fn needed(&self) -> usize {
        self.framer.needed
    }
}

const BOTH: u16 = PacketType::Publish.bit()
    | PacketType::Puback.bit()
    | PacketType::Pubrec.bit()
    | PacketType::Pubrel.bit()
    | PacketType::Pubcomp.bit()
    | PacketType::Disconnect.bit()
    | PacketType::Auth.bit();

const CLIENT: u16 = BOTH
    | PacketType::Connect.bit()
    | PacketType::Subscribe.bit()
    | PacketType::Unsubscribe.bit()
    | PacketType::Pingreq.bit();

const SERVER: u16 = BOTH
    | PacketType::Connack.bit()
    | PacketType::Suback.bit()
    | PacketType::Unsuback.bit()
    | PacketType::Pingresp.bit();

/// Finds packets; both decoders do it by this.
#[derive(Clone, Debug)]
struct Framer {
    limits: Limits,
    version: Option<Version>,
    /// The types that may come now, by their bits.
    expected: u16,
    /// The length of the packet that is looked at is not written in the fewest bytes.
    lengthy: bool,
    /// Less than this is not worth a look.
    needed: usize,
    /// What is still to come of a message that comes in pieces.
    following: usize,
}

enum Frame<'b> {
    Packet {
        kind: PacketType,
        flags: u8,
        /// What is there of what follows the fixed header: all, if nothing is following.
        reader: Reader<'b>,
        following: usize,
    },
    Payload(Payload<'b>),
}

impl Framer {
    const fn new(limits: Limits, version: Option<Version>, expected: u16) -> Self {
        Self { limits, version, expected, lengthy: false, needed: 1, following: 0 }
    }

    /// The next frame and its length; `known` are the types that this side has.
    #[inline]
    fn frame<'b>(&mut self, bytes: &'b [u8], known: u16) -> Result<Option<(Frame<'b>, usize)>, DecodeError> {
        if bytes.len() < self.needed {
            return Ok(None);
        }
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if self.following > 0 {
            let bytes = bytes.get(..self.following).unwrap_or(bytes);
            self.following -= bytes.len();
            return Ok(Some((Frame::Payload(Payload { bytes, following: self.following }), bytes.len())));
        }
        let flags = first & 0x0F;
        let kind = self.kind(first >> 4, flags, known)?;
        let Some(Varint { value, len, shortest }) = varint(rest)? else {
            self.needed = bytes.len() + 1;
            return Ok(None);
        };
        // 3.1 and 3.1.1 do not say that a length has to be short [MQTT-1.5.5-1]. In CONNECT it is not yet known.
        self.lengthy = !shortest;
        if self.lengthy && self.version == Some(Version::V5) {
            return Err(DecodeError::Length);
        }
        let start = 1 + len;
        let end = start.saturating_add(value as usize);
        if end > self.limits.packet || (end > self.limits.whole && kind != PacketType::Publish) {
            return Err(DecodeError::TooLarge);
        }
        let here = if end <= self.limits.whole {
            end
        } else {
            let Some(head) = self.head(bytes, start, flags, end)? else { return Ok(None) };
            bytes.len().min(end).max(head)
        };
        let Some(body) = bytes.get(start..here) else {
            self.needed = here;
            return Ok(None);
        };
        let (reader, following) = (Reader::new(body), end - here);
        Ok(Some((Frame::Packet { kind, flags, reader, following }, here)))
    }

    fn kind(&self, number: u8, flags: u8, known: u16) -> Result<PacketType, DecodeError> {
        let kind = PacketType::of(number).ok_or(DecodeError::PacketType)?;
        if known & kind.bit() == 0 {
            return Err(DecodeError::PacketType);
        }
        if self.expected & kind.bit() == 0 {
            return Err(DecodeError::Order);
        }
        // In 3.1 the other packets have flags, too: clients set DUP in what they say again. Of CONNECT it is not yet
        // known which version it is.
        let free = matches!(kind, PacketType::Connect | PacketType::Publish);
        if !free && flags != kind.flags() && self.version != Some(Version::V31) {
            return Err(DecodeError::Flags);
        }
        Ok(kind)
    }

    /// Where the payload of a `PUBLISH` begins that is to come in pieces and ends at `end`.
    #[cold]
    fn head(
        &mut self,
        bytes: &[u8],
        start: usize,
        flags: u8,
        end: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let whole = self.limits.whole;
        // A step is judged before it is known whether it is there, so the error is the same however the bytes come cut.
        let mut reach = |at: usize| {
            self.needed = at;
            match at {
                _ if at > end => Err(DecodeError::Length),
                _ if at > whole => Err(DecodeError::TooLarge),
                _ => Ok(bytes.get(start..at)),
            }
        };
        let Some(&[high, low]) = reach(start + 2)? else { return Ok(None) };
        let packet_id = if flags & 0x06 == 0 { 0 } else { 2 };
        let mut at = start + 2 + usize::from(u16::from_be_bytes([high, low])) + packet_id;
        if self.version == Some(Version::V5) {
            let (mut len, mut shift) = (0, 0);
            loop {
                at += 1;
                let Some(&[.., byte]) = reach(at)? else { return Ok(None) };
                len |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                // A fifth byte is found to be wrong when the head is read.
                if byte < 0x80 || shift == 28 {
                    break;
                }
            }
            at += len;
        }
        Ok(reach(at)?.map(|_| at))
    }

    /// The first packet of the connection has come.
    const fn begin(&mut self, expected: u16) -> Result<(), DecodeError> {
        self.expected = expected;
        if self.lengthy && matches!(self.version, Some(Version::V5)) {
            Err(DecodeError::Length)
        } else {
            Ok(())
        }
    }

    /// The packet was right.
    const fn taken(&mut self, following: usize) {
        self.needed = 1;
        self.following = following;
    }
}
