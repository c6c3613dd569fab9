//! Bridges to outside MQTT brokers.
//!
//! A [`Bridge`] is a client of a broker, without a socket: packets of the broker and messages of NATS in, bytes for the broker and
//! messages for NATS out. What it knows outlives its connections: messages that wait, and exchanges that are not over.
//! [`connection`] is where its sockets are, [`Bridges`] whose messages of NATS are whose.
//!
//! A message goes where [rules](rule) say, and remembers where it was ([`path`](super::path)). So that it does not come back at
//! once, the broker is asked to spare us our own messages: by No Local in MQTT 5, before it by the bit that tells brokers of a bridge.
//! A broker that refuses the bit says them again, and they are [known](echo) by what they are.

mod address;
mod connection;
mod echo;
mod incoming;
mod list;
mod outgoing;
mod rule;
pub(super) mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use lunix::escaped::Escaped;
use lunix::log::{self, Level};
use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{
    Ack, ClientPacket, Connack, Connect, DecodeError, Delivery as Exchange, Disconnect, List, Property,
    Publish, Qos, ReasonCode, RetainHandling, ServerPacket, Suback, Subscribe, Subscription, Version, Will,
};
use tokio::sync::Notify;

use super::NAME;
use super::gateway::Brought;
use super::gateway::message::Message;
use super::gateway::session::{Outbound, Stage};
use super::path::{SITE, Way, is_site};

pub(super) use connection::keep;
use echo::Echoes;
pub(super) use list::Bridges;
pub(super) use settings::Remote;

/// Bytes on their way to the broker that are enough: messages with QoS 0 beyond are given up, others wait.
const OUTPUT: usize = 1 << 20;

/// Our side of a bridge.
pub(super) trait Local {
    /// Names a point in the stream of messages that were brought.
    type Barrier: Copy + Ord + Debug;

    /// Says a message on NATS.
    fn bring(&mut self, now: Instant, way: Way, message: Message) -> Brought;

    /// A point of which it will be [said](Bridge::reached) that NATS has all that was brought before.
    fn barrier(&mut self) -> Self::Barrier;

    /// The retained messages of a filter.
    fn kept(&self, now: Instant, filter: &str) -> Vec<Rc<Message>>;
}

/// A bridge.
#[derive(Debug)]
pub(super) struct Bridge<B> {
    pub(super) remote: Rc<Remote>,
    way: Way,
    /// What this site is called, and the other one as far as is known.
    site: Rc<str>,
    beyond: Box<str>,
    link: Option<Link>,
    /// Wakes who writes.
    wake: Rc<Notify>,
    outbound: Outbound,
    /// The highest QoS that the broker takes.
    most: Qos,
    /// Messages with QoS 2 that are answered `PUBREC` and wait for `PUBREL`.
    received: BTreeSet<NonZeroU16>,
    /// Messages on their way to NATS, which are answered once they are there; of QoS 2 it is `true`.
    taking: BTreeSet<NonZeroU16>,
    pending: VecDeque<(B, NonZeroU16, bool)>,
    private: Private,
    echoes: Echoes,
    /// This process has been connected before.
    again: bool,
    counts: Counts,
}

/// Whether the broker is told, before MQTT 5, that we are a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Private {
    Tried,
    Accepted,
    /// It is not, because it would not have us.
    Refused,
}

/// Messages so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    received: u64,
    /// Given up, because they found no room.
    lost: u64,
    /// Of those the ones that were told of.
    told: u64,
}

/// A connection.
#[derive(Debug)]
struct Link {
    /// Since its `CONNACK`.
    up: bool,
    output: Vec<u8>,
    /// Nothing more is said or heard, for this reason; the connection ends once `output` is written.
    closing: Option<String>,
    opened: Instant,
    /// When something was said last, and since when an answer to `PINGREQ` is waited for.
    said: Instant,
    asked: Option<Instant>,
    /// Zero for none.
    keep_alive: Duration,
    /// What the broker takes.
    window: u16,
    packet: usize,
    retain: bool,
}

