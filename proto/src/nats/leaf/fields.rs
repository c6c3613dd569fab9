//! What the two sides of a leaf node's connection say about themselves.

use crate::Full;
use crate::json::{Str, Value, Writer, parse};
use crate::nats::Urls;
use crate::nats::fields::{Field, FieldError, MAX_KEY, json_object};

/// The JSON of a leaf node's `CONNECT`. What is empty, false or 0 is omitted.
///
/// ```
/// use lunix_proto::nats::leaf::Connect;
/// let connect = Connect { name: "edge".into(), headers: true, protocol: 1, ..Connect::default() };
/// let mut out = [0; 256];
/// let len = connect.write(&mut out).unwrap();
/// assert_eq!(Connect::parse(&out[..len]).unwrap().name, connect.name);
/// ```
#[derive(Clone, Copy, Default)]
pub struct Connect<'b> {
    /// The leaf's version.
    pub version: Str<'b>,
    /// The leaf's identity.
    pub server_id: Str<'b>,
    /// The leaf's name.
    pub name: Str<'b>,
    /// Its cluster's name, its own if there is none: no message of a cluster goes back to it.
    pub cluster: Str<'b>,
    /// Its JetStream domain.
    pub domain: Str<'b>,
    /// It understands header blocks.
    pub headers: bool,
    /// It has JetStream.
    pub jetstream: bool,
    /// It is the hub, though it connects.
    pub is_hub: bool,
    /// It does not want to hear what other leaves want.
    pub isolate: bool,
    /// The version of the protocol.
    pub protocol: i64,
    /// The account that it connects.
    pub remote_account: Str<'b>,
    /// The compression that was agreed upon; empty for none.
    pub compress_mode: Str<'b>,
    /// Subjects that the hub must not send.
    pub deny_pub: Urls<'b>,
    /// The user's name.
    pub user: Str<'b>,
    /// The user's password.
    pub pass: Str<'b>,
    /// A token instead of user and password.
    pub auth_token: Str<'b>,
    /// A public nkey.
    pub nkey: Str<'b>,
    /// A user's JWT.
    pub jwt: Str<'b>,
    /// The nonce of `INFO`, signed.
    pub sig: Str<'b>,
    /// Said only by clients, which are wrong here.
    pub lang: Str<'b>,
    /// Said only by gateways, which are wrong here.
    pub gateway: Str<'b>,
}

impl core::fmt::Debug for Connect<'_> {
    /// Leaves out what a log must not hold: password, token, JWT and signature.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .finish_non_exhaustive()
    }
}

impl<'b> Connect<'b> {
    /// Parses the argument of a leaf node's `CONNECT`.
    ///
    /// # Errors
    /// It is no object, or a value has the wrong type.
    ///
    /// ```
    /// use lunix_proto::nats::leaf::Connect;
    /// let connect = Connect::parse(br#"{"name": "edge", "deny_pub": ["a.>"], "later": 1}"#).unwrap();
    /// assert!(connect.name.eq_str("edge") && connect.deny_pub.iter().count() == 1);
    /// ```
    pub fn parse(json: &'b [u8]) -> Result<Self, FieldError> {
        let mut connect = Self::default();
        connect.read(json)?;
        Ok(connect)
    }
}

json_object!(
    Connect,
    always: ,
    unless_empty: version server_id name cluster domain headers jetstream is_hub isolate protocol remote_account
        compress_mode deny_pub user pass auth_token nkey jwt sig lang gateway
);

/// The JSON of `INFO` on a leaf node's connection. What is empty, false or 0 is omitted.
///
/// ```
/// use lunix_proto::nats::leaf::Info;
/// let info = Info { server_name: "hub".into(), info_on_connect: true, ..Info::default() };
/// let mut out = [0; 512];
/// let len = info.write(&mut out).unwrap();
/// assert!(Info::parse(&out[..len]).unwrap().info_on_connect);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Info<'b> {
    /// The hub's identity.
    pub server_id: Str<'b>,
    /// The hub's name.
    pub server_name: Str<'b>,
    /// The hub's version.
    pub version: Str<'b>,
    /// The version of the protocol.
    pub proto: i64,
    /// Where the hub listens.
    pub host: Str<'b>,
    /// Where the hub listens.
    pub port: u16,
    /// The hub understands header blocks.
    pub headers: bool,
    /// The largest message that the hub takes.
    pub max_payload: u64,
    /// The connection's number, never 0 where leaf nodes are expected.
    pub client_id: u64,
    /// The leaf's address as the hub sees it.
    pub client_ip: Str<'b>,
    /// The leaf must say who it is.
    pub auth_required: bool,
    /// TLS begins after this line.
    pub tls_required: bool,
    /// The leaf must show a certificate.
    pub tls_verify: bool,
    /// To be signed by leaves that have an nkey.
    pub nonce: Str<'b>,
    /// The hub's cluster.
    pub cluster: Str<'b>,
    /// The hub's JetStream domain.
    pub domain: Str<'b>,
    /// The hub has JetStream.
    pub jetstream: bool,
    /// Where leaf nodes may connect to the hub's cluster; never empty where they are expected.
    pub leafnode_urls: Urls<'b>,
    /// After `CONNECT` there will be another `INFO`.
    pub info_on_connect: bool,
    /// This is the one after `CONNECT`.
    pub connect_info: bool,
    /// The hub's account that the leaf is bound to.
    pub remote_account: Str<'b>,
    /// It is the hub's system account.
    pub acc_is_sys: bool,
    /// The compression that the hub offers.
    pub compression: Str<'b>,
    /// What the leaf may subscribe to.
    pub import: Rules<'b>,
    /// What the leaf may publish.
    pub export: Rules<'b>,
}

impl<'b> Info<'b> {
    /// Parses the argument of `INFO`.
    ///
    /// # Errors
    /// It is no object, or a value has the wrong type.
    ///
    /// ```
    /// use lunix_proto::nats::leaf::Info;
    /// let info = Info::parse(br#"{"client_id": 7, "import": {"allow": ["a"], "deny": ["b", "c"]}}"#).unwrap();
    /// assert_eq!(info.import.deny.iter().count(), 2);
    /// assert!(info.import.given && !info.export.given);
    /// ```
    pub fn parse(json: &'b [u8]) -> Result<Self, FieldError> {
        let mut info = Self::default();
        info.read(json)?;
        Ok(info)
    }
}

json_object!(
    Info,
    always: server_id server_name version proto host port headers max_payload,
    unless_empty: client_id client_ip auth_required tls_required tls_verify nonce cluster domain jetstream leafnode_urls
        info_on_connect connect_info remote_account acc_is_sys compression import export
);

/// Subjects that are allowed and denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules<'b> {
    /// They were given at all.
    pub given: bool,
    /// Nothing else is allowed, unless there are none.
    pub allow: Urls<'b>,
    /// These are denied in any case.
    pub deny: Urls<'b>,
}

impl<'b> Field<'b> for Rules<'b> {
    fn read(value: Value<'b>) -> Option<Self> {
        let mut rules = Self { given: true, ..Self::default() };
        for (key, value) in value.as_object()? {
            let list = || if value.is_null() { Some(Urls::default()) } else { Urls::read(value) };
            if key.eq_str("allow") {
                rules.allow = list()?;
            } else if key.eq_str("deny") {
                rules.deny = list()?;
            }
        }
        Some(rules)
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.begin_object();
        for (key, list) in [("allow", self.allow), ("deny", self.deny)] {
            if !list.is_omissible() {
                list.write(json.key(key));
            }
        }
        json.end_object();
    }

    fn is_omissible(&self) -> bool {
        !self.given
    }
}
