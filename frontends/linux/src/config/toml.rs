//! TOML 1.1 to the same values that nats-server's language becomes, so that all mistakes come at once in the same form.
//!
//! `toml_parser` finds where things begin and end, and goes on behind what it does not understand; here they become a tree,
//! and what TOML forbids although it can be read (a key twice, a table in two ways) is noted.

use std::path::Path;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Source, Span};

use super::mistake::Cursor;
use super::{Form, Kind, Notes, Place, Section, Value};
use crate::escaped::Escaped;

/// How deep lists and tables in braces may be.
const DEPTH: u32 = 16;
/// Parts of a key.
const PARTS: usize = 16;
/// Keys and values of a file.
const VALUES: usize = 4096;
/// Mistakes of a file; what comes after so many says nothing new.
const MISTAKES: usize = 64;

/// What `text` of the file `path` says. Mistakes in its syntax are noted as all others are, and what is beside them is
/// there: [`Section::finish`] answers all of them at once.
///
/// ```
/// use lunix::config;
/// let text = "name = 'x'\n[log]\nring = 5\nfile = false\n[log]\n";
/// let mut file = config::parse_toml("my.toml".as_ref(), text);
/// assert_eq!(file.text(&["name"]).as_deref(), Some("x"));
/// let mut log = file.block(&["log"]).unwrap();
/// assert_eq!(log.integer(&["ring"], 0, 9), Some(5));
/// assert_eq!(log.text(&["file"]), None);
/// log.end();
/// assert_eq!(
///     file.finish().unwrap_err().to_string(),
///     "my.toml:4:8: file: expected text in quotes, found false\n\
///      my.toml:5:2: log: this table is there already"
/// );
/// ```
pub fn parse_toml(path: &Path, text: &str) -> Section {
    let notes = Notes::default();
    let entries = tree(path, text, &notes);
    Section { place: Place::beginning(path), key: String::new(), entries, known: Vec::new(), notes }
}

fn tree(path: &Path, text: &str, notes: &Notes) -> Vec<Value> {
    let source = Source::new(text);
    let tokens: Vec<_> = source.lex().collect();
    let mut builder = Builder {
        source,
        cursor: Cursor::new(Place::beginning(path), text),
        notes: notes.clone(),
        root: Table::new(Made::Header, None),
        current: Some(Vec::new()),
        begin: Place::beginning(path),
        keys: Vec::new(),
        open: Vec::new(),
        values: 0,
    };
    let mut errors: Vec<ParseError> = Vec::new();
    let mut inner = ValidateWhitespace::new(&mut builder, source);
    parse_document(&tokens, &mut RecursionGuard::new(&mut inner, DEPTH), &mut |error| {
        if errors.len() < MISTAKES {
            errors.push(error);
        }
    });
    let root = std::mem::replace(&mut builder.root, Table::new(Made::Header, None));
    errors.sort_by_key(|error| error.unexpected().map_or(0, |span| span.start()));
    for error in &errors {
        builder.report(error);
    }
    root.entries.into_iter().map(|entry| entry.finish(notes)).collect()
}

/// How a table came to be, which says what may be added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It has a header `[a]`.
    Header,
    /// It is above one that has.
    Above,
    /// A key with dots made it.
    Dots,
    /// It stands in braces.
    Braces,
}

#[derive(Debug)]
struct Table {
    entries: Vec<Entry>,
    made: Made,
    /// Where its value begins.
    place: Option<Place>,
}

impl Table {
    fn new(made: Made, place: Option<Place>) -> Self {
        Self { entries: Vec::new(), made, place }
    }
}

#[derive(Debug)]
struct Entry {
    key: String,
    key_place: Place,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Word(String, Form, Place),
    List(Vec<Node>, Place),
    Table(Table),
    /// `[[a]]`
    Tables(Vec<Table>),
    /// What is wrong with it is noted.
    Wrong,
}

/// A part of a key, or a whole key that waits for its value.
type Part = (String, Place);

