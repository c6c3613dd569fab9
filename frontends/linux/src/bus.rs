//! NATS for daemons: the client session of `lunix-core` over a TCP or UNIX socket on the reactor.
//!
//! A daemon keeps a [`Bus`], hands it what the reactor says about its token, and takes what
//! arrived from [`Bus::next`]:
//!
//! ```no_run
//! use lunix::bus::{Bus, Event, Options};
//! use lunix::reactor::{App, Key, Reactor, Ready};
//! use lunix_core::time::Instant;
//!
//! struct Greeter {
//!     bus: Bus<()>,
//! }
//!
//! impl App for Greeter {
//!     type Token = ();
//!     fn ready(&mut self, reactor: &mut Reactor<()>, key: Key, (): (), _: Ready) {
//!         self.bus.ready(reactor, key);
//!     }
//!     fn deadline(&mut self, reactor: &mut Reactor<()>) {
//!         self.bus.deadline(reactor);
//!     }
//!     fn flush(&mut self, reactor: &mut Reactor<()>) {
//!         while let Some(event) = self.bus.next() {
//!             match event {
//!                 Event::Ready { .. } => drop(self.bus.publish("greeter.present", b"{}")),
//!                 Event::Message(message) => drop(self.bus.respond(&message, b"hello")),
//!                 _ => {}
//!             }
//!         }
//!         self.bus.flush(reactor);
//!     }
//!     fn next_deadline(&self) -> Option<Instant> {
//!         self.bus.next_deadline()
//!     }
//! }
//!
//! let mut bus = Bus::new(Options::new("greeter", "nats://127.0.0.1:4222")?, ());
//! bus.endpoint("greet", "greeter.greet")?;
//! Reactor::new()?.run(&mut Greeter { bus })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Subscriptions are made once, at any time, and outlive reconnects. Publishes made while there is no
//! server are kept (up to [`Options::pending`] bytes) and sent when there is one.

mod drive;
mod link;
mod message;
pub(crate) mod resolve;
mod security;
mod service;
mod tls;
pub(crate) mod transport;
mod url;

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use lunix_core::session::{
    Action, Barrier, Config, Incoming, Input, KeepAlive, Memory, Outgoing, PublishError, RequestError,
    RequestId, Session, Sid, SubscribeError,
};
use lunix_core::time::Instant;

use crate::cli::{Matches, UsageError};
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor, monotonic};

pub use crate::credentials::Signed;
pub use lunix_core::session::Overflow;
pub use message::Message;
pub use security::Credentials;
pub use tls::TlsFiles;
pub use url::{Place, Server, UrlError};

use link::{Link, Moved, Progress};
use service::Service;

/// Subscriptions at a time, of a daemon; the micro-service needs nine of them.
const SUBSCRIPTIONS: usize = 128;
/// Requests at a time.
const REQUESTS: usize = 64;

/// Servers that are known at a time, those that others tell of included.
const SERVERS: usize = 64;

/// What a buffer begins with.
const IDLE: usize = 4 << 10;
/// What a buffer in use grows to first: the outbox gives it back once it is empty, the input what is above it.
const BUSY: usize = 64 << 10;

/// The most that the end of all subscriptions takes.
const FAREWELL: usize = 8 << 10;

/// Of servers on other machines, whose death the kernel may never hear of.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(60), timeout: Duration::from_secs(10) };

