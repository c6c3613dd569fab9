//! Patterns as fnmatch(3) has them, without flags: `*` and `?` also stand for a slash and for a leading dot.

use crate::device::class::is_of;

/// Whether `pattern` is more than itself.
pub(in crate::device) fn is_glob(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether `pattern` matches all of `text`. Takes at most as many steps as both lengths multiplied.
///
/// A bracket without an end is just a bracket; a backslash takes the next byte as it is.
pub fn fits(pattern: &[u8], text: &[u8], any_case: bool) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last star, and the text that the star has not taken yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                star = Some((rest, text));
                pattern = rest;
                continue;
            }
            (Some(_), Some((byte, after))) => {
                if let Some(rest) = one(pattern, *byte, any_case) {
                    (pattern, text) = (rest, after);
                    continue;
                }
            }
            _ => {}
        }
        let Some((rest, [_, after @ ..])) = star else { return false };
        star = Some((rest, after));
        (pattern, text) = (rest, after);
    }
}

/// The pattern that remains if its first element stands for `byte`.
fn one(pattern: &[u8], byte: u8, any_case: bool) -> Option<&[u8]> {
    let same = |one: u8| one == byte || any_case && one.eq_ignore_ascii_case(&byte);
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', inside @ ..] => match class(inside, byte, any_case) {
            Some((true, rest)) => Some(rest),
            Some((false, _)) => None,
            None => same(b'[').then_some(inside),
        },
        [b'\\', literal, rest @ ..] => same(*literal).then_some(rest),
        [literal, rest @ ..] => same(*literal).then_some(rest),
        [] => None,
    }
}

/// Whether `byte` is in the class that begins at `inside`, and what follows its bracket. `None` if there is no end.
fn class(inside: &[u8], byte: u8, any_case: bool) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match inside {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut first, mut member) = (true, false);
    let within = |low: u8, high: u8| {
        let range = low..=high;
        range.contains(&byte)
            || any_case
                && (range.contains(&byte.to_ascii_lowercase()) || range.contains(&byte.to_ascii_uppercase()))
    };
    loop {
        rest = match rest {
            [] => return None,
            [b']', rest @ ..] if !first => return Some((member != negated, rest)),
            [b'[', b':', named @ ..] if named_class(named, byte).is_some() => {
                let (is, rest) = named_class(named, byte)?;
                member |= is;
                rest
            }
            [low, b'-', high, rest @ ..] if *high != b']' && *low != b'\\' => {
                member |= within(*low, *high);
                rest
            }
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
                member |= within(*literal, *literal);
                rest
            }
        };
        first = false;
    }
}

/// `[:digit:]` and the like, behind their beginning.
fn named_class(named: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let end = named.windows(2).take(8).position(|two| two == b":]")?;
    let (name, rest) = named.split_at_checked(end)?;
    Some((is_of(name, byte)?, rest.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_what_they_match() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?*", "", false),
            ("sd[a-z]*", "sda1", true),
            ("sd[!a-z]*", "sda1", false),
            ("sd[^0-9]", "sda", true),
            ("*/block/*1", "/devices/x/block/sda/sda1", true),
            ("*ab*abc", "xxababc", true),
            ("a*b*c*d", "abcabc", false),
            ("[]x]", "]", true),
            ("[!]x]", "]", false),
            ("[a-]", "-", true),
            ("[[:digit:]a]", "7", true),
            ("[[:digit:]a]", "b", false),
            ("[[:none:]", ":", true),
            ("a[b", "a[b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[\\]]", "]", true),
            ("??A", "ATA", true),
            ("A??", "AT", false),
            (".*", ".hidden", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
        }
        assert!(fits(b"sd[A-Z]", b"sda", true));
        assert!(fits(b"NVME*", b"nvme0n1", true));
        assert!(!fits(b"NVME*", b"nvme0n1", false));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let text = [b'a'; 4000];
        let mut pattern = [b'*'; 64];
        pattern.iter_mut().step_by(2).for_each(|byte| *byte = b'a');
        pattern[63] = b'b';
        assert!(!fits(&pattern, &text, false));
    }
}