/// A list or table in brackets that is not closed yet.
#[derive(Debug)]
enum Open {
    List(Vec<Node>, Place),
    /// The keys that wait for this table as their value.
    Table(Table, Vec<Part>),
}

struct Builder<'t> {
    source: Source<'t>,
    cursor: Cursor<'t>,
    notes: Notes,
    root: Table,
    /// Where the last header leads; `None` if that cannot be.
    current: Option<Vec<String>>,
    /// Where the last header begins.
    begin: Place,
    /// The parts of the key that is being read.
    keys: Vec<Part>,
    open: Vec<Open>,
    values: usize,
}

impl<'t> Builder<'t> {
    fn place(&mut self, at: usize) -> Place {
        let text = self.source.input();
        self.cursor.at(text.get(at..).unwrap_or_default())
    }

    /// Counts a value; beyond the bound all is dropped.
    fn room(&mut self, span: Span) -> bool {
        self.values += 1;
        if self.values == VALUES + 1 {
            let place = self.place(span.start());
            self.notes.add(&place, format!("a file may have {VALUES} keys and values"));
        }
        self.values <= VALUES
    }

    /// A mistake in the syntax.
    fn report(&mut self, error: &ParseError) {
        let span = error.unexpected().or(error.context()).unwrap_or_default();
        let place = self.place(span.start());
        let text = self.source.input();
        let rest = text.get(span.start()..).unwrap_or_default();
        let found = match rest.chars().next() {
            None => "the end".to_owned(),
            Some('\r' | '\n') => "the end of the line".to_owned(),
            Some(_) => {
                let end = span.end().max(span.start() + 1).min(text.len());
                let word = text.get(span.start()..end).or_else(|| rest.get(..rest.ceil_char_boundary(1)));
                let word = word.unwrap_or_default().lines().next().unwrap_or_default();
                let short: String = word.chars().take(40).collect();
                format!("'{}'", Escaped(&short))
            }
        };
        let expected: Vec<String> = error
            .expected()
            .unwrap_or_default()
            .iter()
            .map(|expected| match expected {
                Expected::Literal("\n") => "the end of the line".to_owned(),
                Expected::Literal(text) => format!("'{}'", Escaped(text)),
                Expected::Description(text) => (*text).to_owned(),
                _ => String::new(),
            })
            .filter(|text| !text.is_empty())
            .collect();
        let message = if expected.is_empty() {
            format!("{}: {found}", error.description())
        } else {
            format!("expected {}, found {found}: {}", expected.join(" or "), error.description())
        };
        self.notes.add(&place, message);
    }

    /// A header of the parts `keys`; with `many`, of one more table of a list.
    fn header(&mut self, keys: Vec<Part>, many: bool) {
        let place = self.begin.clone();
        self.current = None;
        let Some(((last, above), notes)) = keys.split_last().zip(Some(self.notes.clone())) else { return };
        let mut table = &mut self.root;
        for part in above {
            let at = match table.entries.iter().position(|entry| entry.key == part.0) {
                Some(at) => at,
                None => {
                    let node = Node::Table(Table::new(Made::Above, Some(place.clone())));
                    table.entries.push(Entry { key: part.0.clone(), key_place: part.1.clone(), node });
                    table.entries.len() - 1
                }
            };
            table = match table.entries.get_mut(at).map(|entry| &mut entry.node) {
                Some(Node::Table(inner)) if inner.made != Made::Braces => inner,
                Some(Node::Tables(tables)) => match tables.last_mut() {
                    Some(inner) => inner,
                    None => return,
                },
                _ => return notes.add(&part.1, format!("{}: this is no table", Escaped(&part.0))),
            };
        }
        let found = table.entries.iter_mut().find(|entry| entry.key == last.0);
        match found.map(|entry| &mut entry.node) {
            None => {
                let new = Table::new(Made::Header, Some(place));
                let node = if many { Node::Tables(vec![new]) } else { Node::Table(new) };
                table.entries.push(Entry { key: last.0.clone(), key_place: last.1.clone(), node });
            }
            Some(Node::Tables(tables)) if many => tables.push(Table::new(Made::Header, Some(place))),
            Some(Node::Table(inner)) if !many && inner.made == Made::Above => inner.made = Made::Header,
            Some(Node::Table(_)) if !many => {
                notes.add(&last.1, format!("{}: this table is there already", Escaped(&last.0)));
                return;
            }
            Some(_) => {
                notes.add(&last.1, format!("{}: this key is there already", Escaped(&last.0)));
                return;
            }
        }
        self.current = Some(keys.into_iter().map(|(key, _)| key).collect());
    }

