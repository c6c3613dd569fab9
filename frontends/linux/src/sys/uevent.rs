//! The socket on which the kernel says its uevents, and on which others say what became of them. rustix cannot read the credentials of a message from the
//! kernel: their process id is 0, which its type for process ids cannot hold.
#![allow(unsafe_code, reason = "recvmsg with credentials")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// A netlink socket that hears uevents, non-blocking.
#[derive(Debug)]
pub struct UeventSocket {
    socket: OwnedFd,
    group: Group,
}

/// Who is heard: the multicast groups of the socket's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The kernel.
    Kernel = 1,
    /// Whoever handles devices, in the form of libudev; only root may say something there.
    Libudev = 2,
}

/// What came out of the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// A datagram of who may send it. What it says has still to be parsed.
    Datagram(&'b [u8]),
    /// A datagram that is not to be believed.
    Refused(Refusal),
    /// The kernel dropped events since the last receive, for want of room in the socket.
    Overrun,
    /// There is nothing now.
    Empty,
}

/// Why a datagram is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not sent to the group, or to the kernel's and by a process: its netlink port is not the kernel's.
    Sender,
    /// It carries no credentials, or not those of root.
    Credentials,
    /// It is longer than the buffer.
    Truncated,
}

impl UeventSocket {
    /// Opens the socket for the kernel's events, with room for about `buffer / 430` events (the kernel takes twice what it is asked for,
    /// and about 850 bytes for an event of 150). Without the right to exceed `net.core.rmem_max`, it is that.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn open(group: Group, buffer: usize) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        sockopt::set_socket_passcred(&socket, true)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, buffer)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, buffer))?;
        bind(&socket, &SocketAddrNetlink::new(0, group as u32))?;
        Ok(Self { socket, group })
    }

    /// The room that the kernel gave, in its own count.
    pub fn buffer_size(&self) -> usize {
        sockopt::socket_recv_buffer_size(&self.socket).unwrap_or(0)
    }

    /// Takes the next datagram into `buffer`, which for the kernel's has to hold [`lunix_uevent::MAX_MESSAGE`] bytes, and checks
    /// who sent it.
    ///
    /// # Errors
    /// Any other than those that [`Received`] tells of.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Received<'b>> {
        let mut sender = MaybeUninit::<libc::sockaddr_nl>::zeroed();
        let mut control = Control([0; CONTROL]);
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zero is a valid `msghdr`, of which some targets have padding that cannot be named.
        let mut header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        header.msg_name = sender.as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = CONTROL as _;
        // SAFETY: every pointer of the header is to a local variable or to `buffer`, with its length beside it.
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
        if len < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN) => Ok(Received::Empty),
                Some(libc::ENOBUFS) => Ok(Received::Overrun),
                Some(libc::EINTR) => self.receive(buffer),
                _ => Err(error),
            };
        }
        // SAFETY: all zero is a valid address, and the kernel wrote nothing else over it than an address.
        let sender = unsafe { sender.assume_init() };
        let known = header.msg_namelen as usize == size_of::<libc::sockaddr_nl>();
        let may_send = match self.group {
            Group::Kernel => sender.nl_pid == 0,
            Group::Libudev => sender.nl_groups == Group::Libudev as u32,
        };
        if !known || i32::from(sender.nl_family) != libc::AF_NETLINK || !may_send {
            return Ok(Received::Refused(Refusal::Sender));
        }
        // In another user namespace than the first one, this is the root of ours.
        if credentials(&header).is_none_or(|credentials| credentials.uid != 0) {
            return Ok(Received::Refused(Refusal::Credentials));
        }
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            return Ok(Received::Refused(Refusal::Truncated));
        }
        Ok(Received::Datagram(buffer.get(..len.cast_unsigned()).unwrap_or_default()))
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

// SAFETY: it only computes a length.
const CONTROL: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// Room for control messages, aligned as their header has to be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// The credentials among the control messages that `recvmsg` wrote.
fn credentials(header: &libc::msghdr) -> Option<libc::ucred> {
    // SAFETY: `recvmsg` filled the header: its control messages lie within its control buffer, which still lives,
    // and `CMSG_FIRSTHDR` answers null where there is none. A credentials message holds a whole `ucred`, as its
    // length says; it is read without asking for alignment.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        if first.is_null()
            || (*first).cmsg_level != libc::SOL_SOCKET
            || (*first).cmsg_type != libc::SCM_CREDENTIALS
            || ((*first).cmsg_len as usize) < libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize
        {
            return None;
        }
        Some(libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_and_nothing_blocks() {
        let socket = UeventSocket::open(Group::Kernel, 1 << 16).unwrap();
        assert!(socket.buffer_size() >= 1 << 16);
        // Other tests, and this machine, may cause events of their own.
        let mut buffer = [0; lunix_uevent::MAX_MESSAGE];
        for _ in 0..1000 {
            match socket.receive(&mut buffer).unwrap() {
                Received::Empty => return,
                Received::Datagram(bytes) => assert!(lunix_uevent::Uevent::parse(bytes).is_ok()),
                Received::Refused(_) | Received::Overrun => {}
            }
        }
        panic!("a flood");
    }
}
