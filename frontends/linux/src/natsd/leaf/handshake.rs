//! How a leaf node and its hub become known to each other.

use lunix_core::broker::{ClientId, Input, LeafTerms, Reason};
use lunix_core::time::Duration;
use lunix_proto::json::Str;
use lunix_proto::nats::leaf::{self, Connect, Info};
use lunix_proto::nats::{Urls, encode};

use super::rules::{Rulebook, Rules, listed};
use super::sign::sign;
use crate::credentials::Signed;
use crate::natsd::identity::LEVEL;
use crate::natsd::log::Tag;
use crate::natsd::server::{Server, Token};
use crate::natsd::settings::Remote as Settings;
use crate::reactor::Reactor;

/// A connection with a leaf node or a hub.
#[derive(Debug)]
pub(super) struct Link {
    kind: Kind,
    /// The rules under which it has joined.
    rules: Option<Rules>,
    /// The other side's name and cluster, once it has said it.
    name: String,
    cluster: String,
    headers: bool,
}

#[derive(Debug)]
enum Kind {
    /// With a hub, which may have said its first `INFO`.
    Hub { remote: usize, greeted: bool },
    /// With a leaf node.
    Leaf { nonce: String, ours: bool },
}

impl Link {
    pub(super) fn hub(remote: usize) -> Self {
        Self::new(Kind::Hub { remote, greeted: false })
    }

    pub(super) fn leaf(nonce: String, ours: bool) -> Self {
        Self::new(Kind::Leaf { nonce, ours })
    }

