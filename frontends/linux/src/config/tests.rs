use super::*;

use std::collections::HashMap;

/// Files and variables that are only here.
#[derive(Default)]
struct Made {
    files: HashMap<PathBuf, String>,
    variables: HashMap<String, String>,
}

impl Made {
    fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            files: files.iter().map(|(name, body)| (PathBuf::from(name), text(body))).collect(),
            variables: variables.iter().map(|(name, body)| (text(name), text(body))).collect(),
        }
    }
}

impl World for Made {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

fn file_in(world: &Made, text: &str) -> Result<Section, String> {
    parse(Path::new("f"), text, world).map_err(|error| error.to_string())
}

fn file(text: &str) -> Result<Section, String> {
    file_in(&Made::default(), text)
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
    for text in [
        "a:1\nb:2",
        "a = 1; b = 2",
        "a 1, b 2",
        "{\"a\": \"1\",\n\"b\": 2}\n",
        "a\n\n=1;b\n2",
        "a:1 # one\nb\t=\t2 // two",
        "\n\n a : \"1\"\r\nb 2;",
    ] {
        let mut section = file(text).unwrap();
        assert_eq!(section.integer(&["A"], 0, 9), Some(1), "{text}");
        assert_eq!(section.text(&["b"]).as_deref(), Some("2"), "{text}");
        assert_eq!(section.finish(), Ok(vec![]), "{text}");
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
        ("a#b{c\"d", "a#b{c\"d"),
        (r"a\tb\x20c", "a\tb c"),
        (r#""\xc3\xa4""#, "ä"),
        ("$2a$11$ooo", "$2a$11$ooo"),
        ("$2b$11$ooo", "$2b$11$ooo"),
        ("(\n one\n) two\n)\n", "\n one\n) two\n"),
        ("\"two\nlines\"", "two\nlines"),
        ("'no \\ escape'", "no \\ escape"),
        ("2016-05-04T18:53:41Z", "2016-05-04T18:53:41Z"),
    ] {
        assert_eq!(value(text).text().as_deref(), Some(word));
    }
}

#[test]
fn lists_and_blocks() {
    let mut section = file("a { b: [1, two # 2\n 'three',\n], c { 'd' 4 } }\nsingle: x").unwrap();
    let mut a = section.block(&["a"]).unwrap();
    let list: Vec<_> = a.list(&["b"]).unwrap().iter().map(|v| v.text().unwrap()).collect();
    assert_eq!(list, ["1", "two", "three"]);
    let mut c = a.block(&["c"]).unwrap();
    assert_eq!(c.text(&["d"]).as_deref(), Some("4"));
    assert_eq!(section.list(&["single"]).unwrap().len(), 1);
    a.end();
    c.end();
    assert_eq!(section.finish(), Ok(vec![]));
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
    for (text, micros) in [
        ("2", 2_000_000),
        ("\"1m30s\"", 90_000_000),
        ("1.5s250ms", 1_750_000),
        ("10us", 10),
        (".5ms", 500),
        ("1.s", 1_000_000),
        ("0.25h", 900_000_000),
        ("0s", 0),
    ] {
        assert_eq!(value(text).duration(Duration::ZERO, Duration::MAX), Some(Duration::from_micros(micros)));
    }
    for text in ["x", "1y", "1m30", "1e400s", "99999999999999999999s", "s", ".", ".s", "1.2.3s", "9999999h"] {
        assert_eq!(duration(text), None, "{text}");
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
            "f:3:6: key: expected a duration from 0s to 9s, such as 30s, found '1h'",
        ),
        (noted("x", |s| s.block(names)), "f:3:6: key: expected a block in { }, found 'x'"),
    ] {
        assert_eq!(found, line);
    }
    for (text, line) in [
        ("a: 1\nb", "f:2:2: expected a value of b, found the end"),
        ("a: 1\nb:\n", "f:2:3: expected a value of b, found the end of the line"),
        ("a: 1\nb {\nc: 2\n", "f:2:3: this '{' has no '}'"),
        ("a: [1\n", "f:1:4: this '[' has no ']'"),
        ("a: \"x\n", "f:1:4: this quote has no end"),
        ("a: (x\n )\n", "f:1:4: this '(' has no ')' on a line of its own"),
        ("\n}", "f:2:1: expected a key, found '}'"),
        ("a: 1 }", "f:1:6: expected a key, found '}'"),
        ("a: 1 b: 2", "f:1:6: expected ',' or the end of the line, found 'b:'"),
        ("name: my server\nport: 1", "f:1:10: expected ',' or the end of the line, found 'server'"),
        ("a: [foo v1]", "f:1:9: expected ',' or ']', found 'v1'"),
        ("a: [1,,2]", "f:1:7: expected a value of a, found ','"),
        ("a: {b: 1,, c: 2}", "f:1:10: expected a key or '}', found ','"),
        (r#"a: "x\q""#, "f:1:4: expected an escape \\t \\n \\r \\\" \\\\ or \\xXX, found '\\q'"),
        (r#"a: "\xff""#, "f:1:4: expected UTF-8 text"),
        ("include {}", "f:1:9: expected a file to include, found '{'"),
    ] {
        assert_eq!(file(text).unwrap_err(), line, "{text}");
    }
    let deep = "a {".repeat(100_000);
    assert_eq!(file(&deep).unwrap_err(), "f:1:99: blocks may be 32 deep");
    let deep = format!("a: {}", "[".repeat(100_000));
    assert_eq!(file(&deep).unwrap_err(), "f:1:36: lists may be 32 deep");
}

#[test]
fn variables_are_of_the_block_the_file_and_the_environment() {
    let world = Made::new(
        &[],
        &[
            ("NUMBER", "7"),
            ("LIST", " [1, $NUMBER] # two"),
            ("port", "9"),
            ("HASH", "$2a$x"),
            ("LOOP", "$LOOP"),
        ],
    );
    let text = "port: 1\nname = n\nb { name: m, x: $name, y: $port, z: $NUMBER, l: $LIST, h: $HASH }\nq: $name\nalso: [$b]";
    let mut section = file_in(&world, text).unwrap();
    let mut block = section.block(&["b"]).unwrap();
    for (key, word) in [("x", "m"), ("y", "1"), ("z", "7"), ("h", "$2a$x")] {
        assert_eq!(block.text(&[key]).as_deref(), Some(word), "{key}");
    }
    let list: Vec<_> = block.list(&["l"]).unwrap().iter().map(|v| v.text().unwrap()).collect();
    assert_eq!(list, ["1", "7"]);
    assert_eq!(section.text(&["q"]).as_deref(), Some("n"));
    assert!(section.list(&["also"]).unwrap().iter().all(Value::is_block));
    // `name` and the block's `name` are settings of nobody, but variables refer to them.
    block.end();
    assert_eq!(section.finish(), Ok(vec![]));
}

#[test]
fn variables_that_are_not_there() {
    let world = Made::new(&[], &[("LOOP", "[$LOOP]"), ("TWO", "a b")]);
    let mut section = file_in(&world, "a: $b\nb: $b\nport: x").unwrap();
    assert_eq!(section.integer(&["a"], 0, 9), None);
    assert_eq!(section.list(&["b"]).map(|list| list.len()), Some(0));
    section.integer(&["port"], 0, 9);
    let unset = "expected a variable that is set before, or in the environment";
    assert_eq!(
        section.finish().unwrap_err().to_string(),
        format!(
            "f:1:4: $b: {unset}\nf:2:4: $b: {unset}\n\
             f:3:7: port: expected a whole number from 0 to 9, found 'x'"
        )
    );
    assert_eq!(file_in(&world, "a: $LOOP").unwrap_err(), "$LOOP:1:1: refers to itself");
    assert_eq!(file_in(&world, "a: $TWO").unwrap_err(), "$TWO:1:3: expected one value, found 'b'");
    let laughs: String =
        (1..20).map(|n| format!("a{n}: [{0},{0},{0},{0}]\n", format!("$a{}", n - 1))).collect();
    let mistake = file(&format!("a0: 1\n{laughs}")).unwrap_err();
    assert_eq!(mistake, "f:9:18: $a7: variables may copy 100000 values");
}

#[test]
fn files_include_files() {
    let world = Made::new(
        &[
            (
                "d/f",
                "include one.conf\nport: 2\nuser: $user\nb {\n include \"sub/two.conf\"\n}\ninclude 'gone'",
            ),
            ("d/one.conf", "port: 1\nhost: h"),
            ("d/sub/two.conf", "x: 1\ninclude ../three.conf; y: $x"),
            ("d/sub/../three.conf", "z: maybe\nuser: u"),
            ("loop", "a: 1\ninclude loop"),
        ],
        &[("user", "me")],
    );
    let mut section = parse(Path::new("d/f"), world.files.get(Path::new("d/f")).unwrap(), &world).unwrap();
    assert_eq!(section.integer(&["port"], 0, 9), Some(2));
    assert_eq!(section.text(&["host"]).as_deref(), Some("h"));
    assert_eq!(section.text(&["user"]).as_deref(), Some("me"));
    let mut block = section.block(&["b"]).unwrap();
    assert_eq!(block.integer(&["y"], 0, 9), Some(1));
    assert_eq!(block.truth(&["z"]), None);
    block.end();
    assert_eq!(
        section.finish().unwrap_err().to_string(),
        "d/f:7:1: include: d/gone: No such file or directory (os error 2)\n\
         d/sub/../three.conf:1:4: z: expected true or false, found 'maybe'\n\
         d/sub/../three.conf:2:1: user: unknown key"
    );
    assert_eq!(file_in(&world, "include loop").unwrap_err(), "loop:2:1: include: loop includes itself");
    assert_eq!(file_in(&world, "include f").unwrap_err(), "f:1:1: include: f includes itself");
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

#[test]
fn what_there_is_not_may_be_off() {
    let mut section = file("a {}\nb: off\nc: 1\nd { x: 1 }\ne: 5").unwrap();
    section.absent(&[("a", "a's"), ("b", "b's"), ("c", "c's"), ("d", "d's"), ("f", "f's")]);
    section.take(&["e"]).unwrap().remark("five");
    let mistakes = section.clone().finish().unwrap_err().to_string();
    assert_eq!(mistakes, "f:3:4: c: natsd has no c's\nf:4:3: d: natsd has no d's");
    let remarks = section.finish().unwrap();
    assert_eq!(remarks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["f:5:4: e: five"]);
}

#[test]
fn text_that_ends_anywhere_is_read_or_refused() {
    let text = "a: 1 # x\nb { c: [1, 'two', \"t\\x41\"\n], d: $a }\ninclude 'x'\ne: (\n f\n)\n{\"g\": 'ä'}\n";
    for (end, _) in text.char_indices() {
        let _ = file(&text[..end]).map(Section::finish);
    }
    let mut section = file(&text.replace("include 'x'\n", "")).unwrap();
    section.take_all();
    assert_eq!(section.finish(), Ok(vec![]));
}
