//! Where a message is on its way through accounts, and how it gets over the next border.

use lunix_proto::nats::Publish;

use super::Machine;
use super::border::Border;
use super::delivery::Cut;
use super::memory::{Memory, Table};
use super::pool::{NONE, Pool, at};
use super::reply::Exchange;
use super::user::{AccountId, Responses};
use crate::time::{Duration, Instant};

/// Where the message is, and what it is called there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) account: AccountId,
    pub(super) subject: Words,
    pub(super) reply: Option<Words>,
    /// What the header block begins with instead of its first line.
    pub(super) info: Option<Words>,
    /// The length of that line.
    pub(super) skip: u32,
    /// The border that is tried next. The first is the one over which answers go back.
    pub(super) border: u32,
    /// How much of [`Tables::scratch`] is in use.
    pub(super) end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    /// As the publisher said it.
    Said,
    /// In [`Tables::scratch`].
    Scratch { from: u32, len: u32 },
}

impl Words {
    pub(super) fn text<'a>(self, said: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Said => said,
            Self::Scratch { from, len } => {
                scratch.get(from as usize..).and_then(|text| text.get(..len as usize)).unwrap_or_default()
            }
        }
    }

    pub(super) fn len(self, said: &[u8]) -> usize {
        match self {
            Self::Said => said.len(),
            Self::Scratch { len, .. } => len as usize,
        }
    }
}

impl Hop {
    pub(super) const NOWHERE: Self = Self {
        account: AccountId::GLOBAL,
        subject: Words::Said,
        reply: None,
        info: None,
        skip: 0,
        border: 0,
        end: 0,
    };

    /// What the message is called here.
    pub(super) fn subject<'a>(&self, publish: &Publish<'a>, scratch: &'a [u8]) -> &'a [u8] {
        self.subject.text(publish.subject, scratch)
    }

    /// Where answers are wanted.
    pub(super) fn reply<'a>(&self, publish: &Publish<'a>, scratch: &'a [u8]) -> Option<&'a [u8]> {
        self.reply.map(|reply| reply.text(publish.reply.unwrap_or_default(), scratch))
    }

    /// What the header block begins with, if not as the publisher's.
    pub(super) fn info<'a>(&self, scratch: &'a [u8]) -> &'a [u8] {
        self.info.map_or(b"", |info| info.text(b"", scratch))
    }

    /// How much of the publisher's header block of `len` bytes is left out, and how long it then is.
    pub(super) fn header(&self, len: usize) -> (usize, usize) {
        let Some(info) = self.info else { return (0, len) };
        let skip = len.min(self.skip as usize);
        (skip, len - skip + info.len(b""))
    }

    /// The lengths of both.
    pub(super) fn lens(&self, publish: &Publish<'_>) -> (usize, Option<usize>) {
        let reply = self.reply.map(|reply| reply.len(publish.reply.unwrap_or_default()));
        (self.subject.len(publish.subject), reply)
    }
}

/// The accounts that the message at hand has come through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hops {
    stack: [Hop; Hops::MOST],
    depth: usize,
}

impl Hops {
    /// The first account, and one behind each border.
    const MOST: usize = 4;

    pub(super) const NONE: Self = Self { stack: [Hop::NOWHERE; Self::MOST], depth: 0 };

    #[inline]
    pub(super) fn here(&self) -> Hop {
        self.stack.get(self.depth).copied().unwrap_or(Hop::NOWHERE)
    }

    pub(super) fn here_mut(&mut self) -> Option<&mut Hop> {
        self.stack.get_mut(self.depth)
    }

    pub(super) fn begin(&mut self, hop: Hop) {
        self.depth = 0;
        if let Some(first) = self.stack.first_mut() {
            *first = hop;
        }
    }

    pub(super) fn is_abroad(&self) -> bool {
        self.depth > 0
    }

    fn is_full(&self) -> bool {
        self.depth + 1 >= Self::MOST
    }

    fn enter(&mut self, hop: Hop) {
        self.depth += 1;
        if let Some(place) = self.stack.get_mut(self.depth) {
            *place = hop;
        }
    }

    pub(super) fn leave(&mut self) -> bool {
        let was_abroad = self.depth > 0;
        self.depth = self.depth.saturating_sub(1);
        was_abroad
    }

    /// The message has come here over that border.
    fn has_crossed(&self, account: AccountId, border: u32) -> bool {
        self.stack.iter().take(self.depth).any(|hop| hop.account == account && hop.border == border)
    }
}

/// How every header block begins.
const VERSION: &[u8] = b"NATS/1.0";
const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";

/// For how long an answer may be answered, if it wants that.
const CONVERSATION: Responses = Responses { max: 0, expires: Some(Duration::from_secs(120)) };

/// How a message has come over a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crossed {
    Over,
    /// It is an answer.
    Back,
}

