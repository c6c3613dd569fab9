//! What is refused, and to whom.

use super::*;

#[test]
fn without_room_a_message_is_refused() {
    let mut world = World::new();
    world.gateway.upstream.room = 0;
    let (new, old) = (world.client(V5), world.client(V311));
    world.publish(new, message("a", "1", once(id(1))));
    assert_eq!(world.heard(new), ["PUBACK 1 0x97"]);
    world.publish(old, message("a", "1", Delivery::AtMostOnce));
    assert!(world.heard(old).is_empty());
    world.publish(old, message("a", "1", once(id(1))));
    assert_eq!(world.heard(old), ["end"]);
}

#[test]
fn what_a_client_takes_at_most_it_gets_at_most() {
    let mut world = World::new();
    let limits = [Property::ReceiveMaximum(id(2)), Property::MaximumPacketSize(NonZeroU32::new(30).unwrap())];
    let client = world.client(Who { client: "c", properties: &limits, ..V5 });
    world.subscribe(client, Subscription::new("a", Qos::AtLeastOnce));
    world.heard(client);
    for payload in ["1", "far too long for this client", "2", "3"] {
        world.nats("a", None, b"", payload);
    }
    assert_eq!(world.heard(client), ["PUBLISH a=1 q1 #1", "PUBLISH a=2 q1 #3"]);
    world.say(client, ClientPacket::Puback(Ack::new(id(1))));
    assert_eq!(world.heard(client), ["PUBLISH a=3 q1 #4"]);
}

#[test]
fn who_sends_more_than_may_be_under_way_is_told_so() {
    let mut world = World::with(Limits { inflight: 2, ..Limits::STANDARD });
    let client = world.client(V5);
    for number in 1..=3 {
        world.publish(client, message("a", "1", once(id(number))));
    }
    assert_eq!(world.heard(client), ["DISCONNECT 0x93", "end"]);
}

#[test]
fn every_limit_is_an_answer() {
    let mut world = World::with(Limits {
        connections: 3,
        sessions: 1,
        subscriptions: 1,
        retained: 1,
        ..Limits::STANDARD
    });
    let client = world.client(Who { client: "c", ..V5 });
    let second = world.connect(V5);
    assert_eq!(world.heard(second), ["CONNACK 0 0x97", "end"]);
    world.subscribe(client, Subscription::new("a", Qos::AtMostOnce));
    world.subscribe(client, Subscription::new("b", Qos::AtMostOnce));
    assert_eq!(world.heard(client), ["SUBACK 1 [0]", "SUBACK 1 [97]"]);
    for topic in ["x", "y"] {
        world.publish(client, Publish { retain: true, ..message(topic, "1", once(id(1))) });
        world.settle(true);
    }
    assert_eq!(world.heard(client), ["PUBACK 1 0x00", "PUBACK 1 0x97"]);
    assert!(world.gateway.open(HOME).is_some() && world.gateway.open(HOME).is_none());
}

#[test]
fn who_does_not_wait_for_answers_or_does_not_read_them_is_not_heard() {
    let mut world = World::with(Limits { output: 1000, ..Limits::STANDARD });
    let client = world.client(V5);
    let subscriptions = [Subscription::new("a", Qos::AtMostOnce)];
    let subscribe =
        Subscribe { packet_id: id(1), properties: List::EMPTY, subscriptions: List::of(&subscriptions) };
    for _ in 0..64 {
        assert!(!world.gateway.is_ahead(client));
        world.say(client, ClientPacket::Subscribe(subscribe));
    }
    assert!(world.gateway.is_ahead(client), "NATS is slow");
    world.settle(true);
    assert!(!world.gateway.is_ahead(client));
    for _ in 0..350 {
        world.say(client, ClientPacket::Pingreq);
    }
    assert!(world.gateway.is_ahead(client));
    assert_eq!(world.heard(client).len(), 64 + 350);
    assert!(!world.gateway.is_ahead(client));
}

#[test]
fn strangers_and_what_is_out_of_order() {
    let mut world = World::new();
    let link = world.connect(Who { clean: false, ..V311 });
    assert_eq!(world.heard(link), ["CONNACK 0 0x85", "end"]);
    for (version, error, answer) in [
        (None, DecodeError::ProtocolVersion, vec!["CONNACK 0 0x84", "end"]),
        (Some(Version::V311), DecodeError::Length, vec!["end"]),
        (Some(Version::V5), DecodeError::Length, vec!["CONNACK 0 0x81", "end"]),
    ] {
        let (link, _) = world.gateway.open(HOME).unwrap();
        let spoken = version.unwrap_or(Version::V311);
        let decoder = ServerDecoder::new(spoken, lunix_proto::mqtt::Limits::default());
        world.decoders.insert(link, (spoken, decoder));
        world.gateway.fail(link, error, version);
        assert_eq!(world.heard(link), answer);
    }
    let link = world.client(V5);
    world.gateway.fail(link, DecodeError::Length, Some(Version::V5));
    assert_eq!(world.heard(link), ["DISCONNECT 0x81", "end"]);
    world.publish(link, message("a", "1", Delivery::AtMostOnce));
    assert!(world.gateway.upstream.published.is_empty(), "nothing is heard after the end");
    let link = world.client(V5);
    world.gateway.shut_down();
    assert_eq!(world.heard(link), ["DISCONNECT 0x8b", "end"]);
}
