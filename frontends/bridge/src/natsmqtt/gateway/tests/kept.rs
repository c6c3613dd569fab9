//! With a store that is a map, and crashes between any two commits.

use std::collections::BTreeMap;

use super::*;

type Disk = BTreeMap<Vec<u8>, Vec<u8>>;

/// A gateway's life, between crashes.
struct Stored {
    world: World,
    disk: Disk,
    limits: Limits,
}

impl Stored {
    fn new() -> Self {
        Self::on(Disk::new(), Limits::STANDARD, Instant::from_micros(0))
    }

    /// Begins with what is on disk.
    fn on(disk: Disk, limits: Limits, now: Instant) -> Self {
        let mut world = World::before(limits, Some(Rc::default()));
        world.now = now;
        let rules = world.rules.clone();
        let known = |user: Option<&str>| (user != Some("gone")).then(|| rules.clone());
        let mut restoring = world.gateway.restore(now, Epoch::default(), known);
        for (key, value) in &disk {
            restoring.take(key, value).unwrap();
        }
        restoring.finish();
        Self { world, disk, limits }
    }

    /// The process is gone, and comes back some seconds later.
    fn crash(self, seconds: u64) -> Self {
        Self::on(self.disk, self.limits, self.world.now + Duration::from_secs(seconds))
    }

    /// Writes what there is, as often as that makes more; how often it was.
    fn commit(&mut self) -> usize {
        let mut count = 0;
        while self.write() {
            self.world.gateway.written(self.world.now, None);
            count += 1;
        }
        count
    }

    /// Writes what there is, of which the gateway does not hear yet; whether there is something.
    fn write(&mut self) -> bool {
        let Some(batch) = self.world.gateway.next_batch(Epoch::default()) else { return false };
        for (key, value) in batch.iter() {
            match value {
                Some(value) => _ = self.disk.insert(key, value.to_vec()),
                None => _ = self.disk.remove(&key),
            }
        }
        true
    }

    /// The disk is full; whether there was something to write.
    fn fail(&mut self) -> bool {
        let batch = self.world.gateway.next_batch(Epoch::default());
        let was_something = batch.is_some();
        batch.into_iter().for_each(|batch| self.world.gateway.written(self.world.now, Some(batch)));
        was_something
    }

    fn heard(&mut self, link: LinkId) -> Vec<String> {
        self.commit();
        self.world.heard(link)
    }

    /// A client that is welcome, with its subscription if it wants one.
    fn client(&mut self, who: Who<'_>, filter: Option<&str>) -> LinkId {
        let link = self.world.connect(who);
        if let Some(filter) = filter {
            self.world.subscribe(link, Subscription::new(filter, Qos::ExactlyOnce));
        }
        self.heard(link);
        link
    }
}

const C: Who<'_> = Who { client: "c", clean: false, properties: KEPT, ..V5 };

#[test]
fn what_is_acknowledged_is_on_disk() {
    let mut it = Stored::new();
    let (away, sender) = (it.client(C, Some("a")), it.client(V5, None));
    it.world.leave(away);
    it.commit();
    it.world.publish(sender, message("a", "1", once(id(1))));
    it.world.publish(sender, message("b", "nobody's", once(id(2))));
    it.world.settle(true);
    assert!(it.world.heard(sender).is_empty());
    assert_eq!(it.commit(), 1, "one commit for all that waits");
    assert_eq!(it.world.heard(sender), ["PUBACK 1 0x00", "PUBACK 2 0x00"]);
    it.world.publish(sender, message("b", "nobody's", once(id(3))));
    it.world.settle(true);
    assert_eq!(it.world.heard(sender), ["PUBACK 3 0x00"], "and for what nobody keeps there is none");
    it.world.publish(sender, message("a", "too late", once(id(4))));
    it.world.settle(true);
    let mut it = it.crash(1);
    let client = it.world.connect(C);
    assert_eq!(it.heard(client), ["CONNACK 1 0x00", "PUBLISH a=1 q1 #1"]);
    assert_eq!(it.world.gateway.upstream.log, ["SUB a"]);
}

