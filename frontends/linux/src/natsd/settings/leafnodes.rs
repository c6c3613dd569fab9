//! Leaf nodes: the hubs that this server joins, and who may join it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lunix_proto::nkey::{Kind, Seed};

use super::authorization::{Credential, MAX_TIMEOUT, MIN_TIMEOUT, USER_KEY, secret, user_key};
use super::facts::OrNone;
use super::listen::host_port;
use super::tls::{Side, Tls};
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::{Section, Span, Value};

/// Leaf nodes: the hubs that this server joins, and who may join it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leafnodes {
    /// The hubs that it joins.
    pub remotes: Vec<Remote>,
    /// Where others may join it: host and port, 0 for any that is free.
    pub listen: Option<(String, u16)>,
    /// The TLS that they need.
    pub tls: Option<Tls>,
    /// Where they reach it, if that is another address.
    pub advertise: Option<String>,
    /// Who may join. Without any, whoever may connect as a client, with the same credentials.
    pub users: Vec<LeafUser>,
    /// How long they may take to say who they are, besides the handshake of TLS.
    pub timeout: Duration,
}

impl Default for Leafnodes {
    fn default() -> Self {
        Self {
            remotes: Vec::new(),
            listen: None,
            tls: None,
            advertise: None,
            users: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }
}

/// A hub that the server joins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Where it is; one after the other is tried.
    pub urls: Vec<RemoteUrl>,
    /// What is not wanted from it.
    pub deny_imports: Vec<String>,
    /// What is not sent to it.
    pub deny_exports: Vec<String>,
    /// This server is the hub, though it connects.
    pub hub: bool,
    /// What the hub's other leaves want is not told.
    pub isolated: bool,
    /// The account that is joined to the hub's.
    pub account: String,
    /// The file with a user's token and seed.
    pub credentials: Option<PathBuf>,
    /// A user's seed.
    pub nkey: Option<SeedText>,
    /// TLS, if it is not left to the hub.
    pub tls: Option<Tls>,
    /// About how long after a failure it is tried again.
    pub reconnect: Duration,
}

/// A hub's address, and who we are there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User, or token if there is no password.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
}

impl fmt::Debug for RemoteUrl {
    /// Without password and token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl fmt::Display for RemoteUrl {
    /// Without password and token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        if host.contains(':') {
            write!(out, "[{host}]:{}", self.port)
        } else {
            write!(out, "{host}:{}", self.port)
        }
    }
}

/// A secret key, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SeedText(pub String);

impl fmt::Debug for SeedText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SeedText")
    }
}

/// Who may join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeafUser {
    /// How they are known.
    pub(in crate::natsd) credential: Credential,
    /// The account that they are joined to.
    pub account: String,
}

/// nats-server's default port for leaf nodes.
const PORT: u16 = 7422;
/// The account of those who name none.
const GLOBAL: &str = "$G";
/// Shorter than nats-server's second: a hub that comes back is joined within one.
const RECONNECT: Duration = Duration::from_millis(500);

impl Leafnodes {
    /// How many leaf nodes there may be.
    pub(super) fn most(&self) -> u32 {
        let joining = if self.listen.is_some() { 1024 } else { 0 };
        u32::try_from(self.remotes.len()).unwrap_or(u32::MAX).saturating_mul(2).saturating_add(joining)
    }
}

impl Leafnodes {
    /// The accounts that leaf nodes are bound to.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &str> {
        let remotes = self.remotes.iter().map(|remote| remote.account.as_str());
        remotes.chain(self.users.iter().map(|user| user.account.as_str())).filter(|name| *name != GLOBAL)
    }
}

impl Subject for Leafnodes {
    fn configure(&mut self, file: &mut Section) {
        if !cfg!(feature = "leaf") {
            return file.left_out(&["leafnodes", "leaf"], "leaf nodes are");
        }
        let Some(mut section) = file.block(&["leafnodes", "leaf"]) else { return };
        let listen = section.take(&["listen"]);
        let (host, port) = (section.text(&["host", "net"]), section.take(&["port"]));
        self.listen = match (listen, port) {
            (Some(listen), _) => listen
                .parsed("HOST:PORT or PORT", host_port)
                .map(|(host, port)| (host.unwrap_or_else(|| "0.0.0.0".to_owned()), port)),
            (None, Some(port)) => port
                .parsed("a port, or -1 for any that is free", super::listen::port_number)
                .map(|port| (host.unwrap_or_else(|| "0.0.0.0".to_owned()), port)),
            (None, None) => host.map(|host| (host, PORT)),
        };
        self.advertise = section.text(&["advertise"]);
        if let Some(authorization) = section.block(&["authorization"]) {
            (self.users, self.timeout) = users(authorization, self.timeout);
        }
        let reconnect = section.take(&["reconnect", "reconnect_delay", "reconnect_interval"]);
        let reconnect = reconnect.and_then(|value| value.duration(SHORTEST, LONGEST)).unwrap_or(RECONNECT);
        self.remotes = section
            .list(&["remotes"])
            .unwrap_or_default()
            .into_iter()
            .filter_map(|value| remote(value.block()?, reconnect))
            .collect();
        self.tls = section.take(&["tls"]).and_then(|value| Tls::read(value, Side::Accepts));
        section.ignore(&["no_advertise", "compression", "min_version"]);
        section.end();
    }

