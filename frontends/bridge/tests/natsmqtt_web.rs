//! natsmqtt's WebSocket: what its handshake asks for, and frames that are well meant and not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

#[path = "ws_rig/browser.rs"]
mod browser;
mod mqtt_rig;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use browser::{Browser, Control, KEY, upgrade};
use lunix_proto::ws::{CloseCode, encode};
use mqtt_rig::{Gateway, Nats, natsd};

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n";
/// A CONNECT of 3.1.1 by client `a`, and the CONNACK that it gets.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn start(nats: &lunix::natsd::Server, flags: &[&str]) -> Gateway {
    Gateway::start(nats, &[&["--listen", "ws://127.0.0.1:0"], flags].concat())
}

fn ask(gateway: &Gateway, request: &str) -> TcpStream {
    browser::ask(&gateway.listener("ws"), request)
}

/// A device on a WebSocket.
fn connect(gateway: &Gateway, fields: &str) -> Browser {
    let (device, head) = Browser::accepted(ask(gateway, &upgrade("/mqtt", fields)));
    assert!(head.contains("\r\nSec-WebSocket-Protocol: mqtt"), "{head}");
    device
}

/// The code and reason of the Close, and the end after it.
fn closed(device: &mut Browser) -> (u16, String) {
    let closed = device.closed();
    assert_eq!(device.socket.read(&mut [0]).unwrap(), 0);
    closed
}

#[test]
fn mqtt_travels_in_frames_cut_anywhere() {
    let server = natsd("-1");
    let gateway = start(&server, &[]);
    let mut nats = Nats::connect(&server);
    nats.say("SUB a.b 1");
    nats.flush();
    let mut device = connect(&gateway, MQTT);
    let (begin, end) = CONNECT.split_at(5);
    for part in [begin, b"", end] {
        device.send(part);
    }
    assert_eq!(device.hear(4), CONNACK);
    // Two packets and a half in one frame: SUBSCRIBE to down, PUBLISH on a/b, PINGREQ.
    device.send(b"\x82\x09\x00\x01\x00\x04down\x00\x30\x07\x00\x03a/b17\xc0");
    assert_eq!(device.hear(5), *b"\x90\x03\x00\x01\x00");
    assert!(nats.message().1.ends_with("17"));
    device.send(b"\x00");
    assert_eq!(device.hear(2), *b"\xd0\x00");
    // A frame whose length has eight bytes.
    let large = "x".repeat(70_000);
    nats.say(&format!("PUB down {}\r\n{large}", large.len()));
    let heard = device.hear(4 + 6 + large.len());
    assert!(heard.starts_with(b"\x30\xf6\xa2\x04\x00\x04down") && heard.ends_with(b"xxxx"));

    let mut frame = [0; 20];
    let len = encode::ping(&mut frame, b"there?", Some(KEY)).unwrap();
    device.socket.write_all(&frame[..len]).unwrap();
    assert_eq!(device.next(), Some(Control::Pong(b"there?".to_vec())));
    device.send(b"\xe0\x00");
    assert_eq!(closed(&mut device), (1000, String::new()));
}

#[test]
fn requests_that_are_none_are_told_what_is_expected() {
    let server = natsd("-1");
    let mut gateway = start(&server, &["--origin", "https://lunix.example"]);
    let here = gateway.listener("ws");
    let refused = |path: &str, fields: &str, status: &str, words: &str| {
        let mut answer = String::new();
        ask(&gateway, &upgrade(path, fields)).read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{answer}");
    };
    refused("/", MQTT, "404", "MQTT is at /mqtt");
    refused("/mqtt", "", "400", "expected Sec-WebSocket-Protocol: mqtt");
    refused("/mqtt", "Sec-WebSocket-Protocol: nats\r\n", "400", "expected Sec-WebSocket-Protocol: mqtt");
    for origin in ["http://evil.example", "null", "https://127.0.0.1:1"] {
        refused("/mqtt", &format!("{MQTT}Origin: {origin}\r\n"), "403", "this origin");
    }
    assert!(gateway.said().contains("its request was refused: MQTT is at /mqtt"));
    let mut plain = String::new();
    ask(&gateway, "GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n").read_to_string(&mut plain).unwrap();
    assert!(plain.starts_with("HTTP/1.1 426 "), "{plain}");
    // The oldest subprotocol among others, and the pages that may.
    let own = format!("Origin: http://{here}\r\n");
    for fields in [&own, "Origin: https://lunix.example\r\n", ""] {
        let fields = format!("Sec-WebSocket-Protocol: x, mqtt, mqttv3.1\r\n{fields}");
        connect(&gateway, &fields);
    }
}

