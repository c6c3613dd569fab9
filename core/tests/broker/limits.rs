//! Everything has an end, and who reaches it is told.

use lunix_core::broker::{Arrays, ClientId, Input, Limits, Peer};
use lunix_core::time::Duration;

use crate::bench::{Bench, Growing};

const REMOTE: &str = "192.0.2.7:4000";

fn remote() -> Peer {
    Peer::Tcp(REMOTE.parse().unwrap())
}

#[test]
fn connections() {
    let mut bench = Bench::new(Limits { connections: 2, ..Limits::default() });
    let first = bench.open();
    bench.open();
    let third = bench.open_from(Peer::Local);
    assert_eq!(bench.got(third), "-ERR 'maximum connections exceeded'\n<Maximum Connections Exceeded>");
    bench.close(first);
    bench.open();
    assert_eq!(bench.broker.statistics().connections, 2);
}

#[test]
fn subscriptions() {
    let mut bench = Bench::new(Limits { subscriptions: 2, ..Limits::default() });
    let client = bench.connect();
    bench.say(client, "SUB a 1\nSUB b 2\nSUB c 3");
    assert_eq!(bench.got(client), "-ERR 'maximum subscriptions exceeded'\n");
    bench.say(client, "UNSUB 1\nSUB c 3\nPUB c 0\n");
    assert_eq!(bench.got(client), "MSG c 3 0\n\n");
    bench.say(client, "UNSUB 2 1\nSUB d 4");
    assert_eq!(bench.got(client), "-ERR 'maximum subscriptions exceeded'\n");
}

#[test]
fn payload_and_control_line() {
    let mut bench = Bench::new(Limits { payload: 10, control_line: 20, ..Limits::default() });
    let client = bench.open();
    bench.say(client, "PUB a 10\n0123456789");
    assert_eq!(bench.got(client), "+OK\n");
    bench.say(client, "PUB a 11\n0123456789a");
    assert_eq!(bench.got(client), "-ERR 'Maximum Payload Violation'\n<Protocol Violation>");
    let client = bench.open();
    bench.say(client, "SUB abcdefghijklmnopqrstuvwxyz 1");
    assert_eq!(bench.got(client), "-ERR 'maximum control line exceeded'\n<Protocol Violation>");
}

#[test]
fn memory_that_does_not_grow_refuses_the_subscription_whole() {
    for most in 1..12 {
        let mut bench = Bench::with_memory(Growing::up_to(most), Limits::default());
        let client = bench.connect();
        let mut taken = 0;
        for sid in 0..12 {
            bench.say(client, &format!("SUB a.{sid}.a-token-that-is-long-enough q{sid} {sid}"));
            match bench.got(client).as_str() {
                "" => taken += 1,
                error => assert_eq!(error, "-ERR 'maximum subscriptions exceeded'\n"),
            }
        }
        assert!(taken < 12);
        assert_eq!(bench.broker.statistics().subscriptions, taken);
        for sid in 0..12 {
            bench.say(client, &format!("UNSUB {sid}"));
        }
        assert_eq!(bench.broker.statistics().subscriptions, 0);
        // What was refused has left nothing behind: as many fit again.
        for sid in 0..taken {
            bench.say(client, &format!("SUB b.{sid}.a-token-that-is-long-enough q{sid} {sid}"));
        }
        assert_eq!(bench.got(client), "");
    }
}

#[test]
fn pending_bytes_of_one_client() {
    let mut bench = Bench::new(Limits { pending: 1000, ..Limits::default() });
    let (fast, slow, publisher) = (bench.connect(), bench.connect(), bench.connect());
    bench.say(fast, "SUB a 1");
    bench.say(slow, "SUB > 1\nSUB a q 2");
    let body = "x".repeat(100);
    bench.flush();
    for _ in 0..50 {
        bench.say(publisher, &format!("PUB a 100\n{body}"));
        bench.flushed(fast, 0);
    }
    assert_eq!(bench.got(fast).matches("MSG").count(), 50);
    let got = bench.got(slow);
    assert!(got.ends_with("<Slow Consumer (Pending Bytes)>"), "{got}");
    assert!((7..=8).contains(&got.matches("MSG").count()), "{got}");
    assert_eq!(bench.broker.statistics().slow_consumers, 1);
    assert_eq!(bench.broker.statistics().subscriptions, 1);
    assert_eq!(bench.broker.statistics().pending, 0);
}

