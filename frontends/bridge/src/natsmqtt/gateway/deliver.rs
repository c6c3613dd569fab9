//! From NATS to MQTT [MQTT 5: 3.3.4, 4.3, 4.4, 4.6].

use std::rc::Rc;

use lunix::escaped::Escaped;
use lunix::log::{self, Level};
use lunix_core::time::Instant;
use lunix_proto::mqtt::{Ack, Qos, ReasonCode, ServerPacket};

use super::journal::Journal;
use super::link::LinkId;
use super::message::{Kept, Message};
use super::record::Key;
use super::refusal::Refusal;
use super::session::{Answer, Delivery, Grant, SessionId, Stage};
use super::{Gateway, Upstream, headers, linked, names};
use crate::natsmqtt::NAME;

/// Said to who mixes up the exchanges of QoS 1 and 2.
const WRONG: &str = "an acknowledgement that the message does not wait for";

/// What NATS said.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsmqtt) struct Heard<'m> {
    pub(in crate::natsmqtt) subject: &'m [u8],
    pub(in crate::natsmqtt) reply: Option<&'m [u8]>,
    pub(in crate::natsmqtt) header: &'m [u8],
    pub(in crate::natsmqtt) payload: &'m [u8],
}

impl<U: Upstream> Gateway<U> {
    /// A message of one of the subscriptions has come.
    pub(in crate::natsmqtt) fn hear(&mut self, now: Instant, sid: U::Sid, heard: &Heard<'_>) {
        if names::is_hidden(heard.subject) {
            return;
        }
        let Some(message) = self.message(now, heard) else { return };
        let message = Rc::new(Message { number: self.next_id(), ..message });
        let Some(stream) = self.streams.stream_mut(sid) else { return };
        if stream.is_shared() {
            // Those who are there take turns; if nobody is, it waits for one.
            let is_here = |member: &(SessionId, Rc<Grant>)| {
                self.sessions.get(&member.0).is_some_and(|session| session.link.is_some())
            };
            let (count, turn) = (stream.members.len().max(1), stream.turn);
            let mut order = (0..count).map(|step| (turn + step) % count);
            let chosen =
                order.find(|at| stream.members.get(*at).is_some_and(is_here)).unwrap_or(turn % count);
            stream.turn = chosen + 1;
            if let Some((id, grant)) = stream.members.get(chosen).cloned() {
                self.hand(now, id, &grant, &message);
            }
            return;
        }
        // Who is sent a message stays a member.
        let members = std::mem::take(&mut stream.members);
        for (id, grant) in &members {
            self.hand(now, *id, grant, &message);
        }
        if let Some(stream) = self.streams.stream_mut(sid) {
            stream.members = members;
        }
    }

    /// Delivers a message to a member of its stream, as that has subscribed.
    fn hand(&mut self, now: Instant, id: SessionId, grant: &Grant, message: &Rc<Message>) {
        let session = self.sessions.get(&id);
        if let Some(delivery) = session.and_then(|session| session.delivery(id, grant, message)) {
            self.deliver(now, id, delivery);
        }
    }

    /// An answer has come to a reply subject that also has what it is to repeat: says it where it is wanted.
    pub(in crate::natsmqtt) fn answer(&mut self, now: Instant, heard: &Heard<'_>) {
        let Some(reply) = headers::Reply::own(heard.subject, &self.identity) else { return };
        let Some(mut message) = self.message(now, &Heard { subject: b"answer", ..*heard }) else { return };
        message.topic = reply.topic.into();
        reply.correlation.into_iter().for_each(|data| message.keep(Kept::Correlation(data)));
        // What finds no room is lost, as on NATS.
        self.offer(now, &message);
    }

    /// A request for the retained message of a subject: what to answer, payload and headers.
    pub(in crate::natsmqtt) fn retained(
        &self,
        now: Instant,
        subject: &[u8],
    ) -> Option<(Rc<Message>, Vec<u8>)> {
        let topic = names::topic(subject)?;
        let message = self.retained.get(now, &topic)?;
        Some((message.clone(), headers::encode(message, now, &self.identity).0))
    }

    fn message(&self, now: Instant, heard: &Heard<'_>) -> Option<Message> {
        self.understand(now, heard, self.limits.nats_qos).map(|message| self.sign(message))
    }

    /// What NATS said, with the topic that its subject is; `qos` is what it has if its headers do not say. `None` if it has no
    /// topic.
    pub(in crate::natsmqtt) fn understand(
        &self,
        now: Instant,
        heard: &Heard<'_>,
        qos: Qos,
    ) -> Option<Message> {
        let mut message = Message {
            topic: names::topic(heard.subject)?.into(),
            payload: heard.payload.into(),
            ..Message::default()
        };
        headers::decode(&mut message, heard.header, heard.reply, now, &self.identity, qos);
        Some(message)
    }

