//! Subscriptions [MQTT 5: 3.8 to 3.11].

use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::{
    List, ReasonCode, RetainHandling, ServerPacket, Suback, Subscribe, Subscription, Unsuback, Unsubscribe,
    topic,
};

use super::link::{self, LinkId};
use super::record::Key;
use super::refusal::{Refusal, quoted};
use super::session::{Delivery, Grant, SessionId};
use super::{Gateway, Pending, Subscribed, Upstream, names};

/// What a filter is at NATS: a queue group if it is shared, and one or two patterns.
fn at_nats(filter: &str) -> Result<(Option<&str>, Vec<String>), Refusal> {
    let (group, filter) = match topic::shared(filter) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, filter),
    };
    // What a word of a NATS line can be.
    if group.is_some_and(|group| group.len() > 256 || group.bytes().any(|byte| byte <= b' ' || byte == 0x7f))
    {
        let words = "a queue group of NATS has neither blanks nor control characters, and 256 bytes at most";
        return Err(Refusal::new(ReasonCode::TopicFilterInvalid, words));
    }
    Ok((group, names::patterns(filter)?))
}

impl<U: Upstream> Gateway<U> {
    pub(super) fn subscribe(&mut self, now: Instant, id: SessionId, subscribe: &Subscribe<'_>) {
        let identifier = link::identifier(subscribe.properties);
        let is_bridge = self.sessions.get(&id).is_some_and(|session| session.is_bridge);
        let mut subscribed = Subscribed {
            session: id,
            packet_id: subscribe.packet_id,
            reasons: Vec::new(),
            changed: Vec::new(),
            why: String::new(),
            greeted: Vec::new(),
        };
        for subscription in subscribe.subscriptions {
            let before =
                self.sessions.get(&id).and_then(|session| session.subscriptions.get(subscription.filter));
            let (before, age) = (before.cloned(), before.map(|before| before.age));
            let grant = Rc::new(Grant {
                filter: subscription.filter.into(),
                age: age.unwrap_or_else(|| self.next_id()),
                qos: subscription.qos,
                no_local: subscription.no_local || is_bridge,
                retain_as_published: subscription.retain_as_published || is_bridge,
                identifier,
            });
            let granted = self.grant(id, &grant);
            let is_stored = self.sessions.get(&id).is_some_and(|session| session.is_stored);
            let is_changed = is_stored && before.is_none_or(|before| before != grant);
            subscribed.changed.push(granted.as_ref().ok().filter(|_| is_changed).map(|is_new| {
                let key = Key::Subscription(id, grant.filter.clone());
                if *is_new {
                    self.journal.add(key)
                } else {
                    self.journal.change(key)
                }
                (grant.filter.clone(), *is_new)
            }));
            match granted {
                Ok(is_new) => {
                    subscribed.reasons.push(subscription.qos.into());
                    if wants_retained(&subscription, is_new) {
                        subscribed.greeted.push(grant);
                    }
                }
                Err(refusal) => {
                    subscribed.reasons.push(refusal.reason());
                    if subscribed.why.is_empty() {
                        subscribed.why = refusal.about(subscription.filter).text().into_owned();
                    }
                }
            }
        }
        if !self.upstream.is_ready() {
            return self.settle(now, Pending::Subscribe(subscribed));
        }
        if let Some((_, Some(link))) = self.linked(id) {
            link.unsubscribed += 1;
        }
        let barrier = self.upstream.barrier();
        self.pending.push_back((barrier, Pending::Subscribe(subscribed)));
    }

    /// Makes a subscription, or changes one; whether it is new.
    pub(super) fn grant(&mut self, id: SessionId, grant: &Rc<Grant>) -> Result<bool, Refusal> {
        let (group, patterns) = at_nats(&grant.filter)?;
        let session = self.sessions.get_mut(&id).ok_or(ReasonCode::UnspecifiedError)?;
        let filter = topic::shared(&grant.filter).map_or(&*grant.filter, |(_, filter)| filter);
        if !session.rules.may_subscribe(filter) {
            return Err(Refusal::new(ReasonCode::NotAuthorized, "this user may not subscribe to it"));
        }
        let is_new = !session.subscriptions.contains_key(&grant.filter);
        if is_new && session.subscriptions.len() >= self.limits.subscriptions {
            let words = format!("{} subscriptions are the most of one client", self.limits.subscriptions);
            return Err(Refusal::new(ReasonCode::QuotaExceeded, words));
        }
        for pattern in &patterns {
            if !self.streams.join(&mut self.upstream, pattern, group, id, grant) {
                self.leave_streams(id, grant);
                let words = "there are too many different filters of all clients";
                return Err(Refusal::new(ReasonCode::QuotaExceeded, words));
            }
        }
        let session = self.sessions.get_mut(&id).ok_or(ReasonCode::UnspecifiedError)?;
        session.subscriptions.insert(grant.filter.clone(), grant.clone());
        Ok(is_new)
    }