#[test]
fn what_is_heard_is_on_disk() {
    let mut it = Stored::new();
    let (client, sender) = (it.client(C, None), it.client(V5, None));
    it.world.subscribe(client, Subscription::new("a", Qos::ExactlyOnce));
    assert!(it.world.heard(client).is_empty());
    it.commit();
    assert_eq!(it.world.heard(client), ["SUBACK 1 [2]"]);
    it.world.publish(sender, message("a", "1", exactly(id(1))));
    it.world.publish(sender, message("a", "0", Delivery::AtMostOnce));
    it.world.settle(true);
    assert!(it.world.heard(client).is_empty());
    it.commit();
    assert_eq!(it.world.heard(client), ["PUBLISH a=1 q2 #1", "PUBLISH a=0 q0"]);
    it.world.publish(sender, message("a", "2", once(id(2))));
    it.world.settle(true);
    assert_eq!(it.world.heard(client), ["PUBLISH a=2 q1 #2"], "which may come again");
    it.world.say(client, ClientPacket::Puback(Ack::new(id(2))));
    it.world.say(client, ClientPacket::Pubrec(Ack::new(id(1))));
    assert!(it.world.heard(client).is_empty());
    assert_eq!(it.heard(client), ["PUBREL 1 0x00"]);
    let mut it = it.crash(0);
    let client = it.world.connect(C);
    assert_eq!(it.heard(client), ["CONNACK 1 0x00", "PUBREL 1 0x00"]);
    it.world.say(client, ClientPacket::Pubcomp(Ack::new(id(1))));
    it.commit();
    let mut it = it.crash(0);
    let client = it.world.connect(C);
    assert_eq!(it.heard(client), ["CONNACK 1 0x00"]);
    it.world.gateway.unsubscribe_all(client);
    assert_eq!(it.heard(client), ["UNSUBACK 7 [0]"]);
    let kinds: Vec<u8> = it.disk.keys().map(|key| key[0]).collect();
    assert_eq!(kinds, [2], "the session is all that is left");
}

impl Gateway<Fake> {
    fn unsubscribe_all(&mut self, link: LinkId) {
        let unsubscribe =
            Unsubscribe { packet_id: id(7), properties: List::EMPTY, filters: List::of(&["a"]) };
        self.take(Instant::from_micros(0), link, ClientPacket::Unsubscribe(unsubscribe));
    }
}

#[test]
fn a_session_comes_back_as_it_was() {
    let mut it = Stored::new();
    let (client, sender) = (it.client(C, None), it.client(V5, None));
    let identifier = [Property::SubscriptionIdentifier(NonZeroU32::new(7).unwrap())];
    let options = Subscription { retain_as_published: true, ..Subscription::new("a/+", Qos::AtLeastOnce) };
    it.world.subscribe_with(client, options, &identifier);
    it.world.subscribe(client, Subscription::new("$share/g/b", Qos::AtLeastOnce));
    it.heard(client);
    let lives = [Property::MessageExpiryInterval(50), Property::UserProperty("k", "v")];
    let retained =
        Publish { retain: true, properties: List::of(&lives), ..message("a/1", "first", exactly(id(1))) };
    it.world.publish(sender, retained);
    it.world.settle(true);
    let first = "PUBLISH a/1=first q1 #1";
    assert!(it.heard(client)[0].starts_with(first));
    it.world.leave(client);
    for (number, payload) in [(2, "second"), (3, "third")] {
        it.world.publish(sender, message("a/2", payload, once(id(number))));
    }
    it.world.settle(true);
    it.commit();
    let mut it = it.crash(20);
    let client = it.world.connect(C);
    assert_eq!(
        it.heard(client),
        [
            "CONNACK 1 0x00",
            "PUBLISH a/1=first q1 #1 dup retain k:v 30s id7",
            "PUBLISH a/2=second q1 #2 id7",
            "PUBLISH a/2=third q1 #3 id7"
        ]
    );
    assert_eq!(it.world.gateway.upstream.log, ["SUB b g", "SUB a.*"]);
    let other = it.client(V5, None);
    it.world.subscribe(other, Subscription::new("a/#", Qos::AtLeastOnce));
    assert_eq!(it.heard(other), ["SUBACK 1 [1]", "PUBLISH a/1=first q1 #1 retain k:v 30s"]);
    it.world.nats("a.2", None, b"", "4");
    assert_eq!(it.heard(client), ["PUBLISH a/2=4 q1 #4 id7"]);
}

