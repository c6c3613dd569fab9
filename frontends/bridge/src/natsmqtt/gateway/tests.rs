//! The gateway in virtual time, before a NATS server that one can look into.

mod clients;
mod kept;
mod limits;
mod messages;
mod reasons;
mod sessions;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use lunix_proto::mqtt::{
    Ack, Connect, Delivery, Disconnect, List, Property, Publish, Qos, RetainHandling, ServerDecoder,
    Subscribe, Subscription, Unsubscribe, Will,
};
use lunix_proto::nats::subject;

use super::*;

/// Subject, reply subject, header block, payload.
type Published = (String, Option<String>, Vec<u8>, Vec<u8>);

/// A NATS server.
#[derive(Debug)]
struct Fake {
    is_up: bool,
    room: usize,
    subscriptions: Vec<(u64, String, Option<String>)>,
    published: VecDeque<Published>,
    /// What it was told of clients.
    events: Vec<String>,
    /// What it was told, in words.
    log: Vec<String>,
    last: u64,
}

impl Upstream for Fake {
    type Barrier = u64;
    type Sid = u64;

    fn is_ready(&self) -> bool {
        self.is_up
    }

    fn publish(&mut self, subject: &str, reply: Option<&str>, header: &[u8], payload: &[u8]) -> bool {
        if let Some(event) = subject.strip_prefix("mqtt.client.") {
            self.events.push(format!("{event} {}", String::from_utf8_lossy(payload)));
            return true;
        }
        if self.published.len() >= self.room {
            return false;
        }
        let message = (subject.to_owned(), reply.map(str::to_owned), header.to_vec(), payload.to_vec());
        self.published.push_back(message);
        true
    }

    fn barrier(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn subscribe(&mut self, subject: &str, queue: Option<&str>) -> Option<u64> {
        self.log.push(format!("SUB {subject} {}", queue.unwrap_or_default()).trim_end().to_owned());
        self.last += 1;
        self.subscriptions.push((self.last, subject.to_owned(), queue.map(str::to_owned)));
        Some(self.last)
    }

    fn unsubscribe(&mut self, sid: u64) {
        if let Some(at) = self.subscriptions.iter().position(|(number, ..)| *number == sid) {
            let (_, subject, _) = self.subscriptions.remove(at);
            self.log.push(format!("UNSUB {subject}"));
        }
    }
}

struct World {
    gateway: Gateway<Fake>,
    now: Instant,
    rules: Rc<crate::natsmqtt::rules::Rules>,
    decoders: HashMap<LinkId, (Version, ServerDecoder)>,
}

/// How a client connects.
#[derive(Clone, Copy)]
struct Who<'w> {
    version: Version,
    client: &'w str,
    user: Option<&'w str>,
    bridge: bool,
    clean: bool,
    properties: &'w [Property<'w>],
    will: Option<Will<'w>>,
}

/// Where all clients come from.
const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4711);

