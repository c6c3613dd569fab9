//! Users who bring a token: signed by an account, which is signed by an operator that is trusted.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use lunix_core::broker::AccountId;
use lunix_proto::json::Str;
use lunix_proto::nkey::PublicKey;
use lunix_proto::nkey::claims::{self, Account, Body, Claims, List, SigningKey, User};
use lunix_proto::nkey::jwt;

use super::resolver::Accounts;
use super::sharing::sheets;
use super::signed::Signed;
use super::{Bearer, Refusal, Shown, Stay, times};
use crate::natsd::auth::borders::Sheet;
use crate::natsd::auth::grant::{ConnectionTypes, Permissions, Responses, Rule, push_line};
use crate::natsd::auth::template::fill_rules;
use crate::natsd::auth::token;
use crate::natsd::settings::{Operator, Trusted};

/// Whose tokens are trusted, and what the accounts are.
#[derive(Debug)]
pub(crate) struct Trust {
    trusted: Vec<Trusted>,
    pinned: Vec<PublicKey>,
    system: Option<PublicKey>,
    accounts: Accounts,
}

impl Trust {
    /// `None` if nobody is trusted.
    pub(in crate::natsd::auth) fn new(settings: &Operator) -> io::Result<Option<Self>> {
        if settings.trusted.is_empty() {
            return Ok(None);
        }
        let accounts = Accounts::new(&settings.resolver, &settings.preload)?;
        let Operator { trusted, pinned, system, .. } = settings.clone();
        Ok(Some(Self { trusted, pinned, system, accounts }))
    }

    /// The account whose users see what the server says about itself.
    pub(in crate::natsd::auth) fn system(&self) -> Option<PublicKey> {
        self.system
    }

    /// What becomes readable when tokens change.
    pub(in crate::natsd::auth) fn watch(&self) -> Option<&OwnedFd> {
        self.accounts.watch()
    }

    /// Drains it.
    pub(in crate::natsd::auth) fn heard(&self) {
        self.accounts.heard();
    }

    /// Who a client with this token is.
    pub(in crate::natsd::auth) fn bearer(&mut self, shown: &Shown<'_>) -> Result<Bearer, Refusal> {
        let now = times::now();
        let signed = Signed::read(shown.token).map_err(|_| "the token is none, or badly signed")?;
        let claims = signed.claims().ok_or("the token is none")?;
        let Body::User(user) = claims.body else { return Err("the token is not a user's") };
        if !claims.hold_at(now) {
            return Err("the token has expired, or does not hold yet");
        }
        let key = user.issuer_account.unwrap_or(claims.issuer);
        if !self.pinned.is_empty() && !self.pinned.contains(&key) {
            return Err("the account is none of those that are pinned");
        }
        let (account_claims, account, strict) = account(&mut self.accounts, &self.trusted, &key, now)?;
        let signer =
            signer(&account, &key, &claims.issuer, strict).ok_or("who signed it may not for this account")?;
        // Users of a scoped key are what its scope says.
        let user = match signer.scope {
            Some(_) if !user.is_empty() => return Err("a scoped user claims something for itself"),
            Some(scope) => User { issuer_account: user.issuer_account, tags: user.tags, ..scope },
            None => user,
        };
        if user.proxy_required {
            return Err("the user must come through a proxy");
        }
        if user.bearer_token {
            if account.limits.disallow_bearer {
                return Err("the account has no bearers");
            }
        } else if !shown.signature.is_some_and(|sig| token::verify(&claims.subject, shown.nonce, &sig)) {
            return Err("the nonce is not signed, or not by the user");
        }
        if account.revocations.revoke(claims.subject.text().as_str(), claims.issued_at) {
            return Err("the token is revoked");
        }
        if !connection_types(user.connection_types)?.has(shown.connection) {
            return Err("this kind of connection is not for the user");
        }
        if !comes_from(user.sources, shown.address) {
            return Err("the user may not come from there");
        }
        let rest = times::rest(user.times, user.times_location).ok_or("it is not the user's time")?;
        let expires = earlier(claims.expires, account_claims.expires);
        let of_account = until(Some(account_claims.expires).filter(|time| *time != 0), now);
        let rest = [rest, until(expires, now)].into_iter().flatten().min();
        let scoped = signer.scope.is_some();
        Ok(Bearer {
            stay: Stay {
                account: key,
                user: claims.subject,
                issuer: claims.issuer,
                issued_at: claims.issued_at,
            },
            name: claims.name.to_string(),
            permissions: permissions(&claims, &user, &account_claims, &account, &key, scoped)?,
            subscriptions: lower(user.subscriptions, account.limits.subscriptions),
            payload: lower(user.payload, account.limits.payload)
                .and_then(|bytes| usize::try_from(bytes).ok()),
            rest,
            account_expires: rest.is_some() && rest == of_account,
        })
    }

