//! `connz`: connections, one after the other.

use std::cmp::Reverse;
use std::vec::IntoIter;

use lunix_core::broker::{ClientId, ClientStatus, Peer, SubscriptionId};
use lunix_core::time::Instant;

use super::json::{Json, State};
use super::subsz;
use super::times::{Span, Uptime};
use super::view::{About, Books, View};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::natsd) struct Options {
    pub(in crate::natsd) sort: String,
    pub(in crate::natsd) auth: bool,
    pub(in crate::natsd) subs: Subs,
    pub(in crate::natsd) offset: usize,
    /// 0 for [`LIMIT`].
    pub(in crate::natsd) limit: usize,
    /// 0 for all.
    pub(in crate::natsd) cid: u64,
    pub(in crate::natsd) state: Which,
    pub(in crate::natsd) user: String,
    pub(in crate::natsd) account: String,
    pub(in crate::natsd) mqtt_client: String,
    pub(in crate::natsd) filter_subject: String,
}

/// Which connections are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::natsd) enum Which {
    #[default]
    Open,
    Closed,
    All,
}

/// How subscriptions are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::natsd) enum Subs {
    #[default]
    None,
    Subjects,
    Detail,
}

/// Entries of a list if nobody says how many.
pub(in crate::natsd) const LIMIT: usize = 1024;

/// A connection that is to be listed.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// An open one, and its number in the broker's life.
    Open(ClientId, u64),
    /// A closed one, by its number in the ring.
    Closed(u64),
}

/// A list under way.
#[derive(Debug)]
pub(in crate::natsd) struct Listing {
    auth: bool,
    subs: Subs,
    total: usize,
    offset: usize,
    limit: usize,
    entries: IntoIter<Entry>,
    state: State,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Connections,
    /// In the midst of a connection's subscriptions, of which there are at most `left` more.
    Subscriptions {
        client: ClientId,
        number: u64,
        next: Option<SubscriptionId>,
        left: u32,
    },
    Done,
}

/// What an open and a closed connection have in common.
#[derive(Clone, Copy, Debug)]
struct Facts<'a> {
    status: &'a ClientStatus,
    about: Option<&'a About>,
    user: &'a str,
    /// When it ended, and why.
    end: Option<(Instant, &'a str)>,
}

impl Listing {
    /// Chooses and sorts.
    ///
    /// # Errors
    /// What is wrong with `options`, as nats-server words it.
    pub(in crate::natsd) fn new(
        options: &Options,
        state: State,
        view: &mut View<'_>,
        books: &Books,
    ) -> Result<Self, String> {
        let sort =
            Sort::of(&options.sort).ok_or_else(|| format!("invalid sorting option: {}", options.sort))?;
        if matches!(sort, Sort::Stop | Sort::Reason) && options.state != Which::Closed {
            return Err(format!("sort by {} only valid on closed connections", options.sort));
        }
        let filter = Some(options.filter_subject.as_bytes()).filter(|filter| !matches!(*filter, b"" | b">"));
        if filter.is_some() && options.account.is_empty() {
            return Err("filter by subject only valid with account filtering".to_owned());
        }
        let mut found = Vec::new();
        let mut total = 0;
        let account = view.account(&options.account);
        // There is nobody in an account that there is not, and nobody speaks MQTT.
        if (account.is_some() || options.account.is_empty()) && options.mqtt_client.is_empty() {
            let wanted = |status: &ClientStatus| account.is_none_or(|account| status.account == account);
            if options.state != Which::Closed {
                let all: Vec<_> = view.clients().filter(|(_, status)| wanted(status)).collect();
                total += all.len();
                for (client, status) in all {
                    let user = view.user_name(status.user);
                    if asked(options, &status, user)
                        && filter.is_none_or(|filter| subsz::anything_collides(view, client, filter))
                    {
                        let facts = Facts { status: &status, about: None, user: "", end: None };
                        found.push((sort.key(facts, view.now), Entry::Open(client, status.number)));
                    }
                }
            }
            if options.state != Which::Open {
                for (number, closed) in books.closed.iter().filter(|(_, closed)| wanted(&closed.status)) {
                    total += 1;
                    if asked(options, &closed.status, &closed.user) {
                        let end = Some((closed.stop, &*closed.reason));
                        let facts = Facts { status: &closed.status, about: None, user: "", end };
                        found.push((sort.key(facts, view.now), Entry::Closed(number)));
                    }
                }
            }
        }
        found.sort_by_key(|(key, _)| *key);
        let limit = match (options.cid, options.limit) {
            (1.., _) => 1,
            (0, 0) => LIMIT,
            (0, limit) => limit,
        };
        let entries: Vec<_> =
            found.into_iter().skip(options.offset).take(limit).map(|(_, entry)| entry).collect();
        Ok(Self {
            auth: options.auth,
            subs: options.subs,
            total,
            offset: options.offset,
            limit,
            entries: entries.into_iter(),
            state,
            stage: Stage::Head,
        })
    }

