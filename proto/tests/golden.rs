//! Every stream of `golden/` means what is written there, and is what our encoders write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod transcript;

use lunix_proto::Full;
use lunix_proto::nats::{ClientDecoder, ClientOp, Connect, Info, Limits, ServerDecoder, ServerOp, encode};
use transcript::{cases, decode, escape};

#[test]
fn streams_mean_what_is_written() {
    for case in cases() {
        let found = decode(case.by_server, Limits::default(), &case.bytes, &[]);
        assert_eq!(found, case.expected, "{}:{}", case.file, case.line);
    }
}

#[test]
fn encoders_write_the_same_bytes() {
    for case in
        cases().iter().filter(|case| case.canonical && !case.expected.iter().any(|op| op.starts_with('!')))
    {
        let mut start = 0;
        while start < case.bytes.len() {
            let rest = &case.bytes[start..];
            let (bytes, len) = if case.by_server {
                let (op, len) = ServerDecoder::new(Limits::default()).decode(rest).unwrap().unwrap();
                (encoded(|out| encode_server(out, &op)), len)
            } else {
                let (op, len) = ClientDecoder::new(Limits::default()).decode(rest).unwrap().unwrap();
                (encoded(|out| encode_client(out, &op)), len)
            };
            assert_eq!(escape(&bytes), escape(&rest[..len]), "{}:{}", case.file, case.line);
            start += len;
        }
    }
}

/// The output, which every room that is too short must have foretold.
fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> Vec<u8> {
    let needed = encode(&mut []).unwrap_err().needed;
    for short in 0..needed {
        assert_eq!(encode(&mut vec![0; short]), Err(Full { needed }));
    }
    let mut out = vec![0; needed + 3];
    assert_eq!(encode(&mut out), Ok(needed));
    out.truncate(needed);
    out
}

fn encode_client(out: &mut [u8], op: &ClientOp<'_>) -> Result<usize, Full> {
    match *op {
        ClientOp::Connect(json) => encode::connect(out, &Connect::parse(json).unwrap()),
        ClientOp::Pub(p) | ClientOp::HPub(p) => {
            encode::publish(out, p.subject, p.reply, p.header(), p.payload())
        }
        ClientOp::Sub { subject, queue, sid } => encode::subscribe(out, subject, queue, sid),
        ClientOp::Unsub { sid, max } => encode::unsubscribe(out, sid, max),
        ClientOp::Ping => encode::ping(out),
        ClientOp::Pong => encode::pong(out),
        ClientOp::Ok => encode::ok(out),
        ClientOp::Err(text) => encode::err(out, text),
        ClientOp::Info(json) => encode::info(out, &Info::parse(json).unwrap()),
    }
}

fn encode_server(out: &mut [u8], op: &ServerOp<'_>) -> Result<usize, Full> {
    match *op {
        ServerOp::Info(json) => encode::info(out, &Info::parse(json).unwrap()),
        ServerOp::Msg(m) | ServerOp::HMsg(m) => {
            let mut head = [0; 128];
            let len =
                encode::msg_head(&mut head, m.subject, m.sid, m.reply, m.header_len, m.body.len()).unwrap();
            let whole = encode::message(out, m.subject, m.sid, m.reply, m.header(), m.payload())?;
            assert!(out.starts_with(&head[..len]));
            Ok(whole)
        }
        ServerOp::Ping => encode::ping(out),
        ServerOp::Pong => encode::pong(out),
        ServerOp::Ok => encode::ok(out),
        ServerOp::Err(text) => encode::err(out, text),
    }
}
