//! Packets of all kinds, made up, and what becomes of them on their way.

use core::num::{NonZeroU16, NonZeroU32};

use lunix_proto::mqtt::{
    Ack, Auth, ClientPacket, Connack, Connect, Delivery, Disconnect, Limits, List, PacketType, Property,
    Publish, Qos, ReasonCode, RetainHandling, ServerPacket, Suback, Subscribe, Subscription, Unsuback,
    Unsubscribe, Version, Will,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Decoder, Said};

/// Packets borrow what they say; a strategy has nobody to lend it but for ever.
fn text(pattern: &'static str) -> BoxedStrategy<&'static str> {
    pattern.prop_map(|text| &*text.leak()).boxed()
}

fn bytes() -> BoxedStrategy<&'static [u8]> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| &*bytes.leak()).boxed()
}

fn list<T: core::fmt::Debug + Copy + 'static>(
    items: impl Strategy<Value = Vec<T>> + 'static,
) -> BoxedStrategy<&'static [T]> {
    items.prop_map(|items| &*items.leak()).boxed()
}

const NAME: &str = "[a-c/$. ]{1,8}";
const FILTER: &str = "([a-c]{0,2}/|\\+/){0,3}([a-c]{1,2}|\\+|#)";
const TEXT: &str = "[a-z\u{e4}\u{20ac}\u{1f4a1}/+#]{0,8}";

fn id() -> BoxedStrategy<NonZeroU16> {
    (1..=u16::MAX).prop_map(|id| NonZeroU16::new(id).unwrap()).boxed()
}

fn qos() -> BoxedStrategy<Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]).boxed()
}

fn version() -> BoxedStrategy<Version> {
    select(vec![Version::V31, Version::V311, Version::V5]).boxed()
}

fn reason(packet: PacketType, version: Version) -> BoxedStrategy<ReasonCode> {
    let all = (0..=255).filter_map(ReasonCode::of).filter(|reason| reason.is_for(packet));
    let old = |reason: &ReasonCode| match packet {
        PacketType::Connack => ReasonCode::of(reason.code()).is_some_and(|reason| {
            matches!(
                reason,
                ReasonCode::Success
                    | ReasonCode::UnsupportedProtocolVersion
                    | ReasonCode::ClientIdentifierNotValid
                    | ReasonCode::ServerUnavailable
                    | ReasonCode::BadUserNameOrPassword
                    | ReasonCode::NotAuthorized
            )
        }),
        PacketType::Suback => reason.code() <= 2 || *reason == ReasonCode::UnspecifiedError,
        _ => *reason == ReasonCode::Success,
    };
    select(all.filter(|reason| version == Version::V5 || old(reason)).collect::<Vec<_>>()).boxed()
}

/// Each of `kinds` at most once, in any order, and user properties; none before 5.
fn properties(
    version: Version,
    kinds: Vec<BoxedStrategy<Property<'static>>>,
) -> BoxedStrategy<List<'static, Property<'static>>> {
    if version < Version::V5 {
        return Just(List::EMPTY).boxed();
    }
    let some: Vec<_> = kinds.into_iter().map(of).collect();
    let user =
        vec((text(TEXT), text(TEXT)).prop_map(|(name, value)| Property::UserProperty(name, value)), 0..3);
    let all = (some, user)
        .prop_map(|(some, user)| some.into_iter().flatten().chain(user).collect::<Vec<_>>())
        .prop_shuffle();
    list(all).prop_map(List::of).boxed()
}

macro_rules! kinds {
    ($($kind:ident($value:expr)),* $(,)?) => {
        vec![$($value.prop_map(Property::$kind).boxed()),*]
    };
}

fn ending() -> Vec<BoxedStrategy<Property<'static>>> {
    kinds![ReasonString(text(TEXT))]
}

fn message() -> Vec<BoxedStrategy<Property<'static>>> {
    kinds![
        PayloadFormatIndicator(any::<bool>()),
        MessageExpiryInterval(any::<u32>()),
        ContentType(text(TEXT)),
        ResponseTopic(text(NAME)),
        CorrelationData(bytes()),
    ]
}

fn connect() -> BoxedStrategy<ClientPacket<'static>> {
    version()
        .prop_flat_map(|version| {
            let of_will = [message(), kinds![WillDelayInterval(any::<u32>())]].concat();
            let will = (text(NAME), bytes(), qos(), any::<bool>(), properties(version, of_will)).prop_map(
                |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
            );
            let own = kinds![
                SessionExpiryInterval(any::<u32>()),
                ReceiveMaximum(id()),
                MaximumPacketSize((1..=u32::MAX).prop_map(|size| NonZeroU32::new(size).unwrap())),
                TopicAliasMaximum(any::<u16>()),
                RequestResponseInformation(any::<bool>()),
                RequestProblemInformation(any::<bool>()),
                AuthenticationMethod(text(TEXT)),
            ];
            let flags = (any::<bool>(), any::<u16>());
            (flags, text(TEXT), of(will), of(text(TEXT)), of(bytes()), properties(version, own)).prop_map(
                move |((clean_start, keep_alive), client_id, will, username, password, properties)| {
                    let password = password.filter(|_| version == Version::V5 || username.is_some());
                    ClientPacket::Connect(Connect {
                        version,
                        bridge: false,
                        clean_start,
                        keep_alive,
                        client_id,
                        will,
                        username,
                        password,
                        properties,
                    })
                },
            )
        })
        .boxed()
}