    /// Writes more of it, until `out` has about `most` bytes; answers whether there is more.
    pub(in crate::natsd) fn piece(
        &mut self,
        view: &mut View<'_>,
        books: &mut Books,
        out: &mut Vec<u8>,
        most: usize,
    ) -> bool {
        let mut json = Json::new(out, self.state);
        while json.len() < most {
            self.stage = match self.stage {
                Stage::Head => {
                    json.begin_object();
                    view.stamp(&mut json);
                    json.number("num_connections", self.entries.len()).number("total", self.total);
                    json.number("offset", self.offset).number("limit", self.limit);
                    json.key("connections").begin_array();
                    Stage::Connections
                }
                Stage::Connections => match self.entries.next() {
                    Some(entry) => self.entry(view, books, &mut json, entry),
                    None => {
                        json.end_array().end_object();
                        Stage::Done
                    }
                },
                Stage::Subscriptions { client, number, next, left } => {
                    // Others may have come and gone since the last piece.
                    let still = view.broker.client(client).is_some_and(|status| status.number == number);
                    let next = next.filter(|_| still && left > 0);
                    let next = next.and_then(|next| {
                        subsz::one(view, &mut json, next, Some(client), self.subs == Subs::Detail)
                    });
                    match next {
                        Some(next) => Stage::Subscriptions {
                            client,
                            number,
                            next: next.after,
                            left: left.saturating_sub(1),
                        },
                        None => {
                            json.end_array().end_object();
                            Stage::Connections
                        }
                    }
                }
                Stage::Done => break,
            };
        }
        self.state = json.state();
        !matches!(self.stage, Stage::Done)
    }

    fn entry(&self, view: &mut View<'_>, books: &mut Books, json: &mut Json<'_>, entry: Entry) -> Stage {
        match entry {
            Entry::Closed(number) => {
                if let Some(closed) = books.closed.get(number) {
                    json.begin_object();
                    let end = Some((closed.stop, &*closed.reason));
                    let facts = Facts {
                        status: &closed.status,
                        about: closed.about.as_deref(),
                        user: &closed.user,
                        end,
                    };
                    facts.write(view, json, self.auth);
                    json.end_object();
                }
                Stage::Connections
            }
            Entry::Open(client, number) => {
                let Some(status) = view.broker.client(client).filter(|status| status.number == number) else {
                    return Stage::Connections;
                };
                let about = view.about(client);
                if status.rtt.is_none() && about.is_some_and(|about| !about.lang.is_empty()) {
                    books.asks.push(client);
                }
                json.begin_object();
                let user = view.user_name(status.user);
                Facts { status: &status, about, user, end: None }.write(view, json, self.auth);
                if self.subs == Subs::None || status.subscriptions == 0 {
                    json.end_object();
                    return Stage::Connections;
                }
                json.key(if self.subs == Subs::Detail {
                    "subscriptions_list_detail"
                } else {
                    "subscriptions_list"
                });
                json.begin_array();
                let next = view.broker.first_subscription(client);
                Stage::Subscriptions { client, number, next, left: status.subscriptions }
            }
        }
    }
}

/// Whether `options` ask for this connection.
fn asked(options: &Options, status: &ClientStatus, user: &str) -> bool {
    (options.cid == 0 || status.number == options.cid) && (options.user.is_empty() || options.user == user)
}

