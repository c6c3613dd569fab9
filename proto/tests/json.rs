//! The reader agrees with `serde_json`, and whatever the writer is told it writes what `serde_json` reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use lunix_proto::Full;
use lunix_proto::json::{MAX_DEPTH, Str, Value, Writer, parse};
use proptest::collection::vec;
use proptest::prelude::*;

/// The same value; numbers as far as both keep them.
fn assert_same(ours: &Value<'_>, theirs: &serde_json::Value) {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => {}
        (Value::Bool(a), serde_json::Value::Bool(b)) => assert_eq!(a, b),
        (Value::Number(a), serde_json::Value::Number(b)) => {
            if let Some(b) = b.as_u64() {
                assert_eq!(a.as_u64(), Some(b));
            } else if let Some(b) = b.as_i64() {
                assert_eq!(a.as_i64(), Some(b));
            } else {
                // serde_json's fast way to read a fraction may be off by a unit in the last place.
                let (a, b) = (a.as_f64(), b.as_f64().unwrap());
                assert!((a - b).abs() <= b.abs() * 1e-15, "{a} {b}");
            }
        }
        (Value::String(a), serde_json::Value::String(b)) => {
            assert!(a.eq_str(b) && a.chars().eq(b.chars()));
            let mut room = vec![0; b.len()];
            assert_eq!(a.unescape(&mut room), Ok(b.as_str()));
            if !b.is_empty() {
                room.pop();
                assert_eq!(a.unescape(&mut room), Err(Full { needed: b.len() }));
            }
        }
        (Value::Array(a), serde_json::Value::Array(b)) => {
            assert_eq!(a.iter().count(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert_same(&a, b));
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            for (key, value) in b {
                assert_same(&a.get(key).unwrap(), value);
            }
            assert!(a.iter().all(|(key, _)| b.contains_key(&key.to_string())));
        }
        _ => panic!("{ours:?} is not {theirs:?}"),
    }
}

fn compare(bytes: &[u8]) {
    match (parse(bytes), serde_json::from_slice::<serde_json::Value>(bytes)) {
        (Ok(ours), Ok(theirs)) => assert_same(&ours, &theirs),
        (Err(error), Err(_)) => assert!(error.at <= bytes.len()),
        // serde_json takes no number beyond the range of f64.
        (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
        (ours, theirs) => panic!("{}: {ours:?} {theirs:?}", bytes.escape_ascii()),
    }
}

#[test]
fn odd_texts_as_serde_json_takes_them() {
    for text in [
        "",
        " ",
        "{}",
        "[]",
        "{ }",
        "[ ]",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "[1]]",
        "[[1]",
        "{]",
        "[}",
        "1 2",
        "nul",
        "nulll",
        "null",
        " true ",
        "falsE",
        "01",
        "-01",
        "-",
        "--1",
        "+1",
        "1.",
        ".5",
        "1.5",
        "1e",
        "1e+",
        "1E-5",
        "1e5",
        "0e0",
        "-0",
        "-0.0",
        "1e400",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "\"",
        "\"\\\"",
        "\"\\\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00x\"",
        "\"\\ud83d\\n\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"a\tb\"",
        "\"a\nb\"",
        "\"\u{7f}\u{80}\u{10ffff}\"",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "1\u{0}",
        "[1]\u{c}",
        "{\"a\":1,\"a\":2}",
        "{\"\\u0061\":[{\"b\":[[]]},{}],\"c\":\"}\"}",
        "[\"]\",\"\\\"]\",\"[\"]",
        "//\n1",
        "[1/**/]",
        "{\"a\" : \t1 ,\r\n\"b\":2}",
        "[true,false,null,1.5e3,\"\"]",
    ] {
        compare(text.as_bytes());
        // And every beginning of it.
        for end in 0..text.len() {
            compare(&text.as_bytes()[..end]);
        }
    }
    for bytes in
        [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\xff", b"[1]\xff", b"\"\xf0\x9f\x98\x80\""]
    {
        compare(bytes);
    }
}

#[test]
fn errors_say_where() {
    for (text, at) in
        [("", 0), ("[1,]", 3), ("{\"a\" 1}", 5), ("\"ab", 3), ("tru", 0), ("1 x", 2), ("[\"\\q\"]", 2)]
    {
        assert_eq!(parse(text.as_bytes()).unwrap_err().at, at, "{text}");
    }
    assert_eq!(parse(b"[\"a\xffb\"]").unwrap_err().at, 3);
    assert_eq!(parse(b"[x\xff").unwrap_err().at, 1);
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().at, MAX_DEPTH);
    assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    let mixed = "{\"a\":[".repeat(MAX_DEPTH / 2) + &"]}".repeat(MAX_DEPTH / 2);
    compare(mixed.as_bytes());
}

