//! What a client says and what it is answered: nats-server's words, as measured on 2.15.1.

use lunix_core::broker::{Limits, Peer};

use crate::bench::{Bench, SILENT};

fn bench() -> Bench {
    Bench::new(Limits::default())
}

#[track_caller]
fn dialogue(script: &[(&str, &str)]) {
    let mut bench = bench();
    let client = bench.open();
    for (says, gets) in script {
        bench.say(client, says);
        assert_eq!(bench.got(client), *gets, "{says}");
    }
}

const QUIET: (&str, &str) = (r#"CONNECT {"verbose":false,"pedantic":false}"#, "");

#[test]
fn info_comes_first_and_names_the_connection() {
    let mut bench = bench();
    let client = bench.open_from(Peer::Tcp("[::ffff:192.0.2.7]:4000".parse().unwrap()));
    assert_eq!(
        bench.got(client),
        "INFO {\"server_id\":\"ID\",\"server_name\":\"name\",\"version\":\"2.15.0\",\"proto\":1,\
         \"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"client_id\":1,\
         \"client_ip\":\"192.0.2.7\"}\n"
    );
    let second = bench.open_from(Peer::Local);
    let info = bench.got(second);
    assert!(info.contains("\"client_id\":2") && !info.contains("client_ip"), "{info}");
}

#[test]
fn a_verbose_client_gets_ok_for_everything_but_pings() {
    dialogue(&[
        ("CONNECT {}", "+OK\n"),
        ("SUB a 1", "+OK\n"),
        ("PUB a 1\nx", "+OK\nMSG a 1 1\nx\n"),
        ("PUB a.* 1\nx", "-ERR 'Invalid Publish Subject'\n+OK\n"),
        ("UNSUB 1", "+OK\n"),
        ("UNSUB 1", "+OK\n"),
        ("PING", "PONG\n"),
        ("PONG", ""),
        ("SUB a..b 2", "-ERR 'Invalid Subject'\n"),
        ("+OK", ""),
        ("INFO {}", ""),
    ]);
}

#[test]
fn a_client_is_verbose_and_pedantic_before_it_connects() {
    dialogue(&[
        ("PING", "PONG\n"),
        ("SUB a 1", "+OK\n"),
        ("PUB > 0\n", "-ERR 'Invalid Publish Subject'\n+OK\n"),
    ]);
}

#[test]
fn what_a_further_connect_omits_keeps_its_value() {
    dialogue(&[
        QUIET,
        (r#"CONNECT {"pedantic":true}"#, ""),
        ("PUB * 0\n", "-ERR 'Invalid Publish Subject'\n"),
    ]);
}

#[test]
fn a_further_connect_ends_what_was_subscribed() {
    dialogue(&[
        QUIET,
        ("SUB a 1\nSUB a q 2\nUNSUB 2 5", ""),
        (r#"CONNECT {}"#, ""),
        ("PUB a 1\nx", ""),
        ("SUB a 1\nPUB a 1\nx", "MSG a 1 1\nx\n"),
    ]);
}

#[test]
fn a_second_subscription_of_the_same_name_is_not_looked_at() {
    dialogue(&[QUIET, ("SUB a 1\nSUB a..b 1", ""), ("SUB a..b 2", "-ERR 'Invalid Subject'\n")]);
}

#[test]
fn info_follows_the_first_ping_or_none() {
    dialogue(&[QUIET, ("PING", "PONG\n"), (r#"CONNECT {"protocol":1}"#, ""), ("PING", "PONG\n")]);
}

#[test]
fn blanks_around_info_are_those_of_json() {
    for (line, ends) in [("INFO \t{} \t", false), ("INFO {}\u{c}", true), ("INFO \u{b}{}", true)] {
        let mut bench = bench();
        let client = bench.open();
        bench.say(client, line);
        assert_eq!(bench.closed[client.index() as usize].is_some(), ends, "{line:?}");
    }
}

#[test]
fn a_pedantic_client_is_told_and_served() {
    dialogue(&[
        (r#"CONNECT {"verbose":false,"pedantic":true}"#, ""),
        ("SUB a.* 1", ""),
        ("PUB a.* 1\nx", "-ERR 'Invalid Publish Subject'\nMSG a.* 1 1\nx\n"),
    ]);
}

#[test]
fn the_first_ping_after_connect_brings_info_to_those_who_understand() {
    let mut bench = bench();
    let client = bench.open();
    bench.say(client, "PING");
    assert_eq!(bench.got(client), "PONG\n");
    bench.say(client, "CONNECT {\"verbose\":false,\"protocol\":1}\nPING");
    let got = bench.got(client);
    assert!(got.starts_with("PONG\nINFO {\"server_id\":\"ID\""), "{got}");
    assert!(got.ends_with(",\"connect_info\":true,\"remote_account\":\"$G\"}\n"), "{got}");
    bench.say(client, "PING");
    assert_eq!(bench.got(client), "PONG\n");
    dialogue(&[QUIET, ("PING", "PONG\n")]);
}

#[test]
fn connect_is_refused() {
    for (connect, answer) in [
        (r#"CONNECT {"protocol":7}"#, "-ERR 'invalid client protocol'\n<Bad Client Protocol Version>"),
        (r#"CONNECT {"protocol":-1}"#, "-ERR 'invalid client protocol'\n<Bad Client Protocol Version>"),
        (
            r#"CONNECT {"no_responders":true}"#,
            "-ERR 'no responders requires headers support'\n<Bad Client Protocol Version>",
        ),
        (r#"CONNECT {"account":"x"}"#, "-ERR 'Authorization Violation'\n<Authentication Failure>"),
        (
            r#"CONNECT {"new_account":true,"protocol":7}"#,
            "-ERR 'Authorization Violation'\n<Authentication Failure>",
        ),
        ("CONNECT {bad}", "<Protocol Violation>"),
        ("CONNECT", "<Protocol Violation>"),
    ] {
        dialogue(&[(connect, answer)]);
    }
}

#[test]
fn a_broken_stream_is_answered_and_closed() {
    for (says, answer) in [
        ("FOO", "-ERR 'Unknown Protocol Operation'\n<Protocol Violation>"),
        ("", "-ERR 'Unknown Protocol Operation'\n<Protocol Violation>"),
        ("PUB a 1\nxyz", "-ERR 'Unknown Protocol Operation'\n<Protocol Violation>"),
        ("PUB a b c d", "<Protocol Violation>"),
        ("PUB a 1048577", "-ERR 'Maximum Payload Violation'\n<Protocol Violation>"),
        ("HPUB a 12 12\nNATS/1.0\n\n", "<Protocol Violation>"),
        ("-ERR 'x'", "<Parse Error>"),
        ("INFO", "<Protocol Violation>"),
        ("INFO x", "<Protocol Violation>"),
    ] {
        dialogue(&[QUIET, (says, answer)]);
    }
    let long = format!("PUB {} 1", "a".repeat(5000));
    dialogue(&[QUIET, (&long, "-ERR 'maximum control line exceeded'\n<Protocol Violation>")]);
}

#[test]
fn headers_without_leave_are_closed_without_a_word() {
    for says in ["HPUB a 12 1048577", "HPUB a 0 1\nxyz", "hpub a b c d e f"] {
        dialogue(&[QUIET, (says, "<Protocol Violation>")]);
    }
}

#[test]
fn what_a_client_said_is_quoted_as_go_does() {
    dialogue(&[
        QUIET,
        (
            "PUB a _R_.\"\\\x01\x07\x0b\x7f\u{85}\u{fc} 0\n",
            "-ERR 'Permissions Violation for Publish with Reply of \
             \"_R_.\\\"\\\\\\x01\\a\\v\\x7f\\u0085\u{fc}\"'\n",
        ),
    ]);
}

#[test]
fn nobody_else_notices_a_broken_stream() {
    let mut bench = bench();
    let (good, bad) = (bench.connect(), bench.connect());
    bench.say(good, "SUB a 1");
    bench.say(bad, "SUB a 1\nGARBAGE\nPUB a 1\nx");
    assert_eq!(bench.got(bad), "-ERR 'Unknown Protocol Operation'\n<Protocol Violation>");
    bench.say(good, "PUB a 1\nx");
    assert_eq!(bench.got(good), "MSG a 1 1\nx\n");
    assert_eq!(bench.broker.statistics().subscriptions, 1);
    assert_eq!(bench.broker.statistics().connections, 1);
}

#[test]
fn only_servers_answer_for_servers() {
    dialogue(&[
        QUIET,
        ("SUB > 1", ""),
        ("PUB a _R_.x 0\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\n"),
        ("PUB a $JS.ACK.x 0\n", "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\n"),
        ("PUB a $JS.ACK. 0\n", "MSG a 1 $JS.ACK. 0\n\n"),
        ("PUB a _R_. 0\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.\"'\n"),
        ("PUB a _INBOX.x 0\n", "MSG a 1 _INBOX.x 0\n\n"),
    ]);
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let script = format!(
        "{SILENT}\nSUB a.> 1\nSUB b q 2\nPUB a.x r 5\nhello\nHPUB a.y 12 14\nNATS/1.0\n\nhi\nUNSUB 1\nPUB nobody r 0\n\nPING\nX"
    );
    let stream = script.replace('\n', "\r\n");
    let mut whole = bench();
    let client = whole.open();
    whole.bytes(client, stream.as_bytes());
    let expected = whole.got(client);
    assert!(expected.contains("HMSG a.y 1 12 14\n"), "{expected}");
    for cut in 1..stream.len() {
        let mut bench = bench();
        let client = bench.open();
        bench.bytes(client, &stream.as_bytes()[..cut]);
        bench.bytes(client, &stream.as_bytes()[cut..]);
        assert_eq!(bench.got(client), expected, "cut at {cut}");
    }
    let mut bytewise = bench();
    let client = bytewise.open();
    for byte in stream.as_bytes() {
        bytewise.bytes(client, &[*byte]);
    }
    assert_eq!(bytewise.got(client), expected);
}
