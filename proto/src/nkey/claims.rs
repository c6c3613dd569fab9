//! What a NATS 2 token claims, read into types.
//!
//! Lists stay where they are in the JSON, and iterate over it. All of a document is checked when it is
//! read: what an iterator yields later has the right type. Unknown members mean nothing, and `null` as much as none.

use core::marker::PhantomData;

use super::{Kind, PublicKey};
use crate::json::{self, Array, Elements, Members, Object, Str, Value};

/// What is wrong with claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsError {
    /// They are no JSON object.
    Syntax,
    /// This member is missing or has not its type.
    Member(&'static str),
    /// They are of a newer version than 2, or of none.
    Version,
    /// The issuer is not of a kind that may make such claims.
    Issuer,
}

impl core::fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Syntax => f.write_str("no JSON object"),
            Self::Member(key) => write!(f, "\"{key}\" is missing or has another type"),
            Self::Version => f.write_str("neither of version 2 nor of version 1"),
            Self::Issuer => f.write_str("issued by another kind of key"),
        }
    }
}

impl core::error::Error for ClaimsError {}

/// Reads itself from JSON.
trait Read<'b>: Sized {
    fn read(value: Value<'b>) -> Result<Self, ClaimsError>;
}

macro_rules! simple {
    ($($type:ty: $value:ident => $read:expr;)*) => {$(
        impl<'b> Read<'b> for $type {
            fn read($value: Value<'b>) -> Result<Self, ClaimsError> {
                $read.ok_or(ClaimsError::Syntax)
            }
        }
    )*};
}

simple! {
    bool: value => value.as_bool();
    i64: value => value.as_i64();
    Str<'b>: value => value.as_str();
    PublicKey: value => value.as_str().and_then(|text| PublicKey::parse(text.as_plain()?).ok());
    Option<Responses>: value => Responses::read(value).ok().map(Some);
    Option<Object<'b>>: value => value.as_object().map(Some);
}

impl<'b> Read<'b> for Option<PublicKey> {
    /// Go writes the empty string where there is none.
    fn read(value: Value<'b>) -> Result<Self, ClaimsError> {
        match value.as_str() {
            Some(text) if text.is_empty() => Ok(None),
            _ => PublicKey::read(value).map(Some),
        }
    }
}

/// The next member that says something. Tokens are read seldom: what reads them is better small than fast.
#[inline(never)]
fn next<'b>(members: &mut Members<'b>) -> Option<(Str<'b>, Value<'b>)> {
    members.find(|(_, value)| !value.is_null())
}

#[inline(never)]
fn is(key: Str<'_>, name: &str) -> bool {
    key.eq_str(name)
}

#[inline(never)]
fn member<'b>(object: Object<'b>, name: &str) -> Option<Value<'b>> {
    object.get(name)
}

/// Makes a struct that is read from an object's members.
macro_rules! object {
    ($(#[$meta:meta])* $vis:vis $type:ident<$life:lifetime> { $($(#[$doc:meta])* $field:ident: $ty:ty = $key:literal or $default:expr,)* }) => {
        object!(@ [$type<$life>] $life $(#[$meta])* $vis $type {$($(#[$doc])* $field: $ty = $key or $default,)*});
    };
    ($(#[$meta:meta])* $vis:vis $type:ident { $($(#[$doc:meta])* $field:ident: $ty:ty = $key:literal or $default:expr,)* }) => {
        object!(@ [$type] 'b $(#[$meta])* $vis $type {$($(#[$doc])* $field: $ty = $key or $default,)*});
    };
    (@ [$type:ident $(<$generic:lifetime>)?] $life:lifetime $(#[$meta:meta])* $vis:vis $same:ident { $($(#[$doc:meta])* $field:ident: $ty:ty = $key:literal or $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        $vis struct $type $(<$generic>)? {
            $($(#[$doc])* $vis $field: $ty,)*
        }

        impl $(<$generic>)? Default for $type $(<$generic>)? {
            /// What a token says that says nothing of it.
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl<$life> Read<$life> for $type $(<$generic>)? {
            fn read(value: Value<$life>) -> Result<Self, ClaimsError> {
                let mut new = Self::default();
                let mut members = value.as_object().ok_or(ClaimsError::Syntax)?.iter();
                while let Some((key, value)) = next(&mut members) {
                    $(if is(key, $key) {
                        new.$field = Read::read(value).map_err(|error| match error {
                            ClaimsError::Syntax => ClaimsError::Member($key),
                            inner => inner,
                        })?;
                    })*
                }
                Ok(new)
            }
        }
    };
}

/// A list of which every element has been read once.
#[derive(Clone, Copy, Debug)]
pub struct List<'b, T> {
    array: Option<Array<'b>>,
    of: PhantomData<T>,
}

impl<T> List<'_, T> {
    const EMPTY: Self = Self { array: None, of: PhantomData };
}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.array == other.array
    }
}

impl<'b, T: Read<'b>> Read<'b> for List<'b, T> {
    fn read(value: Value<'b>) -> Result<Self, ClaimsError> {
        let array = value.as_array().ok_or(ClaimsError::Syntax)?;
        array.iter().try_for_each(|value| T::read(value).map(drop))?;
        Ok(Self { array: Some(array), of: PhantomData })
    }
}

/// The iterator over a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'b, T> {
    elements: Option<Elements<'b>>,
    of: PhantomData<T>,
}

impl<'b, T: Read<'b>> IntoIterator for List<'b, T> {
    type Item = T;
    type IntoIter = ListIter<'b, T>;

    fn into_iter(self) -> ListIter<'b, T> {
        ListIter { elements: self.array.map(|array| array.iter()), of: PhantomData }
    }
}

impl<'b, T: Read<'b>> Iterator for ListIter<'b, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        T::read(self.elements.as_mut()?.next()?).ok()
    }
}

