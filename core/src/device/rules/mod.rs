//! udev's rules: a [`Table`] of them, applied to one event after the other.
//!
//! The parser, which is the driver's, makes a table with a [`Builder`]. For each event the driver makes an
//! [`Evaluation`], hands in what the kernel says of the device, and drains [`poll`](Evaluation::poll): a
//! [`Question`] is something that the machine cannot know (an attribute, what a program writes) and goes back with
//! [`handle`](Evaluation::handle); everything else is news. When `poll` says `None` and nothing is asked, all rules
//! are applied, and [`outcome`](Evaluation::outcome) is what they want.
//!
//! - A line is a list of tokens. They are looked at in the order of [`Key`], and the first that does not match ends
//!   the line. A token that needs an answer is looked at again from its beginning when the answer is there, so there is
//!   nothing to resume but the token's number.
//! - Answers about the device and those above it (attributes, drivers, tags) are asked for once an event, as far as
//!   there is room to keep them. Everything else is asked each time.
//! - What does not fit into the memory that the driver gave is left out, and said: a value of that kind matches nothing
//!   and changes nothing.
//! - Time plays no part: the driver bounds how long a program may run, and answers [`Answer::No`].
//!
//! ```
//! use lunix_core::device::rules::*;
//! // SUBSYSTEM=="block", ATTR{size}!="0", SYMLINK+="disk/%k"
//! let mut bytes = [0; 256];
//! let mut rules = Builder::new(&mut bytes);
//! rules.begin(Origin { file: 0, line: 1 })?;
//! rules.token(&Token::new(Key::Subsystem, Operator::Match, false, b"", b"block"))?;
//! rules.token(&Token::new(Key::Attr, Operator::NoMatch, false, b"size", b"0"))?;
//! rules.token(&Token::new(Key::SetSymlink, Operator::Add, false, b"", b"disk/%k"))?;
//! let len = rules.len();
//! let table = Table::new(&bytes[..len])?;
//!
//! let mut memory = [0; MIN_MEMORY];
//! let mut evaluation = Evaluation::new(table, &mut memory, b"add", b"/devices/sda", b"block").unwrap();
//! evaluation.property(b"MAJOR", b"8").unwrap();
//! while let Some(action) = evaluation.poll() {
//!     if let Action::Ask(Question::Attribute { device: 0, name: b"size" }) = action {
//!         evaluation.handle(Answer::Text(b"2048\n")).unwrap();
//!     }
//! }
//! assert!(evaluation.outcome().links().eq([b"disk/sda"]));
//! # Ok::<(), TableError>(())
//! ```

mod assign;
mod format;
mod ledger;
mod matches;
mod outcome;
pub(super) mod pattern;
mod question;
pub(super) mod sanitize;
mod static_node;
mod table;

use lunix_proto::Full;

use assign::{Change, Escape};
use format::Sight;
pub use format::{FormatError, check_format};
use ledger::{Span, Text};
use outcome::Fact;
pub use outcome::{Outcome, Run};
pub use pattern::fits;
pub use question::{Answer, Question};
use question::{Halt, Knowledge, Need};
pub use static_node::StaticNode;
pub use table::{Builder, Key, MAX_TABLE, Operator, Origin, Table, TableError, Token};
use table::{Line, NEEDS_INTERFACE, NEEDS_NODE, NEEDS_NOTHING};

/// The least memory of an [`Evaluation`]; 64 KB hold what udev allows.
pub const MIN_MEMORY: usize = 4096;

/// The rules, being applied to an event.
#[derive(Debug)]
pub struct Evaluation<'t, 'm> {
    table: Table<'t>,
    /// Where the next line is.
    next: usize,
    line: Option<Reading<'t>>,
    /// Which lines are worth reading for this device; `None` before the first.
    needs: Option<u8>,
    parent: Option<u8>,
    escape: Escape,
    knowledge: Knowledge<'m>,
    outcome: Outcome<'m>,
    text: Text<'m>,
    /// What was asked last, until it is answered.
    asked: Option<Need>,
    /// The answer did not fit.
    refused: bool,
}

/// A line, and how far it is read.
#[derive(Clone, Copy, Debug)]
struct Reading<'t> {
    origin: Origin,
    tokens: &'t [u8],
}

