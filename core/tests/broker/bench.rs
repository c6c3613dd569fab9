//! A driver without a network: what clients sent and got, as text.

use lunix_core::broker::{
    Account, AccountId, Action, Border, Broker, Chunk, Client, ClientId, Found, Group, Input, Interest, Leaf,
    LeafAction, LeafTerms, Limits, Memory, Node, Peer, Progress, Reason, Reply, Subscription, Table, Tables,
    User, UserId,
};
use lunix_core::time::{Duration, Instant};
use lunix_proto::json::Str;
use lunix_proto::nats::Info;

/// Memory that grows as long as there is a limit above it.
#[derive(Default)]
pub(crate) struct Growing {
    nodes: Vec<Node>,
    subscriptions: Vec<Subscription>,
    groups: Vec<Group>,
    chunks: Vec<Chunk>,
    clients: Vec<Client>,
    accounts: Vec<Account>,
    found: Vec<Found>,
    replies: Vec<Reply>,
    scratch: Vec<u8>,
    leaves: Vec<Leaf>,
    interests: Vec<Interest>,
    /// The most slots that a table may have; 0 for no limit.
    most: usize,
    /// Whom [`UserId`]s mean.
    pub(crate) users: Vec<Option<User<'static>>>,
    /// How many connections accounts may have, but for `$G`.
    pub(crate) connections: Option<u32>,
    /// By the account that they lead out of.
    pub(crate) borders: Vec<(AccountId, Border<'static>)>,
    /// The driver answers `$SYS.REQ.USER.INFO`.
    pub(crate) serves: bool,
}

impl Memory for Growing {
    fn tables(&mut self) -> Tables<'_> {
        Tables {
            nodes: &mut self.nodes,
            subscriptions: &mut self.subscriptions,
            groups: &mut self.groups,
            chunks: &mut self.chunks,
            clients: &mut self.clients,
            accounts: &mut self.accounts,
            found: &mut self.found,
            replies: &mut self.replies,
            scratch: &mut self.scratch,
            leaves: &mut self.leaves,
            interests: &mut self.interests,
        }
    }

    fn user(&self, user: UserId) -> Option<User<'_>> {
        *self.users.get(user.index() as usize)?
    }

    fn account_connections(&self, account: AccountId) -> Option<u32> {
        self.connections.filter(|_| account != AccountId::GLOBAL)
    }

    fn border(&self, account: AccountId, index: u32) -> Option<Border<'_>> {
        let mut borders = self.borders.iter().filter(|(from, _)| *from == account);
        borders.nth(index as usize).map(|(_, border)| *border)
    }

    fn is_asked(&self, account: AccountId) -> bool {
        self.borders.iter().any(|(_, border)| border.service.is_some() && border.to == account)
    }

    fn serves(&self, account: AccountId, subject: &[u8]) -> bool {
        let _ = account;
        self.serves && subject == b"$SYS.REQ.USER.INFO"
    }

    fn grow(&mut self, table: Table) -> bool {
        fn longer<T: Clone>(slots: &mut Vec<T>, empty: T, most: usize) -> bool {
            let room = most == 0 || slots.len() < most;
            if room {
                slots.resize(slots.len() + 1 + slots.len() / 8, empty);
                if most > 0 {
                    slots.truncate(most);
                }
            }
            room
        }
        match table {
            Table::Nodes => longer(&mut self.nodes, Node::EMPTY, self.most),
            Table::Subscriptions => longer(&mut self.subscriptions, Subscription::EMPTY, self.most),
            Table::Groups => longer(&mut self.groups, Group::EMPTY, self.most),
            Table::Chunks => longer(&mut self.chunks, Chunk::EMPTY, self.most),
            Table::Clients => longer(&mut self.clients, Client::EMPTY, self.most),
            Table::Accounts => longer(&mut self.accounts, Account::EMPTY, self.most),
            Table::Found => longer(&mut self.found, Found::EMPTY, self.most),
            Table::Replies => longer(&mut self.replies, Reply::EMPTY, self.most),
            Table::Scratch => longer(&mut self.scratch, 0, self.most),
            Table::Leaves => longer(&mut self.leaves, Leaf::EMPTY, self.most),
            Table::Interests => longer(&mut self.interests, Interest::EMPTY, self.most),
        }
    }
}

impl Growing {
    /// Tables of at most `most` slots.
    pub(crate) fn up_to(most: usize) -> Self {
        Self { most, ..Self::default() }
    }
}

