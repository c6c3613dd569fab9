//! Clients that live badly.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::AddAssign;
use std::thread;
use std::time::{Duration, Instant};

use super::Ground;
use crate::differential::random::Random;
use crate::nats::Client;

/// What was done to the server.
#[derive(Default)]
pub(super) struct Counts {
    lives: u64,
    refused: u64,
    garbage: u64,
    slow: u64,
    /// Of all, those that the server ended.
    ended: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.lives += other.lives;
        self.refused += other.refused;
        self.garbage += other.garbage;
        self.slow += other.slow;
        self.ended += other.ended;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} of them slow, {} with garbage, {} ended by the server, {} not accepted",
            self.lives, self.slow, self.garbage, self.ended, self.refused
        )
    }
}

/// A client; without a stream it waits for its next life.
struct Chaotic {
    stream: Option<TcpStream>,
    /// It reads what it gets.
    reads: bool,
    until: Instant,
}

/// How often a driver looks after its clients.
const ROUND: Duration = Duration::from_millis(50);

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// Drives so many clients until it is over.
pub(super) fn drive(ground: &Ground, clients: usize, seed: u64) -> Counts {
    let mut random = Random::new(seed);
    let mut counts = Counts::default();
    let begin = Instant::now();
    let mut all: Vec<Chaotic> = (0..clients)
        // They come within two seconds, not at once: a queue of connections is not endless.
        .map(|number| Chaotic {
            stream: None,
            reads: true,
            until: begin + Duration::from_millis(2000 * number as u64 / clients as u64),
        })
        .collect();
    let mut waste = vec![0; 256 << 10];
    let flood = "f".repeat(100_000);
    let mut flooding = Client::connect(ground.port, Duration::from_secs(60)).ok();
    while !ground.is_over() {
        if flooding.as_mut().is_some_and(|client| client.publish("flood", &flood).is_err()) {
            flooding = None;
        }
        let now = Instant::now();
        for client in &mut all {
            if client.until <= now {
                client.turn(ground, &mut random, &mut counts);
            }
            if client.reads {
                client.read(&mut waste, &mut counts);
            }
        }
        thread::sleep(ROUND);
    }
    counts
}

impl Chaotic {
    /// Ends a life, without a word and perhaps with much unread, or begins one.
    fn turn(&mut self, ground: &Ground, random: &mut Random, counts: &mut Counts) {
        let now = Instant::now();
        if self.stream.take().is_some() {
            self.until = now + Duration::from_millis(random.below(500) as u64);
            return;
        }
        self.until = now + Duration::from_millis(1000 + random.below(20_000) as u64);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ground.port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
            counts.refused += 1;
            return;
        };
        counts.lives += 1;
        let said = stream.set_nonblocking(true).and_then(|()| self.live(&mut stream, random, counts));
        match said {
            Err(error) if error.kind() != ErrorKind::WouldBlock => counts.ended += 1,
            _ => self.stream = Some(stream),
        }
    }

    fn live(
        &mut self,
        stream: &mut TcpStream,
        random: &mut Random,
        counts: &mut Counts,
    ) -> std::io::Result<()> {
        self.reads = random.percent(50);
        counts.slow += u64::from(!self.reads);
        stream.write_all(CONNECT.as_bytes())?;
        match random.below(10) {
            0 => {
                counts.garbage += 1;
                let garbage: Vec<u8> = (0..random.below(2000)).map(|_| random.below(256) as u8).collect();
                stream.write_all(&garbage)
            }
            // A message that never ends.
            1 => stream.write_all(b"PUB chaos.half 1000\r\nand then nothing"),
            2 => (0..100).try_for_each(|number| {
                let word = random.below(50);
                stream.write_all(format!("SUB chaos.{word}.*.{number}.> group{word} {number}\r\n").as_bytes())
            }),
            3 => (0..20).try_for_each(|_| {
                let length = random.below(3000);
                let head = format!("PUB chaos.{} chaos.reply {length}\r\n", random.below(50));
                stream.write_all(&[head.as_bytes(), &vec![b'x'; length], b"\r\n"].concat())
            }),
            // Nobody can take this for long without reading.
            4 if !self.reads && random.percent(10) => stream.write_all(b"SUB flood 1\r\nSUB > 2\r\n"),
            _ => stream.write_all(b"SUB soak.* 1\r\nSUB chaos.> 2\r\nUNSUB 2 100\r\nPING\r\n"),
        }
    }

    /// Takes what is there.
    fn read(&mut self, waste: &mut [u8], counts: &mut Counts) {
        let Some(stream) = &mut self.stream else { return };
        match stream.read(waste) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => {
                counts.ended += 1;
                self.stream = None;
                self.until = Instant::now();
            }
        }
    }
}
