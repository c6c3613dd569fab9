//! What of an MQTT message neither subject nor payload can say, as headers of a NATS message, and back.
//!
//! | MQTT | NATS |
//! |---|---|
//! | QoS | `Nmqtt-Pub: 0`, 1 or 2, as nats-server has it |
//! | retain flag | `Nmqtt-Retain: 1` |
//! | content type | `Content-Type` |
//! | user property | a header of that name; where no header can hold it, `Nmqtt-Property: name=value` with `%XX` |
//! | payload format indicator | `Nmqtt-Format: 1` |
//! | message expiry interval | `Nmqtt-Expiry: seconds` |
//! | response topic | the reply subject |
//! | response topic and correlation data | the reply subject `_INBOX.mqtt.GATEWAY.TAG.HEX.SUBJECT`, see [`Reply`] |
//! | correlation data alone, or too long for a subject | `Nmqtt-Correlation: HEX` |
//! | the session it came from, if that wants none of its own | `Nmqtt-From` |
//! | the sites that it has passed, user property `Nmqtt-Path` of bridges | `Nmqtt-Path: site,site` |

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use lunix_core::time::Instant;
use lunix_proto::mqtt::Qos;
use lunix_proto::nats::header::{Headers, Writer};

use super::message::{Kept, Message, is_binary, is_text};
use super::names;
use crate::natsmqtt::path::{self, PATH};

const PUB: &str = "Nmqtt-Pub";
const RETAIN: &str = "Nmqtt-Retain";
const FORMAT: &str = "Nmqtt-Format";
const EXPIRY: &str = "Nmqtt-Expiry";
const CORRELATION: &str = "Nmqtt-Correlation";
const PROPERTY: &str = "Nmqtt-Property";
const FROM: &str = "Nmqtt-From";
const CONTENT_TYPE: &str = "Content-Type";

/// Properties that are read from a message of NATS at most.
const MOST: usize = 256;

/// This process among other gateways.
#[derive(Debug)]
pub(super) struct Identity {
    /// A NATS token.
    name: String,
    /// By which it knows what it has said itself.
    key: RandomState,
}

impl Identity {
    pub(super) fn new(name: String) -> Self {
        Self { name, key: RandomState::new() }
    }

    /// What the reply subjects that it makes match.
    pub(super) fn inboxes(&self) -> String {
        format!("{INBOX}{}.>", self.name)
    }
}

