//! Certificates and keys in PEM files, and whose they are.

mod owner;

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::bus::TlsFiles;

pub use owner::Certificate;

/// How a client speaks TLS 1.2 and 1.3 that trusts, and shows, what these files have. Sessions are not resumed.
///
/// # Errors
/// Which file is wrong, in one line.
pub fn client(files: &TlsFiles) -> Result<ClientConfig, String> {
    let authorities = match &files.authorities {
        Some(path) => authorities(path)?,
        None => authorities_of_this_machine()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities);
    let mut config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(private)) => builder
            .with_client_auth_cert(read(certificate)?, key(private)?)
            .map_err(|error| format!("{} and {}: {error}", certificate.display(), private.display()))?,
        (None, None) => builder.with_no_client_auth(),
        _ => return Err("expected a certificate and its key, or neither".to_owned()),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What a server shows, and wants to be shown.
#[derive(Clone, Copy, Debug)]
pub struct ServerFiles<'f> {
    /// Its certificate, and those that lead to its authority, in PEM.
    pub certificate: &'f Path,
    /// Its key, in PEM.
    pub key: &'f Path,
    /// Who connects must show a certificate.
    pub verify: bool,
    /// Those who sign that, in PEM; this machine's authorities without.
    pub authorities: Option<&'f Path>,
}

/// How a server speaks TLS that shows, and wants to be shown, this. Sessions are not resumed: what was verified once may have expired.
///
/// # Errors
/// Which file or choice is wrong, in one line.
pub fn server(
    files: ServerFiles<'_>,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = if files.verify {
        let authorities = match files.authorities {
            Some(path) => authorities(path)?,
            None => authorities_of_this_machine()?,
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
            .build()
            .map_err(|error| format!("ca_file: {error}"))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(read(files.certificate)?, key(files.key)?)
        .map_err(|error| format!("{} and {}: {error}", files.certificate.display(), files.key.display()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A file's own certificate and those that lead to its authority.
///
/// # Errors
/// What is wrong with the file, in one line.
pub fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{}: expected a certificate in PEM, found none", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{}: expected certificates in PEM: {error}", path.display())),
    }
}

/// A private key: PKCS #8, PKCS #1 or SEC 1.
///
/// # Errors
/// What is wrong with the file, in one line.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&bytes(path)?)
        .map_err(|error| format!("{}: expected a private key in PEM: {error}", path.display()))
}

/// Those who sign.
///
/// # Errors
/// What is wrong with the file, in one line.
pub fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in read(path)? {
        store.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(store)
}

/// Those whom this machine trusts.
///
/// # Errors
/// There are none.
pub fn authorities_of_this_machine() -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // One that cannot be read is one that nobody can be shown to be signed by.
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err("this machine has no certificates of authorities: expected a file with some".to_owned());
    }
    Ok(store)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
