//! What is in a packet after its fixed header.

use super::list::Item;
use super::property::{self, Place};
use super::read::Reader;
use super::{
    Ack, Auth, Connack, Connect, DecodeError, Delivery, Disconnect, List, PacketType, Property, Publish, Qos,
    ReasonCode, RetainHandling, Suback, Subscribe, Subscription, Unsuback, Unsubscribe, Version, Will, topic,
};

/// Which side said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// [3.1]; `version` is told as soon as it is known, also if an error follows.
pub(super) fn connect<'b>(
    flags: u8,
    mut reader: Reader<'b>,
    version: &mut Option<Version>,
) -> Result<Connect<'b>, DecodeError> {
    let name = reader.binary()?;
    let level = reader.byte()?;
    let spoken = match (name, level & 0x7F) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) if level == 5 => Version::V5,
        (b"MQIsdp" | b"MQTT", _) => return Err(DecodeError::ProtocolVersion),
        _ => return Err(DecodeError::ProtocolName),
    };
    *version = Some(spoken);
    // Of these 3.1 says only that they are not used.
    if flags != PacketType::Connect.flags() && spoken > Version::V31 {
        return Err(DecodeError::Flags);
    }
    let flags = Flags::of(reader.byte()?, spoken)?;
    let keep_alive = reader.two()?;
    let properties = properties(&mut reader, spoken, Place::Connect)?;
    let client_id = reader.text()?;
    let will = match flags.will {
        Some((qos, retain)) => Some(will(&mut reader, spoken, qos, retain)?),
        None => None,
    };
    // In 3.1 the packet's length counts more than the flags do: what is not there any more was not said.
    let gone = |reader: &Reader<'_>| spoken == Version::V31 && reader.is_empty();
    let username = if flags.username && !gone(&reader) { Some(reader.text()?) } else { None };
    let password = if flags.password && !gone(&reader) { Some(reader.binary()?) } else { None };
    finished(&reader)?;
    Ok(Connect {
        version: spoken,
        bridge: level & 0x80 != 0,
        clean_start: flags.clean_start,
        keep_alive,
        client_id,
        will,
        username,
        password,
        properties,
    })
}

/// The connect flags [3.1.2.3].
struct Flags {
    clean_start: bool,
    will: Option<(Qos, bool)>,
    username: bool,
    password: bool,
}

impl Flags {
    fn of(flags: u8, version: Version) -> Result<Self, DecodeError> {
        let will = flags & 0x04 != 0;
        let will_qos = flags >> 3 & 0x03;
        let (username, password) = (flags & 0x80 != 0, flags & 0x40 != 0);
        // 3.1 has bits that are not used where the later ones have bits that must not be set.
        if version >= Version::V311 {
            if flags & 0x01 != 0 {
                return Err(DecodeError::Flags);
            }
            if !will && flags & 0x38 != 0 {
                return Err(DecodeError::Qos);
            }
        }
        if password && !username && version < Version::V5 {
            return Err(DecodeError::Password);
        }
        let will =
            if will { Some((Qos::of(will_qos).ok_or(DecodeError::Qos)?, flags & 0x20 != 0)) } else { None };
        Ok(Self { clean_start: flags & 0x02 != 0, will, username, password })
    }
}

fn will<'b>(
    reader: &mut Reader<'b>,
    version: Version,
    qos: Qos,
    retain: bool,
) -> Result<Will<'b>, DecodeError> {
    let properties = properties(reader, version, Place::Will)?;
    let topic = name(reader.text()?)?;
    Ok(Will { topic, payload: reader.binary()?, qos, retain, properties })
}

