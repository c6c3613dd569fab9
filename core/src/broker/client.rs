//! What the broker knows of a connection.

use core::net::SocketAddr;

use lunix_proto::nats::{ClientDecoder, Connect, Limits as DecoderLimits};

use super::limits::Limits;
use super::pool::NONE;
use super::rights::Rights;
use super::stall::Stall;
use super::status::Traffic;
use super::user::AccountId;
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
    /// How often it was asked who it is.
    pub(super) asked_who: u16,
    pub(super) admission: Admission,
    /// Whom the driver knows it as; [`NONE`] while it does not.
    pub(super) user: u32,
    pub(super) account: AccountId,
    pub(super) rights: Rights,
    /// When it is closed for not having said who it is, or because its user's time is over.
    pub(super) until: Option<Instant>,
    /// It has said its first `PING` after `CONNECT`, which `INFO` follows if it understands that.
    pub(super) informed: bool,
    /// Which leaf node it is; [`NONE`] for a client.
    pub(super) leaf: u32,
    /// The first of its subscriptions.
    pub(super) first: u32,
    pub(super) subscriptions: u32,
    /// How many its user may have.
    pub(super) subscriptions_max: u32,
    /// How long its user's messages may be.
    pub(super) payload_max: usize,
    /// It counts as a connection of its account.
    pub(super) counted: bool,
    /// Bytes that wait for it.
    pub(super) pending: usize,
    /// Since when it has taken none of them.
    pub(super) blocked: Option<Instant>,
    /// It is not read from.
    pub(super) stall: Stall,
    /// Somebody may be stalled for its sake.
    pub(super) is_awaited: bool,
    /// What it has sent and was sent.
    pub(super) traffic: Traffic,
    pub(super) opened: Instant,
    pub(super) heard: Instant,
    /// When it was last asked whether it is there, as long as it has not answered.
    pub(super) asked: Option<Instant>,
    /// How long its last answer took.
    pub(super) rtt: Option<Duration>,
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

/// Whether the driver knows who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Not yet: it may do nothing but `CONNECT`.
    Stranger,
    /// The driver finds out.
    Asked,
    Known,
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
    /// It is told no after it has been admitted: it asked for what there is not.
    pub(super) refusal: Option<Refusal>,
}

/// What there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It names an account, which servers once let clients make.
    Account,
    /// Another protocol than 0 and 1.
    Protocol,
    /// `no_responders` without `headers`.
    NoHeaders,
}

impl Wishes {
    /// What nats-server takes a client for that has not said `CONNECT`.
    pub(super) const UNSAID: Self = Self {
        verbose: true,
        pedantic: true,
        echo: true,
        headers: false,
        no_responders: false,
        async_info: false,
        refusal: None,
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
pub(super) const FIRST_PING: Duration = Duration::from_secs(2);
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
        asked_who: 0,
        admission: Admission::Known,
        user: NONE,
        account: AccountId::GLOBAL,
        rights: Rights::ALL,
        until: None,
        informed: false,
        leaf: NONE,
        first: NONE,
        subscriptions: 0,
        subscriptions_max: u32::MAX,
        payload_max: usize::MAX,
        counted: false,
        pending: 0,
        blocked: None,
        stall: Stall::NONE,
        is_awaited: false,
        traffic: Traffic::NONE,
        opened: Instant::from_micros(0),
        heard: Instant::from_micros(0),
        asked: None,
        rtt: None,
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
            opened: now,
            heard: now,
            ..Self::EMPTY
        };
        if limits.authenticate {
            client.admission = Admission::Stranger;
            client.until = Some(now + limits.auth_timeout);
        }
        if let Some(interval) = client.ping_interval(limits) {
            // Spread over 400 ms, so that clients that came together are not asked together.
            let spread = Duration::from_millis(number.wrapping_mul(61) % 400);
            client.ping_at = Some(now + interval.min(FIRST_PING + spread));
        }
        client
    }

    /// Whom answers are allowed to: whoever the connection is after a further `CONNECT`, it is somebody else.
    pub(super) fn answerer(&self) -> u64 {
        self.number ^ (u64::from(self.asked_who) << 40)
    }

    pub(super) fn ping_interval(&self, limits: &Limits) -> Option<Duration> {
        limits.ping_interval.or_else(|| self.peer.is_remote().then_some(PING_INTERVAL))
    }

    /// Gives its decoder the limits.
    pub(super) fn limit(&mut self, limits: &Limits) {
        let payload = limits.payload.min(self.payload_max);
        self.decoder.set_limits(DecoderLimits { control_line: limits.control_line, payload });
    }

    /// When it has to be looked at.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let write = self.blocked.map(|since| since + limits.write_deadline);
        [self.ping_at, write, self.until].into_iter().flatten().min()
    }
}
