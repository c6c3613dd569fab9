//! One message as one line: time, subject, what matters, and the rest dimmed.

use std::fmt::Write as _;

use lunix_core::toast::{Lines, Text};
use lunix_proto::json::{self, Object, Value};
use lunix_proto::nats::header::Headers;

use super::look::{Fact, look};
use crate::terminal::{self, Terminal};

const DIM: &str = "2";
const BOLD: &str = "1";
const RED: &str = "1;31";

/// The subject's column grows with what comes, between these.
const NARROW: usize = 24;
const WIDE: usize = 36;
/// Bytes of a binary payload that are shown.
const BYTES: usize = 24;

/// Draws lines; remembers how wide subjects have been.
#[derive(Debug)]
pub(super) struct Painter {
    pub(super) terminal: Terminal,
    column: usize,
}

/// A message, as the bus has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'m> {
    pub(super) subject: &'m [u8],
    /// Somebody waits for an answer.
    pub(super) asks: bool,
    pub(super) headers: Option<Headers<'m>>,
    pub(super) payload: &'m [u8],
}

/// Text with a colour.
struct Span {
    sgr: &'static str,
    text: String,
}

impl Painter {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, column: NARROW }
    }

    /// The line for `seen`, with its end. Cut to the terminal's width; whole on a pipe.
    pub(super) fn line(&mut self, clock: &str, seen: &Seen<'_>) -> String {
        let look = look(seen.subject);
        let mut subject = terminal::one_line(seen.subject);
        if seen.asks {
            subject.push('?');
        }
        let wide = terminal::width(&subject);
        self.column = self.column.max(wide.min(WIDE));

        let mut spans = Vec::new();
        let fold = self.terminal.obeys;
        match json::parse(seen.payload) {
            Ok(Value::Object(object)) => {
                let mut used = Vec::new();
                facts(&object, look.facts, &mut used, &mut spans);
                rest(&object, &used, fold, &mut spans);
            }
            Ok(Value::Array(array)) => {
                let count = array.iter().count();
                let word = if count == 1 { "entry" } else { "entries" };
                spans.push(Span { sgr: BOLD, text: format!("{count} {word}") });
                spans.push(Span { sgr: DIM, text: compact(&Value::Array(array), false) });
            }
            _ => spans.push(plain(seen.payload)),
        }
        if let Some(headers) = seen.headers {
            header_spans(headers, &mut spans);
        }

        let mut line = String::new();
        let mut room = if fold { self.terminal.width } else { usize::MAX };
        let mut put = |sgr: &str, text: &str, room: &mut usize| {
            let text = terminal::fit(text, *room);
            *room = room.saturating_sub(terminal::width(&text));
            line.push_str(&self.terminal.paint(sgr, &text));
        };
        put(DIM, clock, &mut room);
        put("", "  ", &mut room);
        put(look.colour, &subject, &mut room);
        let pad = if room == 0 { 0 } else { self.column.saturating_sub(wide) + 1 };
        put("", &" ".repeat(pad), &mut room);
        for span in spans.iter().filter(|span| !span.text.is_empty()) {
            // A span that would only be an ellipsis is left out.
            if room < 3 {
                break;
            }
            put("", " ", &mut room);
            put(span.sgr, &span.text, &mut room);
        }
        line.push('\n');
        line
    }
}

/// The payload that is no JSON object: text, or some bytes of what is none.
fn plain(payload: &[u8]) -> Span {
    let text = terminal::one_line(payload);
    // Sensors, pictures, protocol buffers: text has few bytes that are none.
    let strange = payload.iter().filter(|&&byte| byte < b' ' && !b"\t\r\n\x1b".contains(&byte)).count()
        + text.matches(char::REPLACEMENT_CHARACTER).count();
    if payload.is_empty() {
        Span { sgr: DIM, text: "(empty)".into() }
    } else if strange * 8 > payload.len() {
        let mut text = format!("{} bytes:", payload.len());
        for byte in payload.iter().take(BYTES) {
            let _ = write!(text, " {byte:02x}");
        }
        if payload.len() > BYTES {
            text.push_str(" \u{2026}");
        }
        Span { sgr: DIM, text }
    } else {
        Span { sgr: "", text: text.trim().to_owned() }
    }
}

fn header_spans(headers: Headers<'_>, spans: &mut Vec<Span>) {
    if let Some(status) = headers.status() {
        let text = format!("{status} {}", terminal::one_line(headers.description()));
        spans.push(Span { sgr: RED, text: text.trim_end().to_owned() });
    }
    for (name, value) in headers.iter() {
        let text = format!("{}: {}", terminal::one_line(name), terminal::one_line(value));
        spans.push(Span { sgr: DIM, text });
    }
}