/// How a daemon wants its connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// The daemon's name: of the connection, of the micro-service, and before its log lines.
    pub name: &'static str,
    /// One line about the daemon, for `nats micro info`; if empty, it is no micro-service.
    pub description: &'static str,
    /// Where servers may be, in order of preference.
    pub servers: Vec<Server>,
    /// Who the program is at a server that wants a signature.
    pub credentials: Credentials,
    /// Whose certificates count.
    pub tls: TlsFiles,
    /// Bytes of outgoing messages kept at most, while there is no server or a slow one.
    pub pending: usize,
    /// What to give up when that is not enough.
    pub overflow: Overflow,
    /// How long to try to deliver what is pending after [`Bus::drain`].
    pub drain: Duration,
}

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A server is there. `again` is false for the first time: afterwards what others know of this
    /// daemon's state may be old, and it announces its state again.
    Ready {
        /// It is a reconnect.
        again: bool,
    },
    /// The server is gone; the bus looks for another one by itself.
    Lost,
    /// A server could not be reached, and why; the bus goes on trying by itself.
    Failed(String),
    /// A message of a subscription or an endpoint.
    Message(Message),
    /// A request is answered, or never will be.
    Answer {
        /// Which one.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Everything published before [`Bus::barrier`] has reached the server.
    Flushed {
        /// The latest barrier of which that is true.
        barrier: Barrier,
        /// No connection broke since the barrier before: else messages on their way then may be lost.
        certain: bool,
    },
    /// Publishes were given up since the last such event.
    Dropped {
        /// How many.
        messages: u64,
        /// Their bytes on the wire.
        bytes: u64,
    },
    /// The server said `-ERR` without ending the connection: mostly a lack of permission.
    Error(String),
    /// The end of [`Bus::drain`] or [`Bus::close`]: time to stop the reactor.
    Closed,
}

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    /// An answer, and whether it is the last one that was asked for.
    Message(Message, bool),
    /// Nobody listens to the subject.
    NoResponders,
    /// Nobody answered in time.
    TimedOut,
}

/// The connection. `T` is the application's token type, `SUBS` the number of subscriptions that it can have at a time.
#[derive(Debug)]
pub struct Bus<T, const SUBS: usize = SUBSCRIPTIONS> {
    options: Options,
    session: Session<Vec<u8>, SUBS, REQUESTS>,
    link: Link<T>,
    /// The link is, or is becoming, what the session takes for its transport. Between the session's `Close` and
    /// the turn's end, what the link says is of no interest any more.
    attached: bool,
    /// What the server wants signed.
    nonce: String,
    /// The server that the link is to.
    server: usize,
    /// The server that hears who we are once TLS's handshake is over.
    identifying: Option<usize>,
    /// Received bytes not yet decoded: `input[at..filled]`.
    input: Vec<u8>,
    at: usize,
    filled: usize,
    /// How long `input[at..filled]` must get before decoding can go on.
    needed: usize,
    events: VecDeque<Event>,
    /// The last flush added to them.
    news: bool,
    /// What only the reactor can do: opening and closing, in order.
    todo: VecDeque<Action>,
    service: Option<Service>,
    /// The first failure of a series is told, the others are for developers.
    failing: bool,
}

impl Options {
    /// `urls` as of `--nats`: one or several, separated by commas.
    ///
    /// # Errors
    /// The first URL that is none of `nats://HOST:PORT`, `tls://HOST:PORT` and `unix:///PATH`.
    pub fn new(name: &'static str, urls: &str) -> Result<Self, UrlError> {
        Ok(Self {
            name,
            description: "",
            servers: url::parse_list(urls)?,
            credentials: Credentials::default(),
            tls: TlsFiles::default(),
            pending: 2 << 20,
            overflow: Overflow::DropOldest,
            drain: Duration::from_secs(2),
        })
    }

    /// By the flag `--nats`, else `$NATS_URL`, else `nats://127.0.0.1:4222`; and by what the flags of
    /// [`cli::NATS`](crate::cli::NATS) and their variables say of credentials and certificates.
    ///
    /// # Errors
    /// The one line that says what is wrong with the URL or a file.
    pub fn from_matches(name: &'static str, matches: &Matches) -> Result<Self, UsageError> {
        let from_environment = std::env::var("NATS_URL").ok().filter(|urls| !urls.is_empty());
        let options = match (matches.text("nats")?, from_environment) {
            (Some(urls), _) => {
                Self::new(name, urls).map_err(|error| matches.error(format_args!("--nats: {error}")))
            }
            (None, Some(urls)) => {
                Self::new(name, &urls).map_err(|error| matches.error(format_args!("$NATS_URL: {error}")))
            }
            (None, None) => {
                Self::new(name, DEFAULT_URL).map_err(|error| matches.error(format_args!("{error}")))
            }
        }?;
        options.secured(Some(matches)).map_err(|error| matches.error(error))
    }

