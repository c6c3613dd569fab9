//! The decoders of both sides: one scanner, two views of what it finds.
//!
//! # Grammar
//!
//! As nats-server's `server/parser.go` lexes it. `␣` is one space or tab, `ARGS` are tokens divided and
//! surrounded by any number of them, a line ends with LF or CR LF. Verbs are matched letter by letter and
//! without regard to case; the first byte that fits no verb is the error, however little of the line is there.
//!
//! | verb      | then   | up to LF                              | then                     | said by |
//! |-----------|--------|---------------------------------------|--------------------------|---------|
//! | `CONNECT` |        | JSON                                  |                          | client  |
//! | `PUB`     | `␣`    | `subject [reply] size`                | `size` bytes, CR LF      | client  |
//! | `HPUB`    | `␣`    | `subject [reply] header size`         | `size` bytes, CR LF      | client  |
//! | `SUB`     | `␣`    | `subject [queue] sid`                 |                          | client  |
//! | `UNSUB`   | `␣`    | `sid [max]`                           |                          | client  |
//! | `MSG`     | `␣`    | `subject sid [reply] size`            | `size` bytes, CR LF      | server  |
//! | `HMSG`    | `␣`    | `subject sid [reply] header size`     | `size` bytes, CR LF      | server  |
//! | `INFO`    |        | JSON                                  |                          | both    |
//! | `PING`    |        | anything, ignored                     |                          | both    |
//! | `PONG`    |        | anything, ignored                     |                          | both    |
//! | `+OK`     |        | anything, ignored                     |                          | both    |
//! | `-ERR`    | `␣`    | text                                  |                          | both    |
//!
//! `size` and `header` have one to nine digits and `header` is not above `size`. The body is delimited by its
//! size alone: that CR LF follows it is then checked. A `max` that is no such number is none at all.
//!
//! Three oddities of nats-server are not taken over, because there they depend on how the bytes were cut into
//! reads or let a subject hold a line break: a CR anywhere in `ARGS` but before the LF is an error, an LF ends
//! the line even as the first byte after the verb, and blanks and what is ignored count as part of the line.

use super::scan::{Args, Verb, find_lf, line, size, unquoted, verb};
use super::{ClientOp, Message, Publish, ServerOp};

/// What a decoder accepts at most.
///
/// The defaults are nats-server's for what clients send. What servers send is longer: a `MSG` line has a `sid`
/// more than the `PUB` it comes from, an `INFO` may list every server of a cluster.
///
/// ```
/// use lunix_proto::nats::Limits;
/// assert_eq!(Limits::default(), Limits { control_line: 4096, payload: 1 << 20 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a control line between the verb's separator and the line's end.
    pub control_line: usize,
    /// Bytes of header block and payload together.
    pub payload: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control_line: 4096, payload: 1 << 20 }
    }
}

/// Why a stream cannot go on: the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A verb that does not exist, or a body that does not end in CR LF where its size says.
    UnknownOperation,
    /// Arguments too few, too many, or not numbers; nats-server closes without a word.
    Arguments,
    /// A control line longer than [`Limits::control_line`].
    ControlLineTooLong,
    /// A message longer than [`Limits::payload`].
    PayloadTooLarge,
}

impl DecodeError {
    /// The text of the `-ERR` that nats-server sends before it closes; `None` where it says nothing.
    pub const fn wire_text(self) -> Option<&'static str> {
        match self {
            Self::UnknownOperation => Some("Unknown Protocol Operation"),
            Self::Arguments => None,
            Self::ControlLineTooLong => Some("maximum control line exceeded"),
            Self::PayloadTooLarge => Some("Maximum Payload Violation"),
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.wire_text().unwrap_or("invalid arguments"))
    }
}

impl core::error::Error for DecodeError {}

