//! Leaf nodes and hubs, as lines.

use lunix_core::broker::{
    AccountId, Border, Input, LeafTerms, Limits, Permissions, Responses, Subjects, User, UserId,
};
use lunix_core::time::Duration;

use crate::bench::Bench;

const LEAF: LeafTerms<'_> =
    LeafTerms { user: UserId::new(0), is_hub: false, isolated: false, cluster: b"", headers: true };
const HUB: LeafTerms<'_> = LeafTerms { is_hub: true, ..LEAF };

fn bench() -> Bench {
    with(Limits { leaves: 8, ..Limits::default() })
}

fn with(limits: Limits) -> Bench {
    let mut bench = Bench::new(limits);
    let rules = |deny| Subjects { allow: None, deny };
    let ruled =
        Permissions { publish: rules("secret.>"), subscribe: rules("private.>\n"), ..Permissions::ALL };
    bench.broker.memory_mut().users = vec![
        Some(User::of(AccountId::GLOBAL)),
        Some(User { permissions: ruled, ..User::of(AccountId::GLOBAL) }),
        Some(User::of(AccountId::new(5))),
    ];
    bench
}

/// What it was told, without its loop detection; in an order of its own.
fn told(bench: &mut Bench, leaf: lunix_core::broker::ClientId) -> Vec<String> {
    let text = bench.got(leaf);
    text.lines().filter(|line| !line.contains("$LDS.")).map(str::to_owned).collect()
}

#[test]
fn interest_is_told_when_it_begins_when_weights_change_and_when_it_ends() {
    let mut bench = bench();
    let old = bench.connect();
    bench.say(old, "SUB before.*.long-enough-for-chunks 1\nSUB jobs workers 2\nSUB jobs workers 3");
    let hub = bench.join(HUB);
    let mut lines = told(&mut bench, hub);
    lines.sort();
    assert_eq!(lines, ["LS+ before.*.long-enough-for-chunks", "LS+ jobs workers 2"]);

    let client = bench.connect();
    bench.say(client, "SUB a 1\nSUB a 2\nSUB jobs workers 3\nUNSUB 1");
    assert_eq!(told(&mut bench, hub), ["LS+ a", "LS+ jobs workers 3"]);
    bench.say(client, "UNSUB 2");
    assert_eq!(told(&mut bench, hub), ["LS- a"]);
    bench.say(client, "SUB a 1\nUNSUB 1 1\nPUB a 0\n");
    assert_eq!(told(&mut bench, hub), ["LS+ a", "LS- a"]);
    bench.close(client);
    assert_eq!(told(&mut bench, hub), ["LS+ jobs workers 2"]);
    bench.say(old, "UNSUB 2\nUNSUB 3");
    assert_eq!(told(&mut bench, hub), ["LS+ jobs workers 1", "LS- jobs workers"]);
    bench.close(old);
    assert_eq!(told(&mut bench, hub), ["LS- before.*.long-enough-for-chunks"]);
}

#[test]
fn a_message_goes_out_once_and_not_back() {
    let mut bench = bench();
    let (hub, client) = (bench.join(HUB), bench.connect());
    bench.say(hub, "LS+ a.*\nLS+ a.b\nLS+ c\nLS+ c");
    bench.say(client, "SUB > 1\nPUB a.b r 2\nhi\nHPUB c 12 13\nNATS/1.0\n\nx\nPUB none 0\n");
    told(&mut bench, hub);
    bench.got(client);
    bench.say(client, "PUB a.b r 2\nhi\nHPUB c 12 13\nNATS/1.0\n\nx\nPUB none 0\n");
    assert_eq!(bench.got(hub), "LMSG a.b r 2\nhi\nHMSG c 12 13\nNATS/1.0\n\nx\n");
    bench.got(client);
    bench.say(hub, "LMSG a.b 2\nhi\nHMSG c r 12 13\nNATS/1.0\n\nx");
    assert_eq!(bench.got(hub), "");
    assert_eq!(bench.got(client), "MSG a.b 1 2\nhi\nHMSG c 1 r 12 13\nNATS/1.0\n\nx\n");
    bench.say(hub, "LS- c\nLS- a.*");
    bench.say(client, "PUB c 0\n\nPUB a.b 0\n\nPUB a.c 0\n");
    assert_eq!(bench.got(hub), "LMSG a.b 0\n\n");
}

