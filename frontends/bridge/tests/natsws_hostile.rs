//! Browsers that mean no good, before a natsd that others use meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod ws_rig;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lunix::natsd;
use lunix_proto::ws::{Kind, Mask, encode};
use rustix::net::sockopt;
use ws_rig::{Browser, Control, KEY, Natsws, PATIENCE, Server, file, line};

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false}\r\n";

/// What natsws may have had of memory at most, in KiB, of which some 20 MiB are the text of a program for tests.
const MOST: u64 = 64 << 10;

fn natsd() -> natsd::Server {
    natsd::Server::start(["-p", "-1", "--socket", "none", "-l", "/dev/null"]).unwrap()
}

/// Two that send each other messages until `work` is done; none is lost.
fn beside_a_healthy_pair(natsws: &Natsws, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut hears, mut says) = (client(natsws), client(natsws));
            hears.send(b"SUB healthy 1\r\nPING\r\n");
            assert_eq!(hears.line(), "PONG");
            let mut count = 0;
            while !done.load(Ordering::Relaxed) || count == 0 {
                says.send(format!("PUB healthy 8\r\n{count:08}\r\n").as_bytes());
                assert_eq!(hears.line(), "MSG healthy 1 8");
                assert_eq!(hears.line(), format!("{count:08}"));
                count += 1;
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
    assert!(natsws.peak() < MOST, "{} KiB", natsws.peak());
}

/// A browser that is connected.
fn client(natsws: &Natsws) -> Browser {
    let mut browser = natsws.browser("");
    assert!(browser.line().starts_with("INFO "));
    browser.send(CONNECT);
    browser
}

fn frame(first: bool, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; 14];
    let len = encode::data(&mut head, Kind::Binary, first, last, payload.len() as u64, Some(KEY)).unwrap();
    let mut payload = payload.to_vec();
    Mask::new(KEY).apply(&mut payload);
    [&head[..len], &payload].concat()
}

#[test]
fn who_says_half_a_request_or_vanishes_harms_nobody() {
    let server = natsd();
    let path = file("loris", "handshake_timeout: 2s\n");
    let natsws = Natsws::start(&server.client_url(), &["--config", &path]);
    beside_a_healthy_pair(&natsws, || {
        let mut slow: Vec<TcpStream> = (0..200)
            .map(|number| natsws.ask(if number % 2 == 0 { "GET / HTTP/1.1\r\nX: " } else { "" }))
            .collect();
        for _ in 0..50 {
            let browser = client(&natsws);
            // The end that a machine makes which has forgotten the connection.
            sockopt::set_socket_linger(&browser.socket, Some(Duration::ZERO)).unwrap();
        }
        for socket in &mut slow {
            let _ = socket.write(b"a");
            match socket.read(&mut [0]) {
                Ok(0) => {}
                end => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
            }
        }
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn frames_of_any_size_take_no_memory() {
    let server = natsd();
    let natsws = Natsws::start(&server.client_url(), &[]);
    beside_a_healthy_pair(&natsws, || {
        // 16 MB in the place of CONNECT: the answer is there before all of it is.
        let mut browser = natsws.browser("");
        let mut socket = browser.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || socket.write_all(&frame(true, true, &vec![b'x'; 16 << 20])));
            assert!(browser.line().starts_with("INFO "));
            assert_eq!(browser.line(), "-ERR 'Unknown Protocol Operation'");
        });

        // A message of 16 MB, of which the server takes 1.
        let mut browser = client(&natsws);
        browser.send(b"PING\r\n");
        assert_eq!(browser.line(), "PONG");
        browser.send(b"PUB a 16777216\r\n");
        let mut socket = browser.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || socket.write_all(&frame(true, true, &vec![b'x'; 16 << 20])));
            assert_eq!(browser.line(), "-ERR 'Maximum Payload Violation'");
            assert_eq!(browser.closed().0, 1009);
        });

        // One message in 100,000 fragments, and as many that are empty.
        let mut browser = client(&natsws);
        browser.send(b"SUB b 1\r\n");
        let operation = format!("PUB b 99984\r\n{}\r\n", "y".repeat(99_984));
        let last = operation.len() - 1;
        let mut fragments = Vec::new();
        for (index, byte) in operation.bytes().enumerate() {
            fragments.extend(frame(index == 0, index == last, &[byte]));
            if index < last {
                fragments.extend(frame(false, false, &[]));
            }
        }
        browser.socket.write_all(&fragments).unwrap();
        assert_eq!(browser.line(), "MSG b 1 99984");
        assert_eq!(browser.line().len(), 99_984);
    });
}

#[test]
fn a_flood_of_pings_is_answered_as_fast_as_it_is_read() {
    let server = natsd();
    let natsws = Natsws::start(&server.client_url(), &[]);
    beside_a_healthy_pair(&natsws, || {
        let mut browser = client(&natsws);
        let mut ping = [0; 140];
        let len = encode::ping(&mut ping, &[b'p'; 125], Some(KEY)).unwrap();
        let pings = ping[..len].repeat(1000);
        for _ in 0..100 {
            browser.socket.write_all(&pings).unwrap();
        }
        let len = encode::ping(&mut ping, b"last", Some(KEY)).unwrap();
        browser.socket.write_all(&ping[..len]).unwrap();
        while browser.next() != Some(Control::Pong(b"last".to_vec())) {}
    });
}

#[test]
fn two_thousand_come_and_go() {
    let server = natsd();
    let natsws = Natsws::start(&server.client_url(), &[]);
    beside_a_healthy_pair(&natsws, || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..500 {
                        let mut browser = client(&natsws);
                        if number % 5 == 0 {
                            browser.send(b"PING\r\n");
                            assert_eq!(browser.line(), "PONG");
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn a_browser_that_does_not_read_is_told_why_it_is_closed() {
    let message = [&b"MSG a 1 1000\r\n"[..], &[b'x'; 1000], b"\r\n"].concat();
    let server = Server::start("");
    let path = file("deadline", "write_deadline: 1s\n");
    let natsws = Natsws::start(&server.url, &["--config", &path]);

    // By the server, which has had enough of it.
    let (mut nats, mut browser) = server.meet(|| natsws.browser(""));
    assert!(browser.line().starts_with("INFO "));
    nats.get_mut().write_all(&message.repeat(100)).unwrap();
    nats.get_mut().write_all(b"-ERR 'Slow Consumer'\r\n").unwrap();
    drop(nats);
    assert_eq!(browser.closed(), (1008, "Slow Consumer".to_owned()));

    // By natsws, which leaves the server, too.
    let (mut nats, mut browser) = server.meet(|| natsws.browser(""));
    assert!(browser.line().starts_with("INFO "));
    browser.send(CONNECT);
    line(&mut nats);
    // What the server says waits, until natsws goes.
    nats.get_ref().set_write_timeout(Some(PATIENCE)).unwrap();
    let error = loop {
        if let Err(error) = nats.get_mut().write_all(&message) {
            break error.kind();
        }
    };
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    std::fs::remove_file(path).unwrap();
}
