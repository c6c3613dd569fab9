//! The two systems of a flash: what is read from it may be anything, and the power may go at any time.

use std::collections::HashSet;

use lunix_core::slots::environment::{COPY, Environment, Mark, Standing};
use lunix_core::slots::image::{HEADER_LEN, Header, ImageId};
use lunix_core::slots::manifest::{Change, Manifest};
use lunix_core::slots::{Layout, Slot, command_line, fdt, newer};

#[path = "../../core/tests/nor/mod.rs"]
#[allow(dead_code, clippy::pedantic)]
mod nor;

use nor::{Cut, Device, Fuel, Image, Started};

/// Any bytes as a header: what is taken is written the same, and makes a command line.
pub fn header(data: &[u8]) {
    let mut bytes = [0; HEADER_LEN];
    let len = data.len().min(HEADER_LEN);
    bytes[..len].copy_from_slice(&data[..len]);
    let plain = Header::decode(data);
    assert!(data.len() >= HEADER_LEN || plain.is_err());
    // With the checksum put right, so that what is behind it is reached.
    let crc = crc32(&bytes[..HEADER_LEN - 4]);
    bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    let Ok(header) = Header::decode(&bytes) else { return };
    assert_eq!(header.encode(), bytes);
    assert_eq!(header.id(), ImageId(crc));
    let mut end = 4096;
    for piece in header.pieces() {
        assert!(piece.offset >= end && piece.offset % 4096 == 0 && piece.len > 0);
        end = piece.offset.checked_add(piece.len).expect("within 4 GiB");
    }
    assert_eq!(end, header.len);
    let mut line = [0; command_line::MAX];
    let line = command_line::encode(&Layout::BLOCKS_64K, Slot::B, &header, "flash", &mut line);
    assert!(line.expect("room for any").ends_with("lunix.slot=b"));
    let _ = newer(header.version.as_str(), "0.1.0");
}

/// Any bytes as the two copies: what is chosen is there, and what is written next is read back.
pub fn environment(data: &[u8]) {
    let (a, b) = data.split_at(data.len() / 2);
    let mut copies = [[0xFF; COPY as usize]; 2];
    for (copy, bytes) in copies.iter_mut().zip([a, b]) {
        let len = bytes.len().min(COPY as usize);
        copy[..len].copy_from_slice(&bytes[..len]);
    }
    let read = |copies: &[[u8; COPY as usize]; 2]| Environment::decode(&copies[0], &copies[1]);
    let environment = read(&copies);
    assert_eq!(environment, Environment::decode(a, b), "what is missing is erased");
    let ids = environment.record().map_or([ImageId(1), ImageId(2)], |record| {
        let trial = record.trial.map_or(ImageId(2), |trial| trial.image);
        if record.good == Slot::A { [record.good_image, trial] } else { [trial, record.good_image] }
    });
    for images in
        [[None, None], [Some(ids[0]), None], [None, Some(ids[1])], ids.map(Some), [Some(ImageId(9)); 2]]
    {
        let boot = environment.choose(images);
        let chosen: Vec<_> = boot.slots.into_iter().flatten().collect();
        assert_eq!(chosen.len(), images.iter().flatten().count());
        assert!(chosen.iter().all(|slot| slot.of_pair(images).is_some()));
        assert_eq!(boot.mark.is_some(), boot.trial);
        if let Some(mark) = boot.mark {
            assert!(!mark.erase && matches!(environment.standing(), Standing::Trial(_)));
        }
    }
    let write = environment.trial(Slot::B, ImageId(7), ImageId(8), 3);
    let copy = &mut copies[write.copy];
    if write.erase {
        copy.fill(0xFF);
    }
    for (at, byte) in (write.at as usize..).zip(write.bytes()) {
        copy[at] &= byte;
    }
    let after = read(&copies);
    // A flash that was written with the highest number of all cannot go on; no device comes there.
    if environment.record().is_none_or(|record| record.number < u32::MAX) {
        assert_eq!((after.standing(), after.good()), (Standing::Trial(3), Slot::B));
    }
}

/// Any bytes as a device tree, and the first of them as how long the command line is.
pub fn device_tree(data: &[u8]) {
    let (len, tree) = data.split_first().map_or((0, data), |(len, tree)| (usize::from(*len), tree));
    let line = "x".repeat(len);
    let mut out = vec![0; data.len() + len + 64];
    match fdt::with_bootargs(tree, &line, &mut out) {
        Ok(len) => {
            assert_eq!(fdt::bootargs(&out[..len]), Some(line.as_bytes()));
            let mut again = vec![0; len + line.len() + 64];
            let len = fdt::with_bootargs(&out[..len], "again", &mut again).expect("what was made is a tree");
            assert_eq!(fdt::bootargs(&again[..len]), Some(&b"again"[..]));
        }
        // Property and string areas that overlap are copied both, so a tree may come out longer than it was.
        Err(error) => assert!(error != fdt::FdtError::Full || tree.len() >= 40),
    }
    let _ = fdt::bootargs(tree);
}

/// Any bytes as two manifests, with a NUL between them.
pub fn manifest(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (old, new) = data.split_at(at);
    let (Ok(old), Ok(new)) = (Manifest::parse(old), Manifest::parse(new.get(1..).unwrap_or_default())) else {
        return;
    };
    assert!(old.files().is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(old.changes(&old).count(), 0);
    let mut files: std::collections::BTreeMap<_, _> = old.files().map(|file| (file.path, file)).collect();
    for change in old.changes(&new) {
        match change {
            Change::Added(file) => assert!(files.insert(file.path, file).is_none()),
            Change::Removed(file) => assert_eq!(files.remove(file.path), Some(file)),
            Change::Changed(old, new) => assert_eq!(files.insert(new.path, new), Some(old)),
        }
    }
    assert!(files.into_values().eq(new.files()));
}

/// Operations of three bytes on a device: kind, and when the power goes (operations, variant).
pub fn power(data: &[u8]) {
    let images: Vec<Image> = (1..=4).map(Image::new).collect();
    let mut device = Device::new(&images[0], data.first().is_some_and(|byte| byte % 2 == 0));
    let mut good = HashSet::from([images[0].id()]);
    let mut running: Option<Started> = None;
    for operation in data.as_chunks::<3>().0.iter().take(60) {
        let [kind, operations, variant] = *operation;
        device.fuel = (kind & 0x80 != 0)
            .then(|| Fuel { operations: u32::from(operations), variant: u32::from(variant) });
        let result = match (running, kind % 8) {
            (None, _) | (Some(_), 0 | 1) => device.start().map(|started| running = Some(started)),
            (Some(started), 2..=5) if started.slot == device.environment().good() || started.trial => {
                let image = &images[usize::from(variant) % images.len()];
                let refused = device.upgrade(started, image, 1 + kind % 3);
                refused.map(|done| assert_eq!(done.is_err(), started.trial))
            }
            (Some(started), 6) if started.trial => {
                good.insert(started.image);
                device.mark(Mark::Confirmed).map(|_| running = Some(Started { trial: false, ..started }))
            }
            (Some(_), 7) => device.mark(Mark::Refused).map(|_| running = None),
            _ => Ok(()),
        };
        device.fuel = None;
        if result == Err(Cut) {
            running = None;
        }
        // Whatever happened: a device that is started now starts, and only what was confirmed without a trial.
        let started = device.clone().start().expect("no cut");
        assert!(started.trial || good.contains(&started.image), "{started:?} {:?}", device.environment());
        if let Some(running) = running {
            assert!(device.is_whole(running.slot), "what runs is never written");
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc: u32, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
        crc
    })
}
