//! What the door decides is carried out.

use lunix_core::broker::{ClientId, Input, Reason};
use lunix_core::time::Instant;

use super::auth::door::{CROWDED, Verdict};
use super::log::Tag;
use super::server::{Server, Token};
use crate::reactor::{Key, Reactor, Ready};

impl Server {
    /// Tells the broker who a client is, unless that is not known yet.
    pub(super) fn decide(&mut self, now: Instant, client: ClientId, verdict: Verdict) {
        let users = &mut self.broker.memory_mut().users;
        match self.wires.door.settle(now, client, verdict, users) {
            None => {}
            Some(Ok(user)) => {
                self.drive(now, Input::Admitted { client, user });
                self.tell_borders(now);
            }
            Some(Err(why)) => {
                let name = self.wires.connection(client.index()).map_or("", |connection| &connection.name);
                let line = format!("{name} - authentication error: {why}");
                self.wires.log.line(Tag::Error, line);
                let crowded = why == CROWDED;
                let reason = if crowded { Reason::AccountConnections } else { Reason::Authentication };
                self.drive(now, Input::Refused { client, reason });
            }
        }
    }

    /// Leaf nodes are told what crosses the borders, if those have changed.
    fn tell_borders(&mut self, now: Instant) {
        if std::mem::take(&mut self.broker.memory_mut().users.redrawn) {
            self.drive(now, Input::Borders);
        }
    }

    /// Passwords have been hashed: their clients go on.
    pub(super) fn hashed(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        self.wires.door.heard_hashes();
        reactor.read_blocked(key);
        while let Some((client, verdict)) = self.wires.door.answer() {
            if self.is_leaf(client) {
                self.decide_leaf(reactor, client, verdict);
            } else {
                self.decide(reactor.now(), client, verdict);
                self.announce(reactor.now(), client);
            }
            self.resume(reactor, client);
        }
        self.close_what_ended(reactor);
    }

    /// Carries out what a client has said meanwhile.
    fn resume(&mut self, reactor: &mut Reactor<Token>, client: ClientId) {
        let Some(connection) = self.wires.connection(client.index()) else { return };
        connection.waits = false;
        let (key, buffer) = (connection.key, connection.unread());
        reactor.want(key, connection.wanted());
        self.carry_out(reactor, key, client.index(), buffer);
    }

    /// Watches the folder of tokens, if there is one.
    pub(super) fn watch_tokens(&mut self, reactor: &mut Reactor<Token>) {
        if let Some(changes) = self.wires.door.changes() {
            self.watch = reactor.add(&changes, Token::Tokens, Ready::READ).ok();
        }
    }

    /// Tokens of accounts have changed: some clients have to go.
    pub(super) fn tokens_changed(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        reactor.read_blocked(key);
        let users = &mut self.broker.memory_mut().users;
        for (client, reason) in self.wires.door.review(users) {
            self.drive(reactor.now(), Input::Refused { client, reason });
        }
        self.tell_borders(reactor.now());
        self.close_what_ended(reactor);
    }

    /// Who is who may have changed with the settings.
    pub(super) fn reload_auth(&mut self, reactor: &mut Reactor<Token>) {
        if let (Some(key), Some(changes)) = (self.watch.take(), self.wires.door.changes()) {
            reactor.remove(key, &changes);
        }
        let users = &mut self.broker.memory_mut().users;
        match self.wires.door.reload(&self.source.settings, users) {
            Err(error) => self.wires.log.line(Tag::Error, format_args!("Reload: resolver: {error}")),
            Ok(changes) => {
                for (client, change) in changes {
                    if change.is_ok() && self.is_leaf(client) {
                        // It stays, under rules that may be others.
                        let _ = self.admit_leaf(reactor, client);
                        continue;
                    }
                    let input = match change {
                        Ok(user) => Input::Admitted { client, user },
                        Err(reason) => Input::Refused { client, reason },
                    };
                    self.drive(reactor.now(), input);
                }
            }
        }
        self.tell_borders(reactor.now());
        self.broker.memory_mut().served.claims = self.wires.door.keeps_tokens();
        self.watch_tokens(reactor);
        self.close_what_ended(reactor);
    }
}
