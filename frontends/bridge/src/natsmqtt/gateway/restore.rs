//! The gateway's state out of what is on disk, and its records as they are now.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::rc::Rc;

use lunix_core::time::Instant;

use super::message::Message;
use super::record::{self, Epoch, Key};
use super::session::SessionId;
use super::{Gateway, Upstream};
use crate::natsmqtt::rules::Rules;

/// A record that is none: the store is damaged, or somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsmqtt) struct Damaged;

/// A gateway that is being restored, record by record, in the order of their keys.
pub(in crate::natsmqtt) struct Restoring<'g, U: Upstream, R> {
    gateway: &'g mut Gateway<U>,
    now: Instant,
    epoch: Epoch,
    rules: R,
    messages: HashMap<u64, Rc<Message>>,
    /// Packet identifiers that are in use.
    flights: HashSet<(SessionId, NonZeroU16)>,
}

impl<U: Upstream> Gateway<U> {
    /// Restores what a gateway before this one has kept. `rules` says what a user may do, if there is one of that name.
    pub(in crate::natsmqtt) fn restore<R: Fn(Option<&str>) -> Option<Rc<Rules>>>(
        &mut self,
        now: Instant,
        epoch: Epoch,
        rules: R,
    ) -> Restoring<'_, U, R> {
        Restoring { gateway: self, now, epoch, rules, messages: HashMap::new(), flights: HashSet::new() }
    }

    /// What has changed is to be written as it is now.
    pub(super) fn cut_now(&mut self, epoch: Epoch) {
        let Self { journal, sessions, retained, .. } = self;
        let session = |id: &SessionId| sessions.get(id).filter(|session| session.is_stored);
        journal.cut(|journal, key| match key {
            Key::Message(number) => {
                journal.message(*number).map(|message| record::of_message(message, epoch))
            }
            Key::Session(id) => session(id).map(|session| record::of_session(session, epoch)),
            Key::Subscription(id, filter) => {
                session(id)?.subscriptions.get(filter).map(|grant| record::of_grant(grant))
            }
            Key::Received(id, packet_id) => session(id)?.received.contains(packet_id).then(Vec::new),
            Key::Delivery(id, number) => {
                let (delivery, flight) = session(id)?.outbound.find(*number)?;
                Some(record::of_delivery(delivery, flight))
            }
            Key::Retained(topic) => retained.stored(topic).map(|message| record::of_message(message, epoch)),
        });
    }
}

impl<U: Upstream, R: Fn(Option<&str>) -> Option<Rc<Rules>>> Restoring<'_, U, R> {
    /// Takes a record in. One that is of no use any more, as its user or a limit is not what it was, is removed.
    ///
    /// # Errors
    /// It is no record.
    pub(in crate::natsmqtt) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        let key = Key::decode(key).ok_or(Damaged)?;
        if !self.is_used(key.clone(), value).ok_or(Damaged)? {
            self.gateway.journal.change(key);
        }
        Ok(())
    }

    /// Whether a record is of use; `None` if it is none.
    fn is_used(&mut self, key: Key, value: &[u8]) -> Option<bool> {
        let Self { gateway, now, epoch, .. } = self;
        let limits = gateway.limits;
        Some(match key {
            Key::Message(number) => {
                gateway.last = gateway.last.max(number);
                self.messages.insert(number, Rc::new(record::to_message(value, number, *epoch)?));
                true
            }
            Key::Session(id) => {
                let mut session = record::to_session(value, *now, *epoch)?;
                gateway.last = gateway.last.max(id);
                let Some(rules) = (self.rules)(session.user.as_deref()) else { return Some(false) };
                if gateway.sessions.len() >= limits.sessions || gateway.clients.contains_key(&session.client)
                {
                    return Some(false);
                }
                session.rules = rules;
                session.deadline().into_iter().for_each(|at| _ = gateway.deadlines.insert((at, id)));
                gateway.clients.insert(session.client.clone(), id);
                gateway.sessions.insert(id, Box::new(session));
                // Since when it has no connection is known only now.
                gateway.journal.change(key);
                true
            }
            Key::Subscription(id, filter) => {
                let grant = Rc::new(record::to_grant(value, filter)?);
                gateway.last = gateway.last.max(grant.age);
                gateway.grant(id, &grant).is_ok()
            }
            Key::Received(id, packet_id) => {
                gateway.sessions.get_mut(&id).map(|session| session.received.insert(packet_id)).is_some()
            }
            Key::Delivery(id, number) => {
                gateway.last = gateway.last.max(number);
                let find = |number| self.messages.get(&number).cloned();
                let (delivery, flight) = record::to_delivery(value, number, find)?;
                if !flight.is_none_or(|(packet_id, _)| self.flights.insert((id, packet_id))) {
                    return None;
                }
                let message = delivery.message.clone();
                let taken = gateway.sessions.get_mut(&id).is_some_and(|session| {
                    session.outbound.restore(delivery, flight, limits.queue, limits.queue_bytes)
                });
                if taken {
                    gateway.journal.restore_delivery(&message);
                }
                taken
            }
            Key::Retained(topic) => {
                let number = gateway.next_id();
                let message = record::to_message(value, number, *epoch)?;
                if message.topic != topic || message.payload.is_empty() {
                    return None;
                }
                let Gateway { retained, journal, .. } = &mut **gateway;
                let expired = |expired: &Message| journal.change(Key::Retained(expired.topic.clone()));
                let is_used = message.remaining(*now).is_some() && retained.admits(*now, &message, expired);
                if is_used {
                    retained.set(Rc::new(message));
                }
                is_used
            }
        })
    }

    /// That was all: what no session has any more is removed.
    pub(in crate::natsmqtt) fn finish(self) {
        let journal = &mut self.gateway.journal;
        for number in self.messages.into_keys() {
            if journal.message(number).is_none() {
                journal.change(Key::Message(number));
            }
        }
    }
}
