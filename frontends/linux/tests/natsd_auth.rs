//! Who may connect to natsd, and as whom: passwords, keys, accounts and permissions of the configuration.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod natsd_rig;

use std::io::BufRead as _;

use natsd_rig::credentials::{HASH, VIOLATION, answer, nonce, say_connect, sign};
use natsd_rig::{Client, Folder, Server, natsd, wait_for};
use nkeys::KeyPair;
use serde_json::json;

/// bcrypt's hash of `s3cret` that takes longer.
const SLOW_HASH: &str = "$2a$13$e4TbfFe.ufxfRVbHwwiEmemmDUBIbAYsjAJQEhva1fTfWWDEZSKiG";

#[test]
fn users_with_passwords() {
    let server = Server::start(&format!(
        "authorization {{ users = [
            {{ user: plain, password: word }}
            {{ user: hashed, password: \"{HASH}\" }}
            {{ user: leaf, password: word, allowed_connection_types: [LEAFNODE] }}
        ], timeout: 30 }}"
    ));
    assert!(server.open().info.contains("\"auth_required\":true"));
    for (user, pass, good) in [
        ("plain", "word", true),
        ("plain", "wor", false),
        ("plain", "", false),
        ("hashed", "s3cret", true),
        ("hashed", "S3cret", false),
        ("hashed", HASH, false),
        ("leaf", "word", false),
        ("nobody", "word", false),
        ("", "word", false),
    ] {
        let said = answer(&server, &json!({"user": user, "pass": pass}));
        assert_eq!(said, if good { "PONG" } else { VIOLATION }, "{user} {pass}");
    }
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    assert_eq!(answer(&server, &json!({"auth_token": "word"})), VIOLATION);
    // Before it is known who somebody is, nothing is done for them, and the connection ends.
    let mut client = server.open();
    client.say("SUB a 1");
    assert_eq!((client.line().as_str(), client.line().as_str()), (VIOLATION, ""));
    // What follows a password that is being hashed waits for it.
    let mut client = server.open();
    client.say(&format!(
        "CONNECT {}\nSUB a 1\nPUB a 2\nhi\nPING",
        json!({"user": "hashed", "pass": "s3cret", "verbose": false})
    ));
    assert_eq!([client.line(), client.line(), client.line()], ["MSG a 1 2", "hi", "PONG"]);
}

#[test]
fn one_user_or_one_token() {
    for flags in [["--user", "me", "--pass", HASH], ["--user", "me", "--pass", "s3cret"]] {
        let server = Server::start_with("", &flags);
        assert_eq!(answer(&server, &json!({"user": "me", "pass": "s3cret"})), "PONG");
        assert_eq!(answer(&server, &json!({"user": "me", "pass": "x"})), VIOLATION);
        assert_eq!(answer(&server, &json!({"user": "you", "pass": "s3cret"})), VIOLATION);
        assert_eq!(answer(&server, &json!({})), VIOLATION);
    }
    for token in ["s3cret", HASH] {
        let server = Server::start_with("", &["--auth", token]);
        assert_eq!(answer(&server, &json!({"auth_token": "s3cret"})), "PONG");
        assert_eq!(answer(&server, &json!({"auth_token": "x"})), VIOLATION);
        assert_eq!(answer(&server, &json!({"user": "s3cret"})), VIOLATION);
    }
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let server = Server::start("authorization { token: x, timeout: 0.001 }");
    let mut client = server.open();
    assert_eq!([client.line(), client.line()], ["-ERR 'Authentication Timeout'", ""]);
}

