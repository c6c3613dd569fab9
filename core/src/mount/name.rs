//! Names of folders, made from what strangers wrote on their sticks.

/// Bytes of the longest name, a number that tells it from others included.
pub const MAX_NAME: usize = 64;
/// Of these, what is kept for `-` and the number.
const NUMBER: usize = 6;

/// A name that is one folder, whatever it was made from: no `/`, no control characters, no dot or dash at its beginning, no
/// white space around it, UTF-8, at most [`MAX_NAME`] bytes, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    /// From the first of `texts` of which something is left.
    ///
    /// ```
    /// use lunix_core::mount::name::Name;
    /// let name = |text: &[u8]| Name::new(&[text, b"sda1"]).as_str().to_owned();
    /// assert_eq!(name(b"My Stick"), "My Stick");
    /// assert_eq!(name(b"../../etc"), "_.._etc");
    /// assert_eq!(name(b" .. "), "sda1");
    /// ```
    pub fn new(texts: &[&[u8]]) -> Self {
        let made = texts.iter().map(|text| Self::made(text));
        made.clone().find(|name| name.len > 0).unwrap_or_else(|| Self::made(b"volume"))
    }

    /// The name, or with a `number` above 1 the name of another folder, as `HOLIDAY-2`.
    pub fn numbered(mut self, number: u16) -> Self {
        if number > 1 {
            self.push(b'-', MAX_NAME);
            let mut power = 10_000;
            while power > 0 {
                if number >= power {
                    self.push(b'0' + u8::try_from(number / power % 10).unwrap_or(0), MAX_NAME);
                }
                power /= 10;
            }
        }
        self
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // It is made of whole characters.
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("volume")
    }

    fn made(text: &[u8]) -> Self {
        let mut name = Self { bytes: [0; MAX_NAME], len: 0 };
        for chunk in text.utf8_chunks() {
            let bad = (!chunk.invalid().is_empty()).then_some('_');
            for c in chunk.valid().chars().chain(bad) {
                let c = if c == '/' || c == '\\' || is_unseen(c) { '_' } else { c };
                // A hidden folder hides what is in it, and a program takes a dash for a flag.
                let first = name.len == 0 && (c == '.' || c == '-' || c.is_whitespace());
                let room = MAX_NAME - NUMBER - name.len;
                if first || c.len_utf8() > room {
                    if first {
                        continue;
                    }
                    return name.trimmed();
                }
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    name.push(byte, MAX_NAME);
                }
            }
        }
        name.trimmed()
    }

    fn push(&mut self, byte: u8, limit: usize) {
        if self.len < limit
            && let Some(place) = self.bytes.get_mut(self.len)
        {
            *place = byte;
            self.len += 1;
        }
    }

    fn trimmed(mut self) -> Self {
        self.len = self.as_plain().trim_end().len();
        self
    }

    fn as_plain(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Control characters, and those that change how the text around them is shown.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString as _;

    use super::*;

    /// What a path cannot leave its folder by.
    fn is_one_folder(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= MAX_NAME
            && !name.contains(['/', '\0', '\n'])
            && !name.starts_with(['.', '-'])
            && !name.chars().any(char::is_control)
            && name.trim() == name
    }

    #[test]
    fn hostile_labels_stay_in_their_folder() {
        for (label, expected) in [
            (&b"HOLIDAY"[..], "HOLIDAY"),
            (b"", "sda1"),
            (b".", "sda1"),
            (b"..", "sda1"),
            (b"...", "sda1"),
            (b"   ", "sda1"),
            (b"/", "_"),
            (b"/etc", "_etc"),
            (b"../../etc/passwd", "_.._etc_passwd"),
            (b"..\\..", "_.."),
            (b"-rf", "rf"),
            (b"--", "sda1"),
            (b".hidden", "hidden"),
            (b"a\nb\rc\td", "a_b_c_d"),
            (b"\x1b[2J", "_[2J"),
            (b"\xff\xfe", "__"),
            (b"caf\xe9", "caf_"),
            (b"a\0b", "a_b"),
            ("ev\u{202e}il".as_bytes(), "ev_il"),
            (b" spaces inside ", "spaces inside"),
            ("\u{4f11}\u{65e5}".as_bytes(), "\u{4f11}\u{65e5}"),
        ] {
            let name = Name::new(&[label, b"sda1"]);
            assert_eq!(name.as_str(), expected);
            assert!(is_one_folder(name.as_str()) && is_one_folder(name.numbered(2).as_str()));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters_and_still_numbered() {
        let name = Name::new(&["\u{20ac}".repeat(200).as_bytes()]);
        assert_eq!(name.as_str().len(), 57);
        let other = name.numbered(u16::MAX);
        assert_eq!(other.as_str(), name.as_str().to_string() + "-65535");
        assert!(is_one_folder(other.as_str()));
        assert_eq!(name.numbered(1), name);
        assert_eq!(Name::new(&[b"A"]).numbered(102).as_str(), "A-102");
        assert_eq!(Name::new(&[]).as_str(), "volume");
    }

    #[test]
    fn any_bytes_make_one_folder() {
        use proptest::prelude::*;
        proptest!(|(label in proptest::collection::vec(any::<u8>(), 0..200), number in any::<u16>())| {
            let name = Name::new(&[&label, b"sda1"]).numbered(number);
            prop_assert!(is_one_folder(name.as_str()), "{:?}", name.as_str());
        });
    }
}
