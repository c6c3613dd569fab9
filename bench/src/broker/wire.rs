//! Sockets to a server under load, as raw as a generator needs them.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::web::{self, Web};

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// For WebSockets.
    Web(SocketAddr),
}

impl Address {
    /// Operations as they are written there: what a [`Wire`] writes is not looked at.
    pub fn framed<'b>(&self, operations: &'b [u8]) -> Cow<'b, [u8]> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => operations.into(),
            Self::Web(_) => web::framed(operations).into(),
        }
    }
}

pub enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Web(Web),
}

impl Wire {
    /// A bare connection.
    pub fn open(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Address::Web(address) => Self::Web(Web::open(*address)?),
        })
    }

    /// A client: `INFO` read, `CONNECT` said. `extra` goes along, and all of it is done when this returns.
    pub fn client(address: &Address, extra: &str) -> io::Result<Self> {
        let mut wire = Self::open(address)?;
        wire.until(b"\r\n")?;
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\",\"protocol\":0}}\r\n{extra}PING\r\n"
        );
        wire.write_all(&address.framed(hello.as_bytes()))?;
        // It answers when it has done all that was said before.
        wire.until(b"PONG\r\n")?;
        Ok(wire)
    }

    fn until(&mut self, end: &[u8]) -> io::Result<()> {
        let mut read = Vec::new();
        let mut part = [0; 4096];
        while !read.ends_with(end) {
            match self.read(&mut part)? {
                0 => return Err(io::Error::other(String::from_utf8_lossy(&read).into_owned())),
                some => read.extend_from_slice(&part[..some]),
            }
        }
        Ok(())
    }

    pub fn nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Web(web) => web.stream().set_nonblocking(true),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(out),
            Self::Unix(stream) => stream.read(out),
            Self::Web(web) => web.read(out),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Web(web) => web.stream().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Web(web) => web.stream().as_fd(),
        }
    }
}
