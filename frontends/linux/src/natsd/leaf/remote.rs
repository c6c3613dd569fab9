//! A hub that is to be joined: its addresses one after the other, and when it is tried again.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use lunix_core::broker::Peer;
use lunix_core::time::{Duration, Instant};
use rustix::net::sockopt;

use super::Leaves;
use super::handshake::Link;
use super::tls;
use crate::bus::resolve::Lookup;
use crate::bus::transport::Stream;
use crate::natsd::log::Tag;
use crate::natsd::server::{Server, Token};
use crate::natsd::settings::{Remote as Settings, RemoteUrl};
use crate::reactor::{Key, Reactor, Ready};

/// A hub that is to be joined.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) settings: Settings,
    /// Which of its URLs is tried.
    url: usize,
    /// Addresses of that one which have not been tried.
    addresses: Vec<SocketAddr>,
    state: State,
    /// How long it is left alone after what has gone wrong, if not as usual.
    pub(super) penalty: Option<Duration>,
    /// How often in a row it could not be joined.
    failures: u32,
    /// For how long it was waited in vain for connections since it was left alone last.
    waited: Duration,
}

#[derive(Debug)]
enum State {
    /// It is connected, or about to be asked.
    Still,
    /// Until then nothing happens.
    Waits(Instant),
    /// Its name is looked up.
    Looks(Lookup, Key),
    /// A connection is under way, and given up at that time.
    Dials(Stream, Key, SocketAddr, Instant),
}

/// A connection takes no longer.
const DIAL: Duration = Duration::from_secs(1);

impl Remote {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            url: 0,
            addresses: Vec::new(),
            state: State::Still,
            penalty: None,
            failures: 0,
            waited: Duration::ZERO,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waits(at) | State::Dials(_, _, _, at) => Some(at),
            State::Still | State::Looks(..) => None,
        }
    }

    /// The URL that is tried, or connected.
    pub(super) fn url(&self) -> Option<&RemoteUrl> {
        self.settings.urls.get(self.url)
    }

    /// It has been joined.
    pub(super) fn joined(&mut self) {
        self.failures = 0;
        self.penalty = None;
    }
}

impl Leaves {
    /// A hub's address, for the log.
    pub(super) fn name(&self, index: usize) -> String {
        self.remotes.get(index).and_then(Remote::url).map_or_else(String::new, RemoteUrl::to_string)
    }
}

impl Server {
    /// Tries to join a hub.
    pub(super) fn solicit(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        let Some(remote) = self.leaves.remotes.get_mut(index) else { return };
        let Some((host, port)) = remote.url().map(|url| (url.host.clone(), url.port)) else { return };
        remote.state = State::Still;
        if let Ok(address) = host.parse::<IpAddr>() {
            remote.addresses = vec![SocketAddr::new(address, port)];
            return self.dial(reactor, index);
        }
        let lookup = Lookup::start(&host, port)
            .and_then(|lookup| Ok((reactor.add(&lookup, Token::Hub(index), Ready::READ)?, lookup)));
        match lookup {
            Ok((key, lookup)) => remote.state = State::Looks(lookup, key),
            Err(error) => {
                self.wires
                    .log
                    .line(Tag::Error, format_args!("Error looking up leafnode host '{host}': {error}"));
                self.retry(reactor, index);
            }
        }
    }

    /// Connects to the next address of a hub.
    fn dial(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        loop {
            let Some(remote) = self.leaves.remotes.get_mut(index) else { return };
            remote.state = State::Still;
            if remote.addresses.is_empty() {
                return self.retry(reactor, index);
            }
            let address = remote.addresses.remove(0);
            let stream = Stream::connect_tcp(address)
                .and_then(|stream| Ok((reactor.add(&stream, Token::Hub(index), Ready::WRITE)?, stream)));
            match stream {
                Ok((key, stream)) => {
                    remote.state = State::Dials(stream, key, address, reactor.now() + DIAL);
                    return;
                }
                Err(error) => self.no_connection(index, address, &error),
            }
        }
    }

    fn no_connection(&self, index: usize, address: SocketAddr, error: &std::io::Error) {
        // Who waits for a hub for a day need not read so every second.
        let often = self.leaves.remotes.get(index).is_some_and(|remote| remote.failures > 0);
        let tag = if often { Tag::Debug } else { Tag::Error };
        self.wires.log.line(tag, format_args!("Error trying to connect as leafnode to {address}: {error}"));
    }

