//! The reactor's side of the broker: sockets in, sockets out.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use lunix_core::broker::{Action, Broker, ClientId, Delivery, Input, Peer, Progress, Reason};
use lunix_core::time::Instant;
use lunix_proto::json::Str;
use lunix_proto::nats::Info;
use rustix::io::Errno;

use super::connection::{Connection, Read, SHARED};
use super::listen::Listener;
use super::log::{Log, Tag};
use super::memory::Growing;
use super::reload::Source;
use crate::reactor::{App, Key, Reactor, Ready};
use crate::sys::signals::Signals;

/// What the server's sources are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Listener(usize),
    Client(u32),
    Signals,
}

/// What all clients are told about the server.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) headers: bool,
    pub(super) max_payload: u64,
}

/// The version of nats-server whose rules are followed. Clients decide by it what they may use.
pub(super) const LEVEL: &str = "2.15.1";

impl Identity {
    fn info(&self) -> Info<'_> {
        Info {
            server_id: Str::new(&self.id),
            server_name: Str::new(&self.name),
            version: Str::new(LEVEL),
            proto: 1,
            host: Str::new(&self.host),
            port: self.port,
            headers: self.headers,
            max_payload: self.max_payload,
            ..Info::default()
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    broker: Broker<Growing>,
    wires: Wires,
    /// Read buffer of all connections; empty while one of them has it.
    shared: Vec<u8>,
    listeners: Vec<Listener>,
    signals: Signals,
    /// Given up for a moment where there is no other descriptor left to refuse a connection with.
    spare: Option<OwnedFd>,
    trim: Trim,
    source: Source,
}

/// All connections: what the broker's actions act upon.
#[derive(Debug)]
struct Wires {
    identity: Identity,
    log: Log,
    /// By [`ClientId`].
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// Those to be written to at the end of the turn.
    dirty: Vec<u32>,
    closing: Vec<(ClientId, Reason)>,
    /// Buffers for output, warm from their last use.
    pool: Vec<Vec<u8>>,
}

/// When the buffers that a burst has left are given back.
#[derive(Debug, Default)]
struct Trim {
    at: Option<Instant>,
    /// There was traffic since the time was set.
    busy: bool,
}

const TRIM_AFTER: Duration = Duration::from_secs(5);
/// What is not worth a wake-up: as much as this stays.
const TRIM_TO: usize = 64 << 10;
/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

impl Server {
    pub(super) fn new(
        broker: Broker<Growing>,
        identity: Identity,
        log: Log,
        listeners: Vec<Listener>,
        signals: Signals,
        source: Source,
    ) -> Self {
        let wires = Wires {
            identity,
            log,
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            closing: Vec::new(),
            pool: Vec::new(),
        };
        let spare = std::fs::File::open("/dev/null").map(OwnedFd::from).ok();
        Self { broker, wires, shared: Vec::new(), listeners, signals, spare, trim: Trim::default(), source }
    }

    /// Watches what it has.
    pub(super) fn register(&self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            reactor.add(listener, Token::Listener(index), Ready::READ)?;
        }
        reactor.add(&self.signals, Token::Signals, Ready::READ)?;
        Ok(())
    }

    /// The log, for what is said after the end.
    pub(super) fn log(&self) -> &Log {
        &self.wires.log
    }

    fn drive(&mut self, now: Instant, input: Input<'_>) -> Progress {
        let mut turn = self.broker.handle(now, input);
        while let Some(action) = turn.poll() {
            self.wires.act(action);
        }
        turn.progress()
    }

