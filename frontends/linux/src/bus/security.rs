//! How a program shows who it is, and sees whom it talks to: flags, environment, files.

use std::ffi::OsString;
use std::path::PathBuf;

use super::tls::{Connector, TlsFiles};
use crate::cli::Matches;
use crate::credentials::Signed;

/// Who a program is at servers that want a signature. The file is read at each connection, so that it may be renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// What the server's URL says, if anything.
    #[default]
    Url,
    /// A file with a user's token and seed, as `nsc` writes it.
    File(PathBuf),
    /// A file with the seed of an nkey.
    Nkey(PathBuf),
}

impl Credentials {
    /// Signs the server's `nonce`.
    ///
    /// # Errors
    /// What is wrong with the file, in one line.
    pub fn sign(&self, nonce: &str) -> Result<Signed, String> {
        match self {
            Self::Url => Ok(Signed::default()),
            Self::File(path) => Signed::by_file(path, nonce),
            Self::Nkey(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|seed| Signed::by_seed(seed.trim(), nonce))
                .map_err(|error| format!("{}: {error}", path.display())),
        }
    }
}

/// What flags and environment say, each file looked into.
///
/// # Errors
/// Which flag or variable is wrong, and why.
pub(super) fn read(matches: Option<&Matches>) -> Result<(Credentials, TlsFiles), String> {
    let credentials = file(matches, "creds", "NATS_CREDS");
    let nkey = file(matches, "nkey", "NATS_NKEY");
    let (credentials, name) = match (credentials, nkey) {
        (Some((path, name)), None) => (Credentials::File(path), name),
        (None, Some((path, name))) => (Credentials::Nkey(path), name),
        (None, None) => (Credentials::Url, String::new()),
        (Some((_, one)), Some((_, other))) => return Err(format!("{one} and {other}: expected one of them")),
    };
    credentials.sign("").map_err(|error| format!("{name}: {error}"))?;

    let mut names = Vec::new();
    let mut file = |flag, variable| {
        let (path, name) = file(matches, flag, variable)?;
        names.push(name);
        Some(path)
    };
    let tls = TlsFiles {
        authorities: file("tlsca", "NATS_CA"),
        certificate: file("tlscert", "NATS_CERT"),
        key: file("tlskey", "NATS_KEY"),
    };
    if !names.is_empty() {
        Connector::new(&tls).map_err(|error| format!("{}: {error}", names.join(", ")))?;
    }
    Ok((credentials, tls))
}

/// A file that a flag names, or else a variable of the environment; and which of them did.
fn file(matches: Option<&Matches>, flag: &str, variable: &str) -> Option<(PathBuf, String)> {
    let by_flag = matches.and_then(|matches| matches.path(flag));
    let by_variable = || std::env::var_os(variable).filter(|value: &OsString| !value.is_empty());
    match by_flag {
        Some(path) => Some((path.to_owned(), format!("--{flag}"))),
        None => by_variable().map(|path| (path.into(), format!("${variable}"))),
    }
}
