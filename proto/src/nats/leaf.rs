//! The protocol between a leaf node and its hub. Both sides say the same.
//!
//! # Grammar
//!
//! As nats-server's `server/parser.go` and `server/leafnode.go` read it; what is not said here is as in the
//! protocol of clients.
//!
//! | verb      | up to LF                                               | then                |
//! |-----------|--------------------------------------------------------|---------------------|
//! | `INFO`    | JSON: [`Info`]                                         |                     |
//! | `CONNECT` | JSON: [`Connect`]                                      |                     |
//! | `LS+`     | `subject` or `subject queue weight`                    |                     |
//! | `LS-`     | `subject` or `subject queue`                           |                     |
//! | `LMSG`    | `subject [reply] size`                                 | `size` bytes, CR LF |
//! | `LMSG`    | `subject + reply queue… size` or `subject \| queue… size` | `size` bytes, CR LF |
//! | `HMSG`    | as `LMSG`, with the header block's size before `size`  | `size` bytes, CR LF |
//!
//! The queues of a message are those whose members on the receiving side get it; without any, no member does.

mod encode;
mod fields;

pub use encode::{connect, info, message_head, subscribe, unsubscribe};
pub use fields::{Connect, Info, Rules};

use super::decode::{DecodeError, Limits};
use super::scan::{LEAF, Verb, find_lf, is_blank, line, size, unquoted, verb_by_table};

/// What either side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'b> {
    /// `INFO` with its JSON, not yet parsed: see [`Info::parse`].
    Info(&'b [u8]),
    /// `CONNECT` with its JSON, not yet parsed: see [`Connect::parse`].
    Connect(&'b [u8]),
    /// `LS+`: the side that says it wants what matches.
    Subscribe {
        /// The subject, which may hold wildcards; not yet checked.
        subject: &'b [u8],
        /// A queue group and how many members it has there; the last word about it counts.
        queue: Option<(&'b [u8], u32)>,
    },
    /// `LS-`: it does not want it any more.
    Unsubscribe {
        /// The subject.
        subject: &'b [u8],
        /// The queue group.
        queue: Option<&'b [u8]>,
    },
    /// `LMSG`, or `HMSG` with a header block.
    Message(Message<'b>),
    /// `PING`, to be answered `PONG`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR` with its text, without the quotes.
    Err(&'b [u8]),
}

/// A message between a leaf node and its hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// The subject that it was published to; not yet checked.
    pub subject: &'b [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'b [u8]>,
    /// The queue groups of which one member each gets it.
    pub queues: Queues<'b>,
    /// Header block and payload, without the trailing CR LF.
    pub body: &'b [u8],
    /// How much of `body` is header block.
    pub header_len: usize,
}

/// Names of queue groups, as they stand in the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queues<'b>(&'b [u8]);

impl<'b> Queues<'b> {
    /// No queue group.
    pub const NONE: Self = Self(b"");

    /// The names in order.
    ///
    /// ```
    /// use lunix_proto::nats::Limits;
    /// use lunix_proto::nats::leaf::{Decoder, Op};
    /// let line = b"LMSG job | fast slow 0\r\n\r\n";
    /// let Ok(Some((Op::Message(message), 26))) = Decoder::new(Limits::default()).decode(line) else { panic!() };
    /// assert!(message.queues.iter().eq([b"fast", b"slow"]));
    /// ```
    pub fn iter(&self) -> Tokens<'b> {
        Tokens(self.0)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for Queues<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Queues<'_> {}

/// What blanks divide, from either end.
#[derive(Clone, Debug)]
pub struct Tokens<'b>(&'b [u8]);

impl<'b> Iterator for Tokens<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let from = self.0.iter().position(|byte| !is_blank(*byte))?;
        let rest = self.0.get(from..)?;
        let end = rest.iter().position(|byte| is_blank(*byte)).unwrap_or(rest.len());
        let (token, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        Some(token)
    }
}

impl DoubleEndedIterator for Tokens<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let end = self.0.iter().rposition(|byte| !is_blank(*byte))? + 1;
        let rest = self.0.get(..end)?;
        let from = rest.iter().rposition(|byte| is_blank(*byte)).map_or(0, |blank| blank + 1);
        let (rest, token) = rest.split_at_checked(from)?;
        self.0 = rest;
        Some(token)
    }
}

