//! What the rules want of a device.

use lunix_proto::Full;

use super::ledger::{Ledger, Record};
use super::sanitize::trim_end;
use super::{Token, pattern};

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fact {
    Property,
    Link,
    Tag,
    Program,
    Builtin,
    Label,
    Name,
    Result,
}

/// What the rules have made of a device so far.
#[derive(Debug)]
pub struct Outcome<'m> {
    facts: Ledger<'m>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) mode: Option<u32>,
    pub(super) link_priority: i32,
    pub(super) db_persist: bool,
    pub(super) watch: Option<bool>,
    pub(super) log_level: Option<i8>,
    pub(super) dump: bool,
    pub(super) finals: Finals,
}

/// What was assigned by `:=`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finals {
    pub(super) owner: bool,
    pub(super) group: bool,
    pub(super) mode: bool,
    pub(super) name: bool,
    pub(super) links: bool,
    pub(super) run: bool,
    pub(super) watch: bool,
}

/// Something to be run when all rules are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'o> {
    /// A built-in, and not a program.
    pub builtin: bool,
    /// Its line: the name and what is handed to it.
    pub command: &'o [u8],
}

impl<'m> Outcome<'m> {
    pub(super) fn new(bytes: &'m mut [u8]) -> Self {
        Self {
            facts: Ledger::new(bytes),
            owner: None,
            group: None,
            mode: None,
            link_priority: 0,
            db_persist: false,
            watch: None,
            log_level: None,
            dump: false,
            finals: Finals::default(),
        }
    }

    /// The properties, those of the kernel too, oldest first. A name that begins with a dot is for rules only.
    pub fn properties(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.facts.of(Fact::Property as u8).map(|record| (record.key, record.value))
    }

    /// One property.
    pub fn property(&self, key: &[u8]) -> Option<&[u8]> {
        self.facts.find(Fact::Property as u8, key).map(|record| record.value)
    }

    /// The links to the node, relative to /dev.
    pub fn links(&self) -> impl Iterator<Item = &[u8]> {
        self.keys(Fact::Link)
    }

    /// The tags.
    pub fn tags(&self) -> impl Iterator<Item = &[u8]> {
        self.keys(Fact::Tag)
    }

    /// What is to be run, in this order.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let kinds = [Fact::Program as u8, Fact::Builtin as u8];
        self.facts
            .records()
            .filter(move |record| kinds.contains(&record.kind))
            .map(|record| Run { builtin: record.kind == Fact::Builtin as u8, command: record.value })
    }

    /// Security labels: the module, and its label.
    pub fn labels(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.facts.of(Fact::Label as u8).map(|record| (record.key, record.value))
    }

    /// The new name of a network interface.
    pub fn name(&self) -> Option<&[u8]> {
        self.facts.find(Fact::Name as u8, b"").map(|record| record.value)
    }

    /// The user that the node is to belong to.
    pub const fn owner(&self) -> Option<u32> {
        self.owner
    }

    /// The group that the node is to belong to.
    pub const fn group(&self) -> Option<u32> {
        self.group
    }

    /// The permissions of the node.
    pub const fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// Of several devices that want the same link, the one with the highest number gets it.
    pub const fn link_priority(&self) -> i32 {
        self.link_priority
    }

    /// The database keeps the device when the machine leaves its first file system.
    pub const fn db_persist(&self) -> bool {
        self.db_persist
    }

    /// Whether an event is wanted when somebody has written to the node; `None` if no rule says so.
    pub const fn watch(&self) -> Option<bool> {
        self.watch
    }

    /// How much is to be logged about this device (of syslog's levels, 0 to 7); -1 for as much as ever.
    pub const fn log_level(&self) -> Option<i8> {
        self.log_level
    }

    /// Somebody wants to see all that is known about this device.
    pub const fn dump(&self) -> bool {
        self.dump
    }

    /// What the last `PROGRAM` wrote.
    pub(super) fn result(&self) -> Option<&[u8]> {
        self.facts.find(Fact::Result as u8, b"").map(|record| record.value)
    }

    pub(super) fn any(&self, fact: Fact, token: &Token<'_>) -> bool {
        self.keys(fact).any(|key| token.fits(key))
    }

    fn keys(&self, fact: Fact) -> impl Iterator<Item = &[u8]> {
        self.facts.of(fact as u8).map(|record: Record<'_>| record.key)
    }

    pub(super) fn set(&mut self, fact: Fact, key: &[u8], value: &[u8]) -> Result<(), Full> {
        self.facts.set(fact as u8, key, value)
    }

    /// Adds to a list what may be in it several times.
    pub(super) fn push(&mut self, fact: Fact, value: &[u8]) -> Result<(), Full> {
        self.facts.push(fact as u8, b"", &[value])
    }

    /// Adds to a set.
    pub(super) fn insert(&mut self, fact: Fact, key: &[u8]) -> Result<(), Full> {
        if self.facts.find(fact as u8, key).is_some() {
            return Ok(());
        }
        self.facts.push(fact as u8, key, &[])
    }

    pub(super) fn remove(&mut self, fact: Fact, key: &[u8]) {
        self.facts.remove(fact as u8, key);
    }

    pub(super) fn clear(&mut self, facts: &[Fact]) {
        for fact in facts {
            self.facts.clear(&[*fact as u8]);
        }
    }

    /// Takes in lines `KEY=VALUE` whose value may be in quotes. Comments and what is no such line are left out.
    pub(super) fn import(&mut self, lines: &[u8]) -> Result<(), Full> {
        for line in lines.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = line.split_at(at);
            let (key, value) = (key.trim_ascii_end(), value.get(1..).unwrap_or_default().trim_ascii_start());
            if key.is_empty() || key.starts_with(b"#") || value.is_empty() {
                continue;
            }
            let value = match value {
                [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
                [b'"' | b'\'', ..] => continue,
                value => value,
            };
            self.set(Fact::Property, key, value)?;
        }
        Ok(())
    }

    /// Takes in those lines `KEY=VALUE` whose key matches `wanted`, as they are.
    pub(super) fn inherit(&mut self, lines: &[u8], wanted: &[u8]) -> Result<(), Full> {
        for line in lines.split(|byte| *byte == b'\n') {
            let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = line.split_at(at);
            if !key.is_empty() && pattern::fits(wanted, key, false) {
                self.set(Fact::Property, key, value.get(1..).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// The path of a link below /dev in its shortest form, handed on part by part; `None` if it leads elsewhere.
pub(super) fn link_parts(path: &[u8]) -> Option<impl Iterator<Item = &[u8]> + Clone> {
    let mut parts =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").peekable();
    if path.starts_with(b"/") && parts.next() != Some(b"dev") {
        return None;
    }
    parts.peek()?;
    (!parts.clone().any(|part| part == b"..")).then_some(parts)
}

/// A tag is the name of a folder in the database.
pub(super) fn is_tag(tag: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !tag.is_empty() && tag.len() <= 255 && tag.iter().all(plain)
}

/// A number without a sign, in octal digits.
pub(super) fn octal(text: &[u8]) -> Option<u32> {
    let text = trim_end(text);
    let digits = (1..=8).contains(&text.len()) && text.iter().all(|byte| (b'0'..=b'7').contains(byte));
    let value = text.iter().fold(0, |value, byte| value << 3 | u32::from(byte & 7));
    (digits && value <= 0o7777).then_some(value)
}
