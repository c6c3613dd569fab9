//! Writes what the service says.
//!
//! Every function writes one JSON document into the caller's slice and answers its length, or
//! [`Full`] with the bytes it needs. Keys without a value are left out.

use super::request::Refusal;
use super::slot::{Reason, Toast, Why};
use crate::time::{Duration, Instant};
use core::fmt::Write as _;
use lunix_proto::Full;
use lunix_proto::json::Writer;

/// `toast.show`: the toast, with `"again": true` where it was announced before.
///
/// ```
/// use lunix_core::time::Instant;
/// use lunix_core::toast::{encode, Input, Request, Timeouts, Toasts, Why};
/// let mut toasts: Toasts<4, 8, 8, 512> = Toasts::new(Timeouts::STANDARD);
/// let id = toasts.handle(Instant::default(), Input::Toast(&Request::new("hello")))?;
/// let mut out = [0; 1024];
/// let len = encode::show(&mut out, toasts.get(id).unwrap(), Why::New).unwrap();
/// assert_eq!(&out[..len], br#"{"id":1,"summary":"hello","urgency":"normal","timeout_ms":10000}"#);
/// # Ok::<(), lunix_core::toast::Refusal>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn show(out: &mut [u8], toast: Toast<'_>, why: Why) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    facts(&mut json, toast);
    if why == Why::Again {
        json.key("again").bool(true);
    }
    json.end_object();
    json.finish()
}

/// `toast.closed`: `{"id": 3, "reason": "expired"}`.
///
/// # Errors
/// `out` is too short.
pub fn closed(out: &mut [u8], id: u32, reason: Reason) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("id").number(id.into()).key("reason").string(reason.as_str()).end_object();
    json.finish()
}

/// `toast.action`: `{"id": 3, "action": "open"}`.
///
/// # Errors
/// `out` is too short.
pub fn action(out: &mut [u8], id: u32, action: &str) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("id").number(id.into()).key("action").string(action).end_object();
    json.finish()
}

/// The answer to `toast.in`, `toast.close` and `toast.dismiss`: `{"id": 3}`.
///
/// # Errors
/// `out` is too short.
pub fn id(out: &mut [u8], id: u32) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("id").number(id.into()).end_object();
    json.finish()
}

/// The answer to a request that is refused: `{"error": "progress: expected a whole number, 0 to 100"}`.
///
/// # Errors
/// `out` is too short.
pub fn error(out: &mut [u8], refusal: &Refusal) -> Result<usize, Full> {
    let mut said = Line { bytes: [0; 160], len: 0 };
    let _ = write!(said, "{refusal}");
    let mut json = Writer::new(out);
    json.begin_object()
        .key("error")
        .string_bytes(said.bytes.get(..said.len).unwrap_or_default())
        .end_object();
    json.finish()
}

/// The answer to `toast.list` and `toast.history`: an array of toasts as in `toast.show`, each with its `state`
/// (`shown`, `waiting` or the reason of closing), `age_ms` (time in that state) and `left_ms` (time until it expires).
///
/// # Errors
/// `out` is too short.
pub fn list<'t>(
    out: &mut [u8],
    toasts: impl Iterator<Item = Toast<'t>>,
    now: Instant,
) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_array();
    for toast in toasts {
        json.begin_object();
        facts(&mut json, toast);
        json.key("state").string(toast.stage().as_str());
        json.key("age_ms").number(millis(now.since(toast.since())));
        if let Some(left) = toast.left(now) {
            json.key("left_ms").number(millis(left));
        }
        json.end_object();
    }
    json.end_array();
    json.finish()
}

fn facts(json: &mut Writer<'_>, toast: Toast<'_>) {
    json.key("id").number(toast.id().into()).key("summary").string(toast.summary());
    for (key, text) in [("body", toast.body()), ("app", toast.app()), ("icon", toast.icon())] {
        if !text.is_empty() {
            json.key(key).string(text);
        }
    }
    json.key("urgency").string(toast.urgency().as_str());
    json.key("timeout_ms").number(toast.timeout().map_or(0, millis));
    if let Some(percent) = toast.progress() {
        json.key("progress").number(percent.into());
    }
    for (key, is_so) in [("resident", toast.is_resident()), ("transient", toast.is_transient())] {
        if is_so {
            json.key(key).bool(true);
        }
    }
    if toast.actions().next().is_some() {
        json.key("actions").begin_array();
        for (id, label) in toast.actions() {
            json.begin_object().key("id").string(id).key("label").string(label).end_object();
        }
        json.end_array();
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A refusal is at most 98 bytes long: the longest is that of an action's id.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len.saturating_add(text.len());
        self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
