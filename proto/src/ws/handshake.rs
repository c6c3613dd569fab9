//! The opening handshake (section 4), of which HTTP itself is somebody else's: here are the fields that it needs.
//!
//! ```
//! use lunix_proto::ws::handshake::{self, Refusal};
//!
//! let mut fields = [
//!     ("Host", &b"server.example.com"[..]),
//!     ("Upgrade", b"websocket"),
//!     ("Connection", b"keep-alive, Upgrade"),
//!     ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
//!     ("Sec-WebSocket-Version", b"13"),
//! ];
//! let accept = handshake::check("GET", fields).unwrap();
//! assert_eq!(accept.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
//!
//! fields[4].1 = b"8";
//! let refusal = handshake::check("GET", fields).unwrap_err();
//! assert_eq!((refusal, refusal.status()), (Refusal::Version, 426));
//! ```

use super::sha1;
use crate::Full;
use crate::nkey::base64;
use crate::out::Out;

/// The only version there is, as `Sec-WebSocket-Version` says it.
pub const VERSION: &str = "13";

/// What is appended to the client's key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The letters of 16 bytes in base64, and the GUID.
pub(super) const ACCEPT_INPUT: usize = 24 + GUID.len();

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no GET.
    Method,
    /// There is no `Host`, or more than one.
    Host,
    /// `Upgrade` does not list `websocket`, or `Connection` not `upgrade`: plain HTTP.
    Upgrade,
    /// `Sec-WebSocket-Key` is not 16 bytes in base64, or is there not once.
    Key,
    /// `Sec-WebSocket-Version` is not [`VERSION`], which the response is to name.
    Version,
}

impl Refusal {
    /// The status of the response: 405, 426 or 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Upgrade | Self::Version => 426,
            Self::Host | Self::Key => 400,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Method => "not a GET",
            Self::Host => "not one Host",
            Self::Upgrade => "not an upgrade to websocket",
            Self::Key => "no valid Sec-WebSocket-Key",
            Self::Version => "not Sec-WebSocket-Version 13",
        })
    }
}

impl core::error::Error for Refusal {}

/// The value of `Sec-WebSocket-Accept`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    text: [u8; 28],
}

