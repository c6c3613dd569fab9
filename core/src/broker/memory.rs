//! The broker's memory, which the target gives: static arrays on a microcontroller, growing vectors on Linux.

use super::account::Account;
use super::border::Border;
use super::cache::Found;
use super::client::Client;
use super::leaf::Leaf;
use super::leaf_interest::Interest;
use super::reply::Reply;
use super::router::{Group, Subscription};
use super::text::Chunk;
use super::trie::Node;
use super::user::{AccountId, User, UserId};

/// The tables of a broker, all of them slices of `EMPTY` slots before their first use.
///
/// A subscription takes one slot of `subscriptions`, one of `nodes` for all tokens that no other subscription shares
/// (one more for each further 56 bytes of them, and one where it leaves the tokens of another one), one of `groups` if it
/// is the first of its queue group, and `chunks` only for tokens of more than 18 bytes together, group names of more than
/// 15 and subscription ids of more than 11.
#[derive(Debug)]
pub struct Tables<'m> {
    /// Tokens of subscribed subjects; the first one of an account is the root.
    pub nodes: &'m mut [Node],
    /// Subscriptions.
    pub subscriptions: &'m mut [Subscription],
    /// Queue groups.
    pub groups: &'m mut [Group],
    /// Long text in blocks.
    pub chunks: &'m mut [Chunk],
    /// Connections, by [`ClientId`](super::ClientId).
    pub clients: &'m mut [Client],
    /// Accounts, by [`AccountId`](super::AccountId).
    pub accounts: &'m mut [Account],
    /// Where the subjects of recent messages lead, which makes their next one faster. May have no slot at all.
    pub found: &'m mut [Found],
    /// Reply subjects that somebody may publish to for a while; as many as are to be remembered at most.
    pub replies: &'m mut [Reply],
    /// Room for texts while they are told or mapped: the longest subject, reply subject or subscription, four times.
    pub scratch: &'m mut [u8],
    /// Leaf nodes.
    pub leaves: &'m mut [Leaf],
    /// What is wanted, if there may be leaf nodes.
    pub interests: &'m mut [Interest],
}

/// Where a broker keeps what it knows.
///
/// [`Arrays`] is one of fixed size; vectors that [`Memory::grow`] makes longer are another one.
pub trait Memory {
    /// The tables. Between two calls their contents stay, and they never become shorter.
    fn tables(&mut self) -> Tables<'_>;

    /// `table` is full and the broker needs more of it to do what a client asks. Makes it longer by at least
    /// one slot (new ones `EMPTY`) and answers `true`, or answers `false`: then the client is refused.
    ///
    /// The broker asks before it changes anything, so that every operation happens whole or not at all.
    fn grow(&mut self, table: Table) -> bool {
        let _ = table;
        false
    }

    /// The driver's user of that number. It may change between two turns; a user that is gone may do nothing.
    fn user(&self, user: UserId) -> Option<User<'_>> {
        let _ = user;
        None
    }

    /// How many connections of users an account may have; `None` is any number.
    fn account_connections(&self, account: AccountId) -> Option<u32> {
        let _ = account;
        None
    }

    /// The `index`th [`Border`] over which messages leave `account`, in a row without gaps from 0 on. It may change
    /// between two turns.
    fn border(&self, account: AccountId, index: u32) -> Option<Border<'_>> {
        let _ = (account, index);
        None
    }

    /// Whether other accounts ask services of `account` over a [`Border`]: leaf nodes are told then that answers are wanted.
    fn is_asked(&self, account: AccountId) -> bool {
        let _ = account;
        false
    }

    /// Whether the driver answers requests to `subject`, which begins with `$SYS.REQ.`: then they become
    /// [`Action::Request`](super::Action::Request), and are never without a responder.
    fn serves(&self, account: AccountId, subject: &[u8]) -> bool {
        let _ = (account, subject);
        false
    }
}

/// Names a table to [`Memory::grow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// [`Tables::nodes`].
    Nodes,
    /// [`Tables::subscriptions`].
    Subscriptions,
    /// [`Tables::groups`].
    Groups,
    /// [`Tables::chunks`].
    Chunks,
    /// [`Tables::clients`].
    Clients,
    /// [`Tables::accounts`].
    Accounts,
    /// [`Tables::found`]: all of them at once, asked for as long as there is none. The broker can do without.
    Found,
    /// [`Tables::replies`].
    Replies,
    /// [`Tables::scratch`].
    Scratch,
    /// [`Tables::leaves`].
    Leaves,
    /// [`Tables::interests`].
    Interests,
}

