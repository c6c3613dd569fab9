//! `varz` and `statsz`: the server as a whole.

use std::time::Duration;

use super::super::identity::LEVEL;
use super::json::{Json, Thousandths};
use super::process::{cores, resident};
use super::report::PATHS;
use super::view::{Books, View, nanos};

/// Writes `varz`.
pub(super) fn varz(view: &mut View<'_>, books: &mut Books, json: &mut Json<'_>) {
    json.begin_object();
    settings(view, json);
    let cpu = books.process.percent(view.now);
    json.key("start").plain(view.wall(books.started)).key("now").plain(view.wall(view.now));
    json.key("uptime").plain(view.uptime(books.started));
    json.number("mem", resident()).number("cores", cores()).number("gomaxprocs", 1).number("cpu", cpu);
    let s = view.broker.statistics();
    let leaves = view.leaves().count();
    let clients = s.connections.saturating_sub(u32::try_from(leaves).unwrap_or(u32::MAX));
    json.number("connections", clients).number("total_connections", s.total_connections);
    json.number("routes", 0).number("remotes", 0).number("leafnodes", leaves);
    for (direction, messages, bytes) in
        [("in", s.in_messages, s.in_bytes), ("out", s.out_messages, s.out_bytes)]
    {
        json.number(&format!("{direction}_msgs"), messages).number(&format!("{direction}_bytes"), bytes);
        json.number(&format!("{direction}_client_msgs"), messages);
        json.number(&format!("{direction}_client_bytes"), bytes);
    }
    json.number("slow_consumers", s.slow_consumers).number("stale_connections", s.stale_connections);
    json.number("stalled_clients", s.stalls).number("subscriptions", s.subscriptions);
    json.key("http_req_stats").begin_object();
    for (path, count) in PATHS.iter().zip(books.requests).filter(|(_, count)| *count > 0) {
        json.number(path, count);
    }
    json.end_object();
    json.key("config_load_time").plain(view.wall(books.configured)).string("config_digest", "");
    json.empty("feature_flags", "{}").string("system_account", view.system());
    kinds(json, "slow_consumer_stats", s.slow_consumers);
    kinds(json, "stale_connection_stats", s.stale_connections);
    json.key("disk_io_wait_stats").begin_object();
    for key in ["waiters", "waits", "wait_time", "max_wait_time"] {
        json.number(key, 0);
    }
    json.end_object().end_object();
}

/// Writes `statsz`.
pub(in crate::natsd) fn statsz(view: &mut View<'_>, books: &mut Books, json: &mut Json<'_>) {
    let cpu = books.process.percent(view.now);
    let accounts = view.accounts();
    let active = accounts.into_iter().filter(|account| {
        let account = *account;
        view.clients().any(|(_, status)| status.account == account)
    });
    let active = active.count();
    let s = view.broker.statistics();
    json.begin_object().key("start").plain(view.wall(books.started));
    json.number("mem", resident()).number("cores", cores()).number("cpu", cpu);
    json.number("connections", s.connections).number("total_connections", s.total_connections);
    json.number("active_accounts", active).number("subscriptions", s.subscriptions);
    for (keys, messages, bytes) in [
        (["sent", "sent_to_clients"], s.out_messages, s.out_bytes),
        (["received", "received_from_clients"], s.in_messages, s.in_bytes),
    ] {
        for key in keys {
            json.key(key).begin_object().number("msgs", messages).number("bytes", bytes).end_object();
        }
    }
    json.number("slow_consumers", s.slow_consumers).number("active_servers", 1).number("gomaxprocs", 1);
    json.end_object();
}

/// What the server was told.
fn settings(view: &View<'_>, json: &mut Json<'_>) {
    let limits = view.broker.limits();
    let (identity, monitoring) = (view.identity, &view.settings.monitoring);
    json.string("server_id", &identity.id).string("server_name", &identity.name);
    json.string("version", LEVEL).number("proto", 1).string("go", "");
    json.string("host", &identity.host).number("port", identity.port);
    if !view.settings.operation.tags.is_empty() {
        json.key("tags").begin_array();
        view.settings.operation.tags.iter().for_each(|tag| {
            json.text(tag);
        });
        json.end_array();
    }
    if view.door.has_users() {
        json.number("auth_required", true);
    }
    json.number("max_connections", limits.connections);
    if limits.subscriptions != u32::MAX {
        json.number("max_subscriptions", limits.subscriptions);
    }
    // None stands for a remote client's two minutes.
    let interval = limits.ping_interval.unwrap_or(Duration::from_secs(120));
    json.number("ping_interval", nanos(interval)).number("ping_max", limits.ping_max);
    json.string("http_host", monitoring.host.as_deref().unwrap_or(&identity.host));
    let port = |secure: bool| monitoring.port.filter(|_| monitoring.secure == secure).unwrap_or(0);
    json.number("http_port", port(false)).string("http_base_path", &monitoring.base_path);
    json.number("https_port", port(true)).number("auth_timeout", Thousandths::of(limits.auth_timeout));
    json.number("max_control_line", limits.control_line).number("max_payload", limits.payload);
    json.number("max_pending", limits.pending);
    for key in ["cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream"] {
        json.empty(key, "{}");
    }
    json.number("tls_timeout", 2).number("write_deadline", nanos(limits.write_deadline));
}

/// A number by kinds of connections, all of which are clients.
pub(super) fn kinds(json: &mut Json<'_>, key: &str, clients: u64) {
    json.key(key).begin_object().number("clients", clients);
    json.number("routes", 0).number("gateways", 0).number("leafs", 0).end_object();
}
