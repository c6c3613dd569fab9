//! natsmqtt among clients that mean no good, or live badly: what they cost is bounded, they are told what is wrong, and
//! two who do no wrong, and talk all the time, miss nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mqtt_rig;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lunix_proto::mqtt::{
    ClientPacket, Connect, Delivery, List, Property, Publish, Qos, Subscribe, Subscription, Version, Will,
};
use mqtt_rig::{Client, Gateway, Nats, PATIENCE, message, natsd, subscribe};
use rustix::process::{Resource, Rlimit};

const ONE: NonZeroU16 = NonZeroU16::MIN;
const ONCE: Delivery = Delivery::AtLeastOnce { packet_id: ONE, dup: false };
const MB: u64 = 1 << 20;

/// What a debug build, its allocator and its tables take beside what a test is about.
const SLACK: u64 = 16 * MB;

/// A configuration, removed when it is dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("natsmqtt-{}-{name}.conf", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn flags(&self) -> [&str; 2] {
        ["--config", self.0.to_str().unwrap()]
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Two who talk with QoS 1 for as long as the test does what it does.
struct Healthy {
    over: Arc<AtomicBool>,
    talker: JoinHandle<u64>,
    listener: JoinHandle<u64>,
}

impl Healthy {
    fn begin(gateway: &Gateway) -> Self {
        let mut listener = gateway.client("healthy listener", Version::V5);
        subscribe(&mut listener, "healthy", Qos::AtLeastOnce);
        let mut talker = gateway.client("healthy talker", Version::V311);
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let talker = thread::spawn(move || {
            let mut said = 0;
            // Once at least: the test may be over before this begins.
            while said == 0 || !until.load(Ordering::Relaxed) {
                talker.say(message("healthy", &said.to_string(), ONCE));
                assert!(talker.next().unwrap().starts_with("Puback"));
                said += 1;
                // Talking faster would be a load of its own.
                thread::sleep(Duration::from_millis(2));
            }
            talker.say(message("healthy", "over", ONCE));
            assert!(talker.next().unwrap().starts_with("Puback"));
            said
        });
        let listener = thread::spawn(move || {
            let mut heard = 0;
            loop {
                let words = listener.hear().unwrap();
                if words == "Publish healthy=over" {
                    return heard;
                }
                assert_eq!(words, format!("Publish healthy={heard}"));
                heard += 1;
            }
        });
        Self { over, talker, listener }
    }

    /// Nothing is missing, twice there, or out of order.
    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let (said, heard) = (self.talker.join().unwrap(), self.listener.join().unwrap());
        assert!(said > 0);
        assert_eq!(said, heard);
    }
}

/// So many sockets here, and as many there; `false`, and said so, where that is not allowed.
fn room_for_sockets(name: &str, sockets: u64) -> bool {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < sockets) {
        println!("SKIPPED {name}: {sockets} sockets are more than this process may have");
        return false;
    }
    let current = limit.current.map(|now| now.max(sockets));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    true
}

