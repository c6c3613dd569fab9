//! Who may join natsd as a leaf node: credentials of its own in `leafnodes.authorization`, or else a client's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod leaf_rig;
mod natsd_rig;

use std::io::BufReader;
use std::net::TcpStream;

use leaf_rig::{Program, answer, leaf_config, port};
use natsd_rig::credentials::{HASH, VIOLATION, nonce, sign};
use natsd_rig::realm::{Realm, now, token};
use natsd_rig::{Client, Folder, PATIENCE, Server, wait_for};
use nkeys::KeyPair;
use serde_json::{Value, json};

const CROWDED: &str = "-ERR 'maximum account active connections exceeded'";

/// A natsd that leaf nodes may join at this port.
fn hub(leafnodes: &str, more: &str) -> (Server, u16) {
    let port = port();
    let server = Server::start(&format!("leafnodes {{ listen: \"127.0.0.1:{port}\"\n{leafnodes} }}\n{more}"));
    (server, port)
}

/// A leaf node that has heard its hub's first words.
fn open(port: u16) -> Client {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut leaf = Client { reader: BufReader::new(stream), info: String::new() };
    leaf.info = leaf.line();
    leaf
}

/// Says `CONNECT` with these members; answers the rest of its hub's `INFO`, or the line that is none.
fn connect(leaf: &mut Client, members: &Value) -> Result<Value, String> {
    leaf.say(&format!("CONNECT {members}"));
    let line = leaf.line();
    match line.strip_prefix("INFO ") {
        Some(info) => Ok(serde_json::from_str(info).unwrap()),
        None => Err(line),
    }
}

/// All lines up to this one, which must come before the connection ends.
#[track_caller]
fn until(client: &mut Client, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = client.line();
        assert!(!line.is_empty() && lines.len() < 10_000, "no {last:?} after {lines:?}");
        if line == last {
            return lines;
        }
        lines.push(line);
    }
}

/// The connection ends; answers the last line before that.
fn end(client: &mut Client) -> String {
    let mut last = String::new();
    for _ in 0..100 {
        let line = client.line();
        if line.is_empty() {
            return last;
        }
        last = line;
    }
    panic!("the connection does not end: {last}");
}

/// The account that a leaf node with these credentials is joined to.
fn join(port: u16, members: &Value) -> Result<String, String> {
    connect(&mut open(port), members).map(|info| info["remote_account"].as_str().unwrap().to_owned())
}

#[test]
fn users_and_keys_that_are_only_for_leaf_nodes() {
    let accounts = "accounts { A { users: [{ user: a, password: a }] }, B {} }";
    let users = format!(
        "authorization {{ users: [
            {{ user: plain, password: word, account: A }}
            {{ user: hashed, password: \"{HASH}\", account: B }}
            {{ user: global, password: word }}
        ], timeout: 60 }}"
    );
    let (_server, port) = hub(&users, accounts);
    let login = |user: &str, pass: &str| join(port, &json!({"user": user, "pass": pass}));
    assert_eq!(login("plain", "word"), Ok("A".to_owned()));
    assert_eq!(login("hashed", "s3cret"), Ok("B".to_owned()));
    assert_eq!(login("global", "word"), Ok("$G".to_owned()));
    // Those of clients are none here.
    for (user, pass) in [("plain", "x"), ("hashed", "x"), ("hashed", HASH), ("a", "a"), ("", "")] {
        assert_eq!(login(user, pass), Err(VIOLATION.to_owned()), "{user} {pass}");
    }
    assert_eq!(join(port, &json!({})), Err(VIOLATION.to_owned()));

    let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
    let one = format!("authorization {{ nkey: {}, account: A }}", key.public_key());
    let (_server, port) = hub(&one, accounts);
    for (shown, signer, good) in [(&key, &key, true), (&key, &other, false), (&other, &other, false)] {
        let mut leaf = open(port);
        let members = json!({"nkey": shown.public_key(), "sig": sign(signer, &nonce(&leaf.info))});
        assert_eq!(connect(&mut leaf, &members).is_ok(), good);
    }
}

#[test]
fn what_follows_a_password_that_is_hashed_waits() {
    let (server, port) =
        hub(&format!("authorization {{ user: hashed, password: \"{HASH}\", timeout: 60 }}"), "");
    let mut leaf = open(port);
    leaf.say("CONNECT {\"user\":\"hashed\",\"pass\":\"s3cret\"}\nLS+ a\nPING");
    assert!(leaf.line().starts_with("INFO "));
    until(&mut leaf, "PONG");
    let mut client = server.connect();
    client.say("PUB a 2\nhi");
    client.sync();
    assert_eq!([leaf.line(), leaf.line()], ["LMSG a 2", "hi"]);
}