/// Writes what the table knows about; names the members it has used.
fn facts(object: &Object<'_>, wanted: &[Fact], used: &mut Vec<&'static str>, spans: &mut Vec<Span>) {
    for fact in wanted {
        let mut take = |path: &'static str| {
            used.push(path.split('.').next().unwrap_or(path));
            let mut keys = path.split('.');
            let mut value = object.get(keys.next()?)?;
            for key in keys {
                value = value.as_object()?.get(key)?;
            }
            let text = said(&value);
            // `/dev/sda` says `sda` as well.
            let said = spans.iter().any(|span| {
                span.text
                    .strip_suffix(text.as_str())
                    .is_some_and(|head| head.is_empty() || head.ends_with('/'))
            });
            (!text.is_empty() && !said).then_some(text)
        };
        let labelled = |word: &str, text: String| format!("{word} {text}");
        let span = match *fact {
            Fact::Name(key) => take(key).map(|text| Span { sgr: BOLD, text }),
            Fact::Plain(key) => take(key).map(|text| Span { sgr: "", text }),
            Fact::Dim(key) => take(key).map(|text| Span { sgr: DIM, text }),
            Fact::Group(key) => take(key).map(|text| Span { sgr: "", text: format!("{text}:") }),
            Fact::Labelled(word, key) => take(key).map(|text| Span { sgr: "", text: labelled(word, text) }),
            Fact::Bad(word, key) => {
                // An exit code of 0 is no bad news.
                take(key)
                    .map(|text| Span { sgr: if text == "0" { "" } else { RED }, text: labelled(word, text) })
            }
            Fact::Number(key) => take(key).map(|text| Span { sgr: DIM, text: format!("#{text}") }),
            Fact::Percent(key) => take(key).map(|text| Span { sgr: "", text: format!("{text} %") }),
            Fact::Size(key) => {
                take(key).map(|text| Span { sgr: "", text: text.parse().map_or(text, terminal::bytes) })
            }
            Fact::Pair(left, right) => match (take(left), take(right)) {
                (Some(left), Some(right)) => Some(Span { sgr: "", text: format!("{left}:{right}") }),
                (left, right) => left.or(right).map(|text| Span { sgr: "", text }),
            },
            Fact::Each(key, wanted) => {
                used.push(key);
                for element in object.get(key).and_then(|value| value.as_array()).into_iter().flatten() {
                    let Value::Object(element) = element else { continue };
                    spans.push(Span { sgr: DIM, text: "\u{b7}".into() });
                    facts(&element, wanted, &mut Vec::new(), spans);
                }
                None
            }
            Fact::Hidden(key) => {
                used.push(key);
                None
            }
        };
        spans.extend(span);
    }
}

/// Writes the members that the table does not know.
fn rest(object: &Object<'_>, used: &[&'static str], fold: bool, spans: &mut Vec<Span>) {
    for (key, value) in object.iter() {
        if used.iter().any(|used| key.eq_str(used)) {
            continue;
        }
        let key: String = Text::from(key).printable(Lines::Joined).collect();
        spans.push(Span { sgr: DIM, text: format!("{key}={}", compact(&value, fold)) });
    }
}

/// A value as a person says it.
fn said(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => {
            Text::from(*text).printable(Lines::Joined).collect::<String>().trim().to_owned()
        }
        value => compact(value, true),
    }
}

/// A value as JSON without white space, except that a string that is one word has no quotes. Folded, what nests says only how much it holds.
/// No deeper than [`json::MAX_DEPTH`], as the parser has seen to.
fn compact(value: &Value<'_>, fold: bool) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.as_raw().to_owned(),
        Value::String(text) => {
            let text: String = Text::from(*text).printable(Lines::Joined).collect();
            let word = !text.is_empty() && !text.contains([' ', '"', ',', '=', '{', '}', '[', ']']);
            if word { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
        }
        Value::Array(array) if fold && array.iter().any(|value| !is_leaf(&value)) => {
            format!("[{} \u{2026}]", array.iter().count())
        }
        Value::Array(array) => {
            let parts: Vec<_> = array.iter().map(|value| compact(&value, fold)).collect();
            format!("[{}]", parts.join(","))
        }
        Value::Object(object) if fold => format!("{{{} \u{2026}}}", object.iter().count()),
        Value::Object(object) => {
            let part = |(key, value): (json::Str<'_>, Value<'_>)| {
                format!("{}:{}", compact(&Value::String(key), false), compact(&value, false))
            };
            format!("{{{}}}", object.iter().map(part).collect::<Vec<_>>().join(","))
        }
    }
}

