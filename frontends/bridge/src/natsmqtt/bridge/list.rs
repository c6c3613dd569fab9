//! All bridges of this process, and whose each message of NATS is.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::rc::Rc;

use lunix::encoded::encoded;
use lunix::log::{self, Level};
use lunix_core::session::{Barrier, Sid};
use lunix_core::time::Instant;
use lunix_proto::json::Writer;

use super::{Bridge, Local, Remote};
use crate::natsmqtt::NAME;
use crate::natsmqtt::daemon::Nats;
use crate::natsmqtt::gateway::message::Message;
use crate::natsmqtt::gateway::{Brought, Gateway, Heard, names};
use crate::natsmqtt::path::Way;

/// All bridges.
#[derive(Debug)]
pub(in crate::natsmqtt) struct Bridges {
    bridges: Vec<Bridge<Barrier>>,
    /// The bridge and its rule.
    by_sid: HashMap<Sid, (usize, usize)>,
    /// The process is about to end.
    is_ending: bool,
}

impl Local for Gateway<Nats> {
    type Barrier = Barrier;

    fn bring(&mut self, now: Instant, way: Way, message: Message) -> Brought {
        if self.upstream.is_ready() && message.payload.len() > self.upstream.max_payload() {
            return Brought::Never("the NATS server takes none so large");
        }
        Self::bring(self, now, way, message)
    }

    fn barrier(&mut self) -> Barrier {
        self.upstream.barrier()
    }

    fn kept(&self, now: Instant, filter: &str) -> Vec<Rc<Message>> {
        Self::kept(self, now, filter)
    }
}

impl Bridges {
    /// Subscribes to what goes out.
    pub(in crate::natsmqtt) fn new(remotes: Vec<Remote>, gateway: &mut Gateway<Nats>) -> Self {
        let mut all = Self { bridges: Vec::new(), by_sid: HashMap::new(), is_ending: false };
        for (number, remote) in remotes.into_iter().enumerate() {
            for (at, rule) in remote.rules.iter().enumerate().filter(|(_, rule)| rule.out) {
                for pattern in names::patterns(&rule.local).unwrap_or_default() {
                    match gateway.upstream.subscribe(&pattern) {
                        Ok(sid) => _ = all.by_sid.insert(sid, (number, at)),
                        Err(_) => log::line(
                            Level::Error,
                            NAME,
                            format_args!("bridge {}: there are too many subscriptions", remote.name),
                        ),
                    }
                }
            }
            let mut bridge = Bridge::new(Rc::new(remote), number, gateway.site().clone());
            let number = RandomState::new().hash_one(number);
            bridge.begin_at(u16::try_from(number & 0xFFFF).unwrap_or(0));
            all.bridges.push(bridge);
        }
        all
    }

    /// What each was told.
    pub(in crate::natsmqtt) fn remotes(&self) -> Vec<Rc<Remote>> {
        self.bridges.iter().map(|bridge| bridge.remote.clone()).collect()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Bridge<Barrier>> {
        self.bridges.get_mut(number)
    }

    /// A message of NATS: hands it over if the subscription is a bridge's, and says whether it is.
    pub(in crate::natsmqtt) fn hear(
        &mut self,
        now: Instant,
        gateway: &Gateway<Nats>,
        sid: Sid,
        heard: &Heard<'_>,
    ) -> bool {
        let Some((number, at)) = self.by_sid.get(&sid) else { return false };
        let Some(bridge) = self.bridges.get_mut(*number) else { return true };
        let Some(rule) = bridge.remote.rules.get(*at) else { return true };
        if !names::is_hidden(heard.subject)
            && let Some(message) = gateway.understand(now, heard, rule.qos)
        {
            bridge.hear(now, *at, message);
        }
        true
    }

    /// NATS has all that was brought before `barrier`, see [`Bridge::reached`].
    pub(in crate::natsmqtt) fn reached(&mut self, now: Instant, barrier: Barrier, certain: bool) {
        self.bridges.iter_mut().for_each(|bridge| bridge.reached(now, barrier, certain));
    }

    /// The process is about to end: brokers are told. Answers which of the bridges are connected.
    pub(in crate::natsmqtt) fn shut_down(&mut self, now: Instant) -> Vec<bool> {
        self.is_ending = true;
        let shut_down = |bridge: &mut Bridge<Barrier>| {
            let is_up = bridge.is_up();
            bridge.shut_down(now);
            is_up
        };
        self.bridges.iter_mut().map(shut_down).collect()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// How they stand, as a JSON array.
    pub(in crate::natsmqtt) fn json(&self) -> Vec<u8> {
        encoded(128 + 256 * self.bridges.len(), |out| {
            let mut writer = Writer::new(out);
            writer.begin_array();
            for bridge in &self.bridges {
                writer.begin_object();
                writer.key("name").string(&bridge.remote.name);
                writer.key("connected").bool(bridge.is_up());
                writer.key("site").string(&bridge.beyond);
                writer.key("queued").number(bridge.outbound.len() as u64);
                writer.key("sent").number(bridge.counts.sent);
                writer.key("received").number(bridge.counts.received);
                writer.key("lost").number(bridge.counts.lost);
                writer.end_object();
            }
            writer.end_array();
            writer.finish()
        })
    }
}
