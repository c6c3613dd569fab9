//! A client's side of NATS: one connection at a time to one of several servers, across failures.
//!
//! ```text
//!             Open            Connected         INFO: Identify      Identity          PONG: Ready
//! (start) ─▶ Waiting ─▶ Opening ─▶ Greeting ─▶ Identifying ─▶ Proving ─▶ Up ─▶ Closed
//!               ▲           │           │            │            │       │
//!               └───────────┴───────────┴────────────┴────────────┴───────┘
//!                 Disconnected, time-out, -ERR, stale: Close (if the driver still has a
//!                 transport), Failed or Lost, then Open again after a jittered, growing wait
//! ```
//!
//! # Driving it
//!
//! The machine follows the contract at the head of this crate. [`Session::handle`] takes what happened,
//! [`Session::receive`] takes bytes (a message borrows them, hence the call of its own, which gives one
//! message at a time), [`Session::poll`] is drained after each, and bytes to be written stand at
//! [`Session::outgoing`] at any time: the driver writes what the transport takes and says so with
//! [`Session::sent`].
//!
//! One input causes at most four actions, and one more for each request that timed out.
//!
//! # What becomes of messages
//!
//! Publishes go into one buffer of the caller's, in order, whether or not there is a server. What the
//! transport took whole is as gone as with every NATS client (at most once); what it took in part cannot have
//! been executed and is sent again, whole. After a reconnect the subscriptions go first, then what was
//! pending. When the buffer is full, [`Overflow`] says what is given up, and [`Action::Dropped`] and
//! [`Session::dropped`] say exactly how much that was.
//!
//! ```
//! use lunix_core::session::{Action, Config, Identity, Incoming, Input, Memory, Session};
//! use lunix_core::time::Instant;
//!
//! let (mut outbox, mut control, mut subjects) = ([0; 1024], [0; 512], [0; 256]);
//! let memory = Memory { outbox: &mut outbox[..], control: &mut control[..], subjects: &mut subjects[..] };
//! let now = Instant::from_micros(0);
//! let mut session = Session::<_, 4, 4>::new(now, Config::new(1, 42), memory);
//! session.subscribe(b"greet.*", None).unwrap();
//!
//! assert_eq!(session.poll(), Some(Action::Open { server: 0 }));
//! session.handle(now, Input::Connected { keep_alive: None });
//! let info = b"INFO {\"headers\":true,\"max_payload\":1000}\r\n";
//! assert_eq!(session.receive(now, info).consumed, info.len());
//! assert_eq!(session.poll(), Some(Action::Identify { server: 0, tls_required: false }));
//! session.handle(now, Input::Identity(Identity { name: "example", ..Identity::default() }));
//! assert!(session.outgoing().ends_with(b"\r\nPING\r\n"));
//! let length = session.outgoing().len();
//! session.sent(length);
//!
//! session.receive(now, b"PONG\r\n");
//! assert_eq!(session.poll(), Some(Action::Ready { server: 0, again: false }));
//! assert_eq!(session.outgoing(), b"SUB greet.* 1\r\n");
//! let received = session.receive(now, b"MSG greet.me 1 5\r\nhello\r\n");
//! let Some(Incoming::Message { message, .. }) = received.incoming else { panic!() };
//! assert_eq!(message.payload(), b"hello");
//! ```

mod connection;
mod control;
mod digits;
mod error;
mod outbox;
mod random;
mod requests;
mod subscriptions;
mod traffic;

use lunix_proto::nats::{Info, Message};

use crate::time::Duration;

pub use connection::Session;
pub use error::{PublishError, RequestError, ServerError, SubscribeError, Why};
pub use requests::RequestId;
pub use subscriptions::Sid;

/// What to give up when the outgoing buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest messages that were not sent, a sixteenth of the buffer at a time.
    DropOldest,
    /// The message that did not fit.
    RefuseNewest,
}

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many servers the driver has to offer; at least 1. The session names them by index, in turn.
    pub servers: usize,
    /// From [`Action::Open`] to [`Action::Ready`].
    pub connect_timeout: Duration,
    /// The wait after the first round of failures; it doubles with each, less up to half of it by chance.
    pub backoff_first: Duration,
    /// The longest wait. A connection that lasted longer ends the series of failures.
    pub backoff_max: Duration,
    /// What to give up when the outgoing buffer is full.
    pub overflow: Overflow,
    /// The largest message to publish while no server has said its own limit.
    pub max_payload: usize,
    /// The largest message to receive; a server that sends a larger one breaks the protocol.
    pub max_message: usize,
    /// Where chance begins: inbox names and jitter. Different for every process.
    pub seed: u128,
}

impl Config {
    /// nats-server's limits, and waits from 50 ms to 5 s.
    pub const fn new(servers: usize, seed: u128) -> Self {
        Self {
            servers,
            connect_timeout: Duration::from_secs(5),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            overflow: Overflow::DropOldest,
            max_payload: 1 << 20,
            max_message: 8 << 20,
            seed,
        }
    }
}

/// The caller's memory: slices, arrays or vectors.
#[derive(Clone, Copy, Debug)]
pub struct Memory<B> {
    /// Outgoing messages. One message needs its payload, header block and subjects and about 40 bytes.
    pub outbox: B,
    /// `CONNECT` and each `SUB` must fit in here: 512 bytes are enough unless names are long.
    pub control: B,
    /// The subjects and queue names of all subscriptions, one after the other.
    pub subjects: B,
}

