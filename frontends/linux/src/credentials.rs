//! Who we are at a server that wants a signature: a credentials file as `nsc` writes it, or the seed of an nkey.

#[cfg(not(feature = "credentials"))]
mod absent;
#[cfg(feature = "credentials")]
mod signed;

/// What `CONNECT` says of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signed {
    pub(crate) jwt: String,
    pub(crate) nkey: String,
    /// The nonce, signed.
    pub(crate) signature: String,
}
