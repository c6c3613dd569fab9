//! The door: who may come in, as whom, and who has to go.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use lunix_core::broker::{AccountId, ClientId, Peer, UserId};
use lunix_core::time::Instant;
use lunix_proto::json::Str;
use lunix_proto::nats::Connect;
use lunix_proto::nkey::{PublicKey, base64};

use super::accounts::Accounts;
use super::borders::Borders;
use super::grant::ConnectionTypes;
use super::hasher::Hasher;
use super::identity::Rule;
use super::jwt::{Bearer, Refusal, Shown, Stay, Trust};
use super::known::Known;
use super::secret::{Bcrypt, Secret, same};
use super::token;
use super::users::{Entry, Users};
use crate::natsd::settings::{Asked, Credential, Settings};
use crate::natsd::tls::Certificate;
use crate::sys::peer::{Diagnosis, UnixPeer};

/// The one refusal that a client is told more of.
pub(crate) const CROWDED: Refusal = "the account has too many clients";

/// Letters of a nonce.
const NONCE: usize = 15;

/// Whom a client turns out to be.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Somebody whom the door knows.
    Admit(UserId, How),
    /// Somebody whom it has not known before.
    Bearer(Box<Bearer>),
    /// Nobody; why, is for the log.
    Refuse(Refusal),
    /// A password is being hashed.
    Later,
}

/// How somebody came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By uid, and the rule that is for it.
    Uid(u32, Rule),
    /// Without credentials from elsewhere.
    Others,
    /// By the configuration, with credentials or as `no_auth_user`.
    Configured,
    /// As a leaf node that `leafnodes.authorization` names.
    Leaf,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'c> {
    pub(crate) user: Str<'c>,
    pub(crate) pass: Str<'c>,
    pub(crate) token: Str<'c>,
    pub(crate) nkey: Str<'c>,
    pub(crate) sig: Str<'c>,
    pub(crate) jwt: Str<'c>,
    /// As what they come.
    pub(crate) connection: ConnectionTypes,
}

impl<'c> Credentials<'c> {
    /// A client's.
    pub(crate) fn of(connect: &Connect<'c>) -> Self {
        let Connect { user, pass, auth_token, nkey, sig, jwt, .. } = *connect;
        Self { user, pass, token: auth_token, nkey, sig, jwt, connection: ConnectionTypes::STANDARD }
    }
}

/// A client, from its first moment.
#[derive(Debug)]
pub(super) struct Guest {
    /// Tells it from the one that had its number before.
    serial: u64,
    pub(super) user: Option<(UserId, AccountId, How)>,
    /// What only matters to few.
    pub(super) more: Option<Box<More>>,
}

#[derive(Debug, Default)]
pub(super) struct More {
    nonce: Option<[u8; NONCE]>,
    address: Option<IpAddr>,
    pub(super) stay: Option<Stay>,
    /// Whom it is when the password that is being hashed is right.
    hoped: Option<(UserId, How)>,
}

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) settings: Rc<Settings>,
    pub(super) accounts: Accounts,
    pub(super) known: Known,
    /// Whom `leafnodes.authorization` names.
    pub(super) leaves: Vec<(Credential, UserId)>,
    pub(super) trust: Option<Trust>,
    diagnosis: Option<Diagnosis>,
    hasher: Hasher,
    pub(super) guests: Vec<Option<Guest>>,
    serial: u64,
    /// That of the tokens that the borders are made of.
    pub(super) version: u64,
    /// The user that runs this server.
    pub(super) owner: u32,
}

impl Door {
    /// The door that these settings make.
    ///
    /// # Errors
    /// There is no descriptor left, or no folder for the tokens of accounts.
    pub(crate) fn new(settings: Rc<Settings>, users: &mut Users) -> io::Result<Self> {
        let mut accounts = Accounts::new();
        let auth = &settings.auth;
        let known = Known::new(auth, &mut accounts, users);
        Ok(Self {
            known,
            accounts,
            leaves: Vec::new(),
            trust: Trust::new(&auth.operator)?,
            settings,
            diagnosis: Diagnosis::open().ok(),
            hasher: Hasher::new()?,
            guests: Vec::new(),
            serial: 0,
            version: 0,
            owner: rustix::process::geteuid().as_raw(),
        })
    }

