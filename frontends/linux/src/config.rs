//! Configuration files in nats-server's language, shared by all daemons: `key: value`, `key = value` or
//! `key value`, blocks, lists, comments, sizes and durations. natsinit's are in [TOML](parse_toml), read in the same way.
//!
//! ```text
//! # a comment                       // another
//! port: 4222                        keys and values on lines of their own, or with commas between them
//! max_payload = 64KB
//! ping_interval "30s"
//! server_name: 'my server'
//! block { key: [ "a", b ], other: $port }
//! include "users.conf"
//! ```
//!
//! Sizes are numbers with `k`, `m`, `g` … (thousands) or `kb`, `mb`, `gb` … (1024); durations are Go's (`1m30s`,
//! `250ms`) or bare seconds.
//!
//! Who reads a file [takes](Section::take) from it what it knows. Nothing returns an error: what is wrong is noted, the
//! answer is `None`, and reading goes on. [`Section::finish`] answers all mistakes at once, each as
//! `FILE:LINE:COLUMN: KEY: expected …, found …`.

mod mistake;
mod parse;
#[cfg(feature = "natsinit")]
mod toml;
mod units;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::distance;
use crate::escaped::Escaped;

pub use mistake::{Mistake, Mistakes};
pub(crate) use mistake::{Notes, Place};
#[cfg(feature = "natsinit")]
pub use toml::parse_toml;
pub use units::Span;
pub(crate) use units::duration;

/// The keys and values of a file or of a block in it.
#[derive(Clone, Debug)]
pub struct Section {
    /// Where it begins.
    place: Place,
    /// Its own key; empty for a file.
    key: String,
    entries: Vec<Value>,
    /// The names that were asked for.
    known: Vec<&'static str>,
    notes: Notes,
}

/// A key's value, or an element of its list, and where it stands.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where the key stands; for an element, where the element does.
    key_place: Place,
    place: Place,
    key: String,
    kind: Kind,
    form: Form,
    /// A variable refers to it, so it need not be a setting.
    used: bool,
    notes: Notes,
}

#[derive(Clone, Debug)]
enum Kind {
    /// What stood without quotes, or in them.
    Word(String),
    List(Vec<Value>),
    Block(Vec<Value>),
    /// What is wrong with it is noted.
    Wrong,
}

/// What a value may be read as, by how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// nats-server's language: a word is whatever it can be read as.
    Any,
    /// TOML: text in quotes is no number and no truth value.
    #[cfg_attr(not(feature = "natsinit"), allow(dead_code, reason = "TOML is natsinit's"))]
    Quoted,
    /// TOML: what stands without quotes is no text.
    #[cfg_attr(not(feature = "natsinit"), allow(dead_code, reason = "TOML is natsinit's"))]
    Bare,
    /// TOML: a list or a table.
    #[cfg_attr(not(feature = "natsinit"), allow(dead_code, reason = "TOML is natsinit's"))]
    Toml,
}