/// Who is revoked: tokens of a user that were issued at or before a time, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Revocations<'b>(Option<Object<'b>>);

impl<'b> Read<'b> for Revocations<'b> {
    fn read(value: Value<'b>) -> Result<Self, ClaimsError> {
        let object = value.as_object().ok_or(ClaimsError::Syntax)?;
        if object.iter().all(|(_, value)| value.as_i64().is_some()) {
            Ok(Self(Some(object)))
        } else {
            Err(ClaimsError::Syntax)
        }
    }
}

impl Revocations<'_> {
    /// Whether a token for the key with the text `subject`, issued at `issued_at`, is revoked.
    pub fn revoke(&self, subject: &str, issued_at: i64) -> bool {
        let mut members: Members<'_> = match self.0 {
            Some(object) => object.iter(),
            None => return false,
        };
        members.any(|(key, value)| {
            (key.eq_str("*") || key.eq_str(subject)) && value.as_i64().is_some_and(|until| issued_at <= until)
        })
    }
}

object! {
    /// Subjects that are allowed and denied; an empty allow list allows all that is not denied.
    pub Subjects<'b> {
        /// Patterns; of subscriptions also `pattern queue`.
        allow: List<'b, Str<'b>> = "allow" or List::EMPTY,
        /// Patterns; of subscriptions also `pattern queue`.
        deny: List<'b, Str<'b>> = "deny" or List::EMPTY,
    }
}

object! {
    /// Leave to answer where a message asked for it.
    pub Responses {
        /// How many answers; not above 0: as many as there are.
        max: i64 = "max" or 0,
        /// For how many nanoseconds; not above 0: for ever.
        ttl: i64 = "ttl" or 0,
    }
}

object! {
    /// What may be published and subscribed to.
    pub Permissions<'b> {
        /// To what may be published.
        publish: Subjects<'b> = "pub" or Subjects::default(),
        /// What may be subscribed to.
        subscribe: Subjects<'b> = "sub" or Subjects::default(),
        /// Answers are allowed beside `publish`.
        responses: Option<Responses> = "resp" or None,
    }
}

object! {
    /// Times of the day, `HH:MM:SS`. Where `end` is before `start`, midnight lies between them.
    pub Times<'b> {
        /// From.
        start: Str<'b> = "start" or Str::EMPTY,
        /// Until.
        end: Str<'b> = "end" or Str::EMPTY,
    }
}

