//! What the built-ins of udev's rules read: capabilities, descriptors, tables of hardware.

use lunix_core::device::encode;
use lunix_core::device::hwdb::Hwdb;
use lunix_core::device::hwdb::text::{Line, Reader};
use lunix_core::device::input::{Bits, Capabilities, Kinds};
use lunix_core::device::usb::{MAX_INTERFACES, interfaces};

/// A line for each bitmap; the first byte says of how many bits the kernel's words are.
pub fn input_bits(data: &[u8]) {
    let Some((word, text)) = data.split_first() else { return };
    let word = if word & 1 == 0 { 64 } else { 32 };
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| Bits::read(line, word));
    let mut next = || lines.next().unwrap_or_default();
    let (ev, abs, key, rel, props) = (next(), next(), next(), next(), next());
    let kinds = Kinds::of(&Capabilities { ev, abs, key, rel, props, bus: u16::from(text.len() as u8) });
    assert!(kinds.has(Kinds::INPUT));
    assert!(!kinds.has(Kinds::ACCELEROMETER) || !kinds.has(Kinds::MOUSE));
    assert!(!kinds.has(Kinds::TABLET_PAD) || kinds.has(Kinds::TABLET));
    assert_eq!(kinds.has(Kinds::SWITCH), ev.has(5));
    assert!(kinds.properties().all(|name| name.starts_with("ID_INPUT")));
}

/// Descriptors of a USB device, and texts that it has.
pub fn usb_interfaces(data: &[u8]) {
    let mut out = [0; MAX_INTERFACES];
    let list = interfaces(data, &mut out);
    assert!(list.is_empty() || list.len() % 7 == 1 && list.starts_with(b":") && list.ends_with(b":"));

    let mut text = data.to_vec();
    let len = encode::safe(&mut text);
    assert!(std::str::from_utf8(&text[..len]).is_ok());
    assert!(text[..len].iter().all(|byte| !byte.is_ascii_whitespace() && *byte != b'/'));
    let encoded: Vec<u8> = encode::encoded(data).collect();
    assert!(std::str::from_utf8(&encoded).is_ok());
    assert!(encoded.len() <= 4 * data.len());
}

/// The first byte says how long the name is that is looked up; then the name, then the table.
pub fn hwdb_table(data: &[u8]) {
    let Some((len, rest)) = data.split_first() else { return };
    let Some((name, table)) = rest.split_at_checked(usize::from(*len)) else { return };
    let Ok(hwdb) = Hwdb::open(table) else { return };
    assert!(hwdb.len() < table.len());
    let matches = hwdb.lookup(name);
    for (key, value) in matches.properties().take(1000) {
        assert!(key.len() <= table.len() && value.len() <= table.len());
    }
}

/// Text, line by line: properties come after patterns, and nothing is made up.
pub fn hwdb_text(data: &[u8]) {
    let mut reader = Reader::new();
    let mut patterns = 0;
    for line in data.split(|byte| *byte == b'\n') {
        match reader.line(line) {
            Ok(Line::Pattern { first, text }) => {
                assert!(!text.is_empty() && line.starts_with(text));
                patterns = if first { 1 } else { patterns + 1 };
            }
            Ok(Line::Property { name, value }) => {
                assert!(patterns > 0 && !name.is_empty());
                assert!(line.len() > name.len() + value.len());
            }
            Ok(Line::Nothing) => {}
            Err(mistake) => assert!(mistake.column >= 1 && mistake.column <= line.len() + 1),
        }
    }
    let _ = reader.end();
}
