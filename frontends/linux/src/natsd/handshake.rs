//! Connections that have not agreed on TLS yet, and how long they may take.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;

use lunix_core::broker::{ClientId, Peer, Reason};
use lunix_core::time::Instant;

use super::log::{Log, Tag};
use super::server::{Server, Token};
use super::settings::ClientTls;
use super::tls::{Acceptor, Expiry};
use super::transport::Transport;
use crate::reactor::Reactor;

/// What clients are offered, and whose handshakes are under way.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    acceptor: Option<Acceptor>,
    /// When to look at which connection.
    due: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Handshakes {
    /// # Errors
    /// What is wrong with the certificates, in one line.
    pub(super) fn new(settings: &ClientTls) -> Result<Self, String> {
        let acceptor =
            settings.tls.as_ref().map(|tls| Acceptor::new(tls, settings.allow_non_tls)).transpose();
        Ok(Self { acceptor: acceptor.map_err(|line| format!("tls: {line}"))?, due: BinaryHeap::new() })
    }

    /// Takes other settings for the connections to come. Those that are wrong are said to be, and change nothing.
    pub(super) fn renew(&mut self, settings: &ClientTls, log: &Log) {
        match Self::new(settings) {
            Ok(new) => self.acceptor = new.acceptor,
            Err(line) => log.line(Tag::Error, format_args!("Reload: {line}")),
        }
    }

    /// What a new connection's bytes go through.
    pub(super) fn transport(&self, socket: OwnedFd, peer: Peer, now: Instant) -> Transport {
        match (&self.acceptor, peer) {
            (Some(acceptor), Peer::Tcp(_)) => Transport::Tls(Box::new(acceptor.accept(socket, now))),
            // What the kernel carries within this machine nobody else can read.
            _ => Transport::Plain(socket),
        }
    }

    fn admits(&mut self, now: Instant) -> bool {
        self.acceptor.as_mut().is_none_or(|acceptor| acceptor.admits(now))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }
}

/// What a client is told if too many have come in this second.
const THROTTLED: &[u8] = b"-ERR 'Connection throttling is active. Please try again later.'\r\n";

impl Server {
    /// A connection has begun: it is greeted, and its time is counted.
    pub(super) fn greet(&mut self, reactor: &mut Reactor<Token>, index: u32) {
        let now = reactor.now();
        let Some(connection) = self.wires.connection(index) else { return };
        if connection.transport.tls().is_none() {
            return;
        }
        let greeted = connection.greet();
        let closed = connection.closed;
        let due = connection.transport.tls().and_then(|stream| stream.deadline());
        if greeted.is_err() {
            return self.finish(reactor, ClientId::new(index), None);
        }
        if !closed && !self.handshakes.admits(now) {
            if let Some(stream) =
                self.wires.connection(index).and_then(|connection| connection.transport.tls())
            {
                let _ = stream.write_clear(THROTTLED);
            }
            return self.finish(reactor, ClientId::new(index), Some(Reason::Connections));
        }
        self.handshakes.due.extend(due.map(|at| Reverse((at, index))));
    }

    /// Says why a connection has no TLS.
    pub(super) fn tell_trouble(&mut self, index: u32) {
        let Some(connection) = self.wires.connection(index) else { return };
        if let Some(why) = connection.transport.tls().and_then(|stream| stream.trouble()) {
            let name = connection.name.clone();
            self.wires.log.line(Tag::Error, format_args!("{name} - TLS handshake error: {why}"));
        }
    }

    /// Says what a handshake has come to, once.
    pub(super) fn tell_agreement(&mut self, index: u32) {
        let Some(connection) = self.wires.connection(index) else { return };
        if let Some(terms) = connection.transport.tls().and_then(|stream| stream.agreed()) {
            let name = connection.name.clone();
            self.wires.log.line(Tag::Debug, format_args!("{name} - TLS handshake complete: {terms}"));
        }
    }

    /// Looks at those whose time is over.
    pub(super) fn expire_handshakes(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        while let Some(Reverse((at, index))) = self.handshakes.due.peek().copied()
            && at <= now
        {
            self.handshakes.due.pop();
            let Some(connection) = self.wires.connection(index) else { continue };
            let Some(stream) = connection.transport.tls() else { continue };
            let alive = match stream.expire(now) {
                Expiry::Nothing => true,
                Expiry::Greet => connection.greet_late().is_ok(),
                Expiry::Plain => {
                    self.write(reactor, index);
                    true
                }
                Expiry::Failed => false,
            };
            if !alive {
                self.finish(reactor, ClientId::new(index), None);
                continue;
            }
            let next =
                self.wires.connection(index).and_then(|connection| connection.transport.tls()?.deadline());
            self.handshakes.due.extend(next.map(|at| Reverse((at, index))));
        }
    }

    /// Drops the deadlines of those that are through, so that nobody is woken for them.
    pub(super) fn forget_handshakes(&mut self) {
        while let Some(Reverse((at, index))) = self.handshakes.due.peek().copied() {
            let deadline =
                self.wires.connection(index).and_then(|connection| connection.transport.tls()?.deadline());
            match deadline {
                Some(deadline) if deadline <= at => return,
                _ => self.handshakes.due.pop(),
            };
            // It may have more time than it had at first.
            self.handshakes.due.extend(deadline.map(|at| Reverse((at, index))));
        }
    }
}
