//! Who is who: all that natsd is told about it, in one place, because it must fit together.

use lunix_proto::nkey::{Kind, PublicKey};

use super::accounts::Accounts;
use super::authorization::{Authorization, User};
use super::identity::Identity;
use super::operator::Operator;
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::Section;
use crate::natsd::auth::secret::Secret;

/// Who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Auth {
    /// Users, passwords and tokens without accounts.
    pub(crate) authorization: Authorization,
    /// Accounts and their users.
    pub(crate) accounts: Accounts,
    /// Users and accounts by signed tokens.
    pub(crate) operator: Operator,
    /// Users of this machine.
    pub(crate) identity: Identity,
}

impl Auth {
    /// Users of all accounts and of none.
    pub(crate) fn users(&self) -> impl Iterator<Item = &User> {
        self.authorization.users.iter().chain(&self.accounts.users)
    }

    /// Clients need credentials that somebody has configured.
    pub(crate) fn is_configured(&self) -> bool {
        let Authorization { single, token, .. } = &self.authorization;
        single.is_some()
            || token.is_some()
            || self.users().next().is_some()
            || !self.operator.trusted.is_empty()
    }

    /// What is right by itself, but not together.
    fn check(&self, file: &Section) {
        let mut names: Vec<String> = self.users().map(User::name).collect();
        names.sort_unstable();
        for (name, _) in names.iter().zip(names.iter().skip(1)).filter(|(one, next)| one == next) {
            file.note(format_args!("the user '{name}' is there twice"));
        }
        if let Some(name) = &self.accounts.no_auth_user {
            if names.binary_search(name).is_err() {
                file.note(format_args!("no_auth_user: there is no user '{name}'"));
            }
            if !self.operator.trusted.is_empty() {
                file.note("no_auth_user: without meaning beside an operator");
            }
        }
        if !self.operator.trusted.is_empty() && !names.is_empty() {
            file.note("operator: expected no users beside it; they come with tokens");
        }
        if !self.accounts.users.is_empty() && self.authorization.single.is_some() {
            file.note("authorization: expected either one user or accounts with users");
        }
        if !self.accounts.users.is_empty() && self.authorization.token.is_some() {
            file.note("authorization: expected either a token or accounts with users");
        }
        if let Some(system) = &self.accounts.system
            && self.operator.trusted.is_empty()
            && !self.accounts.list.iter().any(|account| account.name == *system)
        {
            file.note(format_args!("system_account: there is no account '{system}'"));
        }
        if self.operator.trusted.is_empty() && !self.operator.preload.is_empty() {
            file.note("resolver_preload: without meaning without an operator");
        }
    }
}

impl Subject for Auth {
    fn configure(&mut self, file: &mut Section) {
        self.authorization.configure(file);
        self.accounts.configure(file);
        self.operator.configure(file);
        self.identity.configure(file);
        if let Some(system) = self.accounts.system.as_ref().filter(|_| !self.operator.trusted.is_empty()) {
            // The configuration wins over what the operator's token names.
            match PublicKey::parse_as(Kind::Account, system) {
                Ok(key) => self.operator.system = Some(key),
                Err(_) => file.note("system_account: expected the public key of an account, A…"),
            }
        }
        self.check(file);
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        const PASSWORD: &str = "a password, or a whole hash of bcrypt";
        let secret = |flag: &'static str| {
            let text = matches.text(flag)?;
            text.map(|text| Secret::parse(text).ok_or_else(|| matches.wrong(flag, PASSWORD, "***")))
                .transpose()
        };
        let password = secret("pass")?;
        if let Some(name) = matches.text("user")? {
            self.authorization.single = Some((name.to_owned(), password));
        } else if password.is_some() {
            return Err(matches.error(format_args!("--pass: expected --user beside it")));
        }
        if let Some(token) = secret("auth")? {
            self.authorization.token = Some(token);
        }
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.secret("authorization", &self.authorization);
        facts.secret("accounts", &self.accounts);
        facts.secret("operator", &self.operator);
        facts.secret("identity", &self.identity);
    }
}
