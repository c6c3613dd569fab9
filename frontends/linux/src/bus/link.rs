//! The way to one server: looking it up, connecting, and reading and writing.

use std::io;
use std::net::SocketAddr;

use crate::reactor::{Key, Reactor, Ready};

use super::resolve::Lookup;
use super::tls::{Connector, Session};
use super::transport::Stream;
use super::url::{Place, Server};

/// At most one connection, and what is on the way to it. `T` is the application's token type.
#[derive(Debug)]
pub(super) struct Link<T> {
    token: T,
    state: State,
    /// A look-up that outlasts its attempt is used by the next one, so that there is one thread at most.
    lookup: Option<(Lookup, Key)>,
    /// Addresses of this attempt that were not tried yet, last first.
    addresses: Vec<SocketAddr>,
    /// What the open connection is encrypted with.
    tls: Option<Box<Session>>,
    /// Why the last connection ended, where the end itself does not tell.
    trouble: Option<String>,
    /// The socket did not take all of the last write.
    stuck: bool,
}

#[derive(Debug)]
enum State {
    Closed,
    LookingUp,
    Connecting(Stream, Key),
    Open(Stream, Key),
}

/// What came of an attempt so far.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing that the session should hear.
    None,
    /// There is a connection, to a peer whose death the kernel reports by itself or not.
    Connected { local: bool },
    /// There will be none.
    Failed(io::Error),
}

/// What came of a read or write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Blocked,
    /// Nothing any more.
    Ended,
}

impl<T: Copy> Link<T> {
    pub(super) const fn new(token: T) -> Self {
        Self {
            token,
            state: State::Closed,
            lookup: None,
            addresses: Vec::new(),
            tls: None,
            trouble: None,
            stuck: false,
        }
    }

    pub(super) fn open(&mut self, reactor: &mut Reactor<T>, server: &Server) -> Progress {
        self.close(reactor);
        match &server.place {
            Place::Path(path) => match Stream::connect_unix(path) {
                Ok(stream) => match reactor.add(&stream, self.token, Ready::READ) {
                    Ok(key) => {
                        self.state = State::Open(stream, key);
                        Progress::Connected { local: true }
                    }
                    Err(error) => Progress::Failed(error),
                },
                Err(error) => Progress::Failed(error),
            },
            Place::Address(address, port) => {
                self.addresses = vec![SocketAddr::new(*address, *port)];
                self.try_next(reactor)
            }
            Place::Name(name, port) => self.look_up(reactor, name, *port),
        }
    }

    pub(super) fn close(&mut self, reactor: &mut Reactor<T>) {
        if let State::Connecting(stream, key) | State::Open(stream, key) =
            std::mem::replace(&mut self.state, State::Closed)
        {
            reactor.remove(key, &stream);
        }
        self.addresses.clear();
        self.tls = None;
        self.stuck = false;
    }

