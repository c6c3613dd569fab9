//! A unit file of systemd as directives, systemd.syntax(7).

use std::cell::Cell;

/// Bytes of a file, as systemd's own bound for a line.
pub(super) const BYTES: u64 = 1 << 20;
/// Directives of a file.
const DIRECTIVES: usize = 4096;

/// One `KEY=VALUE`.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
    /// Somebody has looked at it.
    used: Cell<bool>,
}

/// A unit file.
#[derive(Debug)]
pub(super) struct Unit {
    /// As messages name it.
    pub(super) file: String,
    directives: Vec<Directive>,
}

/// Why a file is no unit, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

impl Unit {
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Wrong> {
        let mut directives = Vec::new();
        let mut section: Option<String> = None;
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim();
            if is_blank(trimmed) {
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[') {
                let name = name.strip_suffix(']').filter(|name| !name.is_empty());
                let name = name.ok_or(Wrong { line: number, why: "expected [SECTION], found no ']'" })?;
                section = Some(name.to_owned());
                continue;
            }
            // A backslash at the end joins the next line with a blank; comments between are skipped.
            let mut whole = String::new();
            let mut part = line.trim();
            while let Some(before) = part.strip_suffix('\\') {
                whole.push_str(before);
                whole.push(' ');
                part = loop {
                    match lines.next() {
                        Some((_, next)) if next.trim_start().starts_with(['#', ';']) => {}
                        Some((_, next)) => break next.trim(),
                        None => break "",
                    }
                };
            }
            whole.push_str(part);
            let wrong = |why| Wrong { line: number, why };
            let (key, value) = whole.split_once('=').ok_or(wrong("expected KEY=VALUE, found no '='"))?;
            let section = section.clone().ok_or(wrong("expected [SECTION] before the first KEY=VALUE"))?;
            if directives.len() == DIRECTIVES {
                return Err(wrong("too many directives"));
            }
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            directives.push(Directive { section, key, value, line: number, used: Cell::new(false) });
        }
        Ok(Self { file: file.to_owned(), directives })
    }

    /// A key is there without a value.
    pub(super) fn has_empty(&self, section: &str, key: &str) -> bool {
        self.directives.iter().any(|it| it.section == section && it.key == key && it.value.is_empty())
    }

    /// The first directive of a section.
    pub(super) fn first_of(&self, section: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.section == section)
    }

    pub(super) fn has_section(&self, section: &str) -> bool {
        self.directives.iter().any(|directive| directive.section == section)
    }

    /// What counts of a key with one value: the last one that is not empty, if no empty one comes after it.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&Directive> {
        self.all(section, key).pop()
    }

    /// What counts of a key with many values: those after the last empty one.
    pub(super) fn all(&self, section: &str, key: &str) -> Vec<&Directive> {
        let mut found = Vec::new();
        for directive in self.directives.iter().filter(|it| it.section == section && it.key == key) {
            directive.used.set(true);
            if directive.value.is_empty() {
                found.clear();
            } else {
                found.push(directive);
            }
        }
        found
    }

    /// What nobody has looked at.
    pub(super) fn rest(&self) -> impl Iterator<Item = &Directive> {
        self.directives.iter().filter(|directive| !directive.used.get())
    }
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_sections_and_continuations() {
        let text = "# c\n[Unit]\nDescription = a = b \n\n[Service]\nExecStart=/a \\\n  # between\n  b\\\n c\n;x\nA=1\nA=\nA=2\nA=3\n";
        let unit = Unit::parse("u", text).unwrap();
        assert_eq!(unit.last("Unit", "Description").unwrap().value, "a = b");
        assert_eq!(unit.last("Service", "ExecStart").unwrap().value, "/a  b c");
        assert_eq!(unit.last("Service", "ExecStart").unwrap().line, 6);
        let all: Vec<_> = unit.all("Service", "A").iter().map(|it| it.value.as_str()).collect();
        assert_eq!(all, ["2", "3"]);
        assert_eq!(unit.rest().count(), 0);
        assert_eq!(Unit::parse("u", "A=1").unwrap_err().line, 1);
        assert_eq!(Unit::parse("u", "[S]\nA").unwrap_err().line, 2);
        assert_eq!(Unit::parse("u", "[S").unwrap_err().line, 1);
        assert!(Unit::parse("u", "[S]\nA=\\").is_ok());
    }
}
