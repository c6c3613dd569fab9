//! One table out of many texts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use lunix_core::device::hwdb::text::{Line, Mistake, Reader};
use lunix_core::device::hwdb::{Header, NONE, Rule, plain};

use crate::natsdev::device::limited;

/// Bytes of a file.
const FILE: u64 = 64 << 20;
/// Properties of a record.
const PROPERTIES: usize = u16::MAX as usize;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMistake {
    path: PathBuf,
    line: usize,
    mistake: Mistake,
}

impl fmt::Display for FileMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path.display(), self.line, self.mistake.column, self.mistake.why)
    }
}

/// A table, and what was wrong with the texts; that is left out.
#[derive(Debug)]
pub struct Built {
    /// The table.
    pub table: Vec<u8>,
    /// All mistakes, in the order of the texts.
    pub mistakes: Vec<FileMistake>,
    /// How many patterns there are.
    pub patterns: usize,
}

/// Reads the files `*.hwdb` of all folders, those of the first one first, and makes a table of them. A file hides those of
/// the same name in later folders; of what is said twice, the file whose name is later counts, and in it the later line.
///
/// # Errors
/// A file cannot be read, or there is more than fits into a table.
pub fn build(folders: &[PathBuf]) -> io::Result<Built> {
    let mut files: BTreeMap<Vec<u8>, PathBuf> = BTreeMap::new();
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(of(folder, error)),
        };
        for entry in entries {
            let name = entry.map_err(|error| of(folder, error))?.file_name();
            if name.as_bytes().ends_with(b".hwdb") {
                files.entry(name.as_bytes().to_vec()).or_insert_with(|| folder.join(&name));
            }
        }
    }
    let mut builder = Builder::default();
    for path in files.into_values() {
        let text = limited(&path, FILE + 1).map_err(|error| of(&path, error))?;
        if text.len() as u64 > FILE {
            return Err(of(&path, io::ErrorKind::FileTooLarge.into()));
        }
        builder.file(&path, &text);
    }
    builder.finish()
}

fn of(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[derive(Debug, Default)]
struct Builder {
    texts: Texts,
    lists: Vec<u8>,
    known_lists: BTreeMap<Vec<u8>, u32>,
    /// What a pattern says: its list and its rank; the same pattern may be in several records.
    rules: Vec<(Vec<u8>, u32, u32)>,
    mistakes: Vec<FileMistake>,
    record: u32,
}

/// Texts, each of them once.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    known: BTreeMap<Vec<u8>, u32>,
}

impl Texts {
    fn put(&mut self, text: &[u8]) -> u32 {
        if let Some(at) = self.known.get(text) {
            return *at;
        }
        let at = u32::try_from(self.bytes.len()).unwrap_or(NONE);
        let len = u16::try_from(text.len()).unwrap_or(0);
        self.bytes.extend(len.to_le_bytes());
        self.bytes.extend(text.iter().take(usize::from(len)));
        self.known.insert(text.to_vec(), at);
        at
    }
}

/// A record, on the way through it.
#[derive(Debug, Default)]
struct Record {
    patterns: Vec<Vec<u8>>,
    properties: Vec<(u32, u32)>,
}

impl Builder {
    fn file(&mut self, path: &Path, text: &[u8]) {
        let mut reader = Reader::new();
        let mut record = Record::default();
        let mut last = 0;
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            last = number;
            match reader.line(line) {
                Ok(Line::Nothing) => {}
                Ok(Line::Pattern { first, text }) => {
                    if first {
                        self.close(&mut record);
                    }
                    record.patterns.push(text.to_vec());
                }
                Ok(Line::Property { name, value }) => {
                    let (name, value) = (self.texts.put(name), self.texts.put(value));
                    record.properties.retain(|(known, _)| *known != name);
                    if record.properties.len() < PROPERTIES {
                        record.properties.push((name, value));
                    }
                }
                Err(mistake) => self.mistake(path, number, mistake),
            }
        }
        if let Err(mistake) = reader.end() {
            self.mistake(path, last, mistake);
        }
        self.close(&mut record);
    }

    fn mistake(&mut self, path: &Path, line: usize, mistake: Mistake) {
        self.mistakes.push(FileMistake { path: path.to_path_buf(), line, mistake });
    }

    fn close(&mut self, record: &mut Record) {
        let Record { patterns, properties } = std::mem::take(record);
        if properties.is_empty() {
            return;
        }
        let mut list = u16::try_from(properties.len()).unwrap_or(u16::MAX).to_le_bytes().to_vec();
        for (name, value) in properties {
            list.extend(name.to_le_bytes());
            list.extend(value.to_le_bytes());
        }
        let at = match self.known_lists.get(&list) {
            Some(at) => *at,
            None => {
                let at = u32::try_from(self.lists.len()).unwrap_or(NONE);
                self.lists.extend_from_slice(&list);
                self.known_lists.insert(list, at);
                at
            }
        };
        self.rules.extend(patterns.into_iter().map(|pattern| (pattern, at, self.record)));
        self.record += 1;
    }

    fn finish(mut self) -> io::Result<Built> {
        self.rules.sort_by(|(one, _, rank), (other, _, other_rank)| {
            beginning(one).cmp(beginning(other)).then(rank.cmp(other_rank))
        });
        let patterns = self.rules.len();
        let mut encoded = Vec::new();
        // Those that the present one may be below, each of which begins with the one before.
        let mut open: Vec<(u32, &[u8])> = Vec::new();
        for ((pattern, list, rank), index) in self.rules.iter().zip(0u32..) {
            let start = beginning(pattern);
            while open.last().is_some_and(|(_, above)| !start.starts_with(above)) {
                open.pop();
            }
            let rule = Rule {
                pattern: self.texts.put(pattern),
                plain: u16::try_from(start.len()).unwrap_or(u16::MAX),
                above: open.last().map_or(NONE, |(above, _)| *above),
                list: *list,
                rank: *rank,
            };
            encoded.extend(rule.encode());
            open.push((index, start));
        }
        let lists = Header::SIZE + encoded.len();
        let texts = lists + self.lists.len();
        let size = texts + self.texts.bytes.len();
        let number = |number: usize| {
            u32::try_from(number).map_err(|_| io::Error::other("more than fits into a table"))
        };
        let header = Header {
            rules: number(patterns)?,
            lists: number(lists)?,
            texts: number(texts)?,
            size: number(size)?,
        };
        let table = [&header.encode()[..], &encoded, &self.lists, &self.texts.bytes].concat();
        Ok(Built { table, mistakes: self.mistakes, patterns })
    }
}

/// What of a pattern is plain.
fn beginning(pattern: &[u8]) -> &[u8] {
    pattern.get(..plain(pattern)).unwrap_or_default()
}
