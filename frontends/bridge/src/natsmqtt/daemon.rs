//! What the gateway hears of NATS and of the system, and where devices connect.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::rc::Rc;

use lunix::bus::{Bus, Event, Message};
use lunix::log::{self, Level};
use lunix::notify;
use lunix::reactor::{App, Key, Reactor, Ready, monotonic};
use lunix::sys::signals::Signals;
use lunix_core::session::{Barrier, Sid};
use lunix_core::time::Instant;
use rustix::process::{Resource, Rlimit};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::timeout;

use super::bridge::{self, Bridges};
use super::connection::Connection;
use super::gateway::{Gateway, Heard, Upstream};
use super::keeper::{self, Keeper, epoch};
use super::listen::{Listen, Welcome};
use super::settings::{Limits, Settings};
use super::store::Store;
use super::users::Users;
use super::{NAME, gateway::LinkId};
use crate::tls::Acceptor;
use crate::upstream;

/// Different filters of all devices, and what the daemon itself listens to.
const SUBJECTS: usize = 8192;

/// Devices that wait to be accepted: all of them come at once when the power does. What there is no room for the kernel lets try
/// again a second later.
const BACKLOG: i32 = 4096;

/// Sockets that are open for their last words alone.
const LINGERING: usize = 1000;

/// The connection to NATS.
pub(super) type Nats = Bus<Token, SUBJECTS>;

/// What the reactor watches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Bus,
    Signals,
}

/// What connections share.
pub(super) struct Shared {
    pub(super) daemon: RefCell<Daemon>,
    pub(super) users: Users,
    pub(super) welcome: Welcome,
    pub(super) limits: Limits,
    /// It was said that others than our own user are refused.
    said: Cell<bool>,
    /// Something was done to the daemon that may want to be written.
    pub(super) changed: Notify,
    /// There is room again on the way to NATS.
    pub(super) room: Rc<Notify>,
    /// What is read into, one connection after the other, so that idle ones have no buffer.
    pub(super) piece: Cell<Vec<u8>>,
    /// A connection has ended, and with it its descriptor.
    closed: Notify,
    /// Connections that have ended but for their sockets.
    lingering: Cell<usize>,
    /// There is something to keep, and all of it is kept.
    pub(super) to_write: Rc<Notify>,
    pub(super) kept: Notify,
}

/// What the reactor drives.
pub(super) struct Daemon {
    pub(super) gateway: Gateway<Nats>,
    signals: Signals,
    /// Read anew at a SIGHUP.
    acceptor: Option<Rc<Acceptor>>,
    /// Where answers with correlation data come, and requests for retained messages.
    inbox: Option<Sid>,
    retained: Option<Sid>,
    /// Where it is asked who the clients are.
    clients: Option<Sid>,
    /// So many bytes on the way to NATS are enough: until there are fewer, devices are not heard.
    enough: usize,
    crowded: bool,
    room: Rc<Notify>,
    started: bool,
    pub(super) bridges: Bridges,
    /// How they stand is asked there.
    asked: Option<Sid>,
    /// Bridges wait for room.
    full: bool,
    /// There is a NATS server for the first time.
    there: Rc<Notify>,
}

impl Upstream for Nats {
    type Barrier = Barrier;
    type Sid = Sid;

    fn is_ready(&self) -> bool {
        Bus::is_ready(self)
    }

    fn publish(&mut self, subject: &str, reply: Option<&str>, header: &[u8], payload: &[u8]) -> bool {
        self.publish_with(subject, reply.map(str::as_bytes), header, payload).is_ok()
    }

    fn barrier(&mut self) -> Barrier {
        Bus::barrier(self)
    }

    fn subscribe(&mut self, subject: &str, queue: Option<&str>) -> Option<Sid> {
        match queue {
            Some(queue) => self.subscribe_queue(subject, queue).ok(),
            None => Bus::subscribe(self, subject).ok(),
        }
    }

    fn unsubscribe(&mut self, sid: Sid) {
        Bus::unsubscribe(self, sid);
    }
}

