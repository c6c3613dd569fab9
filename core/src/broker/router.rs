//! Who gets a message: subscriptions by subject, by queue group and by client.

use super::cache::{Cache, Nodes};
use super::leaf_interest::{Interests, Party, Place};
use super::memory::{Table, Tables};
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;
use super::trie::{Fork, Trie, Walk};
use super::user::AccountId;

/// A subscription.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    link: Link,
    pub(super) node: u32,
    node_next: u32,
    node_before: u32,
    pub(super) client: u32,
    pub(super) client_next: u32,
    client_before: u32,
    pub(super) group: u32,
    /// How many messages it gets in its life; 0 if no number was set. Of a leaf node's, how many want it there.
    pub(super) max: u32,
    /// How many it has got, as far as 32 bits count; messages that nobody counts need no more.
    pub(super) got: u32,
    pub(super) sid: Text<11>,
}

impl Subscription {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        node: NONE,
        node_next: NONE,
        node_before: NONE,
        client: NONE,
        client_next: NONE,
        client_before: NONE,
        group: NONE,
        max: 0,
        got: 0,
        sid: Text::EMPTY,
    };
}

impl Subscription {
    /// It is in no queue group, and its messages are not numbered.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.group == NONE && self.max == 0
    }

    /// Counts a message for it if it [is plain](Self::is_plain), and answers the next one at its node.
    #[inline]
    pub(super) fn give(&mut self) -> u32 {
        self.got = self.got.saturating_add(1);
        self.node_next
    }
}

impl Linked for Subscription {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// A queue group's name, and the choice of its member for the message at hand.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    link: Link,
    members: u32,
    /// How many members the message at hand has met.
    met: u32,
    /// The one of them that gets it.
    chosen: u32,
    /// It is a leaf node's.
    remote: bool,
    /// The next group that the message has met; then, the next one of which the same leaf has the chosen member.
    pub(super) touched: u32,
    pub(super) name: Text<15>,
}

impl Group {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        members: 0,
        met: 0,
        chosen: NONE,
        remote: false,
        touched: NONE,
        name: Text::EMPTY,
    };
}

impl Linked for Group {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// The subscriptions' bookkeeping; they are in the [`Tables`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Router {
    trie: Trie,
    cache: Cache,
    seed: u64,
    random: u64,
    subscriptions: Pool,
    by_sid: Buckets,
    groups: Pool,
    by_name: Buckets,
    pub(super) chunks: Pool,
    pub(super) interests: Interests,
    /// Subscriptions that have got their last message and wait for the walk's end.
    spent: u32,
    /// Groups that the message at hand has met.
    touched: u32,
}

/// What a new subscription asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'b> {
    pub(super) client: u32,
    /// Whose subjects are meant.
    pub(super) account: AccountId,
    pub(super) subject: &'b [u8],
    pub(super) queue: Option<&'b [u8]>,
    /// Empty for a leaf node's, which is then named by [`place_key`].
    pub(super) sid: &'b [u8],
}

/// A message on its way to all that match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// The nodes that are known to match.
    pub(super) nodes: Nodes,
    /// Finds the others.
    walk: Option<Walk>,
    /// The next subscription at the node at hand.
    pub(super) next: u32,
}

/// A subscription that matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) subscription: u32,
    pub(super) client: u32,
    pub(super) group: Option<u32>,
}

impl Route {
    /// All that matches was answered.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.next == NONE && self.walk.is_none() && self.nodes.is_empty()
    }
}

impl Router {
    pub(super) const fn new(seed: u64, leaves: bool) -> Self {
        Self {
            trie: Trie::new(seed),
            cache: Cache::new(seed),
            seed: seed.rotate_left(32),
            // Xorshift must not start at zero.
            random: seed | 1,
            subscriptions: Pool::NEW,
            by_sid: Buckets::NEW,
            groups: Pool::NEW,
            by_name: Buckets::NEW,
            chunks: Pool::NEW,
            interests: Interests::new(seed.rotate_left(16), leaves),
            spent: NONE,
            touched: NONE,
        }
    }

    /// Subscriptions that are there.
    pub(super) fn subscriptions(&self) -> u32 {
        self.subscriptions.used()
    }

    fn sid_hash(&self, client: u32, sid: &[u8]) -> u32 {
        hash(self.seed, client, sid)
    }

    /// The client's subscription of that name.
    pub(super) fn find(&self, tables: &Tables<'_>, client: u32, sid: &[u8]) -> Option<u32> {
        let chunks = &*tables.chunks;
        self.by_sid.find(tables.subscriptions, self.sid_hash(client, sid), |subscription| {
            subscription.client == client && subscription.sid.is(chunks, sid)
        })
    }