impl Facts<'_> {
    fn write(self, view: &View<'_>, json: &mut Json<'_>, auth: bool) {
        let Self { status, about, user, end } = self;
        let (ip, port) = match status.peer {
            Peer::Tcp(address) => (address.ip().to_canonical().to_string(), address.port()),
            Peer::Local => (String::new(), 0),
        };
        json.number("cid", status.number).string("kind", if status.leaf { "Leafnode" } else { "Client" });
        if !status.leaf {
            json.string("type", "nats");
        }
        json.string("ip", ip).number("port", port);
        json.key("start").plain(view.wall(status.opened));
        json.key("last_activity").plain(view.wall(status.heard));
        if let Some((stop, reason)) = end {
            json.key("stop").plain(view.wall(stop)).string("reason", reason);
        }
        let now = end.map_or(view.now, |(stop, _)| stop);
        json.key("rtt").plain(Span(status.rtt.unwrap_or_default()));
        json.key("uptime").plain(Uptime(now.since(status.opened)));
        json.key("idle").plain(Uptime(now.since(status.heard)));
        json.number("pending_bytes", status.pending);
        json.number("in_msgs", status.traffic.in_messages).number("out_msgs", status.traffic.out_messages);
        json.number("in_bytes", status.traffic.in_bytes).number("out_bytes", status.traffic.out_bytes);
        json.number("subscriptions", status.subscriptions);
        if let Some(About { name, lang, version, .. }) = about {
            json.some("name", name.as_bytes())
                .some("lang", lang.as_bytes())
                .some("version", version.as_bytes());
        }
        if auth {
            json.some("authorized_user", user);
            let account = view.account_name(status.account);
            if account != "$G" {
                json.string("account", account.as_bytes());
            }
            // nats-server does not say it of closed connections of the usual account.
            if account != "$G" || end.is_none() {
                json.string("name_tag", account.as_bytes());
            }
        }
    }
}

/// By what connections are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Cid,
    Subs,
    Pending,
    OutMessages,
    InMessages,
    OutBytes,
    InBytes,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

/// The smallest comes first.
type Key = (u64, [u8; 16], Reverse<u64>);

impl Sort {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "" | "cid" | "start" => Self::Cid,
            "subs" => Self::Subs,
            "pending" => Self::Pending,
            "msgs_to" => Self::OutMessages,
            "msgs_from" => Self::InMessages,
            "bytes_to" => Self::OutBytes,
            "bytes_from" => Self::InBytes,
            "last" => Self::Last,
            "idle" => Self::Idle,
            "uptime" => Self::Uptime,
            "stop" => Self::Stop,
            "reason" => Self::Reason,
            "rtt" => Self::Rtt,
            _ => return None,
        })
    }

    fn key(self, facts: Facts<'_>, now: Instant) -> Key {
        let Facts { status, end, .. } = facts;
        let micros = |at: Instant| at.as_micros();
        let down = |number: u64| u64::MAX - number;
        let mut text = [0; 16];
        let first = match self {
            Self::Cid => status.number,
            Self::Subs => down(u64::from(status.subscriptions)),
            Self::Pending => down(status.pending as u64),
            Self::OutMessages => down(status.traffic.out_messages),
            Self::InMessages => down(status.traffic.in_messages),
            Self::OutBytes => down(status.traffic.out_bytes),
            Self::InBytes => down(status.traffic.in_bytes),
            Self::Last => down(micros(status.heard)),
            Self::Idle => micros(status.heard),
            Self::Uptime => {
                let until = end.map_or(now, |(stop, _)| stop);
                micros(until).saturating_sub(micros(status.opened))
            }
            Self::Stop => down(end.map_or(0, |(stop, _)| micros(stop))),
            Self::Reason => {
                text.iter_mut()
                    .zip(end.map_or("", |(_, reason)| reason).bytes())
                    .for_each(|(to, byte)| *to = byte);
                0
            }
            Self::Rtt => down(status.rtt.map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))),
        };
        (first, text, Reverse(down(status.number)))
    }
}
