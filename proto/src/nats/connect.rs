//! What a client says about itself.

use super::fields::{Field, FieldError, MAX_KEY, json_object};
use crate::Full;
use crate::json::{Str, Writer, parse};

/// The JSON of `CONNECT`. An empty string stands for an omitted one.
///
/// ```
/// use lunix_proto::nats::Connect;
/// let connect = Connect { verbose: false, name: "natsdev".into(), protocol: 1, ..Connect::default() };
/// let mut out = [0; 256];
/// let len = connect.write(&mut out).unwrap();
/// assert_eq!(Connect::parse(&out[..len]), Ok(connect));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The client wants `+OK` after everything it sends.
    pub verbose: bool,
    /// The client wants its subjects checked.
    pub pedantic: bool,
    /// The client wants its own messages back if it subscribed to them.
    pub echo: bool,
    /// The client understands header blocks.
    pub headers: bool,
    /// The client wants a 503 when nobody listens to its request.
    pub no_responders: bool,
    /// The client wants TLS.
    pub tls_required: bool,
    /// 1 if the client understands `INFO` at any time, else 0.
    pub protocol: i64,
    /// The client wants an account of its own made; no server of today does that.
    pub new_account: bool,
    /// The connection's name.
    pub name: Str<'b>,
    /// The client library's language.
    pub lang: Str<'b>,
    /// The client library's version.
    pub version: Str<'b>,
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
    /// The account it wants to be in; no server of today lets it choose.
    pub account: Str<'b>,
}

impl Default for Connect<'_> {
    /// What nats-server takes a client for that says `CONNECT {}`.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            protocol: 0,
            new_account: false,
            name: Str::EMPTY,
            lang: Str::EMPTY,
            version: Str::EMPTY,
            user: Str::EMPTY,
            pass: Str::EMPTY,
            auth_token: Str::EMPTY,
            nkey: Str::EMPTY,
            jwt: Str::EMPTY,
            sig: Str::EMPTY,
            account: Str::EMPTY,
        }
    }
}

impl core::fmt::Debug for Connect<'_> {
    /// Leaves out what a log must not hold: password, token, JWT and signature.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connect")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .field("tls_required", &self.tls_required)
            .field("protocol", &self.protocol)
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .finish_non_exhaustive()
    }
}

impl<'b> Connect<'b> {
    /// Parses the argument of a client's first `CONNECT`.
    ///
    /// ```
    /// use lunix_proto::nats::Connect;
    /// let connect = Connect::parse(br#"{"verbose": false, "name": "a\u0062c", "later": 1}"#).unwrap();
    /// assert!(!connect.verbose && connect.pedantic && connect.echo);
    /// assert!(connect.name.eq_str("abc"));
    /// ```
    pub fn parse(json: &'b [u8]) -> Result<Self, FieldError> {
        let mut connect = Self::default();
        connect.apply(json)?;
        Ok(connect)
    }

    /// Parses a further `CONNECT` of the same client: what it omits keeps its value, and everything does on
    /// error.
    ///
    /// ```
    /// use lunix_proto::nats::Connect;
    /// let mut connect = Connect { echo: false, ..Connect::default() };
    /// connect.apply(br#"{"verbose": false}"#).unwrap();
    /// assert!(!connect.verbose && !connect.echo && connect.pedantic);
    /// assert!(connect.apply(br#"{"echo": "yes"}"#).is_err());
    /// ```
    pub fn apply(&mut self, json: &'b [u8]) -> Result<(), FieldError> {
        self.read(json)
    }
}

json_object!(
    Connect,
    always: verbose pedantic echo headers no_responders tls_required protocol,
    unless_empty: new_account name lang version user pass auth_token nkey jwt sig account
);
