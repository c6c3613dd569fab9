//! Texts of devices as values of properties: safe in names, or encoded so that nothing is lost.

use super::rules::sanitize;

/// Makes a text safe for names, in place, and answers its new length: no white space at the ends, one `_` for any other
/// run of it, and `_` for what is neither a letter, a digit, one of `#+-.:=@_`, nor valid UTF-8.
///
/// ```
/// let mut text = *b"  My disk; $5 ";
/// let len = lunix_core::device::encode::safe(&mut text);
/// assert_eq!(&text[..len], b"My_disk___5");
/// ```
pub fn safe(text: &mut [u8]) -> usize {
    let len = sanitize::squeeze(text);
    if let Some(text) = text.get_mut(..len) {
        sanitize::replace(text, b"");
    }
    len
}

/// Makes a label safe, in place, and answers its new length: no white space at the ends, one `_` for any other run of it,
/// and `_` for what cannot be printed or is no valid UTF-8.
///
/// ```
/// let mut text = *b" a  b/c; \x1b\xff";
/// let len = lunix_core::device::encode::safe_label(&mut text);
/// assert_eq!(&text[..len], b"a_b/c;___");
/// ```
pub fn safe_label(text: &mut [u8]) -> usize {
    let len = sanitize::squeeze(text);
    let mut at = 0;
    while let Some(rest) = text.get_mut(at..len)
        && let Some(first) = rest.first().copied()
    {
        let scalar = sanitize::scalar(rest).max(1);
        if let Some(first) = rest.first_mut().filter(|_| scalar == 1 && !first.is_ascii_graphic()) {
            *first = b'_';
        }
        at += scalar;
    }
    len
}

/// A text with `\x20` for what is neither a letter, a digit, one of `#+-.:=@_`, nor valid UTF-8.
///
/// ```
/// use lunix_core::device::encode::encoded;
/// assert!(encoded(b"a /\xc3\xa9\xff").eq(*b"a\\x20\\x2f\xc3\xa9\\xff"));
/// ```
pub fn encoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    // What of the last character is not told yet.
    let mut waiting: ([u8; 4], usize, usize) = ([0; 4], 0, 0);
    core::iter::from_fn(move || {
        if waiting.1 == waiting.2 {
            let (first, after) = rest.split_first()?;
            let len = sanitize::scalar(rest);
            waiting = (*b"\\x00", 0, 4);
            if len > 1 || first.is_ascii_alphanumeric() || b"#+-.:=@_".contains(first) {
                waiting.2 = len;
                for (place, byte) in waiting.0.iter_mut().zip(rest.iter().take(len)) {
                    *place = *byte;
                }
                rest = rest.get(len..).unwrap_or_default();
            } else {
                let digit =
                    |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0');
                waiting.0 = [b'\\', b'x', digit(first >> 4), digit(first & 15)];
                rest = after;
            }
        }
        let byte = waiting.0.get(waiting.1).copied();
        waiting.1 += 1;
        byte
    })
}

/// What [`encoded`] was made of: `\x20` and the like become what they stand for, all else stays.
///
/// ```
/// use lunix_core::device::encode::decoded;
/// assert!(decoded(br"a\x20\x2fb\x").eq(*br"a /b\x"));
/// ```
pub fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut rest = text;
    core::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if let [b'\\', b'x', high, low, after @ ..] = rest
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(*first)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn texts_are_decoded_as_far_as_they_are_encoded() {
        for (encoded, plain) in [
            (&br"a\x20b"[..], &b"a b"[..]),
            (br"\x", br"\x"),
            (br"\x2", br"\x2"),
            (br"\xzz", br"\xzz"),
            (br"\x+1", br"\x+1"),
            (br"\\x41", br"\A"),
            (b"\\", b"\\"),
            (b"", b""),
        ] {
            assert_eq!(decoded(encoded).collect::<Vec<_>>(), plain, "{}", encoded.escape_ascii());
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let all: Vec<u8> = (0..=255).chain(*b"caf\xc3\xa9 \\x20").collect();
        let encoded: Vec<u8> = encoded(&all).collect();
        assert_eq!(decoded(&encoded).collect::<Vec<_>>(), all);
    }
}