    fn new(kind: Kind) -> Self {
        Self { kind, rules: None, name: String::new(), cluster: String::new(), headers: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Which hub it is.
    pub(super) fn remote(&self) -> Option<usize> {
        match self.kind {
            Kind::Hub { remote, .. } => Some(remote),
            Kind::Leaf { .. } => None,
        }
    }
}

/// After what will go wrong again, if nobody does anything about it.
const PENALTY: Duration = Duration::from_secs(30);
/// The account of leaf nodes that are let in without credentials.
const ACCOUNT: &str = "$G";

impl Server {
    /// A hub, or a leaf node, said `INFO`.
    pub(super) fn hub_said(&mut self, reactor: &mut Reactor<Token>, client: ClientId, json: &[u8]) {
        let Some(link) = self.leaves.links.get_mut(&client.index()) else { return };
        // A leaf node's INFO is an offer of compression, which there is none of.
        let Kind::Hub { remote, greeted } = &mut link.kind else { return };
        let (remote, greeted) = (*remote, std::mem::replace(greeted, true));
        let Some(settings) = self.leaves.remotes.get(remote).map(|remote| remote.settings.clone()) else {
            return;
        };
        let info = match Info::parse(json) {
            Ok(info) => info,
            Err(error) => return self.part(reactor, client, &format!("INFO: {error}")),
        };
        let mut rules = Rules::of(self.wires.door.account(&settings.account));
        rules.take.deny(settings.deny_imports.iter().map(String::as_str));
        rules.send.deny(settings.deny_exports.iter().map(String::as_str));
        for (side, given) in [(&mut rules.take, info.import), (&mut rules.send, info.export)] {
            side.allow(listed(given.allow).iter().map(String::as_str));
            side.deny(listed(given.deny).iter().map(String::as_str));
        }
        if !greeted {
            if info.client_id == 0 || info.leafnode_urls.iter().next().is_none() {
                return self.part(reactor, client, "that is not a port for leaf nodes");
            }
            if info.tls_required || settings.tls.is_some() {
                let host = self.leaves.remotes.get(remote).and_then(|remote| remote.url());
                let host = host.map(|url| url.host.clone()).unwrap_or_default();
                if let Err(line) = self.begin_tls(reactor, client, settings.tls.as_ref(), &host) {
                    return self.part(reactor, client, &line);
                }
            }
            if let Some(link) = self.leaves.links.get_mut(&client.index()) {
                link.name = info.server_name.chars().collect();
                link.cluster = info.cluster.chars().collect();
                link.headers = info.headers;
            }
            if info.max_payload > self.wires.identity.max_payload {
                let line = format_args!(
                    "The hub's max_payload is {}, ours {}: a larger message ends the connection",
                    info.max_payload, self.wires.identity.max_payload
                );
                self.wires.log.line(Tag::Warn, line);
            }
            let nonce: String = info.nonce.chars().collect();
            match sign(&settings, &nonce) {
                Ok(signed) => self.say_connect(client, &settings, remote, &signed),
                Err(line) => return self.part(reactor, client, &line),
            }
            if info.info_on_connect {
                return;
            }
        }
        let given = info.import.given || info.export.given;
        let joined = self.leaves.links.get(&client.index()).is_some_and(|link| link.rules.is_some());
        if !joined || given {
            self.join(reactor, client, rules, !settings.hub, false);
        }
    }

    fn say_connect(&mut self, client: ClientId, settings: &Settings, remote: usize, signed: &Signed) {
        let identity = &self.wires.identity;
        let (id, name) = (identity.id.clone(), identity.name.clone());
        let headers = identity.headers;
        let url = self.leaves.remotes.get(remote).and_then(|remote| remote.url()).cloned();
        let (user, password) = url.map_or((None, None), |url| (url.user, url.password));
        let user = user.unwrap_or_default();
        let deny: Vec<&str> = settings.deny_imports.iter().map(String::as_str).collect();
        let connect = Connect {
            version: Str::new(LEVEL),
            server_id: Str::new(&id),
            name: Str::new(&name),
            cluster: if name.contains(' ') { Str::EMPTY } else { Str::new(&name) },
            headers,
            protocol: 1,
            remote_account: Str::new(&settings.account),
            jwt: Str::new(&signed.jwt),
            nkey: Str::new(&signed.nkey),
            sig: Str::new(&signed.signature),
            is_hub: settings.hub,
            isolate: settings.isolated,
            deny_pub: Urls::new(&deny),
            user: Str::new(&user),
            pass: Str::new(password.as_deref().unwrap_or_default()),
            auth_token: if password.is_none() { Str::new(&user) } else { Str::EMPTY },
            ..Connect::default()
        };
        self.wires.queue(client, 512, |out| leaf::connect(out, &connect).map_err(|full| full.needed));
    }

    /// Tells a leaf node who we are.
    pub(super) fn greet_leaf(&mut self, client: ClientId) {
        let Some(Kind::Leaf { nonce, .. }) = self.leaves.links.get(&client.index()).map(|link| &link.kind)
        else {
            return;
        };
        let nonce = nonce.clone();
        self.say_info(client, &nonce, None);
    }

    fn say_info(&mut self, client: ClientId, nonce: &str, joined: Option<&str>) {
        let Some(number) = self.broker.client(client).map(|status| status.number) else { return };
        let identity = &self.wires.identity;
        let (id, name) = (identity.id.clone(), identity.name.clone());
        let address = self.leaves.listener.as_ref().map(|(_, address)| address.clone()).unwrap_or_default();
        let urls = [address.as_str()];
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
        let info = Info {
            server_id: Str::new(&id),
            server_name: Str::new(&name),
            version: Str::new(LEVEL),
            proto: 1,
            host: Str::new(host),
            port: port.parse().unwrap_or_default(),
            headers: identity.headers,
            max_payload: identity.max_payload,
            client_id: number,
            auth_required: true,
            tls_required: self.leaves.acceptor.is_some(),
            tls_verify: self.leaves.settings.tls.as_ref().is_some_and(|tls| tls.verify),
            nonce: Str::new(nonce),
            leafnode_urls: Urls::new(&urls),
            info_on_connect: true,
            connect_info: joined.is_some(),
            remote_account: Str::new(joined.unwrap_or_default()),
            ..Info::default()
        };
        self.wires.queue(client, 512, |out| leaf::info(out, &info).map_err(|full| full.needed));
    }

    /// A leaf node said `CONNECT`.
    pub(super) fn leaf_said(&mut self, reactor: &mut Reactor<Token>, client: ClientId, json: &[u8]) {
        let Some(link) = self.leaves.links.get_mut(&client.index()) else { return };
        let Kind::Leaf { ours, .. } = link.kind else { return };
        let connect = match Connect::parse(json) {
            Ok(connect) => connect,
            Err(error) => return self.part(reactor, client, &format!("CONNECT: {error}")),
        };
        link.name = connect.name.chars().collect();
        link.cluster = connect.cluster.chars().collect();
        link.headers = connect.headers;
        let (name, cluster) = (link.name.clone(), link.cluster.clone());
        let refusal = if !connect.lang.is_empty() {
            Some("attempted to connect to leaf node port")
        } else if cluster.contains(' ') {
            Some("leafnode cluster name cannot contain spaces or tabs")
        } else if connect.server_id.eq_str(&self.wires.identity.id) {
            Some("Loop detected for leafnode")
        } else {
            None
        };
        if let Some(text) = refusal {
            self.wires
                .queue(client, 128, |out| encode::err(out, text.as_bytes()).map_err(|full| full.needed));
            return self.part(reactor, client, text);
        }
        let Some(account) = self.admits(&connect, ours).map(str::to_owned) else {
            let reason = Reason::Authentication;
            self.wires.log.line(Tag::Error, format_args!("Leafnode {name:?}: Authentication Failure"));
            self.drive(reactor.now(), Input::Refused { client, reason });
            return self.close_what_ended(reactor);
        };
        let number = self.wires.door.account(&account);
        let twin = self.leaves.links.iter().find(|(index, link)| {
            **index != client.index()
                && link.rules.as_ref().is_some_and(|rules| rules.account == number)
                && link.remote().is_none()
                && link.name == name
                && link.cluster == cluster
        });
        if let Some(twin) = twin.map(|(index, _)| ClientId::new(*index)) {
            self.part(reactor, twin, "it has connected again");
        }
        let mut rules = Rules::of(number);
        rules.send.deny(listed(connect.deny_pub).iter().map(String::as_str));
        self.say_info(client, "", Some(&account));
        self.join(reactor, client, rules, connect.is_hub, connect.isolate);
    }

    /// The account that a leaf node's credentials are good for. Without any to compare them to, only who may do everything may
    /// join: root and our own user, on this machine.
    fn admits(&self, connect: &Connect<'_>, ours: bool) -> Option<&str> {
        let users = &self.leaves.settings.users;
        if users.is_empty() {
            return ours.then_some(ACCOUNT);
        }
        let found = users.iter().find(|user| match &user.name {
            Some(name) => connect.user.eq_str(name) && same(connect.pass, &user.password),
            None => same(connect.auth_token, &user.password),
        });
        found.map(|user| user.account.as_str())
    }

    fn join(
        &mut self,
        reactor: &mut Reactor<Token>,
        client: ClientId,
        rules: Rules,
        is_hub: bool,
        isolated: bool,
    ) {
        let Some(link) = self.leaves.links.get_mut(&client.index()) else { return };
        let first = link.rules.is_none();
        if link.rules.as_ref() == Some(&rules) {
            return;
        }
        let account = rules.account;
        link.rules = Some(rules.clone());
        let (cluster, headers, name, remote) =
            (link.cluster.clone(), link.headers, link.name.clone(), link.remote());
        self.broker.memory_mut().leaf_rules.insert(client, rules);
        if let Some(remote) = remote.and_then(|index| self.leaves.remotes.get_mut(index)) {
            remote.joined();
        }
        let user = Rulebook::user_of(client);
        let terms = LeafTerms { user, is_hub, isolated, cluster: cluster.as_bytes(), headers };
        self.drive(reactor.now(), Input::LeafJoined { client, terms });
        if first {
            let account = self.wires.door.account_name(account).to_owned();
            let role = if is_hub { "hub" } else { "leafnode" };
            self.wires.log.line(
                Tag::Info,
                format_args!("Leafnode connection created with {role} {name:?} for account: {account}"),
            );
        }
        self.close_what_ended(reactor);
    }

    /// The other side said why it closes.
    pub(super) fn leaf_complained(&mut self, client: ClientId, text: &str) {
        let Some(link) = self.leaves.links.get(&client.index()) else { return };
        self.wires
            .log
            .line(Tag::Error, format_args!("Leafnode Error '{}' from {:?}", text.escape_debug(), link.name));
        let lasts =
            ["Loop detected", "Permissions Violation", "same cluster name", "Authorization Violation"];
        if let Some(remote) = link.remote().and_then(|index| self.leaves.remotes.get_mut(index))
            && lasts.iter().any(|part| text.contains(part))
        {
            remote.penalty = Some(PENALTY);
        }
    }

    /// Ends a connection for a reason that will not go away by itself.
    fn part(&mut self, reactor: &mut Reactor<Token>, client: ClientId, why: &str) {
        if let Some(link) = self.leaves.links.get(&client.index()) {
            self.wires.log.line(Tag::Error, format_args!("Leafnode {:?}: {why}", link.name));
            if let Some(remote) = link.remote().and_then(|index| self.leaves.remotes.get_mut(index)) {
                remote.penalty = Some(PENALTY);
            }
        }
        self.finish(reactor, client, Some(Reason::Protocol));
    }
}

/// Whether both are equal, in a time that tells nothing but their lengths.
fn same(given: Str<'_>, expected: &str) -> bool {
    let given: String = given.chars().collect();
    given.len() == expected.len()
        && given.bytes().zip(expected.bytes()).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)))
            == 0
}
