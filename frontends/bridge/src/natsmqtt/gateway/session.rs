//! What is kept of a client, whether it is connected or not [MQTT 5: 4.1].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{Qos, topic};

use super::clients::Peer;
use super::link::LinkId;
use super::message::Message;
use crate::natsmqtt::rules::Rules;

/// Names a session among all that ever were.
pub(super) type SessionId = u64;

/// A client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Rc<str>,
    /// Who that is.
    pub(super) user: Option<Box<str>>,
    /// Its connection, if there is one.
    pub(super) link: Option<LinkId>,
    /// Who it is, and since when it is connected, or not; unknown where it has not connected to this process.
    pub(super) peer: Option<Peer>,
    pub(super) since: Instant,
    /// What its user may do.
    pub(super) rules: Rc<Rules>,
    /// How long it is kept without one.
    pub(super) expiry: Duration,
    /// It is on disk, or is to be.
    pub(super) is_stored: bool,
    pub(super) subscriptions: BTreeMap<Box<str>, Rc<Grant>>,
    /// The client is a broker, and gets messages as they were published, and none of its own.
    pub(super) is_bridge: bool,
    /// Messages with QoS 2 that are answered `PUBREC` and wait for `PUBREL`.
    pub(super) received: BTreeSet<NonZeroU16>,
    /// Messages on their way to NATS, which are answered once they are there, and the connections that they came by.
    pub(super) taking: BTreeMap<NonZeroU16, LinkId>,
    pub(super) outbound: Outbound,
    /// Messages that found no room, so far.
    pub(super) lost: u64,
    pub(super) will: Option<Will>,
    /// When the will is published, and when the session ends, if it is not resumed.
    pub(super) will_at: Option<Instant>,
    pub(super) ends_at: Option<Instant>,
}

/// A subscription that was granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) filter: Box<str>,
    /// Greater than that of all that were there before.
    pub(super) age: u64,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<NonZeroU32>,
}

/// A message for the end of the connection.
#[derive(Debug)]
pub(super) struct Will {
    pub(super) message: Message,
    pub(super) delay: Duration,
    /// Seconds from its publication, where it has an end.
    pub(super) expiry: Option<u32>,
}

impl Session {
    pub(super) fn new(client: Rc<str>) -> Self {
        Self {
            client,
            user: None,
            link: None,
            peer: None,
            since: Instant::from_micros(0),
            rules: Rc::default(),
            expiry: Duration::ZERO,
            is_stored: false,
            subscriptions: BTreeMap::new(),
            is_bridge: false,
            received: BTreeSet::new(),
            taking: BTreeMap::new(),
            outbound: Outbound::default(),
            lost: 0,
            will: None,
            will_at: None,
            ends_at: None,
        }
    }

    /// How a message that came by the subscription `by` goes to the client. Where it matches several, NATS says it several
    /// times; the client gets it once [MQTT 5: 3.3.4], by the one that was there first, since that is the one which NATS
    /// surely knew of.
    pub(super) fn delivery(&self, id: SessionId, by: &Grant, message: &Rc<Message>) -> Option<Delivery> {
        let matches = |grant: &&Rc<Grant>| {
            grant.age == by.age
                || !topic::is_shared(&grant.filter) && topic::matches(&grant.filter, &message.topic)
        };
        let is_alone = self.subscriptions.len() <= 1 || topic::is_shared(&by.filter);
        let (mut delivery, mut is_first) = (None, true);
        let mut add = |grant: &Grant| {
            is_first &= grant.age >= by.age;
            if grant.no_local && message.from == Some(id) {
                return;
            }
            let delivery = delivery.get_or_insert_with(|| Delivery {
                number: 0,
                message: message.clone(),
                qos: Qos::AtMostOnce,
                retain: false,
                identifiers: Vec::new(),
            });
            delivery.qos = delivery.qos.max(message.qos.min(grant.qos));
            delivery.retain |= message.retain && grant.retain_as_published;
            delivery.identifiers.extend(grant.identifier);
        };
        match is_alone {
            true => add(by),
            false => self.subscriptions.values().filter(matches).for_each(|grant| add(grant)),
        }
        delivery.filter(|_| is_first && self.rules.may_receive(&message.topic))
    }

    /// When something is to be done about it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.will_at, self.ends_at].into_iter().flatten().min()
    }
}

/// A message as one client is to get it.
#[derive(Clone, Debug)]
pub(in crate::natsmqtt) struct Delivery {
    /// Greater than those of all before it in the same session.
    pub(in crate::natsmqtt) number: u64,
    pub(in crate::natsmqtt) message: Rc<Message>,
    pub(in crate::natsmqtt) qos: Qos,
    pub(in crate::natsmqtt) retain: bool,
    /// Of all subscriptions that it matches.
    pub(in crate::natsmqtt) identifiers: Vec<NonZeroU32>,
}

