//! Signed tokens where they are left out.

use std::io;
use std::os::fd::OwnedFd;

use lunix_core::broker::AccountId;
use lunix_proto::nkey::PublicKey;

use super::{Bearer, Refusal, Shown, Stay};
use crate::natsd::auth::borders::Sheet;
use crate::natsd::settings::{Operator, Trusted};

#[derive(Debug)]
enum Never {}

#[derive(Debug)]
pub(in crate::natsd) struct Trust(Never);

/// There is none.
pub(in crate::natsd) fn operator(_: &str) -> Option<(Trusted, Option<PublicKey>)> {
    None
}

/// It is none.
pub(in crate::natsd) fn is_of(_: &str, _: &PublicKey) -> bool {
    false
}

impl Trust {
    pub(in crate::natsd::auth) fn new(_: &Operator) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(in crate::natsd::auth) fn sheets(&mut self, _: impl FnMut(&PublicKey) -> AccountId) -> Vec<Sheet> {
        match self.0 {}
    }
}

macro_rules! never {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl Trust {
            $(pub(in crate::natsd::auth) fn $name(&self, $(_: $argument),*) -> $answer {
                match self.0 {}
            })*
        }
    };
}

never! {
    system() -> Option<PublicKey>;
    watch() -> Option<&OwnedFd>;
    heard() -> ();
    bearer(&Shown<'_>) -> Result<Bearer, Refusal>;
    may_stay(&Stay) -> Result<(), Refusal>;
    version() -> u64;
    keeps_tokens() -> bool;
    keep_token(&str, Option<&str>) -> Result<PublicKey, (Option<PublicKey>, String)>;
    connections(&PublicKey) -> (Option<u32>, Option<u32>);
}
