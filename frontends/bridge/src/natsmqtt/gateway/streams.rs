//! The subscriptions at NATS: one for each different subject and queue group, whoever wants it.

use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::Upstream;
use super::session::{Grant, SessionId};

/// Whose messages come by which subscription of NATS.
#[derive(Debug)]
pub(super) struct Streams<S> {
    by_subject: HashMap<Key, S>,
    by_sid: FxHashMap<S, Stream>,
}

type Key = (Rc<str>, Option<Rc<str>>);

/// A subscription of NATS.
#[derive(Debug)]
pub(super) struct Stream {
    key: Key,
    pub(super) members: Vec<(SessionId, Rc<Grant>)>,
    /// Of a group: whose turn it is.
    pub(super) turn: usize,
}

impl Stream {
    /// Of its members only one gets each message.
    pub(super) fn is_shared(&self) -> bool {
        self.key.1.is_some()
    }
}

impl<S: Copy + Eq + Hash> Streams<S> {
    pub(super) fn new() -> Self {
        Self { by_subject: HashMap::new(), by_sid: FxHashMap::default() }
    }

    /// There is no subscription.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_sid.is_empty()
    }

    /// The members of a subscription.
    pub(super) fn stream_mut(&mut self, sid: S) -> Option<&mut Stream> {
        self.by_sid.get_mut(&sid)
    }

    /// Adds a member, and subscribes if it is the first one; `false` if there are too many subscriptions.
    pub(super) fn join<U: Upstream<Sid = S>>(
        &mut self,
        upstream: &mut U,
        subject: &str,
        group: Option<&str>,
        session: SessionId,
        grant: &Rc<Grant>,
    ) -> bool {
        let key: Key = (subject.into(), group.map(Into::into));
        let sid = match self.by_subject.get(&key) {
            Some(sid) => *sid,
            None => {
                let Some(sid) = upstream.subscribe(subject, group) else { return false };
                self.by_sid.insert(sid, Stream { key: key.clone(), members: Vec::new(), turn: 0 });
                self.by_subject.insert(key, sid);
                sid
            }
        };
        let Some(stream) = self.by_sid.get_mut(&sid) else { return false };
        stream.members.retain(|(member, old)| *member != session || old.filter != grant.filter);
        stream.members.push((session, grant.clone()));
        true
    }

    /// Takes a member away, and unsubscribes if it was the last one.
    pub(super) fn leave<U: Upstream<Sid = S>>(
        &mut self,
        upstream: &mut U,
        subject: &str,
        group: Option<&str>,
        session: SessionId,
        filter: &str,
    ) {
        let key: Key = (subject.into(), group.map(Into::into));
        let Some(sid) = self.by_subject.get(&key).copied() else { return };
        let Some(stream) = self.by_sid.get_mut(&sid) else { return };
        stream.members.retain(|(member, grant)| *member != session || *grant.filter != *filter);
        if stream.members.is_empty() {
            self.by_sid.remove(&sid);
            self.by_subject.remove(&key);
            upstream.unsubscribe(sid);
        }
    }
}