    fn accept(&mut self, reactor: &mut Reactor<Token>, key: Key, index: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(index) else { return };
            match listener.accept() {
                Ok((socket, peer, name)) => self.open(reactor, socket, peer, name),
                Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::AGAIN) => return reactor.read_blocked(key),
                    Some(Errno::MFILE | Errno::NFILE) => {
                        self.wires
                            .log
                            .line(Tag::Error, format_args!("Error trying to accept connection: {error}"));
                        // Without this the connection would wait, and wake us, for ever.
                        self.spare = None;
                        let refused = listener.accept();
                        let nobody = refused.is_err();
                        drop(refused);
                        self.spare = std::fs::File::open("/dev/null").map(OwnedFd::from).ok();
                        if nobody {
                            return reactor.read_blocked(key);
                        }
                    }
                    // The peer has gone again, or the network is short of memory: the next one may do better.
                    _ => {}
                },
            }
        }
    }

    fn open(&mut self, reactor: &mut Reactor<Token>, socket: OwnedFd, peer: Peer, name: String) {
        let index = match self.wires.free.pop() {
            Some(index) => index,
            None => {
                let Ok(index) = u32::try_from(self.wires.connections.len()) else { return };
                self.wires.connections.push(None);
                index
            }
        };
        let key = match reactor.add(&socket, Token::Client(index), Ready::READ) {
            Ok(key) => key,
            Err(error) => {
                self.wires.log.line(Tag::Error, format_args!("{name} - cannot be watched: {error}"));
                return self.wires.free.push(index);
            }
        };
        self.wires.log.line(Tag::Debug, format_args!("{name} - Client connection created"));
        if let Some(place) = self.wires.connections.get_mut(index as usize) {
            *place = Some(Connection::new(socket, key, name));
        }
        self.drive(reactor.now(), Input::Opened { client: ClientId::new(index), peer });
        self.close_what_ended(reactor);
    }

    /// One read from a connection, and all operations that are whole then.
    fn read(&mut self, reactor: &mut Reactor<Token>, key: Key, index: u32) {
        let now = reactor.now();
        let client = ClientId::new(index);
        let Some(connection) = self.wires.connection(index) else { return };
        let (buffer, read) = connection.read(&mut self.shared);
        match read {
            Read::Bytes(true) => reactor.read_short(key),
            Read::Bytes(false) => {}
            Read::Blocked => reactor.read_blocked(key),
            Read::End => {
                self.shared = if buffer.capacity() > SHARED * 2 { Vec::new() } else { buffer };
                return self.finish(reactor, client, None);
            }
        }
        let (mut done, mut needed) = (0, 0);
        while let Some(bytes) = buffer.get(done..).filter(|bytes| !bytes.is_empty()) {
            match self.drive(now, Input::Received { client, bytes }) {
                Progress::Consumed(len) => {
                    if self.wires.log.trace {
                        self.wires.trace(index, bytes.get(..len).unwrap_or(bytes));
                    }
                    done += len;
                }
                Progress::Needs(len) => {
                    needed = len;
                    break;
                }
                Progress::Waits => break,
            }
        }
        if let Some(connection) = self.wires.connection(index) {
            connection.keep(buffer, done, needed, &mut self.shared);
        }
        self.trim.busy = true;
        self.close_what_ended(reactor);
    }

    /// Writes what waits for a connection, as far as it takes it, and tells the broker what is left.
    fn write(&mut self, reactor: &mut Reactor<Token>, index: u32) {
        let Wires { connections, pool, .. } = &mut self.wires;
        let Some(connection) = connections.get_mut(index as usize).and_then(Option::as_mut) else { return };
        connection.dirty = false;
        let client = ClientId::new(index);
        let key = connection.key;
        match connection.write(pool) {
            Ok(true) => {
                if std::mem::replace(&mut connection.blocked, false) {
                    reactor.want(key, Ready::READ);
                }
            }
            Ok(false) => {
                reactor.write_blocked(key);
                if !std::mem::replace(&mut connection.blocked, true) {
                    reactor.want(key, Ready::BOTH);
                }
            }
            Err(_) => return self.finish(reactor, client, None),
        }
        let left = connection.left();
        self.drive(reactor.now(), Input::Flushed { client, left });
    }

    /// Ends connections that the broker has closed.
    fn close_what_ended(&mut self, reactor: &mut Reactor<Token>) {
        while let Some((client, reason)) = self.wires.closing.pop() {
            self.finish(reactor, client, Some(reason));
        }
    }

    fn finish(&mut self, reactor: &mut Reactor<Token>, client: ClientId, reason: Option<Reason>) {
        let Some(place) = self.wires.connections.get_mut(client.index() as usize) else { return };
        let Some(mut connection) = place.take() else { return };
        let name = &connection.name;
        match reason {
            Some(reason) => {
                self.wires.log.line(Tag::Debug, format_args!("{name} - Client connection closed: {reason}"));
            }
            None => self
                .wires
                .log
                .line(Tag::Debug, format_args!("{name} - Client connection closed: Client Closed")),
        }
        if reason.is_some_and(Reason::is_polite) {
            let _ = connection.write(&mut self.wires.pool);
            let _ = rustix::net::shutdown(&connection.socket, rustix::net::Shutdown::Write);
            // Unread bytes would make the kernel reset the connection, and the last words be lost.
            let mut bytes = [0; 4096];
            for _ in 0..64 {
                if !matches!(rustix::io::read(&connection.socket, &mut bytes), Ok(1..)) {
                    break;
                }
            }
        }
        reactor.remove(connection.key, &connection.socket);
        drop(connection);
        self.drive(reactor.now(), Input::Closed { client });
        self.wires.free.push(client.index());
    }

    fn signal(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        while let Some(signal) = self.signals.next() {
            match signal {
                libc::SIGUSR1 => self.wires.log.reopen(),
                libc::SIGHUP => self.reload(),
                libc::SIGUSR2 => self.wires.log.line(Tag::Warn, "Lame duck mode: not in this build"),
                _ => {
                    self.wires.log.line(Tag::Info, "Initiating Shutdown...");
                    reactor.stop();
                }
            }
        }
        reactor.read_blocked(key);
    }

    fn reload(&mut self) {
        if self.source.reload(&self.wires.log).is_some() {
            self.wires.log.follow(&self.source.settings.logging);
        }
    }

    /// How much memory waits for its next use.
    fn kept(&self) -> usize {
        self.shared.capacity().saturating_sub(SHARED)
            + self.wires.pool.iter().map(Vec::capacity).sum::<usize>()
    }
}

