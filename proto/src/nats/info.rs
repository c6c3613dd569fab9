//! What a server says about itself.

use super::fields::{Field, FieldError, MAX_KEY, json_object};
use crate::Full;
use crate::json::{Array, Elements, Str, Value, Writer, parse};

/// The JSON of `INFO`. Empty strings and lists, false and 0 stand for what is omitted.
///
/// ```
/// use lunix_proto::nats::{Info, Urls};
/// let info = Info { version: "2.11.0".into(), connect_urls: Urls::new(&["10.0.0.1:4222"]), ..Info::default() };
/// let mut out = [0; 256];
/// let len = info.write(&mut out).unwrap();
/// assert_eq!(Info::parse(&out[..len]), Ok(info));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info<'b> {
    /// The server's identity, new at every start.
    pub server_id: Str<'b>,
    /// The server's name.
    pub server_name: Str<'b>,
    /// A semantic version; clients decide by it what they may use.
    pub version: Str<'b>,
    /// What the server is made with: Go's version. There are clients that do not connect without it.
    pub go: Str<'b>,
    /// The version of the protocol: 1.
    pub proto: i64,
    /// Where the server listens.
    pub host: Str<'b>,
    /// Where the server listens.
    pub port: u16,
    /// The server understands header blocks.
    pub headers: bool,
    /// The largest message that it takes, header block and payload together; clients take 0 at its word.
    pub max_payload: u64,
    /// The connection's number.
    pub client_id: u64,
    /// The client's address as the server sees it.
    pub client_ip: Str<'b>,
    /// The client must say who it is.
    pub auth_required: bool,
    /// The client must speak TLS.
    pub tls_required: bool,
    /// The client may speak TLS.
    pub tls_available: bool,
    /// The client must show a certificate.
    pub tls_verify: bool,
    /// To be signed by clients that have an nkey.
    pub nonce: Str<'b>,
    /// Further servers of the cluster.
    pub connect_urls: Urls<'b>,
    /// The cluster's name.
    pub cluster: Str<'b>,
    /// The server is about to stop ("lame duck").
    pub ldm: bool,
    /// The server has JetStream.
    pub jetstream: bool,
    /// It is the `INFO` that answers a client's `CONNECT`.
    pub connect_info: bool,
    /// The account that the client is in.
    pub remote_account: Str<'b>,
    /// It is the system account.
    pub acc_is_sys: bool,
}

/// A list of addresses, each `host:port`.
///
/// ```
/// use lunix_proto::nats::Urls;
/// let urls = Urls::new(&["10.0.0.1:4222", "10.0.0.2:4222"]);
/// assert!(urls.iter().nth(1).unwrap().eq_str("10.0.0.2:4222"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Urls<'b>(Source<'b>);

#[derive(Clone, Copy, Debug)]
enum Source<'b> {
    Given(&'b [&'b str]),
    Parsed(Array<'b>),
}

impl Default for Source<'_> {
    fn default() -> Self {
        Self::Given(&[])
    }
}

impl<'b> Urls<'b> {
    /// The list of these.
    pub const fn new(urls: &'b [&'b str]) -> Self {
        Self(Source::Given(urls))
    }

    /// The addresses in order.
    pub fn iter(&self) -> UrlIter<'b> {
        let (given, parsed) = match self.0 {
            Source::Given(urls) => (urls.iter(), None),
            Source::Parsed(array) => ([].iter(), Some(array.iter())),
        };
        UrlIter { given, parsed }
    }
}

impl PartialEq for Urls<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Urls<'_> {}

impl<'b> Field<'b> for Urls<'b> {
    fn read(value: Value<'b>) -> Option<Self> {
        let array = value.as_array()?;
        array.iter().all(|url| url.as_str().is_some()).then_some(Self(Source::Parsed(array)))
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.begin_array();
        self.iter().for_each(|url| {
            json.str(url);
        });
        json.end_array();
    }

    fn is_omissible(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The iterator that [`Urls::iter`] returns.
#[derive(Clone, Debug)]
pub struct UrlIter<'b> {
    given: core::slice::Iter<'b, &'b str>,
    parsed: Option<Elements<'b>>,
}

impl<'b> Iterator for UrlIter<'b> {
    type Item = Str<'b>;

    fn next(&mut self) -> Option<Str<'b>> {
        match &mut self.parsed {
            Some(elements) => elements.next()?.as_str(),
            None => self.given.next().map(|url| Str::new(url)),
        }
    }
}

impl<'b> Info<'b> {
    /// Parses the argument of a server's first `INFO`.
    ///
    /// ```
    /// use lunix_proto::nats::Info;
    /// let info = Info::parse(br#"{"server_id": "N", "max_payload": 1048576, "headers": true}"#).unwrap();
    /// assert!(info.headers && info.max_payload == 1 << 20 && info.nonce.is_empty());
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
    unless_empty: go client_id client_ip auth_required tls_required tls_available tls_verify nonce connect_urls cluster
        ldm jetstream connect_info remote_account acc_is_sys
);