/// Memory of fixed size, for static memory: a microcontroller's broker takes its limits from here.
///
/// ```
/// use lunix_core::broker::{Arrays, Broker, Limits};
///
/// // 8 connections, 64 subscriptions.
/// type Small = Arrays<112, 64, 8, 64, 8>;
/// let broker = Broker::new(Small::EMPTY, Limits::default(), 0x5eed);
/// assert_eq!(broker.statistics().connections, 0);
/// assert!(size_of::<Small>() < 16 * 1024);
/// ```
#[derive(Debug)]
pub struct Arrays<
    const NODES: usize,
    const SUBSCRIPTIONS: usize,
    const GROUPS: usize,
    const CHUNKS: usize,
    const CLIENTS: usize,
    const ACCOUNTS: usize = 2,
    const REPLIES: usize = 4,
    const SCRATCH: usize = 256,
    const LEAVES: usize = 0,
    const INTERESTS: usize = 0,
    const FOUND: usize = 0,
> {
    nodes: [Node; NODES],
    subscriptions: [Subscription; SUBSCRIPTIONS],
    groups: [Group; GROUPS],
    chunks: [Chunk; CHUNKS],
    clients: [Client; CLIENTS],
    accounts: [Account; ACCOUNTS],
    replies: [Reply; REPLIES],
    scratch: [u8; SCRATCH],
    leaves: [Leaf; LEAVES],
    interests: [Interest; INTERESTS],
    found: [Found; FOUND],
}

impl<
    const NODES: usize,
    const SUBSCRIPTIONS: usize,
    const GROUPS: usize,
    const CHUNKS: usize,
    const CLIENTS: usize,
    const ACCOUNTS: usize,
    const REPLIES: usize,
    const SCRATCH: usize,
    const LEAVES: usize,
    const INTERESTS: usize,
    const FOUND: usize,
>
    Arrays<
        NODES,
        SUBSCRIPTIONS,
        GROUPS,
        CHUNKS,
        CLIENTS,
        ACCOUNTS,
        REPLIES,
        SCRATCH,
        LEAVES,
        INTERESTS,
        FOUND,
    >
{
    /// All slots are free.
    pub const EMPTY: Self = Self {
        nodes: [Node::EMPTY; NODES],
        subscriptions: [Subscription::EMPTY; SUBSCRIPTIONS],
        groups: [Group::EMPTY; GROUPS],
        chunks: [Chunk::EMPTY; CHUNKS],
        clients: [const { Client::EMPTY }; CLIENTS],
        accounts: [Account::EMPTY; ACCOUNTS],
        replies: [Reply::EMPTY; REPLIES],
        scratch: [0; SCRATCH],
        leaves: [const { Leaf::EMPTY }; LEAVES],
        interests: [Interest::EMPTY; INTERESTS],
        found: [Found::EMPTY; FOUND],
    };
}

impl<
    const NODES: usize,
    const SUBSCRIPTIONS: usize,
    const GROUPS: usize,
    const CHUNKS: usize,
    const CLIENTS: usize,
    const ACCOUNTS: usize,
    const REPLIES: usize,
    const SCRATCH: usize,
    const LEAVES: usize,
    const INTERESTS: usize,
    const FOUND: usize,
> Memory
    for Arrays<
        NODES,
        SUBSCRIPTIONS,
        GROUPS,
        CHUNKS,
        CLIENTS,
        ACCOUNTS,
        REPLIES,
        SCRATCH,
        LEAVES,
        INTERESTS,
        FOUND,
    >
{
    fn tables(&mut self) -> Tables<'_> {
        let Self {
            nodes,
            subscriptions,
            groups,
            chunks,
            clients,
            accounts,
            replies,
            scratch,
            leaves,
            interests,
            found,
        } = self;
        Tables {
            nodes,
            subscriptions,
            groups,
            chunks,
            clients,
            accounts,
            replies,
            scratch,
            leaves,
            interests,
            found,
        }
    }
}
