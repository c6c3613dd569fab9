//! natsd's monitoring over HTTP: the same keys and types as nats-server's, and an HTTP that bears bad visitors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_peer;

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use natsd_peer::{Client, Server, answer, reference, same_shape, wait_for};
use serde_json::Value;

const ALICE: &str = r#""name":"alice","lang":"test","version":"1.2""#;

/// What both servers have been through before they are looked at.
fn scene(server: &Server) -> Client {
    let mut alice = server.connect(ALICE);
    alice.say("SUB foo.* 1\nSUB work q 2\nSUB limited 3\nUNSUB 3 5\nPUB foo.x 5\nhello\nPUB foo.y 2\nhi");
    (0..2).for_each(|_| drop(alice.message()));
    drop(server.connect(r#""name":"bob","lang":"test""#));
    wait_for(|| (server.json("/connz?state=closed")["total"] == 1).then_some(()));
    alice
}

#[test]
fn keys_and_types_are_those_of_nats_server() {
    let Some(path) = reference() else { return };
    let (ours, theirs) = (Server::natsd(""), Server::other(&path, ""));
    let _clients = [scene(&ours), scene(&theirs)];
    // What is only nats-server's: the commit it was built from, and its features.
    const BUILD: [&str; 2] = [".git_commit", ".feature_flags."];
    // Ours knows users of this machine without credentials.
    const BY_UID: [&str; 1] = [".connections[].authorized_user"];
    // Of an account that is not there nats-server lists `null`.
    const NOBODY: [&str; 1] = [".connections"];
    // Ours has no services that accounts import from the system's.
    const IMPORTS: [&str; 1] = [".account_detail.imports"];
    for (page, except) in [
        ("/varz", &BUILD[..]),
        ("/connz", &[]),
        ("/connz?subs=1&auth=1", &BY_UID),
        ("/connz?subs=detail&state=any", &[]),
        ("/connz?state=closed&auth=true", &BY_UID),
        ("/connz?cid=999", &[]),
        ("/connz?acc=$G", &[]),
        ("/connz?acc=nobody", &NOBODY),
        ("/connz?user=nobody", &[]),
        ("/connz?offset=5&limit=1", &[]),
        ("/subsz", &[]),
        ("/subsz?subs=1&acc=$G", &[]),
        ("/subscriptionsz?subs=1&test=foo.a", &[]),
        ("/leafz", &[]),
        ("/routez", &[]),
        ("/gatewayz", &[]),
        ("/accountz", &[]),
        ("/accountz?acc=$G", &IMPORTS),
        ("/accstatz", &[]),
        ("/accstatz?unused=1", &[]),
        ("/jsz", &[]),
        ("/healthz", &[]),
        ("/healthz?js-enabled-only=true", &[]),
    ] {
        same_shape(page, &ours.json(page), &theirs.json(page), except);
    }
    for page in [
        "/nothing",
        "/varz/",
        "/connz?sort=bad",
        "/connz?sort=stop",
        "/connz?state=bad",
        "/connz?limit=a",
        "/connz?cid=-1",
        "/connz?auth=bla",
        "/subsz?test=a.*&subs=1",
        "/accountz?acc=XX",
    ] {
        assert_eq!(ours.page(page), theirs.page(page), "{page}");
    }
    for page in ["/connz?cid=999", "/connz?state=closed", "/connz?offset=9&limit=3", "/connz?state=all"] {
        for key in ["num_connections", "total", "offset", "limit"] {
            assert_eq!(ours.json(page)[key], theirs.json(page)[key], "{page}: {key}");
        }
    }
}

/// What nats-top and the Prometheus exporter look for, as their sources name it.
#[test]
fn tools_find_their_numbers() {
    let server = Server::natsd("");
    let _alice = scene(&server);
    let varz = server.json("/varz");
    for key in ["cpu", "mem", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers", "connections"]
    {
        assert!(varz[key].is_number(), "{key}");
    }
    for key in ["server_id", "server_name", "version", "now", "uptime", "start"] {
        assert!(!varz[key].as_str().unwrap().is_empty(), "{key}");
    }
    assert_eq!((&varz["in_msgs"], &varz["out_bytes"]), (&2.into(), &7.into()));
    assert!(varz["mem"].as_u64().unwrap() > 100_000);
    assert_eq!(varz["http_req_stats"]["/connz"].as_u64().map(|count| count > 0), Some(true));
    let connections = server.json("/connz?limit=1024&sort=msgs_to&subs=1");
    let alice = &connections["connections"][0];
    let expected = [
        ("cid", Value::from(1)),
        ("ip", "127.0.0.1".into()),
        ("pending_bytes", 0.into()),
        ("out_msgs", 2.into()),
        ("in_bytes", 7.into()),
        ("subscriptions", 3.into()),
        ("name", "alice".into()),
        ("lang", "test".into()),
        ("version", "1.2".into()),
    ];
    for (key, value) in expected {
        assert_eq!(alice[key], value, "{key}");
    }
    assert!(alice["port"].as_u64().unwrap() > 0);
}

#[test]
fn connections_are_sorted_paged_and_found() {
    let server = Server::natsd("max_closed_clients: 3");
    let mut clients: Vec<Client> =
        (0..5).map(|number| server.connect(&format!("\"name\":\"c{number}\""))).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        (0..number).for_each(|sid| client.say(&format!("SUB s.{sid}.{number} {sid}")));
        (0..5 - number).for_each(|_| client.say("PUB nobody 3\nabc"));
        client.sync();
    }
    let names = |page: &str| -> Vec<String> {
        let value = server.json(page);
        let connections = value["connections"].as_array().unwrap();
        assert_eq!(value["num_connections"], connections.len());
        connections.iter().map(|connection| connection["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/connz"), ["c0", "c1", "c2", "c3", "c4"]);
    assert_eq!(names("/connz?sort=subs&limit=2"), ["c4", "c3"]);
    assert_eq!(names("/connz?sort=msgs_from&offset=3"), ["c3", "c4"]);
    assert_eq!(names("/connz?sort=uptime&limit=1"), ["c4"]);
    assert_eq!(names("/connz?cid=3"), ["c2"]);
    assert_eq!(names("/connz?acc=%24G&filter_subject=s.3.*"), ["c4"]);
    assert_eq!(names("/connz?acc=$SYS"), [""; 0]);
    let found = server.json("/subsz?subs=1&test=s.2.4");
    assert_eq!((&found["total"], &found["subscriptions_list"][0]["subject"]), (&1.into(), &"s.2.4".into()));
    let page = server.json("/subsz?subs=1&limit=3&offset=8");
    assert_eq!((&page["total"], page["subscriptions_list"].as_array().unwrap().len()), (&10.into(), 2));
    // Asked for once, the round-trip time is there the next time; nobody is pinged without a question.
    assert_eq!(server.json("/connz?cid=1")["connections"][0]["rtt"], "0s");
    // The ring keeps the last ones.
    for client in clients.drain(..) {
        drop(client);
        wait_for(|| {
            let open = server.json("/connz")["total"].as_u64();
            let all = server.json("/varz")["connections"].as_u64();
            (open == all).then_some(())
        });
    }
    wait_for(|| (names("/connz?state=closed").len() == 3 && names("/connz").is_empty()).then_some(()));
    assert_eq!(server.json("/connz?state=closed&sort=stop")["connections"][0]["reason"], "Client Closed");
    assert_eq!(server.json("/varz")["total_connections"], 5);
    assert_eq!(server.json("/accstatz?unused=1&acc=$G")["account_statz"][0]["received"]["msgs"], 15);
}

#[test]
fn who_has_a_language_is_asked_for_its_round_trip_time() {
    let server = Server::natsd("");
    let mut client = server.connect(ALICE);
    assert_eq!(server.json("/connz")["connections"][0]["rtt"], "0s");
    while client.line() != "PING" {}
    client.say("PONG");
    client.sync();
    assert_ne!(server.json("/connz")["connections"][0]["rtt"], "0s");
}

fn say(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).unwrap();
}

#[test]
fn a_connection_serves_many_requests_in_any_pieces() {
    let server = Server::natsd("http_base_path: nats/");
    let request = "GET /nats/healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stream = server.visit();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for split in 0..request.len() {
        let (one, two) = request.split_at(split);
        say(&mut stream, one);
        // The answer to the request before has nothing to do with when this one's halves arrive.
        stream.flush().unwrap();
        say(&mut stream, two);
        let (status, head, body) = answer(&mut reader, false);
        assert_eq!((status, body.as_str()), (200, "{\"status\":\"ok\"}"));
        assert!(head.contains("date: ") && !head.contains("connection: close"), "{head}");
    }
    // Several at once, answered in their order.
    say(
        &mut stream,
        &format!("{request}HEAD /nats/varz HTTP/1.1\r\n\r\nGET /nats/ HTTP/1.1\r\nConnection: close\r\n\r\n"),
    );
    assert_eq!(answer(&mut reader, false).0, 200);
    let (status, head, _) = answer(&mut reader, true);
    assert!(status == 200 && head.contains("content-length: "), "{head}");
    let (_, head, body) = answer(&mut reader, false);
    assert!(head.contains("text/html") && body.contains("href=\"/nats/varz\""), "{body}");
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.page("/varz").0, 404);
}

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::natsd("");
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    for (request, expected) in [
        ("POST /varz HTTP/1.1\r\n\r\n", 405),
        ("GET /varz HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("GET /varz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("INFO {}\r\n", 400),
        ("\x16\x03\x01\x02\x00", 400),
        (&long, 431),
        (&fields, 400),
    ] {
        let mut stream = server.visit();
        say(&mut stream, request);
        let mut reader = BufReader::new(stream);
        assert_eq!(answer(&mut reader, false).0, expected, "{request:.60}");
        assert_eq!(reader.read(&mut [0]).unwrap_or(0), 0);
    }
    // An old visitor gets a body that the end of the connection ends.
    let mut stream = server.visit();
    say(&mut stream, "GET /varz HTTP/1.0\r\n\r\n");
    let (status, head, _) = answer(&mut BufReader::new(stream), false);
    assert!(status == 200 && head.contains("connection: close"));
}

