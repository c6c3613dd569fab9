//! Topic names and topic filters [4.7].
//!
//! Levels are divided by `/` and may be empty. In filters `+` is one level, whatever it is, and `#` at the end is any
//! number of them, also none; both are whole levels.

/// Whether a message may be published to `topic` [MQTT-3.3.2-2, MQTT-4.7.3-1].
///
/// ```
/// use lunix_proto::mqtt::topic::is_name;
/// assert!(is_name("a/b") && is_name("/") && is_name("$SYS/a b"));
/// assert!(!is_name("") && !is_name("a/#") && !is_name("a+"));
/// ```
#[inline]
pub fn is_name(topic: &str) -> bool {
    // All bytes are looked at, for that is many at once.
    !topic.is_empty() && !topic.bytes().fold(false, |found, byte| found | is_wildcard(byte))
}

/// Whether `filter` may be subscribed to [4.7.1]. Of shared subscriptions it knows nothing, see [`shared`].
///
/// ```
/// use lunix_proto::mqtt::topic::is_filter;
/// assert!(is_filter("a/+/b/#") && is_filter("#") && is_filter("+") && is_filter("/+"));
/// assert!(!is_filter("") && !is_filter("a#") && !is_filter("a/#/b") && !is_filter("a+/b"));
/// ```
pub fn is_filter(filter: &str) -> bool {
    let (above, last) = filter.rsplit_once('/').map_or((None, filter), |(above, last)| (Some(above), last));
    let plain = |level: &str| level == "+" || !level.bytes().any(is_wildcard);
    !filter.is_empty()
        && (last == "#" || plain(last))
        && above.is_none_or(|above| above.split('/').all(plain))
}

/// Whether a filter matches a topic.
///
/// A topic that begins with `$` is not matched by a filter that begins with a wildcard [MQTT-4.7.2-1]. Both must be
/// valid, see [`is_filter`] and [`is_name`]; for others the answer means nothing.
///
/// ```
/// use lunix_proto::mqtt::topic::matches;
/// assert!(matches("sport/#", "sport/tennis/player1") && matches("sport/#", "sport"));
/// assert!(matches("+/+", "/finance") && !matches("+", "/finance"));
/// assert!(matches("$SYS/#", "$SYS/load") && !matches("#", "$SYS/load") && !matches("+/load", "$SYS/load"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// The group and the filter of a shared subscription, `$share/group/filter` [4.8.2].
///
/// `None` if it begins otherwise, or if group or filter are not as they must be; [`is_shared`] tells which.
///
/// ```
/// use lunix_proto::mqtt::topic::shared;
/// assert_eq!(shared("$share/butlers/door/+"), Some(("butlers", "door/+")));
/// assert_eq!((shared("door/+"), shared("$share//door"), shared("$share/a+/door")), (None, None, None));
/// ```
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    let (group, filter) = filter.strip_prefix("$share/")?.split_once('/')?;
    (is_name(group) && is_filter(filter)).then_some((group, filter))
}

/// Whether `filter` begins as shared subscriptions do. Before MQTT 5 that means nothing.
///
/// ```
/// use lunix_proto::mqtt::topic::is_shared;
/// assert!(is_shared("$share//door") && is_shared("$share") && !is_shared("$shared/door"));
/// ```
pub fn is_shared(filter: &str) -> bool {
    filter.strip_prefix("$share").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'+' | b'#')
}
