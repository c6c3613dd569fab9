//! Two other codecs: what we write they read alike, and they write it as we do; what one refuses the other refuses.

use lunix_proto::mqtt::{ClientPacket, DecodeError, Disconnect, Limits, ReasonCode, ServerPacket, Version};
use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::made::said;
use crate::{Decoder, Said};

/// What mqtt-protocol-core makes of a whole packet, as it writes it; `None` if it refuses it.
fn protocol_core(version: Version, bytes: &[u8]) -> Option<Vec<u8>> {
    let start = 1 + bytes[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let (kind, flags, body) = (bytes[0] >> 4, bytes[0] & 0x0F, &bytes[start..]);
    macro_rules! parse {
        ($($kind:literal $name:ident),*) => {
            match (version, kind) {
                (Version::V5, 3) => {
                    v5_0::Publish::parse(flags, Arc::from(body)).ok().map(|(it, len)| (it.to_continuous_buffer(), len))
                }
                (_, 3) => {
                    v3_1_1::Publish::parse(flags, Arc::from(body)).ok().map(|(it, len)| (it.to_continuous_buffer(), len))
                }
                (Version::V5, 15) => v5_0::Auth::parse(body).ok().map(|(it, len)| (it.to_continuous_buffer(), len)),
                $((Version::V5, $kind) => v5_0::$name::parse(body).ok().map(|(it, len)| (it.to_continuous_buffer(), len)),
                (_, $kind) => v3_1_1::$name::parse(body).ok().map(|(it, len)| (it.to_continuous_buffer(), len)),)*
                _ => None,
            }
        };
    }
    let (again, len) = parse!(
        1 Connect, 2 Connack, 4 Puback, 5 Pubrec, 6 Pubrel, 7 Pubcomp, 8 Subscribe, 9 Suback, 10 Unsubscribe, 11 Unsuback,
        12 Pingreq, 13 Pingresp, 14 Disconnect
    )?;
    (len == body.len()).then_some(again)
}

/// What mqttrs makes of it. Where a SUBSCRIBE ends in the middle of a filter, it panics: it takes it no more than others do.
fn mqttrs(bytes: &[u8]) -> Option<Vec<u8>> {
    let read_and_write = || {
        let packet = mqttrs::decode_slice(bytes).ok()??;
        let mut out = vec![0; bytes.len() + 64];
        let len = mqttrs::encode_slice(&packet, &mut out).ok()?;
        out.truncate(len);
        Some(out)
    };
    std::panic::catch_unwind(read_and_write).ok().flatten()
}

/// Packets that are right and that mqtt-protocol-core does not take.
fn is_refused_by_protocol_core(said: &Said<'_>) -> bool {
    match said {
        // 5 allows a password without a username [3.1.2.9]; mosquitto's bridges say in the version that they are some.
        Said::Client(ClientPacket::Connect(connect)) => {
            connect.bridge || connect.password.is_some() && connect.username.is_none()
        }
        // [2.4] has it for DISCONNECT, [3.14.2.1] has not.
        Said::Client(ClientPacket::Disconnect(Disconnect { reason, .. }))
        | Said::Server(ServerPacket::Disconnect(Disconnect { reason, .. })) => {
            *reason == ReasonCode::BadAuthenticationMethod
        }
        _ => false,
    }
}

/// Likewise mqttrs: bridges, and a name that is missing at the end of a CONNECT of 3.1, where that is allowed.
fn is_refused_by_mqttrs(said: &Said<'_>) -> bool {
    matches!(said, Said::Client(ClientPacket::Connect(connect)) if connect.bridge || connect.version == Version::V31)
}

/// What neither looks for, or only one of them: control characters in text, wildcards where they cannot be, reserved
/// bits, a will's flags without a will, a password without a username, data of an authentication without a method, no topic
/// where no alias stands for it, a packet identifier of 0, and bytes that nothing is said by.
fn is_overlooked_by_others(error: DecodeError) -> bool {
    matches!(
        error,
        DecodeError::Text
            | DecodeError::TopicName
            | DecodeError::TopicFilter
            | DecodeError::PropertyValue
            | DecodeError::SharedSubscription
            | DecodeError::SubscriptionOptions
            | DecodeError::Flags
            | DecodeError::Qos
            | DecodeError::Password
            | DecodeError::NoMethod
            | DecodeError::NoTopic
            | DecodeError::PacketId
            | DecodeError::Length
    )
}

/// Reasons that only one side may give [MQTT 5: 3.14.2.1, 3.15.2.1]: others do not ask who speaks.
fn is_of_one_side(error: DecodeError, bytes: &[u8]) -> bool {
    error == DecodeError::ReasonCode && matches!(bytes[0] >> 4, 14 | 15)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn protocol_core_reads_what_we_write((version, said) in said()) {
        prop_assume!(version > Version::V31 && !is_refused_by_protocol_core(&said));
        let bytes = said.bytes(version);
        let theirs = protocol_core(version, &bytes);
        let again = theirs.as_ref().map(|theirs| Decoder::of(&said, version, Limits::default()).decode(theirs));
        prop_assert_eq!(again, Some(Ok(Some((said, theirs.as_ref().unwrap().len())))), "{}", bytes.escape_ascii());
    }

    #[test]
    fn mqttrs_reads_what_we_write((version, said) in said()) {
        prop_assume!(version < Version::V5);
        let bytes = said.bytes(version);
        let theirs = mqttrs(&bytes);
        // It reads the CONNECT of 3.1, and writes one that nobody does.
        if version == Version::V31 && matches!(said, Said::Client(ClientPacket::Connect(_))) {
            prop_assert!(theirs.is_some());
            return Ok(());
        }
        prop_assert_eq!(theirs.map(|theirs| theirs.escape_ascii().to_string()), Some(bytes.escape_ascii().to_string()));
    }

    #[test]
    fn what_either_refuses_the_other_refuses((version, said) in said(), at in any::<Index>(), byte in any::<u8>()) {
        let bytes = with_another_byte(&said, version, at, byte);
        let ours = Decoder::of(&said, version, Limits::default()).decode(&bytes);
        let agree = |theirs: Option<Vec<u8>>, excused: fn(&Said<'_>) -> bool| match &ours {
            Ok(Some((said, _))) => theirs.is_some() || excused(said),
            Ok(None) => theirs.is_none(),
            Err(error) => theirs.is_none() || is_overlooked_by_others(*error) || is_of_one_side(*error, &bytes),
        };
        if version > Version::V31 {
            prop_assert!(agree(protocol_core(version, &bytes), is_refused_by_protocol_core), "{:?} {}", ours, bytes.escape_ascii());
        }
        if version < Version::V5 {
            prop_assert!(agree(mqttrs(&bytes), is_refused_by_mqttrs), "{:?} {}", ours, bytes.escape_ascii());
        }
    }
}

/// The packet with one byte that is another, after its fixed header.
fn with_another_byte(said: &Said<'_>, version: Version, at: Index, byte: u8) -> Vec<u8> {
    let mut bytes = said.bytes(version);
    let start = 1 + bytes[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    if start < bytes.len() {
        let at = start + at.index(bytes.len() - start);
        bytes[at] = byte;
    }
    bytes
}
