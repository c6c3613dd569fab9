//! What the two sides say.

use core::num::NonZeroU16;

use super::{List, Property, ReasonCode};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.1, of 2010: `MQIsdp`, level 3.
    V31,
    /// 3.1.1: `MQTT`, level 4.
    V311,
    /// 5.0: `MQTT`, level 5.
    V5,
}

impl Version {
    /// The protocol level that `CONNECT` names [3.1.2.2].
    ///
    /// ```
    /// assert_eq!(lunix_proto::mqtt::Version::V311.level(), 4);
    /// ```
    pub const fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// What a packet is [2.1.2].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names of the specification")]
pub enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    /// Of 5 alone.
    Auth = 15,
}

impl PacketType {
    pub(super) const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    pub(super) const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// The flags that the first byte of all but `PUBLISH` has to have [2.1.3].
    pub(super) const fn flags(self) -> u8 {
        match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// How often a message may arrive [4.3].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

impl Qos {
    /// By its number, 0 to 2.
    ///
    /// ```
    /// use lunix_proto::mqtt::Qos;
    /// assert_eq!((Qos::of(1), Qos::of(3)), (Some(Qos::AtLeastOnce), None));
    /// ```
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// `CONNECT` [3.1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'b> {
    /// Which protocol the connection speaks from here on.
    pub version: Version,
    /// The other side is itself a broker. No specification has it; mosquitto says it by the highest bit of the
    /// level (3.1 and 3.1.1), and servers then spare such a client its own messages.
    pub bridge: bool,
    /// No session is to be resumed; before 5, none is to be kept either.
    pub clean_start: bool,
    /// Seconds within which the client says something; 0 for no such promise.
    pub keep_alive: u16,
    /// Empty if the server is to assign one. Whether that, or its length (1 to 23 characters in 3.1), will do is
    /// the server's to say: 3.1.1 wants an empty one refused unless `clean_start` is set [3.1.1: MQTT-3.1.3-8].
    pub client_id: &'b str,
    /// What is to be published when the connection ends without `DISCONNECT`.
    pub will: Option<Will<'b>>,
    /// Who it is.
    pub username: Option<&'b str>,
    /// Before 5 only where there is a username.
    pub password: Option<&'b [u8]>,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
}

/// A message that the server keeps for the end of the connection [3.1.2.5].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'b> {
    /// A topic name, without wildcards.
    pub topic: &'b str,
    /// At most 65,535 bytes.
    pub payload: &'b [u8],
    /// As which it is published.
    pub qos: Qos,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
}

/// `CONNACK` [3.2].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connack<'b> {
    /// The server has a session of this client; sent only with [`ReasonCode::Success`], and not before 3.1.1.
    pub session_present: bool,
    /// Before 5 one of six; see [`ReasonCode::return_code`].
    pub reason: ReasonCode,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
}

/// `PUBLISH` [3.3].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// Its QoS, and what goes with that.
    pub delivery: Delivery,
    /// From a client: to be kept for who subscribes later. From a server: it was kept.
    pub retain: bool,
    /// A topic name, without wildcards; empty where a topic alias stands for it (5).
    pub topic: &'b str,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
    /// The message, or its beginning.
    pub payload: &'b [u8],
    /// How much of the message comes after, in [`Payload`]s; 0 unless it was longer than
    /// [`Limits::whole`](super::Limits::whole).
    pub following: usize,
}

/// The QoS of a [`Publish`]: who has to acknowledge has an identifier to do it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1, to be answered `PUBACK`.
    AtLeastOnce {
        /// What `PUBACK` names.
        packet_id: NonZeroU16,
        /// It may have been sent before.
        dup: bool,
    },
    /// QoS 2, to be answered `PUBREC`.
    ExactlyOnce {
        /// What `PUBREC`, `PUBREL` and `PUBCOMP` name.
        packet_id: NonZeroU16,
        /// It may have been sent before.
        dup: bool,
    },
}

impl Delivery {
    /// Which QoS this is.
    ///
    /// ```
    /// use lunix_proto::mqtt::{Delivery, Qos};
    /// assert_eq!(Delivery::default().qos(), Qos::AtMostOnce);
    /// ```
    pub const fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce { .. } => Qos::AtLeastOnce,
            Self::ExactlyOnce { .. } => Qos::ExactlyOnce,
        }
    }

    /// The packet identifier, which QoS 0 has not.
    ///
    /// ```
    /// assert_eq!(lunix_proto::mqtt::Delivery::default().packet_id(), None);
    /// ```
    pub const fn packet_id(self) -> Option<NonZeroU16> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, .. } | Self::ExactlyOnce { packet_id, .. } => Some(packet_id),
        }
    }

    pub(super) const fn dup(self) -> bool {
        matches!(self, Self::AtLeastOnce { dup: true, .. } | Self::ExactlyOnce { dup: true, .. })
    }
}

/// A further part of the message of the [`Publish`] before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'b> {
    /// At least one byte.
    pub bytes: &'b [u8],
    /// How much is still to come; 0 in the last one.
    pub following: usize,
}

