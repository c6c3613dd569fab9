//! WebSocket, by the rules of RFC 6455 and beside `tungstenite`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use lunix_proto::ws::handshake::{self, Refusal};
use lunix_proto::ws::{
    Close, CloseCode, DecodeError, Decoder, Event, Kind, MAX_UNDECODED, Mask, Side, encode,
};
use proptest::prelude::*;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

const LIMIT: u64 = 1 << 20;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a stream holds, its data put together: `T` and `B` are messages, `t` and `b` those that are unfinished.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Data(char, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Error(DecodeError),
}

/// Decodes a stream that comes in pieces cut at these bytes.
fn decode(sender: Side, limit: u64, stream: &[u8], cuts: impl IntoIterator<Item = usize>) -> Vec<Said> {
    let mut decoder = Decoder::new(sender, limit);
    let mut found = Vec::new();
    let mut unfinished: Option<(char, Vec<u8>)> = None;
    let mut pending = Vec::new();
    let mut start = 0;
    'stream: for end in cuts.into_iter().chain([stream.len()]) {
        pending.extend_from_slice(&stream[start..end]);
        start = end;
        loop {
            let len = match decoder.decode(&mut pending) {
                Ok(None) => break,
                Err(error) => {
                    found.push(Said::Error(error));
                    assert_eq!(decoder.decode(&mut pending), Err(error));
                    break 'stream;
                }
                Ok(Some((event, len))) => {
                    match event {
                        Event::Data { kind, bytes, last } => {
                            let letter = if kind == Kind::Text { 't' } else { 'b' };
                            let (_, whole) = unfinished.get_or_insert((letter, Vec::new()));
                            whole.extend_from_slice(bytes);
                            if last && let Some((letter, whole)) = unfinished.take() {
                                found.push(Said::Data(letter.to_ascii_uppercase(), whole));
                            }
                        }
                        Event::Ping(payload) => found.push(Said::Ping(payload.to_vec())),
                        Event::Pong(payload) => found.push(Said::Pong(payload.to_vec())),
                        Event::Close(close) => {
                            let close = close.map(|Close { code, reason }| (code.0, reason.to_owned()));
                            found.push(Said::Close(close));
                        }
                    }
                    len
                }
            };
            pending.drain(..len);
        }
        let closed = found.iter().any(|said| matches!(said, Said::Close(_)));
        assert!(pending.len() < MAX_UNDECODED || closed, "{} bytes are waited for", pending.len());
    }
    if !matches!(found.last(), Some(Said::Error(_))) {
        found.extend(unfinished.map(|(letter, bytes)| Said::Data(letter, bytes)));
    }
    found
}

