/// The masking of one frame (section 5.3), which is its own inverse.
///
/// ```
/// use lunix_proto::ws::Mask;
/// let mut bytes = *b"Hello";
/// Mask::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut bytes);
/// assert_eq!(bytes, *b"\x7f\x9f\x4d\x51\x58");
///
/// // In pieces: it knows how far it came.
/// let mut mask = Mask::new([0x37, 0xfa, 0x21, 0x3d]);
/// let (a, b) = bytes.split_at_mut(3);
/// mask.apply(a);
/// mask.apply(b);
/// assert_eq!(bytes, *b"Hello");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// As the next byte is masked by the first of it.
    key: [u8; 4],
}

impl Mask {
    /// At the beginning of a frame's payload. A client's key is to be unpredictable (section 10.3).
    pub const fn new(key: [u8; 4]) -> Self {
        Self { key }
    }

    /// Masks, or unmasks, the next bytes of the payload.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.key;
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for chunk in words {
            *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.key.into_iter().cycle()) {
            *byte ^= key;
        }
        let len = rest.len();
        self.key.rotate_left(len % 4);
    }
}
