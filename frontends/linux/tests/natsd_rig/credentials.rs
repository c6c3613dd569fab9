//! What clients show to be let in, and what the server says to it.

use lunix_proto::nkey::base64::encode_url;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{Client, Server};

/// bcrypt's hash of `s3cret`, made by the package `bcrypt` of `PyPI`.
pub const HASH: &str = "$2a$04$cO0p307EIL61Aay4tjzBD.yvc3St9wIH4txHtXqw1SHK0bRXjSxVa";

pub const VIOLATION: &str = "-ERR 'Authorization Violation'";

/// What the server says to a `CONNECT` with these members: `PONG`, or why not.
pub fn say_connect(client: &mut Client, members: &Value) -> String {
    let mut connect = json!({"verbose": false, "pedantic": false, "headers": true});
    connect.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    client.say(&format!("CONNECT {connect}\nPING"));
    client.line()
}

pub fn answer(server: &Server, members: &Value) -> String {
    say_connect(&mut server.open(), members)
}

pub fn nonce(info: &str) -> String {
    let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    info["nonce"].as_str().unwrap().to_owned()
}

pub fn base64(bytes: &[u8]) -> String {
    let mut room = vec![0; bytes.len() * 2];
    encode_url(bytes, &mut room).unwrap().to_owned()
}

pub fn sign(key: &KeyPair, text: &str) -> String {
    base64(&key.sign(text.as_bytes()).unwrap())
}