/// Decodes what the other side of a leaf node's connection sends; used as
/// [`ClientDecoder`](super::ClientDecoder) is.
///
/// ```
/// use lunix_proto::nats::Limits;
/// use lunix_proto::nats::leaf::{Decoder, Op};
/// let mut decoder = Decoder::new(Limits::default());
/// let subscribe = Op::Subscribe { subject: b"door.*", queue: Some((b"butlers", 2)) };
/// assert_eq!(decoder.decode(b"LS+ door.* butlers 2\r\nLMSG"), Ok(Some((subscribe, 22))));
/// assert_eq!(decoder.decode(b"LMSG door.1 me 4\r\nop"), Ok(None));
/// assert_eq!(decoder.needed(), 24);
/// let Ok(Some((Op::Message(message), 24))) = decoder.decode(b"LMSG door.1 me 4\r\nopen\r\n") else { panic!() };
/// assert_eq!((message.subject, message.reply, message.body), (&b"door.1"[..], Some(&b"me"[..]), &b"open"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    /// No LF lies between the verb and here.
    scanned: usize,
    /// Less than this is not worth a look.
    needed: usize,
    /// The line is complete and valid, and `needed` is the end of its body.
    in_body: bool,
}

impl Decoder {
    /// A decoder at the beginning of a stream. nats-server allows a control line of leaf nodes 16 times what it
    /// allows one of clients.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, scanned: 0, needed: 1, in_body: false }
    }

    /// Decodes the operation that `bytes` begins with and says how long it is. `bytes` starts at the first byte
    /// not yet consumed; after `None` the next call must pass the same bytes and more at their end.
    ///
    /// # Errors
    /// The peer broke the protocol; an error is final.
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(Op<'b>, usize)>, DecodeError> {
        if bytes.len() < self.needed {
            return self.unfinished(bytes);
        }
        let Some((verb, start)) = verb_by_table(bytes, &LEAF)? else {
            self.needed = bytes.len() + 1;
            return Ok(None);
        };
        if self.scanned > start && find_lf(bytes.get(self.scanned..).unwrap_or_default()).is_none() {
            return self.unterminated(bytes, start);
        }
        let Some((text, line_end)) = line(bytes, start, self.limits.control_line) else {
            return self.unterminated(bytes, start);
        };
        let (op, end) = match verb {
            Verb::Message { with_header } => {
                let (op, end) = self.message(with_header, text, line_end, bytes)?;
                if bytes.len() < end {
                    self.scanned = 0;
                    self.needed = end;
                    self.in_body = true;
                    return self.unfinished(bytes);
                }
                (op, end)
            }
            Verb::Sub => (subscribed(text)?, line_end),
            Verb::Unsub => (unsubscribed(text)?, line_end),
            Verb::Connect => (Op::Connect(text), line_end),
            Verb::Info => (Op::Info(text), line_end),
            Verb::Err => (Op::Err(unquoted(text)), line_end),
            Verb::Ping => (Op::Ping, line_end),
            Verb::Pong => (Op::Pong, line_end),
            Verb::Ok => (Op::Ok, line_end),
        };
        self.scanned = 0;
        self.needed = 1;
        self.in_body = false;
        Ok(Some((op, end)))
    }

    /// After `None`: the length that the bytes must reach before another call can get further.
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The message and where it ends; its body is only right if `bytes` reaches as far.
    fn message<'b>(
        &self,
        with_header: bool,
        text: &'b [u8],
        line_end: usize,
        bytes: &'b [u8],
    ) -> Result<(Op<'b>, usize), DecodeError> {
        let mut tokens = arguments(text)?;
        let wrong = DecodeError::Arguments;
        let subject = tokens.next().ok_or(wrong)?;
        let total = tokens.next_back().and_then(size).ok_or(wrong)?;
        let header_len = if with_header { tokens.next_back().and_then(size).ok_or(wrong)? } else { 0 };
        // One token between subject and sizes is a reply, whatever it looks like; of more the first one says.
        let first = tokens.next();
        let (reply, queues) = if tokens.clone().next().is_none() {
            (first, Queues::NONE)
        } else {
            match first {
                Some(b"+") => (tokens.next(), Queues(tokens.0)),
                Some(b"|") => (None, Queues(tokens.0)),
                _ => return Err(wrong),
            }
        };
        if header_len > total {
            return Err(wrong);
        }
        if total > self.limits.payload {
            return Err(DecodeError::PayloadTooLarge);
        }
        let body_end = line_end.saturating_add(total);
        let end = body_end.saturating_add(2);
        let mut body = &[][..];
        if let Some(trailer) = bytes.get(body_end..end) {
            if trailer != b"\r\n" {
                return Err(DecodeError::UnknownOperation);
            }
            body = bytes.get(line_end..body_end).unwrap_or_default();
        }
        Ok((Op::Message(Message { subject, reply, queues, body, header_len }), end))
    }

    /// There is no LF yet.
    #[cold]
    fn unterminated<T>(&mut self, bytes: &[u8], start: usize) -> Result<Option<T>, DecodeError> {
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
        let after_body = bytes.get(self.needed.saturating_sub(2));
        if self.in_body && after_body.is_some_and(|byte| *byte != b'\r') {
            return Err(DecodeError::UnknownOperation);
        }
        Ok(None)
    }
}

