//! The client session against a naive server in virtual time.

mod sim;

use std::time::Duration;

use lunix_core::session::{
    Action, Identity, Input, KeepAlive, Memory, Outgoing, Overflow, PublishError, RequestError, ServerError,
    Session, SubscribeError, Why,
};
use lunix_core::time::Instant;
use sim::broker::Real;
use sim::{Pair, Seen, config};

fn pair() -> Pair {
    Pair::new(config(1), 4096)
}

fn outgoing(subject: &str) -> Outgoing<'_> {
    Outgoing::new(subject.as_bytes(), b"question")
}

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

/// Ten messages, two subscriptions and a barrier, with the link cut after every byte in each direction, in
/// pieces of every size, with and without bytes lost on the way.
#[test]
fn cut_at_every_byte_of_a_conversation() {
    let talk = |pair: &mut Pair| {
        pair.client.subscribe(b"n.>", None).unwrap();
        pair.client.subscribe(b"other", Some(b"q")).unwrap();
        for number in 0..5 {
            pair.publish("n.x", &number.to_string());
        }
        pair.run(1_000);
        for number in 5..10 {
            pair.publish("n.x", &number.to_string());
        }
        pair.client.flush();
        pair.run(60_000_000);
    };
    for up in [true, false] {
        for (piece, delay) in [(usize::MAX, 0), (1, 0), (7, 0), (7, 20), (64, 50)] {
            for cut in 1..900 {
                let mut pair = pair();
                (pair.piece, pair.delay) = (piece, delay);
                *(if up { &mut pair.cut_up } else { &mut pair.cut_down }) = Some(cut);
                talk(&mut pair);
                let was_cut = pair.cut_up.is_none() && pair.cut_down.is_none();

                let executed: Vec<u32> =
                    pair.server().executed.iter().map(|message| message.payload.parse().unwrap()).collect();
                assert!(executed.is_sorted_by(|a, b| a < b), "twice or out of order: {executed:?} at {cut}");
                if delay == 0 {
                    // What the transport took, it delivered: nothing may be lost.
                    assert_eq!(executed.len(), 10, "{executed:?}, cut at {cut}");
                }
                let subs: Vec<&str> = pair.server().subs.iter().map(|sub| &*sub.subject).collect();
                assert_eq!(subs, ["n.>", "other"], "cut at {cut}");
                assert_eq!(pair.client.dropped(), (0, 0));
                let flushed: Vec<&Seen> = pair
                    .seen
                    .iter()
                    .filter(|seen| matches!(seen, Seen::Action(Action::Flushed { .. })))
                    .collect();
                assert_eq!(flushed.len(), 1, "cut at {cut}");
                if executed.len() < 10 {
                    assert!(
                        matches!(flushed[0], Seen::Action(Action::Flushed { certain: false, .. })),
                        "lost, but called certain at {cut}"
                    );
                }
                if !was_cut {
                    // The conversation is shorter than that.
                    assert!(matches!(flushed[0], Seen::Action(Action::Flushed { certain: true, .. })));
                    assert!(cut > 250, "{cut}");
                    break;
                }
            }
        }
    }
}

