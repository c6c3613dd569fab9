//! The NATS server as a passive machine: connections, subscriptions, and who gets which message.
//!
//! It follows the [contract of every machine](crate). [`Broker::handle`] answers a [`Turn`], which holds the
//! broker and the input's bytes until it has been drained: so an [`Action`] can point into both, nothing is
//! copied or queued, and a message to a million receivers is a million short [`Turn::poll`]s.
//!
//! ```text
//! driver                                          broker
//! accept            -- Opened ------------------> INFO
//! read into buffer  -- Received(bytes) ---------> one operation: its answers, or a Deliver a receiver
//!                      progress(): consume n bytes, or read until there are n
//! write from rings  -- Flushed(what is left) ---> slow consumers
//! end of file       -- Closed ------------------> the slot is free again
//! next_deadline()   -- Tick --------------------> pings, stale and slow connections
//! ```
//!
//! The driver keeps the bytes: one buffer that it reads into and one ring that it writes from for each
//! connection, both of which may be none at all while nothing is under way. Rules are nats-server's as of 2.15.
//!
//! Who a client is, the driver finds out: it is asked by [`Action::Authenticate`] and answers with a [`UserId`], whose
//! [`User`] the broker looks up through [`Memory::user`]. Each account of users is a space of subjects of its own.

mod account;
mod admission;
mod border;
mod cache;
mod change;
mod client;
mod control;
mod delivery;
mod hop;
mod leaf;
mod leaf_action;
mod leaf_interest;
mod leaf_turn;
mod limits;
mod memory;
mod passage;
mod permission;
mod plain;
mod pool;
mod reply;
mod rights;
mod router;
mod stall;
mod status;
mod text;
mod trace;
mod trie;
mod turn;
mod user;

pub use account::Account;
pub use border::Border;
pub use cache::Found;
pub use client::{Client, ClientId, Peer};
pub use control::{Control, ErrorText, Sid, Welcome};
pub use delivery::Delivery;
pub use leaf::{Leaf, LeafStatus, LeafTerms};
pub use leaf_action::{LeafAction, LeafDelivery, LeafInterest};
pub use leaf_interest::Interest;
pub use limits::Limits;
pub use memory::{Arrays, Memory, Table, Tables};
pub use reply::Reply;
pub use router::{Group, Subscription};
pub use status::{ClientStatus, Queue, SubscriptionId, SubscriptionStatus, Traffic};
pub use text::Chunk;
pub use trace::Traced;
pub use trie::Node;
pub use turn::{Progress, Turn};
pub use user::{AccountId, Permissions, Responses, Subjects, User, UserId};

use client::State;
use hop::Hops;
use pool::{NONE, at, at_mut};
use reply::Replies;
use router::Router;

use lunix_proto::nats::Connect;

