//! Who gets a message, and in which form.

use std::collections::HashMap;

use lunix_core::broker::Limits;

use crate::bench::Bench;

fn bench() -> Bench {
    Bench::new(Limits::default())
}

#[track_caller]
fn alone(script: &[(&str, &str)]) {
    let mut bench = bench();
    let client = bench.connect();
    for (says, gets) in script {
        bench.say(client, says);
        let mut lines: Vec<_> = gets.lines().collect();
        let got = bench.got(client);
        let mut got_lines: Vec<_> = got.lines().collect();
        // Which of several subscriptions comes first is nobody's business.
        lines.sort_unstable();
        got_lines.sort_unstable();
        assert_eq!(got_lines, lines, "{says}");
    }
}

#[test]
fn wildcards_match_tokens() {
    alone(&[
        ("SUB foo.* 1\nSUB foo.> 2\nSUB > 3\nSUB foo.bar 4\nSUB *.* 5\nSUB *.bar.> 6", ""),
        ("PUB foo 0\n", "MSG foo 3 0\n\n"),
        (
            "PUB foo.bar 0\n",
            "MSG foo.bar 1 0\n\nMSG foo.bar 2 0\n\nMSG foo.bar 3 0\n\nMSG foo.bar 4 0\n\nMSG foo.bar 5 0\n\n",
        ),
        ("PUB foo.bar.x 0\n", "MSG foo.bar.x 2 0\n\nMSG foo.bar.x 3 0\n\nMSG foo.bar.x 6 0\n\n"),
    ]);
}

#[test]
fn a_published_wildcard_is_a_token_like_any_other() {
    alone(&[
        ("SUB foo.bar 1\nSUB foo.* 2\nSUB > 3", ""),
        ("PUB foo.* 0\n", "MSG foo.* 2 0\n\nMSG foo.* 3 0\n\n"),
        ("PUB foo.> 0\n", "MSG foo.> 2 0\n\nMSG foo.> 3 0\n\n"),
        ("PUB > 0\n", "MSG > 3 0\n\n"),
    ]);
}

#[test]
fn a_wildcard_within_a_token_is_none() {
    alone(&[("SUB a> 1\nSUB a*b 2", ""), ("PUB a> 0\n", "MSG a> 1 0\n\n"), ("PUB axb 0\n", "")]);
}

#[test]
fn empty_tokens_match_nothing() {
    alone(&[("SUB > 1\nSUB *.* 2", ""), ("PUB a. 0\n", ""), ("PUB .a 0\n", ""), ("PUB a..b 0\n", "")]);
}

#[test]
fn the_first_subscription_of_a_name_stays() {
    alone(&[("SUB a 1\nSUB b 1", ""), ("PUB a 0\n", "MSG a 1 0\n\n"), ("PUB b 0\n", "")]);
}

#[test]
fn names_are_each_clients_own() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.say(one, "SUB a 1");
    bench.say(two, "SUB a 1\nUNSUB 1\nUNSUB unknown\nPUB a 0\n");
    assert_eq!((bench.got(one).as_str(), bench.got(two).as_str()), ("MSG a 1 0\n\n", ""));
}

#[test]
fn unsubscribe_after_max_counts_from_the_beginning() {
    let one = "MSG a 1 0\n\n";
    alone(&[
        ("SUB a 1\nPUB a 0\n", one),
        ("PUB a 0\n", one),
        ("UNSUB 1 3\nPUB a 0\n", one),
        ("PUB a 0\n", ""),
        // The name is free again, and the count begins again.
        ("SUB a 1\nPUB a 0\n", one),
        ("UNSUB 1 1\nPUB a 0\n", ""),
        ("SUB a 1\nUNSUB 1 0\nPUB a 0\n", ""),
    ]);
}

#[test]
fn a_message_that_ends_many_subscriptions_reaches_them_all() {
    let mut bench = bench();
    let client = bench.connect();
    for sid in 0..50 {
        bench
            .say(client, &format!("SUB a.*.c {sid}\nUNSUB {sid} 1\nSUB a.b.c q{sid} q{sid}\nUNSUB q{sid} 1"));
    }
    bench.say(client, "PUB a.b.c 0\n");
    assert_eq!(bench.got(client).matches("MSG a.b.c ").count(), 100);
    bench.say(client, "PUB a.b.c 0\n");
    assert_eq!(bench.got(client), "");
    assert_eq!(bench.broker.statistics().subscriptions, 0);
}

