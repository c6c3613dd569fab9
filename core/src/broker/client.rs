//! What the broker knows of a connection.

use core::net::SocketAddr;

use lunix_proto::nats::{ClientDecoder, Connect, Limits as DecoderLimits};

use super::limits::Limits;
use super::pool::NONE;
use crate::time::{Duration, Instant};

/// A connection: the driver's own small number for it, which is also its slot in
/// [`Tables::clients`](super::Tables::clients). It may be used again after [`Input::Closed`](super::Input::Closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u32);

impl ClientId {
    /// The connection in the slot `index`.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The slot.
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// Where a client connects from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, through a UNIX socket or a pipe.
    Local,
    /// A TCP address.
    Tcp(SocketAddr),
}

impl Peer {
    /// The peer's machine may vanish without a word.
    fn is_remote(self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

/// A connection's slot.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) state: State,
    pub(super) decoder: ClientDecoder,
    pub(super) peer: Peer,
    /// The connection's number in the broker's life.
    pub(super) number: u64,
    pub(super) wishes: Wishes,
    /// It has said `CONNECT`.
    pub(super) connected: bool,
    /// It has had the `INFO` that follows its first `PING`.
    pub(super) informed: bool,
    /// The first of its subscriptions.
    pub(super) first: u32,
    pub(super) subscriptions: u32,
    /// Bytes that wait for it.
    pub(super) pending: usize,
    /// Since when it has taken none of them.
    pub(super) stalled: Option<Instant>,
    pub(super) heard: Instant,
    pub(super) ping_at: Option<Instant>,
    pub(super) pings_out: u8,
    /// It has been asked at all.
    pub(super) pinged: bool,
    /// The next client whose subscriptions end after this turn.
    pub(super) next_closing: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has this slot.
    Free,
    Open,
    /// The broker has said `Close`, the driver not yet `Closed`.
    Closing,
}

/// What a client asked for in its `CONNECT`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    /// It understands `INFO` at any time.
    pub(super) async_info: bool,
}

impl Wishes {
    /// What nats-server takes a client for that has not said `CONNECT`.
    const UNSAID: Self = Self {
        verbose: true,
        pedantic: true,
        echo: true,
        headers: false,
        no_responders: false,
        async_info: false,
    };

    /// The `CONNECT` in which a further one's omitted keys find their values.
    pub(super) fn as_connect(self) -> Connect<'static> {
        Connect {
            verbose: self.verbose,
            pedantic: self.pedantic,
            echo: self.echo,
            headers: self.headers,
            no_responders: self.no_responders,
            protocol: i64::from(self.async_info),
            ..Connect::default()
        }
    }
}

/// nats-server asks a new client soon, to learn the round-trip time.
const FIRST_PING: Duration = Duration::from_secs(2);
const PING_INTERVAL: Duration = Duration::from_secs(120);

impl Client {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        state: State::Free,
        decoder: ClientDecoder::new(DecoderLimits { control_line: 0, payload: 0 }),
        peer: Peer::Local,
        number: 0,
        wishes: Wishes::UNSAID,
        connected: false,
        informed: false,
        first: NONE,
        subscriptions: 0,
        pending: 0,
        stalled: None,
        heard: Instant::from_micros(0),
        ping_at: None,
        pings_out: 0,
        pinged: false,
        next_closing: NONE,
    };

    /// A connection that has just begun.
    pub(super) fn open(now: Instant, number: u64, peer: Peer, limits: &Limits) -> Self {
        let decoder_limits = DecoderLimits { control_line: limits.control_line, payload: limits.payload };
        let mut client = Self {
            state: State::Open,
            decoder: ClientDecoder::new(decoder_limits),
            peer,
            number,
            heard: now,
            ..Self::EMPTY
        };
        if let Some(interval) = client.ping_interval(limits) {
            // Spread over 400 ms, so that clients that came together are not asked together.
            let spread = Duration::from_millis(number.wrapping_mul(61) % 400);
            client.ping_at = Some(now + interval.min(FIRST_PING + spread));
        }
        client
    }

    pub(super) fn ping_interval(&self, limits: &Limits) -> Option<Duration> {
        limits.ping_interval.or_else(|| self.peer.is_remote().then_some(PING_INTERVAL))
    }

    /// When it has to be looked at.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let write = self.stalled.map(|since| since + limits.write_deadline);
        match (self.ping_at, write) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
