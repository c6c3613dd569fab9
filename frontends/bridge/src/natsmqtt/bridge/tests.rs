//! A bridge in virtual time, between a broker and a NATS that one can look into.

use std::fmt::Write as _;

use lunix::config::{self, Machine};
use lunix_proto::mqtt::ClientDecoder;

use super::*;
use crate::natsmqtt::gateway::message::Kept;

/// NATS.
#[derive(Debug, Default)]
struct Fake {
    brought: Vec<String>,
    kept: Vec<Message>,
    answer: Option<Brought>,
    barrier: u64,
}

impl Local for Fake {
    type Barrier = u64;

    fn bring(&mut self, _: Instant, _: Way, message: Message) -> Brought {
        let answer = self.answer.unwrap_or(Brought::Taken);
        if answer == Brought::Taken {
            let payload = String::from_utf8_lossy(&message.payload).into_owned();
            let retain = if message.retain { " retain" } else { "" };
            let path = message.path();
            self.brought.push(format!("{}={payload} q{}{retain} [{path}]", message.topic, message.qos as u8));
        }
        answer
    }

    fn barrier(&mut self) -> u64 {
        self.barrier += 1;
        self.barrier
    }

    fn kept(&self, _: Instant, _: &str) -> Vec<Rc<Message>> {
        self.kept.iter().cloned().map(Rc::new).collect()
    }
}

struct World {
    bridge: Bridge<u64>,
    nats: Fake,
    now: Instant,
    decoder: ClientDecoder,
}

fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn message(topic: &str, payload: &str, qos: Qos) -> Message {
    Message { topic: topic.into(), payload: payload.as_bytes().into(), qos, ..Message::default() }
}

fn publish<'p>(topic: &'p str, payload: &'p str, delivery: Exchange) -> ServerPacket<'p> {
    let payload = payload.as_bytes();
    ServerPacket::Publish(Publish {
        delivery,
        retain: false,
        topic,
        properties: List::EMPTY,
        payload,
        following: 0,
    })
}

const fn once(packet_id: NonZeroU16) -> Exchange {
    Exchange::AtLeastOnce { packet_id, dup: false }
}

const fn exactly(packet_id: NonZeroU16) -> Exchange {
    Exchange::ExactlyOnce { packet_id, dup: false }
}

impl World {
    /// `keys` are those of the bridge besides its name and address.
    fn new(keys: &str) -> Self {
        let text = format!("bridges: [ {{ name: b, client_id: me, address: there, {keys} }} ]");
        let mut file = config::parse("test.conf".as_ref(), &text, &Machine).unwrap();
        let remote = settings::take(&mut file).pop();
        file.finish().unwrap();
        let bridge = Bridge::new(Rc::new(remote.unwrap()), 0, "here".into());
        let decoder = ClientDecoder::new(lunix_proto::mqtt::Limits::default());
        Self { bridge, nats: Fake::default(), now: Instant::from_micros(1), decoder }
    }

    /// What the bridge says, in words.
    fn said(&mut self) -> Vec<String> {
        let output =
            self.bridge.link.as_mut().map(|link| std::mem::take(&mut link.output)).unwrap_or_default();
        let (mut rest, mut said) = (&output[..], Vec::new());
        while let Some((packet, length)) = self.decoder.decode(rest).unwrap() {
            rest = &rest[length..];
            said.push(match packet {
                ClientPacket::Connect(connect) => {
                    let mut text = format!("CONNECT {}", connect.client_id);
                    for (is, word) in [(connect.bridge, " bridge"), (connect.clean_start, " clean")] {
                        text += if is { word } else { "" };
                    }
                    text
                }
                ClientPacket::Publish(publish) => {
                    let payload = String::from_utf8_lossy(publish.payload);
                    let mut text = format!("{}={payload} q{}", publish.topic, publish.delivery.qos() as u8);
                    publish.delivery.packet_id().into_iter().for_each(|id| write!(text, " #{id}").unwrap());
                    match publish.delivery {
                        Exchange::AtLeastOnce { dup: true, .. } | Exchange::ExactlyOnce { dup: true, .. } => {
                            text += " dup";
                        }
                        _ => {}
                    }
                    text += if publish.retain { " retain" } else { "" };
                    for property in publish.properties {
                        match property {
                            Property::UserProperty(_, value) => write!(text, " [{value}]").unwrap(),
                            Property::ResponseTopic(topic) => write!(text, " ->{topic}").unwrap(),
                            other => write!(text, " {other:?}").unwrap(),
                        }
                    }
                    text
                }
                ClientPacket::Subscribe(subscribe) => {
                    let filters: Vec<_> = subscribe.subscriptions.iter().map(|one| one.filter).collect();
                    format!("SUBSCRIBE {}", filters.join(" "))
                }
                ClientPacket::Puback(ack) => format!("PUBACK {}", ack.packet_id),
                ClientPacket::Pubrec(ack) => format!("PUBREC {}", ack.packet_id),
                ClientPacket::Pubrel(ack) => format!("PUBREL {}", ack.packet_id),
                ClientPacket::Pubcomp(ack) => format!("PUBCOMP {}", ack.packet_id),
                other => format!("{other:?}"),
            });
        }
        assert!(rest.is_empty());
        said
    }

