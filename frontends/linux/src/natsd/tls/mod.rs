//! TLS 1.2 and 1.3 for clients, leaf nodes and monitoring, as a machine on the reactor: rustls does no I/O here, and a
//! connection keeps no buffer while nothing is under way.
//!
//! ```text
//! INFO in the clear --> the client's first byte --> handshake --> open
//! handshake_first:      the client's first byte --> handshake --> open: INFO
//! ... with a delay:     nothing for so long ------> INFO in the clear, as above
//! allow_non_tls:        any other first byte, or nothing for `timeout` --> plain
//! ```
//!
//! Sessions are not resumed: a server that forgets a client with its connection has no tickets to keep, and what a
//! certificate allows ends with it. Without the feature `tls` the same types exist, and none can be made.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod connector;
#[cfg(feature = "tls")]
mod fingerprint;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod stream;

#[cfg(feature = "tls")]
pub(super) use crate::certificates::Certificate;
#[cfg(not(feature = "tls"))]
pub(super) use absent::{Acceptor, Certificate, Connector, Stream, fingerprint};
#[cfg(feature = "tls")]
pub(super) use acceptor::Acceptor;
#[cfg(feature = "tls")]
pub(super) use connector::Connector;
#[cfg(feature = "tls")]
pub(super) use fingerprint::fingerprint;
#[cfg(feature = "tls")]
pub(super) use stream::Stream;

/// What the end of a handshake's time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there are no handshakes"))]
pub(super) enum Expiry {
    /// It is over, or has more time.
    Nothing,
    /// The client waits for `INFO`, which is now to be said in the clear.
    Greet,
    /// Not a byte came: the connection is plain.
    Plain,
    /// The connection has to be closed.
    Failed,
}

/// The suites that there are, by their names in nats-server's configuration.
pub(super) const SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The curves that there are, by their names in nats-server's configuration.
pub(super) const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];
