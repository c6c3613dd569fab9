//! The MQTT server, without sockets: connections say packets, NATS says messages, and both are answered.
//!
//! Every message travels through NATS once, also from one device to another: published there with what MQTT knows of it in
//! [headers], and received by the subscriptions of this gateway, of which there is one for each different filter, whoever has
//! it. NATS does the matching; the gateway knows by the subscription whose message it is.
//!
//! A message with QoS 1 or 2 is acknowledged when NATS has it: after the [barrier](Upstream::barrier) behind it. If the server
//! was lost in between, it is not; the connection ends, and the client sends the message again, as the standard has it.
//!
//! Messages to a client are sent again when it comes back, and never before.
//!
//! Where there is a store, the gateway says what is to be [written](Gateway::next_batch) there, and hears that it [is](Gateway::written).
//! Nobody hears before then what would not be true after a crash: acknowledgements, and messages with QoS 2 by their packet identifiers.
//! A message with QoS 2 and what its sender must not send again are written together, as everything that comes of the one is
//! heard from NATS before the barrier behind it.

mod bridged;
mod clients;
mod connect;
mod deliver;
mod headers;
mod journal;
mod link;
pub(super) mod message;
pub(super) mod names;
mod publish;
mod record;
mod refusal;
mod restore;
mod retained;
pub(super) mod session;
pub(super) mod stored;
mod streams;
mod subscribe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::{ClientPacket, Connect, DecodeError, ReasonCode, ServerPacket, Version};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::path::Passed;
use super::settings::Limits;
use headers::Identity;
use journal::Journal;
use link::Link;
use message::Message;
use retained::Retained;
use session::{Grant, Session, SessionId};
use streams::Streams;

pub(super) use bridged::Brought;
pub(super) use deliver::Heard;
pub(super) use journal::Batch;
pub(super) use link::LinkId;
pub(super) use record::Epoch;
pub(super) use refusal::Refusal;

/// The gateway's way to NATS.
pub(super) trait Upstream {
    /// Names a point in the stream of publishes.
    type Barrier: Copy + Ord + Debug;
    /// Names a subscription.
    type Sid: Copy + Eq + Hash + Debug;

    /// There is a server now.
    fn is_ready(&self) -> bool;

    /// Publishes, or keeps the message until there is a server; `false` if there is no room for it, or the server takes none
    /// so large.
    fn publish(&mut self, subject: &str, reply: Option<&str>, header: &[u8], payload: &[u8]) -> bool;

    /// A point of which it will be [said](Gateway::reached) that the server has all that was published and subscribed before.
    fn barrier(&mut self) -> Self::Barrier;

    /// Subscribes, now and after every reconnect; `None` if there are too many subscriptions.
    fn subscribe(&mut self, subject: &str, queue: Option<&str>) -> Option<Self::Sid>;

    /// Ends a subscription.
    fn unsubscribe(&mut self, sid: Self::Sid);
}

/// The server.
#[derive(Debug)]
pub(super) struct Gateway<U: Upstream> {
    pub(super) upstream: U,
    limits: Limits,
    identity: Identity,
    links: FxHashMap<LinkId, Box<Link>>,
    sessions: FxHashMap<SessionId, Box<Session>>,
    clients: HashMap<Rc<str>, SessionId>,
    streams: Streams<U::Sid>,
    retained: Retained,
    journal: Journal,
    /// What is answered once NATS is there, in the order of the barriers.
    pending: VecDeque<(U::Barrier, Pending)>,
    /// Of what waits for the barriers up to this, something could not be written.
    unwritten: Option<U::Barrier>,
    /// Sessions of which something is to be done at a time.
    deadlines: BTreeSet<(Instant, SessionId)>,
    /// Wills that found no room.
    overdue: VecDeque<Message>,
    /// Sessions that NATS is to hear of again.
    unannounced: Vec<SessionId>,
    /// What bridges have brought.
    passed: Passed,
    last: u64,
}

