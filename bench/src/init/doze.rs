//! Services that sleep, and the kernel's word for when each of them is executed.
//!
//! Every service executes a name of its own of one and the same program. Whoever watches the folder of names hears of each
//! execution when it happens, and neither the supervisor nor the service has to do anything for it.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

/// Where the folder is seen by the services.
pub const FOLDER: &str = "/doze";
/// What [`super::world`] looks at right before the supervisor is executed.
pub const BEGIN: &str = "begin";

/// The folder and its watch.
pub struct Doze {
    folder: PathBuf,
    watch: OwnedFd,
    buffer: Box<[MaybeUninit<u8>]>,
}

/// What was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Begin,
    Service(usize),
}

impl Doze {
    /// So many services, numbered from 0.
    pub fn new(folder: PathBuf, services: usize) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let program = folder.join("sleep");
        fs::copy("/usr/bin/sleep", &program)?;
        fs::write(folder.join(BEGIN), "")?;
        for service in 0..services {
            fs::hard_link(&program, folder.join(name(service)))?;
        }
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, &folder, inotify::WatchFlags::OPEN)?;
        Ok(Self { folder, watch, buffer: vec![MaybeUninit::uninit(); 64 << 10].into() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Calls `seen` for what happens until it says that it is enough; `false` if that does not come within `patience`.
    pub fn watch(
        &mut self,
        patience: Duration,
        mut seen: impl FnMut(Seen, Instant) -> bool,
    ) -> io::Result<bool> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            if poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&left))? == 0 {
                return Ok(false);
            }
            let now = Instant::now();
            let mut enough = false;
            let mut reader = inotify::Reader::new(&self.watch, &mut self.buffer);
            loop {
                match reader.next() {
                    Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                        return Err(io::Error::other("too much happens at once to watch"));
                    }
                    Ok(event) => {
                        let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
                        if name == BEGIN {
                            enough |= seen(Seen::Begin, now);
                        } else if let Some(Ok(service)) = name.strip_prefix('s').map(str::parse) {
                            enough |= seen(Seen::Service(service), now);
                        }
                    }
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if enough {
                return Ok(true);
            }
        }
    }
}

/// Of its file, and of the service.
pub fn name(service: usize) -> String {
    format!("s{service}")
}

/// What the service executes.
pub fn command(service: usize) -> String {
    format!("{FOLDER}/{} 1000000", name(service))
}

/// Which service this process is.
pub fn service(process: u32) -> Option<usize> {
    let command = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let program = command.split(|byte| *byte == 0).next()?;
    let program = std::str::from_utf8(program).ok()?.strip_prefix(FOLDER)?;
    program.strip_prefix("/s")?.parse().ok()
}
