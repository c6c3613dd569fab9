//! Leaf nodes and hubs: what they are told to be wanted and what goes to them, against a model of lists; and anything
//! that they may say.

use std::collections::{BTreeMap, BTreeSet};

use lunix_proto::nats::leaf::{self, Connect, Decoder, Info, Op};
use lunix_proto::nats::{Limits as Lengths, Urls};
use serde_json::Value;

use lunix_core::broker::{AccountId, Input, LeafTerms, Limits, Permissions, Subjects, User, UserId};
use lunix_proto::nats::subject::{is_literal, is_pattern};

use crate::accounts::{covers, matches};
use crate::broker::{Bench, CONNECTIONS, Tight, id};

const HUB: usize = 3;
const LEAF: usize = 4;
const EAST: usize = 5;
/// Of these two are leaf nodes of one cluster, and one of them is not told what others want.
const ALONE: usize = 2;
const CLIENTS: [usize; 2] = [0, 1];
const LEAVES: [usize; 4] = [HUB, LEAF, EAST, ALONE];

const PLAIN: LeafTerms<'static> =
    LeafTerms { user: UserId::new(0), is_hub: false, isolated: false, cluster: b"", headers: true };

fn terms(leaf: usize) -> LeafTerms<'static> {
    match leaf {
        HUB => LeafTerms { user: UserId::new(1), is_hub: true, ..PLAIN },
        EAST => LeafTerms { cluster: b"east", ..PLAIN },
        ALONE => LeafTerms { cluster: b"east", isolated: true, ..PLAIN },
        _ => PLAIN,
    }
}

fn are_one_cluster(a: usize, b: usize) -> bool {
    a == b || [EAST, ALONE].contains(&a) && [EAST, ALONE].contains(&b)
}

/// What the hub is not sent, and what is not taken from it.
const SECRET: &str = "s.>";
const PRIVATE: &str = "p.*";

const TOKENS: [&str; 8] = ["a", "b", "a", "*", ">", "a-token-in-several-chunks-of-28-bytes", "b", ""];
const FIRST: [&str; 8] = ["a", "b", "s", "p", "a", "*", ">", "a"];

fn name(choices: &[u8]) -> String {
    let mut tokens = vec![FIRST[usize::from(choices[0] % 8)]];
    let more = usize::from(choices[0] / 8 % 3);
    tokens.extend(choices[1..].iter().take(more).map(|choice| TOKENS[usize::from(choice % 8)]));
    tokens.join(".")
}

/// Of an entry: its subject, and its queue group or an empty string.
type Wish = (String, String);

#[derive(Default)]
struct Model {
    clients: BTreeMap<(usize, u8), Wish>,
    /// How many want it at a leaf node.
    leaves: BTreeMap<(usize, Wish), u32>,
    /// What each leaf node has been told.
    told: [BTreeMap<Wish, u32>; CONNECTIONS],
}

impl Model {
    /// What `leaf` should know to be wanted.
    fn wanted_by_others(&self, leaf: usize) -> BTreeMap<&Wish, u32> {
        let mut wanted: BTreeMap<&Wish, u32> = BTreeMap::new();
        let at_leaves = self
            .leaves
            .iter()
            .filter(|((other, _), _)| !are_one_cluster(leaf, *other) && leaf != ALONE)
            .map(|((_, wish), weight)| (wish, *weight));
        for (wish, weight) in self.clients.values().map(|wish| (wish, 1)).chain(at_leaves) {
            if leaf != HUB || !covers(PRIVATE, &wish.0) {
                *wanted.entry(wish).or_insert(0) += weight;
            }
        }
        wanted
    }

