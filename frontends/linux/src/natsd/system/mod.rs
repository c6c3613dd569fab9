//! `$SYS`: what the server says about itself to its own clients, by nats-server's subjects and in its JSON.
//!
//! Nothing is made that nobody listens to, and nothing wakes an idle server for it.

mod claims;
mod options;
mod requests;
mod trace;

use std::time::Duration;

use lunix_core::broker::{AccountId, ClientId, ClientStatus, Input, Peer, Reason};
use lunix_core::time::Instant;

use super::monitor::{About, Json, State, View, account_statistics, nanos, statsz};
use super::server::Server;

pub(super) use requests::Served;
pub(super) use trace::Traces;

/// How often statistics are said to those who listen for them.
const STATISTICS: Duration = Duration::from_secs(10);

/// What is remembered between two things that are said.
#[derive(Debug)]
pub(super) struct System {
    /// Messages so far.
    sequence: u64,
    /// What the ids of events begin with.
    prefix: u64,
    /// When statistics are said next, while somebody listens.
    statistics: Option<Instant>,
    /// A client of the system's account has subscribed to something.
    pub(super) subscribed: bool,
}

impl System {
    /// `id` is the server's.
    pub(super) fn new(id: &str) -> Self {
        // FNV-1a: it need only differ from other servers' prefixes.
        let prefix = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { sequence: 0, prefix, statistics: None, subscribed: false }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.statistics
    }

    /// An id that no other event has.
    fn id(&mut self) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let (mut high, mut low) = (self.prefix, self.sequence);
        let mut text = String::with_capacity(22);
        for number in [&mut high, &mut low] {
            for _ in 0..11 {
                text.extend(DIGITS.get((*number % 62) as usize).map(|digit| char::from(*digit)));
                *number /= 62;
            }
        }
        text
    }
}

