//! From MQTT to NATS [MQTT 5: 3.3, 4.3].

use std::num::NonZeroU16;
use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::{Ack, Delivery, Property, Publish, ReasonCode, ServerPacket, Version};

use super::link::{Link, LinkId};
use super::message::{Kept, Message};
use super::record::Key;
use super::refusal::Refusal;
use super::session::SessionId;
use super::{Gateway, Pending, Upstream, headers, linked, names};
use crate::natsmqtt::path::Way;
use crate::natsmqtt::rules::Rules;

impl<U: Upstream> Gateway<U> {
    pub(super) fn publish(&mut self, now: Instant, id: LinkId, from: SessionId, publish: &Publish<'_>) {
        let inflight = self.limits.inflight;
        let most_aliases = self.limits.aliases;
        let Some((session, Some(link))) = self.linked(from) else { return };
        let mut message = Message {
            topic: publish.topic.into(),
            payload: publish.payload.into(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
            properties: Kept::of(publish.properties),
            ..Message::default()
        };
        for property in publish.properties {
            match property {
                Property::MessageExpiryInterval(seconds) => message.expire_in(now, seconds),
                Property::TopicAlias(alias) => {
                    if alias.get() > most_aliases {
                        let words = format!("topic aliases are from 1 to {most_aliases}");
                        return link.end(Refusal::new(ReasonCode::TopicAliasInvalid, words));
                    }
                    if !publish.topic.is_empty() {
                        link.topics.insert(alias, publish.topic.into());
                    }
                    let Some(topic) = link.topics.get(&alias) else {
                        let words = format!("topic alias {alias} stands for no topic");
                        return link.end(Refusal::new(ReasonCode::ProtocolError, words));
                    };
                    message.topic = topic.clone();
                }
                _ => {}
            }
        }
        if session.subscriptions.values().any(|grant| grant.no_local) {
            message.from = Some(from);
        }
        let packet_id = publish.delivery.packet_id();
        if let Some(packet_id) = packet_id {
            // A client that comes back with QoS 1 need not know what it said before: the same number may be of another message.
            let is_exact = matches!(publish.delivery, Delivery::ExactlyOnce { .. });
            if session.taking.get(&packet_id).is_some_and(|by| is_exact || *by == id) {
                return;
            }
            if session.received.contains(&packet_id) {
                link.say(&ServerPacket::Pubrec(Ack::new(packet_id)));
                return;
            }
            if link.unanswered >= inflight && link.version == Version::V5 {
                let words = format!("{inflight} messages with QoS 1 and 2 may be under way");
                return link.end(Refusal::new(ReasonCode::ReceiveMaximumExceeded, words));
            }
        }
        let offered = match may_publish(&session.rules, &message.topic) {
            Err(refusal) => Err(refusal),
            // What has been here before is as good as taken.
            Ok(_) if !self.is_news(now, Way::Client(from), &message) => Ok(()),
            Ok(subject) if self.offer_as(now, &subject, &message) => Ok(()),
            Ok(_) => Err(Refusal::new(ReasonCode::QuotaExceeded, self.fullness(&message))),
        };
        match (offered, publish.delivery) {
            (Ok(()), Delivery::AtMostOnce) => {}
            (Ok(()), Delivery::AtLeastOnce { packet_id, .. }) => self.await_taken(id, from, packet_id, false),
            (Ok(()), Delivery::ExactlyOnce { packet_id, .. }) => self.await_taken(id, from, packet_id, true),
            (Err(refusal), delivery) => self.refuse_publish(id, refusal, delivery),
        }
    }

    /// Why a message that was offered was not taken.
    fn fullness(&self, message: &Message) -> &'static str {
        match message.retain && !self.retained.has_room(message) {
            true => "there is no room for more retained messages",
            false => "there is no room on the way to NATS, or the message is larger than its server takes",
        }
    }

    /// Whether there is room for a retained message.
    pub(super) fn admits(&mut self, now: Instant, message: &Message) -> bool {
        let journal = &mut self.journal;
        let expired = |expired: &Message| journal.change(Key::Retained(expired.topic.clone()));
        self.retained.admits(now, message, expired)
    }

    /// Publishes a message, and keeps it if it is to be retained; `false` if there is no room for it.
    pub(super) fn offer(&mut self, now: Instant, message: &Message) -> bool {
        let Ok(subject) = names::subject(&message.topic) else { return true };
        self.offer_as(now, &subject, message)
    }

    /// The same, of which the subject is known.
    fn offer_as(&mut self, now: Instant, subject: &str, message: &Message) -> bool {
        if message.retain && !self.admits(now, message) {
            return false;
        }
        let (header, reply) = headers::encode(message, now, &self.identity);
        let offered = self.upstream.publish(subject, reply.as_deref(), &header, &message.payload);
        if offered && message.retain {
            let key = Key::Retained(message.topic.clone());
            match self.retained.stored(&message.topic) {
                Some(_) => self.journal.change(key),
                None => self.journal.add(key),
            }
            let number = self.next_id();
            self.retained.set(Rc::new(Message { number, ..self.sign(message.clone()) }));
        }
        offered
    }

    fn await_taken(&mut self, id: LinkId, from: SessionId, packet_id: NonZeroU16, twice: bool) {
        if let Some((session, Some(link))) = self.linked(from) {
            session.taking.insert(packet_id, id);
            link.unanswered += 1;
        }
        let barrier = self.upstream.barrier();
        self.pending.push_back((barrier, Pending::Publish { link: id, session: from, packet_id, twice }));
    }

