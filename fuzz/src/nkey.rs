//! Keys and tokens: what is read is written the same, and claims say what `serde_json` finds in them.

use lunix_proto::nkey::base64::{decode_any, decode_url, decoded_len, encode_url};
use lunix_proto::nkey::claims::{Body, Claims, List};
use lunix_proto::nkey::jwt::Token;
use lunix_proto::nkey::{PublicKey, Seed};

/// Any text as a key, a seed, base64 and a token.
pub fn text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(key.text().as_str(), text);
    }
    let _ = Seed::parse(text);
    let mut room = vec![0; decoded_len(text.len())];
    let mut again = vec![0; text.len()];
    if let Ok(bytes) = decode_url(text, &mut room) {
        assert_eq!(encode_url(bytes, &mut again), Ok(text));
    }
    if let Ok(bytes) = decode_any(text, &mut room) {
        let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        assert_eq!(encode_url(bytes, &mut again), Ok(text.as_str()));
    }
    if let Ok(token) = Token::split(text) {
        assert!(text.contains(token.signed) && (token.version == 1 || text.starts_with(token.signed)));
        let mut room = vec![0; token.claims_len()];
        if let Ok(json) = token.claims(&mut room) {
            claims(json);
        }
    }
}

/// Any bytes as claims.
pub fn claims(data: &[u8]) {
    let Ok(claims) = Claims::parse(data) else { return };
    let json: serde_json::Value = serde_json::from_slice(data).expect("JSON");
    assert_eq!(claims.issued_at, json["iat"].as_i64().unwrap_or(0));
    assert_eq!(claims.subject.to_string(), json["sub"].as_str().expect("a subject"));
    assert_eq!(claims.name.to_string(), json["name"].as_str().unwrap_or_default());
    let nats = &json["nats"];
    match claims.body {
        Body::Operator(operator) => same_length(operator.signing_keys, &nats["signing_keys"]),
        Body::Account(account) => {
            same_length(account.imports, &nats["imports"]);
            same_length(account.exports, &nats["exports"]);
            same_length(account.signing_keys, &nats["signing_keys"]);
            let subject = claims.subject.to_string();
            let revoked = |key: &str| {
                let until = nats["revocations"].get(key).and_then(serde_json::Value::as_i64);
                until.is_some_and(|until| claims.issued_at <= until)
            };
            // Of two members with one key serde_json keeps the last, we heed both.
            if revoked(&subject) || revoked("*") {
                assert!(account.revocations.revoke(&subject, claims.issued_at));
            }
        }
        Body::User(user) => {
            same_length(user.publish.allow, &nats["pub"]["allow"]);
            same_length(user.subscribe.deny, &nats["sub"]["deny"]);
            same_length(user.sources, &nats["src"]);
            same_length(user.times, &nats["times"]);
            let _ = user.is_empty();
        }
        Body::Activation(activation) => {
            assert_eq!(activation.subject.to_string(), nats["subject"].as_str().unwrap_or_default());
        }
    }
}

/// A list yields as many elements as the array has: none was refused that had been accepted.
fn same_length<'b, T>(list: List<'b, T>, json: &serde_json::Value)
where
    List<'b, T>: IntoIterator,
{
    assert_eq!(list.into_iter().count(), json.as_array().map_or(0, Vec::len));
}
