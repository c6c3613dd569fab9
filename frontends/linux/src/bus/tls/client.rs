//! A client's session on a socket that does not block.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::TlsFiles;
use crate::bus::transport::Stream;
use crate::certificates;

/// Begins sessions.
#[derive(Clone, Debug)]
pub(in crate::bus) struct Connector(Arc<ClientConfig>);

/// TLS of one connection.
#[derive(Debug)]
pub(in crate::bus) struct Session(ClientConnection);

impl Connector {
    /// Reads the certificates.
    ///
    /// # Errors
    /// Which file is wrong, in one line.
    pub(in crate::bus) fn new(files: &TlsFiles) -> Result<Self, String> {
        Ok(Self(Arc::new(certificates::client(files)?)))
    }

    /// A session with a server whose certificate must be for `name`, a host name or an IP address. It says hello with
    /// the first [`Session::flush`].
    ///
    /// # Errors
    /// `name` is none.
    pub(in crate::bus) fn begin(&self, name: &str) -> Result<Session, String> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("expected a host name or an address, found '{name}'"))?;
        let session =
            ClientConnection::new(Arc::clone(&self.0), server).map_err(|error| error.to_string())?;
        Ok(Session(session))
    }
}

impl Session {
    /// Nothing can be written yet. Reading is what ends this.
    pub(in crate::bus) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// There is ciphertext that the socket has not taken.
    pub(in crate::bus) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Bytes read; 0 = the end.
    ///
    /// # Errors
    /// `WouldBlock` once the socket has no more; or what is wrong with the server's certificate or records.
    pub(in crate::bus) fn read(&mut self, socket: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // NATS has an end of its own: a server that goes without saying so to TLS cuts nothing off.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if self.0.read_tls(&mut Socket(socket))? == 0 {
                return Ok(0);
            }
            let state = self.0.process_new_packets();
            // The next part of the handshake, or the alert that says what is wrong.
            let flushed = self.flush(socket);
            state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
            match flushed {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Bytes taken.
    ///
    /// # Errors
    /// `WouldBlock` while none are; or the connection is gone.
    pub(in crate::bus) fn write(&mut self, socket: &Stream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        let taken = self.0.writer().write(bytes)?;
        match self.flush(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// `WouldBlock` if the socket does not take all of it; or the connection is gone.
    pub(in crate::bus) fn flush(&mut self, socket: &Stream) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut Socket(socket))?;
        }
        Ok(())
    }
}

/// One system call a call.
struct Socket<'a>(&'a Stream);

impl io::Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
