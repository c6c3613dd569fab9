//! Which server is tried when, how one is found out to be gone, and what it complains of.

use std::time::Duration;

use lunix_core::session::{Action, Identity, Input, KeepAlive, Memory, ServerError, Session, Why};
use lunix_core::time::Instant;

use crate::pair;
use crate::sim::{Pair, Seen, config};

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
