//! The MQTT codec.

use lunix_proto::Full;
use lunix_proto::mqtt::remap;
use lunix_proto::mqtt::subject::{from_filter, from_topic, is_hidden, to_topic};
use lunix_proto::mqtt::topic::{is_filter, is_name, is_shared, matches, shared};
use lunix_proto::mqtt::{
    ClientDecoder, ClientPacket, DecodeError, Limits, Payload, Publish, ServerDecoder, ServerPacket, Version,
};
use lunix_proto::nats;

const WIDE: Limits = Limits { packet: 1 << 20, whole: 1 << 20 };

/// A client's stream gives the same packets however it is cut into pieces, and the encoder gives each back.
pub fn client_stream(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let hello: &[u8] = match input.version {
        None => b"",
        Some(Version::V31) => b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x00\x00\x02me",
        Some(Version::V311) => b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me",
        Some(Version::V5) => b"\x10\x13\x00\x04MQTT\x05\x02\x00\x00\x04\x15\x00\x01m\x00\x02me",
    };
    let decode = |limits: Limits, pieces: &[u8]| {
        let mut decoder = ClientDecoder::new(limits);
        if !hello.is_empty() {
            assert!(matches!(decoder.decode(hello), Ok(Some((_, len))) if len == hello.len()));
        }
        feed(input.stream, pieces, |bytes| {
            let step = decoder.decode(bytes).map(|found| {
                found.map(|(packet, len)| {
                    let version = decoder.version().expect("CONNECT was first");
                    (client_part(&packet, version, len), len)
                })
            });
            (step, decoder.needed())
        })
    };
    compare(&input, decode);
}

/// A server's stream, likewise.
pub fn server_stream(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let version = input.version.unwrap_or(Version::V5);
    let decode = |limits: Limits, pieces: &[u8]| {
        let mut decoder = ServerDecoder::new(version, limits);
        if input.version.is_some() {
            let hello: &[u8] =
                if version == Version::V5 { b"\x20\x03\x00\x00\x00" } else { b"\x20\x02\x00\x00" };
            assert!(matches!(decoder.decode(hello), Ok(Some(_))));
        }
        feed(input.stream, pieces, |bytes| {
            let step = decoder
                .decode(bytes)
                .map(|found| found.map(|(packet, len)| (server_part(&packet, version, len), len)));
            (step, decoder.needed())
        })
    };
    compare(&input, decode);
}

/// How narrow the limits are, what was said before, and how many pieces to cut; their lengths, the stream.
struct Input<'d> {
    limits: Limits,
    /// That was agreed upon; without one the stream begins with the connection.
    version: Option<Version>,
    pieces: &'d [u8],
    stream: &'d [u8],
}

impl<'d> Input<'d> {
    fn of(data: &'d [u8]) -> Option<Self> {
        let (&first, rest) = data.split_first()?;
        let limits = if first & 0x80 == 0 { WIDE } else { Limits { packet: 200, whole: 32 } };
        let version = [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)];
        let version = version[usize::from(first >> 4 & 0x03)];
        let (pieces, stream) = rest.split_at_checked(usize::from(first & 0x0F))?;
        Some(Self { limits, version, pieces, stream })
    }
}

type Found = (Vec<String>, String);

fn compare(input: &Input<'_>, decode: impl Fn(Limits, &[u8]) -> Found) {
    let whole = decode(input.limits, &[]);
    assert_eq!(decode(input.limits, input.pieces), whole);
    // Messages that come in pieces are those that come whole. Of a packet that is wrong more may be known, and earlier,
    // if it is to come in pieces; what came before it is the same.
    let (wide, end) = decode(Limits { whole: input.limits.packet, ..input.limits }, input.pieces);
    let wrong = |end: &str| !end.ends_with("left") && !end.ends_with("following");
    if whole.1 != "TooLarge" {
        assert_eq!(wide, whole.0);
        assert!(wrong(&whole.1) || !wrong(&end), "{} {end}", whole.1);
    }
}

/// A packet in words, or a part of a message.
enum Part {
    Packet(String),
    /// Its head in words, and how much of it is following.
    Head(String, Vec<u8>, usize),
    Payload(Vec<u8>, usize),
}

type Step = (Result<Option<(Part, usize)>, DecodeError>, usize);