#[test]
fn no_echo_skips_the_publisher_alone() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.say(one, "CONNECT {\"echo\":false}\nSUB a 1\nSUB a q 2");
    bench.say(two, "SUB a 1\nSUB a q 2");
    for _ in 0..20 {
        bench.say(one, "PUB a 0\n");
        assert_eq!(bench.got(one), "");
        assert_eq!(bench.got(two).matches("MSG a ").count(), 2);
    }
}

#[test]
fn headers_only_for_those_who_know_them() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.say(one, "SUB a 1");
    bench.say(two, "CONNECT {\"headers\":false,\"no_responders\":false}\nSUB a 2");
    bench.say(one, "HPUB a r 12 14\nNATS/1.0\n\nhi");
    assert_eq!(bench.got(one), "HMSG a 1 r 12 14\nNATS/1.0\n\nhi\n");
    assert_eq!(bench.got(two), "MSG a 2 r 2\nhi\n");
}

#[test]
fn a_request_that_nobody_hears_is_answered_503() {
    let answer = "HMSG r.1 7 38 38\nNATS/1.0 503\nNats-Subject: nobody\n\n\n";
    alone(&[
        ("SUB r.* 7", ""),
        ("PUB nobody r.1 2\nhi", answer),
        // It does not count for a maximum.
        ("UNSUB 7 1\nPUB nobody r.1 2\nhi", answer),
        ("PUB r.1 0\n", "MSG r.1 7 0\n\n"),
        ("PUB nobody r.1 2\nhi", ""),
        ("SUB r.1 queue 8\nPUB nobody r.1 2\nhi", ""),
    ]);
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.say(two, "SUB r 1");
    bench.say(one, "PUB nobody r 0\n");
    assert_eq!(bench.got(two), "", "the reply is another client's");
    bench.say(one, "CONNECT {\"no_responders\":false}\nSUB r 1\nPUB nobody r 0\n");
    assert_eq!(bench.got(one), "", "it did not ask for it");
}

#[test]
fn a_queue_group_is_one_across_subjects_and_each_member_gets_its_share() {
    let mut bench = bench();
    let publisher = bench.connect();
    let subjects = ["a.b", "a.*", "*.b", "a.>", ">"];
    let members: Vec<_> = subjects
        .iter()
        .map(|subject| {
            let member = bench.connect();
            bench.say(member, &format!("SUB {subject} workers 1"));
            member
        })
        .collect();
    let mut counts = HashMap::new();
    for _ in 0..5000 {
        bench.say(publisher, "PUB a.b 0\n");
        bench.flush();
        let getters: Vec<_> = members.iter().filter(|member| !bench.got(**member).is_empty()).collect();
        assert_eq!(getters.len(), 1);
        *counts.entry(*getters[0]).or_insert(0) += 1;
    }
    // Each 1000 times on average, with a standard deviation of 28.
    assert!(counts.len() == 5 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn groups_of_different_names_get_one_copy_each() {
    let mut bench = bench();
    let client = bench.connect();
    let long = "a-group-name-that-is-much-longer-than-fifteen-bytes";
    bench.say(
        client,
        &format!("SUB a q1 1\nSUB a q1 2\nSUB * q2 3\nSUB a {long} 4\nSUB * {long} 5\nPUB a 0\n"),
    );
    assert_eq!(bench.got(client).matches("MSG a ").count(), 3);
}

#[test]
fn long_names_are_names() {
    let (token, sid) = ("t".repeat(900), "s".repeat(900));
    let mut bench = bench();
    let client = bench.connect();
    bench.say(client, &format!("SUB {token}.{token} {token} {sid}\nPUB {token}.{token} 0\n"));
    assert_eq!(bench.got(client), format!("MSG {token}.{token} {sid} 0\n\n"));
    bench.say(client, &format!("UNSUB {sid}\nPUB {token}.{token} 0\n"));
    assert_eq!(bench.got(client), "");
}

#[test]
fn subscriptions_end_with_their_client() {
    let mut bench = bench();
    let (one, two) = (bench.connect(), bench.connect());
    bench.say(one, "SUB a 1\nSUB a.b.c q 2\nSUB > 3");
    bench.say(two, "SUB a 1");
    bench.close(one);
    assert_eq!(bench.broker.statistics().subscriptions, 1);
    bench.say(two, "PUB a 0\n");
    assert_eq!(bench.got(two), "MSG a 1 0\n\n");
}
