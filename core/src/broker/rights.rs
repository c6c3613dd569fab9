//! What a client may do, asked where it does it. Who may do everything is not asked about.

use super::client::ClientId;
use super::memory::{Memory, Tables};
use super::permission::Queue;
use super::pool::{NONE, at, at_mut};
use super::reply::Grant;
use super::turn::Turn;
use super::user::{Permissions, UserId};
use super::{Broker, Machine};
use crate::time::Instant;

/// What there is to ask about a client at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    /// It may not publish everything.
    pub(super) publish: bool,
    /// It may not subscribe to everything.
    pub(super) subscribe: bool,
    /// Not all that its subscriptions match is for it.
    pub(super) filter: bool,
    /// It may answer what it may not publish.
    pub(super) answer: bool,
    /// What it last published, which it may.
    recent: Recent,
}

impl Rights {
    pub(super) const ALL: Self =
        Self { publish: false, subscribe: false, filter: false, answer: false, recent: Recent::NOTHING };

    pub(super) fn of(permissions: &Permissions<'_>) -> Self {
        let publish = !permissions.publish.is_all();
        Self {
            publish,
            subscribe: !permissions.subscribe.is_all(),
            answer: publish && permissions.responses.is_some(),
            ..Self::ALL
        }
    }
}

/// A short subject.
#[derive(Clone, Copy, Debug)]
struct Recent {
    /// 0 for none.
    len: u8,
    bytes: [u8; Recent::MOST],
}

impl Recent {
    const MOST: usize = 47;
    const NOTHING: Self = Self { len: 0, bytes: [0; Self::MOST] };

    fn is(&self, subject: &[u8]) -> bool {
        usize::from(self.len) == subject.len() && self.bytes.get(..subject.len()) == Some(subject)
    }

    fn set(&mut self, subject: &[u8]) {
        if let Some(place) = self.bytes.get_mut(..subject.len()) {
            place.copy_from_slice(subject);
            self.len = subject.len() as u8;
        }
    }
}

impl<M: Memory> Turn<'_, M> {
    /// Whether a client whose [`Rights::publish`] are not all may publish to `subject`.
    pub(super) fn may_publish(&mut self, client: ClientId, subject: &[u8]) -> bool {
        let Broker { memory, machine } = &mut *self.broker;
        let Some(slot) = at(memory.tables().clients, client.index()) else { return false };
        if slot.rights.recent.is(subject) {
            return true;
        }
        let (user, answer, number) = (slot.user, slot.rights.answer, slot.answerer());
        let may = may_publish(memory, user, subject);
        let mut tables = memory.tables();
        if may && let Some(slot) = at_mut(tables.clients, client.index()) {
            slot.rights.recent.set(subject);
        }
        may || answer
            && machine.replies.take(&mut tables, &mut machine.router.chunks, self.now, number, subject)
    }

    /// Whether a client whose [`Rights::subscribe`] are not all may subscribe to `pattern`.
    pub(super) fn may_subscribe(&mut self, client: ClientId, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let memory = &mut self.broker.memory;
        let Some(slot) = at(memory.tables().clients, client.index()) else { return false };
        let user = slot.user;
        let Some(user) = memory.user(UserId::new(user)) else { return false };
        let subjects = user.permissions.subscribe;
        let may = subjects.may_subscribe(pattern, queue);
        let filter = may && subjects.may_withhold(pattern, queue.is_some());
        if let Some(slot) = at_mut(memory.tables().clients, client.index()) {
            slot.rights.filter |= filter;
        }
        may
    }
}

fn may_publish(memory: &impl Memory, user: u32, subject: &[u8]) -> bool {
    memory.user(UserId::new(user)).is_some_and(|user| user.permissions.publish.may_publish(subject))
}

/// Whether deliveries to the client have to be asked about.
#[inline]
pub(super) fn is_filtered(tables: &Tables<'_>, client: u32) -> bool {
    at(tables.clients, client).is_some_and(|slot| slot.rights.filter)
}

/// Whether a message is withheld from a client that [`is_filtered`], as a member of `group` if there is one.
pub(super) fn is_withheld(memory: &mut impl Memory, client: u32, group: Option<u32>, subject: &[u8]) -> bool {
    let mut name = [0; 128];
    let tables = memory.tables();
    let Some(user) = at(tables.clients, client).map(|slot| slot.user) else { return true };
    let queue = match group.and_then(|group| at(tables.groups, group)) {
        None => None,
        Some(group) => {
            let mut len = 0;
            for part in group.name.parts(tables.chunks) {
                if let Some(place) = name.get_mut(len..len + part.len()) {
                    place.copy_from_slice(part);
                }
                len += part.len();
            }
            Some(name.get(..len).map_or(Queue::Long, Queue::Whole))
        }
    };
    memory.user(UserId::new(user)).is_none_or(|user| user.permissions.subscribe.withholds(subject, queue))
}

impl Machine {
    /// Remembers that a client was asked something, if that is what allows it to answer.
    pub(super) fn let_answer(&mut self, memory: &mut impl Memory, now: Instant, client: u32, reply: &[u8]) {
        let tables = memory.tables();
        let Some(slot) = at(tables.clients, client).filter(|slot| slot.user != NONE) else { return };
        let (user, number) = (slot.user, slot.answerer());
        let Some(permissions) = memory.user(UserId::new(user)).map(|user| user.permissions) else { return };
        let Some(responses) = permissions.responses.filter(|_| !permissions.publish.may_publish(reply))
        else {
            return;
        };
        let until = responses.expires.map(|span| now + span);
        let grant = Grant { number, subject: reply, max: responses.max, until };
        self.replies.grant(memory, &mut self.router.chunks, now, grant);
    }
}
