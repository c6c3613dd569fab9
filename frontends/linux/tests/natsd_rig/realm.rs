//! Operators, accounts and users as signed tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::credentials::{base64, nonce, say_connect, sign};
use super::{Client, Server};

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A token, as `nsc` makes them.
pub fn token(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut nats: Value, more: &Value) -> String {
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
pub struct Realm {
    pub operator: KeyPair,
    pub account: KeyPair,
    pub signer: KeyPair,
    pub scoped: KeyPair,
}

pub fn no_limits() -> Value {
    json!({"subs": -1, "data": -1, "payload": -1})
}

impl Realm {
    pub fn new() -> Self {
        let [account, signer, scoped] = [(); 3].map(|()| KeyPair::new_account());
        Self { operator: KeyPair::new_operator(), account, signer, scoped }
    }

    /// The account's token, with `more` in its claims.
    pub fn account_token(&self, more: &Value) -> String {
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

    pub fn operator_token(&self) -> String {
        token(&self.operator, &self.operator, "operator", json!({}), &json!({}))
    }

    pub fn start(&self, account: &Value) -> Server {
        Server::start(&format!(
            "operator: {}\nresolver: MEMORY\nresolver_preload {{ {}: {} }}",
            self.operator_token(),
            self.account.public_key(),
            self.account_token(account)
        ))
    }

    pub fn user_token(&self, user: &KeyPair, nats: &Value, more: &Value) -> String {
        let mut all = no_limits();
        all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
        token(&self.account, user, "user", all, more)
    }
}

/// A client with a token, and what the server says to it.
pub fn with_token(server: &Server, user: &KeyPair, token: &str) -> (Client, String) {
    let mut client = server.open();
    let signature = sign(user, &nonce(&client.info));
    let said = say_connect(&mut client, &json!({"jwt": token, "sig": signature}));
    (client, said)
}

/// A token of the first version, which signs the claims alone. Keys in the field still have them.
pub fn old_token(issuer: &KeyPair, subject: &KeyPair, kind: &str, nats: &Value, header: &str) -> String {
    let claims = json!({
        "jti": "x", "iat": now(), "iss": issuer.public_key(), "sub": subject.public_key(), "name": "n",
        "type": kind, "nats": nats
    });
    let claims = base64(claims.to_string().as_bytes());
    format!("{}.{claims}.{}", base64(header.as_bytes()), sign(issuer, &claims))
}
