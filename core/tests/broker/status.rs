//! What a broker can be asked.

use std::collections::BTreeSet;

use lunix_core::broker::{ClientId, Input, Limits, SubscriptionId, Traffic};
use lunix_core::time::Duration;

use crate::bench::Bench;

fn subject(bench: &mut Bench, id: SubscriptionId) -> String {
    let status = bench.broker.subscription(id).unwrap();
    let needed = status.subject(&mut []).unwrap_err().needed;
    let mut out = vec![0; needed];
    assert_eq!(status.subject(&mut out), Ok(needed));
    String::from_utf8(out).unwrap()
}

#[test]
fn traffic_is_counted_on_both_sides() {
    let mut bench = Bench::new(Limits::default());
    let (from, to) = (bench.connect(), bench.connect());
    bench.say(to, "SUB a 1\nSUB > 2\nUNSUB 2 3");
    bench.say(from, "PUB a 5\nhello\nHPUB b 12 14\nNATS/1.0\n\nhi");
    let (sent, got) = (bench.broker.client(from).unwrap(), bench.broker.client(to).unwrap());
    let traffic =
        |messages, bytes| Traffic { in_messages: messages, in_bytes: bytes, out_messages: 0, out_bytes: 0 };
    assert_eq!(sent.traffic, traffic(2, 19));
    assert_eq!(got.traffic, Traffic { out_messages: 3, out_bytes: 24, ..Traffic::default() });
    assert_eq!((sent.number, got.number, got.subscriptions, got.connected), (1, 2, 2, true));
    assert!(got.pending > 24);
    let latest = bench.broker.first_subscription(to).unwrap();
    let latest = bench.broker.subscription(latest).unwrap();
    assert_eq!((latest.messages, latest.max), (2, Some(3)));
    let next = latest.next.unwrap();
    let first = bench.broker.subscription(next).unwrap();
    assert_eq!((first.messages, first.max, first.next), (1, None, None));
    assert_eq!(bench.broker.statistics().total_subscriptions, 2);
    bench.close(to);
    assert_eq!(bench.broker.client(to), None);
    assert_eq!(bench.broker.first_subscription(to), None);
}

#[test]
fn subjects_are_what_was_subscribed_to() {
    let long = "a-token-that-is-longer-than-a-chunk-and-than-its-place";
    let subjects = ["a", "*", ">", "a.*.>", "*.a.*", &format!("a.{long}.{long}.*"), &format!("{long}.>")];
    let mut bench = Bench::new(Limits::default());
    let client = bench.connect();
    for (sid, subject) in subjects.iter().enumerate() {
        bench.say(client, &format!("SUB {subject} {long} {sid}{long}"));
    }
    let mut next = bench.broker.first_subscription(client);
    for (sid, expected) in subjects.iter().enumerate().rev() {
        let id = next.unwrap();
        assert_eq!(&subject(&mut bench, id), expected);
        let status = bench.broker.subscription(id).unwrap();
        assert_eq!(status.sid.parts().collect::<Vec<_>>().concat(), format!("{sid}{long}").as_bytes());
        assert_eq!(status.queue.unwrap().parts().collect::<Vec<_>>().concat(), long.as_bytes());
        next = status.next;
    }
    assert_eq!(next, None);
}

#[test]
fn all_subscriptions_are_found_and_no_others() {
    let mut bench = Bench::new(Limits::default());
    let clients: Vec<ClientId> = (0..4).map(|_| bench.connect()).collect();
    for &client in &clients {
        (0..20).for_each(|sid| bench.say(client, &format!("SUB s{sid}.{} {sid}", client.index())));
        (0..20).step_by(3).for_each(|sid| bench.say(client, &format!("UNSUB {sid}")));
    }
    bench.close(clients[2]);
    let mut found = BTreeSet::new();
    for index in 0..bench.broker.subscriptions_end().index() {
        if bench.broker.subscription(SubscriptionId::new(index)).is_some() {
            found.insert(subject(&mut bench, SubscriptionId::new(index)));
        }
    }
    let expected: BTreeSet<String> = [0, 1, 3]
        .into_iter()
        .flat_map(|client| (0..20).filter(|sid| sid % 3 != 0).map(move |sid| format!("s{sid}.{client}")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(bench.broker.clients_end(), ClientId::new(4));
}

#[test]
fn who_is_asked_tells_how_long_it_takes() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.connect();
    assert_eq!(bench.broker.client(client).unwrap().rtt, None);
    bench.input(Input::Ask { client });
    assert_eq!(bench.got(client), "PING\n");
    bench.input(Input::Ask { client });
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_millis(7));
    bench.say(client, "PONG");
    bench.pass(Duration::from_millis(1));
    bench.say(client, "PONG");
    assert_eq!(bench.broker.client(client).unwrap().rtt, Some(Duration::from_millis(7)));
    bench.input(Input::Ask { client: ClientId::new(9) });
}
