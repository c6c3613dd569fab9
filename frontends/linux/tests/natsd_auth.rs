//! Who may connect to natsd, and as whom: each kind of credential good and bad, users of this machine by their uid.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_rig;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunix_proto::nkey::base64::encode_url;
use natsd_rig::{Client, Folder, PATIENCE, Server, natsd, python, wait_for};
use nkeys::KeyPair;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use serde_json::{Value, json};

/// bcrypt's hash of `s3cret`, made by the package `bcrypt` of `PyPI`, and one that takes longer.
const HASH: &str = "$2a$04$cO0p307EIL61Aay4tjzBD.yvc3St9wIH4txHtXqw1SHK0bRXjSxVa";
const SLOW_HASH: &str = "$2a$13$e4TbfFe.ufxfRVbHwwiEmemmDUBIbAYsjAJQEhva1fTfWWDEZSKiG";

const VIOLATION: &str = "-ERR 'Authorization Violation'";

/// What the server says to a `CONNECT` with these members: `PONG`, or why not.
fn say_connect(client: &mut Client, members: &Value) -> String {
    let mut connect = json!({"verbose": false, "pedantic": false, "headers": true});
    connect.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    client.say(&format!("CONNECT {connect}\nPING"));
    client.line()
}

fn answer(server: &Server, members: &Value) -> String {
    say_connect(&mut server.open(), members)
}

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
    let server = Server::start("authorization { token: x, timeout: 0.3 }");
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

fn nonce(info: &str) -> String {
    let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    info["nonce"].as_str().unwrap().to_owned()
}

fn base64(bytes: &[u8]) -> String {
    let mut room = vec![0; bytes.len() * 2];
    encode_url(bytes, &mut room).unwrap().to_owned()
}

