//! `cargo xtask soak mqtt`: natsmqtt before natsd, among clients that live as badly as they can, beside two pairs that do not.
//!
//! A thousand clients connect, say half of it, vanish without a word, leave wills, sessions and retained messages, subscribe to
//! much, speak and do not listen, over and over. Meanwhile talkers count with QoS 1, and listeners check that nothing is missing,
//! twice there, or out of order. The memory of natsmqtt must not grow.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::Process;
use super::{SAMPLE, is_flat, room_for_sockets};
use crate::compile;
use crate::differential::random::Random;
use crate::paths::Scratch;
use crate::server::Server;

const CHAOTIC: usize = 1000;
const DRIVERS: usize = 4;
const PAIRS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a talker waits between two messages, and how often a driver looks after its clients.
const PACE: Duration = Duration::from_millis(20);

/// Ends it when it is dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What everybody knows.
#[derive(Clone)]
struct Ground {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

/// True if all is well.
pub(crate) fn run(minutes: u64) -> Result<bool> {
    room_for_sockets()?;
    let lunix = compile::release()?;
    let server = Server::start(&lunix)?;
    let scratch = Scratch::new()?;
    let limits = scratch.path().join("limits.conf");
    // So that they are reached soon: what is kept grows until then.
    fs::write(&limits, "limits { connections: 1100, queue: 20, retained: 1000, retained_bytes: 2MB }\n")?;
    let mut child = Command::new(lunix.with_file_name("lunix-bridge"))
        .args(["natsmqtt", "--anonymous", "--listen", "127.0.0.1:0", "--nats", &server.url(), "--config"])
        .arg(&limits)
        .stderr(Stdio::piped())
        .spawn()
        .context("start natsmqtt")?;
    let mut log = BufReader::new(child.stderr.take().context("stderr of natsmqtt")?);
    let gateway = Gateway(child);
    let mut line = String::new();
    log.read_line(&mut line)?;
    let port = line.trim_end().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.with_context(|| line.clone())?));
    // Whoever writes there must never wait for it to be read.
    thread::spawn(move || log.lines().for_each(|_| {}));

    let process = Process::new(gateway.0.id());
    let ground = Ground { address, over: Arc::new(AtomicBool::new(false)) };
    let before = process.memory()?;
    let pairs = (0..PAIRS).map(|pair| begin(&ground, pair)).collect::<Result<Vec<_>>>()?;
    let drivers: Vec<_> = (0..DRIVERS)
        .map(|driver| {
            let ground = ground.clone();
            thread::spawn(move || drive(&ground, driver))
        })
        .collect();
    let mut memory = Vec::new();
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    while Instant::now() < end {
        thread::sleep(SAMPLE.min(end.saturating_duration_since(Instant::now())));
        memory.push(process.memory().context("natsmqtt has ended")?);
    }
    ground.over.store(true, Ordering::Relaxed);
    let mut lives = 0;
    for driver in drivers {
        lives += driver.join().map_err(|_| anyhow::anyhow!("a driver of clients has panicked"))?;
    }
    let mut messages = 0;
    for (talker, listener) in pairs {
        let lost = |_| anyhow::anyhow!("who lives well has panicked");
        let (said, heard) = (talker.join().map_err(lost)??, listener.join().map_err(lost)??);
        ensure!(said == heard, "{said} messages were said, and {heard} heard");
        messages += said;
    }
    let (peak, flat) = (memory.iter().max().copied().unwrap_or(0), is_flat(&memory));
    println!("{minutes} minutes, {CHAOTIC} clients at a time, {lives} lives");
    println!(
        "private memory: {before} KiB at first, {peak} KiB at most: {}",
        if flat { "flat" } else { "GROWING" }
    );
    println!(
        "healthy: {messages} messages with QoS 1 of {PAIRS} pairs: none lost, none twice, none out of order"
    );
    Ok(flat)
}

/// A packet: its first byte, and parts of less than 128 bytes in all or, with one long part, less than 16,384.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![first];
    match body.len() {
        length @ ..128 => out.push(length as u8),
        length => out.extend([(length % 128) as u8 | 0x80, (length / 128) as u8]),
    }
    out.extend(body);
    out
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// `CONNECT` of MQTT 3.1.1; the flags say whether the session is new, and whether there is a will.
fn connect(client: &str, flags: u8) -> Vec<u8> {
    let will = if flags & 4 == 0 { Vec::new() } else { [text("chaos/wills"), text("gone")].concat() };
    packet(0x10, &[b"\0\x04MQTT\x04", &[flags, 0, 0], &text(client), &will])
}

fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(0x32, &[&text(topic), &[0, 1], payload])
}

fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &text(filter), &[1]])
}

