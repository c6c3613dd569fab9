//! A client session and a server in virtual time, over a link that can be cut after any byte.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test program uses its part")]

pub(crate) mod broker;
pub(crate) mod server;

use std::collections::VecDeque;

use lunix_core::session::{
    Action, Config, Identity, Incoming, Input, KeepAlive, Memory, Outgoing, RequestId, Session, Sid,
};
use lunix_core::time::Instant;

use server::Server;

pub(crate) type Client = Session<Vec<u8>, 8, 4>;

/// What the client's user saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Action(Action),
    Message { sid: Sid, subject: String, payload: String, last: bool },
    Answer { request: RequestId, payload: String, last: bool },
    NoResponders(RequestId),
    Error(String),
}

/// What is at the other end of the link.
pub(crate) trait Peer {
    /// A new connection; false if it is refused.
    fn open(&mut self) -> bool;
    /// The connection has ended.
    fn close(&mut self);
    /// Bytes from the client.
    fn feed(&mut self, bytes: &[u8]);
    /// Bytes for the client.
    fn out(&mut self) -> &mut VecDeque<u8>;
    /// It ends the connection once everything is said.
    fn wants_close(&self) -> bool;
}

pub(crate) struct Pair<S = Server> {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    /// What listens at each of the client's servers.
    pub(crate) servers: Vec<S>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) seen: Vec<Seen>,
    /// Bytes that may still cross in each direction before the link breaks; further links hold.
    pub(crate) cut_up: Option<usize>,
    pub(crate) cut_down: Option<usize>,
    /// The most that crosses in one step.
    pub(crate) piece: usize,
    /// Bytes that the link takes from the client before it delivers them, and loses when it breaks.
    pub(crate) delay: usize,
    /// The server is there but says nothing, and hears nothing.
    pub(crate) frozen: bool,
    pub(crate) opened: Vec<(usize, Instant)>,
    connected: Option<usize>,
    up: VecDeque<u8>,
    received: Vec<u8>,
}

pub(crate) fn config(servers: usize) -> Config {
    Config::new(servers, 7)
}

impl Pair {
    pub(crate) fn new(config: Config, outbox: usize) -> Self {
        let servers = (0..config.servers).map(|_| Server::new()).collect();
        Self::with(servers, config, outbox)
    }
}

impl<S: Peer> Pair<S> {
    pub(crate) fn with(servers: Vec<S>, config: Config, outbox: usize) -> Self {
        let memory = Memory { outbox: vec![0; outbox], control: vec![0; 512], subjects: vec![0; 256] };
        let now = Instant::from_micros(1_000);
        Self {
            now,
            client: Client::new(now, config, memory),
            servers,
            keep_alive: None,
            seen: Vec::new(),
            cut_up: None,
            cut_down: None,
            piece: usize::MAX,
            delay: 0,
            frozen: false,
            opened: Vec::new(),
            connected: None,
            up: VecDeque::new(),
            received: Vec::new(),
        }
    }

    pub(crate) fn publish(&mut self, subject: &str, payload: &str) {
        self.client.publish(Outgoing::new(subject.as_bytes(), payload.as_bytes())).unwrap();
    }

    pub(crate) fn server(&mut self) -> &mut S {
        &mut self.servers[0]
    }