/// Decodes a stream whose pieces have these lengths, from the first again after the last.
fn feed(stream: &[u8], pieces: &[u8], mut decode: impl FnMut(&[u8]) -> Step) -> Found {
    let mut found = Vec::new();
    let (mut head, mut message, mut left) = (String::new(), Vec::new(), 0);
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
                (Ok(Some((part, len))), _) => {
                    assert!(needed <= bytes.len(), "a packet came before the bytes it needed");
                    assert!(0 < len && len <= bytes.len());
                    start += len;
                    needed = 0;
                    let following = match part {
                        Part::Packet(words) => {
                            assert_eq!(left, 0);
                            found.push(words);
                            continue;
                        }
                        Part::Head(words, payload, following) => {
                            assert_eq!(left, 0);
                            (head, message) = (words, payload);
                            following
                        }
                        Part::Payload(payload, following) => {
                            assert_eq!(left, payload.len() + following);
                            message.extend(payload);
                            following
                        }
                    };
                    left = following;
                    if left == 0 {
                        found.push(format!("{head} {}", message.escape_ascii()));
                    }
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
    let end = if left > 0 { format!("{left} following") } else { format!("{} left", stream.len() - start) };
    (found, end)
}

/// The output; every encoder must foretell its length.
fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> Vec<u8> {
    let Err(Full { needed }) = encode(&mut []) else { panic!("an output of no bytes") };
    assert_eq!(encode(&mut vec![0; needed - 1]), Err(Full { needed }));
    let mut out = vec![0; needed];
    assert_eq!(encode(&mut out), Ok(needed));
    out
}

fn message_part(publish: &Publish<'_>, version: Version, len: usize) -> Part {
    let head = encoded(|out| publish.encode_head(version, out));
    assert!(head.len() + publish.payload.len() <= len);
    let words = format!("{:?}", Publish { payload: b"", following: 0, ..*publish });
    Part::Head(words, publish.payload.to_vec(), publish.following)
}

fn payload_part(payload: &Payload<'_>, len: usize) -> Part {
    assert_eq!(payload.bytes.len(), len);
    Part::Payload(payload.bytes.to_vec(), payload.following)
}

fn client_part(packet: &ClientPacket<'_>, version: Version, len: usize) -> Part {
    match packet {
        ClientPacket::Publish(publish) if publish.following > 0 => {
            return message_part(publish, version, len);
        }
        ClientPacket::Payload(payload) => return payload_part(payload, len),
        _ => {}
    }
    let again = encoded(|out| packet.encode(version, out));
    assert!(again.len() <= len, "longer than it came");
    let mut decoder = ClientDecoder::new(WIDE);
    if !matches!(packet, ClientPacket::Connect(_)) {
        let hello: &[u8] = match version {
            Version::V31 => b"\x10\x0E\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00",
            Version::V311 => b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
            Version::V5 => b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x15\x00\x00\x00\x00",
        };
        assert!(matches!(decoder.decode(hello), Ok(Some(_))));
    }
    assert_eq!(decoder.decode(&again), Ok(Some((*packet, again.len()))));
    match packet {
        ClientPacket::Publish(publish) => message_part(publish, version, len),
        _ => Part::Packet(format!("{packet:?}")),
    }
}

fn server_part(packet: &ServerPacket<'_>, version: Version, len: usize) -> Part {
    match packet {
        ServerPacket::Publish(publish) if publish.following > 0 => {
            return message_part(publish, version, len);
        }
        ServerPacket::Payload(payload) => return payload_part(payload, len),
        _ => {}
    }
    let again = encoded(|out| packet.encode(version, out));
    // The short refusal of a server that does not know 5 has become one of 5.
    assert!(again.len() <= len + 1, "longer than it came");
    let mut decoder = ServerDecoder::new(version, WIDE);
    if !matches!(packet, ServerPacket::Connack(_)) {
        let hello: &[u8] = if version == Version::V5 { b"\x20\x03\x00\x00\x00" } else { b"\x20\x02\x00\x00" };
        assert!(matches!(decoder.decode(hello), Ok(Some(_))));
    }
    assert_eq!(decoder.decode(&again), Ok(Some((*packet, again.len()))));
    match packet {
        ServerPacket::Publish(publish) => message_part(publish, version, len),
        _ => Part::Packet(format!("{packet:?}")),
    }
}

/// Topics and filters are judged, matched and translated as a naive model does. The input: a filter, a topic and a
/// subject, with line breaks between.
pub fn subject(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (filter, topic, native) = (next(), next(), next());
    let mut room = vec![0; 2 * data.len() + 1];
    if let Ok(topic) = to_topic(&mut room, native) {
        assert!(is_name(topic) && nats::subject::is_literal(native));
        let mut again = vec![0; 2 * data.len() + 1];
        // A topic's subject becomes that topic, whatever subject it came from; one level may be a wildcard of NATS.
        if let Ok(subject) = from_topic(&mut again, topic) {
            let mut third = vec![0; 2 * data.len() + 1];
            assert_eq!(to_topic(&mut third, subject), Ok(topic));
        }
    }
    let (Ok(filter), Ok(topic)) = (str::from_utf8(filter), str::from_utf8(topic)) else { return };
    let levels: Vec<&str> = filter.split('/').collect();
    let (last, above) = levels.split_last().expect("one at least");
    let whole = |level: &&str| *level == "+" || !level.contains(['+', '#']);
    assert_eq!(
        is_filter(filter),
        !filter.is_empty() && above.iter().all(whole) && (*last == "#" || whole(last))
    );
    assert_eq!(is_name(topic), !topic.is_empty() && !topic.contains(['+', '#']));
    if let Some((group, shared)) = shared(filter) {
        assert!(is_shared(filter) && is_name(group) && is_filter(shared) && !group.contains('/'));
        assert_eq!(format!("$share/{group}/{shared}"), filter);
    }
    let mut pattern_room = vec![0; 2 * data.len() + 1];
    let pattern = from_filter(&mut pattern_room, filter);
    let mut subject_room = vec![0; 2 * data.len() + 1];
    let subject = from_topic(&mut subject_room, topic);
    if let Ok(pattern) = pattern {
        assert!(is_filter(filter) && nats::subject::is_pattern(pattern.subject));
        assert!(pattern.parent.is_none_or(nats::subject::is_pattern));
    }
    let Ok(subject) = subject else { return };
    assert!(is_name(topic) && nats::subject::is_literal(subject));
    let mut topic_room = vec![0; 2 * data.len() + 1];
    if topic.len() <= usize::from(u16::MAX) && !topic.chars().any(char::is_control) {
        match to_topic(&mut topic_room, subject) {
            Ok(again) => assert_eq!(again, topic),
            // Non-characters, which texts of MQTT should not have.
            Err(_) => assert!(!topic.is_ascii()),
        }
    }
    assert_eq!(is_hidden(subject), topic.starts_with('$') || topic.split('/').next() == Some("_INBOX"));
    let Ok(pattern) = pattern else { return };
    let found = nats::subject::matches(pattern.subject, subject)
        || pattern.parent.is_some_and(|parent| nats::subject::matches(parent, subject));
    let kept = topic.starts_with('$') && filter.starts_with(['+', '#']);
    assert_eq!(matches(filter, topic), found && !kept);
}

/// Topics are moved as a naive model moves them, and back. The input: a filter, another one and a topic, with line breaks between.
pub fn remap(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (from, to, topic) = (next(), next(), next());
    if !is_filter(from) || !is_filter(to) || !is_name(topic) {
        assert!(!remap::is_remap(from, to) || !is_name(topic));
        return;
    }
    let wildcards = |filter: &str| -> Vec<String> {
        filter.split('/').filter(|level| ["+", "#"].contains(level)).map(str::to_owned).collect()
    };
    assert_eq!(remap::is_remap(from, to), wildcards(from) == wildcards(to));
    if !remap::is_remap(from, to) {
        return;
    }
    let mut room = vec![0; to.len() + topic.len()];
    let mapped = remap::remap(&mut room, from, to, topic).expect("that is room enough");
    assert_eq!(mapped.map(str::to_owned), moved(from, to, topic));
    if let Some(mapped) = mapped {
        assert!(matches(from, topic) && matches(to, mapped) && is_name(mapped));
        let mut back = vec![0; from.len() + mapped.len()];
        assert_eq!(remap::remap(&mut back, to, from, mapped), Ok(Some(topic)));
    }
}

/// Matches level by level, then substitutes.
fn moved(from: &str, to: &str, topic: &str) -> Option<String> {
    if topic.starts_with('$') && from.starts_with(['+', '#']) {
        return None;
    }
    let mut levels: Vec<&str> = topic.split('/').collect();
    let mut stand_for: Vec<Vec<&str>> = Vec::new();
    for wanted in from.split('/') {
        match wanted {
            "#" => stand_for.push(std::mem::take(&mut levels)),
            _ if levels.is_empty() => return None,
            "+" => stand_for.push(vec![levels.remove(0)]),
            wanted if wanted == levels[0] => drop(levels.remove(0)),
            _ => return None,
        }
    }
    if !levels.is_empty() {
        return None;
    }
    let mut stand_for = stand_for.into_iter();
    let mapped: Vec<&str> = to
        .split('/')
        .flat_map(|level| match level {
            "+" | "#" => stand_for.next().expect("as many"),
            level => vec![level],
        })
        .collect();
    let mapped = mapped.join("/");
    let begins = mapped.starts_with('$') && to.starts_with(['+', '#']);
    (!mapped.is_empty() && !begins && mapped.len() <= 65_535).then_some(mapped)
}