#[test]
fn without_users_of_their_own_they_come_in_as_clients_do() {
    let key = KeyPair::new_user();
    let config = |more: &str| {
        format!(
            "accounts {{
                A {{
                    limits {{ max_leafnodes: 1 }}
                    users: [
                        {{ user: a, password: \"{HASH}\" }}
                        {{ user: client, password: c, allowed_connection_types: [STANDARD] }}
                    ]
                }}
                B {{ users: [
                    {{ nkey: {} }}
                    {{ user: b, password: b, allowed_connection_types: [LEAFNODE]
                       permissions {{ publish: \"out.*\", subscribe {{ deny: \"secret.>\" }} }} }}
                    {more}
                ] }}
            }}",
            key.public_key()
        )
    };
    let (server, port) = hub("", &config("{ user: local, password: l }"));
    assert_eq!(join(port, &json!({})), Err(VIOLATION.to_owned()));
    assert_eq!(join(port, &json!({"user": "client", "pass": "c"})), Err(VIOLATION.to_owned()));
    assert_eq!(join(port, &json!({"user": "a", "pass": "b"})), Err(VIOLATION.to_owned()));

    // An account's leaf nodes are counted.
    let mut first = open(port);
    let login = json!({"user": "a", "pass": "s3cret", "name": "one"});
    assert_eq!(connect(&mut first, &login).unwrap()["remote_account"], "A");
    let second = json!({"user": "a", "pass": "s3cret", "name": "two"});
    assert_eq!(join(port, &second), Err(CROWDED.to_owned()));
    drop(first);
    wait_for("room for a leaf node", || join(port, &second).ok());

    let mut leaf = open(port);
    let signed = json!({"nkey": key.public_key(), "sig": sign(&key, &nonce(&leaf.info))});
    assert_eq!(connect(&mut leaf, &signed).unwrap()["remote_account"], "B");

    // A user's permissions are the leaf node's, and it is told them.
    let mut leaf = open(port);
    let info = connect(&mut leaf, &json!({"user": "b", "pass": "b"})).unwrap();
    assert_eq!(info["export"], json!({"allow": ["out.*"]}));
    assert_eq!(info["import"], json!({"deny": ["secret.>"]}));
    assert!(info["connect_info"] == true && info["info_on_connect"] == true);
    let mut client = server.open();
    client.say("CONNECT {\"user\":\"local\",\"pass\":\"l\",\"verbose\":false}\nSUB out.a 1\nSUB other 2");
    client.sync();
    leaf.say("LS+ open\nPING");
    let told = until(&mut leaf, "PONG");
    assert!(told.contains(&"LS+ out.a".to_owned()) && !told.contains(&"LS+ other".to_owned()), "{told:?}");
    client.say("PUB secret.a 0\n\nPUB open 0\n");
    client.sync();
    assert_eq!([leaf.line(), leaf.line()], ["LMSG open 0", ""]);
    leaf.say("LMSG out.a 2\nhi");
    assert_eq!([client.line(), client.line()], ["MSG out.a 1 2", "hi"]);
    // One that does not keep to them is none.
    for (line, refusal) in [
        ("LS+ secret.a", "-ERR 'Permissions Violation for Subscription to \"secret.a\"'"),
        ("LMSG other 2\nhi", "-ERR 'Permissions Violation for Publish to \"other\"'"),
    ] {
        let mut leaf = open(port);
        connect(&mut leaf, &json!({"user": "b", "pass": "b", "name": "rogue"})).unwrap();
        leaf.say(line);
        assert_eq!(end(&mut leaf), refusal);
    }

    // Who is no longer there must go.
    server.configure(
        &format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}\n{}", config(""))
            .replace("user: b,", "user: c,"),
    );
    server.kill("-HUP");
    assert_eq!(end(&mut leaf), VIOLATION);
}

#[test]
fn leaf_nodes_without_names_are_not_one() {
    let (server, port) =
        hub("", "no_auth_user: x\nauthorization { users: [{ user: x }] }\nhttp: \"127.0.0.1:-1\"");
    let mut leaves = [open(port), open(port)];
    for leaf in &mut leaves {
        assert!(leaf.info.contains("\"auth_required\":true"), "{}", leaf.info);
        assert_eq!(connect(leaf, &json!({})).unwrap()["remote_account"], "$G");
    }
    // One that has a name takes the place of one with the same.
    let (mut old, mut new) = (open(port), open(port));
    connect(&mut old, &json!({"name": "edge"})).unwrap();
    connect(&mut new, &json!({"name": "edge"})).unwrap();
    end(&mut old);
    for leaf in leaves.iter_mut().chain([&mut new]) {
        leaf.say("PING");
        until(leaf, "PONG");
    }
    drop(server);
}

#[test]
fn tokens_of_leaf_nodes() {
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let limits = |leaves: i64| json!({"limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": leaves}});
    let config = |account: &Value| {
        format!(
            "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}",
            realm.operator_token(),
            realm.account.public_key(),
            realm.account_token(account)
        )
    };
    let (_server, port) = hub("", &config(&limits(-1)));
    let enter = |port: u16, nats: &Value, more: &Value| {
        let mut leaf = open(port);
        let members = json!({
            "jwt": realm.user_token(&user, nats, more), "sig": sign(&user, &nonce(&leaf.info))
        });
        let info = connect(&mut leaf, &members);
        (leaf, info)
    };
    let (_leaf, info) = enter(port, &json!({}), &json!({}));
    assert_eq!(info.unwrap()["remote_account"], realm.account.public_key());
    let (_leaf, info) = enter(port, &json!({"pub": {"allow": ["a"]}}), &json!({}));
    assert_eq!(info.unwrap()["export"], json!({"allow": ["a"]}));
    for (nats, more) in [
        (json!({}), json!({"exp": now() - 1})),
        (json!({"allowed_connection_types": ["STANDARD"]}), json!({})),
    ] {
        assert_eq!(enter(port, &nats, &more).1, Err(VIOLATION.to_owned()), "{nats} {more}");
    }
    let stranger = token(&Realm::new().account, &user, "user", json!({}), &json!({}));
    let mut leaf = open(port);
    let members = json!({"jwt": stranger, "sig": sign(&user, &nonce(&leaf.info))});
    assert_eq!(connect(&mut leaf, &members), Err(VIOLATION.to_owned()));
    // It has to go when its time is over.
    let (mut leaf, info) = enter(port, &json!({}), &json!({"exp": now() + 2}));
    assert!(info.is_ok());
    assert_eq!(end(&mut leaf), "-ERR 'User Authentication Expired'");
    // An account may have none.
    let (_server, port) = hub("", &config(&limits(0)));
    assert_eq!(enter(port, &json!({}), &json!({})).1, Err(CROWDED.to_owned()));
}

#[test]
fn a_nats_server_joins_with_the_credentials_of_a_client() {
    let test = "a_nats_server_joins_with_the_credentials_of_a_client";
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let folder = Folder::new();
    let token = realm.user_token(&user, &json!({}), &json!({}));
    let creds = folder.file(
        "leaf.creds",
        &format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        ),
    );
    for program in Program::nats_servers(test).into_iter().chain([Program::natsd()]) {
        let (server, port) = hub(
            "",
            &format!(
                "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}",
                realm.operator_token(),
                realm.account.public_key(),
                realm.account_token(&json!({}))
            ),
        );
        let more = format!(", credentials: \"{}\"", creds.display());
        let leaf = program.serve(&leaf_config("edge", port, &more));
        let done = answer(&leaf, "ask", "leaf");
        let mut client = server.open();
        let members = json!({"jwt": token, "sig": sign(&user, &nonce(&client.info)), "verbose": false});
        client.say(&format!("CONNECT {members}\nSUB inbox 1"));
        client.sync();
        let line = wait_for("the leaf's answer", || {
            client.say("PUB ask inbox 2\nhi");
            client.say("PING");
            let line = client.line();
            (line != "PONG").then_some(line)
        });
        assert_eq!(line, "MSG inbox 1 7", "{}", program.0.display());
        assert_eq!(client.line(), "leaf hi");
        client.say("PUB ask 3\nend\nPING");
        until(&mut client, "PONG");
        done.join().unwrap();
    }
}

#[test]
fn who_does_not_say_in_time_who_it_is_has_to_go() {
    // Clients have an hour, so that this is the leaf nodes' own.
    let (server, port) = hub("authorization { timeout: 50ms }", "authorization { timeout: 1h }");
    let mut client = server.connect();
    let mut leaf = open(port);
    assert_eq!(end(&mut leaf), "-ERR 'Authentication Timeout'");
    client.say("PING");
    until(&mut client, "PONG");
}
