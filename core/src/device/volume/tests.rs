extern crate std;
use std::vec;
use std::vec::Vec;

use super::*;

fn probe(image: &[u8]) -> (Option<Volume>, u16) {
    let mut probe = Probe::new();
    let mut pieces = 0;
    while let Some((offset, len)) = probe.wanted() {
        assert!((1..=MAX_PIECE).contains(&len), "{len}");
        pieces += 1;
        assert!(pieces <= MAX_PIECES);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
        probe.feed(&image[from..from.saturating_add(len).min(image.len())]);
    }
    (probe.volume().copied(), pieces)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A FAT32 whose root directory never ends and whose chain is `next` for every cluster.
fn fat32(next: u32) -> Vec<u8> {
    let mut image = vec![0xe5; 1 << 20];
    image[..512].fill(0);
    put(&mut image, 0, &[0xeb, 0x58, 0x90]);
    put(&mut image, 11, &512u16.to_le_bytes());
    image[13] = 1;
    put(&mut image, 14, &1u16.to_le_bytes());
    image[16] = 1;
    image[21] = 0xf8;
    put(&mut image, 32, &1000u32.to_le_bytes());
    put(&mut image, 36, &8u32.to_le_bytes());
    put(&mut image, 44, &2u32.to_le_bytes());
    image[66] = 0x29;
    put(&mut image, 67, &0x1234_abcd_u32.to_le_bytes());
    put(&mut image, 71, b"BOOT LABEL ");
    for entry in image[512..512 + 8 * 512].chunks_exact_mut(4) {
        entry.copy_from_slice(&next.to_le_bytes());
    }
    image
}

#[test]
fn a_directory_that_never_ends_is_given_up() {
    for next in [2, 3, 900] {
        let (volume, pieces) = probe(&fat32(next));
        let volume = volume.unwrap();
        assert_eq!((volume.fstype, volume.label.as_bytes()), ("vfat", &b"BOOT LABEL"[..]));
        assert_eq!(volume.uuid.as_bytes(), b"1234-ABCD");
        assert_eq!(pieces, MAX_PIECES);
    }
    for next in [0, 1, 993, 0x0fff_fff8, u32::MAX] {
        assert_eq!(probe(&fat32(next)).1, 4, "{next}");
    }
}

#[test]
fn the_label_of_the_root_directory_counts() {
    let mut image = fat32(0x0fff_ffff);
    let root = 9 * 512;
    // A deleted label, a long name, a folder, then the label; its first byte stands for 0xe5.
    put(&mut image, root, b"\xe5LD LABEL  \x08");
    put(&mut image, root + 32, b"A long name\x0f");
    put(&mut image, root + 64, b"FOLDER     \x10");
    image[root + 96..root + 128].fill(0);
    put(&mut image, root + 96, b"\x05TICK      \x08");
    assert_eq!(probe(&image).0.unwrap().label.as_bytes(), b"\xe5TICK");
    image[root] = 0;
    assert_eq!(probe(&image).0.unwrap().label.as_bytes(), b"BOOT LABEL");
    put(&mut image, 71, b"NO NAME    ");
    assert!(probe(&image).0.unwrap().label.is_empty());
}

/// A UDF of blocks of 512 bytes: signs, the anchor, a sequence of three descriptors, and the integrity.
fn udf() -> Vec<u8> {
    let mut image = vec![0; 300 * 512];
    for (index, sign) in [b"BEA01", b"NSR03", b"TEA01"].into_iter().enumerate() {
        put(&mut image, 0x8001 + index * 2048, sign);
    }
    let text = |text: &str, room: usize| {
        let mut bytes = vec![0; room];
        bytes[0] = 8;
        bytes[1..=text.len()].copy_from_slice(text.as_bytes());
        bytes[room - 1] = text.len() as u8 + 1;
        bytes
    };
    put(&mut image, 256 * 512 + 16, &(4 * 512u32).to_le_bytes());
    put(&mut image, 256 * 512 + 20, &260u32.to_le_bytes());
    put(&mut image, 260 * 512 + 72, &text("0123456789ABCDEFmine", 128));
    put(&mut image, 261 * 512 + 84, &text("cafe", 128));
    put(&mut image, 261 * 512 + 240, &0x0150u16.to_le_bytes());
    put(&mut image, 261 * 512 + 432, &512u32.to_le_bytes());
    put(&mut image, 261 * 512 + 436, &270u32.to_le_bytes());
    put(&mut image, 270 * 512 + 72, &1u32.to_le_bytes());
    put(&mut image, 270 * 512 + 76, &46u32.to_le_bytes());
    put(&mut image, 270 * 512 + 128, &0x0250u16.to_le_bytes());
    put(&mut image, 270 * 512 + 130, &0x0260u16.to_le_bytes());
    for (block, tag) in [(256u32, 2u16), (260, 1), (261, 6), (262, 8), (270, 9)] {
        let at = block as usize * 512;
        put(&mut image, at, &tag.to_le_bytes());
        put(&mut image, at + 12, &block.to_le_bytes());
        image[at + 4] = image[at..at + 16].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    }
    image
}

#[test]
fn a_disc_whole_and_cut_and_damaged() {
    let image = udf();
    let volume = probe(&image).0.unwrap();
    assert_eq!((volume.fstype, volume.label.as_bytes()), ("udf", &b"cafe"[..]));
    assert_eq!((volume.uuid.as_bytes(), volume.version.as_bytes()), (&b"0123456789abcdef"[..], &b"2.60"[..]));
    for len in (0..image.len()).step_by(97) {
        probe(&image[..len]);
    }
    // A sequence that has no end, and descriptors that name themselves.
    for (at, byte) in [(262 * 512, 4), (256 * 512 + 17, 0xff), (261 * 512 + 436, 5), (270 * 512 + 75, 0xff)] {
        let mut damaged = image.clone();
        damaged[at] = byte;
        assert_eq!(probe(&damaged).0.map_or("udf", |volume| volume.fstype), "udf");
    }
}

#[test]
fn a_partition_table_is_no_file_system() {
    let mut image = vec![0; 1 << 16];
    put(&mut image, 0, &[0xeb, 0x63, 0x90]);
    put(&mut image, 446, &[0x80, 1, 1, 0, 0x0c]);
    put(&mut image, 510, &[0x55, 0xaa]);
    assert_eq!(probe(&image).0, None);
}

#[test]
fn nothing_and_next_to_nothing() {
    for len in [0, 1, 511, 512, 1023, 1024, 4095, 4096, 65536] {
        for fill in [0, 0xff, 0xe9, 0xeb] {
            assert_eq!(probe(&vec![fill; len]).0, None, "{len} bytes of {fill}");
        }
    }
}

#[test]
fn truncated_anywhere_it_still_ends() {
    let image = fat32(3);
    for len in (0..8192).chain([8192, 65536, 65537]) {
        probe(&image[..len]);
    }
}

#[test]
fn long_texts_are_cut_between_characters() {
    let label = Label::from_utf16(core::iter::repeat_n(0x2603, 100));
    assert_eq!(label.as_bytes().len(), 96);
    assert!(core::str::from_utf8(label.as_bytes()).is_ok());
    let label = Label::from_utf16([0xd800, 0x41, 0x20, 0, 0x42].into_iter());
    assert_eq!(label.as_bytes(), "\u{fffd}A".as_bytes());
    assert_eq!(Label::trimmed(&[b'x'; 300]).as_bytes().len(), 96);
}

proptest::proptest! {
    /// One changed byte in what counts of a volume: no panic, and an end.
    #[test]
    fn damaged(at in 0usize..8192, byte in 0u8..=255, next in 0u32..2000) {
        let mut image = fat32(next);
        image[at] = byte;
        probe(&image);
    }
}
