//! The session's own random numbers: inbox names and jitter need spread, not secrecy.

/// xoroshiro128++ (Blackman and Vigna), seeded by the driver.
#[derive(Clone, Debug)]
pub(super) struct Random {
    low: u64,
    high: u64,
}

/// What an inbox name is made of: every byte is its own, in any NATS token.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Random {
    /// Every seed is usable; the one that would stay at zero for ever is replaced.
    pub(super) const fn new(seed: u128) -> Self {
        let seed = if seed == 0 { 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834 } else { seed };
        let mut random = Self { low: seed as u64, high: (seed >> 64) as u64 };
        // A poor seed (a small number) needs a few rounds until all bits depend on it.
        let mut round = 0;
        while round < 8 {
            random.step();
            round += 1;
        }
        random
    }

    const fn step(&mut self) -> u64 {
        let (low, mut high) = (self.low, self.high);
        let answer = low.wrapping_add(high).rotate_left(17).wrapping_add(low);
        high ^= low;
        self.low = low.rotate_left(49) ^ high ^ (high << 21);
        self.high = high.rotate_left(28);
        answer
    }

    /// Uniform over all of `u64`.
    pub(super) fn next(&mut self) -> u64 {
        self.step()
    }

    /// Uniform in `0..=most`, near enough for jitter.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(most) + 1)) >> 64) as u64
    }

    /// Fills `name` with letters that need no escaping in a subject.
    pub(super) fn fill_name(&mut self, name: &mut [u8]) {
        for letters in name.chunks_mut(10) {
            let mut bits = self.next();
            for letter in letters {
                *letter = ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A');
                bits >>= 6;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_zero_is_a_seed() {
        let (mut one, mut same, mut zero) = (Random::new(7), Random::new(7), Random::new(0));
        assert_eq!(one.next(), same.next());
        assert_ne!(zero.next(), zero.next());
    }

    #[test]
    fn jitter_stays_within_its_bound_and_reaches_both_halves() {
        let mut random = Random::new(1);
        let mut high = 0;
        for _ in 0..1_000 {
            let value = random.up_to(99);
            assert!(value <= 99);
            high += u32::from(value >= 50);
        }
        assert!((400..600).contains(&high), "{high}");
        assert_eq!(random.up_to(0), 0);
    }

    #[test]
    fn names_hold_only_token_bytes() {
        let mut name = [0; 22];
        Random::new(3).fill_name(&mut name);
        assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
    }
}
