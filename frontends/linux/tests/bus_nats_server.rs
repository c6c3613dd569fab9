//! The bus against Debian's nats-server and our natsd: what a daemon relies on, also while the server is killed and comes back.

#![allow(clippy::unwrap_used, reason = "a failing test may panic anywhere")]

mod nats_server;

use std::time::{Duration, Instant as Clock};

use lunix::bus::{Answer, Bus, Event, Options};
use lunix::reactor::{App, Key, Reactor, Ready};
use lunix_core::time::Instant;
use nats_server::free_port::free_port;
use nats_server::{Server, each};

/// A daemon that keeps what it hears.
struct Probe {
    reactor: Reactor<()>,
    app: Heard,
}

type Done = Box<dyn Fn(&[Event]) -> bool>;

struct Heard {
    bus: Bus<()>,
    events: Vec<Event>,
    done: Done,
    deadline: Instant,
}

impl Probe {
    fn new(options: Options) -> Self {
        let bus = Bus::new(options, ());
        let deadline = Instant::from_micros(u64::MAX);
        let app = Heard { bus, events: Vec::new(), done: Box::new(|_| false), deadline };
        Self { reactor: Reactor::new().unwrap(), app }
    }

    fn connected(url: &str) -> Self {
        let mut probe = Self::new(Options::new("probe", url).unwrap());
        probe.until("ready", |events| events.iter().any(|event| matches!(event, Event::Ready { .. })));
        probe
    }

    fn bus(&mut self) -> &mut Bus<()> {
        &mut self.app.bus
    }

    /// Runs until what was heard since the beginning satisfies `done`.
    fn until(&mut self, what: &str, done: impl Fn(&[Event]) -> bool + 'static) {
        self.app.done = Box::new(done);
        self.app.deadline = lunix::reactor::monotonic() + Duration::from_secs(20);
        self.reactor.run(&mut self.app).unwrap();
        assert!((self.app.done)(&self.app.events), "no {what}: {:?}", self.app.events);
    }

    /// Runs for a while.
    fn run(&mut self, span: Duration) {
        self.app.done = Box::new(|_| false);
        self.app.deadline = lunix::reactor::monotonic() + span;
        self.reactor.run(&mut self.app).unwrap();
    }

    fn payloads(&self) -> Vec<String> {
        payloads(&self.app.events)
    }
}