/// What is answered once NATS is there.
#[derive(Debug)]
enum Pending {
    /// A message with QoS 1 or 2.
    Publish { link: LinkId, session: SessionId, packet_id: NonZeroU16, twice: bool },
    /// A `SUBSCRIBE`.
    Subscribe(Subscribed),
}

/// The answer to a `SUBSCRIBE`, and the subscriptions that get retained messages after it.
#[derive(Debug)]
struct Subscribed {
    session: SessionId,
    packet_id: NonZeroU16,
    reasons: Vec<ReasonCode>,
    /// Filters that are to be on disk first, and whether they are new.
    changed: Vec<Option<(Box<str>, bool)>>,
    /// Of what was refused: what was wrong with the first of it, in words.
    why: String,
    greeted: Vec<Rc<Grant>>,
}

impl<U: Upstream> Gateway<U> {
    /// A server without clients. `name` distinguishes it from other gateways: a NATS token. If there is a store, `to_write` wakes
    /// who writes there.
    pub(super) fn new(upstream: U, limits: Limits, name: String, to_write: Option<Rc<Notify>>) -> Self {
        Self {
            upstream,
            limits,
            identity: Identity::new(name.clone()),
            links: FxHashMap::default(),
            sessions: FxHashMap::default(),
            clients: HashMap::new(),
            streams: Streams::new(),
            retained: Retained::new(limits.retained, limits.retained_bytes),
            journal: Journal::new(to_write),
            pending: VecDeque::new(),
            unwritten: None,
            deadlines: BTreeSet::new(),
            overdue: VecDeque::new(),
            unannounced: Vec::new(),
            passed: Passed::new(name.clone().into()),
            last: 0,
        }
    }

    /// The subject to listen to for [`Gateway::answer`].
    pub(super) fn inboxes(&self) -> String {
        self.identity.inboxes()
    }

    /// A connection has come, and what it waits for between reads; `None` if there are too many.
    pub(super) fn open(&mut self, address: SocketAddr) -> Option<(LinkId, Rc<Notify>)> {
        if self.links.len() >= self.limits.connections {
            return None;
        }
        let (id, link) = (self.next_id(), Box::new(Link::new(address)));
        let wake = link.wake.clone();
        self.links.insert(id, link);
        Some((id, wake))
    }

    /// A packet has come that is no `CONNECT`.
    pub(super) fn take(&mut self, now: Instant, id: LinkId, packet: ClientPacket<'_>) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.closing) else { return };
        match (packet, link.session) {
            (ClientPacket::Publish(publish), Some(session)) => self.publish(now, id, session, &publish),
            (ClientPacket::Puback(ack), Some(session)) => self.on_puback(now, id, session, &ack),
            (ClientPacket::Pubrec(ack), Some(session)) => self.on_pubrec(now, id, session, &ack),
            (ClientPacket::Pubrel(ack), Some(session)) => self.on_pubrel(session, &ack),
            (ClientPacket::Pubcomp(ack), Some(session)) => self.on_pubcomp(now, id, session, &ack),
            (ClientPacket::Subscribe(subscribe), Some(session)) => {
                self.subscribe(now, session, &subscribe);
            }
            (ClientPacket::Unsubscribe(unsubscribe), Some(session)) => {
                self.unsubscribe(id, session, &unsubscribe);
            }
            (ClientPacket::Pingreq, Some(_)) => _ = link.say(&ServerPacket::Pingresp),
            (ClientPacket::Disconnect(disconnect), Some(session)) => {
                self.on_disconnect(now, id, session, &disconnect);
            }
            // Who named no method of authentication sends no AUTH, and a decoder whose limits are the same gives no pieces.
            _ => link.end(ReasonCode::ProtocolError),
        }
    }

