//! Values with `$kernel`, `%k` and the like in them.

use super::ledger::{Span, Text};
use super::outcome::Outcome;
use super::question::{Halt, Knowledge, Reply, What};
use super::sanitize::{self, is_space, trim_end};

/// What stands for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Devnode,
    Attr,
    Env,
    Kernel,
    Number,
    Driver,
    Devpath,
    Id,
    Major,
    Minor,
    Result,
    Parent,
    Name,
    Links,
    Root,
    Sys,
}

/// Long name, sign, meaning. Where one name begins another, the longer stands first.
const VARIABLES: [(&[u8], u8, Variable); 18] = [
    (b"devnode", b'N', Variable::Devnode),
    (b"tempnode", b'N', Variable::Devnode),
    (b"attr", b's', Variable::Attr),
    (b"sysfs", b's', Variable::Attr),
    (b"env", b'E', Variable::Env),
    (b"kernel", b'k', Variable::Kernel),
    (b"number", b'n', Variable::Number),
    (b"driver", b'd', Variable::Driver),
    (b"devpath", b'p', Variable::Devpath),
    (b"id", b'b', Variable::Id),
    (b"major", b'M', Variable::Major),
    (b"minor", b'm', Variable::Minor),
    (b"result", b'c', Variable::Result),
    (b"parent", b'P', Variable::Parent),
    (b"name", b'D', Variable::Name),
    (b"links", b'L', Variable::Links),
    (b"root", b'r', Variable::Root),
    (b"sys", b'S', Variable::Sys),
];

/// What is wrong with a value. udev takes it up to there and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// No variable has this name; a `$` or `%` alone is written twice.
    Unknown,
    /// The braces have no end, or nothing in them.
    Braces,
    /// `$attr` and `$env` need a name in braces.
    NoName,
    /// `$result` takes the number of a word, from 1, perhaps with `+`.
    NoNumber,
}

impl core::fmt::Display for FormatError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no such variable ('$' alone is written '$$', '%' is '%%')",
            Self::Braces => "the braces have no end, or nothing in them",
            Self::NoName => "this variable needs a name in braces",
            Self::NoNumber => "expected the number of a word in braces, like {2} or {2+}",
        })
    }
}

impl core::error::Error for FormatError {}

/// Looks for variables that there are not.
///
/// ```
/// use lunix_core::device::rules::{FormatError, check_format};
/// assert_eq!(check_format(b"disk-$attr{serial}-%k"), Ok(()));
/// assert_eq!(check_format(b"100%"), Err((3, FormatError::Unknown)));
/// assert_eq!(check_format(b"a $attr"), Err((2, FormatError::NoName)));
/// ```
///
/// # Errors
/// The first mistake, and at which byte it begins.
pub fn check_format(value: &[u8]) -> Result<(), (usize, FormatError)> {
    let mut rest = value;
    while !rest.is_empty() {
        let at = value.len() - rest.len();
        rest = match piece(rest) {
            Piece::Plain([b'$' | b'%'], _) => return Err((at, FormatError::Unknown)),
            Piece::Plain(_, after) | Piece::Sign(_, after) | Piece::Variable(_, _, after) => after,
            Piece::Wrong(error) => return Err((at, error)),
        };
    }
    Ok(())
}

enum Piece<'f> {
    /// Text as it is.
    Plain(&'f [u8], &'f [u8]),
    /// `$$` or `%%`.
    Sign(u8, &'f [u8]),
    /// A variable and what stands in its braces.
    Variable(Variable, &'f [u8], &'f [u8]),
    Wrong(FormatError),
}

/// The first piece of a value that is not empty, with what follows.
fn piece(rest: &[u8]) -> Piece<'_> {
    let is_sign = |byte: &u8| matches!(byte, b'$' | b'%');
    let plain = rest.iter().position(is_sign).unwrap_or(rest.len());
    if plain > 0 {
        let (text, after) = rest.split_at(plain);
        return Piece::Plain(text, after);
    }
    let found = match rest {
        [b'$', b'$', after @ ..] | [b'%', b'%', after @ ..] => {
            return Piece::Sign(rest.first().copied().unwrap_or(b'$'), after);
        }
        [b'$', after @ ..] => {
            VARIABLES.iter().find_map(|(name, _, variable)| Some((*variable, after.strip_prefix(*name)?)))
        }
        [_, sign, after @ ..] => {
            VARIABLES.iter().find(|(_, short, _)| short == sign).map(|(_, _, variable)| (*variable, after))
        }
        _ => None,
    };
    let Some((variable, after)) = found else {
        let (sign, after) = rest.split_at(rest.len().min(1));
        return Piece::Plain(sign, after);
    };
    let (name, after) = match after.strip_prefix(b"{") {
        None => (&b""[..], after),
        Some(inside) => match inside.iter().position(|byte| *byte == b'}') {
            None | Some(0) => return Piece::Wrong(FormatError::Braces),
            Some(end) => (inside.get(..end).unwrap_or_default(), inside.get(end + 1..).unwrap_or_default()),
        },
    };
    match variable {
        Variable::Attr | Variable::Env if name.is_empty() => Piece::Wrong(FormatError::NoName),
        Variable::Result if !name.is_empty() && word(name).is_none() => Piece::Wrong(FormatError::NoNumber),
        _ => Piece::Variable(variable, name, after),
    }
}

