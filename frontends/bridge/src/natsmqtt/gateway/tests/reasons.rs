//! What clients are told in words.

use super::*;

/// The reason strings of the packets that a client has heard since it was last asked; empty where there is none.
fn reasons(world: &mut World, link: LinkId) -> Vec<String> {
    world.gateway.sent(world.now, link);
    let (output, _) = world.gateway.output(link).unwrap();
    let bytes = std::mem::take(output);
    let (_, decoder) = world.decoders.get_mut(&link).unwrap();
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some((packet, length)) = decoder.decode(&bytes[at..]).unwrap() {
        let properties = match packet {
            ServerPacket::Connack(packet) => packet.properties,
            ServerPacket::Puback(packet) | ServerPacket::Pubrec(packet) => packet.properties,
            ServerPacket::Suback(packet) => packet.properties,
            ServerPacket::Unsuback(packet) => packet.properties,
            ServerPacket::Disconnect(packet) => packet.properties,
            other => panic!("{other:?}"),
        };
        let words = properties.iter().find_map(|property| match property {
            Property::ReasonString(words) => Some(words.to_owned()),
            _ => None,
        });
        all.push(words.unwrap_or_default());
        at += length;
    }
    all
}

const WRONG: [Subscription<'_>; 4] = [
    Subscription::new("a", Qos::AtMostOnce),
    Subscription::new("b c", Qos::AtMostOnce),
    Subscription::new("$SYS/#", Qos::AtMostOnce),
    Subscription::new("d", Qos::AtMostOnce),
];

/// Does what is refused in several ways, and hears why.
fn told(properties: &[Property<'_>]) -> Vec<String> {
    let mut world = World::with(Limits { subscriptions: 1, retained: 0, ..Limits::STANDARD });
    let link = world.client(Who { properties, ..V5 });
    let subscribe = Subscribe { packet_id: id(1), properties: List::EMPTY, subscriptions: List::of(&WRONG) };
    world.say(link, ClientPacket::Subscribe(subscribe));
    world.settle(true);
    world.publish(link, message("a b", "1", once(id(1))));
    world.publish(link, message("$SYS/a", "1", exactly(id(2))));
    world.publish(link, Publish { retain: true, ..message("a", "1", once(id(3))) });
    world.say(
        link,
        ClientPacket::Unsubscribe(Unsubscribe {
            packet_id: id(1),
            properties: List::EMPTY,
            filters: List::of(&["x", "a", "y"]),
        }),
    );
    let alias = [Property::TopicAlias(id(11))];
    world.publish(link, Publish { properties: List::of(&alias), ..message("a", "", Delivery::AtMostOnce) });
    reasons(&mut world, link)
}

#[test]
fn what_is_refused_is_explained() {
    assert_eq!(
        told(&[]),
        [
            "b c: blanks and control characters cannot be in a subject of NATS",
            "blanks and control characters cannot be in a subject of NATS",
            "devices have no part in what NATS talks about with itself",
            "there is no room for more retained messages",
            "x: there was no such subscription",
            "topic aliases are from 1 to 10",
        ]
    );
}

#[test]
fn who_wants_no_words_or_takes_no_packet_so_long_gets_none() {
    assert_eq!(told(&[Property::RequestProblemInformation(false)]), [""; 6]);
    let most = [Property::MaximumPacketSize(NonZeroU32::new(60).unwrap())];
    let told = told(&most);
    assert_eq!(told[0], "", "{told:?}");
    assert_eq!(told[5], "topic aliases are from 1 to 10", "what fits is said");
}

#[test]
fn who_may_not_connect_is_told_why() {
    let mut world = World::with(Limits { sessions: 1, ..Limits::STANDARD });
    let client = "x".repeat(1024);
    world.client(Who { client: &client, ..V5 });
    let link = world.connect(Who { client: &format!("{client}x"), ..V5 });
    assert_eq!(reasons(&mut world, link), ["client identifiers have 1024 bytes at most"]);
    for (properties, why) in [
        (&[][..], "1 sessions are the most that are kept"),
        (&[Property::RequestProblemInformation(false)], ""),
    ] {
        let link = world.connect(Who { properties, ..V5 });
        assert_eq!(reasons(&mut world, link), [why]);
    }
}

#[test]
fn ends_are_explained_and_before_mqtt_5_nothing_is() {
    let mut world = World::new();
    let (new, old) = (world.client(V5), world.client(V311));
    for link in [new, old] {
        world.gateway.fail(link, DecodeError::TooLarge, Some(Version::V5));
    }
    assert_eq!(reasons(&mut world, new), ["a packet has 1048576 bytes at most"]);
    assert_eq!(reasons(&mut world, old), [""; 0]);
    let old = world.client(V311);
    world.subscribe(old, WRONG[1]);
    assert_eq!(world.heard(old), ["SUBACK 1 [80]"]);
}
