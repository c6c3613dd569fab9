//! Who is at the other end of a connection of this machine, as the kernel knows it: its credentials for UNIX sockets, its
//! socket diagnosis (`sock_diag(7)`) for loopback TCP.
#![allow(unsafe_code, reason = "TCP_INFO and SO_PEERGROUPS, which rustix does not offer")]

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with,
};

use super::tcp_table;

/// A process as the other end of a UNIX socket: what it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// Its process id, in our namespace; 0 if it has none there.
    pub pid: i32,
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id and the supplementary ones.
    pub gids: Vec<u32>,
}

impl UnixPeer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// It is no UNIX socket, or is not connected.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        let socket = socket.as_fd();
        let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, which is the size of what the pointer is to.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut credentials).cast(),
                &raw mut len,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if credentials.uid == u32::MAX {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut gids = supplementary(socket);
        gids.insert(0, credentials.gid);
        Ok(Self { pid: credentials.pid, uid: credentials.uid, gids })
    }
}

/// None where the kernel is older than 4.13.
fn supplementary(socket: BorrowedFd<'_>) -> Vec<u32> {
    let mut gids = vec![0_u32; 32];
    loop {
        let mut len = (gids.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, for which the vector has elements.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                gids.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let count = len as usize / size_of::<u32>();
        if result == 0 {
            gids.truncate(count);
            return gids;
        }
        let short = io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) && count > gids.len();
        if !short {
            return Vec::new();
        }
        gids.resize(count, 0);
    }
}

/// The kernel's socket diagnosis: whose a TCP socket of this machine is.
#[derive(Debug)]
pub struct Diagnosis {
    /// None where the kernel was built without it.
    netlink: Option<OwnedFd>,
    sequence: Cell<u32>,
}

/// TCP states (include/net/tcp_states.h).
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE_WAIT: u8 = 8;

const HEADER: usize = 16;
/// `struct inet_diag_req_v2` and `struct inet_diag_msg`, without attributes.
const REQUEST: usize = HEADER + 56;
const REPLY: usize = HEADER + 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug)]
struct Found {
    state: u8,
    uid: u32,
    /// 0 if no process has it open.
    inode: u32,
}

impl Diagnosis {
    /// Opens the kernel's diagnosis. Where there is none, `/proc/net/tcp` stands in for it.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let netlink = match socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)) {
            Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::AFNOSUPPORT) => None,
            other => Some(other?),
        };
        Ok(Self { netlink, sequence: Cell::new(0) })
    }

    /// The user who has opened the other end of `socket`, an accepted TCP connection from `peer` to `local`; `None` if
    /// that is not a process of this machine, or no process has it open any more.
    ///
    /// A port may have changed hands since the connection was made: only a socket that is still connected
    /// to ours counts. That is so if the socket found has our addresses and is open, and ours has not been
    /// reset when that is known: of two sockets with the same addresses the second is not connected before the first
    /// is gone, and before that the kernel resets ours.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn owner(&self, socket: impl AsFd, local: SocketAddr, peer: SocketAddr) -> io::Result<Option<u32>> {
        let (ours, theirs) = (local.ip().to_canonical(), peer.ip().to_canonical());
        if !theirs.is_loopback() && theirs != ours {
            return Ok(None);
        }
        let (source, destination) = ((theirs, peer.port()), (ours, local.port()));
        // A kernel without the module answers as one does that knows no such socket.
        let found = match self.find(source, destination)? {
            Some(Found { state, uid, inode }) => Some((state, uid, inode)),
            None => tcp_table::find(source, destination)?,
        };
        let Some((state, uid, inode)) = found else { return Ok(None) };
        let is_open = inode != 0 && matches!(state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2);
        let is_ours = is_open && matches!(tcp_state(socket.as_fd())?, ESTABLISHED | CLOSE_WAIT);
        Ok(is_ours.then_some(uid))
    }

    /// Asks for the one socket with these addresses.
    fn find(&self, source: (IpAddr, u16), destination: (IpAddr, u16)) -> io::Result<Option<Found>> {
        let Some(netlink) = &self.netlink else { return Ok(None) };
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let Some((family, id)) = socket_id(source, destination) else { return Ok(None) };
        sendto(netlink, &request(sequence, family, &id), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            let mut buffer = [0; 512];
            let (bytes, _, sender) = recvfrom(netlink, buffer.as_mut_slice(), RecvFlags::empty())?;
            let from_kernel = sender
                .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                .is_some_and(|sender| sender.pid() == 0);
            let reply = buffer.get(..bytes).unwrap_or_default();
            if from_kernel && u32_at(reply, 8) == Some(sequence) {
                return read(reply, family, &id);
            }
        }
    }
}