/// `2+`: which word, and whether all that follow are meant, too.
fn word(name: &[u8]) -> Option<(u32, bool)> {
    let digits = name.strip_suffix(b"+").unwrap_or(name);
    let number = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, digits.len() < name.len()))
}

/// Whether there is anything to be replaced.
pub(super) fn is_plain(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'$' | b'%'))
}

/// What a value may refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'s, 'm> {
    pub(super) knowledge: &'s Knowledge<'m>,
    pub(super) outcome: &'s Outcome<'m>,
    /// Which device the last tokens of parents have found.
    pub(super) parent: Option<u8>,
}

impl Sight<'_, '_> {
    /// Writes `value` with all variables replaced to the end of `text`. With `squeeze`, white space in what is put in
    /// becomes `_`, besides that of `$result`. At a mistake it ends.
    pub(super) fn expand(&self, text: &mut Text<'_>, value: &[u8], squeeze: bool) -> Result<Span, Halt> {
        let from = text.len();
        let mut rest = value;
        while !rest.is_empty() {
            rest = match piece(rest) {
                Piece::Plain(plain, after) => {
                    text.push(plain)?;
                    after
                }
                Piece::Sign(sign, after) => {
                    text.push(&[sign])?;
                    after
                }
                Piece::Variable(variable, name, after) => {
                    let begin = text.len();
                    self.variable(text, variable, name)?;
                    if squeeze && variable != Variable::Result {
                        let len = sanitize::squeeze(text.get_mut(text.since(begin)));
                        text.truncate(begin + len);
                    }
                    after
                }
                Piece::Wrong(_) => break,
            };
        }
        Ok(text.since(from))
    }

    fn variable(&self, text: &mut Text<'_>, variable: Variable, name: &[u8]) -> Result<(), Halt> {
        let Self { knowledge, outcome, parent } = *self;
        let property = |key: &[u8]| outcome.property(key);
        let value = match variable {
            Variable::Devnode => property(b"DEVNAME").unwrap_or_default(),
            Variable::Attr => return self.attribute(text, name),
            Variable::Env => property(name).unwrap_or_default(),
            Variable::Kernel => knowledge.kernel(0),
            Variable::Number => number(knowledge.kernel(0)),
            Variable::Driver => match parent.map(|device| knowledge.reply(text, What::Driver, device, b"")) {
                Some(reply) => match reply? {
                    Reply::Text(driver) => driver,
                    _ => b"",
                },
                None => b"",
            },
            Variable::Devpath => knowledge.devpath(),
            Variable::Id => parent.map(|device| knowledge.kernel(device)).unwrap_or_default(),
            Variable::Major => property(b"MAJOR").unwrap_or(b"0"),
            Variable::Minor => property(b"MINOR").unwrap_or(b"0"),
            Variable::Result => words(outcome.result().unwrap_or_default(), name),
            Variable::Parent => match knowledge.reply(text, What::Node, 1, b"")? {
                Reply::Text(node) => below_dev(node),
                _ => b"",
            },
            Variable::Name => match (outcome.name(), property(b"DEVNAME")) {
                (Some(name), _) => name,
                (None, Some(node)) => below_dev(node),
                (None, None) => knowledge.kernel(0),
            },
            Variable::Links => {
                for (index, link) in outcome.links().enumerate() {
                    text.push(if index == 0 { b"" } else { b" " })?;
                    text.push(link)?;
                }
                b""
            }
            Variable::Root => b"/dev",
            Variable::Sys => b"/sys",
        };
        text.push(value)?;
        Ok(())
    }

    /// `$attr{name}`: of the device, or of the parent that was found.
    fn attribute(&self, text: &mut Text<'_>, name: &[u8]) -> Result<(), Halt> {
        let above = self.parent.filter(|device| *device > 0 && !name.starts_with(b"["));
        for device in [Some(0), above].into_iter().flatten() {
            if let Reply::Text(value) = self.knowledge.reply(text, What::Attribute, device, name)? {
                let span = text.push(trim_end(value))?;
                sanitize::replace(text.get_mut(span), sanitize::OF_INPUT);
                break;
            }
        }
        Ok(())
    }
}

fn below_dev(node: &[u8]) -> &[u8] {
    node.strip_prefix(b"/dev/").unwrap_or(node)
}

/// The digits at the end of a name that is not just digits.
fn number(name: &[u8]) -> &[u8] {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == name.len() { b"" } else { name.get(name.len() - digits..).unwrap_or_default() }
}

/// The words of a result that `which` means: all, `2` or `2+`.
fn words<'r>(result: &'r [u8], which: &[u8]) -> &'r [u8] {
    let (index, and_all) = match word(which) {
        None | Some((0, _)) => return result,
        Some(which) => which,
    };
    let begin = |mut text: &'r [u8]| {
        while let [first, rest @ ..] = text
            && is_space(*first)
        {
            text = rest;
        }
        text
    };
    let end = |text: &[u8]| text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
    let mut rest = begin(result);
    for _ in 1..index {
        rest = begin(rest.get(end(rest)..).unwrap_or_default());
        if rest.is_empty() {
            return b"";
        }
    }
    if and_all { rest } else { rest.get(..end(rest)).unwrap_or_default() }
}