impl Accept {
    /// What answers this `Sec-WebSocket-Key`; `None` if that is not 16 bytes in base64.
    ///
    /// ```
    /// use lunix_proto::ws::handshake::Accept;
    /// assert_eq!(Accept::of(b"x3JJHMbDL1EzLkh9GBhXDw==").unwrap().as_str(), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
    /// assert!(Accept::of(b"x3JJHMbDL1EzLkh9GBhXD===").is_none());
    /// ```
    pub fn of(key: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(key).ok().filter(|text| text.len() == 24)?;
        let mut nonce = [0; 16];
        base64::decode_any(text, &mut nonce).ok().filter(|nonce| nonce.len() == 16)?;
        let mut message = [0; ACCEPT_INPUT];
        message.iter_mut().zip(key.iter().chain(GUID)).for_each(|(place, byte)| *place = *byte);
        let mut text = [0; 28];
        base64::encode(&sha1::digest(&message), &mut text).ok()?;
        Some(Self { text })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl core::fmt::Debug for Accept {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The server's side: holds a request's fields against section 4.2.1, in the order of [`Refusal`].
///
/// Names are compared without regard to case. What the server makes of path, origin and subprotocols is its own
/// affair.
///
/// # Errors
/// The client is at fault.
pub fn check<'h>(
    method: &str,
    fields: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Result<Accept, Refusal> {
    let (mut hosts, mut upgrade, mut connection, mut version) = (0_usize, false, false, false);
    let mut keys = 0_usize;
    let mut accept = None;
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("host") {
            hosts = hosts.saturating_add(1);
        } else if name.eq_ignore_ascii_case("upgrade") {
            upgrade |= lists(value, b"websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= lists(value, b"upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            version = value.trim_ascii() == VERSION.as_bytes();
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            keys = keys.saturating_add(1);
            accept = Accept::of(value.trim_ascii());
        }
    }
    if method != "GET" {
        return Err(Refusal::Method);
    }
    if hosts != 1 {
        return Err(Refusal::Host);
    }
    if !(upgrade && connection) {
        return Err(Refusal::Upgrade);
    }
    if !version {
        return Err(Refusal::Version);
    }
    accept.filter(|_| keys == 1).ok_or(Refusal::Key)
}

/// The server's answer to a request that it accepts, whole, without subprotocol or extension.
///
/// ```
/// use lunix_proto::ws::handshake::{Accept, response};
/// let accept = Accept::of(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// let mut out = [0; 160];
/// let len = response(&mut out, &accept).unwrap();
/// assert!(out[..len].ends_with(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
/// ```
///
/// # Errors
/// `out` is too short.
pub fn response(out: &mut [u8], accept: &Accept) -> Result<usize, Full> {
    response_with(out, accept, "")
}

/// The same with the subprotocol that was chosen among those of the request, such as `mqtt`; none if it is empty.
///
/// ```
/// use lunix_proto::ws::handshake::{Accept, response_with};
/// let accept = Accept::of(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// let mut out = [0; 200];
/// let len = response_with(&mut out, &accept, "mqtt").unwrap();
/// assert!(out[..len].ends_with(b"xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"));
/// ```
///
/// # Errors
/// `out` is too short.
pub fn response_with(out: &mut [u8], accept: &Accept, protocol: &str) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.put(&accept.text);
    if !protocol.is_empty() {
        out.put(b"\r\nSec-WebSocket-Protocol: ");
        out.put(protocol.as_bytes());
    }
    out.put(b"\r\n\r\n");
    out.finish()
}

/// The client's request, whole. `host` and `path` go out as they are; `nonce` is 16 random bytes, and [`Accept::of`]
/// the key that was made of it is what the server's answer must hold.
///
/// ```
/// use lunix_proto::ws::handshake::{Accept, is_accepted, request};
/// let mut out = [0; 256];
/// let len = request(&mut out, "localhost:8080", "/", b"the sample nonce").unwrap();
/// assert!(out[..len].starts_with(b"GET / HTTP/1.1\r\nHost: localhost:8080\r\n"));
/// let fields = [
///     ("upgrade", &b"WebSocket"[..]),
///     ("connection", b"upgrade"),
///     ("sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
/// ];
/// assert!(is_accepted(b"the sample nonce", 101, fields) && !is_accepted(b"another, of mine", 101, fields));
/// ```
///
/// # Errors
/// `out` is too short.
pub fn request(out: &mut [u8], host: &str, path: &str, nonce: &[u8; 16]) -> Result<usize, Full> {
    let mut out = Out::new(out);
    out.put(b"GET ");
    out.put(path.as_bytes());
    out.put(b" HTTP/1.1\r\nHost: ");
    out.put(host.as_bytes());
    out.put(
        b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
    );
    out.put(&key(nonce));
    out.put(b"\r\n\r\n");
    out.finish()
}

/// The client's side: whether the server's response to the request with this `nonce` lets the connection begin
/// (section 4.1). Extensions and subprotocols, which the request does not ask for, must not be in it.
pub fn is_accepted<'h>(
    nonce: &[u8; 16],
    status: u16,
    fields: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> bool {
    let expected = Accept::of(&key(nonce));
    let (mut upgrade, mut connection, mut accept) = (false, false, false);
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("upgrade") {
            upgrade = value.trim_ascii().eq_ignore_ascii_case(b"websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= lists(value, b"upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            accept = expected.is_some_and(|expected| value.trim_ascii() == expected.text);
        } else if name.eq_ignore_ascii_case("sec-websocket-extensions")
            || name.eq_ignore_ascii_case("sec-websocket-protocol")
        {
            return false;
        }
    }
    status == 101 && upgrade && connection && accept
}

/// `Sec-WebSocket-Key`.
fn key(nonce: &[u8; 16]) -> [u8; 24] {
    let mut key = [b'='; 24];
    // 16 bytes are 24 letters.
    let _ = base64::encode(nonce, &mut key);
    key
}

/// Whether a list of tokens (RFC 9110, 5.6.1) has this one.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}