impl App for Server {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, ready: Ready) {
        match token {
            Token::Client(index) => {
                if ready.writable {
                    self.write(reactor, index);
                }
                if ready.readable {
                    self.read(reactor, key, index);
                }
            }
            Token::Listener(index) => self.accept(reactor, key, index),
            Token::Signals => self.signal(reactor, key),
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        if self.broker.next_deadline().is_some_and(|at| at <= now) {
            self.drive(now, Input::Tick);
            self.close_what_ended(reactor);
        }
        if self.trim.at.is_some_and(|at| at <= now) {
            self.trim.at = None;
            if !std::mem::replace(&mut self.trim.busy, false) {
                self.wires.pool = Vec::new();
                self.shared = Vec::new();
            }
        }
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(index) = self.wires.dirty.pop() {
            self.write(reactor, index);
        }
        self.close_what_ended(reactor);
        if self.trim.at.is_none() && self.kept() > TRIM_TO {
            self.trim.at = Some(reactor.now() + TRIM_AFTER);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match (self.broker.next_deadline(), self.trim.at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Wires {
    fn connection(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index as usize)?.as_mut()
    }

    fn act(&mut self, action: Action<'_>) {
        match action {
            Action::Deliver(delivery) => self.deliver(&delivery),
            Action::Send { to, line } => {
                let info = self.identity.info();
                let Some(Some(connection)) = self.connections.get_mut(to.index() as usize) else { return };
                connection.push_with(&mut self.pool, 512, |out| {
                    line.encode(out, &info).map_err(|full| full.needed)
                });
                self.soil(to.index());
            }
            // Nobody is asked who it is, and nothing is served, as long as nothing sets what these come of.
            Action::Authenticate { .. } | Action::Request { .. } => {}
            Action::Close { client, reason } => {
                if let Some(connection) = self.connection(client.index()) {
                    connection.closed = true;
                }
                self.closing.push((client, reason));
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery<'_>) {
        let index = delivery.to().index();
        let Some(Some(connection)) = self.connections.get_mut(index as usize) else { return };
        if connection.closed {
            return;
        }
        connection.push_with(&mut self.pool, delivery.head_len(), |out| {
            delivery.encode_head(out).map_err(|full| full.needed)
        });
        connection.push(delivery.body());
        self.soil(index);
    }

    /// Puts a connection on the list of those to be written to; a full one waits for the reactor.
    fn soil(&mut self, index: u32) {
        if let Some(Some(connection)) = self.connections.get_mut(index as usize)
            && !connection.dirty
            && !connection.blocked
        {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Says what a client said, up to the end of its first line.
    fn trace(&self, index: u32, bytes: &[u8]) {
        let mut line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'c')) {
            // Passwords are nobody's business.
            line = b"CONNECT {...}";
        }
        let name = match self.connections.get(index as usize) {
            Some(Some(connection)) => connection.name.as_str(),
            _ => "",
        };
        self.log.line(Tag::Trace, format_args!("{name} - <<- [{}]", line.trim_ascii_end().escape_ascii()));
    }
}

impl Drop for Server {
    /// Says goodbye to whoever can still hear it.
    fn drop(&mut self) {
        let Wires { connections, pool, .. } = &mut self.wires;
        for connection in connections.iter_mut().flatten() {
            let _ = connection.write(pool);
            let _ = rustix::net::shutdown(connection.socket.as_fd(), rustix::net::Shutdown::Both);
        }
    }
}
