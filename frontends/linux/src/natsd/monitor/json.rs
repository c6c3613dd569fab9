//! JSON as nats-server's monitoring writes it, into a vector.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// Writes JSON piece by piece. Keys and values come in their order; brackets must match.
#[derive(Debug)]
pub(crate) struct Json<'o> {
    out: &'o mut Vec<u8>,
    state: State,
}

/// What a writer knows between two pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Two blanks for each level, and a line for each value; none at all otherwise.
    pretty: bool,
    depth: usize,
    /// Nothing stands in the innermost brackets yet.
    fresh: bool,
    /// A key stands before the next value.
    keyed: bool,
}

impl State {
    /// The beginning of a document.
    pub(crate) const fn new(pretty: bool) -> Self {
        Self { pretty, depth: 0, fresh: true, keyed: true }
    }
}

impl<'o> Json<'o> {
    /// Goes on where `state` was.
    pub(crate) fn new(out: &'o mut Vec<u8>, state: State) -> Self {
        Self { out, state }
    }

    /// For the next [`Json::new`].
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Bytes of this and earlier pieces in the vector.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    fn line(&mut self) {
        if self.state.pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + 2 * self.state.depth, b' ');
        }
    }

    /// What comes before a value or a key.
    fn before(&mut self) {
        if !std::mem::replace(&mut self.state.keyed, false) {
            if !std::mem::replace(&mut self.state.fresh, false) {
                self.out.push(b',');
            }
            self.line();
        }
    }

    fn open(&mut self, bracket: u8) -> &mut Self {
        self.before();
        self.out.push(bracket);
        self.state.depth += 1;
        self.state.fresh = true;
        self
    }

    fn close(&mut self, bracket: u8) -> &mut Self {
        self.state.depth = self.state.depth.saturating_sub(1);
        if !std::mem::replace(&mut self.state.fresh, false) {
            self.line();
        }
        self.out.push(bracket);
        self
    }

    pub(crate) fn begin_object(&mut self) -> &mut Self {
        self.open(b'{')
    }

    pub(crate) fn end_object(&mut self) -> &mut Self {
        self.close(b'}')
    }

    pub(crate) fn begin_array(&mut self) -> &mut Self {
        self.open(b'[')
    }

    pub(crate) fn end_array(&mut self) -> &mut Self {
        self.close(b']')
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.before();
        self.quoted(key.as_bytes());
        self.out.extend_from_slice(if self.state.pretty { b": " } else { b":" });
        self.state.keyed = true;
        self
    }

    /// A number, or what else needs no quotes.
    pub(crate) fn bare(&mut self, value: impl fmt::Display) -> &mut Self {
        self.before();
        let _ = write!(Text(self.out), "{value}");
        self
    }

    /// A text, of which nothing must be escaped.
    pub(crate) fn plain(&mut self, value: impl fmt::Display) -> &mut Self {
        self.before();
        let _ = write!(Text(self.out), "\"{value}\"");
        self
    }

    /// JSON as it is.
    pub(crate) fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.before();
        self.out.extend_from_slice(json);
        self
    }

    /// Any bytes as text; what is not UTF-8 becomes U+FFFD.
    pub(crate) fn text(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.before();
        self.quoted(bytes.as_ref());
        self
    }

    /// A key and a number.
    pub(crate) fn number(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
        self.key(key).bare(value)
    }

    /// A key and a text.
    pub(crate) fn string(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.key(key).text(value)
    }

    /// A key and a text, if it is not empty.
    pub(crate) fn some(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        if value.as_ref().is_empty() { self } else { self.string(key, value) }
    }

    /// A key and `[]` or `{}`.
    pub(crate) fn empty(&mut self, key: &str, brackets: &str) -> &mut Self {
        self.key(key).bare(brackets)
    }

    fn quoted(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        for chunk in bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '"' => self.out.extend_from_slice(b"\\\""),
                    '\\' => self.out.extend_from_slice(b"\\\\"),
                    // As Go does, so that the text can stand in HTML.
                    '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        let _ = write!(Text(self.out), "\\u{:04x}", u32::from(char));
                    }
                    _ => {
                        let _ = Text(self.out).write_char(char);
                    }
                }
            }
            if !chunk.invalid().is_empty() {
                self.out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
        self.out.push(b'"');
    }
}

/// Bytes as a place for formatted text.
pub(crate) struct Text<'o>(pub(crate) &'o mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A number of thousandths, displayed without zeros at the end: `2`, `0.5`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thousandths(pub(super) u64);

impl Thousandths {
    /// Seconds.
    pub(super) fn of(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        match rest {
            0 => write!(out, "{whole}"),
            _ if rest % 100 == 0 => write!(out, "{whole}.{}", rest / 100),
            _ if rest % 10 == 0 => write!(out, "{whole}.{:02}", rest / 10),
            _ => write!(out, "{whole}.{rest:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pretty: bool) -> String {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, State::new(pretty));
        json.begin_object().number("a", 1).some("none", "").string("s", "x\"<\n\u{e4}").empty("e", "{}");
        json.key("list").begin_array();
        // A new writer for each piece, as in a long answer.
        let mut state = json.state();
        for number in 0..2 {
            let mut json = Json::new(&mut out, state);
            json.begin_object().number("n", number).end_object();
            state = json.state();
        }
        let mut json = Json::new(&mut out, state);
        json.end_array().key("nothing").begin_array().end_array().string("bad", b"\xff.").end_object();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn thousandths() {
        for (number, text) in [(0, "0"), (2_000, "2"), (1_500, "1.5"), (1_050, "1.05"), (7, "0.007")] {
            assert_eq!(Thousandths(number).to_string(), text);
        }
    }

    #[test]
    fn pieces_become_a_document() {
        assert_eq!(
            sample(false),
            "{\"a\":1,\"s\":\"x\\\"\\u003c\\u000a\u{e4}\",\"e\":{},\"list\":[{\"n\":0},{\"n\":1}],\
             \"nothing\":[],\"bad\":\"\u{fffd}.\"}"
        );
        let pretty = sample(true);
        assert!(pretty.contains("{\n  \"a\": 1,\n  \"s\""), "{pretty}");
        assert!(pretty.contains("\"list\": [\n    {\n      \"n\": 0\n    },\n    {"), "{pretty}");
        let value: serde_json::Value = serde_json::from_str(&pretty).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&sample(false)).unwrap());
    }
}
