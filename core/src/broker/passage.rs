//! A message on its way: to the subscriptions of its account, and over the borders that its subject crosses.

use lunix_proto::nats::Publish;
use lunix_proto::nats::leaf::Queues;

use super::border::Border;
use super::client::{ClientId, State, Wishes};
use super::delivery;
use super::hop::{Crossed, Hop, Words, copied, copied_words, with_subject};
use super::leaf_turn;
use super::memory::{Memory, Tables};
use super::plain::Usual;
use super::pool::{NONE, at, at_mut};
use super::reply::Exchange;
use super::rights::{is_filtered, is_withheld};
use super::router::{Match, Route, Subscription};
use super::stall::is_client;
use super::trace::Tracing;
use super::turn::Step;
use super::user::AccountId;
use super::{Broker, Machine, Reason};
use crate::time::Instant;

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
    pub(super) tracing: Tracing,
    /// What comes after the close of a slow consumer, or after it is told.
    pub(super) held: Option<Step<'t>>,
    /// A client that is behind with what it is sent, of those that get the message.
    pub(super) behind: u32,
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
            tracing: Tracing::Not,
            held: None,
            behind: NONE,
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
                && let Some(crossed) = machine.cross(memory, now, passage.from, &passage.publish)
            {
                let hop = machine.hops.here();
                let mut copy = [0; Border::LONGEST];
                let subject = copied(memory, &hop, &passage.publish, &mut copy).unwrap_or_default();
                let served = is_served(memory, hop.account, subject);
                passage.stage = if served { Stage::Request } else { Stage::Plain };
                // Who answers is not told that nobody waits any more.
                passage.delivered |= served || crossed == Crossed::Back;
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
            && let Step::Deliver(_, to, _) | Step::Passed(_, to) = step
            && passage.tracing != Tracing::Only
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

fn withheld(memory: &mut impl Memory, hop: &Hop, publish: &Publish<'_>, found: Match) -> bool {
    let Match { client, group, .. } = found;
    with_subject(memory, hop, publish, |memory, subject| is_withheld(memory, client, group, subject))
        .unwrap_or(true)
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

impl Machine {
    /// Counts a message that came, whatever becomes of it.
    pub(super) fn receive(&mut self, publish: &Publish<'_>) {
        self.statistics.in_messages += 1;
        self.statistics.in_bytes += publish.body.len() as u64;
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
        if !self.limits.stall && slot.pending > self.limits.mark() && is_client(tables, passage.from) {
            return None;
        }
        let with_header = slot.wishes.headers;
        let to = ClientId::new(client);
        if passage.tracing == Tracing::Only {
            passage.delivered = true;
            return Some(Step::Passed(subscription, to));
        }
        if !self.router.count(tables, subscription) {
            return None;
        }
        let Publish { body, header_len, .. } = passage.publish;
        let (subject, reply) = self.hops.here().lens(&passage.shown);
        let (header_len, body_len) = if with_header {
            let (_, len) = self.hops.here().header(header_len);
            (len, body.len() + len - header_len)
        } else {
            (0, body.len().saturating_sub(header_len))
        };
        let size = body_len + 2 + delivery::head_len(subject, reply, sid.len(), header_len, body_len);
        self.count_out(
            tables,
            passage,
            client,
            (size, body_len),
            Step::Deliver(subscription, to, with_header),
            subscription,
        )
    }

    /// Counts a message that is to wait for `client`: its size, and that of its body. Answers `step`, which takes it there,
    /// or what comes before that: somebody for whom too much waits is closed, or `subscription` is said to be reached.
    #[inline]
    pub(super) fn count_out<'t>(
        &mut self,
        tables: &mut Tables<'_>,
        passage: &mut Passage<'t>,
        client: u32,
        (size, body_len): (usize, usize),
        step: Step<'t>,
        subscription: u32,
    ) -> Option<Step<'t>> {
        let slot = at_mut(tables.clients, client)?;
        let to = ClientId::new(client);
        slot.pending += size;
        slot.traffic.out_messages += 1;
        slot.traffic.out_bytes += body_len as u64;
        self.statistics.pending += size;
        let mut slow = (slot.pending > self.limits.pending).then_some(to);
        if self.statistics.pending > self.limits.pending_all && slow.is_none() {
            slow = fattest(tables);
        }
        if let Some(slow) = slow {
            self.close(tables, slow, Reason::PendingBytes);
            if slow == to {
                return Some(Step::Close(slow, Reason::PendingBytes));
            }
            passage.held = Some(step);
        }
        self.note_behind(tables, passage, client);
        passage.delivered = true;
        self.statistics.out_messages += 1;
        self.statistics.out_bytes += body_len as u64;
        if passage.tracing == Tracing::Too && slow.is_none() {
            passage.held = Some(step);
            return Some(Step::Passed(subscription, to));
        }
        Some(slow.map_or(step, |slow| Step::Close(slow, Reason::PendingBytes)))
    }
}

/// The client for which most bytes wait.
fn fattest(tables: &Tables<'_>) -> Option<ClientId> {
    let clients = (0..).zip(&*tables.clients).filter(|(_, slot)| slot.state == State::Open);
    clients.max_by_key(|(_, slot)| slot.pending).map(|(index, _)| ClientId::new(index))
}
