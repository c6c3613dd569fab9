//! Parsers over the captures of real uevents.

use crate::rounds::{Case, Goal, Group, Work};
use kobject_uevent::UEvent;
use lunix_uevent::Uevent;
use std::{fs, hint::black_box, path::Path};

/// Times that a turn parses all captures.
const TIMES: usize = 1000;

pub fn parsed() -> Group {
    let (title, turn) = captures();
    Group::new(title, Some(Goal::Bytes(2e9)), vec![Case::new("lunix `Uevent::parse`", turn(parse))])
}

/// What the peer does at once, for it fills a map.
pub fn read_whole() -> Group {
    let (title, turn) = captures();
    let cases = vec![
        Case::new("lunix `Uevent::parse`, then all of `vars`", turn(parse_and_read)),
        Case::new("kobject-uevent `UEvent` (a map of strings)", turn(peer)),
    ];
    Group::new(format!("{title}, every variable"), None, cases)
}

type Turn = Box<dyn FnMut() -> Work>;
type Parse = fn(&[u8]);

fn captures() -> (String, impl Fn(Parse) -> Turn) {
    let captures = read();
    let bytes: usize = captures.iter().map(Vec::len).sum();
    let messages = captures.len();
    let work = Work { messages: messages * TIMES, bytes: bytes * TIMES };
    let turn = move |parse: Parse| {
        let captures = captures.clone();
        let turn = move || {
            for _ in 0..TIMES {
                captures.iter().for_each(|capture| parse(black_box(capture)));
            }
            work
        };
        Box::new(turn) as Turn
    };
    (format!("{messages} kernel uevents, {} B on average", bytes / messages), turn)
}

fn parse(bytes: &[u8]) {
    let uevent = Uevent::parse(bytes);
    assert!(black_box(&uevent).is_ok());
}

fn parse_and_read(bytes: &[u8]) {
    let uevent = Uevent::parse(bytes).expect("a uevent");
    black_box((uevent.action(), uevent.devpath(), uevent.seqnum()));
    uevent.vars().for_each(|var| {
        black_box(var);
    });
}

fn peer(bytes: &[u8]) {
    black_box(UEvent::from_netlink_packet(bytes).expect("a uevent"));
}

fn read() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../uevent/tests/captures");
    let mut captures: Vec<_> = fs::read_dir(folder)
        .expect("the captures")
        .map(|entry| entry.expect("a capture").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| fs::read(path).expect("a capture"))
        .filter(|bytes| Uevent::parse(bytes).is_ok())
        .collect();
    captures.sort();
    captures
}
