//! CRC-32 (polynomial 0x04c11db7, bits reversed), four bits at a time: what is checked is small.

/// The remainders of four bits.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// Goes on from `crc` over `bytes`; no inversion before or after.
pub(crate) fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        crc = crc >> 4 ^ TABLE[crc as usize & 15];
        crc = crc >> 4 ^ TABLE[crc as usize & 15];
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
