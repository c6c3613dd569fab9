//! Reply subjects that somebody may publish to for a while, because it was asked to.

use super::memory::{Memory, Table, Tables};
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;
use crate::time::Instant;

/// A reply subject for a while.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    link: Link,
    older: u32,
    newer: u32,
    /// The number of the connection that may answer.
    number: u64,
    /// How often; [`u32::MAX`] is any number.
    left: u32,
    until: Instant,
    subject: Text<15>,
}

impl Reply {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        older: NONE,
        newer: NONE,
        number: 0,
        left: 0,
        until: NEVER,
        subject: Text::EMPTY,
    };
}

impl Linked for Reply {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

const NEVER: Instant = Instant::from_micros(u64::MAX);

/// The bookkeeping; the replies are in [`Tables::replies`]. When there is no room, the oldest one ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replies {
    seed: u64,
    pool: Pool,
    buckets: Buckets,
    oldest: u32,
    newest: u32,
}

/// Who may publish to a reply subject, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant<'a> {
    pub(super) number: u64,
    pub(super) subject: &'a [u8],
    /// 0 is any number.
    pub(super) max: u32,
    pub(super) until: Option<Instant>,
}

impl Replies {
    pub(super) const fn new(seed: u64) -> Self {
        let seed = seed.rotate_left(16);
        Self { seed, pool: Pool::NEW, buckets: Buckets::NEW, oldest: NONE, newest: NONE }
    }

    fn hash(&self, number: u64, subject: &[u8]) -> u32 {
        hash(self.seed, number as u32, subject)
    }

    fn find(&self, tables: &Tables<'_>, number: u64, subject: &[u8]) -> Option<u32> {
        let chunks = &*tables.chunks;
        self.buckets.find(tables.replies, self.hash(number, subject), |reply| {
            reply.number == number && reply.subject.is(chunks, subject)
        })
    }

    /// Allows an answer. `chunks` is the pool of [`Tables::chunks`].
    pub(super) fn grant(
        &mut self,
        memory: &mut impl Memory,
        chunks: &mut Pool,
        now: Instant,
        grant: Grant<'_>,
    ) -> Option<()> {
        let Grant { number, subject, max, until } = grant;
        let mut tables = memory.tables();
        // The counting begins again with every request.
        if let Some(before) = self.find(&tables, number, subject) {
            self.end(&mut tables, chunks, before);
        }
        // Two for one, so that what is over never outweighs what is not.
        for _ in 0..2 {
            if at(tables.replies, self.oldest).is_some_and(|reply| reply.until <= now || reply.left == 0) {
                self.end(&mut tables, chunks, self.oldest);
            }
        }
        let long = Text::<15>::chunks(subject);
        loop {
            let table = if self.pool.room(tables.replies.len()) == 0 {
                Table::Replies
            } else if chunks.room(tables.chunks.len()) < long {
                Table::Chunks
            } else {
                break;
            };
            let grew = memory.grow(table);
            tables = memory.tables();
            if !grew {
                if self.oldest == NONE {
                    return None;
                }
                self.end(&mut tables, chunks, self.oldest);
            }
        }
        let text = Text::store(subject, tables.chunks, chunks)?;
        let index = self.pool.take(tables.replies)?;
        let slot = at_mut(tables.replies, index)?;
        *slot = Reply {
            link: slot.link,
            older: self.newest,
            newer: NONE,
            number,
            left: if max == 0 { u32::MAX } else { max },
            until: until.unwrap_or(NEVER),
            subject: text,
        };
        match at_mut(tables.replies, core::mem::replace(&mut self.newest, index)) {
            Some(before) => before.newer = index,
            None => self.oldest = index,
        }
        self.buckets.insert(tables.replies, index, self.hash(number, subject));
        Some(())
    }

    /// Whether the connection may answer to `subject` once more.
    pub(super) fn take(
        &mut self,
        tables: &mut Tables<'_>,
        chunks: &mut Pool,
        now: Instant,
        number: u64,
        subject: &[u8],
    ) -> bool {
        let Some(index) = self.find(tables, number, subject) else { return false };
        let Some(slot) = at_mut(tables.replies, index) else { return false };
        let may = slot.until > now && slot.left > 0;
        if slot.left != u32::MAX {
            slot.left = slot.left.saturating_sub(1);
        }
        if !may || slot.left == 0 {
            self.end(tables, chunks, index);
        }
        may
    }

    fn end(&mut self, tables: &mut Tables<'_>, chunks: &mut Pool, index: u32) {
        let Some(&Reply { older, newer, .. }) = at(tables.replies, index) else { return };
        match at_mut(tables.replies, older) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match at_mut(tables.replies, newer) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
        self.buckets.remove(tables.replies, index);
        if let Some(slot) = at_mut(tables.replies, index) {
            slot.subject.release(tables.chunks, chunks);
        }
        self.pool.give(tables.replies, index);
    }
}
