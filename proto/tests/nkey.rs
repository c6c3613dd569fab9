//! Keys and tokens that the PyPI package `nkeys` has made and signed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

use lunix_proto::json::Str;
use lunix_proto::nkey::base64::{decode_any, decode_url, encode_url};
use lunix_proto::nkey::claims::{Body, Claims, ClaimsError, Share, User};
use lunix_proto::nkey::jwt::{Token, TokenError};
use lunix_proto::nkey::{KeyError, Kind, PublicKey, Seed};
use proptest::prelude::*;

/// Kind, public key, seed, and the 32 bytes of the seed.
const KEYS: [(Kind, &str, &str, &str); 5] = [
    (
        Kind::Operator,
        "OAIZJVHBKKPVFVZC4ADR5X6AFG46DWRAC56CHHVY2FJXUZSPL7YAKOJT",
        "SOAIVRAME4IJSHCVFRKIK5BJSDYVUMR6IOBHHEBHJD7HXMIITPYGESNQJA",
        "8ac40c2710991c552c5485742990f15a323e438273902748fe7bb1089bf06249",
    ),
    (
        Kind::Account,
        "ACPLI6BETW2V46DZ7LJGVXBP3YNU6XIFPEWT627CWHBIYR73H73T53GW",
        "SAAOCXKB7LRDQ243PCHKCYLPDHMTMMF634DBT32DRSVNATHFGY3HZJWLXA",
        "e15d41fae2386b9b788ea1616f19d93630bedf0619ef438caad04ce536367ca6",
    ),
    (
        Kind::User,
        "UCMG3G7O5JR7RRPGI66YDFU2OGJS3GMGU3TNMMVNWPXTPKSBIEXEHADG",
        "SUALXOZN722HC4PKILTEBBF7JEXOGJQ2VUC6Y5S2SNHME5HN32L42SY4NI",
        "bbbb2dfeb47171ea42e64084bf492ee3261aad05ec765a934ec274edde97cd4b",
    ),
    (
        Kind::Server,
        "NC7DUSVJPQK2C4PTG5TUQETZGPP73SEPMB642X7VO3VICLYTVJ5LCPGA",
        "SNAMTYMCAASE7YW44GR63R7P6MCRKKMN2GSH3FLJAOMYEFSJ4OEPWDBAD4",
        "c9e18200244fe2dce1a3edc7eff30515298dd1a47d95690399821649e388fb0c",
    ),
    (
        Kind::Cluster,
        "CCC4VNHUTG4GQFQ5D2DXE6C4EQ2JKGW3M6KDXHMAM7NIUTYPJABLG3JD",
        "SCAAYYCZDFK3QOEWOJ5WNOQAM3LP3DOLEXFDKCI47Q3KZOJVNK4KBSRX5Q",
        "0c60591955b83896727b66ba0066d6fd8dcb25ca35091cfc36acb9356ab8a0ca",
    ),
];
const SIGNER: &str = "AAWVZXIJ6IO7AL72IVU4LDZDBX5LB2MNQA7MF4J5X2MOGIBW2FVO6IVN";
const ACCOUNT: &str = KEYS[1].1;
const USER: &str = KEYS[2].1;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn keys_of_a_real_tool() {
    for (kind, public, seed, raw) in KEYS {
        let key = PublicKey::parse(public).unwrap();
        assert_eq!((key.kind, key.to_string().as_str()), (kind, public));
        assert_eq!(PublicKey::parse_as(kind, public), Ok(key));
        let seed = Seed::parse(seed).unwrap();
        assert_eq!((seed.kind, hex(&seed.bytes).as_str()), (kind, raw));
        assert!(!format!("{seed:?}").contains("bytes"), "a seed must not be shown");
        // A public key is no seed, and the other way round.
        assert!(Seed::parse(public).is_err());
    }
    assert_eq!(PublicKey::parse_as(Kind::Account, USER), Err(KeyError::Prefix));
}

#[test]
fn a_key_has_one_text() {
    for (_, public, seed, _) in KEYS {
        for text in [public, seed] {
            let good = |text: &str| PublicKey::parse(text).is_ok() || Seed::parse(text).is_ok();
            assert!(good(text));
            assert!(!good(&text.to_lowercase()));
            for at in 0..text.len() {
                assert!(!good(&text[..at]), "cut at {at}");
                for letter in ["A", "Z", "7", "8", "=", " "] {
                    let mut other = text.to_owned();
                    other.replace_range(at..=at, letter);
                    assert!(other == text || !good(&other), "{other}");
                }
            }
        }
    }
    assert_eq!(PublicKey::parse(&"A".repeat(55)), Err(KeyError::Text));
}

fn token(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nkey/");
    std::fs::read_to_string(format!("{folder}{name}.jwt")).unwrap()
}

