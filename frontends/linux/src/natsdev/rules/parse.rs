//! A line of rules, with nom.
//!
//! ```text
//! line     = { space | "," } { pair { space | "," } }
//! pair     = key [ "{" name "}" ] space operator space value
//! key      = what is no space, "=", "{" or the beginning of an operator
//! operator = "==" | "!=" | "+=" | "-=" | "=" | ":="
//! value    = { "e" | "i" } "…"        plain: \" is a quote, any other backslash itself; e: escapes as in C
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while};
use nom::combinator::{opt, value};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser as _};

use lunix_core::device::rules::{Operator, Origin};

use super::lines::{LONGEST, Line};
use super::{Draft, Reading, keys};

type Rest<'t, T> = IResult<&'t [u8], T>;

/// A mistake, and where it begins.
struct Wrong<'t> {
    at: &'t [u8],
    message: String,
}

impl<'t> Wrong<'t> {
    fn new(at: &'t [u8], message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// `KEY{name}OPERATOR"value"`, and where its parts begin.
#[derive(Debug)]
pub(super) struct Pair<'t> {
    pub(super) key: &'t [u8],
    pub(super) name: Option<&'t [u8]>,
    pub(super) operator: Operator,
    pub(super) any_case: bool,
    pub(super) value: Vec<u8>,
    pub(super) key_at: usize,
    pub(super) value_at: usize,
}

/// What a line says; `None` if nothing of it counts.
pub(super) fn line(line: &Line<'_>, file: u16, reading: &Reading) -> Option<Draft> {
    let text = line.text.as_slice();
    if line.too_long {
        reading.wrong(&line.place(0), format!("a line may have {LONGEST} bytes"));
        return None;
    }
    if line.unfinished {
        reading.wrong(&line.place(text.len()), "expected another line after '\\', found the end".to_owned());
        return None;
    }
    let origin = Origin { file, line: u32::try_from(line.number()).unwrap_or(u32::MAX) };
    let mut draft =
        Draft { place: line.place(0), origin, tokens: Vec::new(), labels: Vec::new(), goto: None };
    let mut right = true;
    let mut rest = skip(text);
    while !rest.is_empty() {
        match pair(text, rest) {
            Ok((after, pair)) => {
                right &= keys::take(&mut draft, line, pair, reading);
                rest = skip(after);
            }
            Err(Wrong { at, message }) => {
                reading.wrong(&line.place(text.len() - at.len()), message);
                return None;
            }
        }
    }
    if !right {
        return None;
    }
    // Those with the same key stay in their order.
    draft.tokens.sort_by_key(|token| token.key);
    if !draft.is_written() && draft.labels.is_empty() {
        reading.notes.remark(&draft.place, "this line has no consequence".to_owned());
    }
    Some(draft)
}

/// The pair at the beginning of `rest`, an end of `text`.
fn pair<'t>(text: &'t [u8], rest: &'t [u8]) -> Result<(&'t [u8], Pair<'t>), Wrong<'t>> {
    let at = |rest: &[u8]| text.len() - rest.len();
    let key_at = at(rest);
    let (rest, key) = match key(rest) {
        Ok((after, key)) if !key.is_empty() => (after, key),
        _ => return Err(Wrong::new(rest, unexpected(rest, "a key"))),
    };
    let wrong = |at, message: &str| Wrong::new(at, format!("{}: {message}", key.escape_ascii()));
    let (rest, name) = opt(name).parse(rest).unwrap_or((rest, None));
    if name.is_none() && rest.starts_with(b"{") {
        return Err(wrong(rest, "this '{' has no '}'"));
    }
    let rest = space(rest);
    let (rest, operator) =
        operator(rest).map_err(|_| wrong(rest, &unexpected(rest, "one of == != = += -= :=")))?;
    let rest = space(rest);
    let value_at = at(rest);
    let (rest, (any_case, value)) = quoted(rest).map_err(|error| wrong(error.at, &error.message))?;
    Ok((rest, Pair { key, name, operator, any_case, value, key_at, value_at }))
}

fn unexpected(rest: &[u8], expected: &str) -> String {
    let found = rest.split(|byte| is_space(*byte)).next().unwrap_or_default();
    match found.get(..found.len().min(40)).unwrap_or_default() {
        [] => format!("expected {expected}, found the end of the line"),
        found => format!("expected {expected}, found '{}'", found.escape_ascii()),
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn space(rest: &[u8]) -> &[u8] {
    passed(take_while(is_space).parse(rest), rest)
}

fn skip(rest: &[u8]) -> &[u8] {
    passed(take_while(|byte| is_space(byte) || byte == b',').parse(rest), rest)
}

/// What follows; a parser that takes any number of bytes cannot fail.
fn passed<'t>(result: Rest<'t, &'t [u8]>, rest: &'t [u8]) -> &'t [u8] {
    result.map_or(rest, |(after, _)| after)
}

fn key(rest: &[u8]) -> Rest<'_, &[u8]> {
    let end = |at: usize| match rest.get(at..) {
        Some([byte, ..]) if is_space(*byte) => true,
        Some([b'=' | b'{' | b'"', ..] | [b'+' | b'-' | b'!' | b':', b'=', ..] | []) | None => true,
        Some(_) => false,
    };
    let len = (0..=rest.len()).find(|at| end(*at)).unwrap_or(rest.len());
    nom::bytes::complete::take(len).parse(rest)
}