/// The header block of a message, and its reply subject.
pub(super) fn encode(message: &Message, now: Instant, gateway: &Identity) -> (Vec<u8>, Option<String>) {
    let (reply, has_correlation) = reply_subject(message, gateway);
    let qos: &[u8] = match message.qos {
        Qos::AtMostOnce => b"0",
        Qos::AtLeastOnce => b"1",
        Qos::ExactlyOnce => b"2",
    };
    let mut fields: Vec<(&str, Cow<'_, [u8]>)> = vec![(PUB, qos.into())];
    if message.retain {
        fields.push((RETAIN, b"1".as_slice().into()));
    }
    if let Some(Some(seconds)) = message.remaining(now) {
        fields.push((EXPIRY, seconds.to_string().into_bytes().into()));
    }
    if let Some(session) = message.from {
        fields.push((FROM, format!("{}.{session}", gateway.name).into_bytes().into()));
    }
    for kept in &message.properties {
        fields.push(match kept {
            Kept::Format(text) => (FORMAT, vec![b'0' + u8::from(*text)].into()),
            Kept::ContentType(kind) if is_value(kind) => (CONTENT_TYPE, kind.as_bytes().into()),
            Kept::Correlation(data) if !has_correlation => (CORRELATION, hex(data).into_bytes().into()),
            Kept::User(name, value) if is_name(name) && is_value(value) => (name, value.as_bytes().into()),
            Kept::Path(sites) if path::is_path(sites) => (PATH, sites.as_bytes().into()),
            Kept::User(name, value) => {
                (PROPERTY, format!("{}={}", percent(name), percent(value)).into_bytes().into())
            }
            Kept::ContentType(_) | Kept::ResponseTopic(_) | Kept::Correlation(_) | Kept::Path(_) => continue,
        });
    }
    // The version, and of each field the colon, a blank and the line's end.
    let room: usize = 16 + fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
    let mut block = vec![0; room];
    let mut writer = Writer::new(&mut block);
    for (name, value) in &fields {
        writer.field(name, value);
    }
    let length = writer.finish().unwrap_or(0);
    block.truncate(length);
    (block, reply)
}

/// The reply subject of a message, and whether that has its correlation data. There is none if it wants no answer, or where no
/// subject can say where.
fn reply_subject(message: &Message, gateway: &Identity) -> (Option<String>, bool) {
    let (mut subject, mut correlation) = (None, None);
    for kept in &message.properties {
        match kept {
            Kept::ResponseTopic(topic) => subject = names::subject(topic).ok(),
            Kept::Correlation(data) if !data.is_empty() => correlation = Some(data),
            _ => {}
        }
    }
    let (Some(plain), Some(correlation)) = (&subject, correlation) else { return (subject, false) };
    if 64 + 2 * correlation.len() + plain.len() > names::LONGEST {
        return (subject, false);
    }
    let signed = format!("{}.{plain}", hex(correlation));
    let tag = gateway.key.hash_one(&signed);
    (Some(format!("{INBOX}{}.{tag:016x}.{signed}", gateway.name)), true)
}

/// Fills `message` with what its headers and its reply subject say. Without any, it is `qos`.
pub(super) fn decode(
    message: &mut Message,
    header: &[u8],
    reply: Option<&[u8]>,
    now: Instant,
    gateway: &Identity,
    qos: Qos,
) {
    message.qos = qos;
    for (name, value) in Headers::parse(header).into_iter().flat_map(|headers| headers.iter()).take(MOST) {
        let Ok(value) = str::from_utf8(value) else { continue };
        match str::from_utf8(name).unwrap_or_default() {
            PUB => {
                let number = value.parse().ok();
                message.qos = number.and_then(Qos::of).unwrap_or(qos);
            }
            RETAIN => message.retain = value == "1",
            EXPIRY => {
                if let Ok(seconds) = value.parse() {
                    message.expire_in(now, seconds);
                }
            }
            FROM => {
                let session = value.strip_prefix(&*gateway.name).and_then(|rest| rest.strip_prefix('.'));
                message.from = session.and_then(|session| session.parse().ok());
            }
            PATH if path::is_path(value) => message.properties.push(Kept::Path(value.into())),
            FORMAT => message.keep(Kept::Format(value == "1")),
            CONTENT_TYPE if is_text(value) => message.keep(Kept::ContentType(value.into())),
            CORRELATION => {
                let data = unhex(value).filter(|data| is_binary(data));
                data.into_iter().for_each(|data| message.keep(Kept::Correlation(data)));
            }
            PROPERTY => {
                let pair = value.split_once('=');
                let pair = pair.and_then(|(name, value)| Some((unpercent(name)?, unpercent(value)?)));
                message.properties.extend(pair.map(|(name, value)| Kept::User(name, value)));
            }
            name if is_text(name) && is_text(value) => {
                message.properties.push(Kept::User(name.into(), value.into()));
            }
            _ => {}
        }
    }
    if let Some(reply) = reply.and_then(Reply::parse) {
        message.keep(Kept::ResponseTopic(reply.topic.into()));
        reply.correlation.into_iter().for_each(|data| message.keep(Kept::Correlation(data)));
    }
}

/// Where an answer is wanted, and what it has to repeat. An answer from NATS repeats nothing, so that a reply subject has to
/// hold both: `_INBOX.mqtt.GATEWAY.TAG.HEX.SUBJECT`. To it the gateway listens that has made it, and says the answer on
/// `SUBJECT`. The tag shows that it has: nobody else can have it publish anywhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) topic: String,
    pub(super) correlation: Option<Box<[u8]>>,
}

/// What those reply subjects begin with.
const INBOX: &str = "_INBOX.mqtt.";

impl Reply {
    /// What a reply subject says, whoever has made it.
    fn parse(subject: &[u8]) -> Option<Self> {
        let subject = str::from_utf8(subject).ok()?;
        let ours = subject.strip_prefix(INBOX).and_then(|rest| {
            let (_, rest) = rest.split_once('.')?;
            let (_, rest) = rest.split_once('.')?;
            Self::signed(rest)
        });
        ours.or_else(|| Some(Self { topic: names::topic(subject.as_bytes())?, correlation: None }))
    }

    /// What the subject of an answer says, if this gateway has made it.
    pub(super) fn own(subject: &[u8], gateway: &Identity) -> Option<Self> {
        let rest = str::from_utf8(subject).ok()?.strip_prefix(INBOX)?;
        let (tag, signed) = rest.strip_prefix(&*gateway.name)?.strip_prefix('.')?.split_once('.')?;
        let is_own = u64::from_str_radix(tag, 16) == Ok(gateway.key.hash_one(signed));
        is_own.then(|| Self::signed(signed))?
    }

    fn signed(text: &str) -> Option<Self> {
        let (correlation, subject) = text.split_once('.')?;
        Some(Self { topic: names::topic(subject.as_bytes())?, correlation: Some(unhex(correlation)?) })
    }
}

/// Whether `name` can be a header's and means nothing else.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    let taken =
        name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("Nmqtt-")) || name == CONTENT_TYPE;
    !name.is_empty() && !taken && name.bytes().all(plain)
}

/// Whether `value` comes out of a header as it went in.
fn is_value(value: &str) -> bool {
    value.trim_ascii() == value && !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n'))
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Box<[u8]>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    bytes.collect()
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'%' | b'=' | 0..=b' ' | 0x7f.. => out += &format!("%{byte:02X}"),
            byte => out.push(char::from(byte)),
        }
    }
    out
}

