//! Bursts: a daemon that says all it knows at once must not push everything else off the screen.

use lunix_core::time::{Duration, Instant};

/// Lines of one kind that are shown in a row before the rest is only counted.
const SHOWN: u32 = 5;
/// What comes later than this after its predecessor is news again.
const GAP: Duration = Duration::from_secs(1);
/// When nothing of its kind has come for so long, a burst is over, and people want to know how much it was.
const QUIET: Duration = Duration::from_millis(100);

/// Counts messages of one kind (equal first and last token, as in `hardware.*.add`) that come at once.
#[derive(Debug, Default)]
pub(super) struct Fold {
    first: Vec<u8>,
    last: Vec<u8>,
    seen: u32,
    hidden: u32,
    /// When the first of those came.
    since: Instant,
    latest: Instant,
}

impl Fold {
    /// Whether this message is shown, and what to say about a burst that it ends.
    pub(super) fn take(&mut self, now: Instant, subject: &[u8]) -> (bool, Option<String>) {
        let first = subject.split(|byte| *byte == b'.').next().unwrap_or_default();
        let last = subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let goes_on = self.first == first && self.last == last && now.since(self.latest) < GAP;
        self.latest = now;
        if goes_on {
            self.seen = self.seen.saturating_add(1);
            let shown = self.seen <= SHOWN;
            if self.hidden == 0 {
                self.since = now;
            }
            self.hidden = self.hidden.saturating_add(u32::from(!shown));
            return (shown, None);
        }
        let ended = self.end();
        self.first = first.to_vec();
        self.last = last.to_vec();
        self.seen = 1;
        (true, ended)
    }

    /// When it is time to [`end`](Self::end): the burst is over, or goes on and on.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.hidden > 0).then(|| (self.latest + QUIET).min(self.since + GAP))
    }

    /// What to say about those that were not shown.
    pub(super) fn end(&mut self) -> Option<String> {
        let hidden = std::mem::take(&mut self.hidden);
        let [first, last] = [&self.first, &self.last].map(|token| token.escape_ascii());
        (hidden > 0).then(|| format!("\u{2026} and {hidden} more of {first}.*.{last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_burst_are_shown_and_the_rest_counted() {
        let mut fold = Fold::default();
        let mut now = Instant::from_micros(1);
        for index in 0..70 {
            let subject = format!("hardware.class{index}.add");
            assert_eq!(fold.take(now, subject.as_bytes()), (index < 5, None));
        }
        assert_eq!(fold.due(), Some(now + QUIET));
        assert_eq!(fold.end().as_deref(), Some("\u{2026} and 65 more of hardware.*.add"));
        assert_eq!(fold.take(now, b"hardware.net.add"), (false, None));
        assert_eq!(fold.take(now, b"toast.in"), (true, Some("\u{2026} and 1 more of hardware.*.add".into())));
        assert_eq!((fold.end(), fold.due()), (None, None));
        for _ in 0..9 {
            now = now + Duration::from_secs(1);
            assert_eq!(fold.take(now, b"toast.in"), (true, None));
        }
    }
    #[test]
    fn a_burst_without_end_is_counted_now_and_then() {
        let mut fold = Fold::default();
        let begin = Instant::from_micros(1);
        for index in 0..40 {
            fold.take(begin + QUIET / 2 * index, b"ps.start");
        }
        // The sixth was the first that was not shown.
        assert_eq!(fold.due(), Some(begin + QUIET / 2 * 5 + GAP));
    }
}
