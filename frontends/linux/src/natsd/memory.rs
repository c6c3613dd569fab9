//! The broker's tables as vectors that grow by an eighth.

use lunix_core::broker::{
    Account, AccountId, Border, Chunk, Client, Found, Group, Interest, Leaf, Memory, Node, Reply,
    Subscription, Table, Tables, User, UserId,
};

use super::auth::users::Users;
use super::leaf::Rulebook;
use super::system::Served;

/// Tables as long as they have to be.
#[derive(Debug, Default)]
pub(super) struct Growing {
    nodes: Vec<Node>,
    subscriptions: Vec<Subscription>,
    groups: Vec<Group>,
    chunks: Vec<Chunk>,
    clients: Vec<Client>,
    accounts: Vec<Account>,
    found: Vec<Found>,
    replies: Vec<Reply>,
    scratch: Vec<u8>,
    leaves: Vec<Leaf>,
    interests: Vec<Interest>,
    /// Who is known to the door.
    pub(super) users: Users,
    /// Which requests to the server are answered.
    pub(super) served: Served,
    /// Leaf nodes as the broker's users.
    pub(super) leaf_rules: Rulebook,
}

impl Memory for Growing {
    fn tables(&mut self) -> Tables<'_> {
        Tables {
            nodes: &mut self.nodes,
            subscriptions: &mut self.subscriptions,
            groups: &mut self.groups,
            chunks: &mut self.chunks,
            clients: &mut self.clients,
            accounts: &mut self.accounts,
            found: &mut self.found,
            replies: &mut self.replies,
            scratch: &mut self.scratch,
            leaves: &mut self.leaves,
            interests: &mut self.interests,
        }
    }

    fn user(&self, user: UserId) -> Option<User<'_>> {
        self.leaf_rules.user(user).or_else(|| self.users.of_broker(user))
    }

    fn border(&self, account: AccountId, index: u32) -> Option<Border<'_>> {
        self.users.borders.find(account, index)
    }

    fn is_asked(&self, account: AccountId) -> bool {
        self.users.borders.is_asked(account)
    }

    fn serves(&self, account: AccountId, subject: &[u8]) -> bool {
        self.served.serves(account, subject)
    }

    fn grow(&mut self, table: Table) -> bool {
        match table {
            Table::Nodes => longer(&mut self.nodes, Node::EMPTY),
            Table::Subscriptions => longer(&mut self.subscriptions, Subscription::EMPTY),
            Table::Groups => longer(&mut self.groups, Group::EMPTY),
            Table::Chunks => longer(&mut self.chunks, Chunk::EMPTY),
            Table::Clients => longer(&mut self.clients, Client::EMPTY),
            Table::Accounts => longer(&mut self.accounts, Account::EMPTY),
            Table::Found => {
                self.found.resize(FOUND, Found::EMPTY);
                true
            }
            Table::Replies => self.replies.len() < REPLIES && longer(&mut self.replies, Reply::EMPTY),
            Table::Scratch => {
                let room = self.scratch.is_empty();
                self.scratch.resize(SCRATCH, 0);
                room
            }
            Table::Leaves => longer(&mut self.leaves, Leaf::EMPTY),
            Table::Interests => longer(&mut self.interests, Interest::EMPTY),
        }
    }
}

/// Subjects of recent messages: 48 KB.
const FOUND: usize = 512;
/// Answers that are waited for: one that is older than so many others may be lost.
const REPLIES: usize = 64 << 10;
/// Four of the longest subjects and reply subjects.
const SCRATCH: usize = 32 << 10;

/// By an eighth, so that a million subscriptions waste little; the allocator moves large tables by remapping.
fn longer<T: Clone>(slots: &mut Vec<T>, empty: T) -> bool {
    let more = 8 + slots.len() / 8;
    let room = slots.try_reserve_exact(more).is_ok();
    if room {
        slots.resize(slots.len() + more, empty);
    }
    room
}
