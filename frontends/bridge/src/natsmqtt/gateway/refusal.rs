//! Why something is refused, or ends.

use std::borrow::Cow;

use lunix_proto::mqtt::{DecodeError, ReasonCode};

/// Why something is refused, or ends: for programs, and for people where there is more to say than the code does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::natsmqtt) struct Refusal {
    reason: ReasonCode,
    words: Cow<'static, str>,
}

/// What is quoted of what a client said is not longer than this.
const QUOTED: usize = 128;

impl Refusal {
    pub(in crate::natsmqtt) fn new(reason: ReasonCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, words: words.into() }
    }

    /// For programs.
    pub(in crate::natsmqtt) const fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// What it is about comes first.
    pub(super) fn about(self, what: &str) -> Self {
        let words = format!("{}: {}", quoted(what), self.text());
        Self { words: words.into(), ..self }
    }

    /// For the reason string of a packet; empty where that would only repeat the code.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// In words, whether there is more to say than the code does or not.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match &*self.words {
            "" => self.reason.to_string().into(),
            words => words.into(),
        }
    }
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, words: "".into() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

/// The beginning of a text that a client has said.
pub(super) fn quoted(text: &str) -> &str {
    text.get(..text.floor_char_boundary(QUOTED)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_short_and_text() {
        let full = Refusal::new(ReasonCode::QuotaExceeded, "256 are the most");
        assert_eq!(full.clone().about("a/#").words(), "a/#: 256 are the most");
        assert_eq!(full.about(&"ä".repeat(1000)).words().chars().filter(|c| *c == 'ä').count(), 64);
        let plain = Refusal::from(ReasonCode::NotAuthorized);
        assert_eq!((plain.words(), &*plain.text()), ("", "not authorized"));
        assert_eq!(plain.about("a").words(), "a: not authorized");
    }
}
