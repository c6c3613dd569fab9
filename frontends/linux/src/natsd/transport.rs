//! What a connection's bytes go through: a socket, or TLS on a socket.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lunix_proto::nats::Info;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::tls;

/// A connection's way to its peer.
#[derive(Debug)]
pub(super) enum Transport {
    /// Each call is one system call.
    Plain(OwnedFd),
    Tls(Box<tls::Stream>),
}

/// The end of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There are bytes; `true` if there were fewer than there was room for.
    Bytes(bool),
    /// There are none now.
    Blocked,
    /// The peer is gone.
    End,
}

impl Transport {
    /// Reads once, into `buffer`'s spare capacity. With TLS, bytes may come that do not make a record, and so nothing.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> Read {
        match self {
            Self::Plain(socket) => read(socket, buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Writes as much of `bytes` as is taken.
    ///
    /// # Errors
    /// `AGAIN` if nothing is taken now, which with TLS lasts until its handshake is over; or the peer is gone.
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Plain(socket) => rustix::net::send(socket, bytes, SendFlags::NOSIGNAL),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// As [`Transport::write`], of one piece after the other.
    #[inline]
    pub(super) fn write_pieces(&mut self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match self {
            Self::Plain(socket) => rustix::io::writev(socket, pieces),
            Self::Tls(stream) => {
                let mut taken = 0;
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    match stream.write(piece) {
                        Ok(len) => taken += len,
                        Err(error) if taken == 0 => return Err(error),
                        Err(_) => break,
                    }
                    if stream.left() > 0 {
                        break;
                    }
                }
                Ok(taken)
            }
        }
    }

    /// Writes what was taken and is not written. `false` if the socket is full.
    ///
    /// # Errors
    /// The peer is gone.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<bool, Errno> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// Bytes that were taken and are not written.
    #[inline]
    pub(super) fn left(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.left(),
        }
    }

    /// After a read: whether there is something to write now that was not there before, or could not be written.
    #[inline]
    pub(super) fn roused(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.roused(),
        }
    }

    /// TLS, or the choice of it.
    pub(super) fn tls(&mut self) -> Option<&mut tls::Stream> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream),
        }
    }

    /// Whether the peer's certificate says who it is.
    pub(super) fn maps_users(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.maps_users(),
        }
    }

    /// Says in `INFO` what the peer may expect.
    pub(super) fn inform(&self, info: &mut Info<'_>) {
        if let Self::Tls(stream) = self {
            stream.inform(info);
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn close(&mut self) {
        if let Self::Tls(stream) = self {
            stream.say_goodbye();
        }
        let _ = rustix::net::shutdown(self.as_fd(), Shutdown::Write);
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

/// Reads once from a socket.
#[inline]
pub(super) fn read(socket: &impl AsFd, buffer: &mut Vec<u8>) -> Read {
    let room = buffer.capacity() - buffer.len();
    loop {
        // recv(2) and send(2) are a little shorter than what works on files, too.
        match rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Read::Blocked,
            Ok((0, _)) | Err(_) => return Read::End,
            Ok((bytes, _)) => return Read::Bytes(bytes < room),
        }
    }
}
