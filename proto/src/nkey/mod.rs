//! The text of NATS's keys and tokens: nkeys, base64, and the JWTs of operators, accounts and users.
//!
//! Text becomes typed values here, and nothing is believed: whether a signature is good is asked of a library of
//! cryptography, whether a token is trusted, in time and not revoked, of whoever holds the keys.
//!
//! ```
//! use lunix_proto::nkey::{Kind, PublicKey, jwt};
//!
//! let key = PublicKey::parse("UCK5N7N66OBOINFXAYC2ACJQYFSOD4VYNU6APEJTAVFZB2SVHLKGEW7L").unwrap();
//! assert_eq!(key.kind, Kind::User);
//! assert_eq!(key.text().as_str(), "UCK5N7N66OBOINFXAYC2ACJQYFSOD4VYNU6APEJTAVFZB2SVHLKGEW7L");
//! assert!(jwt::Token::split("eyJ0eXAiOiJKV1QifQ.e30").is_err());
//! ```

pub mod base64;
pub mod claims;
mod crc;
pub mod jwt;
mod key;

pub use key::{Kind, PublicKey, PublicKeyText, Seed};

/// Text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It has not the length of such a key, or bytes that base32 has not.
    Text,
    /// Its checksum is wrong: a letter was lost on the way.
    Checksum,
    /// It is another kind of key, or none that there is.
    Prefix,
}

impl core::fmt::Display for KeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Text => "no nkey",
            Self::Checksum => "an nkey with a wrong checksum",
            Self::Prefix => "an nkey of another kind",
        })
    }
}

impl core::error::Error for KeyError {}
