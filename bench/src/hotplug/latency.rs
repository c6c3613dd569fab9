//! From the kernel's event until somebody hears of it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lunix_inject::Kernel;
use lunix_inject::storm::{self, Pace};
use lunix_uevent::Uevent;
use lunix_uevent::monitor::Message;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt};

use super::daemon::{self, Daemon, Kind, Program};
use crate::broker::process::Process;
use crate::broker::wire::Wire;

/// Who hears it.
#[derive(Clone, Copy, Debug)]
pub enum Latency {
    /// A subscriber to `hardware.>`: the device is ready.
    Ready,
    /// A subscriber to `uevent.>`: the kernel has said it.
    Said,
    /// A user of libudev: the device is ready.
    Libudev,
}

/// Events that were heard.
pub struct Heard(Vec<Duration>);

impl Heard {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which this part of them was heard.
    pub fn at(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((part * last as f64).round() as usize).copied().unwrap_or_default()
    }
}

/// What is heard, on whatever thread.
#[derive(Default)]
struct Ears {
    /// Devices of which the daemon has spoken since it was started: a change of others is no news.
    known: Mutex<HashSet<Vec<u8>>>,
    /// When the event of a device that is on its way was said.
    underway: Mutex<HashMap<Vec<u8>, Instant>>,
    times: Mutex<Vec<Duration>>,
}

impl Ears {
    fn hear(&self, devpath: &[u8], is_change: bool) {
        let now = Instant::now();
        if is_change && let Some(said) = self.underway.lock().unwrap().remove(devpath) {
            self.times.lock().unwrap().push(now - said);
        }
        let mut known = self.known.lock().unwrap();
        if !known.contains(devpath) {
            known.insert(devpath.to_vec());
        }
    }

    fn count(&self) -> usize {
        self.times.lock().unwrap().len()
    }
}

/// Events a second.
const RATE: u32 = 1000;

impl Latency {
    /// Those that `kind` has.
    pub fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Natsdev => &[Self::Ready, Self::Said, Self::Libudev],
            Kind::Udevd => &[Self::Libudev],
            Kind::Mdev | Kind::Mdevd => &[],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "`hardware.>`",
            Self::Said => "`uevent.>`",
            Self::Libudev => "libudev",
        }
    }

    /// Has the kernel say `change` of `count` devices while nothing else happens.
    pub fn at_rest(
        self,
        program: &Program,
        natsd: &Process,
        machine: &[Vec<u8>],
        count: usize,
    ) -> io::Result<Heard> {
        let ears = Arc::new(Ears::default());
        self.listen(natsd, &ears)?;
        let (daemon, _) = Daemon::coldplug(program, natsd)?;
        let mut say = Say::new(&ears, machine)?;
        for _ in 0..count {
            say.one()?;
        }
        daemon.done()?;
        say.end()
    }

    /// The same while it handles all devices of the machine, which it does at its start: it is started as often as it takes.
    pub fn coldplugging(
        self,
        program: &Program,
        natsd: &Process,
        machine: &[Vec<u8>],
        count: usize,
    ) -> io::Result<Heard> {
        let ears = Arc::new(Ears::default());
        self.listen(natsd, &ears)?;
        let mut say = Say::new(&ears, machine)?;
        while ears.count() < count {
            ears.known.lock().unwrap().clear();
            let mut daemon = Daemon::start(program, natsd)?;
            daemon.listens()?;
            let trigger = thread::spawn({
                let coldplugs = program.kind.coldplugs();
                move || if coldplugs { Ok(()) } else { daemon::trigger() }
            });
            // From its first word to its last.
            let mut begun = false;
            while !begun || daemon.is_busy() || !trigger.is_finished() {
                begun = begun || daemon.is_busy();
                say.one()?;
            }
            trigger.join().map_err(|_| io::Error::other("nobody asked for events"))??;
            daemon.done()?;
            say.check()?;
        }
        say.end()
    }

    /// Hears on a thread, which ends with the first message that nobody waits for any more.
    fn listen(self, natsd: &Process, ears: &Arc<Ears>) -> io::Result<()> {
        let ears = Arc::downgrade(ears);
        let subject = match self {
            Self::Ready => "hardware.>",
            Self::Said => "uevent.>",
            Self::Libudev => {
                let socket = monitor()?;
                thread::spawn(move || {
                    let mut buffer = vec![0; 16 << 10];
                    while let Ok((length, _)) = recv(&socket, &mut buffer[..], RecvFlags::empty())
                        && let Some(ears) = ears.upgrade()
                    {
                        let Ok(message) = Message::parse(&buffer[..length]) else { continue };
                        let get = |wanted: &[u8]| {
                            message
                                .properties()
                                .find(|(key, _)| *key == wanted)
                                .map_or(&b""[..], |(_, value)| value)
                        };
                        ears.hear(get(b"DEVPATH"), get(b"ACTION") == b"change");
                    }
                });
                return Ok(());
            }
        };
        let mut wire = Wire::client(&natsd.address(false), &format!("SUB {subject} 1\r\n"))?;
        thread::spawn(move || {
            let mut text = Vec::new();
            let mut part = vec![0; 64 << 10];
            let mut is_change = false;
            while let Ok(length @ 1..) = wire.read(&mut part)
                && let Some(ears) = ears.upgrade()
            {
                text.extend_from_slice(&part[..length]);
                let mut from = 0;
                // A line says the subject, the next one is the body: JSON.
                while let Some(length) = text[from..].iter().position(|byte| *byte == b'\n') {
                    let line = &text[from..from + length];
                    from += length + 1;
                    if line.starts_with(b"MSG ") {
                        let subject = line[4..].split(|byte| *byte == b' ').next().unwrap_or_default();
                        is_change = subject.ends_with(b".change");
                    } else if let Some(devpath) = devpath(line) {
                        ears.hear(devpath, is_change);
                    }
                }
                text.drain(..from);
            }
        });
        Ok(())
    }
}

