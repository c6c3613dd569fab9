//! Signing, with the keys that files hold.

use std::fs;
use std::path::Path;

use ed25519_compact::{KeyPair, Seed as KeySeed};
use lunix_proto::nkey::jwt::undecorated;
use lunix_proto::nkey::{Kind, PublicKey, Seed, base64};

use super::Signed;

impl Signed {
    /// Signs `nonce` with the key in the file at `path`, which has a user's token, too.
    ///
    /// # Errors
    /// What is wrong with the file, in one line.
    pub(crate) fn by_file(path: &Path, nonce: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (jwt, seed) = credentials(&text)
            .ok_or_else(|| format!("{}: expected a user's token and seed", path.display()))?;
        let (_, signature) = sign(&seed, nonce)?;
        Ok(Self { jwt: jwt.to_owned(), nkey: String::new(), signature })
    }

    /// Signs `nonce` with a seed.
    ///
    /// # Errors
    /// What is wrong with the seed, in words that do not tell it.
    pub(crate) fn by_seed(seed: &str, nonce: &str) -> Result<Self, String> {
        let seed = Seed::parse(seed).map_err(|error| error.to_string())?;
        let (nkey, signature) = sign(&seed, nonce)?;
        Ok(Self { jwt: String::new(), nkey, signature })
    }
}

/// The token and the seed of a file as `nsc` writes it.
fn credentials(text: &str) -> Option<(&str, Seed)> {
    let jwt = undecorated(text);
    let seed = text.split_ascii_whitespace().find_map(|word| Seed::parse(word).ok())?;
    (!jwt.is_empty()).then_some((jwt, seed))
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
        let Signed { nkey, signature, .. } = Signed::by_seed(SEED, "nonce").unwrap();
        assert!(nkey.starts_with('U'));
        let key = PublicKey::parse(&nkey).unwrap();
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
        let (jwt, seed) = credentials(&file).unwrap();
        assert_eq!((jwt, seed.kind), ("eyJh.b.c", Kind::User));
        assert!(credentials("eyJ").is_none() && credentials(SEED).is_none());
    }
}
