//! Passwords and tokens as a configuration holds them: plain, or as bcrypt's hash.

use std::fmt;
use std::hint::black_box;

/// What a client has to know.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Secret {
    /// The text itself.
    Plain(String),
    /// Its hash.
    Bcrypt(Bcrypt),
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Bcrypt(_) => "Bcrypt",
        })
    }
}

/// `$2a$11$`, 22 letters of salt, 31 of hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bcrypt {
    cost: u8,
    salt: [u8; 16],
    hash: [u8; 23],
}

impl Secret {
    /// Reads a configured password: what begins as a hash is one.
    ///
    /// `None` if it begins as a hash of bcrypt and is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hash = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
        if is_hash { Bcrypt::parse(text).map(Self::Bcrypt) } else { Some(Self::Plain(text.to_owned())) }
    }
}

impl Bcrypt {
    fn parse(text: &str) -> Option<Self> {
        let (cost, rest) = text.get(4..)?.split_at_checked(2)?;
        let rest = rest.strip_prefix('$')?;
        let cost = cost.parse().ok().filter(|cost| (4..=31).contains(cost))?;
        let (salt_text, hash_text) = rest.split_at_checked(22)?;
        let (mut salt, mut hash) = ([0; 16], [0; 23]);
        decode(salt_text, &mut salt)?;
        decode(hash_text, &mut hash)?;
        Some(Self { cost, salt, hash })
    }

    /// Whether this is the hash of `password`; takes a tenth of a second at the usual cost.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        // As everybody does: a zero byte at the end, and 72 bytes count.
        let mut key: Vec<u8> = password.iter().copied().take(71).collect();
        key.push(password.get(71).copied().unwrap_or(0));
        let found = bcrypt::bcrypt(u32::from(self.cost), self.salt, &key);
        same(found.get(..23).unwrap_or_default(), &self.hash)
    }
}

/// Bcrypt's base64 has letters of its own. Spare bits mean nothing.
fn decode(text: &str, out: &mut [u8]) -> Option<()> {
    let mut places = out.iter_mut();
    let (mut bits, mut count) = (0_u16, 0);
    for letter in text.bytes() {
        let digit = match letter {
            b'.' => 0,
            b'/' => 1,
            b'A'..=b'Z' => letter - b'A' + 2,
            b'a'..=b'z' => letter - b'a' + 28,
            b'0'..=b'9' => letter - b'0' + 54,
            _ => return None,
        };
        bits = (bits << 6) | u16::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [_, low] = (bits >> count).to_be_bytes();
            *places.next()? = low;
            bits &= (1 << count) - 1;
        }
    }
    places.next().is_none().then_some(())
}

/// Whether both are equal, in a time that tells nothing but their lengths.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && black_box(a.iter().zip(b).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the package `bcrypt` of `PyPI`.
    const HASHES: [(&str, &str); 4] = [
        ("s3cret", "$2a$04$RH74l6QDHwGlk.6XXxdJu.YNGIgYoFytc6IId8c0rKeDiUlVsI8Oi"),
        ("", "$2b$04$yy0BCOhTblkanFgV8phAP.TONquRMlx9tY7Vsr4mxsm7HSdfWZUV2"),
        ("pässwort mit leerzeichen", "$2b$04$.UxNgF0TAdqp0Qzhw/4U.O/iDKmYGTHBNs03HMflgO13EsOqD9c2y"),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "$2a$04$fcDq2sqyiRmp6ig9yr83Feoba/6Au1LGqk./80bVuaynwgOXtN43C",
        ),
    ];

    #[test]
    fn hashes_of_a_real_tool() {
        for (password, hash) in HASHES {
            let Some(Secret::Bcrypt(bcrypt)) = Secret::parse(hash) else { panic!("{hash}") };
            assert!(bcrypt.is_of(password.as_bytes()), "{password}");
            assert!(!bcrypt.is_of(format!("y{password}").as_bytes()));
            assert!(!bcrypt.is_of(b"other"));
        }
        // What is beyond 72 bytes does not count.
        let Some(Secret::Bcrypt(long)) = Secret::parse(HASHES[3].1) else { panic!() };
        assert!(long.is_of("x".repeat(80).as_bytes()) && !long.is_of("x".repeat(71).as_bytes()));
    }

    #[test]
    fn what_is_no_hash_is_plain_or_a_mistake() {
        assert_eq!(Secret::parse("$2z$x"), Some(Secret::Plain("$2z$x".to_owned())));
        let (_, hash) = HASHES[0];
        for at in 4..hash.len() {
            assert_eq!(Secret::parse(&hash[..at]), None);
        }
        assert_eq!(Secret::parse(&hash.replace("$04$", "$99$")), None);
        assert_eq!(Secret::parse(&format!("{hash}A")), None);
        assert!(!format!("{:?}", Secret::parse("hunter2")).contains("hunter2"));
    }

    #[test]
    fn equality() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }
}