    /// The table that the last header leads to.
    fn table(&mut self) -> Option<&mut Table> {
        let mut table = &mut self.root;
        for key in self.current.as_ref()? {
            let entry = table.entries.iter_mut().find(|entry| entry.key == *key)?;
            table = match &mut entry.node {
                Node::Table(inner) => inner,
                Node::Tables(tables) => tables.last_mut()?,
                _ => return None,
            };
        }
        Some(table)
    }

    /// A value is complete.
    fn value(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::List(values, _)) => values.push(node),
            Some(Open::Table(table, _)) => {
                let keys = std::mem::take(&mut self.keys);
                insert(table, &keys, node, &self.notes);
            }
            None => {
                let keys = std::mem::take(&mut self.keys);
                let notes = self.notes.clone();
                if let Some(table) = self.table() {
                    insert(table, &keys, node, &notes);
                }
            }
        }
    }
}

/// Puts `node` where `keys` lead to from `table`.
fn insert(table: &mut Table, keys: &[Part], node: Node, notes: &Notes) {
    let Some((last, above)) = keys.split_last() else { return };
    let mut table = table;
    for part in above {
        let at = match table.entries.iter().position(|entry| entry.key == part.0) {
            Some(at) => at,
            None => {
                let node = Node::Table(Table::new(Made::Dots, Some(part.1.clone())));
                table.entries.push(Entry { key: part.0.clone(), key_place: part.1.clone(), node });
                table.entries.len() - 1
            }
        };
        table = match table.entries.get_mut(at).map(|entry| &mut entry.node) {
            Some(Node::Table(inner)) if matches!(inner.made, Made::Dots | Made::Above) => inner,
            Some(Node::Table(_)) => {
                return notes.add(&part.1, format!("{}: this table is there already", Escaped(&part.0)));
            }
            _ => return notes.add(&part.1, format!("{}: this is no table", Escaped(&part.0))),
        };
    }
    if table.entries.iter().any(|entry| entry.key == last.0) {
        return notes.add(&last.1, format!("{}: this key is there already", Escaped(&last.0)));
    }
    table.entries.push(Entry { key: last.0.clone(), key_place: last.1.clone(), node });
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.keys.clear();
        self.begin = self.place(span.start());
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        let keys = std::mem::take(&mut self.keys);
        self.header(keys, false);
    }

    fn array_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.std_table_open(span, error);
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        let keys = std::mem::take(&mut self.keys);
        self.header(keys, true);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        let table = Table::new(Made::Braces, Some(self.place(span.start())));
        self.open.push(Open::Table(table, std::mem::take(&mut self.keys)));
        true
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if let Some(Open::Table(..)) = self.open.last()
            && let Some(Open::Table(mut table, keys)) = self.open.pop()
        {
            close(&mut table);
            self.keys = keys;
            self.value(Node::Table(table));
        }
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        let place = self.place(span.start());
        self.open.push(Open::List(Vec::new(), place));
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if let Some(Open::List(..)) = self.open.last()
            && let Some(Open::List(values, place)) = self.open.pop()
        {
            self.value(Node::List(values, place));
        }
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut key = std::borrow::Cow::Borrowed("");
        let text = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        toml_parser::Raw::new_unchecked(text, encoding, span).decode_key(&mut key, error);
        let place = self.place(span.start());
        if self.keys.len() == PARTS {
            self.notes.add(&place, format!("a key may have {PARTS} parts"));
        }
        if self.keys.len() < PARTS && self.room(span) {
            self.keys.push((key.into_owned(), place));
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = std::borrow::Cow::Borrowed("");
        let raw = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        let kind = toml_parser::Raw::new_unchecked(raw, encoding, span).decode_scalar(&mut text, error);
        let place = self.place(span.start());
        let text = match kind {
            // 0xff, 0o17 and 0b1 as the decimals that they mean.
            ScalarKind::Integer(radix) if radix.value() != 10 => i64::from_str_radix(&text, radix.value())
                .map_or_else(|_| text.into_owned(), |number| number.to_string()),
            _ => text.into_owned(),
        };
        let form = if kind == ScalarKind::String { Form::Quoted } else { Form::Bare };
        if self.room(span) {
            self.value(Node::Word(text, form, place));
        }
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        // Outside of brackets a key ends with its line, whatever came of it.
        if self.open.is_empty() {
            self.keys.clear();
        }
    }

    fn error(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if self.open.is_empty() && !self.keys.is_empty() {
            // So that its key is known.
            self.value(Node::Wrong);
        }
    }
}

