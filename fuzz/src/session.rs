//! The client session against a naive server, over a link that takes as many bytes as it likes and breaks.

use std::collections::BTreeMap;

use lunix_core::session::{
    Action, Config, Identity, Incoming, Input, KeepAlive, Memory, Outgoing, Overflow, PublishError, Session,
    Sid,
};
use lunix_core::time::{Duration, Instant};
use lunix_proto::nats::{ClientDecoder, ClientOp, Limits};

type Client = Session<Vec<u8>, 6, 3>;

struct World {
    client: Client,
    now: Instant,
    /// The naive server of the present connection.
    server: Option<Server>,
    listening: bool,
    keep_alive: bool,
    /// Numbers of the messages that a server executed.
    executed: Vec<u32>,
    published: u32,
    /// What the caller believes to be subscribed to, by number on the wire.
    subscribed: BTreeMap<u64, (Sid, String)>,
    opens: u32,
    closed: bool,
}

struct Server {
    decoder: ClientDecoder,
    input: Vec<u8>,
    /// Said to the client, and not yet received by it.
    out: Vec<u8>,
    subscribed: BTreeMap<u64, String>,
    ops: u32,
    answers: bool,
}

impl Server {
    fn new() -> Self {
        Self {
            decoder: ClientDecoder::new(Limits::default()),
            input: Vec::new(),
            out: b"INFO {\"headers\":true,\"max_payload\":1000}\r\n".to_vec(),
            subscribed: BTreeMap::new(),
            ops: 0,
            answers: true,
        }
    }

    fn feed(&mut self, bytes: &[u8], executed: &mut Vec<u32>) {
        self.input.extend_from_slice(bytes);
        loop {
            let input = std::mem::take(&mut self.input);
            let Some((op, length)) = self.decoder.decode(&input).expect("the client keeps the protocol")
            else {
                self.input = input;
                return;
            };
            self.ops += 1;
            match (self.ops, &op) {
                (1, ClientOp::Connect(_)) => {}
                (1, _) => panic!("CONNECT comes first: {op:?}"),
                (_, ClientOp::Ping) if self.answers => self.out.extend_from_slice(b"PONG\r\n"),
                (_, ClientOp::Pub(message) | ClientOp::HPub(message)) => {
                    // The payload begins with its number.
                    let digits = message.payload().get(..8).expect("a whole payload");
                    executed.push(std::str::from_utf8(digits).unwrap().parse().unwrap());
                }
                (_, ClientOp::Sub { subject, sid, .. }) => {
                    let subject = String::from_utf8(subject.to_vec()).unwrap();
                    let twice = self.subscribed.insert(number(sid), subject);
                    assert_eq!(twice, None, "a sid twice");
                }
                (_, ClientOp::Unsub { sid, max: None }) => {
                    assert!(self.subscribed.remove(&number(sid)).is_some(), "an unknown sid");
                }
                (_, ClientOp::Unsub { max: Some(max), .. }) => assert!(*max > 0),
                (_, ClientOp::Ping | ClientOp::Pong) => {}
                (_, op) => panic!("{op:?}"),
            }
            self.input = input[length..].to_vec();
        }
    }
}

fn number(sid: &[u8]) -> u64 {
    std::str::from_utf8(sid).unwrap().parse().unwrap()
}