fn name(rest: &[u8]) -> Rest<'_, &[u8]> {
    delimited(tag("{"), take_till(|byte| byte == b'}'), tag("}")).parse(rest)
}

fn operator(rest: &[u8]) -> Rest<'_, Operator> {
    alt((
        value(Operator::Match, tag("==")),
        value(Operator::NoMatch, tag("!=")),
        value(Operator::Add, tag("+=")),
        value(Operator::Remove, tag("-=")),
        value(Operator::Assign, tag("=")),
        value(Operator::Final, tag(":=")),
    ))
    .parse(rest)
}

/// Whether a value is `i"…"`, and what stands in the quotes.
type Quoted = (bool, Vec<u8>);

fn quoted(rest: &[u8]) -> Result<(&[u8], Quoted), Wrong<'_>> {
    let prefix: Rest<'_, &[u8]> =
        terminated(take_while(|byte| matches!(byte, b'e' | b'i')), tag("\"")).parse(rest);
    let (inside, prefix) = match prefix {
        Ok((inside, prefix @ (b"" | b"e" | b"i" | b"ei" | b"ie"))) => (inside, prefix),
        _ => return Err(Wrong::new(rest, unexpected(rest, "a value in double quotes"))),
    };
    let escapes = prefix.contains(&b'e');
    let mut value = Vec::new();
    let mut left = inside;
    loop {
        left = match left {
            [] => return Err(Wrong::new(rest, "this quote has no end")),
            [b'"', ..] if value.contains(&0) => return Err(Wrong::new(rest, "a value has no zeroes")),
            [b'"', after @ ..] => return Ok((after, (prefix.contains(&b'i'), value))),
            [b'\\', escape @ ..] if escapes => {
                let unknown = || Wrong::new(left, unexpected(left, "an escape as in C"));
                let (after, meant) = unescape(escape).ok_or_else(unknown)?;
                value.extend_from_slice(&meant);
                after
            }
            [b'\\', b'"', after @ ..] => {
                value.push(b'"');
                after
            }
            [byte, after @ ..] => {
                value.push(*byte);
                after
            }
        };
    }
}

/// What an escape means, behind its backslash.
fn unescape(escape: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (first, after) = escape.split_first()?;
    let number = |digits: usize, radix: u32| {
        let (digits, rest) = if radix == 8 { escape } else { after }.split_at_checked(digits)?;
        let plain = digits.iter().all(|digit| char::from(*digit).is_digit(radix));
        let number = u32::from_str_radix(str::from_utf8(digits).ok().filter(|_| plain)?, radix).ok()?;
        Some((rest, number))
    };
    let byte = |(rest, number): (_, u32)| Some((rest, vec![u8::try_from(number).ok()?]));
    let character = |(rest, number): (_, u32)| Some((rest, char::from_u32(number)?.to_string().into_bytes()));
    let plain = match first {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b's' => b' ',
        b'\\' | b'"' | b'\'' => *first,
        b'x' => return number(2, 16).and_then(byte),
        b'u' => return number(4, 16).and_then(character),
        b'U' => return number(8, 16).and_then(character),
        b'0'..=b'7' => return number(3, 8).and_then(byte),
        _ => return None,
    };
    Some((after, vec![plain]))
}
