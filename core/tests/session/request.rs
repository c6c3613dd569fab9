//! Requests and their answers.

use std::time::Duration;

use lunix_core::session::{Action, RequestError};

use crate::sim::Seen;
use crate::{outgoing, pair};

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
