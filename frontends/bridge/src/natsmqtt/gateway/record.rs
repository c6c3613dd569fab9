//! What is on disk: one record for each session, subscription, message, and so on, by keys that sort in the order in which they are
//! read again.
//!
//! A key is a kind and numbers, the most significant byte first, or a text; a value is what postcard makes of the structures
//! below. Times are those of the wall clock, so that they outlive the machine's monotonic one. Whoever changes the
//! form of any raises the store's version.
//!
//! What is read is no more than what could have been written: numbers that leave room for more, texts that MQTT can say, and values
//! that are no longer than two packets. Everything else is damage.

use std::borrow::Cow;
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{Qos, topic};
use serde::{Deserialize, Serialize};

use super::connect::LONGEST_CLIENT;
use super::message::{Kept, Message, is_text};
use super::session::{Delivery, Grant, Session, SessionId, Stage, Will};
use crate::natsmqtt::settings::LONGEST_PACKET;

/// No counter comes as far: at a million a second, it would take 292 thousand years.
const MOST: u64 = u64::MAX / 2;

/// The longest value, in bytes. What is kept came as one packet, of which some lengths take a byte more here.
const LONGEST: usize = 2 * LONGEST_PACKET;

/// Names a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::natsmqtt) enum Key {
    /// A message, for all deliveries that have it.
    Message(u64),
    Session(SessionId),
    Subscription(SessionId, Box<str>),
    /// A packet identifier of a message with QoS 2 that is answered `PUBREC`.
    Received(SessionId, NonZeroU16),
    /// A message on its way to one client.
    Delivery(SessionId, u64),
    /// The retained message of a topic.
    Retained(Box<str>),
}

