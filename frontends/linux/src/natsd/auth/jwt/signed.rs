//! Tokens whose signature is good.

use lunix_proto::nkey::claims::Claims;
use lunix_proto::nkey::jwt::Token;

use crate::natsd::auth::token::verify;

/// Why a token says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedError {
    /// It is none.
    Text,
    /// Who it says has issued it has not signed it.
    Signature,
}

/// The claims of a token that its issuer has signed. Whether the issuer is trusted is another question.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    json: Box<[u8]>,
}

impl Signed {
    /// Reads a token.
    ///
    /// # Errors
    /// It is none, or its signature is not its issuer's.
    pub(crate) fn read(text: &str) -> Result<Self, SignedError> {
        let token = Token::split(text).map_err(|_| SignedError::Text)?;
        let mut json = vec![0; token.claims_len()];
        let len = token.claims(&mut json).map_err(|_| SignedError::Text)?.len();
        json.truncate(len);
        let Claims { issuer, version, .. } = Claims::parse(&json).map_err(|_| SignedError::Text)?;
        // Who could choose what is signed could choose what it says.
        if version != token.version {
            return Err(SignedError::Text);
        }
        if !verify(&issuer, token.signed.as_bytes(), &token.signature) {
            return Err(SignedError::Signature);
        }
        Ok(Self { json: json.into_boxed_slice() })
    }

    /// What it says. Always something: it was read before.
    pub(crate) fn claims(&self) -> Option<Claims<'_>> {
        Claims::parse(&self.json).ok()
    }
}