use crate::time::Instant;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'b> {
    /// A connection begins. Its number must be free; small numbers keep the table of clients small.
    Opened {
        /// The driver's number for it.
        client: ClientId,
        /// Where it comes from.
        peer: Peer,
    },
    /// A connection begins of somebody who is known without credentials: [`Input::Opened`] and [`Input::Admitted`] in
    /// one, and no time is set to say who it is.
    Entered {
        /// The driver's number for it.
        client: ClientId,
        /// Where it comes from.
        peer: Peer,
        /// Whom [`Memory::user`] then knows.
        user: UserId,
    },
    /// A connection's bytes, from the first one that has not been consumed. Exactly one operation is
    /// carried out: call it again as long as [`Progress::Consumed`] leaves bytes.
    Received {
        /// Whose bytes.
        client: ClientId,
        /// At least one byte.
        bytes: &'b [u8],
    },
    /// A connection begins as [`Input::Opened`], with a leaf node or with a hub. What `INFO` says is the driver's.
    LeafOpened {
        /// The driver's number for it.
        client: ClientId,
        /// Where it comes from.
        peer: Peer,
    },
    /// The handshake with a leaf node or a hub is over; may be said again when its rules have changed.
    LeafJoined {
        /// Which.
        client: ClientId,
        /// What it is.
        terms: LeafTerms<'b>,
    },
    /// The driver has written to a connection as much as it takes. Of actions for clients it causes only
    /// [`Action::Resume`].
    Flushed {
        /// To whom.
        client: ClientId,
        /// How many bytes are left to be written. To a leaf node more may be said then.
        left: usize,
    },
    /// Somebody wants to know how long a client takes to answer: it is sent a `PING`, unless one is under way.
    Ask {
        /// Whom.
        client: ClientId,
    },
    /// A connection has ended, by its peer's will or by [`Action::Close`]; its number is free.
    Closed {
        /// Which.
        client: ClientId,
    },
    /// A client is this user. It may be said right after `Opened` of one that is known without credentials;
    /// it answers [`Action::Authenticate`]; and it is to be said again when what [`Memory::user`] tells has changed:
    /// subscriptions that are no longer allowed then end, each with its `-ERR`.
    Admitted {
        /// Who.
        client: ClientId,
        /// Whom [`Memory::user`] then knows.
        user: UserId,
    },
    /// A client is nobody: it is told so, and closed.
    Refused {
        /// Who.
        client: ClientId,
        /// Why: [`Reason::Authentication`], [`Reason::Expired`] or [`Reason::Revoked`].
        reason: Reason,
    },
    /// A message of the server itself, which nothing is asked about.
    Publish {
        /// In which account.
        account: AccountId,
        /// The subject, which is valid and literal.
        subject: &'b [u8],
        /// Where answers are wanted.
        reply: Option<&'b [u8]>,
        /// How much of the body is header block.
        header_len: usize,
        /// Header block, payload, CR LF.
        body: &'b [u8],
    },
    /// The limits are others from now on. Clients beyond the new number of connections are closed.
    Limits {
        /// All of them.
        limits: Limits,
    },
    /// What `INFO` says has changed; who understands that is told.
    Inform,
    /// What [`Memory::border`] tells has changed: leaf nodes are told anew what is wanted.
    Borders,
    /// The time of [`Broker::next_deadline`] has come.
    Tick,
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Send a line.
    Send {
        /// To whom.
        to: ClientId,
        /// What.
        line: Control<'a>,
    },
    /// Send a message: [`Delivery::encode_head`], then [`Delivery::body`].
    Deliver(Delivery<'a>),
    /// Find out who this is, and say [`Input::Admitted`] or [`Input::Refused`], now or later; until then nothing
    /// of what it sends is done ([`Progress::Waits`]).
    Authenticate {
        /// Who.
        client: ClientId,
        /// What it says about itself.
        connect: Connect<'a>,
    },
    /// What concerns a leaf node.
    Leaf(LeafAction<'a>),
    /// Somebody asks the server: a message to `$SYS.REQ.>` that [`Memory::serves`], besides its deliveries.
    Request {
        /// Who.
        client: ClientId,
        /// In which account.
        account: AccountId,
        /// What.
        subject: &'a [u8],
        /// Where the answer is wanted, if it is: to be given by [`Input::Publish`].
        reply: Option<&'a [u8]>,
        /// Without header block.
        payload: &'a [u8],
    },
    /// The message that was just received is followed. Comes before all that becomes of it.
    Traced(Traced<'a>),
    /// The message that is followed has a receiver. If it is for more than being told, [`Action::Deliver`] comes next.
    Passed {
        /// Who: a client, or a leaf node, which is not told that it is to follow the message.
        to: ClientId,
        /// In which account.
        account: AccountId,
        /// By which subscription, if it is a client.
        subscription: Option<SubscriptionStatus<'a>>,
    },
    /// Read nothing more from a client than what has been read, before [`Action::Resume`]: it sends faster than one who gets
    /// it reads. It makes sense to write what waits at once.
    Stall {
        /// Which.
        client: ClientId,
    },
    /// A client that was stalled goes on.
    Resume {
        /// Which.
        client: ClientId,
    },
    /// Close a connection and say [`Input::Closed`] when that is done. Nothing more comes for it.
    Close {
        /// Which.
        client: ClientId,
        /// Why.
        reason: Reason,
    },
}

/// Why the broker closes a connection; displayed as nats-server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream broke the protocol.
    Protocol,
    /// The client reported an error.
    ClientError,
    /// Too many bytes wait for it.
    PendingBytes,
    /// It has taken nothing for too long.
    WriteDeadline,
    /// It does not answer pings.
    Stale,
    /// There are too many connections.
    Connections,
    /// It asked in `CONNECT` for what there is not.
    Connect,
    /// It is nobody.
    Authentication,
    /// Its account has as many connections as it may have.
    AccountConnections,
    /// It did not say in time who it is.
    AuthenticationTimeout,
    /// Its user's time is over.
    Expired,
    /// Its account's time is over.
    AccountExpired,
    /// Its user's credentials are no longer accepted.
    Revoked,
    /// The driver ends.
    Shutdown,
    /// An operator has ended it.
    Kicked,
    /// A leaf node is connected to itself by way of others.
    Loop,
    /// A leaf node did what its hub does not allow.
    Permissions,
}

impl Reason {
    /// Whether what waits for the connection should still be written, as far as it takes it at once.
    pub const fn is_polite(self) -> bool {
        !matches!(self, Self::PendingBytes | Self::WriteDeadline)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::Protocol => "Protocol Violation",
            Self::ClientError => "Parse Error",
            Self::PendingBytes => "Slow Consumer (Pending Bytes)",
            Self::WriteDeadline => "Slow Consumer (Write Deadline)",
            Self::Stale => "Stale Connection",
            Self::Connections => "Maximum Connections Exceeded",
            Self::Connect => "Bad Client Protocol Version",
            Self::Authentication => "Authentication Failure",
            Self::AccountConnections => "Maximum Account Connections Exceeded",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::Expired | Self::AccountExpired => "Authentication Expired",
            Self::Revoked => "Credentials Revoked",
            Self::Shutdown => "Server Shutdown",
            Self::Kicked => "Kicked",
            Self::Loop => "Loop Detected",
            Self::Permissions => "Permissions Violation",
        })
    }
}