object! {
    /// The claims of a user, and what a scoped signing key allows its users.
    pub User<'b> {
        /// The account, if a signing key of it has issued the token.
        issuer_account: Option<PublicKey> = "issuer_account" or None,
        /// To what may be published.
        publish: Subjects<'b> = "pub" or Subjects::default(),
        /// What may be subscribed to.
        subscribe: Subjects<'b> = "sub" or Subjects::default(),
        /// Answers are allowed beside `publish`.
        responses: Option<Responses> = "resp" or None,
        /// Networks that the user may come from, as `address/bits`; none for all.
        sources: List<'b, Str<'b>> = "src" or List::EMPTY,
        /// When the user may connect; none for always.
        times: List<'b, Times<'b>> = "times" or List::EMPTY,
        /// The time zone of `times`; empty for that of the server.
        times_location: Str<'b> = "times_location" or Str::EMPTY,
        /// How many subscriptions; below 0 for no limit.
        subscriptions: i64 = "subs" or 0,
        /// How many bytes; below 0 for no limit. Nobody has ever enforced it.
        data: i64 = "data" or 0,
        /// How long messages may be; below 0 for no limit.
        payload: i64 = "payload" or 0,
        /// Who has the token is the user: no signature is asked for.
        bearer_token: bool = "bearer_token" or false,
        /// The user must come through a trusted proxy.
        proxy_required: bool = "proxy_required" or false,
        /// `STANDARD`, `WEBSOCKET`, `LEAFNODE`, … ; none for all.
        connection_types: List<'b, Str<'b>> = "allowed_connection_types" or List::EMPTY,
        /// Labels.
        tags: List<'b, Str<'b>> = "tags" or List::EMPTY,
    }
}

impl User<'_> {
    /// Reads what version 1 had elsewhere, and takes limits that it did not say for none.
    fn age(&mut self, nats: Object<'_>, account: Option<PublicKey>) {
        self.issuer_account = account;
        for (key, limit) in
            [("subs", &mut self.subscriptions), ("data", &mut self.data), ("payload", &mut self.payload)]
        {
            if nats.get(key).is_none() {
                *limit = -1;
            }
        }
    }

    /// It claims nothing for itself, as the users of a scoped signing key must.
    pub fn is_empty(&self) -> bool {
        let bare = Self { issuer_account: self.issuer_account, tags: self.tags, ..Self::default() };
        // Lists without elements say as much as none.
        let lists = [self.publish.allow, self.publish.deny, self.subscribe.allow, self.subscribe.deny];
        let lists = lists.into_iter().chain([self.sources, self.connection_types]);
        let scalars = Self {
            publish: bare.publish,
            subscribe: bare.subscribe,
            sources: bare.sources,
            connection_types: bare.connection_types,
            times: bare.times,
            ..*self
        };
        scalars == bare
            && lists.into_iter().all(|list| list.into_iter().next().is_none())
            && self.times.into_iter().next().is_none()
    }
}

object! {
    /// What an account may have; below 0 for no limit.
    pub AccountLimits {
        /// Subscriptions of one client.
        subscriptions: i64 = "subs" or 0,
        /// The length of a message.
        payload: i64 = "payload" or 0,
        /// Imports.
        imports: i64 = "imports" or 0,
        /// Exports.
        exports: i64 = "exports" or 0,
        /// Clients at the same time.
        connections: i64 = "conn" or 0,
        /// Leaf nodes at the same time.
        leafnodes: i64 = "leaf" or 0,
        /// Exports may hold wildcards.
        wildcards: bool = "wildcards" or false,
        /// Users must sign.
        disallow_bearer: bool = "disallow_bearer" or false,
    }
}

/// Whether an export or import is of messages or of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Not said, or nothing that there is.
    #[default]
    Unknown,
    /// Messages.
    Stream,
    /// Requests.
    Service,
}

impl<'b> Read<'b> for Share {
    fn read(value: Value<'b>) -> Result<Self, ClaimsError> {
        let text = value.as_str().ok_or(ClaimsError::Syntax)?;
        Ok(match text {
            text if is(text, "stream") => Self::Stream,
            text if is(text, "service") => Self::Service,
            _ => Self::Unknown,
        })
    }
}

object! {
    /// What an account gives to others.
    pub Export<'b> {
        /// What it is called.
        name: Str<'b> = "name" or Str::EMPTY,
        /// The pattern.
        subject: Str<'b> = "subject" or Str::EMPTY,
        /// Messages or requests.
        share: Share = "type" or Share::Unknown,
        /// Only for accounts with an activation token.
        token_required: bool = "token_req" or false,
        /// Whose activation is revoked.
        revocations: Revocations<'b> = "revocations" or Revocations(None),
        /// `Singleton`, `Stream` or `Chunked`.
        response_type: Str<'b> = "response_type" or Str::EMPTY,
        /// Which token of the subject, counted from 1, must be the importing account; 0 for none.
        account_token_position: i64 = "account_token_position" or 0,
    }
}

