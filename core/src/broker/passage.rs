//! A message on its way: to the subscriptions of its account, and over the borders that its subject crosses.

use lunix_proto::nats::Publish;
use lunix_proto::nats::leaf::Queues;

use super::border::Border;
use super::client::{ClientId, State, Wishes};
use super::delivery::{self, Cut};
use super::leaf_turn;
use super::memory::{Memory, Table, Tables};
use super::plain::Usual;
use super::pool::{NONE, Pool, at, at_mut};
use super::reply::Exchange;
use super::rights::{is_filtered, is_withheld};
use super::router::{Match, Route, Subscription};
use super::turn::Step;
use super::user::{AccountId, Responses};
use super::{Broker, Machine, Reason};
use crate::time::{Duration, Instant};

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'t> {
    /// The publisher; [`NONE`] is the server itself.
    pub(super) from: u32,
    pub(super) publish: Publish<'t>,
    /// What clients see of it.
    pub(super) shown: Publish<'t>,
    /// From a leaf node: the queue groups that it is for.
    pub(super) queues: Option<Queues<'t>>,
    pub(super) route: Route,
    stage: Stage,
    pub(super) usual: Usual,
    pub(super) delivered: bool,
    /// What comes after the close of a slow consumer.
    pub(super) held: Option<Step<'t>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To the driver.
    Request,
    /// To every plain subscription that matches, while queue groups choose.
    Plain,
    /// To the chosen members.
    Queues,
    /// To leaf nodes.
    Leaves,
    /// To the next account.
    Borders,
    /// Nobody had it: to the publisher's own subscription to the reply subject.
    NoResponders,
    Over,
}

/// Where the message is, and what it is called there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) account: AccountId,
    subject: Words,
    reply: Option<Words>,
    /// What the header block begins with instead of its first line.
    info: Option<Words>,
    /// The border that is tried next. The first is the one over which answers go back.
    border: u32,
    /// How much of [`Tables::scratch`] is in use.
    end: u32,
}

#[derive(Clone, Copy, Debug)]
enum Words {
    /// As the publisher said it.
    Said,
    /// In [`Tables::scratch`].
    Scratch { from: u32, len: u32 },
}

impl Words {
    fn text<'a>(self, said: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Said => said,
            Self::Scratch { from, len } => {
                scratch.get(from as usize..).and_then(|text| text.get(..len as usize)).unwrap_or_default()
            }
        }
    }

    fn len(self, said: &[u8]) -> usize {
        match self {
            Self::Said => said.len(),
            Self::Scratch { len, .. } => len as usize,
        }
    }
}

impl Hop {
    const NOWHERE: Self =
        Self { account: AccountId::GLOBAL, subject: Words::Said, reply: None, info: None, border: 0, end: 0 };

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
        let skip = len.min(FIRST_LINE.len());
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

    fn here_mut(&mut self) -> Option<&mut Hop> {
        self.stack.get_mut(self.depth)
    }

    fn begin(&mut self, hop: Hop) {
        self.depth = 0;
        if let Some(first) = self.stack.first_mut() {
            *first = hop;
        }
    }

