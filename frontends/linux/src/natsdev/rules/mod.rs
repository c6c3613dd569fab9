//! udev's rules: files to a table, and the table applied to a device.
//!
//! | file | what it does |
//! |---|---|
//! | `lines` | a file's text as lines, and where each byte of them stands |
//! | `parse` | a line's text as keys, operators and values |
//! | `keys` | which keys there are, and what they take |
//! | `evaluate` | drives `lunix_core::device::rules` |
//! | `machine` | answers what `lunix_core::device::rules` asks, from /sys, programs and the database |
//! | `source` | which files there are |
//! | `programs` | runs programs, for a time and an output that are bounded |
//! | `test` | `natsdev test` |

pub(super) mod evaluate;
mod keys;
pub(super) mod lines;
mod machine;
mod parse;
pub(super) mod programs;
pub(super) mod source;
pub(super) mod test;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lunix_core::device::rules::{Builder, Key, MAX_TABLE, Operator, Origin, Table, TableError, Token};
use rustix::fs::OFlags;

pub use programs::words;

use crate::config::{Mistake, Mistakes, Notes, Place};

/// Where rules are, the folder first whose files hide those of the same name in the others.
pub const FOLDERS: [&str; 4] =
    ["/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d"];

/// Files of all folders together.
const FILES: usize = 4096;
/// Bytes of all files together.
const BYTES: u64 = 8 << 20;

/// What becomes of a line with a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// All rules are refused.
    Refuse,
    /// The line is left out, as udev does, and the mistake is only a remark.
    LeaveOut,
}

/// A set of rules.
#[derive(Clone, Debug)]
pub struct Rules {
    table: Vec<u8>,
    lines: u32,
    files: Vec<PathBuf>,
    /// What is not wrong, but not what it seems: a line each.
    pub remarks: Vec<Mistake>,
}

impl Rules {
    /// Reads all files `*.rules` of `folders`, in the order of their names. Of files with the same name, only the one
    /// in the first folder counts; if that is empty or a link to `/dev/null`, none does. A folder that is not there has
    /// no files.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub fn read(folders: &[PathBuf], strictness: Strictness) -> Result<Self, Mistakes> {
        let mut found: Vec<(OsString, PathBuf)> = Vec::new();
        for folder in folders {
            let names = match names(folder) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Mistake::of_file(folder, &error).into()),
            };
            let new: Vec<_> = names
                .into_iter()
                .filter(|name| !found.iter().any(|(known, _)| known == name))
                .map(|name| (name.clone(), folder.join(name)))
                .collect();
            found.extend(new);
            if found.len() > FILES {
                return Err(Mistake::of_file(folder, &format_args!("there may be {FILES} files")).into());
            }
        }
        found.sort_unstable();
        let mut reading = Reading::new(strictness);
        let mut room = BYTES;
        for (_, path) in found {
            match text(&path, room) {
                Ok(text) => {
                    room -= text.len() as u64;
                    reading.file(path, &text);
                }
                Err(error) => reading.notes.push(Mistake::of_file(&path, &error)),
            }
        }
        reading.finish()
    }

    /// The rules in `text` of a file `path`.
    ///
    /// ```
    /// use lunix::natsdev::rules::{Rules, Strictness};
    /// let text = b"KERNEL==\"sd*\", \\\n  MODE=\"0660\"\nKERNAL==\"x\", MODE=\"0666\"\n";
    /// let wrong = Rules::parse("a.rules".as_ref(), text, Strictness::Refuse).unwrap_err();
    /// assert_eq!(wrong.to_string(), "a.rules:3:1: KERNAL: unknown key, did you mean 'KERNEL'?");
    /// let rules = Rules::parse("a.rules".as_ref(), text, Strictness::LeaveOut).unwrap();
    /// assert_eq!((rules.table().lines(), rules.remarks.len()), (1, 1));
    /// ```
    ///
    /// # Errors
    /// All mistakes.
    pub fn parse(path: &Path, text: &[u8], strictness: Strictness) -> Result<Self, Mistakes> {
        let mut reading = Reading::new(strictness);
        reading.file(path.to_path_buf(), text);
        reading.finish()
    }

    /// The table for `lunix_core::device::rules::Evaluation`.
    pub fn table(&self) -> Table<'_> {
        Table::known(&self.table, self.lines)
    }

    /// Bytes of the table.
    pub fn size(&self) -> usize {
        self.table.len()
    }

    /// The files, as `Origin::file` counts them.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// `FILE:LINE` of a rule.
    pub fn place(&self, origin: Origin) -> String {
        let file = self.files.get(usize::from(origin.file)).map(|file| file.display());
        file.map_or_else(|| "?".to_owned(), |file| format!("{file}:{}", origin.line))
    }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let is_rules =
        |name: &OsString| Path::new(name).extension().is_some_and(|extension| extension == "rules");
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.into_iter().filter(is_rules).collect())
}

