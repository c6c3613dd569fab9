//! What breaks the rules, by which rule, and what the peer is told.

use lunix_proto::mqtt::DecodeError::{
    Flags, Length, NoMethod, NoTopic, NothingNamed, Order, PacketId, PacketType, Password, Property,
    PropertyPlace, PropertyTwice, PropertyValue, ProtocolName, ProtocolVersion, Qos, SharedSubscription,
    SubscriptionOptions, Text, TopicFilter, TopicName,
};
use lunix_proto::mqtt::Version::{V5, V31, V311};
use lunix_proto::mqtt::{
    ClientDecoder, ClientPacket, DecodeError, Limits, ReasonCode, ServerDecoder, Version,
};

use crate::{Decoder, Said, connect};

/// Of each version, or of some.
const ALL: &[Version] = &[V31, V311, V5];
const OLD: &[Version] = &[V31, V311];
const NEW: &[Version] = &[V5];

#[test]
fn connect_is_refused() {
    for (bytes, error) in [
        (&b"\x10\x0E\x00\x04MQTT\x06\x02\x00\x00\x00\x02me"[..], ProtocolVersion),
        (b"\x10\x0E\x00\x04MQTT\x03\x02\x00\x00\x00\x02me", ProtocolVersion),
        (b"\x10\x10\x00\x06MQIsdp\x04\x02\x00\x00\x00\x02me", ProtocolVersion),
        (b"\x10\x0F\x00\x04MQTT\x85\x02\x00\x00\x00\x00\x02me", ProtocolVersion),
        (b"\x10\x0E\x00\x04mqtt\x04\x02\x00\x00\x00\x02me", ProtocolName),
        (b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x02", Length),
        (b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x00\x00\x02me!", Length),
        (b"\x10\x05\x00\x04MQT", Length),
        (b"\x11\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me", Flags),
        (b"\x10\x0E\x00\x04MQTT\x04\x03\x00\x00\x00\x02me", Flags),
        // A will's QoS and retain without a will, a QoS that is none, a topic that is none.
        (b"\x10\x0E\x00\x04MQTT\x04\x0A\x00\x00\x00\x02me", Qos),
        (b"\x10\x0E\x00\x04MQTT\x04\x22\x00\x00\x00\x02me", Qos),
        (b"\x10\x13\x00\x04MQTT\x04\x1E\x00\x00\x00\x02me\x00\x01w\x00\x00", Qos),
        (b"\x10\x13\x00\x04MQTT\x04\x06\x00\x00\x00\x02me\x00\x01#\x00\x00", TopicName),
        (b"\x10\x12\x00\x04MQTT\x04\x06\x00\x00\x00\x02me\x00\x00\x00\x00", TopicName),
        (b"\x10\x11\x00\x04MQTT\x04\x42\x00\x00\x00\x02me\x00\x01p", Password),
        (b"\x10\x13\x00\x06MQIsdp\x03\x42\x00\x00\x00\x02me\x00\x01p", Password),
        (b"\x10\x0E\x00\x04MQTT\x04\x82\x00\x00\x00\x02me", Length),
        (b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02m\x00", Text),
        (b"\x10\x11\x00\x04MQTT\x04\x82\x00\x00\x00\x02me\x00\x01\xFF", Text),
        // Properties of 5, and a length that is longer than it need be.
        (b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x02me", PropertyValue),
        (b"\x10\x14\x00\x04MQTT\x05\x02\x00\x00\x05\x27\x00\x00\x00\x00\x00\x02me", PropertyValue),
        (b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x02\x17\x02\x00\x02me", PropertyValue),
        (b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x03\x23\x00\x01\x00\x02me", PropertyPlace),
        (b"\x10\x14\x00\x04MQTT\x05\x02\x00\x00\x05\x18\x00\x00\x00\x01\x00\x02me", PropertyPlace),
        (b"\x10\x15\x00\x04MQTT\x05\x02\x00\x00\x06\x22\x00\x01\x22\x00\x01\x00\x02me", PropertyTwice),
        (b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x03\x16\x00\x00\x00\x02me", NoMethod),
        (b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x01\x7F\x00\x02me", Property),
        (b"\x10\x8F\x00\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02me", Length),
        (b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x80\x00\x00\x02me", Length),
    ] {
        let found = ClientDecoder::new(Limits::default()).decode(bytes);
        assert_eq!(found, Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_version_is_known_even_if_the_rest_is_wrong() {
    let mut decoder = ClientDecoder::new(Limits::default());
    assert_eq!(decoder.version(), None);
    assert_eq!(decoder.decode(b"\x10\x0F\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x02me"), Err(Flags));
    assert_eq!(decoder.version(), Some(V5));
}

#[test]
fn connect_is_first_and_once() {
    for bytes in [&b"\xC0\x00"[..], b"\x30", b"\xE0\x00", b"\xF0\x00"] {
        assert_eq!(ClientDecoder::new(Limits::default()).decode(bytes), Err(Order));
    }
    for version in [V31, V311, V5] {
        let again = Said::Client(ClientPacket::Connect(connect(version))).bytes(version);
        assert!(matches!(Decoder::begun(false, version, Limits::default()).decode(&again[..1]), Err(Order)));
        assert_eq!(ServerDecoder::new(version, Limits::default()).decode(b"\xD0\x00"), Err(Order));
        assert_eq!(ServerDecoder::new(version, Limits::default()).decode(b"\x30"), Err(Order));
        assert_eq!(ServerDecoder::new(version, Limits::default()).decode(b"\xE0\x00"), Err(Order));
    }
    // AUTH is for those who said by which method [MQTT-4.12.0-7].
    let mut decoder = ClientDecoder::new(Limits::default());
    decoder.decode(b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02me").unwrap();
    assert_eq!(decoder.decode(b"\xF0\x00"), Err(Order));
}

#[test]
fn clients_are_refused() {
    for (versions, bytes, error) in [
        (ALL, &b"\x00"[..], PacketType),
        (ALL, b"\x20\x02\x00\x00", PacketType),
        (ALL, b"\x90\x03\x00\x01\x00", PacketType),
        (ALL, b"\xB0\x02\x00\x01", PacketType),
        (ALL, b"\xD0\x00", PacketType),
        (&[V311, V5][..], b"\xC1\x00", Flags),
        (&[V311, V5], b"\x60\x02\x00\x01", Flags),
        (&[V311, V5], b"\x80\x06\x00\x01\x00\x01a\x00", Flags),
        (ALL, b"\xC0\x01\x00", Length),
        (ALL, b"\xC0\x80\x80\x80\x80", Length),
        (NEW, b"\xC0\x80\x00", Length),
        // PUBLISH [3.3]
        (ALL, b"\x36\x05\x00\x01a\x00\x01", Qos),
        (&[V311, V5], b"\x38\x04\x00\x01a\x00", Qos),
        (ALL, b"\x32\x06\x00\x01a\x00\x00\x00", PacketId),
        (OLD, b"\x30\x04\x00\x02a#", TopicName),
        (OLD, b"\x30\x05\x00\x03+/b", TopicName),
        (NEW, b"\x30\x05\x00\x02a#\x00", TopicName),
        (OLD, b"\x30\x03\x00\x00!", TopicName),
        (NEW, b"\x30\x04\x00\x00\x00!", NoTopic),
        (ALL, b"\x30\x02\x00\x01", Length),
        (ALL, b"\x30\x01\x00", Length),
        (ALL, b"\x32\x04\x00\x01a\x00", Length),
        (NEW, b"\x30\x03\x00\x01a", Length),
        (NEW, b"\x30\x04\x00\x01a\x01", Length),
        (NEW, b"\x30\x07\x00\x01a\x03\x23\x00\x00", PropertyValue),
        (NEW, b"\x30\x06\x00\x01a\x02\x01\x02", PropertyValue),
        (NEW, b"\x30\x08\x00\x01a\x04\x08\x00\x01#", PropertyValue),
        (NEW, b"\x30\x06\x00\x01a\x02\x0B\x01", PropertyPlace),
        (NEW, b"\x30\x08\x00\x01a\x04\x1F\x00\x01x", PropertyPlace),
        (NEW, b"\x30\x0A\x00\x01a\x06\x23\x00\x01\x23\x00\x01", PropertyTwice),
        (NEW, b"\x30\x05\x00\x01a\x01\x02", Length),
        // Text [1.5.4]: U+0000, control characters, non-characters, a surrogate, a character in too many bytes.
        (ALL, b"\x30\x05\x00\x01\x00\x00\x00", Text),
        (ALL, b"\x30\x05\x00\x01\x1F\x00\x00", Text),
        (ALL, b"\x30\x05\x00\x01\x7F\x00\x00", Text),
        (ALL, b"\x30\x06\x00\x02\xC2\x85\x00\x00", Text),
        (ALL, b"\x30\x07\x00\x03\xEF\xBF\xBF\x00\x00", Text),
        (ALL, b"\x30\x07\x00\x03\xEF\xB7\x90\x00\x00", Text),
        (ALL, b"\x30\x08\x00\x04\xF0\x9F\xBF\xBE\x00\x00", Text),
        (ALL, b"\x30\x07\x00\x03\xED\xA0\x80\x00\x00", Text),
        (ALL, b"\x30\x06\x00\x02\xC0\x80\x00\x00", Text),
        // PUBACK and its like [3.4]
        (ALL, b"\x40\x02\x00\x00", PacketId),
        (ALL, b"\x40\x01\x00", Length),
        (OLD, b"\x40\x03\x00\x01\x00", Length),
        (NEW, b"\x40\x03\x00\x01\x92", DecodeError::ReasonCode),
        (NEW, b"\x62\x03\x00\x01\x10", DecodeError::ReasonCode),
        (NEW, b"\x40\x03\x00\x01\x03", DecodeError::ReasonCode),
        (NEW, b"\x40\x05\x00\x01\x00\x00\x00", Length),
        (NEW, b"\x40\x07\x00\x01\x00\x03\x23\x00\x01", PropertyPlace),
        // SUBSCRIBE [3.8]
        (OLD, b"\x82\x02\x00\x01", NothingNamed),
        (NEW, b"\x82\x03\x00\x01\x00", NothingNamed),
        (OLD, b"\x82\x06\x00\x00\x00\x01a\x00", PacketId),
        (OLD, b"\x82\x05\x00\x01\x00\x01a", Length),
        (OLD, b"\x82\x05\x00\x01\x00\x00\x00", TopicFilter),
        (OLD, b"\x82\x07\x00\x01\x00\x02a#\x00", TopicFilter),
        (OLD, b"\x82\x08\x00\x01\x00\x03#/a\x00", TopicFilter),
        (OLD, b"\x82\x07\x00\x01\x00\x02a+\x00", TopicFilter),
        (OLD, b"\x82\x06\x00\x01\x00\x01a\x03", SubscriptionOptions),
        (OLD, b"\x82\x06\x00\x01\x00\x01a\x04", SubscriptionOptions),
        (NEW, b"\x82\x07\x00\x01\x00\x00\x01a\x03", SubscriptionOptions),
        (NEW, b"\x82\x07\x00\x01\x00\x00\x01a\x30", SubscriptionOptions),
        (NEW, b"\x82\x07\x00\x01\x00\x00\x01a\x40", SubscriptionOptions),
        (NEW, b"\x82\x09\x00\x01\x02\x0B\x00\x00\x01a\x00", PropertyValue),
        (NEW, b"\x82\x0B\x00\x01\x04\x0B\x01\x0B\x02\x00\x01a\x00", PropertyTwice),
        (NEW, b"\x82\x0A\x00\x01\x03\x23\x00\x01\x00\x01a\x00", Property),
        // Shared subscriptions [4.8.2]
        (NEW, b"\x82\x10\x00\x01\x00\x00\x0A$share/g/a\x04", SharedSubscription),
        (NEW, b"\x82\x0F\x00\x01\x00\x00\x09$share//a\x00", SharedSubscription),
        (NEW, b"\x82\x11\x00\x01\x00\x00\x0B$share/g+/a\x00", SharedSubscription),
        (NEW, b"\x82\x0E\x00\x01\x00\x00\x08$share/g\x00", SharedSubscription),
        (NEW, b"\x82\x0F\x00\x01\x00\x00\x09$share/g/\x00", SharedSubscription),
        // UNSUBSCRIBE [3.10]
        (OLD, b"\xA2\x02\x00\x01", NothingNamed),
        (OLD, b"\xA2\x05\x00\x00\x00\x01a", PacketId),
        (OLD, b"\xA2\x05\x00\x01\x00\x01\xFF", Text),
        (NEW, b"\xA2\x08\x00\x01\x00\x00\x03#/a", TopicFilter),
        // DISCONNECT and AUTH [3.14, 3.15]
        (OLD, b"\xE0\x01\x00", Length),
        (OLD, b"\xF0\x00", Order),
        (NEW, b"\xE0\x01\x01", DecodeError::ReasonCode),
        (NEW, b"\xE0\x06\x00\x04\x1C\x00\x01x", PropertyPlace),
        (NEW, b"\xE0\x03\x00\x00\x00", Length),
        (NEW, b"\xF0\x00", DecodeError::ReasonCode),
        (NEW, b"\xF0\x02\x18\x00", NoMethod),
        (NEW, b"\xF0\x01\x18", Length),
    ] {
        for version in versions {
            let found = Decoder::begun(false, *version, Limits::default()).decode(bytes).map(drop);
            let error = if *version != V5 && bytes == b"\xF0\x00" { Order } else { error };
            assert_eq!(found, Err(error), "{version:?} {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn servers_are_refused() {
    for (versions, bytes, error) in [
        (ALL, &b"\x82\x06\x00\x01\x00\x01a\x00"[..], PacketType),
        (ALL, b"\xC0\x00", PacketType),
        (ALL, b"\x10", PacketType),
        (ALL, b"\x20", Order),
        (OLD, b"\xE0\x00", PacketType),
        (OLD, b"\xF0\x00", PacketType),
        (OLD, b"\x90\x02\x00\x01", NothingNamed),
        (OLD, b"\x90\x03\x00\x01\x87", DecodeError::ReasonCode),
        (OLD, b"\x90\x03\x00\x01\x03", DecodeError::ReasonCode),
        (OLD, b"\xB0\x03\x00\x01\x00", Length),
        (NEW, b"\x90\x03\x00\x01\x00", NothingNamed),
        (NEW, b"\x90\x04\x00\x01\x00\x11", DecodeError::ReasonCode),
        (NEW, b"\xB0\x03\x00\x01\x00", NothingNamed),
        (NEW, b"\xB0\x04\x00\x01\x00\x01", DecodeError::ReasonCode),
        (NEW, b"\xE0\x07\x00\x05\x11\x00\x00\x00\x00", PropertyPlace),
        (NEW, b"\xF0\x0A\x19\x08\x15\x00\x01m\x16\x00\x01d", DecodeError::ReasonCode),
    ] {
        for version in versions {
            let found = Decoder::begun(true, *version, Limits::default()).decode(bytes).map(drop);
            assert_eq!(found, Err(error), "{version:?} {}", bytes.escape_ascii());
        }
    }
    for (version, bytes, error) in [
        (V311, &b"\x20\x02\x02\x00"[..], Flags),
        (V311, b"\x20\x02\x01\x05", Flags),
        (V311, b"\x20\x02\x00\x06", DecodeError::ReasonCode),
        (V311, b"\x20\x01\x00", Length),
        (V311, b"\x20\x03\x00\x00\x00", Length),
        (V5, b"\x20\x03\x01\x87\x00", Flags),
        (V5, b"\x20\x03\x00\x92\x00", DecodeError::ReasonCode),
        (V5, b"\x20\x02\x00\x00", Length),
        (V5, b"\x20\x05\x00\x00\x02\x24\x02", PropertyValue),
        (V5, b"\x20\x06\x00\x00\x03\x16\x00\x00", NoMethod),
    ] {
        let found = ServerDecoder::new(version, Limits::default()).decode(bytes);
        assert_eq!(found, Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_refusal_has_its_reason_and_its_words() {
    let all = [
        Flags,
        Length,
        NoMethod,
        NoTopic,
        NothingNamed,
        Order,
        PacketId,
        PacketType,
        Password,
        Property,
        PropertyPlace,
        PropertyTwice,
        PropertyValue,
        ProtocolName,
        ProtocolVersion,
        Qos,
        SharedSubscription,
        SubscriptionOptions,
        Text,
        TopicFilter,
        TopicName,
        DecodeError::ReasonCode,
        DecodeError::TooLarge,
    ];
    for error in all {
        let reason = error.reason();
        assert!(reason.is_failure() && reason.is_for(lunix_proto::mqtt::PacketType::Connack), "{error}");
        assert_eq!(ReasonCode::of(reason.code()), Some(reason));
    }
    assert_eq!(ProtocolVersion.reason().return_code(), 1);
}