    /// Goes on in TLS with a server whose certificate must be for `name`.
    ///
    /// # Errors
    /// There is no connection, `name` is no name, or the peer is gone.
    pub(super) fn begin_tls(&mut self, connector: &Connector, name: &str) -> Result<(), String> {
        let State::Open(stream, _) = &self.state else { return Err("there is no connection".to_owned()) };
        let session = self.tls.insert(Box::new(connector.begin(name)?));
        match session.flush(stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// The connection is encrypted, or will be when its handshake is over.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Nothing can be written until reading has ended TLS's handshake.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Why the connection ended, once, where there is more to say than that it did.
    pub(super) fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// One of the descriptors is ready.
    pub(super) fn ready(&mut self, reactor: &mut Reactor<T>, key: Key) -> Progress {
        if self.lookup.as_ref().is_some_and(|(_, of)| *of == key) {
            return self.looked_up(reactor);
        }
        let State::Connecting(stream, of) = &self.state else { return Progress::None };
        if *of != key {
            return Progress::None;
        }
        match stream.connected() {
            Ok(Some(())) => {
                let State::Connecting(stream, key) = std::mem::replace(&mut self.state, State::Closed) else {
                    return Progress::None;
                };
                let local = stream.peer_is_local();
                reactor.want(key, Ready::READ);
                self.state = State::Open(stream, key);
                self.addresses.clear();
                Progress::Connected { local }
            }
            Ok(None) => {
                reactor.write_blocked(key);
                Progress::None
            }
            Err(error) => self.try_other(reactor, error),
        }
    }

    /// Reads what is there; the reactor hears when there is nothing.
    pub(super) fn read(&mut self, reactor: &mut Reactor<T>, buffer: &mut [u8]) -> Moved {
        let State::Open(stream, key) = &self.state else { return Moved::Blocked };
        let read = match &mut self.tls {
            None => stream.read(buffer),
            Some(session) => session.read(stream, buffer),
        };
        match read {
            Ok(0) => Moved::Ended,
            Ok(read) => Moved::Bytes(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                reactor.read_blocked(*key);
                Moved::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes(0),
            Err(error) => {
                self.trouble = self.tls.is_some().then(|| format!("TLS: {error}"));
                Moved::Ended
            }
        }
    }

    /// Writes without the reactor; once stuck, only [`Link::rearm`] allows another attempt.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Moved {
        let State::Open(stream, _) = &self.state else { return Moved::Blocked };
        if self.stuck || self.is_handshaking() {
            return Moved::Blocked;
        }
        let written = match &mut self.tls {
            None => stream.write(bytes),
            Some(session) => session.write(stream, bytes),
        };
        match written {
            Ok(written) => Moved::Bytes(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stuck = true;
                Moved::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes(0),
            Err(_) => Moved::Ended,
        }
    }

    /// Before the writes of a turn's end: writes what TLS has taken before. An error shows itself again to who reads.
    pub(super) fn unstick(&mut self) {
        self.stuck = match (&self.state, &mut self.tls) {
            (State::Open(stream, _), Some(session)) => session.flush(stream).is_err(),
            _ => false,
        };
    }

    /// After them: the reactor must say when the socket takes more.
    pub(super) fn rearm(&self, reactor: &mut Reactor<T>) {
        if let State::Open(_, key) = &self.state {
            let waits = self.stuck || self.tls.as_ref().is_some_and(|session| session.wants_write());
            if waits {
                reactor.write_blocked(*key);
            }
            reactor.want(*key, if waits { Ready::BOTH } else { Ready::READ });
        }
    }

    fn look_up(&mut self, reactor: &mut Reactor<T>, name: &str, port: u16) -> Progress {
        self.state = State::LookingUp;
        if self.lookup.as_ref().is_some_and(|(lookup, _)| lookup.is_for(name, port)) {
            return self.looked_up(reactor);
        }
        self.forget_lookup(reactor);
        let started = Lookup::start(name, port)
            .and_then(|lookup| Ok((reactor.add(&lookup, self.token, Ready::READ)?, lookup)));
        match started {
            Ok((key, lookup)) => {
                self.lookup = Some((lookup, key));
                Progress::None
            }
            Err(error) => {
                self.state = State::Closed;
                Progress::Failed(error)
            }
        }
    }

    fn looked_up(&mut self, reactor: &mut Reactor<T>) -> Progress {
        let Some((lookup, key)) = &self.lookup else { return Progress::None };
        let waits = matches!(self.state, State::LookingUp);
        if !waits {
            // The attempt is over. The answer stays for the next one.
            reactor.read_blocked(*key);
            return Progress::None;
        }
        let Some(found) = lookup.take() else { return Progress::None };
        self.forget_lookup(reactor);
        match found {
            Ok(mut addresses) => {
                addresses.reverse();
                self.addresses = addresses;
                self.try_next(reactor)
            }
            Err(error) => {
                self.state = State::Closed;
                Progress::Failed(error)
            }
        }
    }

    fn forget_lookup(&mut self, reactor: &mut Reactor<T>) {
        if let Some((lookup, key)) = self.lookup.take() {
            reactor.remove(key, &lookup);
        }
    }

    fn try_next(&mut self, reactor: &mut Reactor<T>) -> Progress {
        self.try_other(reactor, io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    }

    /// After `error`, the next address; if there is none, `error` it is.
    fn try_other(&mut self, reactor: &mut Reactor<T>, mut error: io::Error) -> Progress {
        let mut addresses = std::mem::take(&mut self.addresses);
        self.close(reactor);
        while let Some(address) = addresses.pop() {
            let attempt = Stream::connect_tcp(address)
                .and_then(|stream| Ok((reactor.add(&stream, self.token, Ready::WRITE)?, stream)));
            match attempt {
                Ok((key, stream)) => {
                    self.state = State::Connecting(stream, key);
                    self.addresses = addresses;
                    return Progress::None;
                }
                Err(other) => error = other,
            }
        }
        Progress::Failed(error)
    }
}