impl<B: Copy + Ord + Debug> Bridge<B> {
    pub(super) fn new(remote: Rc<Remote>, number: usize, site: Rc<str>) -> Self {
        let private = if remote.try_private { Private::Tried } else { Private::Refused };
        let beyond = remote.addresses.first().map(address::Address::site).unwrap_or_default();
        Self {
            remote,
            way: Way::Bridge(number),
            site,
            beyond: beyond.into(),
            link: None,
            wake: Rc::new(Notify::new()),
            outbound: Outbound::default(),
            most: Qos::ExactlyOnce,
            received: BTreeSet::new(),
            taking: BTreeSet::new(),
            pending: VecDeque::new(),
            private,
            echoes: Echoes::default(),
            again: false,
            counts: Counts::default(),
        }
    }

    /// Gives numbers to messages from this one on.
    pub(super) fn begin_at(&mut self, number: u16) {
        self.outbound.begin_at(number);
    }

    /// There is a connection to a broker at an address that is called so.
    fn open(&mut self, now: Instant, beyond: &str) {
        let remote = self.remote.clone();
        self.beyond = beyond.into();
        self.link = Some(Link {
            up: false,
            output: Vec::new(),
            closing: None,
            opened: now,
            said: now,
            asked: None,
            keep_alive: Duration::from_secs(remote.keep_alive.into()),
            window: remote.inflight,
            packet: usize::MAX,
            retain: true,
        });
        self.most = Qos::ExactlyOnce;
        let site = self.site.clone();
        let mut properties = vec![Property::UserProperty(SITE, &site)];
        properties.extend(NonZeroU16::new(remote.inflight).map(Property::ReceiveMaximum));
        let packet = u32::try_from(remote.packet).ok().and_then(NonZeroU32::new);
        properties.extend(packet.map(Property::MaximumPacketSize));
        if !remote.clean_session {
            let seconds = u32::try_from(remote.session_expiry.as_secs()).unwrap_or(u32::MAX);
            properties.push(Property::SessionExpiryInterval(seconds));
        }
        let will = remote.notification_topic.as_deref().map(|topic| Will {
            topic,
            payload: b"0",
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: List::EMPTY,
        });
        self.say(
            now,
            &ClientPacket::Connect(Connect {
                version: remote.version,
                bridge: remote.version < Version::V5 && self.private != Private::Refused,
                clean_start: remote.clean_session,
                keep_alive: remote.keep_alive,
                client_id: &remote.client_id,
                will,
                username: remote.user.as_deref(),
                password: remote.password.as_deref().map(str::as_bytes),
                properties: if remote.version < Version::V5 { List::EMPTY } else { List::of(&properties) },
            }),
        );
    }

    /// The broker has said something.
    fn take<L: Local<Barrier = B>>(&mut self, now: Instant, local: &mut L, packet: &ServerPacket<'_>) {
        let Some(link) = self.link.as_mut().filter(|link| link.closing.is_none()) else { return };
        link.asked = None;
        match packet {
            ServerPacket::Connack(connack) => self.on_connack(now, local, connack),
            ServerPacket::Publish(publish) => self.on_publish(now, local, publish),
            ServerPacket::Puback(ack) => self.on_end(now, ack, Qos::AtLeastOnce, Stage::Sent),
            ServerPacket::Pubrec(ack) => self.on_pubrec(now, ack),
            ServerPacket::Pubrel(ack) => self.on_pubrel(now, ack),
            ServerPacket::Pubcomp(ack) => self.on_end(now, ack, Qos::ExactlyOnce, Stage::Released),
            ServerPacket::Suback(suback) => self.on_suback(suback),
            ServerPacket::Unsuback(_) | ServerPacket::Pingresp => {}
            ServerPacket::Disconnect(disconnect) => {
                let reason = disconnect.properties.iter().find_map(|property| match property {
                    Property::ReasonString(text) => Some(format!(": {}", Escaped(text))),
                    _ => None,
                });
                self.end(format!("the broker says: {}{}", disconnect.reason, reason.unwrap_or_default()));
            }
            // A decoder whose limits are the same gives no pieces, and no method of authentication was named.
            ServerPacket::Payload(_) | ServerPacket::Auth(_) => self.fail(DecodeError::Order),
        }
    }

