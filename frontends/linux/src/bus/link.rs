//! The way to one server: looking it up, connecting, and reading and writing.

use std::io;
use std::net::SocketAddr;

use crate::reactor::{Key, Reactor, Ready};

use super::resolve::Lookup;
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
        Self { token, state: State::Closed, lookup: None, addresses: Vec::new(), stuck: false }
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
        self.stuck = false;
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
        match stream.read(buffer) {
            Ok(0) => Moved::Ended,
            Ok(read) => Moved::Bytes(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                reactor.read_blocked(*key);
                Moved::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes(0),
            Err(_) => Moved::Ended,
        }
    }

    /// Writes without the reactor; once stuck, only [`Link::rearm`] allows another attempt.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Moved {
        let State::Open(stream, _) = &self.state else { return Moved::Blocked };
        if self.stuck {
            return Moved::Blocked;
        }
        match stream.write(bytes) {
            Ok(written) => Moved::Bytes(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stuck = true;
                Moved::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes(0),
            Err(_) => Moved::Ended,
        }
    }

    /// Before the writes of a turn's end.
    pub(super) const fn unstick(&mut self) {
        self.stuck = false;
    }

    /// After them: the reactor must say when the socket takes more.
    pub(super) fn rearm(&self, reactor: &mut Reactor<T>) {
        if let State::Open(_, key) = &self.state {
            if self.stuck {
                reactor.write_blocked(*key);
            }
            reactor.want(*key, if self.stuck { Ready::BOTH } else { Ready::READ });
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
