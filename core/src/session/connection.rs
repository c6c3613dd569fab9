//! The life of the connection: opening, greeting, keeping alive, losing, and trying again.

use heapless::Deque;
use lunix_proto::json::Str;
use lunix_proto::nats::{Connect, Info, Limits, ServerDecoder, encode};

use super::control::Control;
use super::outbox::{Outbox, Tally};
use super::random::Random;
use super::requests::Requests;
use super::subscriptions::Subscriptions;
use super::{Action, Barrier, Config, Identity, Input, KeepAlive, Memory, ServerError, Sid, Why};
use crate::time::{Duration, Instant};

/// A client session with at most `SUBS` subscriptions and `REQS` requests at a time. See the [module](super).
#[derive(Debug)]
pub struct Session<B, const SUBS: usize, const REQS: usize> {
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) phase: Phase,
    pub(super) now: Instant,
    server: usize,
    /// Attempts since a connection last proved good.
    failures: u32,
    was_ready: bool,

    pub(super) outbox: Outbox<B>,
    pub(super) control: Control<B>,
    /// Subscriptions go out through `control`, ahead of what is pending in the outbox.
    pub(super) restoring: bool,
    pub(super) subscriptions: Subscriptions<B, SUBS>,
    pub(super) requests: Requests<REQS>,
    pub(super) inbox: Option<Sid>,
    pub(super) inbox_name: [u8; 22],
    pub(super) decoder: ServerDecoder,

    actions: Deque<Action, 8>,
    /// Given up: not yet said, and in all.
    unsaid: Tally,
    dropped: Tally,

    /// What this server takes; the configuration's until it has said so.
    pub(super) max_payload: usize,
    pub(super) headers: bool,
    lame_duck: bool,

    pub(super) pongs_owed: u32,
    /// The one PING on its way.
    pub(super) ping: Option<Ping>,
    keep_alive: Option<KeepAlive>,
    /// When to look whether the server lives; moved lazily, so that traffic does not re-arm timers.
    check: Option<Instant>,
    heard: Instant,

    /// Barriers asked for, reached, and said to be reached.
    pub(super) barriers: u64,
    pub(super) reached: u64,
    said: u64,
    /// Barriers up to this one saw a connection break with messages on their way.
    uncertain: u64,
    /// Bytes of the outbox that transports took so far, and how many of them a server has confirmed.
    pub(super) taken: u64,
    confirmed: u64,
    drain: Option<Drain>,
}

/// Where the connection stands; see the picture in the [module](super). `until` bounds each but the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting { until: Instant },
    Opening { until: Instant },
    Greeting { until: Instant },
    Identifying { until: Instant },
    Proving { until: Instant },
    Up { since: Instant },
    Closed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    /// Every barrier up to this one is before the PING.
    pub(super) covers: u64,
    /// The value of `taken` once it is on its way.
    pub(super) bytes: u64,
    pub(super) sent: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Drain {
    until: Instant,
    /// The barrier that ends this stage; none while there is no server.
    barrier: Option<u64>,
    /// First what the server had still to deliver, then the answers to that.
    last: bool,
}

/// So many failures mean the longest wait.
const PATIENT: u32 = 1 << 10;

impl<B: AsRef<[u8]> + AsMut<[u8]>, const SUBS: usize, const REQS: usize> Session<B, SUBS, REQS> {
    /// A session that wants to be connected: its first action is [`Action::Open`] of server 0.
    pub fn new(now: Instant, config: Config, memory: Memory<B>) -> Self {
        let mut random = Random::new(config.seed);
        let mut inbox_name = [0; 22];
        random.fill_name(&mut inbox_name);
        let mut session = Self {
            random,
            phase: Phase::Waiting { until: now },
            now,
            server: 0,
            failures: 0,
            was_ready: false,
            outbox: Outbox::new(memory.outbox),
            control: Control::new(memory.control),
            restoring: false,
            subscriptions: Subscriptions::new(memory.subjects),
            requests: Requests::new(),
            inbox: None,
            inbox_name,
            decoder: decoder(&config),
            actions: Deque::new(),
            unsaid: Tally::default(),
            dropped: Tally::default(),
            max_payload: config.max_payload,
            headers: true,
            lame_duck: false,
            pongs_owed: 0,
            ping: None,
            keep_alive: None,
            check: None,
            heard: now,
            barriers: 0,
            reached: 0,
            said: 0,
            uncertain: 0,
            taken: 0,
            confirmed: 0,
            drain: None,
            config,
        };
        session.tick();
        session
    }

