//! Encoders of frames, both sides.
//!
//! A client gives a key, unpredictable and new for each frame (section 10.3); a server gives none. Each writes into the
//! caller's slice and returns the length, or [`Full`]; the slice may then hold a part of it.

use super::{CloseCode, Kind, MAX_CONTROL, Mask, opcode};
use crate::Full;
use crate::out::Out;

/// The head of a data frame, 14 bytes at most. `len` bytes of payload follow it; a client applies the [`Mask`] of
/// its key to them.
///
/// A message is one frame that is `first` and `last`, or several: `kind` counts in the first.
///
/// ```
/// use lunix_proto::ws::{Kind, encode};
/// let mut out = [0; 14];
/// let mut head = |first, last, len, key| encode::data(&mut out, Kind::Text, first, last, len, key).unwrap();
/// assert_eq!([head(true, true, 125, None), head(true, false, 126, None), head(false, true, 1 << 16, None)], [2, 4, 10]);
/// assert_eq!(head(true, true, 1 << 16, Some([1, 2, 3, 4])), 14);
/// assert_eq!(out, *b"\x81\xFF\0\0\0\0\0\x01\0\0\x01\x02\x03\x04");
/// ```
///
/// # Errors
/// `out` is too short.
pub fn data(
    out: &mut [u8],
    kind: Kind,
    first: bool,
    last: bool,
    len: u64,
    key: Option<[u8; 4]>,
) -> Result<usize, Full> {
    let opcode = match kind {
        _ if !first => opcode::CONTINUATION,
        Kind::Text => opcode::TEXT,
        Kind::Binary => opcode::BINARY,
    };
    let mut out = Out::new(out);
    put_head(&mut out, opcode, last, len, key);
    out.finish()
}

/// A Ping. Of `payload` the first [`MAX_CONTROL`] bytes go.
///
/// # Errors
/// `out` is too short.
pub fn ping(out: &mut [u8], payload: &[u8], key: Option<[u8; 4]>) -> Result<usize, Full> {
    control(out, opcode::PING, &[], payload, key)
}

/// A Pong, which says what the Ping said. Of `payload` the first [`MAX_CONTROL`] bytes go.
///
/// ```
/// use lunix_proto::ws::encode;
/// let mut out = [0; 16];
/// let len = encode::pong(&mut out, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d])).unwrap();
/// assert_eq!(&out[..len], b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
/// assert_eq!(encode::pong(&mut [], b"Hello", None).unwrap_err().needed, 7);
/// ```
///
/// # Errors
/// `out` is too short.
pub fn pong(out: &mut [u8], payload: &[u8], key: Option<[u8; 4]>) -> Result<usize, Full> {
    control(out, opcode::PONG, &[], payload, key)
}

/// A Close, with nothing in it if the code [may not be sent](CloseCode::is_sendable). A reason goes as far as whole
/// characters fit into 123 bytes.
///
/// ```
/// use lunix_proto::ws::{CloseCode, encode};
/// let mut out = [0; 16];
/// let len = encode::close(&mut out, CloseCode::GOING_AWAY, "bye", None).unwrap();
/// assert_eq!(&out[..len], b"\x88\x05\x03\xe9bye");
/// let len = encode::close(&mut out, CloseCode(1006), "lost", None).unwrap();
/// assert_eq!(&out[..len], b"\x88\x00");
/// ```
///
/// # Errors
/// `out` is too short.
pub fn close(out: &mut [u8], code: CloseCode, reason: &str, key: Option<[u8; 4]>) -> Result<usize, Full> {
    if !code.is_sendable() {
        return control(out, opcode::CLOSE, &[], &[], key);
    }
    let reason = reason.get(..reason.floor_char_boundary(MAX_CONTROL - 2)).unwrap_or(reason);
    control(out, opcode::CLOSE, &code.0.to_be_bytes(), reason.as_bytes(), key)
}

fn control(
    out: &mut [u8],
    opcode: u8,
    code: &[u8],
    payload: &[u8],
    key: Option<[u8; 4]>,
) -> Result<usize, Full> {
    let payload = payload.get(..MAX_CONTROL - code.len()).unwrap_or(payload);
    let len = code.len() + payload.len();
    let mut cursor = Out::new(out);
    put_head(&mut cursor, opcode, true, len as u64, key);
    cursor.put(code);
    cursor.put(payload);
    let end = cursor.finish()?;
    if let (Some(key), Some(payload)) = (key, out.get_mut(end - len..end)) {
        Mask::new(key).apply(payload);
    }
    Ok(end)
}

fn put_head(out: &mut Out<'_>, opcode: u8, fin: bool, len: u64, key: Option<[u8; 4]>) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    out.put(&[opcode | if fin { 0x80 } else { 0 }]);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=125), _) => out.put(&[masked | len]),
        (_, Ok(len)) => {
            out.put(&[masked | 126]);
            out.put(&len.to_be_bytes());
        }
        _ => {
            out.put(&[masked | 127]);
            out.put(&len.to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.put(&key);
    }
}
