//! Our own messages, as a broker says them again that does not know bridges.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use lunix_core::time::{Duration, Instant};

/// How long, and how many of them, are waited for.
const SPAN: Duration = Duration::from_secs(10);
const MOST: usize = 1024;

/// Messages that were sent and are expected back.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    key: RandomState,
    /// The oldest first.
    expected: VecDeque<(Instant, u64)>,
}

impl Echoes {
    /// A message was sent that will come back.
    pub(super) fn expect(&mut self, now: Instant, topic: &str, payload: &[u8]) {
        if self.expected.len() >= MOST {
            self.expected.pop_front();
        }
        self.expected.push_back((now + SPAN, self.key.hash_one((topic, payload))));
    }

    /// Whether a message that has come is one that was sent; each of them is so once.
    pub(super) fn has(&mut self, now: Instant, topic: &str, payload: &[u8]) -> bool {
        while self.expected.front().is_some_and(|(until, _)| *until <= now) {
            self.expected.pop_front();
        }
        let message = self.key.hash_one((topic, payload));
        let found = self.expected.iter().position(|(_, expected)| *expected == message);
        found.is_some_and(|at| self.expected.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_once() {
        let now = Instant::from_micros(0);
        let mut echoes = Echoes::default();
        assert!(!echoes.has(now, "a", b"1"));
        echoes.expect(now, "a", b"1");
        assert!(!echoes.has(now, "a", b"2") && echoes.has(now, "a", b"1") && !echoes.has(now, "a", b"1"));
        echoes.expect(now, "a", b"1");
        assert!(!echoes.has(now + SPAN, "a", b"1"), "too late");
        for _ in 0..2 * MOST {
            echoes.expect(now, "a", b"1");
        }
        assert_eq!(echoes.expected.len(), MOST);
    }
}