/// Decodes what clients send.
///
/// The caller keeps the bytes; the decoder remembers only how far it looked, so that the work over
/// a stream's life is linear in its bytes however finely it comes cut.
///
/// ```
/// use lunix_proto::nats::{ClientDecoder, ClientOp, Limits};
/// let mut decoder = ClientDecoder::new(Limits::default());
/// assert_eq!(decoder.decode(b"PUB door 4\r\nop"), Ok(None));
/// assert_eq!(decoder.needed(), 18);
/// let Ok(Some((ClientOp::Pub(publish), 18))) = decoder.decode(b"PUB door 4\r\nopen\r\nPING") else { panic!() };
/// assert_eq!((publish.subject, publish.payload()), (&b"door"[..], &b"open"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct ClientDecoder {
    scanner: Scanner,
}

impl ClientDecoder {
    /// A decoder at the beginning of a stream.
    pub const fn new(limits: Limits) -> Self {
        Self { scanner: Scanner::new(limits) }
    }

    /// Other limits, from the next control line on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.scanner.limits = limits;
    }

    /// Decodes the operation that `bytes` begins with and says how long it is.
    ///
    /// `bytes` starts at the first byte not yet consumed. After `None` the next call must pass the same bytes
    /// and more at their end; after an operation, what follows its length. For a message,
    /// `bytes[len - 2 - body.len()..len]` is the body and its CR LF. An error is final.
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(ClientOp<'b>, usize)>, DecodeError> {
        let Some((frame, len)) = self.scanner.frame::<false>(bytes)? else { return Ok(None) };
        let op = match frame {
            Frame::Message { with_header, subject, reply, body, header_len, sid: _ } => {
                let publish = Publish { subject, reply, body, header_len };
                if with_header { ClientOp::HPub(publish) } else { ClientOp::Pub(publish) }
            }
            Frame::Sub { subject, queue, sid } => ClientOp::Sub { subject, queue, sid },
            Frame::Unsub { sid, max } => ClientOp::Unsub { sid, max },
            Frame::Connect(json) => ClientOp::Connect(json),
            Frame::Info(json) => ClientOp::Info(json),
            Frame::Err(text) => ClientOp::Err(text),
            Frame::Ok => ClientOp::Ok,
            Frame::Ping => ClientOp::Ping,
            Frame::Pong => ClientOp::Pong,
        };
        Ok(Some((op, len)))
    }

    /// After `None`: the length that the bytes must reach before another call can get further.
    ///
    /// In the midst of a message that is the message's whole length, never more than a control line, its verb
    /// and [`Limits::payload`]; elsewhere it is one byte more than there was.
    pub const fn needed(&self) -> usize {
        self.scanner.needed()
    }
}

/// Decodes what servers send; used as [`ClientDecoder`] is.
///
/// ```
/// use lunix_proto::nats::{Limits, ServerDecoder, ServerOp};
/// let mut decoder = ServerDecoder::new(Limits::default());
/// let Ok(Some((ServerOp::Msg(message), 20))) = decoder.decode(b"MSG door 7 4\r\nopen\r\n") else { panic!() };
/// assert_eq!((message.sid, message.payload()), (&b"7"[..], &b"open"[..]));
/// assert_eq!(decoder.decode(b"-ERR 'Stale Connection'\r\n"), Ok(Some((ServerOp::Err(b"Stale Connection"), 25))));
/// ```
#[derive(Clone, Debug)]
pub struct ServerDecoder {
    scanner: Scanner,
}

impl ServerDecoder {
    /// A decoder at the beginning of a stream.
    pub const fn new(limits: Limits) -> Self {
        Self { scanner: Scanner::new(limits) }
    }