fn payloads(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Message(message) => Some(String::from_utf8_lossy(message.payload()).into_owned()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

impl App for Heard {
    type Token = ();

    fn ready(&mut self, reactor: &mut Reactor<()>, key: Key, (): (), _: Ready) {
        self.bus.ready(reactor, key);
    }

    fn deadline(&mut self, reactor: &mut Reactor<()>) {
        self.bus.deadline(reactor);
    }

    fn flush(&mut self, reactor: &mut Reactor<()>) {
        while let Some(event) = self.bus.next() {
            if let Event::Message(message) = &event
                && message.subject() == b"echo"
            {
                self.bus.respond(message, message.payload()).unwrap();
            }
            self.events.push(event);
        }
        self.bus.flush(reactor);
        if (self.done)(&self.events) || reactor.now() >= self.deadline {
            reactor.stop();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.bus.next_deadline().map_or(self.deadline, |at| at.min(self.deadline)))
    }
}

#[test]
fn servers_of_a_cluster_stand_in_for_each_other() {
    const NAME: &str = "servers_of_a_cluster_stand_in_for_each_other";
    let (Some(mut one), Some(mut two)) = (Server::start(NAME), Server::start(NAME)) else { return };
    let [first, second] = [free_port(), free_port()].map(|port| format!("nats://127.0.0.1:{port}"));
    one.restart_with(&["--cluster_name", "c", "--cluster", &first]);
    two.restart_with(&["--cluster_name", "c", "--cluster", &second, "--routes", &first]);
    let mut listener = Probe::connected(&two.url());
    listener.bus().subscribe("x").unwrap();
    listener.bus().barrier();
    listener.until("barrier", |events| events.iter().any(|event| matches!(event, Event::Flushed { .. })));
    // The servers know each other once a message goes from one to the other.
    while listener.payloads().is_empty() {
        let mut early = Probe::connected(&one.url());
        early.bus().publish("x", b"early").unwrap();
        early.run(Duration::from_millis(20));
        listener.run(Duration::from_millis(20));
    }
    let mut probe = Probe::connected(&one.url());
    one.kill();
    probe.until("second server", |events| {
        events.iter().any(|event| matches!(event, Event::Ready { again: true }))
    });
    probe.bus().publish("x", b"late").unwrap();
    probe.bus().barrier();
    probe.until("barrier", |events| events.iter().any(|event| matches!(event, Event::Flushed { .. })));
    listener.until("message", |events| payloads(events).contains(&"late".to_owned()));
}

#[test]
fn publishes_subscribes_and_asks() {
    each("publishes_subscribes_and_asks", |server| {
        let mut probe = Probe::connected(&server.url());
        let all = probe.bus().subscribe("all.>").unwrap();
        probe.bus().subscribe("echo").unwrap();
        probe.bus().publish("all.one", b"1").unwrap();
        let header = b"NATS/1.0\r\nKind: test\r\n\r\n";
        probe.bus().publish_with("all.two", Some(b"back.to.me"), header, b"2").unwrap();
        probe.bus().request("echo", b"anybody?", Duration::from_secs(5)).unwrap();
        probe.bus().request("nobody.listens", b"", Duration::from_secs(5)).unwrap();
        probe.until("answers", |events| {
            count(events, |event| matches!(event, Event::Answer { .. })) == 2 && payloads(events).len() == 3
        });
        let two = probe.app.events.iter().find_map(|event| match event {
            Event::Message(message) if message.subject() == b"all.two" => Some(message),
            _ => None,
        });
        let two = two.unwrap();
        assert_eq!(two.sid(), Some(all));
        assert_eq!(two.reply(), Some(&b"back.to.me"[..]));
        assert_eq!(two.headers().unwrap().get("Kind"), Some(&b"test"[..]));
        assert_eq!(two.payload(), b"2");
        let nobody = count(&probe.app.events, |event| {
            matches!(event, Event::Answer { answer: Answer::NoResponders, .. })
        });
        assert_eq!(nobody, 1);
        assert!(probe.app.events.iter().any(|event| matches!(
            event,
            Event::Answer { answer: Answer::Message(message, true), .. } if message.payload() == b"anybody?"
        )));
    });
}

#[test]
fn large_and_many_messages_cross_whole() {
    each("large_and_many_messages_cross_whole", |server| {
        let mut probe = Probe::connected(&server.url());
        probe.bus().subscribe("many").unwrap();
        probe.bus().subscribe("large").unwrap();
        // More than the buffer holds, in one turn: it is written meanwhile, not dropped.
        let body = vec![b'x'; 200];
        for _ in 0..30_000 {
            probe.bus().publish("many", &body).unwrap();
        }
        let large = vec![b'y'; 1 << 20];
        probe.bus().publish("large", &large).unwrap();
        probe.until("the large one", |events| {
            events
                .iter()
                .any(|event| matches!(event, Event::Message(message) if message.payload().len() == 1 << 20))
        });
        let many = count(
            &probe.app.events,
            |event| matches!(event, Event::Message(message) if message.subject() == b"many" && message.payload().len() == 200),
        );
        assert_eq!((many as u64 + probe.bus().dropped().0), 30_000, "{:?}", probe.bus().dropped());
        let too_large = vec![b'z'; (1 << 20) + 1];
        assert!(probe.bus().publish("large", &too_large).is_err());
    });
}

#[test]
fn a_killed_server_comes_back() {
    each("a_killed_server_comes_back", |mut server| {
        let mut probe = Probe::connected(&server.url());
        probe.bus().subscribe("news").unwrap();
        probe.bus().publish("news", b"before").unwrap();
        probe.until("the first", |events| payloads(events).len() == 1);

        server.kill();
        probe.until("the loss", |events| count(events, |event| matches!(event, Event::Lost)) == 1);
        for number in 0..100 {
            probe.bus().publish("news", format!("away {number}").as_bytes()).unwrap();
        }
        probe.run(Duration::from_millis(300));
        assert!(!probe.bus().is_ready());
        server.restart();
        probe.until("what was published meanwhile", |events| payloads(events).len() == 101);
        assert!(probe.app.events.iter().any(|event| matches!(event, Event::Ready { again: true })));
        let away: Vec<String> = (0..100).map(|number| format!("away {number}")).collect();
        assert_eq!(probe.payloads()[1..], away);
        assert_eq!(probe.bus().dropped(), (0, 0));
    });
}

#[test]
fn what_does_not_fit_while_away_is_counted() {
    each("what_does_not_fit_while_away_is_counted", |mut server| {
        let options = Options { pending: 10_000, ..Options::new("probe", &server.url()).unwrap() };
        let mut probe = Probe::new(options);
        probe.until("ready", |events| !events.is_empty());
        probe.bus().subscribe("news").unwrap();
        probe.run(Duration::from_millis(50));
        server.kill();
        probe.until("the loss", |events| events.iter().any(|event| matches!(event, Event::Lost)));
        for number in 0..1_000 {
            probe.bus().publish("news", format!("{number:04}").as_bytes()).unwrap();
        }
        server.restart();
        probe.until("the last", |events| payloads(events).last().is_some_and(|last| last == "0999"));
        probe.until("the count", |events| events.iter().any(|event| matches!(event, Event::Dropped { .. })));
        let (messages, _) = probe.bus().dropped();
        assert_eq!(probe.payloads().len() as u64 + messages, 1_000);
        assert!(probe.payloads().len() > 400, "{}", probe.payloads().len());
    });
}

#[test]
fn the_next_server_of_the_list() {
    let Some(mut first) = Server::start("the_next_server_of_the_list") else { return };
    let Some(second) = Server::start("the_next_server_of_the_list") else { return };
    let urls = format!("unix:///nowhere/natsd.sock,{},{}", first.url(), second.url());
    let mut probe = Probe::connected(&urls);
    probe.bus().subscribe("news").unwrap();
    first.kill();
    probe.until("the other one", |events| count(events, |event| matches!(event, Event::Ready { .. })) == 2);
    probe.bus().publish("news", b"here").unwrap();
    probe.until("a message", |events| payloads(events) == ["here"]);
}

#[test]
fn names_are_looked_up_without_blocking() {
    let Some(server) = Server::start("names_are_looked_up_without_blocking") else { return };
    // Not `localhost`, which needs no look-up; the resolver knows its longer name, or this host's rules differ.
    use std::net::ToSocketAddrs as _;
    let name = "localhost.";
    if (name, 1).to_socket_addrs().is_err() {
        eprintln!("SKIPPED names_are_looked_up_without_blocking: no name to look up");
        return;
    }
    let mut probe = Probe::connected(&format!("nats://{name}:{}", server.port));
    probe.bus().subscribe("news").unwrap();
    probe.bus().publish("news", b"by name").unwrap();
    probe.until("a message", |events| payloads(events) == ["by name"]);
    let begin = Clock::now();
    let mut lost = Probe::new(Options::new("probe", "nats://does-not-exist.invalid:1").unwrap());
    assert!(begin.elapsed() < Duration::from_secs(2));
    lost.until("failure", |events| events.iter().any(|event| matches!(event, Event::Failed(_))));
}

#[test]
fn drain_delivers_and_ends() {
    each("drain_delivers_and_ends", |server| {
        let mut listener = Probe::connected(&server.url());
        listener.bus().subscribe("last.words").unwrap();
        listener.bus().barrier();
        listener
            .until("the barrier", |events| events.iter().any(|event| matches!(event, Event::Flushed { .. })));
        let mut probe = Probe::connected(&server.url());
        for number in 0..1_000 {
            probe.bus().publish("last.words", format!("{number}").as_bytes()).unwrap();
        }
        probe.bus().drain();
        probe.until("the end", |events| matches!(events.last(), Some(Event::Closed)));
        drop(probe);
        listener.until("all of it", |events| payloads(events).len() == 1_000);
    });
}

#[test]
fn wrong_credentials_are_said_and_right_ones_taken() {
    let Some(mut server) = Server::start("wrong_credentials_are_said_and_right_ones_taken") else { return };
    server.restart_with(&["--user", "me", "--pass", "p@ss"]);
    let mut stranger = Probe::new(Options::new("probe", &server.url()).unwrap());
    stranger.until("refusal", |events| {
        events.iter().any(|event| matches!(event, Event::Failed(why) if why.contains("authorization")))
    });
    let url = format!("nats://me:p%40ss@127.0.0.1:{}", server.port);
    let mut probe = Probe::connected(&url);
    assert!(probe.bus().is_ready());
    server.restart_with(&["--auth", "s3cr3t"]);
    Probe::connected(&format!("nats://s3cr3t@127.0.0.1:{}", server.port));
}

#[test]
fn every_daemon_is_a_micro_service() {
    each("every_daemon_is_a_micro_service", |server| {
        let options = Options { description: "a test", ..Options::new("probe", &server.url()).unwrap() };
        let mut probe = Probe::new(options);
        probe.bus().endpoint("echo", "echo").unwrap();
        for subject in ["$SRV.PING", "$SRV.INFO.probe"] {
            probe.bus().request(subject, b"", Duration::from_secs(5)).unwrap();
        }
        probe.bus().request("echo", b"x", Duration::from_secs(5)).unwrap();
        probe.until("answers", |events| count(events, |event| matches!(event, Event::Answer { .. })) == 3);
        probe.bus().request("$SRV.STATS", b"", Duration::from_secs(5)).unwrap();
        probe.until("stats", |events| count(events, |event| matches!(event, Event::Answer { .. })) == 4);
        let answers: String = probe
            .app
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Answer { answer: Answer::Message(message, _), .. } => {
                    Some(String::from_utf8_lossy(message.payload()))
                }
                _ => None,
            })
            .collect();
        for part in [
            r#""type":"io.nats.micro.v1.ping_response","name":"probe""#,
            r#""description":"a test""#,
            r#""name":"echo","subject":"echo""#,
            r#""num_requests":1"#,
        ] {
            assert!(answers.contains(part), "{part} in {answers}");
        }
    });
}

#[test]
fn over_a_unix_socket() {
    let mut server = Server::natsd();
    let url = format!("unix://{}", server.socket.as_ref().unwrap().display());
    let mut probe = Probe::connected(&url);
    probe.bus().subscribe("news").unwrap();
    probe.bus().publish("news", b"one").unwrap();
    probe.until("a message", |events| payloads(events) == ["one"]);
    server.kill();
    probe.until("the loss", |events| events.iter().any(|event| matches!(event, Event::Lost)));
    probe.bus().publish("news", b"two").unwrap();
    server.restart();
    probe.until("the other", |events| payloads(events) == ["one", "two"]);
}
