//! A token in three parts: header, claims and signature, each in base64 and with a dot between them.

use super::base64::{self, Base64Error};
use crate::json;

/// The longest token that is looked at; nats-server's limit too.
pub const MAX_TOKEN: usize = 1 << 20;

/// Text that is no NATS 2 token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It has not three parts, or is longer than [`MAX_TOKEN`].
    Parts,
    /// Its header does not say `JWT` and `ed25519-nkey`, or `ed25519` as the first version did.
    Header,
    /// Its signature is no base64 of 64 bytes.
    Signature,
}

impl core::fmt::Display for TokenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Parts => "no JWT",
            Self::Header => "a JWT of another kind",
            Self::Signature => "a JWT without signature",
        })
    }
}

impl core::error::Error for TokenError {}

/// A token's parts. Neither are its claims read nor its signature checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'b> {
    /// The version of the claims that the header announces: 2, or 1.
    pub version: u8,
    /// What is signed: header, dot, claims; in version 1 the claims alone.
    pub signed: &'b str,
    /// The claims in base64: [`Token::claims`] reads them.
    pub claims: &'b str,
    /// The issuer's Ed25519 signature of `signed`.
    pub signature: [u8; 64],
}

/// A header has two short members; more than this has none.
const MAX_HEADER: usize = 256;

impl<'b> Token<'b> {
    /// Splits `text`, which must not have blanks around it.
    ///
    /// # Errors
    /// It is no token.
    pub fn split(text: &'b str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Parts);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Parts)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Parts)?;
        if claims.contains('.') {
            return Err(TokenError::Parts);
        }
        let version = header_version(header)?;
        let mut room = [0; 64];
        let len = base64::decode_url(signature, &mut room).map_err(|_| TokenError::Signature)?.len();
        if len < room.len() {
            return Err(TokenError::Signature);
        }
        let signed = if version == 1 { claims } else { signed };
        Ok(Self { version, signed, claims, signature: room })
    }

    /// The room that [`Token::claims`] needs.
    pub const fn claims_len(&self) -> usize {
        base64::decoded_len(self.claims.len())
    }

    /// Writes the claims' JSON into `out`, for [`Claims::parse`](super::claims::Claims::parse).
    ///
    /// # Errors
    /// They are no base64, or `out` is too short.
    pub fn claims<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], Base64Error> {
        base64::decode_url(self.claims, out)
    }
}

fn header_version(text: &str) -> Result<u8, TokenError> {
    let mut room = [0; MAX_HEADER];
    let json = base64::decode_url(text, &mut room).map_err(|_| TokenError::Header)?;
    let object = json::parse(json).ok().and_then(|value| value.as_object()).ok_or(TokenError::Header)?;
    let says = |key, expected: &str| {
        let value = object.get(key).and_then(|value| value.as_str());
        value.is_some_and(|value| value.chars().map(|char| char.to_ascii_lowercase()).eq(expected.chars()))
    };
    match says("typ", "jwt") {
        true if says("alg", "ed25519-nkey") => Ok(2),
        true if says("alg", "ed25519") => Ok(1),
        _ => Err(TokenError::Header),
    }
}

/// The token in a file that may have lines of dashes around it and blanks in it.
pub fn undecorated(text: &str) -> &str {
    text.split_ascii_whitespace().find(|word| word.starts_with("eyJ")).unwrap_or_default()
}