    /// Decodes the operation that `bytes` begins with; see [`ClientDecoder::decode`].
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(ServerOp<'b>, usize)>, DecodeError> {
        let Some((frame, len)) = self.scanner.frame::<true>(bytes)? else { return Ok(None) };
        let op = match frame {
            Frame::Message { with_header, subject, sid, reply, body, header_len } => {
                let message = Message { subject, sid, reply, body, header_len };
                if with_header { ServerOp::HMsg(message) } else { ServerOp::Msg(message) }
            }
            Frame::Info(json) => ServerOp::Info(json),
            Frame::Err(text) => ServerOp::Err(text),
            Frame::Ok => ServerOp::Ok,
            Frame::Ping => ServerOp::Ping,
            Frame::Pong => ServerOp::Pong,
            // No rule of a server leads here.
            Frame::Connect(_) | Frame::Sub { .. } | Frame::Unsub { .. } => {
                return Err(DecodeError::UnknownOperation);
            }
        };
        Ok(Some((op, len)))
    }

    /// After `None`: the length that the bytes must reach before another call can get further.
    pub const fn needed(&self) -> usize {
        self.scanner.needed()
    }
}

/// The path that both decoders share.
///
/// It does not store what it has parsed: a verb is at most seven bytes and is matched anew by each call, a line
/// is searched for its LF once and then split at most twice: when it is complete, and when its body is.
#[derive(Clone, Debug)]
struct Scanner {
    limits: Limits,
    /// No LF lies between the verb and here.
    scanned: usize,
    /// Less than this is not worth a look.
    needed: usize,
    /// The line is complete and valid, and `needed` is the end of its body.
    in_body: bool,
}

