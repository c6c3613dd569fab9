//! CRC-32 (polynomial 0x04c11db7, bits reversed), without a table: what is checked is small.

/// Goes on from `crc` over `bytes`; no inversion before or after.
pub(super) fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let out = crc & 1;
            crc = crc >> 1 ^ if out == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_everybody_has_it() {
        assert_eq!(!super::update(!0, b"123456789"), 0xcbf4_3926);
    }
}