impl Key {
    /// The bytes that stand for it.
    pub(in crate::natsmqtt) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(17);
        let mut put = |kind: u8, numbers: &[u64], rest: &[u8]| {
            out.push(kind);
            numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
            out.extend(rest);
        };
        match self {
            Self::Message(number) => put(1, &[*number], b""),
            Self::Session(session) => put(2, &[*session], b""),
            Self::Subscription(session, filter) => put(3, &[*session], filter.as_bytes()),
            Self::Received(session, packet_id) => put(4, &[*session], &packet_id.get().to_be_bytes()),
            Self::Delivery(session, number) => put(5, &[*session, *number], b""),
            Self::Retained(topic) => put(6, &[], topic.as_bytes()),
        }
        out
    }

    /// What such bytes stand for.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let text = |bytes| str::from_utf8(bytes).ok().map(Into::into);
        let whole = |(number, rest): (u64, &[u8])| rest.is_empty().then_some(number);
        Some(match kind {
            1 => Self::Message(whole(number(rest)?)?),
            2 => Self::Session(whole(number(rest)?)?),
            3 => number(rest).and_then(|(session, rest)| Some(Self::Subscription(session, text(rest)?)))?,
            4 => {
                let (session, rest) = number(rest)?;
                Self::Received(session, NonZeroU16::new(u16::from_be_bytes(rest.try_into().ok()?))?)
            }
            5 => number(rest)
                .and_then(|(session, rest)| Some(Self::Delivery(session, whole(number(rest)?)?)))?,
            6 => Self::Retained(text(rest)?),
            _ => return None,
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((counted(u64::from_be_bytes(*number))?, rest))
}

fn counted(number: u64) -> Option<u64> {
    (number <= MOST).then_some(number)
}

/// A subscription identifier is a variable byte integer [MQTT 5: 3.8.2.1.2].
fn is_identifier(number: &NonZeroU32) -> bool {
    number.get() < 1 << 28
}

/// Where the monotonic clock began, by the wall clock: microseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::natsmqtt) struct Epoch(u64);

impl Epoch {
    /// By what both clocks say at the same time, in microseconds.
    pub(in crate::natsmqtt) const fn new(wall: u64, now: Instant) -> Self {
        Self(wall.saturating_sub(now.as_micros()))
    }

    const fn wall(self, at: Instant) -> u64 {
        self.0.saturating_add(at.as_micros())
    }

    const fn instant(self, wall: u64) -> Instant {
        Instant::from_micros(wall.saturating_sub(self.0))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct MessageRecord<'r> {
    topic: &'r str,
    payload: &'r [u8],
    qos: u8,
    retain: bool,
    expires: Option<u64>,
    properties: Cow<'r, [Kept]>,
}

impl<'r> MessageRecord<'r> {
    fn of(message: &'r Message, epoch: Epoch) -> Self {
        Self {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos as u8,
            retain: message.retain,
            expires: message.expires.map(|at| epoch.wall(at)),
            properties: Cow::Borrowed(&message.properties),
        }
    }

    /// The message, by the number of its record.
    fn message(self, number: u64, epoch: Epoch) -> Option<Message> {
        if !topic::is_name(self.topic) || !is_text(self.topic) || !Kept::are_valid(&self.properties) {
            return None;
        }
        Some(Message {
            number,
            topic: self.topic.into(),
            payload: self.payload.into(),
            qos: Qos::of(self.qos)?,
            retain: self.retain,
            expires: self.expires.map(|at| epoch.instant(at)),
            from: None,
            properties: self.properties.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct SessionRecord<'r> {
    client: &'r str,
    user: Option<&'r str>,
    is_bridge: bool,
    /// Seconds.
    expiry: u32,
    /// There is none while it is connected.
    ends_at: Option<u64>,
    #[serde(borrow)]
    will: Option<WillRecord<'r>>,
}

#[derive(Serialize, Deserialize)]
struct WillRecord<'r> {
    #[serde(borrow)]
    message: MessageRecord<'r>,
    /// Seconds.
    delay: u32,
    expiry: Option<u32>,
    at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct GrantRecord {
    age: u64,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    identifier: Option<NonZeroU32>,
}

#[derive(Serialize, Deserialize)]
struct DeliveryRecord<'r> {
    message: u64,
    qos: u8,
    retain: bool,
    identifiers: Cow<'r, [NonZeroU32]>,
    /// Its packet identifier, and whether the client has it and waits for our `PUBREL`.
    flight: Option<(NonZeroU16, bool)>,
}

/// A value. There is nothing that could not be one.
fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).unwrap_or_default()
}

fn decode<'r, T: Deserialize<'r>>(bytes: &'r [u8]) -> Option<T> {
    if bytes.len() > LONGEST {
        return None;
    }
    let (record, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(record)
}

pub(super) fn of_message(message: &Message, epoch: Epoch) -> Vec<u8> {
    encode(&MessageRecord::of(message, epoch))
}

pub(super) fn to_message(bytes: &[u8], number: u64, epoch: Epoch) -> Option<Message> {
    decode::<MessageRecord<'_>>(bytes)?.message(number, epoch)
}

pub(super) fn of_session(session: &Session, epoch: Epoch) -> Vec<u8> {
    encode(&SessionRecord {
        client: &session.client,
        user: session.user.as_deref(),
        is_bridge: session.is_bridge,
        expiry: seconds(session.expiry),
        ends_at: session.ends_at.map(|at| epoch.wall(at)),
        will: session.will.as_ref().map(|will| WillRecord {
            message: MessageRecord::of(&will.message, epoch),
            delay: seconds(will.delay),
            expiry: will.expiry,
            at: session.will_at.map(|at| epoch.wall(at)),
        }),
    })
}

/// No span that MQTT or a limit can say is longer.
fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// A session that has no connection. What had one has lost it now; a clock that was set back gives it no longer than it asked for.
pub(super) fn to_session(bytes: &[u8], now: Instant, epoch: Epoch) -> Option<Session> {
    let record: SessionRecord<'_> = decode(bytes)?;
    if record.client.is_empty() || record.client.len() > LONGEST_CLIENT || !is_text(record.client) {
        return None;
    }
    let within =
        |at: Option<u64>, most: Duration| at.map_or(now + most, |at| epoch.instant(at).min(now + most));
    let mut session = Session::new(record.client.into());
    session.user = record.user.map(Into::into);
    session.is_bridge = record.is_bridge;
    session.expiry = Duration::from_secs(record.expiry.into());
    session.ends_at = Some(within(record.ends_at, session.expiry));
    if let Some(will) = record.will {
        let delay = Duration::from_secs(will.delay.into());
        session.will_at = Some(within(will.at, delay));
        session.will = Some(Will { message: will.message.message(0, epoch)?, delay, expiry: will.expiry });
    }
    session.is_stored = true;
    Some(session)
}

pub(super) fn of_grant(grant: &Grant) -> Vec<u8> {
    let Grant { age, qos, no_local, retain_as_published, identifier, .. } = *grant;
    encode(&GrantRecord { age, qos: qos as u8, no_local, retain_as_published, identifier })
}

pub(super) fn to_grant(bytes: &[u8], filter: Box<str>) -> Option<Grant> {
    let GrantRecord { age, qos, no_local, retain_as_published, identifier } = decode(bytes)?;
    if !identifier.iter().all(is_identifier) {
        return None;
    }
    let age = counted(age)?;
    Some(Grant { filter, age, qos: Qos::of(qos)?, no_local, retain_as_published, identifier })
}

pub(super) fn of_delivery(delivery: &Delivery, flight: Option<(NonZeroU16, Stage)>) -> Vec<u8> {
    encode(&DeliveryRecord {
        message: delivery.message.number,
        qos: delivery.qos as u8,
        retain: delivery.retain,
        identifiers: Cow::Borrowed(&delivery.identifiers),
        flight: flight.map(|(packet_id, stage)| (packet_id, stage == Stage::Released)),
    })
}

/// A delivery, and its flight if that has begun; `message` finds the message by its number.
pub(super) fn to_delivery(
    bytes: &[u8],
    number: u64,
    message: impl FnOnce(u64) -> Option<Rc<Message>>,
) -> Option<(Delivery, Option<(NonZeroU16, Stage)>)> {
    let record: DeliveryRecord<'_> = decode(bytes)?;
    let qos = Qos::of(record.qos).filter(|qos| *qos > Qos::AtMostOnce)?;
    let is_released = record.flight.is_some_and(|(_, released)| released);
    if is_released && qos != Qos::ExactlyOnce || !record.identifiers.iter().all(is_identifier) {
        return None;
    }
    let delivery = Delivery {
        number,
        message: message(record.message)?,
        qos,
        retain: record.retain,
        identifiers: record.identifiers.into_owned(),
    };
    let stage = |released| if released { Stage::Released } else { Stage::Sent };
    Some((delivery, record.flight.map(|(packet_id, released)| (packet_id, stage(released)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(5_000_000);
    const EPOCH: Epoch = Epoch(1_000_000_000);

    fn id(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    fn message() -> Message {
        let mut message = Message {
            number: 9,
            topic: "a/b".into(),
            payload: (*b"\0payload\xff").into(),
            qos: Qos::ExactlyOnce,
            retain: true,
            properties: vec![
                Kept::Format(true),
                Kept::ContentType("text/plain".into()),
                Kept::ResponseTopic("r".into()),
                Kept::Correlation((*b"\0\x01").into()),
                Kept::User("name".into(), "value".into()),
            ],
            ..Message::default()
        };
        message.expire_in(NOW, 60);
        message
    }

    #[test]
    fn keys_come_back_and_sort_as_they_are_read() {
        let keys = [
            Key::Message(1),
            Key::Message(256),
            Key::Session(3),
            Key::Subscription(3, "a/#".into()),
            Key::Received(3, id(7)),
            Key::Delivery(3, 70_000),
            Key::Delivery(4, 1),
            Key::Retained("a".into()),
        ];
        let encoded: Vec<Vec<u8>> = keys.iter().map(Key::encode).collect();
        assert!(keys.is_sorted() && encoded.is_sorted());
        for (key, bytes) in keys.iter().zip(&encoded) {
            assert_eq!(Key::decode(bytes).as_ref(), Some(key));
            for length in 0..bytes.len() {
                assert_ne!(Key::decode(&bytes[..length]).as_ref(), Some(key));
            }
        }
        assert_eq!(Key::decode(b"\x02\0\0\0\0\0\0\0\x01x"), None);
        assert_eq!(Key::decode(b"\x09"), None);
    }

    #[test]
    fn a_message_comes_back_after_a_restart_of_the_machine() {
        let later = Epoch(EPOCH.0 + 20_000_000);
        let back = to_message(&of_message(&message(), EPOCH), 9, later).unwrap();
        assert_eq!(back.remaining(NOW), Some(Some(40)));
        assert_eq!(Message { expires: message().expires, ..back }, message());
    }

    #[test]
    fn a_session_and_its_will_come_back() {
        let mut session = Session::new("client".into());
        session.user = Some("user".into());
        session.expiry = Duration::from_secs(100);
        let delay = Duration::from_secs(10);
        session.will = Some(Will { message: message(), delay, expiry: Some(5) });
        let connected = to_session(&of_session(&session, EPOCH), NOW, EPOCH).unwrap();
        assert_eq!((&*connected.client, connected.user.as_deref()), ("client", Some("user")));
        assert_eq!((connected.will_at, connected.ends_at), (Some(NOW + delay), Some(NOW + session.expiry)));
        session.ends_at = Some(NOW + Duration::from_secs(7));
        session.will_at = Some(NOW);
        let away = to_session(&of_session(&session, EPOCH), NOW, EPOCH).unwrap();
        assert_eq!((away.will_at, away.ends_at), (session.will_at, session.ends_at));
        let set_back = to_session(&of_session(&session, Epoch(u64::MAX / 2)), NOW, EPOCH).unwrap();
        assert_eq!(set_back.ends_at, Some(NOW + session.expiry));
    }

    #[test]
    fn what_is_cut_off_anywhere_or_garbled_is_no_record_and_does_no_harm() {
        let grant = Grant {
            filter: "a/#".into(),
            age: 300,
            qos: Qos::AtLeastOnce,
            no_local: true,
            retain_as_published: false,
            identifier: NonZeroU32::new(7),
        };
        let body = Rc::new(message());
        let delivery = Delivery {
            number: 8,
            message: body.clone(),
            qos: Qos::ExactlyOnce,
            retain: false,
            identifiers: vec![NonZeroU32::MIN],
        };
        let flight = Some((id(5), Stage::Released));
        let back = to_grant(&of_grant(&grant), "a/#".into()).unwrap();
        assert_eq!(
            (back.age, back.qos, back.no_local, back.identifier),
            (300, grant.qos, true, grant.identifier)
        );
        let (back, again) = to_delivery(&of_delivery(&delivery, flight), 8, |_| Some(body.clone())).unwrap();
        assert_eq!(
            (back.number, back.qos, &back.identifiers, again),
            (8, delivery.qos, &delivery.identifiers, flight)
        );

        let mut session = Session::new("client".into());
        session.will = Some(Will { message: message(), delay: Duration::ZERO, expiry: None });
        let values = [
            of_message(&body, EPOCH),
            of_session(&session, EPOCH),
            of_grant(&grant),
            of_delivery(&delivery, flight),
        ];
        let read = |kind: usize, bytes: &[u8]| match kind {
            0 => to_message(bytes, 1, EPOCH).is_some(),
            1 => to_session(bytes, NOW, EPOCH).is_some(),
            2 => to_grant(bytes, "a".into()).is_some(),
            _ => to_delivery(bytes, 1, |_| Some(body.clone())).is_some(),
        };
        for (kind, value) in values.iter().enumerate() {
            assert!(read(kind, value));
            for length in 0..value.len() {
                assert!(!read(kind, &value[..length]), "{kind} {length}");
            }
            for at in 0..value.len() {
                for garbled in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut value = value.clone();
                    value[at] = garbled;
                    read(kind, &value);
                }
            }
        }
    }
}