/// `struct inet_diag_sockid` without interface and cookie: both ports, both addresses.
fn socket_id(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Option<(u8, [u8; 36])> {
    let mut id = [0; 36];
    let (ports, addresses) = id.split_at_mut(4);
    ports.get_mut(..2)?.copy_from_slice(&source.1.to_be_bytes());
    ports.get_mut(2..)?.copy_from_slice(&destination.1.to_be_bytes());
    let (from, to) = addresses.split_at_mut(16);
    let family = match (source.0, destination.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            from.get_mut(..4)?.copy_from_slice(&a.octets());
            to.get_mut(..4)?.copy_from_slice(&b.octets());
            libc::AF_INET
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            from.copy_from_slice(&a.octets());
            to.copy_from_slice(&b.octets());
            libc::AF_INET6
        }
        _ => return None,
    };
    Some((u8::try_from(family).ok()?, id))
}

fn request(sequence: u32, family: u8, id: &[u8; 36]) -> Vec<u8> {
    let mut out = Vec::with_capacity(REQUEST);
    out.extend((REQUEST as u32).to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST, without which a dump would have to be asked for: this is one exact lookup.
    out.extend(1_u16.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    // Family, protocol, no extensions, all states.
    out.extend([family, 6, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes());
    out.extend(id);
    // Any interface, any cookie.
    out.extend([0; 4]);
    out.extend([0xFF; 8]);
    out
}

fn read(reply: &[u8], family: u8, id: &[u8; 36]) -> io::Result<Option<Found>> {
    const NLMSG_ERROR: u16 = 2;
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    if kind == Some(NLMSG_ERROR) {
        let error = u32_at(reply, HEADER).map_or(libc::EINVAL, |error| error.cast_signed().wrapping_neg());
        return if error == libc::ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(error)) };
    }
    let (Some(state), Some(uid), Some(inode)) =
        (reply.get(HEADER + 1), u32_at(reply, HEADER + 64), u32_at(reply, HEADER + 68))
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    // Where there is no such connection, the kernel answers with who listens on the port.
    let ports = reply.get(HEADER + 4..HEADER + 8);
    let addresses = reply.get(HEADER + 8..HEADER + 40);
    let same = kind == Some(SOCK_DIAG_BY_FAMILY)
        && reply.len() >= REPLY
        && ports == id.get(..4)
        && (addresses == id.get(4..) || mapped(reply, family, id));
    Ok(same.then_some(Found { state: *state, uid, inode }))
}

/// An IPv6 socket that talks IPv4 is found by its IPv4 addresses, and says them as IPv6 ones.
fn mapped(reply: &[u8], family: u8, id: &[u8; 36]) -> bool {
    const PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];
    let side = |at: usize, of: usize| {
        reply.get(HEADER + at..HEADER + at + 12) == Some(&PREFIX)
            && reply.get(HEADER + at + 12..HEADER + at + 16) == id.get(of..of + 4)
    };
    i32::from(family) == libc::AF_INET && side(8, 4) && side(24, 20)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
}

