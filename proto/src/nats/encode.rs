//! Encoders of every operation, both sides.
//!
//! Each writes one operation into the caller's slice and returns its length, or [`Full`] with the length that
//! it would have; the slice may then hold a part of it. Arguments go out as they are: that a subject, reply,
//! queue or sid is one token without blanks is the caller's to see to, see [`subject`](super::subject).

use super::{Connect, Info};
use crate::Full;
use crate::out::Out;

/// `PUB`, or `HPUB` if `header` is not empty.
///
/// ```
/// use lunix_proto::nats::encode;
/// let mut out = [0; 64];
/// let len = encode::publish(&mut out, b"door", Some(b"me"), b"", b"open").unwrap();
/// assert_eq!(&out[..len], b"PUB door me 4\r\nopen\r\n");
/// assert_eq!(encode::publish(&mut [], b"door", None, b"", b"open").unwrap_err().needed, 18);
/// ```
pub fn publish(
    out: &mut [u8],
    subject: &[u8],
    reply: Option<&[u8]>,
    header: &[u8],
    payload: &[u8],
) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(if header.is_empty() { b"PUB " } else { b"HPUB " });
    out.put(subject);
    put_argument(&mut out, reply);
    put_sizes(&mut out, header.len(), header.len().saturating_add(payload.len()));
    put_body(&mut out, header, payload);
    out.finish()
}

/// `SUB`.
///
/// ```
/// use lunix_proto::nats::encode;
/// let mut out = [0; 64];
/// let len = encode::subscribe(&mut out, b"door.*", Some(b"butlers"), b"7").unwrap();
/// assert_eq!(&out[..len], b"SUB door.* butlers 7\r\n");
/// ```
pub fn subscribe(out: &mut [u8], subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"SUB ");
    out.put(subject);
    put_argument(&mut out, queue);
    put_argument(&mut out, Some(sid));
    out.put(b"\r\n");
    out.finish()
}

/// `UNSUB`, at once or after `max` messages since the subscription's start.
///
/// ```
/// use lunix_proto::nats::encode;
/// let mut out = [0; 64];
/// let len = encode::unsubscribe(&mut out, b"7", Some(1)).unwrap();
/// assert_eq!(&out[..len], b"UNSUB 7 1\r\n");
/// ```
pub fn unsubscribe(out: &mut [u8], sid: &[u8], max: Option<u64>) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"UNSUB ");
    out.put(sid);
    if let Some(max) = max {
        out.put(b" ");
        out.put_number(max);
    }
    out.put(b"\r\n");
    out.finish()
}

/// `CONNECT`.
///
/// ```
/// use lunix_proto::nats::{Connect, encode};
/// let mut out = [0; 256];
/// let len = encode::connect(&mut out, &Connect { verbose: false, ..Connect::default() }).unwrap();
/// assert!(out[..len].starts_with(b"CONNECT {\"verbose\":false,"));
/// ```
pub fn connect(out: &mut [u8], connect: &Connect<'_>) -> Result<usize, Full> {
    json_line(out, b"CONNECT ", |room| connect.write(room))
}

/// `INFO`.
///
/// ```
/// use lunix_proto::nats::{Info, encode};
/// let mut out = [0; 256];
/// let len = encode::info(&mut out, &Info { max_payload: 1 << 20, ..Info::default() }).unwrap();
/// assert!(out[..len].starts_with(b"INFO {") && out[..len].ends_with(b"}\r\n"));
/// ```
pub fn info(out: &mut [u8], info: &Info<'_>) -> Result<usize, Full> {
    json_line(out, b"INFO ", |room| info.write(room))
}

/// The control line of `MSG`, or of `HMSG` if `header_len` is not 0.
///
/// `total_len` bytes of header block and payload and a CR LF have to follow it.
///
/// ```
/// use lunix_proto::nats::encode;
/// let mut out = [0; 64];
/// let len = encode::msg_head(&mut out, b"door", b"7", None, 12, 16).unwrap();
/// assert_eq!(&out[..len], b"HMSG door 7 12 16\r\n");
/// ```
#[inline]
pub fn msg_head(
    out: &mut [u8],
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_len: usize,
    total_len: usize,
) -> Result<usize, Full> {
    let mut out = Out::new(out);
    put_msg_head(&mut out, subject, sid, reply, header_len, total_len);
    out.finish()
}

