//! A million subscriptions.

use lunix_core::broker::{Input, Limits, Progress};
use lunix_core::time::Instant;

use crate::bench::{Bench, Growing};

/// Ten times fewer, and the bytes for each are the same.
const SUBSCRIPTIONS: usize = 100_000;

#[test]
fn a_subscription_takes_at_most_150_bytes() {
    use lunix_core::broker::{Node, Subscription};
    // A subject with one token of its own, and the eighth that a vector is longer than it has to be.
    let bytes = size_of::<Node>() + size_of::<Subscription>();
    assert!(bytes * 9 / 8 <= 150, "{bytes}");

    let mut bench = Bench::with_memory(Growing::default(), Limits::default());
    let client = bench.connect();
    let now = Instant::from_micros(0);
    for number in 0..SUBSCRIPTIONS {
        let line = format!("SUB building.7.sensor.{number} {number}\r\n");
        let mut turn = bench.broker.handle(now, Input::Received { client, bytes: line.as_bytes() });
        assert!(turn.poll().is_none());
        assert_eq!(turn.progress(), Progress::Consumed(line.len()));
    }
    assert_eq!(bench.broker.statistics().subscriptions as usize, SUBSCRIPTIONS);
    bench.say(client, "PUB building.7.sensor.4711 2\nhi");
    assert_eq!(bench.got(client), "MSG building.7.sensor.4711 4711 2\nhi\n");
    bench.close(client);
    assert_eq!(bench.broker.statistics().subscriptions, 0);
}
