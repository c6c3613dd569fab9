//! What is kept of clients, and for how long: sessions, queues, wills.

use super::*;

#[test]
fn a_kept_session_gets_what_it_missed_in_order_and_nothing_again_before_it_comes_back() {
    let mut world = World::new();
    let who = Who { client: "c", clean: false, ..V311 };
    let (client, other) = (world.client(who), world.client(V5));
    world.subscribe(client, Subscription::new("a", Qos::ExactlyOnce));
    world.heard(client);
    world.publish(other, message("a", "1", once(id(1))));
    world.publish(other, message("a", "2", exactly(id(2))));
    world.settle(true);
    assert_eq!(world.heard(client), ["PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2"]);
    world.say(client, ClientPacket::Pubrec(Ack::new(id(2))));
    world.heard(client);
    world.leave(client);
    for (number, payload) in [(3, "3"), (4, "4")] {
        world.publish(other, message("a", payload, once(id(number))));
    }
    world.publish(other, message("a", "not kept", Delivery::AtMostOnce));
    world.settle(true);
    world.pass(3600);
    let client = world.connect(who);
    assert_eq!(
        world.heard(client),
        [
            "CONNACK 1 0x00",
            "PUBLISH a=1 q1 #1 dup",
            "PUBREL 2 0x00",
            "PUBLISH a=3 q1 #3",
            "PUBLISH a=4 q1 #4"
        ]
    );
    world.leave(client);
    let client = world.connect(Who { clean: true, ..who });
    assert_eq!(world.heard(client), ["CONNACK 0 0x00"], "a clean start forgets");
    assert_eq!(world.gateway.upstream.log.last().map(String::as_str), Some("UNSUB a"));
}

#[test]
fn a_session_ends_at_its_time() {
    let mut world = World::new();
    let who = Who { client: "c", clean: false, properties: KEPT, ..V5 };
    let client = world.client(who);
    world.subscribe(client, Subscription::new("a", Qos::AtLeastOnce));
    world.leave(client);
    world.pass(99);
    let client = world.connect(who);
    assert_eq!(world.heard(client), ["CONNACK 1 0x00"]);
    world.leave(client);
    world.pass(100);
    assert!(world.gateway.sessions.is_empty() && world.gateway.clients.is_empty());
    assert!(world.gateway.upstream.subscriptions.is_empty() && world.gateway.deadlines.is_empty());
    let client = world.connect(who);
    assert_eq!(world.heard(client), ["CONNACK 0 0x00"]);
    let expiry = [Property::SessionExpiryInterval(0)];
    let disconnect = Disconnect { properties: List::of(&expiry), ..Disconnect::default() };
    world.say(client, ClientPacket::Disconnect(disconnect));
    assert!(world.gateway.sessions.is_empty());
}

#[test]
fn the_queue_is_bounded_and_what_expires_is_not_sent() {
    let mut world = World::with(Limits { queue: 3, ..Limits::STANDARD });
    let who = Who { client: "c", clean: false, properties: KEPT, ..V5 };
    let client = world.client(who);
    world.subscribe(client, Subscription::new("a", Qos::AtLeastOnce));
    world.leave(client);
    world.nats("a", None, b"NATS/1.0\r\nNmqtt-Expiry: 5\r\n\r\n", "short");
    world.nats("a", None, b"NATS/1.0\r\nNmqtt-Expiry: 50\r\n\r\n", "long");
    for payload in ["3", "4"] {
        world.nats("a", None, b"", payload);
    }
    world.pass(10);
    let client = world.connect(who);
    assert_eq!(world.heard(client), ["CONNACK 1 0x00", "PUBLISH a=long q1 #1 40s", "PUBLISH a=3 q1 #2"]);
}

#[test]
fn the_same_client_takes_its_session_over() {
    let mut world = World::new();
    let will =
        Will { topic: "w", payload: b"gone", qos: Qos::AtMostOnce, retain: false, properties: List::EMPTY };
    let who = Who { client: "c", clean: false, properties: KEPT, will: Some(will), ..V5 };
    let (first, listener) = (world.client(who), world.client(V311));
    world.subscribe(listener, Subscription::new("w", Qos::AtMostOnce));
    world.heard(listener);
    let second = world.connect(who);
    world.settle(true);
    assert_eq!(world.heard(first), ["DISCONNECT 0x8e", "end"]);
    assert_eq!(world.heard(second), ["CONNACK 1 0x00"]);
    assert_eq!(world.heard(listener), ["PUBLISH w=gone q0"]);
    world.leave(first);
    assert!(world.heard(listener).is_empty(), "its end is not the session's");
}

#[test]
fn a_will_waits_for_its_delay_and_not_longer_than_the_session() {
    let mut world = World::new();
    let delay = [Property::WillDelayInterval(10)];
    let will = Will {
        topic: "w",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: List::of(&delay),
    };
    let who = Who { client: "c", clean: false, properties: KEPT, will: Some(will), ..V5 };
    let listener = world.client(V311);
    world.subscribe(listener, Subscription::new("w", Qos::AtLeastOnce));
    world.heard(listener);
    let client = world.client(who);
    world.leave(client);
    world.pass(9);
    let client = world.client(who);
    world.pass(5);
    assert!(world.heard(listener).is_empty(), "it came back in time");
    world.leave(client);
    world.pass(10);
    assert_eq!(world.heard(listener), ["PUBLISH w=gone q1 #1"]);
    let client = world.client(Who { properties: &[Property::SessionExpiryInterval(2)], ..who });
    world.leave(client);
    world.pass(2);
    assert_eq!(world.heard(listener), ["PUBLISH w=gone q1 #2"]);
    let client = world.client(who);
    world.say(client, ClientPacket::Disconnect(Disconnect::default()));
    world.pass(1000);
    assert!(world.heard(listener).is_empty(), "who says good-bye has no will");
    let client = world.client(V5);
    world.subscribe(client, Subscription::new("w", Qos::AtLeastOnce));
    assert_eq!(world.heard(client), ["SUBACK 1 [1]", "PUBLISH w=gone q1 #1 retain"]);
}

#[test]
fn who_comes_back_may_use_a_number_again_while_nats_is_slow() {
    let mut world = World::new();
    let who = Who { client: "c", clean: false, ..V311 };
    let before = world.client(who);
    world.publish(before, message("a", "before", once(id(1))));
    world.publish(before, message("a", "exactly", exactly(id(2))));
    world.publish(before, message("a", "twice", once(id(1))));
    world.leave_unsettled(before);
    let client = world.connect(who);
    world.heard(client);
    world.publish(client, message("a", "after", once(id(1))));
    world.publish(client, message("a", "exactly", exactly(id(2))));
    let payloads: Vec<_> =
        world.gateway.upstream.published.iter().map(|(.., payload)| payload.as_slice()).collect();
    assert_eq!(payloads, [&b"before"[..], b"exactly", b"after"]);
    world.settle(true);
    assert_eq!(world.heard(client), ["PUBREC 2 0x00", "PUBACK 1 0x00"]);
}
