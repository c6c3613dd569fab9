//! Who may make images: Ed25519 keys, as lines of 64 hexadecimal digits.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use lunix_core::slots::image::{Header, KeyId, Signed};

/// A public key, and whose it is.
#[derive(Debug)]
pub(super) struct Key {
    key: PublicKey,
    /// What stands behind it in its file.
    pub(super) owner: String,
}

/// All keys of a file: one a line, a name behind it, `#` begins a comment.
///
/// # Errors
/// Every line that is at fault, each in one line; or that the file cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<Key>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (mut keys, mut mistakes) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (digits, owner) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match parse(digits) {
            Some(bytes) => keys.push(Key { key: PublicKey::new(bytes), owner: owner.trim().to_owned() }),
            None => mistakes.push(format!(
                "{}:{}: expected a key of 64 hexadecimal digits, found '{}'",
                path.display(),
                number + 1,
                crate::escaped::Escaped(digits)
            )),
        }
    }
    if mistakes.is_empty() { Ok(keys) } else { Err(mistakes.join("\n")) }
}

/// Whose signature an image has, if it is right.
pub(super) fn signer<'a>(header: &Header, keys: &'a [Key]) -> Option<&'a Key> {
    let signed = header.signed?;
    let signature = Signature::new(signed.signature);
    keys.iter()
        .filter(|key| id(&key.key) == signed.key)
        .find(|key| key.key.verify(header.signed_bytes(), &signature).is_ok())
}

/// Signs the header with the secret key in a file.
///
/// # Errors
/// What is wrong with the file, in words that do not tell the key.
pub(super) fn sign(header: &mut Header, path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let seed = text.lines().next().and_then(|line| parse(line.trim()));
    let seed =
        seed.ok_or_else(|| format!("{}:1: expected a secret key of 64 hexadecimal digits", path.display()))?;
    let pair = KeyPair::from_seed(Seed::new(seed));
    let signature = *pair.sk.sign(header.signed_bytes(), None);
    header.signed = Some(Signed { key: id(&pair.pk), signature });
    Ok(())
}

/// Makes a key: the secret one in a new file that only its owner can read, the public one as text.
///
/// # Errors
/// The file is there, or cannot be written; there is no randomness.
pub(super) fn make(path: &Path) -> Result<String, String> {
    let mut seed = [0; 32];
    let got = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    if !got.is_ok_and(|got| got == seed.len()) {
        return Err("no randomness".to_owned());
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| {
        file.write_all(format!("{}\n", hex(&seed)).as_bytes())?;
        file.sync_all()
    })
    .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(hex(&*KeyPair::from_seed(Seed::new(seed)).pk))
}

fn id(key: &PublicKey) -> KeyId {
    KeyId(key.first_chunk().copied().unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_of_one_form() {
        assert!(parse(&"0a".repeat(32)).is_some_and(|key| key == [10; 32]));
        for text in ["", "0a", &"+a".repeat(32), &"0g".repeat(32), &"0a".repeat(33)] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
