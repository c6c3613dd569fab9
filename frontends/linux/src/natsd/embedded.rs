//! A server inside of another program.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use super::command::COMMAND;
use super::reload::Source;
use super::settings::Settings;
use super::start::Started;
use crate::sys::signals::Signals;

/// A `natsd` in this process, on a thread of its own. It ends when this is dropped.
///
/// It takes no signals, and tells no supervisor that it is ready. Log lines go to stderr, or to the file of `-l`.
///
/// ```
/// use std::io::{BufRead as _, BufReader, Write as _};
///
/// let server = lunix::natsd::Server::start(["-p", "-1", "--socket", "none", "-l", "/dev/null"])?;
/// assert!(server.client_url().starts_with("nats://127.0.0.1:"));
///
/// let mut socket = std::net::TcpStream::connect(server.address())?;
/// socket.write_all(b"CONNECT {\"verbose\":false}\r\nSUB greet 1\r\nPUB greet 5\r\nhello\r\n")?;
/// let lines: Vec<String> = BufReader::new(socket).lines().take(3).collect::<Result<_, _>>()?;
/// assert_eq!(lines[1..], ["MSG greet 1 5", "hello"]);
///
/// server.shutdown()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The server ends when the other end of it is closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Server {
    /// Starts a server with the command line `arguments` of natsd, and with the configuration file that they name,
    /// and returns when it listens.
    ///
    /// # Errors
    /// The arguments or the configuration have mistakes, or the address is in use.
    pub fn start<I>(arguments: I) -> io::Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let matches = COMMAND
            .parse(arguments)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "arguments that natsd does not know"))?;
        let (stop, stopped) = UnixStream::pair()?;
        stopped.set_nonblocking(true)?;
        let (tell, told) = sync_channel(1);
        let thread = thread::Builder::new().name("natsd".to_owned()).spawn(move || {
            let settings = Settings::new(&matches).map_err(|error| error.to_string())?;
            let signals = Signals::new(&[]).map_err(|error| error.to_string())?;
            let started =
                Started::new(Source { matches, settings: Rc::new(settings) }, signals, Some(stopped.into()))?;
            let _ = tell.send(started.address());
            started.run()
        })?;
        match told.recv() {
            Ok(address) => Ok(Self { address, stop: Some(stop), thread: Some(thread) }),
            // The thread has ended before it could tell.
            Err(_) => Err(end(thread).err().unwrap_or_else(|| io::ErrorKind::Other.into())),
        }
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for clients on this machine.
    pub fn client_url(&self) -> String {
        let ip = match self.address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        format!("nats://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Errors
    /// It did not end as it should have.
    pub fn shutdown(mut self) -> io::Result<()> {
        self.stop = None;
        self.thread.take().map_or(Ok(()), end)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = end(thread);
        }
    }
}

fn end(thread: JoinHandle<Result<(), String>>) -> io::Result<()> {
    match thread.join() {
        Ok(end) => end.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the server's thread has panicked")),
    }
}
