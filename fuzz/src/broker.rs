//! The broker: its router against a list of subscriptions, and its answers however streams are cut.

use std::collections::BTreeMap;

use lunix_core::broker::{
    Account, AccountId, Action, Border, Broker, Chunk, Client, ClientId, Found, Group, Input, Interest, Leaf,
    LeafAction, LeafTerms, Limits, Memory, Node, Peer, Permissions, Progress, Reason, Reply, Responses,
    Subjects, Subscription, Table, Tables, User, UserId,
};
use lunix_core::time::{Duration, Instant};
use lunix_proto::nats::{Info, subject};

/// Tables that are a little too small for all that the targets try.
#[derive(Default)]
pub(crate) struct Tight {
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
    most: usize,
    /// Users by their number, which is their name, too.
    pub(crate) users: Vec<User<'static>>,
    /// By the account that they lead out of.
    pub(crate) borders: &'static [(u32, Border<'static>)],
}

impl Tight {
    /// Tables of at most `most` slots.
    pub(crate) fn up_to(most: usize) -> Self {
        Self { most, ..Self::default() }
    }
}

impl Memory for Tight {
    fn tables(&mut self) -> Tables<'_> {
        let Self {
            nodes,
            subscriptions,
            groups,
            chunks,
            clients,
            accounts,
            found,
            replies,
            scratch,
            leaves,
            interests,
            ..
        } = self;
        Tables {
            nodes,
            subscriptions,
            groups,
            chunks,
            clients,
            accounts,
            found,
            replies,
            scratch,
            leaves,
            interests,
        }
    }

    fn user(&self, user: UserId) -> Option<User<'_>> {
        self.users.get(user.index() as usize).copied()
    }

    fn border(&self, account: AccountId, index: u32) -> Option<Border<'_>> {
        let mut borders = self.borders.iter().filter(|(from, _)| *from == account.index());
        borders.nth(index as usize).map(|(_, border)| *border)
    }

    fn is_asked(&self, account: AccountId) -> bool {
        self.borders.iter().any(|(_, border)| border.service.is_some() && border.to == account)
    }

    fn grow(&mut self, table: Table) -> bool {
        fn one<T>(slots: &mut Vec<T>, empty: T, most: usize) -> bool {
            let room = slots.len() < most;
            if room {
                slots.push(empty);
            }
            room
        }
        match table {
            Table::Nodes => one(&mut self.nodes, Node::EMPTY, self.most),
            Table::Subscriptions => one(&mut self.subscriptions, Subscription::EMPTY, self.most),
            Table::Groups => one(&mut self.groups, Group::EMPTY, self.most),
            Table::Chunks => one(&mut self.chunks, Chunk::EMPTY, self.most),
            Table::Clients => one(&mut self.clients, Client::EMPTY, self.most),
            Table::Accounts => one(&mut self.accounts, Account::EMPTY, self.most),
            Table::Found => one(&mut self.found, Found::EMPTY, self.most),
            Table::Replies => one(&mut self.replies, Reply::EMPTY, self.most),
            Table::Scratch => one(&mut self.scratch, 0, self.most),
            Table::Leaves => one(&mut self.leaves, Leaf::EMPTY, self.most),
            Table::Interests => one(&mut self.interests, Interest::EMPTY, self.most),
        }
    }
}

/// Connections of a bench: three clients, and three that may be leaf nodes or hubs.
pub(crate) const CONNECTIONS: usize = 6;

/// A broker with its connections, and what each of them got.
pub(crate) struct Bench {
    pub(crate) broker: Broker<Tight>,
    now: Instant,
    unread: [Vec<u8>; CONNECTIONS],
    pub(crate) got: [Vec<u8>; CONNECTIONS],
    pub(crate) ended: [bool; CONNECTIONS],
    stalled: [bool; CONNECTIONS],
    /// What those who shake hands are then joined as.
    pub(crate) terms: [Option<LeafTerms<'static>>; CONNECTIONS],
    greeted: Vec<ClientId>,
    /// How many users there are.
    users: u32,
    asked: Vec<(ClientId, Option<UserId>)>,
    /// What lines are written to; making one anew for each input would take most of the time.
    room: Vec<u8>,
}

impl Bench {
    pub(crate) fn new(most: usize, limits: Limits) -> Self {
        Self::with_memory(Tight { most, ..Tight::default() }, limits)
    }

