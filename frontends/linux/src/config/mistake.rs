//! What is wrong with a configuration: every mistake, and where.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// A place in a file. Lines and columns count from 1; a column is a character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    file: Arc<Path>,
    line: usize,
    column: usize,
}

impl Place {
    /// The beginning of `file`.
    pub(super) fn beginning(file: &Path) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }

    /// A line and a column of `file`.
    #[cfg(feature = "natsdev")]
    pub(crate) fn new(file: &Path, line: usize, column: usize) -> Self {
        Self { file: file.into(), line, column }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// From 1; 0 for a file as a whole.
    #[cfg(feature = "natsinit")]
    pub(crate) fn line(&self) -> usize {
        self.line
    }
}

/// Says where in a text something stands. Fast if it is asked in order.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    whole: &'t str,
    read: usize,
    place: Place,
}

impl<'t> Cursor<'t> {
    /// At the beginning of `whole`, which is at `place`.
    pub(super) fn new(place: Place, whole: &'t str) -> Self {
        Self { whole, read: 0, place }
    }

    /// Where `rest` begins, an end of the text.
    pub(super) fn at(&mut self, rest: &str) -> Place {
        let at = self.whole.len() - rest.len().min(self.whole.len());
        if at < self.read {
            (self.read, self.place.line, self.place.column) = (0, 1, 1);
        }
        for sign in self.whole.get(self.read..at).unwrap_or_default().chars() {
            if sign == '\n' {
                (self.place.line, self.place.column) = (self.place.line + 1, 1);
            } else {
                self.place.column += 1;
            }
        }
        self.read = at;
        self.place.clone()
    }

    pub(super) fn file(&self) -> &Path {
        self.place.file()
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
    pub(crate) fn new(place: Place, message: String) -> Self {
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

impl Mistakes {
    /// One by one.
    #[cfg(feature = "natsinit")]
    pub(crate) fn into_vec(self) -> Vec<Mistake> {
        self.0
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
pub(crate) struct Notes {
    mistakes: Rc<RefCell<Vec<Mistake>>>,
    remarks: Rc<RefCell<Vec<Mistake>>>,
}

impl Notes {
    pub(crate) fn add(&self, place: &Place, message: String) {
        self.push(Mistake::new(place.clone(), message));
    }

    pub(crate) fn push(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(crate) fn remark(&self, place: &Place, message: String) {
        self.remarks.borrow_mut().push(Mistake::new(place.clone(), message));
    }

    /// All mistakes; if there are none, all remarks.
    pub(crate) fn into_result(self) -> Result<Vec<Mistake>, Mistakes> {
        let sorted = |noted: Rc<RefCell<Vec<Mistake>>>| {
            let mut noted = noted.take();
            noted.sort_unstable();
            noted.dedup();
            noted
        };
        let mistakes = sorted(self.mistakes);
        if mistakes.is_empty() { Ok(sorted(self.remarks)) } else { Err(Mistakes(mistakes)) }
    }
}
