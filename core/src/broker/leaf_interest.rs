//! What is wanted on this side, for leaf nodes to be told: one entry for each (subject, queue group).

use super::memory::{Table, Tables};
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;
use super::user::AccountId;

/// What is wanted by somebody. It keeps its own text, for it is spoken of once more after its end.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    link: Link,
    /// Where its subscriptions are.
    pub(super) node: u32,
    pub(super) group: u32,
    pub(super) account: u32,
    /// Subscriptions of clients.
    pub(super) own: u32,
    /// What leaves want, by weight.
    pub(super) below: u32,
    /// What hubs want, by weight.
    pub(super) above: u32,
    changed: bool,
    /// Whose the change is; [`NONE`] if it is several clients'.
    pub(super) changed_by: u32,
    next_changed: u32,
    pub(super) detects_loops: bool,
    pub(super) subject: Text<15>,
    /// Empty for plain subscriptions.
    pub(super) queue: Text<15>,
}

impl Interest {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        node: NONE,
        group: NONE,
        account: NONE,
        own: 0,
        below: 0,
        above: 0,
        changed: false,
        changed_by: NONE,
        next_changed: NONE,
        detects_loops: false,
        subject: Text::EMPTY,
        queue: Text::EMPTY,
    };

    /// Somebody wants it.
    pub(super) fn is_alive(&self) -> bool {
        self.own > 0 || self.below > 0 || self.above > 0
    }
}

impl Linked for Interest {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// Who wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Client,
    Leaf,
    Hub,
}

impl Party {
    pub(super) fn of(tables: &Tables<'_>, client: u32) -> Self {
        let leaf = at(tables.clients, client).map_or(NONE, |slot| slot.leaf);
        match at(tables.leaves, leaf) {
            None => Self::Client,
            Some(leaf) if leaf.is_hub => Self::Hub,
            Some(_) => Self::Leaf,
        }
    }
}

/// The bookkeeping; what is wanted is in [`Tables::interests`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Interests {
    /// Whether there may be leaf nodes at all.
    on: bool,
    seed: u64,
    pool: Pool,
    by_place: Buckets,
    /// What has changed, in order.
    first_changed: u32,
    last_changed: u32,
}

/// Where subscriptions are: node, group.
pub(super) type Place = (u32, u32);

impl Interests {
    pub(super) const fn new(seed: u64, on: bool) -> Self {
        Self { on, seed, pool: Pool::NEW, by_place: Buckets::NEW, first_changed: NONE, last_changed: NONE }
    }

    fn hash(&self, (node, group): Place) -> u32 {
        hash(self.seed, node, &group.to_le_bytes())
    }

    fn find(&self, tables: &Tables<'_>, place: Place) -> Option<u32> {
        self.by_place.find(tables.interests, self.hash(place), |slot| (slot.node, slot.group) == place)
    }

    /// Which table is too full for one more; `chunks` is how many others need of those.
    pub(super) fn short_of(
        &self,
        tables: &Tables<'_>,
        chunks: &Pool,
        others: usize,
        subject: &[u8],
        queue: Option<&[u8]>,
    ) -> Option<Table> {
        if !self.on {
            return None;
        }
        let text = |text: &[u8]| Text::<15>::chunks(text.len());
        let long = text(subject) + queue.map_or(0, text) + others;
        if self.pool.room(tables.interests.len()) == 0 {
            Some(Table::Interests)
        } else {
            (chunks.room(tables.chunks.len()) < long).then_some(Table::Chunks)
        }
    }

    /// Somebody subscribes. The caller has asked [`Interests::short_of`].
    pub(super) fn add(
        &mut self,
        tables: &mut Tables<'_>,
        chunks: &mut Pool,
        client: u32,
        place: Place,
        account: AccountId,
        (subject, queue): (&[u8], Option<&[u8]>),
    ) {
        if !self.on {
            return;
        }
        if self.find(tables, place).is_none() {
            let Some(subject_text) = Text::store(subject, tables.chunks, chunks) else { return };
            let queue = Text::store(queue.unwrap_or_default(), tables.chunks, chunks).unwrap_or(Text::EMPTY);
            let Some(index) = self.pool.take(tables.interests) else { return };
            let Some(slot) = at_mut(tables.interests, index) else { return };
            *slot = Interest {
                link: slot.link,
                node: place.0,
                group: place.1,
                account: account.index(),
                subject: subject_text,
                queue,
                detects_loops: super::leaf::detects_loops(subject),
                ..Interest::EMPTY
            };
            self.by_place.insert(tables.interests, index, self.hash(place));
        }
        self.change(tables, client, place, 1);
    }

    /// Somebody's share of what is wanted at `place` becomes larger or smaller.
    pub(super) fn change(&mut self, tables: &mut Tables<'_>, client: u32, place: Place, by: i64) {
        if !self.on {
            return;
        }
        let party = Party::of(tables, client);
        let Some(index) = self.find(tables, place) else { return };
        let Some(slot) = at_mut(tables.interests, index) else { return };
        let share = match party {
            Party::Client => &mut slot.own,
            Party::Leaf => &mut slot.below,
            Party::Hub => &mut slot.above,
        };
        let before = core::mem::replace(
            share,
            u32::try_from(i64::from(*share).saturating_add(by).max(0)).unwrap_or(u32::MAX),
        );
        // Of plain interest of clients only the first and the last are news.
        let is_news = party != Party::Client || slot.group != NONE || before == 0 || *share == 0;
        let alive = slot.is_alive();
        if is_news && slot.changed && slot.changed_by != client {
            slot.changed_by = NONE;
        }
        if is_news && !core::mem::replace(&mut slot.changed, true) {
            slot.changed_by = client;
            slot.next_changed = NONE;
            match at_mut(tables.interests, self.last_changed) {
                Some(last) => last.next_changed = index,
                None => self.first_changed = index,
            }
            self.last_changed = index;
        }
        if !alive {
            self.by_place.remove(tables.interests, index);
        }
    }

    /// The first of what has changed.
    pub(super) fn changed(&self) -> u32 {
        self.first_changed
    }

    /// Everybody knows of [`Interests::changed`].
    pub(super) fn told(&mut self, tables: &mut Tables<'_>, chunks: &mut Pool) {
        let index = self.first_changed;
        let Some(slot) = at_mut(tables.interests, index) else { return };
        slot.changed = false;
        self.first_changed = core::mem::replace(&mut slot.next_changed, NONE);
        if self.first_changed == NONE {
            self.last_changed = NONE;
        }
        if !slot.is_alive() {
            slot.subject.release(tables.chunks, chunks);
            slot.queue.release(tables.chunks, chunks);
            self.pool.give(tables.interests, index);
        }
    }
}
