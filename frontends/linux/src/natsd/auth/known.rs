//! Whom the configuration names.

use lunix_core::broker::{AccountId, UserId};

use super::accounts::Accounts;
use super::borders::{Borders, Sheet};
use super::grant::{ConnectionTypes, Permissions};
use super::identity::{self, Rule};
use super::users::{Entry, Users};
use crate::natsd::settings::{Auth, Credential, Identity};

/// Whom the configuration names.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Users by name or key in their order, and their place in [`Auth::users`].
    named: Vec<(String, (UserId, usize))>,
    pub(super) single: Option<UserId>,
    pub(super) token: Option<UserId>,
    pub(super) others: Option<UserId>,
    /// In their order.
    by_uid: Vec<((u32, Rule), UserId)>,
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
        users.draw(Borders::between(&sheets.collect::<Vec<_>>()));
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
            known.named.push((user.name(), (users.insert(entry), at)));
        }
        known.named.sort_unstable();
        let mut free =
            |name: &str| users.insert(Entry::new(name.to_owned(), AccountId::GLOBAL, Permissions::default()));
        known.single = auth.authorization.single.as_ref().map(|(name, _)| free(name));
        known.token = auth.authorization.token.as_ref().map(|_| free(""));
        known.others = auth.identity.others.as_ref().map(|permissions| {
            users.insert(Entry::new(String::new(), AccountId::GLOBAL, permissions.clone()))
        });
        known
    }

    /// The user of that name or key.
    pub(super) fn named(&self, name: &str) -> Option<&(UserId, usize)> {
        let at = self.named.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.named.get(at).map(|(_, user)| user)
    }

    /// All users that have names or keys.
    pub(super) fn all_named(&self) -> &[(String, (UserId, usize))] {
        &self.named
    }

    /// Who has `uid` by `rule`, and is made by it when seen for the first time.
    pub(super) fn of_uid(&mut self, uid: u32, rule: Rule, identity: &Identity, users: &mut Users) -> UserId {
        let place = self.by_uid.binary_search_by(|(known, _)| known.cmp(&(uid, rule)));
        if let Some((_, user)) = place.ok().and_then(|at| self.by_uid.get(at)) {
            return *user;
        }
        let user = users.insert(identity::entry(uid, rule, identity));
        self.by_uid.insert(place.unwrap_or_else(|at| at), ((uid, rule), user));
        user
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
        let (same, new_at) = other.named(name)?;
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
        let all =
            named.into_iter().map(|(_, (user, _))| user).chain(by_uid.into_iter().map(|(_, user)| user));
        all.chain(single).chain(token).chain(others).for_each(|user| users.release(user));
    }
}
