//! What crosses the borders between accounts.

use lunix_core::broker::{
    AccountId, Border, ClientId, Input, Limits, Permissions, Responses, Subjects, User,
};
use lunix_core::time::Duration;

use crate::bench::{Bench, Growing};

const A: AccountId = AccountId::new(2);
const B: AccountId = AccountId::new(3);
const C: AccountId = AccountId::new(4);

/// Clients in `A`, `B` and `C`, in this order; borders by the account that they lead out of.
fn bench(borders: &[(AccountId, Border<'static>)]) -> (Bench, [ClientId; 3]) {
    with_memory(Growing::default(), borders)
}

fn with_memory(memory: Growing, borders: &[(AccountId, Border<'static>)]) -> (Bench, [ClientId; 3]) {
    let mut bench = Bench::with_memory(memory, Limits { authenticate: true, ..Limits::default() });
    let memory = bench.broker.memory_mut();
    memory.users = [A, B, C].map(|account| Some(User::of(account))).to_vec();
    memory.borders = borders.to_vec();
    let clients = [0, 1, 2].map(|user| connect(&mut bench, user));
    (bench, clients)
}

fn connect(bench: &mut Bench, user: usize) -> ClientId {
    let client = bench.open();
    bench.say(
        client,
        &format!(
            r#"CONNECT {{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":"{user}"}}"#
        ),
    );
    assert_eq!(bench.got(client), "");
    client
}

fn stream(from: &'static str, to: AccountId, subject: &'static str) -> Border<'static> {
    Border { from, to, subject, service: None, asker: "" }
}

const ONCE: Responses = Responses { max: 1, expires: Some(Duration::from_secs(120)) };

fn service(from: &'static str, to: AccountId, subject: &'static str) -> Border<'static> {
    Border { from, to, subject, service: Some(ONCE), asker: "" }
}

/// The reply subject of the only message in `got`.
fn reply(got: &str) -> &str {
    let line = got.lines().next().unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert!(words[0] == "MSG" && words.len() == 5, "{got}");
    words[3]
}

#[test]
fn a_stream_comes_under_its_name_there() {
    let (mut bench, [a, b, c]) =
        bench(&[(A, stream("a.*", B, "x.$1")), (A, stream("a.>", C, "")), (A, stream("p.*.q.>", C, "$1.>"))]);
    bench.say(a, "SUB > 1");
    bench.say(b, "SUB x.* 1\nSUB a.* 2\nSUB > q 3");
    bench.say(c, "SUB > 1");
    bench.say(a, "PUB a.one r 2\nhi");
    assert_eq!(bench.got(a), "MSG a.one 1 r 2\nhi\n");
    assert_eq!(bench.got(b), "MSG x.one 1 r 2\nhi\nMSG x.one 3 r 2\nhi\n");
    assert_eq!(bench.got(c), "MSG a.one 1 r 2\nhi\n");
    bench.say(a, "HPUB p.one.q.two.three 12 14\nNATS/1.0\n\nhi");
    assert_eq!(bench.got(c), "HMSG one.two.three 1 12 14\nNATS/1.0\n\nhi\n");
    bench.got(a);
    bench.say(b, "PUB x.one 0\n");
    assert_eq!((bench.got(a).as_str(), bench.got(c).as_str()), ("", ""), "no way back");
}

#[test]
fn whoever_hears_it_abroad_is_a_responder() {
    let (mut bench, [a, b, _]) = bench(&[(A, stream("a", B, ""))]);
    let nobody = "HMSG r 9 33 33\nNATS/1.0 503\nNats-Subject: a\n\n\n";
    bench.say(a, "SUB r 9\nPUB a r 0\n");
    assert_eq!(bench.got(a), nobody);
    bench.say(b, "SUB a 1");
    bench.say(a, "PUB a r 0\n");
    assert_eq!((bench.got(a).as_str(), bench.got(b).as_str()), ("", "MSG a 1 r 0\n\n"));
}

#[test]
fn a_service_answers_over_the_border_once() {
    let (mut bench, [a, b, _]) = bench(&[(B, service("local.*", A, "svc.$1"))]);
    bench.say(a, "SUB svc.* workers 7");
    bench.say(b, "SUB _INBOX.some-long-enough-name.* 1\nPUB local.x _INBOX.some-long-enough-name.1 2\nhi");
    let got = bench.got(a);
    let token = reply(&got).to_owned();
    assert_eq!(got, format!("MSG svc.x 7 {token} 2\nhi\n"));
    assert!(token.starts_with("_R_.") && token.len() == 20, "{token}");
    // Another account, the wrong reply, and twice: nothing.
    bench.say(b, &format!("PUB {token} 3\nbad"));
    bench.say(a, &format!("PUB {token}x 3\nbad"));
    assert_eq!(bench.got(b), "");
    bench.say(a, &format!("PUB {token} 2\nyo\nPUB {token} 2\nno"));
    assert_eq!(bench.got(b), "MSG _INBOX.some-long-enough-name.1 1 2\nyo\n");
}

#[test]
fn a_service_is_told_who_asks() {
    let border = Border { asker: "B", ..service("s", A, "") };
    let (mut bench, [a, b, _]) = bench(&[(B, border), (A, stream("s", C, "t"))]);
    bench.say(a, "SUB s 1");
    let old = bench.open();
    bench.say(old, "CONNECT {\"verbose\":false,\"headers\":false,\"user\":\"0\"}\nSUB s 2");
    bench.say(b, "SUB r 1\nPUB s 2\nhi");
    assert_eq!(bench.got(a), "HMSG s 1 44 46\nNATS/1.0\nNats-Request-Info: {\"acc\":\"B\"}\n\nhi\n");
    assert!(bench.got(old).ends_with("MSG s 2 2\nhi\n"));
    bench.input(Input::Ask { client: b });
    bench.pass(Duration::from_micros(7));
    bench.say(b, "PONG\nHPUB s 20 22\nNATS/1.0\nA: b c\n\nhi");
    assert_eq!(
        bench.got(a),
        "HMSG s 1 63 65\nNATS/1.0\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":7000}\nA: b c\n\nhi\n"
    );
    assert!(bench.got(old).ends_with("MSG s 2 2\nhi\n"));
    bench.say(b, "HPUB s 16 18\nNATS/1.0 503\n\nhi");
    assert_eq!(
        bench.got(a),
        "HMSG s 1 59 61\nNATS/1.0 503\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":7000}\n\nhi\n"
    );
}

