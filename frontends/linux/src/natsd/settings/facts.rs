//! Settings as lines of text: what a reload compares.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// What settings are, key by key.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<Fact>);

#[derive(Debug)]
struct Fact {
    key: &'static str,
    value: String,
    /// It can change while the server runs.
    live: bool,
    /// Nobody may see it.
    secret: bool,
}

impl Facts {
    fn push(&mut self, key: &'static str, value: String, live: bool, secret: bool) {
        self.0.push(Fact { key, value, live, secret });
    }

    /// What can change while the server runs.
    pub(crate) fn live(&mut self, key: &'static str, value: &dyn fmt::Display) {
        self.push(key, value.to_string(), true, false);
    }

    /// What stays as it was at the start.
    pub(crate) fn fixed(&mut self, key: &'static str, value: &dyn fmt::Display) {
        self.push(key, value.to_string(), false, false);
    }

    /// What can change, and must not be shown: a reload says only that it did.
    pub(crate) fn secret(&mut self, key: &'static str, value: &impl Hash) {
        self.push(key, fingerprint(value), true, true);
    }

    /// What stays as it was at the start, and must not be shown.
    pub(crate) fn sealed(&mut self, key: &'static str, value: &impl Hash) {
        self.push(key, fingerprint(value), false, true);
    }

    /// What is different in `new`: lines such as `max_payload: 1048576 -> 2097152`, and lines about what cannot change.
    pub(crate) fn changes(&self, new: &Self) -> (Vec<String>, Vec<String>) {
        let (mut live, mut fixed) = (Vec::new(), Vec::new());
        for (old, new) in self.0.iter().zip(&new.0).filter(|(old, new)| old.value != new.value) {
            let line = if old.secret {
                format!("{}: changed", old.key)
            } else {
                format!("{}: {} -> {}", old.key, old.value, new.value)
            };
            if old.live { &mut live } else { &mut fixed }.push(line);
        }
        (live, fixed)
    }
}

/// Tells that something has changed without holding what must not be shown.
fn fingerprint(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().to_string()
}

/// A value that may be none.
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_lines_and_secrets_stay_secret() {
        let facts = |payload: u32, port: u16, password: &str| {
            let mut facts = Facts::default();
            facts.live("max_payload", &payload);
            facts.fixed("port", &port);
            facts.secret("authorization", &password);
            facts.live("log_file", &OrNone(Some("x").filter(|_| payload > 1)));
            facts
        };
        let old = facts(1, 4222, "a");
        assert_eq!(old.changes(&facts(1, 4222, "a")), (vec![], vec![]));
        let (live, fixed) = old.changes(&facts(2, 4223, "b"));
        assert_eq!(live, ["max_payload: 1 -> 2", "authorization: changed", "log_file: none -> x"]);
        assert_eq!(fixed, ["port: 4222 -> 4223"]);
    }
}