#[test]
fn what_ends_while_nobody_runs_is_over_and_wills_are_said() {
    let delay = [Property::WillDelayInterval(50)];
    let will = |topic| Will {
        topic,
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: List::of(&delay),
    };
    let mut it = Stored::new();
    let gone = it.client(Who { will: Some(will("w/away")), ..C }, Some("x"));
    it.world.leave(gone);
    let here = Who { client: "here", will: Some(will("w/here")), ..C };
    it.client(here, None);
    let listener = Who { client: "listener", ..C };
    it.client(listener, Some("w/+"));
    let mut it = it.crash(30);
    let link = it.client(listener, None);
    it.world.pass(19);
    assert!(it.heard(link).is_empty());
    it.world.pass(1);
    assert_eq!(it.heard(link), ["PUBLISH w/away=gone q1 #1"]);
    it.world.pass(30);
    assert_eq!(it.heard(link), ["PUBLISH w/here=gone q1 #2"], "who was connected is away since the crash");
    let mut it = it.crash(60);
    it.world.pass(0);
    it.commit();
    assert_eq!(it.world.gateway.clients.keys().map(|name| &**name).collect::<Vec<_>>(), ["listener"]);
    assert_eq!(it.disk.keys().filter(|key| key[0] == 2).count(), 1);
}

#[test]
fn what_is_not_kept_any_more_is_not_on_disk() {
    let mut it = Stored::new();
    let (client, sender) = (it.client(C, Some("a")), it.client(V5, None));
    it.world.leave(client);
    it.world.publish(sender, Publish { retain: true, ..message("a", "1", exactly(id(1))) });
    it.world.settle(true);
    assert_eq!(it.heard(sender), ["PUBREC 1 0x00"]);
    let kinds: Vec<u8> = it.disk.keys().map(|key| key[0]).collect();
    assert_eq!(kinds, [1, 2, 3, 5, 6]);
    it.client(Who { properties: &[], ..C }, None);
    it.world.publish(sender, Publish { retain: true, ..message("a", "", Delivery::AtMostOnce) });
    it.world.settle(true);
    it.commit();
    assert!(
        it.disk.is_empty(),
        "neither a session that ends with its connection nor a topic without a message"
    );
}

#[test]
fn users_and_limits_are_those_of_now() {
    let mut it = Stored::new();
    let client = it.client(C, Some("a"));
    it.client(Who { client: "other", ..C }, None);
    it.world.leave(client);
    for payload in ["1", "2", "3"] {
        it.world.nats("a", None, b"", payload);
    }
    it.commit();
    it.limits = Limits { queue: 2, sessions: 1, ..it.limits };
    let mut it = it.crash(0);
    it.commit();
    assert_eq!(it.disk.keys().map(|key| key[0]).collect::<Vec<_>>(), [1, 1, 2, 3, 5, 5]);
    let session = it.world.gateway.clients["c"];
    it.world.gateway.sessions.get_mut(&session).unwrap().user = Some("gone".into());
    it.world.gateway.note_session(session);
    it.commit();
    let mut it = it.crash(0);
    it.commit();
    assert!(it.disk.is_empty() && it.world.gateway.streams.is_empty());
}

#[test]
fn a_full_disk_is_told_to_who_asks_for_more() {
    let mut it = Stored::new();
    let (away, sender) = (it.client(C, Some("a")), it.client(V5, None));
    let (old, listener) = (it.client(V311, None), it.client(V5, Some("#")));
    it.world.leave(away);
    it.commit();
    it.world.publish(sender, message("a", "1", once(id(1))));
    it.world.settle(true);
    assert!(it.fail());
    it.world.publish(sender, message("a", "2", exactly(id(2))));
    it.world.settle(true);
    assert!(it.fail());
    assert_eq!(it.world.heard(sender), ["PUBACK 1 0x97", "PUBREC 2 0x97"]);
    it.world.publish(old, message("a", "3", once(id(1))));
    it.world.settle(true);
    assert!(it.fail() && !it.fail(), "it is not tried again before there is more");
    assert_eq!(it.world.heard(old), ["end"]);
    it.world.publish(sender, message("b", "4", once(id(4))));
    it.world.settle(true);
    assert_eq!(it.world.heard(sender), ["PUBACK 4 0x00"], "what nobody keeps goes on");
    assert_eq!(it.world.heard(listener).len(), 4, "and all is heard by who is there");
    let kept = it.world.connect(Who { client: "d", ..C });
    it.world.subscribe(kept, Subscription::new("x", Qos::AtLeastOnce));
    assert!(it.fail());
    assert_eq!(it.world.heard(kept), ["CONNACK 0 0x00", "SUBACK 1 [97]"]);
    assert_eq!(it.world.gateway.upstream.subscriptions.len(), 2);
    let back = it.world.connect(C);
    it.world.subscribe(back, Subscription::new("a", Qos::ExactlyOnce));
    assert!(it.fail());
    let again = it.world.heard(back);
    assert_eq!((&*again[0], again.last().map(String::as_str)), ("CONNACK 1 0x00", Some("SUBACK 1 [2]")));
    it.world.leave(back);

    it.world.publish(sender, message("a", "5", once(id(5))));
    it.world.settle(true);
    assert_eq!(it.heard(sender), ["PUBACK 5 0x00"], "there is room again");
    let mut it = it.crash(0);
    let client = it.world.connect(C);
    assert_eq!(it.heard(client).last().map(String::as_str), Some("PUBLISH a=5 q1 #4"));
}

