//! Leaf nodes at the door: those whom `leafnodes.authorization` names, or whoever may come in as a client.

use std::os::fd::AsFd;

use lunix_core::broker::{AccountId, ClientId, Peer, UserId};

use super::door::{Credentials, Door, How, Verdict};
use super::grant::Permissions;
use super::identity::Rule;
use super::users::{Entry, Users};
use crate::natsd::settings::{Credential, LeafUser};
use crate::natsd::tls::Certificate;

impl Door {
    /// Leaf nodes that come in with credentials of their own.
    pub(crate) fn expect_leaves(&mut self, expected: &[LeafUser], users: &mut Users) {
        for user in expected {
            let account = self.accounts.number(&user.account);
            let name = match &user.credential {
                Credential::Password(name, _) => name.clone(),
                Credential::Key(key) => key.to_string(),
            };
            let entry = Entry::new(name, account, Permissions::default());
            self.leaves.push((user.credential.clone(), users.insert(entry)));
        }
    }

    /// A leaf node's connection begins. Without credentials it may be `no_auth_user`, and as a process of this machine it
    /// must be root's or our own: a leaf node says and hears what it likes.
    pub(crate) fn leaf_opened(
        &mut self,
        client: ClientId,
        socket: impl AsFd,
        peer: Peer,
        users: &mut Users,
    ) -> Option<UserId> {
        self.begin(client, peer, true);
        if !self.leaves.is_empty() {
            return None;
        }
        let (user, how) = self.without_credentials(socket, peer, users)?;
        match how {
            How::Uid(_, Rule::Owner) | How::Configured => self.seat(client, user, how, users).ok(),
            _ => None,
        }
    }

    /// Who a leaf node is.
    pub(crate) fn ask_leaf(
        &mut self,
        client: ClientId,
        shown: &Credentials<'_>,
        certificate: Option<Certificate>,
    ) -> Verdict {
        if self.leaves.is_empty() {
            return self.ask(client, shown, certificate);
        }
        let is_named = |credential: &Credential| match credential {
            Credential::Password(name, _) => match &certificate {
                Some(certificate) => {
                    certificate.names().any(|other| other == name) || certificate.is_subject(name)
                }
                None => shown.user.eq_str(name),
            },
            Credential::Key(key) => shown.nkey.eq_str(&key.to_string()),
        };
        let found = self.leaves.iter().find(|(credential, _)| is_named(credential));
        let Some((credential, user)) = found.cloned() else { return Verdict::Refuse("no such leaf node") };
        match credential {
            Credential::Key(key) => self.check_key(client, &key, shown, user, How::Leaf),
            Credential::Password(..) if certificate.is_some() => Verdict::Admit(user, How::Leaf),
            Credential::Password(_, Some(secret)) => {
                self.check_secret(client, &secret, shown.pass, user, How::Leaf)
            }
            Credential::Password(_, None) if shown.pass.is_empty() => Verdict::Admit(user, How::Leaf),
            Credential::Password(_, None) => Verdict::Refuse("the user has no password"),
        }
    }

    /// Who a leaf node has turned out to be, once it is let in.
    pub(crate) fn leaf_user(&self, client: ClientId) -> Option<UserId> {
        self.guest(client)?.user.map(|(user, ..)| user)
    }

    /// How many leaf nodes an account may have at the same time.
    pub(crate) fn most_leaves(&self, account: AccountId) -> Option<u32> {
        self.accounts.limits(account).leafnodes
    }
}