    fn group(&self, tables: &Tables<'_>, name: &[u8]) -> Option<u32> {
        let chunks = &*tables.chunks;
        self.by_name.find(tables.groups, hash(self.seed, NONE, name), |group| group.name.is(chunks, name))
    }

    /// The first table that is too full for `request`.
    pub(super) fn short_of(&self, tables: &Tables<'_>, request: Request<'_>) -> Option<Table> {
        let (mut nodes, mut chunks) = (0, Text::<11>::chunks(request.sid.len()));
        let root = root(tables, request.account);
        if root == NONE {
            nodes += 1;
        }
        let fork = self.trie.fork(tables, root, request.subject);
        let (missing, long) = fork.needs(tables);
        nodes += missing;
        chunks += long;
        let mut groups = 0;
        if let Some(name) = request.queue
            && self.group(tables, name).is_none()
        {
            groups = 1;
            chunks += Text::<15>::chunks(name.len());
        }
        [
            (Table::Accounts, tables.accounts.len(), (request.account.index() as usize).saturating_add(1)),
            (Table::Nodes, self.trie.room(tables), nodes),
            (Table::Subscriptions, self.subscriptions.room(tables.subscriptions.len()), 1),
            (Table::Groups, self.groups.room(tables.groups.len()), groups),
            (Table::Chunks, self.chunks.room(tables.chunks.len()), chunks),
        ]
        .into_iter()
        .find_map(|(table, room, needed)| (room < needed).then_some(table))
        .or_else(|| self.interests.short_of(tables, &self.chunks, chunks, request.subject, request.queue))
    }

    /// Subscribes; `first` is the head of the client's list. The caller has asked [`Router::short_of`] and
    /// [`Router::find`]. Answers whether it worked, which it then does.
    pub(super) fn subscribe(
        &mut self,
        tables: &mut Tables<'_>,
        request: Request<'_>,
        first: &mut u32,
    ) -> Option<u32> {
        let Request { client, account, subject, queue, sid } = request;
        let mut root = root(tables, account);
        if root == NONE {
            root = self.trie.root(tables)?;
            at_mut(tables.accounts, account.index())?.root = root;
        }
        let fork: Fork<'_> = self.trie.fork(tables, root, subject);
        let node = self.trie.extend(tables, &mut self.chunks, &fork)?;
        let group = match queue {
            Some(name) => self.join(tables, name)?,
            None => NONE,
        };
        let key = place_key(node, group);
        let sid = if sid.is_empty() { &key[..] } else { sid };
        let sid_text = Text::store(sid, tables.chunks, &mut self.chunks)?;
        let index = self.subscriptions.take(tables.subscriptions)?;
        let node_next = core::mem::replace(&mut at_mut(tables.nodes, node)?.subscriptions, index);
        if node_next == NONE {
            self.cache.forget();
        }
        let client_next = core::mem::replace(first, index);
        if let Some(next) = at_mut(tables.subscriptions, node_next) {
            next.node_before = index;
        }
        if let Some(next) = at_mut(tables.subscriptions, client_next) {
            next.client_before = index;
        }
        let slot = at_mut(tables.subscriptions, index)?;
        *slot = Subscription {
            link: slot.link,
            node,
            node_next,
            client,
            client_next,
            group,
            sid: sid_text,
            ..Subscription::EMPTY
        };
        self.by_sid.insert(tables.subscriptions, index, self.sid_hash(client, sid));
        let text = (subject, queue);
        self.interests.add(tables, &mut self.chunks, client, (node, group), account, text);
        Some(index)
    }

    fn join(&mut self, tables: &mut Tables<'_>, name: &[u8]) -> Option<u32> {
        if let Some(index) = self.group(tables, name) {
            at_mut(tables.groups, index)?.members += 1;
            return Some(index);
        }
        let text = Text::store(name, tables.chunks, &mut self.chunks)?;
        let index = self.groups.take(tables.groups)?;
        let group = at_mut(tables.groups, index)?;
        *group = Group { link: group.link, members: 1, name: text, ..Group::EMPTY };
        self.by_name.insert(tables.groups, index, hash(self.seed, NONE, name));
        Some(index)
    }

    /// Sets the number of messages in the life of `subscription`; answers whether it has got them already.
    pub(super) fn limit(&self, tables: &mut Tables<'_>, subscription: u32, max: u64) -> bool {
        let Some(slot) = at_mut(tables.subscriptions, subscription) else { return true };
        slot.max = u32::try_from(max).unwrap_or(u32::MAX);
        slot.max <= slot.got
    }

    /// Ends `subscription`; `first` is the head of its client's list. Not while a [`Route`] is under way.
    pub(super) fn unsubscribe(&mut self, tables: &mut Tables<'_>, subscription: u32, first: &mut u32) {
        self.by_sid.remove(tables.subscriptions, subscription);
        self.drop_hidden(tables, subscription, first);
    }

