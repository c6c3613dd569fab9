//! Every packet of every version as bytes, both ways.

use core::num::{NonZeroU16, NonZeroU32};

use lunix_proto::mqtt::ClientPacket as C;
use lunix_proto::mqtt::ServerPacket as S;
use lunix_proto::mqtt::Version::{V5, V31, V311};
use lunix_proto::mqtt::{
    Ack, Auth, Connack, Connect, Delivery, Disconnect, Limits, List, Property, Publish, Qos, ReasonCode,
    RetainHandling, Suback, Subscribe, Subscription, Unsuback, Unsubscribe, Version, Will,
};

use crate::Said::{self, Client, Server};
use crate::{Decoder, connect};

const fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

const fn publish(delivery: Delivery, topic: &'static str, payload: &'static [u8]) -> Publish<'static> {
    Publish { delivery, retain: false, topic, properties: List::EMPTY, payload, following: 0 }
}

const fn ack(reason: ReasonCode, properties: &'static [Property<'static>]) -> Ack<'static> {
    Ack { packet_id: id(0x102), reason, properties: List::of(properties) }
}

const ONCE: Delivery = Delivery::AtLeastOnce { packet_id: id(10), dup: true };
const EXACTLY: Delivery = Delivery::ExactlyOnce { packet_id: id(0xFFFF), dup: false };
const WILL: Will<'static> =
    Will { topic: "w", payload: b"gone", qos: Qos::ExactlyOnce, retain: true, properties: List::EMPTY };
