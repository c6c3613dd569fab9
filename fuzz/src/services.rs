//! Files of services: what is TOML for others is TOML for us, and systemd's units become what natsinit takes.

use std::collections::BTreeSet;
use std::path::Path;

use lunix::config::{Section, Value, parse_toml};
use lunix::ctl::import_unit::{Texts, convert};
use lunix::natsinit::mistakes_of;

/// Any text as TOML, beside the crate `toml`: the same texts are right, and mean the same.
pub fn toml(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let mut ours = parse_toml(Path::new("a"), text);
    let theirs = ::toml::de::DeTable::parse(text);
    let values = ours.take_all();
    let mistakes = ours.clone().finish().err().map(|mistakes| mistakes.to_string());
    for line in mistakes.iter().flat_map(|mistakes| mistakes.lines()) {
        place(line, text);
    }
    match (theirs, &mistakes) {
        (Ok(table), None) => same_table(values, table.get_ref()),
        (Ok(_), Some(mistakes)) => {
            let bound = ["may have", "recurse"].iter().any(|bound| mistakes.contains(bound));
            assert!(bound, "we alone refuse it: {mistakes}");
        }
        // Numbers and dates are looked at when they are read.
        (Err(error), None) => {
            let scalar = ["date", "time", "offset", "float", "integer", "number"];
            assert!(
                scalar.iter().any(|scalar| error.message().contains(scalar)),
                "they alone refuse it: {error}"
            );
        }
        (Err(_), Some(_)) => {
            // What was read all the same can be looked at.
            for value in values {
                let _ = (value.text(), value.truth(), value.integer(0, 9), value.clone().list());
            }
        }
    }
}

fn same_table(ours: Vec<Value>, theirs: &::toml::de::DeTable<'_>) {
    assert_eq!(ours.len(), theirs.len());
    for value in ours {
        let (_, other) = theirs.iter().find(|(key, _)| key.get_ref() == value.key()).expect("the key");
        same(value, other.get_ref());
    }
}

fn same(ours: Value, theirs: &::toml::de::DeValue<'_>) {
    use ::toml::de::DeValue;
    match theirs {
        DeValue::String(text) => assert_eq!(ours.text().as_deref(), Some(&**text)),
        DeValue::Boolean(truth) => assert_eq!(ours.truth(), Some(*truth)),
        DeValue::Array(values) => {
            assert!(ours.is_list());
            let list = ours.list();
            assert_eq!(list.len(), values.len());
            list.into_iter().zip(values.iter()).for_each(|(ours, theirs)| same(ours, theirs.get_ref()));
        }
        DeValue::Table(table) => {
            let mut section: Section = ours.block().expect("a table");
            same_table(section.take_all(), table);
        }
        DeValue::Integer(number) => {
            if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
                let text = ours.parsed("a number", |text| Some(text.to_owned())).expect("a word");
                assert_eq!(text.parse(), Ok(number));
            }
        }
        DeValue::Float(_) | DeValue::Datetime(_) => assert!(!ours.is_list() && !ours.is_block()),
    }
}

/// A mistake names a place that there is.
fn place(line: &str, text: &str) {
    let mut fields = line.splitn(4, ':').skip(1);
    let (Some(Ok(row)), Some(Ok(column))) =
        (fields.next().map(str::parse::<usize>), fields.next().map(str::parse::<usize>))
    else {
        return;
    };
    let longest = text.split('\n').nth(row.wrapping_sub(1)).map(|line| line.chars().count() + 1);
    assert!(longest.is_some_and(|longest| (1..=longest).contains(&column)), "{line}");
}

/// Services `a`, `b` … whose files NUL divides, the first of them with drop-ins; the last is PID 1's settings.
pub fn files(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let parts: Vec<&str> = text.split('\0').take(12).collect();
    let names =
        ["a.toml", "a.toml.d/1.toml", "b.toml", "a.toml.d/2.toml", "c.toml", "d.toml", "e.toml", "f.toml"];
    let files: Vec<(&str, &str)> = names.into_iter().zip(parts.iter().copied()).collect();
    let mistakes = mistakes_of(&files, parts.last().copied().unwrap_or_default());
    for mistake in &mistakes {
        assert!(!mistake.contains('\n'), "{mistake:?}");
    }
    assert_eq!(mistakes, mistakes_of(&files, parts.last().copied().unwrap_or_default()));
}

/// A service, its socket and its timer, divided by NUL. What comes of them is a file that natsinit takes, if it can at
/// all: a value that it does not know is left out, never written.
pub fn units(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let service = parts.next().unwrap_or_default();
    let texts = Texts {
        name: "x@y.service",
        service: ("x@.service", service),
        socket: parts.next().filter(|text| !text.is_empty()).map(|text| ("x.socket", text)),
        timer: parts.next().filter(|text| !text.is_empty()).map(|text| ("x.timer", text)),
    };
    let Ok(imported) = convert(&texts, &BTreeSet::new()) else { return };
    let file = format!("{}.toml", imported.name);
    let mistakes = mistakes_of(&[(&file, &imported.toml)], "");
    assert!(mistakes.is_empty(), "{}\n{}", mistakes.join("\n"), imported.toml);
    for line in &imported.left {
        assert!(!line.contains('\n'), "{line:?}");
    }
}
