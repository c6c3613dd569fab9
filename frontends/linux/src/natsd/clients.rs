//! How a client's connection begins, is read and written, and ends.

use std::os::fd::OwnedFd;

use lunix_core::broker::{ClientId, Input, Peer, Progress, Reason};
use rustix::io::Errno;

use super::connection::{Connection, SHARED};
use super::log::Tag;
use super::server::{Server, Token};
use super::transport::{Read, Transport};
use super::wires::Wires;
use crate::reactor::{Key, Reactor, Ready};

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// So many bytes of messages are written before more is read or carried out: one read may be a message to thousands.
const QUEUED: usize = 8 << 20;

/// So much is read at once however little may wait.
const LEAST: usize = 4 << 10;

impl Server {
    pub(super) fn accept(&mut self, reactor: &mut Reactor<Token>, key: Key, index: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(index) else { return reactor.read_blocked(key) };
            match listener.accept() {
                Ok((socket, peer, name)) if self.leaves.listens(index) => {
                    self.accept_leaf(reactor, socket, peer, name);
                }
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

    pub(super) fn open(&mut self, reactor: &mut Reactor<Token>, socket: OwnedFd, peer: Peer, name: String) {
        let transport = self.handshakes.transport(socket, peer, reactor.now());
        let Some(index) = self.place(reactor, transport, name) else { return };
        let client = ClientId::new(index);
        let Wires { connections, door, .. } = &mut self.wires;
        let Some(Some(connection)) = connections.get(index as usize) else { return };
        let known = door.opened(client, &connection.transport, peer, &mut self.broker.memory_mut().users);
        // Where certificates tell who clients are, nothing else does.
        let known = known.filter(|_| !connection.transport.maps_users());
        let begin = match known {
            Some(user) => Input::Entered { client, peer, user },
            None => Input::Opened { client, peer },
        };
        self.drive(reactor.now(), begin);
        self.greet(reactor, index);
        self.close_what_ended(reactor);
    }

    /// Watches a connection; answers its number.
    pub(super) fn place(
        &mut self,
        reactor: &mut Reactor<Token>,
        transport: Transport,
        name: String,
    ) -> Option<u32> {
        let index = match self.wires.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.wires.connections.len()).ok()?;
                self.wires.connections.push(None);
                index
            }
        };
        let key = match reactor.add(&transport, Token::Client(index), Ready::READ) {
            Ok(key) => key,
            Err(error) => {
                self.wires.log.line(Tag::Error, format_args!("{name} - cannot be watched: {error}"));
                self.wires.free.push(index);
                return None;
            }
        };
        self.wires.log.line(Tag::Debug, format_args!("{name} - Client connection created"));
        if let Some(place) = self.wires.connections.get_mut(index as usize) {
            *place = Some(Connection::new(transport, key, name));
        }
        Some(index)
    }

    /// One read from a connection, and all operations that are whole then.
    pub(super) fn read(&mut self, reactor: &mut Reactor<Token>, key: Key, index: u32) {
        let client = ClientId::new(index);
        let Some(connection) = self.wires.connection(index) else { return };
        // Where little may wait for a client, little is read from another before that one is looked at.
        let most = (self.broker.limits().pending / 16).clamp(LEAST, SHARED);
        let (buffer, read) = connection.read(&mut self.shared, most);
        match read {
            Read::Bytes(true) => reactor.read_short(key),
            Read::Bytes(false) => {}
            Read::Blocked => reactor.read_blocked(key),
            Read::End => {
                self.shared = if buffer.capacity() > SHARED * 2 { Vec::new() } else { buffer };
                return self.finish(reactor, client, None);
            }
        }
        self.carry_out(reactor, key, index, buffer);
    }

    /// Carries out all operations that are whole in `buffer`, and keeps the rest.
    pub(super) fn carry_out(&mut self, reactor: &mut Reactor<Token>, key: Key, index: u32, buffer: Vec<u8>) {
        let now = reactor.now();
        let client = ClientId::new(index);
        let queued = QUEUED.min(self.broker.limits().pending_all / 8);
        let (mut done, mut needed) = (0, 0);
        while let Some(bytes) = buffer.get(done..).filter(|bytes| !bytes.is_empty()) {
            match self.drive(now, Input::Received { client, bytes }) {
                Progress::Consumed(len) => {
                    if self.wires.log.trace {
                        self.wires.trace(index, bytes.get(..len).unwrap_or(bytes));
                    }
                    match bytes.first() {
                        Some(b'C' | b'c') => {
                            self.wires.meet(index, bytes.get(..len).unwrap_or(bytes));
                            self.announce(now, client);
                        }
                        Some(b'S' | b's') => {
                            let connection = self.wires.connection(index);
                            self.system.subscribed |=
                                connection.is_some_and(|connection| connection.is_of_system);
                        }
                        _ => {}
                    }
                    done += len;
                    if self.wires.queued > queued || self.wires.pressed {
                        self.write_all(reactor);
                    }
                    if !self.wires.said.is_empty() {
                        self.hear_leaves(reactor);
                    }
                }
                Progress::Needs(len) => {
                    needed = len;
                    break;
                }
                Progress::Waits => {
                    if let Some(connection) = self.wires.connection(index) {
                        connection.waits = true;
                        reactor.want(key, connection.wanted());
                    }
                    break;
                }
            }
        }
        if let Some(connection) = self.wires.connection(index) {
            connection.keep(buffer, done, needed, &mut self.shared);
            if connection.transport.roused() {
                self.tell_agreement(index);
                self.write(reactor, index);
            }
        }
        self.trim.busy = true;
        self.close_what_ended(reactor);
    }

    /// Writes what waits for everybody.
    pub(super) fn write_all(&mut self, reactor: &mut Reactor<Token>) {
        (self.wires.queued, self.wires.pressed) = (0, false);
        while let Some(index) = self.wires.dirty.pop() {
            self.write(reactor, index);
        }
    }

    /// Does not read from who is stalled, and reads from who goes on.
    pub(super) fn heed_stalls(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(index) = self.wires.stalls.pop() {
            if let Some(connection) = self.wires.connection(index) {
                reactor.want(connection.key, connection.wanted());
            }
        }
    }

    /// Writes what waits for a connection, as far as it takes it, and tells the broker what is left.
    pub(super) fn write(&mut self, reactor: &mut Reactor<Token>, index: u32) {
        let Wires { connections, pool, .. } = &mut self.wires;
        let Some(connection) = connections.get_mut(index as usize).and_then(Option::as_mut) else { return };
        connection.dirty = false;
        let client = ClientId::new(index);
        let key = connection.key;
        match connection.write(pool) {
            Ok(true) => {
                if std::mem::replace(&mut connection.blocked, false) {
                    reactor.want(key, connection.wanted());
                }
            }
            Ok(false) => {
                reactor.write_blocked(key);
                if !std::mem::replace(&mut connection.blocked, true) {
                    reactor.want(key, connection.wanted());
                }
            }
            Err(_) => return self.finish(reactor, client, None),
        }
        let left = connection.left();
        self.drive(reactor.now(), Input::Flushed { client, left });
    }

    /// Ends connections that the broker has closed.
    pub(super) fn close_what_ended(&mut self, reactor: &mut Reactor<Token>) {
        while let Some((client, reason)) = self.wires.closing.pop() {
            self.finish(reactor, client, Some(reason));
        }
    }

    pub(super) fn finish(&mut self, reactor: &mut Reactor<Token>, client: ClientId, reason: Option<Reason>) {
        self.tell_trouble(client.index());
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
            connection.transport.close();
            // Unread bytes would make the kernel reset the connection, and the last words be lost.
            let mut bytes = [0; 4096];
            for _ in 0..64 {
                if !matches!(rustix::io::read(&connection.transport, &mut bytes), Ok(1..)) {
                    break;
                }
            }
        }
        reactor.remove(connection.key, &connection.transport);
        self.say_disconnected(
            reactor.now(),
            client,
            connection.about.as_deref(),
            connection.is_announced,
            reason,
        );
        let account =
            self.broker.client(client).or_else(|| self.broker.leaving(client)).map(|status| status.account);
        let why = reason.map(|reason| reason.to_string());
        let why = why.as_deref().unwrap_or("Client Closed");
        self.monitor.closed(&mut self.broker, client, connection.about.take(), why, reactor.now());
        let announced = connection.is_announced;
        connection.discard(&mut self.wires.pool);
        self.wires.door.closed(client, &mut self.broker.memory_mut().users);
        self.drive(reactor.now(), Input::Closed { client });
        if let Some(account) = account.filter(|_| announced) {
            let name = self.wires.door.account_name(account).to_owned();
            self.say_connections(reactor.now(), account, &name);
        }
        self.wires.free.push(client.index());
        self.leaf_closed(reactor, client);
        self.stop_if_lame_and_alone(reactor);
    }
}
