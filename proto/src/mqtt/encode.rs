//! The encoders of both sides.

use super::packet::{Ack, Auth, Connack, Connect, Disconnect, Publish, Subscription, Will};
use super::{
    ClientPacket, List, PacketType, Property, ReasonCode, RetainHandling, ServerPacket, Version, property,
};
use crate::Full;
use crate::out::Out;

impl ClientPacket<'_> {
    /// Writes the packet and returns its length.
    ///
    /// What `version` does not have is left out: properties, options of subscriptions, reason codes. `CONNECT` is of
    /// the version that it names. Topics, filters and properties go out as they are: that they are valid is the
    /// caller's to see to.
    ///
    /// # Errors
    /// `out` is too short and may hold a part of the packet; or the packet cannot be, because a text in it is longer
    /// than 65,535 bytes or all of it than 268,435,460: then `usize::MAX` bytes are needed.
    ///
    /// ```
    /// use lunix_proto::mqtt::{ClientPacket, Version};
    /// let mut out = [0; 2];
    /// assert_eq!(ClientPacket::Pingreq.encode(Version::V5, &mut out), Ok(2));
    /// assert_eq!(out, [0xC0, 0]);
    /// assert_eq!(ClientPacket::Pingreq.encode(Version::V5, &mut []).unwrap_err().needed, 2);
    /// ```
    pub fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, Full> {
        match *self {
            Self::Connect(connect) => packet(out, PacketType::Connect, |out| put_connect(out, &connect)),
            Self::Publish(publish) => put_publish(out, version, &publish, publish.payload),
            Self::Payload(payload) => put_payload(out, payload.bytes),
            Self::Puback(ack) => put_ack(out, version, PacketType::Puback, &ack),
            Self::Pubrec(ack) => put_ack(out, version, PacketType::Pubrec, &ack),
            Self::Pubrel(ack) => put_ack(out, version, PacketType::Pubrel, &ack),
            Self::Pubcomp(ack) => put_ack(out, version, PacketType::Pubcomp, &ack),
            Self::Subscribe(subscribe) => packet(out, PacketType::Subscribe, |out| {
                out.two(subscribe.packet_id.get());
                put_properties(out, version, subscribe.properties);
                for subscription in subscribe.subscriptions {
                    put_subscription(out, version, &subscription);
                }
            }),
            Self::Unsubscribe(unsubscribe) => packet(out, PacketType::Unsubscribe, |out| {
                out.two(unsubscribe.packet_id.get());
                put_properties(out, version, unsubscribe.properties);
                for filter in unsubscribe.filters {
                    out.text(filter);
                }
            }),
            Self::Pingreq => packet(out, PacketType::Pingreq, |_| {}),
            Self::Disconnect(disconnect) => put_disconnect(out, version, &disconnect),
            Self::Auth(auth) => put_auth(out, &auth),
        }
    }
}

impl ServerPacket<'_> {
    /// Writes the packet and returns its length; see [`ClientPacket::encode`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use lunix_proto::mqtt::{Disconnect, ReasonCode, ServerPacket, Version};
    /// let bye = Disconnect { reason: ReasonCode::ServerShuttingDown, ..Disconnect::default() };
    /// let mut out = [0; 3];
    /// assert_eq!(ServerPacket::Disconnect(bye).encode(Version::V5, &mut out), Ok(3));
    /// assert_eq!(out, [0xE0, 1, 0x8B]);
    /// ```
    pub fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, Full> {
        match *self {
            Self::Connack(connack) => {
                packet(out, PacketType::Connack, |out| put_connack(out, version, &connack))
            }
            Self::Publish(publish) => put_publish(out, version, &publish, publish.payload),
            Self::Payload(payload) => put_payload(out, payload.bytes),
            Self::Puback(ack) => put_ack(out, version, PacketType::Puback, &ack),
            Self::Pubrec(ack) => put_ack(out, version, PacketType::Pubrec, &ack),
            Self::Pubrel(ack) => put_ack(out, version, PacketType::Pubrel, &ack),
            Self::Pubcomp(ack) => put_ack(out, version, PacketType::Pubcomp, &ack),
            Self::Suback(suback) => packet(out, PacketType::Suback, |out| {
                out.two(suback.packet_id.get());
                put_properties(out, version, suback.properties);
                for reason in suback.reasons {
                    // [3.1.1: 3.9.3]
                    let failure = version < Version::V5 && reason.is_failure();
                    out.byte(if failure { ReasonCode::UnspecifiedError } else { reason }.code());
                }
            }),
            Self::Unsuback(unsuback) => packet(out, PacketType::Unsuback, |out| {
                out.two(unsuback.packet_id.get());
                put_properties(out, version, unsuback.properties);
                if version == Version::V5 {
                    unsuback.reasons.iter().for_each(|reason| out.byte(reason.code()));
                }
            }),
            Self::Pingresp => packet(out, PacketType::Pingresp, |_| {}),
            Self::Disconnect(disconnect) => put_disconnect(out, version, &disconnect),
            Self::Auth(auth) => put_auth(out, &auth),
        }
    }
}