/// `PUBACK`, `PUBREC`, `PUBREL` or `PUBCOMP` [3.4 to 3.7].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'b> {
    /// Of the `PUBLISH` that it belongs to.
    pub packet_id: NonZeroU16,
    /// [`ReasonCode::Success`] before 5.
    pub reason: ReasonCode,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
}

impl Ack<'_> {
    /// That all is well.
    ///
    /// ```
    /// use core::num::NonZeroU16;
    /// use lunix_proto::mqtt::{Ack, ServerPacket, Version};
    /// let ack = ServerPacket::Puback(Ack::new(NonZeroU16::MIN));
    /// let mut out = [0; 4];
    /// assert_eq!(ack.encode(Version::V5, &mut out), Ok(4));
    /// assert_eq!(out, [0x40, 2, 0, 1]);
    /// ```
    pub const fn new(packet_id: NonZeroU16) -> Self {
        Self { packet_id, reason: ReasonCode::Success, properties: List::EMPTY }
    }
}

/// `SUBSCRIBE` [3.8].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// What `SUBACK` names.
    pub packet_id: NonZeroU16,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
    /// One at least.
    pub subscriptions: List<'b, Subscription<'b>>,
}

/// What a `SUBSCRIBE` asks for [3.8.3].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'b> {
    /// A topic filter, which [`topic::shared`](super::topic::shared) may take apart (5).
    pub filter: &'b str,
    /// The highest QoS that the client wants messages at.
    pub qos: Qos,
    /// Spare the client its own messages (5).
    pub no_local: bool,
    /// Leave the retain flag of messages as it is (5).
    pub retain_as_published: bool,
    /// What becomes of messages that were kept (5).
    pub retain_handling: RetainHandling,
}

impl<'b> Subscription<'b> {
    /// As a `SUBSCRIBE` before 5 means it.
    ///
    /// ```
    /// use lunix_proto::mqtt::{Qos, Subscription};
    /// assert!(!Subscription::new("a/#", Qos::AtMostOnce).no_local);
    /// ```
    pub const fn new(filter: &'b str, qos: Qos) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// What a subscription wants of the messages that were kept [3.8.3.1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Send them, as it is before 5.
    #[default]
    Send,
    /// Send them unless the subscription was there already.
    SendIfNew,
    /// Do not send them.
    DoNotSend,
}

/// `SUBACK` [3.9].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'b> {
    /// Of the `SUBSCRIBE`.
    pub packet_id: NonZeroU16,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
    /// One for each subscription; before 5 every refusal is 0x80.
    pub reasons: List<'b, ReasonCode>,
}

/// `UNSUBSCRIBE` [3.10].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'b> {
    /// What `UNSUBACK` names.
    pub packet_id: NonZeroU16,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
    /// One at least.
    pub filters: List<'b, &'b str>,
}

/// `UNSUBACK` [3.11].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback<'b> {
    /// Of the `UNSUBSCRIBE`.
    pub packet_id: NonZeroU16,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
    /// One for each filter; none before 5.
    pub reasons: List<'b, ReasonCode>,
}

/// `DISCONNECT` [3.14]; before 5 only clients say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'b> {
    /// Before 5 always [`ReasonCode::NORMAL_DISCONNECTION`].
    pub reason: ReasonCode,
    /// Empty before 5.
    pub properties: List<'b, Property<'b>>,
}

/// `AUTH` [3.15], of 5 alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<'b> {
    /// [`ReasonCode::Success`], [`ReasonCode::ContinueAuthentication`] or [`ReasonCode::Reauthenticate`].
    pub reason: ReasonCode,
    /// With the method, unless there is nothing at all.
    pub properties: List<'b, Property<'b>>,
}

/// What a client says to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "what each holds says what it is")]
pub enum ClientPacket<'b> {
    Connect(Connect<'b>),
    Publish(Publish<'b>),
    /// More of the `PUBLISH` before.
    Payload(Payload<'b>),
    Puback(Ack<'b>),
    Pubrec(Ack<'b>),
    Pubrel(Ack<'b>),
    Pubcomp(Ack<'b>),
    Subscribe(Subscribe<'b>),
    Unsubscribe(Unsubscribe<'b>),
    /// To be answered `PINGRESP`.
    Pingreq,
    Disconnect(Disconnect<'b>),
    Auth(Auth<'b>),
}

/// What a server says to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "what each holds says what it is")]
pub enum ServerPacket<'b> {
    Connack(Connack<'b>),
    Publish(Publish<'b>),
    /// More of the `PUBLISH` before.
    Payload(Payload<'b>),
    Puback(Ack<'b>),
    Pubrec(Ack<'b>),
    Pubrel(Ack<'b>),
    Pubcomp(Ack<'b>),
    Suback(Suback<'b>),
    Unsuback(Unsuback<'b>),
    /// The answer to `PINGREQ`.
    Pingresp,
    Disconnect(Disconnect<'b>),
    Auth(Auth<'b>),
}