fn publish(version: Version, by_server: bool) -> BoxedStrategy<Publish<'static>> {
    let delivery = (qos(), id(), any::<bool>()).prop_map(|(qos, packet_id, dup)| match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
    });
    let identifier = (1..268_435_456_u32).prop_map(|id| NonZeroU32::new(id).unwrap());
    let of_server = if by_server { kinds![SubscriptionIdentifier(identifier)] } else { Vec::new() };
    let own = [message(), kinds![TopicAlias(id())], of_server].concat();
    (delivery, any::<bool>(), text(NAME), properties(version, own), bytes(), any::<bool>())
        .prop_map(|(delivery, retain, topic, properties, payload, by_alias)| {
            let alias = properties.iter().any(|property| matches!(property, Property::TopicAlias(_)));
            let topic = if alias && by_alias { "" } else { topic };
            Publish { delivery, retain, topic, properties, payload, following: 0 }
        })
        .boxed()
}

fn ack(version: Version, packet: PacketType) -> BoxedStrategy<Ack<'static>> {
    (id(), reason(packet, version), properties(version, ending()))
        .prop_map(|(packet_id, reason, properties)| Ack { packet_id, reason, properties })
        .boxed()
}

fn auth(reasons: &[ReasonCode]) -> BoxedStrategy<Auth<'static>> {
    (select(reasons.to_vec()), text(TEXT), of(bytes()), of(text(TEXT)))
        .prop_map(|(reason, method, data, why)| {
            let all = [
                Some(Property::AuthenticationMethod(method)),
                data.map(Property::AuthenticationData),
                why.map(Property::ReasonString),
            ];
            Auth { reason, properties: List::of(all.into_iter().flatten().collect::<Vec<_>>().leak()) }
        })
        .boxed()
}

/// What a client may say after `CONNECT`.
fn by_client(version: Version) -> BoxedStrategy<ClientPacket<'static>> {
    let filter = if version == Version::V5 {
        prop_oneof![text(FILTER), text("[$]share/[a-c]{1,2}/([a-c]/|\\+/){0,2}([a-c]|#)")].boxed()
    } else {
        text(FILTER)
    };
    let subscription = (
        filter.clone(),
        qos(),
        any::<(bool, bool)>(),
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]),
    )
        .prop_map(move |(filter, qos, (no_local, retain_as_published), retain_handling)| {
            if version == Version::V5 {
                let no_local = no_local && !filter.starts_with("$share");
                Subscription { filter, qos, no_local, retain_as_published, retain_handling }
            } else {
                Subscription::new(filter, qos)
            }
        });
    let identifier = (1..268_435_456_u32).prop_map(|id| NonZeroU32::new(id).unwrap());
    let subscribe = (
        id(),
        properties(version, kinds![SubscriptionIdentifier(identifier)]),
        list(vec(subscription, 1..5)),
    )
        .prop_map(|(packet_id, properties, items)| {
            ClientPacket::Subscribe(Subscribe { packet_id, properties, subscriptions: List::of(items) })
        });
    let unsubscribe = (id(), properties(version, Vec::new()), list(vec(filter, 1..5))).prop_map(
        |(packet_id, properties, items)| {
            ClientPacket::Unsubscribe(Unsubscribe { packet_id, properties, filters: List::of(items) })
        },
    );
    let leaving = [ending(), kinds![SessionExpiryInterval(any::<u32>())]].concat();
    let disconnect = (reason(PacketType::Disconnect, version), properties(version, leaving))
        .prop_map(|(reason, properties)| ClientPacket::Disconnect(Disconnect { reason, properties }));
    let mut all = vec![
        publish(version, false).prop_map(ClientPacket::Publish).boxed(),
        ack(version, PacketType::Puback).prop_map(ClientPacket::Puback).boxed(),
        ack(version, PacketType::Pubrec).prop_map(ClientPacket::Pubrec).boxed(),
        ack(version, PacketType::Pubrel).prop_map(ClientPacket::Pubrel).boxed(),
        ack(version, PacketType::Pubcomp).prop_map(ClientPacket::Pubcomp).boxed(),
        subscribe.boxed(),
        unsubscribe.boxed(),
        Just(ClientPacket::Pingreq).boxed(),
        disconnect.boxed(),
    ];
    if version == Version::V5 {
        let reasons = [ReasonCode::ContinueAuthentication, ReasonCode::Reauthenticate];
        all.push(auth(&reasons).prop_map(ClientPacket::Auth).boxed());
    }
    proptest::strategy::Union::new(all).boxed()
}

