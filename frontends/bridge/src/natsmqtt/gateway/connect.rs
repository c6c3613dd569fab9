//! The beginning and the end of connections and sessions [MQTT 5: 3.1, 3.2, 3.14, 4.1].

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{Ack, Connack, Connect, Disconnect, Property, ReasonCode, ServerPacket, Version};

use super::clients::Peer;
use super::link::LinkId;
use super::message::{Kept, Message, Properties};
use super::record::Key;
use super::refusal::{Refusal, quoted};
use super::session::{Session, SessionId, Stage, Will};
use super::{Gateway, Upstream, linked, publish};
use crate::natsmqtt::path::SITE;
use crate::natsmqtt::rules::Rules;
use crate::natsmqtt::settings::LONGEST_PACKET;

/// The longest client identifier, in bytes: sessions are kept by them, and NATS hears them. Servers must take 23 [MQTT-3.1.3-5].
pub(super) const LONGEST_CLIENT: usize = 1024;

/// What stands for "for ever" in a session expiry interval [MQTT 5: 3.1.2.11.2].
const FOR_EVER: u32 = u32::MAX;

impl<U: Upstream> Gateway<U> {
    /// A client connects that is `user`, if that was verified, and may do what `rules` say.
    pub(in crate::natsmqtt) fn connect(
        &mut self,
        now: Instant,
        id: LinkId,
        connect: Connect<'_>,
        rules: Rc<Rules>,
        user: Option<&str>,
    ) {
        let asked = self.look_at(&connect, &rules);
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.closing) else { return };
        link.version = connect.version;
        link.set_limits(connect.properties, self.limits.inflight, self.limits.aliases);
        let will = match asked {
            Ok(will) => will,
            Err(refusal) => return link.refuse(refusal),
        };
        let peer = Peer::new(user, link.address, &connect);
        let assigned = connect.client_id.is_empty().then(name);
        let client = assigned.as_deref().unwrap_or(connect.client_id);
        let found = self.take_over(now, client, connect.clean_start);
        let is_present = found.is_some();
        let session = match found {
            Some(session) => session,
            None => {
                let session = self.next_id();
                let client: Rc<str> = client.into();
                self.clients.insert(client.clone(), session);
                self.sessions.insert(session, Box::new(Session::new(client)));
                session
            }
        };
        self.keep_deadline(session, |session| {
            (session.link, session.will, session.rules) = (Some(id), will, rules);
            (session.user, session.peer) = (user.map(Into::into), Some(peer));
            (session.will_at, session.ends_at) = (None, None);
            session.is_bridge = connect.bridge;
        });
        self.welcome(now, id, session, &connect, assigned.as_deref(), is_present);
    }

    /// The will, if all is well with what a client wants.
    fn look_at(&self, connect: &Connect<'_>, rules: &Rules) -> Result<Option<Will>, Refusal> {
        let is_known = self.clients.contains_key(connect.client_id);
        if connect.client_id.is_empty()
            && connect.version < Version::V5
            && (connect.version == Version::V31 || !connect.clean_start)
        {
            let words = "before MQTT 5 only a clean session can be without a name";
            return Err(Refusal::new(ReasonCode::ClientIdentifierNotValid, words));
        }
        if connect.client_id.len() > LONGEST_CLIENT {
            let words = format!("client identifiers have {LONGEST_CLIENT} bytes at most");
            return Err(Refusal::new(ReasonCode::ClientIdentifierNotValid, words));
        }
        if !is_known && self.sessions.len() >= self.limits.sessions {
            let words = format!("{} sessions are the most that are kept", self.limits.sessions);
            return Err(Refusal::new(ReasonCode::QuotaExceeded, words));
        }
        let Some(will) = connect.will else { return Ok(None) };
        publish::may_publish(rules, will.topic).map_err(|refusal| refusal.about("the will"))?;
        let (mut delay, mut expiry) = (Duration::ZERO, None);
        for property in will.properties {
            match property {
                Property::WillDelayInterval(seconds) => delay = Duration::from_secs(seconds.into()),
                Property::MessageExpiryInterval(seconds) => expiry = Some(seconds),
                _ => {}
            }
        }
        let message = Message {
            topic: will.topic.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            properties: Kept::of(will.properties),
            ..Message::default()
        };
        Ok(Some(Will { message, delay, expiry }))
    }

    /// The session of `client` if it goes on; its connection, if it has one, does not.
    fn take_over(&mut self, now: Instant, client: &str, clean_start: bool) -> Option<SessionId> {
        let id = *self.clients.get(client)?;
        let session = self.sessions.get_mut(&id)?;
        let before = session.link.take();
        if let Some(link) = before.and_then(|link| self.links.get_mut(&link)) {
            let words = "another connection has the same client identifier";
            link.end(Refusal::new(ReasonCode::SessionTakenOver, words));
            link.session = None;
            let why = link.ended.clone();
            self.say_disconnected(now, id, why.as_ref());
        }
        let session = self.sessions.get_mut(&id)?;
        let is_over = clean_start || before.is_some() && session.expiry.is_zero();
        if before.is_some() {
            // A will that waits does not come, if the session goes on [MQTT-3.1.3-9].
            let will = session.will.take().filter(|will| is_over || will.delay.is_zero());
            will.into_iter().for_each(|will| self.publish_will(now, will));
        }
        if is_over {
            self.end_session(now, id);
            return None;
        }
        Some(id)
    }

    /// Says `CONNACK`, and after it what the client has not acknowledged and what waits for it.
    fn welcome(
        &mut self,
        now: Instant,
        id: LinkId,
        session: SessionId,
        connect: &Connect<'_>,
        assigned: Option<&str>,
        is_present: bool,
    ) {
        let limits = self.limits;
        let site = self.passed.site().clone();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.session = Some(session);
        let Self { links, sessions, journal, .. } = self;
        let session_id = session;
        let Some((session, Some(link))) = linked(sessions, links, session) else { return };
        let mut properties = Vec::new();
        let is_site = |property| matches!(property, Property::UserProperty(SITE, _));
        if connect.properties.iter().any(is_site) {
            properties.push(Property::UserProperty(SITE, &site));
        }
        let asked = asked_expiry(connect);
        session.expiry = asked.min(limits.expiry);
        let was_stored =
            std::mem::replace(&mut session.is_stored, journal.is_on() && !session.expiry.is_zero());
        match (was_stored, session.is_stored) {
            (true, false) => journal.end_session(session_id, session),
            (true, true) => journal.change(Key::Session(session_id)),
            (false, true) => journal.add(Key::Session(session_id)),
            (false, false) => {}
        }
        journal.hold(id, link);
        if connect.version == Version::V5 {
            if session.expiry < asked {
                let seconds = u32::try_from(session.expiry.as_secs()).unwrap_or(FOR_EVER);
                properties.push(Property::SessionExpiryInterval(seconds));
            }
            if limits.aliases > 0 {
                properties.push(Property::TopicAliasMaximum(limits.aliases));
            }
            properties.extend(assigned.map(Property::AssignedClientIdentifier));
            if limits.packet < LONGEST_PACKET {
                let packet = u32::try_from(limits.packet).ok().and_then(NonZeroU32::new);
                properties.extend(packet.map(Property::MaximumPacketSize));
            }
            properties.extend(NonZeroU16::new(limits.inflight).map(Property::ReceiveMaximum));
            properties.extend(limits.keep_alive(connect).1.map(Property::ServerKeepAlive));
        }
        let said = link.say(&ServerPacket::Connack(Connack {
            session_present: is_present && connect.version > Version::V31,
            reason: ReasonCode::Success,
            properties: Properties::of(&properties),
        }));
        if !said {
            return link.close();
        }
        link.unanswered = u16::try_from(session.received.len()).unwrap_or(u16::MAX);
        for flight in session.outbound.flights() {
            match flight.stage {
                Stage::Sent => _ = link.send(&flight.delivery, Some(flight.packet_id), true, now),
                Stage::Released => _ = link.say(&ServerPacket::Pubrel(Ack::new(flight.packet_id))),
            }
        }
        let Some(session) = link.session else { return };
        self.say_connected(now, session);
        self.pump(now, session);
    }

    pub(super) fn on_disconnect(
        &mut self,
        now: Instant,
        id: LinkId,
        session: SessionId,
        disconnect: &Disconnect<'_>,
    ) {
        let most = self.limits.expiry;
        let Some((session, Some(link))) = self.linked(session) else { return };
        for property in disconnect.properties {
            if let Property::SessionExpiryInterval(seconds) = property {
                // What is not to be kept cannot be kept after all [MQTT-3.14.2-2].
                if session.expiry.is_zero() && seconds > 0 {
                    let words = "a session that was not to be kept cannot be kept after all";
                    return link.end(Refusal::new(ReasonCode::ProtocolError, words));
                }
                session.expiry = Duration::from_secs(seconds.into()).min(most);
            }
        }
        if disconnect.reason == ReasonCode::NORMAL_DISCONNECTION {
            session.will = None;
        }
        link.close();
        let Some(session) = link.session.take() else { return };
        self.leave(now, session, id, Some(&farewell(disconnect)));
    }

    /// The session's connection has ended.
    pub(super) fn leave(&mut self, now: Instant, id: SessionId, link: LinkId, why: Option<&Refusal>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.link == Some(link)) else {
            return;
        };
        session.link = None;
        self.say_disconnected(now, id, why);
        let Some(session) = self.sessions.get(&id) else { return };
        if session.expiry.is_zero() {
            return self.end_session(now, id);
        }
        self.keep_deadline(id, |session| {
            session.ends_at = Some(now + session.expiry);
            session.will_at = session.will.as_ref().map(|will| now + will.delay);
        });
        self.note_session(id);
        self.expire(now, id);
    }

    /// Does what is to be done about a session at this time.
    pub(super) fn expire(&mut self, now: Instant, id: SessionId) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Some(session) = self.sessions.get(&id) else { return };
        if is_due(session.ends_at) {
            return self.end_session(now, id);
        }
        if is_due(session.will_at) {
            let mut will = None;
            self.keep_deadline(id, |session| {
                session.will_at = None;
                will = session.will.take();
            });
            self.note_session(id);
            will.into_iter().for_each(|will| self.publish_will(now, will));
        }
    }

    /// Ends a session, whose will does not wait any longer.
    fn end_session(&mut self, now: Instant, id: SessionId) {
        self.keep_deadline(id, |session| (session.will_at, session.ends_at) = (None, None));
        let Some(session) = self.sessions.remove(&id) else { return };
        self.clients.remove(&session.client);
        if session.is_stored {
            self.journal.end_session(id, &session);
        }
        for grant in session.subscriptions.values() {
            self.leave_streams(id, grant);
        }
        if let Some(will) = session.will {
            self.publish_will(now, will);
        }
    }

    fn publish_will(&mut self, now: Instant, will: Will) {
        let Will { mut message, expiry, .. } = will;
        if let Some(seconds) = expiry {
            message.expire_in(now, seconds);
        }
        if !self.offer(now, &message) && self.overdue.len() < self.limits.sessions {
            self.overdue.push_back(message);
        }
    }

    /// A session has changed.
    pub(super) fn note_session(&mut self, id: SessionId) {
        if self.sessions.get(&id).is_some_and(|session| session.is_stored) {
            self.journal.change(Key::Session(id));
        }
    }

    /// Changes a session, and keeps the table of deadlines true to it.
    fn keep_deadline(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = session.deadline();
        change(session);
        let after = session.deadline();
        if before != after {
            before.into_iter().for_each(|at| _ = self.deadlines.remove(&(at, id)));
            after.into_iter().for_each(|at| _ = self.deadlines.insert((at, id)));
        }
    }
}

