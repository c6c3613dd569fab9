//! Leaf nodes where they are left out: nobody joins, and nobody is joined.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use lunix_core::broker::{ClientId, LeafAction, Peer, User, UserId};
use lunix_core::time::Instant;

use crate::natsd::auth::door::Verdict;
use crate::natsd::server::{Server, Token};
use crate::natsd::settings::Settings;
use crate::natsd::tls::Acceptor;
use crate::natsd::wires::Wires;
use crate::reactor::{Key, Reactor};

#[derive(Debug)]
pub(in crate::natsd) enum Said {}

#[derive(Debug, Default)]
pub(in crate::natsd) struct Rulebook;

#[derive(Debug)]
pub(in crate::natsd) struct Leaves;

impl Rulebook {
    pub(in crate::natsd) fn user(&self, _: UserId) -> Option<User<'_>> {
        None
    }
}

impl Leaves {
    pub(in crate::natsd) fn new(_: Rc<Settings>, _: u64) -> Self {
        Self
    }

    pub(in crate::natsd) fn listen(&mut self, _: usize, _: String, _: Option<Acceptor>) {}

    pub(in crate::natsd) fn name_of(&self, _: ClientId) -> &str {
        ""
    }

    pub(in crate::natsd) fn listens(&self, _: usize) -> bool {
        false
    }

    pub(in crate::natsd) fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

impl Server {
    pub(in crate::natsd) fn join_hubs(&mut self, _: &mut Reactor<Token>) {}

    pub(in crate::natsd) fn leaf_deadlines(&mut self, _: &mut Reactor<Token>) {}

    pub(in crate::natsd) fn accept_leaf(&mut self, _: &mut Reactor<Token>, _: OwnedFd, _: Peer, _: String) {}

    pub(in crate::natsd) fn hear_leaves(&mut self, _: &mut Reactor<Token>) {}

    pub(in crate::natsd) fn is_leaf(&self, _: ClientId) -> bool {
        false
    }

    pub(in crate::natsd) fn decide_leaf(&mut self, _: &mut Reactor<Token>, _: ClientId, _: Verdict) {}

    pub(in crate::natsd) fn admit_leaf(
        &mut self,
        _: &mut Reactor<Token>,
        _: ClientId,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(in crate::natsd) fn leaf_closed(&mut self, _: &mut Reactor<Token>, _: ClientId) {}

    pub(in crate::natsd) fn remote_ready(&mut self, _: &mut Reactor<Token>, _: Key, _: usize) {}
}

impl Wires {
    pub(in crate::natsd) fn act_for_leaf(&mut self, _: LeafAction<'_>) {}
}