fn sign(key: &KeyPair, text: &str) -> String {
    base64(&key.sign(text.as_bytes()).unwrap())
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

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A token, as `nsc` makes them.
fn token(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut nats: Value, more: &Value) -> String {
    nats["type"] = json!(kind);
    nats["version"] = json!(2);
    let mut claims = json!({
        "jti": "x", "iat": now(), "iss": issuer.public_key(), "sub": subject.public_key(), "name": "n", "nats": nats
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let header = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", base64(claims.to_string().as_bytes()));
    let signature = sign(issuer, &signed);
    format!("{signed}.{signature}")
}

/// An operator, an account of it with a signing key, and a server that trusts it.
struct Realm {
    operator: KeyPair,
    account: KeyPair,
    signer: KeyPair,
    scoped: KeyPair,
}

fn no_limits() -> Value {
    json!({"subs": -1, "data": -1, "payload": -1})
}

impl Realm {
    fn new() -> Self {
        let [account, signer, scoped] = [(); 3].map(|()| KeyPair::new_account());
        Self { operator: KeyPair::new_operator(), account, signer, scoped }
    }

    /// The account's token, with `more` in its claims.
    fn account_token(&self, more: &Value) -> String {
        let mut nats = json!({
            "limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1},
            "signing_keys": [self.signer.public_key(), {
                "kind": "user_scope", "key": self.scoped.public_key(), "role": "r",
                "template": {"pub": {"allow": ["own.{{name()}}.>"]}, "sub": {}, "subs": -1}
            }]
        });
        nats.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        token(&self.operator, &self.account, "account", nats, &json!({"name": "shop"}))
    }

    fn operator_token(&self) -> String {
        token(&self.operator, &self.operator, "operator", json!({}), &json!({}))
    }

    fn start(&self, account: &Value) -> Server {
        Server::start(&format!(
            "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}",
            self.operator_token(),
            self.account.public_key(),
            self.account_token(account)
        ))
    }

    fn user_token(&self, user: &KeyPair, nats: &Value, more: &Value) -> String {
        let mut all = no_limits();
        all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
        token(&self.account, user, "user", all, more)
    }
}

/// A client with a token, and what the server says to it.
fn with_token(server: &Server, user: &KeyPair, token: &str) -> (Client, String) {
    let mut client = server.open();
    let signature = sign(user, &nonce(&client.info));
    let said = say_connect(&mut client, &json!({"jwt": token, "sig": signature}));
    (client, said)
}

#[test]
fn tokens_of_users() {
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let server = realm.start(&json!({"default_permissions": {"pub": {"deny": ["default.deny"]}, "sub": {}}}));
    let said = |token: &str| with_token(&server, &user, token).1;
    let make = |nats: Value, more: Value| realm.user_token(&user, &nats, &more);
    assert_eq!(said(&make(json!({}), json!({}))), "PONG");
    assert_eq!(said(&make(json!({}), json!({"exp": now() + 600, "nbf": now() - 1}))), "PONG");
    assert_eq!(said(&make(json!({"src": ["127.0.0.0/8"]}), json!({}))), "PONG");
    assert_eq!(said(&make(json!({"allowed_connection_types": ["NEW", "STANDARD"]}), json!({}))), "PONG");
    let midnight = json!({"times": [{"start": "00:00:01", "end": "00:00:00"}], "times_location": "UTC"});
    assert_eq!(said(&make(midnight, json!({}))), "PONG");
    for (nats, more) in [
        (json!({}), json!({"exp": now() - 1})),
        (json!({}), json!({"nbf": now() + 600})),
        (json!({"src": ["10.0.0.0/8", "::1/128"]}), json!({})),
        (json!({"src": ["127.0.0.0/8", "nonsense"]}), json!({})),
        (json!({"allowed_connection_types": ["LEAFNODE"]}), json!({})),
        (json!({"allowed_connection_types": ["NEW"]}), json!({})),
        (json!({"times": [{"start": "nonsense", "end": "00:00:00"}]}), json!({})),
        (json!({"proxy_required": true}), json!({})),
    ] {
        assert_eq!(said(&make(nats.clone(), more.clone())), VIOLATION, "{nats} {more}");
    }
    // Not the account's, not the operator's account, not a token, no token.
    let stranger = Realm::new();
    assert_eq!(said(&stranger.user_token(&user, &json!({}), &json!({}))), VIOLATION);
    let good = make(json!({}), json!({}));
    let issuer_account = json!({"issuer_account": realm.account.public_key()});
    assert_eq!(said(&token(&stranger.account, &user, "user", issuer_account.clone(), &json!({}))), VIOLATION);
    let (head, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(said(&format!("{head}.{}", signature.chars().rev().collect::<String>())), VIOLATION);
    assert_eq!(said("nonsense"), VIOLATION);
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    assert_eq!(answer(&server, &json!({"user": "a", "pass": "b"})), VIOLATION);
    // The nonce must be signed, by the user, unless the token says that it needs not be.
    assert_eq!(answer(&server, &json!({"jwt": good})), VIOLATION);
    assert_eq!(with_token(&server, &KeyPair::new_user(), &good).1, VIOLATION);
    let bearer = make(json!({"bearer_token": true}), json!({}));
    assert_eq!(answer(&server, &json!({"jwt": bearer})), "PONG");
    // Keys that sign for the account.
    let mut signed = issuer_account;
    signed.as_object_mut().unwrap().extend(no_limits().as_object().unwrap().clone());
    assert_eq!(said(&token(&realm.signer, &user, "user", signed.clone(), &json!({}))), "PONG");
    assert_eq!(said(&token(&realm.scoped, &user, "user", signed, &json!({}))), VIOLATION, "it claims limits");
}

/// A token of the first version, which signs the claims alone. Keys in the field still have them.
fn old_token(issuer: &KeyPair, subject: &KeyPair, kind: &str, nats: &Value, header: &str) -> String {
    let claims = json!({
        "jti": "x", "iat": now(), "iss": issuer.public_key(), "sub": subject.public_key(), "name": "n",
        "type": kind, "nats": nats
    });
    let claims = base64(claims.to_string().as_bytes());
    format!("{}.{claims}.{}", base64(header.as_bytes()), sign(issuer, &claims))
}

#[test]
fn tokens_of_the_first_version() {
    const HEADER: &str = r#"{"typ":"jwt","alg":"ed25519"}"#;
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let limits =
        json!({"limits": {"subs": -1, "conn": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}});
    let server = Server::start(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}",
        old_token(&realm.operator, &realm.operator, "operator", &json!({}), HEADER),
        realm.account.public_key(),
        old_token(&realm.operator, &realm.account, "account", &limits, HEADER),
    ));
    let said = |token: &str| with_token(&server, &user, token).1;
    let good = old_token(&realm.account, &user, "user", &json!({"pub": {}, "sub": {}}), HEADER);
    assert_eq!(said(&good), "PONG");
    assert_eq!(said(&realm.user_token(&user, &json!({}), &json!({}))), "PONG");
    assert_eq!(said(&old_token(&realm.signer, &user, "user", &json!({}), HEADER)), VIOLATION);
    // The header says what is signed, so it must say the version that the claims are of.
    let new = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    assert_eq!(said(&old_token(&realm.account, &user, "user", &json!({}), new)), VIOLATION);
}

#[test]
fn what_tokens_permit() {
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let server = realm.start(&json!({"default_permissions": {"pub": {"deny": ["default.deny"]}, "sub": {}}}));
    let publish = |token: &str| {
        let (mut client, said) = with_token(&server, &user, token);
        assert_eq!(said, "PONG");
        client.say("PUB default.deny 0\n\nPUB own.till.x 0\n\nPUB own.n.x 0\n\nPING");
        let mut refused = Vec::new();
        loop {
            let line = client.line();
            match line.strip_prefix("-ERR 'Permissions Violation for Publish to \"") {
                Some(subject) => refused.push(subject.trim_end_matches("\"'").to_owned()),
                None => break assert_eq!(line, "PONG"),
            }
        }
        refused
    };
    assert_eq!(publish(&realm.user_token(&user, &json!({}), &json!({}))), ["default.deny"]);
    let own = json!({"pub": {"allow": ["own.till.>"]}});
    assert_eq!(publish(&realm.user_token(&user, &own, &json!({}))), ["default.deny", "own.n.x"]);
    let scoped = json!({"issuer_account": realm.account.public_key()});
    let scoped = token(&realm.scoped, &user, "user", scoped, &json!({}));
    assert_eq!(publish(&scoped), ["default.deny", "own.till.x"]);
}

#[test]
fn accounts_of_tokens_export_and_import() {
    let (realm, other) = (Realm::new(), Realm::new());
    let exports = json!([
        {"subject": "free.*", "type": "stream"},
        {"subject": "bought.*", "type": "stream", "token_req": true},
        {"subject": "ask", "type": "service"}
    ]);
    let shop = realm.account_token(&json!({"exports": exports}));
    let activation = |subject: &str| {
        let nats = json!({"subject": subject, "kind": "stream"});
        token(&realm.account, &other.account, "activation", nats, &json!({}))
    };
    let from = realm.account.public_key();
    let imports = json!([
        {"account": from, "subject": "free.*", "type": "stream", "local_subject": "shop.$1"},
        {"account": from, "subject": "bought.a", "type": "stream", "token": activation("bought.a")},
        {"account": from, "subject": "bought.b", "type": "stream", "token": activation("bought.a")},
        {"account": from, "subject": "bought.c", "type": "stream"},
        {"account": from, "subject": "ask", "type": "service", "local_subject": "shop.ask"}
    ]);
    let limits = json!({"subs": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1});
    let nats = json!({"limits": limits, "imports": imports});
    let buyer = token(&realm.operator, &other.account, "account", nats, &json!({}));
    let server = Server::start(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload {{ {from}: {shop}, {}: {buyer} }}",
        realm.operator_token(),
        other.account.public_key(),
    ));
    let user = KeyPair::new_user();
    let enter = |realm: &Realm| {
        let (client, said) = with_token(&server, &user, &realm.user_token(&user, &json!({}), &json!({})));
        assert_eq!(said, "PONG");
        client
    };
    let (mut seller, mut buyer) = (enter(&realm), enter(&other));
    buyer.say("SUB > 1");
    buyer.sync();
    seller.say("SUB ask 1\nPUB free.x 1\n1\nPUB bought.a 1\n2\nPUB bought.b 1\n3\nPUB bought.c 1\n4");
    seller.sync();
    let heard = [buyer.line(), buyer.line(), buyer.line(), buyer.line()];
    assert_eq!(heard, ["MSG shop.x 1 1", "1", "MSG bought.a 1 1", "2"]);
    buyer.sync();
    buyer.say("PUB shop.ask 0\n");
    // Its own subscription hears it, too.
    assert_eq!([buyer.line(), buyer.line()], ["MSG shop.ask 1 0", ""]);
    let (asked, _, who) = (seller.line(), seller.line(), seller.line());
    assert!(asked.starts_with("HMSG ask 1 "), "{asked}");
    assert!(who.starts_with("Nats-Request-Info: {\"acc\":\"A"), "{who}");
}

#[test]
fn tokens_end() {
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let revoked = KeyPair::new_user();
    let server = realm.start(&json!({"revocations": {revoked.public_key(): now() + 10}}));
    let (_, said) = with_token(&server, &revoked, &realm.user_token(&revoked, &json!({}), &json!({})));
    assert_eq!(said, VIOLATION);
    let later = realm.user_token(&revoked, &json!({}), &json!({"iat": now() + 11}));
    assert_eq!(with_token(&server, &revoked, &later).1, "PONG");
    let soon = realm.user_token(&user, &json!({}), &json!({"exp": now() + 2}));
    let (mut client, said) = with_token(&server, &user, &soon);
    assert_eq!(said, "PONG");
    assert_eq!([client.line(), client.line()], ["-ERR 'User Authentication Expired'", ""]);
}

#[test]
fn a_folder_of_tokens_is_watched() {
    let (realm, user, other) = (Realm::new(), KeyPair::new_user(), KeyPair::new_user());
    let folder = Folder::new();
    let file = format!("{}.jwt", realm.account.public_key());
    let store = |token: &str| {
        let hidden = folder.file("hidden", token);
        fs::rename(hidden, folder.0.join(&file)).unwrap();
    };
    let operator = folder.file("operator.jwt", &format!("---- JWT ----\n{}\n----\n", realm.operator_token()));
    let server = Server::start(&format!(
        "operator: \"{}\"\nresolver {{ type: full, dir: \"{}\" }}",
        operator.display(),
        folder.0.display()
    ));
    let tokens = [&user, &other].map(|user| realm.user_token(user, &json!({}), &json!({})));
    assert_eq!(with_token(&server, &user, &tokens[0]).1, VIOLATION, "there is no account yet");
    store(&realm.account_token(&json!({})));
    let (mut client, said) = with_token(&server, &user, &tokens[0]);
    assert_eq!(said, "PONG");
    let (mut stays, said) = with_token(&server, &other, &tokens[1]);
    assert_eq!(said, "PONG");
    store(&realm.account_token(&json!({"revocations": {user.public_key(): now() + 1}})));
    assert_eq!([client.line(), client.line()], [VIOLATION, ""]);
    stays.sync();
    assert_eq!(with_token(&server, &user, &tokens[0]).1, VIOLATION);
    fs::remove_file(folder.0.join(&file)).unwrap();
    assert_eq!([stays.line(), stays.line()], [VIOLATION, ""]);
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

/// Whether a test may be several users; only root may.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: not run by root");
    }
    root
}

