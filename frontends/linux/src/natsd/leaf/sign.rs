//! Who this server is at a hub that wants a signature.

use crate::credentials::Signed;
use crate::natsd::settings::Remote;

/// Signs `nonce` with the key that the remote's settings name, if they name one.
///
/// # Errors
/// What is wrong with the file or key, in one line.
pub(super) fn sign(remote: &Remote, nonce: &str) -> Result<Signed, String> {
    match (&remote.credentials, &remote.nkey) {
        (Some(path), _) => Signed::by_file(path, nonce),
        (None, Some(seed)) => Signed::by_seed(&seed.0, nonce).map_err(|error| format!("nkey: {error}")),
        (None, None) => Ok(Signed::default()),
    }
}