/// Says one event after the other.
struct Say {
    ears: Arc<Ears>,
    kernel: Kernel,
    events: Vec<(Vec<u8>, Vec<u8>)>,
    next: usize,
    pace: Pace,
}

impl Say {
    fn new(ears: &Arc<Ears>, machine: &[Vec<u8>]) -> io::Result<Self> {
        let events = changes(machine);
        Ok(Self {
            ears: Arc::clone(ears),
            kernel: Kernel::open()?,
            events,
            next: 0,
            pace: Pace::new(Some(RATE)),
        })
    }

    /// When it is time for it: of the next device that is known, and whose turn is over.
    fn one(&mut self) -> io::Result<()> {
        self.pace.wait();
        let mut underway = self.ears.underway.lock().unwrap();
        let known = self.ears.known.lock().unwrap();
        for _ in 0..self.events.len() {
            let (devpath, event) = &self.events[self.next % self.events.len()];
            self.next += 1;
            if known.contains(devpath) && !underway.contains_key(devpath) {
                drop(known);
                underway.insert(devpath.clone(), Instant::now());
                drop(underway);
                return self.kernel.inject(event);
            }
        }
        Ok(())
    }

    /// All must have been heard, or be on their last way.
    fn check(&self) -> io::Result<()> {
        for _ in 0..100 {
            if self.ears.underway.lock().unwrap().is_empty() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let underway = self.ears.underway.lock().unwrap();
        let names: Vec<_> = underway.keys().map(|devpath| devpath.escape_ascii().to_string()).collect();
        Err(io::Error::other(format!("nobody heard of {}", names.join(", "))))
    }

    fn end(self) -> io::Result<Heard> {
        self.check()?;
        let mut times = std::mem::take(&mut *self.ears.times.lock().unwrap());
        times.sort();
        Ok(Heard(times))
    }
}

/// `change` of every device whose drivers do not mind.
fn changes(machine: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of = |event: &Vec<u8>| {
        let event = Uevent::parse(event).ok()?;
        if matches!(event.subsystem(), b"block" | b"net" | b"usb") {
            return None;
        }
        let vars: Vec<_> = event.vars().skip(2).collect();
        Some((event.devpath().to_vec(), storm::event(b"change", event.devpath(), &vars)?))
    };
    machine.iter().filter_map(of).collect()
}

/// Of the first device that this JSON names.
fn devpath(json: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"devpath\":\"";
    let at = json.windows(KEY.len()).position(|text| text == KEY)? + KEY.len();
    let length = json[at..].iter().position(|byte| *byte == b'"')?;
    Some(&json[at..at + length])
}

/// Hears what users of libudev hear.
fn monitor() -> io::Result<OwnedFd> {
    let kind = SocketType::DGRAM;
    let socket = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, Some(KOBJECT_UEVENT))?;
    sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, 4 << 20))?;
    bind(&socket, &SocketAddrNetlink::new(0, 2))?;
    Ok(socket)
}
