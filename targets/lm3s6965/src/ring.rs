//! What waits to be sent to one connection.

/// As much as waits for one connection at most; the broker closes whoever lets more pile up.
pub const ROOM: usize = 1024;

/// A ring of bytes. What is written goes out before the ring is full, so it is emptied as a whole.
pub struct Ring {
    bytes: [u8; ROOM],
    len: usize,
}

impl Ring {
    /// Nothing waits.
    pub const EMPTY: Self = Self { bytes: [0; ROOM], len: 0 };

    /// Room for the next bytes; [`Ring::wrote`] says how many of them there are.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// So many bytes of [`Ring::room`] are to be sent.
    pub fn wrote(&mut self, len: usize) {
        self.len = (self.len + len).min(ROOM);
    }

    /// Adds `bytes`, or as many as there is room for.
    pub fn push(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(ROOM - self.len);
        if let (Some(room), Some(bytes)) = (self.room().get_mut(..len), bytes.get(..len)) {
            room.copy_from_slice(bytes);
            self.wrote(len);
        }
    }

    /// What waits; nothing waits afterwards.
    pub fn take(&mut self) -> &[u8] {
        let len = core::mem::take(&mut self.len);
        self.bytes.get(..len).unwrap_or_default()
    }
}
