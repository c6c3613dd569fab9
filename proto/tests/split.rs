//! However a stream is cut into pieces, it holds the same operations and ends in the same error.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

mod transcript;

use lunix_proto::nats::{ClientDecoder, DecodeError, Limits, ServerDecoder};
use transcript::{cases, decode};

#[test]
fn cut_once_at_every_byte() {
    for case in cases() {
        for cut in 0..=case.bytes.len() {
            let found = decode(case.by_server, Limits::default(), &case.bytes, &[cut]);
            assert_eq!(found, case.expected, "{}:{} cut at {cut}", case.file, case.line);
        }
    }
}

#[test]
fn cut_twice_at_every_pair() {
    for case in cases().iter().filter(|case| case.bytes.len() < 100) {
        for first in 0..=case.bytes.len() {
            for second in first..=case.bytes.len() {
                let found = decode(case.by_server, Limits::default(), &case.bytes, &[first, second]);
                assert_eq!(found, case.expected, "{}:{} cut at {first}, {second}", case.file, case.line);
            }
        }
    }
}

#[test]
fn cut_everywhere() {
    for case in cases() {
        let cuts: Vec<usize> = (0..case.bytes.len()).collect();
        let found = decode(case.by_server, Limits::default(), &case.bytes, &cuts);
        assert_eq!(found, case.expected, "{}:{}", case.file, case.line);
    }
}

#[test]
fn limits_hold_at_the_byte_however_cut() {
    let limits = Limits { control_line: 8, payload: 4 };
    let too_long = ["! ControlLineTooLong".to_owned()];
    for (stream, expected) in [
        (&b"SUB abcdef 1\r\n"[..], &["  SUB subject=abcdef sid=1".to_owned()][..]),
        (b"SUB abcdef 1\n", &["  SUB subject=abcdef sid=1".to_owned()]),
        (b"SUB abcdefg 1\r\n", &too_long),
        (b"SUB abcdefg 1\n", &too_long),
        (b"SUB abcdefghijklmnopqrstuvwxyz", &too_long),
        (b"CONNECT {     }\r\n", &["  CONNECT {     }".to_owned(), "? 10".to_owned()][..1]),
        (b"CONNECT {      }\r\n", &["  CONNECT {      }".to_owned()]),
        (b"CONNECT {       }\r\n", &too_long),
        (b"CONNECT{      }\r\n", &["  CONNECT {      }".to_owned()]),
        (b"CONNECT{       }\r\n", &too_long),
        (b"PING12345678\r\n", &["  PING".to_owned()]),
        (b"PING123456789\r\n", &too_long),
        (b"PUB         a 1\r\n", &too_long),
        (b"PUB a 4\r\nabcd\r\n", &["  PUB subject=a payload=abcd".to_owned()]),
        (b"PUB a 5\r\n", &["! PayloadTooLarge".to_owned()]),
        (b"HPUB a 1 5\r\n", &["! PayloadTooLarge".to_owned()]),
    ] {
        for cut in 0..=stream.len() {
            assert_eq!(
                decode(false, limits, stream, &[cut]),
                expected,
                "{} cut at {cut}",
                stream.escape_ascii()
            );
        }
        let cuts: Vec<usize> = (0..stream.len()).collect();
        assert_eq!(decode(false, limits, stream, &cuts), expected, "{}", stream.escape_ascii());
    }
}

#[test]
fn a_line_without_end_fails_at_the_limit() {
    let mut stream = b"SUB ".to_vec();
    stream.resize(4 + 4096 + 1, b'a');
    let mut decoder = ClientDecoder::new(Limits::default());
    assert_eq!(decoder.decode(&stream), Ok(None));
    stream.push(b'a');
    assert_eq!(decoder.decode(&stream), Err(DecodeError::ControlLineTooLong));
}

#[test]
fn an_error_stays() {
    let mut decoder = ClientDecoder::new(Limits::default());
    for _ in 0..3 {
        assert_eq!(decoder.decode(b"PUB a 2\r\nhiX"), Err(DecodeError::UnknownOperation));
    }
}

#[test]
fn work_is_linear_in_the_bytes() {
    // A MiB that arrives byte by byte: quadratic work would take minutes.
    let limits = Limits { control_line: 1 << 20, payload: 1 << 20 };
    let mut line = b"SUB ".to_vec();
    line.resize(1 << 20, b'a');
    line.extend_from_slice(b" 1\r\n");
    let mut message = b"PUB a 1048576\r\n".to_vec();
    message.resize(message.len() + (1 << 20), b'a');
    message.extend_from_slice(b"\r\n");
    for stream in [line, message] {
        let mut decoder = ClientDecoder::new(limits);
        for end in 0..stream.len() {
            assert_eq!(decoder.decode(&stream[..end]), Ok(None));
        }
        assert_eq!(decoder.decode(&stream).unwrap().unwrap().1, stream.len());
    }
}

#[test]
fn decoders_are_small() {
    assert!(size_of::<ClientDecoder>() <= 64);
    assert!(size_of::<ServerDecoder>() <= 64);
}