#[test]
fn a_password_that_is_hashed_keeps_nobody_waiting() {
    let server = Server::start(&format!(
        "authorization {{ timeout: 120, users = [
            {{ user: slow, password: \"{SLOW_HASH}\" }}, {{ user: fast, password: f }} ] }}"
    ));
    let mut fast = server.open();
    assert_eq!(say_connect(&mut fast, &json!({"user": "fast", "pass": "f"})), "PONG");
    let mut slow = server.open();
    slow.say(&format!("CONNECT {}\nPING", json!({"user": "slow", "pass": "s3cret", "verbose": false})));
    // Long enough for natsd to have read it, and far from long enough to hash it.
    for _ in 0..20 {
        fast.sync();
    }
    slow.reader.get_ref().set_nonblocking(true).unwrap();
    assert!(slow.reader.fill_buf().is_err(), "hashed in no time");
    slow.reader.get_ref().set_nonblocking(false).unwrap();
    assert_eq!(slow.line(), "PONG");
}

#[test]
fn permissions_of_users_and_of_no_auth_user() {
    let server = Server::start(
        "no_auth_user: guest
         authorization {
            default_permissions { publish: news, subscribe: { deny: secret } }
            users = [
                { user: guest }
                { user: writer, password: w, permissions { publish: [\"news\", \"letters.*\"] } }
            ]
         }",
    );
    let mut guest = server.open();
    guest.say(
        "CONNECT {\"verbose\":false}\nSUB secret 1\nSUB news 2\nPUB news 2\nhi\nPUB letters.a 1\nx\nPING",
    );
    assert_eq!(
        [guest.line(), guest.line(), guest.line(), guest.line(), guest.line()],
        [
            "-ERR 'Permissions Violation for Subscription to \"secret\"'",
            "MSG news 2 2",
            "hi",
            "-ERR 'Permissions Violation for Publish to \"letters.a\"'",
            "PONG"
        ]
    );
    let mut writer = server.open();
    assert_eq!(say_connect(&mut writer, &json!({"user": "writer", "pass": "w"})), "PONG");
    writer.say("SUB secret 1\nPUB letters.a 1\nx\nPUB letters 1\nx\nPING");
    let said = [writer.line(), writer.line()];
    assert_eq!(said, ["-ERR 'Permissions Violation for Publish to \"letters\"'", "PONG"]);
}

#[test]
fn accounts_are_apart() {
    let server = Server::start(
        "accounts {
            A { users: [{ user: a, password: a }] }
            B { users: [{ user: b, password: b }], limits { max_connections: 1 } }
         }",
    );
    let open = |name: &str| {
        let mut client = server.open();
        let said = say_connect(&mut client, &json!({"user": name, "pass": name}));
        (client, said)
    };
    let (mut a, _) = open("a");
    let (mut b, said) = open("b");
    assert_eq!(said, "PONG");
    a.say("SUB > 1");
    a.sync();
    b.say("PUB x 2\nhi");
    b.sync();
    a.sync();
    // One connection is what this account may have.
    assert_eq!(open("b").1, "-ERR 'maximum account active connections exceeded'");
    drop(b);
    wait_for("room in the account", || (open("b").1 == "PONG").then_some(()));
}

#[test]
fn users_of_the_system_account_are_told_so() {
    let server = Server::start(
        "system_account: S, accounts { S { users: [{ user: s, password: s }] }, A { users: [{ user: a, password: a }] } }",
    );
    for (user, account, is_system) in [("s", "S", true), ("a", "A", false)] {
        let mut client = server.open();
        assert_eq!(say_connect(&mut client, &json!({"user": user, "pass": user, "protocol": 1})), "PONG");
        let info = client.line();
        assert!(info.contains(&format!("\"remote_account\":\"{account}\"")), "{info}");
        assert_eq!(info.contains("\"acc_is_sys\":true"), is_system, "{info}");
    }
}

#[test]
fn accounts_export_and_import() {
    let server = Server::start(
        "accounts {
            A {
                users: [{ user: a, password: a }]
                exports: [
                    { stream: \"news.>\" }, { stream: secret, accounts: [C] }, { service: \"ask.*\", response: stream }
                ]
            }
            B {
                users: [{ user: b, password: b }]
                imports: [
                    { stream: { account: A, subject: \"news.*\" }, prefix: far }
                    { stream: { account: A, subject: secret } }
                    { service: { account: A, subject: \"ask.*\" }, to: \"question.$1\" }
                ]
            }
            C { users: [{ user: c, password: c }], imports: [{ stream: { account: A, subject: secret }, to: s }] }
         }",
    );
    let mut clients = ["a", "b", "c"].map(|name| {
        let mut client = server.open();
        assert_eq!(say_connect(&mut client, &json!({"user": name, "pass": name})), "PONG");
        client
    });
    let [a, b, c] = &mut clients;
    b.say("SUB far.news.* 1\nSUB secret 2\nSUB news.> 3\nSUB answer 4");
    c.say("SUB > 1");
    a.say("SUB ask.* 1");
    [&mut *a, &mut *b, &mut *c].into_iter().for_each(Client::sync);
    a.say("PUB news.x 1\n1\nPUB secret 1\n2\nPUB other 1\n3");
    a.sync();
    assert_eq!([b.line(), b.line()], ["MSG far.news.x 1 1", "1"]);
    assert_eq!([c.line(), c.line()], ["MSG s 1 1", "2"]);
    b.say("PUB question.why answer 1\n?");
    let asked = a.line();
    let reply = asked.split(' ').nth(3).unwrap();
    assert!(asked.starts_with("HMSG ask.why 1 _R_."), "{asked}");
    // Services are told who asks.
    assert_eq!([a.line(), a.line()], ["NATS/1.0", "Nats-Request-Info: {\"acc\":\"B\"}"]);
    assert_eq!([a.line(), a.line()], ["", "?"]);
    a.say(&format!("PUB {reply} 1\n1\nPUB {reply} 1\n2"));
    assert_eq!([b.line(), b.line(), b.line(), b.line()], ["MSG answer 4 1", "1", "MSG answer 4 1", "2"]);
    [a, b, c].into_iter().for_each(Client::sync);
}

#[test]
fn keys_sign_the_nonce() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server = Server::start(&format!("authorization {{ users = [{{ nkey: {} }}] }}", user.public_key()));
    let mut client = server.open();
    let (mut first, info) = (nonce(&client.info), client.info.clone());
    let signed = json!({"nkey": user.public_key(), "sig": sign(&user, &first)});
    assert_eq!(say_connect(&mut client, &signed), "PONG", "{info}");
    // A signature is good for one connection.
    assert_eq!(answer(&server, &signed), VIOLATION);
    for (key, signer) in [(&user, &other), (&other, &other)] {
        let mut client = server.open();
        first = nonce(&client.info);
        let shown = json!({"nkey": key.public_key(), "sig": sign(signer, &first)});
        assert_eq!(say_connect(&mut client, &shown), VIOLATION);
    }
    assert_eq!(answer(&server, &json!({"nkey": user.public_key()})), VIOLATION);
    assert_eq!(answer(&server, &json!({"nkey": user.public_key(), "sig": "x"})), VIOLATION);
    assert_eq!(answer(&server, &json!({})), VIOLATION);
}

#[test]
fn a_reload_decides_again_who_may_stay() {
    let config = |users: &str| format!("authorization {{ users = [{users}] }}");
    let server = Server::start(&config("{ user: a, password: a }, { user: b, password: b }"));
    let open = |name: &str| {
        let mut client = server.open();
        assert_eq!(say_connect(&mut client, &json!({"user": name, "pass": name})), "PONG");
        client
    };
    let (mut a, mut b) = (open("a"), open("b"));
    server.reload(&config("{ user: a, password: a, permissions { publish: x } }"), "Reloaded");
    assert_eq!([b.line(), b.line()], [VIOLATION, ""]);
    a.say("PUB y 0\n");
    a.say("PING");
    assert_eq!([a.line(), a.line()], ["-ERR 'Permissions Violation for Publish to \"y\"'", "PONG"]);
    server.reload(&config("{ user: a, password: c }"), "Reloaded");
    assert_eq!([a.line(), a.line()], [VIOLATION, ""]);
}

#[test]
fn mistakes_are_named() {
    let folder = Folder::new();
    let config = folder.file(
        "c.conf",
        "no_auth_user: x\n\
         authorization {\n  token: \"$2a$11$x\"\n  users = [{ user: a, password: a }, { user: a }, { nkey: U }]\n}\n\
         accounts { A { users: [{ user: a }], imports: [{ stream: { account: B, subject: a..b } }] } }\n\
         identity { users { no-such-user: all, root: { publish: \"a b\" } } }\n",
    );
    let path = config.to_str().unwrap().to_owned();
    let (code, said) = natsd(&["--check-config", "-c", &path]);
    assert_eq!(code, 2);
    for part in [
        "c.conf:3:10: token: expected a password, or a whole hash of bcrypt, found '$2a$11$x'",
        "expected the public key of a user, U…, found 'U'",
        "c.conf:7:34: no-such-user: expected a user of this machine, by name or number",
        "publish: expected a subject, which may hold '*' and '>', found 'a b'",
        "the user 'a' is there twice",
        "no_auth_user: there is no user 'x'",
        "subject: expected a subject, which may hold '*' and '>', found 'a..b'",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