/// [3.2]
pub(super) fn connack(mut reader: Reader<'_>, version: Version) -> Result<Connack<'_>, DecodeError> {
    let flags = reader.byte()?;
    let code = reader.byte()?;
    // In 3.1 this byte is not used.
    let session_present = flags & 0x01 != 0 && version > Version::V31;
    if flags > 1 && version > Version::V31 {
        return Err(DecodeError::Flags);
    }
    // A server that does not know 5 refuses it in the words of the version that it knows.
    let refused_by_older = code == 1 && reader.is_empty();
    let reason = if version < Version::V5 || refused_by_older {
        ReasonCode::of_return_code(code)
    } else {
        ReasonCode::of(code).filter(|reason| reason.is_for(PacketType::Connack))
    };
    let reason = reason.ok_or(DecodeError::ReasonCode)?;
    // [MQTT-3.2.2-6]
    if session_present && reason != ReasonCode::Success {
        return Err(DecodeError::Flags);
    }
    let properties =
        if refused_by_older { List::EMPTY } else { properties(&mut reader, version, Place::Connack)? };
    finished(&reader)?;
    Ok(Connack { session_present, reason, properties })
}

/// [3.3]; of the payload there is what is there, and `following` bytes come later.
#[inline]
pub(super) fn publish(
    flags: u8,
    mut reader: Reader<'_>,
    version: Version,
    side: Side,
    following: usize,
) -> Result<Publish<'_>, DecodeError> {
    let dup = flags & 0x08 != 0;
    let topic = reader.text()?;
    let delivery = match Qos::of(flags >> 1 & 0x03) {
        // 3.1 has it that DUP is for QoS 1 and 2, and not that it must not be set for 0.
        Some(Qos::AtMostOnce) if dup && version > Version::V31 => return Err(DecodeError::Qos),
        Some(Qos::AtMostOnce) => Delivery::AtMostOnce,
        Some(Qos::AtLeastOnce) => Delivery::AtLeastOnce { packet_id: reader.packet_id()?, dup },
        Some(Qos::ExactlyOnce) => Delivery::ExactlyOnce { packet_id: reader.packet_id()?, dup },
        None => return Err(DecodeError::Qos),
    };
    let place = if side == Side::Client { Place::ClientPublish } else { Place::ServerPublish };
    let properties = properties(&mut reader, version, place)?;
    if !topic.is_empty() || version < Version::V5 {
        name(topic)?;
    } else if !properties.iter().any(|property| matches!(property, Property::TopicAlias(_))) {
        return Err(DecodeError::NoTopic);
    }
    Ok(Publish { delivery, retain: flags & 0x01 != 0, topic, properties, payload: reader.rest, following })
}

/// [3.4 to 3.7]
pub(super) fn ack(
    mut reader: Reader<'_>,
    version: Version,
    packet: PacketType,
) -> Result<Ack<'_>, DecodeError> {
    let packet_id = reader.packet_id()?;
    let (reason, properties) = ending(reader, version, packet, Place::Ack)?;
    Ok(Ack { packet_id, reason, properties })
}

/// [3.8]
pub(super) fn subscribe(mut reader: Reader<'_>, version: Version) -> Result<Subscribe<'_>, DecodeError> {
    let packet_id = reader.packet_id()?;
    let properties = properties(&mut reader, version, Place::Subscribe)?;
    let subscriptions = List::read(reader.rest, |subscription: Subscription<'_>| {
        let shared = filter(subscription.filter, version)?;
        let plain = Subscription::new(subscription.filter, subscription.qos);
        if version < Version::V5 && subscription != plain {
            return Err(DecodeError::SubscriptionOptions);
        }
        // [MQTT-3.8.3-4]
        if shared && subscription.no_local { Err(DecodeError::SharedSubscription) } else { Ok(()) }
    })?;
    some(&subscriptions)?;
    Ok(Subscribe { packet_id, properties, subscriptions })
}