/// What a thread does that is this user.
fn as_user<T: Send>(uid: u32, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let gid = rustix::process::Gid::from_raw(uid);
            set_thread_res_gid(gid, gid, gid).unwrap();
            let uid = rustix::process::Uid::from_raw(uid);
            set_thread_res_uid(uid, uid, uid).unwrap();
            what()
        });
        thread.join().unwrap()
    })
}

/// A user that no rule names.
const SOMEBODY: u32 = 4_000_000;
const PUBLISHES: &str = "CONNECT {\"verbose\":false}\nPUB toast.in 0\n\nPUB user.4000000.x 0\n\nPUB system.shutdown 0\n\nPUB x 0\n\nPING";
const REFUSED: [&str; 3] = [
    "-ERR 'Permissions Violation for Publish to \"system.shutdown\"'",
    "-ERR 'Permissions Violation for Publish to \"x\"'",
    "PONG",
];

#[test]
fn users_of_this_machine_over_tcp() {
    if !is_root("users_of_this_machine_over_tcp") {
        return;
    }
    let server = Server::start("");
    let mut root = server.open();
    assert!(!root.info.contains("auth_required"));
    root.say(PUBLISHES);
    assert_eq!(root.line(), "PONG");
    let mut somebody = as_user(SOMEBODY, || server.open());
    assert!(!somebody.info.contains("auth_required"));
    somebody.say(PUBLISHES);
    assert_eq!([somebody.line(), somebody.line(), somebody.line()], REFUSED);
    somebody.say("SUB > 1\nSUB uevent.> 2\nSUB hardware.list 3\nSUB hardware.*.* 4\nSUB _INBOX.a.> 5\nPING");
    assert_eq!(
        [somebody.line(), somebody.line(), somebody.line()],
        [
            "-ERR 'Permissions Violation for Subscription to \">\"'",
            "-ERR 'Permissions Violation for Subscription to \"hardware.list\"'",
            "PONG"
        ]
    );
    root.say("PUB hardware.usb.add 2\nhi\nPUB hardware.usb.list 0\n\nPING");
    assert_eq!(root.line(), "PONG");
    assert_eq!([somebody.line(), somebody.line()], ["MSG hardware.usb.add 4 2", "hi"]);
    somebody.sync();
    // Credentials that nobody has asked for change nothing.
    let mut again = as_user(SOMEBODY, || server.open());
    assert_eq!(say_connect(&mut again, &json!({"user": "root", "pass": "x"})), "PONG");
    again.say("PUB system.shutdown 0\n\nPING");
    assert_eq!([again.line(), again.line()], [REFUSED[0], "PONG"]);
}

