//! nats-server's configuration language, with nom on the whole text: nothing is ever incomplete.
//!
//! ```text
//! document = pairs [ "{" pairs "}" ]…                        JSON is a document, too
//! pairs    = { blank | pair end }
//! pair     = key space [ ":" | "=" ] space value | "include" space file
//! end      = space [ comment ] ( newline | [ blank ] "," | ";" | before "}" | end of file )
//! value    = "{" pairs "}" | "[" { blank | value ( "," | newline | before "]" ) } "]"
//!          | "…" with escapes | '…' | "(" … newline ")" | "$" name | word with escapes
//! blank    = white space | comment
//! comment  = "#" … end of line | "//" … end of line
//! ```
//!
//! A variable is a key that stands before it in the same block or in one around it in the same file, else one of the
//! environment, whose text is a value of this language. What looks like a bcrypt hash is none.

use std::path::{Path, PathBuf};

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_until, take_while, take_while1};
use nom::character::complete::{multispace0, multispace1};
use nom::combinator::{peek, recognize, value};
use nom::multi::many0_count;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser as _};

use super::mistake::Cursor;
use super::{Form, Kind, Mistake, Notes, Place, Value, World};
use crate::escaped::Escaped;

/// How deep blocks and lists may be.
const DEPTH: usize = 32;
/// How deep files may include files.
const INCLUDES: usize = 16;
/// Bytes of all files together.
const BYTES: usize = 16 << 20;
/// Values that variables may copy, so that few lines cannot stand for millions.
const COPIES: usize = 100_000;

type Rest<'t, T> = IResult<&'t str, T>;

/// The reading of a file and of those that it includes.
struct Reading<'w> {
    world: &'w dyn World,
    notes: Notes,
    /// The files that include one another up to where we are.
    open: Vec<PathBuf>,
    /// The environment's variables that refer to one another up to where we are.
    variables: Vec<String>,
    bytes: usize,
    copies: usize,
}

/// A text on its way to values.
struct Parser<'t, 'r, 'w> {
    reading: &'r mut Reading<'w>,
    cursor: Cursor<'t>,
    /// The pairs of the blocks around where we are.
    scopes: Vec<Vec<Value>>,
}

/// The pairs of a file whose text is `text`.
pub(super) fn document(
    path: &Path,
    text: &str,
    world: &dyn World,
    notes: &Notes,
) -> Result<Vec<Value>, Mistake> {
    let mut reading = Reading {
        world,
        notes: notes.clone(),
        open: vec![path.to_owned()],
        variables: Vec::new(),
        bytes: 0,
        copies: 0,
    };
    reading.file(path, text)
}

impl Reading<'_> {
    fn file(&mut self, path: &Path, text: &str) -> Result<Vec<Value>, Mistake> {
        let place = Place::beginning(path);
        self.bytes += text.len();
        if self.bytes > BYTES {
            return Err(Mistake::new(place, format!("files may have {BYTES} bytes together")));
        }
        let mut parser = Parser { reading: self, cursor: Cursor::new(place, text), scopes: vec![Vec::new()] };
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        loop {
            rest = parser.pairs(rest, 0)?;
            let Some(inside) = rest.strip_prefix('{') else { break };
            rest = parser.close(rest, inside, 0)?;
        }
        match rest.chars().next() {
            None => Ok(parser.scopes.pop().unwrap_or_default()),
            Some(_) => Err(parser.unexpected(rest, "a key")),
        }
    }

    /// The value of a variable of the environment.
    fn variable(&mut self, name: &str) -> Result<Option<Kind>, Mistake> {
        let Some(text) = self.world.variable(name) else { return Ok(None) };
        let place = Place::beginning(Path::new(&format!("${name}")));
        if self.variables.iter().any(|open| open == name) {
            return Err(Mistake::new(place, "refers to itself".to_owned()));
        }
        self.variables.push(name.to_owned());
        let mut parser =
            Parser { reading: self, cursor: Cursor::new(place, &text), scopes: vec![Vec::new()] };
        let begin = space(&text);
        let parsed = parser.value(begin, name, 0).and_then(|(rest, kind)| match blank(rest) {
            "" => Ok(Some(kind)),
            rest => Err(parser.unexpected(rest, "one value")),
        });
        self.variables.pop();
        parsed
    }
}

impl<'t> Parser<'t, '_, '_> {
    fn at(&mut self, rest: &str) -> Place {
        self.cursor.at(rest)
    }

