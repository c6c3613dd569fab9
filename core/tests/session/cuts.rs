//! Conversations that are cut at every byte.

use std::time::Duration;

use lunix_core::session::Action;

use crate::sim::broker::Real;
use crate::sim::{Pair, Seen, config};
use crate::{outgoing, pair};

/// Ten messages, two subscriptions and a barrier, with the link cut after every byte in each direction, in
/// pieces of every size, with and without bytes lost on the way.
#[test]
fn cut_at_every_byte_of_a_conversation() {
    let talk = |pair: &mut Pair| {
        pair.client.subscribe(b"n.>", None).unwrap();
        pair.client.subscribe(b"other", Some(b"q")).unwrap();
        for number in 0..5 {
            pair.publish("n.x", &number.to_string());
        }
        pair.run(1_000);
        for number in 5..10 {
            pair.publish("n.x", &number.to_string());
        }
        pair.client.flush();
        pair.run(60_000_000);
    };
    for up in [true, false] {
        for (piece, delay) in [(usize::MAX, 0), (1, 0), (7, 0), (7, 20), (64, 50)] {
            for cut in 1..900 {
                let mut pair = pair();
                (pair.piece, pair.delay) = (piece, delay);
                *(if up { &mut pair.cut_up } else { &mut pair.cut_down }) = Some(cut);
                talk(&mut pair);
                let was_cut = pair.cut_up.is_none() && pair.cut_down.is_none();

                let executed: Vec<u32> =
                    pair.server().executed.iter().map(|message| message.payload.parse().unwrap()).collect();
                assert!(executed.is_sorted_by(|a, b| a < b), "twice or out of order: {executed:?} at {cut}");
                if delay == 0 {
                    // What the transport took, it delivered: nothing may be lost.
                    assert_eq!(executed.len(), 10, "{executed:?}, cut at {cut}");
                }
                let subs: Vec<&str> = pair.server().subs.iter().map(|sub| &*sub.subject).collect();
                assert_eq!(subs, ["n.>", "other"], "cut at {cut}");
                assert_eq!(pair.client.dropped(), (0, 0));
                let flushed: Vec<&Seen> = pair
                    .seen
                    .iter()
                    .filter(|seen| matches!(seen, Seen::Action(Action::Flushed { .. })))
                    .collect();
                assert_eq!(flushed.len(), 1, "cut at {cut}");
                if executed.len() < 10 {
                    assert!(
                        matches!(flushed[0], Seen::Action(Action::Flushed { certain: false, .. })),
                        "lost, but called certain at {cut}"
                    );
                }
                if !was_cut {
                    // The conversation is shorter than that.
                    assert!(matches!(flushed[0], Seen::Action(Action::Flushed { certain: true, .. })));
                    assert!(cut > 250, "{cut}");
                    break;
                }
            }
        }
    }
}

/// The same with the real broker, which another client watches from outside.
#[test]
fn cut_at_every_byte_of_a_conversation_with_the_broker() {
    for up in [true, false] {
        for (piece, delay) in [(usize::MAX, 0), (1, 0), (7, 20)] {
            for cut in 1..900 {
                let mut pair = Pair::with(vec![Real::new()], config(1), 4096);
                (pair.piece, pair.delay) = (piece, delay);
                *(if up { &mut pair.cut_up } else { &mut pair.cut_down }) = Some(cut);
                let mine = pair.client.subscribe(b"to.*", None).unwrap();
                pair.client.unsubscribe_after(mine, 3);
                pair.client.subscribe(b"work", Some(b"q")).unwrap();
                for number in 0..5 {
                    pair.publish("seen.n", &number.to_string());
                }
                let asked =
                    pair.client.request(pair.now, outgoing("nobody"), 1, Duration::from_secs(30)).unwrap();
                pair.run(1_000);
                for number in 5..10 {
                    pair.publish("seen.n", &number.to_string());
                }
                pair.client.flush();
                pair.run(60_000_000);

                let seen: Vec<u32> =
                    pair.server().seen().iter().map(|number| number.parse().unwrap()).collect();
                assert!(seen.is_sorted_by(|a, b| a < b), "twice or out of order: {seen:?}, cut at {cut}");
                if delay == 0 {
                    assert_eq!(seen.len(), 10, "{seen:?}, cut at {cut}");
                }
                let over = |seen: &&Seen| {
                    matches!(seen, Seen::NoResponders(of) if *of == asked)
                        || matches!(seen, Seen::Action(Action::TimedOut { request }) if *request == asked)
                };
                assert_eq!(pair.seen.iter().filter(over).count(), 1, "one end of the request, cut at {cut}");

                let was_cut = pair.cut_up.take().is_none() && pair.cut_down.take().is_none();
                for _ in 0..5 {
                    pair.server().observer("PUB to.me 2\r\nhi\r\n");
                }
                pair.server().observer("PUB work 4\r\nhard\r\n");
                pair.settle();
                assert_eq!(pair.payloads(), ["hi", "hi", "hi", "hard"], "cut at {cut}");
                assert_eq!(pair.client.next_deadline(), None);
                if !was_cut {
                    assert!(cut > 250, "{cut}");
                    break;
                }
            }
        }
    }
}