    pub(crate) fn with_memory(memory: Tight, limits: Limits) -> Self {
        let users = u32::try_from(memory.users.len()).unwrap();
        let mut bench = Self {
            users,
            broker: Broker::new(memory, limits, 7),
            now: Instant::from_micros(1),
            unread: Default::default(),
            got: Default::default(),
            ended: [true; CONNECTIONS],
            stalled: [false; CONNECTIONS],
            terms: [None; CONNECTIONS],
            greeted: Vec::new(),
            asked: Vec::new(),
            room: vec![0; 16 << 10],
        };
        (0..3).for_each(|client| bench.open(client));
        bench
    }

    pub(crate) fn open(&mut self, client: usize) {
        self.ended[client] = false;
        self.stalled[client] = false;
        self.unread[client].clear();
        // One of them is on another machine, and is asked whether it is there.
        let peer = if client == 2 { Peer::Tcp("192.0.2.1:1".parse().unwrap()) } else { Peer::Local };
        self.input(Input::Opened { client: id(client), peer });
    }

    /// A connection with a leaf node or a hub, which says `CONNECT` or `INFO` before it joins.
    pub(crate) fn open_leaf(&mut self, client: usize) {
        self.ended[client] = false;
        self.unread[client].clear();
        self.input(Input::LeafOpened { client: id(client), peer: Peer::Local });
    }

    /// Nothing waits any longer for those for whom something may.
    pub(crate) fn flush(&mut self) {
        for client in 0..CONNECTIONS {
            if !std::mem::take(&mut self.got[client]).is_empty() && !self.ended[client] {
                self.input(Input::Flushed { client: id(client), left: 0 });
            }
        }
    }