#[test]
fn a_service_that_nobody_offers() {
    let (mut bench, [a, b, _]) = bench(&[(B, service("local", A, "svc"))]);
    bench.say(b, "SUB r 1\nPUB local r 0\n");
    assert_eq!(bench.got(b), "HMSG r 1 37 37\nNATS/1.0 503\nNats-Subject: local\n\n\n");
    bench.say(a, "SUB svc 1");
    bench.say(b, "PUB local 0\n");
    assert_eq!(bench.got(a), "MSG svc 1 0\n\n");
}

#[test]
fn answers_as_many_and_as_long_as_the_service_says() {
    let responses = Responses { max: 0, expires: Some(Duration::from_secs(5)) };
    let border = Border { from: "s", to: A, subject: "", service: Some(responses), asker: "" };
    let (mut bench, [a, b, _]) = bench(&[(B, border)]);
    bench.say(a, "SUB s 1");
    bench.say(b, "SUB r 1\nPUB s r 0\n");
    let got = bench.got(a);
    let token = reply(&got).to_owned();
    for _ in 0..3 {
        bench.say(a, &format!("PUB {token} 1\nx"));
    }
    assert_eq!(bench.got(b).matches("MSG r 1 1\nx\n").count(), 3);
    bench.pass(Duration::from_secs(5));
    bench.say(a, &format!("PUB {token} 1\nx"));
    assert_eq!(bench.got(b), "");
}

#[test]
fn an_answer_may_be_a_question() {
    let (mut bench, [a, b, _]) = bench(&[(B, service("s", A, ""))]);
    bench.say(a, "SUB s 1\nSUB again 2");
    bench.say(b, "SUB r 1\nPUB s r 0\n");
    let got = bench.got(a);
    bench.say(a, &format!("PUB {} again 1\n?", reply(&got)));
    let got = bench.got(b);
    let back = reply(&got).to_owned();
    assert!(back.starts_with("_R_."), "{got}");
    bench.say(b, &format!("PUB {back} 1\n!"));
    assert_eq!(bench.got(a), "MSG again 2 1\n!\n");
    // That nobody waits for the answer any more is not said.
    bench.say(b, "PUB s r 0\n\nUNSUB 1");
    let got = bench.got(a);
    bench.say(a, &format!("PUB {} again 1\n?", reply(&got)));
    assert_eq!(bench.got(a), "");
}

#[test]
fn a_request_may_cross_two_borders() {
    let (mut bench, [a, b, c]) = bench(&[(B, service("one.*", A, "two.$1")), (A, service("two.*", C, "$1"))]);
    bench.say(c, "SUB x 1");
    bench.say(b, "SUB r 1\nPUB one.x r 2\nhi");
    let got = bench.got(c);
    bench.say(c, &format!("PUB {} 2\nyo", reply(&got)));
    assert_eq!(bench.got(b), "MSG r 1 2\nyo\n");
    assert_eq!(bench.got(a), "");
}

#[test]
fn who_may_publish_nothing_may_answer_over_a_border() {
    let (mut bench, [_, b, _]) = bench(&[(B, service("s", A, ""))]);
    let permissions = Permissions {
        publish: Subjects { allow: Some(""), deny: "" },
        subscribe: Subjects { allow: Some("s"), deny: "" },
        responses: Some(ONCE),
    };
    bench.broker.memory_mut().users.push(Some(User { permissions, ..User::of(A) }));
    let service = connect(&mut bench, 3);
    bench.say(service, "SUB s 1");
    bench.say(b, "SUB r 1\nPUB s r 0\n");
    let got = bench.got(service);
    bench.say(service, &format!("PUB {} 2\nyo", reply(&got)));
    assert_eq!((bench.got(service).as_str(), bench.got(b).as_str()), ("", "MSG r 1 2\nyo\n"));
}