    /// Takes what happened. Inputs that answer nothing that was asked (a `Connected` after the time-out's
    /// `Close`) are ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        match (input, self.phase) {
            (Input::Tick, _) => self.tick(),
            (Input::Connected { keep_alive }, Phase::Opening { until }) => {
                self.keep_alive = keep_alive;
                self.phase = Phase::Greeting { until };
            }
            (Input::Identity(identity), Phase::Identifying { until }) => self.identify(identity, until),
            (Input::Disconnected, Phase::Waiting { .. } | Phase::Closed) => {}
            (Input::Disconnected, _) => self.lose(Why::Transport),
            (Input::Connected { .. } | Input::Identity(_), _) => {}
        }
    }

    /// The next action. To be called until `None` after `new`, [`handle`](Self::handle),
    /// [`receive`](Self::receive), [`drain`](Self::drain), [`close`](Self::close),
    /// [`reconnect`](Self::reconnect) and [`sent`](Self::sent).
    pub fn poll(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.phase == Phase::Closed {
            return None;
        }
        if let Some(request) = self.requests.take_expired(self.now) {
            return Some(Action::TimedOut { request });
        }
        // Said once a bout: when there is a server again that has taken the rest.
        if self.is_ready() && self.unsaid.messages > 0 && self.outbox.is_empty() {
            let Tally { messages, bytes } = core::mem::take(&mut self.unsaid);
            return Some(Action::Dropped { messages, bytes });
        }
        if self.said < self.reached {
            let certain = self.said >= self.uncertain;
            self.said = self.reached;
            return Some(Action::Flushed { barrier: Barrier(self.reached), certain });
        }
        None
    }

    /// When to call `handle(now, Input::Tick)` if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Waiting { until }
            | Phase::Opening { until }
            | Phase::Greeting { until }
            | Phase::Identifying { until }
            | Phase::Proving { until } => Some(until),
            Phase::Up { .. } => self.check,
            Phase::Closed => return None,
        };
        let drain = self.drain.map(|drain| drain.until);
        [phase, drain, self.requests.next_deadline()].into_iter().flatten().min()
    }

    /// The bytes to be written next; empty when there are none. There may be more after [`sent`](Self::sent).
    pub fn outgoing(&mut self) -> &[u8] {
        self.settle();
        let unsent = self.control.unsent();
        if !unsent.is_empty() {
            return self.control.unsent();
        }
        match self.phase {
            Phase::Up { .. } if !self.restoring => self.outbox.unsent(),
            _ => &[],
        }
    }

    /// The transport took the first `count` of the bytes of [`outgoing`](Self::outgoing).
    pub fn sent(&mut self, count: usize) {
        if !self.control.unsent().is_empty() {
            self.control.sent(count);
        } else {
            let before = self.outbox.unsent().len();
            self.outbox.sent(count);
            self.taken += (before - self.outbox.unsent().len()) as u64;
        }
    }

    /// A server is there, and knows or is about to be told everything.
    pub const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// The session has ended for good.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Messages and bytes given up so far, in all.
    pub const fn dropped(&self) -> (u64, u64) {
        (self.dropped.messages, self.dropped.bytes)
    }

    /// The largest message that can be published: the server's limit, or the configuration's before it is known.
    pub const fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// The memory of outgoing messages. A driver that has it in a vector may make that longer at any time,
    /// and shorter down to [`outbox_used`](Self::outbox_used).
    pub fn outbox_memory(&mut self) -> &mut B {
        self.outbox.memory_mut()
    }

    /// The part of the outbox, from its start, that is in use.
    pub const fn outbox_used(&self) -> usize {
        self.outbox.end()
    }

    /// The memory of `CONNECT` and `SUB` lines, which may be made longer at any time.
    pub const fn control_memory(&mut self) -> &mut B {
        &mut self.control.memory
    }

    /// The memory of subjects, which may be made longer at any time.
    pub fn subjects_memory(&mut self) -> &mut B {
        self.subscriptions.memory_mut()
    }

    /// The driver has so many servers to offer by now: a server may tell of others ([`Info::connect_urls`]). Their
    /// numbers stay what they are, so that there can only be more.
    pub fn offer(&mut self, servers: usize) {
        self.config.servers = self.config.servers.max(servers);
    }

    /// Gives up this connection for the next server: the answer to [`Action::LameDuck`].
    pub fn reconnect(&mut self, now: Instant) {
        self.now = now;
        if self.is_ready() {
            self.drop_transport(Why::Done);
        }
    }

    /// Ends well: subscriptions end, messages on their way to the caller still come and may be answered, what
    /// is pending is sent. When the server has all of it, or after `timeout`, [`Action::Closed`].
    /// Requests that wait get no answer any more.
    pub fn drain(&mut self, now: Instant, timeout: Duration) {
        self.now = now;
        if self.drain.is_some() || self.phase == Phase::Closed {
            return;
        }
        let connected = self.knows_subscriptions();
        self.subscriptions.remove_all(connected);
        self.inbox = None;
        self.drain = Some(Drain { until: now + timeout, barrier: None, last: false });
        if !self.is_ready() && self.outbox.is_empty() {
            return self.close(now);
        }
        if self.is_ready() {
            self.begin_drain_stage(false);
        }
    }

    /// Ends at once: [`Action::Closed`]. What is pending is given up, without being counted as dropped.
    pub fn close(&mut self, now: Instant) {
        self.now = now;
        if self.phase == Phase::Closed {
            return;
        }
        if self.has_transport() {
            self.push(Action::Close { why: Why::Done });
        }
        self.phase = Phase::Closed;
        self.drain = None;
        self.push(Action::Closed);
    }

    /// Asks for [`Action::Flushed`] once the server has executed everything published so far.
    pub fn flush(&mut self) -> Barrier {
        self.barriers += 1;
        Barrier(self.barriers)
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    pub(super) const fn knows_subscriptions(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    const fn has_transport(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. } | Phase::Closed)
    }

    fn tick(&mut self) {
        if self.drain.is_some_and(|drain| drain.until <= self.now) {
            return self.close(self.now);
        }
        match self.phase {
            Phase::Waiting { until } if until <= self.now => {
                self.phase = Phase::Opening { until: self.now + self.config.connect_timeout };
                self.push(Action::Open { server: self.server });
            }
            Phase::Opening { until }
            | Phase::Greeting { until }
            | Phase::Identifying { until }
            | Phase::Proving { until }
                if until <= self.now =>
            {
                self.drop_transport(Why::Timeout);
            }
            Phase::Up { .. } if self.check.is_some_and(|at| at <= self.now) => self.check_life(),
            _ => {}
        }
    }

    fn check_life(&mut self) {
        let Some(KeepAlive { interval, timeout }) = self.keep_alive else { return };
        let due = match self.ping {
            Some(ping) => {
                let due = ping.sent.max(self.heard) + timeout;
                if due <= self.now {
                    return self.drop_transport(Why::Stale);
                }
                due
            }
            None if self.heard + interval <= self.now => {
                self.send_ping();
                self.now + timeout
            }
            None => self.heard + interval,
        };
        self.check = Some(due);
    }

    pub(super) fn on_info(&mut self, info: &Info<'_>) {
        self.headers = info.headers;
        self.max_payload = match usize::try_from(info.max_payload).unwrap_or(usize::MAX) {
            0 => self.config.max_payload,
            max => max,
        };
        if let Phase::Greeting { until } = self.phase {
            self.phase = Phase::Identifying { until };
            let gone = self.outbox.keep_acceptable(self.max_payload, self.headers);
            self.count_dropped(gone);
            self.push(Action::Identify { server: self.server, tls_required: info.tls_required });
        }
        if info.ldm && !self.lame_duck {
            self.lame_duck = true;
            self.push(Action::LameDuck);
        }
    }

    fn identify(&mut self, identity: Identity<'_>, until: Instant) {
        let connect = Connect {
            verbose: false,
            pedantic: false,
            echo: !identity.no_echo,
            headers: self.headers,
            no_responders: self.headers,
            tls_required: identity.tls,
            protocol: 1,
            name: Str::new(identity.name),
            lang: Str::new("rust"),
            version: Str::new(env!("CARGO_PKG_VERSION")),
            user: Str::new(identity.user),
            pass: Str::new(identity.password),
            auth_token: Str::new(identity.token),
            nkey: Str::new(identity.nkey),
            jwt: Str::new(identity.jwt),
            sig: Str::new(identity.signature),
            ..Connect::default()
        };
        self.control.clear();
        let written = self
            .control
            .append(|out| encode::connect(out, &connect))
            .and_then(|()| self.control.append(encode::ping));
        match written {
            Ok(()) => self.phase = Phase::Proving { until },
            Err(_) => self.drop_transport(Why::Room),
        }
    }

    pub(super) fn on_pong(&mut self) {
        if matches!(self.phase, Phase::Proving { .. }) {
            self.phase = Phase::Up { since: self.now };
            self.restoring = true;
            self.check = self.keep_alive.map(|keep_alive| self.now + keep_alive.interval);
            let again = core::mem::replace(&mut self.was_ready, true);
            self.push(Action::Ready { server: self.server, again });
            if self.drain.is_some() {
                self.begin_drain_stage(false);
            }
            return;
        }
        let Some(ping) = self.ping.take() else { return };
        self.reached = self.reached.max(ping.covers);
        self.confirmed = self.confirmed.max(ping.bytes);
        if let Some(Drain { barrier: Some(barrier), last, .. }) = self.drain
            && barrier <= self.reached
        {
            if last {
                self.close(self.now);
            } else {
                self.begin_drain_stage(true);
            }
        }
    }

    pub(super) fn on_ping(&mut self) {
        self.pongs_owed = self.pongs_owed.saturating_add(1);
    }

    pub(super) fn on_error(&mut self, error: ServerError) {
        if error.is_fatal() {
            self.drop_transport(Why::Refused(error));
        }
    }

    pub(super) const fn heard(&mut self) {
        self.heard = self.now;
    }

    fn begin_drain_stage(&mut self, last: bool) {
        let barrier = self.flush().0;
        if let Some(drain) = &mut self.drain {
            (drain.barrier, drain.last) = (Some(barrier), last);
        }
    }

    /// The machine itself gives up the connection.
    pub(super) fn drop_transport(&mut self, why: Why) {
        self.push(Action::Close { why });
        self.lose(why);
    }

    /// The connection is over, or did not come about; the next attempt is due after its wait.
    pub(super) fn lose(&mut self, why: Why) {
        let server = self.server;
        let up = self.is_ready();
        if let Phase::Up { since } = self.phase {
            self.push(Action::Lost { server, why });
            if self.now.since(since) > self.config.backoff_max {
                self.failures = 0;
            }
            if self.taken > self.confirmed {
                self.uncertain = self.barriers.max(self.reached + 1);
            }
        } else {
            self.push(Action::Failed { server, why });
        }
        // One that was up may just be restarting: it is tried first.
        if !up || why == Why::Done {
            self.server = self.next_server();
        }
        // Credentials do not become right by asking often.
        if matches!(why, Why::Refused(ServerError::Authorization | ServerError::Expired) | Why::Room) {
            self.failures = self.failures.max(PATIENT);
        }
        self.failures = self.failures.saturating_add(1);
        let wait = if why == Why::Done { Duration::ZERO } else { self.backoff(up) };
        self.phase = Phase::Waiting { until: self.now + wait };
        self.forget_server();
        if let Some(drain) = &mut self.drain {
            (drain.barrier, drain.last) = (None, false);
            if self.outbox.is_empty() {
                return self.close(self.now);
            }
        }
        // A wait of nothing needs no turn of the clock.
        self.tick();
    }

    fn forget_server(&mut self) {
        self.control.clear();
        self.restoring = false;
        self.outbox.keep_unsent_publishes();
        self.subscriptions.forget_server();
        self.decoder = decoder(&self.config);
        self.lame_duck = false;
        self.pongs_owed = 0;
        self.ping = None;
        self.check = None;
        self.confirmed = self.taken;
    }

    /// Between the rounds through all servers: doubling, less up to half of it, so that the clients of a server
    /// that restarts do not come all at once. Within a round: none.
    fn backoff(&mut self, was_up: bool) -> Duration {
        let servers = u32::try_from(self.config.servers.max(1)).unwrap_or(u32::MAX);
        if !was_up && !self.failures.is_multiple_of(servers) && self.failures < PATIENT {
            return Duration::ZERO;
        }
        let rounds = (self.failures / servers).saturating_sub(1).min(20);
        let wait = self.config.backoff_first.saturating_mul(1 << rounds).min(self.config.backoff_max);
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - self.random.up_to(micros / 2))
    }

    const fn next_server(&self) -> usize {
        let next = self.server + 1;
        if next < self.config.servers { next } else { 0 }
    }

    /// Makes room in the outbox if the policy allows it.
    pub(super) fn overflow(&mut self, room: usize) {
        if self.config.overflow == super::Overflow::DropOldest {
            let gone = self.outbox.make_room(room);
            self.count_dropped(gone);
        }
    }

    pub(super) const fn count_dropped(&mut self, gone: Tally) {
        self.unsaid.messages += gone.messages;
        self.unsaid.bytes += gone.bytes;
        self.dropped.messages += gone.messages;
        self.dropped.bytes += gone.bytes;
    }

    /// Between two drains of `poll` at most four are pushed by one call, so that there is always room.
    fn push(&mut self, action: Action) {
        let _ = self.actions.push_back(action);
    }
}

fn decoder(config: &Config) -> ServerDecoder {
    // INFO lists every server of a cluster; nats-server knows no limit for it.
    ServerDecoder::new(Limits { control_line: 64 << 10, payload: config.max_message })
}
