//! What is encoded decodes to the same, and hostile bytes do no harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod transcript;

use lunix_proto::Full;
use lunix_proto::json::Str;
use lunix_proto::nats::header::{Headers, Writer};
use lunix_proto::nats::subject::{is_literal, is_pattern, matches, push_token, tokens};
use lunix_proto::nats::{
    ClientDecoder, ClientOp, Connect, Info, Limits, Message, Publish, ServerDecoder, ServerOp, Urls, encode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> Vec<u8> {
    let Err(Full { needed }) = encode(&mut []) else { return Vec::new() };
    let mut out = vec![0; needed];
    assert_eq!(encode(&mut out), Ok(needed));
    out
}

/// An argument of a control line: no blanks, CR or LF.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("no blank", |byte| !b" \t\r\n".contains(byte)), 1..30)
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}|[\"\\\\\n\u{0}-\u{1F}\u{10000}-\u{10010}]{0,8}"
}

proptest! {
    #[test]
    fn publish(
        subject in argument(),
        reply in option::of(argument()),
        header in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let bytes = encoded(|out| encode::publish(out, &subject, reply.as_deref(), &header, &payload));
        let mut body = header.clone();
        body.extend_from_slice(&payload);
        let expected =
            Publish { subject: &subject, reply: reply.as_deref(), body: &body, header_len: header.len() };
        let expected = if header.is_empty() { ClientOp::Pub(expected) } else { ClientOp::HPub(expected) };
        prop_assert_eq!(ClientDecoder::new(Limits::default()).decode(&bytes), Ok(Some((expected, bytes.len()))));
    }

    #[test]
    fn message(
        subject in argument(),
        sid in argument(),
        reply in option::of(argument()),
        header in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let bytes = encoded(|out| encode::message(out, &subject, &sid, reply.as_deref(), &header, &payload));
        let mut body = header.clone();
        body.extend_from_slice(&payload);
        let expected = Message {
            subject: &subject,
            sid: &sid,
            reply: reply.as_deref(),
            body: &body,
            header_len: header.len(),
        };
        let expected = if header.is_empty() { ServerOp::Msg(expected) } else { ServerOp::HMsg(expected) };
        prop_assert_eq!(ServerDecoder::new(Limits::default()).decode(&bytes), Ok(Some((expected, bytes.len()))));
    }

    #[test]
    fn subscriptions(subject in argument(), queue in option::of(argument()), sid in argument(), max in 1..999_999_999_u64) {
        let bytes = encoded(|out| encode::subscribe(out, &subject, queue.as_deref(), &sid));
        let expected = ClientOp::Sub { subject: &subject, queue: queue.as_deref(), sid: &sid };
        prop_assert_eq!(ClientDecoder::new(Limits::default()).decode(&bytes), Ok(Some((expected, bytes.len()))));
        let bytes = encoded(|out| encode::unsubscribe(out, &sid, Some(max)));
        let expected = ClientOp::Unsub { sid: &sid, max: Some(max) };
        prop_assert_eq!(ClientDecoder::new(Limits::default()).decode(&bytes), Ok(Some((expected, bytes.len()))));
    }

    #[test]
    fn connect(flags in any::<[bool; 7]>(), protocol in any::<i64>(), texts in vec(text(), 10)) {
        let connect = Connect {
            verbose: flags[0],
            pedantic: flags[1],
            echo: flags[2],
            headers: flags[3],
            no_responders: flags[4],
            tls_required: flags[5],
            protocol,
            name: Str::new(&texts[0]),
            lang: Str::new(&texts[1]),
            version: Str::new(&texts[2]),
            user: Str::new(&texts[3]),
            pass: Str::new(&texts[4]),
            auth_token: Str::new(&texts[5]),
            nkey: Str::new(&texts[6]),
            jwt: Str::new(&texts[7]),
            sig: Str::new(&texts[8]),
            account: Str::new(&texts[9]),
            new_account: flags[6],
        };
        let bytes = encoded(|out| encode::connect(out, &connect));
        let Ok(Some((ClientOp::Connect(json), _))) = ClientDecoder::new(Limits::default()).decode(&bytes) else {
            panic!("no CONNECT: {}", bytes.escape_ascii())
        };
        prop_assert_eq!(Connect::parse(json), Ok(connect));
    }

    #[test]
    fn info(texts in vec(text(), 6), numbers in any::<(u16, u64, u64)>(), urls in vec(text(), 0..4)) {
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let info = Info {
            server_id: Str::new(&texts[0]),
            server_name: Str::new(&texts[1]),
            version: Str::new(&texts[2]),
            host: Str::new(&texts[3]),
            nonce: Str::new(&texts[4]),
            cluster: Str::new(&texts[5]),
            port: numbers.0,
            client_id: numbers.1,
            max_payload: numbers.2,
            connect_urls: Urls::new(&urls),
            ..Info::default()
        };
        let bytes = encoded(|out| encode::info(out, &info));
        let Ok(Some((ServerOp::Info(json), _))) = ServerDecoder::new(Limits::default()).decode(&bytes) else {
            panic!("no INFO: {}", bytes.escape_ascii())
        };
        prop_assert_eq!(Info::parse(json), Ok(info));
    }

    #[test]
    fn header_blocks(
        status in option::of((0..1000_u16, "[!-~]{0,9}")),
        fields in vec(("[!-9;-~]{1,9}", "[!-~]{0,9}"), 0..5),
    ) {
        let block = encoded(|out| {
            let mut writer = match &status {
                Some((code, description)) => Writer::with_status(out, *code, description),
                None => Writer::new(out),
            };
            fields.iter().for_each(|(name, value)| {
                writer.field(name, value.as_bytes());
            });
            writer.finish()
        });
        let headers = Headers::parse(&block).unwrap();
        prop_assert_eq!(headers.status(), status.as_ref().map(|(code, _)| *code));
        prop_assert_eq!(headers.description(), status.as_ref().map_or(&b""[..], |(_, text)| text.as_bytes()));
        prop_assert!(headers.iter().eq(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
        if let Some((name, _)) = fields.first() {
            let (_, value) = fields.iter().find(|(other, _)| other == name).unwrap();
            prop_assert_eq!(headers.get(name), Some(value.as_bytes()));
        }
    }

    #[test]
    fn header_blocks_of_anything(name in "\\PC{0,9}", value in vec(any::<u8>(), 0..20)) {
        let block = encoded(|out| Writer::with_status(out, 1000, "\r\nx: y").field(&name, &value).finish());
        prop_assert_eq!(Headers::parse(&block).unwrap().iter().count(), 1);
        prop_assert!(block.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn streams_of_anything(bytes in vec(any::<u8>(), 0..60), cuts in vec(0..60_usize, 0..5)) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
        cuts.sort_unstable();
        for by_server in [false, true] {
            let whole = transcript::decode(by_server, Limits::default(), &bytes, &[]);
            prop_assert_eq!(transcript::decode(by_server, Limits::default(), &bytes, &cuts), whole);
        }
    }

    #[test]
    fn tokens_of_anything(raw in vec(any::<u8>(), 0..20)) {
        let token = encoded(|out| push_token(out, &raw));
        prop_assert!(is_literal(&token) && tokens(&token).count() == 1);
        prop_assert!(std::str::from_utf8(&token).is_ok());
        prop_assert_eq!(&encoded(|out| push_token(out, &token)), &token);
    }

    #[test]
    fn wildcards(subject in "[ab*>]{1,2}(\\.[ab*>]{1,2}){0,3}", pattern in "(a|b|\\*|aa|\\*a)(\\.(a|b|\\*|>)){0,3}") {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        if is_literal(subject) {
            prop_assert!(is_pattern(subject) && matches(subject, subject) && matches(b">", subject));
            if is_pattern(pattern) {
                prop_assert_eq!(matches(pattern, subject), model(pattern, subject));
            }
        }
    }
}

fn model(pattern: &[u8], subject: &[u8]) -> bool {
    let pattern: Vec<&[u8]> = pattern.split(|byte| *byte == b'.').collect();
    let subject: Vec<&[u8]> = subject.split(|byte| *byte == b'.').collect();
    let tail = pattern.last() == Some(&&b">"[..]);
    let head = if tail { &pattern[..pattern.len() - 1] } else { &pattern[..] };
    (if tail { subject.len() > head.len() } else { subject.len() == head.len() })
        && head.iter().zip(&subject).all(|(pattern, subject)| *pattern == b"*" || pattern == subject)
}
