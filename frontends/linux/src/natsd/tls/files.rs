//! Certificates and keys in PEM files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::natsd::settings::Tls;

/// A file's own certificate and those that lead to its authority.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
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
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| format!("{}: expected a private key in PEM: {error}", path.display()))
}

/// Those who sign.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A number that changes when the files do, so that a reload finds renewed certificates.
pub(in crate::natsd) fn fingerprint(settings: &Tls) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [&settings.cert_file, &settings.key_file, &settings.ca_file] {
        path.as_ref().and_then(|path| std::fs::read(path).ok()).hash(&mut hasher);
    }
    hasher.finish()
}
