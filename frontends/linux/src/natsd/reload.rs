//! SIGHUP: the settings are read again, compared with those in force, and applied as far as a running server can change.

use std::rc::Rc;

use lunix_core::broker::Input;
use lunix_core::time::Duration;

use super::log::{Log, Tag};
use super::server::{Server, Token};
use super::settings::Settings;
use crate::cli::Matches;
use crate::reactor::Reactor;

/// Where the settings come from, and what they are.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) matches: Matches,
    pub(super) settings: Rc<Settings>,
}

impl Source {
    /// Reads the settings again. If there is a mistake, or a change that needs a new start, that is logged, and there is
    /// no answer; otherwise each change is logged, and the answer is what was in force before.
    pub(super) fn reload(&mut self, log: &Log) -> Option<Rc<Settings>> {
        let new = match Settings::new(&self.matches) {
            Ok(new) => Rc::new(new),
            Err(mistakes) => {
                log.line(Tag::Error, "Reload: the configuration has mistakes; nothing has changed");
                for line in mistakes.to_string().lines() {
                    log.line(Tag::Error, format_args!("Reload: {line}"));
                }
                return None;
            }
        };
        let (live, fixed) = self.settings.facts().changes(&new.facts());
        if !fixed.is_empty() {
            log.line(Tag::Error, "Reload: this needs a new start; nothing has changed");
            fixed.iter().for_each(|line| log.line(Tag::Error, format_args!("Reload: {line}")));
            return None;
        }
        if live.is_empty() {
            log.line(Tag::Info, "Reload: no changes");
        }
        new.remarks.iter().for_each(|remark| log.line(Tag::Warn, format_args!("Reload: {remark}")));
        live.iter().for_each(|line| log.line(Tag::Info, format_args!("Reload: {line}")));
        Some(std::mem::replace(&mut self.settings, new))
    }
}

/// [`Settings::operation`]'s `busy_poll`, in the reactor's words.
pub(super) fn busy(settings: &Settings) -> Duration {
    Duration::from_micros(settings.operation.busy_poll.as_micros().try_into().unwrap_or(0))
}

impl Server {
    /// Reads the settings again and applies what has changed.
    /// Answers whether it could be.
    pub(super) fn reload(&mut self, reactor: &mut Reactor<Token>) -> bool {
        let Some(old) = self.source.reload(&self.wires.log) else { return false };
        let new = &self.source.settings;
        self.wires.log.follow(&new.logging);
        reactor.set_busy(busy(new));
        let limits = new.limits;
        let advertise = new.listen.client_advertise != old.listen.client_advertise;
        if advertise {
            self.wires.identity.advertise(&new.listen);
        }
        if new.tls != old.tls {
            self.handshakes.renew(&new.tls, &self.wires.log);
            if let Err(line) = self.monitor.renew(&new.monitoring, new.tls.tls.as_ref()) {
                self.wires.log.line(Tag::Error, format_args!("Reload: monitoring: {line}"));
            }
        }
        let payload = limits.payload != old.limits.payload;
        self.wires.identity.max_payload = limits.payload as u64;
        if limits != old.limits {
            self.drive(reactor.now(), Input::Limits { limits });
            self.close_what_ended(reactor);
        }
        if payload || advertise {
            self.drive(reactor.now(), Input::Inform);
            self.close_what_ended(reactor);
        }
        self.reload_auth(reactor);
        self.monitor.configured(reactor.now());
        self.wires.log.line(Tag::Info, "Reloaded server configuration");
        true
    }
}
