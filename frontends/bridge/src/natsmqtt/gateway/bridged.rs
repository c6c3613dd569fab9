//! What bridges to other brokers bring, and what they take with them.

use std::rc::Rc;

use lunix_core::time::Instant;
use lunix_proto::mqtt::ReasonCode;

use super::message::Message;
use super::{Gateway, Upstream, publish};
use crate::natsmqtt::path::{self, Way};
use crate::natsmqtt::rules::Rules;

/// What became of a message that a bridge has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsmqtt) enum Brought {
    /// It is on its way to NATS.
    Taken,
    /// It was here before, by another way.
    Known,
    /// There is no room for it now.
    Full,
    /// It can never be said here, for this reason.
    Never(&'static str),
}

impl<U: Upstream> Gateway<U> {
    /// Calls this site so, instead of by a name that nobody else has.
    pub(in crate::natsmqtt) fn name_site(&mut self, site: &str) {
        self.passed.name_site(site.into());
    }

    /// The name of this site, by which messages remember that they were here.
    pub(in crate::natsmqtt) fn site(&self) -> &Rc<str> {
        self.passed.site()
    }

    /// Whether a message that came by `way` is to be said here: it was not here before. One without a path always is.
    pub(super) fn is_news(&mut self, now: Instant, way: Way, message: &Message) -> bool {
        let path = message.path();
        path.is_empty() || self.passed.is_news(now, way, path, &message.topic, &message.payload)
    }

    /// A message that other sites know, and that goes to clients: it has been here. A client may be a bridge that brings it elsewhere.
    pub(super) fn sign(&self, mut message: Message) -> Message {
        let path = message.path();
        if !path.is_empty()
            && let Some(longer) = path::extended(path, self.site())
        {
            message.set_path(longer);
        }
        message
    }

    /// Says a message on NATS, and keeps it if it is to be retained and there is room for that.
    pub(in crate::natsmqtt) fn bring(&mut self, now: Instant, way: Way, mut message: Message) -> Brought {
        match publish::may_publish(&Rules::default(), &message.topic).map_err(|refusal| refusal.reason()) {
            Ok(_) => {}
            Err(ReasonCode::NotAuthorized) => return Brought::Never("that is where NATS talks with itself"),
            Err(_) => return Brought::Never("no subject can say its topic"),
        }
        if !self.is_news(now, way, &message) {
            return Brought::Known;
        }
        // Refusing it would have the broker say it again for ever.
        message.retain &= self.admits(now, &message);
        if self.offer(now, &message) { Brought::Taken } else { Brought::Full }
    }

    /// The retained messages whose topics match a filter.
    pub(in crate::natsmqtt) fn kept(&self, now: Instant, filter: &str) -> Vec<Rc<Message>> {
        self.retained.matching(now, filter).cloned().collect()
    }
}
