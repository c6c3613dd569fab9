//! Who sends to somebody that is behind is stalled for a moment, and nobody else.

use lunix_core::broker::{ClientId, Input, Limits};
use lunix_core::time::Duration;

use crate::bench::Bench;

/// A head and its body take 113 bytes.
fn publish(bench: &mut Bench, publisher: ClientId, subject: &str) {
    bench.say(publisher, &format!("PUB {subject} 100\n{}", "x".repeat(100)));
}

/// A consumer of `a` with so many bytes waiting, one of `b` with none, and a publisher.
fn three(limits: Limits, waiting: usize) -> (Bench, ClientId, ClientId, ClientId) {
    let mut bench = Bench::new(limits);
    let (slow, fast, publisher) = (bench.connect(), bench.connect(), bench.connect());
    bench.say(slow, "SUB a 1");
    bench.say(fast, "SUB b 1");
    bench.flush();
    bench.got(slow);
    bench.flushed(slow, waiting);
    (bench, slow, fast, publisher)
}

const LIMITS: Limits = Limits { pending: 10_000, pending_all: 100_000, ..Limits::DEFAULT };

#[test]
fn until_the_consumer_has_caught_up() {
    let (mut bench, slow, _, publisher) = three(LIMITS, 7380);
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [], "below three quarters of the limit");
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [publisher]);
    bench.flushed(slow, 7501);
    assert_eq!(bench.stalled, [publisher]);
    bench.flushed(slow, 7500);
    assert_eq!(bench.stalled, []);
    assert_eq!(bench.got(slow).matches("MSG").count(), 2);
    assert_eq!(bench.broker.statistics().stalls, 1);
}

#[test]
fn no_longer_than_ten_milliseconds_and_then_again() {
    let (mut bench, slow, _, publisher) = three(LIMITS, 7500);
    for round in 1..=3 {
        publish(&mut bench, publisher, "a");
        publish(&mut bench, publisher, "a");
        assert_eq!(bench.stalled, [publisher], "whatever else was in the same read");
        assert_eq!(bench.broker.next_deadline(), Some(bench.now + Duration::from_millis(10)));
        bench.pass(Duration::from_micros(9_999));
        assert_eq!(bench.stalled, [publisher]);
        bench.pass(Duration::from_micros(1));
        assert_eq!(bench.stalled, []);
        assert_eq!(bench.broker.statistics().stalls, round);
    }
    assert_eq!(bench.got(slow).matches("MSG").count(), 6);
}

#[test]
fn a_consumer_that_reads_nothing_is_closed_and_its_publishers_go_on() {
    let (mut bench, slow, _, publisher) = three(LIMITS, 0);
    let other = bench.connect();
    for round in 0.. {
        publish(&mut bench, publisher, "a");
        if round % 3 == 0 {
            publish(&mut bench, other, "a");
        }
        if bench.got(slow).ends_with("<Slow Consumer (Pending Bytes)>") {
            break;
        }
        assert!(round < 100);
    }
    // The driver has said that it is closed.
    assert_eq!(bench.stalled, []);
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, []);
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn nobody_who_sends_to_others() {
    let (mut bench, _, fast, publisher) = three(LIMITS, 9000);
    let other = bench.connect();
    publish(&mut bench, publisher, "a");
    publish(&mut bench, other, "b");
    publish(&mut bench, other, "nobody");
    assert_eq!(bench.stalled, [publisher]);
    assert_eq!(bench.got(fast).matches("MSG").count(), 1);
}

#[test]
fn each_as_long_as_it_has_to_wait() {
    let (mut bench, slow, fast, first) = three(LIMITS, 9000);
    let (second, third) = (bench.connect(), bench.connect());
    bench.flushed(fast, 9000);
    publish(&mut bench, first, "a");
    bench.pass(Duration::from_millis(4));
    publish(&mut bench, second, "b");
    publish(&mut bench, third, "a");
    assert_eq!(bench.stalled, [first, second, third]);
    // One that is stalled goes; the others' times stay.
    bench.close(second);
    bench.stalled.retain(|client| *client != second);
    bench.pass(Duration::from_millis(6));
    assert_eq!(bench.stalled, [third]);
    bench.flushed(fast, 0);
    assert_eq!(bench.stalled, [third], "waits for another");
    bench.flushed(slow, 0);
    assert_eq!(bench.stalled, []);
}

#[test]
fn a_message_to_many_waits_for_the_one_that_is_behind() {
    let (mut bench, slow, fast, publisher) = three(LIMITS, 9000);
    bench.say(fast, "SUB a 2");
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [publisher]);
    bench.close(slow);
    assert_eq!(bench.stalled, []);
    assert_eq!(bench.got(fast).matches("MSG").count(), 1);
}

#[test]
fn when_little_is_left_for_all_who_has_more_than_that_is_behind() {
    let (mut bench, _, fast, publisher) = three(Limits { pending: 60_000, ..LIMITS }, 40_000);
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [], "as much again is left");
    bench.flushed(fast, 30_000);
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [publisher], "30,000 are left");
    bench.pass(Duration::from_millis(10));
    bench.flushed(fast, 100);
    let other = bench.connect();
    publish(&mut bench, other, "b");
    assert_eq!(bench.stalled, [], "its consumer has little");
    bench.input(Input::Limits { limits: LIMITS });
}

#[test]
fn where_nobody_is_to_be_stalled_the_message_is_not_delivered() {
    let (mut bench, slow, fast, publisher) = three(Limits { stall: false, ..LIMITS }, 7501);
    bench.say(fast, "SUB a 2");
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, []);
    assert_eq!(bench.got(slow), "");
    assert_eq!(bench.got(fast).matches("MSG").count(), 1);
    // Nobody at all: its requests are told so.
    bench.say(fast, "UNSUB 2");
    bench.say(publisher, "SUB inbox 9\nPUB a inbox 0\n");
    assert!(bench.got(publisher).starts_with("HMSG inbox 9"));
    // A reload allows stalls.
    bench.input(Input::Limits { limits: LIMITS });
    publish(&mut bench, publisher, "a");
    assert_eq!(bench.stalled, [publisher]);
    assert_eq!(bench.got(slow).matches("MSG").count(), 1);
}

#[test]
fn not_the_server_itself() {
    let (mut bench, slow, ..) = three(LIMITS, 9000);
    bench.input(Input::Publish {
        account: lunix_core::broker::AccountId::GLOBAL,
        subject: b"a",
        reply: None,
        header_len: 0,
        body: b"x\r\n",
    });
    assert_eq!(bench.got(slow), "MSG a 1 1\nx\n");
    assert_eq!(bench.stalled, []);
}
