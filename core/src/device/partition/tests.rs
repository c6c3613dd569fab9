extern crate std;
use std::vec;
use std::vec::Vec;

use super::*;

fn probe(disk: &[u8], wanted: Option<Wanted>) -> (Option<Table>, Option<Entry>, u16) {
    let mut probe = Probe::new(Disk { size: disk.len() as u64, sector: 512 }, wanted);
    let mut pieces = 0;
    while let Some((offset, len)) = probe.wanted() {
        assert!((1..=MAX_PIECE).contains(&len), "{len}");
        pieces += 1;
        assert!(pieces <= MAX_PIECES);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.len());
        probe.feed(&disk[from..from.saturating_add(len).min(disk.len())]);
    }
    (probe.table().copied(), probe.entry().copied(), pieces)
}

fn record(disk: &mut [u8], at: usize, entries: &[(u8, u32, u32)]) {
    for (index, (kind, start, size)) in entries.iter().enumerate() {
        let place = at * 512 + 446 + index * 16;
        disk[place + 4] = *kind;
        disk[place + 8..place + 12].copy_from_slice(&start.to_le_bytes());
        disk[place + 12..place + 16].copy_from_slice(&size.to_le_bytes());
    }
    disk[at * 512 + 510..at * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
}

fn wanted(start: u64, size: u64) -> Option<Wanted> {
    Some(Wanted { offset: start * 512, size: size * 512 })
}

fn chained() -> Vec<u8> {
    let mut disk = vec![0; 512 * 512];
    disk[440] = 7;
    record(&mut disk, 0, &[(0x83, 8, 8), (0x05, 100, 300)]);
    record(&mut disk, 100, &[(0x82, 8, 8), (0x05, 100, 100)]);
    record(&mut disk, 200, &[(0x83, 8, 8)]);
    disk
}

#[test]
fn logical_partitions_are_counted_from_five() {
    let disk = chained();
    for (start, size, number, kind) in [
        (8, 8, 1, "0x83"),
        (100, 300, 2, "0x5"),
        (100, 2, 2, "0x5"),
        (108, 8, 5, "0x82"),
        (208, 8, 6, "0x83"),
    ] {
        let entry = probe(&disk, wanted(start, size)).1.unwrap();
        assert_eq!((entry.number, entry.kind.as_bytes()), (number, kind.as_bytes()), "{start}");
        assert_eq!(entry.uuid.as_bytes(), std::format!("00000007-0{number}").as_bytes());
    }
    assert_eq!(probe(&disk, wanted(8, 9)).1, None);
}

#[test]
fn a_chain_without_end_is_given_up() {
    let mut disk = chained();
    // The last one leads back to the first, with partitions or without.
    record(&mut disk, 200, &[(0x83, 8, 8), (0x05, 0, 100)]);
    let (table, entry, pieces) = probe(&disk, wanted(1, 1));
    assert!(table.is_some() && entry.is_none() && pieces > 100, "{pieces}");
    record(&mut disk, 100, &[(0x05, 0, 100), (0, 0, 0)]);
    let (_, entry, pieces) = probe(&disk, wanted(1, 1));
    assert!(entry.is_none() && pieces <= 102, "{pieces}");
}

#[test]
fn boot_sectors_are_no_tables() {
    let mut disk = chained();
    disk[446] = 0x55;
    assert_eq!(probe(&disk, None).0, None);
    disk[446] = 0x80;
    assert!(probe(&disk, None).0.is_some());
    disk[3..11].copy_from_slice(b"EXFAT   ");
    disk[510] = 0;
    assert_eq!(probe(&disk, None).0, None);
}

#[test]
fn nothing_anywhere() {
    for len in [0, 1, 511, 512, 1024, 4096, 65536] {
        for fill in [0, 0xff, 0x55] {
            assert_eq!(probe(&vec![fill; len], wanted(1, 1)).0, None);
        }
    }
    let disk = chained();
    for len in (0..1024).chain([51_200, 51_712, 102_400]) {
        probe(&disk[..len], wanted(208, 8));
    }
}