    /// What all leaf nodes were told since the last time, and whether that is all of what they should know.
    fn hear(&mut self, bench: &Bench) -> Vec<(usize, String)> {
        let mut messages = Vec::new();
        for leaf in LEAVES {
            let text = std::str::from_utf8(&bench.got[leaf]).unwrap();
            for line in text.lines().filter(|line| !line.is_empty() && !line.contains("$LDS.")) {
                let words: Vec<&str> = line.split(' ').collect();
                let wish = |queue: &str| (words[1].to_owned(), queue.to_owned());
                match words[..] {
                    ["LS+", _] => drop(self.told[leaf].insert(wish(""), 1)),
                    ["LS+", _, queue, weight] => {
                        self.told[leaf].insert(wish(queue), weight.parse().unwrap());
                    }
                    // The broker does not keep what each has been told: it may be the end of what was not.
                    ["LS-", _] => drop(self.told[leaf].remove(&wish(""))),
                    ["LS-", _, queue] => drop(self.told[leaf].remove(&wish(queue))),
                    _ => messages.push((leaf, line.to_owned())),
                }
            }
            if bench.ended[leaf] {
                continue;
            }
            let (wanted, told) = (self.wanted_by_others(leaf), &self.told[leaf]);
            assert!(told.keys().eq(wanted.keys().copied()), "leaf {leaf}: {told:?}, not {wanted:?}");
            for (wish, weight) in wanted.iter().filter(|((_, queue), _)| !queue.is_empty()) {
                assert_eq!(told.get(*wish), Some(weight), "leaf {leaf}: {wish:?}");
            }
        }
        messages
    }

    fn forget(&mut self, who: usize) {
        self.clients.retain(|(client, _), _| *client != who);
        self.leaves.retain(|(leaf, _), _| *leaf != who);
        self.told[who].clear();
    }

    fn may_go(from: usize, leaf: usize, subject: &str) -> bool {
        !(are_one_cluster(from, leaf) || leaf == HUB && covers(SECRET, subject))
    }
}

/// Operations of six bytes: kind and who, sid or weight, queue, and a subject.
pub fn ops(data: &[u8]) {
    let mut memory = Tight::up_to(4096);
    let deny = |deny| Subjects { allow: None, deny };
    let permissions = Permissions { publish: deny(SECRET), subscribe: deny(PRIVATE), ..Permissions::ALL };
    let anybody = User::of(AccountId::GLOBAL);
    memory.users = vec![anybody, User { permissions, ..anybody }];
    let limits =
        Limits { leaves: LEAVES.len() as u32, ping_interval: None, pending: 60_000, ..Limits::default() };
    let mut bench = Bench::with_memory(memory, limits);
    bench.input(Input::Closed { client: id(ALONE) });
    let mut model = Model::default();
    CLIENTS.iter().for_each(|client| connect(&mut bench, *client));
    LEAVES.iter().for_each(|leaf| join(&mut bench, *leaf));
    for op in data.chunks_exact(6) {
        let &[kind, number, extra, ref choices @ ..] = op else { unreachable!() };
        bench.flush();
        let (client, leaf) = (CLIENTS[usize::from(kind / 8 % 2)], LEAVES[usize::from(kind / 8 % 4)]);
        let subject = name(choices);
        let queue = ["", "q", "a-queue-group-of-several-chunks"][usize::from(extra % 3)];
        match kind % 8 {
            0 => {
                bench.receive(client, format!("SUB {subject} {queue} {number}\r\n").as_bytes());
                if is_pattern(subject.as_bytes()) {
                    model.clients.entry((client, number)).or_insert((subject, queue.to_owned()));
                }
                model.hear(&bench);
            }
            1 => {
                bench.receive(client, format!("UNSUB {number}\r\n").as_bytes());
                model.clients.remove(&(client, number));
                model.hear(&bench);
            }
            2 | 3 => {
                let weight = if queue.is_empty() { 1 } else { u32::from(number % 4) + 1 };
                let more = if queue.is_empty() { String::new() } else { format!(" {queue} {weight}") };
                bench.receive(leaf, format!("LS+ {subject}{more}\r\n").as_bytes());
                let allowed = leaf != HUB || !is_literal(subject.as_bytes()) || !covers(SECRET, &subject);
                if is_pattern(subject.as_bytes()) && allowed {
                    model.leaves.insert((leaf, (subject, queue.to_owned())), weight);
                } else if allowed {
                    assert_eq!(bench.got[leaf], b"-ERR 'Invalid Subscription'\r\n");
                    bench.got[leaf].clear();
                }
                model.hear(&bench);
            }
            4 => {
                bench.receive(leaf, format!("LS- {subject} {queue}\r\n").as_bytes());
                model.leaves.remove(&(leaf, (subject, queue.to_owned())));
                model.hear(&bench);
            }
            5 => publish(&mut bench, &mut model, client, &subject, &[], extra),
            6 => {
                let queues: &[&str] = match number % 4 {
                    0 => &[],
                    1 => &["q"],
                    2 => &["a-queue-group-of-several-chunks", "unknown"],
                    _ => &["q", "a-queue-group-of-several-chunks"],
                };
                publish(&mut bench, &mut model, leaf, &subject, queues, extra);
            }
            _ => {
                let who = if number % 2 == 0 { client } else { leaf };
                bench.input(Input::Closed { client: id(who) });
                bench.ended[who] = true;
                model.forget(who);
                model.hear(&bench);
                bench.got.iter_mut().for_each(Vec::clear);
                if who == client {
                    connect(&mut bench, who);
                } else {
                    join(&mut bench, who);
                }
                model.hear(&bench);
            }
        }
    }
}

