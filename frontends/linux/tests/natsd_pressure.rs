//! Publishers that are faster than who reads them, beside nats-server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_peer;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use natsd_peer::{Client, Server, reference, wait_for};

const BODY: usize = 1024;
/// Three times what may wait, and what kernels keep between the ends.
const MESSAGES: usize = 48 << 10;
const CONFIG: &str = "max_pending: 8MB";

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

/// Reads slowly; answers how many messages came, which must be in order.
fn read_slowly(consumer: &mut Client, until: impl Fn(usize) -> bool) -> usize {
    let message = format!("MSG slow 1 {BODY}\r\n").len() + BODY + 2;
    let (mut part, mut seen) = (vec![0; 128 << 10], Vec::new());
    let (mut count, mut last) = (0, None);
    while !until(count) {
        sleep(Duration::from_millis(2));
        let len = consumer.reader.read(&mut part).unwrap();
        assert!(len > 0, "closed after {count} messages");
        seen.extend_from_slice(&part[..len]);
        let whole = seen.len() / message * message;
        for message in seen[..whole].chunks(message) {
            let number: usize =
                std::str::from_utf8(&message[message.len() - 12..]).unwrap().trim().parse().unwrap();
            assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
            last = Some(number);
            count += 1;
        }
        seen.drain(..whole);
    }
    count
}

#[test]
fn a_fast_publisher_waits_for_a_slow_consumer() {
    each(CONFIG, |server| {
        let mut consumer = server.connect("");
        consumer.say("SUB slow 1");
        consumer.sync();
        let publisher = flood(server.connect(""), "slow");
        assert_eq!(read_slowly(&mut consumer, |count| count == MESSAGES), MESSAGES);
        publisher.join().unwrap();
        let statistics = server.json("/varz");
        assert_eq!(statistics["slow_consumers"], 0);
        assert!(statistics["stalled_clients"].as_u64().unwrap() > 0, "nobody was stalled");
    });
}

#[test]
fn a_consumer_that_reads_nothing_ends_and_others_do_not_wait_for_it() {
    let server = Server::natsd(CONFIG);
    let mut stuck = server.connect("");
    stuck.say("SUB slow 1");
    stuck.sync();
    let publisher = flood(server.connect(""), "slow");
    // Meanwhile, others talk.
    let mut other = server.connect("");
    other.say("SUB other 1");
    let mut slowest = Duration::ZERO;
    let mut stalled = false;
    wait_for(|| {
        let begin = Instant::now();
        for _ in 0..20 {
            other.say("PUB other 2\nhi");
            assert_eq!(other.message().payload, "hi");
        }
        slowest = slowest.max(begin.elapsed());
        let statistics = server.json("/varz");
        stalled |= statistics["stalled_clients"].as_u64().unwrap() > 0;
        (statistics["slow_consumers"] == 1).then_some(())
    });
    assert!(stalled);
    // Each of twenty would have waited ten milliseconds, had it been stalled as well.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
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
        let some = read_slowly(&mut consumer, |count| count * BODY > 5 << 20);
        assert!(some < MESSAGES);
        let statistics = server.json("/varz");
        assert_eq!(statistics["slow_consumers"], 0);
        assert_eq!(statistics["stalled_clients"], 0);
    });
}