    fn hears(&mut self, packet: &ServerPacket<'_>) -> Vec<String> {
        self.bridge.take(self.now, &mut self.nats, packet);
        self.said()
    }

    fn opens(&mut self) -> Vec<String> {
        self.decoder = ClientDecoder::new(lunix_proto::mqtt::Limits::default());
        self.bridge.open(self.now, "there:1883");
        self.said()
    }

    /// Connects; what it says after `CONNACK`.
    fn connects(&mut self, session_present: bool) -> Vec<String> {
        self.opens();
        self.hears(&ServerPacket::Connack(Connack { session_present, ..Connack::default() }))
    }

    fn out(&mut self, rule: usize, message: Message) -> Vec<String> {
        self.bridge.hear(self.now, rule, message);
        self.said()
    }

    fn reaches(&mut self, certain: bool) -> Vec<String> {
        self.bridge.reached(self.now, self.nats.barrier, certain);
        self.said()
    }

    fn reason(&mut self) -> Option<String> {
        self.bridge.closed()
    }
}

const BOTH: &str = "topics: [ { pattern: '#', direction: both, qos: 2 } ]";

#[test]
fn what_waits_is_sent_and_what_is_under_way_sent_again() {
    let mut world = World::new(BOTH);
    assert_eq!(world.out(0, message("a", "away", Qos::AtMostOnce)), [""; 0]);
    assert_eq!(world.out(0, message("a", "1", Qos::AtLeastOnce)), [""; 0]);
    assert_eq!(world.opens(), ["CONNECT me"]);
    let welcome = ServerPacket::Connack(Connack::default());
    assert_eq!(world.hears(&welcome), ["SUBSCRIBE #", "a=1 q1 #2 [here]"]);
    assert_eq!(world.out(0, message("b", "2", Qos::ExactlyOnce)), ["b=2 q2 #3 [here]"]);
    assert_eq!(world.out(0, message("b", "3", Qos::ExactlyOnce)), ["b=3 q2 #4 [here]"]);
    assert_eq!(world.hears(&ServerPacket::Pubrec(Ack::new(id(3)))), ["PUBREL 3"]);
    assert_eq!(world.reason(), None);

    assert_eq!(world.connects(true), ["a=1 q1 #2 dup [here]", "PUBREL 3", "b=3 q2 #4 dup [here]"]);
    world.hears(&ServerPacket::Puback(Ack::new(id(2))));
    world.hears(&ServerPacket::Pubcomp(Ack::new(id(3))));
    assert_eq!(world.bridge.outbound.len(), 1);
    assert_eq!(world.reason(), None);
    // The broker has forgotten everything: what it has not acknowledged to the end begins again.
    assert_eq!(world.connects(false), ["SUBSCRIBE #", "b=3 q2 #4 [here]"]);
}

#[test]
fn the_queue_is_bounded_and_so_is_what_is_under_way() {
    let mut world = World::new("queue: 2, inflight: 1, topics: [ { pattern: '#', qos: 1 } ]");
    for payload in ["1", "2", "3"] {
        world.out(0, message("a", payload, Qos::AtLeastOnce));
    }
    assert_eq!(world.bridge.counts.lost, 1);
    assert_eq!(world.connects(false), ["a=1 q1 #1 [here]"]);
    assert_eq!(world.hears(&ServerPacket::Puback(Ack::new(id(1)))), ["a=2 q1 #2 [here]"]);
}

