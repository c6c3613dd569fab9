//! The broker alone, without a network: how long one message takes through it, in processor time.

use crate::rounds::{Case, Group, Work};
use lunix_core::broker::{
    Account, Action, Broker, Chunk, Client, ClientId, Delivery, Found, Group as QueueGroup, Input, Interest,
    Leaf, Limits, Memory, Node, Peer, Progress, Reply, Subscription, Table, Tables,
};
use lunix_core::time::Instant;
use std::hint::black_box;

/// Tables that grow.
#[derive(Default)]
struct Growing {
    nodes: Vec<Node>,
    subscriptions: Vec<Subscription>,
    groups: Vec<QueueGroup>,
    chunks: Vec<Chunk>,
    clients: Vec<Client>,
    accounts: Vec<Account>,
    found: Vec<Found>,
    replies: Vec<Reply>,
    scratch: Vec<u8>,
    leaves: Vec<Leaf>,
    interests: Vec<Interest>,
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

    fn grow(&mut self, table: Table) -> bool {
        fn longer<T: Clone>(slots: &mut Vec<T>, empty: T) {
            slots.resize(slots.len() * 2 + 8, empty);
        }
        match table {
            Table::Nodes => longer(&mut self.nodes, Node::EMPTY),
            Table::Subscriptions => longer(&mut self.subscriptions, Subscription::EMPTY),
            Table::Groups => longer(&mut self.groups, QueueGroup::EMPTY),
            Table::Chunks => longer(&mut self.chunks, Chunk::EMPTY),
            Table::Clients => longer(&mut self.clients, Client::EMPTY),
            Table::Accounts => longer(&mut self.accounts, Account::EMPTY),
            Table::Found => self.found.resize(512, Found::EMPTY),
            Table::Replies => longer(&mut self.replies, Reply::EMPTY),
            Table::Scratch => self.scratch.resize(32 << 10, 0),
            Table::Leaves => longer(&mut self.leaves, Leaf::EMPTY),
            Table::Interests => longer(&mut self.interests, Interest::EMPTY),
        }
        true
    }
}

/// What is published, and what else there is.
struct Scene {
    title: &'static str,
    subjects: Vec<String>,
    subscriptions: Vec<String>,
}

/// One publisher, and subscribers who are a client each.
pub fn messages() -> Vec<Group> {
    let one = || vec!["sensors.kitchen.temperature".to_owned()];
    let many: Vec<String> = (0..1000).map(|index| format!("sensors.room{index}.temperature")).collect();
    let scenes = [
        Scene { title: "nobody", subjects: one(), subscriptions: Vec::new() },
        Scene { title: "one subscriber", subjects: one(), subscriptions: one() },
        Scene {
            title: "three by wildcards",
            subjects: one(),
            subscriptions: ["sensors.>", "sensors.*.temperature", "sensors.kitchen.*"]
                .map(str::to_owned)
                .to_vec(),
        },
        Scene { title: "1000 subjects, a subscriber each", subjects: many.clone(), subscriptions: many },
        Scene { title: "100 subscribers", subjects: one(), subscriptions: vec![one().remove(0); 100] },
    ];
    scenes
        .into_iter()
        .map(|scene| Group::new(format!("broker: `PUB`, 128 B, {}", scene.title), None, vec![case(scene)]))
        .collect()
}

fn case(scene: Scene) -> Case {
    const SIZE: usize = 128;
    let now = Instant::from_micros(1);
    let mut broker = Broker::new(
        Growing::default(),
        Limits { pending: usize::MAX, pending_all: usize::MAX, ..Limits::default() },
        7,
    );
    for (index, subject) in
        (0..).zip(std::iter::once("").chain(scene.subscriptions.iter().map(String::as_str)))
    {
        let client = ClientId::new(index);
        drain(&mut broker, now, Input::Opened { client, peer: Peer::Local });
        feed(
            &mut broker,
            now,
            client,
            b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n",
            &mut [],
            &mut 0,
        );
        if !subject.is_empty() {
            feed(&mut broker, now, client, format!("SUB {subject} {index}\r\n").as_bytes(), &mut [], &mut 0);
        }
    }
    let payload = "x".repeat(SIZE);
    let lines: Vec<String> =
        scene.subjects.iter().map(|subject| format!("PUB {subject} {SIZE}\r\n{payload}\r\n")).collect();
    let stream: Vec<u8> = lines.iter().cycle().take(1000).flat_map(|line| line.bytes()).collect();
    let (mut out, mut end) = (vec![0; 64 << 10], 0);
    let turns = if scene.subscriptions.len() == 100 { 1 } else { 20 };
    Case::new("lunix `Broker`", move || {
        for _ in 0..turns {
            feed(&mut broker, now, ClientId::new(0), &stream, &mut out, &mut end);
            black_box(&out);
        }
        Work { messages: turns * 1000, bytes: turns * stream.len() }
    })
}

fn drain(broker: &mut Broker<Growing>, now: Instant, input: Input<'_>) {
    let mut turn = broker.handle(now, input);
    while turn.poll().is_some() {}
}

/// What natsd does with what it has read, into one buffer for all.
fn feed(
    broker: &mut Broker<Growing>,
    now: Instant,
    client: ClientId,
    mut bytes: &[u8],
    out: &mut [u8],
    end: &mut usize,
) {
    while !bytes.is_empty() {
        let mut turn = broker.handle(now, Input::Received { client, bytes });
        while let Some(action) = turn.poll() {
            if let Action::Deliver(delivery) = action {
                let needed = delivery.encoded_len() + Delivery::SLACK;
                if out.len() - *end < needed {
                    *end = 0;
                }
                *end += delivery.encode(&mut out[*end..]).unwrap_or(0);
            }
        }
        match turn.progress() {
            Progress::Consumed(len) => bytes = &bytes[len..],
            _ => return,
        }
    }
}
