//! Monitoring where it is left out.

use std::io;
use std::net::SocketAddr;

use lunix_core::broker::{Broker, ClientId};
use lunix_core::time::Instant;
use lunix_proto::nats::Connect;

use crate::natsd::memory::Growing;
use crate::natsd::server::{Server, Token};
use crate::natsd::settings::{Monitoring, Tls};
use crate::reactor::{Key, Reactor};

#[derive(Clone, Copy, Debug)]
pub(in crate::natsd) enum Source {}

#[derive(Debug)]
pub(in crate::natsd) struct About;

#[derive(Debug)]
pub(in crate::natsd) struct Monitor;

impl About {
    pub(in crate::natsd) fn of(_: &Connect<'_>) -> Self {
        Self
    }
}

impl Monitor {
    pub(in crate::natsd) fn new(_: &Monitoring, _: Option<&Tls>, _: &str, _: Instant) -> io::Result<Self> {
        Ok(Self)
    }

    pub(in crate::natsd) fn address(&self) -> Option<SocketAddr> {
        None
    }

    pub(in crate::natsd) fn register(&self, _: &mut Reactor<Token>) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::natsd) fn tick(&mut self, _: &mut Reactor<Token>) {}

    pub(in crate::natsd) fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub(in crate::natsd) fn renew(&mut self, _: &Monitoring, _: Option<&Tls>) -> Result<(), String> {
        Ok(())
    }

    pub(in crate::natsd) fn configured(&mut self, _: Instant) {}

    pub(in crate::natsd) fn closed(
        &mut self,
        _: &mut Broker<Growing>,
        _: ClientId,
        _: Option<Box<About>>,
        _: &str,
        _: Instant,
    ) {
    }
}

impl Server {
    pub(in crate::natsd) fn tell(&mut self, _: &mut Reactor<Token>, _: Key, source: Source) {
        match source {}
    }
}
