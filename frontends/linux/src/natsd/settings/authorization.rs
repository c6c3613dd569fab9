//! Users with passwords, tokens and nkeys: `authorization { … }`.

use std::time::Duration;

use lunix_proto::nkey::{Kind, PublicKey};

use super::permissions::{connection_types, permissions};
use crate::config::{Section, Value};
use crate::natsd::auth::grant::{ConnectionTypes, Permissions};
use crate::natsd::auth::secret::Secret;

/// Somebody who may connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct User {
    /// How they are known.
    pub(crate) credential: Credential,
    /// The number of the account in [`Accounts`](super::accounts::Accounts); `None` for the global one.
    pub(crate) account: Option<usize>,
    /// What they may do; `None` for everything.
    pub(crate) permissions: Option<Permissions>,
    /// How they may connect.
    pub(crate) connection_types: ConnectionTypes,
}

/// How a user is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Credential {
    /// By a name and a password. Without password only a certificate or `no_auth_user` makes them known.
    Password(String, Option<Secret>),
    /// By a key of their own.
    Key(PublicKey),
}

impl User {
    /// The name, or the key as text.
    pub(crate) fn name(&self) -> String {
        match &self.credential {
            Credential::Password(name, _) => name.clone(),
            Credential::Key(key) => key.to_string(),
        }
    }
}

/// Who may connect to a server without accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Authorization {
    /// One user who has no permissions of their own, by name and password.
    pub(crate) single: Option<(String, Option<Secret>)>,
    /// Whoever knows it.
    pub(crate) token: Option<Secret>,
    /// All others.
    pub(crate) users: Vec<User>,
    /// How long a client may take to say who it is.
    pub(crate) timeout: Duration,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { single: None, token: None, users: Vec::new(), timeout: Duration::from_secs(2) }
    }
}

impl Authorization {
    /// Takes `authorization`.
    pub(super) fn configure(&mut self, file: &mut Section) {
        let Some(mut section) = file.block(&["authorization"]) else { return };
        let name = section.take(&["user", "username"]);
        let password = section.take(&["pass", "password"]);
        match (&name, &password) {
            (None, Some(password)) if !password.is_referred_to() => {
                password.note("expected a user for this password");
            }
            (Some(name), password) => {
                self.single = name.text().map(|name| (name, password.as_ref().and_then(secret)));
            }
            (None, _) => {}
        }
        self.token = section.take(&["token"]).as_ref().and_then(secret);
        if let Some(timeout) = section.duration(&["timeout"], MIN_TIMEOUT, MAX_TIMEOUT) {
            self.timeout = timeout;
        }
        let default =
            section.take(&["default_permissions", "default_permission", "permissions"]).and_then(permissions);
        let listed = section.take(&["users"]);
        section
            .absent(&[("auth_callout", "authorization callouts"), ("auth_hook", "authorization callouts")]);
        section.ignore(&["proxy_required"]);
        if let Some(value) = listed {
            if let Some(name) = &name {
                name.note("expected either this one user or 'users'");
            }
            if self.token.is_some() {
                value.note("expected either 'token' or users");
            }
            self.users = users(value, None, default.as_ref());
        }
        section.end();
    }
}

pub(super) const MIN_TIMEOUT: Duration = Duration::from_millis(1);
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

pub(super) fn secret(value: &Value) -> Option<Secret> {
    value.parsed("a password, or a whole hash of bcrypt", Secret::parse)
}

/// What [`user_key`] reads.
pub(super) const USER_KEY: &str = "the public key of a user, U…";

pub(super) fn user_key(text: &str) -> Option<PublicKey> {
    PublicKey::parse_as(Kind::User, text).ok()
}

/// A list of users of one account.
pub(super) fn users(value: Value, account: Option<usize>, default: Option<&Permissions>) -> Vec<User> {
    value.list().into_iter().filter_map(|value| user(value, account, default)).collect()
}

fn user(value: Value, account: Option<usize>, default: Option<&Permissions>) -> Option<User> {
    let mut section = value.block()?;
    let name = section.text(&["user", "username"]);
    let password = section.take(&["pass", "password"]);
    let key = section.take(&["nkey"]);
    let own = section.take(&["permissions", "permission", "authorization"]).and_then(permissions);
    let types = section.take(&["allowed_connection_types", "connection_types", "clients"]);
    let connection_types = types.map_or(ConnectionTypes::ALL, connection_types);
    section.absent(&[("proxy_required", "trusted proxies")]);
    let credential = match (name, key) {
        (Some(_), Some(key)) => {
            key.note("expected either a user or an nkey");
            None
        }
        (Some(name), None) => Some(Credential::Password(name, password.as_ref().and_then(secret))),
        (None, Some(key)) => {
            if let Some(password) = password {
                password.note("expected no password beside an nkey");
            }
            key.parsed(USER_KEY, user_key).map(Credential::Key)
        }
        (None, None) => {
            section.note("expected a user or an nkey");
            None
        }
    };
    section.end();
    let permissions = own.or_else(|| default.cloned());
    Some(User { credential: credential?, account, permissions, connection_types })
}
