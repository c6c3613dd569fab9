//! Subscriptions before, across and after connections, and how many there can be.

use lunix_core::session::{Action, Outgoing, PublishError, SubscribeError};

use crate::sim::Seen;
use crate::{outgoing, pair};

#[test]
fn subscriptions_and_publishes_made_before_there_is_a_server() {
    let mut pair = pair();
    pair.servers[0].listening = false;
    let sid = pair.client.subscribe(b"a.*", None).unwrap();
    pair.client.subscribe(b"work", Some(b"group")).unwrap();
    pair.publish("a.b", "one");
    pair.settle();
    assert!(!pair.client.is_ready());
    pair.publish("a.c", "two");
    pair.servers[0].listening = true;
    pair.run(10_000_000);
    assert_eq!(pair.payloads(), ["one", "two"]);
    assert!(pair.seen.contains(&Seen::Message {
        sid,
        subject: "a.c".to_owned(),
        payload: "two".to_owned(),
        last: false
    }));
    assert_eq!(pair.server().subs[1].queue.as_deref(), Some("group"));
    assert_eq!(pair.count(|action| matches!(action, Action::Ready { again: false, .. })), 1);
    let connect = &pair.server().connects[0];
    for part in ["\"headers\":true", "\"no_responders\":true", "\"name\":\"test\"", "\"verbose\":false"] {
        assert!(connect.contains(part), "{connect}");
    }
    assert_eq!(pair.client.next_deadline(), None, "idle means idle");
}

#[test]
fn subscriptions_end_after_their_maximum_across_reconnects() {
    let mut pair = pair();
    let sid = pair.client.subscribe(b"n", None).unwrap();
    pair.client.unsubscribe_after(sid, 5);
    pair.settle();
    for _ in 0..2 {
        pair.server().inject("n", None, "before");
    }
    pair.settle();
    pair.cut();
    pair.run(10_000_000);
    assert_eq!(pair.server().subs[0].max, Some(3), "what remains");
    for _ in 0..9 {
        pair.server().inject("n", None, "after");
    }
    pair.settle();
    assert_eq!(pair.payloads().len(), 5);
    assert!(matches!(pair.seen.last(), Some(Seen::Message { last: true, .. })));
    assert!(pair.server().subs.is_empty());

    // While it lives, told later, and already reached.
    let sid = pair.client.subscribe(b"m", None).unwrap();
    pair.settle();
    for _ in 0..3 {
        pair.server().inject("m", None, "");
    }
    pair.settle();
    pair.client.unsubscribe_after(sid, 4);
    pair.settle();
    assert_eq!(pair.server().subs[0].max, Some(4));
    pair.client.unsubscribe_after(sid, 3);
    pair.settle();
    assert!(pair.server().subs.is_empty());
}

#[test]
fn unsubscribed_is_over_at_once() {
    let mut pair = pair();
    let sid = pair.client.subscribe(b"n", None).unwrap();
    pair.settle();
    pair.client.unsubscribe(sid);
    pair.server().inject("n", None, "late");
    pair.settle();
    assert!(pair.payloads().is_empty() && pair.server().subs.is_empty());
    let newer = pair.client.subscribe(b"n", None).unwrap();
    assert_ne!(newer, sid);
    pair.cut();
    pair.run(5_000_000);
    assert_eq!(pair.server().subs.len(), 1);
}

#[test]
fn tables_say_when_they_are_full() {
    let mut pair = pair();
    for wrong in [&b""[..], b"a..b", b"a b", b".", b">.a"] {
        assert_eq!(pair.client.subscribe(wrong, None), Err(SubscribeError::InvalidSubject));
    }
    assert_eq!(pair.client.subscribe(b"a", Some(b"")), Err(SubscribeError::InvalidSubject));
    assert_eq!(pair.client.subscribe(b"a", Some(b"x y")), Err(SubscribeError::InvalidSubject));
    let long = [b'x'; 450];
    assert_eq!(pair.client.subscribe(&long, None), Err(SubscribeError::TooLong));
    assert_eq!(pair.client.subscribe(&long[..300], None), Err(SubscribeError::Full { needed: 300 }));
    for _ in 0..8 {
        pair.client.subscribe(b"fits", None).unwrap();
    }
    assert_eq!(pair.client.subscribe(b"one.more", None), Err(SubscribeError::TooMany));
    for wrong in [&b""[..], b"a.*", b"a.>", b"a b", b"a.", b"a\r\nPUB"] {
        assert_eq!(pair.client.publish(Outgoing::new(wrong, b"")), Err(PublishError::InvalidSubject));
    }
    let wrong_reply = Outgoing { reply: Some(b"a b"), ..outgoing("x") };
    assert_eq!(pair.client.publish(wrong_reply), Err(PublishError::InvalidSubject));
}