#[test]
fn what_could_not_be_written_before_nats_had_it_is_not_acknowledged() {
    let mut it = Stored::new();
    let (client, sender) = (it.client(C, None), it.client(V5, None));
    let subscriptions = [Subscription::new("a", Qos::AtLeastOnce)];
    let subscribe =
        Subscribe { packet_id: id(1), properties: List::EMPTY, subscriptions: List::of(&subscriptions) };
    it.world.say(client, ClientPacket::Subscribe(subscribe));
    assert!(it.fail());
    it.world.settle(true);
    assert!(it.world.heard(client).is_empty() && it.fail());
    assert_eq!(it.world.heard(client), ["SUBACK 1 [97]"]);
    it.world.say(client, ClientPacket::Subscribe(subscribe));
    it.world.settle(true);
    assert_eq!(it.heard(client), ["SUBACK 1 [1]"]);
    for (number, refused) in [(1, true), (2, false)] {
        it.world.publish(sender, message("a", "1", once(id(number))));
        it.world.echo();
        assert!(it.fail());
        it.world.settle(true);
        assert!(it.world.heard(sender).is_empty());
        if refused {
            assert!(it.fail());
        }
        let reason = if refused { "0x97" } else { "0x00" };
        assert_eq!(it.heard(sender), [format!("PUBACK {number} {reason}")]);
    }
}

#[test]
fn what_is_acknowledged_comes_whatever_fails() {
    let mut counts = [0, 0];
    for seed in 1..=200 {
        let mut random = Random(0x2545_f491_4f6c_dd1d_u64.wrapping_mul(seed));
        let mut it = Stored::new();
        let client = it.client(C, Some("a"));
        it.world.leave(client);
        it.commit();
        let (mut sender, mut number) = (None, 0);
        let mut acknowledged = Vec::new();
        for _ in 0..200 {
            match random.below(10) {
                0 => {
                    it = it.crash(0);
                    sender = None;
                }
                1 | 2 => it.world.echo(),
                3 | 4 => it.world.settle(true),
                5 | 6 => _ = it.commit(),
                7 => _ = it.fail(),
                _ => {
                    let link = sender.unwrap_or_else(|| {
                        let link = it.world.connect(V5);
                        it.world.publish(link, message("a", &number.to_string(), once(id(1))));
                        link
                    });
                    sender = Some(link);
                    for word in it.world.heard(link) {
                        match &*word {
                            "PUBACK 1 0x00" => acknowledged.push(number),
                            "PUBACK 1 0x97" => counts[1] += 1,
                            _ => continue,
                        }
                        number += 1;
                        it.world.publish(link, message("a", &number.to_string(), once(id(1))));
                    }
                }
            }
        }
        let mut it = it.crash(0);
        let link = it.world.connect(C);
        let mut got = BTreeSet::new();
        loop {
            let words = it.heard(link);
            let numbers = words.iter().filter_map(|word| word.strip_prefix("PUBLISH a=")?.split(' ').next());
            got.extend(numbers.map(|number| number.parse::<i32>().unwrap()));
            if words.is_empty() {
                break;
            }
            for word in words {
                let packet_id = word.split(' ').find_map(|word| word.strip_prefix('#')?.parse().ok());
                packet_id.into_iter().for_each(|packet_id| {
                    it.world.say(link, ClientPacket::Puback(Ack::new(id(packet_id))));
                });
            }
        }
        assert!(acknowledged.iter().all(|number| got.contains(number)), "seed {seed}");
        counts[0] += acknowledged.len();
    }
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
}

