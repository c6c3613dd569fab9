//! However a stream is cut into pieces, it holds the same packets and ends in the same error.

use lunix_proto::mqtt::{
    ClientPacket, DecodeError, Delivery, Limits, List, Payload, Publish, ServerPacket, Version,
};

use crate::golden::samples;
use crate::{Decoder, Said};

/// What a stream holds of which the first piece ends at the first cut, and so on; messages in pieces are put together.
fn decode(by_server: bool, version: Version, limits: Limits, stream: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut decoder = Decoder::begun(by_server, version, limits);
    let (mut found, mut message) = (Vec::new(), Vec::new());
    let (mut start, mut needed) = (0, 0);
    for end in cuts.iter().copied().chain([stream.len()]) {
        while start < end {
            // A copy of its own: nothing may hang on to where the bytes were before.
            let bytes = stream[start..end].to_vec();
            match decoder.decode(&bytes) {
                Ok(Some((said, len))) => {
                    assert!(0 < len && needed <= bytes.len() && len <= bytes.len());
                    start += len;
                    needed = 0;
                    match said {
                        Said::Client(ClientPacket::Publish(publish))
                        | Said::Server(ServerPacket::Publish(publish)) => {
                            message.extend_from_slice(publish.payload);
                            let whole = publish.payload.len() + publish.following;
                            let head = Publish { payload: b"", following: 0, ..publish };
                            found.push(format!("{head:?} of {whole}"));
                            finish(&mut found, &mut message, publish.following);
                        }
                        Said::Client(ClientPacket::Payload(Payload { bytes, following }))
                        | Said::Server(ServerPacket::Payload(Payload { bytes, following })) => {
                            assert!(!bytes.is_empty());
                            message.extend_from_slice(bytes);
                            finish(&mut found, &mut message, following);
                        }
                        said => found.push(format!("{said:?}")),
                    }
                }
                Ok(None) => {
                    assert!(decoder.needed() > bytes.len() && decoder.needed() >= needed);
                    assert!(decoder.needed() <= limits.whole);
                    needed = decoder.needed();
                    break;
                }
                Err(error) => {
                    found.push(format!("! {error:?}"));
                    return found;
                }
            }
        }
    }
    found.push(format!("{} left", stream.len() - start));
    found
}

fn finish(found: &mut Vec<String>, message: &mut Vec<u8>, following: usize) {
    if following == 0 {
        found.push(message.escape_ascii().to_string());
        message.clear();
    }
}

/// All that may be said after the beginning, and that with something wrong at its end.
fn streams() -> Vec<(bool, Version, Vec<u8>)> {
    let mut streams = Vec::new();
    for by_server in [false, true] {
        for version in [Version::V31, Version::V311, Version::V5] {
            let stream: Vec<u8> = samples()
                .iter()
                .filter(|(of, said, _)| *of == version && matches!(said, Said::Server(_)) == by_server)
                .filter(|(_, said, _)| {
                    !matches!(
                        said,
                        Said::Client(ClientPacket::Connect(_)) | Said::Server(ServerPacket::Connack(_))
                    )
                })
                .flat_map(|(_, _, bytes)| bytes.iter().copied())
                .collect();
            for end in [&b""[..], b"\x30\x04\x00\x03a+b", b"\x40\x80\x80\x80\x80\x01", b"\x00"] {
                streams.push((by_server, version, [&stream[..], end].concat()));
            }
        }
    }
    streams
}

/// The least for which the head of every message among the samples is whole, and everything at once.
const LIMITS: [Limits; 2] =
    [Limits { packet: 1 << 20, whole: 27 }, Limits { packet: 1 << 20, whole: 1 << 20 }];

#[test]
fn cut_once_at_every_byte() {
    for (by_server, version, stream) in streams() {
        let whole = decode(by_server, version, LIMITS[1], &stream, &[]);
        for limits in LIMITS {
            for cut in 0..=stream.len() {
                assert_eq!(decode(by_server, version, limits, &stream, &[cut]), whole, "cut at {cut}");
            }
        }
    }
}

#[test]
fn cut_everywhere() {
    for (by_server, version, stream) in streams() {
        let whole = decode(by_server, version, LIMITS[1], &stream, &[]);
        for limits in LIMITS {
            let cuts: Vec<usize> = (0..stream.len()).collect();
            assert_eq!(decode(by_server, version, limits, &stream, &cuts), whole);
        }
    }
}

#[test]
fn the_first_packet_cut_at_every_byte() {
    for (version, said, bytes) in samples() {
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::of(&said, version, Limits::default());
            assert_eq!(decoder.decode(&bytes[..cut]), Ok(None), "{} cut at {cut}", bytes.escape_ascii());
            assert_eq!(decoder.decode(bytes), Ok(Some((said, bytes.len()))));
        }
    }
}

#[test]
fn limits_hold_at_the_byte() {
    let message = |payload: &'static [u8]| {
        let publish = Publish {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: "abc",
            properties: List::EMPTY,
            payload,
            following: 0,
        };
        Said::Client(ClientPacket::Publish(publish)).bytes(Version::V311)
    };
    let limits = Limits { packet: 20, whole: 14 };
    let begun = || Decoder::begun(false, Version::V311, Limits { packet: 20, whole: 18 });
    let mut decoder = begun();
    // As long as may be; then a byte more, which is known from the length alone.
    assert!(matches!(decoder.decode(&message(b"0123456789abc")), Ok(Some((_, 20)))));
    assert_eq!(decoder.decode(&message(b"0123456789abcd")[..2]), Err(DecodeError::TooLarge));
    // Other packets have to be whole, and so have the heads of messages.
    let subscribe = b"\x82\x10\x00\x01\x00\x0Babcdefghijk\x00";
    assert!(matches!(begun().decode(subscribe), Ok(Some((_, 18)))));
    assert_eq!(begun().decode(b"\x82\x11"), Err(DecodeError::TooLarge));
    assert!(matches!(begun().decode(b"\x30\x12\x00\x0Eabcdefghijklmn"), Ok(Some((_, 18)))));
    assert_eq!(begun().decode(b"\x30\x12\x00\x0F"), Err(DecodeError::TooLarge));
    // A topic that goes beyond its packet.
    assert_eq!(begun().decode(b"\x30\x12\x00\x11"), Err(DecodeError::Length));
    let mut narrower = lunix_proto::mqtt::ClientDecoder::new(limits);
    narrower.set_limits(Limits { packet: 4, whole: 4 });
    assert_eq!(narrower.decode(b"\x10\x0E"), Err(DecodeError::TooLarge));
}