fn connect(bench: &mut Bench, client: usize) {
    if bench.ended[client] {
        bench.open(client);
    }
    bench.receive(client, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    bench.got[client].clear();
}

fn join(bench: &mut Bench, leaf: usize) {
    bench.terms[leaf] = Some(terms(leaf));
    bench.open_leaf(leaf);
    bench.receive(leaf, b"CONNECT {}\r\n");
}

/// Of a queue group: subscriptions of clients, and leaf nodes.
type Members = (Vec<(usize, u8)>, BTreeSet<usize>);

/// `from` is a client or a leaf node, whose message is for the members of `queues` only.
fn publish(bench: &mut Bench, model: &mut Model, from: usize, subject: &str, queues: &[&str], extra: u8) {
    // What is no subject matches nothing.
    let subject = &*subject.replace("..", ".b.").trim_end_matches('.').to_owned();
    let reply = extra.is_multiple_of(2).then_some("the.reply");
    let at_leaf = LEAVES.contains(&from);
    let mut words = vec![if at_leaf { "LMSG" } else { "PUB" }, subject];
    words.extend(match (queues, reply) {
        ([], _) => None,
        (_, Some(_)) => Some("+"),
        (_, None) => Some("|"),
    });
    words.extend(reply);
    words.extend(queues);
    let line = format!("{} 0\r\n\r\n", words.join(" "));
    bench.receive(from, line.as_bytes());
    let messages = model.hear(bench);

    // Who must have it, and of which lists one must.
    let heard = from != HUB || !covers(PRIVATE, subject);
    let mut groups: BTreeMap<&str, Members> = BTreeMap::new();
    let (mut at_clients, mut at_leaves) = (Vec::new(), BTreeMap::<usize, BTreeSet<String>>::new());
    for ((client, sid), (pattern, queue)) in model.clients.iter().filter(|_| heard) {
        if matches(pattern, subject) {
            match queue.as_str() {
                "" => at_clients.push((*client, *sid)),
                queue => groups.entry(queue).or_default().0.push((*client, *sid)),
            }
        }
    }
    for (leaf, (pattern, queue)) in model.leaves.keys().filter(|_| heard) {
        if matches(pattern, subject) && Model::may_go(from, *leaf, subject) {
            match queue.as_str() {
                "" => drop(at_leaves.entry(*leaf).or_default()),
                queue => drop(groups.entry(queue).or_default().1.insert(*leaf)),
            }
        }
    }
    groups.retain(|queue, _| !at_leaf || queues.contains(queue));

    let mut got_clients = Vec::new();
    for client in CLIENTS {
        let text = std::str::from_utf8(&bench.got[client]).unwrap();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(
                matches!(words[..], ["MSG", said, _, "0"] if said == subject && reply.is_none())
                    || matches!(words[..], ["MSG", said, _, wants, "0"] if said == subject && Some(wants) == reply),
                "{line}"
            );
            got_clients.push((client, words[2].parse::<u8>().unwrap()));
        }
    }
    let mut got_leaves = BTreeMap::new();
    for (leaf, line) in messages {
        let words: Vec<&str> = line.split(' ').collect();
        let ["LMSG", said, middle @ .., "0"] = &words[..] else { panic!("{line}") };
        assert_eq!(*said, subject);
        let names = match (middle, reply) {
            ([], None) => &[][..],
            ([wants], Some(reply)) if *wants == reply => &[],
            (["|", names @ ..], None) => names,
            (["+", wants, names @ ..], Some(reply)) if *wants == reply => names,
            _ => panic!("{line}"),
        };
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(got_leaves.insert(leaf, names).is_none(), "twice: {line}");
    }
    for (queue, (members, leaves)) in groups {
        if !members.is_empty() {
            let chosen: Vec<_> = got_clients.iter().filter(|one| members.contains(one)).copied().collect();
            assert_eq!(chosen.len(), 1, "{subject}: {chosen:?} of {members:?}");
            at_clients.extend(chosen);
        } else if !leaves.is_empty() {
            let named = |leaf: &&usize| got_leaves.get(leaf).is_some_and(|names| names.contains(queue));
            let chosen: Vec<usize> = leaves.iter().filter(named).copied().collect();
            assert_eq!(chosen.len(), 1, "{subject}: {queue} at {chosen:?} of {leaves:?}");
            at_leaves.entry(chosen[0]).or_default().insert(queue.to_owned());
        }
    }
    got_clients.sort_unstable();
    at_clients.sort_unstable();
    assert_eq!(got_clients, at_clients, "{line}");
    assert_eq!(got_leaves, at_leaves, "{line}");
}

