//! natsd as a leaf node of nats-server, and the other way round, as clients of both see it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod leaf_rig;
#[cfg(feature = "tls")]
mod tls;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use leaf_rig::{Client, Folder, Got, PATIENCE, Program, answer, hub_config, leaf_config, pairs, port};

#[test]
fn requests_and_messages_cross_in_both_directions() {
    pairs("requests_and_messages_cross_in_both_directions", |hub, leaf| {
        let (at_hub, at_leaf) = (answer(hub, "hub.*", "hub"), answer(leaf, "leaf.*", "leaf"));
        let (mut h, mut l) = (hub.connect(), leaf.connect());
        assert_eq!(h.ask("leaf.a", "one"), "leaf one");
        assert_eq!(l.ask("hub.a", "two"), "hub two");

        l.say("SUB wide.> 7");
        l.flush();
        // What is asked after it arrives after it, on each hop.
        assert_eq!(h.ask("leaf.a", "three"), "leaf three");
        let begin = Instant::now();
        let got = loop {
            h.publish("wide.and.far", "", "hello");
            h.ask("leaf.a", "four");
            if let Some(got) = l.flush().pop() {
                break got;
            }
            assert!(begin.elapsed() < PATIENCE);
        };
        assert_eq!(
            (got.subject.as_str(), got.sid.as_str(), got.body.as_str()),
            ("wide.and.far", "7", "hello")
        );
        h.publish("leaf.a", "", "end");
        l.publish("hub.a", "", "end");
        at_hub.join().unwrap();
        at_leaf.join().unwrap();

        // Nobody is left, here or there.
        let begin = Instant::now();
        loop {
            l.say("SUB none 9");
            l.publish("hub.a", "none", "");
            let answers = l.flush();
            l.say("UNSUB 9");
            if answers.iter().any(|got| got.body.starts_with("NATS/1.0 503")) {
                break;
            }
            assert!(begin.elapsed() < PATIENCE);
        }
    });
}

#[test]
fn a_queue_group_spans_both_sides_and_each_message_has_one_receiver() {
    pairs("a_queue_group_spans_both_sides", |hub, leaf| {
        let (mut h, mut l) = (hub.connect(), leaf.connect());
        l.say("SUB work crew 1");
        l.say("SUB work crew 2");
        l.flush();
        let done = answer(leaf, "sync", "leaf");
        h.ask("sync", "");
        for _ in 0..50 {
            h.publish("work", "", "from hub");
            l.publish("work", "", "from leaf");
        }
        let mut got = l.flush();
        h.ask("sync", "");
        got.extend(l.flush());
        assert_eq!(got.len(), 100);

        // Members at home come first.
        h.say("SUB work crew 1");
        h.flush();
        for _ in 0..20 {
            h.publish("work", "", "home");
        }
        let home = h.flush();
        assert_eq!(home.iter().filter(|got| got.subject == "work").count(), 20);
        h.ask("sync", "");
        got = l.flush();
        assert!(got.iter().all(|got| got.body != "home"));
        h.publish("sync", "", "end");
        done.join().unwrap();
    });
}