/// A broker and its connections.
pub(crate) struct Bench<M = Growing> {
    pub(crate) broker: Broker<M>,
    pub(crate) now: Instant,
    unread: Vec<Vec<u8>>,
    got: Vec<Vec<u8>>,
    pub(crate) closed: Vec<Option<Reason>>,
    /// Who is stalled, in this order.
    pub(crate) stalled: Vec<ClientId>,
    /// Answers to [`Action::Authenticate`], which knows users by their number for a name.
    answers: Vec<(ClientId, Option<UserId>)>,
    /// The answers come only with [`Bench::answer`].
    pub(crate) later: bool,
    /// What is followed, and each of its receivers with what it subscribed to.
    pub(crate) traces: Vec<String>,
    /// What the server itself was asked.
    pub(crate) requests: Vec<(ClientId, AccountId, String, Option<String>, String)>,
}

pub(crate) const SILENT: &str =
    r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_memory(Growing::default(), limits)
    }
}

impl<M: Memory> Bench<M> {
    pub(crate) fn with_memory(memory: M, limits: Limits) -> Self {
        let broker = Broker::new(memory, limits, 0x5eed);
        Self {
            broker,
            now: Instant::from_micros(1),
            unread: vec![],
            got: vec![],
            closed: vec![],
            stalled: vec![],
            answers: vec![],
            later: false,
            requests: vec![],
            traces: vec![],
        }
    }

    /// A new connection that has read its `INFO` and said nothing.
    pub(crate) fn open(&mut self) -> ClientId {
        let client = self.open_from(Peer::Local);
        assert!(self.got(client).starts_with("INFO {"));
        client
    }

    /// A new connection that wants no `+OK`.
    pub(crate) fn connect(&mut self) -> ClientId {
        let client = self.open();
        self.say(client, SILENT);
        client
    }

    pub(crate) fn open_from(&mut self, peer: Peer) -> ClientId {
        let client = ClientId::new(self.got.len().try_into().unwrap());
        self.unread.push(Vec::new());
        self.got.push(Vec::new());
        self.closed.push(None);
        self.input(Input::Opened { client, peer });
        client
    }

    /// A leaf node, or a hub, that has joined.
    pub(crate) fn join(&mut self, terms: LeafTerms<'_>) -> ClientId {
        let client = self.open_leaf();
        self.joined(client, terms);
        client
    }

    /// Its handshake is over.
    pub(crate) fn joined(&mut self, client: ClientId, terms: LeafTerms<'_>) {
        self.input(Input::LeafJoined { client, terms });
    }

    /// A leaf node that has not joined yet.
    pub(crate) fn open_leaf(&mut self) -> ClientId {
        let client = ClientId::new(self.got.len().try_into().unwrap());
        self.unread.push(Vec::new());
        self.got.push(Vec::new());
        self.closed.push(None);
        self.input(Input::LeafOpened { client, peer: Peer::Local });
        client
    }

    /// A line (or several, divided by LF) from a client; each gets its CR LF.
    pub(crate) fn say(&mut self, client: ClientId, lines: &str) {
        self.bytes(client, (lines.replace('\n', "\r\n") + "\r\n").as_bytes());
    }

    /// Bytes from a client.
    pub(crate) fn bytes(&mut self, client: ClientId, bytes: &[u8]) {
        let index = client.index() as usize;
        self.unread[index].extend_from_slice(bytes);
        while !self.unread[index].is_empty() {
            let unread = std::mem::take(&mut self.unread[index]);
            let progress = self.input(Input::Received { client, bytes: &unread });
            match progress {
                Progress::Consumed(bytes) => self.unread[index] = unread[bytes..].to_vec(),
                Progress::Needs(bytes) => {
                    assert!(bytes > unread.len());
                    self.unread[index] = unread;
                    return;
                }
                Progress::Waits => {
                    self.unread[index] = unread;
                    return;
                }
            }
        }
    }

    /// All that a client got since the last question, CR left out, and `<closed>` if it is.
    pub(crate) fn got(&mut self, client: ClientId) -> String {
        let index = client.index() as usize;
        let got = std::mem::take(&mut self.got[index]);
        let mut text = String::from_utf8(got).unwrap().replace('\r', "");
        if let Some(reason) = self.closed[index] {
            text += &format!("<{reason}>");
        }
        text
    }

    /// Answers who they are, of whom the broker has asked that.
    pub(crate) fn answer(&mut self) {
        for (client, user) in std::mem::take(&mut self.answers) {
            match user {
                Some(user) => self.input(Input::Admitted { client, user }),
                None => self.input(Input::Refused { client, reason: Reason::Authentication }),
            };
            self.bytes(client, b"");
        }
    }

