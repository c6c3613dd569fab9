//! POSIX extended regular expressions (IEEE Std 1003.1, XBD 9.4), of bytes: what `mdev.conf` compares names with.
//!
//! ```text
//! alternation = branch { "|" branch }
//! branch      = { piece }
//! piece       = atom [ ( "*" | "+" | "?" ) { "*" | "+" | "?" } | "{" min [ "," [ max ] ] "}" ]
//! atom        = "(" alternation ")" | "[" [ "^" ] item { item } "]" | "." | "^" | "$" | "\" sign | byte
//! item        = byte [ "-" byte ] | "[:" class ":]"
//! ```
//!
//! An expression is its text: nothing is compiled. What of a subject it matches is found as sets of positions: from where a
//! part may begin follows where it may end. So no expression takes a time that grows faster than the text's length allows, and
//! of several ways to match, the longest one is at hand, as POSIX wants it.

mod positions;
mod set;
mod syntax;

use positions::Positions;
pub use syntax::RegexError;
use syntax::{Atom, Piece, branch, groups, pieces};

/// The longest subject: no value of a uevent is longer.
pub const MAX_SUBJECT: usize = 2048;
/// Groups that can be asked for, and the whole.
pub const CAPTURES: usize = 10;

/// A regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regex<'t>(&'t [u8]);

/// What groups of an expression have matched; number 0 is all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captures<'s> {
    subject: &'s [u8],
    spans: [Option<(u16, u16)>; CAPTURES],
}

impl<'t> Regex<'t> {
    /// Takes a text for an expression.
    ///
    /// ```
    /// use lunix_core::device::regex::Regex;
    /// assert!(Regex::parse(b"sd[a-z][0-9]*").is_ok());
    /// assert_eq!(Regex::parse(b"sd[a-z").unwrap_err().at, 2);
    /// ```
    ///
    /// # Errors
    /// The first thing that is none of an expression's.
    pub fn parse(text: &'t [u8]) -> Result<Self, RegexError> {
        syntax::check(text)?;
        Ok(Self(text))
    }

    /// Whether it matches a part of `subject`.
    ///
    /// ```
    /// use lunix_core::device::regex::Regex;
    /// assert!(Regex::parse(b"usb:v0781").unwrap().is_match(b"usb:v0781p5581"));
    /// assert!(!Regex::parse(b"^disk$").unwrap().is_match(b"disks"));
    /// ```
    pub fn is_match(&self, subject: &[u8]) -> bool {
        subject.len() <= MAX_SUBJECT
            && !alternation(self.0, subject, &Positions::all(subject.len())).is_empty()
    }

    /// What its groups match, if it matches the whole of `subject`.
    ///
    /// ```
    /// use lunix_core::device::regex::Regex;
    /// let captures = Regex::parse(b"([hs]d[a-z])([0-9]+)").unwrap().captures(b"sda12").unwrap();
    /// assert_eq!((captures.get(1), captures.get(2)), (Some(&b"sda"[..]), Some(&b"12"[..])));
    /// assert_eq!(Regex::parse(b"sd").unwrap().captures(b"sda"), None);
    /// ```
    pub fn captures<'s>(&self, subject: &'s [u8]) -> Option<Captures<'s>> {
        let end = subject.len();
        if end > MAX_SUBJECT || !alternation(self.0, subject, &Positions::one(0)).has(end) {
            return None;
        }
        let mut captures = Captures { subject, spans: [None; CAPTURES] };
        captures.set(0, Some((0, end)));
        if groups(self.0) > 0 {
            captures.alternation(self.0, 0, (0, end));
        }
        Some(captures)
    }
}

impl Captures<'static> {
    /// Of no expression: each group is there, and empty.
    pub const EMPTY: Self = Self { subject: &[], spans: [Some((0, 0)); CAPTURES] };
}