#[test]
fn key_value_of_the_hub_is_used_from_a_leafs_client() {
    let test = "key_value_of_the_hub_is_used_from_a_leafs_client";
    for program in Program::nats_servers(test) {
        let port = port();
        let store = Folder::new();
        let config = format!(
            "jetstream {{ store_dir: {:?} }}\ndefault_js_domain {{ $G: \"\" }}\n{}",
            store.0.display().to_string(),
            hub_config(port, "")
        );
        let hub = program.serve(&config);
        let leaf = Program::natsd().serve(&leaf_config("edge", port, ""));
        let mut client = leaf.connect();
        let bucket = r#"{"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"allow_direct":true,"storage":"memory"}"#;
        let created = client.ask("$JS.API.STREAM.CREATE.KV_b", bucket);
        assert!(created.contains("stream_create_response") && !created.contains("\"error\""), "{created}");
        let put = client.ask("$KV.b.door", "open");
        assert!(put.contains("\"stream\":\"KV_b\"") && put.contains("\"seq\":1"), "{put}");
        let found = client.ask("$JS.API.STREAM.MSG.GET.KV_b", r#"{"last_by_subj":"$KV.b.door"}"#);
        // "open" in base64.
        assert!(found.contains("b3Blbg=="), "{found}");

        // A consumer delivers to a subject of the leaf's client, and gets its acknowledgement.
        client.say("SUB deliver.here 5");
        client.flush();
        let consumer = r#"{"stream_name":"KV_b","config":{"durable_name":"d","deliver_subject":"deliver.here","ack_policy":"explicit"}}"#;
        let begin = Instant::now();
        client.say("SUB answers 6");
        client.publish("$JS.API.CONSUMER.DURABLE.CREATE.KV_b.d", "answers", consumer);
        let (mut delivered, mut answered) = (None, false);
        while delivered.is_none() || !answered {
            let got = client.message();
            match got.sid.as_str() {
                "5" => delivered = Some(got),
                _ => {
                    assert!(!got.body.contains("\"error\""), "{}", got.body);
                    answered = true;
                }
            }
            assert!(begin.elapsed() < PATIENCE);
        }
        let delivered = delivered.unwrap();
        assert_eq!((delivered.subject.as_str(), delivered.body.as_str()), ("$KV.b.door", "open"));
        let ack = delivered.reply.unwrap();
        assert!(ack.starts_with("$JS.ACK.KV_b.d.") && !ack.contains('@'), "{ack}");
        assert_eq!(client.ask(&ack, "+ACK"), "");
        drop(hub);
    }
}

#[test]
fn a_hub_that_was_killed_and_comes_back_has_its_leaf_again() {
    let test = "a_hub_that_was_killed_and_comes_back_has_its_leaf_again";
    pairs(test, |hub, leaf| {
        let mut l = leaf.connect();
        l.say("SUB news.* 1");
        l.say("SUB jobs crew 2");
        l.flush();
        let done = answer(leaf, "sync", "leaf");
        let mut times = Vec::new();
        for round in 0..3 {
            let mut h = hub.connect();
            h.ask("sync", "");
            h.publish("news.today", "", &format!("round {round}"));
            h.publish("jobs", "", &format!("round {round}"));
            h.ask("sync", "");
            let mut bodies: Vec<String> =
                l.flush().into_iter().map(|got| got.sid + " " + &got.body).collect();
            bodies.sort();
            assert_eq!(bodies, [format!("1 round {round}"), format!("2 round {round}")]);
            hub.kill();
            hub.start();
            let begin = Instant::now();
            let mut h = hub.connect();
            h.ask("sync", "");
            times.push(begin.elapsed());
        }
        eprintln!("{test}: after {times:?}");
        let mut h = hub.connect();
        h.publish("sync", "", "end");
        done.join().unwrap();
    });
}

#[test]
fn two_leaves_meet_at_their_hub() {
    let test = "two_leaves_meet_at_their_hub";
    for program in Program::nats_servers(test).into_iter().chain([Program::natsd()]) {
        let port = port();
        let _hub = program.serve(&hub_config(port, ""));
        let (one, two) = (
            Program::natsd().serve(&leaf_config("one", port, "")),
            Program::natsd().serve(&leaf_config("two", port, "")),
        );
        let done = answer(&two, "ask", "two");
        let mut client = one.connect();
        assert_eq!(client.ask("ask", "hello"), "two hello");
        client.say("SUB > 1");
        client.publish("ask", "", "end");
        done.join().unwrap();
        // It hears its own words once.
        let heard = client.flush();
        assert_eq!(heard.iter().filter(|got| got.subject == "ask" && got.body == "end").count(), 1);
    }
}

#[test]
fn what_an_account_imports_crosses_the_link() {
    let test = "what_an_account_imports_crosses_the_link";
    for program in Program::nats_servers(test).into_iter().chain([Program::natsd()]) {
        let port = port();
        let hub = program.serve(&hub_config(port, ""));
        let url = format!("nats-leaf://127.0.0.1:{port}");
        let leaf = Program::natsd().serve(&format!(
            "server_name: edge\nleafnodes {{ remotes: [ {{ url: \"{url}\", account: OUTSIDE }} ] }}\n\
             accounts {{\n\
             OUTSIDE {{ users: [ {{ user: out, password: out }} ], exports: [ {{ stream: news }}, {{ service: ask }} ],\n\
             imports: [ {{ service: {{ account: INSIDE, subject: \"in.*\" }}, to: \"out.*\" }} ] }}\n\
             INSIDE {{ users: [ {{ user: in, password: in }} ], exports: [ {{ service: \"in.*\" }} ],\n\
             imports: [ {{ stream: {{ account: OUTSIDE, subject: news }}, prefix: bar }},\n\
             {{ service: {{ account: OUTSIDE, subject: ask }} }} ] }}\n}}"
        ));
        let done = answer(&hub, "ask", "hub");
        let mut inside = Client::connect_as(leaf.port, "in");
        inside.say("SUB bar.> 1");
        assert_eq!(inside.ask("ask", "one"), "hub one");
        let mut outside = hub.connect();
        outside.publish("news", "", "hello");
        outside.flush();
        inside.ask("ask", "two");
        let heard = inside.flush();
        let heard: Vec<_> = heard.iter().map(|got| (got.subject.as_str(), got.body.as_str())).collect();
        assert_eq!(heard, [("bar.news", "hello")]);

        inside.say("SUB in.* 2");
        inside.flush();
        outside.say("SUB inbox 3");
        outside.publish("out.b", "inbox", "three");
        let got = inside.message();
        assert_eq!((got.subject.as_str(), got.body.as_str()), ("in.b", "three"));
        inside.publish(&got.reply.unwrap(), "", "four");
        assert_eq!(outside.message().body, "four");
        outside.publish("ask", "", "end");
        done.join().unwrap();
    }
}

#[test]
fn credentials_and_rules() {
    let test = "credentials_and_rules";
    let authorization = "authorization { user: edge, password: secret }";
    for program in Program::nats_servers(test).into_iter().chain([Program::natsd()]) {
        let port = port();
        let hub = program.serve(&hub_config(port, authorization));
        let leaf = Program::natsd().serve(&leaf_config("edge", port, ""));
        leaf.logged("Authorization Violation");
        let url = format!("nats-leaf://edge:secret@127.0.0.1:{port}");
        let rules = r#"deny_imports: "private.>", deny_exports: ["secret.>"]"#;
        let config = format!("server_name: edge\nleafnodes {{ remotes: [ {{ url: \"{url}\", {rules} }} ] }}");
        let leaf = Program::natsd().serve(&config);
        let done = answer(&leaf, "sync", "leaf");
        let back = answer(&hub, "back", "hub");
        let (mut h, mut l) = (hub.connect(), leaf.connect());
        // Who hears everything is never told that nobody answers: the link is there before.
        h.ask("sync", "");
        l.ask("back", "");
        for client in [&mut h, &mut l] {
            client.say("SUB private.a 1");
            client.say("SUB secret.a 2");
            client.say("SUB > 3");
            client.flush();
        }
        h.ask("sync", "");
        l.ask("back", "");
        h.publish("private.a", "", "from hub");
        l.publish("secret.a", "", "from leaf");
        h.ask("sync", "");
        l.ask("back", "");
        let secret = |got: &Got| got.subject.starts_with("secret") || got.subject.starts_with("private");
        let (at_hub, at_leaf) = (h.flush(), l.flush());
        assert!(at_hub.iter().filter(|got| secret(got)).all(|got| got.body == "from hub"), "{at_hub:?}");
        assert!(at_leaf.iter().filter(|got| secret(got)).all(|got| got.body == "from leaf"), "{at_leaf:?}");
        h.publish("sync", "", "end");
        l.publish("back", "", "end");
        done.join().unwrap();
        back.join().unwrap();
    }
}

#[test]
fn an_account_joins_the_account_of_its_key() {
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    fn echo(mut client: Client, subject: &str, name: &'static str) {
        client.say(&format!("SUB {subject} 1"));
        client.flush();
        std::thread::spawn(move || {
            loop {
                let got = client.message();
                client.publish(&got.reply.unwrap_or_default(), "", &format!("{name} {}", got.body));
            }
        });
    }
    for program in Program::nats_servers("an_account_joins_the_account_of_its_key") {
        let leaves = port();
        let accounts = format!(
            "accounts {{ A {{ users: [ {{ nkey: {KEY} }}, {{ user: a, password: a }} ] }}\n\
             B {{ users: [ {{ user: b, password: b }} ] }} }}\n"
        );
        let hub = program.serve(&format!("{accounts}{}", hub_config(leaves, "")));
        let leaf = Program::natsd().serve(&format!(
            "accounts {{ X {{ users: [ {{ user: x, password: x }} ] }}, Y {{ users: [ {{ user: y, password: y }} ] }} }}\n{}",
            leaf_config("edge", leaves, &format!(", account: X, nkey: {SEED}"))
        ));
        leaf.logged("for account: X");
        echo(Client::connect_as(hub.port, "a"), "ask", "a");
        echo(Client::connect_as(hub.port, "b"), "ask", "b");
        echo(Client::connect_as(leaf.port, "y"), "ask", "y");
        let mut client = Client::connect_as(leaf.port, "x");
        assert_eq!(client.ask("ask", "who"), "a who");
        let mut other = Client::connect_as(leaf.port, "y");
        assert_eq!(other.ask("ask", "who"), "y who");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_in_both_directions_and_before_or_after_info() {
    let test = "tls_in_both_directions_and_before_or_after_info";
    let folder = Folder::new();
    tls::Authority::new(&folder.0, "ca").sign_server("server");
    let file = |name: &str| folder.0.join(name).display().to_string();
    let (certificate, key, ca) = (file("server.pem"), file("server-key.pem"), file("ca.pem"));
    let peers = Program::nats_servers(test);
    let hubs = peers.iter().cloned().map(|hub| (hub, Program::natsd()));
    let leaves = peers.iter().cloned().map(|leaf| (Program::natsd(), leaf));
    for (hub, leaf) in hubs.chain(leaves).chain([(Program::natsd(), Program::natsd())]) {
        eprintln!("{test}: {} at hub {}", leaf.0.display(), hub.0.display());
        let first: &[bool] =
            if hub.1.is_empty() && hub.0.starts_with("/usr") { &[false] } else { &[false, true] };
        for first in first.iter().filter(|first| !**first || !leaf.0.starts_with("/usr")) {
            let port = port();
            let more = if *first { ", handshake_first: true" } else { "" };
            let tls = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" {more} }}");
            let hub = hub.serve(&hub_config(port, &tls));
            let trust = format!(", tls {{ ca_file: \"{ca}\" {more} }}");
            let leaf = leaf.serve(&leaf_config("edge", port, &trust));
            let done = answer(&leaf, "ask", "leaf");
            let mut client = hub.connect();
            assert_eq!(client.ask("ask", "over TLS"), "leaf over TLS");
            client.publish("ask", "", "end");
            done.join().unwrap();
        }
    }
    // Who is not who it says it is gets nothing.
    let port = port();
    let tls = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}");
    let _hub = Program::natsd().serve(&hub_config(port, &tls));
    let leaf = Program::natsd().serve(&leaf_config("edge", port, ""));
    leaf.logged("TLS handshake error");
}

#[test]
fn a_client_at_the_leaf_port_and_a_leaf_at_the_client_port_are_told_so() {
    let natsd = Program::natsd().serve(&hub_config(port(), ""));
    let line = Path::new(&natsd.folder.0).join("server.conf");
    let text = fs::read_to_string(line).unwrap();
    let leaf_port: u16 = text.split("127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", leaf_port)).unwrap();
    stream.write_all(b"CONNECT {\"lang\":\"c\"}\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("-ERR 'attempted to connect to leaf node port'"), "{said}");
    let leaf = Program::natsd().serve(&leaf_config("edge", natsd.port, ""));
    leaf.logged("that is not a port for leaf nodes");
}