/// Who lives well.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(ground: &Ground, name: &str) -> Result<Self> {
        let stream = TcpStream::connect(ground.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self(BufReader::new(stream));
        client.say(&connect(name, 2))?;
        ensure!(client.next()?.0 == 0x20, "no CONNACK");
        Ok(client)
    }

    fn say(&mut self, packet: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(packet)?)
    }

    /// The first byte of a packet and its rest, which is short here.
    fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let mut body = vec![0; head[1].into()];
        self.0.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

type Counting = JoinHandle<Result<u64>>;

/// A talker and a listener.
fn begin(ground: &Ground, pair: usize) -> Result<(Counting, Counting)> {
    let topic = format!("soak/{pair}");
    let mut listener = Client::new(ground, &format!("listener {pair}"))?;
    listener.say(&subscribe(&topic))?;
    ensure!(listener.next()?.0 == 0x90, "no SUBACK");
    let mut talker = Client::new(ground, &format!("talker {pair}"))?;
    let over = ground.over.clone();
    let talking = thread::spawn(move || {
        let mut said = 0;
        loop {
            let last = over.load(Ordering::Relaxed);
            let payload = if last { "over".to_owned() } else { format!("{said}") };
            talker.say(&publish(&topic, payload.as_bytes()))?;
            ensure!(talker.next()?.0 == 0x40, "no PUBACK");
            if last {
                return Ok(said);
            }
            said += 1;
            thread::sleep(PACE);
        }
    });
    let listening = thread::spawn(move || {
        let mut heard = 0_u64;
        loop {
            let (first, body) = listener.next()?;
            ensure!(first == 0x32, "something else than a message: {first:#x}");
            let topic = 2 + "soak/0".len();
            let (id, payload) = body[topic..].split_at(2);
            listener.say(&packet(0x40, &[id]))?;
            if payload == b"over" {
                return Ok(heard);
            }
            ensure!(payload == heard.to_string().as_bytes(), "after {heard} came {payload:?}");
            heard += 1;
        }
    });
    Ok((talking, listening))
}

/// A client; without a stream it waits for its next life.
struct Chaotic {
    stream: Option<TcpStream>,
    reads: bool,
    until: Instant,
}

/// Drives its share of the clients until it is over, and says how often they lived.
fn drive(ground: &Ground, driver: usize) -> u64 {
    let mut random = Random::new(driver as u64);
    let mut lives = 0;
    let begin = Instant::now();
    let mut all: Vec<Chaotic> = (0..CHAOTIC / DRIVERS)
        .map(|number| Chaotic {
            stream: None,
            reads: true,
            until: begin + Duration::from_millis(8 * number as u64),
        })
        .collect();
    let mut waste = vec![0; 64 << 10];
    while !ground.over.load(Ordering::Relaxed) {
        let now = Instant::now();
        for client in &mut all {
            if client.until <= now && client.stream.take().is_some() {
                client.until = now + Duration::from_millis(random.below(500) as u64);
            } else if client.until <= now {
                client.until = now + Duration::from_millis(500 + random.below(10_000) as u64);
                client.reads = random.percent(50);
                client.stream = live(ground, &mut random).ok();
                lives += 1;
            }
            if let Some(stream) = client.stream.as_mut().filter(|_| client.reads)
                && !is_open(stream.read(&mut waste))
            {
                client.stream = None;
            }
        }
        thread::sleep(PACE);
    }
    lives
}

fn is_open(read: std::io::Result<usize>) -> bool {
    match read {
        Ok(read) => read > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// Begins a life, and says all that will be said in it.
fn live(ground: &Ground, random: &mut Random) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&ground.address, Duration::from_secs(5))?;
    stream.set_nonblocking(true)?;
    // The same names come again, while they are there and after.
    let name = format!("chaos {}", random.below(2000));
    let hello = connect(&name, [0, 2, 4, 6][random.below(4)]);
    let rest = match random.below(8) {
        0 => return stream.write_all(&hello[..random.below(hello.len())]).map(|()| stream),
        1 => (0..random.below(2000)).map(|_| random.below(256) as u8).collect(),
        // A message that never ends.
        2 => b"\x30\xff\xff\x3f\0\x01aand then nothing".to_vec(),
        3 => (0..300)
            .flat_map(|number| subscribe(&format!("chaos/{}/+/{number}/#", random.below(50))))
            .collect(),
        4 => (0..50)
            .flat_map(|_| {
                let mut kept = publish(
                    &format!("chaos/kept/{}", random.below(10_000)),
                    &[b'x'; 5000][..random.below(5000)],
                );
                kept[0] |= 1;
                kept
            })
            .collect(),
        // Nobody can take this for long without reading.
        5 => [0xC0, 0].repeat(50_000),
        6 => [subscribe("chaos/#"), subscribe("#")].concat(),
        _ => [subscribe("chaos/wills"), vec![0xC0, 0]].concat(),
    };
    stream.write_all(&hello)?;
    match stream.write_all(&rest) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(stream),
    }
}
