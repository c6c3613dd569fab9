//! Reply subjects that somebody may publish to for a while, because it was asked to.

use super::memory::{Memory, Table, Tables};
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;
use super::user::{AccountId, Responses};
use crate::time::Instant;

/// A reply subject for a while.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    link: Link,
    older: u32,
    newer: u32,
    /// The number of the connection, or of the account, that may answer.
    number: u64,
    /// How often; [`u32::MAX`] is any number.
    left: u32,
    until: Instant,
    subject: Text<15>,
    /// Where the answer goes, and what it is called there, if it crosses a border.
    account: AccountId,
    answer: Text<15>,
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
        account: AccountId::GLOBAL,
        answer: Text::EMPTY,
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
    /// How many tokens were made.
    tokens: u32,
}

/// A request that has crossed a border, and is answered over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    /// Where the answers come from.
    pub(super) at: AccountId,
    /// Where they go, and what they are called there.
    pub(super) asker: AccountId,
    pub(super) reply: &'a [u8],
    pub(super) responses: Responses,
}

/// `_R_.`, a word of this server, and one of the request.
pub(super) type Token = [u8; 20];

/// A pattern that matches every [`Token`] of this server.
pub(super) type Answers = [u8; 10];

impl Exchange<'_> {
    /// How reply subjects of exchanges begin.
    pub(super) const PREFIX: &'static [u8] = b"_R_.";
}

/// Whether a reply subject stands for what only servers may answer: exports of services, JetStream, gateways. Those of the
/// last two are free where nothing follows the prefix, as nats-server has it.
pub(super) fn is_reserved(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'_' | b'$'))
        && (reply.starts_with(Exchange::PREFIX)
            || [&b"$JS.ACK."[..], b"_GR_."]
                .iter()
                .any(|prefix| reply.len() > prefix.len() && reply.starts_with(prefix)))
}

/// The number of an account as that of who may answer; no connection has it.
fn place(account: AccountId) -> u64 {
    (1 << 63) | u64::from(account.index())
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
        Self { seed, pool: Pool::NEW, buckets: Buckets::NEW, oldest: NONE, newest: NONE, tokens: 0 }
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
        self.insert(memory, chunks, now, grant, AccountId::GLOBAL, b"")
    }

    /// Makes a reply subject for a request that crosses a border.
    pub(super) fn exchange(
        &mut self,
        memory: &mut impl Memory,
        chunks: &mut Pool,
        now: Instant,
        exchange: Exchange<'_>,
    ) -> Option<Token> {
        let Exchange { at, asker, reply, responses } = exchange;
        let token = self.token();
        let until = responses.expires.map(|span| now + span);
        let grant = Grant { number: place(at), subject: &token, max: responses.max, until };
        self.insert(memory, chunks, now, grant, asker, reply)?;
        Some(token)
    }

    /// A reply subject that nobody can guess who does not know the seed.
    fn token(&mut self) -> Token {
        self.tokens = self.tokens.wrapping_add(1);
        let mut token = *b"_R_.????.???????????";
        self.letters(0, token.get_mut(4..8));
        self.letters(self.tokens, token.get_mut(9..));
        token
    }

    /// What matches all of them.
    pub(super) fn pattern(&self) -> Answers {
        let mut pattern = *b"_R_.????.>";
        self.letters(0, pattern.get_mut(4..8));
        pattern
    }

    /// The `number`th word: at most 16 letters, 6 bits each.
    fn letters(&self, number: u32, word: Option<&mut [u8]>) {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let part = |salt: &[u8]| u128::from(hash(self.seed, number, salt));
        let mut bits = part(b"first") << 64 | part(b"second") << 32 | part(b"third");
        for letter in word.unwrap_or_default() {
            *letter = LETTERS.get((bits & 63) as usize).copied().unwrap_or(b'A');
            bits >>= 6;
        }
    }

    fn insert(
        &mut self,
        memory: &mut impl Memory,
        chunks: &mut Pool,
        now: Instant,
        grant: Grant<'_>,
        account: AccountId,
        answer: &[u8],
    ) -> Option<()> {
        let Grant { number, subject, max, until } = grant;
        let mut tables = memory.tables();
        // The counting begins again with every request.
        if let Some(before) = self.find(&tables, number, subject) {
            self.end(&mut tables, chunks, before);
        }
        // Two for one, so that what is over never outweighs what is not.
        for _ in 0..2 {
            if at(tables.replies, self.oldest).is_some_and(|reply| reply.until <= now) {
                self.end(&mut tables, chunks, self.oldest);
            }
        }
        let long = Text::<15>::chunks(subject.len()) + Text::<15>::chunks(answer.len());
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
        let subject_text = Text::store(subject, tables.chunks, chunks)?;
        let answer_text = Text::store(answer, tables.chunks, chunks)?;
        let index = self.pool.take(tables.replies)?;
        let slot = at_mut(tables.replies, index)?;
        *slot = Reply {
            link: slot.link,
            older: self.newest,
            newer: NONE,
            number,
            left: if max == 0 { u32::MAX } else { max },
            until: until.unwrap_or(NEVER),
            subject: subject_text,
            account,
            answer: answer_text,
        };
        match at_mut(tables.replies, core::mem::replace(&mut self.newest, index)) {
            Some(before) => before.newer = index,
            None => self.oldest = index,
        }
        self.buckets.insert(tables.replies, index, self.hash(number, subject));
        Some(())
    }

    /// Where an answer goes, and what it is called there: written to `out`.
    pub(super) fn answer(
        &mut self,
        tables: &mut Tables<'_>,
        chunks: &mut Pool,
        now: Instant,
        account: AccountId,
        subject: &[u8],
        out: &mut [u8],
    ) -> Option<(AccountId, usize)> {
        let index = self.find(tables, place(account), subject)?;
        let &Reply { account: to, answer, .. } = at(tables.replies, index)?;
        let mut len = 0;
        for part in answer.parts(tables.chunks) {
            out.get_mut(len..len + part.len())?.copy_from_slice(part);
            len += part.len();
        }
        self.take(tables, chunks, now, place(account), subject).then_some((to, len))
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
            slot.answer.release(tables.chunks, chunks);
        }
        self.pool.give(tables.replies, index);
    }
}
