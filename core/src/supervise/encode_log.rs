//! Writes what services print.

use lunix_proto::{Full, json::Writer, nats::subject::push_token};

use crate::time::Instant;

/// A line that a service printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was read.
    pub at: Instant,
    /// Its bytes without the newline; what is not UTF-8 becomes U+FFFD.
    pub text: &'a [u8],
}

/// `service.<name>.<what>`, where the name becomes a token. Bytes written.
///
/// ```
/// use lunix_core::supervise::encode_log::subject;
/// let mut out = [0; 64];
/// let len = subject(&mut out, "my.daemon", "log")?;
/// assert_eq!(&out[..len], b"service.my_daemon.log");
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn subject(out: &mut [u8], name: &str, what: &str) -> Result<usize, Full> {
    const PREFIX: &[u8] = b"service.";
    let full = Full { needed: PREFIX.len() + name.len().max(1) + 1 + what.len() };
    let out = out.get_mut(..full.needed).ok_or(full)?;
    let (prefix, rest) = out.split_at_mut_checked(PREFIX.len()).ok_or(full)?;
    prefix.copy_from_slice(PREFIX);
    let token = push_token(rest, name.as_bytes())?;
    let (dot, rest) = rest.get_mut(token..).and_then(|rest| rest.split_first_mut()).ok_or(full)?;
    *dot = b'.';
    rest.get_mut(..what.len()).ok_or(full)?.copy_from_slice(what.as_bytes());
    Ok(PREFIX.len() + token + 1 + what.len())
}

/// The event `service.<name>.log`: one line, and how many before it were not told since it prints too much.
///
/// ```
/// use lunix_core::{supervise::encode_log::{Line, line}, time::Instant};
/// let said = Line { at: Instant::from_micros(3), text: b"up" };
/// let mut out = [0; 64];
/// let len = line(&mut out, "a", &said, 2)?;
/// assert_eq!(&out[..len], br#"{"name":"a","at_us":3,"line":"up","dropped":2}"#);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn line(out: &mut [u8], name: &str, line: &Line<'_>, dropped: u64) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("name").string(name);
    members(&mut json, line);
    if dropped > 0 {
        json.key("dropped").number(dropped);
    }
    json.end_object().finish()
}

/// The answer of `service.<name>.tail`: the last lines, oldest first.
///
/// ```
/// use lunix_core::{supervise::encode_log::{Line, tail}, time::Instant};
/// let lines = [Line { at: Instant::from_micros(3), text: b"up" }];
/// let mut out = [0; 64];
/// let len = tail(&mut out, lines.into_iter())?;
/// assert_eq!(&out[..len], br#"[{"at_us":3,"line":"up"}]"#);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn tail<'a>(out: &mut [u8], lines: impl Iterator<Item = Line<'a>>) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_array();
    for line in lines {
        json.begin_object();
        members(&mut json, &line);
        json.end_object();
    }
    json.end_array().finish()
}

fn members(json: &mut Writer<'_>, line: &Line<'_>) {
    json.key("at_us").number(line.at.as_micros()).key("line").string_bytes(line.text);
}
