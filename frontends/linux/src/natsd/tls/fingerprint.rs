//! Whether files of certificates are still what they were.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::natsd::settings::Tls;

/// A number that changes when the files do, so that a reload finds renewed certificates.
pub(in crate::natsd) fn fingerprint(settings: &Tls) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [&settings.cert_file, &settings.key_file, &settings.ca_file] {
        path.as_ref().and_then(|path| std::fs::read(path).ok()).hash(&mut hasher);
    }
    hasher.finish()
}
