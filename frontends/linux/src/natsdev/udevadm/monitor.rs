//! `udevadm monitor`: says what the kernel says of devices, and what is said of them when they have been handled.

use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::heard::Heard;
use super::{Failure, print};
use crate::cli::Matches;
use crate::reactor::monotonic;
use crate::sys::signals::Signals;
use crate::sys::uevent::{Group, Received, UeventSocket};

/// As libudev's users ask for; the kernel takes it from nobody else until it is needed.
const RCVBUF: usize = 128 << 20;

/// Which events are shown.
#[derive(Debug)]
struct Filter<'m> {
    /// Subsystems, and for some a device type.
    subsystems: Vec<(&'m [u8], Option<&'m [u8]>)>,
    tags: Vec<&'m [u8]>,
    with_properties: bool,
}

/// Runs `udevadm monitor`, until SIGTERM or SIGINT.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    if super::in_chroot() {
        return Ok(());
    }
    let filter = Filter {
        subsystems: matches.all("subsystem-match").map(|value| subsystem(value.as_bytes())).collect(),
        tags: matches.all("tag-match").map(|tag| tag.as_bytes()).collect(),
        with_properties: matches.has("property"),
    };
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT])?;
    let neither = !matches.has("kernel") && !matches.has("udev");
    let mut head = "monitor will print the received events for:\n".to_owned();
    let mut sockets = Vec::new();
    for (flag, group, about) in [
        ("udev", Group::Libudev, "UDEV - the event which udev sends out after rule processing\n"),
        ("kernel", Group::Kernel, "KERNEL - the kernel uevent\n"),
    ] {
        if neither || matches.has(flag) {
            sockets.push((group, UeventSocket::open(group, RCVBUF)?));
            head += about;
        }
    }
    print(format!("{head}\n").as_bytes())?;
    let mut buffer = vec![0; Heard::BYTES];
    loop {
        let mut fds: Vec<_> = sockets.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
        fds.push(PollFd::new(&signals, PollFlags::IN));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result.map_err(io::Error::from)?,
        };
        if signals.next().is_some() {
            return Ok(());
        }
        for (group, socket) in &sockets {
            filter.drain(*group, socket, &mut buffer)?;
        }
    }
}

/// `SUBSYSTEM` or `SUBSYSTEM/DEVTYPE`.
fn subsystem(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = value.splitn(2, |byte| *byte == b'/');
    (parts.next().unwrap_or_default(), parts.next())
}

impl Filter<'_> {
    fn drain(&self, group: Group, socket: &UeventSocket, buffer: &mut [u8]) -> Result<(), Failure> {
        loop {
            match socket.receive(buffer)? {
                Received::Empty => return Ok(()),
                Received::Datagram(message) => {
                    if let Some(heard) = Heard::parse(message).filter(|heard| self.fits(heard)) {
                        print(&self.shown(group, &heard))?;
                    }
                }
                Received::Refused(_) => {}
                Received::Overrun => super::complain("monitor", "the kernel dropped events"),
            }
        }
    }

    fn fits(&self, heard: &Heard) -> bool {
        let (subsystem, devtype) = (heard.get(b"SUBSYSTEM"), heard.get(b"DEVTYPE"));
        let of_subsystem = self.subsystems.iter().any(|(wanted, wanted_type)| {
            subsystem == Some(*wanted) && wanted_type.is_none_or(|wanted| devtype == Some(wanted))
        });
        (self.subsystems.is_empty() || of_subsystem)
            && (self.tags.is_empty()
                || self.tags.iter().any(|tag| heard.tags().iter().any(|known| known == tag)))
    }

    fn shown(&self, group: Group, heard: &Heard) -> Vec<u8> {
        let now = monotonic().as_micros();
        let name = if group == Group::Kernel { "KERNEL" } else { "UDEV" };
        let action = String::from_utf8_lossy(heard.action());
        let mut text =
            format!("{name:<6}[{}.{:06}] {action:<8} ", now / 1_000_000, now % 1_000_000).into_bytes();
        let subsystem = heard.get(b"SUBSYSTEM").unwrap_or_default();
        text.extend_from_slice(&[heard.devpath(), b" (", subsystem, b")\n"].concat());
        if self.with_properties {
            for (key, value) in heard.properties() {
                let _ = text.write_all(&[key, &b"="[..], value, b"\n"].concat());
            }
            text.push(b'\n');
        }
        text
    }
}
