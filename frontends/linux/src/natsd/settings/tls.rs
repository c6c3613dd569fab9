//! TLS: what clients are offered, and what other servers are asked for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::{Section, Span, Value};
use crate::natsd::tls::{self, Acceptor, CURVES, Connector, SUITES};

/// A block `tls`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Our certificate, and those that lead to its authority, in PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub key_file: Option<PathBuf>,
    /// Those whose signatures count, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Clients must show a certificate.
    pub verify: bool,
    /// A client's certificate says which user it is.
    pub map: bool,
    /// As a client: any server will do.
    pub insecure: bool,
    /// How long a handshake may take.
    pub timeout: Duration,
    /// Who speaks first.
    pub first: First,
    /// The oldest version that will do.
    pub min_version: TlsVersion,
    /// Names of suites; all there are if empty.
    pub cipher_suites: Vec<String>,
    /// Names of curves, the best first; all there are if empty.
    pub curve_preferences: Vec<String>,
    /// SHA-256 of the public keys that peers may have; any if empty.
    pub pinned_certs: Vec<[u8; 32]>,
    /// Handshakes a second.
    pub connection_rate_limit: Option<u32>,
    /// Changes when the files do.
    pub fingerprint: u64,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// The server: `INFO` in the clear.
    Never,
    /// The client, with its handshake.
    Always,
    /// The client, or after this time the server.
    Within(Duration),
}

impl fmt::Display for First {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => out.write_str("false"),
            Self::Always => out.write_str("true"),
            Self::Within(span) => Span(*span).fmt(out),
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

/// Which side of connections a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Others connect.
    Accepts,
    /// We connect.
    Connects,
}

/// How long a client is waited for with `handshake_first: auto`.
const AUTO: Duration = Duration::from_millis(50);

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            ca_file: None,
            verify: false,
            map: false,
            insecure: false,
            timeout: Duration::from_secs(2),
            first: First::Never,
            min_version: TlsVersion::V1_2,
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            pinned_certs: Vec::new(),
            connection_rate_limit: None,
            fingerprint: 0,
        }
    }
}

impl Tls {
    /// Reads a block, and the files that it names. Mistakes are noted where they are.
    pub(crate) fn read(value: Value, side: Side) -> Option<Self> {
        let whole = value.clone();
        let mut block = value.block()?;
        let mut tls = Self::default();
        tls.cert_file = block.path(&["cert_file"]);
        tls.key_file = block.path(&["key_file"]);
        tls.ca_file = block.path(&["ca_file"]);
        tls.map = block.truth(&["verify_and_map"]).unwrap_or(false);
        tls.verify = block.truth(&["verify"]).unwrap_or(false) | tls.map;
        tls.insecure = block.truth(&["insecure"]).unwrap_or(false);
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(3_600));
        tls.timeout = block.duration(&["timeout"], least, most).unwrap_or(tls.timeout);
        if let Some(first) = block.take(&["handshake_first", "first", "immediate"]) {
            tls.first = handshake_first(&first).unwrap_or(tls.first);
        }
        if let Some(version) = block.take(&["min_version"]) {
            tls.min_version = version.parsed("1.2 or 1.3", version_number).unwrap_or(tls.min_version);
        }
        tls.cipher_suites = names(&mut block, "cipher_suites", &SUITES);
        tls.curve_preferences = names(&mut block, "curve_preferences", &CURVES);
        for pin in block.list(&["pinned_certs"]).unwrap_or_default() {
            let expected = "64 hexadecimal digits, the SHA-256 of a public key (DER SubjectPublicKeyInfo)";
            tls.pinned_certs.extend(pin.parsed(expected, sha256));
        }
        tls.connection_rate_limit = block
            .integer(&["connection_rate_limit"], 0, i64::from(u32::MAX))
            .and_then(|rate| u32::try_from(rate).ok())
            .filter(|rate| *rate > 0);
        block.ignore(&["allow_insecure_cipher_suites"]);
        block.absent(&[
            ("certs", "choice among several certificates; cert_file and key_file name one"),
            ("certificates", "choice among several certificates; cert_file and key_file name one"),
            ("cert_store", "certificate store of Windows"),
            ("ocsp_peer", "OCSP"),
            ("verify_cert_and_check_known_urls", "clusters"),
        ]);
        block.end();
        let checked = match side {
            Side::Accepts => Acceptor::new(&tls, false).map(drop),
            Side::Connects => Connector::new(&tls).map(drop),
        };
        if let Err(line) = checked {
            whole.note(line);
        }
        tls.fingerprint = tls::fingerprint(&tls);
        Some(tls)
    }
}

