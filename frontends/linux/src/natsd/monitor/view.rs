//! What reports are made of.

use std::time::{Duration, SystemTime};

use lunix_core::broker::{AccountId, Broker, ClientId, ClientStatus, Traffic, UserId};
use lunix_core::time::Instant;
use lunix_proto::nats::Connect;

use super::super::auth::door::Door;
use super::super::connection::Connection;
use super::super::identity::Identity;
use super::super::leaf::Leaves;
use super::super::memory::Growing;
use super::super::settings::Settings;
use super::closed::Ring;
use super::json::Json;
use super::process::Process;
use super::times::{Rfc3339, Uptime};

/// What a client says about itself in its `CONNECT`.
#[derive(Debug)]
pub(in crate::natsd) struct About {
    pub(in crate::natsd) name: Box<str>,
    pub(in crate::natsd) lang: Box<str>,
    pub(in crate::natsd) version: Box<str>,
    /// Who it says it is.
    pub(in crate::natsd) user: Box<str>,
}

impl About {
    /// The longest name that is kept; a longer one is cut.
    const NAME: usize = 256;
    const SHORT: usize = 32;

    pub(in crate::natsd) fn of(connect: &Connect<'_>) -> Self {
        let kept = |text: lunix_proto::json::Str<'_>, most: usize| {
            let mut kept = String::new();
            kept.extend(text.chars().take(most));
            kept.into_boxed_str()
        };
        Self {
            name: kept(connect.name, Self::NAME),
            lang: kept(connect.lang, Self::SHORT),
            version: kept(connect.version, Self::SHORT),
            user: kept(connect.user, Self::NAME),
        }
    }
}

/// What is counted and kept for reports alone.
#[derive(Debug)]
pub(in crate::natsd) struct Books {
    /// When the server began.
    pub(super) started: Instant,
    /// When its settings were last read.
    pub(super) configured: Instant,
    pub(super) closed: Ring,
    /// By [`AccountId`]; those without a closed connection may not be there.
    accounts: Vec<Account>,
    /// Requests over HTTP by [`PATHS`](super::report::PATHS).
    pub(super) requests: [u64; super::report::PATHS.len()],
    pub(super) process: Process,
    /// Clients that are to be asked for their round-trip time.
    pub(super) asks: Vec<ClientId>,
}

/// What connections of an account have done that are closed.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    traffic: Traffic,
    slow: u64,
}

/// What an account has and has done.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::natsd) struct AccountTotals {
    pub(in crate::natsd) connections: u64,
    pub(super) subscriptions: u64,
    pub(super) traffic: Traffic,
    pub(super) slow: u64,
}

impl Books {
    pub(super) fn new(now: Instant, closed: usize) -> Self {
        Self {
            started: now,
            configured: now,
            closed: Ring::new(closed),
            accounts: Vec::new(),
            requests: [0; super::report::PATHS.len()],
            process: Process::new(now),
            asks: Vec::new(),
        }
    }

    /// Counts a connection that has ended.
    pub(super) fn count(&mut self, status: &ClientStatus, slow: bool) {
        let index = status.account.index() as usize;
        if self.accounts.len() <= index {
            self.accounts.resize(index + 1, Account::default());
        }
        if let Some(account) = self.accounts.get_mut(index) {
            account.slow += u64::from(slow);
            add(&mut account.traffic, status.traffic);
        }
    }
}

fn add(sum: &mut Traffic, more: Traffic) {
    sum.in_messages += more.in_messages;
    sum.in_bytes += more.in_bytes;
    sum.out_messages += more.out_messages;
    sum.out_bytes += more.out_bytes;
}

/// All that a report may look at.
#[derive(Debug)]
pub(in crate::natsd) struct View<'a> {
    pub(in crate::natsd) broker: &'a mut Broker<Growing>,
    /// By [`ClientId`].
    pub(in crate::natsd) connections: &'a [Option<Connection>],
    pub(in crate::natsd) identity: &'a Identity,
    pub(in crate::natsd) settings: &'a Settings,
    pub(in crate::natsd) door: &'a Door,
    pub(in crate::natsd) leaves: &'a Leaves,
    pub(in crate::natsd) now: Instant,
    /// The clock on the wall when the other one stood at zero.
    pub(in crate::natsd) zero: SystemTime,
}

impl View<'_> {
    /// The clock on the wall at `instant`.
    pub(in crate::natsd) fn wall(&self, instant: Instant) -> Rfc3339 {
        Rfc3339(self.zero + Duration::from_micros(instant.as_micros()))
    }

    pub(in crate::natsd) fn uptime(&self, since: Instant) -> Uptime {
        Uptime(self.now.since(since))
    }

    pub(in crate::natsd) fn about(&self, client: ClientId) -> Option<&About> {
        self.connections.get(client.index() as usize)?.as_ref()?.about.as_deref()
    }

    /// Open clients.
    pub(in crate::natsd) fn clients(&mut self) -> impl Iterator<Item = (ClientId, ClientStatus)> + use<'_> {
        self.connected(false)
    }

    /// Leaf nodes and hubs that are connected.
    pub(super) fn leaves(&mut self) -> impl Iterator<Item = (ClientId, ClientStatus)> + use<'_> {
        self.connected(true)
    }

    fn connected(&mut self, leaves: bool) -> impl Iterator<Item = (ClientId, ClientStatus)> + use<'_> {
        let end = self.broker.clients_end().index();
        let broker = &mut *self.broker;
        (0..end).map(ClientId::new).filter_map(move |client| {
            let status = broker.client(client)?;
            (broker.leaf(client).is_some_and(|leaf| leaf.joined) == leaves).then_some((client, status))
        })
    }

    pub(in crate::natsd) fn account_name(&self, account: AccountId) -> &str {
        self.door.account_name(account)
    }

    /// The account of that name.
    pub(in crate::natsd) fn account(&self, name: &str) -> Option<AccountId> {
        self.door.accounts().find(|(_, known)| *known == name).map(|(account, _)| account)
    }

    /// What the system's account is called.
    pub(in crate::natsd) fn system(&self) -> &str {
        self.account_name(AccountId::SYSTEM)
    }

    /// All accounts.
    pub(in crate::natsd) fn accounts(&self) -> Vec<AccountId> {
        self.door.accounts().map(|(account, _)| account).collect()
    }

    /// What a user is called; empty for nobody in particular.
    pub(in crate::natsd) fn user_name(&self, user: Option<UserId>) -> &str {
        user.and_then(|user| self.broker.memory().users.find(user)).map_or("", |entry| &entry.name)
    }

    pub(in crate::natsd) fn totals(&mut self, books: &Books, account: AccountId) -> AccountTotals {
        let past = books.accounts.get(account.index() as usize).copied().unwrap_or_default();
        let mut totals = AccountTotals { traffic: past.traffic, slow: past.slow, ..AccountTotals::default() };
        for (_, status) in self.clients().filter(|(_, status)| status.account == account) {
            totals.connections += 1;
            totals.subscriptions += u64::from(status.subscriptions);
            add(&mut totals.traffic, status.traffic);
        }
        totals
    }

    /// `server_id` and `now`, with which most reports begin.
    pub(super) fn stamp(&self, json: &mut Json<'_>) {
        json.string("server_id", &self.identity.id).key("now").plain(self.wall(self.now));
    }
}

/// Whole nanoseconds, as Go writes spans into JSON.
pub(in crate::natsd) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