    fn error(&mut self, rest: &str, message: impl Into<String>) -> Mistake {
        Mistake::new(self.at(rest), message.into())
    }

    fn unexpected(&mut self, rest: &str, expected: &str) -> Mistake {
        let found = match rest.chars().next() {
            None => "the end".to_owned(),
            Some('\r' | '\n') => "the end of the line".to_owned(),
            Some(sign) => {
                let sign = rest.get(..sign.len_utf8()).unwrap_or_default();
                let word = bare(rest).ok().map(|(_, word)| word).filter(|word| word.chars().count() <= 40);
                format!("'{}'", Escaped(word.unwrap_or(sign)))
            }
        };
        self.error(rest, format!("expected {expected}, found {found}"))
    }

    /// A value that nobody has asked for yet.
    fn found(&self, key_place: Place, place: Place, key: &str, kind: Kind) -> Value {
        let notes = self.reading.notes.clone();
        Value { key_place, place, key: key.to_owned(), kind, form: Form::Any, used: false, notes }
    }

    /// Pairs up to what can be none.
    fn pairs(&mut self, mut rest: &'t str, depth: usize) -> Result<&'t str, Mistake> {
        loop {
            rest = blank(rest);
            let begin = rest;
            let Ok((after, key)) = key(rest) else { return Ok(rest) };
            let quoted = begin.starts_with(['"', '\'']);
            if key.eq_ignore_ascii_case("include") && !quoted && after.starts_with([' ', '\t']) {
                rest = self.include(begin, space(after))?;
            } else {
                let key_place = self.at(begin);
                let (after, separated) = separator(after);
                // Only in blocks may a value stand below its key and separator.
                let after = if separated && depth == 0 { space(after) } else { white(after) };
                let place = self.at(after);
                let (after, kind) = self.value(after, key, depth)?;
                let pair = self.found(key_place, place, key, kind);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.push(pair);
                }
                rest = after;
            }
            rest = space(rest);
            rest = match ending(rest) {
                Some(after) => after,
                None => return Err(self.unexpected(rest, "',' or the end of the line")),
            };
        }
    }

