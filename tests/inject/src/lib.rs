//! Uevents that no hardware has caused: for tests, benchmarks, and hands.
//!
//! Who owns a network namespace may send the kernel a uevent; the kernel numbers it and says it to all listeners in that
//! namespace as its own (`lib/kobject_uevent.c`). No root is needed: `unshare --user --map-root-user --net` makes such a
//! namespace, in which nothing else happens.

pub mod receiver;
pub mod script;
pub mod storm;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The longest event that the kernel takes: its number, which it adds, and the header of the request are within the 2048
/// bytes of `UEVENT_BUFFER_SIZE`.
pub const LONGEST: usize = 2048 - HEADER - "SEQNUM=18446744073709551615\0".len();
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// The kernel, as far as it says what it is told.
#[derive(Debug)]
pub struct Kernel(OwnedFd);

impl Kernel {
    /// Of the network namespace that this process is in.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn open() -> io::Result<Self> {
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, Some(KOBJECT_UEVENT))?;
        Ok(Self(socket))
    }

    /// Has the kernel say `event`. When this returns, it is in the queue of every listener that has room.
    ///
    /// # Errors
    /// The event is longer than [`LONGEST`], or the namespace is somebody else's.
    pub fn inject(&self, event: &[u8]) -> io::Result<()> {
        // NLM_F_REQUEST and NLM_F_ACK: only in its answer does the kernel say that it would not.
        const FLAGS: u16 = 1 | 4;
        // Length, type, flags, sequence, port.
        let length = u32::try_from(HEADER + event.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + event.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&16_u16.to_ne_bytes());
        message.extend_from_slice(&FLAGS.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(event);
        sendto(&self.0, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        // `struct nlmsgerr` behind its header; what follows in it is our own message.
        let mut answer = [0; HEADER + 4];
        recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        match answer.last_chunk().map_or(0, |error| i32::from_ne_bytes(*error)) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    /// Says `event` without the kernel, which only a forger does: to all who listen to the kernel's group, or, where a
    /// port is named, to the one socket that has it.
    ///
    /// # Errors
    /// The namespace is somebody else's, or nobody has this port.
    pub fn forge(&self, event: &[u8], port: Option<u32>) -> io::Result<()> {
        let to = match port {
            Some(port) => SocketAddrNetlink::new(port, 0),
            None => SocketAddrNetlink::new(0, 1),
        };
        sendto(&self.0, event, SendFlags::empty(), &to)?;
        Ok(())
    }
}

const INSIDE: &str = "LUNIX_INJECT_NAMESPACE";

/// Goes on only in a network of this program's own, where its events disturb nobody: outside, the program is run again inside.
///
/// As root that network belongs to the machine's own users, so that nodes of devices can be made in it; it hears what the
/// kernel says of real devices, too. Anyone else becomes root of a user namespace, which hears nothing real.
///
/// # Errors
/// There is no `unshare`, or it is not permitted.
pub fn enter() -> io::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
        return if up.success() { Ok(()) } else { Err(io::Error::other("no loopback interface")) };
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount"]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    // It only returns if it fails.
    Err(command.env(INSIDE, "1").exec())
}