/// A whole `MSG`, or `HMSG` if `header` is not empty.
///
/// ```
/// use lunix_proto::nats::encode;
/// let mut out = [0; 64];
/// let len = encode::message(&mut out, b"door", b"7", Some(b"me"), b"", b"open").unwrap();
/// assert_eq!(&out[..len], b"MSG door 7 me 4\r\nopen\r\n");
/// ```
pub fn message(
    out: &mut [u8],
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header: &[u8],
    payload: &[u8],
) -> Result<usize, Full> {
    let mut out = Out::new(out);
    put_msg_head(&mut out, subject, sid, reply, header.len(), header.len().saturating_add(payload.len()));
    put_body(&mut out, header, payload);
    out.finish()
}

/// `PING`.
///
/// ```
/// let mut out = [0; 6];
/// assert_eq!(lunix_proto::nats::encode::ping(&mut out), Ok(6));
/// assert_eq!(&out, b"PING\r\n");
/// ```
pub fn ping(out: &mut [u8]) -> Result<usize, Full> {
    words(out, &[b"PING\r\n"])
}

/// `PONG`.
///
/// ```
/// let mut out = [0; 6];
/// assert_eq!(lunix_proto::nats::encode::pong(&mut out), Ok(6));
/// assert_eq!(&out, b"PONG\r\n");
/// ```
pub fn pong(out: &mut [u8]) -> Result<usize, Full> {
    words(out, &[b"PONG\r\n"])
}

/// `+OK`.
///
/// ```
/// let mut out = [0; 5];
/// assert_eq!(lunix_proto::nats::encode::ok(&mut out), Ok(5));
/// assert_eq!(&out, b"+OK\r\n");
/// ```
pub fn ok(out: &mut [u8]) -> Result<usize, Full> {
    words(out, &[b"+OK\r\n"])
}

/// `-ERR` with `text` in quotes; the text must not hold a line break.
///
/// ```
/// let mut out = [0; 32];
/// let len = lunix_proto::nats::encode::err(&mut out, b"Stale Connection").unwrap();
/// assert_eq!(&out[..len], b"-ERR 'Stale Connection'\r\n");
/// ```
pub fn err(out: &mut [u8], text: &[u8]) -> Result<usize, Full> {
    words(out, &[b"-ERR '", text, b"'\r\n"])
}

fn words(out: &mut [u8], words: &[&[u8]]) -> Result<usize, Full> {
    let mut out = Out::new(out);
    words.iter().for_each(|word| out.put(word));
    out.finish()
}

fn put_argument(out: &mut Out<'_>, argument: Option<&[u8]>) {
    if let Some(argument) = argument {
        out.put(b" ");
        out.put(argument);
    }
}

#[inline]
fn put_msg_head(
    out: &mut Out<'_>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_len: usize,
    total_len: usize,
) {
    out.put(if header_len == 0 { b"MSG " } else { b"HMSG " });
    out.put(subject);
    put_argument(out, Some(sid));
    put_argument(out, reply);
    put_sizes(out, header_len, total_len);
}

fn put_sizes(out: &mut Out<'_>, header_len: usize, total_len: usize) {
    if header_len != 0 {
        out.put(b" ");
        out.put_number(header_len as u64);
    }
    out.put(b" ");
    out.put_number(total_len as u64);
    out.put(b"\r\n");
}

fn put_body(out: &mut Out<'_>, header: &[u8], payload: &[u8]) {
    out.put(header);
    out.put(payload);
    out.put(b"\r\n");
}

/// A verb, what `json` writes, and the line's end.
pub(super) fn json_line(
    out: &mut [u8],
    verb: &[u8],
    json: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
) -> Result<usize, Full> {
    let room = out.get_mut(verb.len()..).unwrap_or_default();
    let json_len = json(room).unwrap_or_else(|full| full.needed);
    let json_end = verb.len().saturating_add(json_len);
    let needed = json_end.saturating_add(2);
    if let Some(head) = out.get_mut(..verb.len()) {
        head.copy_from_slice(verb);
    }
    out.get_mut(json_end..needed).ok_or(Full { needed })?.copy_from_slice(b"\r\n");
    Ok(needed)
}
