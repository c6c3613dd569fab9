//! What those who mean no good try at the port for leaf nodes, and as a hub.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod free_port;
mod natsd_peer;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use free_port::free_port;
use natsd_peer::{PATIENCE, Server, wait_for};

const CONNECT: &str =
    r#"CONNECT {"name":"edge","cluster":"edge","server_id":"E","user":"u","pass":"p","headers":true}"#;

/// A server with a port for leaf nodes, and that port.
fn server(config: &str) -> (Server, u16) {
    let port = free_port();
    let leaves = format!(
        "leafnodes {{ listen: \"127.0.0.1:{port}\", authorization {{ user: u, password: p }} }}\n{config}"
    );
    (Server::natsd(&leaves), port)
}

/// A connection to the leaf port that has read `INFO`, with what else is said.
struct Leaf(BufReader<TcpStream>);

impl Leaf {
    fn dial(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut leaf = Self(BufReader::new(stream));
        assert!(leaf.line().starts_with("INFO {"));
        leaf
    }

    /// One that has joined.
    fn join(port: u16) -> Self {
        let mut leaf = Self::dial(port);
        leaf.say(&format!("{CONNECT}\nPING"));
        while leaf.line() != "PONG" {}
        leaf
    }

    fn say(&mut self, lines: &str) {
        // It may be closed before all of it is said.
        let _ = self.0.get_mut().write_all((lines.replace('\n', "\r\n") + "\r\n").as_bytes());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// All that is said until the end, but for interest.
    fn rest(&mut self) -> String {
        let mut all = String::new();
        loop {
            match self.line() {
                line if line.is_empty() => return all,
                line if line.starts_with("LS") || line == "PING" => {}
                line => all += &(line + "\n"),
            }
        }
    }
}

#[test]
fn who_has_not_joined_hears_and_says_nothing() {
    let (server, port) = server("authorization { users: [ { user: root, password: r } ], timeout: 2 }");
    let mut root = server.connect("\"user\":\"root\",\"pass\":\"r\"");
    root.say("SUB > 1");
    root.sync();
    for line in ["LS+ >", "LMSG a 1\nx", "HMSG a 12 13\nNATS/1.0\n\nx", "LS- a"] {
        let mut leaf = Leaf::dial(port);
        leaf.say(line);
        assert_eq!(leaf.rest(), "-ERR 'Authorization Violation'\n", "{line}");
    }
    for connect in
        [CONNECT.replace("\"p\"", "\"q\""), CONNECT.replace("\"u\"", "\"root\""), "CONNECT {}".into()]
    {
        let mut leaf = Leaf::dial(port);
        leaf.say(&format!("{connect}\nLS+ >\nLMSG a 1\nx"));
        assert_eq!(leaf.rest(), "-ERR 'Authorization Violation'\n", "{connect}");
    }
    // Nor does it stay: neither who is silent, nor who says a byte now and then.
    let mut silent = Leaf::dial(port);
    let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let begin = Instant::now();
    let mut bytes = b"CONNECT {\"name\":\"".iter().chain(std::iter::repeat(&b'x'));
    while slow.write_all(&[*bytes.next().unwrap()]).is_ok() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(silent.rest(), "-ERR 'Authentication Timeout'\n");
    // Of all that, nobody has heard a word.
    root.say("PUB end 0\n");
    assert_eq!(root.line(), "MSG end 1 0");
}

#[test]
fn what_is_too_long_or_no_leafs_to_say_ends_only_that_leaf() {
    let (server, port) = server("max_payload: 1000, max_control_line: 512");
    let mut witness = server.connect("");
    let long = "x".repeat(100_000);
    for (line, word) in [
        (format!("LS+ {long}"), "maximum control line exceeded"),
        (format!("LS+ a {long} 1"), "maximum control line exceeded"),
        (format!("LMSG {long} 1\nx"), "maximum control line exceeded"),
        (format!("LMSG a + r {long} 1\nx"), "maximum control line exceeded"),
        ("LMSG a 1001".to_owned(), "Maximum Payload Violation"),
        ("HMSG a 1001 1001".to_owned(), "Maximum Payload Violation"),
        (format!("LMSG a {}", u64::MAX), ""),
        ("HMSG a 3 2".to_owned(), ""),
        ("LS+ a q x".to_owned(), ""),
        ("SUB a 1".to_owned(), "Unknown Protocol Operation"),
        ("RS+ $G a".to_owned(), "Unknown Protocol Operation"),
        (format!("INFO {long}"), "maximum control line exceeded"),
    ] {
        let mut leaf = Leaf::join(port);
        leaf.say(&line);
        let said = leaf.rest();
        assert!(said.contains(word) && said.lines().count() <= 1, "{said:?} to {line:.60}");
    }
    witness.sync();
    wait_for(|| (server.json("/varz")["leafnodes"] == 0).then_some(()));
}

#[test]
fn leaves_count_as_connections_and_their_place_is_free_again() {
    let (server, port) = server("max_connections: 20");
    let mut witness = server.connect("");
    for _ in 0..3 {
        let flood: Vec<Leaf> = (0..40)
            .map_while(|_| {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut leaf = Leaf(BufReader::new(stream));
                leaf.line().starts_with("INFO {").then_some(leaf)
            })
            .collect();
        assert_eq!(flood.len(), 19);
        witness.sync();
        drop(flood);
        wait_for(|| (server.json("/varz")["connections"] == 1).then_some(()));
    }
    drop(Leaf::join(port));
    witness.sync();
}

#[cfg(feature = "tls")]
#[test]
fn a_hub_that_offers_no_tls_is_told_no_secret() {
    let hub = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats-leaf://u:secret@{}", hub.local_addr().unwrap());
    let _server = Server::natsd(&format!("leafnodes {{ remotes: [ {{ url: \"{url}\", tls {{}} }} ] }}"));
    let (mut stream, _) = hub.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let info = r#"INFO {"server_id":"H","version":"2.15.1","client_id":1,"leafnode_urls":["h:1"],"max_payload":1000}"#;
    stream.write_all(format!("{info}\r\n").as_bytes()).unwrap();
    let mut said = [0; 300];
    let len = stream.read(&mut said).unwrap();
    let said = said.get(..len).unwrap();
    // A TLS record with a hello.
    assert_eq!(said.first(), Some(&0x16), "{:?}", String::from_utf8_lossy(said));
    assert!(!String::from_utf8_lossy(said).contains("secret"));
}