impl<'s> Captures<'s> {
    /// What group `number` has matched; `None` if it has no part in the match.
    pub fn get(&self, number: usize) -> Option<&'s [u8]> {
        let (begin, end) = (*self.spans.get(number)?)?;
        self.subject.get(usize::from(begin)..usize::from(end))
    }

    fn set(&mut self, number: usize, span: Option<(usize, usize)>) {
        let short = |at: usize| u16::try_from(at).ok();
        if let Some(place) = self.spans.get_mut(number) {
            *place = span.and_then(|(begin, end)| short(begin).zip(short(end)));
        }
    }

    /// Finds the groups of what is known to match from `begin` to `end`; `before` groups begin before it.
    fn alternation(&mut self, text: &[u8], mut before: usize, (begin, end): (usize, usize)) {
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (branch, more) = branch(text);
            if sequence(branch, self.subject, &Positions::one(begin)).has(end) {
                return self.sequence(branch, before, (begin, end));
            }
            before += groups(branch);
            rest = more;
        }
    }

    /// Each piece as long as possible, the first one first.
    fn sequence(&mut self, branch: &[u8], mut before: usize, (mut begin, end): (usize, usize)) {
        for (piece, rest) in pieces(branch) {
            let ends = repeated(&piece, self.subject, &Positions::one(begin));
            let reaches = |at: &usize| sequence(rest, self.subject, &Positions::one(*at)).has(end);
            let Some(at) = ends.down_from(end).find(reaches) else { return };
            self.piece(&piece, before, (begin, at));
            if let Atom::Group(inner) = piece.atom {
                before += 1 + groups(inner);
            }
            begin = at;
        }
    }

    /// The groups of a piece are those of the last time that it is there.
    fn piece(&mut self, piece: &Piece<'_>, before: usize, (mut begin, end): (usize, usize)) {
        let Atom::Group(inner) = piece.atom else { return };
        let mut left = *piece;
        loop {
            let is_wanted = left.min > 0 || begin == end;
            left.min = left.min.saturating_sub(1);
            left.max = left.max.map(|max| max.saturating_sub(1));
            let reaches = |at: &usize| {
                // Nothing at all is a step only where one is wanted.
                (*at > begin || is_wanted) && repeated(&left, self.subject, &Positions::one(*at)).has(end)
            };
            let ends = alternation(inner, self.subject, &Positions::one(begin));
            let Some(at) = ends.down_from(end).find(reaches) else { return };
            (before + 1..=before + 1 + groups(inner)).for_each(|number| self.set(number, None));
            self.set(before + 1, Some((begin, at)));
            self.alternation(inner, before + 1, (begin, at));
            begin = at;
            if begin == end && left.min == 0 {
                return;
            }
        }
    }
}

/// Where it may end, by where it may begin.
fn alternation(text: &[u8], subject: &[u8], begins: &Positions) -> Positions {
    let mut ends = Positions::NONE;
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (branch, more) = branch(text);
        ends.add(&sequence(branch, subject, begins));
        rest = more;
    }
    ends
}

fn sequence(branch: &[u8], subject: &[u8], begins: &Positions) -> Positions {
    let mut at = *begins;
    for (piece, _) in pieces(branch) {
        if at.is_empty() {
            break;
        }
        at = repeated(&piece, subject, &at);
    }
    at
}

fn repeated(piece: &Piece<'_>, subject: &[u8], begins: &Positions) -> Positions {
    let mut at = *begins;
    for _ in 0..piece.min {
        let next = once(&piece.atom, subject, &at);
        // What changes nothing once never does.
        if next == at {
            break;
        }
        at = next;
    }
    let mut ends = at;
    let mut more = piece.max.map(|max| max.saturating_sub(piece.min));
    while !at.is_empty() && more != Some(0) {
        at = once(&piece.atom, subject, &at);
        at.remove(&ends);
        ends.add(&at);
        more = more.map(|more| more - 1);
    }
    ends
}

fn once(atom: &Atom<'_>, subject: &[u8], begins: &Positions) -> Positions {
    match atom {
        Atom::Group(inner) => alternation(inner, subject, begins),
        Atom::Begin => begins.only(0),
        Atom::End => begins.only(subject.len()),
        Atom::Any => begins.after(subject, |_| true),
        Atom::Byte(wanted) => begins.after(subject, |byte| byte == *wanted),
        Atom::Set(set) => begins.after(subject, |byte| set::has(set, byte)),
    }
}

#[cfg(test)]
mod tests;
