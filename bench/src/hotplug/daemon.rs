//! One of the daemons: how it is started, asked to handle all devices, and left to rest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use lunix_inject::Kernel;
use lunix_inject::receiver::{Receiver, listeners};
use lunix_inject::storm::{self, Pace};

use super::SYSFS;
use crate::broker::process::Process;
use crate::broker::wire::Address;
use crate::tree;

#[derive(Clone, Debug)]
pub struct Program {
    pub kind: Kind,
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In udevd's place, with the same rules, publishing all of it.
    Natsdev,
    Mdevd,
    Mdev,
    Udevd,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Natsdev => "natsdev",
            Self::Mdevd => "mdevd",
            Self::Mdev => "busybox `mdev -df`",
            Self::Udevd => "systemd-udevd",
        }
    }

    /// Whether it looks for the devices of the machine by itself when it starts.
    pub fn coldplugs(self) -> bool {
        matches!(self, Self::Natsdev | Self::Mdev)
    }
}

/// A running one.
pub struct Daemon {
    pub kind: Kind,
    receiver: Receiver,
}

/// Of a daemon that begins.
#[derive(Clone, Copy, Debug)]
pub struct Coldplug {
    pub wall: Duration,
    pub cpu: Duration,
}

/// The most that it was meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// In KiB, of all its processes.
    pub pss: u64,
    pub processes: usize,
}

/// Events that it was told of.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    pub events: usize,
    /// Of them, those that found no room.
    pub lost: u64,
    wall: Duration,
    cpu: Duration,
}

impl Events {
    /// Microseconds for each that arrived.
    pub fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.events as f64 - self.lost as f64)
    }

    /// Handled in a second.
    pub fn rate(&self) -> f64 {
        (self.events as f64 - self.lost as f64) / self.wall.as_secs_f64()
    }
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Daemon {
    pub fn start(program: &Program, natsd: &Process) -> io::Result<Self> {
        let mut arguments: Vec<String> = Vec::new();
        match program.kind {
            Kind::Natsdev => {
                let Address::Tcp(address) = natsd.address(false) else { unreachable!("it was asked for") };
                let server = format!("nats://{address}");
                arguments.extend(
                    ["natsdev", "--manage", "yes", "--coldplug", "auto", "--nats"].map(str::to_owned),
                );
                arguments.push(server);
            }
            Kind::Mdev => arguments.extend(["mdev", "-df"].map(str::to_owned)),
            Kind::Mdevd | Kind::Udevd => {}
        }
        let receiver = Receiver::start(&program.path, arguments, Stdio::null(), Stdio::null())?;
        Ok(Self { kind: program.kind, receiver })
    }

    pub fn id(&self) -> u32 {
        self.receiver.id()
    }

    /// Waits until it hears the kernel.
    pub fn listens(&mut self) -> io::Result<()> {
        self.receiver.listens()
    }

    /// Starts it, and has it handle all devices of the machine.
    pub fn coldplug(program: &Program, natsd: &Process) -> io::Result<(Self, Coldplug)> {
        let begin = Instant::now();
        let mut daemon = Self::start(program, natsd)?;
        daemon.listens()?;
        daemon.trigger_if_asked()?;
        let end = daemon.done()?;
        let coldplug = Coldplug { wall: end - begin, cpu: tree::cpu(daemon.id()) };
        Ok((daemon, coldplug))
    }

    /// The same, and how much memory it takes meanwhile; to look costs time.
    pub fn watched(program: &Program, natsd: &Process) -> io::Result<Peak> {
        let mut daemon = Self::start(program, natsd)?;
        daemon.listens()?;
        let id = daemon.id();
        let (over, watch) = std::sync::mpsc::channel::<()>();
        let watcher = thread::spawn(move || {
            let mut peak = Peak { pss: 0, processes: 0 };
            while watch.recv_timeout(Duration::from_millis(1))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                peak.pss = peak.pss.max(tree::memory(id, &["Pss"]));
                peak.processes = peak.processes.max(tree::processes(id).len());
            }
            peak
        });
        daemon.trigger_if_asked()?;
        daemon.done()?;
        drop(over);
        watcher.join().map_err(|_| io::Error::other("nobody looked"))
    }

    fn trigger_if_asked(&self) -> io::Result<()> {
        if self.kind.coldplugs() { Ok(()) } else { trigger() }
    }

    /// Waits until it has handled all that it was told of; when that was.
    pub fn done(&self) -> io::Result<Instant> {
        const SURE: u32 = 4;
        let begin = Instant::now();
        let mut since = begin;
        let mut quiet = 0;
        while quiet < SURE {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{} does not come to rest", self.kind.name())));
            }
            if self.is_busy() || tree::is_awake(self.id()) {
                quiet = 0;
            } else {
                if quiet == 0 {
                    since = Instant::now();
                }
                quiet += 1;
            }
            thread::sleep(Duration::from_micros(500));
        }
        Ok(since)
    }

    pub fn is_busy(&self) -> bool {
        is_busy(self.id())
    }

    pub fn idle(&self, time: Duration) -> io::Result<tree::Idle> {
        tree::idle(self.id(), time)
    }

    /// Tells it of `events`, `times` times, each time all at once or at a rate.
    pub fn events(
        &self,
        kernel: &Kernel,
        events: &[Vec<u8>],
        times: usize,
        rate: Option<u32>,
    ) -> io::Result<Events> {
        let lost = lost()?;
        let cpu = tree::cpu(self.id());
        let mut wall = Duration::ZERO;
        for _ in 0..times {
            let begin = Instant::now();
            let mut pace = Pace::new(rate);
            for event in events {
                pace.wait();
                kernel.inject(event)?;
            }
            wall += self.done()? - begin;
        }
        let cpu = tree::cpu(self.id()).saturating_sub(cpu);
        Ok(Events { events: events.len() * times, lost: self::lost()? - lost, wall, cpu })
    }
}

/// Whether events wait, or are said to be handled.
pub fn is_busy(id: u32) -> bool {
    let queue = format!("/proc/{id}/root/run/udev/queue");
    listeners().is_ok_and(|all| all.iter().any(|listener| listener.queued > 0)) || Path::new(&queue).exists()
}

/// Asks the kernel for `add` of every device; where that is not permitted, it is made to say it.
pub fn trigger() -> io::Result<()> {
    let files = storm::uevent_files(Path::new(SYSFS));
    let denied = |file: &PathBuf| {
        fs::write(file, "add").is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
        })
    };
    if files.iter().take(1).any(denied) {
        let kernel = Kernel::open()?;
        return storm::machine(Path::new(SYSFS), "add").iter().try_for_each(|event| kernel.inject(event));
    }
    for file in files.iter().skip(1) {
        // Some devices do not like to be asked.
        let _ = fs::write(file, "add");
    }
    Ok(())
}

fn lost() -> io::Result<u64> {
    Ok(listeners()?.iter().map(|listener| listener.dropped).sum())
}