/// [3.10]
pub(super) fn unsubscribe(mut reader: Reader<'_>, version: Version) -> Result<Unsubscribe<'_>, DecodeError> {
    let packet_id = reader.packet_id()?;
    let properties = properties(&mut reader, version, Place::Unsubscribe)?;
    let filters = List::read(reader.rest, |text: &str| filter(text, version).map(drop))?;
    some(&filters)?;
    Ok(Unsubscribe { packet_id, properties, filters })
}

/// [3.9]
pub(super) fn suback(mut reader: Reader<'_>, version: Version) -> Result<Suback<'_>, DecodeError> {
    let packet_id = reader.packet_id()?;
    let properties = properties(&mut reader, version, Place::Ack)?;
    let reasons = reasons(reader, version, PacketType::Suback)?;
    Ok(Suback { packet_id, properties, reasons })
}

/// [3.11]
pub(super) fn unsuback(mut reader: Reader<'_>, version: Version) -> Result<Unsuback<'_>, DecodeError> {
    let packet_id = reader.packet_id()?;
    if version < Version::V5 {
        finished(&reader)?;
        return Ok(Unsuback { packet_id, properties: List::EMPTY, reasons: List::EMPTY });
    }
    let properties = properties(&mut reader, version, Place::Ack)?;
    let reasons = reasons(reader, version, PacketType::Unsuback)?;
    Ok(Unsuback { packet_id, properties, reasons })
}

/// [3.14]
pub(super) fn disconnect(
    reader: Reader<'_>,
    version: Version,
    side: Side,
) -> Result<Disconnect<'_>, DecodeError> {
    let place = if side == Side::Client { Place::ClientDisconnect } else { Place::ServerDisconnect };
    let (reason, properties) = ending(reader, version, PacketType::Disconnect, place)?;
    Ok(Disconnect { reason, properties })
}

/// [3.15]
pub(super) fn auth(mut reader: Reader<'_>, side: Side) -> Result<Auth<'_>, DecodeError> {
    let mut auth = Auth::default();
    if !reader.is_empty() {
        auth.reason = ReasonCode::read(&mut reader)?;
        auth.properties = property::read(&mut reader, Place::Auth)?;
        finished(&reader)?;
    }
    match (auth.reason, side) {
        (ReasonCode::ContinueAuthentication, _)
        | (ReasonCode::Reauthenticate, Side::Client)
        | (ReasonCode::Success, Side::Server) => Ok(auth),
        _ => Err(DecodeError::ReasonCode),
    }
}

/// `PINGREQ` and `PINGRESP` [3.12, 3.13], and where a packet has to end.
pub(super) const fn finished(reader: &Reader<'_>) -> Result<(), DecodeError> {
    if reader.is_empty() { Ok(()) } else { Err(DecodeError::Length) }
}

fn properties<'b>(
    reader: &mut Reader<'b>,
    version: Version,
    place: Place,
) -> Result<List<'b, Property<'b>>, DecodeError> {
    if version < Version::V5 { Ok(List::EMPTY) } else { property::read(reader, place) }
}

/// A reason code and properties, where both or the latter may be left out; before 5 there is neither.
fn ending<'b>(
    mut reader: Reader<'b>,
    version: Version,
    packet: PacketType,
    place: Place,
) -> Result<(ReasonCode, List<'b, Property<'b>>), DecodeError> {
    let (mut reason, mut properties) = (ReasonCode::Success, List::EMPTY);
    if version == Version::V5 && !reader.is_empty() {
        reason = ReasonCode::read(&mut reader)?;
        if !reason.is_for(packet) {
            return Err(DecodeError::ReasonCode);
        }
        if !reader.is_empty() {
            properties = property::read(&mut reader, place)?;
        }
    }
    finished(&reader)?;
    Ok((reason, properties))
}

fn reasons(
    reader: Reader<'_>,
    version: Version,
    packet: PacketType,
) -> Result<List<'_, ReasonCode>, DecodeError> {
    let reasons = List::read(reader.rest, |reason: ReasonCode| {
        let known = reason.is_for(packet)
            && (version == Version::V5 || !reason.is_failure() || reason == ReasonCode::UnspecifiedError);
        if known { Ok(()) } else { Err(DecodeError::ReasonCode) }
    })?;
    some(&reasons)?;
    Ok(reasons)
}

fn name(topic: &str) -> Result<&str, DecodeError> {
    if topic::is_name(topic) { Ok(topic) } else { Err(DecodeError::TopicName) }
}

/// Whether it is that of a shared subscription.
fn filter(filter: &str, version: Version) -> Result<bool, DecodeError> {
    if version == Version::V5 && topic::is_shared(filter) {
        topic::shared(filter).map(|_| true).ok_or(DecodeError::SharedSubscription)
    } else if topic::is_filter(filter) {
        Ok(false)
    } else {
        Err(DecodeError::TopicFilter)
    }
}

fn some<T>(list: &List<'_, T>) -> Result<(), DecodeError> {
    if list.is_empty() { Err(DecodeError::NothingNamed) } else { Ok(()) }
}

impl<'b> Item<'b> for ReasonCode {
    fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError> {
        Self::of(reader.byte()?).ok_or(DecodeError::ReasonCode)
    }
}

impl<'b> Item<'b> for &'b str {
    fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError> {
        reader.text()
    }
}

impl<'b> Item<'b> for Subscription<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError> {
        let filter = reader.text()?;
        let options = reader.byte()?;
        let wrong = DecodeError::SubscriptionOptions;
        if options & 0xC0 != 0 {
            return Err(wrong);
        }
        Ok(Self {
            filter,
            qos: Qos::of(options & 0x03).ok_or(wrong)?,
            no_local: options & 0x04 != 0,
            retain_as_published: options & 0x08 != 0,
            retain_handling: match options >> 4 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(wrong),
            },
        })
    }
}
