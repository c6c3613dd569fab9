//! Tokens that change something.

use super::format::Sight;
use super::ledger::{Span, Text};
use super::outcome::{Fact, Outcome, is_tag, link_parts, octal};
use super::question::{Halt, Knowledge, Reply, What};
use super::sanitize::{self, is_space};
use super::{Key, Operator, Token};

/// What happens to signs in values that have no place in names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Escape {
    /// Links are made safe, and may be several.
    #[default]
    Unset,
    /// `string_escape=none`
    None,
    /// `string_escape=replace`
    Replace,
}

/// All that assignments see and change.
#[derive(Debug)]
pub(super) struct Change<'c, 'm> {
    pub(super) knowledge: &'c Knowledge<'m>,
    pub(super) outcome: &'c mut Outcome<'m>,
    pub(super) text: &'c mut Text<'m>,
    pub(super) parent: Option<u8>,
    pub(super) escape: &'c mut Escape,
}

impl Change<'_, '_> {
    /// Makes the change. Answers the value as it was taken, or `None` if it was not.
    pub(super) fn make(&mut self, token: &Token<'_>) -> Result<Option<Span>, Halt> {
        let is_final = token.operator == Operator::Final;
        match token.key {
            Key::Dump => self.outcome.dump = true,
            Key::StringEscape => {
                *self.escape = if token.value == b"none" { Escape::None } else { Escape::Replace };
            }
            Key::DbPersist => self.outcome.db_persist = true,
            Key::Watch => {
                if self.outcome.finals.watch {
                    return Ok(None);
                }
                self.outcome.finals.watch = is_final;
                self.outcome.watch = Some(token.value == b"watch");
            }
            Key::LinkPriority => self.outcome.link_priority = decimal(token.value).unwrap_or(0),
            Key::LogLevel => {
                self.outcome.log_level = decimal(token.value).and_then(|level| i8::try_from(level).ok());
            }
            Key::Owner if self.outcome.finals.owner => return Ok(None),
            Key::Group if self.outcome.finals.group => return Ok(None),
            Key::Owner | Key::Group => return self.belongs(token, is_final),
            Key::Mode => return self.mode(token, is_final),
            Key::SetTag => return self.tag(token),
            Key::Seclabel => {
                let value = self.expand(token.value)?;
                if token.operator == Operator::Assign {
                    self.outcome.clear(&[Fact::Label]);
                }
                self.outcome.set(Fact::Label, token.name, self.text.get(value))?;
                return Ok(Some(value));
            }
            Key::SetEnv => return self.property(token),
            Key::SetName => return self.name(token, is_final),
            Key::SetSymlink => return self.links(token, is_final),
            Key::RunBuiltin | Key::RunProgram => return self.run(token, is_final),
            // Written by the driver.
            Key::SetAttr | Key::SetSysctl => return Ok(Some(self.expand(token.value)?)),
            _ => {}
        }
        Ok(Some(self.text.push(token.value)?))
    }

    /// A value with all variables replaced.
    pub(super) fn expand(&mut self, value: &[u8]) -> Result<Span, Halt> {
        self.expand_squeezed(value, false)
    }

    fn expand_squeezed(&mut self, value: &[u8], squeeze: bool) -> Result<Span, Halt> {
        let sight = Sight { knowledge: self.knowledge, outcome: self.outcome, parent: self.parent };
        sight.expand(self.text, value, squeeze)
    }

    /// Who is unknown changes nothing.
    fn belongs(&mut self, token: &Token<'_>, is_final: bool) -> Result<Option<Span>, Halt> {
        let name = self.expand(token.value)?;
        let number = |text: &[u8]| core::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let what = if token.key == Key::Owner { What::User } else { What::Group };
        let id = match number(self.text.get(name)) {
            Some(id) => Some(id),
            None => match self.knowledge.reply_to(self.text, what, name, None)? {
                Reply::Text(id) => number(id),
                _ => None,
            },
        };
        let (target, finality) = match token.key {
            Key::Owner => (&mut self.outcome.owner, &mut self.outcome.finals.owner),
            _ => (&mut self.outcome.group, &mut self.outcome.finals.group),
        };
        *finality |= is_final;
        *target = id.or(*target);
        Ok(id.map(|_| name))
    }