    /// Runs until nothing moves and nothing is due within `horizon` microseconds.
    pub(crate) fn run(&mut self, horizon: u64) {
        let end = Instant::from_micros(self.now.as_micros() + horizon);
        for _ in 0..1_000_000 {
            if self.step() {
                continue;
            }
            match self.client.next_deadline() {
                Some(at) if at <= end => {
                    self.now = at.max(self.now);
                    self.client.handle(self.now, Input::Tick);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("no end: {:?}", self.seen);
    }

    /// Runs for a second.
    pub(crate) fn settle(&mut self) {
        self.run(1_000_000);
    }

    pub(crate) fn cut(&mut self) {
        if self.connected.is_some() {
            self.disconnect();
            self.client.handle(self.now, Input::Disconnected);
        }
    }

    fn disconnect(&mut self) {
        if let Some(server) = self.connected.take() {
            self.servers[server].close();
        }
        self.up.clear();
        self.received.clear();
    }

    /// Says whether anything moved.
    fn step(&mut self) -> bool {
        let mut moved = self.drain();
        moved |= self.upwards();
        moved |= self.drain();
        moved |= self.downwards();
        moved
    }

    fn drain(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.client.poll() {
            moved = true;
            self.seen.push(Seen::Action(action));
            match action {
                Action::Open { server } => {
                    self.opened.push((server, self.now));
                    if self.servers[server].open() {
                        self.connected = Some(server);
                        self.client.handle(self.now, Input::Connected { keep_alive: self.keep_alive });
                    } else {
                        self.client.handle(self.now, Input::Disconnected);
                    }
                }
                Action::Close { .. } => self.disconnect(),
                Action::Identify { .. } => {
                    self.client
                        .handle(self.now, Input::Identity(Identity { name: "test", ..Identity::default() }));
                }
                _ => {}
            }
        }
        moved
    }

    fn upwards(&mut self) -> bool {
        let Some(server) = self.connected else { return false };
        if self.frozen {
            return false;
        }
        let outgoing = self.client.outgoing();
        let take = outgoing.len().min(self.piece).min(self.cut_up.unwrap_or(usize::MAX));
        self.up.extend(&outgoing[..take]);
        self.client.sent(take);
        let rest = self.client.outgoing().len();
        // What is delayed arrives when nothing else comes.
        let keep = if rest == 0 { 0 } else { self.delay };
        let deliver = self.up.len().saturating_sub(keep);
        let broken = self.cut_up.as_mut().is_some_and(|left| {
            *left -= take;
            *left == 0
        });
        if broken {
            self.cut_up = None;
            let arrives = self.up.len().saturating_sub(self.delay);
            let bytes: Vec<u8> = self.up.drain(..arrives).collect();
            self.servers[server].feed(&bytes);
            self.cut();
            return true;
        }
        let bytes: Vec<u8> = self.up.drain(..deliver).collect();
        self.servers[server].feed(&bytes);
        take > 0 || deliver > 0
    }

    fn downwards(&mut self) -> bool {
        let Some(server) = self.connected else { return false };
        if self.frozen {
            return false;
        }
        let from = self.servers[server].out();
        let take = from.len().min(self.piece).min(self.cut_down.unwrap_or(usize::MAX));
        self.received.extend(from.drain(..take));
        if take > 0 {
            self.receive();
        }
        if let Some(left) = &mut self.cut_down {
            *left -= take;
            if *left == 0 {
                self.cut_down = None;
                self.cut();
                return true;
            }
        }
        if self.connected.is_some() && self.servers[server].wants_close() {
            self.cut();
            return true;
        }
        take > 0
    }

    fn receive(&mut self) {
        loop {
            let bytes = std::mem::take(&mut self.received);
            let received = self.client.receive(self.now, &bytes);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let more = received.incoming.is_some();
            match received.incoming {
                Some(Incoming::Message { sid, message, last }) => self.seen.push(Seen::Message {
                    sid,
                    subject: text(message.subject),
                    payload: text(message.payload()),
                    last,
                }),
                Some(Incoming::Answer { request, message, last }) => {
                    self.seen.push(Seen::Answer { request, payload: text(message.payload()), last });
                }
                Some(Incoming::NoResponders { request }) => self.seen.push(Seen::NoResponders(request)),
                Some(Incoming::Error { text: error, .. }) => self.seen.push(Seen::Error(text(error))),
                Some(Incoming::Info(_)) | None => {}
            }
            self.received = bytes[received.consumed..].to_vec();
            self.drain();
            if !more || self.connected.is_none() {
                return;
            }
        }
    }

    pub(crate) fn payloads(&self) -> Vec<&str> {
        self.seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Message { payload, .. } => Some(&**payload),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Action) -> bool) -> usize {
        self.seen.iter().filter(|seen| matches!(seen, Seen::Action(action) if wanted(action))).count()
    }
}
