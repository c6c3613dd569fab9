//! Who may connect.

use std::collections::BTreeMap;
use std::rc::Rc;

use lunix_proto::mqtt::ReasonCode;

use super::gateway::Refusal;
use super::rules::Rules;

/// Users, their passwords and what they may do.
#[derive(Clone, Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// Of those who have none of their own.
    rules: Rc<Rules>,
    anonymous: bool,
}

#[derive(Clone)]
struct User {
    secret: Secret,
    rules: Option<Rc<Rules>>,
}

#[derive(Clone)]
enum Secret {
    Plain(String),
    /// `$2b$COST$…`, as `htpasswd -B` makes it.
    Bcrypt(String),
    /// Nothing that can be said: a certificate alone.
    Certificate,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Whose a connection is, as far as that is known without a word of MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Anybody's.
    Stranger,
    /// Our own user's.
    Ours,
    /// A user's, by a certificate.
    User(Box<str>),
    /// Of a certificate that is no user's.
    Nobody,
}

impl Who {
    /// The user, if that is known.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::User(name) => Some(name),
            Self::Stranger | Self::Ours | Self::Nobody => None,
        }
    }
}

/// What is to be found out of a password.
pub(super) enum Verdict {
    /// No, and why.
    Refused(Refusal),
    /// Yes, by these rules.
    Admitted(Rc<Rules>),
    /// If it is the password of a hash, which takes longer to find out than an event loop may.
    Hash(Question, Rc<Rules>),
}

/// A password, and the hash that it may be of.
pub(super) struct Question {
    hash: String,
    password: Vec<u8>,
}

impl Question {
    /// Whether they belong together. Takes as long as the hash's cost demands, for which it was chosen.
    pub(super) fn answer(&self) -> bool {
        bcrypt::verify(&self.password, &self.hash).unwrap_or(false)
    }
}

impl Users {
    /// Adds a user, or replaces its password. `false` if either is empty or begins as a hash and is none.
    pub(super) fn add(&mut self, name: &str, password: &str, rules: Option<Rules>) -> bool {
        let is_hash = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|kind| password.starts_with(kind));
        let secret = match is_hash {
            true => Secret::Bcrypt(password.to_owned()),
            false => Secret::Plain(password.to_owned()),
        };
        let good = !name.is_empty() && !password.is_empty() && (!is_hash || password.len() == 60);
        if good {
            self.by_name.insert(name.to_owned(), User { secret, rules: rules.map(Rc::new) });
        }
        good
    }

    /// Adds a user who is known by a certificate alone; `false` without a name.
    pub(super) fn add_certified(&mut self, name: &str, rules: Option<Rules>) -> bool {
        let user = User { secret: Secret::Certificate, rules: rules.map(Rc::new) };
        !name.is_empty() && self.by_name.insert(name.to_owned(), user).is_none()
    }

    /// The names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().map(String::as_str)
    }

    /// What those may do for whom nothing else is said.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = Rc::new(rules);
    }

    /// Who does not say who he is may connect all the same.
    pub(super) fn admit_anonymous(&mut self) {
        self.anonymous = true;
    }

    /// Nobody has a password.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What `user` may do, if he may connect.
    pub(super) fn rules(&self, user: Option<&str>) -> Option<Rc<Rules>> {
        match user.filter(|_| !self.is_empty()) {
            Some(user) => {
                let rules = self.by_name.get(user)?.rules.as_ref();
                Some(rules.unwrap_or(&self.rules).clone())
            }
            None => (self.anonymous || self.is_empty()).then(|| self.rules.clone()),
        }
    }

    /// Whether who says to be `user` may connect. Without any users, all that devices do is done with our rights at NATS: those
    /// are lent to our own user only. Who has a certificate that says so needs no name, and has no other.
    pub(super) fn verify(&self, user: Option<&str>, password: Option<&[u8]>, who: &Who) -> Verdict {
        match who {
            Who::Nobody => return Verdict::Refused(ReasonCode::NotAuthorized.into()),
            Who::User(name) => {
                let found = self.by_name.get(&**name).filter(|_| user.is_none_or(|user| *user == **name));
                return match found {
                    Some(found) => Verdict::Admitted(found.rules.as_ref().unwrap_or(&self.rules).clone()),
                    None => Verdict::Refused(ReasonCode::BadUserNameOrPassword.into()),
                };
            }
            Who::Stranger | Who::Ours => {}
        }
        if self.is_empty() || user.is_none() {
            return match self.anonymous || self.is_empty() && *who == Who::Ours {
                true => Verdict::Admitted(self.rules.clone()),
                false => Verdict::Refused(Refusal::new(
                    ReasonCode::NotAuthorized,
                    match self.is_empty() {
                        true => "there are no users: only programs of natsmqtt's own user may connect",
                        false => "a user name and a password are wanted",
                    },
                )),
            };
        }
        let password = password.unwrap_or_default();
        let Some(User { secret, rules }) = user.and_then(|user| self.by_name.get(user)) else {
            return Verdict::Refused(ReasonCode::BadUserNameOrPassword.into());
        };
        let rules = rules.as_ref().unwrap_or(&self.rules).clone();
        match secret {
            Secret::Plain(secret) if same(secret.as_bytes(), password) => Verdict::Admitted(rules),
            Secret::Plain(_) | Secret::Certificate => {
                Verdict::Refused(ReasonCode::BadUserNameOrPassword.into())
            }
            Secret::Bcrypt(hash) => {
                Verdict::Hash(Question { hash: hash.clone(), password: password.to_vec() }, rules)
            }
        }
    }
}

