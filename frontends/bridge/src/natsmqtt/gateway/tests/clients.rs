//! What NATS hears of clients.

use super::*;

/// The events since it was last asked.
fn events(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.gateway.upstream.events)
}

/// The names in the answer to `question`.
fn listed(world: &World, question: &str, most: usize) -> Vec<String> {
    let answer = world.gateway.clients(question.as_bytes(), most).unwrap();
    let clients: Vec<serde_json::Value> = serde_json::from_slice(&answer).unwrap();
    clients.iter().map(|client| client["client"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_comes_and_goes_is_said_with_why() {
    let mut world = World::new();
    let kept = Who { client: "c\"1", user: Some("ann"), clean: false, properties: KEPT, ..V5 };
    let client = world.client(kept);
    let peer = r#""client":"c\"1","connected":true,"user":"ann","address":"127.0.0.1:4711","protocol":"5","keep_alive":0,"clean":false,"session_expiry":100"#;
    let rest = r#""subscriptions":0,"queued":0,"lost":0,"at_us":0"#;
    assert_eq!(events(&mut world), [format!("connected {{{peer},{rest}}}")]);
    world.pass(1);
    world.subscribe(client, Subscription::new("a", Qos::AtLeastOnce));
    world.nats("a", None, b"", "1");
    world.leave(client);
    let peer = peer.replace("true", "false");
    let rest = r#""subscriptions":1,"queued":1,"lost":0,"at_us":1000000"#;
    let lost = r#""reason":"the connection was lost""#;
    assert_eq!(events(&mut world), [format!("disconnected {{{peer},{rest},{lost}}}")]);
    assert_eq!(world.gateway.clients(b"", 10_000).unwrap(), format!("[{{{peer},{rest}}}]").into_bytes());

    let client = world.client(kept);
    events(&mut world);
    let farewell = [Property::ReasonString("battery is empty")];
    let disconnect = Disconnect { reason: ReasonCode::DisconnectWithWill, properties: List::of(&farewell) };
    world.say(client, ClientPacket::Disconnect(disconnect));
    world.leave(client);
    let said = events(&mut world);
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with(r#""code":4,"reason":"battery is empty"}"#), "{said:?}");

    let client = world.client(kept);
    world.client(kept);
    world.leave(client);
    let said = events(&mut world);
    assert_eq!(said.len(), 3);
    assert!(said[1].contains(r#""code":142,"reason":"another connection"#), "{said:?}");
    assert!(said[1].starts_with("disconnected") && said[2].starts_with("connected"));
    let refused = world.connect(Who { client: "", clean: false, ..V311 });
    world.leave(refused);
    assert!(events(&mut world).is_empty(), "it never was connected");
}

#[test]
fn a_new_server_hears_who_is_connected() {
    let mut world = World::new();
    let here = world.client(Who { client: "here", ..V311 });
    let gone = world.client(Who { client: "gone", ..V311 });
    events(&mut world);
    world.gateway.upstream.is_up = false;
    world.gateway.lost(world.now);
    world.leave(gone);
    world.client(Who { client: "new", ..V311 });
    assert!(events(&mut world).is_empty(), "nobody would hear");
    world.gateway.upstream.is_up = true;
    world.gateway.announce();
    world.leave(here);
    events(&mut world);
    while world.gateway.announce_next() {}
    let said = events(&mut world);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(r#"connected {"client":"new","connected":true"#));
    assert!(said[0].ends_with(r#""again":true}"#), "{said:?}");
}

#[test]
fn the_list_comes_in_parts_that_fit() {
    let mut world = World::new();
    assert_eq!(world.gateway.clients(b" ", 2).unwrap(), b"[]");
    for client in ["c", "a", "b"] {
        world.client(Who { client, ..V311 });
    }
    assert_eq!(listed(&world, "", 10_000), ["a", "b", "c"]);
    let one = world.gateway.clients(b"{}", 10_000).unwrap().len() / 3;
    assert_eq!(listed(&world, "", 2 * one + 2), ["a", "b"]);
    assert_eq!(listed(&world, r#"{"after":"b","unknown":1}"#, 2 * one + 2), ["c"]);
    assert_eq!(listed(&world, r#"{"after":"c"}"#, 10_000), [""; 0]);
    for (question, wrong) in [
        ("x", "not JSON at byte 0"),
        ("[]", "expected an object"),
        (r#"{"after":1}"#, "after: expected a string, the name of a client"),
    ] {
        assert_eq!(world.gateway.clients(question.as_bytes(), 10_000), Err(wrong.to_owned()));
    }
}

#[test]
fn devices_neither_hear_nor_say_what_is_said_of_them() {
    let mut world = World::new();
    let client = world.client(V5);
    world.subscribe(client, Subscription::new("#", Qos::AtMostOnce));
    world.subscribe(client, Subscription::new("mqtt/client/+", Qos::AtMostOnce));
    world.publish(client, message("mqtt/client/connected", "{}", once(id(1))));
    world.publish(client, message("mqtt/retained/secret", "", once(id(2))));
    world.publish(client, message("mqtt/clients", "", once(id(3))));
    world.nats("mqtt.clients", None, b"", "{}");
    world.nats("mqtt.retained.secret", None, b"", "");
    world.nats("mqtt.other", None, b"", "1");
    assert_eq!(
        world.heard(client),
        [
            "SUBACK 1 [0]",
            "SUBACK 1 [87]",
            "PUBACK 1 0x87",
            "PUBACK 2 0x87",
            "PUBACK 3 0x87",
            "PUBLISH mqtt/other=1 q0"
        ]
    );
}