/// Serves until SIGTERM.
///
/// # Errors
/// The address cannot be listened on, or the kernel refuses what every program gets.
pub(super) fn run(settings: Settings) -> io::Result<()> {
    // Before anything else: no signal may kill what is half set up.
    // A store that may not grow any more is an error of who writes there.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGXFSZ])?;
    // A limit of our own says how many connections there may be; the soft one of a shell is lower.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    let Settings { bus, listen, users, store, limits, welcome, site, bridges } = settings;
    let store = store.as_deref().map(Store::open).transpose()?;
    let (enough, drain) = (bus.pending / 2, bus.drain);
    let mut nats = Nats::new(bus, Token::Bus);
    let retained = nats.endpoint("retained", "mqtt.retained.>").ok();
    let clients = nats.endpoint("clients", "mqtt.clients").ok();
    let asked = nats.endpoint("bridges", "mqtt.bridge.list").ok();
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let to_write = Rc::new(Notify::new());
    let mut gateway = Gateway::new(nats, limits, name, store.is_some().then(|| to_write.clone()));
    site.into_iter().for_each(|site| gateway.name_site(&site));
    let bridges = Bridges::new(bridges, &mut gateway);
    let inboxes = gateway.inboxes();
    let inbox = Upstream::subscribe(&mut gateway.upstream, &inboxes, None);
    if let Some(store) = &store {
        keeper::restore(&mut gateway, store, &users)?;
    }
    let keeper = store.map(Keeper::start).transpose()?;
    let room = Rc::new(Notify::new());
    let daemon = Daemon {
        gateway,
        signals,
        acceptor: welcome.acceptor.clone(),
        inbox,
        retained,
        clients,
        enough,
        crowded: false,
        room: room.clone(),
        started: false,
        bridges,
        asked,
        full: false,
        there: Rc::new(Notify::new()),
    };
    let shared = Rc::new(Shared {
        daemon: RefCell::new(daemon),
        users,
        welcome,
        limits,
        said: Cell::new(false),
        changed: Notify::new(),
        room,
        piece: Cell::default(),
        closed: Notify::new(),
        lingering: Cell::new(0),
        to_write,
        kept: Notify::new(),
    });
    // Passwords of hashes are looked at elsewhere, but a storm of them must not take the whole machine.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut accepting = Vec::new();
        for mut listen in listen {
            let listener = TcpListener::bind(listen.address)
                .await
                .map_err(|error| io::Error::new(error.kind(), format!("--listen {listen}: {error}")))?;
            rustix::net::listen(&listener, BACKLOG)?;
            listen.address = listener.local_addr()?;
            log::line(Level::Info, NAME, format_args!("devices connect to {listen}"));
            accepting.push((listener, listen));
        }
        let accepting: Vec<_> = accepting
            .into_iter()
            .map(|(listener, listen)| tokio::task::spawn_local(accept(listener, listen, shared.clone())))
            .collect();
        if let Some(keeper) = keeper {
            tokio::task::spawn_local(keeper.run(shared.clone()));
        }
        let bridging = shared.keep_bridges();
        let ended = upstream::run(reactor, &shared.daemon, &shared.changed).await;
        accepting.iter().for_each(JoinHandle::abort);
        // They still have to hear why.
        let _ = timeout(drain, async {
            shared.end_bridges(bridging).await;
            shared.all_closed().await;
        })
        .await;
        let _ = timeout(drain, shared.all_kept()).await;
        ended
    })
}

/// Accepts connections for as long as it runs.
async fn accept(listener: TcpListener, listen: Listen, shared: Rc<Shared>) {
    let mut said = false;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // There are no descriptors, or no memory for one: until some connection ends.
            Err(error) if is_full(&error) => {
                shared.closed.notified().await;
                continue;
            }
            // Of a connection that has ended already [accept(2)].
            Err(_) => continue,
        };
        let opened = shared.daemon.borrow_mut().gateway.open(peer);
        let Some((id, wake)) = opened else {
            let most = shared.limits.connections;
            let full = format_args!("{peer}: closed: {most} connections are the most (limits: connections)");
            log::line(if said { Level::Debug } else { Level::Warn }, NAME, full);
            said = true;
            continue;
        };
        let shared = shared.clone();
        tokio::task::spawn_local(async move {
            let opening = shared.welcome.open(stream, listen, &shared.users);
            let opened = tokio::select! {
                opened = timeout(shared.limits.patience, opening) => opened.ok(),
                // It is to end before it has begun.
                () = wake.notified() => None,
            };
            match opened {
                Some(Ok((transport, who))) => {
                    let mut connection = Connection::new(transport, who, id, wake, &shared.limits);
                    let has_last_words = connection.serve(&shared).await;
                    shared.close(id);
                    let lingering = shared.lingering.get();
                    if has_last_words && lingering < LINGERING {
                        shared.lingering.set(lingering + 1);
                        // In a box, so that connections that live have no room for it.
                        Box::pin(connection.linger()).await;
                        shared.lingering.update(|lingering| lingering - 1);
                        drop(connection);
                        shared.closed.notify_waiters();
                    }
                    return;
                }
                Some(Err(why)) => log::line(Level::Warn, NAME, format_args!("{peer}: {why}")),
                None => log::line(Level::Debug, NAME, format_args!("{peer}: no handshake in time")),
            }
            shared.close(id);
        });
    }
}

/// Whether it is the process or the machine that can have no more connections.
fn is_full(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].iter().any(|full| code == Some(*full))
}

impl Shared {
    /// Connects all bridges, now and again.
    fn keep_bridges(self: &Rc<Self>) -> Vec<JoinHandle<()>> {
        let remotes = self.daemon.borrow().bridges.remotes();
        let keep = |(number, remote)| tokio::task::spawn_local(bridge::keep(self.clone(), number, remote));
        remotes.into_iter().enumerate().map(keep).collect()
    }

    /// Those that are connected take their leave.
    async fn end_bridges(&self, bridging: Vec<JoinHandle<()>>) {
        let connected = self.daemon.borrow_mut().bridges.shut_down(monotonic());
        for (task, is_connected) in bridging.into_iter().zip(connected) {
            match is_connected {
                true => _ = task.await,
                false => task.abort(),
            }
        }
    }

