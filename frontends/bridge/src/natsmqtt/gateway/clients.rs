//! The clients, as NATS hears of them: `mqtt.clients`, `mqtt.client.connected` and `mqtt.client.disconnected`.

use std::net::SocketAddr;
use std::rc::Rc;

use lunix::encoded::encoded;
use lunix_core::time::Instant;
use lunix_proto::json::{self, Value, Writer};
use lunix_proto::mqtt::{Connect, Version};

use super::refusal::Refusal;
use super::session::{Session, SessionId};
use super::{Gateway, Upstream};

/// Who a client was when it connected last.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its user, if that was verified.
    user: Option<Box<str>>,
    address: SocketAddr,
    version: Version,
    keep_alive: u16,
    clean: bool,
}

/// What a client that is written here takes as a rule.
const USUAL: usize = 512;

/// What is said of a client.
#[derive(Clone, Copy)]
enum Said<'s> {
    Listed,
    Connected { again: bool },
    Disconnected { why: Option<&'s Refusal> },
}

impl Peer {
    pub(super) fn new(user: Option<&str>, address: SocketAddr, connect: &Connect<'_>) -> Self {
        let &Connect { version, keep_alive, clean_start: clean, .. } = connect;
        Self { user: user.map(Into::into), address, version, keep_alive, clean }
    }

    fn write(&self, json: &mut Writer<'_>) {
        if let Some(user) = &self.user {
            json.key("user").string(user);
        }
        json.key("address").string(&self.address.to_string());
        json.key("protocol").string(match self.version {
            Version::V31 => "3.1",
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        });
        json.key("keep_alive").number(self.keep_alive.into());
        json.key("clean").bool(self.clean);
    }
}

/// The object of one client.
fn write(session: &Session, said: Said<'_>) -> Vec<u8> {
    encoded(USUAL, |out| {
        let mut json = Writer::new(out);
        json.begin_object();
        json.key("client").string(&session.client);
        json.key("connected").bool(session.link.is_some());
        if let Some(peer) = &session.peer {
            peer.write(&mut json);
        }
        json.key("session_expiry").number(session.expiry.as_secs());
        json.key("subscriptions").number(session.subscriptions.len() as u64);
        json.key("queued").number(session.outbound.len() as u64);
        json.key("lost").number(session.lost);
        json.key("at_us").number(session.since.as_micros());
        match said {
            Said::Connected { again: true } => _ = json.key("again").bool(true),
            Said::Disconnected { why } => {
                if let Some(why) = why {
                    json.key("code").number(why.reason().code().into());
                }
                json.key("reason").string(&why.map_or("the connection was lost".into(), Refusal::text));
            }
            Said::Listed | Said::Connected { .. } => {}
        }
        json.end_object();
        json.finish()
    })
}

impl<U: Upstream> Gateway<U> {
    /// A client has connected, at this time.
    pub(super) fn say_connected(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.since = now;
        }
        self.say_client(id, Said::Connected { again: false });
    }

    /// A client has no connection any more, since this time; `why`, if anybody said so.
    pub(super) fn say_disconnected(&mut self, now: Instant, id: SessionId, why: Option<&Refusal>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.since = now;
        }
        self.say_client(id, Said::Disconnected { why });
    }

    /// While there is no server nobody hears, and what devices say needs the room; who is connected then is announced later. What
    /// finds no room is not said.
    fn say_client(&mut self, id: SessionId, said: Said<'_>) {
        let Some(session) = self.sessions.get(&id).filter(|_| self.upstream.is_ready()) else { return };
        let subject = match said {
            Said::Disconnected { .. } => "mqtt.client.disconnected",
            _ => "mqtt.client.connected",
        };
        let object = write(session, said);
        let _ = self.upstream.publish(subject, None, b"", &object);
    }

    /// There is a server again: all who are connected are to be announced to it.
    pub(in crate::natsmqtt) fn announce(&mut self) {
        self.unannounced = self.links.values().filter_map(|link| link.session).collect();
    }

    /// Announces one of them; whether there was one.
    pub(in crate::natsmqtt) fn announce_next(&mut self) -> bool {
        let Some(id) = self.unannounced.pop() else { return false };
        if self.sessions.get(&id).is_some_and(|session| session.link.is_some()) {
            self.say_client(id, Said::Connected { again: true });
        }
        true
    }

    /// Answers `mqtt.clients`: all clients in the order of their names, or those `after` one, as many as `most` bytes hold.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub(in crate::natsmqtt) fn clients(&self, question: &[u8], most: usize) -> Result<Vec<u8>, String> {
        let after = after(question)?;
        let mut all: Vec<(&Rc<str>, SessionId)> = self
            .clients
            .iter()
            .filter(|(client, _)| after.as_ref().is_none_or(|after| ***client > **after))
            .map(|(client, id)| (client, *id))
            .collect();
        all.sort_unstable();
        let mut out = vec![b'['];
        for session in all.iter().filter_map(|(_, id)| self.sessions.get(id)) {
            let object = write(session, Said::Listed);
            if out.len() + object.len() + 2 > most {
                break;
            }
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&object);
        }
        out.push(b']');
        Ok(out)
    }
}

/// `{after}`, optional; nothing at all is fine, too.
fn after(question: &[u8]) -> Result<Option<String>, String> {
    if question.trim_ascii().is_empty() {
        return Ok(None);
    }
    let value = json::parse(question).map_err(|error| format!("not JSON at byte {}", error.at))?;
    let object = value.as_object().ok_or("expected an object")?;
    match object.get("after") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.chars().collect())),
        Some(_) => Err("after: expected a string, the name of a client".to_owned()),
    }
}
