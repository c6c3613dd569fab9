//! Who may do what: nats-server's answers, as measured on 2.15.1.

use lunix_core::broker::{
    AccountId, ClientId, Input, Limits, Peer, Permissions, Reason, Responses, Subjects, User, UserId,
};
use lunix_core::time::{Duration, Instant};

use crate::bench::Bench;

const ANYBODY: User<'static> = User::of(AccountId::GLOBAL);

fn may(publish: Subjects<'static>, subscribe: Subjects<'static>) -> User<'static> {
    User { permissions: Permissions { publish, subscribe, responses: None }, ..ANYBODY }
}

fn allow(allow: &'static str, deny: &'static str) -> Subjects<'static> {
    Subjects { allow: Some(allow), deny }
}

fn deny(deny: &'static str) -> Subjects<'static> {
    Subjects { allow: None, deny }
}

/// Users are known by their number for a name.
fn bench(users: &[User<'static>]) -> Bench {
    let mut bench = Bench::new(Limits { authenticate: true, ..Limits::default() });
    bench.broker.memory_mut().users = users.iter().copied().map(Some).collect();
    bench
}

fn connect(bench: &mut Bench, user: usize) -> ClientId {
    let client = bench.open();
    connect_as(bench, client, user);
    client
}

fn connect_as(bench: &mut Bench, client: ClientId, user: usize) {
    bench.say(
        client,
        &format!(
            r#"CONNECT {{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":"{user}"}}"#
        ),
    );
    assert_eq!(bench.got(client), "");
}

#[track_caller]
fn dialogue(user: User<'static>, script: &[(&str, &str)]) {
    let mut bench = bench(&[user]);
    let client = connect(&mut bench, 0);
    for (says, gets) in script {
        bench.say(client, says);
        let got = bench.got(client);
        let (mut got, mut gets): (Vec<_>, Vec<_>) = (got.lines().collect(), gets.lines().collect());
        // Which of several subscriptions comes first is nobody's business.
        got.sort_unstable();
        gets.sort_unstable();
        assert_eq!(got, gets, "{says}");
    }
}

const VIOLATION: &str = "-ERR 'Authorization Violation'\n<Authentication Failure>";

#[test]
fn a_stranger_may_connect_and_nothing_else() {
    for says in ["PING", "garbage", "PONG", "INFO {}", "SUB a 1", "PUB a 99999999\nx", "+OK", ""] {
        let mut bench = bench(&[ANYBODY]);
        let client = bench.open();
        bench.say(client, says);
        assert_eq!(bench.got(client), VIOLATION, "{says}");
        assert_eq!(bench.broker.statistics().connections, 0);
    }
    for (says, gets) in [
        ("CONNECT {}", VIOLATION),
        (r#"CONNECT {"user":"7"}"#, VIOLATION),
        (r#"CONNECT {"user":"7","protocol":9}"#, VIOLATION),
        (
            r#"CONNECT {"user":"0","protocol":9}"#,
            "-ERR 'invalid client protocol'\n<Bad Client Protocol Version>",
        ),
        ("CONNECT {bad}", "<Protocol Violation>"),
        ("COXX", "-ERR 'Unknown Protocol Operation'\n<Protocol Violation>"),
        (r#"CONNECT {"user":"0"}"#, "+OK\n"),
    ] {
        let mut bench = bench(&[ANYBODY]);
        let client = bench.open();
        bench.say(client, says);
        assert_eq!(bench.got(client), gets, "{says}");
    }
}

#[test]
fn nothing_is_done_before_the_driver_knows() {
    let mut bench = bench(&[ANYBODY]);
    bench.later = true;
    let client = bench.open();
    bench.say(client, "CONNECT {\"user\":\"0\"}\nSUB a 1\nPUB a 2\nhi\nPING");
    bench.say(client, "PING");
    assert_eq!(bench.got(client), "");
    bench.answer();
    assert_eq!(bench.got(client), "+OK\n+OK\n+OK\nMSG a 1 2\nhi\nPONG\nPONG\n");

    let client = bench.open();
    bench.say(client, "CONNECT {\"user\":\"1\"}\nSUB a 1\nPUB a 2\nhi");
    bench.answer();
    assert_eq!(bench.got(client), VIOLATION);
    assert_eq!(bench.broker.statistics().in_messages, 1);
}

#[test]
fn who_does_not_say_who_it_is_has_two_seconds() {
    let mut bench = bench(&[ANYBODY]);
    let (silent, known) = (bench.open(), bench.open());
    bench.input(Input::Admitted { client: known, user: UserId::new(0) });
    let asked = bench.open();
    bench.later = true;
    bench.say(asked, "CONNECT {\"user\":\"0\"}");
    bench.pass(Duration::from_millis(1999));
    assert_eq!(bench.got(silent), "");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.got(silent), "-ERR 'Authentication Timeout'\n<Authentication Timeout>");
    assert_eq!(bench.got(asked), "-ERR 'Authentication Timeout'\n<Authentication Timeout>");
    bench.answer();
    assert_eq!(bench.got(asked), "<Authentication Timeout>");
    bench.say(known, "PING");
    assert_eq!(bench.got(known), "PONG\n");
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn who_is_known_without_credentials_need_not_connect_and_may_still_say_who_it_is() {
    let mut bench = bench(&[may(allow("a", ""), Subjects::ALL), ANYBODY]);
    let client = bench.open();
    bench.input(Input::Admitted { client, user: UserId::new(0) });
    bench.say(client, "PUB a 0\n\nPUB b 0\n");
    assert_eq!(bench.got(client), "+OK\n-ERR 'Permissions Violation for Publish to \"b\"'\n");
    bench.say(client, "CONNECT {\"verbose\":false}\nPUB b 0\n");
    assert_eq!(bench.got(client), "-ERR 'Permissions Violation for Publish to \"b\"'\n");
    bench.say(client, "CONNECT {\"user\":\"1\"}\nPUB b 0\n");
    assert_eq!(bench.got(client), "");
    bench.say(client, "CONNECT {\"user\":\"2\"}\nPUB b 0\n");
    assert_eq!(bench.got(client), VIOLATION);
}

#[test]
fn who_connects_again_begins_again() {
    let mut bench = bench(&[ANYBODY]);
    let client = connect(&mut bench, 0);
    bench.say(client, "SUB a 1\nCONNECT {\"user\":\"0\"}\nPUB a 0\n");
    assert_eq!(bench.got(client), "");
    assert_eq!(bench.broker.statistics().subscriptions, 0);
}

#[test]
fn a_users_time_ends() {
    let until = Instant::from_micros(5_000_001);
    let mut bench = bench(&[User { expires: Some(until), ..ANYBODY }]);
    let client = connect(&mut bench, 0);
    bench.pass(Duration::from_millis(4999));
    assert_eq!(bench.broker.next_deadline(), Some(until));
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.got(client), "-ERR 'User Authentication Expired'\n<Authentication Expired>");
}

#[test]
fn a_users_own_limits() {
    let user = User { subscriptions: Some(1), payload: Some(4), ..ANYBODY };
    dialogue(
        user,
        &[
            ("SUB a 1", ""),
            ("SUB b 2", "-ERR 'maximum subscriptions exceeded'\n"),
            ("PUB a 4\n1234", "MSG a 1 4\n1234\n"),
            ("PUB a 5\n12345", "-ERR 'Maximum Payload Violation'\n<Protocol Violation>"),
        ],
    );
}

#[test]
fn an_accounts_connections() {
    let mut bench = bench(&[ANYBODY, User::of(AccountId::new(2))]);
    bench.broker.memory_mut().connections = Some(2);
    let first = connect(&mut bench, 1);
    connect(&mut bench, 1);
    connect(&mut bench, 0);
    let third = bench.open();
    bench.say(third, "CONNECT {\"user\":\"1\"}");
    let refused =
        "-ERR 'maximum account active connections exceeded'\n<Maximum Account Connections Exceeded>";
    assert_eq!(bench.got(third), refused);
    // Said again, it is no further one.
    bench.input(Input::Admitted { client: first, user: UserId::new(1) });
    assert_eq!(bench.got(first), "");
    bench.close(first);
    connect(&mut bench, 1);
}

#[test]
fn publish_permissions() {
    dialogue(
        may(allow("p.*", "p.no"), Subjects::ALL),
        &[
            ("SUB > 1", ""),
            ("PUB p.a 0\n", "MSG p.a 1 0\n\n"),
            ("PUB p.a 0\n", "MSG p.a 1 0\n\n"),
            ("PUB p.no 0\n", "-ERR 'Permissions Violation for Publish to \"p.no\"'\n"),
            ("PUB p.a.b 0\n", "-ERR 'Permissions Violation for Publish to \"p.a.b\"'\n"),
            ("PUB q\"\\ 0\n", "-ERR 'Permissions Violation for Publish to \"q\\\"\\\\\"'\n"),
            ("PUB _GR_.x 0\n", "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\n"),
            ("PUB p.> 0\n", "MSG p.> 1 0\n\n"),
            ("HPUB q 12 12\nNATS/1.0\n\n", "-ERR 'Permissions Violation for Publish to \"q\"'\n"),
            ("PUB p.a 0\n", "MSG p.a 1 0\n\n"),
        ],
    );
    dialogue(ANYBODY, &[("PUB _GR_.x 0\n", "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\n")]);
}

#[test]
fn subscribe_permissions() {
    let no = |what: &str| format!("-ERR 'Permissions Violation for Subscription to {what}'\n");
    dialogue(
        may(Subjects::ALL, allow("s.*\nc v1", "s.no\nd.*")),
        &[
            ("SUB s.* 1", ""),
            // Here nats-server says yes: a larger pattern than what is allowed, and a hole.
            ("SUB s.> 2", &no("\"s.>\"")),
            ("SUB s.no 3", &no("\"s.no\"")),
            ("SUB s.x 4", ""),
            ("SUB c 5", &no("\"c\"")),
            ("SUB c v1 6", ""),
            ("SUB c v2 7", &no("\"c\" using queue \"v2\"")),
            ("SUB d.> 8", &no("\"d.>\"")),
            ("SUB > 11", &no("\">\"")),
            ("SUB s..x 12", &no("\"s..x\"")),
            ("PUB s.x 0\n", "MSG s.x 4 0\n\nMSG s.x 1 0\n\n"),
            ("PUB s.no 0\n", ""),
        ],
    );
    dialogue(
        may(Subjects::ALL, deny("d.*\ne.>\nq.* dev.*")),
        &[
            ("SUB d.> 2\nSUB e.> 5", &(no("\"d.>\"") + &no("\"e.>\""))),
            ("SUB > 1", ""),
            ("SUB e 7", ""),
            ("PUB d.x 0\n", ""),
            ("PUB e.f.g 0\n", ""),
            ("PUB e 0\n", "MSG e 7 0\n\nMSG e 1 0\n\n"),
            ("UNSUB 1\nUNSUB 7", ""),
            ("SUB q.a dev.1 8", &no("\"q.a\" using queue \"dev.1\"")),
            ("SUB q.> dev.1 9", &no("\"q.>\" using queue \"dev.1\"")),
            ("SUB *.a dev.1 10\nSUB q.a prod 11\nSUB q.a 12", ""),
            ("PUB q.a 0\n", "MSG q.a 12 0\n\nMSG q.a 11 0\n\n"),
            ("PUB r.a 0\n", "MSG r.a 10 0\n\n"),
        ],
    );
}

#[test]
fn what_is_withheld_from_one_member_goes_to_another() {
    let mut bench = bench(&[may(Subjects::ALL, deny("a.no")), ANYBODY]);
    let (less, more) = (connect(&mut bench, 0), connect(&mut bench, 1));
    bench.say(less, "SUB a.* q 1");
    bench.say(more, "SUB a.* q 1");
    for _ in 0..20 {
        bench.say(more, "PUB a.no 0\n");
    }
    assert_eq!(bench.got(more).matches("MSG").count(), 20);
    assert_eq!(bench.got(less), "");
}

/// A service that may publish nothing but answers, and one who asks.
fn service(responses: Responses) -> (Bench, ClientId, ClientId) {
    let permissions =
        Permissions { publish: allow("x", ""), subscribe: Subjects::ALL, responses: Some(responses) };
    let mut bench = bench(&[User { permissions, ..ANYBODY }, ANYBODY]);
    let (service, user) = (connect(&mut bench, 0), connect(&mut bench, 1));
    bench.say(service, "SUB svc 1");
    bench.say(user, "SUB _INBOX.a-rather-long-reply-subject.* 1\nSUB r 2");
    (bench, service, user)
}

const NO_R: &str = "-ERR 'Permissions Violation for Publish to \"r\"'\n";

#[test]
fn who_is_asked_may_answer_as_often_as_it_may() {
    let (mut bench, service, user) = service(Responses { max: 2, expires: None });
    bench.say(service, "PUB r 0\n");
    assert_eq!(bench.got(service), NO_R);
    bench.say(user, "PUB svc r 0\n");
    assert_eq!(bench.got(service), "MSG svc 1 r 0\n\n");
    bench.say(service, "PUB r 0\n\nPUB r 0\n\nPUB r 0\n");
    assert_eq!(bench.got(service), NO_R);
    assert_eq!(bench.got(user).matches("MSG r 2").count(), 2);
    // Another connection of the same user was not asked.
    let other = connect(&mut bench, 0);
    bench.say(user, "PUB svc _INBOX.a-rather-long-reply-subject.1 0\n");
    bench.say(other, "PUB _INBOX.a-rather-long-reply-subject.1 0\n");
    assert!(bench.got(other).starts_with("-ERR 'Permissions Violation for Publish to"), "hijacked");
    bench.say(service, "PUB _INBOX.a-rather-long-reply-subject.1 0\n");
    assert_eq!(bench.got(user).matches("MSG").count(), 1);
    // Nor whoever it says to be next.
    bench.say(user, "PUB svc r 0\n");
    bench.got(service);
    connect_as(&mut bench, service, 0);
    bench.say(service, "PUB r 0\n");
    assert_eq!(bench.got(service), NO_R);
}

#[test]
fn an_answer_may_come_too_late() {
    let (mut bench, service, user) = service(Responses { max: 0, expires: Some(Duration::from_secs(1)) });
    bench.say(user, "PUB svc r 0\n");
    bench.got(service);
    bench.pass(Duration::from_millis(999));
    for _ in 0..100 {
        bench.say(service, "PUB r 0\n");
        assert_eq!(bench.got(service), "");
    }
    bench.pass(Duration::from_millis(1));
    bench.say(service, "PUB r 0\n");
    assert_eq!(bench.got(service), NO_R);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.broker.next_deadline(), None, "nobody has to be woken for that");
}

#[test]
fn answers_that_are_waited_for_are_bounded() {
    let permissions = Permissions {
        publish: allow("", ""),
        subscribe: Subjects::ALL,
        responses: Some(Responses { max: 1, expires: None }),
    };
    let mut bench = Bench::with_memory(
        crate::bench::Growing::up_to(16),
        Limits { authenticate: true, ..Limits::default() },
    );
    bench.broker.memory_mut().users = vec![Some(User { permissions, ..ANYBODY }), Some(ANYBODY)];
    let (service, user) = (connect(&mut bench, 0), connect(&mut bench, 1));
    bench.say(service, "SUB svc 1");
    for number in 0..100 {
        bench.say(user, &format!("PUB svc _INBOX.long-enough-for-a-chunk.{number} 0\n"));
        bench.flush();
    }
    bench.got(service);
    for (number, answer) in [(0, "-ERR"), (99, "")] {
        bench.say(service, &format!("PUB _INBOX.long-enough-for-a-chunk.{number} 0\n"));
        let got = bench.got(service);
        assert!(if answer.is_empty() { got.is_empty() } else { got.starts_with(answer) }, "{got}");
    }
}

#[test]
fn what_is_no_longer_allowed_ends() {
    let mut bench = bench(&[ANYBODY, ANYBODY]);
    let (client, other) = (connect(&mut bench, 0), connect(&mut bench, 1));
    bench.say(client, "SUB a.* 1\nSUB b.c a-queue 2\nSUB b.c 3\nSUB a.long-token-in-several-chunks.> 4");
    bench.broker.memory_mut().users[0] = Some(may(allow("a.x", ""), allow("a.>\nb.c v1", "a.no")));
    bench.input(Input::Admitted { client, user: UserId::new(0) });
    let mut lines: Vec<_> = bench.got(client).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "-ERR 'Permissions Violation for Subscription to \"b.c\" (sid \"3\")'",
            "-ERR 'Permissions Violation for Subscription to \"b.c\" using queue \"a-queue\" (sid \"2\")'",
        ]
    );
    bench.say(client, "PUB b 0\n");
    assert_eq!(bench.got(client), "-ERR 'Permissions Violation for Publish to \"b\"'\n");
    bench.say(other, "PUB a.no 0\n\nPUB b.c 0\n\nPUB a.yes 0\n");
    assert_eq!(bench.got(client), "MSG a.yes 1 0\n\n");
    bench.broker.memory_mut().users[0] = None;
    bench.say(client, "SUB a.b 9\nPUB a.x 0\n");
    assert_eq!(bench.got(client).matches("-ERR 'Permissions Violation").count(), 2, "a user that is gone");
    bench.input(Input::Admitted { client, user: UserId::new(0) });
    assert_eq!(bench.got(client), VIOLATION);
    bench.input(Input::Refused { client: other, reason: Reason::Revoked });
    assert_eq!(bench.got(other), "-ERR 'Authorization Violation'\n<Credentials Revoked>");
}

#[test]
fn accounts_are_spaces_of_their_own() {
    let mut bench = bench(&[ANYBODY, User::of(AccountId::new(5)), User::of(AccountId::SYSTEM)]);
    let clients = [0, 1, 2].map(|user| connect(&mut bench, user));
    for client in clients {
        bench.say(client, "SUB > 1\nSUB a q 2");
    }
    bench.say(clients[1], "PUB a 0\n");
    assert_eq!(bench.got(clients[1]).matches("MSG a").count(), 2);
    assert_eq!((bench.got(clients[0]).as_str(), bench.got(clients[2]).as_str()), ("", ""));
    bench.say(clients[1], "CONNECT {\"user\":\"0\"}\nPUB a r 0\n");
    assert_eq!(bench.got(clients[0]).matches("MSG a").count(), 2);
    let body = b"hi\r\n";
    let publish =
        Input::Publish { account: AccountId::SYSTEM, subject: b"a.b", reply: None, header_len: 0, body };
    bench.input(publish);
    assert_eq!(bench.got(clients[2]), "MSG a.b 1 2\nhi\n");
    assert_eq!((bench.got(clients[0]).as_str(), bench.got(clients[1]).as_str()), ("", ""));
}

#[test]
fn a_stranger_takes_part_in_nothing() {
    let mut bench = bench(&[ANYBODY]);
    let client = connect(&mut bench, 0);
    let stranger = bench.open_from(Peer::Local);
    bench.got(stranger);
    bench.say(client, "SUB a 1\nPUB a 0\n");
    assert_eq!(bench.got(stranger), "");
}