/// The same with the real broker, which another client watches from outside.
#[test]
fn cut_at_every_byte_of_a_conversation_with_the_broker() {
    for up in [true, false] {
        for (piece, delay) in [(usize::MAX, 0), (1, 0), (7, 20)] {
            for cut in 1..900 {
                let mut pair = Pair::with(vec![Real::new()], config(1), 4096);
                (pair.piece, pair.delay) = (piece, delay);
                *(if up { &mut pair.cut_up } else { &mut pair.cut_down }) = Some(cut);
                let mine = pair.client.subscribe(b"to.*", None).unwrap();
                pair.client.unsubscribe_after(mine, 3);
                pair.client.subscribe(b"work", Some(b"q")).unwrap();
                for number in 0..5 {
                    pair.publish("seen.n", &number.to_string());
                }
                let asked =
                    pair.client.request(pair.now, outgoing("nobody"), 1, Duration::from_secs(30)).unwrap();
                pair.run(1_000);
                for number in 5..10 {
                    pair.publish("seen.n", &number.to_string());
                }
                pair.client.flush();
                pair.run(60_000_000);

                let seen: Vec<u32> =
                    pair.server().seen().iter().map(|number| number.parse().unwrap()).collect();
                assert!(seen.is_sorted_by(|a, b| a < b), "twice or out of order: {seen:?}, cut at {cut}");
                if delay == 0 {
                    assert_eq!(seen.len(), 10, "{seen:?}, cut at {cut}");
                }
                let over = |seen: &&Seen| {
                    matches!(seen, Seen::NoResponders(of) if *of == asked)
                        || matches!(seen, Seen::Action(Action::TimedOut { request }) if *request == asked)
                };
                assert_eq!(pair.seen.iter().filter(over).count(), 1, "one end of the request, cut at {cut}");

                let was_cut = pair.cut_up.take().is_none() && pair.cut_down.take().is_none();
                for _ in 0..5 {
                    pair.server().observer("PUB to.me 2\r\nhi\r\n");
                }
                pair.server().observer("PUB work 4\r\nhard\r\n");
                pair.settle();
                assert_eq!(pair.payloads(), ["hi", "hi", "hi", "hard"], "cut at {cut}");
                assert_eq!(pair.client.next_deadline(), None);
                if !was_cut {
                    assert!(cut > 250, "{cut}");
                    break;
                }
            }
        }
    }
}