/// A line's arguments. A CR that does not end the line is an error, as it is in a client's.
fn arguments(text: &[u8]) -> Result<Tokens<'_>, DecodeError> {
    if text.contains(&b'\r') { Err(DecodeError::Arguments) } else { Ok(Tokens(text)) }
}

/// At most three arguments.
fn three(text: &[u8]) -> Result<[Option<&[u8]>; 3], DecodeError> {
    let mut tokens = arguments(text)?;
    let found = [tokens.next(), tokens.next(), tokens.next()];
    if tokens.next().is_some() { Err(DecodeError::Arguments) } else { Ok(found) }
}

fn subscribed(text: &[u8]) -> Result<Op<'_>, DecodeError> {
    match three(text)? {
        [Some(subject), None, None] => Ok(Op::Subscribe { subject, queue: None }),
        [Some(subject), Some(queue), Some(weight)] => {
            let weight = size(weight).ok_or(DecodeError::Arguments)?;
            // Below 10^9; nats-server takes a member that is announced for one at least.
            let weight = u32::try_from(weight).unwrap_or(u32::MAX).max(1);
            Ok(Op::Subscribe { subject, queue: Some((queue, weight)) })
        }
        _ => Err(DecodeError::Arguments),
    }
}

fn unsubscribed(text: &[u8]) -> Result<Op<'_>, DecodeError> {
    match three(text)? {
        [Some(subject), queue, None] => Ok(Op::Unsubscribe { subject, queue }),
        _ => Err(DecodeError::Arguments),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;

    const SMALL: Limits = Limits { control_line: 30, payload: 9 };

    /// All operations of a stream that comes cut into these pieces, and how it ends.
    fn decode(stream: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut decoder = Decoder::new(SMALL);
        let (mut start, mut found) = (0, Vec::new());
        for end in cuts.iter().copied().chain([stream.len()]) {
            while start < end {
                let bytes = stream[start..end].to_vec();
                match decoder.decode(&bytes) {
                    Ok(Some((op, len))) => {
                        found.push(say(&op));
                        start += len;
                    }
                    Ok(None) => {
                        assert!(decoder.needed() > bytes.len());
                        break;
                    }
                    Err(error) => {
                        found.push(format!("! {error:?}"));
                        return found;
                    }
                }
            }
        }
        if start < stream.len() {
            found.push(String::from("?"));
        }
        found
    }

    fn say(op: &Op<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match op {
            Op::Subscribe { subject, queue: None } => format!("+ {}", text(subject)),
            Op::Subscribe { subject, queue: Some((queue, weight)) } => {
                format!("+ {} {} {weight}", text(subject), text(queue))
            }
            Op::Unsubscribe { subject, queue } => {
                format!("- {} {}", text(subject), text(queue.unwrap_or_default()))
            }
            Op::Message(message) => {
                let queues: Vec<String> = message.queues.iter().map(text).collect();
                format!(
                    "m {} {:?} {queues:?} {} {}",
                    text(message.subject),
                    message.reply.map(text),
                    message.header_len,
                    text(message.body)
                )
            }
            Op::Info(json) => format!("INFO {}", text(json)),
            Op::Connect(json) => format!("CONNECT {}", text(json)),
            Op::Err(error) => format!("ERR {}", text(error)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn however_it_is_cut_it_says_the_same() {
        for (stream, expected) in [
            (&b"LS+ a.b\r\nls- a.b q\n"[..], vec!["+ a.b", "- a.b q"]),
            (b"LS+ a q 3\r\nLS+ a q 0\r\n", vec!["+ a q 3", "+ a q 1"]),
            (b"LS+ a q\r\n", vec!["! Arguments"]),
            (b"LS+ a q x\r\n", vec!["! Arguments"]),
            (b"LS- a q 1\r\n", vec!["! Arguments"]),
            (b"LS+\r\n", vec!["! UnknownOperation"]),
            (b"LS+ \r\n", vec!["! Arguments"]),
            (b"LMSG a 2\r\nhi\r\nPING\r\n", vec!["m a None [] 0 hi", "Ping"]),
            (b"LMSG a r 0\r\n\r\n", vec!["m a Some(\"r\") [] 0 "]),
            // One token is a reply even if it is the sign of a list.
            (b"LMSG a + 0\r\n\r\n", vec!["m a Some(\"+\") [] 0 "]),
            (b"LMSG a + r 0\r\n\r\n", vec!["m a Some(\"r\") [] 0 "]),
            (b"LMSG a + r q s 1\r\nx\r\n", vec!["m a Some(\"r\") [\"q\", \"s\"] 0 x"]),
            (b"LMSG a | q\t s 1\r\nx\r\n", vec!["m a None [\"q\", \"s\"] 0 x"]),
            (b"LMSG a b c 1\r\nx\r\n", vec!["! Arguments"]),
            (b"HMSG a | q 2 3\r\nhhx\r\n", vec!["m a None [\"q\"] 2 hhx"]),
            (b"HMSG a r 4 3\r\n", vec!["! Arguments"]),
            (b"HMSG a 3\r\n", vec!["! Arguments"]),
            (b"LMSG a 9\r\n123456789\r\n", vec!["m a None [] 0 123456789"]),
            (b"LMSG a 10\r\n", vec!["! PayloadTooLarge"]),
            (b"LMSG a 1\r\nxy", vec!["! UnknownOperation"]),
            (b"LMSG 1\r\n", vec!["! Arguments"]),
            (b"LMSG a\rb 1\r\n", vec!["! Arguments"]),
            (b"INFO {}\r\nCONNECT {}\r\nPONG\r\n+OK\r\n", vec!["INFO {}", "CONNECT {}", "Pong", "Ok"]),
            (b"-ERR 'no'\r\nLS+ a", vec!["ERR no", "?"]),
            (b"LS+ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", vec!["+ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
            (b"LS+ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", vec!["! ControlLineTooLong"]),
            (b"LS+ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", vec!["! ControlLineTooLong"]),
            (b"PUB a 0\r\n\r\n", vec!["! UnknownOperation"]),
            (b"SUB a 1\r\n", vec!["! UnknownOperation"]),
        ] {
            for first in 0..=stream.len() {
                assert_eq!(decode(stream, &[first]), expected, "{} cut at {first}", stream.escape_ascii());
                for second in first..=stream.len() {
                    assert_eq!(decode(stream, &[first, second]), expected, "{}", stream.escape_ascii());
                }
            }
            let all: Vec<usize> = (0..stream.len()).collect();
            assert_eq!(decode(stream, &all), expected, "{}", stream.escape_ascii());
        }
    }
}