    /// What came is no packet.
    fn fail(&mut self, error: DecodeError) {
        let reason = match error {
            DecodeError::TooLarge => {
                format!("the broker sent a packet of more than {} bytes", self.remote.packet)
            }
            error => format!("the broker broke the protocol: {error}"),
        };
        self.end(reason);
    }

    fn on_connack<L: Local<Barrier = B>>(&mut self, now: Instant, local: &mut L, connack: &Connack<'_>) {
        let remote = self.remote.clone();
        if connack.reason.is_failure() {
            let is_level = connack.reason == ReasonCode::UnsupportedProtocolVersion;
            if is_level && remote.version < Version::V5 && self.private == Private::Tried {
                self.private = Private::Refused;
            }
            return self.end(format!("the broker refuses: {}", connack.reason));
        }
        let Some(link) = &mut self.link else { return };
        link.up = true;
        for property in connack.properties {
            match property {
                Property::ReceiveMaximum(most) => link.window = link.window.min(most.get()),
                Property::MaximumPacketSize(most) => {
                    link.packet = usize::try_from(most.get()).unwrap_or(usize::MAX);
                }
                Property::MaximumQos(qos) => self.most = qos,
                Property::RetainAvailable(available) => link.retain = available,
                Property::ServerKeepAlive(seconds) => link.keep_alive = Duration::from_secs(seconds.into()),
                Property::UserProperty(SITE, site) if is_site(site) => self.beyond = site.into(),
                _ => {}
            }
        }
        if self.private == Private::Tried {
            self.private = Private::Accepted;
        }
        self.outbound.lower(self.most);
        // 3.1 does not say whether there is a session; if there is none, what goes on is answered all the same.
        let is_silent = remote.version == Version::V31;
        let is_present = connack.session_present || is_silent && !remote.clean_session && self.again;
        if !is_present {
            self.received.clear();
            self.taking.clear();
            self.pending.clear();
            self.outbound.restart();
        }
        if !is_present || !self.again || is_silent {
            self.subscribe(now);
        }
        if let Some(topic) = &remote.notification_topic {
            self.notify(now, topic, b"1");
        }
        self.resume(now, is_present);
        if !is_present {
            self.greet(now, local);
        }
        self.again = true;
        self.pump(now);
        self.tell_lost();
    }

    /// Subscribes to what is to come from there.
    fn subscribe(&mut self, now: Instant) {
        let remote = self.remote.clone();
        let subscriptions: Vec<Subscription<'_>> = remote
            .rules
            .iter()
            .filter(|rule| rule.inward)
            .map(|rule| Subscription {
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::SendIfNew,
                ..Subscription::new(&rule.remote, rule.qos)
            })
            .collect();
        if !subscriptions.is_empty() {
            let packet_id = self.outbound.number();
            self.say(
                now,
                &ClientPacket::Subscribe(Subscribe {
                    packet_id,
                    properties: List::EMPTY,
                    subscriptions: List::of(&subscriptions),
                }),
            );
        }
    }

    fn on_suback(&mut self, suback: &Suback<'_>) {
        let inward = self.remote.rules.iter().filter(|rule| rule.inward);
        for (rule, reason) in inward.zip(suback.reasons).filter(|(_, reason)| reason.is_failure()) {
            let filter = Escaped(&rule.remote);
            self.warn(format_args!("the broker refuses the subscription to {filter}: {reason}"));
        }
    }

    /// Says at the broker, for whoever asks there, whether we are connected.
    fn notify(&mut self, now: Instant, topic: &str, payload: &[u8]) {
        let retain = self.link.as_ref().is_some_and(|link| link.retain);
        self.say(
            now,
            &ClientPacket::Publish(Publish {
                delivery: Exchange::AtMostOnce,
                retain,
                topic,
                properties: List::EMPTY,
                payload,
                following: 0,
            }),
        );
    }

