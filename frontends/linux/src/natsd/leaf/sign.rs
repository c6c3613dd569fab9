//! Who this server is at a hub that wants a signature.

use std::fs;
use std::path::Path;

use ed25519_compact::{KeyPair, Seed as KeySeed};
use lunix_proto::nkey::{Kind, PublicKey, Seed, base64};

use crate::natsd::auth::token::undecorated;
use crate::natsd::settings::Remote;

/// What `CONNECT` says of a key.
#[derive(Debug, Default)]
pub(super) struct Signed {
    pub(super) jwt: String,
    pub(super) nkey: String,
    /// The nonce, signed.
    pub(super) signature: String,
}

impl Signed {
    /// Signs `nonce` with the key that the remote's settings name, if they name one.
    ///
    /// # Errors
    /// What is wrong with the file or key, in one line.
    pub(super) fn new(remote: &Remote, nonce: &str) -> Result<Self, String> {
        if let Some(path) = &remote.credentials {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let (jwt, seed) = credentials(&text, path)?;
            let (_, signature) = sign(&seed, nonce)?;
            return Ok(Self { jwt, nkey: String::new(), signature });
        }
        match &remote.nkey {
            None => Ok(Self::default()),
            Some(seed) => {
                let seed = Seed::parse(&seed.0).map_err(|error| format!("nkey: {error}"))?;
                let (nkey, signature) = sign(&seed, nonce)?;
                Ok(Self { jwt: String::new(), nkey, signature })
            }
        }
    }
}

/// The token and the seed of a file as `nsc` writes it.
fn credentials(text: &str, path: &Path) -> Result<(String, Seed), String> {
    let jwt = undecorated(text);
    let seed = text.split_ascii_whitespace().find_map(|word| Seed::parse(word).ok());
    match (jwt, seed) {
        ("", _) | (_, None) => Err(format!("{}: expected a user's token and seed", path.display())),
        (jwt, Some(seed)) => Ok((jwt.to_owned(), seed)),
    }
}

/// The public key, and the signature of `nonce` in letters of URLs.
fn sign(seed: &Seed, nonce: &str) -> Result<(String, String), String> {
    let pair = KeyPair::try_from_seed(KeySeed::new(seed.bytes)).map_err(|error| error.to_string())?;
    let signature = pair.sk.sign(nonce.as_bytes(), None);
    let mut room = [0; 96];
    let text = base64::encode_url(&*signature, &mut room).map_err(|error| error.to_string())?;
    let key = PublicKey { kind: Kind::User, bytes: *pair.pk };
    Ok((key.text().as_str().to_owned(), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    #[test]
    fn what_is_signed_is_verified_by_the_key() {
        let seed = Seed::parse(SEED).unwrap();
        let (key, signature) = sign(&seed, "nonce").unwrap();
        assert!(key.starts_with('U'));
        let key = PublicKey::parse(&key).unwrap();
        let mut room = [0; 64];
        let bytes = base64::decode_url(&signature, &mut room).unwrap();
        let bytes = ed25519_compact::Signature::from_slice(bytes).unwrap();
        assert!(ed25519_compact::PublicKey::new(key.bytes).verify(b"nonce", &bytes).is_ok());
    }

    #[test]
    fn credentials_are_found_between_their_dashes() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJh.b.c\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\
             -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
        );
        let (jwt, seed) = credentials(&file, Path::new("x")).unwrap();
        assert_eq!((jwt.as_str(), seed.kind), ("eyJh.b.c", Kind::User));
        assert_eq!(credentials("eyJ", Path::new("x")).unwrap_err(), "x: expected a user's token and seed");
    }
}
