//! How a leaf node and its hub become known to each other.

use lunix_core::broker::{AccountId, ClientId, Input, LeafTerms, Reason};
use lunix_core::time::Duration;
use lunix_proto::json::Str;
use lunix_proto::nats::leaf::{self, Connect, Info, Rules as Given};
use lunix_proto::nats::{Urls, encode};

use super::rules::{Rulebook, Rules, listed};
use super::sign::sign;
use crate::credentials::Signed;
use crate::escaped::Escaped;
use crate::natsd::auth::door::{CROWDED, Credentials, Verdict};
use crate::natsd::auth::grant::ConnectionTypes;
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
    /// How a leaf node wishes to join, until it is known who it is.
    wish: Option<Wish>,
}

#[derive(Debug)]
struct Wish {
    deny: Vec<String>,
    is_hub: bool,
    isolated: bool,
}

#[derive(Debug)]
enum Kind {
    /// With a hub, which may have said its first `INFO`.
    Hub { remote: usize, greeted: bool },
    /// With a leaf node.
    Leaf,
}

impl Link {
    pub(super) fn hub(remote: usize) -> Self {
        Self::new(Kind::Hub { remote, greeted: false })
    }

    pub(super) fn leaf() -> Self {
        Self::new(Kind::Leaf)
    }

    fn new(kind: Kind) -> Self {
        Self { kind, rules: None, name: String::new(), cluster: String::new(), headers: false, wish: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Which hub it is.
    pub(super) fn remote(&self) -> Option<usize> {
        match self.kind {
            Kind::Hub { remote, .. } => Some(remote),
            Kind::Leaf => None,
        }
    }
}

/// After what will go wrong again, if nobody does anything about it.
const PENALTY: Duration = Duration::from_secs(30);

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
        self.say_info(client, None);
    }

