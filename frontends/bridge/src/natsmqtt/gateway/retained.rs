//! Retained messages [MQTT 5: 3.3.1.3].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::topic;

use super::message::Message;

/// The last retained message of each topic.
#[derive(Debug)]
pub(super) struct Retained {
    messages: BTreeMap<Box<str>, Rc<Message>>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    /// None of them ends before: who publishes more than there is room for has us look through all of them once, not each time.
    soonest: Option<Instant>,
}

impl Retained {
    pub(super) const fn new(most: usize, most_bytes: usize) -> Self {
        Self { messages: BTreeMap::new(), bytes: 0, most, most_bytes, soonest: None }
    }

    /// Whether there is room for a message, if need be instead of what has `expired`.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        message: &Message,
        mut expired: impl FnMut(&Message),
    ) -> bool {
        if message.payload.is_empty() || self.has_room(message) {
            return true;
        }
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return false;
        }
        self.messages.retain(|_, message| {
            let is_alive = message.remaining(now).is_some();
            if !is_alive {
                expired(message);
            }
            is_alive
        });
        self.soonest = self.messages.values().filter_map(|message| message.expires).min();
        self.bytes = self.messages.values().map(|message| message.size()).sum();
        self.has_room(message)
    }

    /// Keeps a message that was [admitted](Self::admits) instead of the one before; one without payload only removes that.
    pub(super) fn set(&mut self, message: Rc<Message>) {
        let before = match message.payload.is_empty() {
            true => self.messages.remove(&message.topic),
            false => {
                self.bytes += message.size();
                self.soonest = self.soonest.into_iter().chain(message.expires).min();
                self.messages.insert(message.topic.clone(), message)
            }
        };
        self.bytes -= before.map_or(0, |before| before.size());
    }

    pub(super) fn has_room(&self, message: &Message) -> bool {
        let (count, bytes) = match self.messages.get(&message.topic) {
            Some(before) => (self.messages.len(), self.bytes - before.size()),
            None => (self.messages.len() + 1, self.bytes),
        };
        count <= self.most && bytes + message.size() <= self.most_bytes
    }

    /// That of one topic, whether it has expired or not.
    pub(super) fn stored(&self, topic: &str) -> Option<&Rc<Message>> {
        self.messages.get(topic)
    }

    /// That of one topic.
    pub(super) fn get(&self, now: Instant, topic: &str) -> Option<&Rc<Message>> {
        self.messages.get(topic).filter(|message| message.remaining(now).is_some())
    }

    /// Those whose topics match a filter, by topic.
    pub(super) fn matching<'s>(
        &'s self,
        now: Instant,
        filter: &'s str,
    ) -> impl Iterator<Item = &'s Rc<Message>> {
        // What is before the first wildcard they all begin with; `a/#` matches `a`, too.
        let literal = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        let literal = literal.strip_suffix('/').unwrap_or(literal);
        self.messages
            .range::<str, _>((Bound::Included(literal), Bound::Unbounded))
            .take_while(move |(topic, _)| topic.starts_with(literal))
            .filter(move |(topic, message)| topic::matches(filter, topic) && message.remaining(now).is_some())
            .map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(0);

    fn message(topic: &str, payload: &str) -> Rc<Message> {
        Rc::new(Message { topic: topic.into(), payload: payload.as_bytes().into(), ..Message::default() })
    }

    fn keep(store: &mut Retained, now: Instant, message: Rc<Message>) -> bool {
        let admitted = store.admits(now, &message, |_| ());
        if admitted {
            store.set(message);
        }
        admitted
    }

    fn topics(store: &Retained, filter: &str) -> Vec<String> {
        store.matching(NOW, filter).map(|message| message.topic.to_string()).collect()
    }

    #[test]
    fn by_filter() {
        let mut store = Retained::new(10, 10_000);
        for topic in ["a", "a/b", "a/b/c", "ab", "$SYS/x", "/a"] {
            assert!(keep(&mut store, NOW, message(topic, "x")));
        }
        assert_eq!(topics(&store, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(topics(&store, "a/+"), ["a/b"]);
        assert_eq!(topics(&store, "+"), ["a", "ab"]);
        assert_eq!(topics(&store, "#"), ["/a", "a", "a/b", "a/b/c", "ab"]);
        assert_eq!(topics(&store, "/+"), ["/a"]);
        assert_eq!(topics(&store, "a/b"), ["a/b"]);
    }

    #[test]
    fn empty_deletes_and_limits_hold() {
        let mut store = Retained::new(2, 10_000);
        assert!(keep(&mut store, NOW, message("a", "1")));
        assert!(keep(&mut store, NOW, message("b", "1")));
        assert!(!keep(&mut store, NOW, message("c", "1")));
        assert!(keep(&mut store, NOW, message("a", "2")));
        assert_eq!(&*store.get(NOW, "a").unwrap().payload, b"2");
        assert!(keep(&mut store, NOW, message("a", "")));
        assert!(store.get(NOW, "a").is_none());
        assert!(keep(&mut store, NOW, message("c", "1")));
        assert!(!keep(&mut store, NOW, message("c", &"x".repeat(20_000))));
        for topic in ["b", "c"] {
            assert!(keep(&mut store, NOW, message(topic, "")));
        }
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn what_has_expired_makes_room() {
        let mut store = Retained::new(1, 10_000);
        let mut short = Message { topic: "a".into(), payload: (*b"1").into(), ..Message::default() };
        short.expire_in(NOW, 1);
        assert!(keep(&mut store, NOW, Rc::new(short)));
        let later = Instant::from_micros(1_000_000);
        assert!(store.get(NOW, "a").is_some() && store.get(later, "a").is_none());
        assert!(keep(&mut store, later, message("b", "1")));
        assert_eq!(topics(&store, "#"), ["b"]);
    }
}