fn unix(path: &Path) -> Client2 {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client2(BufReader::new(stream));
    assert!(client.line().starts_with("INFO {"));
    client
}

/// A client on a UNIX socket.
struct Client2(BufReader<UnixStream>);

impl Client2 {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all((text.replace('\n', "\r\n") + "\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn users_of_this_machine_on_the_unix_socket() {
    if !is_root("users_of_this_machine_on_the_unix_socket") {
        return;
    }
    let folder = Folder::new();
    let path = folder.0.join("natsd.sock");
    // Other credentials are for TCP; the socket still knows who comes.
    let server = Server::start_with(
        "authorization { users = [{ user: a, password: a }] }",
        &["--socket", path.to_str().unwrap()],
    );
    let mut root = unix(&path);
    root.say(PUBLISHES);
    assert_eq!(root.line(), "PONG");
    let mut somebody = as_user(SOMEBODY, || unix(&path));
    somebody.say(PUBLISHES);
    assert_eq!([somebody.line(), somebody.line(), somebody.line()], REFUSED);
    // Over TCP nobody is known without credentials then.
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    let mut user = as_user(SOMEBODY, || unix(&path));
    user.say("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"a\"}\nPUB system.shutdown 0\n\nPING");
    assert_eq!(user.line(), "PONG");
    let mut wrong = unix(&path);
    wrong.say("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\nPING");
    assert_eq!(wrong.line(), VIOLATION);
}

#[test]
fn rules_for_users_of_this_machine() {
    if !is_root("rules_for_users_of_this_machine") {
        return;
    }
    let server = Server::start(
        "identity {
            desktop: 4000000
            users { 4000001: all, 4000002: none, daemon { publish: \"mine.{{uid()}}\" } }
            groups { daemon: none }
         }",
    );
    let publish = |uid: u32, subject: &str| {
        let mut client = as_user(uid, || server.open());
        client.say(&format!("CONNECT {{\"verbose\":false}}\nPUB {subject} 0\n\nPING"));
        client.line() == "PONG"
    };
    assert!(publish(4_000_000, "wm.exec") && publish(4_000_000, "toast.in"));
    assert!(!publish(4_000_000, "system.reboot") && !publish(4_000_003, "wm.exec"));
    assert!(publish(4_000_001, "system.reboot") && !publish(4_000_002, "toast.in"));
    assert!(publish(1, "mine.1") && !publish(1, "toast.in"));
    server.reload("identity: off", "Reloaded");
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    server.reload("identity { others { publish: hello } }", "Reloaded");
    assert!(publish(0, "x"));
}

#[test]
fn a_server_of_somebody_is_theirs_and_roots() {
    if !is_root("a_server_of_somebody_is_theirs_and_roots") {
        return;
    }
    let folder = Folder::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "4000000", "--regid", "4000000", "--clear-groups", natsd_rig::LUNIX, "natsd"]);
    command.args(["-p", "-1", "--socket", "none"]).stderr(std::process::Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        return eprintln!("SKIPPED a_server_of_somebody_is_theirs_and_roots: no setpriv");
    };
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = log
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("client connections on ").map(|(_, address)| address.to_owned()));
    let Some(address) = address else {
        let _ = (child.kill(), child.wait());
        return eprintln!(
            "SKIPPED a_server_of_somebody_is_theirs_and_roots: the program is not theirs to run"
        );
    };
    std::thread::spawn(move || log.for_each(drop));
    let publish = |uid: u32| {
        as_user(uid, || {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.reboot 0\r\n\r\nPING\r\n").unwrap();
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.nth(1).unwrap() == "PONG"
        })
    };
    let results = [publish(4_000_000), publish(0), publish(4_000_001)];
    let _ = (child.kill(), child.wait());
    drop(folder);
    assert_eq!(results, [true, true, false]);
}