/// Frames, masked if a client sends them.
fn frames(sender: Side, frames: &[(u8, &[u8])]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (first, payload) in frames {
        let masked = if sender == Side::Client { 0x80 } else { 0 };
        stream.push(*first);
        match payload.len() {
            len @ 0..=125 => stream.push(masked | len as u8),
            len @ 126..=0xFFFF => {
                stream.push(masked | 126);
                stream.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                stream.push(masked | 127);
                stream.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if sender == Side::Client {
            stream.extend_from_slice(&KEY);
            stream.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            stream.extend_from_slice(payload);
        }
    }
    stream
}

/// Expects this of the frames, cut at no byte, at each, and at all of them.
fn expect(list: &[(u8, &[u8])], expected: &[Said]) {
    for sender in [Side::Client, Side::Server] {
        let stream = frames(sender, list);
        let cuts = if stream.len() < 1000 { 0..stream.len() } else { 0..20 };
        for cut in cuts.clone() {
            assert_eq!(decode(sender, LIMIT, &stream, [cut]), expected, "{list:?} cut at {cut}");
        }
        assert_eq!(decode(sender, LIMIT, &stream, cuts), expected, "{list:?} cut everywhere");
    }
}

#[test]
fn examples_of_section_5_7() {
    let all = |sender, stream: &[u8]| decode(sender, LIMIT, stream, 0..stream.len());
    let hello = Said::Data('T', b"Hello".to_vec());
    assert_eq!(all(Side::Server, b"\x81\x05Hello"), [hello]);
    let hello = Said::Data('T', b"Hello".to_vec());
    assert_eq!(all(Side::Client, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [hello]);
    let hello = Said::Data('T', b"Hello".to_vec());
    assert_eq!(all(Side::Server, b"\x01\x03Hel\x80\x02lo"), [hello]);
    assert_eq!(all(Side::Server, b"\x89\x05Hello"), [Said::Ping(b"Hello".to_vec())]);
    assert_eq!(
        all(Side::Client, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        [Said::Pong(b"Hello".to_vec())]
    );
    for len in [256, 65536] {
        let bytes = vec![7; len];
        expect(&[(0x82, &bytes)], &[Said::Data('B', bytes.clone())]);
    }
}

#[test]
fn messages_of_fragments_with_control_frames_between() {
    expect(
        &[
            (0x01, b"a"),
            (0x89, b"?"),
            (0x00, b""),
            (0x8A, b"!"),
            (0x80, "ß".as_bytes()),
            (0x82, b""),
            (0x88, b""),
        ],
        &[
            Said::Ping(b"?".to_vec()),
            Said::Pong(b"!".to_vec()),
            Said::Data('T', "aß".into()),
            Said::Data('B', vec![]),
            Said::Close(None),
        ],
    );
    expect(&[(0x02, b"half")], &[Said::Data('b', b"half".to_vec())]);
}

#[test]
fn what_breaks_the_protocol() {
    let long = [b'a'; 126];
    for (list, error) in [
        (&[(0xC1, &b"a"[..])][..], DecodeError::ReservedBits),
        (&[(0xA1, b"a")], DecodeError::ReservedBits),
        (&[(0x91, b"a")], DecodeError::ReservedBits),
        (&[(0x83, b"a")], DecodeError::Opcode),
        (&[(0x8B, b"a")], DecodeError::Opcode),
        (&[(0x8F, b"a")], DecodeError::Opcode),
        (&[(0x09, b"a")], DecodeError::Control),
        (&[(0x8A, &long)], DecodeError::Control),
        (&[(0x88, &long)], DecodeError::Control),
        (&[(0x80, b"a")], DecodeError::Fragmentation),
        (&[(0x00, b"")], DecodeError::Fragmentation),
        (&[(0x88, b"\x03")], DecodeError::Close),
        (&[(0x88, b"\x03\xED")], DecodeError::Close),
        (&[(0x88, b"\x03\xE8\xC3")], DecodeError::Utf8),
    ] {
        expect(list, &[Said::Error(error)]);
    }
    expect(&[(0x01, b""), (0x81, b"")], &[Said::Error(DecodeError::Fragmentation)]);
    assert_eq!(decode(Side::Client, LIMIT, b"\x81\x01a", [1, 2]), [Said::Error(DecodeError::Masking)]);
    assert_eq!(decode(Side::Server, LIMIT, b"\x81\x81keyka", [1, 2]), [Said::Error(DecodeError::Masking)]);
    for length in [&b"\x82\x7E\0\x7D"[..], b"\x82\x7F\0\0\0\0\0\0\xFF\xFF", b"\x82\x7F\x80\0\0\0\0\0\0\0"] {
        let found = decode(Side::Server, u64::MAX, length, 0..length.len());
        assert_eq!(found, [Said::Error(DecodeError::Length)]);
    }
}

#[test]
fn a_rule_is_held_at_the_first_byte_that_breaks_it() {
    for (stream, at) in
        [(&b"\xC1"[..], 0), (b"\x83", 0), (b"\x80", 0), (b"\x09", 0), (b"\x81\x05", 1), (b"\x89\xFE", 1)]
    {
        let mut decoder = Decoder::new(Side::Client, LIMIT);
        for end in 0..=at {
            assert_eq!(decoder.decode(&mut stream[..end].to_vec()), Ok(None));
        }
        assert!(decoder.decode(&mut stream.to_vec()).is_err(), "{stream:?}");
    }
}

#[test]
fn text_fails_at_the_first_byte_that_cannot_be_utf8() {
    for (text, valid) in [
        ("κόσμε, \u{10FFFF}".as_bytes(), true),
        (b"\xF4\x8F\xBF\xBF", true),
        (b"\xF4\x90\x80\x80", false),
        (b"\xED\xA0\x80", false),
        (b"\xC0\xAF", false),
        (b"\xCE", false),
        (b"a\x80", false),
    ] {
        let expected = if valid { Said::Data('T', text.to_vec()) } else { Said::Error(DecodeError::Utf8) };
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            expect(&[(0x01, a), (0x80, b)], std::slice::from_ref(&expected));
        }
    }
    let mut decoder = Decoder::new(Side::Server, LIMIT);
    let mut bytes = *b"\x81\x7E\x01\x00\xF4";
    let seen = (Event::Data { kind: Kind::Text, bytes: b"\xF4", last: false }, 5);
    assert_eq!(decoder.decode(&mut bytes), Ok(Some(seen)));
    assert_eq!(decoder.decode(&mut [0x90]), Err(DecodeError::Utf8));
}

#[test]
fn a_message_is_no_longer_than_the_limit() {
    for sender in [Side::Client, Side::Server] {
        let stream = frames(sender, &[(0x02, b"1234"), (0x80, b"5678")]);
        let cuts = || 0..stream.len();
        assert_eq!(decode(sender, 8, &stream, cuts()), [Said::Data('B', b"12345678".to_vec())]);
        assert_eq!(decode(sender, 7, &stream, cuts()), [Said::Error(DecodeError::TooBig)]);
        assert_eq!(decode(sender, 3, &stream, cuts()), [Said::Error(DecodeError::TooBig)]);
    }
    let mut decoder = Decoder::new(Side::Server, LIMIT);
    let error = decoder.decode(&mut b"\x82\x7F\0\0\0\0\x01\0\0\0".to_vec()).unwrap_err();
    assert_eq!((error, error.close_code()), (DecodeError::TooBig, CloseCode::MESSAGE_TOO_BIG));
}

#[test]
fn nothing_follows_a_close() {
    expect(
        &[(0x88, b"\x03\xE8bye"), (0x82, b"more"), (0xFF, b"")],
        &[Said::Close(Some((1000, "bye".to_owned())))],
    );
    let error = DecodeError::Close;
    assert_eq!(
        (error.close_code(), error.to_string()),
        (CloseCode(1002), "an invalid close frame".to_owned())
    );
    assert_eq!(DecodeError::Utf8.close_code(), CloseCode(1007));
}

#[test]
fn encoded_control_frames_stay_within_their_length() {
    let mut out = [0; MAX_UNDECODED];
    let reason = "ü".repeat(80);
    let len = encode::close(&mut out, CloseCode::NORMAL, &reason, None).unwrap();
    let found = decode(Side::Server, LIMIT, &out[..len], []);
    assert_eq!(found, [Said::Close(Some((1000, "ü".repeat(61))))]);
    let len = encode::ping(&mut out, &[b'a'; 300], Some(KEY)).unwrap();
    assert_eq!(decode(Side::Client, LIMIT, &out[..len], []), [Said::Ping(vec![b'a'; 125])]);
    let full = encode::ping(&mut out[..10], &[b'a'; 300], Some(KEY)).unwrap_err();
    assert_eq!(full.needed, len);
}

#[test]
fn the_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 96);
}

#[test]
fn requests_that_are_refused() {
    const FIELDS: [(&str, &[u8]); 5] = [
        ("host", b"localhost"),
        ("upgrade", b"h2c, WebSocket"),
        ("connection", b" Upgrade "),
        ("sec-websocket-version", b" 13 "),
        ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert!(handshake::check("GET", FIELDS).is_ok());
    assert_eq!(handshake::check("POST", FIELDS), Err(Refusal::Method));
    let refusals = [Refusal::Host, Refusal::Upgrade, Refusal::Upgrade, Refusal::Version, Refusal::Key];
    for (at, refusal) in refusals.into_iter().enumerate() {
        let without = FIELDS.into_iter().enumerate().filter(|(n, _)| *n != at).map(|(_, field)| field);
        assert_eq!(handshake::check("GET", without), Err(refusal));
    }
    for twice in [0, 4] {
        let fields = FIELDS.into_iter().chain([FIELDS[twice]]);
        assert_eq!(handshake::check("GET", fields), Err(refusals[twice]));
    }
    for key in
        [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZWE=", b"dGhlIHNhbXBsZSBub25jZQ==="]
    {
        let mut fields = FIELDS;
        fields[4].1 = key;
        assert_eq!(handshake::check("GET", fields), Err(Refusal::Key));
    }
}

/// A peer's side of a connection: bytes in, bytes out.
#[derive(Default)]
struct Pipe {
    input: std::io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl std::io::Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(buffer)
    }
}

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

proptest! {
    /// Bytes are masked as the definition says, however they are cut.
    #[test]
    fn masks(key: [u8; 4], bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..100) {
        let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        let mut masked = bytes;
        let (a, b) = masked.split_at_mut(cut.min(expected.len()));
        let mut mask = Mask::new(key);
        mask.apply(a);
        mask.apply(b);
        prop_assert_eq!(masked, expected);
    }

    /// What tungstenite sends is what we read.
    #[test]
    fn reads_tungstenite(
        messages in proptest::collection::vec((any::<bool>(), ".{0,300}"), 0..6),
        cut: usize,
    ) {
        for sender in [Side::Client, Side::Server] {
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for (text, payload) in &messages {
                let (data, letter) = if *text { (Data::Text, 'T') } else { (Data::Binary, 'B') };
                let mut frame = Frame::message(payload.clone().into_bytes(), OpCode::Data(data), true);
                if sender == Side::Client {
                    frame.header_mut().mask = Some(KEY);
                }
                frame.format(&mut stream).unwrap();
                expected.push(Said::Data(letter, payload.clone().into_bytes()));
            }
            let cut = cut % (stream.len() + 1);
            prop_assert_eq!(decode(sender, LIMIT, &stream, [cut]), expected);
        }
    }

    /// What we send is what tungstenite reads, and what it refuses we refuse.
    #[test]
    fn read_by_tungstenite(bytes in proptest::collection::vec(frame(), 0..6)) {
        let stream = bytes.concat();
        let ours = decode(Side::Client, LIMIT, &stream, []);
        let config = WebSocketConfig::default().accept_unmasked_frames(false);
        let pipe = Pipe { input: std::io::Cursor::new(stream), output: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(pipe, Role::Server, Some(config));
        for said in ours {
            let theirs = socket.read();
            match (said, theirs) {
                (Said::Data('T', ours), Ok(tungstenite::Message::Text(theirs))) => prop_assert_eq!(ours, theirs.as_bytes()),
                (Said::Data('B', ours), Ok(tungstenite::Message::Binary(theirs))) => prop_assert_eq!(ours, theirs.to_vec()),
                (Said::Ping(ours), Ok(tungstenite::Message::Ping(theirs))) => prop_assert_eq!(ours, theirs.to_vec()),
                (Said::Pong(ours), Ok(tungstenite::Message::Pong(theirs))) => prop_assert_eq!(ours, theirs.to_vec()),
                (Said::Close(ours), Ok(tungstenite::Message::Close(theirs))) => {
                    prop_assert_eq!(ours, theirs.map(|close| (u16::from(close.code), close.reason.to_string())));
                }
                (Said::Error(_) | Said::Data('t' | 'b', _), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} against {theirs:?}"),
            }
        }
    }
}

/// A masked frame, seldom a valid one after another.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A]),
        1 => any::<u8>().prop_filter("what a Close frame may say is compared by hand", |first| first & 0x0F != 8),
    ];
    (first, ".{0,40}").prop_map(|(first, text)| {
        let mut text = text.into_bytes();
        if first & 0x0F >= 8 {
            text.truncate(125);
        }
        frames(Side::Client, &[(first, &text)])
    })
}
