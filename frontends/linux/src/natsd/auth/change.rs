//! New settings and new tokens at the door: who is whom now, and who may not stay.

use std::io;
use std::rc::Rc;

use lunix_core::broker::{ClientId, Reason, UserId};

use super::door::{Door, How};
use super::identity::Rule;
use super::jwt::Trust;
use super::known::Known;
use super::users::Users;
use crate::natsd::settings::{Asked, Settings};

impl Door {
    /// Tokens of accounts have changed: who may not stay.
    pub(crate) fn review(&mut self, users: &mut Users) -> Vec<(ClientId, Reason)> {
        let Some(trust) = &mut self.trust else { return Vec::new() };
        trust.heard();
        let mut gone = Vec::new();
        for (index, guest) in (0..).zip(&self.guests) {
            let stay = guest.as_ref().and_then(|guest| guest.more.as_ref()?.stay);
            if stay.is_some_and(|stay| trust.may_stay(&stay).is_err()) {
                gone.push((ClientId::new(index), Reason::Revoked));
            }
        }
        self.redraw(users);
        gone
    }

    /// Takes new settings. Answers who is whom now, and who may not stay.
    ///
    /// # Errors
    /// There is no folder for the tokens of accounts; nothing has changed.
    pub(crate) fn reload(
        &mut self,
        settings: &Rc<Settings>,
        users: &mut Users,
    ) -> io::Result<Vec<(ClientId, Result<UserId, Reason>)>> {
        let auth = &settings.auth;
        if *auth == self.settings.auth {
            return Ok(Vec::new());
        }
        let trust = Trust::new(&auth.operator)?;
        let old_known = std::mem::replace(&mut self.known, Known::new(auth, &mut self.accounts, users));
        let old = std::mem::replace(&mut self.settings, Rc::clone(settings));
        self.trust = trust;
        self.version = 0;
        self.redraw(users);
        let mut changes = Vec::new();
        for index in 0..self.guests.len() {
            let client = ClientId::new(u32::try_from(index).unwrap_or(u32::MAX));
            let Some((user, _, how)) = self.guest(client).and_then(|guest| guest.user) else { continue };
            if how == How::Leaf {
                continue;
            }
            let stay = self.guest(client).and_then(|guest| guest.more.as_ref()?.stay);
            let found = match (how, stay, &mut self.trust) {
                (_, Some(stay), Some(trust)) => {
                    if trust.may_stay(&stay).is_err() {
                        changes.push((client, Err(Reason::Revoked)));
                    }
                    continue;
                }
                (_, Some(_), None) => None,
                (How::Uid(uid, _), None, _) => self.again_by_uid(uid, users),
                (How::Others, None, _) => self.known.others.map(|user| (user, how)),
                (How::Configured | How::Leaf, None, _) => old_known
                    .same_in(user, &old.auth, &self.known, &self.settings.auth)
                    .map(|user| (user, how)),
            };
            let seated = found.and_then(|(user, how)| self.seat(client, user, how, users).ok());
            changes.push((client, seated.ok_or(Reason::Authentication)));
        }
        old_known.release(users);
        Ok(changes)
    }

    fn again_by_uid(&mut self, uid: u32, users: &mut Users) -> Option<(UserId, How)> {
        if self.settings.auth.identity.asked == Asked::No {
            return None;
        }
        let identity = &self.settings.auth.identity;
        let rule = Rule::of(uid, &[], self.owner, identity);
        Some((self.known.of_uid(uid, rule, identity, users), How::Uid(uid, rule)))
    }
}
