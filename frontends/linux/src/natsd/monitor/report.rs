//! Reports by name: what HTTP and `$SYS` have in common.

use lunix_core::broker::Peer;

use super::connz;
use super::json::{Json, State};
use super::subsz;
use super::times::Span;
use super::varz;
use super::view::{Books, View};

/// What is counted in `http_req_stats`.
pub(super) const PATHS: [&str; 11] = [
    "/",
    "/accountz",
    "/accstatz",
    "/connz",
    "/gatewayz",
    "/healthz",
    "/jsz",
    "/leafz",
    "/routez",
    "/subsz",
    "/varz",
];

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::natsd) enum Wish {
    Varz,
    Connz(connz::Options),
    Subsz(subsz::Options),
    Routez,
    Leafz,
    Gatewayz,
    /// One account or, if there is no name, all their names.
    Accountz(String),
    Accstatz(AccountFilter),
    Jsz,
}

/// Which accounts `accstatz` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::natsd) struct AccountFilter {
    /// None for all of them.
    pub(in crate::natsd) accounts: Vec<String>,
    /// Those too in which nobody is.
    pub(in crate::natsd) unused: bool,
}

/// A report under way. What is short is written whole.
#[derive(Debug)]
pub(in crate::natsd) enum Report {
    Whole(Vec<u8>),
    Connz(Box<connz::Listing>),
    Subsz(Box<subsz::Listing>),
}

impl Report {
    /// Begins one.
    ///
    /// # Errors
    /// What is wrong with the wish, as nats-server words it.
    pub(in crate::natsd) fn new(
        wish: Wish,
        state: State,
        view: &mut View<'_>,
        books: &mut Books,
    ) -> Result<Self, String> {
        match &wish {
            Wish::Connz(options) => {
                return Ok(Self::Connz(Box::new(connz::Listing::new(options, state, view, books)?)));
            }
            Wish::Subsz(options) => {
                return Ok(Self::Subsz(Box::new(subsz::Listing::new(options.clone(), state, view)?)));
            }
            _ => {}
        }
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, state);
        match wish {
            Wish::Varz => varz::varz(view, books, &mut json),
            Wish::Routez => routez(view, &mut json),
            Wish::Leafz => leafz(view, &mut json),
            Wish::Gatewayz => gatewayz(view, &mut json),
            Wish::Accountz(name) => accountz(view, books, &mut json, &name)?,
            Wish::Accstatz(filter) => {
                accstatz(view, books, &mut json, &filter);
            }
            Wish::Jsz | Wish::Connz(_) | Wish::Subsz(_) => jsz(view, &mut json),
        }
        Ok(Self::Whole(out))
    }

    /// Writes more of it, until `out` has about `most` bytes; answers whether there is more.
    pub(in crate::natsd) fn piece(
        &mut self,
        view: &mut View<'_>,
        books: &mut Books,
        out: &mut Vec<u8>,
        most: usize,
    ) -> bool {
        match self {
            Self::Whole(whole) => {
                out.append(whole);
                false
            }
            Self::Connz(listing) => listing.piece(view, books, out, most),
            Self::Subsz(listing) => listing.piece(view, out, most),
        }
    }
}

fn routez(view: &View<'_>, json: &mut Json<'_>) {
    json.begin_object();
    view.stamp(json);
    json.string("server_name", &view.identity.name)
        .number("num_routes", 0)
        .empty("routes", "[]")
        .end_object();
}

fn leafz(view: &mut View<'_>, json: &mut Json<'_>) {
    json.begin_object();
    view.stamp(json);
    let leaves: Vec<_> = view.leaves().collect();
    json.number("leafnodes", leaves.len());
    if leaves.is_empty() {
        json.empty("leafs", "[]").end_object();
        return;
    }
    json.key("leafs").begin_array();
    for (client, status) in leaves {
        let is_spoke = view.broker.leaf(client).is_some_and(|leaf| leaf.is_hub);
        let (ip, port) = match status.peer {
            Peer::Tcp(address) => (address.ip().to_canonical().to_string(), address.port()),
            Peer::Local => (String::new(), 0),
        };
        let traffic = status.traffic;
        json.begin_object().number("id", status.number).string("name", view.leaves.name_of(client));
        json.number("is_spoke", is_spoke).string("account", view.account_name(status.account));
        json.string("ip", ip).number("port", port).key("rtt").plain(Span(status.rtt.unwrap_or_default()));
        json.number("in_msgs", traffic.in_messages).number("out_msgs", traffic.out_messages);
        json.number("in_bytes", traffic.in_bytes).number("out_bytes", traffic.out_bytes);
        json.number("subscriptions", status.subscriptions).string("compression", "off").end_object();
    }
    json.end_array().end_object();
}

