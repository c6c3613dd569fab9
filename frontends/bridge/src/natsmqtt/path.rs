//! Which sites a message has passed, so that bridges in a ring say it once everywhere.
//!
//! A site is what one NATS system is to bridges. A message that crosses a bridge has the names of the sites that it has passed, in
//! order: in the header `Nmqtt-Path` on NATS, in a user property of that name in MQTT 5. Where its path leads back to, it is not said
//! again. Where two ways lead from its origin to one site, it comes twice, and is [said once](Passed::is_news).

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::rc::Rc;

use lunix_core::time::{Duration, Instant};

/// The header and the user property.
pub(super) const PATH: &str = "Nmqtt-Path";
/// The user property by which the two sides of a bridge tell each other their names, in `CONNECT` and `CONNACK`.
pub(super) const SITE: &str = "Nmqtt-Site";

/// Sites of one path, and bytes of one name.
const SITES: usize = 16;
const LONGEST: usize = 64;

/// Whether `name` can be a site's.
pub(super) fn is_site(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-[]".contains(&byte);
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(plain)
}

/// Whether `path` is one; it is not empty.
pub(super) fn is_path(path: &str) -> bool {
    path.split(',').count() <= SITES && path.split(',').all(is_site)
}

/// Whether it leads by `site`.
pub(super) fn passes(path: &str, site: &str) -> bool {
    path.split(',').any(|passed| passed == site)
}

/// A path that leads on to `site`, unless it ends there; `None` if it were too long.
pub(super) fn extended(path: &str, site: &str) -> Option<Box<str>> {
    if path.rsplit(',').next() == Some(site) {
        return Some(path.into());
    }
    let longer = if path.is_empty() { site.to_owned() } else { format!("{path},{site}") };
    is_path(&longer).then(|| longer.into())
}

/// How a message has come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// By a client that is a bridge, of this session.
    Client(u64),
    /// By a bridge of our own.
    Bridge(usize),
}

/// How long, and of how many messages, it is known that they were here.
const SPAN: Duration = Duration::from_secs(60);
const MESSAGES: usize = 1024;

/// Messages that have come here from other sites.
#[derive(Debug)]
pub(super) struct Passed {
    site: Rc<str>,
    key: RandomState,
    known: HashMap<u64, Known>,
    /// Of the known the oldest first.
    order: VecDeque<u64>,
}

/// Messages of one content and origin.
#[derive(Debug)]
struct Known {
    until: Instant,
    /// How many came by which way.
    ways: Vec<(u64, u32)>,
}

impl Passed {
    pub(super) fn new(site: Rc<str>) -> Self {
        Self { site, key: RandomState::new(), known: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn name_site(&mut self, site: Rc<str>) {
        self.site = site;
    }

    pub(super) fn site(&self) -> &Rc<str> {
        &self.site
    }

    /// Whether a message is new here. It is not if its path leads by this site; nor if it is the n-th of its content and origin
    /// that came by its way, and by another way n have come before. So a sensor may say the same twice, and either way may fail.
    pub(super) fn is_news(
        &mut self,
        now: Instant,
        way: Way,
        path: &str,
        topic: &str,
        payload: &[u8],
    ) -> bool {
        if passes(path, &self.site) {
            return false;
        }
        let origin = path.split(',').next();
        let content = self.key.hash_one((origin, topic, payload));
        let way = self.key.hash_one((way, path));
        let known = self.known.entry(content).or_insert_with(|| {
            self.order.push_back(content);
            Known { until: now, ways: Vec::new() }
        });
        if known.until <= now {
            known.ways.clear();
        }
        known.until = now + SPAN;
        let most = known.ways.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let count = match known.ways.iter_mut().find(|(known, _)| *known == way) {
            Some((_, count)) => {
                *count = count.saturating_add(1);
                *count
            }
            None => {
                if known.ways.len() < SITES {
                    known.ways.push((way, 1));
                }
                1
            }
        };
        if self.order.len() > MESSAGES {
            let oldest = self.order.pop_front();
            oldest.into_iter().for_each(|oldest| _ = self.known.remove(&oldest));
        }
        count > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(0);

    #[test]
    fn a_path_is_bounded() {
        assert_eq!(extended("", "a").as_deref(), Some("a"));
        assert_eq!(extended("b,a", "a").as_deref(), Some("b,a"));
        assert_eq!(extended("a", "10.0.0.1:1883").as_deref(), Some("a,10.0.0.1:1883"));
        assert!(passes("a,b", "b") && !passes("a,bc", "b") && !passes("", "a"));
        let long = ["x"; SITES].join(",");
        assert!(is_path(&long) && extended(&long, "y").is_none());
        for bad in ["", "a b", "a,", ",a", &"x".repeat(65), "a\r\n"] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn what_comes_by_two_ways_is_news_once() {
        let mut passed = Passed::new("here".into());
        let mut came =
            |now, way, path, payload: &str| passed.is_news(now, way, path, "t", payload.as_bytes());
        let (one, two) = (Way::Bridge(0), Way::Client(7));
        assert!(came(NOW, one, "a", "17") && !came(NOW, two, "a,b", "17"));
        assert!(came(NOW, two, "a,b", "18") && !came(NOW, one, "a", "18"));
        assert!(came(NOW, one, "a", "17"), "said twice");
        assert!(!came(NOW, two, "a,b", "17"));
        assert!(came(NOW, two, "a,b", "17"), "one more than by the other way");
        assert!(!came(NOW, one, "a", "17"));
        assert!(came(NOW, two, "c", "17"), "another origin");
        assert!(!came(NOW, two, "c,here,d", "19"), "it was here");
        assert!(came(NOW + SPAN, two, "a,b", "18"), "long ago");
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut passed = Passed::new("here".into());
        for number in 0..3 * MESSAGES {
            assert!(passed.is_news(NOW, Way::Bridge(0), "a", "t", &number.to_ne_bytes()));
        }
        assert_eq!((passed.known.len(), passed.order.len()), (MESSAGES, MESSAGES));
    }
}
