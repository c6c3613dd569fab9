//! What `lunix bench` prints.

use std::fmt;
use std::time::Duration;

/// So many messages of so many bytes in so much time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) count: u64,
    pub(super) size: usize,
    pub(super) time: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.time.as_micros().max(1);
        let each = u128::from(self.count) * 1_000_000 / micros;
        // Bytes in a microsecond are megabytes in a second.
        let tenths = u128::from(self.count) * self.size as u128 * 10 / micros;
        write!(f, "{each:>10} msgs/s {:>8}.{} MB/s", tenths / 10, tenths % 10)
    }
}

/// How long each of so many took.
#[derive(Debug)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn with_capacity(count: u32) -> Self {
        Self(Vec::with_capacity(count as usize))
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// `p50 31 us  p99 74 us  max 402 us`
    pub(super) fn summary(&mut self) -> String {
        self.0.sort_unstable();
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent).as_micros());
        format!("p50 {p50} us  p99 {p99} us  max {max} us")
    }

    /// Of those in order: what `percent` of them took at most, by the nearest rank.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second() {
        let rate =
            |count, size, millis| Rate { count, size, time: Duration::from_millis(millis) }.to_string();
        assert_eq!(rate(1_000, 128, 500), "      2000 msgs/s        0.2 MB/s");
        assert_eq!(rate(10_000, 65_536, 1_000), "     10000 msgs/s      655.3 MB/s");
        assert_eq!(rate(1, 0, 0), "   1000000 msgs/s        0.0 MB/s");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let of = |times: &mut dyn Iterator<Item = u64>| {
            let mut latencies = Latencies::with_capacity(0);
            times.for_each(|micros| latencies.push(Duration::from_micros(micros)));
            latencies.summary()
        };
        assert_eq!(of(&mut (1..=200).rev()), "p50 100 us  p99 198 us  max 200 us");
        assert_eq!(of(&mut [7].into_iter()), "p50 7 us  p99 7 us  max 7 us");
        assert_eq!(of(&mut [].into_iter()), "p50 0 us  p99 0 us  max 0 us");
    }
}
