//! Configuration files: JSON means what `serde_json` finds in it, and mistakes are where there is text.

use std::io;
use std::path::Path;

use lunix::config::{Section, Value, World, parse as read};

/// Files that include one another and variables that refer to one another: the parts of the input that NUL divides.
struct Parts<'d>(Vec<&'d str>);

impl Parts<'_> {
    /// What has the name `a`, `b` …
    fn named(&self, name: &str) -> Option<&str> {
        let &[letter @ b'a'..=b'z'] = name.as_bytes() else { return None };
        self.0.get(usize::from(letter - b'a')).copied()
    }
}

impl World for Parts<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = path.to_str().and_then(|path| self.named(path));
        text.map(str::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.named(name).map(str::to_owned)
    }
}

/// Any text as a configuration.
pub fn parse(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let parts = Parts(text.split('\0').collect());
    let first = parts.0.first().copied().unwrap_or_default();
    let json =
        serde_json::from_str(first).ok().filter(|json| is_plain(json, 0)).filter(|_| !first.contains('\\'));
    match read(Path::new("a"), first, &parts) {
        Ok(mut section) => {
            if let Some(serde_json::Value::Object(json)) = json {
                // The parser keeps all of several equal keys; the last one counts.
                let last: Vec<Value> = section.take_all();
                json.iter().for_each(|(key, json)| {
                    let value = last.iter().rfind(|value| value.key() == key).expect("the key");
                    same(value.clone(), json);
                });
            } else {
                look(&mut section);
            }
            if let Err(mistakes) = section.finish() {
                mistakes.to_string().lines().for_each(|line| check(line, &parts));
            }
        }
        Err(mistakes) => {
            assert!(json.is_none_or(|json| !json.is_object()), "{mistakes}");
            mistakes.to_string().lines().for_each(|line| check(line, &parts));
        }
    }
}

/// JSON of a kind that a configuration can be.
fn is_plain(json: &serde_json::Value, depth: usize) -> bool {
    depth < 30
        && match json {
            serde_json::Value::Array(values) => values.iter().all(|json| is_plain(json, depth + 1)),
            serde_json::Value::Object(pairs) => pairs.values().all(|json| is_plain(json, depth + 1)),
            _ => true,
        }
}

fn same(value: Value, json: &serde_json::Value) {
    match json {
        serde_json::Value::String(text) => assert_eq!(value.text().as_ref(), Some(text)),
        serde_json::Value::Bool(truth) => assert_eq!(value.truth(), Some(*truth)),
        serde_json::Value::Array(values) => {
            assert!(value.is_list());
            let list = value.list();
            assert_eq!(list.len(), values.len());
            list.into_iter().zip(values).for_each(|(value, json)| same(value, json));
        }
        serde_json::Value::Object(pairs) => {
            let last = value.block().expect("a block").take_all();
            for (key, json) in pairs {
                same(last.iter().rfind(|value| value.key() == key).expect("the key").clone(), json);
            }
        }
        serde_json::Value::Number(number) => {
            if let Some(number) = number.as_i64().filter(|_| !number.is_f64()) {
                let text = value.text().expect("text");
                assert_eq!(text.parse(), Ok(number));
            }
        }
        serde_json::Value::Null => assert_eq!(value.text().as_deref(), Some("null")),
    }
}

/// Reads all values as everything that a value may be.
fn look(section: &mut Section) {
    for value in section.take_all() {
        let _ = (value.text(), value.truth(), value.is_off());
        let _ = value.integer(0, 100).zip(value.size(0, 100));
        let _ = value.duration(core::time::Duration::ZERO, core::time::Duration::MAX);
        if let Some(mut block) = value.clone().block() {
            look(&mut block);
            block.end();
        }
        value.list();
    }
}

/// A mistake names a place that there is.
fn check(line: &str, parts: &Parts<'_>) {
    let mut fields = line.splitn(4, ':');
    let (Some(file), Some(row), Some(column)) = (fields.next(), fields.next(), fields.next()) else { return };
    let (Some(text), Ok(row), Ok(column)) =
        (parts.named(file.trim_start_matches('$')), row.parse::<usize>(), column.parse::<usize>())
    else {
        return;
    };
    let longest = text.split('\n').nth(row - 1).map(|line| line.chars().count() + 1);
    assert!(longest.is_some_and(|longest| (1..=longest).contains(&column)), "{line}");
}
