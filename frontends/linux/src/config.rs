//! Configuration files in nats-server's syntax, shared by all daemons: `key: value`, `key = value` or
//! `key value`, blocks, lists, comments, sizes and durations. Every mistake is named by file, line and key.
//!
//! ```text
//! # a comment            // another
//! port: 4222             max_payload = 64KB
//! ping_interval "30s"
//! server_name: "my server"
//! block { key: [ "a", b  c ] }
//! ```
//!
//! Sizes are numbers with `k`, `m`, `g` (thousands) or `kb`, `mb`, `gb` (1024); durations are Go's (`1m30s`,
//! `250ms`) or bare seconds. nats-server's `include` and `$variables` are refused by name.

mod parse;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// What is wrong with a configuration, in one line: `FILE:LINE: KEY: expected …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    file: Rc<PathBuf>,
    line: usize,
    message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if self.line > 0 {
            write!(out, ":{}", self.line)?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for Error {}

/// The keys and values of a file or of a block in it. [`Section::take`] what is known, then [`Section::end`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    file: Rc<PathBuf>,
    entries: Vec<Value>,
}

/// A key's value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    file: Rc<PathBuf>,
    line: usize,
    key: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// What stood without quotes, or in them.
    Word(String),
    List(Vec<Value>),
    Block(Vec<Value>),
}

/// Reads and parses `path`.
///
/// # Errors
/// It cannot be read, or its syntax is wrong.
pub fn read(path: &Path) -> Result<Section, Error> {
    let file = Rc::new(path.to_owned());
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => Err(Error { file, line: 0, message: error.to_string() }),
    }
}

/// Parses `text`; `path` is for errors.
///
/// # Errors
/// Its syntax is wrong.
///
/// ```
/// use lunix::config;
/// let mut file = config::parse("my.conf".as_ref(), "port: 1  name 'x y'\nsize = 2KB").unwrap();
/// assert_eq!(file.take(&["port"]).unwrap().integer(1, 9).unwrap(), 1);
/// assert_eq!(file.take(&["name"]).unwrap().text().unwrap(), "x y");
/// assert_eq!(file.take(&["size"]).unwrap().size(0, 4096).unwrap(), 2048);
/// assert!(file.end().is_ok());
/// ```
pub fn parse(path: &Path, text: &str) -> Result<Section, Error> {
    let file = Rc::new(path.to_owned());
    let entries = parse::document(&file, text)?;
    Ok(Section { file, entries })
}