    fn mode(&mut self, token: &Token<'_>, is_final: bool) -> Result<Option<Span>, Halt> {
        if self.outcome.finals.mode {
            return Ok(None);
        }
        let value = self.expand(token.value)?;
        let mode = octal(self.text.get(value));
        self.outcome.finals.mode |= is_final;
        self.outcome.mode = mode.or(self.outcome.mode);
        Ok(mode.map(|_| value))
    }

    fn tag(&mut self, token: &Token<'_>) -> Result<Option<Span>, Halt> {
        let value = self.expand(token.value)?;
        if token.operator == Operator::Assign {
            self.outcome.clear(&[Fact::Tag]);
        }
        let tag = self.text.get(value);
        if token.operator == Operator::Remove {
            self.outcome.remove(Fact::Tag, tag);
        } else if is_tag(tag) {
            self.outcome.insert(Fact::Tag, tag)?;
        } else {
            return Ok(None);
        }
        Ok(Some(value))
    }

    fn property(&mut self, token: &Token<'_>) -> Result<Option<Span>, Halt> {
        let Token { name, operator, .. } = *token;
        if token.value.is_empty() {
            if operator != Operator::Add {
                self.outcome.remove(Fact::Property, name);
            }
            return Ok(Some(self.text.push(b"")?));
        }
        let from = self.text.len();
        if operator == Operator::Add
            && let Some(old) = self.outcome.property(name)
        {
            self.text.push(old)?;
            self.text.push(b" ")?;
        }
        let new = self.expand(token.value)?;
        if *self.escape == Escape::Replace {
            sanitize::replace(self.text.get_mut(new), b"");
        }
        let value = self.text.since(from);
        self.outcome.set(Fact::Property, name, self.text.get(value))?;
        Ok(Some(value))
    }

    fn name(&mut self, token: &Token<'_>, is_final: bool) -> Result<Option<Span>, Halt> {
        if self.outcome.finals.name || self.outcome.property(b"IFINDEX").is_none() {
            return Ok(None);
        }
        let value = self.expand(token.value)?;
        if *self.escape != Escape::None {
            sanitize::replace_in_interface(self.text.get_mut(value));
        }
        self.outcome.set(Fact::Name, b"", self.text.get(value))?;
        self.outcome.finals.name |= is_final;
        Ok(Some(value))
    }

    fn links(&mut self, token: &Token<'_>, is_final: bool) -> Result<Option<Span>, Halt> {
        if self.outcome.finals.links || self.outcome.property(b"MAJOR").is_none() {
            return Ok(None);
        }
        let value = self.expand_squeezed(token.value, *self.escape != Escape::None)?;
        match *self.escape {
            Escape::Unset => sanitize::replace(self.text.get_mut(value), b"/ "),
            Escape::Replace => sanitize::replace(self.text.get_mut(value), b"/"),
            Escape::None => {}
        }
        if matches!(token.operator, Operator::Assign | Operator::Final) {
            self.outcome.clear(&[Fact::Link]);
        }
        self.outcome.finals.links |= is_final;
        for link in self.text.get(value).split(|byte| is_space(*byte)) {
            let Some(parts) = link_parts(link) else { continue };
            let mut path = heapless::Vec::<u8, 1024>::new();
            for part in parts {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                path.extend_from_slice(slash)
                    .and_then(|()| path.extend_from_slice(part))
                    .map_err(|_| Halt::Full)?;
            }
            if token.operator == Operator::Remove {
                self.outcome.remove(Fact::Link, &path);
            } else {
                self.outcome.insert(Fact::Link, &path)?;
            }
        }
        Ok(Some(value))
    }

    fn run(&mut self, token: &Token<'_>, is_final: bool) -> Result<Option<Span>, Halt> {
        if self.outcome.finals.run {
            return Ok(None);
        }
        let command = self.expand(token.value)?;
        if matches!(token.operator, Operator::Assign | Operator::Final) {
            self.outcome.clear(&[Fact::Program, Fact::Builtin]);
        }
        self.outcome.finals.run |= is_final;
        let fact = if token.key == Key::RunBuiltin { Fact::Builtin } else { Fact::Program };
        self.outcome.push(fact, self.text.get(command))?;
        Ok(Some(command))
    }
}

fn decimal(text: &[u8]) -> Option<i32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
