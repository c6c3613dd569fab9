//! TLS with those who connect to us, and with servers. Without the feature `tls` the same types exist, and none can be made.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod connector;

use std::path::PathBuf;

use lunix::config::Section;
use lunix::log::{self, Level};

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Acceptor, Connector, Shown};
#[cfg(feature = "tls")]
pub(crate) use acceptor::{Acceptor, Shown};
#[cfg(feature = "tls")]
pub(crate) use connector::Connector;

/// What a listener is told: nats-server's block `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Our certificate, and those that lead to its authority, in PEM.
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub(crate) key_file: Option<PathBuf>,
    /// Those who sign certificates of who connects, in PEM; this machine's authorities without.
    pub(crate) ca_file: Option<PathBuf>,
    /// Who connects must show a certificate.
    pub(crate) verify: bool,
    /// And that says who it is.
    pub(crate) verify_and_map: bool,
}

impl Terms {
    /// Takes the block.
    pub(crate) fn take(mut block: Section) -> Self {
        let verify_and_map = block.truth(&["verify_and_map"]).unwrap_or(false);
        let terms = Self {
            cert_file: block.path(&["cert_file"]),
            key_file: block.path(&["key_file"]),
            ca_file: block.path(&["ca_file"]),
            verify: block.truth(&["verify"]).unwrap_or(false) | verify_and_map,
            verify_and_map,
        };
        block.end();
        terms
    }
}

impl Acceptor {
    /// Reads the certificates again, as at a SIGHUP, and says how that went.
    pub(crate) fn renew_and_say(&self, name: &str) {
        match self.renew() {
            Ok(()) => log::line(Level::Info, name, "the certificates are read anew"),
            Err(why) => {
                log::line(Level::Error, name, format_args!("the certificates stay as they were: {why}"))
            }
        }
    }
}