    /// Ends a subscription that [`Router::find`] does not find any more.
    fn drop_hidden(&mut self, tables: &mut Tables<'_>, index: u32, first: &mut u32) {
        let Some(&gone) = at(tables.subscriptions, index) else { return };
        match at_mut(tables.subscriptions, gone.client_before) {
            Some(before) => before.client_next = gone.client_next,
            None => *first = gone.client_next,
        }
        if let Some(next) = at_mut(tables.subscriptions, gone.client_next) {
            next.client_before = gone.client_before;
        }
        if let Some(before) = at_mut(tables.subscriptions, gone.node_before) {
            before.node_next = gone.node_next;
        } else if let Some(node) = at_mut(tables.nodes, gone.node) {
            node.subscriptions = gone.node_next;
            if gone.node_next == NONE {
                self.cache.forget();
            }
        }
        if let Some(next) = at_mut(tables.subscriptions, gone.node_next) {
            next.node_before = gone.node_before;
        }
        if let Some(slot) = at_mut(tables.subscriptions, index) {
            slot.sid.release(tables.chunks, &mut self.chunks);
            slot.client = NONE;
        }
        self.subscriptions.give(tables.subscriptions, index);
        let weight = match Party::of(tables, gone.client) {
            Party::Client => 1,
            _ => gone.max.max(1),
        };
        self.interests.change(tables, gone.client, (gone.node, gone.group), -i64::from(weight));
        self.leave(tables, gone.group);
        self.trie.prune(tables, &mut self.chunks, gone.node);
    }

    fn leave(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Some(group) = at_mut(tables.groups, index) else { return };
        group.members = group.members.saturating_sub(1);
        if group.members == 0 {
            group.name.release(tables.chunks, &mut self.chunks);
            self.by_name.remove(tables.groups, index);
            self.groups.give(tables.groups, index);
        }
    }

    /// Begins the way of a message.
    #[inline]
    pub(super) fn route(&mut self, tables: &mut Tables<'_>, account: AccountId, subject: &[u8]) -> Route {
        let root = root(tables, account);
        if root == NONE {
            return Route { nodes: Nodes::NONE, walk: None, next: NONE };
        }
        let place = self.cache.place(tables.found.len(), root, subject);
        if let Some(place) = place
            && let Some(nodes) = self.cache.find(tables.found, place, root, subject)
        {
            return Route { nodes, walk: None, next: NONE };
        }
        self.look(tables, root, subject, place)
    }

    /// Looks for all that matches, as far as it can be kept for the next message.
    fn look(&mut self, tables: &mut Tables<'_>, root: u32, subject: &[u8], place: Option<usize>) -> Route {
        let whole = Route { nodes: Nodes::NONE, walk: Some(Walk::new(root, subject)), next: NONE };
        let Some(place) = place.filter(|place| self.cache.is_free(tables.found, *place)) else {
            return whole;
        };
        let mut walk = Walk::new(root, subject);
        let mut nodes = Nodes::NONE;
        while let Some(node) = walk.next(&self.trie, tables, subject) {
            if !nodes.push(node) {
                return whole;
            }
        }
        self.cache.keep(tables.found, place, root, subject, nodes);
        Route { nodes, walk: None, next: NONE }
    }

    /// The next subscription that matches, in no order that anyone may rely on. Until it answers `None`
    /// no subscription may begin or end.
    #[inline]
    pub(super) fn next(&self, tables: &Tables<'_>, route: &mut Route, subject: &[u8]) -> Option<Match> {
        loop {
            if let Some(slot) = at(tables.subscriptions, route.next) {
                let subscription = core::mem::replace(&mut route.next, slot.node_next);
                let group = (slot.group != NONE).then_some(slot.group);
                return Some(Match { subscription, client: slot.client, group });
            }
            let node = match route.nodes.pop() {
                Some(node) => node,
                None => route.walk.as_mut()?.next(&self.trie, tables, subject)?,
            };
            route.next = at(tables.nodes, node)?.subscriptions;
        }
    }

    /// Counts a message for `subscription`; answers whether it may have it.
    pub(super) fn count(&mut self, tables: &mut Tables<'_>, subscription: u32) -> bool {
        let Some(slot) = at_mut(tables.subscriptions, subscription) else { return false };
        if slot.max == 0 {
            slot.got = slot.got.saturating_add(1);
            return true;
        }
        if slot.got >= slot.max {
            return false;
        }
        slot.got += 1;
        if slot.got == slot.max {
            // It stays in its lists, which a walk may be in, but can no longer be named: so its link is free.
            self.by_sid.remove(tables.subscriptions, subscription);
            if let Some(slot) = at_mut(tables.subscriptions, subscription) {
                slot.link.next = core::mem::replace(&mut self.spent, subscription);
            }
        }
        true
    }