impl Machine {
    /// Goes over the next border that lets the message pass, if there is one.
    #[inline(never)]
    pub(super) fn cross(
        &mut self,
        memory: &mut impl Memory,
        now: Instant,
        from: u32,
        publish: &Publish<'_>,
    ) -> Option<Crossed> {
        let here = self.hops.here();
        let (mut copy, mut other) = ([0; Border::LONGEST], [0; Border::LONGEST]);
        let subject = copied(memory, &here, publish, &mut copy)?;
        if self.hops.is_full() {
            return None;
        }
        loop {
            let hop = self.hops.here_mut()?;
            let index = hop.border;
            hop.border += 1;
            let (to, len, service) = if index == 0 {
                let mut tables = memory.tables();
                let chunks = &mut self.router.chunks;
                match self.replies.answer(&mut tables, chunks, now, here.account, subject, &mut other) {
                    Some((account, len)) => (account, len, Some(CONVERSATION)),
                    None => continue,
                }
            } else {
                let border = memory.border(here.account, index - 1)?;
                if self.hops.has_crossed(here.account, index + 1) {
                    continue;
                }
                match border.cross(subject, &mut other) {
                    Some(len) => (border.to, len, border.service),
                    None => continue,
                }
            };
            let Some(mapped) = keep(memory, here.end, other.get(..len).unwrap_or_default()) else {
                continue;
            };
            let mut hop = Hop {
                info: here.info,
                skip: here.skip,
                account: to,
                subject: Words::Scratch { from: here.end, len: len as u32 },
                reply: here.reply,
                border: 0,
                end: mapped,
            };
            if let (Some(words), Some(responses)) = (here.reply, service) {
                let said = publish.reply.unwrap_or_default();
                let Some(reply) = copied_words(memory, words, said, &mut other) else { continue };
                // An acknowledgement finds its way by what it says.
                if !reply.starts_with(b"$JS.ACK.") {
                    let exchange = Exchange { at: to, asker: here.account, reply, responses };
                    let chunks: &mut Pool = &mut self.router.chunks;
                    let Some(token) = self.replies.exchange(memory, chunks, now, exchange) else { continue };
                    let Some(end) = keep(memory, mapped, &token) else { continue };
                    hop.reply = Some(Words::Scratch { from: mapped, len: token.len() as u32 });
                    hop.end = end;
                }
            }
            if index > 0 && service.is_some() && hop.info.is_none() {
                self.inform(memory, &here, index - 1, (from, publish), &mut hop);
            }
            self.hops.enter(hop);
            return Some(if index == 0 { Crossed::Back } else { Crossed::Over });
        }
    }

    /// Lets a service know who asks, as nats-server does.
    fn inform(
        &self,
        memory: &mut impl Memory,
        here: &Hop,
        border: u32,
        (from, publish): (u32, &Publish<'_>),
        hop: &mut Hop,
    ) {
        let rtt = at(memory.tables().clients, from).and_then(|slot| slot.rtt);
        let mut text = [0; 512];
        let mut cut = Cut::new(&mut text);
        let name = memory.border(here.account, border).map_or("", |border| border.asker);
        let plain = |name: &str| !name.bytes().any(|byte| matches!(byte, 0..b' ' | b'"' | b'\\' | 0x7F));
        let block = publish.body.get(..publish.header_len).unwrap_or_default();
        let first = match block {
            [] => FIRST_LINE,
            block if block.starts_with(VERSION) => {
                block.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
            }
            _ => return,
        };
        if name.is_empty() || !plain(name) || !first.ends_with(b"\r\n") {
            return;
        }
        cut.put(first);
        cut.put(b"Nats-Request-Info: {\"acc\":\"");
        cut.put(name.as_bytes());
        cut.put(b"\"");
        if let Some(rtt) = rtt {
            cut.put(b",\"rtt\":");
            cut.number(usize::try_from(rtt.as_nanos()).unwrap_or(usize::MAX));
        }
        cut.put(if block.is_empty() { b"}\r\n\r\n" } else { b"}\r\n" });
        if let Ok(len) = cut.finish()
            && let Some(end) = keep(memory, hop.end, text.get(..len).unwrap_or_default())
        {
            hop.info = Some(Words::Scratch { from: hop.end, len: len as u32 });
            hop.skip = first.len() as u32;
            hop.end = end;
        }
    }
}

/// The subject here, as text that does not lie in the tables; `None` if it is too long.
pub(super) fn copied<'a>(
    memory: &mut impl Memory,
    hop: &Hop,
    publish: &Publish<'a>,
    copy: &'a mut [u8],
) -> Option<&'a [u8]> {
    copied_words(memory, hop.subject, publish.subject, copy)
}

pub(super) fn copied_words<'a>(
    memory: &mut impl Memory,
    words: Words,
    said: &'a [u8],
    copy: &'a mut [u8],
) -> Option<&'a [u8]> {
    if let Words::Said = words {
        return Some(said);
    }
    let text = words.text(said, memory.tables().scratch);
    let place = copy.get_mut(..text.len())?;
    place.copy_from_slice(text);
    Some(place)
}

/// Asks something about the subject here, as text that does not lie in the tables; `None` if it is too long.
#[inline]
pub(super) fn with_subject<M: Memory, R>(
    memory: &mut M,
    hop: &Hop,
    publish: &Publish<'_>,
    ask: impl FnOnce(&mut M, &[u8]) -> R,
) -> Option<R> {
    #[inline(never)]
    fn abroad<M: Memory, R>(
        memory: &mut M,
        hop: &Hop,
        publish: &Publish<'_>,
        ask: impl FnOnce(&mut M, &[u8]) -> R,
    ) -> Option<R> {
        let mut copy = [0; Border::LONGEST];
        let subject = copied(memory, hop, publish, &mut copy)?;
        Some(ask(memory, subject))
    }
    match hop.subject {
        Words::Said => Some(ask(memory, publish.subject)),
        Words::Scratch { .. } => abroad(memory, hop, publish, ask),
    }
}

/// Writes `text` to [`Tables::scratch`] from `from` on; answers where it ends.
fn keep(memory: &mut impl Memory, from: u32, text: &[u8]) -> Option<u32> {
    let end = from as usize + text.len();
    while memory.tables().scratch.len() < end && memory.grow(Table::Scratch) {}
    memory.tables().scratch.get_mut(from as usize..end)?.copy_from_slice(text);
    u32::try_from(end).ok().filter(|end| *end != NONE)
}
