//! An `mdev.conf` as lines.
//!
//! ```text
//! line    = [ "-" ] { variable "=" regex ";" } subject  owner  mode  [ name ]  [ ( "@" | "$" | "*" ) command ]
//! subject = regex | "$" variable "=" regex | "@" major "," minor [ "-" minor ]
//! owner   = user [ ":" group ]          names, or numbers
//! mode    = octal digits
//! name    = "=" path | ">" path | "!"
//! ```
//!
//! Spaces and tabs separate fields; a command goes to the end of the line, a `#` begins a comment only at the beginning of one.

use std::path::Path;

use lunix_core::device::regex::Regex;

use super::{Command, Condition, Conf, Line, Name, Subject, When};
use crate::config::{Mistakes, Notes};
use crate::natsdev::device::Root;
use crate::natsdev::effects::is_below_dev;
use crate::natsdev::owners;
use crate::natsdev::rules::lines::{self, LONGEST};

impl Conf {
    /// The lines in `text` of a file `path`.
    ///
    /// # Errors
    /// All mistakes.
    pub(super) fn parse(path: &Path, text: &[u8], root: &Root) -> Result<Self, Mistakes> {
        let notes = Notes::default();
        let mut found = Vec::new();
        for line in lines::logical(path, text) {
            let mut reading = Reading { line: &line, notes: &notes, root, right: true };
            let read = reading.line();
            if reading.right {
                found.extend(read);
            }
        }
        notes.into_result()?;
        found.push(Line {
            number: 0,
            goes_on: false,
            given: Vec::new(),
            subject: Subject::All,
            owner: 0,
            group: 0,
            mode: 0o660,
            name: Name::Kernels,
            command: None,
        });
        Ok(Self { path: path.to_path_buf(), lines: found })
    }
}

/// A part of a line, and where it begins.
#[derive(Clone, Copy)]
struct Field<'l> {
    at: usize,
    text: &'l [u8],
}

impl<'l> Field<'l> {
    /// Without its first bytes.
    fn after(self, len: usize) -> Self {
        Self { at: self.at + len, text: self.text.get(len..).unwrap_or_default() }
    }

    /// Before and after the first `sign`.
    fn split(self, sign: u8) -> Option<(&'l [u8], Self)> {
        let at = self.text.iter().position(|byte| *byte == sign)?;
        Some((self.text.get(..at)?, self.after(at + 1)))
    }

    /// The first word, and what follows it.
    fn word(self) -> (Self, Self) {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let len = self.text.iter().position(is_space).unwrap_or(self.text.len());
        let rest = self.after(len);
        let spaces = rest.text.iter().take_while(|byte| is_space(byte)).count();
        (Self { text: self.text.get(..len).unwrap_or_default(), ..self }, rest.after(spaces))
    }
}

struct Reading<'l> {
    line: &'l lines::Line<'l>,
    notes: &'l Notes,
    root: &'l Root,
    right: bool,
}

