//! natsmqtt with a store: what outlives SIGKILL, a full disk, and files that are no store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mqtt_rig;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lunix_proto::mqtt::{
    Ack, ClientPacket, Connect, Delivery, List, Property, Publish, Qos, ReasonCode, ServerPacket, Subscribe,
    Subscription, Version, Will,
};
use mqtt_rig::{Client, Gateway, PROGRAM, natsd};

const ONE: NonZeroU16 = NonZeroU16::MIN;
const KEPT: &[Property<'_>] = &[Property::SessionExpiryInterval(1000)];

/// A store of the test's own.
struct Store(PathBuf);

impl Store {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("natsmqtt-{}-{name}.store", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn flags(&self) -> [&str; 2] {
        ["--store", self.0.to_str().unwrap()]
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A client whose session is to be kept, and whether there was one.
fn kept(gateway: &Gateway, name: &str) -> (Client, bool) {
    connect(gateway, &Connect { properties: List::of(KEPT), ..Client::hello(name, Version::V5) })
}

fn connect(gateway: &Gateway, connect: &Connect<'_>) -> (Client, bool) {
    let mut client = Client::connect(gateway, &Connect { clean_start: false, ..*connect });
    let present = client.next_as(|packet| match packet {
        ServerPacket::Connack(connack) if connack.reason == ReasonCode::Success => connack.session_present,
        other => panic!("{other:?}"),
    });
    (client, present.unwrap())
}

fn subscribe(client: &mut Client, filter: &str, qos: Qos) {
    let subscriptions = [Subscription::new(filter, qos)];
    client.say(ClientPacket::Subscribe(Subscribe {
        packet_id: ONE,
        properties: List::EMPTY,
        subscriptions: List::of(&subscriptions),
    }));
    assert!(client.next().unwrap().starts_with("Suback"));
}

fn message<'m>(topic: &'m str, payload: &'m str, delivery: Delivery) -> Publish<'m> {
    let payload = payload.as_bytes();
    Publish { delivery, retain: false, topic, properties: List::EMPTY, payload, following: 0 }
}

/// Says a message with QoS 1, and how it is answered.
fn publish(client: &mut Client, publish: Publish<'_>) -> ReasonCode {
    let delivery = Delivery::AtLeastOnce { packet_id: ONE, dup: false };
    client.say(ClientPacket::Publish(Publish { delivery, ..publish }));
    let reason = client.next_as(|packet| match packet {
        ServerPacket::Puback(ack) => ack.reason,
        other => panic!("{other:?}"),
    });
    reason.unwrap()
}

/// Numbers with QoS 1 on one topic and with QoS 2 on another, several under way at a time, by the standard.
#[derive(Default)]
struct Sender {
    next: [u32; 2],
    flights: BTreeMap<u32, Flight>,
    begun: u32,
}

struct Flight {
    packet_id: NonZeroU16,
    exactly: bool,
    number: u32,
    is_released: bool,
}

impl Flight {
    fn say(&self, client: &mut Client, dup: bool) -> bool {
        let Self { packet_id, exactly, number, is_released } = *self;
        let delivery = match exactly {
            true => Delivery::ExactlyOnce { packet_id, dup },
            false => Delivery::AtLeastOnce { packet_id, dup },
        };
        let topic = if exactly { "n/2" } else { "n/1" };
        let payload = number.to_string();
        client.tell(match is_released {
            true => ClientPacket::Pubrel(Ack::new(packet_id)),
            false => ClientPacket::Publish(message(topic, &payload, delivery)),
        })
    }
}

impl Sender {
    /// Sends until that many messages are over, or if there are to be no new ones, until all are.
    fn run(&mut self, gateway: &Gateway, window: usize, mut most: usize) {
        let (mut client, _) = kept(gateway, "sender");
        self.flights.values().for_each(|flight| assert!(flight.say(&mut client, true)));
        while most > 0 && (window > 0 || !self.flights.is_empty()) {
            while self.flights.len() < window {
                let exactly = !self.begun.is_multiple_of(3);
                let number = &mut self.next[usize::from(exactly)];
                let packet_id = (1..).find_map(|id| {
                    let id = NonZeroU16::new(id)?;
                    self.flights.values().all(|flight| flight.packet_id != id).then_some(id)
                });
                let flight =
                    Flight { packet_id: packet_id.unwrap(), exactly, number: *number, is_released: false };
                *number += 1;
                assert!(flight.say(&mut client, false));
                self.flights.insert(self.begun, flight);
                self.begun += 1;
            }
            let (packet_id, is_over) = client
                .next_as(|packet| match packet {
                    ServerPacket::Puback(ack) | ServerPacket::Pubcomp(ack) => (ack.packet_id, true),
                    ServerPacket::Pubrec(ack) => (ack.packet_id, false),
                    other => panic!("{other:?}"),
                })
                .unwrap();
            let found = self.flights.iter_mut().find(|(_, flight)| flight.packet_id == packet_id);
            let (age, flight) = found.unwrap();
            if is_over {
                let age = *age;
                self.flights.remove(&age);
                most -= 1;
            } else {
                flight.is_released = true;
                assert!(flight.say(&mut client, false));
            }
        }
    }
}

/// Who gets them.
#[derive(Default)]
struct Receiver {
    got: [Vec<u32>; 2],
    begun: BTreeSet<NonZeroU16>,
}

impl Receiver {
    /// Listens until the connection ends, or to so many different ones.
    fn run(&mut self, mut client: Client, all: [u32; 2]) {
        loop {
            let answer = client.next_as(|packet| match packet {
                ServerPacket::Publish(publish) => {
                    let number = str::from_utf8(publish.payload).unwrap().parse().unwrap();
                    match publish.delivery {
                        Delivery::AtLeastOnce { packet_id, .. } => {
                            self.got[0].push(number);
                            ClientPacket::Puback(Ack::new(packet_id))
                        }
                        Delivery::ExactlyOnce { packet_id, .. } => {
                            if self.begun.insert(packet_id) {
                                self.got[1].push(number);
                            }
                            ClientPacket::Pubrec(Ack::new(packet_id))
                        }
                        Delivery::AtMostOnce => panic!("{number}"),
                    }
                }
                ServerPacket::Pubrel(ack) => {
                    self.begun.remove(&ack.packet_id);
                    ClientPacket::Pubcomp(Ack::new(ack.packet_id))
                }
                other => panic!("{other:?}"),
            });
            let Some(answer) = answer else { return };
            if !client.tell(answer) || self.has(all) {
                return;
            }
        }
    }

    fn has(&self, all: [u32; 2]) -> bool {
        let distinct = |numbers: &[u32]| numbers.iter().collect::<BTreeSet<_>>().len();
        let [once, exactly] = all.map(|count| count as usize);
        distinct(&self.got[0]) >= once && distinct(&self.got[1]) >= exactly && self.begun.is_empty()
    }
}

#[test]
fn nothing_is_lost_by_sigkill_and_what_is_sent_exactly_once_comes_exactly_once() {
    const ROUNDS: usize = 50;
    let (server, store) = (natsd("-1"), Store::new("kill"));
    let mut gateway = Gateway::start(&server, &store.flags());
    let (mut client, _) = kept(&gateway, "receiver");
    subscribe(&mut client, "n/+", Qos::ExactlyOnce);
    drop(client);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    for round in 0..ROUNDS {
        let listener = (round % 3 > 0).then(|| {
            let (client, present) = kept(&gateway, "receiver");
            assert!(present, "round {round}");
            client
        });
        std::thread::scope(|scope| {
            listener.map(|client| scope.spawn(|| receiver.run(client, [u32::MAX; 2])));
            // Somewhere within what is under way.
            sender.run(&gateway, 20, 1 + round * 7 % 23);
            gateway.kill();
        });
        gateway = Gateway::start(&server, &store.flags());
    }
    sender.run(&gateway, 0, usize::MAX);
    let all = sender.next;
    if !receiver.has(all) {
        receiver.run(kept(&gateway, "receiver").0, all);
    }
    let [once, mut exactly] = receiver.got;
    exactly.sort_unstable();
    assert!(exactly.into_iter().eq(0..all[1]), "with QoS 2 each comes once");
    assert!(once.into_iter().collect::<BTreeSet<_>>().into_iter().eq(0..all[0]), "with QoS 1 each comes");
    assert!(all[0] > 100 && all[1] > 200, "{all:?}");
}

#[test]
fn retained_messages_wills_and_times_outlive_it() {
    let (server, store) = (natsd("-1"), Store::new("times"));
    let gateway = Gateway::start(&server, &store.flags());
    let (mut listener, _) = kept(&gateway, "listener");
    subscribe(&mut listener, "wills/+", Qos::AtLeastOnce);
    drop(listener);
    // The end of a session comes before a longer delay.
    let (delay, longer) = ([Property::WillDelayInterval(1)], [Property::WillDelayInterval(500)]);
    let short = [Property::SessionExpiryInterval(1)];
    let will = |topic, delay| Will {
        topic,
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: List::of(delay),
    };
    let hello = Client::hello("willing", Version::V5);
    drop(connect(
        &gateway,
        &Connect { will: Some(will("wills/1", &delay)), properties: List::of(KEPT), ..hello },
    ));
    let brief = Connect {
        will: Some(will("wills/2", &longer)),
        properties: List::of(&short),
        ..Client::hello("brief", Version::V5)
    };
    drop(connect(&gateway, &brief));
    let mut lamp = gateway.client("lamp", Version::V5);
    for payload in ["off", "on"] {
        let retained = Publish { retain: true, ..message("lamp/1", payload, Delivery::AtMostOnce) };
        assert_eq!(publish(&mut lamp, retained), ReasonCode::Success);
    }
    gateway.kill();

    let gateway = Gateway::start(&server, &store.flags());
    let mut other = gateway.client("other", Version::V5);
    subscribe(&mut other, "lamp/#", Qos::AtMostOnce);
    assert_eq!(other.next().as_deref(), Some("Publish lamp/1=on"));
    let (mut listener, present) = kept(&gateway, "listener");
    assert!(present);
    let mut wills = [listener.next().unwrap(), listener.next().unwrap()];
    wills.sort();
    assert_eq!(wills, ["Publish wills/1=gone", "Publish wills/2=gone"]);
    assert!(!connect(&gateway, &brief).1);
    gateway.stop();
}

#[test]
fn a_full_disk_is_told_to_who_asks_for_more_and_others_go_on() {
    let (server, store) = (natsd("-1"), Store::new("full"));
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes, or of 1024 with some shells.
    shell.args(["-c", "ulimit -f 512; exec \"$0\" \"$@\"", PROGRAM]);
    let gateway = Gateway::start_by(shell, &server.client_url(), &store.flags());
    let (mut away, _) = kept(&gateway, "away");
    subscribe(&mut away, "a", Qos::AtLeastOnce);
    drop(away);
    let mut sender = gateway.client("sender", Version::V5);
    let payload = |number: usize| format!("{number} {}", "x".repeat(20_000));
    let mut taken = 0;
    while publish(&mut sender, message("a", &payload(taken), Delivery::AtMostOnce)) == ReasonCode::Success {
        taken += 1;
        assert!(taken < 100);
    }
    let refused = publish(&mut sender, message("a", &payload(taken), Delivery::AtMostOnce));
    assert_eq!(refused, ReasonCode::QuotaExceeded);
    let mut witness = gateway.client("witness", Version::V5);
    subscribe(&mut witness, "b", Qos::AtLeastOnce);
    assert_eq!(publish(&mut sender, message("b", "1", Delivery::AtMostOnce)), ReasonCode::Success);
    assert_eq!(witness.next().as_deref(), Some("Publish b=1"));
    drop((sender, witness));
    let said = gateway.stop();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("error")).collect();
    assert!(matches!(lines[..], [line] if line.contains("File too large")), "{said}");

    let gateway = Gateway::start(&server, &store.flags());
    let (mut away, present) = kept(&gateway, "away");
    assert!(present && taken > 0);
    for number in 0..taken {
        let expected = format!("Publish a={}", payload(number));
        assert_eq!(away.next(), Some(expected), "what was acknowledged is there");
    }
}

fn refused(flags: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(PROGRAM)
        .args(["natsmqtt", "--listen", "127.0.0.1:0"])
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_file_that_is_another_s_stays_as_it_is() {
    let (server, store) = (natsd("-1"), Store::new("foreign"));
    let first = Gateway::start(&server, &store.flags());
    assert!(refused(&store.flags()).contains("another natsmqtt has it open"));
    drop(first);
    let diary = b"a diary, page one\n".repeat(1000);
    std::fs::write(&store.0, &diary).unwrap();
    assert!(refused(&store.flags()).contains("no store of natsmqtt"));
    assert_eq!(std::fs::read(&store.0).unwrap(), diary);
    assert!(refused(&["--store", "/proc/none/store"]).contains("/proc/none/store: "));
}

#[test]
fn programs_of_mosquitto_get_what_came_before_it_died() {
    let found = Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).status();
    if found.is_err() {
        println!("SKIPPED programs_of_mosquitto_get_what_came_before_it_died: not installed");
        return;
    }
    let (server, store) = (natsd("-1"), Store::new("mosquitto"));
    let gateway = Gateway::start(&server, &store.flags());
    let subscriber = |gateway: &Gateway, flags: &[&str]| {
        let common = ["-p", &gateway.port(), "-i", "m", "-c", "-q", "2", "-t", "t/#", "-W", "60"];
        Command::new("mosquitto_sub").args(common).args(flags).output().unwrap()
    };
    assert!(subscriber(&gateway, &["-E"]).status.success());
    for (qos, payload) in [("1", "one"), ("2", "two")] {
        let common = ["-p", &gateway.port(), "-t", "t/1", "-q", qos, "-m", payload];
        assert!(Command::new("mosquitto_pub").args(common).status().unwrap().success());
    }
    gateway.kill();
    let gateway = Gateway::start(&server, &store.flags());
    let heard = subscriber(&gateway, &["-C", "2"]);
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "one\ntwo\n");
}
