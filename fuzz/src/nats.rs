//! The NATS codec.

use lunix_proto::Full;
use lunix_proto::nats::header::{Headers, Writer};
use lunix_proto::nats::subject::{is_literal, is_pattern, matches, push_token, tokens};
use lunix_proto::nats::{
    ClientDecoder, ClientOp, Connect, DecodeError, FieldError, Info, Limits, ServerDecoder, ServerOp, encode,
    leaf,
};
use serde_json::Value;

/// A client's stream gives the same operations however it is cut into pieces, and the encoders give it back.
pub fn client_stream(data: &[u8]) {
    let Some((limits, pieces, stream)) = fragmented(data) else { return };
    let decode = |pieces: &[u8]| {
        let mut decoder = ClientDecoder::new(limits);
        feed(stream, pieces, |bytes| {
            let step = decoder.decode(bytes).map(|found| {
                found.map(|(op, len)| {
                    check_client(&op, bytes, len);
                    (format!("{op:?}"), len)
                })
            });
            (step, decoder.needed())
        })
    };
    assert_eq!(decode(pieces), decode(&[]));
}

/// A server's stream, likewise.
pub fn server_stream(data: &[u8]) {
    let Some((limits, pieces, stream)) = fragmented(data) else { return };
    let decode = |pieces: &[u8]| {
        let mut decoder = ServerDecoder::new(limits);
        feed(stream, pieces, |bytes| {
            let step = decoder.decode(bytes).map(|found| {
                found.map(|(op, len)| {
                    check_server(&op, bytes, len);
                    (format!("{op:?}"), len)
                })
            });
            (step, decoder.needed())
        })
    };
    assert_eq!(decode(pieces), decode(&[]));
}

/// A leaf node's stream, likewise.
pub fn leaf_stream(data: &[u8]) {
    let Some((limits, pieces, stream)) = fragmented(data) else { return };
    let decode = |pieces: &[u8]| {
        let mut decoder = leaf::Decoder::new(limits);
        feed(stream, pieces, |bytes| {
            let step = decoder.decode(bytes).map(|found| {
                found.map(|(op, len)| {
                    check_leaf(&op, bytes, len);
                    (format!("{op:?}"), len)
                })
            });
            (step, decoder.needed())
        })
    };
    assert_eq!(decode(pieces), decode(&[]));
}

/// What a leaf node said is what its encoder says, which decodes to the same.
fn check_leaf(op: &leaf::Op<'_>, bytes: &[u8], len: usize) {
    let mut out = vec![0; len + 64];
    let written = match *op {
        leaf::Op::Subscribe { subject, queue } => leaf::subscribe(&mut out, subject, queue),
        leaf::Op::Unsubscribe { subject, queue } => leaf::unsubscribe(&mut out, subject, queue),
        leaf::Op::Message(message) => {
            check_body(message.body, bytes, len);
            let queues: Vec<&[u8]> = message.queues.iter().collect();
            let leaf::Message { subject, reply, body, header_len, .. } = message;
            let head = leaf::message_head(&mut out, subject, reply, &queues, header_len, body.len());
            let head = head.expect("a head is no longer than what it was read from");
            out.truncate(head);
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
            Ok(out.len())
        }
        leaf::Op::Connect(json) => {
            let _ = leaf::Connect::parse(json).map(|connect| connect.write(&mut out));
            return;
        }
        leaf::Op::Info(json) => {
            let _ = leaf::Info::parse(json).map(|info| info.write(&mut out));
            return;
        }
        _ => return,
    };
    let written = written.expect("no longer than what it was read from");
    let limits = Limits { control_line: 1 << 20, payload: 1 << 20 };
    let mut decoder = leaf::Decoder::new(limits);
    let again = decoder.decode(&out[..written]).expect("valid").expect("whole");
    assert_eq!(again, (*op, written));
}

/// The input: how narrow the limits are and how many pieces to cut, their lengths, the stream.
fn fragmented(data: &[u8]) -> Option<(Limits, &[u8], &[u8])> {
    let (&first, rest) = data.split_first()?;
    let limits = if first & 0x80 == 0 { Limits::default() } else { Limits { control_line: 24, payload: 16 } };
    let (pieces, stream) = rest.split_at_checked(usize::from(first & 0x0F))?;
    Some((limits, pieces, stream))
}

type Step = (Result<Option<(String, usize)>, DecodeError>, usize);