impl World {
    fn new(first: u8) -> Self {
        let overflow = if first & 1 == 0 { Overflow::DropOldest } else { Overflow::RefuseNewest };
        let config = Config {
            overflow,
            max_payload: 1_000,
            ..Config::new(1 + usize::from(first >> 6), u128::from(first))
        };
        let outbox = 120 + 40 * usize::from(first >> 1 & 15);
        let memory = Memory { outbox: vec![0; outbox], control: vec![0; 300], subjects: vec![0; 100] };
        let now = Instant::from_micros(1);
        let mut world = Self {
            client: Client::new(now, config, memory),
            now,
            server: None,
            listening: true,
            keep_alive: first & 32 != 0,
            executed: Vec::new(),
            published: 0,
            subscribed: BTreeMap::new(),
            opens: 0,
            closed: false,
        };
        world.drain();
        world
    }

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.client.poll() {
            actions += 1;
            assert!(actions < 32, "actions without end");
            assert!(!self.closed, "{action:?} after the end");
            match action {
                Action::Open { .. } => {
                    assert!(self.server.is_none(), "two connections");
                    self.opens += 1;
                    if self.listening {
                        self.server = Some(Server::new());
                        let keep_alive = self.keep_alive.then_some(KeepAlive {
                            interval: Duration::from_secs(1),
                            timeout: Duration::from_secs(1),
                        });
                        self.client.handle(self.now, Input::Connected { keep_alive });
                    } else {
                        self.client.handle(self.now, Input::Disconnected);
                    }
                }
                Action::Close { .. } => self.server = None,
                Action::Identify { .. } => {
                    self.client.handle(self.now, Input::Identity(Identity::default()));
                }
                Action::Closed => self.closed = true,
                _ => {}
            }
        }
    }

    fn advance(&mut self, micros: u64) {
        self.now = Instant::from_micros(self.now.as_micros() + micros);
        if self.client.next_deadline().is_some_and(|at| at <= self.now) {
            self.client.handle(self.now, Input::Tick);
            self.drain();
            assert!(
                self.client.next_deadline().is_none_or(|at| at > self.now),
                "a deadline that does not pass"
            );
        }
    }

    fn cut(&mut self) {
        if self.server.take().is_some() {
            self.client.handle(self.now, Input::Disconnected);
            self.drain();
        }
    }

    /// The transport takes up to `most` bytes.
    fn upwards(&mut self, most: usize) -> bool {
        let Some(server) = &mut self.server else { return false };
        let outgoing = self.client.outgoing();
        let take = outgoing.len().min(most);
        server.feed(&outgoing[..take], &mut self.executed);
        self.client.sent(take);
        self.drain();
        take > 0
    }

    /// Up to `most` bytes come, in one piece.
    fn downwards(&mut self, most: usize) -> bool {
        let Some(server) = &mut self.server else { return false };
        let bytes = server.out.clone();
        let connection = self.opens;
        let mut at = 0;
        loop {
            let bytes = &bytes[at..bytes.len().min(most)];
            let received = self.client.receive(self.now, bytes);
            assert!(received.consumed <= bytes.len());
            at += received.consumed;
            match received.incoming {
                Some(Incoming::Message { sid, last, .. }) => {
                    let known = self.subscribed.contains_key(&sid.number());
                    assert!(known, "a message for a subscription that is over");
                    if last {
                        self.subscribed.remove(&sid.number());
                        if let Some(server) = self.server.as_mut().filter(|_| self.opens == connection) {
                            server.subscribed.remove(&sid.number());
                        }
                    }
                }
                Some(_) => {}
                None => assert!(received.needed > bytes.len() - received.consumed || bytes.is_empty()),
            }
            let more = received.incoming.is_some();
            self.drain();
            let Some(server) = self.server.as_mut().filter(|_| self.opens == connection) else { return true };
            if !more {
                server.out.drain(..at);
                return at > 0;
            }
        }
    }

    fn publish(&mut self, length: usize, request: bool) {
        let mut payload = format!("{:08}", self.published).into_bytes();
        payload.resize(8 + length, b'x');
        let header: &[u8] = if length.is_multiple_of(5) { b"NATS/1.0\r\n\r\n" } else { b"" };
        let message = Outgoing { header, ..Outgoing::new(b"a.b", &payload) };
        let taken = if request {
            self.client.request(self.now, message, 2, Duration::from_millis(700)).is_ok()
        } else {
            match self.client.publish(message) {
                Ok(()) => true,
                Err(PublishError::Full { .. } | PublishError::Closed) => false,
                Err(error) => panic!("{error}"),
            }
        };
        // What was refused was never there: its number is used by the next one.
        self.published += u32::from(taken);
    }

    fn finish(mut self) {
        self.listening = true;
        if let Some(server) = &mut self.server {
            server.answers = true;
        }
        self.cut();
        for _ in 0..1_000 {
            if !self.upwards(usize::MAX) && !self.downwards(usize::MAX) {
                if self.client.is_ready() {
                    break;
                }
                self.advance(10_000_000);
            }
        }
        assert!(self.executed.is_sorted_by(|a, b| a < b), "twice or out of order: {:?}", self.executed);
        if self.closed {
            return;
        }
        assert!(self.client.is_ready(), "no way back");
        let (dropped, _) = self.client.dropped();
        assert_eq!(self.executed.len() as u64 + dropped, u64::from(self.published), "lost without a word");
        let server = self.server.as_ref().expect("a connection");
        let theirs: Vec<&String> =
            server.subscribed.values().filter(|subject| !subject.starts_with("_INBOX")).collect();
        let ours: Vec<&String> = self.subscribed.values().map(|(_, subject)| subject).collect();
        assert_eq!(theirs, ours, "subscriptions");
    }
}

