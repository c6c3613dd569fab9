//! Reads the files of `golden/` and says in words what a stream holds.
#![allow(dead_code, reason = "every test uses a part")]

use std::fmt::Write as _;

use lunix_proto::nats::{
    ClientDecoder, ClientOp, DecodeError, Limits, Message, Publish, ServerDecoder, ServerOp,
};

pub(crate) struct Case {
    pub(crate) file: &'static str,
    pub(crate) line: usize,
    pub(crate) by_server: bool,
    pub(crate) canonical: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Vec<String>,
}

pub(crate) fn cases() -> Vec<Case> {
    [
        ("client.txt", include_str!("../golden/client.txt"), false),
        ("server.txt", include_str!("../golden/server.txt"), true),
        ("lexing.txt", include_str!("../golden/lexing.txt"), false),
    ]
    .into_iter()
    .flat_map(|(file, text, by_server)| parse(file, text, by_server))
    .collect()
}

fn parse(file: &'static str, text: &str, by_server: bool) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (line, text) in text.lines().enumerate() {
        match text.as_bytes().first() {
            None | Some(b'#') => {}
            Some(mark @ (b'>' | b'=')) => cases.push(Case {
                file,
                line: line + 1,
                by_server,
                canonical: *mark == b'=',
                bytes: unescape(&text[2..]),
                expected: Vec::new(),
            }),
            Some(_) => cases.last_mut().expect("a stream first").expected.push(text.trim_end().to_owned()),
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (byte, len) = match (byte, after.first()) {
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', Some(b'x')) => {
                (u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(), 4)
            }
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[len..];
    }
    bytes
}

/// What a decoder makes of a stream of which the first piece ends at the first cut, and so on.
pub(crate) fn decode(by_server: bool, limits: Limits, bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    if by_server {
        let mut decoder = ServerDecoder::new(limits);
        feed(bytes, cuts, |bytes| {
            let op = decoder.decode(bytes).map(|op| op.map(|(op, len)| (server_op(&op), len)));
            (op, decoder.needed())
        })
    } else {
        let mut decoder = ClientDecoder::new(limits);
        feed(bytes, cuts, |bytes| {
            let op = decoder.decode(bytes).map(|op| op.map(|(op, len)| (client_op(&op), len)));
            (op, decoder.needed())
        })
    }
}

type Step = (Result<Option<(String, usize)>, DecodeError>, usize);

fn feed(bytes: &[u8], cuts: &[usize], mut decode: impl FnMut(&[u8]) -> Step) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut needed = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while start < end {
            match decode(&bytes[start..end]) {
                (Ok(Some((op, len))), _) => {
                    assert!(needed <= end - start, "more was said to be needed than was");
                    assert!(len <= end - start);
                    found.push(op);
                    start += len;
                    needed = 0;
                }
                (Ok(None), further) => {
                    assert!(further > end - start, "nothing more is needed, and yet there is nothing");
                    needed = further;
                    break;
                }
                (Err(error), _) => {
                    found.push(format!("! {error:?}"));
                    return found;
                }
            }
        }
    }
    if start < bytes.len() {
        found.push(format!("? {needed}"));
    }
    found
}

fn client_op(op: &ClientOp<'_>) -> String {
    match op {
        ClientOp::Connect(json) => text("CONNECT", json),
        ClientOp::Info(json) => text("INFO", json),
        ClientOp::Err(error) => text("-ERR", error),
        ClientOp::Pub(publish) => {
            assert_eq!(publish.header_len, 0);
            words("PUB", &publish_words(publish))
        }
        ClientOp::HPub(publish) => words("HPUB", &publish_words(publish)),
        ClientOp::Sub { subject, queue, sid } => {
            words("SUB", &[("subject", Some(subject)), ("queue", *queue), ("sid", Some(sid))])
        }
        ClientOp::Unsub { sid, max } => {
            let max = max.map(|max| max.to_string());
            words("UNSUB", &[("sid", Some(sid)), ("max", max.as_ref().map(String::as_bytes))])
        }
        ClientOp::Ping => "  PING".into(),
        ClientOp::Pong => "  PONG".into(),
        ClientOp::Ok => "  +OK".into(),
    }
}

fn server_op(op: &ServerOp<'_>) -> String {
    match op {
        ServerOp::Info(json) => text("INFO", json),
        ServerOp::Err(error) => text("-ERR", error),
        ServerOp::Msg(message) => {
            assert_eq!(message.header_len, 0);
            words("MSG", &message_words(message))
        }
        ServerOp::HMsg(message) => words("HMSG", &message_words(message)),
        ServerOp::Ping => "  PING".into(),
        ServerOp::Pong => "  PONG".into(),
        ServerOp::Ok => "  +OK".into(),
    }
}

type Words<'b> = Vec<(&'static str, Option<&'b [u8]>)>;

fn publish_words<'b>(publish: &Publish<'b>) -> Words<'b> {
    let header = (publish.header_len > 0).then(|| publish.header());
    vec![
        ("subject", Some(publish.subject)),
        ("reply", publish.reply),
        ("header", header),
        ("payload", Some(publish.payload())),
    ]
}

fn message_words<'b>(message: &Message<'b>) -> Words<'b> {
    let header = (message.header_len > 0).then(|| message.header());
    vec![
        ("subject", Some(message.subject)),
        ("sid", Some(message.sid)),
        ("reply", message.reply),
        ("header", header),
        ("payload", Some(message.payload())),
    ]
}

fn text(verb: &str, text: &[u8]) -> String {
    format!("  {verb} {}", escape(text)).trim_end().to_owned()
}

fn words(verb: &str, words: &[(&str, Option<&[u8]>)]) -> String {
    let mut line = format!("  {verb}");
    for (name, value) in words {
        if let Some(value) = value {
            write!(line, " {name}={}", escape(value)).unwrap();
        }
    }
    line.trim_end().to_owned()
}

/// As in a Rust byte string, but quotes stand for themselves.
pub(crate) fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'")
}
