//! The server's side: what clients are offered.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use lunix_core::time::Instant;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite as suites, kx_group as groups};
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use x509_cert::der::{Decode as _, Encode as _};

use super::stream::Stream;
use crate::certificates::{self, ServerFiles};
use crate::natsd::settings::{First, Tls, TlsVersion};

/// Makes connections of sockets. Those it has made keep what they began with when it is made anew.
#[derive(Debug)]
pub(in crate::natsd) struct Acceptor {
    terms: Arc<Terms>,
    /// Handshakes a second; `None` for any number.
    rate: Option<u32>,
    /// The second that is counted, and how many handshakes began in it.
    counted: (u64, u32),
}

/// What all connections of an acceptor have in common.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) config: Arc<ServerConfig>,
    pub(super) first: First,
    pub(super) timeout: Duration,
    pub(super) allow_plain: bool,
    pub(super) verify: bool,
    pub(super) map: bool,
    pub(super) pinned: Vec<[u8; 32]>,
}

impl Acceptor {
    /// Reads the certificates.
    ///
    /// # Errors
    /// Which file or setting is wrong, in one line.
    pub(in crate::natsd) fn new(settings: &Tls, allow_plain: bool) -> Result<Self, String> {
        let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) else {
            return Err("expected cert_file and key_file".to_owned());
        };
        let authorities = settings.ca_file.as_deref();
        let files = ServerFiles { certificate, key, verify: settings.verify, authorities };
        let config = certificates::server(files, provider(settings)?, versions(settings))?;
        let terms = Terms {
            config: Arc::new(config),
            first: settings.first,
            timeout: settings.timeout,
            allow_plain,
            verify: settings.verify,
            map: settings.map,
            pinned: settings.pinned_certs.clone(),
        };
        Ok(Self { terms: Arc::new(terms), rate: settings.connection_rate_limit, counted: (0, 0) })
    }

    /// Begins a connection.
    pub(in crate::natsd) fn accept(&self, socket: OwnedFd, now: Instant) -> Stream {
        Stream::accepted(socket, Arc::clone(&self.terms), now)
    }

    /// Whether one more handshake may begin in this second.
    pub(in crate::natsd) fn admits(&mut self, now: Instant) -> bool {
        let second = now.as_micros() / 1_000_000;
        if self.counted.0 != second {
            self.counted = (second, 0);
        }
        self.counted.1 = self.counted.1.saturating_add(1);
        self.rate.is_none_or(|rate| self.counted.1 <= rate)
    }
}

/// What is offered of what rustls and ring have.
pub(super) fn provider(settings: &Tls) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites = settings.cipher_suites.iter().filter_map(|name| suite(name)).collect();
    }
    if !settings.curve_preferences.is_empty() {
        let group = |name: &String| match name.as_str() {
            "X25519" => Some(groups::X25519),
            "CurveP256" => Some(groups::SECP256R1),
            "CurveP384" => Some(groups::SECP384R1),
            _ => None,
        };
        provider.kx_groups = settings.curve_preferences.iter().filter_map(group).collect();
    }
    let of_1_3 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    // As in nats-server, a choice among the suites of 1.2 leaves those of 1.3 as they are.
    if !provider.cipher_suites.iter().any(of_1_3) {
        provider.cipher_suites.extend(ring::ALL_CIPHER_SUITES.iter().filter(|suite| of_1_3(suite)));
    }
    Ok(provider)
}

fn suite(name: &str) -> Option<SupportedCipherSuite> {
    Some(match name {
        "TLS_AES_128_GCM_SHA256" => suites::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => suites::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => suites::TLS13_CHACHA20_POLY1305_SHA256,
        _ => *ring::ALL_CIPHER_SUITES.iter().find(|suite| suite.suite().as_str() == Some(name))?,
    })
}

pub(super) fn versions(settings: &Tls) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match settings.min_version {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => BOTH.get(..1).unwrap_or(&BOTH),
    }
}

/// Whether the certificate's key is one of those whose SHA-256 is given.
pub(super) fn is_pinned(der: &CertificateDer<'_>, pinned: &[[u8; 32]]) -> bool {
    let key = x509_cert::Certificate::from_der(der)
        .ok()
        .and_then(|certificate| certificate.tbs_certificate.subject_public_key_info.to_der().ok());
    let hash = suites::TLS13_AES_128_GCM_SHA256.tls13().zip(key).map(|(suite, key)| {
        let mut hash = suite.common.hash_provider.start();
        hash.update(&key);
        hash.finish()
    });
    hash.is_some_and(|hash| pinned.iter().any(|pin| hash.as_ref() == pin))
}