/// What the driver has to do, or may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'e> {
    /// Find this out, and answer with [`Evaluation::handle`].
    Ask(Question<'e>),
    /// Write a value now: later rules may read it.
    Write {
        /// The rule that wants it.
        origin: Origin,
        /// A parameter of the kernel, and not an attribute of the device.
        sysctl: bool,
        /// Its name, as in [`Question::Attribute`] and [`Question::Sysctl`].
        name: &'e [u8],
        /// The value.
        value: &'e [u8],
    },
    /// A rule has brought in or changed something. There is nothing to do.
    Did(Deed<'e>),
    /// A rule was left out, in whole or in part: what it needs finds no room.
    NoRoom(Origin),
}

/// What a token did, once all before it in its line have matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed<'e> {
    /// The rule.
    pub origin: Origin,
    /// What it changed, or where it brought something in from.
    pub key: Key,
    /// How.
    pub operator: Operator,
    /// What stands in the braces.
    pub name: &'e [u8],
    /// The value, with all variables replaced.
    pub value: &'e [u8],
}

impl<'t, 'm> Evaluation<'t, 'm> {
    /// Begins with the first rule. Of `memory`, half is for properties, links and the like, a quarter for answers, and
    /// the rest for values on their way. The properties `ACTION`, `DEVPATH` and `SUBSYSTEM` are set.
    ///
    /// # Errors
    /// Less than [`MIN_MEMORY`], or the path and the names do not fit.
    pub fn new(
        table: Table<'t>,
        memory: &'m mut [u8],
        action: &[u8],
        devpath: &[u8],
        subsystem: &[u8],
    ) -> Result<Self, Full> {
        let quarter = memory.len() / 4;
        if memory.len() < MIN_MEMORY {
            return Err(Full { needed: MIN_MEMORY });
        }
        let (outcome, memory) = memory.split_at_mut(2 * quarter);
        let (answers, memory) = memory.split_at_mut(quarter);
        let (chain, text) = memory.split_at_mut((quarter / 2).min(4096));
        let mut evaluation = Self {
            table,
            next: 0,
            line: None,
            needs: None,
            parent: None,
            escape: Escape::default(),
            knowledge: Knowledge::new(chain, answers, action, devpath, subsystem)?,
            outcome: Outcome::new(outcome),
            text: Text::new(text),
            asked: None,
            refused: false,
        };
        evaluation.property(b"ACTION", action)?;
        evaluation.property(b"DEVPATH", devpath)?;
        if !subsystem.is_empty() {
            evaluation.property(b"SUBSYSTEM", subsystem)?;
        }
        Ok(evaluation)
    }

    /// Sets a property, as the kernel or the database has it, before the first [`poll`](Self::poll). `MAJOR` makes
    /// it a device with a node, `IFINDEX` a network interface. A relative `DEVNAME` is below /dev.
    ///
    /// # Errors
    /// It does not fit.
    pub fn property(&mut self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        if key == b"DEVNAME" && !value.starts_with(b"/") {
            self.text.clear();
            let from = self.text.len();
            self.text.push(b"/dev/")?;
            self.text.push(value)?;
            let node = self.text.get(self.text.since(from));
            return self.outcome.set(Fact::Property, key, node);
        }
        self.outcome.set(Fact::Property, key, value)
    }

    /// Sets a tag that the database has, before the first [`poll`](Self::poll).
    ///
    /// # Errors
    /// It does not fit.
    pub fn tag(&mut self, tag: &[u8]) -> Result<(), Full> {
        self.outcome.insert(Fact::Tag, tag)
    }

    /// Sets a link that the database has, relative to /dev, before the first [`poll`](Self::poll).
    ///
    /// # Errors
    /// It does not fit.
    pub fn link(&mut self, link: &[u8]) -> Result<(), Full> {
        self.outcome.insert(Fact::Link, link)
    }