fn is_leaf(value: &Value<'_>) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_pipe(subject: &str, payload: &[u8]) -> String {
        let seen = Seen { subject: subject.as_bytes(), asks: false, headers: None, payload };
        let line = Painter::new(Terminal::PLAIN).line("12:00:00.000", &seen);
        let rest = line.strip_prefix(&format!("12:00:00.000  {subject}")).unwrap();
        rest.trim().to_owned()
    }

    #[test]
    fn important_facts_come_first() {
        for (subject, payload, line) in [
            ("toast.in", &b"a USB stick was plugged in!\n"[..], "a USB stick was plugged in!"),
            (
                "toast.show",
                br#"{"id":3,"summary":"Copying","app":"usb","urgency":"low","timeout_ms":0,"progress":40,"again":true}"#,
                "#3 usb: Copying 40 % again=true",
            ),
            ("toast.closed", br#"{"id":3,"reason":"expired"}"#, "#3 expired"),
            (
                "uevent.block.change",
                br#"{"action":"change","devpath":"/devices/virtual/block/loop0","subsystem":"block","seqnum":7,"env":{"DEVNAME":"loop0","DEVTYPE":"disk"}}"#,
                "loop0 disk /devices/virtual/block/loop0",
            ),
            (
                "hardware.usb.add",
                br#"{"devpath":"/x","vendor":"0781","product":"5567","manufacturer":"SanDisk","model":"Cruzer","serial":"1","volumes":[{"devnode":"/dev/sdb1","fstype":"vfat","label":"STICK","uuid":"A","size":16008609792}],"nodes":[]}"#,
                "SanDisk Cruzer 0781:5567 \u{b7} /dev/sdb1 vfat STICK 16.0 GB serial 1",
            ),
            (
                "service.natsd.failed",
                br#"{"name":"natsd","state":"failed","exit_code":1,"restarts":3,"at_us":1}"#,
                "natsd exit code 1 restarts 3",
            ),
            ("service.web.log", br#"{"name":"web","at_us":7,"line":"GET / 200"}"#, "web: GET / 200"),
            (
                "service.web.oom",
                br#"{"name":"web","pid":7,"comm":"hog","killed":2,"at_us":1}"#,
                "web hog pid 7 killed 2",
            ),
            (
                "system.pressure.io",
                br#"{"resource":"io","some":{"avg10":16.42,"avg60":6.57,"avg300":0.08,"total_us":9},"at_us":5}"#,
                "16.42 %",
            ),
            (
                "hardware.tty.add",
                br#"{"devpath":"/devices/virtual/tty/tty3","class":"tty","name":"tty3","devnode":"/dev/tty3","major":4}"#,
                "/dev/tty3 /devices/virtual/tty/tty3",
            ),
            ("process.exit", br#"{"pid":7,"exit_code":0}"#, "pid 7 exit code 0"),
            ("temperature0", b"18", "18"),
            ("x.y", br#"{"a":1,"b":{"c":[1,2]},"d":"two words","e":null}"#, "a=1 b={c:[1,2]} d=\"two words\" e=null"),
            ("x.list", br#"[{"a":1},{"a":2}]"#, "2 entries [{a:1},{a:2}]"),
            ("x.empty", b"", "(empty)"),
            ("x.binary", b"\x00\x01\x02\xff", "4 bytes: 00 01 02 ff"),
            ("x.hostile", b"\x1b]0;owned\x07hi \x1b[2Jthere", "hi there"),
            ("x.json", br#"{"\u001b[2Jk":"\u001b[31mred\u009bH"}"#, "k=red"),
        ] {
            assert_eq!(on_pipe(subject, payload), line);
        }
    }

    #[test]
    fn subjects_align_and_lines_fit_a_terminal() {
        let mut painter = Painter::new(Terminal { obeys: true, colour: false, width: 60 });
        let mut line = |subject: &str, payload: &[u8]| {
            let seen = Seen { subject: subject.as_bytes(), asks: true, headers: None, payload };
            painter.line("12:00:00.000", &seen)
        };
        assert_eq!(line("a.b", b"hello"), format!("12:00:00.000  a.b?{}hello\n", " ".repeat(22)));
        let nested = line("a.b", br#"{"deep":{"a":1,"b":2},"list":[1,2],"more":[{}]}"#);
        assert!(nested.contains("deep={2 \u{2026}} list="), "{nested}");
        for text in [&b"long "[..], b"\xe4\xb8\xad\xe6\x96\x87"] {
            for subject in ["a", "a.subject.that.is.longer.than.all.others.and.the.terminal.itself"] {
                let line = line(subject, &text.repeat(40));
                assert!(terminal::width(line.trim_end()) <= 60, "{line}");
            }
        }
    }

    #[test]
    fn no_message_breaks_the_line() {
        use proptest::prelude::*;
        let colours = Terminal { obeys: true, colour: true, width: 50 };
        let any_bytes = || proptest::collection::vec(any::<u8>(), 0..80);
        proptest!(|(subject in any_bytes(), payload in any_bytes())| {
            let seen = Seen { subject: &subject, asks: false, headers: None, payload: &payload };
            for terminal in [Terminal::PLAIN, colours] {
                let line = Painter::new(terminal).line("12:00:00.000", &seen);
                let (body, end) = line.split_at(line.len() - 1);
                prop_assert_eq!(end, "\n");
                // The only sequences are our own.
                let left = ["2", "1", "1;31", "31", "32", "33", "34", "35", "36", "1;32", "91", "92", "93", "94", "95", "96", "97", "0"]
                    .iter()
                    .fold(body.to_owned(), |text, sgr| text.replace(&format!("\x1b[{sgr}m"), ""));
                prop_assert!(!left.chars().any(char::is_control), "{:?}", line);
            }
        });
    }
}