fn with_claims(name: &str, check: impl FnOnce(Claims<'_>)) {
    let text = token(name);
    let token = Token::split(&text).unwrap();
    assert_eq!(format!("{}.{}", token.signed, text.rsplit('.').next().unwrap()), text);
    let mut room = vec![0; token.claims_len()];
    check(Claims::parse(token.claims(&mut room).unwrap()).unwrap());
}

#[test]
fn what_an_operator_and_an_account_claim() {
    with_claims("operator", |claims| {
        let Body::Operator(operator) = claims.body else { panic!("{claims:?}") };
        assert_eq!(claims.issuer, claims.subject);
        assert!(operator.strict_signing_keys && operator.signing_keys.into_iter().next().is_none());
        assert_eq!(operator.system_account, PublicKey::parse(ACCOUNT).ok());
    });
    with_claims("account", |claims| {
        let Body::Account(account) = claims.body else { panic!("{claims:?}") };
        assert_eq!((claims.issuer.kind, claims.name), (Kind::Operator, Str::new("shop")));
        let import = account.imports.into_iter().next().unwrap();
        assert_eq!((import.share, import.local_subject), (Share::Stream, Str::new("b.$1")));
        assert_eq!(import.account, PublicKey::parse(SIGNER).ok());
        let export = account.exports.into_iter().next().unwrap();
        assert!(export.token_required && export.share == Share::Service);
        assert!(export.revocations.revoke(SIGNER, 5) && !export.revocations.revoke(SIGNER, 6));
        assert_eq!((account.limits.payload, account.limits.connections), (1024, 10));
        assert_eq!((account.limits.subscriptions, account.limits.wildcards), (-1, true));
        let [plain, scoped] = account.signing_keys.into_iter().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((plain.key, plain.scope), (PublicKey::parse(SIGNER).unwrap(), None));
        let scope = scoped.scope.unwrap();
        assert_eq!((scope.payload, scope.subscriptions), (64, -1));
        assert!(scope.publish.allow.into_iter().eq([Str::new("user.>")]));
        assert!(account.revocations.revoke(USER, 1_600_000_000));
        assert!(!account.revocations.revoke(USER, 1_600_000_001));
        assert!(!account.revocations.revoke(SIGNER, 1));
        assert!(account.default_permissions.subscribe.deny.into_iter().eq([Str::new("secret.>")]));
    });
}

#[test]
fn what_a_user_claims() {
    with_claims("user", |claims| {
        let Body::User(user) = claims.body else { panic!("{claims:?}") };
        assert_eq!(claims.subject.to_string(), USER);
        assert_eq!(claims.name, Str::new("till é"));
        assert_eq!(user.issuer_account, PublicKey::parse(ACCOUNT).ok());
        assert!(user.publish.allow.into_iter().eq([Str::new("sale.>")]));
        assert!(user.publish.deny.into_iter().eq([Str::new("sale.void")]));
        assert!(user.subscribe.allow.into_iter().eq([Str::new("price.* till")]));
        let responses = user.responses.unwrap();
        assert_eq!((responses.max, responses.ttl), (1, 120_000_000_000));
        assert!(user.sources.into_iter().eq([Str::new("10.0.0.0/8")]));
        let times = user.times.into_iter().next().unwrap();
        assert_eq!((times.start, times.end), (Str::new("08:00:00"), Str::new("18:00:00")));
        assert_eq!((user.subscriptions, user.payload, user.bearer_token), (7, -1, true));
        assert_eq!(user.connection_types.into_iter().count(), 2);
        assert!(!user.is_empty());
        assert!(!claims.hold_at(1_700_000_000) && claims.hold_at(1_700_000_001));
        assert!(claims.hold_at(1_799_999_999) && !claims.hold_at(1_800_000_000));
    });
    with_claims("scoped", |claims| {
        let Body::User(user) = claims.body else { panic!("{claims:?}") };
        assert!(user.is_empty() && claims.hold_at(i64::MAX));
        assert!(!User { payload: -1, ..user }.is_empty());
        assert!(!User { bearer_token: true, ..user }.is_empty());
    });
    with_claims("activation", |claims| {
        let Body::Activation(activation) = claims.body else { panic!("{claims:?}") };
        assert_eq!((activation.share, activation.issuer_account), (Share::Service, None));
        assert_eq!(claims.subject.to_string(), SIGNER);
    });
}

#[test]
fn tokens_that_are_none() {
    let text = token("user");
    for at in 0..text.len() {
        let whole = Token::split(&text[..at]).ok().and_then(|token| {
            let mut room = vec![0; token.claims_len()];
            Claims::parse(token.claims(&mut room).ok()?).ok().map(drop)
        });
        assert_eq!(whole, None, "cut at {at}");
    }
    let [_, claims, signature] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
    let with = |header: &str| {
        let mut room = [0; 256];
        let header = encode_url(header.as_bytes(), &mut room).unwrap();
        Token::split(&format!("{header}.{claims}.{signature}")).map(drop)
    };
    assert_eq!(with(r#"{"typ":"jwt","alg":"ED25519-nkey"}"#), Ok(()));
    assert_eq!(with(r#"{"typ":"JWT","alg":"ed25519"}"#), Ok(()));
    for header in
        [r#"{"typ":"JWT","alg":"none"}"#, r#"{"typ":"JWT","alg":"HS256"}"#, r#"{"alg":"ed25519-nkey"}"#, "[]"]
    {
        assert_eq!(with(header), Err(TokenError::Header), "{header}");
    }
    assert_eq!(Token::split(&format!("{text}.x")), Err(TokenError::Parts));
    assert_eq!(Token::split(&"a".repeat((1 << 20) + 1)), Err(TokenError::Parts));
    let user = format!(r#""iss":"{SIGNER}","sub":"{USER}""#);
    for (json, error) in [
        ("[]".to_owned(), ClaimsError::Syntax),
        ("{}".to_owned(), ClaimsError::Member("nats")),
        (format!(r#"{{{user},"nats":{{"type":"user"}}}}"#), ClaimsError::Version),
        (format!(r#"{{{user},"nats":{{"type":"user","version":3}}}}"#), ClaimsError::Version),
        (format!(r#"{{{user},"nats":{{"type":"cluster","version":2}}}}"#), ClaimsError::Member("type")),
        (format!(r#"{{{user},"nats":{{"type":"account","version":2}}}}"#), ClaimsError::Member("sub")),
        (format!(r#"{{"sub":"{USER}","nats":{{"type":"user","version":2}}}}"#), ClaimsError::Member("iss")),
        (
            format!(r#"{{"iss":"{USER}","sub":"{USER}","nats":{{"type":"user","version":2}}}}"#),
            ClaimsError::Issuer,
        ),
        (
            format!(r#"{{{user},"nats":{{"type":"user","version":2,"pub":{{"deny":[1]}}}}}}"#),
            ClaimsError::Member("deny"),
        ),
        (
            format!(r#"{{{user},"nats":{{"type":"user","version":2,"src":"10.0.0.0/8"}}}}"#),
            ClaimsError::Member("src"),
        ),
    ] {
        assert_eq!(Claims::parse(json.as_bytes()).map(drop), Err(error), "{json}");
    }
}

proptest! {
    #[test]
    fn base64_there_and_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut text_room = vec![0; bytes.len().div_ceil(3) * 4];
        let text = encode_url(&bytes, &mut text_room).unwrap();
        let mut room = vec![0; bytes.len()];
        prop_assert_eq!(decode_url(text, &mut room), Ok(&bytes[..]));
        let mut usual = text.replace('-', "+").replace('_', "/");
        while !usual.len().is_multiple_of(4) {
            usual.push('=');
        }
        prop_assert_eq!(decode_any(&usual, &mut room), Ok(&bytes[..]));
        if room.pop().is_some() {
            prop_assert!(decode_url(text, &mut room).is_err());
        }
    }
}

#[test]
fn claims_of_the_first_version() {
    let header = "eyJ0eXAiOiJqd3QiLCJhbGciOiJlZDI1NTE5In0";
    let signature = "A".repeat(86);
    let text = format!("{header}.e30.{signature}");
    let token = Token::split(&text).unwrap();
    assert_eq!((token.version, token.signed), (1, "e30"));
    let head = format!(r#""iss":"{ACCOUNT}","sub":"{USER}","type":"user""#);
    let json =
        format!(r#"{{{head},"issuer_account":"{ACCOUNT}","nats":{{"pub":{{"deny":["a"]}},"subs":7}}}}"#);
    let claims = Claims::parse(json.as_bytes()).unwrap();
    assert_eq!(claims.version, 1);
    let Body::User(user) = claims.body else { panic!("{claims:?}") };
    assert_eq!(user.issuer_account, PublicKey::parse(ACCOUNT).ok());
    assert_eq!((user.subscriptions, user.payload, user.data), (7, -1, -1));
    // A version that is said twice is that of the old place, as nats-server has it.
    let both = format!(r#"{{{head},"nats":{{"type":"account","version":2}}}}"#);
    assert_eq!(Claims::parse(both.as_bytes()).unwrap().version, 1);
    let activation = format!(r#"{{"iss":"{ACCOUNT}","sub":"{ACCOUNT}","type":"activation"}}"#);
    assert_eq!(Claims::parse(activation.as_bytes()), Err(ClaimsError::Member("type")));
}