impl Section {
    /// Takes the value of the first key that has one of these names, compared without regard to case.
    pub fn take(&mut self, names: &[&str]) -> Option<Value> {
        let at =
            self.entries.iter().position(|entry| names.iter().any(|n| entry.key.eq_ignore_ascii_case(n)))?;
        Some(self.entries.remove(at))
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// The first key that nobody has taken: it is unknown, or it is there twice.
    pub fn end(self) -> Result<(), Error> {
        match self.entries.into_iter().next() {
            Some(value) => Err(value.error("unknown key, or one that is there twice")),
            None => Ok(()),
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Value {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// An error about this value.
    pub fn error(&self, message: impl fmt::Display) -> Error {
        Error { file: self.file.clone(), line: self.line, message: format!("{}: {message}", self.key) }
    }

    /// An error in the form that all of them have.
    pub fn wrong(&self, expected: &str) -> Error {
        match &self.kind {
            Kind::Word(word) => {
                self.error(format_args!("expected {expected}, found '{}'", word.escape_debug()))
            }
            Kind::List(_) => self.error(format_args!("expected {expected}, found a list")),
            Kind::Block(_) => self.error(format_args!("expected {expected}, found a block")),
        }
    }

    fn word(&self, expected: &str) -> Result<&str, Error> {
        match &self.kind {
            Kind::Word(word) => Ok(word),
            _ => Err(self.wrong(expected)),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// It is a list or a block.
    pub fn text(&self) -> Result<String, Error> {
        self.word("text").map(str::to_owned)
    }

    /// `true`, `yes`, `on` or `false`, `no`, `off`.
    ///
    /// # Errors
    /// It is anything else.
    pub fn truth(&self) -> Result<bool, Error> {
        const EXPECTED: &str = "true or false";
        match self.word(EXPECTED)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.wrong(EXPECTED)),
        }
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// It is anything else.
    pub fn integer(&self, least: i64, most: i64) -> Result<i64, Error> {
        let expected = format!("a whole number from {least} to {most}");
        let number = scaled(self.word(&expected)?).filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.wrong(&expected))
    }

    /// A number of bytes from `least` to `most`, such as `64KB`.
    ///
    /// # Errors
    /// It is anything else.
    pub fn size(&self, least: usize, most: usize) -> Result<usize, Error> {
        let expected = format!("a size from {least} to {most} bytes, such as 64KB");
        let number = scaled(self.word(&expected)?).and_then(|number| usize::try_from(number).ok());
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| self.wrong(&expected))
    }

    /// A duration from `least` to `most`, such as `1m30s`; a bare number is seconds.
    ///
    /// # Errors
    /// It is anything else.
    pub fn duration(&self, least: Duration, most: Duration) -> Result<Duration, Error> {
        let expected = format!("a duration from {least:?} to {most:?}, such as 30s");
        let span = duration(self.word(&expected)?);
        span.filter(|span| (least..=most).contains(span)).ok_or_else(|| self.wrong(&expected))
    }

    /// The elements of a list; a single value is a list of one.
    pub fn list(self) -> Vec<Self> {
        match self.kind {
            Kind::List(values) => values,
            _ => vec![self],
        }
    }

    /// A block.
    ///
    /// # Errors
    /// It is anything else.
    pub fn block(self) -> Result<Section, Error> {
        match self.kind {
            Kind::Block(entries) => Ok(Section { file: self.file, entries }),
            _ => Err(self.wrong("a block in { }")),
        }
    }
}

/// `12`, `-1`, `4k`, `64KB`, `1MiB`.
fn scaled(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '+').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" | "ki" | "kib" => 1 << 10,
        "m" => 1_000_000,
        "mb" | "mi" | "mib" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" | "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// `2`, `2s`, `1m30s`, `250ms`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        total = total.checked_add(span)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Section, String> {
        parse(Path::new("f"), text).map_err(|error| error.to_string())
    }

    fn value(text: &str) -> Value {
        file(&format!("\n\nkey: {text}\n")).unwrap().take(&["key"]).unwrap()
    }

    #[test]
    fn every_form_of_a_pair() {
        for text in
            ["a:1\nb:2", "a = 1; b = 2", "a 1, b 2", "a:1 # one\nb\t=\t2 // two", "\n\n a : \"1\"\r\nb 2;"]
        {
            let mut section = file(text).unwrap();
            assert_eq!(section.take(&["A"]).unwrap().integer(0, 9), Ok(1), "{text}");
            assert_eq!(section.take(&["b"]).unwrap().text(), Ok("2".to_owned()), "{text}");
            assert_eq!(section.end(), Ok(()), "{text}");
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
            assert_eq!(value(text).text(), Ok(word.to_owned()));
        }
    }

    #[test]
    fn lists_and_blocks() {
        let mut section = file("a { b: [1, two\n 'three'] c { d 4 } }\nsingle: x").unwrap();
        let mut a = section.take(&["a"]).unwrap().block().unwrap();
        let list: Vec<_> = a.take(&["b"]).unwrap().list().iter().map(|v| v.text().unwrap()).collect();
        assert_eq!(list, ["1", "two", "three"]);
        let mut c = a.take(&["c"]).unwrap().block().unwrap();
        assert_eq!(c.take(&["d"]).unwrap().text(), Ok("4".to_owned()));
        assert_eq!(section.take(&["single"]).unwrap().list().len(), 1);
        assert!(section.end().is_ok() && a.end().is_ok() && c.end().is_ok());
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(value("64KB").size(0, usize::MAX), Ok(65_536));
        assert_eq!(value("64k").size(0, usize::MAX), Ok(64_000));
        assert_eq!(value("1MiB").size(0, usize::MAX), Ok(1 << 20));
        assert_eq!(value("2").duration(Duration::ZERO, Duration::MAX), Ok(Duration::from_secs(2)));
        assert_eq!(value("\"1m30s\"").duration(Duration::ZERO, Duration::MAX), Ok(Duration::from_secs(90)));
        assert_eq!(
            value("1.5s250ms").duration(Duration::ZERO, Duration::MAX),
            Ok(Duration::from_millis(1750))
        );
        for text in ["x", "1y", "1m30", "1e400s", "99999999999999999999s", "s", "."] {
            assert!(value(text).duration(Duration::ZERO, Duration::MAX).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_name_file_line_and_key() {
        let most = Duration::from_secs(9);
        assert_eq!(value("on").truth(), Ok(true));
        for (error, line) in [
            (value("maybe").truth().unwrap_err(), "f:3: key: expected true or false, found 'maybe'"),
            (
                value("12").integer(0, 9).unwrap_err(),
                "f:3: key: expected a whole number from 0 to 9, found '12'",
            ),
            (value("[1]").text().unwrap_err(), "f:3: key: expected text, found a list"),
            (
                value("1h").duration(Duration::ZERO, most).unwrap_err(),
                "f:3: key: expected a duration from 0ns to 9s, such as 30s, found '1h'",
            ),
            (value("x").block().unwrap_err(), "f:3: key: expected a block in { }, found 'x'"),
        ] {
            assert_eq!(error.to_string(), line);
        }
        for (text, line) in [
            ("a: 1\nb", "f:2: b: expected a value"),
            ("a: 1\nb {\nc: 2\n", "f:2: b: expected '}' at the end of the block"),
            ("a: [1\n", "f:1: a: expected ']' at the end of the list"),
            ("a: \"x\n", "f:1: a: expected a closing quote on the same line"),
            ("\n}", "f:2: expected a key, found '}'"),
            ("a: 1 }", "f:1: expected a key, found '}'"),
            ("include x.conf", "f:1: include: not in this build"),
            ("a: $x", "f:1: a: variables are not in this build; quote it if it is text"),
        ] {
            assert_eq!(file(text).unwrap_err(), line, "{text}");
        }
        let section = file("a: 1\nzz: 2").unwrap();
        let mut known = section.clone();
        known.take(&["a"]);
        assert_eq!(known.end().unwrap_err().to_string(), "f:2: zz: unknown key, or one that is there twice");
        let deep = "a {".repeat(100_000);
        assert_eq!(file(&deep).unwrap_err(), "f:1: a: blocks may be 32 deep");
    }
}