/// A message with QoS 1 or 2 whose exchange has begun.
#[derive(Debug)]
pub(in crate::natsmqtt) struct Flight {
    pub(in crate::natsmqtt) packet_id: NonZeroU16,
    pub(in crate::natsmqtt) delivery: Delivery,
    pub(in crate::natsmqtt) stage: Stage,
}

/// Which answer a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsmqtt) enum Stage {
    /// `PUBACK` or `PUBREC`.
    Sent,
    /// `PUBCOMP`.
    Released,
}

/// What an acknowledgement of the client's is to the message that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsmqtt) enum Answer {
    /// The one that it waits for.
    Awaited,
    /// There is no such message (any more).
    Unknown,
    /// Not what this message can be answered.
    Wrong,
}

/// Messages with QoS 1 and 2 to the client, in order.
#[derive(Debug, Default)]
pub(in crate::natsmqtt) struct Outbound {
    flights: VecDeque<Flight>,
    queue: VecDeque<Delivery>,
    bytes: usize,
    last_id: u16,
}

impl Outbound {
    /// Appends a message; `false` if there is no room.
    pub(in crate::natsmqtt) fn push(&mut self, delivery: Delivery, most: usize, most_bytes: usize) -> bool {
        let bytes = self.bytes + delivery.message.size();
        if self.queue.len() >= most || bytes > most_bytes {
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back(delivery);
        true
    }

    /// Appends what was there before a restart, the exchange of which may have begun; `false` if there is no room.
    pub(super) fn restore(
        &mut self,
        delivery: Delivery,
        flight: Option<(NonZeroU16, Stage)>,
        most: usize,
        most_bytes: usize,
    ) -> bool {
        let Some((packet_id, stage)) = flight else { return self.push(delivery, most, most_bytes) };
        self.last_id = packet_id.get();
        self.flights.push_back(Flight { packet_id, delivery, stage });
        true
    }

    /// All, in order.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.flights.iter().map(|flight| &flight.delivery).chain(&self.queue)
    }

    /// One, and its flight if that has begun.
    pub(super) fn find(&self, number: u64) -> Option<(&Delivery, Option<(NonZeroU16, Stage)>)> {
        if let Ok(at) = self.queue.binary_search_by_key(&number, |delivery| delivery.number) {
            return Some((self.queue.get(at)?, None));
        }
        let at = self.flights.binary_search_by_key(&number, |flight| flight.delivery.number).ok()?;
        let Flight { packet_id, delivery, stage } = self.flights.get(at)?;
        Some((delivery, Some((*packet_id, *stage))))
    }

    /// Begins the exchange of the next message, if fewer than `window` are under way. What has `expired` is passed over.
    pub(in crate::natsmqtt) fn launch(
        &mut self,
        window: u16,
        now: Instant,
        mut expired: impl FnMut(&Delivery),
    ) -> Option<&Flight> {
        if self.flights.len() >= usize::from(window) {
            return None;
        }
        let delivery = loop {
            let delivery = self.queue.pop_front()?;
            self.bytes -= delivery.message.size();
            if delivery.message.remaining(now).is_some() {
                break delivery;
            }
            expired(&delivery);
        };
        let packet_id = self.free_id();
        self.flights.push_back(Flight { packet_id, delivery, stage: Stage::Sent });
        self.flights.back()
    }