    /// NATS has all that was brought before `barrier`. Unless that is `certain`, some of it may be lost, and the broker is to say
    /// it again, which it does when we come back.
    pub(super) fn reached(&mut self, now: Instant, barrier: B, certain: bool) {
        while let Some((_, packet_id, twice)) =
            self.pending.front().filter(|(at, ..)| *at <= barrier).copied()
        {
            self.pending.pop_front();
            if !self.taking.remove(&packet_id) {
                continue;
            }
            if !certain {
                self.end("NATS may have lost a message".to_owned());
                continue;
            }
            if twice {
                self.received.insert(packet_id);
            }
            self.answer(now, packet_id, twice);
        }
    }

    /// The process is about to end.
    pub(super) fn shut_down(&mut self, now: Instant) {
        let remote = self.remote.clone();
        if self.is_up() {
            if let Some(topic) = &remote.notification_topic {
                self.notify(now, topic, b"0");
            }
            self.say(now, &ClientPacket::Disconnect(Disconnect::default()));
        }
        self.end("natsmqtt ends".to_owned());
    }

    /// The broker has welcomed us.
    pub(super) fn is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up && link.closing.is_none())
    }

    /// There is no connection any more. Answers why it was to end, if that was our doing.
    fn closed(&mut self) -> Option<String> {
        let link = self.link.take()?;
        // Some brokers only hang up on a bit that they do not know.
        if !link.up && link.closing.is_none() && self.private == Private::Tried {
            self.private = Private::Refused;
        }
        link.closing
    }

    /// The next time at which [`Bridge::tick`] has something to do.
    fn next_deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref().filter(|link| link.closing.is_none())?;
        match link.asked {
            _ if !link.up => Some(link.opened + self.remote.connect_timeout),
            _ if link.keep_alive.is_zero() => None,
            Some(asked) => Some(asked + link.keep_alive),
            None => Some(link.said + link.keep_alive),
        }
    }

    /// Time has passed. Of a broker that is not heard because we are `crowded` it is not known whether it is still there.
    fn tick(&mut self, now: Instant, crowded: bool) {
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let Some(link) = &mut self.link else { return };
        if !link.up {
            return self.end("the broker does not answer".to_owned());
        }
        if link.asked.is_some() && !crowded {
            return self.end("the broker is silent".to_owned());
        }
        link.asked = Some(now);
        self.say(now, &ClientPacket::Pingreq);
    }

    /// Ends the connection for `reason`.
    fn end(&mut self, reason: String) {
        if let Some(link) = &mut self.link {
            link.closing.get_or_insert(reason);
            self.wake.notify_one();
        }
    }

    /// Says `packet`, unless the broker takes none so long: `false`.
    fn say(&mut self, now: Instant, packet: &ClientPacket<'_>) -> bool {
        /// Room to try first.
        const USUAL: usize = 256;
        let version = self.remote.version;
        let Some(link) = self.link.as_mut().filter(|link| link.closing.is_none()) else { return true };
        let start = link.output.len();
        link.output.resize(start + USUAL, 0);
        let encode = |out: &mut Vec<u8>| packet.encode(version, out.get_mut(start..).unwrap_or_default());
        let length = match encode(&mut link.output) {
            Err(full) if full.needed <= link.packet.min(super::settings::LONGEST_PACKET) => {
                link.output.resize(start + full.needed, 0);
                encode(&mut link.output).ok()
            }
            other => other.ok(),
        };
        let length = length.filter(|length| *length <= link.packet);
        link.output.truncate(start + length.unwrap_or(0));
        link.said = now;
        self.wake.notify_one();
        length.is_some()
    }

    fn ack(
        &mut self,
        now: Instant,
        packet: impl FnOnce(Ack<'static>) -> ClientPacket<'static>,
        id: NonZeroU16,
    ) {
        self.say(now, &packet(Ack::new(id)));
    }

    fn warn(&self, what: impl std::fmt::Display) {
        log::line(Level::Warn, NAME, format_args!("bridge {}: {what}", self.remote.name));
    }

    /// Messages were given up since this was last told.
    fn tell_lost(&mut self) {
        let lost = self.counts.lost - self.counts.told;
        if lost > 1 {
            self.warn(format_args!("{lost} messages were given up"));
        }
        self.counts.told = self.counts.lost;
    }
}
