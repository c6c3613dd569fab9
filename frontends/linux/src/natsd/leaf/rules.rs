//! What may pass between this server and each leaf node, where the broker looks for it.

use std::collections::BTreeMap;

use lunix_core::broker::{AccountId, ClientId, Permissions, Subjects, User, UserId};
use lunix_proto::nats::Urls;

/// The rules of all leaf nodes, by connection.
#[derive(Debug, Default)]
pub(in crate::natsd) struct Rulebook(BTreeMap<u32, Rules>);

/// Users from this number on are leaf nodes, each by the number of its connection.
const LEAVES: u32 = 1 << 31;

/// What may pass: patterns, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) account: AccountId,
    /// What it may be sent.
    pub(super) send: Side,
    /// What is taken from it, and asked of it.
    pub(super) take: Side,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) allow: Option<String>,
    pub(super) deny: String,
}

impl Side {
    /// Denies these as well.
    pub(super) fn deny<'t>(&mut self, patterns: impl IntoIterator<Item = &'t str>) {
        for pattern in patterns {
            self.deny.push_str(pattern);
            self.deny.push('\n');
        }
    }

    /// Allows only these, if there are any.
    pub(super) fn allow<'t>(&mut self, patterns: impl IntoIterator<Item = &'t str>) {
        for pattern in patterns {
            let allow = self.allow.get_or_insert_default();
            allow.push_str(pattern);
            allow.push('\n');
        }
    }

    fn subjects(&self) -> Subjects<'_> {
        Subjects { allow: self.allow.as_deref(), deny: &self.deny }
    }
}

impl Rules {
    pub(super) fn of(account: AccountId) -> Self {
        Self { account, send: Side::default(), take: Side::default() }
    }
}

/// A list of subjects as it came; what does not fit into a subject is not one.
pub(super) fn listed(list: Urls<'_>) -> Vec<String> {
    list.iter().map(|text| text.chars().collect::<String>()).filter(|text| !text.contains('\n')).collect()
}

impl Rulebook {
    /// The user that a leaf node is.
    pub(super) fn user_of(client: ClientId) -> UserId {
        UserId::new(LEAVES + client.index())
    }

    pub(super) fn insert(&mut self, client: ClientId, rules: Rules) {
        self.0.insert(client.index(), rules);
    }

    pub(super) fn remove(&mut self, client: ClientId) {
        self.0.remove(&client.index());
    }

    /// Whom the broker asks for.
    pub(in crate::natsd) fn user(&self, user: UserId) -> Option<User<'_>> {
        let rules = self.0.get(&user.index().checked_sub(LEAVES)?)?;
        let permissions =
            Permissions { publish: rules.send.subjects(), subscribe: rules.take.subjects(), responses: None };
        Some(User { permissions, ..User::of(rules.account) })
    }
}