#[test]
fn a_client_that_reads_nothing_cannot_ask_for_ever() {
    let mut bench = Bench::new(Limits { pending: 1000, ..Limits::default() });
    let client = bench.open();
    for _ in 0..1000 {
        bench.say(client, "PING");
    }
    assert!(bench.got(client).ends_with("<Slow Consumer (Pending Bytes)>"));
}

#[test]
fn pending_bytes_of_all_clients_cost_the_slowest() {
    let mut bench = Bench::new(Limits { pending: 10_000, pending_all: 10_000, ..Limits::default() });
    let (a, b, publisher) = (bench.connect(), bench.connect(), bench.connect());
    bench.say(a, "SUB a 1\nSUB both 2");
    bench.say(b, "SUB both 2");
    bench.flush();
    let body = "x".repeat(3000);
    bench.say(
        publisher,
        &format!("PUB a 3000\n{body}\nPUB a 3000\n{body}\nPUB both 3000\n{body}\nPUB both 3000\n{body}"),
    );
    assert!(bench.got(a).ends_with("<Slow Consumer (Pending Bytes)>"));
    assert_eq!(bench.got(b).matches("MSG").count(), 2);
}

#[test]
fn a_full_member_leaves_the_message_to_another() {
    let mut bench = Bench::new(Limits { pending: 10_000, ..Limits::default() });
    let (full, idle, publisher) = (bench.connect(), bench.connect(), bench.connect());
    bench.say(full, "SUB a q 1");
    bench.say(idle, "SUB a q 1");
    bench.flush();
    bench.flushed(full, 9_900);
    for _ in 0..20 {
        bench.say(publisher, &format!("PUB a 200\n{}", "x".repeat(200)));
        bench.flushed(idle, 0);
    }
    assert_eq!(bench.got(idle).matches("MSG").count(), 20);
    assert_eq!(bench.got(full), "");
}

#[test]
fn write_deadline() {
    let mut bench = Bench::new(Limits { write_deadline: Duration::from_secs(10), ..Limits::default() });
    let client = bench.connect();
    bench.say(client, "SUB a 1\nPUB a 5\nhello");
    assert_eq!(bench.broker.next_deadline(), None, "nothing is known to be stuck");
    bench.flushed(client, 17);
    bench.pass(Duration::from_secs(9));
    bench.flushed(client, 10);
    bench.pass(Duration::from_secs(9));
    assert!(!bench.got(client).contains('<'), "it took something");
    bench.flushed(client, 10);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.got(client), "<Slow Consumer (Write Deadline)>");
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn a_client_that_catches_up_is_not_looked_at_again() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.connect();
    bench.flushed(client, 10);
    bench.flushed(client, 0);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.broker.next_deadline(), None);
    assert_eq!(bench.got(client), "");
}

#[test]
fn a_remote_client_is_asked_soon_and_then_every_two_minutes() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.open_from(remote());
    bench.got(client);
    bench.pass(Duration::from_millis(2500));
    assert_eq!(bench.got(client), "PING\n");
    bench.say(client, "PONG");
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.got(client), "PING\n");
    bench.pass(Duration::from_secs(120));
    assert_eq!(bench.got(client), "PING\n");
    bench.pass(Duration::from_secs(121));
    assert_eq!(bench.got(client), "-ERR 'Stale Connection'\n<Stale Connection>");
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn traffic_delays_the_ping() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.open_from(remote());
    bench.got(client);
    bench.pass(Duration::from_secs(3));
    bench.say(client, "PONG");
    bench.got(client);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(60));
        bench.say(client, "PING");
        assert_eq!(bench.got(client), "PONG\n");
    }
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.got(client), "PING\n");
}