fn unpercent(text: &str) -> Option<Box<str>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (pair, after) = rest.split_at_checked(2)?;
        out.extend(unhex(str::from_utf8(pair).ok()?)?);
        rest = after;
    }
    let text = String::from_utf8(out).ok()?;
    is_text(&text).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(7);

    fn gateway() -> Identity {
        Identity::new("gw".to_owned())
    }

    fn back(message: &Message) -> Message {
        let (header, reply) = encode(message, NOW, &gateway());
        let mut decoded =
            Message { topic: message.topic.clone(), payload: message.payload.clone(), ..Message::default() };
        let reply = reply.as_deref().map(str::as_bytes);
        decode(&mut decoded, &header, reply, NOW, &gateway(), Qos::AtMostOnce);
        decoded
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        let mut message = Message {
            topic: "a/b".into(),
            payload: (*b"x").into(),
            qos: Qos::ExactlyOnce,
            retain: true,
            from: Some(17),
            properties: vec![
                Kept::Format(true),
                Kept::ContentType("text/plain".into()),
                Kept::User("key".into(), "value".into()),
                Kept::User("key".into(), "with blanks, and ä".into()),
                Kept::User(" odd: name=".into(), " line\u{2028}100%".into()),
                Kept::User("Nmqtt-Pub".into(), "7".into()),
                Kept::User(String::new().into(), String::new().into()),
                Kept::Path("here,10.0.0.1:1883".into()),
                Kept::Correlation((*b"\0\xff").into()),
            ],
            ..Message::default()
        };
        message.expire_in(NOW, 60);
        assert_eq!(back(&message), message);
        let text = String::from_utf8(encode(&message, NOW, &gateway()).0).unwrap();
        assert!(
            text.starts_with("NATS/1.0\r\nNmqtt-Pub: 2\r\nNmqtt-Retain: 1\r\nNmqtt-Expiry: 60\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nkey: value\r\n"), "{text}");
    }

    #[test]
    fn where_an_answer_is_wanted() {
        let gateway = gateway();
        let subject = |message: &Message| reply_subject(message, &gateway).0.unwrap_or_default();
        let mut message =
            Message { properties: vec![Kept::ResponseTopic("r/1".into())], ..Message::default() };
        assert_eq!(subject(&message), "r.1");
        assert_eq!(back(&message), message);
        message.properties.push(Kept::Correlation((*b"id").into()));
        let ours = subject(&message);
        assert!(ours.starts_with("_INBOX.mqtt.gw.") && ours.ends_with(".6964.r.1"), "{ours}");
        assert_eq!(back(&message), message);
        let long = Kept::Correlation(vec![7; 2000].into());
        message.properties = vec![long, message.properties.swap_remove(0)];
        assert_eq!(subject(&message), "r.1");
        assert_eq!(back(&message), message);

        let reply = Reply::own(ours.as_bytes(), &gateway).unwrap();
        assert_eq!((&*reply.topic, reply.correlation.as_deref()), ("r/1", Some(&b"id"[..])));
        let forged = ours.replace(".r.1", ".$SYS.x");
        assert_eq!(Reply::own(forged.as_bytes(), &gateway), None);
        assert_eq!(Reply::own(ours.as_bytes(), &Identity::new("gw".to_owned())), None, "another process");
        let reply = Reply::parse(b"_INBOX.abc.1").unwrap();
        assert_eq!(reply, Reply { topic: "_INBOX/abc/1".to_owned(), correlation: None });
    }

    #[test]
    fn what_a_message_can_have_once_the_last_header_says() {
        let long = "00".repeat(70_000);
        let header = format!(
            "NATS/1.0\r\nContent-Type: a\r\nNmqtt-Format: 0\r\nContent-Type: b\r\nNmqtt-Format: 1\r\n\
             Nmqtt-Correlation: 01\r\nNmqtt-Correlation: {long}\r\n\r\n"
        );
        let mut message = Message::default();
        decode(&mut message, header.as_bytes(), None, NOW, &gateway(), Qos::AtLeastOnce);
        let data = Kept::Correlation([1].into());
        assert_eq!(message.properties, [Kept::ContentType("b".into()), Kept::Format(true), data]);
    }

    #[test]
    fn what_is_no_header_of_ours_does_no_harm() {
        let mut message = Message::default();
        let header = b"NATS/1.0\r\nNmqtt-Pub: 9\r\nNmqtt-Property: a%z=b\r\nNmqtt-Expiry: soon\r\nNmqtt-Correlation: abc\r\n\
            Nmqtt-From: other.1\r\nX: \xff\r\nY: \xef\xbf\xbe\r\n\r\n";
        decode(&mut message, header, None, NOW, &gateway(), Qos::AtLeastOnce);
        assert_eq!(message, Message { qos: Qos::AtLeastOnce, ..Message::default() });
    }
}
