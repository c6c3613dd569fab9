//! Who we are at a server that wants a signature: a credentials file as `nsc` writes it, or the seed of an nkey.

#[cfg(not(feature = "credentials"))]
mod absent;
#[cfg(feature = "credentials")]
mod signed;

/// What `CONNECT` says of a key.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// A user's token; empty if there is none.
    pub jwt: String,
    /// The public key, where there is no token that has it.
    pub nkey: String,
    /// The nonce, signed.
    pub signature: String,
}