#[test]
fn what_comes_is_answered_when_nats_has_it() {
    let mut world = World::new(BOTH);
    world.connects(false);
    assert_eq!(world.hears(&publish("a", "0", Exchange::AtMostOnce)), [""; 0]);
    assert_eq!(world.hears(&publish("a", "1", once(id(7)))), [""; 0]);
    assert_eq!(world.hears(&publish("a", "2", exactly(id(8)))), [""; 0]);
    assert_eq!(world.nats.brought, ["a=0 q0 [there:1883]", "a=1 q1 [there:1883]", "a=2 q2 [there:1883]"]);
    assert_eq!(world.reaches(true), ["PUBACK 7", "PUBREC 8"]);
    // It comes again where the answer was lost, and is not said again.
    assert_eq!(world.hears(&publish("a", "2", exactly(id(8)))), ["PUBREC 8"]);
    assert_eq!(world.hears(&ServerPacket::Pubrel(Ack::new(id(8)))), ["PUBCOMP 8"]);
    assert_eq!(world.hears(&publish("a", "3", exactly(id(8)))), [""; 0], "another one of that number");
    assert_eq!(world.nats.brought.len(), 4);
    // Nobody knows whether NATS has it.
    assert_eq!(world.reaches(false), [""; 0]);
    assert_eq!(world.reason().as_deref(), Some("NATS may have lost a message"));
    world.connects(true);
    world.hears(&publish("a", "3", exactly(id(8))));
    assert_eq!(world.nats.brought.len(), 5);
    assert_eq!(world.reaches(true), ["PUBREC 8"]);
}

#[test]
fn without_room_the_broker_keeps_it() {
    let mut world = World::new(BOTH);
    world.connects(false);
    world.nats.answer = Some(Brought::Full);
    world.hears(&publish("a", "0", Exchange::AtMostOnce));
    assert_eq!(world.bridge.counts.lost, 1);
    assert_eq!(world.hears(&publish("a", "1", once(id(1)))), [""; 0]);
    assert_eq!(world.reason().as_deref(), Some("there is no room on the way to NATS"));
    world.connects(true);
    world.nats.answer = Some(Brought::Never("no"));
    assert_eq!(world.hears(&publish("a", "1", once(id(1)))), ["PUBACK 1"]);
}

#[test]
fn paths_end_where_they_lead_back() {
    let mut world = World::new(BOTH);
    let site = [Property::UserProperty(SITE, "far")];
    world.opens();
    let connack = Connack { properties: List::of(&site), ..Connack::default() };
    world.hears(&ServerPacket::Connack(connack));
    let path = |sites: &str| {
        let mut message = message("a", "1", Qos::AtMostOnce);
        message.set_path(sites.into());
        message
    };
    assert_eq!(world.out(0, path("x")), ["a=1 q0 [x,here]"]);
    assert_eq!(world.out(0, path("x,far")), [""; 0], "it was there");
    let came = |world: &mut World, sites: &str| {
        let properties = [Property::UserProperty(crate::natsmqtt::path::PATH, sites)];
        let ServerPacket::Publish(came) = publish("a", "1", Exchange::AtMostOnce) else { panic!() };
        world.hears(&ServerPacket::Publish(Publish { properties: List::of(&properties), ..came }));
        world.nats.brought.pop().unwrap_or_default()
    };
    assert_eq!(came(&mut world, "x"), "a=1 q0 [x,far]");
    assert_eq!(came(&mut world, "x,far"), "a=1 q0 [x,far]");
    assert_eq!(came(&mut world, "x,here,far"), "");
    assert_eq!(came(&mut world, &["x"; 16].join(",")), "", "too long");
    assert_eq!(world.bridge.counts.lost, 1);
}