#[test]
fn a_slow_visitor_is_sent_away_and_a_crowd_is_not_let_in() {
    let server = Server::natsd("");
    let mut slow = server.visit();
    say(&mut slow, "GET /varz HT");
    let crowd: Vec<TcpStream> = (0..70).map(|_| server.visit()).collect();
    let mut last = BufReader::new(crowd.last().unwrap().try_clone().unwrap());
    assert_eq!(answer(&mut last, false).0, 503);
    assert_eq!(slow.read(&mut [0]).unwrap(), 0);
    drop(crowd);
    wait_for(|| {
        let mut stream = server.visit();
        say(&mut stream, "GET /healthz HTTP/1.1\r\n\r\n");
        let mut first = [0; 12];
        (stream.read_exact(&mut first).is_ok() && &first == b"HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_long_report_takes_little_memory() {
    let server = Server::natsd("");
    let name = "n".repeat(200);
    let clients: Vec<Client> =
        (0..300).map(|number| server.connect(&format!("\"name\":\"{number}{name}\""))).collect();
    let mut one = server.connect("");
    (0..50_000).for_each(|sid| one.say(&format!("SUB some.subject.that.is.long.{sid} {sid}")));
    one.sync();
    let resident = || server.json("/varz")["mem"].as_u64().unwrap();
    let before = resident();
    // Some who do not take their answer, and one who does.
    let idle: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = server.visit();
            say(&mut stream, "GET /connz?subs=detail&limit=10000 HTTP/1.1\r\n\r\n");
            stream
        })
        .collect();
    let value = server.json("/connz?subs=detail&limit=10000");
    assert_eq!(value["num_connections"], 301);
    let list = value["connections"][300]["subscriptions_list_detail"].as_array().unwrap();
    assert_eq!(list.len(), 50_000);
    let value = server.json("/subsz?subs=1&limit=100000");
    assert_eq!(
        (&value["total"], value["subscriptions_list"].as_array().unwrap().len()),
        (&50_000.into(), 50_000)
    );
    let more = resident().saturating_sub(before);
    assert!(more < 2 << 20, "{more} bytes more");
    for stream in idle {
        let _ = stream.shutdown(Shutdown::Both);
    }
    drop(clients);
}
