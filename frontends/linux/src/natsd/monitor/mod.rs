//! What natsd tells about itself: over HTTP as nats-server's monitoring does, and to `$SYS`.

mod closed;
mod connz;
mod http;
mod json;
mod pages;
mod process;
pub mod query;
mod report;
mod subsz;
mod times;
mod varz;
mod view;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use lunix_core::broker::{Broker, ClientId, Input};
use lunix_core::time::Instant;

use super::listen::Listener;
use super::memory::Growing;
use super::server::{Server, Token};
use super::settings::{First, Monitoring, Tls};
use super::tls::Acceptor;
use crate::reactor::{Key, Reactor, monotonic};

use closed::Closed;
pub(super) use connz::{Options as ConnzOptions, Subs, Which};
use http::Door;
pub(super) use json::{Json, State};
pub(super) use report::{AccountFilter, Report, Wish, account_detail, account_statistics};
pub(super) use subsz::Options as SubszOptions;
pub(super) use varz::statsz;
pub(super) use view::{About, AccountTotals, Books, View, nanos};

/// What of the monitoring is ready.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Listener,
    Visit(u32),
}

/// The monitoring of a server.
#[derive(Debug)]
pub(super) struct Monitor {
    books: Books,
    door: Option<Door>,
    address: Option<SocketAddr>,
    /// The clock on the wall when the other one stood at zero.
    zero: SystemTime,
}

impl Monitor {
    /// Listens if it is told to; on `host` if it is not told where.
    pub(super) fn new(
        settings: &Monitoring,
        tls: Option<&Tls>,
        host: &str,
        now: Instant,
    ) -> Result<Self, String> {
        let mut monitor =
            Self { books: Books::new(now, settings.closed), door: None, address: None, zero: zero() };
        if let Some(port) = settings.port {
            let host = settings.host.as_deref().unwrap_or(host);
            let listener =
                Listener::tcp_socket(host, port).map_err(|error| format!("{host}:{port}: {error}"))?;
            let acceptor = acceptor(settings, tls)?;
            monitor.address = listener.local_addr().ok();
            monitor.door = Some(Door::new(listener, acceptor, settings.base_path.clone()));
        }
        Ok(monitor)
    }

    /// Shows other certificates from now on.
    ///
    /// # Errors
    /// What is wrong with them; nothing has changed.
    pub(super) fn renew(&mut self, settings: &Monitoring, tls: Option<&Tls>) -> Result<(), String> {
        let acceptor = acceptor(settings, tls)?;
        if let Some(door) = &mut self.door {
            door.renew(acceptor);
        }
        Ok(())
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Watches what it has.
    pub(super) fn register(&self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        self.door.as_ref().map_or(Ok(()), |door| door.register(reactor))
    }

    /// Goes on with what is ready. Afterwards [`Monitor::asks`] may have something to say.
    pub(super) fn ready(
        &mut self,
        reactor: &mut Reactor<Token>,
        key: Key,
        source: Source,
        view: &mut View<'_>,
    ) {
        let Some(door) = &mut self.door else { return };
        match source {
            Source::Listener => door.accept(reactor, key),
            Source::Visit(index) => door.ready(reactor, index, view, &mut self.books),
        }
    }

    /// The clock on the wall when the other one stood at zero. It stays the same until somebody sets that clock, so that
    /// what happened once happened at one time. The two clocks are not read in the same moment: what is less than 5 ms apart
    /// is the same.
    pub(super) fn zero(&mut self) -> SystemTime {
        let zero = zero();
        let apart = zero.duration_since(self.zero).unwrap_or_else(|error| error.duration());
        if apart > Duration::from_millis(5) {
            self.zero = zero;
        }
        self.zero
    }

    /// What is kept for reports.
    pub(super) fn books(&mut self) -> &mut Books {
        &mut self.books
    }

    /// A client that is to be asked for its round-trip time.
    pub(super) fn ask(&mut self) -> Option<ClientId> {
        self.books.asks.pop()
    }

    /// The time of [`Monitor::next_deadline`] may have come.
    pub(super) fn tick(&mut self, reactor: &mut Reactor<Token>) {
        if let Some(door) = &mut self.door
            && door.next_deadline().is_some_and(|at| at <= reactor.now())
        {
            door.tick(reactor);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.door.as_ref()?.next_deadline()
    }

    /// The settings have been read again.
    pub(super) fn configured(&mut self, now: Instant) {
        self.books.configured = now;
    }

    /// Keeps what there is to be known of a connection that ends now. The broker must not have been told yet unless it
    /// has closed it itself.
    pub(super) fn closed(
        &mut self,
        broker: &mut Broker<Growing>,
        client: ClientId,
        about: Option<Box<About>>,
        reason: &str,
        now: Instant,
    ) {
        if let Some(status) = broker.client(client).or_else(|| broker.leaving(client)) {
            self.books.count(&status, reason.starts_with("Slow Consumer"));
            let user = status.user.and_then(|user| broker.memory().users.find(user));
            let user = user.map_or("", |user| &user.name).into();
            self.books.closed.push(Closed { status, about, user, stop: now, reason: reason.into() });
        }
    }
}

impl Server {
    fn view_and_monitor(&mut self, now: Instant) -> (View<'_>, &mut Monitor) {
        let view = View {
            broker: &mut self.broker,
            connections: &self.wires.connections,
            identity: &self.wires.identity,
            settings: &self.source.settings,
            door: &self.wires.door,
            leaves: &self.leaves,
            now,
            zero: self.monitor.zero(),
        };
        (view, &mut self.monitor)
    }

    /// What reports are made of, with what is kept for them.
    pub(super) fn view_and_books(&mut self, now: Instant) -> (View<'_>, &mut Books) {
        let (view, monitor) = self.view_and_monitor(now);
        (view, monitor.books())
    }

    /// Tells about the server whoever asks over HTTP.
    pub(super) fn tell(&mut self, reactor: &mut Reactor<Token>, key: Key, source: Source) {
        let (mut view, monitor) = self.view_and_monitor(reactor.now());
        monitor.ready(reactor, key, source, &mut view);
        while let Some(client) = self.monitor.ask() {
            self.drive(reactor.now(), Input::Ask { client });
        }
        self.close_what_ended(reactor);
    }
}

fn zero() -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(Duration::from_micros(monotonic().as_micros())).unwrap_or(now)
}

/// Of HTTPS; readers need no certificates.
fn acceptor(settings: &Monitoring, tls: Option<&Tls>) -> Result<Option<Acceptor>, String> {
    let tls = tls.filter(|_| settings.secure).map(|tls| Tls {
        first: First::Always,
        verify: false,
        map: false,
        pinned_certs: Vec::new(),
        ..tls.clone()
    });
    tls.map(|tls| Acceptor::new(&tls, false)).transpose()
}