/// What a broker has done and has, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages received.
    pub in_messages: u64,
    /// Their bytes, header blocks and payloads.
    pub in_bytes: u64,
    /// Messages delivered.
    pub out_messages: u64,
    /// Their bytes, header blocks and payloads.
    pub out_bytes: u64,
    /// Connections closed because they were slow.
    pub slow_consumers: u64,
    /// Connections closed because they did not answer pings.
    pub stale_connections: u64,
    /// How often a client was stalled.
    pub stalls: u64,
    /// Subscriptions there have been.
    pub total_subscriptions: u64,
    /// Connections there have been.
    pub total_connections: u64,
    /// Connections there are.
    pub connections: u32,
    /// Subscriptions there are.
    pub subscriptions: u32,
    /// Bytes that wait for clients.
    pub pending: usize,
}

/// A NATS server without a network.
///
/// ```
/// # use lunix_core::broker::*;
/// # use lunix_core::time::Instant;
/// let memory = Arrays::<8, 4, 1, 1, 2>::EMPTY;
/// let mut broker = Broker::new(memory, Limits::default(), 0x5eed);
/// let now = Instant::from_micros(0);
/// let client = ClientId::new(0);
///
/// let mut turn = broker.handle(now, Input::Opened { client, peer: Peer::Local });
/// assert!(matches!(turn.poll(), Some(Action::Send { line: Control::Info(_), .. })));
/// assert!(turn.poll().is_none());
///
/// let mut stream = &b"CONNECT {\"verbose\":false}\r\nSUB greet.* 1\r\nPUB greet.all 5\r\nhello\r\n"[..];
/// let mut sent = Vec::new();
/// while !stream.is_empty() {
///     let mut turn = broker.handle(now, Input::Received { client, bytes: stream });
///     while let Some(action) = turn.poll() {
///         if let Action::Deliver(delivery) = action {
///             let mut head = [0; 64];
///             let written = delivery.encode_head(&mut head).unwrap();
///             sent.extend_from_slice(&head[..written]);
///             sent.extend_from_slice(delivery.body());
///         }
///     }
///     match turn.progress() {
///         Progress::Consumed(bytes) => stream = &stream[bytes..],
///         Progress::Needs(_) | Progress::Waits => break,
///     }
/// }
/// assert_eq!(sent, b"MSG greet.all 1 5\r\nhello\r\n");
/// assert_eq!(broker.next_deadline(), None);
/// ```
#[derive(Debug)]
pub struct Broker<M> {
    memory: M,
    machine: Machine,
}

/// What of a broker does not depend on where its tables are.
#[derive(Debug)]
struct Machine {
    limits: Limits,
    router: Router,
    replies: Replies,
    hops: Hops,
    statistics: Statistics,
    leaves: leaf::Leaves,
    /// Slots of clients from here on were never used.
    high: u32,
    /// Not after the first deadline of any client.
    deadline: Option<Instant>,
    stalls: stall::Stalls,
    /// The first of the clients that were closed in this turn.
    closing: u32,
}

