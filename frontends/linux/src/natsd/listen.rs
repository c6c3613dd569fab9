//! Where clients connect: a TCP address and a UNIX socket.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use lunix_core::broker::Peer;

use crate::sys::interfaces;

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// The socket and its file, which goes away with it.
    Unix(UnixListener, PathBuf),
}

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

impl Listener {
    /// Listens on the first address of `host` that can be listened on, IPv4 first.
    pub(super) fn tcp(host: &str, port: u16) -> io::Result<Self> {
        Self::tcp_socket(host, port).map(Self::Tcp)
    }

    /// The same for others than clients.
    pub(super) fn tcp_socket(host: &str, port: u16) -> io::Result<TcpListener> {
        let (mut addresses, others): (Vec<_>, Vec<_>) =
            (host, port).to_socket_addrs()?.partition(SocketAddr::is_ipv4);
        addresses.extend(others);
        let listener = TcpListener::bind(&*addresses)?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    }

    /// Listens on the file `path`. A socket that nobody listens on any more is replaced.
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let dead = UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
                if !dead {
                    return Err(error);
                }
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            other => other?,
        };
        // Who may connect is decided by uid, not by the file.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self::Unix(listener, path.to_owned()))
    }

    /// The TCP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The next connection: non-blocking, with its peer's address and its name for the log.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Peer, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok((stream.into(), Peer::Tcp(address), address.to_string()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let name = rustix::net::sockopt::socket_peercred(&stream).map_or_else(
                    |_| "unix".to_owned(),
                    |peer| format!("unix pid {} uid {}", peer.pid.as_raw_nonzero(), peer.uid.as_raw()),
                );
                Ok((stream.into(), Peer::Local, name))
            }
        }
    }
}

/// Where something that listens on `bound` is reached: there, or on all addresses of this machine.
pub(super) fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let here = interfaces::addresses();
    // An address that needs an interface's name besides it is of no use in a URL.
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
    };
    let reached = here.into_iter().filter(usable);
    let reached: Vec<_> = reached.map(|ip| SocketAddr::new(ip, bound.port())).collect();
    if reached.is_empty() { vec![bound] } else { reached }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may have been removed together with its folder.
            let _ = fs::remove_file(path);
        }
    }
}
