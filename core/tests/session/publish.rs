//! What is said while a server is there, away, or slow, up to the end.

use std::time::Duration;

use lunix_core::session::{
    Action, Config, Input, KeepAlive, Outgoing, Overflow, PublishError, SubscribeError,
};

use crate::sim::{Pair, Seen, config};
use crate::{outgoing, pair};

#[test]
fn what_overflows_while_away_is_counted_to_the_byte() {
    for overflow in [Overflow::DropOldest, Overflow::RefuseNewest] {
        let mut pair = Pair::new(Config { overflow, ..config(1) }, 1024);
        pair.client.subscribe(b"n", None).unwrap();
        pair.settle();
        pair.servers[0].listening = false;
        pair.cut();
        let mut refused = 0;
        for number in 0..200 {
            let text = format!("{number:03}");
            match pair.client.publish(Outgoing::new(b"n", text.as_bytes())) {
                Ok(()) => {}
                Err(PublishError::Full { needed }) => {
                    assert!(needed > 1024);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        pair.settle();
        pair.servers[0].listening = true;
        pair.run(30_000_000);

        let (messages, bytes) = pair.client.dropped();
        let received = pair.payloads();
        assert_eq!(received.len() as u64 + messages + refused, 200);
        assert!(received.len() > 50, "{}", received.len());
        assert!(received.is_sorted());
        let frame = "PUB n 3\r\n000\r\n".len() as u64;
        assert_eq!(bytes, messages * frame);
        let said = pair.count(|action| matches!(action, Action::Dropped { .. }));
        match overflow {
            Overflow::DropOldest => {
                assert_eq!((received.last(), refused, said), (Some(&"199"), 0, 1));
                assert!(pair.seen.contains(&Seen::Action(Action::Dropped { messages, bytes })));
            }
            Overflow::RefuseNewest => assert_eq!((received.first(), messages, said), (Some(&"000"), 0, 0)),
        }
    }
}

/// However few bytes are left: a server that pings, or is to be pinged, costs no message.
#[test]
fn pings_push_nothing_out() {
    for overflow in [Overflow::DropOldest, Overflow::RefuseNewest] {
        for capacity in 200..300 {
            let mut pair = Pair::new(Config { overflow, ..config(1) }, capacity);
            let interval = Duration::from_secs(60);
            pair.keep_alive = Some(KeepAlive { interval, timeout: Duration::from_secs(10) });
            pair.settle();
            let mut published = 0;
            for length in (0..20).rev() {
                let message = Outgoing::new(b"n", &[b'x'; 20][..length]);
                while pair.client.outbox_used() + message.room() <= capacity {
                    pair.client.publish(message).unwrap();
                    published += 1;
                }
            }
            // Nothing leaves, and the server goes on asking.
            for _ in 0..5 {
                pair.client.receive(pair.now, b"PING\r\n");
                assert!(!pair.client.outgoing().is_empty());
            }
            pair.client.handle(pair.now + interval, Input::Tick);
            let queued = String::from_utf8(pair.client.outgoing().to_vec()).unwrap();
            let count = |verb: &str| queued.split("\r\n").filter(|line| line.starts_with(verb)).count();
            assert_eq!((count("PUB "), count("PING")), (published, 1), "{queued}");
            assert!(count("PONG") > 0, "{queued}");
            assert_eq!(pair.client.dropped(), (0, 0));
            pair.settle();
            assert_eq!(pair.server().executed.len(), published);
        }
    }
}

#[test]
fn a_server_that_takes_less_gets_no_more() {
    let mut pair = pair();
    pair.servers[0].listening = false;
    pair.settle();
    pair.publish("big", &"x".repeat(600));
    pair.publish("small", "y");
    let header = Outgoing { header: b"NATS/1.0\r\n\r\n", ..outgoing("with.header") };
    pair.client.publish(header).unwrap();
    pair.server().info = "{\"max_payload\":100}".to_owned();
    pair.server().listening = true;
    pair.run(10_000_000);
    let subjects: Vec<&str> = pair.servers[0].executed.iter().map(|message| &*message.subject).collect();
    assert_eq!(subjects, ["small"]);
    assert_eq!(pair.client.dropped().0, 2);
    assert_eq!(
        pair.client.publish(Outgoing::new(b"big", &[b'x'; 101])),
        Err(PublishError::TooLarge { max: 100 })
    );
    assert_eq!(pair.client.publish(header), Err(PublishError::HeadersUnsupported));
    assert!(pair.server().connects[0].contains("\"no_responders\":false"));
}

#[test]
fn a_slow_server_never_sees_half_a_message_nor_a_late_subscription() {
    // The outbox holds a few messages only; the link takes three bytes at a time.
    let mut pair = Pair::new(config(1), 160);
    pair.piece = 3;
    pair.settle();
    let mut subscribed = 0;
    for number in 0..400 {
        if number % 100 == 50 {
            pair.client.subscribe(format!("s{number}").as_bytes(), None).unwrap();
            subscribed += 1;
        }
        pair.publish("n", &number.to_string());
        if number % 7 == 0 {
            pair.run(0);
        }
    }
    pair.settle();
    let executed: Vec<u64> =
        pair.server().executed.iter().map(|message| message.payload.parse().unwrap()).collect();
    assert!(executed.is_sorted_by(|a, b| a < b));
    assert_eq!(executed.len() as u64 + pair.client.dropped().0, 400);
    assert_eq!(executed.last(), Some(&399));
    assert_eq!(pair.server().subs.len(), subscribed);
}

#[test]
fn drain_sends_what_is_pending_and_ends() {
    let mut pair = pair();
    pair.piece = 8;
    pair.client.subscribe(b"n", None).unwrap();
    pair.settle();
    for number in 0..20 {
        pair.publish("m", &number.to_string());
    }
    pair.client.drain(pair.now, Duration::from_secs(5));
    assert_eq!(pair.client.subscribe(b"x", None), Err(SubscribeError::Closed));
    pair.settle();
    assert!(pair.client.is_closed());
    assert_eq!(pair.server().executed.len(), 20);
    assert_eq!(pair.seen.last(), Some(&Seen::Action(Action::Closed)));
    assert_eq!(pair.client.next_deadline(), None);
    assert_eq!(pair.client.publish(outgoing("m")), Err(PublishError::Closed));
}

#[test]
fn drain_without_a_server_ends_in_time() {
    let mut pair = pair();
    pair.servers[0].listening = false;
    pair.settle();
    pair.publish("m", "pending");
    pair.client.drain(pair.now, Duration::from_secs(3));
    pair.run(2_900_000);
    assert!(!pair.client.is_closed());
    pair.run(200_000);
    assert!(pair.client.is_closed());

    let mut nothing = crate::pair();
    nothing.servers[0].listening = false;
    nothing.settle();
    nothing.client.drain(nothing.now, Duration::from_secs(3));
    assert!(nothing.client.is_closed(), "nothing to wait for");
}