    /// What the rules want, so far.
    pub const fn outcome(&self) -> &Outcome<'m> {
        &self.outcome
    }

    /// Takes the answer to the last question. If none is open, it is ignored. Then [`poll`](Self::poll) again.
    ///
    /// # Errors
    /// The answer does not fit; the token that asked matches nothing and changes nothing.
    pub fn handle(&mut self, answer: Answer<'_>) -> Result<(), Full> {
        let Some(need) = self.asked.take() else { return Ok(()) };
        let learned = self.knowledge.learn(need, &self.text, answer);
        // Without the devices above, the walk ends where it is.
        self.refused = learned.is_err() && !matches!(need, Need::Parent { .. });
        learned
    }

    /// What has to be done; call it until it says `None`. It says so while a question is open, too.
    pub fn poll(&mut self) -> Option<Action<'_>> {
        Some(match self.advance()? {
            Next::Ask(need) => Action::Ask(need.question(&self.text)),
            Next::NoRoom(origin) => Action::NoRoom(origin),
            Next::Deed(origin, token, Taken { name, value }) => {
                let name = name.map_or(token.name, |name| self.text.get(name));
                let value = self.text.get(value);
                let sysctl = token.key == Key::SetSysctl;
                match token.key {
                    Key::SetAttr | Key::SetSysctl => Action::Write { origin, sysctl, name, value },
                    key => Action::Did(Deed { origin, key, operator: token.operator, name, value }),
                }
            }
        })
    }

    /// Goes on to where the driver has to know of something.
    fn advance(&mut self) -> Option<Next<'t>> {
        while self.asked.is_none() {
            let line = match self.line {
                Some(line) => line,
                None => self.next_line()?,
            };
            let Some((token, rest)) = Token::read(line.tokens) else {
                self.line = None;
                continue;
            };
            self.text.clear();
            let done = if core::mem::take(&mut self.refused) {
                Err(Halt::Full)
            } else if token.key.is_match() {
                self.look(&token, line.tokens, rest)
            } else {
                self.change(&token, rest)
            };
            let (rest, next) = match done {
                Err(Halt::Need(need)) => {
                    (self.line, self.asked) = (Some(line), Some(need));
                    return Some(Next::Ask(need));
                }
                Err(Halt::Full) if token.key.is_match() => (&[][..], Some(Next::NoRoom(line.origin))),
                Err(Halt::Full) => (rest, Some(Next::NoRoom(line.origin))),
                Ok((rest, deed)) => (rest, deed.map(|taken| Next::Deed(line.origin, token, taken))),
            };
            self.line = Some(Reading { tokens: rest, ..line });
            self.knowledge.pass();
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// A token that decides: the tokens to go on with, and what it brought in.
    fn look(&mut self, token: &Token<'t>, tokens: &'t [u8], rest: &'t [u8]) -> Done<'t> {
        let go_on = |matched: bool, rest| if matched { rest } else { &[][..] };
        if matches::BRINGERS.contains(&token.key) {
            let Self { knowledge, outcome, text, parent, .. } = self;
            let (matched, asked) = matches::bring(knowledge, outcome, *parent, text, token)?;
            return Ok((go_on(matched, rest), Some(asked.into())));
        }
        let sight = Sight { knowledge: &self.knowledge, outcome: &self.outcome, parent: self.parent };
        if !token.key.is_of_parents() {
            return Ok((go_on(sight.matches(&mut self.text, token)?, rest), None));
        }
        let (found, rest) = sight.walk(&mut self.text, tokens)?;
        self.parent = found;
        Ok((go_on(found.is_some(), rest), None))
    }

    /// A token that changes something: the tokens to go on with, and the value, if it was taken.
    fn change(&mut self, token: &Token<'t>, rest: &'t [u8]) -> Done<'t> {
        let Self { knowledge, outcome, text, parent, escape, .. } = self;
        match token.key {
            Key::StaticNode => return Ok((rest, None)),
            Key::Goto => {
                for _ in 0..token.value.try_into().map_or(0, u32::from_le_bytes) {
                    let Some((_, next)) = self.table.line(self.next) else { break };
                    self.next = next;
                }
                return Ok((rest, Some(Span::default().into())));
            }
            _ => {}
        }
        let mut change = Change { knowledge, outcome, text, parent: *parent, escape };
        let value = change.make(token)?;
        let name = match token.key {
            Key::SetSysctl => Some(change.expand(token.name)?),
            _ => None,
        };
        if token.key == Key::SetAttr {
            knowledge.forget(token.name);
        }
        Ok((rest, value.map(|value| Taken { name, value })))
    }

    /// The next line that this device may need.
    fn next_line(&mut self) -> Option<Reading<'t>> {
        let needs = match self.needs {
            Some(needs) => needs,
            None => {
                let has = |key: &[u8]| self.outcome.property(key).is_some();
                let node = if has(b"MAJOR") { NEEDS_NODE } else { 0 };
                let interface = if has(b"IFINDEX") { NEEDS_INTERFACE } else { 0 };
                let stays = self.knowledge.action() != b"remove";
                *self.needs.insert(NEEDS_NOTHING | if stays { node | interface } else { 0 })
            }
        };
        loop {
            let (Line { origin, needs: wanted, tokens }, next) = self.table.line(self.next)?;
            self.next = next;
            if wanted & needs != 0 {
                self.escape = Escape::default();
                return Some(Reading { origin, tokens });
            }
        }
    }
}

/// The tokens to go on with, and what is to be told of the token.
type Done<'t> = Result<(&'t [u8], Option<Taken>), Halt>;

/// A value as it was taken, and a name that had variables in it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    name: Option<Span>,
    value: Span,
}

impl From<Span> for Taken {
    fn from(value: Span) -> Self {
        Self { name: None, value }
    }
}

/// What the driver has to know of.
enum Next<'t> {
    Ask(Need),
    Deed(Origin, Token<'t>, Taken),
    NoRoom(Origin),
}

#[cfg(test)]
mod tests;