    /// Whether a client that was admitted may stay, now that tokens have changed.
    pub(in crate::natsd::auth) fn may_stay(&mut self, stay: &Stay) -> Result<(), Refusal> {
        let (_, account, strict) = account(&mut self.accounts, &self.trusted, &stay.account, times::now())?;
        signer(&account, &stay.account, &stay.issuer, strict).ok_or("who signed it may not any more")?;
        let revoked = account.revocations.revoke(stay.user.text().as_str(), stay.issued_at);
        if revoked { Err("the token is revoked") } else { Ok(()) }
    }

    /// It is another one after every change of what accounts are.
    pub(in crate::natsd::auth) fn version(&self) -> u64 {
        self.accounts.version()
    }

    /// Whether tokens of accounts that are sent can be kept.
    pub(in crate::natsd::auth) fn keeps_tokens(&self) -> bool {
        self.accounts.keeps()
    }

    /// Keeps the token of an account, which must be `of` if that is given. Answers whose it is, as far as it is known, and
    /// what is wrong with it.
    pub(in crate::natsd::auth) fn keep_token(
        &self,
        text: &str,
        of: Option<&str>,
    ) -> Result<PublicKey, (Option<PublicKey>, String)> {
        let text = jwt::undecorated(text);
        let none = || (None, "that is no token of an account, or it is badly signed".to_owned());
        let signed = Signed::read(text).map_err(|_| none())?;
        let claims = signed.claims().ok_or_else(none)?;
        let (Body::Account(_), account) = (claims.body, claims.subject) else { return Err(none()) };
        let wrong = |why: &str| Err((Some(account), why.to_owned()));
        if of.is_some_and(|of| of != account.to_string()) {
            return wrong("subject does not match jwt content");
        }
        if trusted(&self.trusted, &claims.issuer).is_none() {
            return wrong("it is not signed by a trusted operator");
        }
        self.accounts.keep(&account, text).map_err(|error| (Some(account), error.to_string()))?;
        Ok(account)
    }

    /// What accounts give to and take from each other.
    pub(in crate::natsd::auth) fn sheets(
        &mut self,
        number: impl FnMut(&PublicKey) -> AccountId,
    ) -> Vec<Sheet> {
        sheets(&mut self.accounts, number)
    }

    /// How many clients, and how many leaf nodes, an account may have at the same time.
    pub(in crate::natsd::auth) fn connections(&mut self, account: &PublicKey) -> (Option<u32>, Option<u32>) {
        let claims = self.accounts.find(account).and_then(Signed::claims);
        let Some(Body::Account(account)) = claims.map(|claims| claims.body) else { return (None, None) };
        let limit = |limit: i64| u32::try_from(limit).ok();
        (limit(account.limits.connections), limit(account.limits.leafnodes))
    }
}

/// The operator whose token `text` is, and the system account that it names.
pub(in crate::natsd) fn operator(text: &str) -> Option<(Trusted, Option<PublicKey>)> {
    let signed = Signed::read(jwt::undecorated(text)).ok()?;
    let claims = signed.claims()?;
    let Body::Operator(operator) = claims.body else { return None };
    let keys = std::iter::once(claims.subject).chain(operator.signing_keys).collect();
    // An operator vouches for itself.
    let good = claims.issuer == claims.subject && claims.hold_at(times::now());
    good.then_some((Trusted { keys, strict: operator.strict_signing_keys }, operator.system_account))
}

/// Whether `text` is a token of `account`.
pub(in crate::natsd) fn is_of(text: &str, account: &PublicKey) -> bool {
    Signed::read(text).is_ok_and(|signed| signed.claims().is_some_and(|claims| claims.subject == *account))
}

/// An account that is trusted, and whether only its signing keys sign users.
fn account<'a>(
    accounts: &'a mut Accounts,
    trusted_keys: &[Trusted],
    key: &PublicKey,
    now: i64,
) -> Result<(Claims<'a>, Account<'a>, bool), Refusal> {
    let claims = accounts.find(key).and_then(Signed::claims).ok_or("there is no token of the account")?;
    let Body::Account(account) = claims.body else { return Err("there is no token of the account") };
    let strict =
        trusted(trusted_keys, &claims.issuer).ok_or("the account is not signed by a trusted operator")?;
    if claims.hold_at(now) { Ok((claims, account, strict)) } else { Err("the account has expired") }
}

/// Whether an operator is trusted, and strict.
fn trusted(trusted: &[Trusted], key: &PublicKey) -> Option<bool> {
    trusted.iter().find(|trusted| trusted.keys.contains(key)).map(|trusted| trusted.strict)
}

/// The key that signs for an account, if it does.
fn signer<'a>(
    account: &Account<'a>,
    key: &PublicKey,
    issuer: &PublicKey,
    strict: bool,
) -> Option<SigningKey<'a>> {
    let signing = account.signing_keys.into_iter().find(|signing| signing.key == *issuer);
    let own = || (issuer == key && !strict).then_some(SigningKey { key: *key, scope: None });
    signing.or_else(own)
}

