//! All whom the broker has been told of, by number.

use lunix_core::broker::{AccountId, Permissions, Subjects, User, UserId};
use lunix_core::time::Instant;

use super::borders::Borders;
use super::grant;

/// Somebody who is, or may be, connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What they are called in what the server says about its clients.
    pub(crate) name: String,
    pub(crate) account: AccountId,
    pub(crate) permissions: grant::Permissions,
    pub(crate) subscriptions: Option<u32>,
    pub(crate) payload: Option<usize>,
    pub(crate) expires: Option<Instant>,
    /// It is the account's time that is over then.
    pub(crate) account_expires: bool,
}

impl Entry {
    /// Somebody without limits of their own.
    pub(super) fn new(name: String, account: AccountId, permissions: grant::Permissions) -> Self {
        let (subscriptions, payload, expires) = (None, None, None);
        Self { name, account, permissions, subscriptions, payload, expires, account_expires: false }
    }
}

/// Entries, each as long as somebody holds it: its clients, and who knows it by name.
#[derive(Debug, Default)]
pub(crate) struct Users {
    slots: Vec<(Option<Entry>, u32)>,
    free: Vec<u32>,
    /// What crosses from one account of theirs to another.
    pub(crate) borders: Borders,
    /// The borders have been drawn anew, and leaf nodes do not know.
    pub(crate) redrawn: bool,
}

impl Users {
    /// These are the borders from now on.
    pub(super) fn draw(&mut self, borders: Borders) {
        self.redrawn |= borders != self.borders;
        self.borders = borders;
    }

    /// Takes a new one, held once.
    pub(super) fn insert(&mut self, entry: Entry) -> UserId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((None, 0));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = (Some(entry), 1);
        }
        UserId::new(index)
    }

    /// Holds one once more.
    pub(super) fn hold(&mut self, user: UserId) {
        if let Some((_, holders)) = self.slots.get_mut(user.index() as usize) {
            *holders += 1;
        }
    }

    /// Lets go of one; nobody's number is given to another one.
    pub(super) fn release(&mut self, user: UserId) {
        if let Some((entry, holders)) = self.slots.get_mut(user.index() as usize) {
            *holders = holders.saturating_sub(1);
            if *holders == 0 && entry.take().is_some() {
                self.free.push(user.index());
            }
        }
    }

    /// Who has this number.
    pub(crate) fn find(&self, user: UserId) -> Option<&Entry> {
        self.slots.get(user.index() as usize)?.0.as_ref()
    }

    /// The same in the broker's words.
    pub(crate) fn of_broker(&self, user: UserId) -> Option<User<'_>> {
        let Entry { account, permissions, subscriptions, payload, expires, account_expires, .. } =
            self.find(user)?;
        Some(User {
            account: *account,
            permissions: Permissions {
                publish: subjects(&permissions.publish),
                subscribe: subjects(&permissions.subscribe),
                responses: permissions.responses.map(grant::Responses::of_broker),
            },
            subscriptions: *subscriptions,
            payload: *payload,
            expires: *expires,
            account_expires: *account_expires,
        })
    }
}

fn subjects(rule: &grant::Rule) -> Subjects<'_> {
    Subjects { allow: rule.allow.as_deref(), deny: &rule.deny }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_when_nobody_holds_them() {
        let mut users = Users::default();
        let entry =
            |name: &str| Entry::new(name.to_owned(), AccountId::GLOBAL, grant::Permissions::nothing());
        let a = users.insert(entry("a"));
        users.hold(a);
        users.release(a);
        assert_eq!(users.find(a).map(|entry| entry.name.as_str()), Some("a"));
        assert_eq!(users.of_broker(a).unwrap().permissions.publish.allow, Some(""));
        users.release(a);
        users.release(a);
        assert_eq!(users.find(a), None);
        let b = users.insert(entry("b"));
        assert_eq!((a, users.insert(entry("c"))), (b, UserId::new(1)));
    }
}
