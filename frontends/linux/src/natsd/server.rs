//! The reactor's side of the broker: sockets in, sockets out.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use lunix_core::broker::{Action, Broker, Input, Progress};
use lunix_core::time::Instant;

use super::connection::SHARED;
use super::handshake::Handshakes;
use super::lame_duck::LameDuck;
use super::leaf::Leaves;
use super::listen::Listener;
use super::log::Log;
use super::memory::Growing;
use super::monitor::{self, Monitor};
use super::output::Pool;
use super::reload::Source;
use super::system::System;
use super::wires::Wires;
use crate::reactor::{App, Key, Reactor, Ready, monotonic};
use crate::sys::pages::give_back;
use crate::sys::signals::Signals;

/// What the server's sources are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Listener(usize),
    Client(u32),
    Signals,
    /// Whoever started it wants it to end.
    Stop,
    /// Passwords have been hashed.
    Hashed,
    /// Tokens of accounts have changed.
    Tokens,
    /// A hub that is not joined yet.
    Hub(usize),
    Monitor(monitor::Source),
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) broker: Broker<Growing>,
    pub(super) wires: Wires,
    /// Read buffer of all connections; empty while one of them has it.
    pub(super) shared: Vec<u8>,
    pub(super) listeners: Vec<Listener>,
    pub(super) signals: Signals,
    pub(super) stop: Option<OwnedFd>,
    /// Given up for a moment where there is no other descriptor left to refuse a connection with.
    pub(super) spare: Option<OwnedFd>,
    pub(super) trim: Trim,
    pub(super) source: Source,
    pub(super) handshakes: Handshakes,
    /// It closes one client after the other.
    pub(super) lame_duck: Option<LameDuck>,
    /// The watch on tokens of accounts.
    pub(super) watch: Option<Key>,
    pub(super) leaves: Leaves,
    pub(super) monitor: Monitor,
    pub(super) system: System,
}

/// When the buffers that a burst has left are given back.
#[derive(Debug, Default)]
pub(super) struct Trim {
    pub(super) at: Option<Instant>,
    /// There was traffic since the time was set.
    pub(super) busy: bool,
}

const TRIM_AFTER: Duration = Duration::from_secs(5);
/// What is not worth a wake-up: as much as this stays.
const TRIM_TO: usize = 64 << 10;

impl Server {
    pub(super) fn new(
        broker: Broker<Growing>,
        wires: Wires,
        listeners: Vec<Listener>,
        signals: Signals,
        source: Source,
        leaves: Leaves,
        monitor: Monitor,
    ) -> Self {
        let system = System::new(&wires.identity.id);
        let spare = std::fs::File::open("/dev/null").map(OwnedFd::from).ok();
        Self {
            broker,
            wires,
            shared: Vec::new(),
            listeners,
            signals,
            stop: None,
            spare,
            trim: Trim::default(),
            source,
            handshakes: Handshakes::default(),
            lame_duck: None,
            watch: None,
            leaves,
            monitor,
            system,
        }
    }

    /// Watches what it has.
    pub(super) fn register(&mut self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            reactor.add(listener, Token::Listener(index), Ready::READ)?;
        }
        reactor.add(&self.signals, Token::Signals, Ready::READ)?;
        if let Some(stop) = &self.stop {
            reactor.add(stop, Token::Stop, Ready::READ)?;
        }
        reactor.add(&self.wires.door.hashed(), Token::Hashed, Ready::READ)?;
        self.watch_tokens(reactor);
        self.monitor.register(reactor)
    }

    /// The log, for what is said after the end.
    pub(super) fn log(&self) -> &Log {
        &self.wires.log
    }

    pub(super) fn drive(&mut self, now: Instant, input: Input<'_>) -> Progress {
        let mut turn = self.broker.handle(now, input);
        while let Some(action) = turn.poll() {
            match action {
                Action::Deliver(delivery) => self.wires.deliver(&delivery),
                action => self.wires.act(action),
            }
        }
        let progress = turn.progress();
        while let Some((client, verdict)) = self.wires.verdicts.pop() {
            self.decide(now, client, verdict);
        }
        progress
    }

    /// How much memory waits for its next use.
    fn kept(&self) -> usize {
        self.shared.capacity().saturating_sub(SHARED) + self.wires.pool.bytes()
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
            Token::Hub(index) => self.remote_ready(reactor, key, index),
            Token::Signals => self.signal(reactor, key),
            Token::Stop => reactor.stop(),
            Token::Hashed => self.hashed(reactor, key),
            Token::Tokens => self.tokens_changed(reactor, key),
            Token::Monitor(source) => self.tell(reactor, key, source),
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        if self.broker.next_deadline().is_some_and(|at| at <= now) {
            self.drive(now, Input::Tick);
            self.close_what_ended(reactor);
        }
        self.expire_handshakes(reactor);
        self.close_lamely(reactor);
        self.leaf_deadlines(reactor);
        self.monitor.tick(reactor);
        if self.trim.at.is_some_and(|at| at <= now) {
            self.trim.at = None;
            if !std::mem::replace(&mut self.trim.busy, false) {
                self.wires.pool = Pool::default();
                self.shared = Vec::new();
                give_back();
            }
        }
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        // Who is written to may be found gone, and what is said of that has to be written too.
        loop {
            self.say_statistics(reactor.now());
            self.answer_requests(reactor);
            self.tell_traces(reactor.now());
            self.write_all(reactor);
            self.close_what_ended(reactor);
            self.heed_stalls(reactor);
            if self.wires.dirty.is_empty() && self.wires.asked.is_empty() {
                break;
            }
        }
        self.forget_handshakes();
        if self.trim.at.is_none() && self.kept() > TRIM_TO {
            self.trim.at = Some(reactor.now() + TRIM_AFTER);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let lame = self.lame_duck.as_ref().map(LameDuck::next);
        [
            self.broker.next_deadline(),
            self.trim.at,
            self.handshakes.next_deadline(),
            lame,
            self.leaves.next_deadline(),
            self.monitor.next_deadline(),
            self.system.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Drop for Server {
    /// Says goodbye to whoever can still hear it.
    fn drop(&mut self) {
        self.say_end(monotonic(), "SHUTDOWN");
        let Wires { connections, pool, .. } = &mut self.wires;
        for connection in connections.iter_mut().flatten() {
            let _ = connection.write(pool);
            connection.transport.close();
            let _ = rustix::net::shutdown(connection.transport.as_fd(), rustix::net::Shutdown::Both);
        }
    }
}
