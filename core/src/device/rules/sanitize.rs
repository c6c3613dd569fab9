//! What of untrusted texts may stand in names.

/// Bytes that a result of a program and an attribute may have besides those of names.
pub(super) const OF_INPUT: &[u8] = b"/ $%?,";

/// C's white space.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// `text` without white space at its end.
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Replaces by `_` what is neither a letter, digit or one of `#+-.:=@_`, nor in `allowed`, nor valid UTF-8, nor a
/// `\x` of an encoded name. If a space is allowed, all white space becomes one.
pub(in crate::device) fn replace(text: &mut [u8], allowed: &[u8]) {
    let mut at = 0;
    while let Some(rest) = text.get_mut(at..)
        && let Some(first) = rest.first().copied()
    {
        let plain = first.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&first) || allowed.contains(&first);
        at += match rest {
            _ if plain => 1,
            [b'\\', b'x', ..] => 2,
            _ if scalar(rest) > 1 => scalar(rest),
            [byte, ..] => {
                *byte = if is_space(first) && allowed.contains(&b' ') { b' ' } else { b'_' };
                1
            }
            [] => 1,
        };
    }
}

/// Replaces by `_` what a name of a network interface cannot have.
pub(super) fn replace_in_interface(text: &mut [u8]) {
    for byte in text.iter_mut().filter(|byte| !byte.is_ascii_graphic() || matches!(byte, b':' | b'/' | b'%'))
    {
        *byte = b'_';
    }
}

/// Makes one `_` of each run of white space, and nothing of those at the ends; answers the new length.
pub(in crate::device) fn squeeze(text: &mut [u8]) -> usize {
    let (mut len, mut gap) = (0, false);
    for at in 0..text.len() {
        let Some(byte) = text.get(at).copied() else { break };
        if is_space(byte) {
            gap = len > 0;
            continue;
        }
        for new in [gap.then_some(b'_'), Some(byte)].into_iter().flatten() {
            if let Some(place) = text.get_mut(len) {
                *place = new;
                len += 1;
            }
        }
        gap = false;
    }
    len
}

/// How many bytes the character has with which `text` begins; 0 if that is not valid.
pub(in crate::device) fn scalar(text: &[u8]) -> usize {
    let len = match text.first() {
        Some(0..=0x7f) => 1,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 0,
    };
    text.get(..len).filter(|bytes| core::str::from_utf8(bytes).is_ok()).map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn replaced(text: &[u8], allowed: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        replace(&mut text, allowed);
        text
    }

    #[test]
    fn what_is_dangerous_becomes_a_line() {
        assert_eq!(replaced(b"name; (/usr/bin/bad)", OF_INPUT), b"name_ _/usr/bin/bad_");
        assert_eq!(replaced("\u{fc}ber".as_bytes(), b""), "\u{fc}ber".as_bytes());
        assert_eq!(replaced(b"\xef\xe8x", b""), b"__x");
        assert_eq!(replaced(b"a\\x20b\\c", b""), b"a\\x20b_c");
        assert_eq!(replaced(b"a\tb", b" "), b"a b");
        assert_eq!(replaced(b"a\tb/", b"/"), b"a_b/");
        let mut name = *b"eth 0:1";
        replace_in_interface(&mut name);
        assert_eq!(&name, b"eth_0_1");
    }

    #[test]
    fn white_space_is_squeezed() {
        for (text, expected) in [("  one  two three ", "one_two_three"), ("", ""), ("   ", ""), ("a", "a")] {
            let mut bytes = text.as_bytes().to_vec();
            let len = squeeze(&mut bytes);
            assert_eq!(&bytes[..len], expected.as_bytes());
        }
        assert_eq!(trim_end(b"a b \n\t"), b"a b");
    }
}
