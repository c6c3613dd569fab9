//! JSON beside `serde_json`.

use lunix_proto::Full;
use lunix_proto::json::{MAX_DEPTH, Str, Value, Writer, parse};

/// A text is JSON to us if it is to `serde_json`, and says the same.
pub fn read(data: &[u8]) {
    match (parse(data), serde_json::from_slice::<serde_json::Value>(data)) {
        (Ok(ours), Ok(theirs)) => assert_same(&ours, &theirs),
        (Err(error), Err(_)) => assert!(error.at <= data.len()),
        (Ok(_), Err(error)) => assert!(error.to_string().contains("number out of range"), "{error}"),
        (Err(error), Ok(_)) => assert!(nesting(data) > MAX_DEPTH, "{error}"),
    }
}

fn assert_same(ours: &Value<'_>, theirs: &serde_json::Value) {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => {}
        (Value::Bool(a), serde_json::Value::Bool(b)) => assert_eq!(a, b),
        (Value::Number(a), serde_json::Value::Number(b)) => {
            if b.is_u64() {
                assert_eq!(a.as_u64(), b.as_u64());
            } else if b.is_i64() {
                assert_eq!(a.as_i64(), b.as_i64());
            } else {
                // serde_json's fast way to read a fraction may be off by a few units in the last place.
                let (a, b) = (a.as_f64(), b.as_f64().expect("a number"));
                assert!((a - b).abs() <= b.abs() * 1e-15 + f64::MIN_POSITIVE, "{a} {b}");
            }
        }
        (Value::String(a), serde_json::Value::String(b)) => {
            assert!(a.eq_str(b));
            let mut room = vec![0; b.len()];
            assert_eq!(a.unescape(&mut room), Ok(b.as_str()));
            if room.pop().is_some() {
                assert_eq!(a.unescape(&mut room), Err(Full { needed: b.len() }));
            }
        }
        (Value::Array(a), serde_json::Value::Array(b)) => {
            assert_eq!(a.iter().count(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert_same(&a, b));
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            b.iter().for_each(|(key, value)| assert_same(&a.get(key).expect("the same keys"), value));
            assert!(a.iter().all(|(key, _)| b.contains_key(&key.to_string())));
        }
        _ => panic!("{ours:?} is not {theirs:?}"),
    }
}

/// How deep valid JSON nests.
pub(crate) fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if in_string => {
                in_string = escaped || *byte != b'"';
                escaped = *byte == b'\\' && !escaped;
            }
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Whether an object, which is valid JSON, has a key twice.
pub(crate) fn has_duplicates(json: &[u8]) -> bool {
    let Ok(Value::Object(object)) = parse(json) else { return false };
    let mut keys: Vec<String> = object.iter().map(|(key, _)| key.to_string()).collect();
    keys.sort();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whatever a writer is told, it writes JSON, and foretells how long it is. The input: what it is told, one byte
/// for what, one for how long its text is.
pub fn write(data: &[u8]) {
    let write = |out: &mut [u8]| {
        let mut json = Writer::new(out);
        let mut rest = data;
        while let [what, length, after @ ..] = rest {
            let (text, after) = after.split_at(usize::from(*length).min(after.len()));
            match what % 14 {
                0 | 1 => json.begin_object(),
                2 | 3 => json.begin_array(),
                4 => json.end_object(),
                5 => json.end_array(),
                6 | 7 => json.key_bytes(text),
                8 => json.string_bytes(text),
                9 => json.str(Str::new(std::str::from_utf8(text).unwrap_or("?"))),
                10 => match parse(text) {
                    Ok(Value::String(text)) => json.str(text),
                    _ => json.null(),
                },
                11 => json.number(u64::from_le_bytes([*length; 8])),
                12 => json.signed(i64::from_le_bytes([*length; 8])),
                _ => json.raw(text),
            };
            rest = after;
        }
        json.finish()
    };
    let Err(Full { needed }) = write(&mut []) else { panic!("JSON of no bytes") };
    assert_eq!(write(&mut vec![0; needed - 1]), Err(Full { needed }));
    let mut out = vec![0; needed];
    assert_eq!(write(&mut out), Ok(needed));
    assert!(parse(&out).is_ok(), "{}", out.escape_ascii());
    match serde_json::from_slice::<serde_json::Value>(&out) {
        Ok(_) => {}
        Err(error) => {
            assert!(error.to_string().contains("number out of range"), "{}: {error}", out.escape_ascii())
        }
    }
}