    pub(crate) fn receive(&mut self, client: usize, bytes: &[u8]) {
        if self.ended[client] {
            return;
        }
        self.unread[client].extend_from_slice(bytes);
        while !self.unread[client].is_empty() {
            let unread = std::mem::take(&mut self.unread[client]);
            match self.input(Input::Received { client: id(client), bytes: &unread }) {
                Progress::Consumed(len) => {
                    self.unread[client] = unread;
                    self.unread[client].drain(..len);
                }
                Progress::Waits => unreachable!(),
                Progress::Needs(len) => {
                    assert!(len > unread.len());
                    self.unread[client] = unread;
                    return;
                }
            }
        }
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Progress {
        let received = match input {
            Input::Received { bytes, .. } => bytes,
            _ => b"",
        };
        let mut buffer = std::mem::take(&mut self.room);
        let mut closed = Vec::new();
        let mut turn = self.broker.handle(self.now, input);
        while let Some(action) = turn.poll() {
            match action {
                Action::Send { to, line } => {
                    let written = line.encode(&mut buffer, &Info::default()).unwrap();
                    self.got[to.index() as usize].extend_from_slice(&buffer[..written]);
                }
                Action::Deliver(delivery) => {
                    let written = delivery.encode_head(&mut buffer).unwrap();
                    assert_eq!(written, delivery.head_len());
                    assert_eq!(&received[delivery.body_range()], delivery.body());
                    assert!(delivery.body().ends_with(b"\r\n"));
                    let to = delivery.to().index() as usize;
                    assert!(!self.ended[to]);
                    self.got[to].extend_from_slice(&buffer[..written]);
                    self.got[to].extend_from_slice(delivery.body());
                }
                Action::Authenticate { client, connect } => {
                    let users = 0..self.users;
                    let name = connect.user.as_plain().and_then(|name| name.parse().ok());
                    self.asked.push((client, name.filter(|name| users.contains(name)).map(UserId::new)));
                }
                Action::Leaf(LeafAction::Interest(line)) => {
                    let written = line.encode(&mut buffer).unwrap();
                    assert_eq!(written, line.encoded_len());
                    self.got[line.to().index() as usize].extend_from_slice(&buffer[..written]);
                }
                Action::Leaf(LeafAction::Deliver(delivery)) => {
                    let written = delivery.encode_head(&mut buffer).unwrap();
                    assert_eq!(written, delivery.head_len());
                    assert_eq!(&received[delivery.body_range()], delivery.body());
                    assert!(delivery.body().ends_with(b"\r\n"));
                    let to = delivery.to().index() as usize;
                    assert!(!self.ended[to]);
                    self.got[to].extend_from_slice(&buffer[..written]);
                    self.got[to].extend_from_slice(delivery.body());
                }
                Action::Leaf(LeafAction::Info(client, _) | LeafAction::Connect(client, _)) => {
                    self.greeted.push(client);
                }
                Action::Leaf(LeafAction::Error(..)) => {}
                Action::Request { .. } | Action::Traced(_) | Action::Passed { .. } => unreachable!(),
                Action::Stall { client } => {
                    let index = client.index() as usize;
                    assert!(!std::mem::replace(&mut self.stalled[index], true) && !self.ended[index]);
                }
                Action::Resume { client } => {
                    let index = client.index() as usize;
                    assert!(std::mem::take(&mut self.stalled[index]) && !self.ended[index]);
                }
                Action::Close { client, .. } => closed.push(client),
            }
        }
        let progress = turn.progress();
        self.room = buffer;
        for client in closed {
            self.stalled[client.index() as usize] = false;
            assert!(!std::mem::replace(&mut self.ended[client.index() as usize], true), "closed twice");
            self.input(Input::Closed { client });
        }
        for (client, user) in std::mem::take(&mut self.asked) {
            match user {
                Some(user) => self.input(Input::Admitted { client, user }),
                None => self.input(Input::Refused { client, reason: Reason::Authentication }),
            };
        }
        for client in std::mem::take(&mut self.greeted) {
            if let Some(terms) = self.terms[client.index() as usize] {
                self.input(Input::LeafJoined { client, terms });
            }
        }
        let limits = self.broker.limits();
        assert!(self.broker.statistics().pending <= limits.pending_all + CONNECTIONS * 1024);
        progress
    }
}

pub(crate) fn id(client: usize) -> ClientId {
    ClientId::new(u32::try_from(client).unwrap())
}

#[derive(Clone, Debug)]
struct Entry {
    subject: String,
    queue: Option<u8>,
    max: u32,
    got: u32,
}

const TOKENS: [&str; 8] =
    ["a", "b", "c", "*", ">", "fifteen-or-more", "a-token-of-two-chunks-of-blocks", "*x"];

fn name(choices: &[u8]) -> String {
    let tokens: Vec<_> = choices.iter().map(|choice| TOKENS[usize::from(choice % 8)]).collect();
    tokens.join(".")
}

/// Operations of six bytes: kind and client, sid, queue or maximum, and a subject of up to three tokens.
pub fn router_ops(data: &[u8]) {
    let (most, data) =
        data.split_first().map_or((64, data), |(most, rest)| (usize::from(*most).max(4), rest));
    let mut bench = Bench::new(most, Limits { ping_interval: None, ..Limits::default() });
    for client in 0..3 {
        bench.receive(client, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    }
    let mut model: BTreeMap<(usize, u8), Entry> = BTreeMap::new();
    for op in data.chunks_exact(6) {
        let &[kind, sid, extra, ref choices @ ..] = op else { unreachable!() };
        let client = usize::from(kind / 8 % 3);
        bench.flush();
        let subject = name(&choices[..1 + usize::from(kind / 64).min(2)]);
        // Every third name is longer than what a subscription holds in place.
        let sid_text =
            |sid: u8| if sid.is_multiple_of(3) { format!("{sid}-{:050}", 0) } else { sid.to_string() };
        match kind % 8 {
            0..=2 => {
                let queue = (extra % 4 != 0).then_some(extra % 4);
                let word = queue.map_or(String::new(), |queue| format!(" queue-group-number-{queue}"));
                bench.receive(client, format!("SUB {subject}{word} {}\r\n", sid_text(sid)).as_bytes());
                let answer = String::from_utf8(bench.got[client].clone()).unwrap();
                let valid = subject::is_pattern(subject.as_bytes());
                match answer.as_str() {
                    "" => {
                        // Of a sid that is there already nothing else is looked at.
                        assert!(valid || model.contains_key(&(client, sid)));
                        let entry = Entry { subject, queue, max: 0, got: 0 };
                        model.entry((client, sid)).or_insert(entry);
                    }
                    "-ERR 'Invalid Subject'\r\n" => assert!(!valid),
                    _ => assert_eq!(answer, "-ERR 'maximum subscriptions exceeded'\r\n"),
                }
            }
            3 => {
                let max = (extra % 4 != 0).then_some(extra % 4);
                let word = max.map_or(String::new(), |max| format!(" {max}"));
                bench.receive(client, format!("UNSUB {}{word}\r\n", sid_text(sid)).as_bytes());
                if let Some(entry) = model.get_mut(&(client, sid)) {
                    entry.max = u32::from(max.unwrap_or(0));
                    if entry.max <= entry.got {
                        model.remove(&(client, sid));
                    }
                }
            }
            4 if extra % 4 == 0 => {
                bench.input(Input::Closed { client: id(client) });
                model.retain(|(owner, _), _| *owner != client);
                bench.open(client);
                bench.receive(client, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
            }
            _ => {
                bench.receive(client, format!("PUB {subject} 0\r\n\r\n").as_bytes());
                compare(&bench, &mut model, &subject);
            }
        }
        assert_eq!(bench.broker.statistics().subscriptions as usize, model.len());
    }
}

/// What clients got is what the model says, up to the choice of queue members.
fn compare(bench: &Bench, model: &mut BTreeMap<(usize, u8), Entry>, published: &str) {
    let mut got: Vec<(usize, u8)> = Vec::new();
    for (client, bytes) in bench.got.iter().enumerate() {
        let text = std::str::from_utf8(bytes).unwrap();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split(' ').collect();
            let ["MSG", subject, sid, "0"] = words[..] else { panic!("{line}") };
            assert_eq!(subject, published);
            got.push((client, sid.split('-').next().unwrap().parse().unwrap()));
        }
    }
    got.sort_unstable();
    let mut expected = Vec::new();
    let mut groups: BTreeMap<u8, Vec<(usize, u8)>> = BTreeMap::new();
    for (key, entry) in &*model {
        if !matches(&entry.subject, published) {
            continue;
        }
        match entry.queue {
            Some(queue) => groups.entry(queue).or_default().push(*key),
            None => expected.push(*key),
        }
    }
    for members in groups.values() {
        let chosen: Vec<_> = got.iter().filter(|key| members.contains(key)).copied().collect();
        assert_eq!(chosen.len(), 1, "{chosen:?} of {members:?}");
        expected.extend(chosen);
    }
    expected.sort_unstable();
    assert_eq!(got, expected, "{published}");
    for key in got {
        let entry = model.get_mut(&key).unwrap();
        entry.got += 1;
        if entry.got == entry.max {
            model.remove(&key);
        }
    }
}

/// Wildcards of the published subject are tokens like any others.
fn matches(pattern: &str, published: &str) -> bool {
    let (mut pattern, mut published) = (pattern.split('.'), published.split('.'));
    loop {
        match (pattern.next(), published.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(token), Some(other)) if token == other && token != ">" => {}
            _ => return false,
        }
    }
}

const ANYBODY: User<'static> = User::of(AccountId::GLOBAL);

const NARROW: User<'static> = User {
    permissions: Permissions {
        publish: Subjects { allow: Some("a.>"), deny: "a.b" },
        subscribe: Subjects { allow: Some("a.*\nb q"), deny: "a.c" },
        responses: Some(Responses { max: 1, expires: Some(Duration::from_secs(60)) }),
    },
    subscriptions: Some(3),
    payload: Some(16),
    expires: Some(Instant::from_micros(100_000_000)),
    ..ANYBODY
};

/// Three clients say anything, in pieces: nothing panics, nobody waits for more than the limits, and what one
/// client alone is answered does not depend on the pieces.
pub fn stream(data: &[u8]) {
    let limits = Limits {
        subscriptions: 8,
        payload: 64,
        control_line: 128,
        pending: 2048,
        pending_all: 3000,
        ..Limits::default()
    };
    // Half of the time there are users: whoever says `CONNECT {"user":"0"}` or `"1"`.
    let limits = Limits { authenticate: data.first().is_some_and(|first| first % 2 == 1), ..limits };
    let users = || Tight { most: 24, users: vec![ANYBODY, NARROW], ..Tight::default() };
    let mut bench = Bench::with_memory(users(), limits);
    let mut rest = data;
    while let [kind, len, tail @ ..] = rest {
        let (piece, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let client = usize::from(kind % 3);
        match kind / 3 % 16 {
            0 => {
                bench.input(Input::Closed { client: id(client) });
                bench.open(client);
            }
            1 => {
                bench.input(Input::Flushed { client: id(client), left: usize::from(*len) });
            }
            2 => {
                bench.now = bench.now + Duration::from_secs(u64::from(*len));
                if bench.broker.next_deadline().is_some_and(|at| at <= bench.now) {
                    bench.input(Input::Tick);
                    assert!(bench.stalled.iter().zip(bench.ended).all(|(stalled, ended)| !stalled || ended));
                    assert!(bench.broker.next_deadline().is_none_or(|at| at > bench.now));
                }
            }
            _ => bench.receive(client, piece),
        }
    }

    let mut whole = Bench::with_memory(users(), limits);
    whole.receive(0, data);
    let mut bytewise = Bench::with_memory(users(), limits);
    data.iter().for_each(|byte| bytewise.receive(0, &[*byte]));
    assert_eq!(whole.got, bytewise.got);
    assert_eq!(whole.ended, bytewise.ended);
}