    /// Takes a session out of the streams of one of its subscriptions.
    pub(super) fn leave_streams(&mut self, id: SessionId, grant: &Grant) {
        let Ok((group, patterns)) = at_nats(&grant.filter) else { return };
        for pattern in &patterns {
            self.streams.leave(&mut self.upstream, pattern, group, id, &grant.filter);
        }
    }

    /// NATS knows of the subscriptions: says so, and sends what is retained.
    pub(super) fn subscribed(&mut self, now: Instant, subscribed: Subscribed) {
        let Subscribed { session: id, packet_id, reasons, why, greeted, .. } = subscribed;
        let Some((session, Some(link))) = self.linked(id) else { return };
        link.unsubscribed = link.unsubscribed.saturating_sub(1);
        let rules = session.rules.clone();
        let suback = Suback { packet_id, properties: List::EMPTY, reasons: List::of(&reasons) };
        link.say_why(ServerPacket::Suback(suback), &why);
        // What was ended meanwhile is not greeted any more.
        let still = |grant: &Rc<Grant>| {
            session.subscriptions.get(&grant.filter).is_some_and(|current| Rc::ptr_eq(current, grant))
        };
        let greeted: Vec<Rc<Grant>> = greeted.into_iter().filter(still).collect();
        for grant in greeted {
            let kept: Vec<Delivery> = self
                .retained
                .matching(now, &grant.filter)
                .filter(|message| rules.may_receive(&message.topic))
                .map(|message| Delivery {
                    number: 0,
                    message: message.clone(),
                    qos: message.qos.min(grant.qos),
                    retain: true,
                    identifiers: grant.identifier.into_iter().collect(),
                })
                .collect();
            kept.into_iter().for_each(|delivery| self.deliver(now, id, delivery));
        }
    }

    /// What is to be on disk of subscriptions could not be written: new ones there are none.
    pub(super) fn not_subscribed(&mut self, subscribed: Subscribed) {
        let Subscribed { session: id, packet_id, mut reasons, changed, .. } = subscribed;
        for (reason, changed) in reasons.iter_mut().zip(changed) {
            let Some((filter, is_new)) = changed else { continue };
            *reason = ReasonCode::QuotaExceeded;
            let session = self.sessions.get_mut(&id).filter(|_| is_new);
            if let Some(grant) = session.and_then(|session| session.subscriptions.remove(&filter)) {
                self.leave_streams(id, &grant);
                self.journal.change(Key::Subscription(id, filter));
            }
        }
        let Some((_, Some(link))) = self.linked(id) else { return };
        let suback = Suback { packet_id, properties: List::EMPTY, reasons: List::of(&reasons) };
        link.unsubscribed = link.unsubscribed.saturating_sub(1);
        link.say_why(ServerPacket::Suback(suback), "the store cannot be written");
    }

    pub(super) fn unsubscribe(&mut self, id: LinkId, session: SessionId, unsubscribe: &Unsubscribe<'_>) {
        let (mut reasons, mut why) = (Vec::new(), None);
        for filter in unsubscribe.filters {
            let found =
                self.sessions.get_mut(&session).and_then(|session| session.subscriptions.remove(filter));
            reasons.push(match &found {
                Some(_) => ReasonCode::Success,
                None => {
                    why.get_or_insert_with(|| format!("{}: there was no such subscription", quoted(filter)));
                    ReasonCode::NoSubscriptionExisted
                }
            });
            if let Some(grant) = found {
                self.leave_streams(session, &grant);
                if self.sessions.get(&session).is_some_and(|session| session.is_stored) {
                    self.journal.change(Key::Subscription(session, grant.filter.clone()));
                }
            }
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if self.sessions.get(&session).is_some_and(|session| session.is_stored) {
            self.journal.hold(id, link);
        }
        let packet_id = unsubscribe.packet_id;
        let unsuback = Unsuback { packet_id, properties: List::EMPTY, reasons: List::of(&reasons) };
        link.say_why(ServerPacket::Unsuback(unsuback), &why.unwrap_or_default());
    }
}

/// [MQTT-3.3.1-9 to 11]; of what is shared nothing is sent [MQTT 5: 4.8.2].
fn wants_retained(subscription: &Subscription<'_>, is_new: bool) -> bool {
    !topic::is_shared(subscription.filter)
        && match subscription.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        }
}