#[test]
fn who_speaks_for_somebody_else_is_not_lent_our_rights() {
    let server = natsd("-1");
    let gateway = start(&server, &[]);
    for (fields, answer) in [("", CONNACK), ("X-Forwarded-For: 10.0.0.1\r\n", b"\x20\x02\x00\x05")] {
        let mut device = connect(&gateway, &format!("{MQTT}{fields}"));
        device.send(CONNECT);
        assert_eq!(device.hear(4), answer);
    }
}

#[test]
fn frames_that_break_the_rules_are_told_which() {
    let server = natsd("-1");
    let gateway = start(&server, &[]);
    let mut witness = connect(&gateway, MQTT);
    witness.send(CONNECT);
    assert_eq!(witness.hear(4), CONNACK);
    for (frame, code) in [
        // Without a mask, with a reserved bit, an opcode that is none, a Ping of 126 bytes, a continuation of nothing.
        (&b"\x82\x00"[..], 1002),
        (b"\xc2\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\x89\xfe\x00\x7e\x00\x00\x00\x00", 1002),
        (b"\x80\x80\x00\x00\x00\x00", 1002),
        // Text.
        (b"\x81\x82\x00\x00\x00\x00hi", 1003),
        (b"\x81\x82\x00\x00\x00\x00\xff\xff", 1007),
    ] {
        let mut device = connect(&gateway, MQTT);
        device.socket.write_all(frame).unwrap();
        assert_eq!(closed(&mut device).0, code, "{frame:?}");
    }
    // What is in good frames and is not MQTT.
    let mut device = connect(&gateway, MQTT);
    device.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(closed(&mut device).0, 1000);
    // A flood of Pings by somebody who does not read the answers.
    let mut flood = connect(&gateway, MQTT);
    flood.socket.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let mut ping = [0; 140];
    let len = encode::ping(&mut ping, &[b'x'; 125], Some(KEY)).unwrap();
    let pings = ping[..len].repeat(1000);
    let (mut said, most) = (0, 64 << 20);
    while said < most && flood.socket.write_all(&pings).is_ok() {
        said += pings.len();
    }
    assert!(said < most, "natsmqtt reads what it cannot answer");
    let mut closing = [0; 20];
    let len = encode::close(&mut closing, CloseCode(4000), "done", Some(KEY)).unwrap();
    witness.send(b"\xc0\x00");
    assert_eq!(witness.hear(2), *b"\xd0\x00");
    witness.socket.write_all(&closing[..len]).unwrap();
    assert_eq!(closed(&mut witness).0, 4000);
}

#[test]
fn the_end_is_said_in_mqtt_and_in_a_frame() {
    let server = natsd("-1");
    let mut gateway = start(&server, &[]);
    let mut device = connect(&gateway, MQTT);
    // MQTT 5, in which there is a word for it.
    device.send(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a");
    assert_eq!(device.hear(1), *b"\x20");
    gateway.signal("-TERM");
    assert_eq!(closed(&mut device).0, 1000);
    // DISCONNECT, server shutting down.
    assert!(device.said.windows(3).any(|three| three[0] == 0xE0 && three[2] == 0x8B), "{:?}", device.said);
    drop(device);
    assert!(gateway.child.wait().unwrap().success());
}
