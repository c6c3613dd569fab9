//! All connections, and what the broker's actions do to them.

use lunix_core::broker::{AccountId, Action, ClientId, Control, Delivery, Reason};
use lunix_proto::json::Str;
use lunix_proto::nats::Connect;

use super::auth::door::{Credentials, Door, Verdict};
use super::connection::Connection;
use super::identity::Identity;
use super::leaf::Said;
use super::log::{Log, Tag};
use super::monitor::About;
use super::output::Pool;
use super::system::Traces;

/// All connections: what the broker's actions act upon.
#[derive(Debug)]
pub(super) struct Wires {
    pub(super) identity: Identity,
    pub(super) log: Log,
    pub(super) door: Door,
    /// Who asked who they are in this turn, and what the answer is.
    pub(super) verdicts: Vec<(ClientId, Verdict)>,
    /// By [`ClientId`].
    pub(super) connections: Vec<Option<Connection>>,
    pub(super) free: Vec<u32>,
    /// Those to be written to at the end of the turn.
    pub(super) dirty: Vec<u32>,
    pub(super) closing: Vec<(ClientId, Reason)>,
    /// Those who are stalled, or go on, since the end of the last turn.
    pub(super) stalls: Vec<u32>,
    /// Somebody was stalled: what waits is better written at once.
    pub(super) pressed: bool,
    /// Buffers for output.
    pub(super) pool: Pool,
    /// Bytes of messages queued since all that is dirty was last written.
    pub(super) queued: usize,
    /// What the server itself was asked in this turn.
    pub(super) asked: Vec<Asked>,
    /// What is followed in this turn.
    pub(super) traces: Traces,
    /// What leaf nodes said of themselves since the last look.
    pub(super) said: Vec<(ClientId, Said)>,
}

/// A request to the server itself, which waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: ClientId,
    pub(super) account: AccountId,
    pub(super) subject: Box<[u8]>,
    pub(super) reply: Option<Box<[u8]>>,
    pub(super) payload: Box<[u8]>,
}

impl Wires {
    pub(super) fn new(identity: Identity, log: Log, door: Door) -> Self {
        Self {
            identity,
            log,
            door,
            verdicts: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            closing: Vec::new(),
            stalls: Vec::new(),
            pressed: false,
            pool: Pool::default(),
            queued: 0,
            asked: Vec::new(),
            traces: Traces::default(),
            said: Vec::new(),
        }
    }

    pub(super) fn connection(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn act(&mut self, action: Action<'_>) {
        match action {
            Action::Deliver(delivery) => self.deliver(&delivery),
            Action::Send { to, line } => {
                let mut info = self.identity.info();
                if let Control::Info(welcome) = line {
                    info.auth_required = self.door.wants_credentials(to, welcome.connected);
                    info.nonce = Str::new(self.door.nonce(to));
                    info.remote_account = Str::new(self.door.account_name(welcome.account));
                    info.acc_is_sys = welcome.connected && welcome.account == AccountId::SYSTEM;
                }
                let Some(Some(connection)) = self.connections.get_mut(to.index() as usize) else { return };
                connection.transport.inform(&mut info);
                connection.push_with(&mut self.pool, 512, |out| {
                    line.encode(out, &info).map_err(|full| full.needed)
                });
                self.soil(to.index());
            }
            Action::Authenticate { client, connect } => {
                let certificate = self
                    .connection(client.index())
                    .and_then(|connection| connection.transport.tls())
                    .and_then(|stream| stream.certificate());
                let verdict = self.door.ask(client, &Credentials::of(&connect), certificate);
                self.verdicts.push((client, verdict));
            }
            Action::Request { client, account, subject, reply, payload } => {
                self.asked.push(Asked {
                    client,
                    account,
                    subject: subject.into(),
                    reply: reply.map(Box::from),
                    payload: payload.into(),
                });
            }
            Action::Traced(traced) => self.traces.begin(&traced),
            Action::Passed { to, account, subscription } => self.traces.pass(to, account, subscription),
            Action::Leaf(action) => self.act_for_leaf(action),
            Action::Stall { client } => self.stall(client, true),
            Action::Resume { client } => self.stall(client, false),
            Action::Close { client, reason } => {
                if let Some(connection) = self.connection(client.index()) {
                    connection.closed = true;
                }
                self.closing.push((client, reason));
            }
        }
    }

    #[inline]
    pub(super) fn deliver(&mut self, delivery: &Delivery<'_>) {
        let index = delivery.to().index();
        let Some(Some(connection)) = self.connections.get_mut(index as usize) else { return };
        if connection.closed {
            return;
        }
        connection.push_message(&mut self.pool, delivery);
        self.queued += delivery.body().len();
        if !connection.dirty && !connection.blocked {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }

    fn stall(&mut self, client: ClientId, stalled: bool) {
        if let Some(connection) = self.connection(client.index()) {
            connection.stalled = stalled;
            self.stalls.push(client.index());
            self.pressed |= stalled;
        }
    }

    /// Puts a connection on the list of those to be written to; a full one waits for the reactor.
    pub(super) fn soil(&mut self, index: u32) {
        if let Some(Some(connection)) = self.connections.get_mut(index as usize)
            && !connection.dirty
            && !connection.blocked
        {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Keeps what a client says about itself in a `CONNECT`.
    pub(super) fn meet(&mut self, index: u32, bytes: &[u8]) {
        let json = bytes.iter().position(|&byte| byte == b'{').and_then(|at| bytes.get(at..));
        let mut connect = Connect::default();
        if let Some(connection) = self.connection(index)
            && json.is_some_and(|json| connect.apply(json.trim_ascii_end()).is_ok())
        {
            connection.about = Some(Box::new(About::of(&connect)));
        }
    }

    /// Says what a client said, up to the end of its first line.
    pub(super) fn trace(&self, index: u32, bytes: &[u8]) {
        let mut line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'c')) {
            // Passwords are nobody's business.
            line = b"CONNECT {...}";
        }
        let name = match self.connections.get(index as usize) {
            Some(Some(connection)) => connection.name.as_str(),
            _ => "",
        };
        self.log.line(Tag::Trace, format_args!("{name} - <<- [{}]", line.trim_ascii_end().escape_ascii()));
    }
}