impl<M: Memory> Broker<M> {
    /// A broker without connections. `seed` should be unknown to clients: it chooses hashes and queue members.
    pub const fn new(memory: M, limits: Limits, seed: u64) -> Self {
        let machine = Machine {
            limits,
            router: Router::new(seed, limits.leaves > 0),
            replies: Replies::new(seed),
            leaves: leaf::Leaves::new(seed.rotate_left(48)),
            hops: Hops::NONE,
            statistics: Statistics {
                in_messages: 0,
                in_bytes: 0,
                out_messages: 0,
                out_bytes: 0,
                slow_consumers: 0,
                stale_connections: 0,
                stalls: 0,
                total_subscriptions: 0,
                total_connections: 0,
                connections: 0,
                subscriptions: 0,
                pending: 0,
            },
            high: 0,
            deadline: None,
            stalls: stall::Stalls::NONE,
            closing: NONE,
        };
        Self { memory, machine }
    }

    /// Tells the broker what happened. The turn must be polled until it answers `None`; what a turn that is
    /// dropped earlier has not said is never said.
    ///
    /// Its actions: at most four, and one more for each receiver of a message and for each client that was stalled, or two
    /// for each client where the input is about all of them.
    pub fn handle<'t>(&'t mut self, now: Instant, input: Input<'t>) -> Turn<'t, M> {
        self.machine.settle(&mut self.memory.tables());
        Turn::new(self, now, input)
    }

    /// When the next [`Input::Tick`] is due. Ask again after every turn.
    pub fn next_deadline(&self) -> Option<Instant> {
        let Machine { deadline, stalls, .. } = &self.machine;
        [*deadline, stalls.until].into_iter().flatten().min()
    }

    /// What it has done and has.
    pub fn statistics(&self) -> Statistics {
        Statistics { subscriptions: self.machine.router.subscriptions(), ..self.machine.statistics }
    }

    /// Where it keeps what it knows.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Where it keeps what it knows, for the driver to change what is the driver's: users and accounts.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.machine.limits
    }
}

impl Machine {
    fn note(&mut self, deadline: Option<Instant>) {
        self.deadline = match (self.deadline, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Begins to close an open client; its subscriptions end in [`Machine::settle`].
    fn close(&mut self, tables: &mut Tables<'_>, client: ClientId, reason: Reason) {
        if let Some(slot) = at_mut(tables.clients, client.index())
            && slot.state == State::Open
        {
            slot.state = State::Closing;
            slot.next_closing = core::mem::replace(&mut self.closing, client.index());
            self.statistics.slow_consumers += u64::from(!reason.is_polite());
            self.statistics.stale_connections += u64::from(reason == Reason::Stale);
            self.statistics.connections = self.statistics.connections.saturating_sub(1);
            self.statistics.pending = self.statistics.pending.saturating_sub(slot.pending);
            slot.pending = 0;
            let account = slot.account;
            if core::mem::replace(&mut slot.counted, false)
                && let Some(account) = at_mut(tables.accounts, account.index())
            {
                account.connections = account.connections.saturating_sub(1);
            }
            self.unstall(tables, client.index());
        }
    }

    /// Ends the subscriptions that could not end while a message was under way.
    #[inline]
    fn settle(&mut self, tables: &mut Tables<'_>) {
        if self.closing != NONE || self.router.is_unsettled() || self.leaves.touched != NONE {
            self.settle_now(tables);
        }
    }

    #[cold]
    fn settle_now(&mut self, tables: &mut Tables<'_>) {
        while self.router.choice(tables).is_some() {}
        while self.next_touched(tables).is_some() {}
        while let Some((subscription, client)) = self.router.spent(tables) {
            let mut first = at(tables.clients, client).map_or(NONE, |slot| slot.first);
            self.router.bury(tables, subscription, &mut first);
            if let Some(slot) = at_mut(tables.clients, client) {
                slot.first = first;
                slot.subscriptions = slot.subscriptions.saturating_sub(1);
            }
        }
        while let Some(slot) = at_mut(tables.clients, self.closing) {
            let index = self.closing;
            self.closing = core::mem::replace(&mut slot.next_closing, NONE);
            let client = ClientId::new(index);
            self.forget(tables, client);
        }
    }

    /// Ends all subscriptions of a client.
    fn forget(&mut self, tables: &mut Tables<'_>, client: ClientId) {
        let Some(slot) = at_mut(tables.clients, client.index()) else { return };
        slot.subscriptions = 0;
        let mut first = core::mem::replace(&mut slot.first, NONE);
        while first != NONE {
            let subscription = first;
            self.router.unsubscribe(tables, subscription, &mut first);
            // Memory that does not keep what it was given must not keep the broker here for ever.
            if first == subscription {
                break;
            }
        }
    }
}
