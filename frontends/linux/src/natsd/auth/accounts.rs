//! The accounts' names and numbers.

use lunix_core::broker::AccountId;
use lunix_proto::nkey::PublicKey;

use crate::natsd::settings::{AccountLimits, Accounts as Settings};

/// An account, its name, and who is in it.
#[derive(Debug)]
struct Account {
    name: String,
    /// Clients at the same time, if there is a limit.
    most: Option<u32>,
    clients: u32,
    limits: AccountLimits,
}

/// All accounts by number. None is ever forgotten: what was in one must not come into another.
#[derive(Debug)]
pub(crate) struct Accounts(Vec<Account>);

impl Accounts {
    /// Those that are configured, after the two that are always there.
    pub(super) fn new() -> Self {
        Self(["$G", "$SYS"].map(Account::named).into())
    }

    /// The numbers of the configured accounts, in their order.
    pub(super) fn numbers(&mut self, settings: &Settings) -> Vec<AccountId> {
        let system = settings.system.as_deref().unwrap_or("$SYS");
        let each = settings.list.iter().map(|account| {
            let number = if account.name == system {
                // It is the one that is always there, by the name that it is given.
                if let Some(known) = self.0.get_mut(AccountId::SYSTEM.index() as usize) {
                    known.name.clone_from(&account.name);
                }
                AccountId::SYSTEM
            } else {
                self.number(&account.name)
            };
            if let Some(known) = self.0.get_mut(number.index() as usize) {
                known.most = account.limits.connections;
                known.limits = account.limits;
            }
            number
        });
        each.collect()
    }

    /// The number of an account, a new one if nobody has asked for it before.
    pub(super) fn number(&mut self, name: &str) -> AccountId {
        let at = self.0.iter().position(|account| account.name == name).unwrap_or_else(|| {
            self.0.push(Account::named(name));
            self.0.len() - 1
        });
        AccountId::new(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AccountId, &str)> {
        (0..).zip(&self.0).map(|(index, account)| (AccountId::new(index), account.name.as_str()))
    }

    /// The number of an account that is known by its key.
    pub(super) fn of_key(&mut self, key: &PublicKey, system: Option<PublicKey>) -> AccountId {
        if system == Some(*key) { AccountId::SYSTEM } else { self.number(key.text().as_str()) }
    }

    /// What an account is called.
    pub(crate) fn name(&self, account: AccountId) -> &str {
        self.0.get(account.index() as usize).map_or("", |account| account.name.as_str())
    }

    /// What its users may have at most, if they have no own limits.
    pub(super) fn limits(&self, account: AccountId) -> AccountLimits {
        self.0.get(account.index() as usize).map(|account| account.limits).unwrap_or_default()
    }

    /// Says how many clients an account may have, and how many leaf nodes.
    pub(super) fn limit(&mut self, account: AccountId, most: Option<u32>, leafnodes: Option<u32>) {
        if let Some(account) = self.0.get_mut(account.index() as usize) {
            account.most = most;
            account.limits.leafnodes = leafnodes;
        }
    }

    /// Another client comes in; `false` if there are too many.
    pub(super) fn enter(&mut self, account: AccountId) -> bool {
        let Some(account) = self.0.get_mut(account.index() as usize) else { return false };
        let room = account.most.is_none_or(|most| account.clients < most);
        account.clients += u32::from(room);
        room
    }

    /// A client goes.
    pub(super) fn leave(&mut self, account: AccountId) {
        if let Some(account) = self.0.get_mut(account.index() as usize) {
            account.clients = account.clients.saturating_sub(1);
        }
    }
}

impl Account {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), most: None, clients: 0, limits: AccountLimits::default() }
    }
}