#[test]
fn the_last_of_equal_keys_wins() {
    let object = parse(br#"{"a":1,"b":2,"\u0061":3}"#).unwrap().as_object().unwrap();
    assert_eq!(object.get("a").unwrap().as_u64(), Some(3));
    assert_eq!(object.get("c"), None);
}

/// What a writer can be told.
#[derive(Clone, Debug)]
enum Told {
    BeginObject,
    EndObject,
    BeginArray,
    EndArray,
    Key(Vec<u8>),
    Text(Vec<u8>),
    Str(String),
    Number(u64),
    Signed(i64),
    Bool(bool),
    Null,
    Raw(Vec<u8>),
}

fn tell(json: &mut Writer<'_>, told: &Told) {
    match told {
        Told::BeginObject => json.begin_object(),
        Told::EndObject => json.end_object(),
        Told::BeginArray => json.begin_array(),
        Told::EndArray => json.end_array(),
        Told::Key(key) => json.key_bytes(key),
        Told::Text(text) => json.string_bytes(text),
        Told::Str(text) => json.str(Str::new(text)),
        Told::Number(number) => json.number(*number),
        Told::Signed(number) => json.signed(*number),
        Told::Bool(truth) => json.bool(*truth),
        Told::Null => json.null(),
        Told::Raw(raw) => json.raw(raw),
    };
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        3 => Just(Told::BeginObject),
        2 => Just(Told::EndObject),
        3 => Just(Told::BeginArray),
        2 => Just(Told::EndArray),
        4 => vec(any::<u8>(), 0..6).prop_map(Told::Key),
        1 => vec(any::<u8>(), 0..6).prop_map(Told::Text),
        1 => "\\PC{0,5}".prop_map(Told::Str),
        1 => any::<u64>().prop_map(Told::Number),
        1 => any::<i64>().prop_map(Told::Signed),
        1 => any::<bool>().prop_map(Told::Bool),
        1 => Just(Told::Null),
        1 => "[\\[\\]{}\":,1a ]{0,6}".prop_map(|raw| Told::Raw(raw.into_bytes())),
    ]
}

proptest! {
    #[test]
    fn texts_almost_json(text in "[\\[\\]{}\":,\\\\ntrue01.eE+-ud8 ]{0,12}") {
        compare(text.as_bytes());
    }

    #[test]
    fn bytes_of_any_kind(bytes in vec(any::<u8>(), 0..20)) {
        compare(&bytes);
        let quoted: Vec<u8> = [b"\"", &bytes[..], b"\""].concat();
        compare(&quoted);
    }

    #[test]
    fn written_is_json_whatever_was_told(all in vec(told(), 0..60)) {
        let write = |out: &mut [u8]| {
            let mut json = Writer::new(out);
            all.iter().for_each(|told| tell(&mut json, told));
            json.finish()
        };
        let needed = write(&mut []).unwrap_err().needed;
        prop_assert_eq!(write(&mut vec![0; needed - 1]), Err(Full { needed }));
        let mut out = vec![0; needed];
        prop_assert_eq!(write(&mut out), Ok(needed));
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok(), "{}", out.escape_ascii());
        compare(&out);
    }

    #[test]
    fn strings_come_back(text in "\\PC{0,20}|[\u{0}-\u{30}\\\\]{0,20}") {
        let mut out = [0; 200];
        let len = Writer::new(&mut out).string(&text).finish().unwrap();
        prop_assert!(parse(&out[..len]).unwrap().as_str().unwrap().eq_str(&text));
        let mut again = [0; 200];
        let parsed = parse(&out[..len]).unwrap().as_str().unwrap();
        let len_again = Writer::new(&mut again).str(parsed).finish().unwrap();
        prop_assert_eq!(&again[..len_again], &out[..len]);
    }

    #[test]
    fn what_is_not_utf8_is_replaced(bytes in vec(any::<u8>(), 0..20)) {
        let mut out = [0; 200];
        let len = Writer::new(&mut out).string_bytes(&bytes).finish().unwrap();
        prop_assert!(parse(&out[..len]).unwrap().as_str().unwrap().eq_str(&String::from_utf8_lossy(&bytes)));
    }
}