/// PINGs of this session's own, for peers whose death the kernel does not report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence after which to ask.
    pub interval: Duration,
    /// How long to wait for any sign of life then.
    pub timeout: Duration,
}

/// Who the client says it is; empty means not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The connection's name.
    pub name: &'a str,
    /// The user's name.
    pub user: &'a str,
    /// The user's password.
    pub password: &'a str,
    /// A token instead of both.
    pub token: &'a str,
    /// A public nkey.
    pub nkey: &'a str,
    /// A user's JWT.
    pub jwt: &'a str,
    /// The server's nonce, signed.
    pub signature: &'a str,
    /// The connection is encrypted.
    pub tls: bool,
    /// Messages of this connection's own must not come back to it.
    pub no_echo: bool,
}

/// What happened outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The answer to [`Action::Open`]: the transport is there. Leave `keep_alive` out where the kernel
    /// reports the peer's death by itself (UNIX sockets, loopback): then idle means idle.
    Connected {
        /// The PINGs of this connection.
        keep_alive: Option<KeepAlive>,
    },
    /// The answer to [`Action::Identify`].
    Identity(Identity<'a>),
    /// The transport has ended, or could not be opened.
    Disconnected,
    /// Time has passed: [`Session::next_deadline`] has come.
    Tick,
}

/// What the driver must do or may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to this server; answer with [`Input::Connected`] or [`Input::Disconnected`].
    Open {
        /// Less than [`Config::servers`].
        server: usize,
    },
    /// Close the transport, or give up connecting; no answer.
    Close {
        /// The reason.
        why: Why,
    },
    /// Say who you are: [`Input::Identity`]. The `INFO` with its nonce has just been received.
    Identify {
        /// The server.
        server: usize,
        /// The server demands an encrypted connection: make it one first.
        tls_required: bool,
    },
    /// The server is there.
    Ready {
        /// The server.
        server: usize,
        /// It is not the first time: what others know of the caller's state may be old.
        again: bool,
    },
    /// The server was there, and is there no more. The session goes on by itself.
    Lost {
        /// The server.
        server: usize,
        /// The reason.
        why: Why,
    },
    /// A server could not be reached. The session goes on by itself.
    Failed {
        /// The server.
        server: usize,
        /// The reason.
        why: Why,
    },
    /// The server is about to stop; a driver with several servers may [`reconnect`](Session::reconnect).
    LameDuck,
    /// Messages were given up since this was last said.
    Dropped {
        /// How many.
        messages: u64,
        /// Their bytes on the wire.
        bytes: u64,
    },
    /// Nobody answered in time.
    TimedOut {
        /// The request.
        request: RequestId,
    },
    /// The server has executed everything published before this barrier, and the barriers before it.
    Flushed {
        /// The latest barrier reached.
        barrier: Barrier,
        /// No connection was lost meanwhile: otherwise messages on their way then may be lost.
        certain: bool,
    },
    /// The end, after [`Session::close`] or [`Session::drain`].
    Closed,
}

/// Names a point in the stream of publishes; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barrier(u64);

/// What [`Session::receive`] took.
#[derive(Clone, Copy, Debug)]
pub struct Received<'b> {
    /// How many bytes are done with; the rest belongs at the front of the next call's.
    pub consumed: usize,
    /// How long the bytes beyond those consumed must be for another call to get further, if `incoming` is `None`.
    pub needed: usize,
    /// What came; then call again with the rest, for there may be more.
    pub incoming: Option<Incoming<'b>>,
}

/// What came from the server.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'b> {
    /// The server about itself: at the start, and when something changes.
    Info(Info<'b>),
    /// A message of a subscription.
    Message {
        /// Whose.
        sid: Sid,
        /// The message.
        message: Message<'b>,
        /// The subscription has reached its maximum and is over.
        last: bool,
    },
    /// An answer to a request.
    Answer {
        /// Whose.
        request: RequestId,
        /// The answer.
        message: Message<'b>,
        /// It was the last one asked for.
        last: bool,
    },
    /// Nobody listens to the request's subject. The request is over.
    NoResponders {
        /// Which.
        request: RequestId,
    },
    /// The server complains.
    Error {
        /// What it means.
        error: ServerError,
        /// What it says.
        text: &'b [u8],
    },
}

/// A message to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The subject; no wildcards.
    pub subject: &'a [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'a [u8]>,
    /// A header block, made with [`lunix_proto::nats::header::Writer`]; empty if there is none.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// A message without reply subject and header block.
    pub const fn new(subject: &'a [u8], payload: &'a [u8]) -> Self {
        Self { subject, reply: None, header: &[], payload }
    }

    /// Room that the outbox must have for it: what it takes on the wire, at most, and what is kept free beside it for
    /// answers to the server's pings.
    pub fn room(&self) -> usize {
        /// `HPUB`, four spaces, two numbers, two line ends.
        const FRAME: usize = 4 + 4 + 2 * 10 + 4;
        (FRAME + control::KEPT)
            .saturating_add(self.subject.len())
            .saturating_add(self.reply.unwrap_or_default().len())
            .saturating_add(self.header.len())
            .saturating_add(self.payload.len())
    }
}
