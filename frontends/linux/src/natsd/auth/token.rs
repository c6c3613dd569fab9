//! Signatures by nkeys.

use ed25519_compact::{PublicKey as Verifier, Signature};
use lunix_proto::nkey::PublicKey;

/// Whether `key` has signed `message`. Weak keys and second forms of a signature are refused.
pub(super) fn verify(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    Verifier::new(key.bytes).verify(message, &Signature::new(*signature)).is_ok()
}
