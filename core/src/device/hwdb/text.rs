//! The texts of which a table is made, as hwdb(7) has them: one or more patterns, a line each; then properties, indented,
//! as `NAME=VALUE`; then an empty line. What follows a `#` is a comment.
//!
//! ```
//! use lunix_core::device::hwdb::text::{Line, Reader};
//! let mut reader = Reader::new();
//! assert_eq!(reader.line(b"usb:v1D6B*"), Ok(Line::Pattern { first: true, text: b"usb:v1D6B*" }));
//! assert_eq!(reader.line(b" ID_VENDOR=Linux  # of course"), Ok(Line::Property { name: b"ID_VENDOR", value: b"Linux" }));
//! assert_eq!(reader.line(b""), Ok(Line::Nothing));
//! assert_eq!(reader.line(b" ID_VENDOR=Linux").unwrap_err().column, 1);
//! ```

use core::fmt;

use super::MAX_TEXT;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'t> {
    /// A comment, or empty.
    Nothing,
    /// A pattern.
    Pattern {
        /// With it begins a record.
        first: bool,
        /// The pattern.
        text: &'t [u8],
    },
    /// Something that is said of all that the record's patterns match.
    Property {
        /// Its name; not empty.
        name: &'t [u8],
        /// Its value.
        value: &'t [u8],
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes; the first one is 1.
    pub column: usize,
    /// What.
    pub why: Why,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A property before any pattern.
    NoPattern,
    /// Patterns without a property.
    NoProperty,
    /// A pattern right after properties: the empty line between is missing. The rest of the record is left out.
    NoEmptyLine,
    /// A property without `=`.
    NoValue,
    /// A property without a name.
    NoName,
    /// Longer than [`MAX_TEXT`].
    TooLong,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPattern => "expected a pattern, found a property",
            Self::NoProperty => "expected a property, indented by a space, after the patterns",
            Self::NoEmptyLine => "expected a property or an empty line, found a pattern",
            Self::NoValue => "expected '=' after the property's name",
            Self::NoName => "expected the property's name before '='",
            Self::TooLong => "longer than 4096 bytes",
        })
    }
}

/// Reads a text line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Patterns,
    Properties,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// At the beginning of a text.
    pub const fn new() -> Self {
        Self(State::Between)
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// What is wrong with it. It says nothing then, and reading goes on with the next one.
    pub fn line<'t>(&mut self, line: &'t [u8]) -> Result<Line<'t>, Mistake> {
        if line.starts_with(b"#") {
            return Ok(Line::Nothing);
        }
        let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
        let text = line.get(..end).unwrap_or_default().trim_ascii_end();
        let wrong = |column, why| Err(Mistake { column, why });
        if text.len() > MAX_TEXT {
            return wrong(MAX_TEXT + 1, Why::TooLong);
        }
        match (self.0, text.first()) {
            (State::Between, None) => Ok(Line::Nothing),
            (State::Patterns, None) => {
                self.0 = State::Between;
                wrong(1, Why::NoProperty)
            }
            (State::Properties, None) => {
                self.0 = State::Between;
                Ok(Line::Nothing)
            }
            (State::Between, Some(b' ')) => wrong(1, Why::NoPattern),
            (_, Some(b' ')) => {
                self.0 = State::Properties;
                property(text)
            }
            (State::Properties, Some(_)) => {
                self.0 = State::Between;
                wrong(1, Why::NoEmptyLine)
            }
            (before, Some(_)) => {
                self.0 = State::Patterns;
                Ok(Line::Pattern { first: before == State::Between, text })
            }
        }
    }

    /// The end of the text.
    ///
    /// # Errors
    /// It ends with patterns of which nothing is said.
    pub const fn end(self) -> Result<(), Mistake> {
        match self.0 {
            State::Patterns => Err(Mistake { column: 1, why: Why::NoProperty }),
            _ => Ok(()),
        }
    }
}

fn property(text: &[u8]) -> Result<Line<'_>, Mistake> {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
    let inner = text.get(start..).unwrap_or_default();
    match inner.iter().position(|byte| *byte == b'=') {
        None => Err(Mistake { column: text.len() + 1, why: Why::NoValue }),
        Some(0) => Err(Mistake { column: start + 1, why: Why::NoName }),
        Some(at) => Ok(Line::Property {
            name: inner.get(..at).unwrap_or_default(),
            value: inner.get(at + 1..).unwrap_or_default(),
        }),
    }
}