    fn is_abroad(&self) -> bool {
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

    fn leave(&mut self) -> bool {
        let was_abroad = self.depth > 0;
        self.depth = self.depth.saturating_sub(1);
        was_abroad
    }

    /// The message has come here over that border.
    fn has_crossed(&self, account: AccountId, border: u32) -> bool {
        self.stack.iter().take(self.depth).any(|hop| hop.account == account && hop.border == border)
    }
}

impl<'t> Passage<'t> {
    /// Begins a message's way.
    #[inline(always)]
    pub(super) fn new<M: Memory>(
        broker: &mut Broker<M>,
        from: u32,
        account: AccountId,
        publish: Publish<'t>,
    ) -> Self {
        let Broker { memory, machine } = broker;
        // What the server says itself, nobody has sent.
        if from != NONE {
            machine.receive(&publish);
        }
        let served = is_served(memory, account, publish.subject);
        let reply = publish.reply.map(|_| Words::Said);
        machine.hops.begin(Hop { account, reply, ..Hop::NOWHERE });
        Self {
            from,
            publish,
            shown: publish,
            queues: None,
            route: machine.router.route(&mut memory.tables(), account, publish.subject),
            stage: if served { Stage::Request } else { Stage::Plain },
            usual: Usual::new(&publish, !served),
            delivered: served,
            held: None,
        }
    }
}

fn is_served(memory: &impl Memory, account: AccountId, subject: &[u8]) -> bool {
    subject.starts_with(b"$SYS.REQ.") && memory.serves(account, subject)
}

impl<M: Memory> Broker<M> {
    /// Takes a message to its next receiver.
    #[inline]
    pub(super) fn carry<'t>(&mut self, now: Instant, passage: &mut Passage<'t>) -> Option<Step<'t>> {
        if let Some(step) = passage.held.take() {
            return Some(step);
        }
        loop {
            let step = match passage.stage {
                Stage::Request => {
                    passage.stage = Stage::Plain;
                    Some(Step::Request(ClientId::new(passage.from)))
                }
                Stage::Plain => self.carry_plain(now, passage),
                Stage::Queues => self.carry_to_queues(now, passage),
                Stage::Leaves => self.carry_to_leaves(passage),
                Stage::Borders => {
                    if self.machine.hops.is_abroad() || self.has_borders(passage) {
                        self.carry_on(now, passage);
                    } else {
                        self.end(passage);
                    }
                    None
                }
                Stage::NoResponders => self.carry_back(passage),
                Stage::Over => return None,
            };
            if step.is_some() {
                return step;
            }
        }
    }

    #[inline]
    fn carry_plain<'t>(&mut self, now: Instant, passage: &mut Passage<'t>) -> Option<Step<'t>> {
        let Self { memory, machine } = self;
        let mut tables = memory.tables();
        let hop = machine.hops.here();
        let publisher = passage.from;
        let echo = at(tables.clients, publisher).is_none_or(|slot| slot.wishes.echo);
        loop {
            let subject = hop.subject(&passage.publish, tables.scratch);
            let Some(found) = machine.router.next(&tables, &mut passage.route, subject) else {
                passage.stage = Stage::Queues;
                passage.usual.is = false;
                return None;
            };
            if found.client == publisher && !echo {
                continue;
            }
            if is_filtered(&tables, found.client) {
                let withheld = withheld(memory, &hop, &passage.publish, found);
                tables = memory.tables();
                if withheld {
                    continue;
                }
            }
            if let Some(group) = found.group
                && !leaf_turn::selects(passage.queues, &tables, group)
                && !machine.hops.is_abroad()
            {
                continue;
            }
            let leaf = machine.leaf_of(&tables, found.client);
            if leaf != NONE {
                let may = may_relay(machine, memory, &hop, passage, leaf);
                tables = memory.tables();
                match found.group {
                    Some(group) if may && machine.has_room(&tables, found.client, passage) => {
                        machine.router.propose_remote(&mut tables, group, found.subscription);
                    }
                    None if may => machine.touch(&mut tables, leaf),
                    _ => {}
                }
                continue;
            }
            if let Some(group) = found.group {
                if machine.has_room(&tables, found.client, passage) {
                    machine.router.propose(&mut tables, group, found.subscription);
                }
                continue;
            }
            if let Some(step) = machine.deliver(&mut tables, passage, found.subscription) {
                return Some(self.delivered(now, passage, step));
            }
        }
    }

    #[inline]
    fn carry_to_queues<'t>(&mut self, now: Instant, passage: &mut Passage<'t>) -> Option<Step<'t>> {
        let Self { memory, machine } = self;
        let mut tables = memory.tables();
        loop {
            let Some(subscription) = machine.router.choice(&mut tables) else {
                passage.stage = if machine.leaves.any() { Stage::Leaves } else { Stage::Borders };
                return None;
            };
            if machine.leaves.any()
                && let Some(&Subscription { client, group, .. }) = at(tables.subscriptions, subscription)
            {
                let leaf = machine.leaf_of(&tables, client);
                if leaf != NONE {
                    machine.touch_group(&mut tables, leaf, group);
                    continue;
                }
            }
            if let Some(step) = machine.deliver(&mut tables, passage, subscription) {
                return Some(self.delivered(now, passage, step));
            }
        }
    }

    #[inline]
    fn carry_to_leaves<'t>(&mut self, passage: &mut Passage<'t>) -> Option<Step<'t>> {
        let Self { memory, machine } = self;
        let mut tables = memory.tables();
        while let Some(leaf) = machine.next_touched(&mut tables) {
            if let Some(step) = machine.relay(&mut tables, passage, leaf) {
                return Some(step);
            }
        }
        passage.stage = Stage::Borders;
        None
    }

    /// Whether the message, at home, might cross a border at all.
    #[inline]
    pub(super) fn has_borders(&self, passage: &Passage<'_>) -> bool {
        self.memory.border(self.machine.hops.here().account, 0).is_some()
            || passage.publish.subject.starts_with(Exchange::PREFIX)
    }

    /// Over the next border, or to the end.
    #[inline(never)]
    fn carry_on(&mut self, now: Instant, passage: &mut Passage<'_>) {
        loop {
            let Self { memory, machine } = self;
            let hop = machine.hops.here();
            let answer = hop.border == 0 && {
                let subject = hop.subject(&passage.publish, memory.tables().scratch);
                subject.starts_with(Exchange::PREFIX)
            };
            if (answer || memory.border(hop.account, hop.border.saturating_sub(1)).is_some())
                && machine.cross(memory, now, passage.from, &passage.publish)
            {
                let hop = machine.hops.here();
                let mut copy = [0; Border::LONGEST];
                let subject = copied(memory, &hop, &passage.publish, &mut copy).unwrap_or_default();
                let served = is_served(memory, hop.account, subject);
                passage.stage = if served { Stage::Request } else { Stage::Plain };
                passage.delivered |= served;
                passage.usual.is = false;
                passage.route = machine.router.route(&mut memory.tables(), hop.account, subject);
                return;
            }
            if !machine.hops.leave() {
                return self.end(passage);
            }
        }
    }

    /// Nobody else gets the message.
    fn end(&mut self, passage: &mut Passage<'_>) {
        if passage.delivered || passage.publish.reply.is_none() {
            passage.stage = Stage::Over;
            return;
        }
        let Self { memory, machine } = self;
        let mut tables = memory.tables();
        let wishes = at(tables.clients, passage.from).map_or(Wishes::UNSAID, |slot| slot.wishes);
        passage.stage = match passage.publish.reply {
            Some(reply) if wishes.no_responders && !passage.delivered => {
                passage.route = machine.router.route(&mut tables, machine.hops.here().account, reply);
                Stage::NoResponders
            }
            _ => Stage::Over,
        };
    }

    fn carry_back<'t>(&mut self, passage: &mut Passage<'t>) -> Option<Step<'t>> {
        passage.stage = Stage::Over;
        let tables = self.memory.tables();
        let reply = passage.publish.reply.unwrap_or_default();
        while let Some(found) = self.machine.router.next(&tables, &mut passage.route, reply) {
            if found.client == passage.from && found.group.is_none() {
                let to = ClientId::new(passage.from);
                return Some(Step::NoResponders(found.subscription, to));
            }
        }
        None
    }

    /// Remembers what a delivery allows its receiver to do.
    #[inline]
    fn delivered<'t>(&mut self, now: Instant, passage: &Passage<'t>, step: Step<'t>) -> Step<'t> {
        if passage.publish.reply.is_some()
            && let Step::Deliver(_, to, _) = step
            && at(self.memory.tables().clients, to.index()).is_some_and(|slot| slot.rights.answer)
        {
            self.let_answer(now, to, passage);
        }
        step
    }

    #[inline(never)]
    fn let_answer(&mut self, now: Instant, to: ClientId, passage: &Passage<'_>) {
        let Self { memory, machine } = self;
        let said = passage.shown.reply.unwrap_or_default();
        match machine.hops.here().reply {
            Some(Words::Said) => machine.let_answer(memory, now, to.index(), said),
            Some(words @ Words::Scratch { .. }) => {
                let mut copy = [0; Border::LONGEST];
                if let Some(reply) = copied_words(memory, words, said, &mut copy) {
                    machine.let_answer(memory, now, to.index(), reply);
                }
            }
            None => {}
        }
    }
}

