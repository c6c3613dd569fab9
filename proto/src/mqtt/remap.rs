//! Topics of one tree as topics of another, as bridges between brokers have it.
//!
//! What the wildcards of one filter stand for is put in the place of those of another: `from` is `a/+/b/#` and `to` is `x/+/#`, so
//! `a/1/b/c/d` becomes `x/1/c/d`. Both have the same wildcards in the same order; so the way back is the same with both exchanged.

use super::topic;
use crate::Full;
use crate::out::Out;

/// Whether topics that one filter matches can become topics that the other one does, and back.
///
/// ```
/// use lunix_proto::mqtt::remap::is_remap;
/// assert!(is_remap("a/+/b/#", "x/+/#") && is_remap("#", "site/#") && is_remap("a", "b/c"));
/// assert!(!is_remap("a/+", "x/#") && !is_remap("a/+/+", "x/+") && !is_remap("a", "x+"));
/// ```
pub fn is_remap(from: &str, to: &str) -> bool {
    fn wildcards(filter: &str) -> impl Iterator<Item = &str> {
        filter.split('/').filter(|level| matches!(*level, "+" | "#"))
    }
    topic::is_filter(from) && topic::is_filter(to) && wildcards(from).eq(wildcards(to))
}

/// What `topic` becomes; `None` if `from` does not match it, or `to` would not match what it became, which is so of empty topics
/// and of those in which a wildcard would stand for the `$` of a beginning [MQTT-4.7.2-1].
///
/// The filters must be [a pair](is_remap), and the topic a valid one; for others the answer means nothing.
///
/// # Errors
/// `out` is too short: it has to be as long as `to` and `topic` together.
///
/// ```
/// use lunix_proto::mqtt::remap::remap;
/// let mut out = [0; 32];
/// assert_eq!(remap(&mut out, "a/+/b/#", "x/+/#", "a/1/b/c/d"), Ok(Some("x/1/c/d")));
/// assert_eq!(remap(&mut out, "a/+/b/#", "x/+/#", "a/1/b"), Ok(Some("x/1")));
/// assert_eq!(remap(&mut out, "x/+/#", "a/+/b/#", "x/1/c/d"), Ok(Some("a/1/b/c/d")));
/// assert_eq!(remap(&mut out, "a/#", "#", "a"), Ok(None), "nothing is left of it");
/// ```
pub fn remap<'o>(out: &'o mut [u8], from: &str, to: &str, topic: &str) -> Result<Option<&'o str>, Full> {
    if !topic::matches(from, topic) {
        return Ok(None);
    }
    let mut captured =
        from.split('/').zip(topic.split('/')).filter(|(wanted, _)| *wanted == "+").map(|(_, level)| level);
    let rest = from.strip_suffix('#').and_then(|above| {
        let levels = above.bytes().filter(|byte| *byte == b'/').count();
        topic.splitn(levels + 1, '/').nth(levels)
    });
    let mut mapped = Out::new(&mut *out);
    let mut put = |at: usize, level: &str| {
        if at > 0 {
            mapped.put(b"/");
        }
        mapped.put(level.as_bytes());
    };
    for (at, level) in to.split('/').enumerate() {
        match level {
            "+" => put(at, captured.next().unwrap_or_default()),
            "#" => rest.into_iter().for_each(|rest| put(at, rest)),
            level => put(at, level),
        }
    }
    let len = mapped.finish()?;
    // It is made of whole texts.
    let mapped = str::from_utf8(out.get(..len).unwrap_or_default()).unwrap_or_default();
    let fits = !mapped.is_empty() && len <= usize::from(u16::MAX) && topic::matches(to, mapped);
    Ok(fits.then_some(mapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_becomes(from: &str, to: &str, topic: &str, expected: Option<&str>) {
        assert!(is_remap(from, to));
        assert_eq!(remap(&mut [0; 64], from, to, topic), Ok(expected), "{from} {to} {topic}");
    }

    #[test]
    fn there_and_back() {
        for (from, to, topic, expected) in [
            ("#", "#", "a/b", "a/b"),
            ("#", "site/1/#", "a", "site/1/a"),
            ("site/#", "#", "site/a/b", "a/b"),
            ("home/+/temp", "cloud/home/+/temp", "home/attic/temp", "cloud/home/attic/temp"),
            ("a/+/b/#", "x/+/#", "a/1/b/2/3", "x/1/2/3"),
            ("a/+/b/#", "x/+/#", "a//b/", "x//"),
            ("+/+/#", "x/+/y/+/z/#", "1/2", "x/1/y/2/z"),
            ("+/a", "a/+", "/a", "a/"),
            ("lamp", "light/of/the/house", "lamp", "light/of/the/house"),
            ("$SYS/broker/#", "sys/#", "$SYS/broker/uptime", "sys/uptime"),
        ] {
            assert_becomes(from, to, topic, Some(expected));
            assert_becomes(to, from, expected, Some(topic));
        }
    }

    #[test]
    fn what_has_no_place_there_stays() {
        for (from, to, topic) in [
            ("a/#", "b/#", "c/d"),
            ("a/#", "#", "a"),
            ("a/#", "#", "a/$SYS/x"),
            ("a/+", "+", "a/$x"),
            ("a/#", "#", "a/"),
            ("#", "a/#", "$SYS/x"),
        ] {
            assert_becomes(from, to, topic, None);
        }
    }

    #[test]
    fn room_is_foretold() {
        assert_eq!(remap(&mut [0; 3], "+", "ab/+", "c"), Err(Full { needed: 4 }));
    }
}
