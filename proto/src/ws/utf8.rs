//! Whether text that comes in pieces is UTF-8, said at the first byte that cannot be.

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose end has not come.
    begun: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes the next piece in; `false` if no text can begin so.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.len > 0
            && let Some((byte, rest)) = bytes.split_first()
            && let Some(place) = self.begun.get_mut(self.len)
        {
            *place = *byte;
            self.len += 1;
            bytes = rest;
            match core::str::from_utf8(self.begun.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        let Err(error) = core::str::from_utf8(bytes) else { return true };
        if error.error_len().is_some() {
            return false;
        }
        let begun = bytes.get(error.valid_up_to()..).unwrap_or_default();
        self.len = begun.len();
        self.begun.iter_mut().zip(begun).for_each(|(place, byte)| *place = *byte);
        true
    }

    /// Whether the text may end here.
    pub(super) const fn is_whole(self) -> bool {
        self.len == 0
    }
}
