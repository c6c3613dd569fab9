//! MQTT codecs over a buffer that is already in memory, and encoders.

use crate::rounds::{Case, Group, Work};
use bytes::BytesMut;
use lunix_proto::mqtt::{
    ClientPacket, Delivery, Limits, List, Publish, ServerDecoder, ServerPacket, Version,
};
use std::hint::black_box;
use std::num::NonZeroU16;

const TOPIC: &str = "sensors/kitchen/temperature";
const PAYLOAD: [u8; 128] = [b'x'; 128];

/// How many messages a buffer holds: 64 KiB of them.
const BUFFER: usize = 400;
/// How many messages a turn decodes or encodes.
const TURN: usize = 100_000;

fn publish(packet_id: NonZeroU16) -> Publish<'static> {
    Publish {
        delivery: Delivery::AtLeastOnce { packet_id, dup: false },
        retain: false,
        topic: black_box(TOPIC),
        properties: List::EMPTY,
        payload: black_box(&PAYLOAD),
        following: 0,
    }
}

fn encoded(version: Version) -> Vec<u8> {
    let mut out = vec![0; 256];
    let packet = ClientPacket::Publish(publish(NonZeroU16::MIN));
    let len = packet.encode(version, &mut out).expect("a short message");
    out.truncate(len);
    out
}

/// What a client decodes.
pub fn decoded(version: Version) -> Group {
    let one = encoded(version);
    let len = one.len();
    let buffer = one.repeat(BUFFER);
    let work = Work { messages: TURN, bytes: TURN * len };
    let shared = buffer.clone();
    let mut decoder = ServerDecoder::new(version, Limits::default());
    let hello: &[u8] = if version == Version::V5 { b"\x20\x03\x00\x00\x00" } else { b"\x20\x02\x00\x00" };
    decoder.decode(hello).expect("CONNACK");
    let ours = move || {
        for _ in 0..TURN / BUFFER {
            let mut rest = black_box(&buffer[..]);
            while let Ok(Some((packet, len))) = decoder.decode(rest) {
                if let ServerPacket::Publish(publish) = packet {
                    black_box((publish.topic, publish.payload));
                }
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
        }
        work
    };
    let mut cases = vec![Case::new("lunix `ServerDecoder`", ours)];
    let copied = shared.clone();
    cases.push(Case::new("mqttbytes `read` (copies its input)", move || {
        for _ in 0..TURN / BUFFER {
            let mut rest = BytesMut::from(black_box(&copied[..]));
            while !rest.is_empty() {
                if version == Version::V5 {
                    black_box(mqttbytes::v5::read(&mut rest, 1 << 20).expect("a message"));
                } else {
                    black_box(mqttbytes::v4::read(&mut rest, 1 << 20).expect("a message"));
                }
            }
        }
        work
    }));
    if version == Version::V311 {
        cases.push(Case::new("mqttrs `decode_slice` (does not look at topics)", move || {
            for _ in 0..TURN / BUFFER {
                let mut rest = black_box(&shared[..]);
                while let Ok(Some(packet)) = mqttrs::decode_slice(rest) {
                    black_box(packet);
                    rest = &rest[len..];
                }
                assert!(rest.is_empty());
            }
            work
        }));
    }
    Group::new(format!("`PUBLISH` of MQTT {}, QoS 1, 128 B, decoded", words(version)), None, cases)
}

/// What a server encodes.
pub fn written(version: Version) -> Group {
    let work = Work { messages: TURN, bytes: TURN * encoded(version).len() };
    let ids = || (1..=u16::MAX).cycle().filter_map(NonZeroU16::new).take(TURN);
    let mut cases = vec![Case::new("lunix `encode`", move || {
        let mut out = [0; 256];
        for packet_id in ids() {
            black_box(ServerPacket::Publish(publish(packet_id)).encode(version, &mut out).expect("room"));
            black_box(&out);
        }
        work
    })];
    if version == Version::V311 {
        cases.push(Case::new("mqttrs `encode_slice`", move || {
            let mut out = [0; 256];
            for packet_id in ids() {
                let pid = mqttrs::Pid::try_from(packet_id.get()).expect("not zero");
                let packet = mqttrs::Packet::Publish(mqttrs::Publish {
                    dup: false,
                    qospid: mqttrs::QosPid::AtLeastOnce(pid),
                    retain: false,
                    topic_name: black_box(TOPIC),
                    payload: black_box(&PAYLOAD),
                });
                black_box(mqttrs::encode_slice(&packet, &mut out).expect("room"));
                black_box(&out);
            }
            work
        }));
    }
    Group::new(format!("`PUBLISH` of MQTT {}, QoS 1, 128 B, encoded", words(version)), None, cases)
}

const fn words(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5",
    }
}