    /// Those under way, oldest first: what is sent again to a client that has come back.
    pub(in crate::natsmqtt) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter()
    }

    /// `PUBACK` or `PUBCOMP`, or a `PUBREC` that refuses the message: ends its exchange, and says whose that was.
    pub(in crate::natsmqtt) fn end(
        &mut self,
        packet_id: NonZeroU16,
        qos: Qos,
        stage: Stage,
        ended: impl FnOnce(&Delivery),
    ) -> Answer {
        let Some(at) = self.flights.iter().position(|flight| flight.packet_id == packet_id) else {
            return Answer::Unknown;
        };
        if !self.flights.get(at).is_some_and(|flight| flight.delivery.qos == qos && flight.stage == stage) {
            return Answer::Wrong;
        }
        if let Some(flight) = self.flights.remove(at) {
            ended(&flight.delivery);
        }
        Answer::Awaited
    }

    /// `PUBREC`: the message, of which `released` hears, waits for `PUBCOMP` from now on; said again, it is so again.
    pub(in crate::natsmqtt) fn release(
        &mut self,
        packet_id: NonZeroU16,
        released: impl FnOnce(&Delivery),
    ) -> Answer {
        match self.flights.iter_mut().find(|flight| flight.packet_id == packet_id) {
            Some(flight) if flight.delivery.qos == Qos::ExactlyOnce => {
                if std::mem::replace(&mut flight.stage, Stage::Released) == Stage::Sent {
                    released(&flight.delivery);
                }
                Answer::Awaited
            }
            Some(_) => Answer::Wrong,
            None => Answer::Unknown,
        }
    }

    /// Begins with another number, so that none is taken for one that an earlier process of this name has used.
    pub(in crate::natsmqtt) fn begin_at(&mut self, number: u16) {
        self.last_id = number;
    }

    /// A number that no message has, for another packet.
    pub(in crate::natsmqtt) fn number(&mut self) -> NonZeroU16 {
        self.free_id()
    }

    /// The other side knows of no exchange any more: all of them begin again.
    pub(in crate::natsmqtt) fn restart(&mut self) {
        self.flights.iter_mut().for_each(|flight| flight.stage = Stage::Sent);
    }

    /// The other side takes no higher QoS.
    pub(in crate::natsmqtt) fn lower(&mut self, most: Qos) {
        let flights = self.flights.iter_mut().filter(|flight| flight.stage == Stage::Sent);
        let deliveries = flights.map(|flight| &mut flight.delivery).chain(&mut self.queue);
        deliveries.for_each(|delivery| delivery.qos = delivery.qos.min(most));
    }

    /// Messages that wait or are under way.
    pub(in crate::natsmqtt) fn len(&self) -> usize {
        self.flights.len() + self.queue.len()
    }

    /// There are fewer flights than numbers, as the window is one.
    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_id)
                && self.flights.iter().all(|flight| flight.packet_id != id)
            {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(0);

    fn delivery(payload: &str, qos: Qos) -> Delivery {
        let message = Message { payload: payload.as_bytes().into(), ..Message::default() };
        Delivery { number: 0, message: Rc::new(message), qos, retain: false, identifiers: Vec::new() }
    }

    fn id(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let mut outbound = Outbound::default();
        for payload in ["1", "2", "3"] {
            assert!(outbound.push(delivery(payload, Qos::AtLeastOnce), 3, 10_000));
        }
        assert!(!outbound.push(delivery("4", Qos::AtLeastOnce), 3, 10_000));
        assert_eq!(outbound.launch(2, NOW, |_| ()).unwrap().packet_id, id(1));
        assert_eq!(outbound.launch(2, NOW, |_| ()).unwrap().packet_id, id(2));
        assert!(outbound.launch(2, NOW, |_| ()).is_none());
        assert_eq!(outbound.end(id(3), Qos::AtLeastOnce, Stage::Sent, |_| ()), Answer::Unknown);
        assert_eq!(outbound.end(id(1), Qos::ExactlyOnce, Stage::Sent, |_| ()), Answer::Wrong);
        assert_eq!(outbound.end(id(1), Qos::AtLeastOnce, Stage::Sent, |_| ()), Answer::Awaited);
        assert_eq!(outbound.launch(2, NOW, |_| ()).unwrap().packet_id, id(3));
        assert_eq!(outbound.bytes, 0);
    }

    #[test]
    fn qos_2_goes_through_both_stages() {
        let mut outbound = Outbound::default();
        outbound.push(delivery("1", Qos::ExactlyOnce), 9, 10_000);
        outbound.launch(9, NOW, |_| ()).unwrap();
        assert_eq!(
            outbound.end(id(1), Qos::ExactlyOnce, Stage::Released, |_| ()),
            Answer::Wrong,
            "not before PUBREC"
        );
        assert_eq!([outbound.release(id(1), |_| ()), outbound.release(id(1), |_| ())], [Answer::Awaited; 2]);
        assert_eq!(outbound.flights().next().unwrap().stage, Stage::Released);
        assert_eq!(outbound.end(id(1), Qos::ExactlyOnce, Stage::Released, |_| ()), Answer::Awaited);
        assert_eq!(outbound.release(id(1), |_| ()), Answer::Unknown);
    }

    #[test]
    fn numbers_in_use_are_passed_over_and_what_has_expired_is_not_sent() {
        let mut outbound = Outbound::default();
        outbound.push(delivery("1", Qos::AtLeastOnce), 9, 10_000);
        outbound.launch(9, NOW, |_| ()).unwrap();
        outbound.last_id = u16::MAX;
        let mut short = Message::default();
        short.expire_in(NOW, 1);
        let expired = Delivery { message: Rc::new(short), ..delivery("", Qos::AtLeastOnce) };
        outbound.push(expired, 9, 10_000);
        outbound.push(delivery("3", Qos::AtLeastOnce), 9, 10_000);
        let flight = outbound.launch(9, Instant::from_micros(1_000_000), |_| ()).unwrap();
        assert_eq!((flight.packet_id, &*flight.delivery.message.payload), (id(2), &b"3"[..]));
        assert!(outbound.queue.is_empty());
    }
}
