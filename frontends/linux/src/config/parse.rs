//! The grammar, with nom on the whole text: nothing is ever incomplete.
//!
//! ```text
//! document = pairs
//! pairs    = { blank | ";" | "," | pair }
//! pair     = key { blank } [ ":" | "=" ] { blank } value
//! value    = "{" pairs "}" | "[" { blank | "," | value } "]" | quoted | word
//! blank    = white space | "#" … end of line | "//" … end of line
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while1};
use nom::character::complete::{multispace1, one_of, space0};
use nom::combinator::{opt, recognize, value};
use nom::multi::many0_count;
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::{Kind, Mistake, Mistakes, Notes, Place, Value};

/// How deep blocks and lists may be.
const DEPTH: usize = 32;

type Rest<'t, T> = IResult<&'t str, T>;

struct Text<'t> {
    place: &'t Place,
    whole: &'t str,
    notes: &'t Notes,
}

/// The pairs of a whole file.
pub(super) fn document(place: &Place, whole: &str, notes: &Notes) -> Result<Vec<Value>, Mistakes> {
    let text = Text { place, whole, notes };
    let (rest, pairs) = text.pairs(whole, 0)?;
    match rest.chars().next() {
        None => Ok(pairs),
        Some(found) => {
            Err(text.error(rest, None, &format!("expected a key, found '{}'", found.escape_debug())).into())
        }
    }
}

impl<'t> Text<'t> {
    fn at(&self, rest: &str) -> Place {
        self.place.behind(self.whole, self.whole.len() - rest.len())
    }

    fn error(&self, rest: &str, key: Option<&str>, message: &str) -> Mistake {
        let message = key.map_or_else(|| message.to_owned(), |key| format!("{key}: {message}"));
        Mistake::new(self.at(rest), message)
    }

    fn make(&self, key: &str, key_rest: &str, rest: &str, kind: Kind) -> Value {
        let (key_place, place) = (self.at(key_rest), self.at(rest));
        Value { key_place, place, key: key.to_owned(), kind, used: false, notes: self.notes.clone() }
    }

    fn pairs(&self, mut rest: &'t str, depth: usize) -> Result<(&'t str, Vec<Value>), Mistake> {
        let mut pairs = Vec::new();
        loop {
            rest = skip(rest, &[";", ","]);
            let Ok((after, key)) = word(rest) else { return Ok((rest, pairs)) };
            let at = rest;
            if key.eq_ignore_ascii_case("include") {
                return Err(self.error(at, Some(key), "not in this build"));
            }
            let after = skip(after, &[]);
            let (after, _) = separator(after).unwrap_or((after, None));
            let begin = skip(after, &[]);
            let (after, kind) = self.value(begin, at, key, depth)?;
            pairs.push(self.make(key, at, begin, kind));
            rest = after;
        }
    }

    /// The value that begins at `rest`, of the `key` that stands at `at`.
    fn value(&self, rest: &'t str, at: &'t str, key: &str, depth: usize) -> Result<(&'t str, Kind), Mistake> {
        let wrong = |message: &str| self.error(at, Some(key), message);
        let depth_left = || if depth < DEPTH { Ok(depth + 1) } else { Err(wrong("blocks may be 32 deep")) };
        if let Some(inside) = rest.strip_prefix('{') {
            let (rest, pairs) = self.pairs(inside, depth_left()?)?;
            let rest = match rest.chars().next() {
                Some('}') => rest.get(1..).unwrap_or_default(),
                _ => return Err(wrong("expected '}' at the end of the block")),
            };
            return Ok((rest, Kind::Block(pairs)));
        }
        if let Some(mut rest) = rest.strip_prefix('[') {
            let depth = depth_left()?;
            let mut values = Vec::new();
            loop {
                rest = skip(rest, &[","]);
                if let Some(rest) = rest.strip_prefix(']') {
                    return Ok((rest, Kind::List(values)));
                }
                if rest.is_empty() || rest.starts_with('}') {
                    return Err(wrong("expected ']' at the end of the list"));
                }
                let (after, kind) = self.value(rest, rest, key, depth)?;
                values.push(self.make(key, rest, rest, kind));
                rest = after;
            }
        }
        if let Some(quote @ ('"' | '\'')) = rest.chars().next() {
            let inside = rest.get(1..).unwrap_or_default();
            return quoted(inside, quote)
                .map(|(rest, text)| (rest, Kind::Word(text)))
                .ok_or_else(|| wrong("expected a closing quote on the same line"));
        }
        if rest.starts_with('$') {
            return Err(wrong("variables are not in this build; quote it if it is text"));
        }
        match bare(rest) {
            Ok((rest, text)) => Ok((rest, Kind::Word(text.to_owned()))),
            Err(_) => Err(wrong("expected a value")),
        }
    }
}

/// Skips blanks and these signs.
fn skip<'t>(text: &'t str, signs: &[&str]) -> &'t str {
    let mut rest = text;
    loop {
        let (after, _) = blanks(rest).unwrap_or((rest, ""));
        match signs.iter().find_map(|sign| after.strip_prefix(sign)) {
            Some(after) => rest = after,
            None => return after,
        }
    }
}

fn blanks(text: &str) -> Rest<'_, &str> {
    let comment = |begin| preceded(tag(begin), take_till(|c| c == '\n'));
    recognize(many0_count(alt((multispace1, comment("#"), comment("//"))))).parse(text)
}

fn separator(text: &str) -> Rest<'_, Option<char>> {
    preceded(space0, opt(one_of(":="))).parse(text)
}

/// A key.
fn word(text: &str) -> Rest<'_, &str> {
    take_while1(|c: char| c.is_alphanumeric() || "_-.$>*/".contains(c)).parse(text)
}

/// A value without quotes: up to white space, a separator, or the end of what it is in.
fn bare(text: &str) -> Rest<'_, &str> {
    take_while1(|c: char| !c.is_whitespace() && !",;{}[]\"'#".contains(c)).parse(text)
}

/// What follows an opening quote. Escapes are in double quotes only.
fn quoted(text: &str, quote: char) -> Option<(&str, String)> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            c if c == quote => return Some((chars.as_str(), out)),
            '\n' => return None,
            '\\' if quote == '"' => {
                let (rest, c) = escape(chars.as_str()).ok()?;
                out.push(c);
                chars = rest.chars();
            }
            c => out.push(c),
        }
    }
}

fn escape(text: &str) -> Rest<'_, char> {
    let hex = preceded(tag("x"), nom::bytes::complete::take(2_usize))
        .map_opt(|digits| u8::from_str_radix(digits, 16).ok().map(char::from));
    alt((
        value('\t', tag("t")),
        value('\n', tag("n")),
        value('\r', tag("r")),
        value('"', tag("\"")),
        value('\\', tag("\\")),
        hex,
    ))
    .parse(text)
}