/// Decodes a stream whose pieces have these lengths, from the first again after the last.
fn feed(stream: &[u8], pieces: &[u8], mut decode: impl FnMut(&[u8]) -> Step) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    let mut lengths = pieces.iter().cycle();
    let mut needed = 0;
    while end < stream.len() {
        let length = lengths.next().map_or(stream.len(), |length| usize::from(*length).max(1));
        end = stream.len().min(end + length);
        while start < end {
            // A copy of its own: nothing may hang on to where the bytes were before.
            let bytes = stream[start..end].to_vec();
            match decode(&bytes) {
                (Ok(Some((op, len))), _) => {
                    assert!(needed <= bytes.len(), "{op} came before the bytes it needed");
                    assert!(0 < len && len <= bytes.len());
                    found.push(op);
                    start += len;
                    needed = 0;
                }
                (Ok(None), more) => {
                    assert!(more > bytes.len(), "{more} bytes are needed and there");
                    assert!(more >= needed, "less is needed than before");
                    needed = more;
                    break;
                }
                (Err(error), _) => return (found, format!("{error:?}")),
            }
        }
    }
    (found, format!("{} left", stream.len() - start))
}

fn check_body(body: &[u8], bytes: &[u8], len: usize) {
    assert_eq!(&bytes[len - 2 - body.len()..len - 2], body);
    assert_eq!(&bytes[len - 2..len], b"\r\n");
}

/// The output; every encoder must foretell its length.
fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> Vec<u8> {
    let Err(Full { needed }) = encode(&mut []) else { panic!("an output of no bytes") };
    assert_eq!(encode(&mut vec![0; needed - 1]), Err(Full { needed }));
    let mut out = vec![0; needed];
    assert_eq!(encode(&mut out), Ok(needed));
    out
}

const WIDE: Limits = Limits { control_line: 1 << 20, payload: 1 << 24 };

fn check_client(op: &ClientOp<'_>, bytes: &[u8], len: usize) {
    let again = match *op {
        ClientOp::Pub(p) | ClientOp::HPub(p) => {
            check_body(p.body, bytes, len);
            assert_eq!([p.header(), p.payload()].concat(), p.body);
            // `HPUB` with an empty header block is written as `PUB`.
            if p.header_len == 0 && matches!(op, ClientOp::HPub(_)) {
                return;
            }
            encoded(|out| encode::publish(out, p.subject, p.reply, p.header(), p.payload()))
        }
        ClientOp::Sub { subject, queue, sid } => encoded(|out| encode::subscribe(out, subject, queue, sid)),
        ClientOp::Unsub { sid, max } => encoded(|out| encode::unsubscribe(out, sid, max)),
        ClientOp::Ping => encoded(encode::ping),
        ClientOp::Pong => encoded(encode::pong),
        ClientOp::Ok => encoded(encode::ok),
        // Text that the encoders do not take: JSON that may be none, errors that may hold quotes.
        ClientOp::Connect(_) | ClientOp::Info(_) | ClientOp::Err(_) => return,
    };
    assert_eq!(ClientDecoder::new(WIDE).decode(&again), Ok(Some((*op, again.len()))));
}

fn check_server(op: &ServerOp<'_>, bytes: &[u8], len: usize) {
    let again = match *op {
        ServerOp::Msg(m) | ServerOp::HMsg(m) => {
            check_body(m.body, bytes, len);
            assert_eq!([m.header(), m.payload()].concat(), m.body);
            if m.header_len == 0 && matches!(op, ServerOp::HMsg(_)) {
                return;
            }
            encoded(|out| encode::message(out, m.subject, m.sid, m.reply, m.header(), m.payload()))
        }
        ServerOp::Ping => encoded(encode::ping),
        ServerOp::Pong => encoded(encode::pong),
        ServerOp::Ok => encoded(encode::ok),
        ServerOp::Info(_) | ServerOp::Err(_) => return,
    };
    assert_eq!(ServerDecoder::new(WIDE).decode(&again), Ok(Some((*op, again.len()))));
}

/// Subjects and patterns are judged and matched as a naive model does. The input: both, with a line break between.
pub fn subject_match(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (pattern, subject) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    for either in [pattern, subject] {
        let split: Vec<&[u8]> = either.split(|byte| *byte == b'.').collect();
        assert!(tokens(either).eq(split.iter().copied()));
        let plain =
            split.iter().all(|token| !token.is_empty() && !token.iter().any(|b| b" \t\r\n".contains(b)));
        let wild = |token: &&[u8]| *token == b"*" || *token == b">";
        assert_eq!(is_literal(either), plain && !split.iter().any(wild));
        let inner_tail = split[..split.len() - 1].contains(&&b">"[..]);
        assert_eq!(is_pattern(either), plain && !inner_tail);
        let token = encoded(|out| push_token(out, either));
        assert!(is_literal(&token) && !token.contains(&b'.') && std::str::from_utf8(&token).is_ok());
        assert_eq!(token.len(), either.len().max(1));
    }
    if is_pattern(pattern) && is_literal(subject) {
        let pattern_tokens: Vec<&[u8]> = tokens(pattern).collect();
        let subject_tokens: Vec<&[u8]> = tokens(subject).collect();
        assert_eq!(matches(pattern, subject), model(&pattern_tokens, &subject_tokens));
    } else {
        matches(pattern, subject);
    }
}

fn model(pattern: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([b"*", pattern @ ..], [_, subject @ ..]) => model(pattern, subject),
        ([a, pattern @ ..], [b, subject @ ..]) => a == b && model(pattern, subject),
        _ => false,
    }
}

