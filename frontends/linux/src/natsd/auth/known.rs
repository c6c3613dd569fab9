//! Whom the configuration names.

use std::collections::HashMap;

use lunix_core::broker::{AccountId, UserId};

use super::accounts::Accounts;
use super::borders::{Borders, Sheet};
use super::grant::{ConnectionTypes, Permissions};
use super::identity::Rule;
use super::users::{Entry, Users};
use crate::natsd::settings::{Auth, Credential};

/// Whom the configuration names.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Users by name or key, and their place in [`Auth::users`].
    pub(super) named: HashMap<String, (UserId, usize)>,
    pub(super) single: Option<UserId>,
    pub(super) token: Option<UserId>,
    pub(super) others: Option<UserId>,
    pub(super) by_uid: HashMap<(u32, Rule), UserId>,
}

impl Known {
    pub(super) fn new(auth: &Auth, accounts: &mut Accounts, users: &mut Users) -> Self {
        let numbers = accounts.numbers(&auth.accounts);
        let sheets = auth.accounts.list.iter().zip(&numbers).map(|(settings, account)| Sheet {
            account: *account,
            name: settings.name.clone(),
            exports: settings.exports.clone(),
            imports: settings.imports.clone(),
        });
        users.borders = Borders::between(&sheets.collect::<Vec<_>>());
        let mut known = Self::default();
        for (at, user) in auth.users().enumerate() {
            let account = user.account.and_then(|at| numbers.get(at)).copied().unwrap_or(AccountId::GLOBAL);
            let limits = accounts.limits(account);
            let permissions = user.permissions.clone().unwrap_or_default();
            let entry = Entry {
                subscriptions: limits.subscriptions,
                payload: limits.payload,
                ..Entry::new(user.name(), account, permissions)
            };
            known.named.insert(user.name(), (users.insert(entry), at));
        }
        let mut free =
            |name: &str| users.insert(Entry::new(name.to_owned(), AccountId::GLOBAL, Permissions::default()));
        known.single = auth.authorization.single.as_ref().map(|(name, _)| free(name));
        known.token = auth.authorization.token.as_ref().map(|_| free(""));
        known.others = auth.identity.others.as_ref().map(|permissions| {
            users.insert(Entry::new(String::new(), AccountId::GLOBAL, permissions.clone()))
        });
        known
    }

    pub(super) fn has_keys(&self, auth: &Auth) -> bool {
        auth.users().any(|user| matches!(user.credential, Credential::Key(_)))
    }

    /// Who in other settings has the same credentials, in the same account.
    pub(super) fn same_in(&self, user: UserId, auth: &Auth, other: &Self, new: &Auth) -> Option<UserId> {
        if self.single == Some(user) {
            return other.single.filter(|_| auth.authorization.single == new.authorization.single);
        }
        if self.token == Some(user) {
            return other.token.filter(|_| auth.authorization.token == new.authorization.token);
        }
        let (name, (_, at)) = self.named.iter().find(|(_, (known, _))| *known == user)?;
        let (same, new_at) = other.named.get(name)?;
        let (old_user, new_user) = (auth.users().nth(*at)?, new.users().nth(*new_at)?);
        let account = |auth: &Auth, at: Option<usize>| {
            at.and_then(|at| auth.accounts.list.get(at)).map(|account| account.name.clone())
        };
        let stays = old_user.credential == new_user.credential
            && new_user.connection_types.has(ConnectionTypes::STANDARD)
            && account(auth, old_user.account) == account(new, new_user.account);
        stays.then_some(*same)
    }

    pub(super) fn release(self, users: &mut Users) {
        let Self { named, single, token, others, by_uid } = self;
        let all = named.into_values().map(|(user, _)| user).chain(by_uid.into_values());
        all.chain(single).chain(token).chain(others).for_each(|user| users.release(user));
    }
}