#[test]
fn half_a_connect_and_half_a_message() {
    const HALVES: u64 = 200;
    let server = natsd("-1");
    let limits = "limits { connect_timeout: 2s, packet: 128KB, connections: 1000 }\n";
    let file = File::new("slow", limits);
    let gateway = Gateway::start(&server, &file.flags());
    let healthy = Healthy::begin(&gateway);
    let before = gateway.memory();
    let hello = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03who";
    let strangers: Vec<_> = (0..300)
        .map(|number| {
            let mut socket = gateway.socket();
            socket.write_all(&hello[..number % hello.len()]).unwrap();
            socket
        })
        .collect();
    let half = [&b"\x30\x80\x80\x06\x00\x01a\x00"[..], &[b'x'; 64 << 10]].concat();
    let clients: Vec<Client> = (0..HALVES)
        .map(|number| {
            let name = number.to_string();
            let connect = Connect { keep_alive: 2, ..Client::hello(&name, Version::V5) };
            let mut client = Client::connect(&gateway, &connect);
            assert!(client.next().unwrap().contains("reason: Success"));
            assert!(client.write(&half));
            client
        })
        .collect();
    for mut client in clients {
        let words = client.next().unwrap();
        assert!(words.contains("KeepAliveTimeout") && words.contains("nothing was heard for 3 s"), "{words}");
        assert_eq!(client.next(), None);
    }
    for mut socket in strangers {
        // Reset, if its time is over before it is read.
        match socket.read(&mut [0; 8]) {
            Ok(read) => assert_eq!(read, 0, "without a word"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    let after = gateway.memory();
    assert!(after < before + HALVES * (128 << 10) + SLACK, "{before} {after}");
    healthy.end();
}

#[test]
fn other_protocols_and_lengths_that_cannot_be() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let healthy = Healthy::begin(&gateway);
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\xff\xff\xff\xff\x7f", b"\x00\x00", b"\x10\xff\xff\xff\x7f"]
    {
        let mut socket = gateway.socket();
        socket.write_all(bytes).unwrap();
        assert_eq!(socket.read(&mut [0; 8]).unwrap_or(0), 0, "{bytes:?}");
    }
    healthy.end();
}

#[test]
fn a_hundred_thousand_topics_of_one_client() {
    let server = natsd("-1");
    let file = File::new("greedy", "limits { subscriptions: 100, retained_bytes: 1MB }\n");
    let gateway = Gateway::start(&server, &file.flags());
    let healthy = Healthy::begin(&gateway);
    let before = gateway.memory();
    let mut greedy = gateway.client("greedy", Version::V5);
    let filters: Vec<String> = (0..1000).map(|number| format!("topic/{number}")).collect();
    let mut refused = 0;
    for _ in 0..100 {
        let subscriptions: Vec<_> =
            filters.iter().map(|filter| Subscription::new(filter, Qos::AtMostOnce)).collect();
        greedy.say(ClientPacket::Subscribe(Subscribe {
            packet_id: ONE,
            properties: List::EMPTY,
            subscriptions: List::of(&subscriptions),
        }));
        let words = greedy.next().unwrap();
        assert!(words.contains("topic/100: 100 subscriptions are the most of one client"), "{words}");
        refused += words.matches("QuotaExceeded").count();
    }
    assert_eq!(refused, 100 * 900);

    let mut loud = gateway.client("loud", Version::V5);
    for number in 0..100_000 {
        let topic = format!("kept/{number}");
        let ClientPacket::Publish(publish) = message(&topic, "x", Delivery::AtMostOnce) else { panic!() };
        loud.say(ClientPacket::Publish(Publish { retain: true, ..publish }));
    }
    let ClientPacket::Publish(publish) = message("kept/last", "x", ONCE) else { panic!() };
    loud.say(ClientPacket::Publish(Publish { retain: true, ..publish }));
    let words = loud.next().unwrap();
    assert!(words.contains("there is no room for more retained messages"), "{words}");
    let ClientPacket::Publish(publish) = message("kept/0", "new", ONCE) else { panic!() };
    loud.say(ClientPacket::Publish(Publish { retain: true, ..publish }));
    assert!(loud.next().unwrap().contains("reason: Success"), "what is kept can be said anew");
    let after = gateway.memory();
    assert!(after < before + 3 * MB + SLACK, "{before} {after}");
    healthy.end();
}

#[test]
fn packets_of_16_mb() {
    let server = natsd("-1");
    let file = File::new("large", "limits { packet: 32MB }\n");
    for (flags, answer) in [
        (&[][..], "a packet has 1048576 bytes at most"),
        (&file.flags(), "or the message is larger than its server takes"),
    ] {
        let gateway = Gateway::start(&server, flags);
        let healthy = Healthy::begin(&gateway);
        let before = gateway.memory();
        let mut large = gateway.client("large", Version::V5);
        let mut socket = large.socket().try_clone().unwrap();
        // It may be told, and the connection ended, before all of it is said.
        let saying = thread::spawn(move || {
            let head = [0x32, 0x80, 0x80, 0x80, 0x08, 0, 1, b'a', 0, 1, 0];
            let _ = socket.write_all(&head).and_then(|()| socket.write_all(&vec![b'x'; (16 << 20) - 6]));
        });
        let words = large.next().unwrap();
        assert!(words.contains(answer), "{words}");
        let after = gateway.memory();
        let most = if flags.is_empty() { 0 } else { 3 * 16 * MB };
        assert!(after < before + most + SLACK, "{before} {after}");
        saying.join().unwrap();
        healthy.end();
    }
}

#[test]
fn who_is_refused_hears_why_however_much_it_still_says() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let healthy = Healthy::begin(&gateway);
    let (mut deaf, mut patient) =
        (gateway.client("deaf", Version::V5), gateway.client("patient", Version::V5));
    for client in [&mut deaf, &mut patient] {
        // There is no packet of this type [MQTT 5: 2.1.2].
        assert!(client.write(&[0, 0]));
        client.socket().peek(&mut [0]).unwrap();
        // A reset would be known with the second one.
        for _ in 0..100 {
            assert!(client.write(&[b'x'; 1000]));
        }
    }
    let words = patient.next().unwrap();
    assert!(words.contains("no packet that may be sent here"), "{words}");
    assert_eq!(patient.socket().read(&mut [0]).unwrap(), 0, "not a reset");
    drop(patient);
    // Nobody is waited for in eternity.
    while deaf.write(&[b'x'; 1000]) {}
    healthy.end();
}

/// A NATS server that does nothing after it has heard `stop`, until it is told to; the address, by what it is told, and how
/// many lines with `m` for a payload it has heard in the end.
fn slow_server() -> (String, Sender<()>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let (go, told) = channel();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let info = r#"{"server_id":"S","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}"#;
        write!(stream, "INFO {info}\r\n").unwrap();
        let mut heard = 0;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            match line {
                Ok(line) if line == "PING" => stream.write_all(b"PONG\r\n").unwrap(),
                Ok(line) if line == "stop" => told.recv().unwrap(),
                Ok(line) => heard += usize::from(line.starts_with("mm")),
                Err(_) => break,
            }
        }
        heard
    });
    (url, go, serving)
}