/// The text of a file of at most `room` bytes.
pub(super) fn text(path: &Path, room: u64) -> io::Result<Vec<u8>> {
    // Of a pipe, nobody waits for the other end.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    // A link to /dev/null hides the files of this name.
    if !file.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let mut text = Vec::new();
    file.take(room + 1).read_to_end(&mut text)?;
    if text.len() as u64 > room {
        return Err(io::Error::other(format!("all files together may have {BYTES} bytes")));
    }
    Ok(text)
}

/// A set of rules on its way.
struct Reading {
    notes: Notes,
    strictness: Strictness,
    table: Vec<u8>,
    files: Vec<PathBuf>,
}

/// A line that was read, before it is known where its `GOTO` leads.
struct Draft {
    place: Place,
    origin: Origin,
    tokens: Vec<keys::Owned>,
    labels: Vec<Vec<u8>>,
    /// A label, and where it is named.
    goto: Option<(Vec<u8>, Place)>,
}

impl Reading {
    fn new(strictness: Strictness) -> Self {
        Self { notes: Notes::default(), strictness, table: Vec::new(), files: Vec::new() }
    }

    /// Adds a file to the table.
    fn file(&mut self, path: PathBuf, text: &[u8]) {
        let Ok(file) = u16::try_from(self.files.len()) else { return };
        let drafts: Vec<_> =
            lines::logical(&path, text).filter_map(|line| parse::line(&line, file, self)).collect();
        self.files.push(path);
        // The shortest line, `GOTO=""`, takes 18 bytes.
        let room = MAX_TABLE.saturating_sub(self.table.len());
        let mut bytes = vec![0; room.min(4 * text.len())];
        let mut builder = Builder::new(&mut bytes);
        for (draft, skipped) in drafts.iter().zip(self.jumps(&drafts)) {
            if let Err(error) = draft.write(&mut builder, skipped) {
                let message = match error {
                    TableError::Full => format!("all rules together may have {MAX_TABLE} bytes"),
                    error => error.to_string(),
                };
                self.notes.add(&draft.place, message);
                if error == TableError::Full {
                    break;
                }
            }
        }
        let len = builder.len();
        self.table.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }

    /// How many lines of the table each `GOTO` leaves out, draft by draft.
    fn jumps(&self, drafts: &[Draft]) -> Vec<Option<u32>> {
        // From the end on: how many lines are written from each label to the end.
        let mut labels = BTreeMap::new();
        let mut written: u32 = 0;
        let mut jumps: Vec<_> = drafts
            .iter()
            .rev()
            .map(|draft| {
                let skipped = draft.goto.as_ref().and_then(|(label, place)| {
                    let target = labels.get(label.as_slice());
                    if target.is_none() {
                        let label = label.escape_ascii();
                        self.wrong(
                            place,
                            format!("GOTO: expected a LABEL below, found none that is '{label}'"),
                        );
                    }
                    target.map(|target| written - target)
                });
                written += u32::from(draft.is_written());
                labels.extend(draft.labels.iter().map(|label| (label.as_slice(), written)));
                skipped
            })
            .collect();
        jumps.reverse();
        jumps
    }

    /// Notes a mistake.
    fn wrong(&self, place: &Place, message: String) {
        match self.strictness {
            Strictness::Refuse => self.notes.add(place, message),
            Strictness::LeaveOut => self.notes.remark(place, message),
        }
    }

    fn finish(self) -> Result<Rules, Mistakes> {
        let remarks = self.notes.into_result()?;
        let lines = Table::new(&self.table).map_or(0, |table| table.lines());
        Ok(Rules { table: self.table, lines, files: self.files, remarks })
    }
}

impl Draft {
    /// The line as bytes. Of one that only has labels, or no consequence, nothing is written.
    fn write(&self, builder: &mut Builder<'_>, skipped: Option<u32>) -> Result<(), TableError> {
        if !self.is_written() {
            return Ok(());
        }
        builder.begin(self.origin)?;
        for token in &self.tokens {
            builder.token(&token.borrow())?;
        }
        let (Some((label, _)), Some(skipped)) = (&self.goto, skipped) else { return Ok(()) };
        // Only to be shown.
        let label = label.get(..label.len().min(usize::from(u8::MAX))).unwrap_or_default();
        let skipped = skipped.to_le_bytes();
        builder.token(&Token::new(Key::Goto, Operator::Assign, false, label, &skipped))
    }

    fn is_written(&self) -> bool {
        self.goto.is_some() || self.tokens.iter().any(|token| token.has_consequence())
    }
}

#[cfg(test)]
mod tests;