/// What a configuration may refer to besides itself.
pub trait World {
    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// This machine's files and this process's environment.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

/// Bytes of a file.
const LONGEST: u64 = 16 << 20;

impl World for Machine {
    fn read(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads and parses `path`.
///
/// # Errors
/// It cannot be read, or its syntax is wrong.
pub fn read(path: &Path) -> Result<Section, Mistakes> {
    match Machine.read(path) {
        Ok(text) => parse(path, &text, &Machine),
        Err(error) => Err(Mistake::of_file(path, &error).into()),
    }
}

/// Parses `text` of the file `path`.
///
/// # Errors
/// Its syntax is wrong.
///
/// ```
/// use lunix::config;
/// let text = "port: 1, name 'x y'\nsize = 2KB\nlog: maybe\nprot: 2";
/// let mut file = config::parse("my.conf".as_ref(), text, &config::Machine).unwrap();
/// assert_eq!(file.integer(&["port"], 1, 9), Some(1));
/// assert_eq!(file.text(&["name"]).as_deref(), Some("x y"));
/// assert_eq!(file.size(&["size"], 0, 4096), Some(2048));
/// assert_eq!(file.truth(&["log"]), None);
/// assert_eq!(
///     file.finish().unwrap_err().to_string(),
///     "my.conf:3:6: log: expected true or false, found 'maybe'\n\
///      my.conf:4:1: prot: unknown key, did you mean 'port'?"
/// );
/// ```
pub fn parse(path: &Path, text: &str, world: &dyn World) -> Result<Section, Mistakes> {
    let notes = Notes::default();
    let entries = match parse::document(path, text, world, &notes) {
        Ok(entries) => entries,
        Err(mistake) => {
            notes.push(mistake.clone());
            return Err(notes.into_result().err().unwrap_or_else(|| mistake.into()));
        }
    };
    let place = Place::beginning(path);
    Ok(Section { place, key: String::new(), entries, known: Vec::new(), notes })
}

impl Kind {
    /// How many values it is; long text counts as several.
    fn size(&self) -> usize {
        match self {
            Self::Word(text) => 1 + text.len() / 64,
            Self::Wrong => 1,
            Self::List(values) | Self::Block(values) => {
                1 + values.iter().map(|value| value.kind.size()).sum::<usize>()
            }
        }
    }
}

impl Section {
    /// Takes the value of the key that has one of these names, compared without regard to case but in TOML. If it is there
    /// several times, the last one counts, as in nats-server.
    pub fn take(&mut self, names: &[&'static str]) -> Option<Value> {
        self.known.extend_from_slice(names);
        let is = |entry: &Value| {
            let exact = entry.form != Form::Any;
            names.iter().any(|name| entry.key == *name || !exact && entry.key.eq_ignore_ascii_case(name))
        };
        let found = self.entries.iter().rposition(is).map(|at| self.entries.remove(at));
        self.entries.retain(|entry| !is(entry));
        found
    }

    /// Takes all that is left, for blocks whose keys are names that the user gives.
    pub fn take_all(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.entries)
    }

    /// Takes a text.
    pub fn text(&mut self, names: &[&'static str]) -> Option<String> {
        self.take(names)?.text()
    }

    /// Takes the path of a file or folder.
    pub fn path(&mut self, names: &[&'static str]) -> Option<PathBuf> {
        self.text(names).map(PathBuf::from)
    }

    /// Takes a truth value, see [`Value::truth`].
    pub fn truth(&mut self, names: &[&'static str]) -> Option<bool> {
        self.take(names)?.truth()
    }

    /// Takes a whole number from `least` to `most`.
    pub fn integer(&mut self, names: &[&'static str], least: i64, most: i64) -> Option<i64> {
        self.take(names)?.integer(least, most)
    }

    /// Takes a number of bytes from `least` to `most`, such as `64KB`.
    pub fn size(&mut self, names: &[&'static str], least: usize, most: usize) -> Option<usize> {
        self.take(names)?.size(least, most)
    }

    /// Takes a duration from `least` to `most`, see [`Value::duration`].
    pub fn duration(&mut self, names: &[&'static str], least: Duration, most: Duration) -> Option<Duration> {
        self.take(names)?.duration(least, most)
    }

    /// Takes a list; what is no list is a list of one.
    pub fn list(&mut self, names: &[&'static str]) -> Option<Vec<Value>> {
        Some(self.take(names)?.list())
    }

    /// Takes a block.
    pub fn block(&mut self, names: &[&'static str]) -> Option<Self> {
        self.take(names)?.block()
    }

    /// Takes keys that are understood and have no meaning here.
    pub fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.take(&[name]);
        }
    }

    /// Takes keys of what there is not, each with what that is, and notes them: `gateway: natsd has no gateways`.
    /// What is off or empty is no mistake.
    pub fn absent(&mut self, names: &[(&'static str, &str)]) {
        for (name, what) in names {
            if let Some(value) = self.take(&[name]).filter(|value| !value.is_off()) {
                value.note(format_args!("natsd has no {what}"));
            }
        }
    }

    /// Takes keys of what this build leaves out, and notes them: `operator: signed tokens are not in this build`.
    /// What is off or empty is no mistake.
    pub fn left_out(&mut self, names: &[&'static str], what: &str) {
        for name in names {
            if let Some(value) = self.take(&[name]).filter(|value| !value.is_off()) {
                value.note(format_args!("{what} not in this build"));
            }
        }
    }

    /// Notes a mistake about the section as a whole.
    pub fn note(&self, message: impl fmt::Display) {
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", Escaped(&self.key)) };
        self.notes.add(&self.place, format!("{key}{message}"));
    }

    /// Notes each key that nobody has taken, except those that variables refer to.
    pub fn end(self) {
        for entry in self.entries.iter().filter(|entry| !entry.used) {
            let near = self
                .known
                .iter()
                .map(|known| (distance(&known.to_ascii_lowercase(), &entry.key.to_ascii_lowercase()), known))
                .min()
                .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
            let message = match near {
                Some((_, known)) => format!("{}: unknown key, did you mean '{known}'?", Escaped(&entry.key)),
                None => format!("{}: unknown key", Escaped(&entry.key)),
            };
            self.notes.add(&entry.key_place, message);
        }
    }

    /// Ends the file: [`Section::end`], and all mistakes that were noted anywhere in it. If there are none: what was
    /// [remarked](Value::remark).
    ///
    /// # Errors
    /// There is a mistake.
    pub fn finish(self) -> Result<Vec<Mistake>, Mistakes> {
        let notes = self.notes.clone();
        self.end();
        notes.into_result()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        self.place.file()
    }
}

impl Value {
    /// A variable stands for it elsewhere.
    pub fn is_referred_to(&self) -> bool {
        self.used
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// It is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    /// It is a block.
    pub fn is_block(&self) -> bool {
        matches!(self.kind, Kind::Block(_))
    }

    /// It is `false`, or a block without anything in it.
    pub fn is_off(&self) -> bool {
        match &self.kind {
            Kind::Word(word) => ["false", "no", "off"].iter().any(|off| word.eq_ignore_ascii_case(off)),
            Kind::Block(entries) => entries.is_empty(),
            Kind::List(_) | Kind::Wrong => false,
        }
    }

    /// Where it stands.
    #[cfg(feature = "natsinit")]
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Notes a mistake about this value.
    pub fn note(&self, message: impl fmt::Display) {
        self.notes.add(&self.place, format!("{}: {message}", Escaped(&self.key)));
    }

    /// Notes what is no mistake, and worth a line in the log.
    pub fn remark(&self, message: impl fmt::Display) {
        self.notes.remark(&self.place, format!("{}: {message}", Escaped(&self.key)));
    }

    /// Notes that something else was expected, in the form that all such mistakes have.
    pub fn wrong(&self, expected: &str) {
        match &self.kind {
            Kind::Word(word) => {
                let word = Escaped(word);
                match self.form {
                    Form::Quoted => self.note(format_args!("expected {expected}, found \"{word}\"")),
                    Form::Bare => self.note(format_args!("expected {expected}, found {word}")),
                    Form::Any | Form::Toml => self.note(format_args!("expected {expected}, found '{word}'")),
                }
            }
            Kind::List(_) => self.note(format_args!("expected {expected}, found a list")),
            Kind::Block(_) => {
                let what = if self.form == Form::Any { "block" } else { "table" };
                self.note(format_args!("expected {expected}, found a {what}"));
            }
            Kind::Wrong => {}
        }
    }

    /// What `parse` makes of its text; if that is nothing, it is noted that `expected` was.
    pub fn parsed<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = match &self.kind {
            Kind::Word(word) => parse(word),
            _ => None,
        };
        if parsed.is_none() {
            self.wrong(expected);
        }
        parsed
    }

    /// Text.
    pub fn text(&self) -> Option<String> {
        let expected = if self.form == Form::Any { "text" } else { "text in quotes" };
        self.parsed(expected, |text| (self.form != Form::Bare).then(|| text.to_owned()))
    }

    /// `true`, `yes`, `on` or `false`, `no`, `off`.
    pub fn truth(&self) -> Option<bool> {
        self.parsed("true or false", |text| match text.to_ascii_lowercase().as_str() {
            _ if self.form == Form::Quoted => None,
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    /// A whole number from `least` to `most`.
    pub fn integer(&self, least: i64, most: i64) -> Option<i64> {
        self.parsed(&format!("a whole number from {least} to {most}"), |text| {
            let number = units::scaled(text).filter(|_| self.form != Form::Quoted);
            number.filter(|number| (least..=most).contains(number))
        })
    }

    /// A number of bytes from `least` to `most`, such as `64KB`.
    pub fn size(&self, least: usize, most: usize) -> Option<usize> {
        self.parsed(&format!("a size from {least} to {most} bytes, such as 64KB"), |text| {
            let number = usize::try_from(units::scaled(text)?).ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// A duration from `least` to `most`, such as `1m30s`; a bare number is seconds.
    pub fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        self.parsed(&format!("a duration from {} to {}, such as 30s", Span(least), Span(most)), |text| {
            duration(text).filter(|span| (least..=most).contains(span))
        })
    }

    /// The elements of a list; a single value is a list of one.
    pub fn list(self) -> Vec<Self> {
        match self.kind {
            Kind::List(values) => values,
            Kind::Wrong => Vec::new(),
            _ => vec![self],
        }
    }

    /// A block.
    pub fn block(self) -> Option<Section> {
        if let Kind::Block(entries) = self.kind {
            let Self { place, key, notes, .. } = self;
            return Some(Section { place, key, entries, known: Vec::new(), notes });
        }
        self.wrong(if self.form == Form::Any { "a block in { }" } else { "a table" });
        None
    }
}

#[cfg(test)]
mod tests;