    /// The pairs of a block and its '}'; `begin` is its '{'. They join the pairs at hand.
    fn close(&mut self, begin: &'t str, inside: &'t str, depth: usize) -> Result<&'t str, Mistake> {
        if depth >= DEPTH {
            return Err(self.error(begin, format!("blocks may be {DEPTH} deep")));
        }
        let place = self.at(begin);
        let rest = self.pairs(inside, depth + 1)?;
        match rest.strip_prefix('}') {
            Some(after) => Ok(after),
            None if rest.is_empty() => Err(Mistake::new(place, "this '{' has no '}'".to_owned())),
            None => Err(self.unexpected(rest, "a key or '}'")),
        }
    }

    /// The value of `key` that begins at `rest`.
    fn value(&mut self, rest: &'t str, key: &str, depth: usize) -> Result<(&'t str, Kind), Mistake> {
        if let Some(inside) = rest.strip_prefix('{') {
            self.scopes.push(Vec::new());
            let rest = self.close(rest, inside, depth)?;
            return Ok((rest, Kind::Block(self.scopes.pop().unwrap_or_default())));
        }
        if let Some(inside) = rest.strip_prefix('[') {
            return self.list(rest, inside, key, depth);
        }
        if rest.starts_with(['"', '\'']) {
            let (after, text) = quoted(rest).map_err(|_| self.error(rest, "this quote has no end"))?;
            let kind =
                if rest.starts_with('"') { self.unescape(rest, text)? } else { Kind::Word(text.into()) };
            return Ok((after, kind));
        }
        if rest.starts_with('(') {
            let (after, text) = long(rest)
                .map_err(|_| self.error(rest, "this '(' has no ')' on a line of its own".to_owned()))?;
            return Ok((after, Kind::Word(text.to_owned())));
        }
        match bare(rest) {
            Ok((after, word)) if word.contains('\\') => Ok((after, self.unescape(rest, word)?)),
            Ok((after, word)) => match word.strip_prefix('$') {
                Some(name) if !is_hash(name) => Ok((after, self.refer(rest, name)?)),
                _ => Ok((after, Kind::Word(word.to_owned()))),
            },
            Err(_) => Err(self.unexpected(rest, &format!("a value of {key}"))),
        }
    }

    fn list(
        &mut self,
        begin: &'t str,
        inside: &'t str,
        key: &str,
        depth: usize,
    ) -> Result<(&'t str, Kind), Mistake> {
        if depth >= DEPTH {
            return Err(self.error(begin, format!("lists may be {DEPTH} deep")));
        }
        let open = self.at(begin);
        let mut values = Vec::new();
        let mut rest = blank(inside);
        loop {
            if let Some(after) = rest.strip_prefix(']') {
                return Ok((after, Kind::List(values)));
            }
            if rest.is_empty() {
                return Err(Mistake::new(open, "this '[' has no ']'".to_owned()));
            }
            let place = self.at(rest);
            let (after, kind) = self.value(rest, key, depth + 1)?;
            values.push(self.found(place.clone(), place, key, kind));
            let end = space(after);
            rest = blank(end);
            if let Some(after) = rest.strip_prefix(',') {
                rest = blank(after);
            } else if !rest.is_empty() && !rest.starts_with(']') {
                let between = end.get(..end.len() - rest.len()).unwrap_or_default();
                if between.contains(['\r', '\n']) {
                    continue;
                }
                return Err(self.unexpected(rest, "',' or ']'"));
            }
        }
    }

    /// The value of a variable that `rest` refers to.
    fn refer(&mut self, rest: &str, name: &str) -> Result<Kind, Mistake> {
        let found =
            self.scopes.iter_mut().rev().find_map(|scope| scope.iter_mut().rfind(|pair| pair.key == name));
        let kind = match found {
            Some(pair) => {
                pair.used = true;
                Some(pair.kind.clone())
            }
            None => self.reading.variable(name)?,
        };
        let Some(kind) = kind else {
            let place = self.at(rest);
            let message = format!("${name}: expected a variable that is set before, or in the environment");
            self.reading.notes.add(&place, message);
            return Ok(Kind::Wrong);
        };
        self.reading.copies += kind.size();
        if self.reading.copies > COPIES {
            return Err(self.error(rest, format!("${name}: variables may copy {COPIES} values")));
        }
        Ok(kind)
    }

    /// What the file that stands at `rest` says becomes part of the pairs at hand; `begin` is the word `include`.
    fn include(&mut self, begin: &str, rest: &'t str) -> Result<&'t str, Mistake> {
        let (after, name) = alt((quoted, bare))
            .parse(rest)
            .map_err(|_: nom::Err<nom::error::Error<&str>>| self.unexpected(rest, "a file to include"))?;
        let parent = self.cursor.file().parent().unwrap_or(Path::new(""));
        let path = parent.join(name);
        if self.reading.open.contains(&path) || self.reading.open.len() > INCLUDES {
            let what =
                if self.reading.open.contains(&path) { "includes itself" } else { "is included too deep" };
            return Err(self.error(begin, format!("include: {} {what}", path.display())));
        }
        match self.reading.world.read(&path) {
            Ok(text) => {
                self.reading.open.push(path.clone());
                let pairs = self.reading.file(&path, &text)?;
                self.reading.open.pop();
                if let Some(scope) = self.scopes.last_mut() {
                    scope.extend(pairs);
                }
            }
            Err(error) => {
                let place = self.at(begin);
                self.reading.notes.add(&place, format!("include: {}: {error}", path.display()));
            }
        }
        Ok(after)
    }

    /// `text`, which stands at `rest`, with its escapes replaced.
    fn unescape(&mut self, rest: &str, text: &str) -> Result<Kind, Mistake> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut left = text;
        while let Some((plain, after)) = left.split_once('\\') {
            bytes.extend_from_slice(plain.as_bytes());
            let Ok((after, byte)) = escape(after) else {
                let sign = after.chars().next().map_or(0, char::len_utf8);
                let sign = after.get(..sign).unwrap_or_default();
                let message =
                    format!("expected an escape \\t \\n \\r \\\" \\\\ or \\xXX, found '\\{}'", Escaped(sign));
                return Err(self.error(rest, message));
            };
            bytes.push(byte);
            left = after;
        }
        bytes.extend_from_slice(left.as_bytes());
        String::from_utf8(bytes).map(Kind::Word).map_err(|_| self.error(rest, "expected UTF-8 text"))
    }
}

/// nats-server takes only `$2a$` for a hash; there are others of the same kind.
fn is_hash(name: &str) -> bool {
    ["2a$", "2b$", "2x$", "2y$"].iter().any(|begin| name.starts_with(begin))
}