    /// NATS has a message with QoS 2, which it must not get again: to be on disk together with what has come of it here.
    pub(super) fn received(&mut self, from: SessionId, packet_id: NonZeroU16) {
        let Some(session) = self.sessions.get_mut(&from) else { return };
        if session.received.insert(packet_id) && session.is_stored {
            self.journal.add(Key::Received(from, packet_id));
        }
    }

    /// NATS has a message, and what is to be on disk of it is there.
    pub(super) fn taken(&mut self, id: LinkId, from: SessionId, packet_id: NonZeroU16, twice: bool) {
        let Some(link) = self.answered(id, from, packet_id, twice) else { return };
        if twice {
            link.say(&ServerPacket::Pubrec(Ack::new(packet_id)));
        } else {
            link.unanswered = link.unanswered.saturating_sub(1);
            link.say(&ServerPacket::Puback(Ack::new(packet_id)));
        }
    }

    /// Whether NATS has a message nobody knows: the client is to send it again.
    pub(super) fn doubted(&mut self, id: LinkId, from: SessionId, packet_id: NonZeroU16, twice: bool) {
        let Some(link) = self.answered(id, from, packet_id, twice) else { return };
        let words = "the NATS server was lost: send again what was not acknowledged";
        link.end(Refusal::new(ReasonCode::ServerBusy, words));
    }

    /// NATS has a message, and what is to be on disk of it could not be written.
    pub(super) fn not_kept(&mut self, id: LinkId, from: SessionId, packet_id: NonZeroU16, twice: bool) {
        let Some(session) = self.sessions.get_mut(&from) else { return };
        let here = session.link;
        if twice && session.received.remove(&packet_id) && session.is_stored {
            self.journal.change(Key::Received(from, packet_id));
        }
        let Some((link, id)) = self.answered(id, from, packet_id, twice).zip(here) else { return };
        link.unanswered = link.unanswered.saturating_sub(1);
        let delivery = match twice {
            true => Delivery::ExactlyOnce { packet_id, dup: false },
            false => Delivery::AtLeastOnce { packet_id, dup: false },
        };
        let refusal = Refusal::new(ReasonCode::QuotaExceeded, "the store cannot be written");
        self.refuse_publish(id, refusal, delivery);
    }

    /// Who hears what became of a message of the connection `id`. One with QoS 1 of a connection that is no more is sent again on
    /// the next one, and answered there.
    fn answered(
        &mut self,
        id: LinkId,
        from: SessionId,
        packet_id: NonZeroU16,
        twice: bool,
    ) -> Option<&mut Link> {
        let (session, link) = self.linked(from)?;
        if session.taking.get(&packet_id) == Some(&id) {
            session.taking.remove(&packet_id);
        }
        link.filter(|_| twice || session.link == Some(id))
    }

    /// Says why a message is not taken. Before MQTT 5 there are no words for it: what may never be published is acknowledged as
    /// if it had been, and what finds no room ends the connection, so that the client sends it again [3.1.1: MQTT-3.3.5-2].
    fn refuse_publish(&mut self, id: LinkId, refusal: Refusal, delivery: Delivery) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let reason = refusal.reason();
        let is_full = reason == ReasonCode::QuotaExceeded;
        if link.version < Version::V5 && is_full && delivery != Delivery::AtMostOnce {
            return link.end(refusal);
        }
        let packet = match delivery {
            Delivery::AtMostOnce => return,
            Delivery::AtLeastOnce { packet_id, .. } => {
                ServerPacket::Puback(Ack { reason, ..Ack::new(packet_id) })
            }
            Delivery::ExactlyOnce { packet_id, .. } => {
                ServerPacket::Pubrec(Ack { reason, ..Ack::new(packet_id) })
            }
        };
        link.say_why(packet, refusal.words());
    }

    pub(super) fn on_pubrel(&mut self, from: SessionId, ack: &Ack<'_>) {
        let Self { links, sessions, journal, .. } = self;
        let Some((session, Some(link))) = linked(sessions, links, from) else { return };
        if session.received.remove(&ack.packet_id) {
            link.unanswered = link.unanswered.saturating_sub(1);
            // Who has heard `PUBCOMP` gives the number to another message.
            if session.is_stored
                && let Some(id) = session.link
            {
                journal.change(Key::Received(from, ack.packet_id));
                journal.hold(id, link);
            }
        }
        // One that is unknown was answered before, and the answer lost.
        link.say(&ServerPacket::Pubcomp(Ack::new(ack.packet_id)));
    }
}

/// The subject of a topic, if a device may publish there. Answers to those who asked on NATS go to inboxes, which are secret enough.
///
/// # Errors
/// No subject can say it, it is none of the devices' business, or the rules forbid it.
pub(super) fn may_publish(rules: &Rules, topic: &str) -> Result<String, Refusal> {
    let subject = names::subject(topic)?;
    if names::is_hidden(subject.as_bytes()) && !subject.starts_with("_INBOX.") {
        return Err(names::hidden());
    }
    match rules.may_publish(topic) {
        true => Ok(subject),
        false => Err(Refusal::new(ReasonCode::NotAuthorized, "this user may not publish there")),
    }
}