/// The subject here, as text that does not lie in the tables; `None` if it is too long.
fn copied<'a>(
    memory: &mut impl Memory,
    hop: &Hop,
    publish: &Publish<'a>,
    copy: &'a mut [u8],
) -> Option<&'a [u8]> {
    copied_words(memory, hop.subject, publish.subject, copy)
}

fn copied_words<'a>(
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

fn withheld(memory: &mut impl Memory, hop: &Hop, publish: &Publish<'_>, found: Match) -> bool {
    let Match { client, group, .. } = found;
    with_subject(memory, hop, publish, |memory, subject| is_withheld(memory, client, group, subject))
        .unwrap_or(true)
}

/// Asks something about the subject here, as text that does not lie in the tables; `None` if it is too long.
#[inline]
fn with_subject<M: Memory, R>(
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

fn may_relay(
    machine: &Machine,
    memory: &mut impl Memory,
    hop: &Hop,
    passage: &Passage<'_>,
    leaf: u32,
) -> bool {
    with_subject(memory, hop, &passage.publish, |memory, subject| {
        machine.may_relay(memory, passage.from, subject, leaf)
    })
    .unwrap_or(false)
}

/// How every header block begins.
const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";

/// For how long an answer may be answered, if it wants that.
const CONVERSATION: Responses = Responses { max: 0, expires: Some(Duration::from_secs(120)) };

impl Machine {
    /// Counts a message that came, whatever becomes of it.
    pub(super) fn receive(&mut self, publish: &Publish<'_>) {
        self.statistics.in_messages += 1;
        self.statistics.in_bytes += publish.body.len() as u64;
    }

    /// Goes over the next border that lets the message pass; answers whether there is one.
    #[inline(never)]
    fn cross(&mut self, memory: &mut impl Memory, now: Instant, from: u32, publish: &Publish<'_>) -> bool {
        let here = self.hops.here();
        let (mut copy, mut other) = ([0; Border::LONGEST], [0; Border::LONGEST]);
        let Some(subject) = copied(memory, &here, publish, &mut copy) else { return false };
        if self.hops.is_full() {
            return false;
        }
        loop {
            let Some(hop) = self.hops.here_mut() else { return false };
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
                let Some(border) = memory.border(here.account, index - 1) else { return false };
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
            return true;
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
        if name.is_empty() || !plain(name) || !(block.is_empty() || block.starts_with(FIRST_LINE)) {
            return;
        }
        cut.put(FIRST_LINE);
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
            hop.end = end;
        }
    }

    /// Whether the client would not be closed for the message. To a member of a queue group that would be,
    /// the message is better not given, for another one may have it.
    fn has_room(&self, tables: &Tables<'_>, client: u32, passage: &Passage<'_>) -> bool {
        let (subject, reply) = self.hops.here().lens(&passage.publish);
        // The head, with a subscription id of usual length.
        let head = subject + reply.unwrap_or(0) + 64;
        let room = self.limits.pending.saturating_sub(head + passage.publish.body.len());
        at(tables.clients, client).is_some_and(|slot| slot.state == State::Open && slot.pending <= room)
    }

    /// Counts one delivery; `None` if it does not take place.
    #[inline]
    fn deliver<'t>(
        &mut self,
        tables: &mut Tables<'_>,
        passage: &mut Passage<'t>,
        subscription: u32,
    ) -> Option<Step<'t>> {
        let &Subscription { client, sid, .. } = at(tables.subscriptions, subscription)?;
        let slot = at(tables.clients, client).filter(|slot| slot.state == State::Open)?;
        let with_header = slot.wishes.headers;
        if !self.router.count(tables, subscription) {
            return None;
        }
        let to = ClientId::new(client);
        let Publish { body, header_len, .. } = passage.publish;
        let (subject, reply) = self.hops.here().lens(&passage.shown);
        let (header_len, body_len) = if with_header {
            let (_, len) = self.hops.here().header(header_len);
            (len, body.len() + len - header_len)
        } else {
            (0, body.len().saturating_sub(header_len))
        };
        let size = body_len + 2 + delivery::head_len(subject, reply, sid.len(), header_len, body_len);
        let slot = at_mut(tables.clients, client)?;
        slot.pending += size;
        slot.traffic.out_messages += 1;
        slot.traffic.out_bytes += body_len as u64;
        self.statistics.pending += size;
        let deliver = Step::Deliver(subscription, to, with_header);
        let mut slow = (slot.pending > self.limits.pending).then_some(to);
        if self.statistics.pending > self.limits.pending_all && slow.is_none() {
            slow = fattest(tables);
        }
        if let Some(slow) = slow {
            self.close(tables, slow, Reason::PendingBytes);
            if slow == to {
                return Some(Step::Close(slow, Reason::PendingBytes));
            }
            passage.held = Some(deliver);
        }
        passage.delivered = true;
        self.statistics.out_messages += 1;
        self.statistics.out_bytes += body_len as u64;
        Some(slow.map_or(deliver, |slow| Step::Close(slow, Reason::PendingBytes)))
    }
}

/// Writes `text` to [`Tables::scratch`] from `from` on; answers where it ends.
fn keep(memory: &mut impl Memory, from: u32, text: &[u8]) -> Option<u32> {
    let end = from as usize + text.len();
    while memory.tables().scratch.len() < end && memory.grow(Table::Scratch) {}
    memory.tables().scratch.get_mut(from as usize..end)?.copy_from_slice(text);
    u32::try_from(end).ok().filter(|end| *end != NONE)
}

/// The client for which most bytes wait.
pub(super) fn fattest(tables: &Tables<'_>) -> Option<ClientId> {
    let clients = (0..).zip(&*tables.clients).filter(|(_, slot)| slot.state == State::Open);
    clients.max_by_key(|(_, slot)| slot.pending).map(|(index, _)| ClientId::new(index))
}