impl Server {
    /// What reports are made of.
    fn view(&mut self, now: Instant) -> View<'_> {
        self.view_and_books(now).0
    }

    /// Writes the members of `server`, which stand in all that is said.
    fn write_server(&mut self, json: &mut Json<'_>, now: Instant) {
        self.system.sequence += 1;
        let sequence = self.system.sequence;
        let view = self.view(now);
        let identity = view.identity;
        json.string("name", &identity.name).string("host", &identity.host).string("id", &identity.id);
        json.string("ver", super::identity::LEVEL);
        if !view.settings.operation.tags.is_empty() {
            json.key("tags").begin_array();
            view.settings.operation.tags.iter().for_each(|tag| {
                json.text(tag);
            });
            json.end_array();
        }
        json.number("jetstream", false).number("flags", 0).number("seq", sequence);
        json.key("time").plain(view.wall(now));
    }

    /// Says to `account` what `write` makes, after `server` and, if there is a type, what all events begin with.
    fn say(
        &mut self,
        now: Instant,
        account: AccountId,
        subject: &str,
        kind: Option<&str>,
        write: impl FnOnce(&mut Self, &mut Json<'_>),
    ) {
        let mut body = Vec::new();
        let mut json = Json::new(&mut body, State::new(false));
        json.begin_object();
        if let Some(kind) = kind {
            json.key("type").plain(format_args!("io.nats.server.advisory.v1.{kind}"));
            json.string("id", self.system.id()).key("timestamp").plain(self.view(now).wall(now));
        }
        json.key("server").begin_object();
        self.write_server(&mut json, now);
        json.end_object();
        write(self, &mut json);
        json.end_object();
        self.publish(now, account, subject.as_bytes(), body);
    }

    fn publish(&mut self, now: Instant, account: AccountId, subject: &[u8], mut body: Vec<u8>) {
        body.extend_from_slice(b"\r\n");
        self.drive(now, Input::Publish { account, subject, reply: None, header_len: 0, body: &body });
    }

    /// Says that a client has come, once it has said `CONNECT` and it is known who it is.
    pub(super) fn announce(&mut self, now: Instant, client: ClientId) {
        let Some(status) = self.broker.client(client).filter(|status| status.connected && status.admitted)
        else {
            return;
        };
        let Some(connection) = self.wires.connection(client.index()) else { return };
        connection.is_of_system = status.account == AccountId::SYSTEM;
        if std::mem::replace(&mut connection.is_announced, true) || status.leaf {
            return;
        }
        let account = self.wires.door.account_name(status.account).to_owned();
        self.say_connections(now, status.account, &account);
        let subject = format!("$SYS.ACCOUNT.{account}.CONNECT");
        if self.broker.listens(AccountId::SYSTEM, subject.as_bytes()) {
            self.say(now, AccountId::SYSTEM, &subject, Some("client_connect"), |server, json| {
                json.key("client").begin_object();
                let view = server.view(now);
                write_client(&view, json, &status, view.about(client), None);
                json.end_object();
            });
        }
    }

    /// Says that a client goes. The broker must not have been told yet, unless it has closed it itself.
    pub(super) fn say_disconnected(
        &mut self,
        now: Instant,
        client: ClientId,
        about: Option<&About>,
        announced: bool,
        reason: Option<Reason>,
    ) {
        let status = self.broker.client(client).or_else(|| self.broker.leaving(client));
        let Some(status) = status.filter(|status| !status.leaf) else { return };
        let refused = matches!(
            reason,
            Some(
                Reason::Authentication
                    | Reason::AuthenticationTimeout
                    | Reason::AccountConnections
                    | Reason::Expired
                    | Reason::AccountExpired
                    | Reason::Revoked
            )
        );
        let account = self.wires.door.account_name(status.account).to_owned();
        let mut subjects = Vec::new();
        if refused {
            subjects.push(format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", self.wires.identity.id));
        }
        if refused || announced {
            subjects.push(format!("$SYS.ACCOUNT.{account}.DISCONNECT"));
        }
        subjects.retain(|subject| self.broker.listens(AccountId::SYSTEM, subject.as_bytes()));
        let reason = reason.map_or_else(|| "Client Closed".to_owned(), |reason| reason.to_string());
        for subject in subjects {
            self.say(now, AccountId::SYSTEM, &subject, Some("client_disconnect"), |server, json| {
                json.key("client").begin_object();
                write_client(&server.view(now), json, &status, about, Some(now));
                json.end_object();
                // What the client sent and received.
                let traffic = status.traffic;
                for (key, messages, bytes) in [
                    ("sent", traffic.in_messages, traffic.in_bytes),
                    ("received", traffic.out_messages, traffic.out_bytes),
                ] {
                    json.key(key).begin_object().number("msgs", messages).number("bytes", bytes).end_object();
                }
                json.string("reason", &reason);
            });
        }
    }

    /// Says how many connections an account has.
    pub(super) fn say_connections(&mut self, now: Instant, account: AccountId, name: &str) {
        for subject in
            [format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), format!("$SYS.ACCOUNT.{name}.SERVER.CONNS")]
        {
            if self.broker.listens(AccountId::SYSTEM, subject.as_bytes()) {
                self.say_account(now, AccountId::SYSTEM, &subject, account, name);
            }
        }
    }

    /// Says to `to` what an account has.
    fn say_account(&mut self, now: Instant, to: AccountId, subject: &str, account: AccountId, name: &str) {
        self.say(now, to, subject, Some("account_connections"), |server, json| {
            let totals = server.account_totals(now, account);
            account_statistics(json, name, &totals);
        });
    }

    /// Says that the server stops, or is about to.
    pub(super) fn say_end(&mut self, now: Instant, what: &str) {
        let subject = format!("$SYS.SERVER.{}.{what}", self.wires.identity.id);
        if self.broker.listens(AccountId::SYSTEM, subject.as_bytes()) {
            let mut body = Vec::new();
            let mut json = Json::new(&mut body, State::new(false));
            json.begin_object();
            self.write_server(&mut json, now);
            json.end_object();
            self.publish(now, AccountId::SYSTEM, subject.as_bytes(), body);
        }
    }

    /// Says statistics if their time has come, or if somebody has begun to listen; begins or ends saying so.
    pub(super) fn say_statistics(&mut self, now: Instant) {
        let due = self.system.statistics.is_some_and(|at| at <= now);
        let begun = std::mem::take(&mut self.system.subscribed) && self.system.statistics.is_none();
        if !due && !begun {
            return;
        }
        let subject = format!("$SYS.SERVER.{}.STATSZ", self.wires.identity.id);
        let listened = self.broker.listens(AccountId::SYSTEM, subject.as_bytes());
        self.system.statistics = listened.then_some(now + STATISTICS);
        if listened {
            self.say_statsz(now, AccountId::SYSTEM, &subject);
        }
    }

    fn say_statsz(&mut self, now: Instant, to: AccountId, subject: &str) {
        self.say(now, to, subject, None, |server, json| {
            json.key("statsz");
            let (mut view, books) = server.view_and_books(now);
            statsz(&mut view, books, json);
        });
    }
}

/// Writes the members of `client` in events.
fn write_client(
    view: &View<'_>,
    json: &mut Json<'_>,
    status: &ClientStatus,
    about: Option<&About>,
    stop: Option<Instant>,
) {
    json.key("start").plain(view.wall(status.opened));
    if let Peer::Tcp(address) = status.peer {
        json.key("host").plain(address.ip().to_canonical());
    }
    let account = view.account_name(status.account);
    json.number("id", status.number).string("acc", account);
    let user = match (view.user_name(status.user), about) {
        ("", Some(about)) => &*about.user,
        (user, _) => user,
    };
    json.some("user", user);
    if let Some(About { name, lang, version, .. }) = about {
        json.some("name", &**name).some("lang", &**lang).some("ver", &**version);
    }
    if let Some(rtt) = status.rtt {
        json.number("rtt", nanos(rtt));
    }
    if let Some(stop) = stop {
        json.key("stop").plain(view.wall(stop));
    }
    json.string("name_tag", account).string("kind", "Client").string("client_type", "nats");
}
