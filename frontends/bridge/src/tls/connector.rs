//! TLS with servers.

use std::io;
use std::sync::Arc;

use lunix::bus::TlsFiles;
use lunix::certificates;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::stream::Stream;

/// Makes connections of sockets to servers.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Trusts, and shows, what the files have.
    ///
    /// # Errors
    /// What is wrong with a file, in one line.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, String> {
        Ok(Self(TlsConnector::from(Arc::new(certificates::client(files)?))))
    }

    /// The handshake with a server whose certificate must be for `name`, a host name or an address.
    ///
    /// # Errors
    /// It fails.
    pub(crate) async fn connect(&self, name: String, stream: Stream) -> io::Result<Stream> {
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}
