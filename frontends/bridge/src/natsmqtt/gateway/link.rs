//! A connection, as the gateway sees it: what it may say, and what is on its way to it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::{
    Ack, Connack, Delivery as Exchange, Disconnect, Property, Publish, Qos, ServerPacket, Suback, Unsuback,
    Version,
};
use tokio::sync::Notify;

use super::journal::Point;
use super::message::{Kept, Properties};
use super::refusal::Refusal;
use super::session::{Delivery, SessionId};

/// Names a connection among all that ever were.
pub(in crate::natsmqtt) type LinkId = u64;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Since its `CONNECT`.
    pub(super) session: Option<SessionId>,
    pub(super) version: Version,
    /// Encoded packets that the connection has not taken yet.
    output: Vec<u8>,
    /// What is said after those, and what has to be on disk before it is heard.
    held: VecDeque<(Point, Vec<u8>)>,
    /// Nothing more is said or heard; the connection ends once `output` is written.
    pub(super) closing: bool,
    /// Why, if somebody said so.
    pub(super) ended: Option<Refusal>,
    pub(super) address: SocketAddr,
    /// Wakes who writes.
    pub(super) wake: Rc<Notify>,
    /// What the client said in `CONNECT` about what it takes.
    pub(super) window: u16,
    pub(super) packet: usize,
    /// Topics that the client abbreviates.
    pub(super) topics: BTreeMap<NonZeroU16, Box<str>>,
    /// Topics that it lets us abbreviate, and how many.
    aliases: BTreeMap<Box<str>, NonZeroU16>,
    pub(super) most_aliases: u16,
    /// Messages with QoS 1 and 2 of the client's that are not answered to the end.
    pub(super) unanswered: u16,
    /// Its `SUBSCRIBE`s that are not answered.
    pub(super) unsubscribed: usize,
    /// It wants reason strings [MQTT 5: 3.1.2.11.7].
    explains: bool,
}

