//! How natsdev and systemd-udevd differ, and why.

/// A kind of difference that is none to mend.
pub(super) struct Known {
    /// Of lines of [`super::facts::differences`], with `*`.
    pattern: &'static str,
    pub(super) reason: &'static str,
    /// It is there now and then. All others are there each time, and what is not there any more is to go from this list.
    chance: bool,
}

const fn known(pattern: &'static str, reason: &'static str) -> Known {
    Known { pattern, reason, chance: false }
}

const fn chance(pattern: &'static str, reason: &'static str) -> Known {
    Known { pattern, reason, chance: true }
}

/// A path is found by what is above the device.
const GOING: &str = "how much of what goes with a device is still in /sys when its last events are handled";

/// docs/conformance.md says the same.
const KNOWN: &[Known] = &[
    known(
        "only natsdev: * ID_PATH_WITH_USB_REVISION: *",
        "natsdev finds paths as systemd 255 does; Debian 12 has 252",
    ),
    known(
        "differs: * ID_NET_NAMING_SCHEME: v255 | v252",
        "natsdev names interfaces as systemd 255 does; Debian 12 has 252",
    ),
    known(
        "only udevd: file /run/udev/watch/*",
        "which nodes are watched is in natsdev's memory, and not in files",
    ),
    known(
        "only natsdev: claim disk/by-diskseq/#*",
        "udevd makes links by the number of a disk without a claim; natsdev makes no exception",
    ),
    chance("differs: said unbind * ID_PATH*", GOING),
    chance("differs: said remove * ID_PATH*", GOING),
    chance("differs: said remove * ID_FOR_SEAT: *", GOING),
    chance(
        "only *: module crct10dif_generic: loaded",
        "the kernel asks for it itself when no faster one is there yet",
    ),
];

/// What explains this difference.
pub(super) fn explanation(difference: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| matches(known.pattern, difference))
}

/// Those that are always there, and explained nothing.
pub(super) fn stale(used: &[&'static Known]) -> Vec<&'static str> {
    let is_used = |known: &Known| used.iter().any(|used| used.pattern == known.pattern);
    KNOWN.iter().filter(|known| !known.chance && !is_used(known)).map(|known| known.pattern).collect()
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a*c", "abbc") && matches("a*", "a") && matches("*b*", "abc"));
        assert!(!matches("a*c", "abb") && !matches("a", "ab") && !matches("*bb*", "abc"));
    }

    #[test]
    fn what_explains_nothing_is_named() {
        let used = explanation("only udevd: file /run/udev/watch/1: 0777").unwrap();
        let stale = stale(&[used]);
        assert!(!stale.is_empty() && !stale.contains(&used.pattern));
        assert!(explanation("only udevd: link disk/by-label/X: /devices/y").is_none());
    }
}