#[test]
fn what_overflows_while_away_is_counted_to_the_byte() {
    for overflow in [Overflow::DropOldest, Overflow::RefuseNewest] {
        let mut pair = Pair::new(lunix_core::session::Config { overflow, ..config(1) }, 1024);
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
            let mut pair = Pair::new(lunix_core::session::Config { overflow, ..config(1) }, capacity);
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
fn requests_are_answered_refused_or_time_out() {
    let mut pair = pair();
    pair.settle();
    let timeout = Duration::from_secs(2);
    let nobody = pair.client.request(pair.now, outgoing("nobody"), 1, timeout).unwrap();
    pair.settle();
    assert_eq!(pair.seen.last(), Some(&Seen::NoResponders(nobody)));

    let service = pair.client.subscribe(b"service", None).unwrap();
    let asked = pair.client.request(pair.now, outgoing("service"), 2, timeout).unwrap();
    pair.settle();
    let reply = pair.server().executed.last().unwrap().reply.clone().unwrap();
    assert!(reply.starts_with("_INBOX.") && reply.len() > 30, "{reply}");
    pair.publish(&reply, "first");
    pair.publish(&reply, "second");
    pair.publish(&reply, "too late");
    pair.settle();
    let answers: Vec<&Seen> = pair.seen.iter().filter(|seen| matches!(seen, Seen::Answer { .. })).collect();
    assert_eq!(
        answers,
        [
            &Seen::Answer { request: asked, payload: "first".to_owned(), last: false },
            &Seen::Answer { request: asked, payload: "second".to_owned(), last: true },
        ]
    );

    let silent = pair.client.request(pair.now, outgoing("service"), 1, timeout).unwrap();
    pair.run(1_900_000);
    assert!(!pair.seen.contains(&Seen::Action(Action::TimedOut { request: silent })));
    pair.run(200_000);
    assert!(pair.seen.contains(&Seen::Action(Action::TimedOut { request: silent })));
    assert_eq!(pair.client.next_deadline(), None);

    for _ in 0..4 {
        pair.client.request(pair.now, outgoing("service"), 1, timeout).unwrap();
    }
    assert_eq!(pair.client.request(pair.now, outgoing("service"), 1, timeout), Err(RequestError::TooMany));
    assert_eq!(
        pair.server().subs.iter().filter(|sub| sub.subject.starts_with("_INBOX")).count(),
        1,
        "one inbox for all requests"
    );
    pair.client.unsubscribe(service);
}

#[test]
fn a_request_survives_a_reconnect() {
    let mut pair = pair();
    pair.settle();
    pair.servers[0].listening = false;
    pair.cut();
    let request = pair.client.request(pair.now, outgoing("far"), 1, Duration::from_secs(20)).unwrap();
    pair.settle();
    pair.servers[0].listening = true;
    pair.run(10_000_000);
    assert!(pair.seen.contains(&Seen::NoResponders(request)), "asked at the new server");
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

#[test]
fn a_silent_server_is_found_out_by_keep_alive() {
    let mut pair = pair();
    let keep_alive = KeepAlive { interval: Duration::from_secs(60), timeout: Duration::from_secs(5) };
    pair.keep_alive = Some(keep_alive);
    pair.settle();
    assert_eq!(pair.server().pings, 1, "the one of the hand-shake");
    pair.run(300_000_000);
    assert_eq!(pair.server().pings, 1 + 5);
    pair.frozen = true;
    pair.run(60_000_000);
    assert!(pair.client.is_ready());
    pair.run(10_000_000);
    let stale = Seen::Action(Action::Lost { server: 0, why: Why::Stale });
    assert!(pair.seen.contains(&stale), "{:?}", pair.seen);
}

#[test]
fn traffic_is_a_sign_of_life() {
    let mut pair = pair();
    pair.keep_alive = Some(KeepAlive { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) });
    pair.client.subscribe(b"n", None).unwrap();
    pair.settle();
    for _ in 0..20 {
        pair.server().inject("n", None, "");
        pair.run(5_000_000);
    }
    assert_eq!(pair.server().pings, 1, "nobody had to ask");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let mut pair = pair();
    pair.frozen = true;
    pair.run(4_900_000);
    assert_eq!(pair.opened.len(), 1);
    pair.run(1_000_000);
    assert!(pair.seen.contains(&Seen::Action(Action::Failed { server: 0, why: Why::Timeout })));
    assert_eq!(pair.opened.len(), 2);
}

#[test]
fn waits_double_up_to_their_limit_with_jitter() {
    let mut pair = pair();
    pair.servers[0].listening = false;
    pair.run(120_000_000);
    let waits: Vec<u64> =
        pair.opened.windows(2).map(|two| two[1].1.since(two[0].1).as_millis() as u64).collect();
    for (round, wait) in waits.iter().enumerate() {
        let most = (50 << round.min(20)).min(5_000);
        assert!((most / 2..=most).contains(wait), "wait {round}: {wait} ms of {most}");
    }
    assert!(waits.len() > 20);
    assert!(waits.iter().rev().take(10).collect::<std::collections::BTreeSet<_>>().len() > 5, "jitter");
}

#[test]
fn servers_are_tried_in_turn_without_a_wait_within_a_round() {
    let mut pair = Pair::new(config(3), 1024);
    pair.servers[0].listening = false;
    pair.servers[1].listening = false;
    pair.settle();
    assert_eq!(pair.opened.iter().map(|(server, _)| *server).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(pair.opened[0].1, pair.opened[2].1);
    // The one that was good is tried first, then the others.
    pair.servers[2].listening = false;
    pair.servers[1].listening = true;
    pair.cut();
    pair.settle();
    assert_eq!(pair.opened.iter().skip(3).map(|(server, _)| *server).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(pair.count(|action| matches!(action, Action::Ready { server: 1, again: true })), 1);
}

#[test]
fn refusals_are_told_and_not_retried_in_a_hurry() {
    for (text, error, most) in [
        ("Authorization Violation", ServerError::Authorization, 30),
        ("maximum connections exceeded", ServerError::TooManyConnections, 40),
    ] {
        let mut pair = pair();
        pair.server().refuse_with = Some(text);
        pair.run(60_000_000);
        assert!(pair.seen.contains(&Seen::Error(text.to_owned())));
        assert!(pair.seen.contains(&Seen::Action(Action::Failed { server: 0, why: Why::Refused(error) })));
        assert!(pair.opened.len() < most, "{text}: {}", pair.opened.len());
        if error == ServerError::Authorization {
            assert!(pair.opened[1].1.since(pair.opened[0].1) >= Duration::from_millis(2_500));
        }
    }
}

#[test]
fn complaints_that_do_not_end_the_connection() {
    let mut pair = pair();
    pair.settle();
    pair.server().say("-ERR 'Permissions Violation for Publish to \"secret\"'\r\n");
    pair.settle();
    assert!(matches!(pair.seen.last(), Some(Seen::Error(text)) if text.contains("secret")));
    assert!(pair.client.is_ready());
    pair.server().say("-ERR 'Stale Connection'\r\n");
    pair.settle();
    assert!(
        pair.seen.contains(&Seen::Action(Action::Lost { server: 0, why: Why::Refused(ServerError::Stale) }))
    );
}

#[test]
fn what_is_no_nats_ends_the_connection() {
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "INFO [1]\r\n", "MSG a\r\n"] {
        let mut pair = pair();
        pair.settle();
        pair.server().say(text);
        pair.settle();
        let lost = Seen::Action(Action::Lost { server: 0, why: Why::Protocol });
        assert!(pair.seen.contains(&lost), "{text:?}: {:?}", pair.seen);
    }
}

#[test]
fn pings_are_answered_and_news_taken() {
    let mut pair = pair();
    pair.settle();
    pair.server().say("PING\r\nPING\r\nINFO {\"max_payload\":50,\"headers\":true,\"ldm\":true}\r\n+OK\r\n");
    pair.settle();
    assert_eq!(pair.client.max_payload(), 50);
    assert_eq!(pair.count(|action| matches!(action, Action::LameDuck)), 1);
    pair.client.reconnect(pair.now);
    pair.settle();
    assert_eq!(pair.count(|action| matches!(action, Action::Ready { again: true, .. })), 1);
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

    let mut nothing = self::pair();
    nothing.servers[0].listening = false;
    nothing.settle();
    nothing.client.drain(nothing.now, Duration::from_secs(3));
    assert!(nothing.client.is_closed(), "nothing to wait for");
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
fn servers_that_are_offered_later_are_tried() {
    let memory = Memory { outbox: vec![0; 64], control: vec![0; 256], subjects: vec![0; 16] };
    let mut session = Session::<_, 1, 1>::new(Instant::from_micros(0), config(1), memory);
    session.offer(2);
    session.offer(1);
    let mut tried = Vec::new();
    for _ in 0..4 {
        let now = session.next_deadline().unwrap();
        session.handle(now, Input::Tick);
        while let Some(action) = session.poll() {
            if let Action::Open { server } = action {
                tried.push(server);
                session.handle(now, Input::Disconnected);
            }
        }
    }
    assert_eq!(tried.get(..4), Some(&[0, 1, 0, 1][..]));
}

#[test]
fn long_credentials_need_a_longer_memory() {
    let jwt = "x".repeat(500);
    for (room, fits) in [(256, false), (1024, true)] {
        let memory = Memory { outbox: vec![0; 64], control: vec![0; 256], subjects: vec![0; 16] };
        let now = Instant::from_micros(0);
        let mut session = Session::<_, 1, 1>::new(now, config(1), memory);
        assert_eq!(session.poll(), Some(Action::Open { server: 0 }));
        session.handle(now, Input::Connected { keep_alive: None });
        session.receive(now, b"INFO {\"nonce\":\"n\"}\r\n");
        assert!(matches!(session.poll(), Some(Action::Identify { .. })));
        session.control_memory().resize(room, 0);
        session.handle(now, Input::Identity(Identity { jwt: &jwt, ..Identity::default() }));
        let said = String::from_utf8_lossy(session.outgoing()).contains(&jwt);
        let given_up = session.poll() == Some(Action::Close { why: Why::Room });
        assert_eq!((said, given_up), (fits, !fits), "{room}");
    }
}
