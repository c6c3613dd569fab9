//! Which message goes where, and how.

use super::*;

#[test]
fn a_message_goes_through_nats_and_is_acknowledged_when_that_has_it() {
    let mut world = World::new();
    let (sensor, heater) = (world.client(V311), world.client(V5));
    world.subscribe(heater, Subscription::new("home/+", Qos::ExactlyOnce));
    assert_eq!(world.heard(heater), ["SUBACK 1 [2]"]);
    world.publish(sensor, message("home/a", "17", once(id(7))));
    assert!(world.heard(sensor).is_empty(), "NATS does not have it yet");
    world.settle(true);
    assert_eq!(world.heard(sensor), ["PUBACK 7 0x00"]);
    assert_eq!(world.heard(heater), ["PUBLISH home/a=17 q1 #1"]);
    assert_eq!(world.gateway.upstream.log, ["SUB home.*", "PUB home.a"]);
    world.nats("home.b", None, b"", "18");
    assert_eq!(world.heard(heater), ["PUBLISH home/b=18 q1 #2"]);
}

#[test]
fn what_nats_may_not_have_is_not_acknowledged() {
    let mut world = World::new();
    let client = world.client(V5);
    world.publish(client, message("a", "1", once(id(1))));
    world.settle(false);
    assert_eq!(world.heard(client), ["DISCONNECT 0x89", "end"]);
}

#[test]
fn what_is_hidden_is_neither_published_nor_subscribed_to() {
    let mut world = World::new();
    let client = world.client(V5);
    world.publish(client, message("$SYS/x", "1", once(id(1))));
    assert_eq!(world.heard(client), ["PUBACK 1 0x87"]);
    for (filter, reason) in
        [("$SYS/#", "87"), ("_INBOX/#", "87"), ("a b", "8f"), ("a/>", "8f"), ("$share/a b/c", "8f")]
    {
        world.subscribe(client, Subscription::new(filter, Qos::AtMostOnce));
        assert_eq!(world.heard(client), [format!("SUBACK 1 [{reason}]")], "{filter}");
    }
    world.subscribe(client, Subscription::new("#", Qos::AtMostOnce));
    world.heard(client);
    for subject in ["$SYS.REQ", "_INBOX.abc.1"] {
        world.nats(subject, None, b"", "secret");
    }
    assert!(world.heard(client).is_empty());
    assert!(world.gateway.upstream.log.iter().all(|line| !line.starts_with("PUB $SYS.x")));
}

#[test]
fn what_the_rules_forbid_is_refused_and_not_seen() {
    let mut world = World::new();
    let text = "permissions { publish: 'up/#', subscribe: { deny: 'up/secret' } }";
    let mut file = lunix::config::parse("x".as_ref(), text, &lunix::config::Machine).unwrap();
    let rules = file.take(&["permissions"]).and_then(crate::natsmqtt::rules::Rules::take).unwrap();
    world.rules = Rc::new(rules);
    let client = world.client(V5);
    world.publish(client, message("down", "1", once(id(1))));
    world.subscribe(client, Subscription::new("up/secret", Qos::AtMostOnce));
    world.subscribe(client, Subscription::new("#", Qos::AtMostOnce));
    assert_eq!(world.heard(client), ["PUBACK 1 0x87", "SUBACK 1 [87]", "SUBACK 1 [0]"]);
    for topic in ["up/secret", "up/other"] {
        world.publish(client, Publish { retain: true, ..message(topic, "1", Delivery::AtMostOnce) });
    }
    world.settle(true);
    assert_eq!(world.heard(client), ["PUBLISH up/other=1 q0"]);
    world.subscribe(client, Subscription::new("#", Qos::AtMostOnce));
    assert_eq!(world.heard(client), ["SUBACK 1 [0]", "PUBLISH up/other=1 q0 retain"]);
    let will =
        Will { topic: "down", payload: b"", qos: Qos::AtMostOnce, retain: false, properties: List::EMPTY };
    let link = world.connect(Who { will: Some(will), ..V5 });
    assert_eq!(world.heard(link), ["CONNACK 0 0x87", "end"]);
}

