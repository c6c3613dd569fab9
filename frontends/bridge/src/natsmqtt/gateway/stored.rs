//! A gateway that has only its records: no file, no socket, and a NATS server that takes everything and never says a word. What
//! restoring makes of any records, it shows who has nothing else; `fuzz/` does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{ClientPacket, Connect, List, Property, Version};

use super::record::Key;
use super::{Epoch, Gateway, LinkId, Upstream};
use crate::natsmqtt::settings::Limits;

/// Keys and values, as a store has them.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A NATS server that is away, and for which everything is kept.
#[derive(Debug)]
struct Away(u64);

impl Upstream for Away {
    type Barrier = ();
    type Sid = u64;

    fn is_ready(&self) -> bool {
        false
    }

    fn publish(&mut self, _: &str, _: Option<&str>, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn barrier(&mut self) {}

    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Option<u64> {
        self.0 += 1;
        Some(self.0)
    }

    fn unsubscribe(&mut self, _: u64) {}
}

/// The gateway, and what it has on disk.
#[derive(Debug)]
pub struct Stored {
    gateway: Gateway<Away>,
    records: Records,
    now: Instant,
    epoch: Epoch,
}

impl Stored {
    /// Restores `records` at a time, in microseconds since 1970, with room for `most` of everything if that is less than usual, and
    /// without the users that are `gone`. Every record is written anew. `None` if there is one that is none.
    pub fn restore(
        records: Records,
        wall: u64,
        most: Option<usize>,
        gone: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let mut limits = Limits::STANDARD;
        let counts =
            [&mut limits.sessions, &mut limits.subscriptions, &mut limits.queue, &mut limits.retained];
        counts.into_iter().for_each(|count| *count = most.map_or(*count, |most| most.min(*count)));
        let now = Instant::from_micros(1_000_000);
        let epoch = Epoch::new(wall, now);
        let mut gateway = Gateway::new(Away(0), limits, "stored".to_owned(), Some(Rc::default()));
        let is_known = |user: Option<&str>| (!user.is_some_and(&gone)).then(Rc::default);
        let mut restoring = gateway.restore(now, epoch, is_known);
        for (key, value) in &records {
            restoring.take(key, value).ok()?;
        }
        restoring.finish();
        records.keys().filter_map(|key| Key::decode(key)).for_each(|key| gateway.journal.change(key));
        let mut stored = Self { gateway, records, now, epoch };
        stored.write();
        Some(stored)
    }

    /// What is on disk now.
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// The clients whose sessions are kept.
    pub fn clients(&self) -> Vec<String> {
        self.gateway.clients.keys().map(ToString::to_string).collect()
    }

    /// A client comes back, by MQTT 5 and with a session for ever; the number of its connection. `None` if there are too many.
    pub fn connect(&mut self, client: &str) -> Option<LinkId> {
        let (link, _) = self.gateway.open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: false,
            keep_alive: 0,
            client_id: client,
            will: None,
            username: None,
            password: None,
            properties: List::of(&[Property::SessionExpiryInterval(u32::MAX)]),
        };
        self.gateway.connect(self.now, link, connect, Rc::default(), None);
        Some(link)
    }

    /// A client says a packet.
    pub fn say(&mut self, link: LinkId, packet: ClientPacket<'_>) {
        self.gateway.take(self.now, link, packet);
    }

    /// What a client hears next, once all is on disk: whole packets.
    pub fn hear(&mut self, link: LinkId) -> Vec<u8> {
        self.gateway.sent(self.now, link);
        self.write();
        self.gateway.output(link).map(|(output, _)| std::mem::take(output)).unwrap_or_default()
    }

    /// A connection ends.
    pub fn leave(&mut self, link: LinkId) {
        self.gateway.closed(self.now, link);
        self.write();
    }

    /// Time passes.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.gateway.tick(self.now);
        self.write();
    }

    fn write(&mut self) {
        while let Some(batch) = self.gateway.next_batch(self.epoch) {
            for (key, value) in batch.iter() {
                match value {
                    Some(value) => _ = self.records.insert(key, value.to_vec()),
                    None => _ = self.records.remove(&key),
                }
            }
            self.gateway.written(self.now, None);
        }
    }
}