    /// Until there is a server for the first time.
    pub(super) async fn nats_is_there(&self) {
        let (there, is_there) = {
            let daemon = self.daemon.borrow();
            (daemon.there.clone(), daemon.started)
        };
        if !is_there {
            there.notified().await;
        }
    }

    async fn all_closed(&self) {
        while self.daemon.borrow().gateway.has_connections() {
            self.closed.notified().await;
        }
    }

    async fn all_kept(&self) {
        while self.daemon.borrow().gateway.has_to_write() {
            self.kept.notified().await;
        }
    }

    /// Who has set up neither users nor `--anonymous` learns once why devices are refused.
    pub(super) fn refused_foreign(&self) {
        if !self.said.replace(true) {
            let line = "devices of others than this user are refused: see --user and --anonymous";
            log::line(Level::Warn, NAME, line);
        }
    }

    fn close(&self, id: LinkId) {
        self.daemon.borrow_mut().gateway.closed(monotonic(), id);
        self.changed.notify_one();
        self.closed.notify_waiters();
    }
}

impl Daemon {
    /// Devices must wait: NATS takes less than they say. While there is no server they need not, as what they say is refused
    /// once there is no room.
    pub(super) fn is_crowded(&mut self) -> bool {
        self.crowded = self.gateway.upstream.is_ready() && self.has_enough();
        self.crowded
    }

    fn has_enough(&self) -> bool {
        self.gateway.upstream.pending() > self.enough
    }

    /// Bridges must wait, which can: what brokers say is not lost if it is heard later.
    pub(super) fn is_full(&mut self) -> bool {
        self.full = self.has_enough();
        self.full
    }

    fn message(&mut self, message: &Message) {
        let now = message.received();
        let heard = Heard {
            subject: message.subject(),
            reply: message.reply(),
            header: message.header(),
            payload: message.payload(),
        };
        let Some(sid) = message.sid() else { return };
        if self.inbox == Some(sid) {
            self.gateway.answer(now, &heard);
        } else if self.retained == Some(sid) {
            let subject = heard.subject.strip_prefix(b"mqtt.retained.").unwrap_or_default();
            let bus = &mut self.gateway;
            // Who asks with an impossible reply subject gets no answer.
            let _ = match bus.retained(now, subject) {
                Some((retained, header)) => bus.upstream.respond_with(message, &header, &retained.payload),
                None => bus.upstream.respond_with(message, b"NATS/1.0\r\nStatus: 404\r\n\r\n", b""),
            };
        } else if self.clients == Some(sid) {
            let (bus, most) = (&self.gateway, self.gateway.upstream.max_payload());
            let answer = bus.clients(heard.payload, most);
            let bus = &mut self.gateway.upstream;
            let _ = match answer {
                Ok(clients) => bus.respond(message, &clients),
                Err(wrong) => {
                    let header = format!(
                        "NATS/1.0\r\nNats-Service-Error-Code: 400\r\nNats-Service-Error: {wrong}\r\n\r\n"
                    );
                    bus.respond_with(message, header.as_bytes(), b"")
                }
            };
        } else if self.asked == Some(sid) {
            let _ = self.gateway.upstream.respond(message, &self.bridges.json());
        } else if !self.bridges.hear(now, &self.gateway, sid, &heard) {
            self.gateway.hear(now, sid, &heard);
        }
    }
}

impl App for Daemon {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.gateway.upstream.ready(reactor, key),
            Token::Signals => match self.signals.next() {
                Some(libc::SIGXFSZ) => {}
                Some(libc::SIGHUP) => {
                    if let Some(acceptor) = &self.acceptor {
                        acceptor.renew_and_say(NAME);
                    }
                }
                Some(_) => {
                    notify::stopping();
                    self.gateway.shut_down();
                    self.gateway.upstream.drain();
                }
                None => reactor.read_blocked(key),
            },
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.gateway.upstream.deadline(reactor);
        self.gateway.tick(reactor.now());
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        while let Some(event) = self.gateway.upstream.next() {
            match event {
                Event::Ready { .. } => {
                    if !std::mem::replace(&mut self.started, true) {
                        notify::ready();
                        self.there.notify_waiters();
                    }
                    self.gateway.announce();
                }
                Event::Message(message) => self.message(&message),
                Event::Flushed { barrier, certain } => {
                    self.gateway.reached(now, epoch(), barrier, certain);
                    self.bridges.reached(now, barrier, certain);
                }
                Event::Lost => self.gateway.lost(now),
                Event::Closed => reactor.stop(),
                _ => {}
            }
        }
        while !self.has_enough() && self.gateway.announce_next() {}
        self.gateway.upstream.flush(reactor);
        if self.crowded && !self.is_crowded() || self.full && !self.is_full() {
            self.room.notify_waiters();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.gateway.upstream.next_deadline(), self.gateway.next_deadline()].into_iter().flatten().min()
    }
}