    pub(super) fn remote_is_due(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        let Some(remote) = self.leaves.remotes.get_mut(index) else { return };
        match std::mem::replace(&mut remote.state, State::Still) {
            State::Waits(_) => self.solicit(reactor, index),
            State::Dials(stream, key, address, _) => {
                remote.waited += DIAL;
                reactor.remove(key, &stream);
                self.no_connection(index, address, &std::io::ErrorKind::TimedOut.into());
                self.dial(reactor, index);
            }
            other => remote.state = other,
        }
    }

    /// A name is looked up, or a connection is there or not.
    pub(super) fn remote_moved(&mut self, reactor: &mut Reactor<Token>, key: Key, index: usize) {
        let Some(remote) = self.leaves.remotes.get_mut(index) else { return };
        match std::mem::replace(&mut remote.state, State::Still) {
            State::Looks(lookup, own) if own == key => {
                let Some(found) = lookup.take() else {
                    remote.state = State::Looks(lookup, own);
                    return reactor.read_blocked(key);
                };
                reactor.remove(key, &lookup);
                match found {
                    Ok(mut addresses) => {
                        addresses.sort_by_key(SocketAddr::is_ipv6);
                        remote.addresses = addresses;
                        self.dial(reactor, index);
                    }
                    Err(error) => {
                        let host = self.leaves.name(index);
                        self.wires
                            .log
                            .line(Tag::Error, format_args!("Error looking up leafnode host {host}: {error}"));
                        self.retry(reactor, index);
                    }
                }
            }
            State::Dials(stream, own, address, until) if own == key => match stream.connected() {
                Ok(None) => {
                    remote.state = State::Dials(stream, own, address, until);
                    reactor.write_blocked(key);
                }
                Ok(Some(())) => {
                    reactor.remove(key, &stream);
                    self.connected_to_hub(reactor, index, stream.into(), address);
                }
                Err(error) => {
                    reactor.remove(key, &stream);
                    self.no_connection(index, address, &error);
                    self.dial(reactor, index);
                }
            },
            other => remote.state = other,
        }
    }

    fn connected_to_hub(
        &mut self,
        reactor: &mut Reactor<Token>,
        index: usize,
        socket: OwnedFd,
        address: SocketAddr,
    ) {
        // Where nobody listens on this machine, a connection can meet itself.
        let own = rustix::net::getsockname(&socket).ok().and_then(|own| SocketAddr::try_from(own).ok());
        if own == Some(address) {
            drop(socket);
            return self.dial(reactor, index);
        }
        keep_alive(&socket);
        let Some(remote) = self.leaves.remotes.get(index) else { return };
        let host = remote.url().map(|url| url.host.as_str());
        let transport = match tls::first(&remote.settings, host, address, socket, reactor.now()) {
            Ok(transport) => transport,
            Err(line) => {
                self.wires.log.line(Tag::Error, format_args!("Leafnode at {address}: {line}"));
                return self.retry(reactor, index);
            }
        };
        let Some(client) = self.place(reactor, transport, format!("{address} leaf")) else {
            return self.retry(reactor, index);
        };
        self.leaves.links.insert(client, Link::hub(index));
        self.begin_leaf(reactor, client, Peer::Tcp(address));
        // TLS that does not wait for the hub says hello.
        self.wires.soil(client);
    }

    /// Leaves a hub alone for a while, and then tries its next URL.
    pub(super) fn retry(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        let Some(remote) = self.leaves.remotes.get_mut(index) else { return };
        remote.failures = remote.failures.saturating_add(1);
        remote.url = (remote.url + 1) % remote.settings.urls.len().max(1);
        let span = remote.penalty.take().unwrap_or(remote.settings.reconnect);
        // Behind a cut cable connections neither come nor fail: that, too, is to leave it alone.
        let waited = std::mem::take(&mut remote.waited);
        let at = reactor.now() + self.leaves.jittered(span).saturating_sub(waited);
        if let Some(remote) = self.leaves.remotes.get_mut(index) {
            remote.state = State::Waits(at);
        }
    }
}

/// A peer that vanishes without a word, or a cable that is cut, is noticed by the kernel, without waking us: after so
/// long with nothing said, and after so long with something said and not confirmed.
pub(super) fn keep_alive(socket: &impl AsFd) {
    // A kernel that does not know one of them notices later.
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, Duration::from_secs(10));
    let _ = sockopt::set_tcp_keepintvl(socket, Duration::from_secs(2));
    let _ = sockopt::set_tcp_keepcnt(socket, 3);
    let _ = sockopt::set_tcp_user_timeout(socket, 5_000);
}
