//! What those who mean no good try on natsd. TLS downgrade is in `natsd_tls`; who is who, by uid, port and token, in
//! `natsd_auth`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_peer;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use natsd_peer::{Client, PATIENCE, Server, wait_for};

const USERS: &str = "authorization { users: [
    { user: root, password: r }
    { user: ann, password: a, permissions: {
        publish: { allow: [\"ann.>\", \"ask\"], deny: \"ann.secret\" }
        subscribe: { allow: [\"ann.>\", \"work crew\", \"_INBOX.ann.>\"], deny: [\"ann.secret\"] } } }
    { user: answerer, password: s, permissions: { subscribe: \"ask\", allow_responses: { max: 1 } } }
] }";

fn ann(server: &Server) -> Client {
    server.connect("\"user\":\"ann\",\"pass\":\"a\",\"no_responders\":true")
}

fn root(server: &Server) -> Client {
    server.connect("\"user\":\"root\",\"pass\":\"r\",\"no_responders\":true")
}

/// A connection that has read `INFO` and said nothing.
fn dial(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
    }
    stream
}

/// All that is said until the end.
fn rest(stream: &mut TcpStream) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => all.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8(all).unwrap()
}

/// What is answered to `bytes`, up to the end of the connection.
fn last_words(server: &Server, bytes: &[u8]) -> String {
    let mut stream = dial(server);
    // It may be closed before all of it is said.
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

fn status(server: &Server, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn connections(server: &Server) -> u64 {
    server.json("/varz")["connections"].as_u64().unwrap()
}

#[test]
fn wildcards_reach_no_further_than_permissions() {
    let server = Server::natsd(USERS);
    let (mut ann, mut root) = (ann(&server), root(&server));
    for pattern in [">", "*", "*.secret", "ann", "other.>", "ann.secret", "$SYS.>", "_INBOX.>"] {
        ann.say(&format!("SUB {pattern} 1"));
        assert_eq!(ann.line(), format!("-ERR 'Permissions Violation for Subscription to \"{pattern}\"'"));
    }
    // What is allowed may be wider than what is denied: that is left out at delivery.
    ann.say("SUB ann.> 2\nSUB ann.* 3");
    ann.sync();
    root.say("PUB ann.secret 1\nx\nPUB other 1\nx\nPUB ann.open.x 1\ny");
    root.sync();
    assert_eq!(ann.line(), "MSG ann.open.x 2 1");
    assert_eq!(ann.line(), "y");
    for subject in ["other", "ann", "ann.secret", "_INBOX.root.1"] {
        ann.say(&format!("PUB {subject} 0\n"));
        assert_eq!(ann.line(), format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'"));
    }
    ann.sync();
}

#[test]
fn a_queue_that_is_not_allowed_takes_nobodys_work() {
    let server = Server::natsd(USERS);
    let (mut ann, mut root) = (ann(&server), root(&server));
    for line in ["SUB work 1", "SUB work other 1", "SUB work crew.x 1"] {
        ann.say(line);
        assert!(ann.line().starts_with("-ERR 'Permissions Violation for Subscription to \"work\""), "{line}");
    }
    ann.say("SUB work crew 4");
    ann.sync();
    root.say("PUB work 1\nw");
    root.sync();
    assert_eq!([ann.line(), ann.line()], ["MSG work 4 1", "w"]);
}

#[test]
fn nobody_listens_to_others_replies_or_sends_them_unasked() {
    let server = Server::natsd(USERS);
    let (mut ann, mut root) = (ann(&server), root(&server));
    let mut answerer = server.connect("\"user\":\"answerer\",\"pass\":\"s\"");
    // To listen to all inboxes, or to somebody's, is not allowed to her.
    for inbox in ["_INBOX.>", "_INBOX.*.*", "_INBOX.root.1"] {
        ann.say(&format!("SUB {inbox} 1"));
        assert!(ann.line().starts_with("-ERR 'Permissions Violation for Subscription"));
    }
    answerer.say("SUB ask 1");
    answerer.sync();
    root.say("SUB _INBOX.root.1 1\nSUB _INBOX.root.2 2");
    root.sync();
    // Who has not been asked has nothing to answer.
    answerer.say("PUB _INBOX.root.1 1\nx");
    assert_eq!(answerer.line(), "-ERR 'Permissions Violation for Publish to \"_INBOX.root.1\"'");
    root.say("PUB ask _INBOX.root.1 0\n");
    assert_eq!([answerer.line(), answerer.line()], ["MSG ask 1 _INBOX.root.1 0", ""]);
    // Nor may somebody who was asked answer elsewhere, or twice.
    answerer.say("PUB _INBOX.root.2 1\nx");
    assert_eq!(answerer.line(), "-ERR 'Permissions Violation for Publish to \"_INBOX.root.2\"'");
    answerer.say("PUB _INBOX.root.1 1\na\nPUB _INBOX.root.1 1\nb");
    assert_eq!(answerer.line(), "-ERR 'Permissions Violation for Publish to \"_INBOX.root.1\"'");
    assert_eq!([root.line(), root.line()], ["MSG _INBOX.root.1 1 1", "a"]);
    // What only servers may answer cannot be put into a message.
    for reply in ["_R_.x", "$JS.ACK.x", "_GR_.x"] {
        root.say(&format!("PUB ask {reply} 0\n"));
        assert_eq!(
            root.line(),
            format!("-ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'")
        );
    }
    root.sync();
}

#[test]
fn users_see_nothing_of_the_system() {
    let server = Server::natsd(
        "accounts { A: { users: [ { user: a, password: a } ] }, $SYS: { users: [ { user: s, password: s } ] } }",
    );
    let mut user = server.connect("\"user\":\"a\",\"pass\":\"a\"");
    user.say("SUB $SYS.> 1\nSUB > 2");
    user.sync();
    let mut system = server.connect("\"user\":\"s\",\"pass\":\"s\"");
    system.say("SUB $SYS.> 1");
    system.sync();
    // Somebody comes and goes, of which the system account is told.
    drop(server.connect("\"user\":\"a\",\"pass\":\"a\""));
    system.say("PUB $SYS.SERVER.X.SHUTDOWN 0\n");
    system.sync_loosely();
    user.say("PUB $SYS.ACCOUNT.A.CONNECT 1\nx");
    // It hears its own words in its own account, and nothing else.
    assert_eq!(user.line(), "MSG $SYS.ACCOUNT.A.CONNECT 1 1");
    user.line();
    assert_eq!(user.line(), "MSG $SYS.ACCOUNT.A.CONNECT 2 1");
    user.line();
    user.sync();
    // Nobody answers it what only the system may ask, and no order of its is obeyed.
    let id = server.json("/varz")["server_id"].as_str().unwrap().to_owned();
    let mut asker = server.connect("\"user\":\"a\",\"pass\":\"a\",\"no_responders\":true");
    asker.say("SUB answers 1");
    for what in ["VARZ", "CONNZ", "RELOAD", "LDM", "KICK"] {
        for whom in ["PING", &id] {
            asker.say(&format!("PUB $SYS.REQ.SERVER.{whom}.{what} answers 9\n{{\"cid\":1}}"));
        }
    }
    // Its first client hears the requests, which are plain messages here; nobody else does anything.
    asker.say("PING");
    assert_eq!(asker.line(), "PONG");
    assert_eq!(connections(&server), 3);
    assert!(!server.log().contains("Reloaded") && !server.log().to_lowercase().contains("lame duck"));
}

trait Loosely {
    fn sync_loosely(&mut self);
}

impl Loosely for Client {
    /// Whatever else is said meanwhile.
    fn sync_loosely(&mut self) {
        self.say("PING");
        while self.line() != "PONG" {}
    }
}

#[test]
fn what_is_too_long_is_refused_and_leaves_nothing_behind() {
    let server = Server::natsd("max_payload: 1000, max_control_line: 512, max_subscriptions: 10");
    let long = "x".repeat(100_000);
    let connect = "CONNECT {\"verbose\":false,\"headers\":true}\r\n";
    let (control, payload) = ("maximum control line exceeded", "Maximum Payload Violation");
    for (line, word) in [
        (format!("PUB {long} 1\r\nx\r\n"), control),
        (format!("PUB a {long} 1\r\nx\r\n"), control),
        (format!("SUB {long} 1\r\n"), control),
        (format!("SUB a {long} 1\r\n"), control),
        (format!("SUB a {long}\r\n"), control),
        (format!("UNSUB {long}\r\n"), control),
        (format!("SUB {} 1\r\n", "a.".repeat(50_000)), control),
        (format!("PING{}", " ".repeat(100_000)), ""),
        (format!("PUB a {}\r\n", 1001), payload),
        (format!("PUB a {}\r\n", u64::MAX), ""),
        (format!("PUB a {}\r\n", "9".repeat(200)), ""),
        ("HPUB a 1001 1001\r\n".to_owned(), payload),
        ("HPUB a 10 9\r\n".to_owned(), ""),
        (format!("HPUB a {} {}\r\n", u64::MAX, u64::MAX), ""),
    ] {
        let answer = last_words(&server, format!("{connect}{line}").as_bytes());
        assert!(answer.contains(word), "{answer:?} to {:.60}", line);
        assert!(answer.is_empty() || answer.starts_with("-ERR '"), "{answer:?} to {:.60}", line);
    }
    // nats-server too takes any CONNECT that is a control line; longer ones end the connection.
    let connect = format!("CONNECT {{\"name\":\"{long}\"}}\r\n");
    assert!(last_words(&server, connect.as_bytes()).contains(control));
    // An unfinished body of the largest size that is allowed does not keep others waiting.
    let mut begun = dial(&server);
    begun.write_all(b"CONNECT {\"verbose\":false}\r\nPUB a 1000\r\nxxx").unwrap();
    let mut client = server.connect("");
    for sid in 0..20 {
        client.say(&format!("SUB s{sid} {sid}"));
    }
    for _ in 10..20 {
        assert_eq!(client.line(), "-ERR 'maximum subscriptions exceeded'");
    }
    client.sync();
}

#[test]
fn who_never_finishes_or_never_says_who_it_is_is_closed() {
    let server = Server::natsd("authorization { user: u, password: p, timeout: 1 }");
    let mut loris = dial(&server);
    let mut silent = dial(&server);
    let mut spaces = dial(&server);
    let mut bytes =
        b"CONNECT {\"user\":\"u\",\"pass\":\"p\",\"name\":\"".iter().chain(std::iter::repeat(&b'x'));
    // A byte now and then does not prolong the time.
    let start = std::time::Instant::now();
    while loris.write_all(&[*bytes.next().unwrap()]).is_ok() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(rest(&mut silent), "-ERR 'Authentication Timeout'\r\n");
    let _ = spaces.write_all(b" ");
    rest(&mut spaces);
    let mut client = server.connect("\"user\":\"u\",\"pass\":\"p\"");
    client.sync();
    wait_for(|| (connections(&server) == 1).then_some(()));
}

#[test]
fn a_flood_of_connections_ends_at_the_limit_and_memory_comes_back() {
    let server = Server::natsd("max_connections: 200, max_payload: 64KB");
    let mut witness = server.connect("");
    let mut peak = 0;
    for round in 0..4 {
        // Half of them leave something unfinished behind.
        let mut flood: Vec<TcpStream> = (0..199).map(|_| dial(&server)).collect();
        for stream in flood.iter_mut().step_by(2) {
            stream.write_all(b"CONNECT {}\r\nSUB a 1\r\nPUB b 60000\r\n").unwrap();
            stream.write_all(&[b'x'; 30_000]).unwrap();
        }
        for _ in 0..50 {
            let mut one_more = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            one_more.set_read_timeout(Some(PATIENCE)).unwrap();
            let words = rest(&mut one_more);
            assert!(words.ends_with("-ERR 'maximum connections exceeded'\r\n"), "{words:?}");
        }
        witness.sync();
        drop(flood);
        wait_for(|| (connections(&server) == 1).then_some(()));
        drop(server.connect(""));
        wait_for(|| (connections(&server) == 1).then_some(()));
        let memory = status(&server, "VmRSS");
        if round == 0 {
            peak = memory;
        }
        // What a flood has needed is used again by the next one.
        assert!(memory < peak + 2_000, "{memory} kB after {peak} kB");
    }
    witness.sync();
}

#[test]
fn garbage_of_all_kinds_ends_only_its_own_connection() {
    let server = Server::natsd("");
    let mut witness = server.connect("");
    witness.say("SUB quiet 1");
    witness.sync();
    let mut random = 0x5eed_u32;
    let mut byte = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let verbs: [&[u8]; 8] =
        [b"", b"PUB ", b"SUB ", b"CONNECT {", b"HPUB a ", b"UNSUB ", b"+OK\r\n\r\n", b"-ERR 'x'\r\n"];
    for round in 0..400_usize {
        let mut stream = dial(&server);
        let mut bytes = verbs[round % verbs.len()].to_vec();
        bytes.extend((0..1 + round % 300).map(|_| byte()));
        let _ = stream.write_all(&bytes);
    }
    witness.sync();
    wait_for(|| (connections(&server) == 1).then_some(()));
}
