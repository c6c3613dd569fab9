extern crate std;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;

/// A table of patterns, each with one property; ranks are by order. As slow as it is short.
fn table(rules: &[(&str, &str, &str)]) -> Vec<u8> {
    let (mut texts, mut lists) = (Vec::new(), Vec::new());
    let mut put = |text: &str| {
        let at = texts.len() as u32;
        texts.extend((text.len() as u16).to_le_bytes());
        texts.extend(text.as_bytes());
        at
    };
    let mut sorted = Vec::new();
    for (rank, (pattern, name, value)) in rules.iter().enumerate() {
        let list = lists.len() as u32;
        lists.extend(1u16.to_le_bytes());
        lists.extend(put(name).to_le_bytes());
        lists.extend(put(value).to_le_bytes());
        let plain = plain(pattern.as_bytes());
        let rule = Rule { pattern: put(pattern), plain: plain as u16, above: NONE, list, rank: rank as u32 };
        sorted.push((&pattern[..plain], rule));
    }
    sorted.sort_by_key(|(plain, _)| *plain);
    let mut bytes = Vec::new();
    for (index, (plain, rule)) in sorted.iter().enumerate() {
        let above = (0..index).rev().find(|other| plain.starts_with(sorted[*other].0));
        bytes.extend(Rule { above: above.map_or(NONE, |above| above as u32), ..*rule }.encode());
    }
    let lists_at = (Header::SIZE + bytes.len()) as u32;
    let texts_at = lists_at + lists.len() as u32;
    let size = texts_at + texts.len() as u32;
    let header = Header { rules: rules.len() as u32, lists: lists_at, texts: texts_at, size };
    [&header.encode()[..], &bytes, &lists, &texts].concat()
}

fn said(table: &[u8], name: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let matches = Hwdb::open(table).unwrap().lookup(name.as_bytes());
    matches.properties().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

const RULES: [(&str, &str, &str); 9] = [
    ("usb:*", "ANY", "usb"),
    ("usb:v1D6Bp0002*", "MODEL", "hub"),
    ("usb:v1D6B*", "VENDOR", "Linux"),
    ("usb:v1D6B*", "VENDOR", "Linux Foundation"),
    ("usb:v1D6Bp000[12]", "EXACT", "1"),
    ("usb:v1D6Bp0002", "PLAIN", "1"),
    ("usb:v1D6C*", "VENDOR", "other"),
    ("*", "ALL", "1"),
    ("usb:v?D6B*2", "ANY", "late"),
];

#[test]
fn what_matches_and_what_counts() {
    let table = table(&RULES);
    let text = |name: &str| {
        let said = said(&table, name);
        said.iter()
            .map(|(k, v)| std::format!("{}={}", k.escape_ascii(), v.escape_ascii()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        text("usb:v1D6Bp0002"),
        ["ALL=1", "ANY=late", "EXACT=1", "MODEL=hub", "PLAIN=1", "VENDOR=Linux Foundation"]
    );
    assert_eq!(text("usb:v1D6Bp0003"), ["ALL=1", "ANY=usb", "VENDOR=Linux Foundation"]);
    assert_eq!(text("usb:v1D6"), ["ALL=1", "ANY=usb"]);
    assert_eq!(text("zzz"), ["ALL=1"]);
    assert_eq!(text(""), ["ALL=1"]);
    assert_eq!(text(&"x".repeat(MAX_TEXT + 1)), [""; 0]);
}

#[test]
fn of_too_many_the_highest_count() {
    let names: Vec<_> = (0..100).map(|number| std::format!("N{number}")).collect();
    let rules: Vec<_> = names.iter().map(|name| ("a*", name.as_str(), "1")).collect();
    let said = said(&table(&rules), "ab");
    assert_eq!(said.len(), MAX_MATCHES);
    assert!(!said.contains_key(&b"N35"[..]) && said.contains_key(&b"N36"[..]));
}

#[test]
fn damaged_anywhere_it_answers_something() {
    let whole = table(&RULES);
    assert_eq!(Hwdb::open(&whole).unwrap().len(), RULES.len());
    for len in 0..whole.len() {
        assert!(Hwdb::open(&whole[..len]).is_err());
    }
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            if let Ok(hwdb) = Hwdb::open(&damaged) {
                assert!(hwdb.lookup(b"usb:v1D6Bp0002").properties().count() < 100_000);
            }
        }
    }
}
