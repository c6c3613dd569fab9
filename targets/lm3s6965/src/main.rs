//! A NATS server in 64 KB of RAM: see `README.md`.
#![no_std]
#![no_main]

mod ring;
mod stack;

use core::cell::RefCell;
use core::fmt::Write as _;

use cortex_m::interrupt::{self, Mutex};
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use lunix_core::broker::{Action, Arrays, Broker, ClientId, Input, Limits, Peer, Progress};
use lunix_core::time::{Duration, Instant};
use lunix_proto::nats::Info;
use panic_semihosting as _;

use ring::Ring;

const CLIENTS: usize = 8;
const SUBSCRIPTIONS: usize = 64;
const PAYLOAD: usize = 512;
type Memory = Arrays<112, SUBSCRIPTIONS, 8, 64, CLIENTS>;

/// Broker, rings, and the one buffer that all connections are read into.
struct Server {
    broker: Broker<Memory>,
    rings: [Ring; CLIENTS],
    input: [u8; 1024],
}

static SERVER: Mutex<RefCell<Server>> = Mutex::new(RefCell::new(Server::NEW));

impl Server {
    const NEW: Self = Self {
        broker: Broker::new(
            Memory::EMPTY,
            Limits {
                connections: CLIENTS as u32,
                subscriptions: SUBSCRIPTIONS as u32,
                payload: PAYLOAD,
                control_line: 256,
                pending: ring::ROOM,
                pending_all: CLIENTS * ring::ROOM,
                write_deadline: Duration::from_secs(10),
                ..Limits::DEFAULT
            },
            0x5eed,
        ),
        rings: [Ring::EMPTY; CLIENTS],
        input: [0; 1024],
    };

    fn handle(&mut self, input: Input<'_>) -> Progress {
        let Self { broker, rings, .. } = self;
        drive(broker, rings, input)
    }

    /// As if `client` had sent `text`.
    fn hear(&mut self, client: usize, text: &str) {
        let Self { broker, rings, input } = self;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let len = rest.len().min(input.len());
            input[..len].copy_from_slice(&rest[..len]);
            let client = ClientId::new(client as u32);
            match drive(broker, rings, Input::Received { client, bytes: &input[..len] }) {
                Progress::Consumed(bytes) => rest = &rest[bytes..],
                _ => panic!("an operation that never ends"),
            }
        }
    }

    /// As if `client` had read all that was sent to it; answers how many messages that was.
    fn read(&mut self, client: usize) -> usize {
        let text = self.rings[client].take();
        let messages = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"MSG ")).count();
        let refused = text.starts_with(b"-ERR");
        assert!(!refused, "the broker refused");
        self.handle(Input::Flushed { client: ClientId::new(client as u32), left: 0 });
        messages
    }
}

fn drive(broker: &mut Broker<Memory>, rings: &mut [Ring; CLIENTS], input: Input<'_>) -> Progress {
    let info = Info {
        server_id: "LM3S6965".into(),
        version: "2.15.1".into(),
        proto: 1,
        headers: true,
        max_payload: PAYLOAD as u64,
        ..Info::default()
    };
    let mut turn = broker.handle(Instant::from_micros(0), input);
    while let Some(action) = turn.poll() {
        match action {
            Action::Send { to, line } => {
                let ring = &mut rings[to.index() as usize];
                let written = line.encode(ring.room(), &info).expect("the broker counts what waits");
                ring.wrote(written);
            }
            Action::Deliver(delivery) => {
                let ring = &mut rings[delivery.to().index() as usize];
                let written = delivery.encode_head(ring.room()).expect("the broker counts what waits");
                ring.wrote(written);
                ring.push(delivery.body());
            }
            // What it is fed with comes whole.
            Action::Stall { .. } | Action::Resume { .. } => {}
            _ => panic!("nobody is closed here"),
        }
    }
    turn.progress()
}

/// Eight clients of eight subscriptions each; every client is heard by all others and by itself.
fn play(server: &mut Server) -> usize {
    for client in 0..CLIENTS {
        server.handle(Input::Opened { client: ClientId::new(client as u32), peer: Peer::Local });
        server.hear(client, "CONNECT {\"verbose\":false,\"headers\":true}\r\nPING\r\n");
        server.read(client);
        let mut line = heapless::String::<64>::new();
        for sid in 1..SUBSCRIPTIONS / CLIENTS {
            line.clear();
            write!(line, "SUB sensor.{client}.channel.{sid} {sid}\r\n").expect("short enough");
            server.hear(client, &line);
        }
        server.hear(client, "SUB event.> all\r\n");
    }
    let mut delivered = 0;
    for client in 0..CLIENTS {
        server.hear(client, "PUB event.hardware.usb.add 12\r\nhello, world\r\n");
        server.hear(client, "PUB sensor.3.channel.5 2\r\n21\r\n");
        delivered += (0..CLIENTS).map(|reader| server.read(reader)).sum::<usize>();
    }
    delivered
}

#[entry]
fn main() -> ! {
    stack::paint();
    interrupt::free(|section| {
        let server = &mut *SERVER.borrow(section).borrow_mut();
        let delivered = play(server);
        let statistics = server.broker.statistics();
        assert_eq!(statistics.subscriptions as usize, SUBSCRIPTIONS);
        assert_eq!(delivered, CLIENTS * (CLIENTS + 1));
        hprintln!(
            "{} connections, {} subscriptions, {} messages delivered; stack: {} bytes",
            statistics.connections,
            statistics.subscriptions,
            delivered,
            stack::used()
        );
    });
    loop {
        debug::exit(debug::EXIT_SUCCESS);
    }
}