/// Why a client goes, in its own words where it has some.
fn farewell(disconnect: &Disconnect<'_>) -> Refusal {
    let words = disconnect.properties.iter().find_map(|property| match property {
        Property::ReasonString(words) => Some(quoted(words).to_owned()),
        _ => None,
    });
    match (words, disconnect.reason) {
        (Some(words), reason) => Refusal::new(reason, words),
        (None, reason @ ReasonCode::NORMAL_DISCONNECTION) => Refusal::new(reason, "normal disconnection"),
        (None, reason) => reason.into(),
    }
}

/// How long the client wants its session kept.
fn asked_expiry(connect: &Connect<'_>) -> Duration {
    if connect.version < Version::V5 {
        return if connect.clean_start { Duration::ZERO } else { Duration::MAX };
    }
    let interval = connect.properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(FOR_EVER) => Some(Duration::MAX),
        Property::SessionExpiryInterval(seconds) => Some(Duration::from_secs(seconds.into())),
        _ => None,
    });
    interval.unwrap_or_default()
}

/// A name for a client that has none.
fn name() -> String {
    let random = |of| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(of);
        hasher.finish()
    };
    let (one, two) = (random(0), random(1));
    let (low, high) = (one & 0xffff, one >> 16 & 0xffff);
    format!("auto-{:08x}-{high:04x}-{low:04x}-{:04x}-{:012x}", one >> 32, two >> 48, two & 0xffff_ffff_ffff)
}