/// Connects from `local`, which may have been used a moment ago.
fn connect_from(local: SocketAddr, server: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &local).unwrap();
    connect(&socket, &server).unwrap();
    socket.into()
}

#[test]
fn a_port_that_changed_hands_makes_nobody_root() {
    if !is_root("a_port_that_changed_hands_makes_nobody_root") {
        return;
    }
    let server = Server::start("debug: true");
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    let mut watcher = server.open();
    watcher.say("CONNECT {\"verbose\":false}\nSUB > 1");
    watcher.sync();
    // While natsd looks away, somebody connects, asks for what only root may have, and resets the connection, so that
    // root can have the same port at once.
    server.kill("-STOP");
    let local = as_user(SOMEBODY, || {
        let mut stream = connect_from(SocketAddr::from(([127, 0, 0, 1], 0)), address);
        let local = stream.local_addr().unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.shutdown 5\r\nnever\r\n").unwrap();
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        local
    });
    let mut root = connect_from(local, address);
    server.kill("-CONT");
    root.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.shutdown 4\r\nroot\r\nPING\r\n").unwrap();
    root.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut room = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains("PONG") {
        let read = root.read(&mut room).unwrap();
        assert!(read > 0, "root was refused: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&room[..read]);
    }
    assert_eq!([watcher.line(), watcher.line()], ["MSG system.shutdown 1 4", "root"]);
    watcher.sync();
}

/// An address of this machine that is not loopback: a peer with it looks as one from elsewhere.
fn outer_address() -> Option<SocketAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; the kernel only chooses an address.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| SocketAddr::new(ip, 0))
}