/// A client, a hub and a leaf node say anything, in pieces: nothing panics, nobody waits for more than the limits, and
/// what one leaf node alone is answered does not depend on the pieces.
pub fn stream(data: &[u8]) {
    let limits = Limits {
        subscriptions: 8,
        payload: 64,
        control_line: 32,
        pending: 2048,
        pending_all: 4000,
        leaves: 3,
        ..Limits::default()
    };
    let memory = || {
        let deny = |deny| Subjects { allow: None, deny };
        let permissions = Permissions { publish: deny(SECRET), subscribe: deny(PRIVATE), ..Permissions::ALL };
        let anybody = User::of(AccountId::GLOBAL);
        let mut memory = Tight::up_to(24);
        memory.users = vec![anybody, User { permissions, ..anybody }];
        memory
    };
    let mut bench = Bench::with_memory(memory(), limits);
    bench.terms[HUB] = Some(terms(HUB));
    bench.terms[LEAF] = Some(terms(LEAF));
    bench.terms[EAST] = Some(LeafTerms { user: UserId::new(1), ..terms(EAST) });
    [HUB, LEAF, EAST].iter().for_each(|leaf| bench.open_leaf(*leaf));
    let mut rest = data;
    while let [kind, len, tail @ ..] = rest {
        let (piece, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let who = [0, HUB, LEAF, EAST][usize::from(kind % 4)];
        match kind / 4 % 8 {
            0 => {
                bench.input(Input::Closed { client: id(who) });
                if who == 0 { bench.open(who) } else { bench.open_leaf(who) }
            }
            1 => drop(bench.input(Input::Flushed { client: id(who), left: usize::from(*len) })),
            2 if who != 0 => bench.receive(who, b"CONNECT {}\r\n"),
            _ => bench.receive(who, piece),
        }
    }

    let alone = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut bench = Bench::with_memory(memory(), limits);
        bench.terms[EAST] = Some(LeafTerms { user: UserId::new(1), ..terms(EAST) });
        bench.open_leaf(EAST);
        pieces.for_each(|piece| bench.receive(EAST, piece));
        (bench.got, bench.ended)
    };
    assert_eq!(alone(&mut [data].into_iter()), alone(&mut data.chunks(1)));
}