#[test]
fn of_a_queue_group_members_here_come_first_then_leaves_by_weight() {
    let mut bench = bench();
    let (one, two, client) = (bench.join(LEAF), bench.join(LEAF), bench.connect());
    bench.say(one, "LS+ jobs q 1\nLS+ jobs other 1");
    bench.say(two, "LS+ jobs q 3");
    bench.got(one);
    bench.got(two);
    for _ in 0..400 {
        bench.say(client, "PUB jobs 0\n");
        bench.flush();
    }
    let (to_one, to_two) = (bench.got(one), bench.got(two));
    let count = |text: &str, line: &str| text.lines().filter(|got| *got == line).count();
    let (both, only) = (count(&to_one, "LMSG jobs | other q 0"), count(&to_two, "LMSG jobs | q 0"));
    let both = both + count(&to_one, "LMSG jobs | q other 0");
    assert_eq!(both + only, 400);
    assert_eq!(both + count(&to_one, "LMSG jobs | other 0"), 400);
    assert!((60..140).contains(&both), "{both}");

    bench.say(client, "SUB jobs q 1\nPUB jobs r 0\n");
    assert_eq!(bench.got(client), "MSG jobs 1 r 0\n\n");
    assert_eq!(told(&mut bench, one), ["LS+ jobs q 4", "LMSG jobs + r other 0", ""]);
    assert_eq!(told(&mut bench, two), ["LS+ jobs q 2"]);
}

#[test]
fn a_message_from_a_leaf_reaches_only_the_groups_that_it_names() {
    let mut bench = bench();
    let (hub, client) = (bench.join(HUB), bench.connect());
    bench.say(client, "SUB jobs q 1\nSUB jobs p 2\nSUB jobs 3");
    bench.say(hub, "LMSG jobs 0\n");
    assert_eq!(bench.got(client), "MSG jobs 3 0\n\n");
    bench.say(hub, "LMSG jobs | p x 0\n\nLMSG jobs + r q 1\ny");
    let mut got: Vec<String> = bench.got(client).lines().map(str::to_owned).collect();
    got.sort();
    assert_eq!(got, ["", "", "MSG jobs 1 r 1", "MSG jobs 2 0", "MSG jobs 3 0", "MSG jobs 3 r 1", "y", "y"]);
}

#[test]
fn what_one_hub_wants_is_no_other_hub_s_business_but_leaves_hear_all() {
    let mut bench = bench();
    let (hub, other, leaf, second) = (bench.join(HUB), bench.join(HUB), bench.join(LEAF), bench.join(LEAF));
    let isolated = bench.join(LeafTerms { isolated: true, ..LEAF });
    for all in [hub, other, leaf, second, isolated] {
        bench.got(all);
    }
    bench.say(hub, "LS+ up");
    bench.say(leaf, "LS+ down\nLS+ jobs q 2");
    assert_eq!(bench.got(other), "LS+ down\nLS+ jobs q 2\n");
    assert_eq!(bench.got(hub), "LS+ down\nLS+ jobs q 2\n");
    assert_eq!(bench.got(leaf), "LS+ up\n");
    assert_eq!(bench.got(second), "LS+ up\nLS+ down\nLS+ jobs q 2\n");
    assert_eq!(bench.got(isolated), "");
    bench.close(leaf);
    assert_eq!(bench.got(hub), "LS- jobs q\nLS- down\n");
}

#[test]
fn nothing_goes_back_to_the_cluster_that_it_came_from() {
    let mut bench = bench();
    let terms = LeafTerms { cluster: b"east", ..LEAF };
    let (one, two) = (bench.join(terms), bench.join(terms));
    let west = bench.join(LeafTerms { cluster: b"west", ..LEAF });
    for all in [one, two, west] {
        bench.got(all);
    }
    bench.say(one, "LS+ a");
    bench.say(two, "LS+ a\nLMSG a 0\n");
    assert_eq!(bench.got(one), "");
    assert_eq!(bench.got(west), "LS+ a\n".repeat(2));
    bench.say(west, "LMSG a 0\n");
    assert_eq!(bench.got(one), "LMSG a 0\n\n");
}

#[test]
fn a_loop_is_found_and_closed() {
    let mut bench = bench();
    let (one, two) = (bench.join(HUB), bench.join(HUB));
    let text = bench.got(one);
    let own = text.lines().find(|line| line.contains("$LDS.")).unwrap().to_owned();
    assert_eq!(own.len(), "LS+ $LDS.".len() + 22);
    bench.got(two);
    // Somebody else's is passed on, from hub to hub as well.
    bench.say(one, "LS+ $LDS.somebody");
    assert_eq!(bench.got(two), "LS+ $LDS.somebody\n");
    bench.say(two, &own);
    assert!(bench.got(two).contains("-ERR 'Loop detected"));
    assert!(bench.got(two).ends_with("<Loop Detected>"));
}

