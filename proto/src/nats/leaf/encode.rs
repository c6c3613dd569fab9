//! Encoders of what either side of a leaf node's connection says.

use super::{Connect, Info};
use crate::Full;
use crate::nats::encode::json_line;
use crate::out::Out;

/// `LS+`, of a queue group with the number of its members.
///
/// # Errors
/// `out` is too short.
///
/// ```
/// use lunix_proto::nats::leaf;
/// let mut out = [0; 64];
/// let len = leaf::subscribe(&mut out, b"door.*", Some((b"butlers", 2))).unwrap();
/// assert_eq!(&out[..len], b"LS+ door.* butlers 2\r\n");
/// ```
pub fn subscribe(out: &mut [u8], subject: &[u8], queue: Option<(&[u8], u32)>) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"LS+ ");
    out.put(subject);
    if let Some((queue, weight)) = queue {
        out.put(b" ");
        out.put(queue);
        out.put(b" ");
        out.put_number(u64::from(weight));
    }
    out.put(b"\r\n");
    out.finish()
}

/// `LS-`.
///
/// # Errors
/// `out` is too short.
///
/// ```
/// use lunix_proto::nats::leaf;
/// let mut out = [0; 64];
/// let len = leaf::unsubscribe(&mut out, b"door.*", Some(b"butlers")).unwrap();
/// assert_eq!(&out[..len], b"LS- door.* butlers\r\n");
/// ```
pub fn unsubscribe(out: &mut [u8], subject: &[u8], queue: Option<&[u8]>) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"LS- ");
    out.put(subject);
    if let Some(queue) = queue {
        out.put(b" ");
        out.put(queue);
    }
    out.put(b"\r\n");
    out.finish()
}

/// The control line of `LMSG`, or of `HMSG` if `header_len` is not 0. `total_len` bytes of header block and payload
/// and a CR LF have to follow it.
///
/// # Errors
/// `out` is too short.
///
/// ```
/// use lunix_proto::nats::leaf;
/// let mut out = [0; 64];
/// let len = leaf::message_head(&mut out, b"door", Some(b"me"), &[b"butlers"], 12, 16).unwrap();
/// assert_eq!(&out[..len], b"HMSG door + me butlers 12 16\r\n");
/// let len = leaf::message_head(&mut out, b"door", None, &[], 0, 4).unwrap();
/// assert_eq!(&out[..len], b"LMSG door 4\r\n");
/// ```
pub fn message_head(
    out: &mut [u8],
    subject: &[u8],
    reply: Option<&[u8]>,
    queues: &[&[u8]],
    header_len: usize,
    total_len: usize,
) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(if header_len == 0 { b"LMSG " } else { b"HMSG " });
    out.put(subject);
    if !queues.is_empty() {
        out.put(if reply.is_some() { b" +" } else { b" |" });
    }
    for piece in reply.iter().chain(queues) {
        out.put(b" ");
        out.put(piece);
    }
    if header_len != 0 {
        out.put(b" ");
        out.put_number(header_len as u64);
    }
    out.put(b" ");
    out.put_number(total_len as u64);
    out.put(b"\r\n");
    out.finish()
}

/// `CONNECT`.
///
/// # Errors
/// `out` is too short.
///
/// ```
/// use lunix_proto::nats::leaf::{self, Connect};
/// let mut out = [0; 256];
/// let len = leaf::connect(&mut out, &Connect { name: "edge".into(), ..Connect::default() }).unwrap();
/// assert_eq!(&out[..len], b"CONNECT {\"name\":\"edge\"}\r\n");
/// ```
pub fn connect(out: &mut [u8], connect: &Connect<'_>) -> Result<usize, Full> {
    json_line(out, b"CONNECT ", |room| connect.write(room))
}

/// `INFO`.
///
/// # Errors
/// `out` is too short.
///
/// ```
/// use lunix_proto::nats::leaf::{self, Info};
/// let mut out = [0; 256];
/// let len = leaf::info(&mut out, &Info { client_id: 7, ..Info::default() }).unwrap();
/// assert!(out[..len].starts_with(b"INFO {"));
/// ```
pub fn info(out: &mut [u8], info: &Info<'_>) -> Result<usize, Full> {
    json_line(out, b"INFO ", |room| info.write(room))
}