    /// Sends a message to a client, or keeps it for it.
    pub(super) fn deliver(&mut self, now: Instant, id: SessionId, mut delivery: Delivery) {
        let limits = self.limits;
        delivery.number = self.next_id();
        let Self { links, sessions, journal, .. } = self;
        let Some((session, link)) = linked(sessions, links, id) else { return };
        if delivery.qos == Qos::AtMostOnce {
            // Who is away, or slower than this, misses it.
            if let Some(link) = link.filter(|link| link.pending() < limits.output) {
                link.send(&delivery, None, false, now);
            }
            return;
        }
        let to_store = session.is_stored.then(|| delivery.clone());
        if session.outbound.push(delivery, limits.queue, limits.queue_bytes) {
            to_store.iter().for_each(|delivery| journal.add_delivery(id, delivery));
        } else {
            if session.lost == 0 {
                let full = format_args!("client {}: its queue is full", Escaped(&session.client));
                log::line(Level::Warn, NAME, full);
            }
            session.lost += 1;
        }
        self.pump(now, id);
    }

    /// Sends what waits, as far as the client takes it.
    pub(super) fn pump(&mut self, now: Instant, id: SessionId) {
        let most = self.limits.output;
        let Self { links, sessions, journal, .. } = self;
        let Some((session, Some(link))) = linked(sessions, links, id) else { return };
        let (is_stored, connection) = (session.is_stored, session.link);
        let ended = |journal: &mut Journal, delivery: &Delivery| {
            if is_stored {
                journal.end_delivery(id, delivery);
            }
        };
        while link.pending() < most
            && !link.closing
            && let Some(flight) =
                session.outbound.launch(link.window, now, |delivery| ended(journal, delivery))
        {
            let packet_id = flight.packet_id;
            if is_stored {
                journal.change(Key::Delivery(id, flight.delivery.number));
            }
            // By another number it would be another message to who has heard it.
            if is_stored
                && flight.delivery.qos == Qos::ExactlyOnce
                && let Some(connection) = connection
            {
                journal.hold(connection, link);
            }
            if !link.send(&flight.delivery, Some(packet_id), false, now) {
                // Too long for this client: as if it had been sent [MQTT-3.1.2-25].
                let qos = flight.delivery.qos;
                session.outbound.end(packet_id, qos, Stage::Sent, |delivery| ended(journal, delivery));
            }
        }
    }

    pub(super) fn on_puback(&mut self, now: Instant, link: LinkId, id: SessionId, ack: &Ack<'_>) {
        self.on_end(now, link, id, ack, Qos::AtLeastOnce, Stage::Sent);
    }

    pub(super) fn on_pubrec(&mut self, now: Instant, link: LinkId, id: SessionId, ack: &Ack<'_>) {
        if ack.reason.is_failure() {
            return self.on_end(now, link, id, ack, Qos::ExactlyOnce, Stage::Sent);
        }
        let Self { links, sessions, journal, .. } = self;
        let Some((session, Some(connection))) = linked(sessions, links, id) else { return };
        let is_stored = session.is_stored;
        let released = |delivery: &Delivery| {
            if is_stored {
                journal.change(Key::Delivery(id, delivery.number));
            }
        };
        match session.outbound.release(ack.packet_id, released) {
            // One that is unknown has gone through both stages before.
            Answer::Awaited | Answer::Unknown => {
                // Sent as a message again, it would be a new one to who has heard this.
                if is_stored {
                    journal.hold(link, connection);
                }
                connection.say(&ServerPacket::Pubrel(Ack::new(ack.packet_id)));
            }
            Answer::Wrong => connection.end(Refusal::new(ReasonCode::ProtocolError, WRONG)),
        }
    }

    pub(super) fn on_pubcomp(&mut self, now: Instant, link: LinkId, id: SessionId, ack: &Ack<'_>) {
        self.on_end(now, link, id, ack, Qos::ExactlyOnce, Stage::Released);
    }

    fn on_end(&mut self, now: Instant, link: LinkId, id: SessionId, ack: &Ack<'_>, qos: Qos, stage: Stage) {
        let Self { sessions, journal, .. } = self;
        let Some(session) = sessions.get_mut(&id) else { return };
        let is_stored = session.is_stored;
        let ended = |delivery: &Delivery| {
            if is_stored {
                journal.end_delivery(id, delivery);
            }
        };
        match session.outbound.end(ack.packet_id, qos, stage, ended) {
            Answer::Awaited => self.pump(now, id),
            Answer::Unknown => {}
            Answer::Wrong => self.end(link, Refusal::new(ReasonCode::ProtocolError, WRONG)),
        }
    }
}