fn handshake_first(value: &Value) -> Option<First> {
    value.parsed("true, false, auto or a duration", |text| match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(First::Always),
        "false" | "no" | "off" => Some(First::Never),
        "auto" | "auto_fallback" => Some(First::Within(AUTO)),
        _ => {
            let span = crate::config::duration(text).filter(|span| *span <= Duration::from_secs(60))?;
            Some(if span.is_zero() { First::Always } else { First::Within(span) })
        }
    })
}

fn version_number(text: &str) -> Option<TlsVersion> {
    match text {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}

/// Takes a list of names, each one of `known`, compared without regard to case.
fn names(block: &mut Section, key: &'static str, known: &[&str]) -> Vec<String> {
    let expected = format!("one of {}", known.join(", "));
    let known = |text: &str| known.iter().find(|name| name.eq_ignore_ascii_case(text)).copied();
    let values = block.list(&[key]).unwrap_or_default();
    values.iter().filter_map(|value| value.parsed(&expected, known)).map(str::to_owned).collect()
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *place = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// TLS for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// What they are offered; nothing without it.
    pub tls: Option<Tls>,
    /// They may do without.
    pub allow_non_tls: bool,
}

impl Subject for ClientTls {
    fn configure(&mut self, file: &mut Section) {
        self.allow_non_tls = file.truth(&["allow_non_tls"]).unwrap_or(self.allow_non_tls);
        if let Some(block) = file.take(&["tls"]) {
            self.tls = Tls::read(block, Side::Accepts);
        }
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        let verify = matches.has("tlsverify");
        if !matches.has("tls") && !verify {
            return Ok(());
        }
        let tls = self.tls.get_or_insert_default();
        let path = |key| matches.path(key).map(Path::to_owned);
        tls.cert_file = path("tlscert").or(tls.cert_file.take());
        tls.key_file = path("tlskey").or(tls.key_file.take());
        tls.ca_file = path("tlscacert").or(tls.ca_file.take());
        tls.verify |= verify;
        Acceptor::new(tls, false).map_err(|line| matches.error(format_args!("--tls: {line}")))?;
        tls.fingerprint = tls::fingerprint(tls);
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.live("allow_non_tls", &self.allow_non_tls);
        facts.live("tls", &if self.tls.is_some() { "on" } else { "off" });
        let tls = self.tls.clone().unwrap_or_default();
        facts.live("tls.cert_file", &Shown(&tls.cert_file));
        facts.live("tls.key_file", &Shown(&tls.key_file));
        facts.live("tls.ca_file", &Shown(&tls.ca_file));
        facts.secret("tls: the files", &tls.fingerprint);
        facts.live("tls.verify", &tls.verify);
        facts.live("tls.verify_and_map", &tls.map);
        facts.live("tls.timeout", &Span(tls.timeout));
        facts.live("tls.handshake_first", &tls.first);
        facts.live("tls.min_version", &tls.min_version);
        facts.live("tls.cipher_suites", &tls.cipher_suites.join(" "));
        facts.live("tls.curve_preferences", &tls.curve_preferences.join(" "));
        facts.live("tls.pinned_certs", &tls.pinned_certs.len());
        facts.secret("tls: pinned_certs", &tls.pinned_certs);
        facts.live("tls.connection_rate_limit", &tls.connection_rate_limit.unwrap_or(0));
    }
}

struct Shown<'a>(&'a Option<PathBuf>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => path.display().fmt(out),
            None => out.write_str("none"),
        }
    }
}