/// What either side may say.
enum Frame<'b> {
    Message {
        with_header: bool,
        subject: &'b [u8],
        /// Empty if a client said it.
        sid: &'b [u8],
        reply: Option<&'b [u8]>,
        body: &'b [u8],
        header_len: usize,
    },
    Sub {
        subject: &'b [u8],
        queue: Option<&'b [u8]>,
        sid: &'b [u8],
    },
    Unsub {
        sid: &'b [u8],
        max: Option<u64>,
    },
    Connect(&'b [u8]),
    Info(&'b [u8]),
    Err(&'b [u8]),
    Ok,
    Ping,
    Pong,
}

impl Scanner {
    const fn new(limits: Limits) -> Self {
        Self { limits, scanned: 0, needed: 1, in_body: false }
    }

    const fn needed(&self) -> usize {
        self.needed
    }

    #[inline]
    fn frame<'b, const BY_SERVER: bool>(
        &mut self,
        bytes: &'b [u8],
    ) -> Result<Option<(Frame<'b>, usize)>, DecodeError> {
        if bytes.len() < self.needed {
            return self.unfinished(bytes);
        }
        let Some((verb, start)) = verb::<BY_SERVER>(bytes)? else {
            self.needed = bytes.len() + 1;
            return Ok(None);
        };
        // A line is split only when it is whole, if it did not come whole.
        if self.scanned > start && find_lf(bytes.get(self.scanned..).unwrap_or_default()).is_none() {
            return self.unterminated(bytes, start);
        }
        let limit = self.limits.control_line;
        let (frame, end) = match verb {
            Verb::Message { with_header } => {
                let Some(args) = Args::split(bytes, start, limit) else {
                    return self.unterminated(bytes, start);
                };
                let (frame, end) = self.message::<BY_SERVER>(with_header, &args, bytes)?;
                if bytes.len() < end {
                    self.scanned = 0;
                    self.needed = end;
                    self.in_body = true;
                    return self.unfinished(bytes);
                }
                (frame, end)
            }
            Verb::Sub | Verb::Unsub => {
                let Some(args) = Args::split(bytes, start, limit) else {
                    return self.unterminated(bytes, start);
                };
                (if verb == Verb::Sub { sub(&args)? } else { unsub(&args)? }, args.end)
            }
            _ => {
                let Some((text, end)) = line(bytes, start, limit) else {
                    return self.unterminated(bytes, start);
                };
                let frame = match verb {
                    Verb::Connect => Frame::Connect(text),
                    Verb::Info => Frame::Info(text),
                    Verb::Err => Frame::Err(unquoted(text)),
                    Verb::Ping => Frame::Ping,
                    Verb::Pong => Frame::Pong,
                    _ => Frame::Ok,
                };
                (frame, end)
            }
        };
        self.scanned = 0;
        self.needed = 1;
        self.in_body = false;
        Ok(Some((frame, end)))
    }

    /// The message and where it ends; its body is only right if `bytes` reaches as far.
    #[inline]
    fn message<'b, const BY_SERVER: bool>(
        &self,
        with_header: bool,
        args: &Args<'b>,
        bytes: &'b [u8],
    ) -> Result<(Frame<'b>, usize), DecodeError> {
        let arguments = || DecodeError::Arguments;
        let tokens = args.tokens()?;
        let (&subject, tokens) = tokens.split_first().ok_or_else(arguments)?;
        let (&total, tokens) = tokens.split_last().ok_or_else(arguments)?;
        let (header_len, tokens) = if with_header {
            let (&header_len, tokens) = tokens.split_last().ok_or_else(arguments)?;
            (size(header_len).ok_or_else(arguments)?, tokens)
        } else {
            (0, tokens)
        };
        let (sid, tokens) = if BY_SERVER {
            let (&sid, tokens) = tokens.split_first().ok_or_else(arguments)?;
            (sid, tokens)
        } else {
            (&[][..], tokens)
        };
        let reply = match tokens {
            [] => None,
            [reply] => Some(*reply),
            _ => return Err(DecodeError::Arguments),
        };
        let total = size(total).ok_or_else(arguments)?;
        if header_len > total {
            return Err(DecodeError::Arguments);
        }
        if total > self.limits.payload {
            return Err(DecodeError::PayloadTooLarge);
        }
        // Saturation is out of reach: no slice is longer than isize::MAX, and the size is below 10^9.
        let body_end = args.end.saturating_add(total);
        let end = body_end.saturating_add(2);
        let mut body = &[][..];
        if let Some(trailer) = bytes.get(body_end..end) {
            if trailer != b"\r\n" {
                return Err(DecodeError::UnknownOperation);
            }
            body = bytes.get(args.end..body_end).unwrap_or_default();
        }
        Ok((Frame::Message { with_header, subject, sid, reply, body, header_len }, end))
    }

    /// There is no LF yet.
    #[cold]
    fn unterminated<T>(&mut self, bytes: &[u8], start: usize) -> Result<Option<T>, DecodeError> {
        // The line's end may be CR LF, which does not count.
        if bytes.len().saturating_sub(start) >= self.limits.control_line.saturating_add(2) {
            return Err(DecodeError::ControlLineTooLong);
        }
        self.scanned = bytes.len();
        self.needed = bytes.len() + 1;
        Ok(None)
    }

    /// There is less than `needed`.
    #[cold]
    fn unfinished<T>(&self, bytes: &[u8]) -> Result<Option<T>, DecodeError> {
        // The whole body may be there, and be followed by something else than CR.
        let after_body = bytes.get(self.needed.saturating_sub(2));
        if self.in_body && after_body.is_some_and(|byte| *byte != b'\r') {
            return Err(DecodeError::UnknownOperation);
        }
        Ok(None)
    }
}

fn sub<'b>(args: &Args<'b>) -> Result<Frame<'b>, DecodeError> {
    match *args.tokens()? {
        [subject, sid] => Ok(Frame::Sub { subject, queue: None, sid }),
        [subject, queue, sid] => Ok(Frame::Sub { subject, queue: Some(queue), sid }),
        _ => Err(DecodeError::Arguments),
    }
}

fn unsub<'b>(args: &Args<'b>) -> Result<Frame<'b>, DecodeError> {
    match *args.tokens()? {
        [sid] => Ok(Frame::Unsub { sid, max: None }),
        [sid, max] => {
            let max = size(max).filter(|max| *max > 0).and_then(|max| u64::try_from(max).ok());
            Ok(Frame::Unsub { sid, max })
        }
        _ => Err(DecodeError::Arguments),
    }
}
