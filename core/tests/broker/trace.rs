//! Messages whose way is told.

use lunix_core::broker::{AccountId, LeafTerms, Limits, Permissions, Subjects, User, UserId};

use crate::bench::Bench;

fn bench(authenticate: bool) -> Bench {
    let mut bench = Bench::new(Limits { trace: true, leaves: 2, authenticate, ..Limits::default() });
    let publish = Subjects { allow: None, deny: "secret.>" };
    let ruled = Permissions { publish, ..Permissions::ALL };
    bench.broker.memory_mut().users = vec![
        Some(User { permissions: ruled, ..User::of(AccountId::GLOBAL) }),
        Some(User::of(AccountId::GLOBAL)),
    ];
    bench
}

/// `HPUB` to `a.b` with these fields, and `hi`.
fn publish(fields: &str) -> String {
    // The bench writes LF for CR LF.
    let len = 10 + fields.len() + fields.matches('\n').count() + 2;
    format!("HPUB a.b {len} {}\nNATS/1.0\n{fields}\nhi", len + 2)
}

#[test]
fn who_gets_a_message_is_told_besides_or_instead() {
    let mut bench = bench(false);
    let (one, two, sender) = (bench.connect(), bench.connect(), bench.connect());
    bench.say(one, "SUB a.* 1\nSUB a.b q 2\nUNSUB 1 2");
    bench.say(two, "SUB > 1");
    let leaf = bench.join(LeafTerms {
        user: UserId::new(1),
        is_hub: false,
        isolated: false,
        cluster: b"",
        headers: true,
    });
    bench.say(leaf, "LS+ a.b");
    bench.got(leaf);
    bench.say(sender, &publish("Nats-Trace-Dest: t\n"));
    let all = ["a.b to t", "0 a.*", "1 >", "0 a.b", "3 "];
    assert_eq!(bench.traces.drain(..).collect::<Vec<_>>(), all);
    let got = [bench.got(one), bench.got(two), bench.got(leaf)];
    assert_eq!(got.map(|got| got.matches("Nats-Trace-Dest: t").count()), [2, 1, 1]);

    for word in ["1", "true", "On"] {
        bench.say(sender, &publish(&format!("Nats-Trace-Dest: t\nNats-Trace-Only: {word}\n")));
        assert_eq!(bench.traces.drain(..).collect::<Vec<_>>(), all);
    }
    assert_eq!([bench.got(one), bench.got(two), bench.got(leaf)], ["", "", ""]);
    // What was told only does not count.
    bench.say(sender, &publish("A: 1\n"));
    bench.say(sender, &publish("A: 1\n"));
    assert_eq!(bench.got(one).matches("HMSG a.b 1 ").count(), 1);
    assert!(bench.traces.is_empty());
}

#[test]
fn it_is_told_only_where_the_sender_may_publish() {
    let mut bench = bench(true);
    let (listener, sender) = (bench.open(), bench.open());
    bench.say(listener, "CONNECT {\"verbose\":false,\"headers\":true,\"user\":\"1\"}");
    bench.say(listener, "SUB > 1");
    bench.say(sender, "CONNECT {\"verbose\":false,\"headers\":true,\"user\":\"0\"}");
    bench.got(sender);
    bench.say(sender, &publish("Nats-Trace-Dest: secret.t\n"));
    assert_eq!(bench.got(sender), "-ERR 'Permissions Violation for Publish to \"secret.t\"'\n");
    assert_eq!((bench.got(listener).as_str(), bench.traces.len()), ("", 0));

    // No place at all: it goes its way, or none if it should only be told.
    for fields in ["Nats-Trace-Dest: a..b\n", "Nats-Trace-Dest: trace disabled\n", "nats-trace-dest: t\n"] {
        bench.say(sender, &publish(fields));
        assert_eq!(bench.got(listener).matches("HMSG").count(), 1, "{fields}");
    }
    bench.say(sender, &publish("Nats-Trace-Dest: *\nNats-Trace-Only: 1\n"));
    assert_eq!((bench.got(listener).as_str(), bench.traces.len()), ("", 0));
}

#[test]
fn a_request_that_is_told_only_has_responders_if_somebody_listens() {
    let mut bench = bench(false);
    let (service, asker) = (bench.connect(), bench.open());
    bench.say(service, "SUB a.b 1");
    bench.say(
        asker,
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"1\"}\nSUB r 1",
    );
    bench.got(asker);
    let fields = "Nats-Trace-Dest: t\nNats-Trace-Only: 1\n";
    let request = publish(fields).replace("HPUB a.b ", "HPUB a.b r ");
    bench.say(asker, &request);
    assert_eq!((bench.got(asker).as_str(), bench.got(service).as_str()), ("", ""));
    bench.say(service, "UNSUB 1");
    bench.say(asker, &request);
    assert!(bench.got(asker).starts_with("HMSG r 1 "));
}