#[test]
fn a_requester_hears_that_nobody_listens_only_if_no_leaf_does() {
    let mut bench = bench();
    let (hub, client) = (bench.join(HUB), bench.connect());
    bench.got(hub);
    bench.say(client, "SUB r 1\nPUB ask r 0\n");
    assert!(bench.got(client).contains("503"));
    bench.say(hub, "LS+ ask q 1");
    bench.say(client, "PUB ask r 0\n");
    assert_eq!(bench.got(client), "");
    assert_eq!(bench.got(hub), "LS+ r\nLMSG ask + r q 0\n\n");
    bench.close(hub);
    bench.say(client, "PUB ask r 0\n");
    assert!(bench.got(client).contains("503"));
}

#[test]
fn rules_hold_in_both_directions() {
    let mut bench = bench();
    // User 1: publish all but `secret.>`, subscribe to all but `private.>`.
    let hub = bench.join(LeafTerms { user: UserId::new(1), ..HUB });
    let leaf = bench.join(LeafTerms { user: UserId::new(1), ..LEAF });
    let client = bench.connect();
    bench.got(hub);
    bench.got(leaf);
    bench.say(client, "SUB private.a 1\nSUB public 2\nSUB > 3");
    assert_eq!(told(&mut bench, hub), ["LS+ public", "LS+ >"]);
    bench.say(hub, "LS+ >\nLS+ secret.a\nLMSG private.a 0\n\nLMSG public 0\n");
    let got = bench.got(client);
    assert!(got.contains("MSG public 2 0") && got.contains("MSG public 3 0") && !got.contains("private"));
    bench.say(client, "PUB secret.a 0\n\nPUB open 0\n");
    assert_eq!(bench.got(hub), "LMSG open 0\n\n");
    bench.say(leaf, "LMSG private.a 0\n");
    assert!(
        bench
            .got(leaf)
            .ends_with("-ERR 'Permissions Violation for Publish to \"private.a\"'\n<Permissions Violation>")
    );
}

#[test]
fn what_a_consumer_delivers_comes_with_its_stream_s_subject() {
    let mut bench = bench();
    let (hub, leaf, client) = (bench.join(HUB), bench.join(LEAF), bench.connect());
    bench.say(client, "SUB deliver 1");
    bench.say(leaf, "LS+ deliver");
    bench.got(leaf);
    bench.say(hub, "LMSG deliver $JS.ACK.S.C.1.2.3.4.5@orders.new 0\n");
    assert_eq!(bench.got(client), "MSG orders.new 1 $JS.ACK.S.C.1.2.3.4.5 0\n\n");
    assert_eq!(bench.got(leaf), "LMSG deliver $JS.ACK.S.C.1.2.3.4.5@orders.new 0\n\n");
}

#[test]
fn a_leaf_that_wants_no_subject_is_told_so_and_stays() {
    let mut bench = bench();
    let leaf = bench.join(LEAF);
    bench.got(leaf);
    bench.say(leaf, "LS+ a..b\nLS+ a.>.b q 2\nPING");
    assert_eq!(bench.got(leaf), "-ERR 'Invalid Subscription'\n".repeat(2) + "PONG\n");
}

#[test]
fn before_it_has_joined_it_may_only_shake_hands() {
    let mut bench = bench();
    let stranger = bench.open_leaf();
    bench.say(stranger, "INFO {\"a\":1}\nPING\nLS+ a");
    assert_eq!(
        bench.got(stranger),
        "<INFO {\"a\":1}>PONG\n-ERR 'Authorization Violation'\n<Authentication Failure>"
    );
    // What follows CONNECT waits until it is known who this is, which may take a hash of a password.
    let guest = bench.open_leaf();
    bench.say(guest, "CONNECT {}\nPING\nLS+ a");
    assert_eq!(bench.got(guest), "<CONNECT {}>");
    bench.joined(guest, LEAF);
    bench.say(guest, "PING");
    assert!(bench.got(guest).ends_with("PONG\nPONG\n"));
    let silent = bench.open_leaf();
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.got(silent), "-ERR 'Authentication Timeout'\n<Authentication Timeout>");
    let joined = bench.join(LEAF);
    bench.say(joined, "-ERR 'Loop detected'");
    assert!(bench.got(joined).ends_with("<-ERR Loop detected><Parse Error>"));
    assert_eq!(bench.broker.leaf(joined), None);
}