    fn apply(&mut self, _: &Matches) -> Result<(), UsageError> {
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        let listen = self.listen.as_ref().map(|(host, port)| format!("{host}:{port}"));
        facts.fixed("leafnodes.listen", &OrNone(listen));
        facts.fixed("leafnodes.advertise", &self.advertise.as_deref().unwrap_or("none"));
        facts.sealed("leafnodes.remotes", &self.remotes);
        facts.sealed("leafnodes.authorization", &self.users);
        facts.live("leafnodes.authorization.timeout", &Span(self.timeout));
    }
}

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(3_600);

/// One user or key, or a list of users, and how long they may take.
fn users(mut section: Section, usual: Duration) -> (Vec<LeafUser>, Duration) {
    fn one(section: &mut Section) -> Option<LeafUser> {
        let name = section.text(&["user", "username"]);
        let password = section.take(&["password", "pass"]);
        let key = section.take(&["nkey"]);
        let account = section.text(&["account"]).unwrap_or_else(|| GLOBAL.to_owned());
        section.absent(&[("proxy_required", "trusted proxies")]);
        let credential = match (name, key) {
            (Some(name), None) => Credential::Password(name, password.as_ref().and_then(secret)),
            (None, Some(key)) => Credential::Key(key.parsed(USER_KEY, user_key)?),
            (None, None) if password.is_none() => return None,
            _ => {
                section.note("expected either a user with a password, or an nkey");
                return None;
            }
        };
        Some(LeafUser { credential, account })
    }
    let mut users: Vec<LeafUser> = one(&mut section).into_iter().collect();
    for value in section.list(&["users"]).unwrap_or_default() {
        if let Some(mut user) = value.block() {
            users.extend(one(&mut user));
            user.end();
        }
    }
    let timeout = section.duration(&["timeout"], MIN_TIMEOUT, MAX_TIMEOUT).unwrap_or(usual);
    section.end();
    (users, timeout)
}

fn remote(mut section: Section, reconnect: Duration) -> Option<Remote> {
    let texts = |values: Option<Vec<Value>>| -> Vec<String> {
        values.unwrap_or_default().iter().filter_map(Value::text).collect()
    };
    let mut values = section.list(&["url"]).unwrap_or_default();
    values.extend(section.list(&["urls"]).unwrap_or_default());
    if values.is_empty() {
        section.note("expected url or urls");
    }
    let urls: Vec<RemoteUrl> = values
        .iter()
        .filter_map(|value| value.parsed("nats-leaf://[USER:PASSWORD@]HOST[:PORT]", url))
        .collect();
    // Who says so gets it, whatever the hub says.
    let scheme = values.iter().filter_map(Value::text).any(|text| text.starts_with("tls://"));
    let remote = Remote {
        urls,
        deny_imports: texts(section.list(&["deny_imports", "deny_import"])),
        deny_exports: texts(section.list(&["deny_exports", "deny_export"])),
        hub: section.truth(&["hub"]).unwrap_or(false),
        account: section.text(&["account", "local", "local_account"]).unwrap_or_else(|| GLOBAL.to_owned()),
        credentials: section.path(&["credentials", "creds"]),
        nkey: section.take(&["nkey", "seed"]).and_then(|value| value.parsed("a user's seed", seed)),
        tls: section
            .take(&["tls"])
            .and_then(|value| Tls::read(value, Side::Connects))
            .or_else(|| scheme.then(Tls::default)),
        isolated: section.truth(&["request_isolation", "isolate"]).unwrap_or(false),
        reconnect: section
            .take(&["reconnect", "reconnect_delay", "reconnect_interval"])
            .and_then(|value| value.duration(SHORTEST, LONGEST))
            .unwrap_or(reconnect),
    };
    section.absent(&[("ws_compression", "WebSocket for leaf nodes")]);
    section.ignore(&[
        "no_randomize",
        "dont_randomize",
        "compression",
        "first_info_timeout",
        "jetstream_cluster_migrate",
    ]);
    section.ignore(&["ignore_discovered_servers"]);
    section.end();
    (!remote.urls.is_empty()).then_some(remote)
}

/// `nats://`, `nats-leaf://`, `leafnode://`, `leaf://` or nothing before the address.
fn url(text: &str) -> Option<RemoteUrl> {
    let rest = match text.split_once("://") {
        Some(("nats" | "nats-leaf" | "leafnode" | "leaf" | "tls", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let rest = rest.trim_end_matches('/');
    let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
        None => (None, None),
        Some((user, "")) => (Some(decoded(user)?), None),
        Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
    };
    (!host.is_empty() && port > 0).then(|| RemoteUrl { host: host.to_owned(), port, user, password })
}

/// `SU…`
fn seed(text: &str) -> Option<SeedText> {
    let seed = Seed::parse(text).ok()?;
    (seed.kind == Kind::User).then(|| SeedText(text.to_owned()))
}

/// Text with `%XX` in it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, shown, user, password) in [
            ("nats-leaf://hub", "hub:7422", None, None),
            ("hub:1", "hub:1", None, None),
            ("leafnode://hub", "hub:7422", None, None),
            ("nats://[::1]:2/", "[::1]:2", None, None),
            ("leaf://token@hub", "hub:7422", Some("token"), None),
            ("nats-leaf://a%40b:c%3ad@10.0.0.1:7", "10.0.0.1:7", Some("a@b"), Some("c:d")),
        ] {
            let url = url(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.user.as_deref(), url.password.as_deref()),
                (shown, user, password)
            );
            assert!(!format!("{url:?}").contains("token"));
        }
        for text in ["", "http://hub", "hub:0", "hub:x", "nats://u:%zz@hub"] {
            assert_eq!(url(text), None, "{text}");
        }
    }
}
