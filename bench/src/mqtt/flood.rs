//! As many messages as a server takes from devices that wait for its acknowledgements, all in one thread and one epoll.

use std::io;
use std::time::{Duration, Instant};

use lunix_proto::mqtt::Qos;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::device::Device;
use super::server::Server;

/// A load. Everybody subscribes to the topic on which everybody publishes.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub publishers: usize,
    pub subscribers: usize,
    pub size: usize,
    pub qos: Qos,
    /// Messages with QoS 1 and 2 under way, of one device.
    pub window: u16,
    /// Subscribers have sessions that are kept.
    pub is_kept: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub delivered: u64,
    pub wall: Duration,
    pub cpu: Duration,
}

impl Outcome {
    /// Messages delivered in a second.
    pub fn rate(&self) -> f64 {
        self.delivered as f64 / self.wall.as_secs_f64()
    }

    /// Seconds of processor for a million messages delivered.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.delivered as f64
    }
}

/// What every server grants of those unless it is told otherwise.
pub const WINDOW: u16 = 20;
/// What the slowest subscriber may be behind, so that no server gives up anything: bytes, bytes of all subscribers together,
/// and messages with QoS 1 and 2.
const BEHIND: usize = 256 << 10;
const ALL_BEHIND: usize = 8 << 20;
const BEHIND_MESSAGES: usize = 500;
/// Bytes that a publisher gathers before it writes.
const BATCH: usize = 16 << 10;
const READ: usize = 256 << 10;
const TOPIC: &str = "bench/flood";

impl Flood {
    /// Runs for `time`, and until everything has arrived and is acknowledged.
    pub fn run(self, server: &Server, time: Duration) -> io::Result<Outcome> {
        let open = |kind: &str, count: usize, is_kept| -> io::Result<Vec<Device>> {
            let open = |index| {
                let open = if is_kept { Device::open_kept } else { Device::open };
                let mut device = open(server.address, &format!("{kind}{index}"), self.window)?;
                device.welcomed()?;
                Ok(device)
            };
            (0..count).map(open).collect()
        };
        let mut devices = open("publisher", self.publishers, false)?;
        devices.extend(open("subscriber", self.subscribers, self.is_kept)?);
        for device in &mut devices[self.publishers..] {
            device.subscribe(TOPIC, self.qos)?;
            device.subscribed()?;
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, device) in devices.iter().enumerate() {
            device.nonblocking()?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&epoll, device, EventData::new_u64(index as u64), flags)?;
        }
        self.drive(server, &epoll, &mut devices, time)
    }

    fn drive(
        self,
        server: &Server,
        epoll: &impl std::os::fd::AsFd,
        devices: &mut [Device],
        time: Duration,
    ) -> io::Result<Outcome> {
        let payload = vec![b'x'; self.size];
        let behind = BEHIND.min(ALL_BEHIND / self.subscribers) / (self.size + 32);
        let behind = match self.qos {
            Qos::AtMostOnce => behind,
            _ => behind.min(BEHIND_MESSAGES),
        } as u64;
        let mut buffer = vec![0; READ];
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let mut published = 0;
        let cpu = server.cpu()?;
        let start = Instant::now();
        loop {
            let over = start.elapsed() >= time;
            let slowest = |devices: &[Device]| {
                devices[self.publishers..].iter().map(|device| device.got).min().unwrap_or_default()
            };
            let mut room = if over { 0 } else { behind.saturating_sub(published - slowest(devices)) };
            for publisher in &mut devices[..self.publishers] {
                while room > 0 && publisher.pending() < BATCH && publisher.publish(TOPIC, self.qos, &payload)
                {
                    published += 1;
                    room -= 1;
                }
                publisher.flush()?;
            }
            let is_free = |device: &Device| device.free.len() == usize::from(self.window);
            if over && slowest(devices) >= published && devices[..self.publishers].iter().all(is_free) {
                break;
            }
            events.clear();
            let patience = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
            epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience))?;
            if events.is_empty() {
                let slowest = slowest(devices);
                return Err(io::Error::other(format!(
                    "{slowest} of {published} messages came, then nothing"
                )));
            }
            for event in &events {
                let Event { flags, data } = *event;
                let device = &mut devices[data.u64() as usize];
                if flags.contains(EventFlags::OUT) {
                    device.flush()?;
                }
                while device.read(&mut buffer)? {}
            }
        }
        let (wall, cpu) = (start.elapsed(), server.cpu()? - cpu);
        let delivered = devices[self.publishers..].iter().map(|device| device.got).sum();
        Ok(Outcome { delivered, wall, cpu })
    }
}