#[test]
fn who_joins_is_told_a_long_story_as_fast_as_it_listens() {
    let mut bench = with(Limits { leaves: 1, pending: 100_000, ..Limits::default() });
    let client = bench.connect();
    for number in 0..20_000 {
        bench.say(client, &format!("SUB subject.number.{number} {number}"));
    }
    let hub = bench.join(HUB);
    let mut lines = told(&mut bench, hub);
    assert!(lines.len() < 3_000);
    for round in 0.. {
        if lines.len() == 20_000 {
            break;
        }
        assert!(round < 100);
        bench.flushed(hub, 0);
        lines.extend(told(&mut bench, hub));
    }
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 20_000);
    bench.flushed(hub, 0);
    assert_eq!(bench.got(hub), "");
    // One more is one too many.
    let refused = bench.open_leaf();
    assert!(bench.got(refused).contains("maximum connections exceeded"));
}

#[test]
fn a_leaf_belongs_to_its_account() {
    let mut bench = bench();
    let hub = bench.join(LeafTerms { user: UserId::new(2), ..HUB });
    let global = bench.connect();
    bench.got(hub);
    bench.say(global, "SUB > 1");
    assert_eq!(bench.got(hub), "");
    bench.say(hub, "LMSG a 0\n\nLS+ a");
    bench.say(global, "PUB a 0\n");
    assert_eq!((bench.got(global).as_str(), bench.got(hub).as_str()), ("MSG a 1 0\n\n", ""));
    let body = b"hi\r\n";
    let account = AccountId::new(5);
    bench.input(Input::Publish { account, subject: b"a", reply: None, header_len: 0, body });
    assert_eq!(bench.got(hub), "LMSG a 2\nhi\n");
}

#[test]
fn who_sends_over_a_slow_link_waits_for_it() {
    let mut bench = with(Limits { leaves: 8, pending: 10_000, ..Limits::default() });
    let hub = bench.join(HUB);
    let client = bench.connect();
    bench.say(hub, "LS+ a");
    bench.flushed(hub, 8_000);
    bench.say(client, "PUB a 2\nhi");
    assert_eq!(bench.stalled, [client]);
    bench.flushed(hub, 0);
    assert_eq!(bench.stalled, []);
    // What comes over a link is not.
    let slow = bench.connect();
    bench.say(slow, "SUB b 1");
    bench.flushed(slow, 8_000);
    bench.say(hub, "LMSG b 2\nhi");
    assert_eq!(bench.stalled, []);
}

#[test]
fn what_crosses_a_border_is_wanted_whoever_is_behind_it() {
    let mut bench = bench();
    let far = AccountId::new(7);
    let border = Border { from: "news.*", to: far, subject: "", service: None, asker: "" };
    let hidden = Border { from: "private.a", ..border };
    bench.broker.memory_mut().borders =
        vec![(AccountId::GLOBAL, border), (AccountId::GLOBAL, hidden), (far, border)];
    let hub = bench.join(LeafTerms { user: UserId::new(1), ..HUB });
    assert_eq!(told(&mut bench, hub), ["LS+ news.*"]);
    // A client that loses interest in the same says nothing about the others.
    let client = bench.connect();
    bench.say(client, "SUB news.* 1\nUNSUB 1");
    assert_eq!(told(&mut bench, hub), ["LS+ news.*", "LS+ news.*"]);

    // Those who ask are on the other side of a border, so that their answers come back over it.
    let service = Border {
        from: "ask",
        to: AccountId::GLOBAL,
        service: Some(Responses { max: 1, expires: None }),
        ..border
    };
    bench.broker.memory_mut().borders.push((far, service));
    bench.say(client, "SUB a 1");
    bench.got(hub);
    bench.input(Input::Borders);
    let lines = told(&mut bench, hub);
    let (answers, rest) = lines.split_at(lines.iter().position(|line| line.starts_with("LS+ _R_.")).unwrap());
    assert_eq!(answers, ["LS+ a"]);
    assert_eq!(rest[1..], ["LS+ news.*"]);

    bench.say(hub, "LS+ ask");
    let (body, account) = (b"hi\r\n", far);
    bench.input(Input::Publish { account, subject: b"ask", reply: Some(b"r"), header_len: 0, body });
    let asked = bench.got(hub);
    let token = asked.strip_prefix("LMSG ask ").and_then(|line| line.split(' ').next()).unwrap();
    let pattern = rest[0].strip_prefix("LS+ ").unwrap();
    assert!(lunix_proto::nats::subject::matches(pattern.as_bytes(), token.as_bytes()), "{pattern} {token}");
}
