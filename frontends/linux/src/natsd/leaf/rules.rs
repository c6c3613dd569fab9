//! What may pass between this server and each leaf node, where the broker looks for it.

use std::collections::HashMap;

use lunix_core::broker::{AccountId, ClientId, Permissions, Subjects, User, UserId};
use lunix_core::time::Instant;
use lunix_proto::nats::Urls;

use crate::natsd::auth::grant::Rule;
use crate::natsd::auth::users::Entry;

/// The rules of all leaf nodes, by connection.
#[derive(Debug, Default)]
pub(in crate::natsd) struct Rulebook(HashMap<u32, Rules>);

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
    pub(super) subscriptions: Option<u32>,
    /// When it has to go.
    pub(super) expires: Option<Instant>,
    pub(super) account_expires: bool,
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

    /// What is allowed and denied, as lists.
    pub(super) fn lists(&self) -> (Vec<&str>, Vec<&str>) {
        (self.allow.iter().flat_map(|allow| allow.lines()).collect(), self.deny.lines().collect())
    }

    fn subjects(&self) -> Subjects<'_> {
        Subjects { allow: self.allow.as_deref(), deny: &self.deny }
    }
}

impl Rules {
    pub(super) fn of(account: AccountId) -> Self {
        let (send, take) = (Side::default(), Side::default());
        Self { account, send, take, subscriptions: None, expires: None, account_expires: false }
    }

    /// What a leaf node may do that is this user. Patterns that are about queue groups are taken at their strictest: to
    /// allow them allows nothing, and to deny them denies the subject.
    pub(super) fn of_user(user: &Entry) -> Self {
        let side = |rule: &Rule| Side {
            allow: rule.allow.as_ref().map(|lines| {
                let plain = lines.lines().filter(|line| !line.contains(' '));
                plain.fold(String::new(), |all, line| all + line + "\n")
            }),
            deny: rule
                .deny
                .lines()
                .fold(String::new(), |all, line| all + line.split(' ').next().unwrap_or_default() + "\n"),
        };
        let Entry { account, permissions, subscriptions, expires, account_expires, .. } = user;
        Self {
            account: *account,
            send: side(&permissions.subscribe),
            take: side(&permissions.publish),
            subscriptions: *subscriptions,
            expires: *expires,
            account_expires: *account_expires,
        }
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
        let Rules { account, subscriptions, expires, account_expires, .. } = *rules;
        Some(User { permissions, subscriptions, expires, account_expires, ..User::of(account) })
    }
}