/// In a time that says nothing of where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |unlike, (one, other)| unlike | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(users: &Users, user: Option<&str>, password: Option<&str>) -> bool {
        match users.verify(user, password.map(str::as_bytes), &Who::Stranger) {
            Verdict::Refused(_) => false,
            Verdict::Admitted(_) => true,
            Verdict::Hash(question, _) => question.answer(),
        }
    }

    #[test]
    fn plain_and_hashed_passwords() {
        let mut users = Users::default();
        assert!(users.add("plain", "secret", None));
        assert!(users.add("hashed", "$2b$04$VvP1PXke4a0s0scKte18z.jiaqOEnUd0t7q.GZ5kWp6nNQHz/xopm", None));
        assert!(!users.add("", "x", None) && !users.add("x", "", None) && !users.add("x", "$2b$short", None));
        assert!(admits(&users, Some("plain"), Some("secret")));
        assert!(admits(&users, Some("hashed"), Some("secret")) && !admits(&users, Some("hashed"), Some("x")));
        for (user, password) in
            [(None, None), (Some("plain"), None), (Some("plain"), Some("secre")), (Some("x"), Some("secret"))]
        {
            assert!(!admits(&users, user, password), "{user:?}");
        }
        users.admit_anonymous();
        assert!(admits(&users, None, None) && !admits(&users, Some("plain"), None));
    }

    #[test]
    fn a_certificate_is_a_name_and_no_password_stands_for_it() {
        let mut users = Users::default();
        assert!(users.add_certified("lamp", None) && !users.add_certified("", None));
        let (lamp, other) = (Who::User("lamp".into()), Who::User("other".into()));
        let admits = |user, password, who| matches!(users.verify(user, password, who), Verdict::Admitted(_));
        assert!(admits(None, None, &lamp) && admits(Some("lamp"), Some(&b"x"[..]), &lamp));
        assert!(!admits(Some("other"), None, &lamp) && !admits(None, None, &other));
        for password in [None, Some(&b""[..])] {
            assert!(
                !admits(Some("lamp"), password, &Who::Stranger)
                    && !admits(Some("lamp"), password, &Who::Ours)
            );
        }
    }

    #[test]
    fn our_rights_are_lent_to_ourselves_or_as_we_are_told() {
        let mut users = Users::default();
        let refused = |users: &Users, who| match users.verify(None, None, &who) {
            Verdict::Refused(refusal) => Some(refusal.reason()),
            _ => None,
        };
        assert_eq!(refused(&users, Who::Stranger), Some(ReasonCode::NotAuthorized));
        assert_eq!(refused(&users, Who::Ours), None);
        users.admit_anonymous();
        assert_eq!(refused(&users, Who::Stranger), None);
        assert_eq!(refused(&users, Who::Nobody), Some(ReasonCode::NotAuthorized));
    }
}