impl Reading<'_> {
    /// What is made of a line with mistakes does not count.
    fn line(&mut self) -> Option<Line> {
        let whole = Field { at: 0, text: self.line.text.trim_ascii_end() };
        if self.line.too_long {
            self.wrong(whole, format!("a line may have {LONGEST} bytes"));
            return None;
        }
        if self.line.unfinished {
            let end = whole.after(whole.text.len());
            self.wrong(end, "expected another line after '\\', found the end".to_owned());
            return None;
        }
        let (subject, rest) = whole.word();
        let (owner, rest) = rest.word();
        let (mode, rest) = rest.word();
        let goes_on = subject.text.starts_with(b"-");
        let (given, subject) = self.given(subject.after(usize::from(goes_on)));
        let subject = self.subject(subject);
        let (owner, group) = self.owner(owner).unwrap_or_default();
        let mode = self.mode(mode).unwrap_or_default();
        let (name, rest) = match rest.text.first() {
            Some(b'=' | b'>' | b'!') => {
                let (name, rest) = rest.word();
                (self.name(name), rest)
            }
            _ => (Name::Kernels, rest),
        };
        let command = self.command(rest);
        let number = self.line.number();
        Some(Line { number, goes_on, given, subject: subject?, owner, group, mode, name, command })
    }

    fn wrong(&mut self, field: Field<'_>, message: String) {
        self.notes.add(&self.line.place(field.at), message);
        self.right = false;
    }

    /// A mistake in the place of what was expected.
    fn expected<T>(&mut self, what: &str, field: Field<'_>) -> Option<T> {
        self.unexpected(what, field);
        None
    }

    fn unexpected(&mut self, what: &str, field: Field<'_>) {
        let found = field.text.get(..field.text.len().min(40)).unwrap_or_default();
        let found = match found {
            [] => "the end of the line".to_owned(),
            found => format!("'{}'", found.escape_ascii()),
        };
        self.wrong(field, format!("expected {what}, found {found}"));
    }

    /// `VARIABLE=REGEX;` as often as it is there, and what follows.
    fn given<'f>(&mut self, mut field: Field<'f>) -> (Vec<Condition>, Field<'f>) {
        let mut given = Vec::new();
        while let Some((variable, rest)) = variable(field)
            && let Some((regex, after)) = rest.split(b';')
        {
            given.extend(self.condition(variable, Field { text: regex, ..rest }));
            field = after;
        }
        (given, field)
    }

    fn condition(&mut self, variable: &[u8], regex: Field<'_>) -> Option<Condition> {
        let regex = self.regex(regex)?;
        Some(Condition { variable: variable.to_vec(), regex })
    }

    fn subject(&mut self, field: Field<'_>) -> Option<Subject> {
        match field.text {
            [b'@', ..] => match numbers(field.after(1)) {
                Some((major, first, last)) => Some(Subject::Number { major, first, last }),
                None => self.expected("@MAJOR,MINOR or @MAJOR,FIRST-LAST", field),
            },
            [b'$', ..] => match variable(field.after(1)) {
                Some((variable, regex)) => self.condition(variable, regex).map(Subject::Variable),
                None => self.expected("$VARIABLE=REGEX", field),
            },
            [] => self.expected("a regular expression, @MAJOR,MINOR or $VARIABLE=REGEX", field),
            _ => self.regex(field).map(Subject::Name),
        }
    }

    fn regex(&mut self, field: Field<'_>) -> Option<Vec<u8>> {
        match Regex::parse(field.text) {
            Ok(_) => Some(field.text.to_vec()),
            Err(error) => self.expected(error.expected, field.after(error.at)),
        }
    }

    /// Who names no group means the user's own.
    fn owner(&mut self, field: Field<'_>) -> Option<(u32, u32)> {
        let (user, group) = match field.split(b':') {
            Some((user, group)) => (Field { text: user, ..field }, Some(group)),
            None => (field, None),
        };
        let number = |text: Vec<u8>| number(&text, 10);
        let of_user = |index, wanted| {
            owners::field(self.root, "/etc/passwd", (index, user.text), wanted).and_then(number)
        };
        let (owner, own_group) = match number(user.text.to_vec()) {
            Some(id) => (Some(id), of_user(2, 3).or(Some(id))),
            None => (of_user(0, 2), of_user(0, 3)),
        };
        let of_group = |group: Field<'_>| {
            let known = || owners::field(self.root, "/etc/group", (0, group.text), 2).and_then(number);
            number(group.text.to_vec()).or_else(known)
        };
        let group_number = group.map_or(own_group, of_group);
        if owner.is_none() {
            return self.expected("a user as USER:GROUP: a number, or a name of /etc/passwd", user);
        }
        match (group, group_number) {
            (Some(group), None) => self.expected("a group: a number, or a name of /etc/group", group),
            _ => owner.zip(group_number),
        }
    }

    fn mode(&mut self, field: Field<'_>) -> Option<u32> {
        match number(field.text, 8).filter(|mode| *mode <= 0o7777) {
            Some(mode) => Some(mode),
            None => self.expected("permissions as octal digits such as 660", field),
        }
    }

    fn name(&mut self, field: Field<'_>) -> Name {
        let text = field.after(1);
        if field.text.starts_with(b"!") {
            if !text.text.is_empty() {
                self.unexpected("a space after '!'", text);
            }
            return Name::None;
        }
        let path = text.text.strip_suffix(b"/").unwrap_or(text.text);
        if !is_below_dev(path) {
            self.unexpected("a path below /dev, such as disk/%1 or input/", text);
        }
        if field.text.starts_with(b"=") {
            Name::Other(text.text.to_vec())
        } else {
            Name::Linked(text.text.to_vec())
        }
    }

    fn command(&mut self, field: Field<'_>) -> Option<Command> {
        let when = match field.text.first()? {
            b'@' => When::Comes,
            b'$' => When::Goes,
            b'*' => When::Always,
            _ => return self.expected("=PATH, >PATH, ! or a command after @, $ or *", field),
        };
        match field.after(1).text {
            [] => self.expected("a command", field.after(1)),
            text => Some(Command { when, text: text.to_vec() }),
        }
    }
}

/// The name before a `=`, and what follows it.
fn variable<'f>(field: Field<'f>) -> Option<(&'f [u8], Field<'f>)> {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_name = |name: &[u8]| {
        name.first().is_some_and(is_first) && name.iter().all(|byte| is_first(byte) || byte.is_ascii_digit())
    };
    field.split(b'=').filter(|(name, _)| is_name(name))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    u32::from_str_radix(str::from_utf8(digits).ok().filter(|_| plain)?, radix).ok()
}

/// `MAJOR,MINOR` or `MAJOR,FIRST-LAST`.
fn numbers(field: Field<'_>) -> Option<(u32, u32, u32)> {
    let (major, minors) = field.split(b',')?;
    let (first, last) = match minors.split(b'-') {
        Some((first, last)) => (number(first, 10)?, number(last.text, 10)?),
        None => (number(minors.text, 10)?, number(minors.text, 10)?),
    };
    (first <= last).then_some((number(major, 10)?, first, last))
}