#[test]
fn exactly_once_also_if_it_is_said_twice() {
    let mut world = World::new();
    let (one, other) = (world.client(V311), world.client(V311));
    world.subscribe(other, Subscription::new("a", Qos::ExactlyOnce));
    world.heard(other);
    for _ in 0..2 {
        world.publish(one, message("a", "1", exactly(id(3))));
    }
    world.settle(true);
    world.publish(one, message("a", "1", Delivery::ExactlyOnce { packet_id: id(3), dup: true }));
    assert_eq!(world.heard(one), ["PUBREC 3 0x00", "PUBREC 3 0x00"]);
    assert_eq!(world.heard(other), ["PUBLISH a=1 q2 #1"]);
    world.say(one, ClientPacket::Pubrel(Ack::new(id(3))));
    assert_eq!(world.heard(one), ["PUBCOMP 3 0x00"]);
    world.say(other, ClientPacket::Pubrec(Ack::new(id(1))));
    assert_eq!(world.heard(other), ["PUBREL 1 0x00"]);
    world.say(other, ClientPacket::Pubcomp(Ack::new(id(1))));
    world.say(other, ClientPacket::Puback(Ack::new(id(1))));
    assert!(world.heard(other).is_empty(), "an answer to what is over is none of anybody's business");
    world.nats("a", None, b"NATS/1.0\r\nNmqtt-Pub: 1\r\n\r\n", "2");
    world.say(other, ClientPacket::Pubcomp(Ack::new(id(2))));
    assert_eq!(world.heard(other), ["PUBLISH a=2 q1 #2", "end"]);
}

#[test]
fn retained_messages() {
    let mut world = World::new();
    let client = world.client(V5);
    let retain = |topic, payload| Publish { retain: true, ..message(topic, payload, Delivery::AtMostOnce) };
    world.publish(client, retain("a/b", "1"));
    world.publish(client, retain("a/c", "2"));
    world.settle(true);
    let new = RetainHandling::SendIfNew;
    world.subscribe(
        client,
        Subscription { retain_handling: new, ..Subscription::new("a/+", Qos::AtLeastOnce) },
    );
    assert_eq!(world.heard(client), ["SUBACK 1 [1]", "PUBLISH a/b=1 q0 retain", "PUBLISH a/c=2 q0 retain"]);
    world.subscribe(
        client,
        Subscription { retain_handling: new, ..Subscription::new("a/+", Qos::AtLeastOnce) },
    );
    assert_eq!(world.heard(client), ["SUBACK 1 [1]"]);
    world.publish(client, retain("a/b", "3"));
    world.settle(true);
    assert_eq!(world.heard(client), ["PUBLISH a/b=3 q0"]);
    world.subscribe(
        client,
        Subscription {
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
            ..Subscription::new("a/+", Qos::AtLeastOnce)
        },
    );
    world.publish(client, retain("a/b", ""));
    world.settle(true);
    assert_eq!(world.heard(client), ["SUBACK 1 [1]", "PUBLISH a/b= q0 retain"]);
    assert!(world.gateway.retained(world.now, b"a.b").is_none());
    let (kept, header) = world.gateway.retained(world.now, b"a.c").unwrap();
    assert_eq!(&*kept.payload, b"2");
    assert_eq!(header, b"NATS/1.0\r\nNmqtt-Pub: 0\r\nNmqtt-Retain: 1\r\n\r\n");
}

#[test]
fn overlapping_subscriptions_give_one_message_with_all_identifiers() {
    let mut world = World::new();
    let client = world.client(V5);
    for (number, filter, qos) in
        [(1, "a/#", Qos::AtMostOnce), (2, "a/b", Qos::AtLeastOnce), (3, "c", Qos::AtMostOnce)]
    {
        let identifier = [Property::SubscriptionIdentifier(NonZeroU32::new(number).unwrap())];
        world.subscribe_with(client, Subscription::new(filter, qos), &identifier);
    }
    world.heard(client);
    world.nats("a.b", None, b"", "1");
    assert_eq!(world.heard(client), ["PUBLISH a/b=1 q1 #1 id1 id2"]);
    world.nats("a", None, b"", "2");
    assert_eq!(world.heard(client), ["PUBLISH a=2 q0 id1"]);
    let filters = ["a/#", "x"];
    let unsubscribe = Unsubscribe { packet_id: id(9), properties: List::EMPTY, filters: List::of(&filters) };
    world.say(client, ClientPacket::Unsubscribe(unsubscribe));
    world.nats("a.b", None, b"", "3");
    assert_eq!(world.heard(client), ["UNSUBACK 9 [0, 11]", "PUBLISH a/b=3 q1 #2 id2"]);
}

#[test]
fn no_local_spares_a_client_its_own() {
    let mut world = World::new();
    let (one, other) = (world.client(V5), world.client(V5));
    for client in [one, other] {
        world.subscribe(client, Subscription { no_local: true, ..Subscription::new("a", Qos::AtMostOnce) });
        world.heard(client);
    }
    world.publish(one, message("a", "1", Delivery::AtMostOnce));
    world.settle(true);
    assert!(world.heard(one).is_empty());
    assert_eq!(world.heard(other), ["PUBLISH a=1 q0"]);
}