#[test]
fn from_elsewhere_nobody_is_known_without_credentials() {
    let Some(outer) = outer_address() else {
        return eprintln!("SKIPPED from_elsewhere_nobody_is_known_without_credentials: only loopback");
    };
    let open = |server: &Server| {
        let stream = connect_from(outer, SocketAddr::from(([127, 0, 0, 1], server.port)));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::new(stream), info: String::new() };
        client.info = client.line();
        client
    };
    let server = Server::start("");
    for members in [json!({}), json!({"user": "root", "pass": ""})] {
        let mut client = open(&server);
        assert!(client.info.contains("\"auth_required\":true"));
        assert_eq!(say_connect(&mut client, &members), VIOLATION);
    }
    let server = Server::start("identity { others { publish: hello } }");
    let mut client = open(&server);
    client.say("CONNECT {\"verbose\":false}\nPUB hello 0\n\nPUB x 0\n\nPING");
    assert_eq!([client.line(), client.line()], ["-ERR 'Permissions Violation for Publish to \"x\"'", "PONG"]);
    let server = Server::start("authorization { users: [{ user: a, password: a }] }");
    assert_eq!(say_connect(&mut open(&server), &json!({"user": "a", "pass": "a"})), "PONG");
    assert_eq!(say_connect(&mut open(&server), &json!({})), VIOLATION);
}

