//! Users and accounts by signed tokens: a user's is signed by an account, whose token is signed by an operator that is
//! trusted. Without the feature `jwt` the same types exist, and none can be made.

#[cfg(not(feature = "jwt"))]
mod absent;
#[cfg(feature = "jwt")]
mod resolver;
#[cfg(feature = "jwt")]
mod sharing;
#[cfg(feature = "jwt")]
mod signed;
#[cfg(feature = "jwt")]
mod times;
#[cfg(feature = "jwt")]
mod trust;

use std::net::IpAddr;
use std::time::Duration;

use lunix_proto::nkey::PublicKey;

use super::grant::{ConnectionTypes, Permissions};

#[cfg(not(feature = "jwt"))]
pub(in crate::natsd) use absent::{Trust, is_of, operator};
#[cfg(feature = "jwt")]
pub(in crate::natsd) use trust::{Trust, is_of, operator};

/// Why a token is refused, for the log.
pub(in crate::natsd::auth) type Refusal = &'static str;

/// Who a token makes a client.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// What can end the client's stay later.
    pub(in crate::natsd::auth) stay: Stay,
    /// What people call it.
    pub(in crate::natsd::auth) name: String,
    pub(in crate::natsd::auth) permissions: Permissions,
    pub(in crate::natsd::auth) subscriptions: Option<u32>,
    pub(in crate::natsd::auth) payload: Option<usize>,
    /// For how long it may stay.
    pub(in crate::natsd::auth) rest: Option<Duration>,
    /// It is the account's time that is over then.
    pub(in crate::natsd::auth) account_expires: bool,
}

/// What a client's stay depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsd::auth) struct Stay {
    pub(in crate::natsd::auth) account: PublicKey,
    pub(in crate::natsd::auth) user: PublicKey,
    issuer: PublicKey,
    issued_at: i64,
}

/// What a client shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsd::auth) struct Shown<'c> {
    pub(in crate::natsd::auth) token: &'c str,
    /// The signature of the nonce, in bytes.
    pub(in crate::natsd::auth) signature: Option<[u8; 64]>,
    pub(in crate::natsd::auth) nonce: &'c [u8],
    /// None on a UNIX socket.
    pub(in crate::natsd::auth) address: Option<IpAddr>,
    pub(in crate::natsd::auth) connection: ConnectionTypes,
}