object! {
    /// What an account takes from another.
    pub Import<'b> {
        /// What it is called.
        name: Str<'b> = "name" or Str::EMPTY,
        /// The exporter's subject; of a service with `to`, the importer's.
        subject: Str<'b> = "subject" or Str::EMPTY,
        /// The exporting account.
        account: Option<PublicKey> = "account" or None,
        /// The activation token, if the export asks for one.
        token: Str<'b> = "token" or Str::EMPTY,
        /// The old way to rename: a prefix of a stream, the exporter's subject of a service.
        to: Str<'b> = "to" or Str::EMPTY,
        /// The importer's subject; `$1` stands for a wildcard of `subject`.
        local_subject: Str<'b> = "local_subject" or Str::EMPTY,
        /// Messages or requests.
        share: Share = "type" or Share::Unknown,
    }
}

/// A key that may sign for an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigningKey<'b> {
    /// The key.
    pub key: PublicKey,
    /// What all users that it signs may do; they claim nothing themselves.
    pub scope: Option<User<'b>>,
}

impl<'b> Read<'b> for SigningKey<'b> {
    fn read(value: Value<'b>) -> Result<Self, ClaimsError> {
        let Some(object) = value.as_object() else {
            return PublicKey::read(value).map(|key| Self { key, scope: None });
        };
        let key = member(object, "key").ok_or(ClaimsError::Member("key"))?;
        let kind = member(object, "kind").and_then(|kind| kind.as_str());
        if !kind.is_some_and(|kind| kind.eq_str("user_scope")) {
            return Err(ClaimsError::Member("kind"));
        }
        // What a template does not limit is not limited.
        let unlimited = User { subscriptions: -1, data: -1, payload: -1, ..User::default() };
        let scope = match member(object, "template") {
            None | Some(Value::Null) => unlimited,
            Some(template) => {
                let mut scope = User::read(template)?;
                let members = template.as_object().ok_or(ClaimsError::Member("template"))?;
                for (name, place) in [
                    ("subs", &mut scope.subscriptions),
                    ("data", &mut scope.data),
                    ("payload", &mut scope.payload),
                ] {
                    if member(members, name).is_none_or(|value| value.is_null()) {
                        *place = -1;
                    }
                }
                scope
            }
        };
        Ok(Self { key: PublicKey::read(key)?, scope: Some(scope) })
    }
}

object! {
    /// The claims of an account.
    pub Account<'b> {
        /// What it takes from others.
        imports: List<'b, Import<'b>> = "imports" or List::EMPTY,
        /// What it gives to others.
        exports: List<'b, Export<'b>> = "exports" or List::EMPTY,
        /// What it may have.
        limits: AccountLimits = "limits" or AccountLimits::default(),
        /// Who may sign its users beside itself.
        signing_keys: List<'b, SigningKey<'b>> = "signing_keys" or List::EMPTY,
        /// Whose tokens are revoked.
        revocations: Revocations<'b> = "revocations" or Revocations(None),
        /// For users that claim no permissions.
        default_permissions: Permissions<'b> = "default_permissions" or Permissions::default(),
        /// Labels.
        tags: List<'b, Str<'b>> = "tags" or List::EMPTY,
    }
}

object! {
    /// The claims of an operator.
    pub Operator<'b> {
        /// Who may sign its accounts beside itself.
        signing_keys: List<'b, PublicKey> = "signing_keys" or List::EMPTY,
        /// The account of the servers.
        system_account: Option<PublicKey> = "system_account" or None,
        /// Accounts and users must be signed by signing keys.
        strict_signing_keys: bool = "strict_signing_key_usage" or false,
    }
}