/// Any block is read without harm, and what was read is written so that it reads the same.
pub fn header(data: &[u8]) {
    let Some(headers) = Headers::parse(data) else { return };
    let fields: Vec<(&[u8], &[u8])> = headers.iter().collect();
    for (name, value) in &fields {
        assert!(!name.contains(&b':') && !name.contains(&b'\n') && !value.contains(&b'\n'));
        if let Ok(name) = std::str::from_utf8(name) {
            let first = fields.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value);
            assert_eq!(headers.get(name), first);
            assert!(headers.values(name).any(|other| other == *value));
        }
    }
    let description = String::from_utf8_lossy(headers.description()).into_owned();
    let block = encoded(|out| {
        let mut writer = match headers.status() {
            Some(code) => Writer::with_status(out, code, &description),
            None => Writer::new(out),
        };
        for (name, value) in &fields {
            writer.field(&String::from_utf8_lossy(name), value);
        }
        writer.finish()
    });
    assert!(block.ends_with(b"\r\n\r\n"));
    let again = Headers::parse(&block).expect("a block of our own");
    assert_eq!(again.status(), headers.status());
    assert_eq!(again.iter().count(), fields.len());
    let values = again.iter().zip(&fields).all(|((_, a), (_, b))| {
        let b: Vec<u8> = b.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }).collect();
        a == b.trim_ascii()
    });
    assert!(values, "{:?} {fields:?}", again.iter().collect::<Vec<_>>());
}

/// `CONNECT` and `INFO` are read as `serde_json` reads them, and written so that they read the same.
pub fn connect_info(data: &[u8]) {
    let model = serde_json::from_slice::<Value>(data).ok();
    let connect = Connect::parse(data);
    if let Ok(connect) = connect {
        let again = encoded(|out| connect.write(out));
        assert_eq!(Connect::parse(&again), Ok(connect));
        let mut further = connect;
        assert_eq!(further.apply(b"{}"), Ok(()));
        assert_eq!(further, connect);
        assert_eq!(further.apply(data), Ok(()));
        assert_eq!(further, connect);
        let line = encoded(|out| encode::connect(out, &connect));
        assert!(
            matches!(ClientDecoder::new(WIDE).decode(&line), Ok(Some((ClientOp::Connect(json), _))) if json == again)
        );
    }
    if let Ok(info) = Info::parse(data) {
        let again = encoded(|out| info.write(out));
        assert_eq!(Info::parse(&again), Ok(info));
        let line = encoded(|out| encode::info(out, &info));
        assert!(
            matches!(ServerDecoder::new(WIDE).decode(&line), Ok(Some((ServerOp::Info(json), _))) if json == again)
        );
    }
    let Some(Value::Object(object)) = model else { return };
    // Equal keys, or such that differ in nothing but case, are beyond a model that has lost some or their order.
    if crate::json::has_duplicates(data) {
        return;
    }
    let folded: Vec<String> = object.keys().map(|key| key.to_ascii_lowercase()).collect();
    let unambiguous = |key: &str| folded.iter().filter(|other| *other == key).count() < 2;
    let field = |key: &str| {
        object
            .iter()
            .find(|(other, _)| other.to_ascii_lowercase() == key)
            .map_or(&Value::Null, |(_, value)| value)
    };
    let bools = ["verbose", "pedantic", "echo", "headers", "no_responders", "tls_required"];
    let texts = ["name", "lang", "version", "user", "pass", "auth_token", "nkey", "jwt", "sig"];
    if !bools.iter().chain(&texts).chain(&["protocol"]).all(|key| unambiguous(key)) {
        return;
    }
    match connect {
        Ok(connect) => {
            let ours = [
                connect.verbose,
                connect.pedantic,
                connect.echo,
                connect.headers,
                connect.no_responders,
                connect.tls_required,
            ];
            for (index, (key, ours)) in bools.iter().zip(ours).enumerate() {
                assert_eq!(field(key).as_bool().unwrap_or(index < 3), ours, "{key}");
            }
            let ours = [
                connect.name,
                connect.lang,
                connect.version,
                connect.user,
                connect.pass,
                connect.auth_token,
                connect.nkey,
                connect.jwt,
                connect.sig,
            ];
            for (key, ours) in texts.iter().zip(ours) {
                assert!(ours.eq_str(field(key).as_str().unwrap_or_default()), "{key}");
            }
            assert_eq!(field("protocol").as_i64().unwrap_or(0), connect.protocol);
        }
        // Nested deeper than we read, or of another type.
        Err(FieldError::Syntax) => assert!(crate::json::nesting(data) > lunix_proto::json::MAX_DEPTH),
        Err(FieldError::Type(key)) => {
            let value = field(key);
            assert!(!value.is_null());
            assert!(!(bools.contains(&key) && value.is_boolean()), "{key}");
            assert!(!(texts.contains(&key) && value.is_string()), "{key}");
        }
    }
}