/// A leaf node's `CONNECT` and `INFO` are read as `serde_json` reads them, and written so that they read the same.
pub fn connect_info(data: &[u8]) {
    let lengths = Lengths { control_line: 1 << 20, payload: 1 << 24 };
    let mut out = vec![0; 64 + 8 * data.len() + 1024];
    let mut again = out.clone();
    let connect = Connect::parse(data).ok();
    if let Some(connect) = connect {
        let len = connect.write(&mut out).unwrap();
        let same = Connect::parse(&out[..len]).unwrap();
        assert_eq!(same.write(&mut again), Ok(len));
        assert_eq!(out[..len], again[..len]);
        let line = leaf::connect(&mut again, &connect).unwrap();
        let decoded = Decoder::new(lengths).decode(&again[..line]);
        assert!(matches!(decoded, Ok(Some((Op::Connect(json), _))) if json == &out[..len]));
    }
    let info = Info::parse(data).ok();
    if let Some(info) = info {
        let len = info.write(&mut out).unwrap();
        let same = Info::parse(&out[..len]).unwrap();
        assert_eq!(same.write(&mut again), Ok(len));
        assert_eq!(out[..len], again[..len]);
        let line = leaf::info(&mut again, &info).unwrap();
        let decoded = Decoder::new(lengths).decode(&again[..line]);
        assert!(matches!(decoded, Ok(Some((Op::Info(json), _))) if json == &out[..len]));
    }
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(data) else { return };
    let mut folded: Vec<String> = object.keys().map(|key| key.to_ascii_lowercase()).collect();
    folded.sort_unstable();
    if crate::json::has_duplicates(data) || folded.windows(2).any(|pair| pair[0] == pair[1]) {
        return;
    }
    let field = |key: &str| {
        let found = object.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
        found.map_or(&Value::Null, |(_, value)| value)
    };
    let list = |urls: Urls<'_>, json: &Value| {
        let ours: Vec<String> = urls.iter().map(|text| text.chars().collect()).collect();
        let theirs: Vec<&str> = json.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(ours, theirs);
    };
    if let Some(connect) = connect {
        for (key, text) in [
            ("name", connect.name),
            ("cluster", connect.cluster),
            ("user", connect.user),
            ("pass", connect.pass),
            ("nkey", connect.nkey),
            ("sig", connect.sig),
            ("remote_account", connect.remote_account),
        ] {
            assert!(text.eq_str(field(key).as_str().unwrap_or_default()), "{key}");
        }
        assert_eq!(connect.is_hub, field("is_hub").as_bool().unwrap_or(false));
        assert_eq!(connect.isolate, field("isolate").as_bool().unwrap_or(false));
        list(connect.deny_pub, field("deny_pub"));
    }
    if let Some(info) = info {
        assert!(info.nonce.eq_str(field("nonce").as_str().unwrap_or_default()));
        assert_eq!(info.client_id, field("client_id").as_u64().unwrap_or(0));
        assert_eq!(info.tls_required, field("tls_required").as_bool().unwrap_or(false));
        list(info.leafnode_urls, field("leafnode_urls"));
        for (rules, key) in [(info.import, "import"), (info.export, "export")] {
            assert_eq!(rules.given, field(key).is_object());
            list(rules.allow, &field(key)["allow"]);
            list(rules.deny, &field(key)["deny"]);
        }
    }
}
