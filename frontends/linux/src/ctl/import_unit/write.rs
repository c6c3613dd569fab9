//! A service's file in TOML, as people write one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The order of the tables; the first is no table.
const TABLES: [&str; 10] =
    ["", "environment", "ready", "restart", "stop", "reload", "activation", "limits", "sandbox", "log"];

/// Keys and values in the order in which they came, by table.
#[derive(Debug, Default)]
pub(super) struct File {
    tables: BTreeMap<&'static str, Vec<(String, String)>>,
}

impl File {
    /// Sets a key of `table` (empty: of the file) to what is TOML already.
    pub(super) fn set(&mut self, table: &'static str, key: &str, value: String) {
        let entries = self.tables.entry(table).or_default();
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some(entry) => entry.1 = value,
            None => entries.push((key.to_owned(), value)),
        }
    }

    /// Takes away the key whose line in [`text`](Self::text) without comments is `line`; how it is called.
    pub(super) fn remove(&mut self, line: usize) -> Option<String> {
        let mut at = 0;
        for table in TABLES {
            let Some(entries) = self.tables.get_mut(table) else { continue };
            at += if table.is_empty() { 0 } else { 2 };
            if let Some(index) = line.checked_sub(at + 1).filter(|index| *index < entries.len()) {
                let (key, _) = entries.remove(index);
                return Some(if table.is_empty() { key } else { format!("{table}.{key}") });
            }
            at += entries.len();
        }
        None
    }

    /// The file, with `comments` at its head.
    pub(super) fn text(&self, comments: &[String]) -> String {
        let mut out = String::new();
        for line in comments {
            let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = if plain.is_empty() { writeln!(out) } else { writeln!(out, "# {plain}") };
        }
        for table in TABLES {
            let Some(entries) = self.tables.get(table) else { continue };
            if !table.is_empty() {
                let _ = write!(out, "\n[{table}]\n");
            }
            for (key, value) in entries {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
                let key = if !key.is_empty() && key.bytes().all(plain) { key.clone() } else { quote(key) };
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        out
    }
}

/// Text in quotes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A list of texts.
pub(super) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}
