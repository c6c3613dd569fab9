use super::*;

fn file(text: &str) -> Result<Section, String> {
    parse(Path::new("f"), text).map_err(|error| error.to_string())
}

fn value(text: &str) -> Value {
    file(&format!("\n\nkey: {text}\n")).unwrap().take(&["key"]).unwrap()
}

/// What reading the value of `key` notes.
fn noted<T>(text: &str, read: impl FnOnce(&mut Section) -> Option<T>) -> String {
    let mut section = file(&format!("\n\nkey: {text}\n")).unwrap();
    assert!(read(&mut section).is_none(), "{text}");
    section.finish().unwrap_err().to_string()
}

#[test]
fn every_form_of_a_pair() {
    for text in
        ["a:1\nb:2", "a = 1; b = 2", "a 1, b 2", "a:1 # one\nb\t=\t2 // two", "\n\n a : \"1\"\r\nb 2;"]
    {
        let mut section = file(text).unwrap();
        assert_eq!(section.integer(&["A"], 0, 9), Some(1), "{text}");
        assert_eq!(section.text(&["b"]).as_deref(), Some("2"), "{text}");
        assert_eq!(section.finish(), Ok(()), "{text}");
    }
}

#[test]
fn words_hold_what_names_and_addresses_hold() {
    for (text, word) in [
        ("127.0.0.1:-1", "127.0.0.1:-1"),
        ("nats://a@b:1/c", "nats://a@b:1/c"),
        ("'a # b'", "a # b"),
        (r#""a\tb\"c\x41\\""#, "a\tb\"cA\\"),
        ("\"$not a variable\"", "$not a variable"),
        ("-1", "-1"),
    ] {
        assert_eq!(value(text).text().as_deref(), Some(word));
    }
}

#[test]
fn lists_and_blocks() {
    let mut section = file("a { b: [1, two\n 'three'] c { d 4 } }\nsingle: x").unwrap();
    let mut a = section.block(&["a"]).unwrap();
    let list: Vec<_> = a.list(&["b"]).unwrap().iter().map(|v| v.text().unwrap()).collect();
    assert_eq!(list, ["1", "two", "three"]);
    let mut c = a.block(&["c"]).unwrap();
    assert_eq!(c.text(&["d"]).as_deref(), Some("4"));
    assert_eq!(section.list(&["single"]).unwrap().len(), 1);
    a.end();
    c.end();
    assert_eq!(section.finish(), Ok(()));
}

#[test]
fn the_last_of_several_counts() {
    let mut section = file("port 1\nPort 2\nother 3").unwrap();
    assert_eq!(section.integer(&["port"], 0, 9), Some(2));
    assert_eq!(section.finish().unwrap_err().to_string(), "f:3:1: other: unknown key");
}

#[test]
fn sizes_and_durations() {
    for (text, bytes) in
        [("64KB", 65_536), ("64k", 64_000), ("1MiB", 1 << 20), ("7", 7), ("1T", 10_usize.pow(12))]
    {
        assert_eq!(value(text).size(0, usize::MAX), Some(bytes));
    }
    for (text, micros) in
        [("2", 2_000_000), ("\"1m30s\"", 90_000_000), ("1.5s250ms", 1_750_000), ("10us", 10), ("0s", 0)]
    {
        assert_eq!(value(text).duration(Duration::ZERO, Duration::MAX), Some(Duration::from_micros(micros)));
    }
    for text in ["x", "1y", "1m30", "1e400s", "99999999999999999999s", "s", "."] {
        assert_eq!(units::duration(text), None, "{text}");
    }
    for text in
        ["", "x", "1x", "1kk", "1bb", "--1", "1-1", "99999999999999999999", "9223372036854775807k", "1ki b"]
    {
        assert_eq!(units::scaled(text), None, "{text}");
    }
}

#[test]
fn mistakes_name_file_line_column_and_key() {
    let names = &["key"];
    let most = Duration::from_secs(9);
    for (found, line) in [
        (noted("maybe", |s| s.truth(names)), "f:3:6: key: expected true or false, found 'maybe'"),
        (
            noted("12", |s| s.integer(names, 0, 9)),
            "f:3:6: key: expected a whole number from 0 to 9, found '12'",
        ),
        (noted("[1]", |s| s.text(names)), "f:3:6: key: expected text, found a list"),
        (
            noted("1h", |s| s.duration(names, Duration::ZERO, most)),
            "f:3:6: key: expected a duration from 0ns to 9s, such as 30s, found '1h'",
        ),
        (noted("x", |s| s.block(names)), "f:3:6: key: expected a block in { }, found 'x'"),
    ] {
        assert_eq!(found, line);
    }
    for (text, line) in [
        ("a: 1\nb", "f:2:1: b: expected a value"),
        ("a: 1\nb {\nc: 2\n", "f:2:1: b: expected '}' at the end of the block"),
        ("a: [1\n", "f:1:1: a: expected ']' at the end of the list"),
        ("a: \"x\n", "f:1:1: a: expected a closing quote on the same line"),
        ("\n}", "f:2:1: expected a key, found '}'"),
        ("a: 1 }", "f:1:6: expected a key, found '}'"),
        ("include x.conf", "f:1:1: include: not in this build"),
        ("a: $x", "f:1:1: a: variables are not in this build; quote it if it is text"),
    ] {
        assert_eq!(file(text).unwrap_err(), line, "{text}");
    }
    let deep = "a {".repeat(100_000);
    assert_eq!(file(&deep).unwrap_err(), "f:1:97: a: blocks may be 32 deep");
}

#[test]
fn all_mistakes_at_once_in_their_order() {
    let mut section = file("a { x: 1, wrong: 2 }\n  b: maybe\nb2: [1, x]\nporrt: 4").unwrap();
    section.integer(&["port"], 0, 9);
    for value in section.list(&["b2"]).unwrap() {
        value.integer(0, 9);
    }
    section.truth(&["b"]);
    let mut a = section.block(&["a"]).unwrap();
    a.take(&["x"]);
    a.end();
    assert_eq!(
        section.finish().unwrap_err().to_string(),
        "f:1:11: wrong: unknown key\n\
         f:2:6: b: expected true or false, found 'maybe'\n\
         f:3:9: b2: expected a whole number from 0 to 9, found 'x'\n\
         f:4:1: porrt: unknown key, did you mean 'port'?"
    );
}
