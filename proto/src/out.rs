//! The one cursor that every encoder writes through.

use crate::Full;

/// Writes as long as there is room and counts on when there is none.
#[derive(Debug)]
pub(crate) struct Out<'o> {
    room: &'o mut [u8],
    len: usize,
}

impl<'o> Out<'o> {
    pub(crate) const fn new(room: &'o mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        // Saturation makes an output that no slice can hold stay one.
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.room.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// How much was written, or would have been.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Makes this an output that no slice can hold.
    pub(crate) const fn overflow(&mut self) {
        self.len = usize::MAX;
    }

    /// In decimal.
    pub(crate) fn put_number(&mut self, number: u64) {
        // 20 digits are u64::MAX.
        let mut digits = [0; 20];
        let mut rest = number;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(digits.len() - used..).unwrap_or_default());
    }

    pub(crate) fn finish(&self) -> Result<usize, Full> {
        if self.len <= self.room.len() { Ok(self.len) } else { Err(Full { needed: self.len }) }
    }
}