#[test]
fn a_broker_that_does_not_know_bridges_is_not_echoed() {
    let mut world = World::new("version: 3.1.1, topics: [ { pattern: '#', direction: both } ]");
    assert_eq!(world.opens(), ["CONNECT me bridge"]);
    let reason = ReasonCode::UnsupportedProtocolVersion;
    world.hears(&ServerPacket::Connack(Connack { reason, ..Connack::default() }));
    assert_eq!(world.reason().as_deref(), Some("the broker refuses: unsupported protocol version"));
    assert_eq!(world.opens(), ["CONNECT me"]);
    world.hears(&ServerPacket::Connack(Connack::default()));
    assert_eq!(world.out(0, message("a", "1", Qos::AtMostOnce)), ["a=1 q0"]);
    world.hears(&publish("a", "1", Exchange::AtMostOnce));
    assert_eq!(world.nats.brought, [""; 0]);
    world.hears(&publish("a", "1", Exchange::AtMostOnce));
    assert_eq!(world.nats.brought.len(), 1, "somebody else's");

    // One that hangs up, and one that has accepted it before.
    let mut world = World::new("version: 3.1, topics: [ { pattern: '#' } ]");
    world.opens();
    assert_eq!(world.reason(), None);
    assert_eq!(world.opens(), ["CONNECT me"]);
    let mut world = World::new("version: 3.1.1, topics: [ { pattern: '#' } ]");
    world.connects(false);
    world.reason();
    world.opens();
    world.reason();
    assert_eq!(world.opens(), ["CONNECT me bridge"]);
}

#[test]
fn rules_say_names_qos_and_retain() {
    let mut world = World::new(
        "topics: [ { pattern: 'temp/+', local: 'home/', remote: 'site/1/', qos: 1, retain: false }\n\
         { pattern: '#', local: 'home/', remote: 'all/', qos: 2 }\n\
         { local: 'cmd/+/do', remote: 'do/+', direction: in, qos: 2, retain: true } ]",
    );
    assert_eq!(world.connects(false), ["SUBSCRIBE do/+"]);
    let retained = Message { retain: true, ..message("home/temp/a", "17", Qos::ExactlyOnce) };
    assert_eq!(world.out(0, retained.clone()), ["site/1/temp/a=17 q1 #2 [here]"]);
    assert_eq!(world.out(1, retained), [""; 0], "the first rule counts");
    assert_eq!(world.out(1, message("home/x", "1", Qos::AtMostOnce)), ["all/x=1 q0 [here]"]);
    // A request, and its answer.
    let mut asks = message("home/x", "?", Qos::AtMostOnce);
    asks.properties.push(Kept::ResponseTopic("cmd/7/do".into()));
    assert_eq!(world.out(1, asks), ["all/x=? q0 ->do/7 [here]"]);
    world.hears(&publish("do/7", "!", Exchange::AtMostOnce));
    assert_eq!(world.nats.brought, ["cmd/7/do=! q0 retain [there:1883]"]);
    assert_eq!(world.hears(&publish("nobody/asked", "!", once(id(9)))), ["PUBACK 9"]);
}

#[test]
fn what_is_retained_is_sent_to_who_has_no_session() {
    let mut world = World::new("topics: [ { pattern: '#', qos: 0 } ]");
    world.nats.kept = vec![Message { retain: true, ..message("lamp", "on", Qos::AtLeastOnce) }];
    assert_eq!(world.connects(false), ["lamp=on q0 retain [here]"]);
    world.reason();
    assert_eq!(world.connects(true), [""; 0]);
}

