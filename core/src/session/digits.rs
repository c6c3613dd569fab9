//! Decimal numbers on the wire.

/// A number as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    pub(super) fn new(mut number: u64) -> Self {
        let mut digits = Self { bytes: [b'0'; 20], start: 19 };
        for at in (0..digits.bytes.len()).rev() {
            if let Some(byte) = digits.bytes.get_mut(at) {
                *byte = b'0' + (number % 10) as u8;
            }
            digits.start = at;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        digits
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// The number that `text` is, if it is nothing else.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 9, 10, 4_222, u64::MAX] {
            assert_eq!(parse(Digits::new(number).as_bytes()), Some(number));
        }
        assert_eq!(Digits::new(0).as_bytes(), b"0");
        for text in [&b""[..], b"-1", b"1x", b"18446744073709551616"] {
            assert_eq!(parse(text), None);
        }
    }
}
