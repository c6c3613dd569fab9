//! Properties [2.2.2], of MQTT 5 alone.

use core::num::{NonZeroU16, NonZeroU32};

use super::encode::Wire;
use super::list::Item;
use super::read::Reader;
use super::{DecodeError, List, Qos, topic};

/// One property, with the name that the specification gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property<'b> {
    /// Whether the payload is UTF-8; that it is has not been checked.
    PayloadFormatIndicator(bool),
    /// Seconds.
    MessageExpiryInterval(u32),
    /// Of the payload, such as a MIME type.
    ContentType(&'b str),
    /// Where an answer is wanted: a topic name.
    ResponseTopic(&'b str),
    /// What an answer has to repeat.
    CorrelationData(&'b [u8]),
    /// 1 to 268,435,455. A server may send several with one message.
    SubscriptionIdentifier(NonZeroU32),
    /// Seconds; `u32::MAX` for ever.
    SessionExpiryInterval(u32),
    /// What the server calls a client that has no name for itself.
    AssignedClientIdentifier(&'b str),
    /// Seconds, instead of the client's.
    ServerKeepAlive(u16),
    /// Of authentication beyond name and password.
    AuthenticationMethod(&'b str),
    /// As the method has it.
    AuthenticationData(&'b [u8]),
    /// Whether reason strings and user properties are welcome with anything but messages.
    RequestProblemInformation(bool),
    /// Seconds.
    WillDelayInterval(u32),
    /// Whether the client wants [`Self::ResponseInformation`].
    RequestResponseInformation(bool),
    /// What response topics should begin with.
    ResponseInformation(&'b str),
    /// Another server.
    ServerReference(&'b str),
    /// For people.
    ReasonString(&'b str),
    /// How many messages of QoS 1 and 2 may be on their way at once; 65,535 where it is not said.
    ReceiveMaximum(NonZeroU16),
    /// How many topic aliases there may be; none where it is not said.
    TopicAliasMaximum(u16),
    /// What stands for the topic, or will from now on.
    TopicAlias(NonZeroU16),
    /// The highest QoS that the server takes: not [`Qos::ExactlyOnce`], which is said by leaving this out.
    MaximumQos(Qos),
    /// Whether the server keeps messages.
    RetainAvailable(bool),
    /// Name and value; any number of them, also of the same name.
    UserProperty(&'b str, &'b str),
    /// Bytes of a whole packet.
    MaximumPacketSize(NonZeroU32),
    /// Whether the server knows wildcards.
    WildcardSubscriptionAvailable(bool),
    /// Whether the server knows subscription identifiers.
    SubscriptionIdentifierAvailable(bool),
    /// Whether the server knows shared subscriptions.
    SharedSubscriptionAvailable(bool),
}

impl Property<'_> {
    const fn id(self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => 0x01,
            Self::MessageExpiryInterval(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionIdentifier(_) => 0x0B,
            Self::SessionExpiryInterval(_) => 0x11,
            Self::AssignedClientIdentifier(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelayInterval(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQos(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardSubscriptionAvailable(_) => 0x28,
            Self::SubscriptionIdentifierAvailable(_) => 0x29,
            Self::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    fn write(self, out: &mut Wire<'_>) {
        out.byte(self.id());
        match self {
            Self::PayloadFormatIndicator(truth)
            | Self::RequestProblemInformation(truth)
            | Self::RequestResponseInformation(truth)
            | Self::RetainAvailable(truth)
            | Self::WildcardSubscriptionAvailable(truth)
            | Self::SubscriptionIdentifierAvailable(truth)
            | Self::SharedSubscriptionAvailable(truth) => out.byte(u8::from(truth)),
            Self::MaximumQos(qos) => out.byte(u8::from(qos > Qos::AtMostOnce)),
            Self::ServerKeepAlive(number) | Self::TopicAliasMaximum(number) => out.two(number),
            Self::ReceiveMaximum(number) | Self::TopicAlias(number) => out.two(number.get()),
            Self::MessageExpiryInterval(number)
            | Self::SessionExpiryInterval(number)
            | Self::WillDelayInterval(number) => out.four(number),
            Self::MaximumPacketSize(number) => out.four(number.get()),
            Self::SubscriptionIdentifier(number) => out.varint(number.get() as usize),
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => out.binary(text.as_bytes()),
            Self::CorrelationData(data) | Self::AuthenticationData(data) => out.binary(data),
            Self::UserProperty(name, value) => {
                out.binary(name.as_bytes());
                out.binary(value.as_bytes());
            }
        }
    }
}

impl<'b> Item<'b> for Property<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError> {
        let wrong = DecodeError::PropertyValue;
        Ok(match reader.byte()? {
            0x01 => Self::PayloadFormatIndicator(truth(reader)?),
            0x02 => Self::MessageExpiryInterval(reader.four()?),
            0x03 => Self::ContentType(reader.text()?),
            0x08 => {
                let name = reader.text()?;
                if !topic::is_name(name) {
                    return Err(wrong);
                }
                Self::ResponseTopic(name)
            }
            0x09 => Self::CorrelationData(reader.binary()?),
            0x0B => Self::SubscriptionIdentifier(NonZeroU32::new(reader.varint()?).ok_or(wrong)?),
            0x11 => Self::SessionExpiryInterval(reader.four()?),
            0x12 => Self::AssignedClientIdentifier(reader.text()?),
            0x13 => Self::ServerKeepAlive(reader.two()?),
            0x15 => Self::AuthenticationMethod(reader.text()?),
            0x16 => Self::AuthenticationData(reader.binary()?),
            0x17 => Self::RequestProblemInformation(truth(reader)?),
            0x18 => Self::WillDelayInterval(reader.four()?),
            0x19 => Self::RequestResponseInformation(truth(reader)?),
            0x1A => Self::ResponseInformation(reader.text()?),
            0x1C => Self::ServerReference(reader.text()?),
            0x1F => Self::ReasonString(reader.text()?),
            0x21 => Self::ReceiveMaximum(NonZeroU16::new(reader.two()?).ok_or(wrong)?),
            0x22 => Self::TopicAliasMaximum(reader.two()?),
            0x23 => Self::TopicAlias(NonZeroU16::new(reader.two()?).ok_or(wrong)?),
            0x24 => Self::MaximumQos(if truth(reader)? { Qos::AtLeastOnce } else { Qos::AtMostOnce }),
            0x25 => Self::RetainAvailable(truth(reader)?),
            0x26 => Self::UserProperty(reader.text()?, reader.text()?),
            0x27 => Self::MaximumPacketSize(NonZeroU32::new(reader.four()?).ok_or(wrong)?),
            0x28 => Self::WildcardSubscriptionAvailable(truth(reader)?),
            0x29 => Self::SubscriptionIdentifierAvailable(truth(reader)?),
            0x2A => Self::SharedSubscriptionAvailable(truth(reader)?),
            _ => return Err(DecodeError::Property),
        })
    }
}

fn truth(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue),
    }
}

/// Where properties stand, and who says them where that makes a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Place {
    Connect,
    Will,
    Connack,
    ClientPublish,
    ServerPublish,
    /// `PUBACK`, `PUBREC`, `PUBREL`, `PUBCOMP`, `SUBACK`, `UNSUBACK`.
    Ack,
    Subscribe,
    Unsubscribe,
    ClientDisconnect,
    ServerDisconnect,
    Auth,
}

impl Place {
    /// The second column of the table in [2.2.2.2].
    const fn may_have(self, property: Property<'_>) -> bool {
        use Place::{
            Auth, ClientDisconnect, ClientPublish, Connack, Connect, ServerDisconnect, ServerPublish,
            Subscribe, Unsubscribe, Will,
        };
        match property {
            Property::UserProperty(..) => true,
            Property::PayloadFormatIndicator(_)
            | Property::MessageExpiryInterval(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_) => matches!(self, ClientPublish | ServerPublish | Will),
            Property::TopicAlias(_) => matches!(self, ClientPublish | ServerPublish),
            // Not from a client with a message [MQTT-3.3.4-6].
            Property::SubscriptionIdentifier(_) => matches!(self, ServerPublish | Subscribe),
            // Not from a server that ends the connection [MQTT-3.14.2-2].
            Property::SessionExpiryInterval(_) => matches!(self, Connect | Connack | ClientDisconnect),
            Property::AuthenticationMethod(_) | Property::AuthenticationData(_) => {
                matches!(self, Connect | Connack | Auth)
            }
            Property::RequestProblemInformation(_) | Property::RequestResponseInformation(_) => {
                matches!(self, Connect)
            }
            Property::ReceiveMaximum(_) | Property::TopicAliasMaximum(_) | Property::MaximumPacketSize(_) => {
                matches!(self, Connect | Connack)
            }
            Property::WillDelayInterval(_) => matches!(self, Will),
            Property::ServerReference(_) => matches!(self, Connack | ServerDisconnect),
            Property::ReasonString(_) => {
                !matches!(self, Connect | Will | ClientPublish | ServerPublish | Subscribe | Unsubscribe)
            }
            Property::AssignedClientIdentifier(_)
            | Property::ServerKeepAlive(_)
            | Property::ResponseInformation(_)
            | Property::MaximumQos(_)
            | Property::RetainAvailable(_)
            | Property::WildcardSubscriptionAvailable(_)
            | Property::SubscriptionIdentifierAvailable(_)
            | Property::SharedSubscriptionAvailable(_) => matches!(self, Connack),
        }
    }

    const fn may_repeat(self, property: Property<'_>) -> bool {
        match property {
            Property::UserProperty(..) => true,
            Property::SubscriptionIdentifier(_) => matches!(self, Self::ServerPublish),
            _ => false,
        }
    }
}

/// With their length before them. That something cannot be read is said before that it may not be there.
pub(super) fn read<'b>(reader: &mut Reader<'b>, place: Place) -> Result<List<'b, Property<'b>>, DecodeError> {
    let len = reader.varint()?;
    // Identifiers are below 64.
    let mut seen = 0_u64;
    let (mut method, mut data) = (false, false);
    let mut misplaced = false;
    let properties = List::read(reader.take(len as usize)?, |property| {
        misplaced |= !place.may_have(property);
        let bit = 1 << (property.id() & 63);
        if seen & bit != 0 && !place.may_repeat(property) {
            return Err(DecodeError::PropertyTwice);
        }
        seen |= bit;
        method |= matches!(property, Property::AuthenticationMethod(_));
        data |= matches!(property, Property::AuthenticationData(_));
        Ok(())
    })?;
    if misplaced {
        // Of these two mosquitto says what the specification says of all.
        let malformed = matches!(place, Place::Subscribe | Place::Unsubscribe);
        return Err(if malformed { DecodeError::Property } else { DecodeError::PropertyPlace });
    }
    // AUTH has to name the method even if it has no data [3.15.2.2.2].
    if !method && (data || place == Place::Auth) { Err(DecodeError::NoMethod) } else { Ok(properties) }
}

/// With their length before them.
pub(super) fn write(properties: List<'_, Property<'_>>, out: &mut Wire<'_>) {
    if properties.is_empty() {
        return out.byte(0);
    }
    let all = |out: &mut Wire<'_>| properties.iter().for_each(|property| property.write(out));
    out.varint(Wire::measure(all));
    all(out);
}