impl Link {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            session: None,
            version: Version::V311,
            output: Vec::new(),
            held: VecDeque::new(),
            closing: false,
            ended: None,
            address,
            wake: Rc::new(Notify::new()),
            window: 0,
            packet: usize::MAX,
            topics: BTreeMap::new(),
            aliases: BTreeMap::new(),
            most_aliases: 0,
            unanswered: 0,
            unsubscribed: 0,
            explains: true,
        }
    }

    /// Bytes that may be written, and whether the connection ends after them.
    pub(super) fn output(&mut self) -> (&mut Vec<u8>, bool) {
        (&mut self.output, self.closing && self.held.is_empty())
    }

    /// Bytes on their way.
    pub(super) fn pending(&self) -> usize {
        self.output.len() + self.held.iter().map(|(_, held)| held.len()).sum::<usize>()
    }

    /// What is said from here on is heard once `point` is [released](Self::release); `false` if that is so already.
    pub(super) fn hold(&mut self, point: Point) -> bool {
        let is_later = self.held.back().is_none_or(|(until, _)| *until < point);
        if is_later {
            self.held.push_back((point, Vec::new()));
        }
        is_later
    }

    /// What was held until `point` may be heard.
    pub(super) fn release(&mut self, point: Point) {
        while let Some((_, mut held)) = self.held.pop_front_if(|(until, _)| *until <= point) {
            self.output.append(&mut held);
        }
        self.wake.notify_one();
    }

    /// Says `packet`, unless the client takes none so long: `false`.
    pub(super) fn say(&mut self, packet: &ServerPacket<'_>) -> bool {
        /// Room to try first beside topic and payload, and the longest that a packet can be.
        const USUAL: usize = 64;
        const LONGEST: usize = 268_435_460;
        if self.closing {
            return true;
        }
        let output = self.held.back_mut().map_or(&mut self.output, |(_, held)| held);
        let start = output.len();
        let mut room = match packet {
            ServerPacket::Publish(publish) => USUAL + publish.topic.len() + publish.payload.len(),
            _ => USUAL,
        };
        let length = loop {
            output.resize(start + room, 0);
            match packet.encode(self.version, output.get_mut(start..).unwrap_or_default()) {
                Ok(length) => break length,
                Err(full) if full.needed > room && full.needed <= LONGEST => room = full.needed,
                Err(_) => break usize::MAX,
            }
        };
        let fits = length <= self.packet && length <= LONGEST;
        output.truncate(start + if fits { length } else { 0 });
        self.wake.notify_one();
        fits
    }

    /// Says `packet` and `why` it says no, if the client wants words and takes a packet so long [MQTT 5: 3.1.2.11.7].
    pub(super) fn say_why(&mut self, packet: ServerPacket<'_>, why: &str) {
        let properties = [Property::ReasonString(why)];
        let explains = self.explains && self.version == Version::V5 && !why.is_empty();
        if !explains || !self.say(&with_properties(packet, Properties::of(&properties))) {
            self.say(&packet);
        }
    }

    /// Refuses a `CONNECT`, and ends the connection.
    pub(super) fn refuse(&mut self, refusal: impl Into<Refusal>) {
        let refusal = refusal.into();
        let connack = Connack { reason: refusal.reason(), ..Connack::default() };
        self.say_why(ServerPacket::Connack(connack), refusal.words());
        self.close();
    }

    /// Ends the connection for a reason of which only clients of MQTT 5 hear.
    pub(super) fn end(&mut self, refusal: impl Into<Refusal>) {
        let refusal = refusal.into();
        if self.version == Version::V5 && self.session.is_some() && !self.closing {
            let disconnect = Disconnect { reason: refusal.reason(), ..Disconnect::default() };
            self.say_why(ServerPacket::Disconnect(disconnect), refusal.words());
        }
        self.ended.get_or_insert(refusal);
        self.close();
    }

    /// Ends the connection without a word more than is said already.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.wake.notify_one();
    }

    /// Sends a message; `false` if the client takes none so long.
    pub(super) fn send(
        &mut self,
        delivery: &Delivery,
        packet_id: Option<NonZeroU16>,
        dup: bool,
        now: Instant,
    ) -> bool {
        let message = &*delivery.message;
        let exchange = match (delivery.qos, packet_id) {
            (Qos::AtLeastOnce, Some(packet_id)) => Exchange::AtLeastOnce { packet_id, dup },
            (Qos::ExactlyOnce, Some(packet_id)) => Exchange::ExactlyOnce { packet_id, dup },
            _ => Exchange::AtMostOnce,
        };
        let mut publish = Publish {
            delivery: exchange,
            retain: delivery.retain,
            topic: &message.topic,
            properties: Properties::EMPTY,
            payload: &message.payload,
            following: 0,
        };
        if self.version < Version::V5 {
            return self.say(&ServerPacket::Publish(publish));
        }
        let mut properties: Vec<Property<'_>> = message.properties.iter().map(Kept::property).collect();
        let remaining = message.remaining(now).flatten().map(Property::MessageExpiryInterval);
        properties.extend(remaining);
        properties.extend(delivery.identifiers.iter().copied().map(Property::SubscriptionIdentifier));
        let alias = self.alias(&message.topic);
        if let Some((alias, known)) = alias {
            properties.push(Property::TopicAlias(alias));
            publish.topic = if known { "" } else { &message.topic };
        }
        publish.properties = Properties::of(&properties);
        let said = self.say(&ServerPacket::Publish(publish));
        if !said && let Some((_, false)) = alias {
            self.aliases.remove(&message.topic);
        }
        said
    }

    /// What stands for `topic`, and whether the client knows so already.
    fn alias(&mut self, topic: &str) -> Option<(NonZeroU16, bool)> {
        if let Some(alias) = self.aliases.get(topic) {
            return Some((*alias, true));
        }
        let next = u16::try_from(self.aliases.len() + 1).ok().filter(|next| *next <= self.most_aliases)?;
        let alias = NonZeroU16::new(next)?;
        self.aliases.insert(topic.into(), alias);
        Some((alias, false))
    }

    /// What the client's limits are [MQTT 5: 3.1.2.11].
    pub(super) fn set_limits(&mut self, properties: Properties<'_>, window: u16, aliases: u16) {
        self.window = window;
        for property in properties {
            match property {
                Property::ReceiveMaximum(most) => self.window = window.min(most.get()),
                Property::MaximumPacketSize(most) => {
                    self.packet = usize::try_from(most.get()).unwrap_or(usize::MAX);
                }
                Property::TopicAliasMaximum(most) => self.most_aliases = most.min(aliases),
                Property::RequestProblemInformation(wanted) => self.explains = wanted,
                _ => {}
            }
        }
    }
}

/// `packet`, which has none, with properties.
const fn with_properties<'b>(mut packet: ServerPacket<'b>, all: Properties<'b>) -> ServerPacket<'b> {
    match &mut packet {
        ServerPacket::Connack(Connack { properties, .. })
        | ServerPacket::Puback(Ack { properties, .. })
        | ServerPacket::Pubrec(Ack { properties, .. })
        | ServerPacket::Suback(Suback { properties, .. })
        | ServerPacket::Unsuback(Unsuback { properties, .. })
        | ServerPacket::Disconnect(Disconnect { properties, .. }) => *properties = all,
        _ => {}
    }
    packet
}

/// The identifier that a `SUBSCRIBE` gives to what it subscribes to.
pub(super) fn identifier(properties: Properties<'_>) -> Option<NonZeroU32> {
    properties.iter().find_map(|property| match property {
        Property::SubscriptionIdentifier(identifier) => Some(identifier),
        _ => None,
    })
}
