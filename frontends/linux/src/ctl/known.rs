//! What natsinit says of services, as far as a person wants to see it. Texts hold nothing that a terminal obeys.

use lunix_core::toast::{Lines, Text};
use lunix_proto::json::{self, Object, Value};
use lunix_proto::nats::subject;

use crate::bus::Message;
use crate::cli::{Matches, UsageError};
use crate::terminal;

/// Elements of a list that are kept: more than a supervisor has services, and not without end.
const MOST: usize = 1 << 16;

/// How a service stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) pid: Option<u64>,
    pub(super) restarts: u64,
    pub(super) at: u64,
    /// How its last process ended, in words; empty while it has one.
    pub(super) end: String,
}

/// What a service or a process has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) name: String,
    pub(super) cpu: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) peak: Option<u64>,
    pub(super) pids: Option<u64>,
    pub(super) read: Option<u64>,
    pub(super) written: Option<u64>,
}

impl Service {
    /// `None` if it has no name or no state.
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        let number = |key| object.get(key).and_then(|value| value.as_i64());
        let end = match (number("exit_code"), number("signal"), number("errno")) {
            (Some(code), ..) => format!("exit code {code}"),
            (_, Some(signal), _) => format!("signal {signal}"),
            (.., Some(errno)) => {
                std::io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or_default()).to_string()
            }
            _ => String::new(),
        };
        let (name, state) = (text(object, "name"), text(object, "state"));
        let whole = |key| object.get(key).and_then(|value| value.as_u64());
        let known = !name.is_empty() && !state.is_empty();
        known.then(|| Self {
            name,
            state,
            pid: whole("pid"),
            restarts: whole("restarts").unwrap_or_default(),
            at: whole("at_us").unwrap_or_default(),
            end,
        })
    }

    /// The colour of its state.
    pub(super) fn colour(&self) -> &'static str {
        colour(&self.state)
    }
}

/// The colour of a state.
pub(super) fn colour(state: &str) -> &'static str {
    match state {
        "ready" => "32",
        "failed" => "1;31",
        "backoff" => "33",
        "starting" | "stopping" => "36",
        _ => "2",
    }
}

impl Usage {
    pub(super) fn read(object: &Object<'_>) -> Self {
        let whole = |key| object.get(key).and_then(|value| value.as_u64());
        Self {
            name: text(object, "name"),
            cpu: whole("cpu_us"),
            rss: whole("rss"),
            peak: whole("peak_rss"),
            pids: whole("pids"),
            read: whole("io_read"),
            written: whole("io_write"),
        }
    }
}

/// The objects of an array.
pub(super) fn objects(payload: &[u8]) -> Option<Vec<Object<'_>>> {
    let list = json::parse(payload).ok()?.as_array()?;
    Some(list.iter().filter_map(|value| value.as_object()).take(MOST).collect())
}

/// Why a request was refused, if it was: as micro-services say it, or in the payload.
pub(super) fn refusal(message: &Message) -> Option<String> {
    if let Some(why) = message.headers().and_then(|headers| headers.get("Nats-Service-Error")) {
        return Some(terminal::one_line(why));
    }
    let object = json::parse(message.payload()).ok()?.as_object()?;
    Some(text(&object, "error")).filter(|why| !why.is_empty())
}

/// A member that is text, in one line; empty if it is none.
pub(super) fn text(object: &Object<'_>, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => Text::from(text).printable(Lines::Joined).collect(),
        _ => String::new(),
    }
}

/// Members that are an array of texts.
pub(super) fn texts(object: &Object<'_>, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(|value| value.as_array()).into_iter().flatten();
    let words = list.filter_map(|value| value.as_str());
    words.map(|text| Text::from(text).printable(Lines::Joined).collect()).collect()
}

/// The names of services in the arguments.
pub(super) fn names(matches: &Matches) -> Result<Vec<String>, UsageError> {
    matches.arguments_that("the name of a service", |text| {
        subject::is_literal(text.as_bytes()) && !text.contains('.')
    })
}

/// `850 us`, `1.2 ms`, `12 ms`, `1.25 s`, `2:03 min`.
pub(super) fn span(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
        _ => age(micros),
    }
}

/// `5 s`, `2:03 min`, `3:10 h`, `12 d`: how long something is ago.
pub(super) fn age(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}:{:02} h", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Something that may not be known.
pub(super) fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_read_them() {
        for (micros, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_250, "1.2 ms"),
            (12_345, "12 ms"),
            (1_234_567, "1.23 s"),
            (123_000_000, "2:03 min"),
            (11_400_000_000, "3:10 h"),
            (1_036_800_000_000, "12 d"),
            (u64::MAX, "213503982 d"),
        ] {
            assert_eq!(span(micros), text);
        }
    }

    #[test]
    fn what_strangers_say_is_taken_with_care() {
        let list = br#"[{"name":"a\u001b[2J","state":"ready","pid":-1,"restarts":"x","at_us":1e9},7,{"name":"b"},{}]"#;
        let services: Vec<_> = objects(list).unwrap().iter().filter_map(Service::read).collect();
        assert_eq!(services.len(), 1);
        assert_eq!((services[0].name.as_str(), services[0].pid, services[0].restarts), ("a", None, 0));
        assert!(objects(b"{}").is_none() && objects(b"").is_none());
        let ended = br#"[{"name":"a","state":"failed","errno":2}]"#;
        let service = Service::read(&objects(ended).unwrap()[0]).unwrap();
        assert!(service.end.contains("No such file"), "{}", service.end);
    }
}
