//! From the broker to NATS [MQTT 5: 3.3, 4.3].

use std::fmt::Debug;
use std::num::NonZeroU16;

use lunix::escaped::Escaped;
use lunix_core::time::Instant;
use lunix_proto::mqtt::{Ack, ClientPacket, Delivery, Property, Publish, Version};

use super::{Bridge, Local, Private};
use crate::natsmqtt::gateway::Brought;
use crate::natsmqtt::gateway::message::{Kept, Message};
use crate::natsmqtt::path;

impl<B: Copy + Ord + Debug> Bridge<B> {
    pub(super) fn on_publish<L: Local<Barrier = B>>(
        &mut self,
        now: Instant,
        local: &mut L,
        publish: &Publish<'_>,
    ) {
        let packet_id = publish.delivery.packet_id();
        let twice = matches!(publish.delivery, Delivery::ExactlyOnce { .. });
        if let Some(packet_id) = packet_id {
            if self.taking.contains(&packet_id) {
                return;
            }
            if self.received.contains(&packet_id) {
                return self.answer(now, packet_id, true);
            }
        }
        if publish.topic.is_empty() {
            return self.end("the broker names a topic alias, of which there are none".to_owned());
        }
        let brought = match self.message(now, publish) {
            Some(message) => {
                let topic = message.topic.clone();
                let brought = local.bring(now, self.way, message);
                if let Brought::Never(why) = brought {
                    self.give_up(format_args!("{}: {why}", Escaped(&topic)));
                }
                brought
            }
            None => Brought::Known,
        };
        match (brought, packet_id) {
            (Brought::Taken, Some(packet_id)) => {
                self.counts.received += 1;
                self.taking.insert(packet_id);
                self.pending.push_back((local.barrier(), packet_id, twice));
            }
            (Brought::Taken, None) => self.counts.received += 1,
            // The broker says it again when we come back, if it is to arrive.
            (Brought::Full, Some(_)) => self.end("there is no room on the way to NATS".to_owned()),
            (Brought::Full, None) => self.give_up("there is no room on the way to NATS"),
            (Brought::Known | Brought::Never(_), Some(packet_id)) => {
                if twice {
                    self.received.insert(packet_id);
                }
                self.answer(now, packet_id, twice);
            }
            (Brought::Known | Brought::Never(_), None) => {}
        }
    }

    /// The message as it is to be said here; `None` if it is not to be.
    fn message(&mut self, now: Instant, publish: &Publish<'_>) -> Option<Message> {
        let is_unspared = self.remote.version < Version::V5 && self.private == Private::Refused;
        if is_unspared && self.echoes.has(now, publish.topic, publish.payload) {
            return None;
        }
        let remote = self.remote.clone();
        let mut rules = remote.rules.iter().filter(|rule| rule.inward);
        let (rule, topic) = rules.find_map(|rule| Some((rule, rule.homeward(publish.topic)?)))?;
        let mut message = Message {
            topic,
            payload: publish.payload.into(),
            qos: publish.delivery.qos(),
            retain: rule.retain.unwrap_or(publish.retain),
            properties: Kept::of(publish.properties),
            ..Message::default()
        };
        for property in publish.properties {
            if let Property::MessageExpiryInterval(seconds) = property {
                message.expire_in(now, seconds);
            }
        }
        // An answer to it goes out again by the rule that makes of its topic here the one that is wanted there.
        for kept in &mut message.properties {
            if let Kept::ResponseTopic(topic) = kept {
                let mut rules = remote.rules.iter().filter(|rule| rule.out);
                rules.find_map(|rule| rule.homeward(topic)).into_iter().for_each(|home| *topic = home);
            }
        }
        let path = message.path();
        let is_known = path::passes(path, &self.site);
        let Some(path) = path::extended(path, &self.beyond).filter(|_| !is_known) else {
            if !is_known {
                self.give_up(format_args!("{}: it has come too far", Escaped(&message.topic)));
            }
            return None;
        };
        message.set_path(path);
        Some(message)
    }

    pub(super) fn on_pubrel(&mut self, now: Instant, ack: &Ack<'_>) {
        self.received.remove(&ack.packet_id);
        // One that is unknown was answered before, and the answer lost.
        self.ack(now, ClientPacket::Pubcomp, ack.packet_id);
    }

    /// Tells the broker that a message is here.
    pub(super) fn answer(&mut self, now: Instant, packet_id: NonZeroU16, twice: bool) {
        if self.is_up() {
            let packet = if twice { ClientPacket::Pubrec } else { ClientPacket::Puback };
            self.ack(now, packet, packet_id);
        }
    }

    /// A message is lost. Of many the first is told of, and how many they were when the bridge connects again.
    pub(super) fn give_up(&mut self, why: impl std::fmt::Display) {
        if self.counts.lost == self.counts.told {
            self.warn(format_args!("a message is given up: {why}"));
        }
        self.counts.lost += 1;
    }
}
