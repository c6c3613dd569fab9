//! Regular expressions: what holds of every expression and every subject.

use lunix_core::device::regex::{CAPTURES, MAX_SUBJECT, Regex};

/// The first line is an expression, the rest what it is compared with.
pub fn matches(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, subject) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let regex = match Regex::parse(text) {
        Ok(regex) => regex,
        Err(error) => return assert!(error.at <= text.len() && !error.expected.is_empty()),
    };
    let wrapped = |before: &str, after: &str| [before.as_bytes(), text, after.as_bytes()].concat();
    let captures = regex.captures(subject);
    if subject.len() > MAX_SUBJECT {
        return assert!(captures.is_none() && !regex.is_match(subject));
    }
    // The whole is a part between two ends.
    let whole = wrapped("^(", ")$");
    let Ok(whole) = Regex::parse(&whole) else { return };
    assert_eq!(captures.is_some(), whole.is_match(subject));
    let Some(captures) = captures else { return };
    assert!(regex.is_match(subject));
    assert_eq!(captures.get(0), Some(subject));
    assert_eq!(whole.captures(subject).and_then(|captures| captures.get(1)), Some(subject));
    for number in 1..CAPTURES {
        // A group more around all of them moves their numbers by one, and nothing else.
        let moved = whole.captures(subject).and_then(|captures| captures.get(number));
        assert_eq!(captures.get(number - 1), moved);
    }
    // An alternative that is not needed changes nothing; one that is not there adds nothing.
    for (before, after) in [("(", "|x)"), ("(", "){1}"), ("(", ")(z{0})"), ("()(", ")")] {
        let other = wrapped(before, after);
        assert!(Regex::parse(&other).is_ok_and(|other| other.captures(subject).is_some()));
    }
}