/// Publishes, subscriptions and requests while connections come and go: every publish is executed at most once
/// and in order, or counted as dropped; the last server knows exactly the subscriptions.
pub fn ops(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let mut world = World::new(first);
    while let [op, arg, tail @ ..] = rest {
        rest = tail;
        if world.closed {
            break;
        }
        let arg = usize::from(*arg);
        match op % 16 {
            0 | 1 => world.publish(arg % 60, false),
            2 => world.publish(arg % 20, true),
            3 => {
                let subject = format!("s{}.>", arg % 8);
                if let Ok(sid) = world.client.subscribe(subject.as_bytes(), (arg > 200).then_some(b"q")) {
                    world.subscribed.insert(sid.number(), (sid, subject));
                }
            }
            4 => {
                if let Some((&number, &(sid, _))) = world.subscribed.iter().nth(arg % 6) {
                    world.client.unsubscribe(sid);
                    world.subscribed.remove(&number);
                }
            }
            5 => {
                // Enough that what came before does not end it at once: that is another rule's test.
                if let Some((_, &(sid, _))) = world.subscribed.iter().nth(arg % 6) {
                    world.client.unsubscribe_after(sid, 10_000);
                }
            }
            6 => {
                world.upwards(arg);
            }
            7 => {
                world.downwards(arg);
            }
            8 => world.advance(arg as u64 * 10_000),
            9 => world.cut(),
            10 => world.listening = arg % 2 == 0,
            11 => {
                world.client.flush();
            }
            12 => {
                // A message for a subscription of the server's, or for one that it does not know.
                if let Some(server) = &mut world.server {
                    let sid = server.subscribed.keys().nth(arg % 8).copied().unwrap_or(arg as u64);
                    server.out.extend_from_slice(format!("MSG s.x {sid} 2\r\nhi\r\n").as_bytes());
                }
            }
            13 => {
                let lines: [&[u8]; 8] = [
                    b"PING\r\n",
                    b"PONG\r\n",
                    b"+OK\r\n",
                    b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n",
                    b"-ERR 'Stale Connection'\r\n",
                    b"INFO {\"headers\":true,\"max_payload\":1000,\"ldm\":true}\r\n",
                    b"HMSG a 1 20 10\r\n",
                    b"\x00garbage",
                ];
                if let Some(server) = &mut world.server {
                    server.out.extend_from_slice(lines[arg % 8]);
                }
            }
            14 => {
                if let Some(server) = &mut world.server {
                    server.answers = arg % 2 == 0;
                }
            }
            _ => match arg {
                0..4 => world.client.drain(world.now, Duration::from_secs(1)),
                4 => world.client.close(world.now),
                5..20 => world.client.reconnect(world.now),
                _ => {
                    world.upwards(usize::MAX);
                    world.downwards(usize::MAX);
                }
            },
        }
        world.drain();
        if world.client.is_closed() {
            world.closed = true;
        }
    }
    world.finish();
}
