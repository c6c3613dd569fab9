//! `$SYS` where it is left out: the server says nothing about itself, and answers nobody.

use lunix_core::broker::{AccountId, ClientId, Reason, SubscriptionStatus, Traced};
use lunix_core::time::Instant;

use super::monitor::About;
use crate::natsd::server::{Server, Token};
use crate::reactor::Reactor;

#[derive(Debug)]
pub(in crate::natsd) struct System {
    pub(in crate::natsd) subscribed: bool,
}

#[derive(Debug, Default)]
pub(in crate::natsd) struct Served {
    pub(in crate::natsd) id: String,
    pub(in crate::natsd) claims: bool,
}

#[derive(Debug, Default)]
pub(in crate::natsd) struct Traces;

impl Traces {
    pub(in crate::natsd) fn begin(&mut self, _: &Traced<'_>) {}

    pub(in crate::natsd) fn pass(&mut self, _: ClientId, _: AccountId, _: Option<SubscriptionStatus<'_>>) {}
}

impl System {
    pub(in crate::natsd) fn new(_: &str) -> Self {
        Self { subscribed: false }
    }

    pub(in crate::natsd) fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

impl Served {
    pub(in crate::natsd) fn serves(&self, _: AccountId, _: &[u8]) -> bool {
        false
    }
}

impl Server {
    pub(in crate::natsd) fn answer_requests(&mut self, _: &mut Reactor<Token>) {
        self.wires.asked.clear();
    }

    pub(in crate::natsd) fn announce(&mut self, _: Instant, client: ClientId) {
        let status = self.broker.client(client).filter(|status| status.connected && status.admitted);
        if let (Some(_), Some(connection)) = (status, self.wires.connection(client.index())) {
            connection.is_announced = true;
        }
    }

    pub(in crate::natsd) fn say_disconnected(
        &mut self,
        _: Instant,
        _: ClientId,
        _: Option<&About>,
        _: bool,
        _: Option<Reason>,
    ) {
    }

    pub(in crate::natsd) fn say_connections(&mut self, _: Instant, _: AccountId, _: &str) {}

    pub(in crate::natsd) fn say_end(&mut self, _: Instant, _: &str) {}

    pub(in crate::natsd) fn tell_traces(&mut self, _: Instant) {}

    pub(in crate::natsd) fn say_statistics(&mut self, _: Instant) {}
}
