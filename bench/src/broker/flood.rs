//! As many messages as a server takes: prebuilt batches in, bytes counted out, all in one thread and one epoll.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::process::{Kind, Process};
use super::wire::{Address, Wire};

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub publishers: usize,
    pub subscribers: usize,
    pub size: usize,
    /// Of what is said over WebSockets each message is a frame, instead of as many as there is room for in a batch.
    pub apart: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub published: u64,
    pub delivered: u64,
    pub wall: Duration,
    pub cpu: Duration,
}

impl Outcome {
    /// Messages a second, at the end where there are more.
    pub fn rate(&self) -> f64 {
        self.published.max(self.delivered) as f64 / self.wall.as_secs_f64()
    }

    /// Messages in and out for each second of the server's processor time.
    pub fn efficiency(&self) -> f64 {
        (self.published + self.delivered) as f64 / self.cpu.as_secs_f64()
    }
}

const BATCH: usize = 32 << 10;
const READ: usize = 256 << 10;
/// Reads from one subscriber before the others have their turn.
const TURNS: usize = 4;
/// What all subscribers together may be behind: less than what makes any of the servers give one up.
const BEHIND: usize = 16 << 20;

struct Publisher {
    wire: Wire,
    sent: u64,
    blocked: bool,
    /// When time is over: the rest of its last message, and the question whether it came.
    last: Vec<u8>,
    answered: bool,
}

struct Subscriber {
    wire: Wire,
    got: u64,
}

impl Flood {
    /// Runs for `time`, and until everything has arrived.
    pub fn run(
        self,
        process: &Process,
        kind: Kind,
        address: &Address,
        time: Duration,
    ) -> io::Result<Outcome> {
        let subject = "bench.flood";
        let payload = "x".repeat(self.size);
        let message = format!("PUB {subject} {}\r\n{payload}\r\n", self.size);
        // A relay makes nothing of what it copies.
        let out = match kind {
            Kind::Relay => message.len(),
            _ => format!("MSG {subject} 1 {}\r\n{payload}\r\n", self.size).len(),
        };
        let fitting = (BATCH / message.len()).max(1);
        // What is sent whole or not at all.
        let together = if matches!(address, Address::Web(_)) && !self.apart { fitting } else { 1 };
        let unit = address.framed(message.repeat(together).as_bytes()).into_owned();
        let batch = unit.repeat(fitting / together);
        let ping = address.framed(b"PING\r\n");
        let mut subscribers: Vec<Subscriber> = (0..self.subscribers)
            .map(|_| {
                let wire = match kind {
                    Kind::Relay => role(address, b"S"),
                    _ => Wire::client(address, &format!("SUB {subject} 1\r\n")),
                };
                Ok(Subscriber { wire: wire?, got: 0 })
            })
            .collect::<io::Result<_>>()?;
        let mut publishers: Vec<Publisher> = (0..self.publishers)
            .map(|_| {
                let wire = match kind {
                    Kind::Relay => role(address, b"P"),
                    _ => Wire::client(address, ""),
                };
                let answered = kind == Kind::Relay;
                Ok(Publisher { wire: wire?, sent: 0, blocked: false, last: Vec::new(), answered })
            })
            .collect::<io::Result<_>>()?;

        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, subscriber) in subscribers.iter().enumerate() {
            subscriber.wire.nonblocking()?;
            epoll::add(&epoll, &subscriber.wire, EventData::new_u64(index as u64), EventFlags::IN)?;
        }
        for (index, publisher) in publishers.iter().enumerate() {
            publisher.wire.nonblocking()?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(
                &epoll,
                &publisher.wire,
                EventData::new_u64((subscribers.len() + index) as u64),
                flags,
            )?;
        }

        let (unit_len, together) = (unit.len() as u64, together as u64);
        let behind = (BEHIND.max(self.size * self.subscribers * 4)) as u64;
        let mut buffer = vec![0; READ];
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let (mut sent, mut got) = (0_u64, 0_u64);
        let cpu = process.cpu()?;
        let start = Instant::now();
        let mut over = false;
        loop {
            let expected = sent / unit_len * together * self.subscribers as u64 * out as u64;
            let done = |publisher: &Publisher| publisher.answered && publisher.last.is_empty();
            // A server also says what nobody asked for, such as PING.
            let each = expected / (self.subscribers.max(1)) as u64;
            let has_all = |subscriber: &Subscriber| subscriber.got >= each;
            if over && got >= expected && publishers.iter().all(done) && subscribers.iter().all(has_all) {
                break;
            }
            let may_send = over || expected.saturating_sub(got) < behind;
            let mut writing = false;
            for publisher in publishers.iter_mut().filter(|publisher| may_send && !publisher.blocked) {
                let from = (publisher.sent % batch.len() as u64) as usize;
                let bytes = if over { &publisher.last[..] } else { &batch[from..] };
                if bytes.is_empty() {
                    continue;
                }
                match publisher.wire.write(bytes) {
                    Ok(written) if over => drop(publisher.last.drain(..written)),
                    Ok(written) => {
                        publisher.sent += written as u64;
                        sent += written as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => publisher.blocked = true,
                    Err(error) => return Err(error),
                }
                writing = true;
            }
            if !over && start.elapsed() >= time {
                over = true;
                for publisher in &mut publishers {
                    let from = (publisher.sent % unit_len) as usize;
                    if from > 0 {
                        publisher.last.extend_from_slice(&unit[from..]);
                        publisher.sent += publisher.last.len() as u64;
                        sent += publisher.last.len() as u64;
                    }
                    if kind != Kind::Relay {
                        publisher.last.extend_from_slice(&ping);
                    }
                }
                continue;
            }
            events.clear();
            let wait =
                if writing { Duration::ZERO } else { Duration::from_millis(if over { 5000 } else { 20 }) };
            let wait = rustix::time::Timespec::try_from(wait).map_err(io::Error::other)?;
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
            if over && !writing && events.is_empty() {
                return Err(io::Error::other(format!("{got} of {expected} bytes came, then nothing")));
            }
            for event in &events {
                let Event { flags, data } = *event;
                let index = data.u64() as usize;
                if let Some(subscriber) = subscribers.get_mut(index) {
                    for _ in 0..TURNS {
                        match subscriber.wire.read(&mut buffer) {
                            Ok(0) => return Err(io::Error::other("a subscriber was closed")),
                            Ok(read) => {
                                subscriber.got += read as u64;
                                got += read as u64;
                                if read < buffer.len() {
                                    break;
                                }
                            }
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                            Err(error) => return Err(error),
                        }
                    }
                } else if let Some(publisher) = publishers.get_mut(index - subscribers.len()) {
                    if flags.contains(EventFlags::OUT) {
                        publisher.blocked = false;
                    }
                    if kind != Kind::Relay && flags.contains(EventFlags::IN) {
                        match publisher.wire.read(&mut buffer) {
                            Ok(0) => return Err(io::Error::other("a publisher was closed")),
                            Ok(read) => {
                                publisher.answered |= buffer[..read].windows(4).any(|text| text == b"PONG")
                            }
                            Err(_) => {}
                        }
                    }
                }
            }
        }
        let wall = start.elapsed();
        let cpu = process.cpu()? - cpu;
        let published = sent / unit_len * together;
        Ok(Outcome { published, delivered: got / out as u64, wall, cpu })
    }
}

fn role(address: &Address, role: &[u8]) -> io::Result<Wire> {
    let mut wire = Wire::open(address)?;
    wire.write_all(role)?;
    // It answers when it knows.
    wire.read_exact(&mut [0])?;
    Ok(wire)
}
