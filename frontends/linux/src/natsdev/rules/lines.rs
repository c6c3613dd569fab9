//! A file's text as lines of rules: comments left out, lines that end with a backslash joined with the next.

use std::path::Path;

use crate::config::Place;

/// The longest line, joined.
pub(in crate::natsdev) const LONGEST: usize = 16384;

/// A line of rules, and where its parts stand.
#[derive(Debug)]
pub(in crate::natsdev) struct Line<'f> {
    path: &'f Path,
    pub(in crate::natsdev) text: Vec<u8>,
    /// Where in `text` each part of it begins, which line of the file that is, and which column.
    parts: Vec<(usize, usize, usize)>,
    /// What follows does not fit.
    pub(in crate::natsdev) too_long: bool,
    /// The last line of the file ends with a backslash.
    pub(in crate::natsdev) unfinished: bool,
}

impl Line<'_> {
    /// The place of the byte at `at`.
    pub(in crate::natsdev) fn place(&self, at: usize) -> Place {
        let part = self.parts.iter().rev().find(|(begin, ..)| *begin <= at);
        let (begin, line, column) = part.copied().unwrap_or((0, 1, 1));
        // A column is a character: those bytes are not counted that continue one.
        let before = self.text.get(begin..at).unwrap_or_default();
        let characters = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Place::new(self.path, line, column + characters)
    }

    /// The number of its first line.
    pub(in crate::natsdev) fn number(&self) -> usize {
        self.parts.first().map_or(1, |(_, line, _)| *line)
    }
}

/// The lines of `text` that are not empty.
pub(in crate::natsdev) fn logical<'f>(path: &'f Path, text: &'f [u8]) -> impl Iterator<Item = Line<'f>> {
    let mut numbered = (1..).zip(text.split(|byte| *byte == b'\n'));
    std::iter::from_fn(move || next(path, &mut numbered))
        .filter(|line| !line.text.is_empty() || line.too_long)
}

fn next<'f>(path: &'f Path, numbered: &mut impl Iterator<Item = (usize, &'f [u8])>) -> Option<Line<'f>> {
    let mut line = Line { path, text: Vec::new(), parts: Vec::new(), too_long: false, unfinished: false };
    loop {
        let Some((number, physical)) = numbered.next() else {
            // An empty one is left out by the caller; what a backslash has begun is not.
            return (!line.parts.is_empty()).then_some(Line { unfinished: true, ..line });
        };
        let physical = physical.strip_suffix(b"\r").unwrap_or(physical);
        let part = physical.trim_ascii_start();
        // Wherever it stands: a comment neither ends nor continues a line.
        if part.starts_with(b"#") {
            continue;
        }
        let (part, goes_on) = match part.strip_suffix(b"\\") {
            Some(part) => (part, true),
            None => (part, false),
        };
        line.parts.push((line.text.len(), number, physical.len() - physical.trim_ascii_start().len() + 1));
        if line.text.len() + part.len() < LONGEST {
            line.text.extend_from_slice(part);
        } else {
            line.too_long = true;
        }
        if !goes_on {
            return Some(line);
        }
    }
}
