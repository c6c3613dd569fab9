//! Decoders over a buffer that is already in memory.

use crate::rounds::{Case, Goal, Group, Work};
use bytes::{BufMut, Bytes};
use lunix_proto::nats::{ClientDecoder, ClientOp, Limits, ServerDecoder, ServerOp};
use std::hint::black_box;

pub const PAYLOAD: usize = 128;

/// Bytes that a turn decodes, whatever the buffer's size.
const TURN: usize = 32 << 20;

/// As many copies of one operation as fit into `size` bytes.
fn repeated(line: &str, size: usize) -> (Vec<u8>, Work) {
    let mut one = line.as_bytes().to_vec();
    one.extend_from_slice(&[b'x'; PAYLOAD]);
    one.extend_from_slice(b"\r\n");
    let messages = size / one.len();
    let buffer = one.repeat(messages);
    let work = Work { messages, bytes: buffer.len() };
    (buffer, work)
}

fn repeat(work: Work, mut turn: impl FnMut() + 'static) -> impl FnMut() -> Work {
    let times = TURN / work.bytes;
    move || {
        for _ in 0..times {
            turn();
        }
        Work { messages: work.messages * times, bytes: work.bytes * times }
    }
}

/// What a server decodes. No Rust crate but lunix's reads this side.
pub fn publishes(size: usize) -> Group {
    let (buffer, work) = repeated(&format!("PUB sensors.kitchen.temperature {PAYLOAD}\r\n"), size);
    let ours = move || {
        let mut decoder = ClientDecoder::new(Limits::default());
        let mut rest = black_box(&buffer[..]);
        while let Ok(Some((op, len))) = decoder.decode(rest) {
            if let ClientOp::Pub(publish) = op {
                black_box((publish.subject, publish.payload()));
            }
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    };
    let title = format!("`PUB`, 128 B, {} KiB buffer", size >> 10);
    let cases = vec![Case::new("lunix `ClientDecoder`", repeat(work, ours))];
    Group::new(title, Some(Goal::Messages(20e6)), cases)
}

pub fn message_line(sid: &str) -> String {
    format!("MSG sensors.kitchen.temperature {sid} {PAYLOAD}\r\n")
}

/// What a client decodes.
pub fn messages(size: usize) -> Group {
    let (buffer, work) = repeated(&message_line("1"), size);
    let shared = Bytes::from(buffer.clone());
    let copied = buffer.clone();
    let ours = move || {
        let mut decoder = ServerDecoder::new(Limits::default());
        let mut rest = black_box(&buffer[..]);
        while let Ok(Some((op, len))) = decoder.decode(rest) {
            if let ServerOp::Msg(message) = op {
                black_box((message.subject, message.sid, message.payload()));
            }
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    };
    let frames = move || {
        let mut rest = black_box(&shared).clone();
        while !rest.is_empty() {
            black_box(watermelon_proto::proto::decode_frame(&mut rest).expect("a message"));
        }
    };
    let mut stream = watermelon_proto::proto::StreamDecoder::new();
    let streamed = move || {
        stream.read_buf().put_slice(black_box(&copied));
        while let Some(op) = stream.decode().expect("a message") {
            black_box(op);
        }
    };
    let title = format!("`MSG`, 128 B, {} KiB buffer", size >> 10);
    let cases = vec![
        Case::new("lunix `ServerDecoder`", repeat(work, ours)),
        Case::new("watermelon-proto `decode_frame`", repeat(work, frames)),
        Case::new("watermelon-proto `StreamDecoder` (copies its input)", repeat(work, streamed)),
    ];
    Group::new(title, None, cases)
}
