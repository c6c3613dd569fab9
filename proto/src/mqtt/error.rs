//! Why a stream cannot go on.

use super::ReasonCode;

/// The peer broke the protocol; what that is called is [`DecodeError::reason`].
///
/// A server of MQTT 5 says the reason in `CONNACK`, or in `DISCONNECT` once it has sent one, and closes. Before 5 it
/// closes without a word, with one exception: [`DecodeError::ProtocolVersion`] is answered by a `CONNACK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A reserved type, or one that only the other side sends, or that this version does not have.
    PacketType,
    /// The first packet is no `CONNECT`, or a later one is [MQTT-3.1.0-1, MQTT-3.1.0-2]; or what a server says first
    /// is no `CONNACK`.
    Order,
    /// Reserved bits that are not as they should be.
    Flags,
    /// A length that is no variable byte integer, or fields that do not make up the packet.
    Length,
    /// The packet is longer than [`Limits`](super::Limits) allows.
    TooLarge,
    /// Text that is not UTF-8, or holds what text should not: control characters and non-characters [1.5.4].
    Text,
    /// `CONNECT` names another protocol.
    ProtocolName,
    /// `CONNECT` names a version that there is not.
    ProtocolVersion,
    /// A packet identifier of 0 [2.2.1].
    PacketId,
    /// QoS 3, DUP with QoS 0, or what the flags of a will may not be.
    Qos,
    /// A topic that is empty, or has wildcards.
    TopicName,
    /// Neither a topic nor an alias of one [3.3.2.1].
    NoTopic,
    /// A filter that is empty, or has wildcards where they cannot be [4.7].
    TopicFilter,
    /// A filter that begins as those of shared subscriptions do, and is none; or "No Local" with one [4.8.2, 3.8.3.1].
    SharedSubscription,
    /// `SUBSCRIBE` or `UNSUBSCRIBE` that names no filter, or an answer without reason codes.
    NothingNamed,
    /// QoS 3, a retain handling of 3, or reserved bits [3.8.3.1].
    SubscriptionOptions,
    /// A password without a username, before 5 [3.1.1: MQTT-3.1.2-22].
    Password,
    /// A reason code that does not exist, or not in this packet.
    ReasonCode,
    /// A property that does not exist, or not in `SUBSCRIBE` and `UNSUBSCRIBE`.
    Property,
    /// A property that another packet may not have, or not from this side [2.2.2.2].
    PropertyPlace,
    /// A property that is there twice.
    PropertyTwice,
    /// A property whose value may not be: zero, or neither 0 nor 1, or a topic with wildcards.
    PropertyValue,
    /// Data of an authentication without a method [3.1.2.11.10, 3.15.2.2.2].
    NoMethod,
}

impl DecodeError {
    /// The reason code that the peer is told.
    ///
    /// Between malformed packets and those against the protocol it draws the line where mosquitto 2 does, which is not
    /// always where the specification does: it calls a property that a packet may not have malformed [2.2.2.2], and a
    /// subscription to nothing against the protocol [3.8.3]. To the peer it makes no difference.
    ///
    /// ```
    /// use lunix_proto::mqtt::{DecodeError, ReasonCode};
    /// assert_eq!(DecodeError::TooLarge.reason(), ReasonCode::PacketTooLarge);
    /// ```
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Flags
            | Self::Length
            | Self::Text
            | Self::Qos
            | Self::TopicName
            | Self::NoTopic
            | Self::TopicFilter
            | Self::NothingNamed
            | Self::SubscriptionOptions
            | Self::Password
            | Self::Property => ReasonCode::MalformedPacket,
            Self::PacketType
            | Self::Order
            | Self::ProtocolName
            | Self::PacketId
            | Self::SharedSubscription
            | Self::ReasonCode
            | Self::PropertyPlace
            | Self::PropertyTwice
            | Self::PropertyValue
            | Self::NoMethod => ReasonCode::ProtocolError,
            Self::ProtocolVersion => ReasonCode::UnsupportedProtocolVersion,
            Self::TooLarge => ReasonCode::PacketTooLarge,
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::PacketType => "no packet that may be sent here",
            Self::Order => "a packet out of order",
            Self::Flags => "reserved bits are set",
            Self::Length => "lengths do not match",
            Self::TooLarge => "the packet is too large",
            Self::Text => "text that is not UTF-8, or has control characters",
            Self::ProtocolName => "another protocol than MQTT",
            Self::ProtocolVersion => "no version 3.1, 3.1.1 or 5",
            Self::PacketId => "a packet identifier of 0",
            Self::Qos => "an invalid QoS",
            Self::TopicName => "an invalid topic name",
            Self::NoTopic => "neither a topic nor an alias",
            Self::TopicFilter => "an invalid topic filter",
            Self::SharedSubscription => "an invalid shared subscription",
            Self::NothingNamed => "neither filters nor reason codes",
            Self::SubscriptionOptions => "invalid subscription options",
            Self::Password => "a password without a username",
            Self::ReasonCode => "an invalid reason code",
            Self::Property => "an unknown property",
            Self::PropertyPlace => "a property that this packet cannot have",
            Self::PropertyTwice => "a property twice",
            Self::PropertyValue => "a property with an invalid value",
            Self::NoMethod => "authentication data without a method",
        })
    }
}

impl core::error::Error for DecodeError {}