fn comment(text: &str) -> Rest<'_, &str> {
    recognize((alt((tag("#"), tag("//"))), take_till(|c| c == '\n' || c == '\r'))).parse(text)
}

/// Behind white space and comments.
fn blank(text: &str) -> &str {
    let skip: Rest<'_, usize> = many0_count(alt((multispace1, comment))).parse(text);
    skip.map_or(text, |(rest, _)| rest)
}

/// Behind white space.
fn white(text: &str) -> &str {
    let skip: Rest<'_, &str> = multispace0(text);
    skip.map_or(text, |(rest, _)| rest)
}

/// Behind blanks and tabs.
fn space(text: &str) -> &str {
    let skip: Rest<'_, &str> = take_while(|c| c == ' ' || c == '\t')(text);
    skip.map_or(text, |(rest, _)| rest)
}

/// Behind what may stand between key and value, and whether there is a separator.
fn separator(text: &str) -> (&str, bool) {
    let after = white(text);
    match after.strip_prefix([':', '=']) {
        Some(after) => (after, true),
        None => (after, false),
    }
}

/// Behind the end of a pair; `None` if something else follows. As in JSON a comma may stand on a later line.
fn ending(text: &str) -> Option<&str> {
    let rest = comment(text).map_or(text, |(rest, _)| rest);
    match rest.chars().next() {
        None | Some('}') => Some(rest),
        Some(',' | ';') => rest.get(1..),
        Some('\n' | '\r') => {
            let below = blank(rest);
            Some(below.strip_prefix(',').unwrap_or(below))
        }
        Some(_) => None,
    }
}

/// A key, with or without quotes.
fn key(text: &str) -> Rest<'_, &str> {
    alt((quoted_plainly, take_while1(|c: char| !c.is_whitespace() && !":={}[](),;\"'".contains(c))))
        .parse(text)
}

/// A value without quotes: up to white space, a separator, or the end of what it is in.
fn bare(text: &str) -> Rest<'_, &str> {
    let (rest, word) = take_while1(|c: char| !c.is_whitespace() && !",;{}[]'".contains(c)).parse(text)?;
    // Signs that stand for something else at the beginning are signs like others within.
    let more: Rest<'_, &str> = take_while(|c: char| !c.is_whitespace() && !",;}]'".contains(c))(rest);
    let (rest, more) = more?;
    Ok((rest, text.get(..word.len() + more.len()).unwrap_or(word)))
}

/// Text in quotes of either kind, without them; escapes of the double ones are still in it.
fn quoted(text: &str) -> Rest<'_, &str> {
    let escaped = recognize(many0_count(alt((
        take_while1(|c| c != '"' && c != '\\'),
        recognize((tag("\\"), nom::character::complete::anychar)),
    ))));
    let double = terminated(preceded(tag("\""), escaped), tag("\""));
    alt((double, terminated(preceded(tag("'"), take_until("'")), tag("'")))).parse(text)
}

/// Text in quotes of either kind, without escapes.
fn quoted_plainly(text: &str) -> Rest<'_, &str> {
    alt((
        terminated(preceded(tag("\""), take_until("\"")), tag("\"")),
        terminated(preceded(tag("'"), take_until("'")), tag("'")),
    ))
    .parse(text)
}

/// Text in parentheses, of which the closing one stands alone on its line.
fn long(text: &str) -> Rest<'_, &str> {
    let (inside, _) = tag("(").parse(text)?;
    let mut from = 0;
    loop {
        let (_, before) = take_until("\n)").parse(inside.get(from..).unwrap_or_default())?;
        let end = from + before.len() + 1;
        let after = inside.get(end + 1..).unwrap_or_default();
        let ends: Rest<'_, &str> = peek(alt((tag("\n"), tag("\r\n"), nom::combinator::eof))).parse(after);
        if ends.is_ok() {
            return Ok((after, inside.get(..end).unwrap_or(inside)));
        }
        from = end;
    }
}

/// What follows a backslash.
fn escape(text: &str) -> Rest<'_, u8> {
    let hex = preceded(tag("x"), nom::bytes::complete::take(2_usize))
        .map_opt(|digits: &str| u8::from_str_radix(digits, 16).ok());
    alt((
        value(b'\t', tag("t")),
        value(b'\n', tag("n")),
        value(b'\r', tag("r")),
        value(b'"', tag("\"")),
        value(b'\\', tag("\\")),
        hex,
    ))
    .parse(text)
}