const V5: Who<'_> = Who {
    version: Version::V5,
    client: "",
    user: None,
    bridge: false,
    clean: true,
    properties: &[],
    will: None,
};
const V311: Who<'_> = Who { version: Version::V311, ..V5 };
const KEPT: &[Property<'_>] = &[Property::SessionExpiryInterval(100)];

const fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn message<'m>(topic: &'m str, payload: &'m str, delivery: Delivery) -> Publish<'m> {
    let payload = payload.as_bytes();
    Publish { delivery, retain: false, topic, properties: List::EMPTY, payload, following: 0 }
}

const fn once(packet_id: NonZeroU16) -> Delivery {
    Delivery::AtLeastOnce { packet_id, dup: false }
}

const fn exactly(packet_id: NonZeroU16) -> Delivery {
    Delivery::ExactlyOnce { packet_id, dup: false }
}

/// A packet in words.
fn words(packet: &ServerPacket<'_>) -> String {
    let ack = |name, ack: &Ack<'_>| format!("{name} {} {:#04x}", ack.packet_id, ack.reason.code());
    match packet {
        ServerPacket::Connack(connack) => {
            format!("CONNACK {} {:#04x}", u8::from(connack.session_present), connack.reason.code())
        }
        ServerPacket::Publish(publish) => {
            let payload = String::from_utf8_lossy(publish.payload);
            let mut text = format!("PUBLISH {}={payload} q{}", publish.topic, publish.delivery.qos() as u8);
            publish.delivery.packet_id().into_iter().for_each(|id| write!(text, " #{id}").unwrap());
            if matches!(
                publish.delivery,
                Delivery::AtLeastOnce { dup: true, .. } | Delivery::ExactlyOnce { dup: true, .. }
            ) {
                text += " dup";
            }
            if publish.retain {
                text += " retain";
            }
            for property in publish.properties {
                match property {
                    Property::UserProperty(name, value) => write!(text, " {name}:{value}").unwrap(),
                    Property::SubscriptionIdentifier(id) => write!(text, " id{id}").unwrap(),
                    Property::MessageExpiryInterval(seconds) => write!(text, " {seconds}s").unwrap(),
                    Property::ResponseTopic(topic) => write!(text, " ->{topic}").unwrap(),
                    Property::CorrelationData(data) => write!(text, " {data:?}").unwrap(),
                    Property::TopicAlias(alias) => write!(text, " alias{alias}").unwrap(),
                    other => write!(text, " {other:?}").unwrap(),
                }
            }
            text
        }
        ServerPacket::Puback(it) => ack("PUBACK", it),
        ServerPacket::Pubrec(it) => ack("PUBREC", it),
        ServerPacket::Pubrel(it) => ack("PUBREL", it),
        ServerPacket::Pubcomp(it) => ack("PUBCOMP", it),
        ServerPacket::Suback(suback) => {
            let reasons: Vec<u8> = suback.reasons.iter().map(ReasonCode::code).collect();
            format!("SUBACK {} {reasons:x?}", suback.packet_id)
        }
        ServerPacket::Unsuback(unsuback) => {
            let reasons: Vec<u8> = unsuback.reasons.iter().map(ReasonCode::code).collect();
            format!("UNSUBACK {} {reasons:x?}", unsuback.packet_id)
        }
        ServerPacket::Disconnect(disconnect) => format!("DISCONNECT {:#04x}", disconnect.reason.code()),
        other => format!("{other:?}"),
    }
}

impl World {
    fn new() -> Self {
        Self::with(Limits::STANDARD)
    }

    fn with(limits: Limits) -> Self {
        Self::before(limits, None)
    }

    fn before(limits: Limits, to_write: Option<Rc<Notify>>) -> Self {
        let upstream = Fake {
            is_up: true,
            room: 1000,
            subscriptions: Vec::new(),
            published: VecDeque::new(),
            events: Vec::new(),
            log: Vec::new(),
            last: 0,
        };
        let gateway = Gateway::new(upstream, limits, "gw".to_owned(), to_write);
        Self { gateway, now: Instant::from_micros(0), rules: Rc::default(), decoders: HashMap::new() }
    }

    fn connect(&mut self, who: Who<'_>) -> LinkId {
        let (link, _) = self.gateway.open(HOME).unwrap();
        let decoder = ServerDecoder::new(who.version, lunix_proto::mqtt::Limits::default());
        self.decoders.insert(link, (who.version, decoder));
        let connect = Connect {
            version: who.version,
            bridge: who.bridge,
            clean_start: who.clean,
            keep_alive: 0,
            client_id: who.client,
            will: who.will,
            username: None,
            password: None,
            properties: List::of(who.properties),
        };
        self.gateway.connect(self.now, link, connect, self.rules.clone(), who.user);
        link
    }

    /// A client that is welcome.
    fn client(&mut self, who: Who<'_>) -> LinkId {
        let link = self.connect(who);
        assert!(
            self.heard(link)
                .first()
                .is_some_and(|first| first.starts_with("CONNACK") && first.ends_with("0x00"))
        );
        link
    }

    fn say(&mut self, link: LinkId, packet: ClientPacket<'_>) {
        self.gateway.take(self.now, link, packet);
    }

    fn publish(&mut self, link: LinkId, publish: Publish<'_>) {
        self.say(link, ClientPacket::Publish(publish));
    }

    fn subscribe(&mut self, link: LinkId, subscription: Subscription<'_>) {
        self.subscribe_with(link, subscription, &[]);
    }

    fn subscribe_with(&mut self, link: LinkId, subscription: Subscription<'_>, properties: &[Property<'_>]) {
        let subscriptions = [subscription];
        self.say(
            link,
            ClientPacket::Subscribe(Subscribe {
                packet_id: id(1),
                properties: List::of(properties),
                subscriptions: List::of(&subscriptions),
            }),
        );
        self.settle(true);
    }

    /// NATS does all that it was asked for.
    fn settle(&mut self, certain: bool) {
        self.echo();
        let reached = self.gateway.upstream.last;
        self.gateway.reached(self.now, Epoch::default(), reached, certain);
    }

    /// NATS says what was published, and not yet that it has it.
    fn echo(&mut self) {
        while let Some((name, reply, header, payload)) = self.gateway.upstream.published.pop_front() {
            let matching: Vec<u64> = self
                .gateway
                .upstream
                .subscriptions
                .iter()
                .filter(|(_, pattern, _)| subject::matches(pattern.as_bytes(), name.as_bytes()))
                .map(|(sid, ..)| *sid)
                .collect();
            self.gateway.upstream.log.push(format!("PUB {name}"));
            let reply = reply.as_deref().map(str::as_bytes);
            let heard = Heard { subject: name.as_bytes(), reply, header: &header, payload: &payload };
            for sid in matching {
                self.gateway.hear(self.now, sid, &heard);
            }
        }
    }

    /// Somebody publishes on NATS.
    fn nats(&mut self, subject: &str, reply: Option<&str>, header: &[u8], payload: &str) {
        assert!(self.gateway.upstream.publish(subject, reply, header, payload.as_bytes()));
        self.settle(true);
    }

    /// What a client has heard since it was last asked, in words, and whether its connection has ended.
    fn heard(&mut self, link: LinkId) -> Vec<String> {
        self.gateway.sent(self.now, link);
        let Some((output, is_closing)) = self.gateway.output(link) else { return vec!["gone".to_owned()] };
        let bytes = std::mem::take(output);
        let (_, decoder) = self.decoders.get_mut(&link).unwrap();
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some((packet, length)) = decoder.decode(&bytes[at..]).unwrap() {
            all.push(words(&packet));
            at += length;
        }
        assert_eq!(at, bytes.len());
        all.extend(is_closing.then(|| "end".to_owned()));
        all
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        while self.gateway.next_deadline().is_some_and(|at| at <= self.now) {
            self.gateway.tick(self.now);
        }
        self.settle(true);
    }

    fn leave(&mut self, link: LinkId) {
        self.leave_unsettled(link);
        self.settle(true);
    }

    fn leave_unsettled(&mut self, link: LinkId) {
        self.gateway.closed(self.now, link);
    }
}