#[test]
fn nobody_on_this_machine_is_asked_unless_the_interval_is_set() {
    let mut bench = Bench::new(Limits::default());
    let clients =
        [Peer::Local, Peer::Tcp("127.0.0.1:9".parse().unwrap()), Peer::Tcp("[::1]:9".parse().unwrap())]
            .map(|peer| bench.open_from(peer));
    assert_eq!(bench.broker.next_deadline(), None);
    assert!(clients.iter().all(|client| bench.got(*client).starts_with("INFO")));

    let interval = Some(Duration::from_millis(100));
    let mut bench = Bench::new(Limits { ping_interval: interval, ping_max: 1, ..Limits::default() });
    let client = bench.open();
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.got(client), "PING\n");
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.got(client), "-ERR 'Stale Connection'\n<Stale Connection>");
    // A short one counts from when the client has last been heard.
    let client = bench.open();
    bench.got(client);
    bench.pass(Duration::from_millis(60));
    bench.say(client, "CONNECT {\"verbose\":false}");
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_millis(40));
    assert_eq!(bench.got(client), "PING\n");
    // Who has said something since the last one is not asked this time.
    bench.say(client, "PONG");
    bench.pass(Duration::from_millis(50));
    bench.say(client, "PUB a 0\n");
    bench.pass(Duration::from_millis(149));
    assert_eq!(bench.got(client), "");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.got(client), "PING\n");
}

type Small = Arrays<112, 64, 8, 64, 8>;

/// As a firmware has it: in static memory, initialised by the compiler.
static SMALL: std::sync::Mutex<lunix_core::broker::Broker<Small>> =
    std::sync::Mutex::new(lunix_core::broker::Broker::new(
        Small::EMPTY,
        Limits {
            leaves: 0,
            connections: 8,
            subscriptions: 64,
            payload: 1024,
            control_line: 256,
            pending: 2048,
            pending_all: 4096,
            stall: true,
            write_deadline: Duration::from_secs(2),
            ping_interval: None,
            ping_max: 2,
            headers: true,
            trace: false,
            authenticate: false,
            auth_timeout: Duration::from_secs(2),
            leaf_timeout: Duration::from_secs(2),
        },
        7,
    ));

#[test]
fn static_memory_of_a_microcontroller() {
    let mut broker = SMALL.lock().unwrap();
    assert!(size_of_val(&*broker) < 16 * 1024, "{}", size_of_val(&*broker));
    let now = lunix_core::time::Instant::from_micros(0);
    for index in 0..9 {
        let client = ClientId::new(index);
        let mut turn = broker.handle(now, Input::Opened { client, peer: Peer::Local });
        while turn.poll().is_some() {}
    }
    assert_eq!(broker.statistics().connections, 8);
    for index in 0..70 {
        let client = ClientId::new(index % 8);
        let line = format!("SUB sensor.{index} {index}\r\n");
        let mut turn = broker.handle(now, Input::Received { client, bytes: line.as_bytes() });
        while turn.poll().is_some() {}
    }
    assert_eq!(broker.statistics().subscriptions, 64);
}

#[test]
fn new_limits_are_for_those_who_are_there() {
    let mut bench = Bench::new(Limits::default());
    let clients = [bench.connect(), bench.connect(), bench.connect()];
    assert_eq!(bench.broker.next_deadline(), None);
    let limits = Limits {
        connections: 2,
        payload: 4,
        ping_interval: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    bench.input(Input::Limits { limits });
    let closed = "-ERR 'maximum connections exceeded'\n<Maximum Connections Exceeded>";
    assert_eq!(clients.map(|client| bench.got(client)), [closed, "", ""]);
    bench.close(clients[0]);
    assert_eq!(bench.broker.next_deadline(), Some(bench.now + Duration::from_secs(1)));
    bench.say(clients[1], "PUB a 5\n01234");
    assert_eq!(bench.got(clients[1]), "-ERR 'Maximum Payload Violation'\n<Protocol Violation>");
    bench.input(Input::Limits { limits: Limits::default() });
    bench.say(clients[2], "PUB a 5\n01234\nPING");
    assert_eq!(bench.got(clients[2]), "PONG\n");
    assert_eq!(bench.broker.statistics().connections, 1);
}

#[test]
fn who_understands_it_hears_what_is_new() {
    let mut bench = Bench::new(Limits::default());
    let [old, silent, new] = [bench.connect(), bench.open(), bench.open()];
    bench.say(new, r#"CONNECT {"verbose":false,"protocol":1}"#);
    bench.input(Input::Inform);
    // Before its first PING a client is not told: it gets what is new with the PONG.
    assert_eq!([old, silent, new].map(|client| bench.got(client)), ["", "", ""]);
    bench.say(new, "PING");
    assert!(bench.got(new).starts_with("PONG\nINFO {"));
    bench.input(Input::Inform);
    assert_eq!([old, silent].map(|client| bench.got(client)), ["", ""]);
    let info = bench.got(new);
    assert!(info.starts_with("INFO {") && !info.contains("connect_info"), "{info}");
}