#[test]
fn a_slow_server_slows_devices_down_and_nothing_is_lost() {
    const MOST: usize = 256 << 20;
    let (url, go, server) = slow_server();
    let gateway = Gateway::start_at(&url, &[]);
    let before = gateway.memory();
    let mut loud = gateway.client("loud", Version::V311);
    loud.say(message("a", "stop", Delivery::AtMostOnce));
    let mut socket = loud.socket().try_clone().unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut packet = vec![0; 64 << 10];
    let payload = "m".repeat(60_000);
    let length = message("a", &payload, Delivery::AtMostOnce).encode(Version::V311, &mut packet).unwrap();
    packet.truncate(length);
    let mut said = 0;
    while said < MOST {
        match socket.write(&packet[said % length..]) {
            Ok(written) => said += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(said < MOST, "it would have to keep all of them");
    let after = gateway.memory();
    assert!(after < before + 4 * MB + SLACK, "{before} {after}");
    go.send(()).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&packet[said % length..]).unwrap();
    let whole = said / length + 1;
    for _ in 0..100 {
        socket.write_all(&packet).unwrap();
    }
    loud.say(message("a", "last", ONCE));
    assert!(loud.next().unwrap().starts_with("Puback"));
    drop(gateway);
    assert_eq!(server.join().unwrap(), whole + 100);
}

#[test]
fn who_speaks_and_does_not_listen() {
    const MOST: usize = 64 << 20;
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let healthy = Healthy::begin(&gateway);
    let before = gateway.memory();
    let deaf = gateway.client("deaf", Version::V5);
    let mut socket = deaf.socket();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Each of them is refused, and the answer is longer.
    let refused = b"\x32\x07\x00\x02$x\x00\x01\x00";
    let many = refused.repeat(8 << 10);
    let mut said = 0;
    while said < MOST {
        match socket.write(&many[said % refused.len()..]) {
            Ok(written) => said += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(said < MOST, "it would have to keep an answer to each");
    let after = gateway.memory();
    assert!(after < before + 2 * MB + SLACK, "{before} {after}");
    // Once it listens, it is heard again.
    socket.set_nonblocking(true).unwrap();
    let (mut answers, deadline) = (vec![0; 64 << 10], Instant::now() + PATIENCE);
    while let Err(error) = socket.write(&many[said % refused.len()..]) {
        assert!(error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline, "{error}");
        match socket.read(&mut answers) {
            Ok(read) => assert!(read > 0, "the end"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    healthy.end();
}

#[test]
fn who_does_not_read_misses_it_and_costs_little() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let healthy = Healthy::begin(&gateway);
    let (mut slow, mut loud) = (gateway.client("slow", Version::V311), gateway.client("loud", Version::V311));
    subscribe(&mut slow, "flood", Qos::AtMostOnce);
    let payload = "x".repeat(50_000);
    for _ in 0..1000 {
        loud.say(message("flood", &payload, Delivery::AtMostOnce));
    }
    loud.say(message("flood", "last", ONCE));
    assert!(loud.next().unwrap().starts_with("Puback"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 48 << 10, "{kilobytes} kB of 50 MB");
    healthy.end();
}

#[test]
fn more_connections_than_there_may_be() {
    let server = natsd("-1");
    let file = File::new("crowd", "limits { connections: 40 }\n");
    let gateway = Gateway::start(&server, &file.flags());
    let healthy = Healthy::begin(&gateway);
    let crowd: Vec<_> = (0..60).map(|_| gateway.socket()).collect();
    let mut last = gateway.socket();
    assert_eq!(last.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(crowd);
    healthy.end();
}

#[test]
fn a_storm_of_wills() {
    const CLIENTS: usize = 2000;
    if !room_for_sockets("a_storm_of_wills", 5000) {
        return;
    }
    let server = natsd("-1");
    let file = File::new("wills", "limits { connections: 2100, queue: 5000 }\n");
    let gateway = Gateway::start(&server, &file.flags());
    let healthy = Healthy::begin(&gateway);
    let before = gateway.memory();
    let mut listener = gateway.client("listener", Version::V5);
    subscribe(&mut listener, "wills/+", Qos::AtLeastOnce);
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let (name, topic) = (format!("c{number}"), format!("wills/{number}"));
            let will = Will {
                topic: &topic,
                payload: b"gone",
                qos: Qos::AtLeastOnce,
                retain: false,
                properties: List::EMPTY,
            };
            let connect = Connect { will: Some(will), ..Client::hello(&name, Version::V5) };
            let mut client = Client::connect(&gateway, &connect);
            assert!(client.next().unwrap().contains("reason: Success"));
            client
        })
        .collect();
    let mut nats = Nats::connect(&server);
    nats.say("SUB mqtt.client.disconnected 1");
    nats.flush();
    drop(clients);
    let heard: BTreeSet<String> = (0..CLIENTS).map(|_| listener.hear().unwrap()).collect();
    assert_eq!(heard.len(), CLIENTS, "each once");
    for _ in 0..CLIENTS {
        assert!(nats.message().1.contains("\"reason\":\"the connection was lost\""));
    }
    let after = gateway.memory();
    assert!(after < before + 2000 * 8192 + SLACK, "{before} {after}");
    healthy.end();
}

#[test]
fn a_storm_of_reconnects() {
    const CLIENTS: usize = 5000;
    const DRIVERS: usize = 4;
    if !room_for_sockets("a_storm_of_reconnects", 12_000) {
        return;
    }
    let server = natsd("-1");
    let file = File::new("storm", "limits { connections: 12000, sessions: 6000 }\n");
    let gateway = Gateway::start(&server, &file.flags());
    let healthy = Healthy::begin(&gateway);
    let before = gateway.memory();
    let kept = [Property::SessionExpiryInterval(600)];
    // Everybody at once: who has said CONNECT does not wait for the answer before the next one does.
    let come = |present: &str| -> Vec<Client> {
        thread::scope(|scope| {
            let drivers: Vec<_> = (0..DRIVERS)
                .map(|driver| {
                    let (gateway, kept) = (&gateway, &kept);
                    scope.spawn(move || {
                        let mut clients: Vec<Client> = (driver..CLIENTS)
                            .step_by(DRIVERS)
                            .map(|number| {
                                let name = format!("c{number}");
                                let hello = Client::hello(&name, Version::V5);
                                let properties = List::of(kept);
                                Client::connect(gateway, &Connect { clean_start: false, properties, ..hello })
                            })
                            .collect();
                        for client in &mut clients {
                            let words = client.next().unwrap();
                            assert!(words.contains("reason: Success") && words.contains(present), "{words}");
                        }
                        clients
                    })
                })
                .collect();
            drivers.into_iter().flat_map(|driver| driver.join().unwrap()).collect()
        })
    };
    let first = come("session_present: false");
    let during = gateway.memory();
    assert!(during < before + CLIENTS as u64 * 8192 + SLACK, "{before} {during}");
    drop(first);
    let second = come("session_present: true");
    let after = gateway.memory();
    assert!(after < before + 2 * CLIENTS as u64 * 8192 + SLACK, "{before} {after}");
    healthy.end();
    drop(second);
}
