//! Tokens that decide whether a line applies.

use super::format::{Sight, is_plain};
use super::ledger::{Span, Text};
use super::outcome::{Fact, Outcome, octal};
use super::question::{Halt, Knowledge, Reply, What};
use super::sanitize::{self, is_space, trim_end};
use super::{Key, Token};

impl Sight<'_, '_> {
    /// Whether a token without consequences matches.
    pub(super) fn matches(&self, text: &mut Text<'_>, token: &Token<'_>) -> Result<bool, Halt> {
        let Self { knowledge, outcome, .. } = *self;
        let fits = match token.key {
            Key::Action => token.fits(knowledge.action()),
            Key::Subsystem => token.fits(knowledge.subsystem()),
            Key::Kernel => token.fits(knowledge.kernel(0)),
            Key::Devpath => token.fits(knowledge.devpath()),
            Key::Env => token.fits(outcome.property(token.name).unwrap_or_default()),
            Key::Tag => outcome.any(Fact::Tag, token),
            Key::Symlink => outcome.any(Fact::Link, token),
            Key::Name => token.fits(outcome.name().unwrap_or_default()),
            Key::Result => token.fits(outcome.result().unwrap_or_default()),
            Key::Const => fits_text(token, knowledge.reply(text, What::Constant, 0, token.name)?),
            Key::Driver => fits_text(token, knowledge.reply(text, What::Driver, 0, b"")?),
            Key::Attr => return self.attribute_matches(text, token, 0),
            Key::Sysctl => {
                let name = self.expand(text, token.name, false)?;
                match knowledge.reply_to(text, What::Sysctl, name, None)? {
                    Reply::Text(value) => token.fits(value.trim_ascii()),
                    _ => token.fits(b""),
                }
            }
            Key::Test => {
                let path = self.expand(text, token.value, false)?;
                let mode = if token.name.is_empty() { None } else { octal(token.name) };
                knowledge.reply_to(text, What::Exists, path, mode)? == Reply::Yes
            }
            _ => return Ok(true),
        };
        Ok(token.says(fits))
    }

    /// Looks for the first device, this one or one above, that all tokens about parents at the beginning of `tokens`
    /// match; answers it, if there is one, and the tokens behind them.
    pub(super) fn walk<'t>(
        &self,
        text: &mut Text<'_>,
        tokens: &'t [u8],
    ) -> Result<(Option<u8>, &'t [u8]), Halt> {
        let mut end = tokens;
        while let Some((token, after)) = Token::read(end)
            && token.key.is_of_parents()
        {
            end = after;
        }
        let about_parents = tokens.get(..tokens.len() - end.len()).unwrap_or_default();
        for (device, record) in (0..).zip(self.knowledge.devices()) {
            let mut rest = about_parents;
            let mut all = true;
            while all && let Some((token, after)) = Token::read(rest) {
                all = match token.key {
                    Key::Subsystems => token.says(token.fits(record.value)),
                    Key::Kernels => token.says(token.fits(record.key)),
                    Key::Drivers => {
                        let reply = self.knowledge.reply(text, What::Driver, device, b"")?;
                        token.says(fits_text(&token, reply))
                    }
                    Key::Attrs => self.attribute_matches(text, &token, device)?,
                    Key::Tags if device == 0 => token.says(self.outcome.any(Fact::Tag, &token)),
                    Key::Tags => match self.knowledge.reply(text, What::Tags, device, b"")? {
                        Reply::Text(tags) => token.says(
                            tags.split(|byte| *byte == b':').any(|tag| !tag.is_empty() && token.fits(tag)),
                        ),
                        _ => token.says(false),
                    },
                    _ => true,
                };
                rest = after;
            }
            if all {
                return Ok((Some(device), end));
            }
        }
        match self.knowledge.above() {
            Some(need) => Err(Halt::Need(need)),
            None => Ok((None, end)),
        }
    }

    /// An attribute that is not there matches nothing, and does not differ either.
    fn attribute_matches(&self, text: &mut Text<'_>, token: &Token<'_>, device: u8) -> Result<bool, Halt> {
        let expanded;
        let name = if is_plain(token.name) || token.name.starts_with(b"[") {
            token.name
        } else {
            let span = self.expand(text, token.name, false)?;
            expanded = heapless::Vec::<u8, 255>::from_slice(text.get(span)).map_err(|_| Halt::Full)?;
            &expanded
        };
        let Reply::Text(value) = self.knowledge.reply(text, What::Attribute, device, name)? else {
            return Ok(false);
        };
        // White space at the end counts only for who writes some.
        let trimmed = token.value.last().is_some_and(|last| !is_space(*last));
        Ok(token.says(token.fits(if trimmed { trim_end(value) } else { value })))
    }
}

fn fits_text(token: &Token<'_>, reply: Reply<'_>) -> bool {
    match reply {
        Reply::Text(text) => token.fits(text),
        _ => token.fits(b""),
    }
}

/// Tokens that bring something in, which stays even if a later token does not match.
pub(super) const BRINGERS: [Key; 7] = [
    Key::Program,
    Key::ImportFile,
    Key::ImportProgram,
    Key::ImportBuiltin,
    Key::ImportDb,
    Key::ImportCmdline,
    Key::ImportParent,
];

/// Brings it in. Answers whether the token matches, and what was asked for.
pub(super) fn bring(
    knowledge: &Knowledge<'_>,
    outcome: &mut Outcome<'_>,
    parent: Option<u8>,
    text: &mut Text<'_>,
    token: &Token<'_>,
) -> Result<(bool, Span), Halt> {
    let what = match token.key {
        Key::ImportFile => What::ImportFile,
        Key::ImportProgram => What::ImportProgram,
        Key::ImportBuiltin => What::ImportBuiltin,
        Key::ImportDb => What::ImportDatabase,
        Key::ImportCmdline => What::ImportCommandLine,
        Key::ImportParent => What::ImportParent,
        _ => What::Program,
    };
    let asked = match what {
        What::ImportDatabase | What::ImportCommandLine => text.push(token.value)?,
        _ => Sight { knowledge, outcome, parent }.expand(text, token.value, false)?,
    };
    let reply = knowledge.reply_to(text, what, asked, None)?;
    if what == What::Program {
        outcome.clear(&[Fact::Result]);
    }
    match (what, reply) {
        (_, Reply::No) | (What::Program, Reply::Yes) => {}
        (What::Program, Reply::Text(mut result)) => {
            while let [rest @ .., b'\n'] = result {
                result = rest;
            }
            let result = text.push(result)?;
            sanitize::replace(text.get_mut(result), sanitize::OF_INPUT);
            outcome.set(Fact::Result, b"", text.get(result))?;
        }
        (What::ImportDatabase | What::ImportCommandLine, Reply::Text(value)) => {
            outcome.set(Fact::Property, token.value, value)?;
        }
        (What::ImportCommandLine, Reply::Yes) => outcome.set(Fact::Property, token.value, b"1")?,
        (What::ImportParent, Reply::Text(lines)) => outcome.inherit(lines, text.get(asked))?,
        (_, Reply::Text(lines)) => outcome.import(lines)?,
        (_, Reply::Yes) => {}
    }
    Ok((token.says(reply != Reply::No), asked))
}