impl Publish<'_> {
    /// Writes all but the payload, which has to come after it: as much as [`Self::payload`] is long, and
    /// [`Self::following`] bytes. So one payload can be sent to many without being copied.
    ///
    /// # Errors
    /// As [`ClientPacket::encode`].
    ///
    /// ```
    /// use lunix_proto::mqtt::{Delivery, List, Publish, Version};
    /// let publish = Publish {
    ///     delivery: Delivery::AtMostOnce,
    ///     retain: false,
    ///     topic: "a/b",
    ///     properties: List::EMPTY,
    ///     payload: b"hello",
    ///     following: 0,
    /// };
    /// let mut out = [0; 7];
    /// assert_eq!(publish.encode_head(Version::V311, &mut out), Ok(7));
    /// assert_eq!(&out, b"\x30\x0A\x00\x03a/b");
    /// ```
    #[inline]
    pub fn encode_head(&self, version: Version, out: &mut [u8]) -> Result<usize, Full> {
        put_publish(out, version, self, b"")
    }
}

/// The longest that a variable byte integer can say [1.5.5].
const LONGEST: usize = 268_435_455;

/// Writes the fields that packets are made of [1.5].
pub(super) struct Wire<'o>(Out<'o>);

impl Wire<'_> {
    /// How many bytes `write` writes.
    #[inline]
    pub(super) fn measure(write: impl FnOnce(&mut Wire<'_>)) -> usize {
        let mut out = Wire(Out::new(&mut []));
        write(&mut out);
        out.0.len()
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.put(&[byte]);
    }

    #[inline]
    pub(super) fn two(&mut self, number: u16) {
        self.0.put(&number.to_be_bytes());
    }

    #[inline]
    pub(super) fn four(&mut self, number: u32) {
        self.0.put(&number.to_be_bytes());
    }

    #[inline]
    pub(super) fn varint(&mut self, number: usize) {
        if number > LONGEST {
            self.0.overflow();
        }
        let mut rest = number;
        while rest > 0x7F {
            self.byte(0x80 | (rest & 0x7F) as u8);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    #[inline]
    pub(super) fn binary(&mut self, data: &[u8]) {
        match u16::try_from(data.len()) {
            Ok(len) => self.two(len),
            Err(_) => self.0.overflow(),
        }
        self.0.put(data);
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }
}

/// A packet of this content, which is written twice: once to know its length.
#[inline]
fn packet(out: &mut [u8], kind: PacketType, content: impl Fn(&mut Wire<'_>)) -> Result<usize, Full> {
    let mut out = Wire(Out::new(out));
    out.byte((kind as u8) << 4 | kind.flags());
    out.varint(Wire::measure(&content));
    content(&mut out);
    out.0.finish()
}

/// With a part of the payload, which may be none.
#[inline]
fn put_publish(out: &mut [u8], version: Version, publish: &Publish<'_>, part: &[u8]) -> Result<usize, Full> {
    let head = |out: &mut Wire<'_>| {
        out.text(publish.topic);
        if let Some(packet_id) = publish.delivery.packet_id() {
            out.two(packet_id.get());
        }
        put_properties(out, version, publish.properties);
    };
    let payload = publish.payload.len().saturating_add(publish.following);
    let delivery = publish.delivery;
    let flags = u8::from(delivery.dup()) << 3 | (delivery.qos() as u8) << 1 | u8::from(publish.retain);
    let mut out = Wire(Out::new(out));
    out.byte((PacketType::Publish as u8) << 4 | flags);
    out.varint(Wire::measure(head).saturating_add(payload));
    head(&mut out);
    out.0.put(part);
    out.0.finish()
}

fn put_payload(out: &mut [u8], bytes: &[u8]) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(bytes);
    out.finish()
}

fn put_connect(out: &mut Wire<'_>, connect: &Connect<'_>) {
    let version = connect.version;
    out.text(if version == Version::V31 { "MQIsdp" } else { "MQTT" });
    let bridge = connect.bridge && version < Version::V5;
    out.byte(version.level() | u8::from(bridge) << 7);
    // Before 5 there is none without a username.
    let password = connect.password.filter(|_| version == Version::V5 || connect.username.is_some());
    let will = connect.will.map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    let who = u8::from(connect.username.is_some()) << 7 | u8::from(password.is_some()) << 6;
    out.byte(who | will | u8::from(connect.clean_start) << 1);
    out.two(connect.keep_alive);
    put_properties(out, version, connect.properties);
    out.text(connect.client_id);
    if let Some(Will { topic, payload, properties, .. }) = connect.will {
        put_properties(out, version, properties);
        out.text(topic);
        out.binary(payload);
    }
    if let Some(username) = connect.username {
        out.text(username);
    }
    if let Some(password) = password {
        out.binary(password);
    }
}

fn put_connack(out: &mut Wire<'_>, version: Version, connack: &Connack<'_>) {
    let success = connack.reason == ReasonCode::Success;
    out.byte(u8::from(connack.session_present && success && version > Version::V31));
    out.byte(if version == Version::V5 { connack.reason.code() } else { connack.reason.return_code() });
    put_properties(out, version, connack.properties);
}

fn put_ack(out: &mut [u8], version: Version, kind: PacketType, ack: &Ack<'_>) -> Result<usize, Full> {
    packet(out, kind, |out| {
        out.two(ack.packet_id.get());
        put_ending(out, version, ack.reason, ack.properties);
    })
}

fn put_disconnect(out: &mut [u8], version: Version, disconnect: &Disconnect<'_>) -> Result<usize, Full> {
    packet(out, PacketType::Disconnect, |out| {
        put_ending(out, version, disconnect.reason, disconnect.properties);
    })
}

/// A reason code and properties, as short as they can be said.
fn put_ending(out: &mut Wire<'_>, version: Version, reason: ReasonCode, properties: List<'_, Property<'_>>) {
    if version < Version::V5 || (reason == ReasonCode::Success && properties.is_empty()) {
        return;
    }
    out.byte(reason.code());
    if !properties.is_empty() {
        property::write(properties, out);
    }
}

fn put_auth(out: &mut [u8], auth: &Auth<'_>) -> Result<usize, Full> {
    packet(out, PacketType::Auth, |out| {
        if auth.reason != ReasonCode::Success || !auth.properties.is_empty() {
            out.byte(auth.reason.code());
            property::write(auth.properties, out);
        }
    })
}

fn put_properties(out: &mut Wire<'_>, version: Version, properties: List<'_, Property<'_>>) {
    if version == Version::V5 {
        property::write(properties, out);
    }
}

/// [3.8.3.1]
fn put_subscription(out: &mut Wire<'_>, version: Version, subscription: &Subscription<'_>) {
    out.text(subscription.filter);
    let handling = match subscription.retain_handling {
        RetainHandling::Send => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    let options = u8::from(subscription.no_local) << 2
        | u8::from(subscription.retain_as_published) << 3
        | handling << 4;
    out.byte(subscription.qos as u8 | if version == Version::V5 { options } else { 0 });
}