#[test]
fn what_the_broker_does_not_take_it_does_not_get() {
    let mut world = World::new("topics: [ { pattern: '#', qos: 2 } ]");
    let limits = [
        Property::MaximumQos(Qos::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(NonZeroU32::new(100).unwrap()),
        Property::ReceiveMaximum(id(1)),
    ];
    world.opens();
    world.hears(&ServerPacket::Connack(Connack { properties: List::of(&limits), ..Connack::default() }));
    let retained = Message { retain: true, ..message("a", "1", Qos::AtMostOnce) };
    assert_eq!(world.out(0, retained), ["a=1 q0 [here]"]);
    assert_eq!(world.out(0, message("a", &"x".repeat(100), Qos::AtLeastOnce)), [""; 0]);
    assert_eq!(world.bridge.counts.lost, 1);
    let said = world.out(0, message("a", "2", Qos::ExactlyOnce));
    assert!(said[0].starts_with("a=2 q1 #"), "{said:?}");
    assert_eq!(world.out(0, message("a", "3", Qos::AtLeastOnce)), [""; 0], "one at a time");
    assert_eq!(world.hears(&ServerPacket::Puback(Ack::new(id(2)))).len(), 1);
}

#[test]
fn silence_is_asked_about_and_ends_it() {
    let mut world = World::new("keep_alive: 10, connect_timeout: 3s, topics: [ { pattern: '#' } ]");
    world.opens();
    world.now = world.bridge.next_deadline().unwrap();
    world.bridge.tick(world.now, false);
    assert_eq!(world.reason().as_deref(), Some("the broker does not answer"));
    world.connects(false);
    let start = world.now;
    world.now = world.bridge.next_deadline().unwrap();
    assert_eq!(world.now.since(start), Duration::from_secs(10));
    world.bridge.tick(world.now, false);
    assert_eq!(world.said(), ["Pingreq"]);
    world.hears(&ServerPacket::Pingresp);
    for expected in [&["Pingreq"][..], &["Pingreq"], &[]] {
        world.now = world.bridge.next_deadline().unwrap();
        world.bridge.tick(world.now, expected.len() == 1);
        assert_eq!(world.said(), expected, "it is not heard while we are crowded");
    }
    assert_eq!(world.reason().as_deref(), Some("the broker is silent"));
    let mut world = World::new("keep_alive: 0, topics: [ { pattern: '#' } ]");
    world.connects(false);
    assert_eq!(world.bridge.next_deadline(), None);
}

#[test]
fn people_at_the_broker_see_whether_it_is_there() {
    let mut world = World::new("notification_topic: 'bridges/me', topics: [ { pattern: '#' } ]");
    assert_eq!(world.connects(false), ["bridges/me=1 q0 retain"]);
    world.bridge.shut_down(world.now);
    let said = world.said();
    assert_eq!(said[0], "bridges/me=0 q0 retain");
    assert!(said[1].starts_with("Disconnect"), "{said:?}");
}

#[test]
fn whatever_a_broker_says_there_is_an_end_to_it() {
    let keys = "queue: 10, inflight: 5, topics: [ { pattern: '#', direction: both, qos: 2 } ]";
    for (seed, keys) in [(1, keys.to_owned()), (2, format!("version: 3.1.1, {keys}"))] {
        let mut world = World::new(&keys);
        world.connects(false);
        let mut random: u64 = seed;
        let mut chance = |of: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % of
        };
        for _ in 0..20_000 {
            let number = id(u16::try_from(1 + chance(40)).unwrap());
            let ack = match chance(4) {
                0 => Ack { reason: ReasonCode::QuotaExceeded, ..Ack::new(number) },
                _ => Ack::new(number),
            };
            match chance(14) {
                0 => _ = world.hears(&publish("a", "x", Exchange::AtMostOnce)),
                1 => _ = world.hears(&publish("a", "x", once(number))),
                2 => _ = world.hears(&publish("a/b", "x", exactly(number))),
                3 => _ = world.hears(&ServerPacket::Puback(ack)),
                4 => _ = world.hears(&ServerPacket::Pubrec(ack)),
                5 => _ = world.hears(&ServerPacket::Pubrel(ack)),
                6 => _ = world.hears(&ServerPacket::Pubcomp(ack)),
                7 | 8 => _ = world.out(0, message("c", "x", Qos::of(chance(3) as u8).unwrap())),
                9 => _ = world.reaches(chance(3) > 0),
                10 => {
                    world.nats.answer = [None, Some(Brought::Full), Some(Brought::Known)][chance(3) as usize]
                }
                11 => {
                    world.now = world.now + Duration::from_secs(chance(40));
                    world.bridge.tick(world.now, chance(2) == 0);
                    world.said();
                }
                12 => _ = world.reason(),
                _ if world.bridge.link.is_none() => {
                    world.connects(chance(2) == 0);
                }
                _ => {}
            }
            let bridge = &world.bridge;
            assert!(bridge.outbound.len() <= 10 + 5);
            assert!(bridge.taking.len() <= 40 && bridge.received.len() <= 40);
            assert!(bridge.pending.len() <= 40, "{}", bridge.pending.len());
        }
    }
}