fn tcp_state(socket: BorrowedFd<'_>) -> io::Result<u8> {
    // The first byte of `struct tcp_info`; the kernel writes no more than there is room for.
    let mut info = [0_u8; 8];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of what the pointer is to.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let [state, ..] = info;
    if result == 0 { Ok(state) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn pair(listen: &str, connect: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((connect, port)).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn owner(accepted: &TcpStream) -> Option<u32> {
        let (local, peer) = (accepted.local_addr().unwrap(), accepted.peer_addr().unwrap());
        Diagnosis::open().unwrap().owner(accepted, local, peer).unwrap()
    }

    fn me() -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    #[test]
    fn the_other_end_of_a_connection_of_this_machine() {
        if Diagnosis::open().is_err() {
            eprintln!("SKIPPED the_other_end_of_a_connection_of_this_machine: no socket diagnosis");
            return;
        }
        let mut kinds = vec![("127.0.0.1:0", "127.0.0.1")];
        if TcpListener::bind("[::1]:0").is_ok() {
            kinds.extend([("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("127.0.0.1:0", "::ffff:127.0.0.1")]);
        }
        for (listen, connect) in kinds {
            let (accepted, client) = pair(listen, connect);
            assert_eq!(owner(&accepted), me(), "{listen}");
            // Who has said all it has to say is still there.
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(owner(&accepted), me(), "{listen}");
            // Who has gone is nobody, above all not root. Other tests start programs, which hold a copy for a moment.
            drop(client);
            let begin = std::time::Instant::now();
            while owner(&accepted).is_some() {
                assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{listen}");
                std::thread::yield_now();
            }
        }
        let (accepted, client) = pair("127.0.0.1:0", "127.0.0.1");
        let (local, peer) = (accepted.local_addr().unwrap(), accepted.peer_addr().unwrap());
        let diagnosis = Diagnosis::open().unwrap();
        let from_elsewhere = SocketAddr::new([192, 0, 2, 1].into(), peer.port());
        assert_eq!(diagnosis.owner(&accepted, local, from_elsewhere).unwrap(), None);
        // A listener has the port, and is no peer.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(diagnosis.owner(&accepted, local, listener.local_addr().unwrap()).unwrap(), None);
        drop(client);
    }

    #[test]
    fn a_port_that_changed_hands() {
        use rustix::net::{bind, connect, sockopt};

        let Ok(diagnosis) = Diagnosis::open() else { return };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        // What another test starts meanwhile has a copy of the first socket until it is executed.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let connect_from = |from: SocketAddr| loop {
            let socket =
                socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            sockopt::set_socket_reuseaddr(&socket, true).unwrap();
            bind(&socket, &from).unwrap();
            match connect(&socket, &local) {
                Err(rustix::io::Errno::ADDRNOTAVAIL) if std::time::Instant::now() < until => {
                    std::thread::yield_now()
                }
                result => {
                    result.unwrap();
                    break TcpStream::from(socket);
                }
            }
        };
        let first = connect_from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (accepted_first, peer) = listener.accept().unwrap();
        assert_eq!(diagnosis.owner(&accepted_first, local, peer).unwrap(), me());
        // Reset, so that the port is free at once.
        sockopt::set_socket_linger(&first, Some(std::time::Duration::ZERO)).unwrap();
        drop(first);
        let _second = connect_from(peer);
        let (accepted_second, same) = listener.accept().unwrap();
        assert_eq!((same, diagnosis.owner(&accepted_second, local, peer).unwrap()), (peer, me()));
        // There is an open socket with these addresses, and it is not the peer of the first connection.
        assert_eq!(diagnosis.owner(&accepted_first, local, peer).unwrap(), None);
    }

    #[test]
    fn the_other_end_of_a_unix_socket() {
        let (a, _b) = UnixStream::pair().unwrap();
        let peer = UnixPeer::of(&a).unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.pid, std::process::id().cast_signed());
        assert_eq!(peer.gids.first(), Some(&rustix::process::getegid().as_raw()));
        let (accepted, _client) = pair("127.0.0.1:0", "127.0.0.1");
        assert!(UnixPeer::of(&accepted).is_err());
    }
}
