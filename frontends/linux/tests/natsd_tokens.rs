//! Operators, accounts and users of NATS 2 as tokens, and official clients that bring them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod natsd_rig;

use std::fs;
use std::path::Path;
use std::process::Command;

use natsd_rig::credentials::{HASH, VIOLATION, answer};
use natsd_rig::realm::{Realm, no_limits, now, old_token, token, with_token};
use natsd_rig::{Folder, Server, python};
use nkeys::KeyPair;
use serde_json::{Value, json};

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
    let soon = realm.user_token(&user, &json!({}), &json!({"exp": now() + 5}));
    let (mut client, said) = with_token(&server, &user, &soon);
    assert_eq!(said, "PONG");
    assert_eq!([client.line(), client.line()], ["-ERR 'User Authentication Expired'", ""]);
}

#[test]
fn tokens_of_accounts_end() {
    let (realm, user) = (Realm::new(), KeyPair::new_user());
    let nats = json!({"limits": {"subs": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1}});
    let account = token(&realm.operator, &realm.account, "account", nats, &json!({"exp": now() + 8}));
    let server = Server::start(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {account} }}",
        realm.operator_token(),
        realm.account.public_key(),
    ));
    let long = realm.user_token(&user, &json!({}), &json!({"exp": now() + 600}));
    let (mut client, said) = with_token(&server, &user, &long);
    assert_eq!(said, "PONG");
    assert_eq!([client.line(), client.line()], ["-ERR 'Account Authentication Expired'", ""]);
    assert_eq!(with_token(&server, &user, &long).1, VIOLATION);
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

#[test]
fn tokens_of_accounts_are_sent_to_the_server() {
    let (realm, system, user) = (Realm::new(), Realm::new(), KeyPair::new_user());
    let folder = Folder::new();
    let key = realm.account.public_key();
    let of_system = {
        let limits = json!({"limits": {"subs": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1}});
        token(&realm.operator, &system.account, "account", limits, &json!({}))
    };
    let server = Server::start(&format!(
        "operator: {}\nsystem_account: {system}\nresolver {{ type: full, dir: \"{}\" }}\n\
         resolver_preload {{ {system}: {of_system} }}",
        realm.operator_token(),
        folder.0.display(),
        system = system.account.public_key(),
    ));
    let users = realm.user_token(&user, &json!({}), &json!({}));
    assert_eq!(with_token(&server, &user, &users).1, VIOLATION, "there is no account yet");
    let (mut boss, said) = with_token(&server, &user, &system.user_token(&user, &json!({}), &json!({})));
    assert_eq!(said, "PONG");
    boss.say("SUB answers 1");
    boss.sync();
    let mut push = |subject: &str, text: &str| {
        boss.say(&format!("PUB {subject} answers {}\n{text}", text.len()));
        assert!(boss.line().starts_with("MSG answers 1 "));
        let answer: Value = serde_json::from_str(&boss.line()).unwrap();
        assert!(answer["server"]["id"].is_string());
        answer
    };
    let good = realm.account_token(&json!({}));
    let by_name = format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.UPDATE");
    for (subject, text, account) in [
        ("$SYS.REQ.CLAIMS.UPDATE", "nonsense", "n/a"),
        ("$SYS.REQ.CLAIMS.UPDATE", &*users, "n/a"),
        ("$SYS.REQ.CLAIMS.UPDATE", &*Realm::new().account_token(&json!({})), ""),
        (&*by_name, &*of_system, ""),
    ] {
        let error = &push(subject, text)["error"];
        assert_eq!(error["code"], 500, "{error}");
        assert!(
            error["description"].as_str().unwrap().starts_with("jwt update resulted in error - "),
            "{error}"
        );
        assert!(account.is_empty() || error["account"] == account, "{error}");
    }
    let updated = json!({"account": key, "code": 200, "message": "jwt updated"});
    assert_eq!(push("$SYS.REQ.CLAIMS.UPDATE", &good)["data"], updated);
    assert_eq!(fs::read_to_string(folder.0.join(format!("{key}.jwt"))).unwrap(), good);
    let (mut client, said) = with_token(&server, &user, &users);
    assert_eq!(said, "PONG");
    // A new token is heard of at once.
    let revoked = realm.account_token(&json!({"revocations": {user.public_key(): now() + 1}}));
    assert_eq!(push(&by_name, &revoked)["data"], updated);
    assert_eq!([client.line(), client.line()], [VIOLATION, ""]);
}