    /// Whether a message has left something to be done.
    #[inline]
    pub(super) fn is_unsettled(&self) -> bool {
        self.spent != NONE || self.touched != NONE
    }

    /// A subscription that has got its last message, and its client; to be given to [`Router::bury`].
    pub(super) fn spent(&self, tables: &Tables<'_>) -> Option<(u32, u32)> {
        at(tables.subscriptions, self.spent).map(|slot| (self.spent, slot.client))
    }

    /// Ends what [`Router::spent`] answered.
    pub(super) fn bury(&mut self, tables: &mut Tables<'_>, subscription: u32, first: &mut u32) {
        self.spent = at(tables.subscriptions, subscription).map_or(NONE, |slot| slot.link.next);
        self.drop_hidden(tables, subscription, first);
    }

    /// Proposes a member of `group` for the message at hand: each proposed one is chosen with the same
    /// probability (reservoir sampling).
    pub(super) fn propose(&mut self, tables: &mut Tables<'_>, group: u32, subscription: u32) {
        let Some(slot) = at_mut(tables.groups, group) else { return };
        if slot.met == 0 {
            slot.touched = core::mem::replace(&mut self.touched, group);
        } else if core::mem::replace(&mut slot.remote, false) {
            // Members here come before those of leaf nodes.
            slot.met = 0;
        }
        slot.met += 1;
        if slot.met == 1 || below(&mut self.random, slot.met) == 0 {
            slot.chosen = subscription;
        }
    }

    /// Proposes a leaf node's members of `group`, unless there are members here.
    pub(super) fn propose_remote(&mut self, tables: &mut Tables<'_>, group: u32, subscription: u32) {
        let weight = self.weight(tables, subscription);
        let Some(slot) = at_mut(tables.groups, group) else { return };
        if slot.met == 0 {
            slot.touched = core::mem::replace(&mut self.touched, group);
            slot.remote = true;
        } else if !slot.remote {
            return;
        }
        slot.met = slot.met.saturating_add(weight);
        if below(&mut self.random, slot.met) < weight {
            slot.chosen = subscription;
        }
    }

    /// Where subscriptions to `subject` are; `None` if there are none.
    pub(super) fn seek(
        &self,
        tables: &Tables<'_>,
        account: AccountId,
        subject: &[u8],
        queue: Option<&[u8]>,
    ) -> Option<Place> {
        let fork = self.trie.fork(tables, root(tables, account), subject);
        let group = match queue {
            Some(name) => self.group(tables, name)?,
            None => NONE,
        };
        (fork.is_whole() && fork.node != NONE).then_some((fork.node, group))
    }

    /// How many want what a leaf node's `subscription` stands for.
    pub(super) fn weight(&self, tables: &Tables<'_>, subscription: u32) -> u32 {
        at(tables.subscriptions, subscription).map_or(0, |slot| slot.max.max(1))
    }

    pub(super) fn set_weight(&mut self, tables: &mut Tables<'_>, subscription: u32, weight: u32) {
        let Some(slot) = at_mut(tables.subscriptions, subscription) else { return };
        let before = core::mem::replace(&mut slot.max, weight).max(1);
        let (client, place) = (slot.client, (slot.node, slot.group));
        if before != weight {
            self.interests.change(tables, client, place, i64::from(weight) - i64::from(before));
        }
    }

    /// All leaf nodes know of the first change of what is wanted.
    pub(super) fn told(&mut self, tables: &mut Tables<'_>) {
        self.interests.told(tables, &mut self.chunks);
    }

    /// The chosen member of the next group that the message has met.
    pub(super) fn choice(&mut self, tables: &mut Tables<'_>) -> Option<u32> {
        let slot = at_mut(tables.groups, self.touched)?;
        self.touched = core::mem::replace(&mut slot.touched, NONE);
        slot.met = 0;
        slot.remote = false;
        Some(core::mem::replace(&mut slot.chosen, NONE))
    }
}

/// The name of a leaf node's subscription.
pub(super) fn place_key(node: u32, group: u32) -> [u8; 8] {
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(node.to_le_bytes().into_iter().chain(group.to_le_bytes())) {
        *to = from;
    }
    key
}

/// Where the account's subjects begin; [`NONE`] before the first one.
fn root(tables: &Tables<'_>, account: AccountId) -> u32 {
    at(tables.accounts, account.index()).map_or(NONE, |slot| slot.root)
}

/// A number below `bound`, each as likely (but for 2^-32).
fn below(state: &mut u64, bound: u32) -> u32 {
    // xorshift64*, Vigna 2016.
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let high = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
    // Less than `bound`.
    ((high * u64::from(bound)) >> 32) as u32
}
