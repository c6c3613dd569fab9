//! What is wrong with a configuration: every mistake, and where.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// A place in a file. Lines and columns count from 1; a column is a character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    file: Rc<Path>,
    line: usize,
    column: usize,
}

impl Place {
    /// The beginning of `file`.
    pub(super) fn beginning(file: &Path) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }

    /// Behind the first `length` bytes of the file's `text`.
    pub(super) fn behind(&self, text: &str, length: usize) -> Self {
        let read = text.get(..length).unwrap_or(text);
        let line = read.rsplit('\n').next().unwrap_or_default();
        Self {
            file: Rc::clone(&self.file),
            line: 1 + read.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + line.chars().count(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// A mistake, displayed as `FILE:LINE:COLUMN: KEY: expected …, found …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Line 0 for a file that could not be read.
    place: Place,
    message: String,
}

impl Mistake {
    pub(super) fn new(place: Place, message: String) -> Self {
        Self { place, message }
    }

    /// About a file as a whole.
    pub fn of_file(file: &Path, message: &dyn fmt::Display) -> Self {
        let place = Place { file: file.into(), line: 0, column: 0 };
        Self { place, message: message.to_string() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, column } = &self.place;
        write!(out, "{}", file.display())?;
        if *line > 0 {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.message)
    }
}

/// All mistakes of a configuration, displayed a line each, in their order in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let end = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(out, "{mistake}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Where mistakes are noted while a file is read: one for the file and all that is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Rc<RefCell<Vec<Mistake>>>);

impl Notes {
    pub(super) fn add(&self, place: &Place, message: String) {
        self.0.borrow_mut().push(Mistake::new(place.clone(), message));
    }

    /// All that were noted.
    pub(super) fn into_result(self) -> Result<(), Mistakes> {
        let mut mistakes = self.0.take();
        mistakes.sort();
        mistakes.dedup();
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
    }
}