#[test]
fn a_bridge_gets_nothing_of_its_own_and_retain_flags_as_they_are() {
    let mut world = World::new();
    let (bridge, other) = (world.client(Who { bridge: true, ..V311 }), world.client(V311));
    for client in [bridge, other] {
        world.subscribe(client, Subscription::new("a", Qos::AtMostOnce));
        world.heard(client);
    }
    for client in [bridge, other] {
        world.publish(client, Publish { retain: true, ..message("a", "1", Delivery::AtMostOnce) });
    }
    world.settle(true);
    assert_eq!(world.heard(bridge), ["PUBLISH a=1 q0 retain"]);
    assert_eq!(world.heard(other), ["PUBLISH a=1 q0", "PUBLISH a=1 q0"]);
}

#[test]
fn a_group_takes_turns_and_passes_over_who_is_away() {
    let mut world = World::new();
    let clients =
        [world.client(V5), world.client(V5), world.client(Who { client: "c", properties: KEPT, ..V5 })];
    for client in clients {
        world.subscribe(client, Subscription::new("$share/g/a", Qos::AtLeastOnce));
        world.heard(client);
    }
    assert_eq!(world.gateway.upstream.log, ["SUB a g"]);
    world.leave(clients[2]);
    world.nats("a", None, b"", "0");
    assert_eq!(world.heard(clients[0]), ["PUBLISH a=0 q1 #1"], "the first");
    for payload in ["1", "2", "3", "4"] {
        world.nats("a", None, b"", payload);
    }
    let counts = [clients[0], clients[1]].map(|client| world.heard(client).len());
    assert_eq!(counts, [2, 2]);
}

#[test]
fn requests_and_answers_between_the_two_worlds() {
    let mut world = World::new();
    let (device, asker) = (world.client(V5), world.client(V5));
    world.subscribe(device, Subscription::new("svc", Qos::AtMostOnce));
    world.subscribe(asker, Subscription::new("answers/1", Qos::AtMostOnce));
    for client in [device, asker] {
        world.heard(client);
    }
    world.nats("svc", Some("_INBOX.x.1"), b"NATS/1.0\r\ncolour: red\r\n\r\n", "?");
    assert_eq!(world.heard(device), ["PUBLISH svc=? q0 colour:red ->_INBOX/x/1"]);
    world.publish(device, message("_INBOX/x/1", "!", Delivery::AtMostOnce));
    world.settle(true);
    assert_eq!(world.gateway.upstream.log.last().map(String::as_str), Some("PUB _INBOX.x.1"));

    let wanted = [Property::ResponseTopic("answers/1"), Property::CorrelationData(&[7, 8])];
    let request = Publish { properties: List::of(&wanted), ..message("svc", "?", Delivery::AtMostOnce) };
    world.publish(asker, request);
    let reply = world.gateway.upstream.published[0].1.clone().unwrap();
    world.settle(true);
    assert_eq!(world.heard(device), ["PUBLISH svc=? q0 ->answers/1 [7, 8]"]);
    let heard = Heard { subject: reply.as_bytes(), reply: None, header: b"", payload: b"from NATS" };
    world.gateway.answer(world.now, &heard);
    world.settle(true);
    assert_eq!(world.heard(asker), ["PUBLISH answers/1=from NATS q0 [7, 8]"]);
}

#[test]
fn aliases_both_ways() {
    let mut world = World::new();
    let client = world.client(Who { properties: &[Property::TopicAliasMaximum(1)], ..V5 });
    world.subscribe(client, Subscription::new("#", Qos::AtMostOnce));
    world.heard(client);
    let alias = [Property::TopicAlias(id(1))];
    for topic in ["a/long/topic", ""] {
        world.publish(
            client,
            Publish { properties: List::of(&alias), ..message(topic, "1", Delivery::AtMostOnce) },
        );
    }
    world.settle(true);
    world.nats("b", None, b"", "2");
    assert_eq!(
        world.heard(client),
        ["PUBLISH a/long/topic=1 q0 alias1", "PUBLISH =1 q0 alias1", "PUBLISH b=2 q0"]
    );
    let alias = [Property::TopicAlias(id(11))];
    world
        .publish(client, Publish { properties: List::of(&alias), ..message("a", "1", Delivery::AtMostOnce) });
    assert_eq!(world.heard(client), ["DISCONNECT 0x94", "end"]);
}

#[test]
fn a_subscription_is_acknowledged_also_while_nats_is_away() {
    let mut world = World::new();
    let client = world.client(V5);
    let subscriptions = [Subscription::new("a", Qos::AtMostOnce)];
    let subscribe =
        Subscribe { packet_id: id(1), properties: List::EMPTY, subscriptions: List::of(&subscriptions) };
    world.say(client, ClientPacket::Subscribe(subscribe));
    world.publish(client, message("b", "1", once(id(2))));
    assert!(world.heard(client).is_empty());
    world.gateway.lost(world.now);
    world.gateway.upstream.is_up = false;
    assert_eq!(world.heard(client), ["SUBACK 1 [0]"], "and the message is not");
    world.say(client, ClientPacket::Subscribe(subscribe));
    assert_eq!(world.heard(client), ["SUBACK 1 [0]"]);
}
