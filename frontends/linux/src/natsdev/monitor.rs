//! What users of libudev hear: each device, when it has been handled.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};

/// Multicast groups beside the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Messages in libudev's form.
    Libudev = 2,
    /// Messages in the kernel's form, for users of libudev-zero and mdevd.
    Raw = 4,
}

/// A socket to say it by; only root may.
#[derive(Debug)]
pub(super) struct Monitor(OwnedFd);

impl Monitor {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
        Ok(Self(socket))
    }

    pub(super) fn say(&self, group: Group, message: &[u8]) -> io::Result<()> {
        match sendto(&self.0, message, SendFlags::empty(), &SocketAddrNetlink::new(0, group as u32)) {
            // Nobody listens; or somebody who is too slow, and is told so by the kernel.
            Ok(_) | Err(Errno::CONNREFUSED | Errno::NOBUFS | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
