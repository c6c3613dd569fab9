//! natsmqtt's store: whatever its records are, a server with them lives on, and leaves no more than it should.

use std::time::Duration;

use lunix_bridge::natsmqtt::{Records, Stored};
use lunix_proto::mqtt::{Ack, ClientPacket, Delivery, Limits, ServerDecoder, ServerPacket, Version};

/// What time it is, in microseconds since 1970, where the clock is right.
const WALL: u64 = 1_700_000_000_000_000;

/// Whether the clock is wrong, and whether the limits are narrow; then records, each behind a byte that says how long its key is and two for its value.
pub fn records(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let (wall, most) = (if first & 1 == 0 { WALL } else { 0 }, (first & 2 != 0).then_some(2));
    let mut records = Records::new();
    while let Some((&[key, high, low], after)) = rest.split_first_chunk() {
        let Some((key, after)) = after.split_at_checked(usize::from(key)) else { break };
        let value = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, after)) = after.split_at_checked(value) else { break };
        records.insert(key.to_vec(), value.to_vec());
        rest = after;
    }
    let restore = |records| Stored::restore(records, wall, most, |user| user == "gone");
    let Some(mut stored) = restore(records.clone()) else { return };
    let written = stored.records().clone();
    assert!(written.keys().all(|key| records.contains_key(key)), "records that were made up");
    // What is written of it is read again as the same, and nothing of it is of no use.
    let again = restore(written.clone()).expect("records of our own");
    assert_eq!(again.records(), &written);
    for client in stored.clients() {
        lead(&mut stored, &client);
    }
    // Nobody comes back: their sessions end, and everything of theirs.
    stored.pass(Duration::from_secs(1 << 33));
    assert!(stored.clients().is_empty());
    assert!(stored.records().keys().all(|key| key.first() == Some(&6)), "{:?}", stored.records().keys());
    restore(stored.records().clone()).expect("records of our own");
}

/// A client comes back, takes all that waits for it, and goes.
fn lead(stored: &mut Stored, client: &str) {
    let Some(link) = stored.connect(client) else { return };
    let mut decoder = ServerDecoder::new(Version::V5, Limits { packet: 1 << 28, whole: 1 << 28 });
    loop {
        let heard = stored.hear(link);
        if heard.is_empty() {
            break;
        }
        let mut at = 0;
        while let Some((packet, len)) = decoder.decode(&heard[at..]).expect("packets") {
            at += len;
            match packet {
                ServerPacket::Publish(publish) => match publish.delivery {
                    Delivery::AtMostOnce => {}
                    Delivery::AtLeastOnce { packet_id, .. } => {
                        stored.say(link, ClientPacket::Puback(Ack::new(packet_id)));
                    }
                    Delivery::ExactlyOnce { packet_id, .. } => {
                        stored.say(link, ClientPacket::Pubrec(Ack::new(packet_id)));
                    }
                },
                ServerPacket::Pubrel(ack) => {
                    stored.say(link, ClientPacket::Pubcomp(Ack::new(ack.packet_id)));
                }
                ServerPacket::Connack(connack) => assert!(connack.session_present),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(at, heard.len(), "half a packet");
    }
    stored.leave(link);
}