#[test]
fn official_clients_bring_their_credentials() {
    let Some(python) = python("official_clients_bring_their_credentials") else { return };
    let works =
        Command::new(&python).args(["-c", "import nkeys"]).output().is_ok_and(|out| out.status.success());
    if !works {
        return eprintln!("SKIPPED official_clients_bring_their_credentials: no package nkeys");
    }
    let (realm, user, key) = (Realm::new(), KeyPair::new_user(), KeyPair::new_user());
    let folder = Folder::new();
    let creds = |token: &str| {
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let good = folder.file("good.creds", &creds(&realm.user_token(&user, &json!({}), &json!({}))));
    let stranger = Realm::new().user_token(&user, &json!({}), &json!({}));
    let bad = folder.file("bad.creds", &creds(&stranger));
    let seed = folder.file("user.nk", &key.seed().unwrap());
    let tokens = realm.start(&json!({}));
    let users = Server::start(&format!(
        "authorization {{ users = [{{ nkey: {} }}, {{ user: u, password: \"{HASH}\" }}] }}",
        key.public_key()
    ));
    let script = "
import asyncio, sys, nats
async def main(port, options):
    errors = []
    async def on_error(error): errors.append(str(error))
    try:
        client = await nats.connect(f'nats://127.0.0.1:{port}', error_cb=on_error, allow_reconnect=False, **options)
    except Exception as error:
        return print('refused' if 'authorization violation' in str(error).lower() + ''.join(errors).lower() else error)
    got = asyncio.Future()
    async def on_message(message): got.set_result(message.data)
    await client.subscribe('x', cb=on_message)
    await client.publish('x', b'there and back')
    print((await asyncio.wait_for(got, 60)).decode())
    await client.close()
asyncio.run(main(sys.argv[1], eval(sys.argv[2])))
";
    let run = |port: u16, options: &str| {
        let output = Command::new(&python).args(["-c", script, &port.to_string(), options]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap().trim().to_owned()
    };
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (port, options, said) in [
        (tokens.port, format!("{{'user_credentials': '{}'}}", path(&good)), "there and back"),
        (tokens.port, format!("{{'user_credentials': '{}'}}", path(&bad)), "refused"),
        (users.port, format!("{{'nkeys_seed': '{}'}}", path(&seed)), "there and back"),
        (users.port, "{'user': 'u', 'password': 's3cret'}".to_owned(), "there and back"),
        (users.port, "{'user': 'u', 'password': 'x'}".to_owned(), "refused"),
        (users.port, "{}".to_owned(), "refused"),
    ] {
        assert_eq!(run(port, &options), said, "{options}");
    }
}
