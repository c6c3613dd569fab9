//! Leaf nodes: joining hubs, and being joined. The broker routes; here are sockets, handshakes and patience.

mod handshake;
mod remote;
mod rules;
mod sign;
mod tls;
mod wires;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use lunix_core::broker::{ClientId, Input, Peer};
use lunix_core::time::{Duration, Instant};

use super::log::Tag;
use super::server::{Server, Token};
use super::settings::Settings;
use super::tls::Acceptor;
use super::transport::Transport;
use super::wires::Wires;
use crate::reactor::{Key, Reactor};

use handshake::Link;
use remote::Remote;
pub(super) use rules::Rulebook;

/// What a leaf node said of itself.
#[derive(Debug)]
pub(super) enum Said {
    Info(Vec<u8>),
    Connect(Vec<u8>),
    Error(String),
}

/// All that the server knows of leaf nodes besides what the broker knows.
#[derive(Debug)]
pub(super) struct Leaves {
    settings: Rc<Settings>,
    remotes: Vec<Remote>,
    /// Leaf nodes that are connected, by the number of their connection.
    links: HashMap<u32, Link>,
    /// Which listener is theirs, and the address that others are told.
    listener: Option<(usize, String)>,
    /// The TLS that they need there.
    acceptor: Option<Acceptor>,
    random: u64,
}

impl Leaves {
    pub(super) fn new(settings: Rc<Settings>, seed: u64) -> Self {
        Self {
            remotes: settings.leafnodes.remotes.iter().cloned().map(Remote::new).collect(),
            settings,
            links: HashMap::new(),
            listener: None,
            acceptor: None,
            // Xorshift must not start at zero.
            random: seed | 1,
        }
    }

    /// The listener with this index is for leaf nodes, who reach it there.
    pub(super) fn listen(&mut self, index: usize, address: String, acceptor: Option<Acceptor>) {
        self.acceptor = acceptor;
        self.listener = Some((index, self.settings.leafnodes.advertise.clone().unwrap_or(address)));
    }

    /// What the other side of a connection is called.
    pub(super) fn name_of(&self, client: ClientId) -> &str {
        self.links.get(&client.index()).map_or("", Link::name)
    }

    /// Whether the listener is for leaf nodes.
    pub(super) fn listens(&self, index: usize) -> bool {
        self.listener.as_ref().is_some_and(|(own, _)| *own == index)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.remotes.iter().filter_map(Remote::deadline).min()
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Between a half and the whole of `span`, so that leaves that lost their hub together do not come together.
    fn jittered(&mut self, span: Duration) -> Duration {
        let half = u64::try_from(span.as_micros()).unwrap_or(u64::MAX) / 2;
        Duration::from_micros(half + self.random() % half.max(1))
    }
}

impl Server {
    /// Begins to join all hubs.
    pub(super) fn join_hubs(&mut self, reactor: &mut Reactor<Token>) {
        for index in 0..self.leaves.remotes.len() {
            self.solicit(reactor, index);
        }
    }

    /// Does what is due for hubs that are not joined.
    pub(super) fn leaf_deadlines(&mut self, reactor: &mut Reactor<Token>) {
        for index in 0..self.leaves.remotes.len() {
            let due = self.leaves.remotes.get(index).and_then(Remote::deadline);
            if due.is_some_and(|at| at <= reactor.now()) {
                self.remote_is_due(reactor, index);
            }
        }
    }

    /// A connection from a leaf node, or to a hub, begins.
    pub(super) fn accept_leaf(
        &mut self,
        reactor: &mut Reactor<Token>,
        socket: OwnedFd,
        peer: Peer,
        name: String,
    ) {
        remote::keep_alive(&socket);
        let transport = match &self.leaves.acceptor {
            Some(acceptor) => Transport::Tls(Box::new(acceptor.accept(socket, reactor.now()))),
            None => Transport::Plain(socket),
        };
        if let Some(index) = self.place(reactor, transport, name) {
            self.leaves.links.insert(index, Link::leaf());
            let client = ClientId::new(index);
            let Wires { connections, door, .. } = &mut self.wires;
            if let Some(Some(connection)) = connections.get(index as usize) {
                let users = &mut self.broker.memory_mut().users;
                door.leaf_opened(client, &connection.transport, peer, users);
            }
            self.begin_leaf(reactor, index, peer);
            self.greet_leaf(client);
            self.greet(reactor, index);
        }
    }

    fn begin_leaf(&mut self, reactor: &mut Reactor<Token>, index: u32, peer: Peer) {
        let client = ClientId::new(index);
        self.drive(reactor.now(), Input::LeafOpened { client, peer });
        self.close_what_ended(reactor);
    }

    /// Does what follows of what leaf nodes said of themselves.
    pub(super) fn hear_leaves(&mut self, reactor: &mut Reactor<Token>) {
        for (client, said) in std::mem::take(&mut self.wires.said) {
            match said {
                Said::Info(json) => self.hub_said(reactor, client, &json),
                Said::Connect(json) => self.leaf_said(reactor, client, &json),
                Said::Error(text) => self.leaf_complained(client, &text),
            }
        }
    }

    /// A connection is closed; if it was one with a leaf node, there may be another one soon.
    pub(super) fn leaf_closed(&mut self, reactor: &mut Reactor<Token>, client: ClientId) {
        let Some(link) = self.leaves.links.remove(&client.index()) else { return };
        self.broker.memory_mut().leaf_rules.remove(client);
        if let Some(remote) = link.remote() {
            self.wires
                .log
                .line(Tag::Info, format_args!("Leafnode connection lost: {}", self.leaves.name(remote)));
            self.retry(reactor, remote);
        }
    }

    /// A source of a hub that is not joined yet is ready.
    pub(super) fn remote_ready(&mut self, reactor: &mut Reactor<Token>, key: Key, index: usize) {
        self.remote_moved(reactor, key, index);
    }
}