#[test]
fn what_is_denied_abroad_is_denied_under_its_name_there() {
    let (mut bench, [a, ..]) = bench(&[(A, stream("a.*", B, "x.$1"))]);
    let subscribe = Subjects { allow: None, deny: "x.no" };
    let permissions = Permissions { subscribe, ..Permissions::ALL };
    bench.broker.memory_mut().users.push(Some(User { permissions, ..User::of(B) }));
    let reader = connect(&mut bench, 3);
    bench.say(reader, "SUB > 1");
    bench.say(a, "PUB a.no 0\n\nPUB a.yes 0\n");
    assert_eq!(bench.got(reader), "MSG x.yes 1 0\n\n");
}

#[test]
fn a_circle_ends() {
    let (mut bench, [a, b, c]) =
        bench(&[(A, stream("a.>", B, "")), (B, stream("a.>", C, "")), (C, stream("a.>", A, ""))]);
    for client in [a, b, c] {
        bench.say(client, "SUB > 1");
    }
    bench.say(a, "PUB a.b 0\n");
    for (client, times) in [(a, 2), (b, 1), (c, 1)] {
        assert_eq!(bench.got(client).matches("MSG a.b").count(), times);
    }
    let (mut bench, [a, ..]) = self::bench(&[(A, stream(">", A, "x.>"))]);
    bench.say(a, "SUB > 1\nPUB a 0\n");
    assert_eq!(bench.got(a), "MSG a 1 0\n\nMSG x.a 1 0\n\n");
}

#[test]
fn what_does_not_fit_stays_at_home() {
    let (mut bench, [a, b, _]) = bench(&[(A, stream(">", B, "x.>"))]);
    bench.say(a, "SUB > 1");
    bench.say(b, "SUB > 1");
    for (length, crosses) in [(Border::LONGEST - 2, true), (Border::LONGEST - 1, false), (4000, false)] {
        bench.say(a, &format!("PUB {} 0\n", "s".repeat(length)));
        assert_eq!(bench.got(a).matches("MSG").count(), 1);
        assert_eq!(!bench.got(b).is_empty(), crosses, "{length}");
    }
    // No room for another reply subject than the latest ones, and none at all for mapped subjects.
    let (mut bench, [a, b, _]) = with_memory(Growing::up_to(30), &[(B, service("s", A, ""))]);
    bench.say(a, "SUB s 1");
    bench.say(b, "SUB r.* 1");
    let mut tokens = Vec::new();
    for number in 0..50 {
        bench.say(b, &format!("PUB s r.{number} 0\n"));
        tokens.push(reply(&bench.got(a)).to_owned());
        bench.flush();
    }
    bench.say(a, &format!("PUB {} 0\n\nPUB {} 0\n", tokens[0], tokens[49]));
    assert_eq!(bench.got(b), "MSG r.49 1 0\n\n");
    let (mut bench, [a, b, _]) = with_memory(Growing::up_to(5), &[(A, stream("a.*", B, "longer.$1"))]);
    bench.say(b, "SUB longer.b 1");
    bench.say(a, "PUB a.b 0\n");
    assert_eq!(bench.got(b), "");
}

#[test]
fn the_server_is_asked_and_answers() {
    let (mut bench, [a, b, c]) = bench(&[(B, service("who", A, "$SYS.REQ.USER.INFO"))]);
    bench.broker.memory_mut().serves = true;
    bench.say(c, "SUB $SYS.> 1\nSUB r 2\nHPUB $SYS.REQ.USER.INFO r 12 14\nNATS/1.0\n\nhi");
    assert_eq!(bench.got(c), "HMSG $SYS.REQ.USER.INFO 1 r 12 14\nNATS/1.0\n\nhi\n");
    let request = bench.requests.pop().unwrap();
    assert_eq!(request, (c, C, "$SYS.REQ.USER.INFO".into(), Some("r".into()), "hi".into()));
    let body = b"it is you\r\n";
    bench.input(Input::Publish { account: C, subject: b"r", reply: None, header_len: 0, body });
    assert_eq!(bench.got(c), "MSG r 2 9\nit is you\n");
    // Nobody but the server listens: there is a responder all the same.
    bench.say(b, "SUB r 2\nPUB who r 0\n");
    let (client, account, subject, reply, _) = bench.requests.pop().unwrap();
    assert_eq!((client, account, subject.as_str()), (b, A, "$SYS.REQ.USER.INFO"));
    let subject = reply.unwrap();
    let subject = subject.as_bytes();
    bench.input(Input::Publish { account: A, subject, reply: None, header_len: 0, body });
    assert_eq!(bench.got(b), "MSG r 2 9\nit is you\n");
    assert_eq!(bench.got(a), "");
    bench.say(b, "PUB $SYS.REQ.SERVER.PING r 0\n");
    assert!(bench.got(b).contains("NATS/1.0 503"));
}