#[test]
fn garbage_is_damage() {
    let mut world = World::before(Limits::STANDARD, Some(Rc::default()));
    let mut restoring = world.gateway.restore(world.now, Epoch::default(), |_| Some(Rc::default()));
    for (key, value) in [(&b""[..], &b""[..]), (b"\x02\0\0\0\0\0\0\0\x01", b"\xff"), (b"\x06a", b"")] {
        assert!(restoring.take(key, value).is_err());
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Who sends numbers with QoS 2, one after the other, by the standard.
#[derive(Default)]
struct Sender {
    link: Option<LinkId>,
    number: u32,
    is_released: bool,
}

/// Who gets them.
#[derive(Default)]
struct Receiver {
    link: Option<LinkId>,
    begun: BTreeSet<u16>,
    got: Vec<u32>,
}

impl Sender {
    fn say(&mut self, world: &mut World, dup: bool) {
        let Some(link) = self.link else { return };
        let payload = self.number.to_string();
        match self.is_released {
            true => world.say(link, ClientPacket::Pubrel(Ack::new(id(1)))),
            false => {
                world.publish(link, message("a", &payload, Delivery::ExactlyOnce { packet_id: id(1), dup }))
            }
        }
    }

    fn turn(&mut self, world: &mut World) {
        let Some(link) = self.link else {
            self.link = Some(world.connect(Who { client: "sender", ..C }));
            return self.say(world, true);
        };
        for word in world.heard(link) {
            if word.starts_with("PUBREC 1 0x00") && !self.is_released {
                self.is_released = true;
                self.say(world, false);
            } else if word.starts_with("PUBCOMP 1 0x00") && self.is_released {
                (self.number, self.is_released) = (self.number + 1, false);
                self.say(world, false);
            }
        }
    }
}

impl Receiver {
    fn turn(&mut self, world: &mut World) {
        let Some(link) = self.link else {
            self.link = Some(world.connect(C));
            return;
        };
        for word in world.heard(link) {
            let packet_id = |text: &str| text.trim_start_matches('#').parse::<u16>().unwrap();
            let words: Vec<&str> = word.split(' ').collect();
            match words[0] {
                "PUBLISH" => {
                    let number = packet_id(words[3]);
                    if self.begun.insert(number) {
                        self.got.push(words[1].strip_prefix("a=").unwrap().parse().unwrap());
                    }
                    world.say(link, ClientPacket::Pubrec(Ack::new(id(number))));
                }
                "PUBREL" => {
                    self.begun.remove(&packet_id(words[1]));
                    world.say(link, ClientPacket::Pubcomp(Ack::new(id(packet_id(words[1])))));
                }
                "CONNACK" => assert_eq!(words[1..], ["1", "0x00"], "its session is there"),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn exactly_once_whenever_it_crashes() {
    for seed in 1..=200 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut it = Stored::new();
        let client = it.client(C, Some("a"));
        it.world.leave(client);
        it.commit();
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut crashes = 0;
        for _ in 0..300 {
            match random.below(12) {
                0 => {
                    if random.below(2) == 0 {
                        it.write();
                    }
                    it = it.crash(0);
                    crashes += 1;
                    (sender.link, receiver.link) = (None, None);
                }
                1 => it.world.echo(),
                2 | 3 => it.world.settle(true),
                4 | 5 => _ = it.commit(),
                6 => {
                    if let Some(link) = receiver.link.take() {
                        it.world.leave(link);
                    }
                }
                7..9 => sender.turn(&mut it.world),
                _ => receiver.turn(&mut it.world),
            }
        }
        let sent = sender.number;
        for _ in 0..30 {
            sender.turn(&mut it.world);
            receiver.turn(&mut it.world);
            it.world.settle(true);
            it.commit();
        }
        assert!(crashes > 5 && sender.number > sent, "seed {seed}");
        let expected: Vec<u32> =
            (0..receiver.got.len()).filter_map(|number| number.try_into().ok()).collect();
        assert_eq!(receiver.got, expected, "seed {seed}");
        assert!(receiver.got.len() >= sender.number as usize, "seed {seed}");
    }
}