    /// Why processes of this machine are not known over TCP, if they are not.
    pub(crate) fn complaint(&self) -> Option<&'static str> {
        let asked = self.asks_uid(false) && self.diagnosis.is_none();
        asked.then_some("This kernel has no socket diagnosis (INET_TCP_DIAG): over TCP, users of this machine are unknown")
    }

    /// What becomes readable when a password has been hashed.
    pub(crate) fn hashed(&self) -> BorrowedFd<'_> {
        self.hasher.as_fd()
    }

    /// What becomes readable when tokens of accounts change.
    pub(crate) fn changes(&self) -> Option<BorrowedFd<'_>> {
        Some(self.trust.as_ref()?.watch()?.as_fd())
    }

    /// Whether tokens of accounts that are sent can be kept.
    pub(crate) fn keeps_tokens(&self) -> bool {
        self.trust.as_ref().is_some_and(Trust::keeps_tokens)
    }

    /// Keeps an account's token; see [`Trust::keep_token`].
    pub(crate) fn keep_token(
        &self,
        text: &str,
        of: Option<&str>,
    ) -> Result<PublicKey, (Option<PublicKey>, String)> {
        match &self.trust {
            Some(trust) => trust.keep_token(text, of),
            None => Err((None, "there is no operator".to_owned())),
        }
    }

    /// What an account is called.
    pub(crate) fn account_name(&self, account: AccountId) -> &str {
        self.accounts.name(account)
    }

    /// All accounts by number, and what they are called.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (AccountId, &str)> {
        self.accounts.iter()
    }

    /// There are users who must say who they are.
    pub(crate) fn has_users(&self) -> bool {
        self.settings.auth.is_configured()
    }

    /// The number of an account.
    pub(crate) fn account(&mut self, name: &str) -> AccountId {
        self.accounts.number(name)
    }

    /// Clients are known by uid, on a UNIX socket or over TCP.
    fn asks_uid(&self, unix: bool) -> bool {
        match self.settings.auth.identity.asked {
            Asked::No => false,
            Asked::Always => true,
            Asked::Usual => {
                unix || !(self.settings.auth.is_configured()
                    || self.settings.auth.accounts.no_auth_user.is_some())
            }
        }
    }

    /// A connection begins. Answers who it is, if that is known without credentials.
    pub(crate) fn opened(
        &mut self,
        client: ClientId,
        socket: impl AsFd,
        peer: Peer,
        users: &mut Users,
    ) -> Option<UserId> {
        self.begin(client, peer, false);
        let (user, how) = self.without_credentials(socket, peer, users)?;
        self.seat(client, user, how, users).ok()
    }

    /// A guest comes, who is nobody yet.
    pub(super) fn begin(&mut self, client: ClientId, peer: Peer, is_leaf: bool) {
        self.serial += 1;
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Local => None,
        };
        let needs_nonce = is_leaf || self.trust.is_some() || self.known.has_keys(&self.settings.auth);
        let more = (needs_nonce || self.settings.auth.is_configured())
            .then(|| Box::new(More { nonce: nonce().filter(|_| needs_nonce), address, ..More::default() }));
        let guest = Guest { serial: self.serial, user: None, more };
        let index = client.index() as usize;
        if self.guests.len() <= index {
            self.guests.resize_with(index + 1, || None);
        }
        if let Some(place) = self.guests.get_mut(index) {
            *place = Some(guest);
        }
    }

    pub(super) fn without_credentials(
        &mut self,
        socket: impl AsFd,
        peer: Peer,
        users: &mut Users,
    ) -> Option<(UserId, How)> {
        if let Some(uid) = self.uid(socket, peer) {
            let identity = &self.settings.auth.identity;
            let rule = Rule::of(uid.0, &uid.1, self.owner, identity);
            let user = self.known.of_uid(uid.0, rule, identity, users);
            return Some((user, How::Uid(uid.0, rule)));
        }
        if let Some(name) = &self.settings.auth.accounts.no_auth_user {
            return self.known.named(name).map(|(user, _)| (*user, How::Configured));
        }
        self.known.others.map(|user| (user, How::Others))
    }

    /// The uid and gids of a process of this machine.
    fn uid(&self, socket: impl AsFd, peer: Peer) -> Option<(u32, Vec<u32>)> {
        match peer {
            Peer::Local if self.asks_uid(true) => {
                let peer = UnixPeer::of(socket).ok()?;
                Some((peer.uid, peer.gids))
            }
            Peer::Tcp(address) if self.asks_uid(false) => {
                let local = rustix::net::getsockname(&socket).ok()?;
                let local = SocketAddr::try_from(local).ok()?;
                let uid = self.diagnosis.as_ref()?.owner(&socket, local, address).ok()??;
                Some((uid, Vec::new()))
            }
            _ => None,
        }
    }

    /// The nonce of a client's first `INFO`.
    pub(crate) fn nonce(&self, client: ClientId) -> &str {
        let nonce = self.guest(client).and_then(|guest| guest.more.as_ref()?.nonce.as_ref());
        nonce.and_then(|nonce| std::str::from_utf8(nonce).ok()).unwrap_or_default()
    }

    /// Whether a client must say who it is; once it has `connected`, whether such clients must in general.
    pub(crate) fn wants_credentials(&self, client: ClientId, connected: bool) -> bool {
        match self.guest(client).and_then(|guest| guest.user) {
            Some((_, _, How::Uid(..) | How::Others)) => false,
            Some((_, _, How::Configured | How::Leaf)) => connected,
            None => true,
        }
    }

    pub(super) fn guest(&self, client: ClientId) -> Option<&Guest> {
        self.guests.get(client.index() as usize)?.as_ref()
    }

    /// Who a client is, by what it says, and by its certificate where that tells.
    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        shown: &Credentials<'_>,
        certificate: Option<Certificate>,
    ) -> Verdict {
        let guest = self.guest(client);
        if !self.settings.auth.is_configured() {
            // nats-server does not look at credentials either where it has not been told any.
            return match guest.and_then(|guest| guest.user) {
                Some((user, _, how)) => Verdict::Admit(user, how),
                None => Verdict::Refuse("nobody is known from there"),
            };
        }
        if self.trust.is_some() {
            return self.ask_trust(client, shown);
        }
        if !shown.nkey.is_empty() && self.known.has_keys(&self.settings.auth) {
            return self.ask_key(client, shown);
        }
        if let Some(certificate) = certificate.filter(|_| !self.known.all_named().is_empty()) {
            return self.ask_certificate(&certificate, shown.connection);
        }
        // Keys and tokens of kinds that are not configured are no credentials.
        let none = shown.user.is_empty() && shown.pass.is_empty() && shown.token.is_empty();
        if none && let Some((user, _, how)) = guest.and_then(|guest| guest.user) {
            return Verdict::Admit(user, how);
        }
        let named = (!shown.user.is_empty()).then(|| self.known.named(&shown.user.to_string())).flatten();
        let (expected, secret, given) = if let Some((user, at)) = named {
            let Some(found) = self.settings.auth.users().nth(*at) else {
                return Verdict::Refuse("no such user");
            };
            if !found.connection_types.has(shown.connection) {
                return Verdict::Refuse("this kind of connection is not for the user");
            }
            match &found.credential {
                Credential::Password(_, Some(secret)) => (*user, secret, shown.pass),
                _ => return Verdict::Refuse("the user has no password"),
            }
        } else if let (Some(user), Some(secret)) = (self.known.token, &self.settings.auth.authorization.token)
        {
            (user, secret, shown.token)
        } else if let (Some(user), Some((name, secret))) =
            (self.known.single, &self.settings.auth.authorization.single)
        {
            if !shown.user.eq_str(name) {
                return Verdict::Refuse("no such user");
            }
            match secret {
                Some(secret) => (user, secret, shown.pass),
                None if shown.pass.is_empty() => return Verdict::Admit(user, How::Configured),
                None => return Verdict::Refuse("the user has no password"),
            }
        } else {
            return Verdict::Refuse("no such user, or no credentials");
        };
        let secret = secret.clone();
        self.check_secret(client, &secret, given, expected, How::Configured)
    }

    /// Whoever knows the secret is `user`.
    pub(super) fn check_secret(
        &mut self,
        client: ClientId,
        secret: &Secret,
        given: Str<'_>,
        user: UserId,
        how: How,
    ) -> Verdict {
        let given = given.to_string();
        match secret {
            Secret::Plain(plain) if same(plain.as_bytes(), given.as_bytes()) => Verdict::Admit(user, how),
            Secret::Plain(_) => Verdict::Refuse("a wrong password"),
            &Secret::Bcrypt(hash) => self.hash(client, (user, how), hash, &given),
        }
    }

    /// Who has a certificate needs no password: one of its names is a user's, or its subject is.
    fn ask_certificate(&self, certificate: &Certificate, connection: ConnectionTypes) -> Verdict {
        let by_name = certificate.names().find_map(|name| self.known.named(name));
        let by = |is: fn(&Certificate, &str) -> bool| {
            let mut named = self.known.all_named().iter();
            named.find(|(user, _)| is(certificate, user)).map(|(_, found)| found)
        };
        let by_subject = || {
            let ways =
                [Certificate::is_whole_subject, Certificate::is_subject, Certificate::is_short_subject];
            ways.into_iter().find_map(by)
        };
        let Some((user, at)) = by_name.or_else(by_subject) else {
            return Verdict::Refuse("the certificate is no user's");
        };
        match self.settings.auth.users().nth(*at) {
            Some(found) if found.connection_types.has(connection) => Verdict::Admit(*user, How::Configured),
            _ => Verdict::Refuse("this kind of connection is not for the user"),
        }
    }

    fn hash(&mut self, client: ClientId, hoped: (UserId, How), hash: Bcrypt, given: &str) -> Verdict {
        let Some(Some(guest)) = self.guests.get_mut(client.index() as usize) else {
            return Verdict::Refuse("it is gone");
        };
        guest.more.get_or_insert_default().hoped = Some(hoped);
        let whose = (client.index(), guest.serial);
        if self.hasher.check(whose, hash, given.as_bytes()) {
            Verdict::Later
        } else {
            Verdict::Refuse("too many passwords wait to be hashed")
        }
    }

    /// The next client whose password has been hashed.
    pub(crate) fn answer(&mut self) -> Option<(ClientId, Verdict)> {
        loop {
            let ((client, serial), good) = self.hasher.answer()?;
            let Some(Some(guest)) = self.guests.get_mut(client as usize) else { continue };
            if guest.serial != serial {
                continue;
            }
            let hoped = guest.more.as_mut().and_then(|more| more.hoped.take());
            let verdict = match hoped {
                Some((user, how)) if good => Verdict::Admit(user, how),
                _ => Verdict::Refuse("a wrong password"),
            };
            return Some((ClientId::new(client), verdict));
        }
    }

    /// What has been hashed will be asked for.
    pub(crate) fn heard_hashes(&self) {
        self.hasher.heard();
    }

    fn ask_key(&self, client: ClientId, shown: &Credentials<'_>) -> Verdict {
        let Some((user, at)) = self.known.named(&shown.nkey.to_string()) else {
            return Verdict::Refuse("no such key");
        };
        let Some(found) = self.settings.auth.users().nth(*at) else { return Verdict::Refuse("no such key") };
        let Credential::Key(key) = found.credential else { return Verdict::Refuse("no such key") };
        if !found.connection_types.has(shown.connection) {
            return Verdict::Refuse("this kind of connection is not for the user");
        }
        self.check_key(client, &key, shown, *user, How::Configured)
    }

    /// Whoever has signed the nonce with the key is `user`.
    pub(super) fn check_key(
        &self,
        client: ClientId,
        key: &PublicKey,
        shown: &Credentials<'_>,
        user: UserId,
        how: How,
    ) -> Verdict {
        let nonce = self.nonce(client);
        let signed = !nonce.is_empty()
            && signature(shown.sig).is_some_and(|sig| token::verify(key, nonce.as_bytes(), &sig));
        if signed {
            Verdict::Admit(user, how)
        } else {
            Verdict::Refuse("the nonce is not signed, or not by the user")
        }
    }

    fn ask_trust(&mut self, client: ClientId, asking: &Credentials<'_>) -> Verdict {
        if asking.jwt.is_empty() {
            return Verdict::Refuse("no token");
        }
        let more = self.guest(client).and_then(|guest| guest.more.as_ref());
        let address = more.and_then(|more| more.address);
        let nonce = more.and_then(|more| more.nonce).unwrap_or_default();
        let Some(trust) = &mut self.trust else { return Verdict::Refuse("nobody is trusted") };
        let text = asking.jwt.to_string();
        let shown = Shown {
            token: &text,
            signature: signature(asking.sig),
            nonce: &nonce,
            address,
            connection: asking.connection,
        };
        match trust.bearer(&shown) {
            Ok(bearer) => Verdict::Bearer(Box::new(bearer)),
            Err(why) => Verdict::Refuse(why),
        }
    }

    /// Carries a verdict out. `None`: later.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        client: ClientId,
        verdict: Verdict,
        users: &mut Users,
    ) -> Option<Result<UserId, Refusal>> {
        match verdict {
            Verdict::Later => None,
            Verdict::Refuse(why) => Some(Err(why)),
            Verdict::Admit(user, how) => Some(self.seat(client, user, how, users)),
            Verdict::Bearer(bearer) => {
                let Bearer { stay, name, permissions, subscriptions, payload, rest, account_expires } =
                    *bearer;
                self.redraw(users);
                let trust = self.trust.as_mut()?;
                let account = self.accounts.of_key(&stay.account, trust.system());
                let (most, leafnodes) = trust.connections(&stay.account);
                self.accounts.limit(account, most, leafnodes);
                let expires = rest.map(|rest| now + rest);
                let name = if name.is_empty() { stay.user.to_string() } else { name };
                let user = users.insert(Entry {
                    name,
                    account,
                    permissions,
                    subscriptions,
                    payload,
                    expires,
                    account_expires,
                });
                let seated = self.seat(client, user, How::Configured, users);
                if let (Ok(_), Some(Some(guest))) = (&seated, self.guests.get_mut(client.index() as usize)) {
                    guest.more.get_or_insert_default().stay = Some(stay);
                }
                // The client holds it now, and nobody else.
                users.release(user);
                Some(seated)
            }
        }
    }

    /// Draws the borders between the accounts of tokens anew, if a token has changed.
    pub(super) fn redraw(&mut self, users: &mut Users) {
        let Self { trust: Some(trust), accounts, version, .. } = self else { return };
        // To draw them, further tokens may be read.
        while *version != trust.version() {
            *version = trust.version();
            let system = trust.system();
            users.draw(Borders::between(&trust.sheets(|key| accounts.of_key(key, system))));
        }
    }

    pub(super) fn seat(
        &mut self,
        client: ClientId,
        user: UserId,
        how: How,
        users: &mut Users,
    ) -> Result<UserId, Refusal> {
        let account = users.find(user).map(|entry| entry.account).ok_or("no such user")?;
        let Some(Some(guest)) = self.guests.get_mut(client.index() as usize) else {
            return Err("it is gone");
        };
        let before = guest.user.take();
        users.hold(user);
        if let Some((before, account, _)) = before {
            self.accounts.leave(account);
            users.release(before);
        }
        if !self.accounts.enter(account) {
            users.release(user);
            return Err(CROWDED);
        }
        guest.user = Some((user, account, how));
        Ok(user)
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, client: ClientId, users: &mut Users) {
        let guest = self.guests.get_mut(client.index() as usize).and_then(Option::take);
        if let Some((user, account, _)) = guest.and_then(|guest| guest.user) {
            self.accounts.leave(account);
            users.release(user);
        }
    }
}

/// The bytes of a signature.
fn signature(text: Str<'_>) -> Option<[u8; 64]> {
    let text = text.to_string();
    let mut room = [0; 64];
    let len = base64::decode_any(&text, &mut room).ok()?.len();
    (len == room.len()).then_some(room)
}

/// As nats-server's: 11 random bytes as letters.
fn nonce() -> Option<[u8; NONCE]> {
    let mut bytes = [0; 11];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    let mut text = [0; NONCE];
    let len = base64::encode_url(&bytes, &mut text).ok()?.len();
    (read == bytes.len() && len == NONCE).then_some(text)
}