/// What a server may say.
fn by_server(version: Version) -> BoxedStrategy<ServerPacket<'static>> {
    let greeting = kinds![
        SessionExpiryInterval(any::<u32>()),
        ReceiveMaximum(id()),
        MaximumQos(select(vec![Qos::AtMostOnce, Qos::AtLeastOnce])),
        RetainAvailable(any::<bool>()),
        MaximumPacketSize((1..=u32::MAX).prop_map(|size| NonZeroU32::new(size).unwrap())),
        AssignedClientIdentifier(text(TEXT)),
        TopicAliasMaximum(any::<u16>()),
        ReasonString(text(TEXT)),
        WildcardSubscriptionAvailable(any::<bool>()),
        SubscriptionIdentifierAvailable(any::<bool>()),
        SharedSubscriptionAvailable(any::<bool>()),
        ServerKeepAlive(any::<u16>()),
        ResponseInformation(text(TEXT)),
        ServerReference(text(TEXT)),
    ];
    let connack = (any::<bool>(), reason(PacketType::Connack, version), properties(version, greeting))
        .prop_map(move |(present, reason, properties)| {
            let session_present = present && reason == ReasonCode::Success && version > Version::V31;
            ServerPacket::Connack(Connack { session_present, reason, properties })
        });
    let suback = (id(), properties(version, ending()), list(vec(reason(PacketType::Suback, version), 1..5)))
        .prop_map(|(packet_id, properties, reasons)| {
            ServerPacket::Suback(Suback { packet_id, properties, reasons: List::of(reasons) })
        });
    let unsuback =
        (id(), properties(version, ending()), list(vec(reason(PacketType::Unsuback, version), 1..5)))
            .prop_map(move |(packet_id, properties, reasons)| {
                let reasons = if version == Version::V5 { List::of(reasons) } else { List::EMPTY };
                ServerPacket::Unsuback(Unsuback { packet_id, properties, reasons })
            });
    let mut all = vec![
        connack.boxed(),
        publish(version, true).prop_map(ServerPacket::Publish).boxed(),
        ack(version, PacketType::Puback).prop_map(ServerPacket::Puback).boxed(),
        ack(version, PacketType::Pubrec).prop_map(ServerPacket::Pubrec).boxed(),
        ack(version, PacketType::Pubrel).prop_map(ServerPacket::Pubrel).boxed(),
        ack(version, PacketType::Pubcomp).prop_map(ServerPacket::Pubcomp).boxed(),
        suback.boxed(),
        unsuback.boxed(),
        Just(ServerPacket::Pingresp).boxed(),
    ];
    if version == Version::V5 {
        let leaving = [ending(), kinds![ServerReference(text(TEXT))]].concat();
        let disconnect = (reason(PacketType::Disconnect, version), properties(version, leaving))
            .prop_map(|(reason, properties)| ServerPacket::Disconnect(Disconnect { reason, properties }));
        all.push(disconnect.boxed());
        let reasons = [ReasonCode::ContinueAuthentication, ReasonCode::Success];
        all.push(auth(&reasons).prop_map(ServerPacket::Auth).boxed());
    }
    proptest::strategy::Union::new(all).boxed()
}

/// Anything that either side may say, in any version.
pub(crate) fn said() -> BoxedStrategy<(Version, Said<'static>)> {
    let connect = connect().prop_map(|packet| match packet {
        ClientPacket::Connect(connect) => (connect.version, Said::Client(packet)),
        _ => unreachable!(),
    });
    let others = version().prop_flat_map(|version| {
        prop_oneof![
            by_client(version).prop_map(move |packet| (version, Said::Client(packet))),
            by_server(version).prop_map(move |packet| (version, Said::Server(packet))),
        ]
    });
    prop_oneof![1 => connect, 9 => others].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read((version, said) in said()) {
        let bytes = said.bytes(version);
        let mut decoder = Decoder::of(&said, version, Limits::default());
        prop_assert_eq!(decoder.decode(&bytes), Ok(Some((said, bytes.len()))));
    }

    #[test]
    fn one_byte_that_is_another_does_no_harm((version, said) in said(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = said.bytes(version);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut decoder = Decoder::of(&said, version, Limits::default());
        // What is still a packet is written so that it is the same packet.
        if let Ok(Some((said, _))) = decoder.decode(&bytes) {
            let version = match &said {
                Said::Client(ClientPacket::Connect(connect)) => connect.version,
                _ => version,
            };
            let again = said.bytes(version);
            let mut decoder = Decoder::of(&said, version, Limits::default());
            prop_assert_eq!(decoder.decode(&again), Ok(Some((said, again.len()))));
        }
    }
}