object! {
    /// The claims of an activation: leave to import an export that asks for it.
    pub Activation<'b> {
        /// The subject that may be imported.
        subject: Str<'b> = "subject" or Str::EMPTY,
        /// Messages or requests.
        share: Share = "kind" or Share::Unknown,
        /// The exporting account, if a signing key of it has issued the token.
        issuer_account: Option<PublicKey> = "issuer_account" or None,
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'b> {
    /// It says who runs the system.
    Operator(Operator<'b>),
    /// It says what an account is.
    Account(Account<'b>),
    /// It says what a user may do.
    User(User<'b>),
    /// It activates an import.
    Activation(Activation<'b>),
}

object! {
    /// What every token has.
    Head<'b> {
        id: Str<'b> = "jti" or Str::EMPTY,
        issuer: Option<PublicKey> = "iss" or None,
        subject: Str<'b> = "sub" or Str::EMPTY,
        name: Str<'b> = "name" or Str::EMPTY,
        audience: Str<'b> = "aud" or Str::EMPTY,
        issued_at: i64 = "iat" or 0,
        expires: i64 = "exp" or 0,
        not_before: i64 = "nbf" or 0,
        nats: Option<Object<'b>> = "nats" or None,
        /// Of version 1, whose kind and account stand here.
        old_type: Str<'b> = "type" or Str::EMPTY,
        old_account: Option<PublicKey> = "issuer_account" or None,
    }
}

/// What a token claims. Times are seconds since 1970, and 0 for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims<'b> {
    /// The token's own name.
    pub id: Str<'b>,
    /// Who says it, and has to have signed it.
    pub issuer: PublicKey,
    /// Of whom. Of an activation, the account that may import.
    pub subject: PublicKey,
    /// What people call the subject.
    pub name: Str<'b>,
    /// For whom; none has a meaning to a server.
    pub audience: Str<'b>,
    /// When it was issued.
    pub issued_at: i64,
    /// Until when it holds.
    pub expires: i64,
    /// From when on it holds.
    pub not_before: i64,
    /// What it is for.
    pub body: Body<'b>,
    /// 2, or 1 for those of before 2020. What version 1 knew not is as if it were not said.
    pub version: u8,
}

impl<'b> Claims<'b> {
    /// Reads the JSON of [`Token::claims`](super::jwt::Token::claims).
    ///
    /// # Errors
    /// They are no claims of one of the four kinds (version 1: of the first three), or the issuer is not of a kind that makes such.
    pub fn parse(json: &'b [u8]) -> Result<Self, ClaimsError> {
        let value = json::parse(json).map_err(|_| ClaimsError::Syntax)?;
        let head = Head::read(value)?;
        let (nats, kind, version) = if head.old_type.is_empty() {
            let nats = head.nats.ok_or(ClaimsError::Member("nats"))?;
            if member(nats, "version").and_then(|version| version.as_i64()) != Some(2) {
                return Err(ClaimsError::Version);
            }
            let kind = member(nats, "type").and_then(|kind| kind.as_str());
            (nats, kind.ok_or(ClaimsError::Member("type"))?, 2)
        } else {
            let empty = json::parse(b"{}").ok().and_then(|value| value.as_object());
            let nats = head.nats.or(empty).ok_or(ClaimsError::Member("nats"))?;
            (nats, head.old_type, 1)
        };
        let value = Value::Object(nats);
        let (body, of, by) = match kind {
            kind if is(kind, "operator") => {
                (Body::Operator(Operator::read(value)?), Kind::Operator, &[Kind::Operator][..])
            }
            kind if is(kind, "account") => {
                // An account that is its own issuer is not trusted, but it is well formed.
                (Body::Account(Account::read(value)?), Kind::Account, &[Kind::Operator, Kind::Account][..])
            }
            kind if is(kind, "user") => {
                let mut user = User::read(value)?;
                if version == 1 {
                    user.age(nats, head.old_account);
                }
                (Body::User(user), Kind::User, &[Kind::Account][..])
            }
            kind if is(kind, "activation") && version == 2 => {
                let by = &[Kind::Account, Kind::Operator][..];
                (Body::Activation(Activation::read(value)?), Kind::Account, by)
            }
            _ => return Err(ClaimsError::Member("type")),
        };
        let issuer = head.issuer.ok_or(ClaimsError::Member("iss"))?;
        if !by.contains(&issuer.kind) {
            return Err(ClaimsError::Issuer);
        }
        let subject = head.subject.as_plain().ok_or(ClaimsError::Member("sub"))?;
        let subject = PublicKey::parse_as(of, subject).map_err(|_| ClaimsError::Member("sub"))?;
        let Head { id, name, audience, issued_at, expires, not_before, .. } = head;
        Ok(Self { id, issuer, subject, name, audience, issued_at, expires, not_before, body, version })
    }

    /// Whether they hold at `now`, in seconds since 1970.
    pub const fn hold_at(&self, now: i64) -> bool {
        (self.expires == 0 || now < self.expires) && self.not_before <= now
    }
}