/// Nothing can be added any more to a table that stood in braces, nor to what is in it.
fn close(table: &mut Table) {
    table.made = Made::Braces;
    for entry in &mut table.entries {
        if let Node::Table(inner) = &mut entry.node {
            close(inner);
        }
    }
}

impl Entry {
    fn finish(self, notes: &Notes) -> Value {
        self.node.finish(self.key, self.key_place, notes)
    }
}

impl Table {
    fn finish(self, notes: &Notes) -> Vec<Value> {
        self.entries.into_iter().map(|entry| entry.finish(notes)).collect()
    }
}

impl Node {
    fn finish(self, key: String, key_place: Place, notes: &Notes) -> Value {
        let element = |table: Table| {
            let place = table.place.clone().unwrap_or_else(|| key_place.clone());
            Node::Table(table).finish(key.clone(), place, notes)
        };
        let (kind, form, place) = match self {
            Self::Word(text, form, place) => (Kind::Word(text), form, place),
            Self::List(values, place) => {
                let values = values.into_iter().map(|node| {
                    let place = node.place().unwrap_or_else(|| key_place.clone());
                    node.finish(key.clone(), place, notes)
                });
                (Kind::List(values.collect()), Form::Toml, place)
            }
            Self::Table(table) => {
                let place = table.place.clone().unwrap_or_else(|| key_place.clone());
                (Kind::Block(table.finish(notes)), Form::Toml, place)
            }
            Self::Tables(tables) => {
                let values = tables.into_iter().map(element).collect();
                (Kind::List(values), Form::Toml, key_place.clone())
            }
            Self::Wrong => (Kind::Wrong, Form::Toml, key_place.clone()),
        };
        Value { key_place, place, key, kind, form, used: false, notes: notes.clone() }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Word(_, _, place) | Self::List(_, place) => Some(place.clone()),
            Self::Table(table) => table.place.clone(),
            Self::Tables(tables) => tables.first()?.place.clone(),
            Self::Wrong => None,
        }
    }
}

impl Section {
    /// Lays `text` of the file `path` over this: its tables are merged with those here, all else replaces what has the
    /// same key.
    pub fn overlay_toml(&mut self, path: &Path, text: &str) {
        let over = tree(path, text, &self.notes);
        overlay(&mut self.entries, over);
    }
}

fn overlay(entries: &mut Vec<Value>, over: Vec<Value>) {
    for new in over {
        match entries.iter_mut().find(|old| old.key == new.key) {
            Some(old) => match (&mut old.kind, new.kind) {
                (Kind::Block(inner), Kind::Block(over)) => overlay(inner, over),
                (_, kind) => *old = Value { kind, ..new },
            },
            None => entries.push(new),
        }
    }
}
