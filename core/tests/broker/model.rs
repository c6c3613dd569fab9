//! Random operations against a broker that is a list of subscriptions.

use std::collections::BTreeMap;

use lunix_core::broker::{ClientId, Limits};
use lunix_proto::nats::subject;
use proptest::prelude::*;

use crate::bench::{Bench, Growing};

#[derive(Clone, Debug)]
enum Op {
    Sub { client: usize, subject: String, queue: Option<u8>, sid: u8 },
    Unsub { client: usize, sid: u8, max: Option<u8> },
    Pub { client: usize, subject: String },
    Reconnect { client: usize },
}

fn token(wild: bool) -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        4 => "[ab]",
        1 => Just("token-of-fifteen".to_owned()),
        1 => Just("a-token-in-several-chunks-of-twenty-eight-bytes".to_owned()),
    ];
    if wild { prop_oneof![3 => literal, 1 => Just("*".to_owned())].boxed() } else { literal.boxed() }
}

fn literal() -> impl Strategy<Value = String> {
    proptest::collection::vec(token(false), 1..5).prop_map(|tokens| tokens.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    (proptest::collection::vec(token(true), 1..5), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail {
            tokens.pop();
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..3_usize;
    prop_oneof![
        4 => (client.clone(), pattern(), proptest::option::of(0..3_u8), 0..12_u8)
            .prop_map(|(client, subject, queue, sid)| Op::Sub { client, subject, queue, sid }),
        2 => (client.clone(), 0..12_u8, proptest::option::of(0..4_u8))
            .prop_map(|(client, sid, max)| Op::Unsub { client, sid, max }),
        5 => (client.clone(), literal()).prop_map(|(client, subject)| Op::Pub { client, subject }),
        1 => client.prop_map(|client| Op::Reconnect { client }),
    ]
}

#[derive(Clone, Debug)]
struct Entry {
    subject: String,
    queue: Option<u8>,
    max: u32,
    got: u32,
}

/// Subscriptions by client and sid.
type Model = BTreeMap<(ClientId, u8), Entry>;

fn sid_name(sid: u8) -> String {
    // Some names are longer than what a slot holds in place.
    if sid.is_multiple_of(3) { format!("{sid}-{}", "x".repeat(40)) } else { sid.to_string() }
}

fn check(ops: &[Op]) -> Result<(), TestCaseError> {
    let mut bench = Bench::with_memory(Growing::default(), Limits::default());
    let mut clients = [bench.connect(), bench.connect(), bench.connect()];
    let mut model = Model::new();
    for op in ops {
        match op {
            Op::Sub { client, subject, queue, sid } => {
                let queue_name = queue.map_or(String::new(), |queue| format!(" q{queue}"));
                bench.say(clients[*client], &format!("SUB {subject}{queue_name} {}", sid_name(*sid)));
                let entry = Entry { subject: subject.clone(), queue: *queue, max: 0, got: 0 };
                model.entry((clients[*client], *sid)).or_insert(entry);
            }
            Op::Unsub { client, sid, max } => {
                let key = (clients[*client], *sid);
                let max_text = max.map_or(String::new(), |max| format!(" {max}"));
                bench.say(clients[*client], &format!("UNSUB {}{max_text}", sid_name(*sid)));
                if let Some(entry) = model.get_mut(&key) {
                    entry.max = u32::from(max.unwrap_or(0));
                    if entry.max <= entry.got {
                        model.remove(&key);
                    }
                }
            }
            Op::Reconnect { client } => {
                bench.close(clients[*client]);
                model.retain(|(owner, _), _| *owner != clients[*client]);
                clients[*client] = bench.connect();
            }
            Op::Pub { client, subject } => {
                publish(&mut bench, &mut model, clients, clients[*client], subject)?
            }
        }
        prop_assert_eq!(bench.broker.statistics().subscriptions as usize, model.len());
    }
    // Nothing is left of anything.
    for client in clients {
        bench.close(client);
    }
    prop_assert_eq!(bench.broker.statistics().subscriptions, 0);
    prop_assert_eq!(bench.broker.statistics().pending, 0);
    Ok(())
}

fn publish(
    bench: &mut Bench,
    model: &mut Model,
    clients: [ClientId; 3],
    from: ClientId,
    name: &str,
) -> Result<(), TestCaseError> {
    bench.say(from, &format!("PUB {name} 1\nx"));
    bench.flush();
    let mut got: Vec<(ClientId, u8)> = Vec::new();
    for client in clients {
        for line in bench.got(client).lines().filter(|line| line.starts_with("MSG")) {
            let mut words = line.split(' ').skip(1);
            prop_assert_eq!(words.next(), Some(name));
            let sid = words.next().unwrap().split('-').next().unwrap().parse().unwrap();
            got.push((client, sid));
        }
    }
    got.sort_unstable();
    let matching =
        model.iter().filter(|(_, entry)| subject::matches(entry.subject.as_bytes(), name.as_bytes()));
    let mut groups: BTreeMap<u8, Vec<(ClientId, u8)>> = BTreeMap::new();
    let mut expected = Vec::new();
    for (key, entry) in matching {
        match entry.queue {
            Some(queue) => groups.entry(queue).or_default().push(*key),
            None => expected.push(*key),
        }
    }
    for members in groups.values() {
        // Exactly one of them; which one is the broker's choice.
        let chosen: Vec<_> = got.iter().filter(|key| members.contains(key)).copied().collect();
        prop_assert_eq!(chosen.len(), 1, "{:?} of {:?}", chosen, members);
        expected.extend(chosen);
    }
    expected.sort_unstable();
    prop_assert_eq!(&got, &expected);
    for key in got {
        if let Some(entry) = model.get_mut(&key) {
            entry.got += 1;
            if entry.got == entry.max {
                model.remove(&key);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations(ops in proptest::collection::vec(op(), 1..120)) {
        check(&ops)?;
    }
}