    /// What came is no packet; the connection ends.
    pub(super) fn fail(&mut self, id: LinkId, error: DecodeError, version: Option<Version>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        // A stranger who speaks an unknown version hears of it in the words of 3.1.1 [3.1.1: MQTT-3.1.2-2]; what else a stranger
        // does wrong there are words for in 5.
        let is_answered = error == DecodeError::ProtocolVersion || version == Some(Version::V5);
        let refusal = match error {
            DecodeError::TooLarge => {
                Refusal::new(error.reason(), format!("a packet has {} bytes at most", self.limits.packet))
            }
            error => error.into(),
        };
        if link.session.is_none() && !link.closing && is_answered {
            link.version = version.unwrap_or(Version::V311);
            return link.refuse(refusal);
        }
        link.end(refusal);
    }

    /// The connection is to end for `reason`.
    pub(super) fn end(&mut self, id: LinkId, refusal: impl Into<Refusal>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.end(refusal);
        }
    }

    /// Who connects on this link may not.
    pub(super) fn reject(&mut self, id: LinkId, connect: &Connect<'_>, refusal: Refusal) {
        if let Some(link) = self.links.get_mut(&id) {
            link.version = connect.version;
            link.set_limits(connect.properties, 0, 0);
            link.refuse(refusal);
        }
    }

    /// What a connection has said is not answered, or the answers are not read: more of it is not to be heard now.
    pub(super) fn is_ahead(&self, id: LinkId) -> bool {
        /// `SUBSCRIBE`s under way; a client that waits for its answers has one.
        const MOST: usize = 64;
        let is_ahead = |link: &Link| link.unsubscribed >= MOST || link.pending() >= self.limits.output;
        self.links.get(&id).is_some_and(|link| is_ahead(link))
    }

    /// Bytes to write on a connection, which it takes from here, and whether it ends after them.
    pub(super) fn output(&mut self, id: LinkId) -> Option<(&mut Vec<u8>, bool)> {
        self.links.get_mut(&id).map(|link| link.output())
    }

    /// Nothing more is said on a connection than what is on its way already.
    pub(super) fn is_closing(&self, id: LinkId) -> bool {
        self.links.get(&id).is_none_or(|link| link.closing)
    }

    /// All bytes on their way to a connection are written: what waits for that goes on.
    pub(super) fn sent(&mut self, now: Instant, id: LinkId) {
        if let Some(session) = self.links.get(&id).and_then(|link| link.session) {
            self.pump(now, session);
        }
    }

    /// The connection is no more.
    pub(super) fn closed(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        if let Some(session) = link.session {
            self.leave(now, session, id, link.ended.as_ref());
        }
    }

    /// NATS has all that was published before `barrier`, at the time that `epoch` tells of. Unless that is `certain`, some of it may
    /// be lost.
    pub(super) fn reached(&mut self, now: Instant, epoch: Epoch, barrier: U::Barrier, certain: bool) {
        while let Some((behind, pending)) = self.pending.pop_front_if(|(behind, _)| *behind <= barrier) {
            self.retry(behind);
            match pending {
                Pending::Publish { link, session, packet_id, twice } if !certain => {
                    self.doubted(link, session, packet_id, twice);
                }
                Pending::Publish { session, packet_id, twice: true, .. } => {
                    self.received(session, packet_id);
                    self.settle(now, pending);
                }
                pending => self.settle(now, pending),
            }
        }
        // Nothing of what was published after it was heard yet.
        self.cut_now(epoch);
        while let Some(will) = self.overdue.pop_front() {
            if !self.offer(now, &will) {
                self.overdue.push_front(will);
                break;
            }
        }
    }

    /// There is no server now. Subscriptions will be made when there is one again, which nobody need wait for.
    pub(super) fn lost(&mut self, now: Instant) {
        let (subscribes, publishes) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(_, pending)| matches!(pending, Pending::Subscribe(_)));
        self.pending = publishes;
        for (behind, pending) in subscribes {
            self.retry(behind);
            self.settle(now, pending);
        }
    }

    /// What waits for this barrier is not answered as if all was well, if it is not: what could not be written then is tried again.
    fn retry(&mut self, behind: U::Barrier) {
        if self.unwritten.is_some_and(|until| behind <= until) {
            self.journal.retry();
        }
    }

    /// Answers, once what has come of it is on disk.
    fn settle(&mut self, now: Instant, pending: Pending) {
        let is_kept = match &pending {
            Pending::Publish { .. } => true,
            Pending::Subscribe(Subscribed { changed, .. }) => changed.iter().any(Option::is_some),
        };
        let now_due = if is_kept { self.journal.wait(pending) } else { Some(pending) };
        now_due.into_iter().for_each(|pending| self.answer_pending(now, pending));
    }

    fn answer_pending(&mut self, now: Instant, pending: Pending) {
        match pending {
            Pending::Publish { link, session, packet_id, twice } => {
                self.taken(link, session, packet_id, twice)
            }
            Pending::Subscribe(subscribed) => self.subscribed(now, subscribed),
        }
    }

    /// What is to be written now, all of it or nothing; [`written`](Self::written) is to be called next. There is nothing while a
    /// message with QoS 2 is on its way, of which only some may have been heard.
    pub(super) fn next_batch(&mut self, epoch: Epoch) -> Option<Batch> {
        let is_under_way =
            |(_, pending): &(_, Pending)| matches!(pending, Pending::Publish { twice: true, .. });
        if !self.upstream.is_ready() || !self.pending.iter().any(is_under_way) {
            self.cut_now(epoch);
        }
        self.journal.take()
    }

    /// There is something to write, or being written.
    pub(super) fn has_to_write(&self) -> bool {
        self.journal.point().is_some()
    }

    /// What was to be written is, or could not be and is given back.
    pub(super) fn written(&mut self, now: Instant, given_back: Option<Batch>) {
        let is_written = given_back.is_none();
        if !is_written {
            self.unwritten = self.pending.back().map(|(behind, _)| *behind).or(self.unwritten);
        }
        let point = self.journal.written(given_back);
        while let Some(pending) = self.journal.next_waiting(point) {
            match pending {
                pending if is_written => self.answer_pending(now, pending),
                Pending::Publish { link, session, packet_id, twice } => {
                    self.not_kept(link, session, packet_id, twice);
                }
                Pending::Subscribe(subscribed) => self.not_subscribed(subscribed),
            }
        }
        while let Some(id) = self.journal.next_held(point) {
            self.links.get_mut(&id).into_iter().for_each(|link| link.release(point));
        }
    }

    /// The process is about to end: every client is told, and none of their wills is published.
    pub(super) fn shut_down(&mut self) {
        for link in self.links.values_mut() {
            link.end(ReasonCode::ServerShuttingDown);
        }
        self.unannounced = Vec::new();
        let here: Vec<SessionId> = self.links.values().filter_map(|link| link.session).collect();
        for id in here {
            self.sessions.get_mut(&id).into_iter().for_each(|session| session.will = None);
            self.note_session(id);
        }
    }

    /// There are connections, be it that they end.
    pub(super) fn has_connections(&self) -> bool {
        !self.links.is_empty()
    }

    /// The next time at which [`Gateway::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Time has passed: wills are published, sessions end.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some((_, session)) = self.deadlines.first().filter(|(at, _)| *at <= now).copied() {
            self.expire(now, session);
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The session and the link that it has now.
    fn linked(&mut self, id: SessionId) -> Option<(&mut Session, Option<&mut Link>)> {
        linked(&mut self.sessions, &mut self.links, id)
    }
}

fn linked<'g>(
    sessions: &'g mut FxHashMap<SessionId, Box<Session>>,
    links: &'g mut FxHashMap<LinkId, Box<Link>>,
    id: SessionId,
) -> Option<(&'g mut Session, Option<&'g mut Link>)> {
    let session = sessions.get_mut(&id)?;
    let link = session.link.and_then(|link| links.get_mut(&link));
    Some((session, link.map(|link| &mut **link)))
}
