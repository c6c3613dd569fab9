//! From NATS to the broker [MQTT 5: 3.3, 4.3, 4.4].

use std::fmt::Debug;
use std::num::NonZeroU16;
use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::{
    Ack, ClientPacket, Delivery as Exchange, List, Property, Publish, Qos, Version, topic,
};

use super::{Bridge, Local, OUTPUT, Private};
use crate::natsmqtt::gateway::message::{Kept, Message};
use crate::natsmqtt::gateway::session::{Answer, Delivery, Stage};
use crate::natsmqtt::path;

impl<B: Copy + Ord + Debug> Bridge<B> {
    /// A message of ours that matches the rule of this number: sends it, or keeps it until it can be sent.
    pub(super) fn hear(&mut self, now: Instant, number: usize, mut message: Message) {
        let remote = self.remote.clone();
        let matches = |rule: &super::rule::Rule| rule.out && topic::matches(&rule.local, &message.topic);
        // NATS says it once for each rule; the first one counts.
        if remote.rules.iter().position(matches) != Some(number) {
            return;
        }
        let Some(rule) = remote.rules.get(number) else { return };
        if path::passes(message.path(), &self.beyond) {
            return;
        }
        let Some(topic) = rule.outward(&message.topic) else { return };
        let Some(path) = path::extended(message.path(), &self.site) else {
            return self.give_up("it has come too far");
        };
        message.topic = topic;
        message.set_path(path);
        for kept in &mut message.properties {
            if let Kept::ResponseTopic(topic) = kept {
                let mut rules = remote.rules.iter().filter(|rule| rule.inward);
                rules.find_map(|rule| rule.outward(topic)).into_iter().for_each(|there| *topic = there);
            }
        }
        let delivery = Delivery {
            number: 0,
            qos: message.qos.min(rule.qos).min(self.most),
            retain: rule.retain.unwrap_or(message.retain),
            message: Rc::new(message),
            identifiers: Vec::new(),
        };
        if delivery.qos > Qos::AtMostOnce {
            if !self.outbound.push(delivery, remote.queue, remote.queue_bytes) {
                self.give_up("the queue is full");
            }
            return self.pump(now);
        }
        // With QoS 0 it is lost if the broker is away, or slower than this.
        if self.link.as_ref().is_some_and(|link| link.up && link.output.len() < OUTPUT) {
            self.send(now, &delivery, None, false);
        }
    }

    /// Sends what is retained to a broker that has no session of ours.
    pub(super) fn greet<L: Local<Barrier = B>>(&mut self, now: Instant, local: &L) {
        let remote = self.remote.clone();
        for (number, rule) in remote.rules.iter().enumerate().filter(|(_, rule)| rule.out) {
            for kept in local.kept(now, &rule.local) {
                self.hear(now, number, Message::clone(&kept));
            }
        }
    }

    /// Sends again what is under way.
    pub(super) fn resume(&mut self, now: Instant, is_present: bool) {
        let under_way: Vec<(NonZeroU16, Stage, Delivery)> = self
            .outbound
            .flights()
            .map(|flight| (flight.packet_id, flight.stage, flight.delivery.clone()))
            .collect();
        for (packet_id, stage, delivery) in under_way {
            match stage {
                Stage::Sent => self.launch(now, packet_id, &delivery, is_present),
                Stage::Released => self.ack(now, ClientPacket::Pubrel, packet_id),
            }
        }
    }

    /// Sends what waits, as far as the broker takes it.
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some(link) = self.link.as_ref().filter(|link| link.up && link.closing.is_none())
            && link.output.len() < OUTPUT
            && let Some(flight) = self.outbound.launch(link.window, now, |_| ())
        {
            let (packet_id, delivery) = (flight.packet_id, flight.delivery.clone());
            self.launch(now, packet_id, &delivery, false);
        }
    }

    /// Sends a message that is under way, unless it is over with that.
    fn launch(&mut self, now: Instant, packet_id: NonZeroU16, delivery: &Delivery, dup: bool) {
        let is_sent = self.send(now, delivery, Some(packet_id), dup);
        if !is_sent {
            self.give_up("the broker takes none so long");
        }
        if !is_sent || delivery.qos == Qos::AtMostOnce {
            self.outbound.end(packet_id, delivery.qos, Stage::Sent, |_| ());
        }
    }

    /// Sends a message; `false` if the broker takes none so long.
    fn send(&mut self, now: Instant, delivery: &Delivery, packet_id: Option<NonZeroU16>, dup: bool) -> bool {
        let (version, message) = (self.remote.version, &*delivery.message);
        let exchange = match (delivery.qos, packet_id) {
            (Qos::AtLeastOnce, Some(packet_id)) => Exchange::AtLeastOnce { packet_id, dup },
            (Qos::ExactlyOnce, Some(packet_id)) => Exchange::ExactlyOnce { packet_id, dup },
            _ => Exchange::AtMostOnce,
        };
        let mut properties: Vec<Property<'_>> = Vec::new();
        if version == Version::V5 {
            properties.extend(message.properties.iter().map(Kept::property));
            properties.extend(message.remaining(now).flatten().map(Property::MessageExpiryInterval));
        }
        let retain = delivery.retain && self.link.as_ref().is_some_and(|link| link.retain);
        let is_sent = self.say(
            now,
            &ClientPacket::Publish(Publish {
                delivery: exchange,
                retain,
                topic: &message.topic,
                properties: List::of(&properties),
                payload: &message.payload,
                following: 0,
            }),
        );
        let is_unspared = version < Version::V5 && self.private == Private::Refused;
        let comes_back =
            |rule: &super::rule::Rule| rule.inward && topic::matches(&rule.remote, &message.topic);
        if is_sent && is_unspared && self.remote.rules.iter().any(comes_back) {
            self.echoes.expect(now, &message.topic, &message.payload);
        }
        self.counts.sent += u64::from(is_sent && !dup);
        is_sent
    }

    pub(super) fn on_pubrec(&mut self, now: Instant, ack: &Ack<'_>) {
        if ack.reason.is_failure() {
            return self.on_end(now, ack, Qos::ExactlyOnce, Stage::Sent);
        }
        match self.outbound.release(ack.packet_id, |_| ()) {
            // One that is unknown has gone through both stages before.
            Answer::Awaited | Answer::Unknown => self.ack(now, ClientPacket::Pubrel, ack.packet_id),
            Answer::Wrong => self.end("the broker broke the protocol: PUBREC for QoS 1".to_owned()),
        }
    }

    /// The last answer to a message.
    pub(super) fn on_end(&mut self, now: Instant, ack: &Ack<'_>, qos: Qos, stage: Stage) {
        match self.outbound.end(ack.packet_id, qos, stage, |_| ()) {
            Answer::Awaited if ack.reason.is_failure() && stage == Stage::Sent => {
                self.give_up(format_args!("the broker says: {}", ack.reason));
            }
            Answer::Awaited | Answer::Unknown => {}
            Answer::Wrong => {
                self.end("the broker broke the protocol: an answer to what was not said".to_owned())
            }
        }
        self.pump(now);
    }
}