const WHY: &[Property<'static>] = &[Property::ReasonString("no")];

const OF_CONNECT: &[Property<'static>] = &[
    Property::SessionExpiryInterval(u32::MAX),
    Property::ReceiveMaximum(id(20)),
    Property::MaximumPacketSize(NonZeroU32::new(0x1_0000).unwrap()),
    Property::TopicAliasMaximum(10),
    Property::RequestResponseInformation(true),
    Property::RequestProblemInformation(false),
    Property::AuthenticationMethod("m"),
    Property::AuthenticationData(b"\x00"),
];
const OF_WILL: &[Property<'static>] =
    &[Property::WillDelayInterval(7), Property::MessageExpiryInterval(8), Property::UserProperty("a", "b")];
const OF_CONNACK: &[Property<'static>] = &[
    Property::ReceiveMaximum(id(1)),
    Property::MaximumQos(Qos::AtLeastOnce),
    Property::RetainAvailable(false),
    Property::AssignedClientIdentifier("you"),
    Property::ServerKeepAlive(5),
    Property::ResponseInformation("i"),
    Property::ServerReference("s"),
    Property::WildcardSubscriptionAvailable(true),
    Property::SubscriptionIdentifierAvailable(false),
    Property::SharedSubscriptionAvailable(true),
];
const OF_PUBLISH: &[Property<'static>] = &[
    Property::PayloadFormatIndicator(true),
    Property::ContentType("t"),
    Property::ResponseTopic("r/t"),
    Property::CorrelationData(b"\x01\x02"),
    Property::TopicAlias(id(3)),
];
const IDENTIFIERS: &[Property<'static>] = &[
    Property::SubscriptionIdentifier(NonZeroU32::MIN),
    Property::SubscriptionIdentifier(NonZeroU32::new(268_435_455).unwrap()),
];
const IDENTIFIED: &[Property<'static>] = &[Property::SubscriptionIdentifier(NonZeroU32::new(200).unwrap())];
const PLAIN: &[Subscription<'static>] =
    &[Subscription::new("a/+", Qos::AtLeastOnce), Subscription::new("#", Qos::AtMostOnce)];
const OPTIONS: &[Subscription<'static>] = &[Subscription {
    filter: "$share/g/a/#",
    qos: Qos::ExactlyOnce,
    no_local: false,
    retain_as_published: true,
    retain_handling: RetainHandling::DoNotSend,
}];

/// What it says, in which version, and as which bytes.
pub(crate) fn samples() -> Vec<(Version, Said<'static>, &'static [u8])> {
    let full = Connect {
        clean_start: false,
        keep_alive: 60,
        will: Some(WILL),
        username: Some("u"),
        password: Some(b"p\xFF"),
        ..connect(V311)
    };
    let with_properties = Connect {
        version: V5,
        will: Some(Will { properties: List::of(OF_WILL), ..WILL }),
        username: None,
        properties: List::of(OF_CONNECT),
        ..full
    };
    let told = Publish { retain: true, properties: List::of(OF_PUBLISH), ..publish(ONCE, "", b"pay") };
    let limits =
        Connack { session_present: true, reason: ReasonCode::Success, properties: List::of(OF_CONNACK) };
    let found = Publish { properties: List::of(IDENTIFIERS), ..publish(Delivery::AtMostOnce, "a", b"") };
    let subscribe = |subscriptions, properties| Subscribe { packet_id: id(10), properties, subscriptions };
    let filters = |properties| Unsubscribe { packet_id: id(1), properties, filters: List::of(&["a", "b/#"]) };
    let granted =
        List::of(&[ReasonCode::GRANTED_QOS_0, ReasonCode::GrantedQos2, ReasonCode::UnspecifiedError]);
    let suback = |properties| Suback { packet_id: id(10), properties, reasons: granted };
    let unsubscribed =
        List::of(&[ReasonCode::Success, ReasonCode::NoSubscriptionExisted, ReasonCode::NotAuthorized]);
    let unsuback = |reasons| Unsuback { packet_id: id(1), properties: List::EMPTY, reasons };
    let refused = Connack { reason: ReasonCode::NotAuthorized, ..Connack::default() };
    let leaving = Disconnect {
        reason: ReasonCode::DisconnectWithWill,
        properties: List::of(&[Property::SessionExpiryInterval(1)]),
    };
    let moved = Disconnect {
        reason: ReasonCode::ServerMoved,
        properties: List::of(&[Property::ServerReference("x")]),
    };
    let more = Auth {
        reason: ReasonCode::ContinueAuthentication,
        properties: List::of(&[Property::AuthenticationMethod("m"), Property::AuthenticationData(b"d")]),
    };
    let none = List::EMPTY;
    vec![
        (V31, Client(C::Connect(connect(V31))), b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x00\x00\x02me"),
        (V311, Client(C::Connect(connect(V311))), b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"),
        (
            V311,
            Client(C::Connect(Connect { bridge: true, ..connect(V311) })),
            b"\x10\x0E\x00\x04MQTT\x84\x02\x00\x00\x00\x02me",
        ),
        (V5, Client(C::Connect(connect(V5))), b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02me"),
        (
            V311,
            Client(C::Connect(full)),
            b"\x10\x1E\x00\x04MQTT\x04\xF4\x00\x3C\x00\x02me\x00\x01w\x00\x04gone\x00\x01u\x00\x02p\xFF",
        ),
        (
            V5,
            Client(C::Connect(with_properties)),
            b"\x10\x4A\x00\x04MQTT\x05\x74\x00\x3C\
              \x1C\x11\xFF\xFF\xFF\xFF\x21\x00\x14\x27\x00\x01\x00\x00\x22\x00\x0A\x19\x01\x17\x00\x15\x00\x01m\x16\x00\x01\x00\
              \x00\x02me\x11\x18\x00\x00\x00\x07\x02\x00\x00\x00\x08\x26\x00\x01a\x00\x01b\x00\x01w\x00\x04gone\x00\x02p\xFF",
        ),
        (V31, Server(S::Connack(Connack::default())), b"\x20\x02\x00\x00"),
        (V311, Server(S::Connack(Connack { session_present: true, ..Connack::default() })), b"\x20\x02\x01\x00"),
        (V311, Server(S::Connack(refused)), b"\x20\x02\x00\x05"),
        (V5, Server(S::Connack(refused)), b"\x20\x03\x00\x87\x00"),
        (
            V5,
            Server(S::Connack(limits)),
            b"\x20\x21\x01\x00\x1E\x21\x00\x01\x24\x01\x25\x00\x12\x00\x03you\x13\x00\x05\x1A\x00\x01i\x1C\x00\x01s\x28\x01\x29\x00\x2A\x01",
        ),
        (V311, Client(C::Publish(publish(Delivery::AtMostOnce, "a/b", b"hi"))), b"\x30\x07\x00\x03a/bhi"),
        (V31, Server(S::Publish(publish(ONCE, "a/b", b""))), b"\x3A\x07\x00\x03a/b\x00\x0A"),
        (V311, Client(C::Publish(publish(EXACTLY, "a/b", b"\x00"))), b"\x34\x08\x00\x03a/b\xFF\xFF\x00"),
        (V5, Client(C::Publish(publish(EXACTLY, "a", b"b"))), b"\x34\x07\x00\x01a\xFF\xFF\x00b"),
        (
            V5,
            Client(C::Publish(told)),
            b"\x3B\x1C\x00\x00\x00\x0A\x14\x01\x01\x03\x00\x01t\x08\x00\x03r/t\x09\x00\x02\x01\x02\x23\x00\x03pay",
        ),
        (V5, Server(S::Publish(found)), b"\x30\x0B\x00\x01a\x07\x0B\x01\x0B\xFF\xFF\xFF\x7F"),
        (V31, Client(C::Puback(Ack::new(id(0x102)))), b"\x40\x02\x01\x02"),
        (V5, Server(S::Puback(Ack::new(id(0x102)))), b"\x40\x02\x01\x02"),
        (V5, Server(S::Puback(ack(ReasonCode::NoMatchingSubscribers, &[]))), b"\x40\x03\x01\x02\x10"),
        (V5, Server(S::Puback(ack(ReasonCode::Success, WHY))), b"\x40\x09\x01\x02\x00\x05\x1F\x00\x02no"),
        (V311, Server(S::Pubrec(Ack::new(id(0x102)))), b"\x50\x02\x01\x02"),
        (V5, Client(C::Pubrec(ack(ReasonCode::QuotaExceeded, WHY))), b"\x50\x09\x01\x02\x97\x05\x1F\x00\x02no"),
        (V311, Client(C::Pubrel(Ack::new(id(0x102)))), b"\x62\x02\x01\x02"),
        (V5, Server(S::Pubrel(ack(ReasonCode::PacketIdentifierNotFound, &[]))), b"\x62\x03\x01\x02\x92"),
        (V311, Server(S::Pubcomp(Ack::new(id(0x102)))), b"\x70\x02\x01\x02"),
        (V5, Client(C::Pubcomp(ack(ReasonCode::PacketIdentifierNotFound, &[]))), b"\x70\x03\x01\x02\x92"),
        (
            V311,
            Client(C::Subscribe(subscribe(List::of(PLAIN), none))),
            b"\x82\x0C\x00\x0A\x00\x03a/+\x01\x00\x01#\x00",
        ),
        (
            V5,
            Client(C::Subscribe(subscribe(List::of(OPTIONS), List::of(IDENTIFIED)))),
            b"\x82\x15\x00\x0A\x03\x0B\xC8\x01\x00\x0C$share/g/a/#\x2A",
        ),
        (V311, Server(S::Suback(suback(none))), b"\x90\x05\x00\x0A\x00\x02\x80"),
        (V5, Server(S::Suback(suback(List::of(WHY)))), b"\x90\x0B\x00\x0A\x05\x1F\x00\x02no\x00\x02\x80"),
        (V31, Client(C::Unsubscribe(filters(none))), b"\xA2\x0A\x00\x01\x00\x01a\x00\x03b/#"),
        (V5, Client(C::Unsubscribe(filters(none))), b"\xA2\x0B\x00\x01\x00\x00\x01a\x00\x03b/#"),
        (V311, Server(S::Unsuback(unsuback(List::EMPTY))), b"\xB0\x02\x00\x01"),
        (V5, Server(S::Unsuback(unsuback(unsubscribed))), b"\xB0\x06\x00\x01\x00\x00\x11\x87"),
        (V311, Client(C::Pingreq), b"\xC0\x00"),
        (V5, Server(S::Pingresp), b"\xD0\x00"),
        (V311, Client(C::Disconnect(Disconnect::default())), b"\xE0\x00"),
        (V5, Client(C::Disconnect(Disconnect::default())), b"\xE0\x00"),
        (V5, Client(C::Disconnect(leaving)), b"\xE0\x07\x04\x05\x11\x00\x00\x00\x01"),
        (V5, Server(S::Disconnect(moved)), b"\xE0\x06\x9D\x04\x1C\x00\x01x"),
        (V5, Client(C::Auth(more)), b"\xF0\x0A\x18\x08\x15\x00\x01m\x16\x00\x01d"),
        (V5, Server(S::Auth(Auth::default())), b"\xF0\x00"),
    ]
}

fn decode(version: Version, said: &Said<'_>, bytes: &[u8]) {
    let mut decoder = Decoder::of(said, version, Limits::default());
    assert_eq!(decoder.decode(bytes), Ok(Some((*said, bytes.len()))), "{}", bytes.escape_ascii());
}

#[test]
fn packets_are_these_bytes() {
    for (version, said, bytes) in samples() {
        assert_eq!(said.bytes(version).escape_ascii().to_string(), bytes.escape_ascii().to_string());
        decode(version, &said, bytes);
    }
}

#[test]
fn what_may_be_left_out_may_be_there() {
    for (version, said, bytes) in [
        // A reason code of success, and properties that there are none of [3.4.2.1, 3.14.2.1].
        (V5, Server(S::Puback(Ack::new(id(1)))), &b"\x40\x03\x00\x01\x00"[..]),
        (V5, Server(S::Puback(Ack::new(id(1)))), b"\x40\x04\x00\x01\x00\x00"),
        (V5, Client(C::Disconnect(Disconnect::default())), b"\xE0\x01\x00"),
        (V5, Client(C::Disconnect(Disconnect::default())), b"\xE0\x02\x00\x00"),
        // A length in more bytes than it needs, which only 5 forbids.
        (V311, Client(C::Pingreq), b"\xC0\x80\x80\x00"),
        (V311, Client(C::Connect(connect(V311))), b"\x10\x8E\x00\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"),
        // What 3.1 has no use for: flags of CONNECT, of a will that is not, DUP of what is said again.
        (V31, Client(C::Connect(connect(V31))), b"\x1F\x10\x00\x06MQIsdp\x03\x3B\x00\x00\x00\x02me"),
        (V31, Client(C::Pubrel(Ack::new(id(1)))), b"\x6A\x02\x00\x01"),
        (V31, Server(S::Connack(Connack::default())), b"\x20\x02\xFF\x00"),
        (V31, Client(C::Publish(publish(Delivery::AtMostOnce, "a", b""))), b"\x38\x03\x00\x01a"),
        // A name and a password that 3.1 has flags for, and nothing else.
        (V31, Client(C::Connect(connect(V31))), b"\x10\x10\x00\x06MQIsdp\x03\xC2\x00\x00\x00\x02me"),
    ] {
        decode(version, &said, bytes);
    }
}

#[test]
fn a_server_that_knows_no_5_says_so_in_its_own_words() {
    let refused = Connack { reason: ReasonCode::UnsupportedProtocolVersion, ..Connack::default() };
    decode(V5, &Server(S::Connack(refused)), b"\x20\x02\x00\x01");
    decode(V311, &Server(S::Connack(refused)), b"\x20\x02\x00\x01");
}

#[test]
fn what_a_version_has_not_is_left_out() {
    let why = List::of(WHY);
    let password = Connect { username: None, password: Some(b"p"), properties: why, ..connect(V311) };
    let subscriptions = [Subscription { no_local: true, ..Subscription::new("a", Qos::AtMostOnce) }];
    for (said, bytes) in [
        (Client(C::Connect(password)), &b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"[..]),
        (Server(S::Puback(ack(ReasonCode::QuotaExceeded, WHY))), b"\x40\x02\x01\x02"),
        (
            Client(C::Subscribe(Subscribe {
                packet_id: id(1),
                properties: why,
                subscriptions: List::of(&subscriptions),
            })),
            b"\x82\x06\x00\x01\x00\x01a\x00",
        ),
        (
            Server(S::Suback(Suback {
                packet_id: id(1),
                properties: why,
                reasons: List::of(&[ReasonCode::QuotaExceeded]),
            })),
            b"\x90\x03\x00\x01\x80",
        ),
        (
            Server(S::Unsuback(Unsuback {
                packet_id: id(1),
                properties: why,
                reasons: List::of(&[ReasonCode::Success]),
            })),
            b"\xB0\x02\x00\x01",
        ),
        (
            Client(C::Disconnect(Disconnect { reason: ReasonCode::DisconnectWithWill, properties: why })),
            b"\xE0\x00",
        ),
        (
            Server(S::Connack(Connack {
                session_present: true,
                reason: ReasonCode::QuotaExceeded,
                properties: why,
            })),
            b"\x20\x02\x00\x03",
        ),
    ] {
        assert_eq!(said.bytes(V311).escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }
}

#[test]
fn what_cannot_be_said_fits_nowhere() {
    let long = "x".repeat(0x1_0000);
    let long_topic = Client(C::Publish(Publish { topic: &long, ..publish(EXACTLY, "", b"") }));
    let long_packet = Client(C::Publish(Publish { following: 268_435_456, ..publish(EXACTLY, "a", b"") }));
    for said in [long_topic, long_packet] {
        let mut room = vec![0; 0x2_0000];
        assert_eq!(said.encode(V311, &mut room).unwrap_err().needed, usize::MAX);
    }
    // The longest that can: two bytes of length, one of topic.
    let longest = Publish { following: 268_435_452, ..publish(Delivery::AtMostOnce, "a", b"") };
    let mut head = [0; 8];
    assert_eq!(longest.encode_head(V311, &mut head), Ok(8));
    assert_eq!(&head, b"\x30\xFF\xFF\xFF\x7F\x00\x01a");
}