    /// With the credentials and certificates that flags, if there are any, and environment name.
    ///
    /// # Errors
    /// What is wrong with a file, in one line.
    pub(crate) fn secured(mut self, matches: Option<&Matches>) -> Result<Self, String> {
        (self.credentials, self.tls) = security::read(matches)?;
        Ok(self)
    }
}

/// Where a server is if nobody says otherwise.
pub const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

impl<T: Copy, const SUBS: usize> Bus<T, SUBS> {
    /// A bus that begins to connect in the first turn of the reactor. Its sockets are watched under `token`.
    pub fn new(options: Options, token: T) -> Self {
        let hash = |of: u64| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u64(of);
            hasher.finish()
        };
        let seed = u128::from(hash(1)) << 64 | u128::from(hash(2));
        let config = Config { overflow: options.overflow, ..Config::new(options.servers.len(), seed) };
        // CONNECT: every byte of a name or password may need six in JSON.
        let longest = options
            .servers
            .iter()
            .map(|server| {
                [&server.user, &server.password].into_iter().flatten().map(String::len).sum::<usize>()
            })
            .max()
            .unwrap_or(0);
        let memory = Memory {
            outbox: vec![0; IDLE],
            control: vec![0; (2 << 10) + 6 * (longest + options.name.len())],
            subjects: vec![0; 1 << 10],
        };
        let mut bus = Self {
            session: Session::new(monotonic(), config, memory),
            link: Link::new(token),
            attached: false,
            nonce: String::new(),
            server: 0,
            identifying: None,
            input: Vec::new(),
            at: 0,
            filled: 0,
            needed: 1,
            events: VecDeque::new(),
            news: false,
            todo: VecDeque::new(),
            service: None,
            failing: false,
            options,
        };
        if !bus.options.description.is_empty() {
            bus.become_service(format!("{:016x}", hash(3)));
        }
        bus
    }

    /// To be called from [`App::ready`](crate::reactor::App::ready) for the bus's token.
    pub fn ready(&mut self, reactor: &mut Reactor<T>, key: Key) {
        match self.link.ready(reactor, key) {
            Progress::None => self.read(reactor),
            progress => self.opened(reactor.now(), progress),
        }
        self.take_actions();
    }

    /// To be called from [`App::deadline`](crate::reactor::App::deadline), whoever's deadline it was.
    pub fn deadline(&mut self, reactor: &mut Reactor<T>) {
        self.session.handle(reactor.now(), Input::Tick);
        self.take_actions();
    }

    /// The next event; to be called until `None` in [`App::flush`](crate::reactor::App::flush), before
    /// [`Bus::flush`]. Does not block and reads nothing.
    #[expect(clippy::should_implement_trait, reason = "there is no end: None means not now")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let bytes = self.input.get(self.at..self.filled).unwrap_or_default();
            if bytes.is_empty() || bytes.len() < self.needed {
                return None;
            }
            let mut told: Vec<String> = Vec::new();
            let now = monotonic();
            let received = self.session.receive(now, bytes);
            let event = received.incoming.and_then(|incoming| match incoming {
                Incoming::Info(info) => {
                    self.nonce = info.nonce.chars().collect();
                    told = info.connect_urls.iter().map(|url| url.chars().collect()).take(SERVERS).collect();
                    None
                }
                Incoming::Message { sid, message, .. } => {
                    Some(Event::Message(Message::new(Some(sid), now, &message)))
                }
                Incoming::Answer { request, message, last } => Some(Event::Answer {
                    request,
                    answer: Answer::Message(Message::new(None, now, &message), last),
                }),
                Incoming::NoResponders { request } => {
                    Some(Event::Answer { request, answer: Answer::NoResponders })
                }
                // What ends the connection is told by Lost or Failed.
                Incoming::Error { error, .. } if error.is_fatal() => None,
                Incoming::Error { text, .. } => {
                    Some(Event::Error(String::from_utf8_lossy(text).into_owned()))
                }
            });
            self.needed = if received.incoming.is_some() { 1 } else { received.needed.max(1) };
            self.at += received.consumed;
            self.meet(&told);
            self.take_actions();
            match event {
                Some(Event::Message(message)) if self.answer_service(&message) => {}
                Some(event) => {
                    if let Event::Error(text) = &event {
                        log::line(Level::Warn, self.options.name, format_args!("the server says: {text}"));
                    }
                    self.events.push_back(event);
                }
                None => {}
            }
        }
    }

    /// Writes what is queued; to be called last in [`App::flush`](crate::reactor::App::flush).
    pub fn flush(&mut self, reactor: &mut Reactor<T>) {
        let now = reactor.now();
        let known = self.events.len();
        loop {
            self.take_actions();
            while let Some(action) = self.todo.pop_front() {
                self.carry_out(reactor, action);
                self.take_actions();
            }
            self.link.unstick();
            if self.write() == Moved::Ended {
                self.link.close(reactor);
                self.disconnected(now);
                continue;
            }
            self.take_actions();
            if self.todo.is_empty() {
                break;
            }
        }
        self.link.rearm(reactor);
        self.news = self.events.len() > known;
        if self.session.outbox_used() == 0 && self.session.outbox_memory().len() >= BUSY {
            *self.session.outbox_memory() = vec![0; IDLE];
        }
        if self.at == self.filled && self.input.len() > BUSY {
            self.input = Vec::new();
            (self.at, self.filled) = (0, 0);
        }
    }

    /// For [`App::next_deadline`](crate::reactor::App::next_deadline).
    pub fn next_deadline(&self) -> Option<Instant> {
        // Writing may have brought news after the application looked for some: then there is another turn at once,
        // which is all that one needs who calls `next` as asked.
        if self.news {
            return Some(Instant::from_micros(1));
        }
        self.session.next_deadline()
    }

    /// There is a server now.
    pub fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// No server could be reached, and there has been none since.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// Bytes that wait to be written: much of it means that the server is slow, or away.
    pub fn pending(&self) -> usize {
        self.session.outbox_used()
    }

    /// Messages and bytes given up so far, in all.
    pub fn dropped(&self) -> (u64, u64) {
        self.session.dropped()
    }

    /// The largest message that the server takes.
    pub fn max_payload(&self) -> usize {
        self.session.max_payload()
    }

    /// Publishes, or keeps the message until there is a server.
    ///
    /// # Errors
    /// The subject is invalid, the message too large, or the buffer full (with [`Overflow::RefuseNewest`] only).
    pub fn publish(&mut self, subject: impl AsRef<[u8]>, payload: &[u8]) -> Result<(), PublishError> {
        self.publish_with(subject, None, &[], payload)
    }

    /// Publishes with a reply subject and a header block (made with `lunix_proto::nats::header::Writer`);
    /// either may be missing.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub fn publish_with(
        &mut self,
        subject: impl AsRef<[u8]>,
        reply: Option<&[u8]>,
        header: &[u8],
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let message = Outgoing { subject: subject.as_ref(), reply, header, payload };
        self.make_room(&message);
        self.session.publish(message)
    }

    /// Answers a request; does nothing if `message` asks for no answer.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub fn respond(&mut self, message: &Message, payload: &[u8]) -> Result<(), PublishError> {
        self.respond_with(message, &[], payload)
    }

    /// Answers a request with a header block.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub fn respond_with(
        &mut self,
        message: &Message,
        header: &[u8],
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let Some(reply) = message.reply() else { return Ok(()) };
        if let (Some(service), Some(sid)) = (&mut self.service, message.sid()) {
            service.count_time(sid, monotonic().since(message.received()));
        }
        self.publish_with(reply, None, header, payload)
    }

    /// Subscribes, now and after every reconnect.
    ///
    /// # Errors
    /// The subject is invalid, or there are too many subscriptions.
    pub fn subscribe(&mut self, subject: impl AsRef<[u8]>) -> Result<Sid, SubscribeError> {
        self.subscribe_any(subject.as_ref(), None)
    }

    /// Subscribes as a member of a queue group, of which one gets each message.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    pub fn subscribe_queue(
        &mut self,
        subject: impl AsRef<[u8]>,
        queue: impl AsRef<[u8]>,
    ) -> Result<Sid, SubscribeError> {
        self.subscribe_any(subject.as_ref(), Some(queue.as_ref()))
    }

    /// Subscribes to requests, and lists them as an endpoint of the daemon's micro-service.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    pub fn endpoint(&mut self, name: &'static str, subject: &'static str) -> Result<Sid, SubscribeError> {
        let sid = self.subscribe(subject)?;
        if let Some(service) = &mut self.service {
            service.add(sid, name, subject);
        }
        Ok(sid)
    }

    /// Ends a subscription. Messages on their way are not delivered.
    pub fn unsubscribe(&mut self, sid: Sid) {
        self.session.unsubscribe(sid);
    }

    /// Ends a subscription after `max` messages, counted from its start.
    pub fn unsubscribe_after(&mut self, sid: Sid, max: u64) {
        self.session.unsubscribe_after(sid, max);
    }

    /// Asks; the answer comes as [`Event::Answer`].
    ///
    /// # Errors
    /// As [`Bus::publish`], or too many requests are waiting.
    pub fn request(
        &mut self,
        subject: impl AsRef<[u8]>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<RequestId, RequestError> {
        self.request_with(subject, &[], payload, 1, timeout)
    }

    /// Asks for up to `replies` answers, with a header block.
    ///
    /// # Errors
    /// As [`Bus::request`].
    pub fn request_with(
        &mut self,
        subject: impl AsRef<[u8]>,
        header: &[u8],
        payload: &[u8],
        replies: u32,
        timeout: Duration,
    ) -> Result<RequestId, RequestError> {
        let message = Outgoing { subject: subject.as_ref(), reply: None, header, payload };
        // The session adds its inbox, of some fifty bytes.
        self.make_room(&Outgoing { reply: Some(&[0; 64]), ..message });
        let mut asked = self.session.request(monotonic(), message, replies, timeout);
        if let Err(RequestError::Inbox(SubscribeError::Full { needed })) = asked {
            self.session.subjects_memory().resize(needed.next_power_of_two(), 0);
            asked = self.session.request(monotonic(), message, replies, timeout);
        }
        asked
    }

    /// Waits no more for answers to a request.
    pub fn cancel(&mut self, request: RequestId) {
        self.session.cancel(request);
    }

    /// Asks for [`Event::Flushed`] when everything published so far has reached the server.
    pub fn barrier(&mut self) -> Barrier {
        self.session.flush()
    }

    /// Ends well, on SIGTERM: subscriptions end, what arrived is still delivered, what is pending is sent,
    /// within [`Options::drain`]; then [`Event::Closed`].
    pub fn drain(&mut self) {
        // A farewell that finds no room would take that of the oldest messages.
        let needed = (self.session.outbox_used() + FAREWELL).min(self.options.pending);
        let memory = self.session.outbox_memory();
        if needed > memory.len() {
            memory.resize(needed, 0);
        }
        self.session.drain(monotonic(), self.options.drain);
        self.take_actions();
    }

    /// Ends at once; [`Event::Closed`] follows.
    pub fn close(&mut self) {
        self.session.close(monotonic());
        self.take_actions();
    }
}
