//! TLS to a server: demanded by it, or wished for by the URL's scheme `tls`.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod client;

use std::path::PathBuf;

#[cfg(not(feature = "tls"))]
pub(super) use absent::{Connector, Session};
#[cfg(feature = "tls")]
pub(super) use client::{Connector, Session};

/// Whose certificates count, and which one is shown; files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Those who sign servers' certificates; this machine's authorities if there is none.
    pub authorities: Option<PathBuf>,
    /// The client's certificate, and those that lead to its authority.
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
}
