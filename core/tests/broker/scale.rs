//! A million subscriptions.

use lunix_core::broker::{Input, Limits, Memory as _, Node, Progress, Subscription};
use lunix_core::time::Instant;

use crate::bench::{Bench, Growing};

/// Ten times fewer, and the bytes for each are the same.
const SUBSCRIPTIONS: usize = 100_000;

#[test]
fn a_subscription_takes_at_most_150_bytes() {
    // The shape of its subject, and how many nodes and chunks are its own.
    for (begin, end, nodes, chunks) in [
        ("s.", "", 1, 0),
        ("building.7.sensor.", "", 1, 0),
        ("dev.", ".temperature", 1, 0),
        ("dev.", ".*.m.>", 1, 0),
        ("dev.", ".a.subject.that.is.longer", 1, 2),
    ] {
        let mut bench = Bench::with_memory(Growing::default(), Limits::default());
        let client = bench.connect();
        let now = Instant::from_micros(0);
        for number in 0..SUBSCRIPTIONS {
            let line = format!("SUB {begin}{number}{end} {number}\r\n");
            let mut turn = bench.broker.handle(now, Input::Received { client, bytes: line.as_bytes() });
            assert!(turn.poll().is_none());
            assert_eq!(turn.progress(), Progress::Consumed(line.len()));
        }
        assert_eq!(bench.broker.statistics().subscriptions as usize, SUBSCRIPTIONS);
        let subject = format!("{begin}4711{}", end.replace(".*.m.>", ".any.m.one.more"));
        bench.say(client, &format!("PUB {subject} 2\nhi"));
        assert_eq!(bench.got(client), format!("MSG {subject} 4711 2\nhi\n"));

        // As many as are used, and the eighth that a vector is longer than it has to be.
        let tables = bench.broker.memory_mut().tables();
        let longest = |count: usize| count * SUBSCRIPTIONS * 9 / 8 + 100;
        assert!(tables.nodes.len() <= longest(nodes), "{begin}N{end}: {} nodes", tables.nodes.len());
        assert!(tables.chunks.len() <= longest(chunks), "{begin}N{end}: {} chunks", tables.chunks.len());
        if chunks == 0 {
            let bytes = nodes * size_of::<Node>() + size_of::<Subscription>();
            assert!(bytes * 9 / 8 <= 150, "{bytes}");
        }
        bench.close(client);
        assert_eq!(bench.broker.statistics().subscriptions, 0);
    }
}

#[test]
fn subjects_that_share_tokens_part_and_leave_nothing_behind() {
    let long = "a-token-of-more-than-sixty-bytes-which-no-label-shares-with-others.and.one.more";
    let subjects = [
        "a.b.c.d.e",
        "a.b.c",
        "a.b.x.*.y.>",
        "a.b.x.*.y.z",
        "a.b.x.*",
        "a.*.c.d.e",
        "a.*.c.>",
        "a.>",
        "*.b.c",
        ">",
        "a.b.c.dd",
        "*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*",
        long,
        "a-token-of-more-than-sixty-bytes-which-no-label-shares-with-others",
    ];
    let literal = [
        "a.b.c.d.e",
        "a.b.c",
        "a.b.x.1.y.z",
        "a.b.x.1",
        "a.q.c.d.e",
        "a.b.c.dd",
        "a",
        "q.b.c",
        "a.b",
        "a.b.x",
        long,
    ];
    let matches = |pattern: &str, subject: &str| {
        let (mut subject, mut pattern) = (subject.split('.'), pattern.split('.'));
        loop {
            match (pattern.next(), subject.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) => return true,
                (Some(token), Some(other)) if token == "*" || token == other => {}
                _ => return false,
            }
        }
    };
    // In every rotation, each begins and ends first once.
    for first in 0..subjects.len() {
        let mut bench = Bench::new(Limits::default());
        let client = bench.connect();
        let order: Vec<usize> =
            (0..subjects.len()).map(|index| (index * 5 + first) % subjects.len()).collect();
        let mut there: Vec<usize> = Vec::new();
        let steps = order.iter().map(|index| (true, *index)).chain(order.iter().map(|index| (false, *index)));
        for (begins, index) in steps {
            if begins {
                bench.say(client, &format!("SUB {} {index}", subjects[index]));
                there.push(index);
            } else {
                bench.say(client, &format!("UNSUB {index}"));
                there.retain(|other| *other != index);
            }
            for subject in literal {
                bench.say(client, &format!("PUB {subject} 0\n"));
                let got = bench.got(client);
                let mut got: Vec<usize> = got
                    .lines()
                    .filter(|line| !line.is_empty())
                    .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap())
                    .collect();
                got.sort_unstable();
                let mut expected: Vec<usize> =
                    there.iter().copied().filter(|index| matches(subjects[*index], subject)).collect();
                expected.sort_unstable();
                assert_eq!(got, expected, "{subject} among {there:?}");
                bench.flush();
            }
            // What is asked about a subscription is what was said.
            let mut next = bench.broker.first_subscription(client);
            while let Some(id) = next {
                let mut text = [0; 128];
                let status = bench.broker.subscription(id).unwrap();
                let len = status.subject(&mut text).unwrap();
                let sid: Vec<u8> = status.sid.parts().flatten().copied().collect();
                let sid: usize = std::str::from_utf8(&sid).unwrap().parse().unwrap();
                next = status.next;
                assert_eq!(std::str::from_utf8(&text[..len]).unwrap(), subjects[sid]);
            }
        }
    }
}
