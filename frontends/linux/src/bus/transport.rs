//! A non-blocking stream socket to a server.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};

/// A socket that is connected or about to be.
#[derive(Debug)]
pub(crate) struct Stream(OwnedFd);

impl Stream {
    /// Begins to connect. The end of the attempt makes the socket writable: then ask [`Stream::connected`].
    pub(crate) fn connect_tcp(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // Messages are small and already gathered into one write.
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(Self(socket))
    }

    /// Connects at once or not at all: a listener with a full backlog counts as one that is not there.
    pub(super) fn connect_unix(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name)?,
            None => SocketAddrUnix::new(path)?,
        };
        let socket = socket(AddressFamily::UNIX)?;
        rustix::net::connect(&socket, &address)?;
        Ok(Self(socket))
    }

    /// Whether the attempt has succeeded, once the socket is writable; `None` if it was not yet.
    pub(crate) fn connected(&self) -> io::Result<Option<()>> {
        sockopt::socket_error(&self.0)??;
        match rustix::net::getpeername(&self.0) {
            Ok(_) => Ok(Some(())),
            Err(Errno::NOTCONN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The peer is on this machine, whose kernel reports the end of either side.
    pub(super) fn peer_is_local(&self) -> bool {
        let peer = rustix::net::getpeername(&self.0).ok().flatten();
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).is_some_and(|peer| peer.ip().is_loopback())
    }

    /// Bytes read; 0 = the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = rustix::net::recv(&self.0, buffer, RecvFlags::empty())?;
        Ok(read)
    }

    /// Bytes taken.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }
}

impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> Self {
        stream.0
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let protocol = (family != AddressFamily::UNIX).then_some(ipproto::TCP);
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)?)
}