    pub(crate) fn close(&mut self, client: ClientId) {
        self.input(Input::Closed { client });
    }

    /// The client has taken all but `left` bytes.
    pub(crate) fn flushed(&mut self, client: ClientId, left: usize) {
        self.input(Input::Flushed { client, left });
    }

    /// All clients take all that there is.
    pub(crate) fn flush(&mut self) {
        for index in 0..u32::try_from(self.got.len()).unwrap() {
            self.flushed(ClientId::new(index), 0);
        }
    }

    /// Lets time pass, ticking whenever the broker wants to.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.broker.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
            assert!(self.broker.next_deadline().is_none_or(|next| next > at), "the deadline stays");
        }
        self.now = end;
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Progress {
        let info = Info {
            server_id: Str::new("ID"),
            server_name: Str::new("name"),
            version: Str::new("2.15.0"),
            proto: 1,
            host: Str::new("127.0.0.1"),
            port: 4222,
            headers: true,
            max_payload: 1 << 20,
            ..Info::default()
        };
        let bytes = match input {
            Input::Received { bytes, .. } | Input::Publish { body: bytes, .. } => bytes,
            _ => b"",
        };
        let mut turn = self.broker.handle(self.now, input);
        let mut buffer = [0; 8192];
        let mut closed = Vec::new();
        while let Some(action) = turn.poll() {
            match action {
                Action::Send { to, line } => {
                    let written = line.encode(&mut buffer, &info).unwrap();
                    assert!(line.encode(&mut vec![0; written - 1], &info).is_err());
                    self.got[to.index() as usize].extend_from_slice(&buffer[..written]);
                }
                Action::Deliver(delivery) => {
                    let written = delivery.encode_head(&mut buffer).unwrap();
                    assert_eq!(written, delivery.head_len());
                    assert_eq!(&bytes[delivery.body_range()], delivery.body());
                    let got = &mut self.got[delivery.to().index() as usize];
                    got.extend_from_slice(&buffer[..written]);
                    got.extend_from_slice(delivery.body());
                }
                Action::Authenticate { client, connect } => {
                    let name = connect.user.as_plain().and_then(|name| name.parse().ok()).map(UserId::new);
                    self.answers.push((client, name));
                }
                Action::Leaf(action) => {
                    let (to, text) = match action {
                        LeafAction::Interest(line) => {
                            let written = line.encode(&mut buffer).unwrap();
                            assert_eq!(written, line.encoded_len());
                            (line.to(), buffer[..written].to_vec())
                        }
                        LeafAction::Deliver(delivery) => {
                            let written = delivery.encode_head(&mut buffer).unwrap();
                            assert_eq!(written, delivery.head_len());
                            assert_eq!(&bytes[delivery.body_range()], delivery.body());
                            (delivery.to(), [&buffer[..written], delivery.body()].concat())
                        }
                        LeafAction::Info(from, json) => (from, [b"<INFO ", json, b">"].concat()),
                        LeafAction::Connect(from, json) => (from, [b"<CONNECT ", json, b">"].concat()),
                        LeafAction::Error(from, error) => (from, [b"<-ERR ", error, b">"].concat()),
                    };
                    self.got[to.index() as usize].extend_from_slice(&text);
                }
                Action::Request { client, account, subject, reply, payload } => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    let reply = reply.map(text);
                    self.requests.push((client, account, text(subject), reply, text(payload)));
                }
                Action::Traced(traced) => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    self.traces.push(format!("{} to {}", text(traced.subject), text(traced.to)));
                }
                Action::Passed { to, subscription, .. } => {
                    let pattern = subscription.map_or_else(String::new, |subscription| {
                        let len = subscription.subject(&mut buffer).unwrap();
                        String::from_utf8_lossy(&buffer[..len]).into_owned()
                    });
                    self.traces.push(format!("{} {pattern}", to.index()));
                }
                Action::Stall { client } => {
                    assert!(!self.stalled.contains(&client), "stalled twice");
                    self.stalled.push(client);
                }
                Action::Resume { client } => {
                    let before = self.stalled.len();
                    self.stalled.retain(|stalled| *stalled != client);
                    assert!(self.stalled.len() < before, "resumed without a stall");
                }
                Action::Close { client, reason } => {
                    self.stalled.retain(|stalled| *stalled != client);
                    assert_eq!(self.closed[client.index() as usize].replace(reason), None, "closed twice");
                    closed.push(client);
                }
            }
        }
        assert!(turn.poll().is_none());
        let progress = turn.progress();
        for client in closed {
            self.input(Input::Closed { client });
        }
        if !self.later {
            self.answer();
        }
        progress
    }
}
