//! Publishers that are faster than who reads them, beside nats-server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_peer;

use std::io::Write as _;
use std::net::Shutdown;
use std::thread::{self, JoinHandle};

use natsd_peer::{Client, Server, reference, wait_for};

const BODY: usize = 1024;
/// More than may wait, with what kernels keep between the ends.
const MESSAGES: usize = 96 << 10;
/// A quarter of that is seconds of a stalled publisher's, and nothing is late on a busy machine.
const CONFIG: &str = "max_pending: 64MB, write_deadline: \"10m\"";

/// natsd, and nats-server where there is one.
fn each(config: &str, test: impl Fn(&Server)) {
    test(&Server::natsd(config));
    if let Some(path) = reference() {
        test(&Server::other(&path, config));
    }
}

/// Sends numbered messages as fast as it can, and waits until the server has got them.
fn flood(mut publisher: Client, subject: &'static str) -> JoinHandle<Client> {
    thread::spawn(move || {
        let mut batch = Vec::new();
        for number in 0..MESSAGES {
            write!(batch, "PUB {subject} {BODY}\r\n{number:0BODY$}\r\n").unwrap();
            if batch.len() > 64 << 10 {
                publisher.reader.get_mut().write_all(&batch).unwrap();
                batch.clear();
            }
        }
        publisher.reader.get_mut().write_all(&batch).unwrap();
        publisher.sync();
        publisher
    })
}

/// Answers how many messages came, which must be in order.
fn read(consumer: &mut Client, until: impl Fn(usize) -> bool) -> usize {
    let (mut count, mut last) = (0, None);
    while !until(count) {
        let number: usize = consumer.message().payload.parse().unwrap();
        assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
        last = Some(number);
        count += 1;
    }
    count
}

fn stalls(server: &Server) -> u64 {
    server.json("/varz")["stalled_clients"].as_u64().unwrap()
}

#[test]
fn a_fast_publisher_waits_for_a_slow_consumer() {
    each(CONFIG, |server| {
        let mut consumer = server.connect("");
        consumer.say("SUB slow 1");
        consumer.sync();
        let publisher = flood(server.connect(""), "slow");
        wait_for(|| (stalls(server) > 0).then_some(()));
        assert_eq!(read(&mut consumer, |count| count == MESSAGES), MESSAGES);
        publisher.join().unwrap();
        assert_eq!(server.json("/varz")["slow_consumers"], 0);
    });
}

#[test]
fn a_consumer_that_reads_nothing_ends_while_others_are_served() {
    let server = Server::natsd(CONFIG);
    let mut stuck = server.connect("");
    stuck.say("SUB slow 1");
    stuck.sync();
    let publisher = flood(server.connect(""), "slow");
    // Meanwhile, others talk.
    let mut other = server.connect("");
    other.say("SUB other 1");
    wait_for(|| {
        other.say("PUB other 2\nhi");
        assert_eq!(other.message().payload, "hi");
        (server.json("/varz")["slow_consumers"] == 1).then_some(())
    });
    assert!(stalls(&server) > 0);
    publisher.join().unwrap();
    stuck.reader.get_ref().shutdown(Shutdown::Both).unwrap();
}

#[test]
fn where_nobody_is_to_wait_the_slow_consumer_misses_messages() {
    each(&format!("{CONFIG}\nno_fast_producer_stall: true"), |server| {
        let mut consumer = server.connect("");
        consumer.say("SUB slow 1");
        consumer.sync();
        flood(server.connect(""), "slow").join().unwrap();
        // It has read nothing, and is there; what is sent from now on reaches it when it has caught up.
        let some = read(&mut consumer, |count| count * BODY > 32 << 20);
        assert!(some < MESSAGES);
        assert_eq!(server.json("/varz")["slow_consumers"], 0);
        assert_eq!(stalls(server), 0);
    });
}