    fn say_info(&mut self, client: ClientId, joined: Option<(&str, &Rules)>) {
        let Some(number) = self.broker.client(client).map(|status| status.number) else { return };
        let identity = &self.wires.identity;
        let (id, name) = (identity.id.clone(), identity.name.clone());
        let address = self.leaves.listener.as_ref().map(|(_, address)| address.clone()).unwrap_or_default();
        let urls = [address.as_str()];
        let nonce = if joined.is_none() { self.wires.door.nonce(client).to_owned() } else { String::new() };
        let [import, export] = match joined {
            Some((_, rules)) => [rules.send.lists(), rules.take.lists()],
            None => Default::default(),
        };
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
            // Who needs no credentials must say CONNECT all the same, and that is what leaf nodes take it for.
            auth_required: true,
            tls_required: self.leaves.acceptor.is_some(),
            tls_verify: self.leaves.settings.leafnodes.tls.as_ref().is_some_and(|tls| tls.verify),
            nonce: Str::new(&nonce),
            leafnode_urls: Urls::new(&urls),
            info_on_connect: true,
            connect_info: joined.is_some(),
            remote_account: Str::new(joined.map(|(account, _)| account).unwrap_or_default()),
            acc_is_sys: joined.is_some_and(|(_, rules)| rules.account == AccountId::SYSTEM),
            import: given(&import),
            export: given(&export),
            ..Info::default()
        };
        self.wires.queue(client, 512, |out| leaf::info(out, &info).map_err(|full| full.needed));
    }

    /// A leaf node said `CONNECT`.
    pub(super) fn leaf_said(&mut self, reactor: &mut Reactor<Token>, client: ClientId, json: &[u8]) {
        let Some(link) = self.leaves.links.get_mut(&client.index()) else { return };
        if link.remote().is_some() {
            return;
        }
        let connect = match Connect::parse(json) {
            Ok(connect) => connect,
            Err(error) => return self.part(reactor, client, &format!("CONNECT: {error}")),
        };
        link.name = connect.name.chars().collect();
        link.cluster = connect.cluster.chars().collect();
        link.headers = connect.headers;
        link.wish =
            Some(Wish { deny: listed(connect.deny_pub), is_hub: connect.is_hub, isolated: connect.isolate });
        let cluster = &link.cluster;
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
        let certificate = self
            .wires
            .connection(client.index())
            .and_then(|connection| connection.transport.tls())
            .and_then(|stream| stream.certificate());
        let Connect { user, pass, auth_token: token, nkey, sig, jwt, .. } = connect;
        let connection = ConnectionTypes::LEAFNODE;
        let shown = Credentials { user, pass, token, nkey, sig, jwt, connection };
        let verdict = self.wires.door.ask_leaf(client, &shown, certificate);
        self.decide_leaf(reactor, client, verdict);
    }

    /// Lets a leaf node join as whom it has turned out to be, unless that is not known yet.
    pub(in crate::natsd) fn decide_leaf(
        &mut self,
        reactor: &mut Reactor<Token>,
        client: ClientId,
        verdict: Verdict,
    ) {
        let users = &mut self.broker.memory_mut().users;
        let (why, reason) = match self.wires.door.settle(reactor.now(), client, verdict, users) {
            None => return,
            Some(Ok(_)) => match self.admit_leaf(reactor, client) {
                Ok(()) => return,
                Err(why) => (why, Reason::AccountConnections),
            },
            Some(Err(CROWDED)) => (CROWDED, Reason::AccountConnections),
            Some(Err(why)) => (why, Reason::Authentication),
        };
        let name = self.leaves.name_of(client);
        let line = format_args!("Leafnode \"{}\": authentication error: {why}", Escaped(name));
        self.wires.log.line(Tag::Error, line);
        self.drive(reactor.now(), Input::Refused { client, reason });
        self.close_what_ended(reactor);
    }

    /// A leaf node whose user the door knows joins, under the rules of that user.
    pub(in crate::natsd) fn admit_leaf(
        &mut self,
        reactor: &mut Reactor<Token>,
        client: ClientId,
    ) -> Result<(), &'static str> {
        let user = self.wires.door.leaf_user(client);
        let user = user.and_then(|user| self.broker.memory_mut().users.find(user));
        let Some(mut rules) = user.map(Rules::of_user) else { return Ok(()) };
        let number = rules.account;
        let Some(link) = self.leaves.links.get(&client.index()) else { return Ok(()) };
        let Some(Wish { deny, is_hub, isolated }) = &link.wish else { return Ok(()) };
        let (is_hub, isolated) = (*is_hub, *isolated);
        let others = || {
            let links = self.leaves.links.iter().filter(|(index, _)| **index != client.index());
            let joined = |link: &Link| {
                link.remote().is_none() && link.rules.as_ref().is_some_and(|rules| rules.account == number)
            };
            links.filter(move |(_, other)| joined(other))
        };
        let same = |other: &Link| other.name == link.name && other.cluster == link.cluster;
        let twin = others().find(|(_, other)| !link.name.is_empty() && same(other));
        let twin = twin.map(|(index, _)| ClientId::new(*index));
        let most = self.wires.door.most_leaves(number);
        if most.is_some_and(|most| others().count() - usize::from(twin.is_some()) >= most as usize) {
            return Err("the account has too many leaf nodes");
        }
        let account = self.wires.door.account_name(number).to_owned();
        let given = rules.clone();
        rules.send.deny(deny.iter().map(String::as_str));
        if let Some(twin) = twin {
            self.part(reactor, twin, "it has connected again");
        }
        self.say_info(client, Some((&account, &given)));
        self.join(reactor, client, rules, is_hub, isolated);
        Ok(())
    }

    /// Whether a connection is a leaf node's.
    pub(in crate::natsd) fn is_leaf(&self, client: ClientId) -> bool {
        self.leaves.links.get(&client.index()).is_some_and(|link| link.remote().is_none())
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
                format_args!(
                    "Leafnode connection created with {role} \"{}\" for account: {account}",
                    Escaped(&name)
                ),
            );
        }
        self.close_what_ended(reactor);
    }

    /// The other side said why it closes.
    pub(super) fn leaf_complained(&mut self, client: ClientId, text: &str) {
        let Some(link) = self.leaves.links.get(&client.index()) else { return };
        self.wires.log.line(
            Tag::Error,
            format_args!("Leafnode Error '{}' from \"{}\"", Escaped(text), Escaped(&link.name)),
        );
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
            self.wires.log.line(Tag::Error, format_args!("Leafnode \"{}\": {why}", Escaped(&link.name)));
            if let Some(remote) = link.remote().and_then(|index| self.leaves.remotes.get_mut(index)) {
                remote.penalty = Some(PENALTY);
            }
        }
        self.finish(reactor, client, Some(Reason::Protocol));
    }
}

/// Rules as `INFO` has them.
fn given<'a>((allow, deny): &'a (Vec<&'a str>, Vec<&'a str>)) -> Given<'a> {
    let given = !allow.is_empty() || !deny.is_empty();
    Given { given, allow: Urls::new(allow), deny: Urls::new(deny) }
}
