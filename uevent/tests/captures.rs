//! Every captured datagram is read whole, rebuilt byte by byte, and cut at every byte.

#![allow(clippy::unwrap_used)]

use lunix_uevent::{Action, Builder, ParseError, Uevent, monitor};
use std::{fs, path::Path, vec::Vec};

fn captures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut captures = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            captures.push((name, fs::read(path).unwrap()));
        }
    }
    captures.sort();
    captures
}

fn from_kernel() -> impl Iterator<Item = (String, Vec<u8>)> {
    captures().into_iter().filter(|(name, _)| !name.starts_with("udev-"))
}

fn from_udev() -> impl Iterator<Item = (String, Vec<u8>)> {
    captures().into_iter().filter(|(name, _)| name.starts_with("udev-"))
}

fn kernel(name: &str) -> Vec<u8> {
    from_kernel().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn kernel_messages_say_what_their_name_says() {
    let mut count = 0;
    for (name, bytes) in from_kernel() {
        let uevent = Uevent::parse(&bytes).unwrap();
        let mut words = name.split('-').skip_while(|word| *word == "usb" || word.parse::<u8>().is_ok());
        let action = words.next().unwrap();
        assert_eq!(uevent.action(), Action::from_bytes(action.as_bytes()), "{name}");
        assert!(!matches!(uevent.action(), Action::Unknown(_)), "{name}");
        assert_eq!(uevent.get("ACTION"), Some(action.as_bytes()), "{name}");
        assert_eq!(uevent.get("DEVPATH"), Some(uevent.devpath()), "{name}");
        assert!(!uevent.subsystem().is_empty() && uevent.seqnum().is_some(), "{name}");
        assert_eq!(uevent.major().is_some(), uevent.devname().is_some(), "{name}");
        count += 1;
    }
    assert!(count >= 40);
}

#[test]
fn a_stick_is_bound_before_its_partition_appears() {
    let place = |action, devtype: &str| {
        from_kernel().filter(|(name, _)| name.starts_with("usb-")).position(|(_, bytes)| {
            let uevent = Uevent::parse(&bytes).unwrap();
            uevent.action() == action && uevent.devtype() == Some(devtype.as_bytes())
        })
    };
    let story = [
        place(Action::Add, "usb_device"),
        place(Action::Bind, "usb_device"),
        place(Action::Add, "partition"),
        place(Action::Remove, "partition"),
        place(Action::Remove, "usb_device"),
    ];
    assert!(story.is_sorted() && story[0].is_some());
}

#[test]
fn kernel_messages_are_rebuilt() {
    for (name, bytes) in from_kernel() {
        let uevent = Uevent::parse(&bytes).unwrap();
        let mut out = [0; lunix_uevent::MAX_MESSAGE];
        let mut builder = Builder::new(&mut out, uevent.action().as_bytes(), uevent.devpath());
        for (key, value) in uevent.vars() {
            builder = builder.var(key, value);
        }
        let len = builder.finish().unwrap();
        assert!(out[..len] == bytes, "{name}");
    }
}

#[test]
fn every_cut_is_refused_or_a_shorter_message() {
    for (name, bytes) in from_kernel() {
        let whole = Uevent::parse(&bytes).unwrap();
        for cut in 0..bytes.len() {
            match Uevent::parse(&bytes[..cut]) {
                Ok(part) => {
                    assert_eq!(bytes[cut - 1], 0, "{name} cut at {cut}");
                    assert!(part.vars().count() < whole.vars().count());
                    assert!(part.vars().zip(whole.vars()).all(|(part, whole)| part == whole));
                }
                Err(error) => assert_eq!(error, ParseError::NotTerminated, "{name} cut at {cut}"),
            }
        }
    }
}

#[test]
fn every_damaged_byte_is_survived() {
    for (_, bytes) in captures() {
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for byte in [0, b'=', b'@', 0xff] {
                damaged[at] = byte;
                if let Ok(uevent) = Uevent::parse(&damaged) {
                    assert!(uevent.vars().all(|(key, value)| !key.is_empty() && !value.contains(&0)));
                }
                if let Ok(message) = monitor::Message::parse(&damaged) {
                    assert!(message.properties().all(|(key, value)| !key.is_empty() && !value.contains(&0)));
                }
            }
            damaged[at] = bytes[at];
        }
    }
}

#[test]
fn typed_variables() {
    let bytes = kernel("change-disk-synth-args");
    let disk = Uevent::parse(&bytes).unwrap();
    assert_eq!((disk.major(), disk.minor()), (Some(7), Some(0)));
    assert_eq!((disk.devname(), disk.devtype()), (Some(&b"loop0"[..]), Some(&b"disk"[..])));
    assert_eq!(disk.synth_uuid(), Some(&b"fe30c2b0-1b6d-4a34-b0de-8f5a8d8a3f10"[..]));
    assert!(disk.synth_args().eq([(&b"RUN"[..], &b"7"[..]), (&b"STEP"[..], &b"coldplug"[..])]));

    let bytes = kernel("move-net");
    let net = Uevent::parse(&bytes).unwrap();
    assert_eq!(net.devpath(), b"/devices/virtual/net/lunix2");
    assert_eq!(net.devpath_old(), Some(&b"/devices/virtual/net/lunix0"[..]));
    assert!(net.ifindex().is_some());

    let bytes = kernel("bind-virtio");
    let bind = Uevent::parse(&bytes).unwrap();
    assert_eq!(bind.driver(), Some(&b"virtio_rng"[..]));
    assert_eq!(bind.modalias(), Some(&b"virtio:d00000004v00001AF4"[..]));

    let bytes = kernel("change-mem");
    assert_eq!(Uevent::parse(&bytes).unwrap().devmode(), Some(0o666));
}

#[test]
fn udev_messages_are_rebuilt_with_their_hashes() {
    let mut tagged = 0;
    for (name, bytes) in from_udev() {
        assert_eq!(Uevent::parse(&bytes), Err(ParseError::LibudevMessage));
        let message = monitor::Message::parse(&bytes).unwrap();
        assert!(name.contains(&message.action().unwrap().to_string()), "{name}");
        let mut out = [0; monitor::MAX_MESSAGE];
        let mut builder = monitor::Builder::new(&mut out);
        for (key, value) in message.properties() {
            builder = builder.property(key, value);
        }
        let len = builder.finish().unwrap();
        assert!(out[..len] == bytes, "{name}");
        tagged += usize::from(message.tag_bloom() != 0);
    }
    assert!(tagged >= 3);
}

#[test]
fn every_cut_of_a_udev_message_is_refused() {
    for (name, bytes) in from_udev() {
        for cut in 0..bytes.len() {
            assert!(monitor::Message::parse(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
    }
}