fn earlier(a: i64, b: i64) -> Option<i64> {
    [a, b].into_iter().filter(|time| *time != 0).min()
}

fn until(expires: Option<i64>, now: i64) -> Option<Duration> {
    expires.map(|at| Duration::from_secs(u64::try_from(at.saturating_sub(now)).unwrap_or(0)))
}

/// The lower of two limits, of which those below 0 are none.
fn lower(a: i64, b: i64) -> Option<u32> {
    let limits = [a, b].into_iter().filter(|limit| *limit >= 0);
    limits.min().map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

/// Kinds that nobody knows allow nothing, but beside one that is known they do no harm.
fn connection_types(list: List<'_, Str<'_>>) -> Result<ConnectionTypes, Refusal> {
    let mut types = None;
    for name in list {
        let known = ConnectionTypes::named(&name.to_string()).unwrap_or(ConnectionTypes::NONE);
        types = Some(types.unwrap_or(ConnectionTypes::NONE).and(known));
    }
    Ok(types.unwrap_or(ConnectionTypes::ALL))
}

fn comes_from(sources: List<'_, Str<'_>>, address: Option<IpAddr>) -> bool {
    let mut sources = sources.into_iter().peekable();
    if sources.peek().is_none() {
        return true;
    }
    let Some(address) = address else { return false };
    // One network that is none makes the whole list worthless.
    let networks: Option<Vec<bool>> = sources.map(|source| contains(&source.to_string(), address)).collect();
    networks.is_some_and(|networks| networks.contains(&true))
}

/// Whether `10.0.0.0/8` holds an address; `None` if it is no network.
fn contains(network: &str, address: IpAddr) -> Option<bool> {
    let (base, bits) = network.trim().split_once('/')?;
    let (base, bits): (IpAddr, u32) = (base.parse().ok()?, bits.parse().ok()?);
    let same = |a: u128, b: u128, width: u32| {
        let shift = width.checked_sub(bits)?;
        Some(a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0))
    };
    match (base, address.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) => (bits <= 32).then_some(false),
        (IpAddr::V6(_), IpAddr::V4(_)) => (bits <= 128).then_some(false),
    }
}

fn permissions(
    claims: &Claims<'_>,
    user: &User<'_>,
    account_claims: &Claims<'_>,
    account: &Account<'_>,
    key: &PublicKey,
    scoped: bool,
) -> Result<Permissions, Refusal> {
    let mut found = said(user.publish, user.subscribe, user.responses);
    if found == Permissions::default() {
        let default = account.default_permissions;
        found = said(default.publish, default.subscribe, default.responses);
    }
    if scoped {
        let tags = |tags: List<'_, Str<'_>>, prefix: &str| {
            let prefix = format!("{}:", prefix.to_ascii_lowercase());
            tags.into_iter()
                .filter_map(|tag| tag.to_string().strip_prefix(&prefix).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let values = |function: &str| {
            let tag = |name: &str| Some(function.strip_prefix(name)?.strip_suffix(')')?.to_owned());
            Some(match function {
                "name()" => vec![claims.name.to_string()],
                "subject()" => vec![claims.subject.to_string()],
                "account-name()" => vec![account_claims.name.to_string()],
                "account-subject()" => vec![key.to_string()],
                _ => match (tag("tag("), tag("account-tag(")) {
                    (Some(name), _) => tags(user.tags, &name),
                    (None, Some(name)) => tags(account.tags, &name),
                    (None, None) => return None,
                },
            })
        };
        fill_rules(&mut found, &values).map_err(|_| "the scope makes no permissions for this user")?;
    }
    Ok(found)
}

/// Permissions of claims, in which an empty list allows all.
fn said(
    publish: claims::Subjects<'_>,
    subscribe: claims::Subjects<'_>,
    responses: Option<claims::Responses>,
) -> Permissions {
    let lines = |list: List<'_, Str<'_>>| {
        let mut lines = String::new();
        list.into_iter().for_each(|line| push_line(&mut lines, &line.to_string()));
        lines
    };
    let rule = |subjects: claims::Subjects<'_>| {
        let allow = lines(subjects.allow);
        Rule { allow: Some(allow).filter(|allow| !allow.is_empty()), deny: lines(subjects.deny) }
    };
    let responses = responses.map(|claims::Responses { max, ttl }| {
        // 0 stands for what is usual, below it for no bound.
        let max = if max == 0 { Responses::USUAL.max } else { u32::try_from(max).unwrap_or(0) };
        let expires = match u64::try_from(ttl) {
            Ok(0) => Responses::USUAL.expires,
            nanos => nanos.ok().map(Duration::from_nanos),
        };
        Responses { max, expires }
    });
    let mut permissions = Permissions { publish: rule(publish), subscribe: rule(subscribe), responses };
    permissions.settle();
    permissions
}