fn gatewayz(view: &View<'_>, json: &mut Json<'_>) {
    json.begin_object();
    view.stamp(json);
    json.empty("outbound_gateways", "{}").empty("inbound_gateways", "{}").end_object();
}

fn jsz(view: &View<'_>, json: &mut Json<'_>) {
    json.begin_object();
    let numbers = ["memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets"];
    numbers.iter().for_each(|key| {
        json.number(key, 0);
    });
    json.key("api").begin_object().number("level", 0).number("total", 0).number("errors", 0).end_object();
    view.stamp(json);
    json.number("disabled", true);
    json.key("config").begin_object().number("max_memory", 0).number("max_storage", 0).end_object();
    for key in ["streams", "consumers", "messages", "bytes", "total"] {
        json.number(key, 0);
    }
    json.end_object();
}

fn accountz(view: &mut View<'_>, books: &Books, json: &mut Json<'_>, name: &str) -> Result<(), String> {
    if !name.is_empty() && view.account(name).is_none() {
        return Err(format!("Account {name} does not exist"));
    }
    json.begin_object();
    view.stamp(json);
    json.string("system_account", view.system());
    if name.is_empty() {
        json.key("accounts").begin_array();
        for account in view.accounts() {
            json.text(view.account_name(account).as_bytes());
        }
        json.end_array();
    } else {
        json.key("account_detail");
        account_detail(view, books, json, name);
    }
    json.end_object();
    Ok(())
}

/// What `INFO` of an account is, and a part of `accountz`.
pub(in crate::natsd) fn account_detail(view: &mut View<'_>, books: &Books, json: &mut Json<'_>, name: &str) {
    let totals = view.account(name).map(|account| view.totals(books, account)).unwrap_or_default();
    json.begin_object().string("account_name", name).key("update_time").plain(view.wall(books.started));
    if name == view.system() {
        json.number("is_system", true);
    }
    json.number("expired", false).number("complete", true).number("jetstream_enabled", false);
    json.number("leafnode_connections", 0).number("client_connections", totals.connections);
    json.number("subscriptions", totals.subscriptions).string("name_tag", name);
    json.key("sublist_stats").begin_object();
    subsz::statistics(view, json);
    json.end_object().end_object();
}

/// Answers how many accounts it wrote about.
fn accstatz(view: &mut View<'_>, books: &Books, json: &mut Json<'_>, filter: &AccountFilter) -> usize {
    json.begin_object();
    view.stamp(json);
    json.key("account_statz").begin_array();
    let mut written = 0;
    for account in view.accounts() {
        let name = view.account_name(account).to_owned();
        let asked = filter.accounts.is_empty() || filter.accounts.iter().any(|asked| **asked == name);
        let totals = view.totals(books, account);
        if asked && (filter.unused || totals.connections > 0) {
            json.begin_object();
            account_statistics(json, &name, &totals);
            json.end_object();
            written += 1;
        }
    }
    json.end_array().end_object();
    written
}

/// The members of an account's statistics.
pub(in crate::natsd) fn account_statistics(
    json: &mut Json<'_>,
    name: &str,
    totals: &super::view::AccountTotals,
) {
    json.string("acc", name).string("name", name).number("conns", totals.connections).number("leafnodes", 0);
    json.number("total_conns", totals.connections).number("num_subscriptions", totals.subscriptions);
    data(json, "sent", totals.traffic.out_messages, totals.traffic.out_bytes);
    data(json, "received", totals.traffic.in_messages, totals.traffic.in_bytes);
    json.number("slow_consumers", totals.slow);
}

/// Messages and bytes by kinds of connections, all of which are clients.
pub(super) fn data(json: &mut Json<'_>, key: &str, messages: u64, bytes: u64) {
    json.key(key).begin_object().number("msgs", messages).number("bytes", bytes);
    for kind in ["gateways", "routes", "leafs"] {
        json.key(kind).begin_object().number("msgs", 0).number("bytes", 0).end_object();
    }
    json.end_object();
}
