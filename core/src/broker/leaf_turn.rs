//! A turn's part in leaf nodes: what they say, what is passed on to them, what they are told to be wanted.

use lunix_proto::nats::leaf::{Message, Op, Queues};
use lunix_proto::nats::{Publish, subject};

use super::border::borders;
use super::client::{Admission, Client, ClientId, Peer, State, Wishes};
use super::control::{Control, ErrorText};
use super::leaf::{self, LeafTerms, SYNC_BORDERS, SYNC_PENDING};
use super::leaf_action::{self, LeafAction, LeafDelivery, LeafInterest, Pattern, Told};
use super::leaf_interest::Interest;
use super::memory::{Memory, Table, Tables};
use super::passage::Passage;
use super::pool::{NONE, at, at_mut};
use super::router::place_key;
use super::text::Text;
use super::trace::Tracing;
use super::turn::{Progress, Step, Turn};
use super::user::{AccountId, UserId};
use super::{Broker, Machine, Reason};

/// A line about interest: to which leaf, about what, how many want it.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    leaf: u32,
    of: Wanted,
    weight: u32,
}

/// What is wanted on this side.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// By the server, so that it knows itself.
    Loop,
    /// The entry of that number.
    Interest(u32),
    /// What crosses the border of that number, whoever wants it on the other side.
    Border(u32),
    /// Answers to requests that came over borders.
    Answers,
}

impl<'t, M: Memory> Turn<'t, M> {
    pub(super) fn leaf_opened(&mut self, client: ClientId, peer: Peer) {
        let room = {
            let Broker { memory, machine } = &mut *self.broker;
            machine.leaves.used() < machine.limits.leaves && {
                let full = memory.tables().leaves.len() == machine.leaves.used() as usize;
                !full || memory.grow(Table::Leaves)
            }
        };
        if !room {
            self.line(client, Control::Error(ErrorText::Connections));
            return self.close(client, Reason::Connections);
        }
        if self.open(client, peer, false).is_none() {
            return;
        }
        let Broker { memory, machine } = &mut *self.broker;
        let mut tables = memory.tables();
        let limits = machine.limits;
        let Some(leaf) = machine.leaves.take(&mut tables, client.index(), &limits) else { return };
        let Some(slot) = at_mut(tables.clients, client.index()) else { return };
        slot.leaf = leaf;
        slot.admission = Admission::Stranger;
        slot.until = Some(self.now + limits.leaf_timeout);
        slot.wishes = Wishes { verbose: false, pedantic: false, echo: false, ..Wishes::UNSAID };
        let deadline = slot.deadline(&limits);
        machine.note(deadline);
    }

    pub(super) fn leaf_joined(&mut self, client: ClientId, terms: LeafTerms<'_>) {
        let Broker { memory, machine } = &mut *self.broker;
        let Some((account, subscriptions, expires)) =
            memory.user(terms.user).map(|user| (user.account, user.subscriptions, user.expires))
        else {
            return self.refused(client, Reason::Authentication);
        };
        let tables = memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        let Some(leaf) = at_mut(tables.leaves, slot.leaf) else { return };
        slot.admission = Admission::Known;
        slot.connected = true;
        slot.user = terms.user.index();
        slot.account = account;
        slot.until = expires;
        slot.wishes.headers = terms.headers && machine.limits.headers;
        slot.subscriptions_max =
            subscriptions.map_or(machine.limits.subscriptions, |most| most.min(machine.limits.subscriptions));
        let deadline = slot.deadline(&machine.limits);
        machine.note(deadline);
        // Who joins again, under other rules, is told everything again.
        leaf.joined = true;
        leaf.is_hub = terms.is_hub;
        leaf.isolated = terms.isolated;
        leaf.cluster = machine.leaves.cluster(terms.cluster);
        machine.leaves.syncing += u32::from(leaf.sync == NONE);
        leaf.sync = 0;
    }

    pub(super) fn leaf_received(&mut self, client: ClientId, leaf: u32, bytes: &'t [u8]) {
        let Some(slot) = at_mut(self.broker.memory.tables().leaves, leaf) else { return };
        let joined = slot.joined;
        match slot.decoder.decode(bytes) {
            Ok(Some((op, len))) => {
                self.progress = Progress::Consumed(len);
                self.operation = bytes.get(..len).unwrap_or(bytes);
                self.leaf_operate(client, leaf, joined, op);
            }
            Ok(None) => self.progress = Progress::Needs(slot.decoder.needed()),
            Err(error) => {
                if let Some(text) = ErrorText::of(error) {
                    self.line(client, Control::Error(text));
                }
                self.close(client, Reason::Protocol);
            }
        }
    }

    fn leaf_operate(&mut self, client: ClientId, leaf: u32, joined: bool, op: Op<'t>) {
        match op {
            Op::Info(json) => self.told = Some((client, Told::Info(json))),
            Op::Connect(json) if !joined => {
                // What follows waits until it is known who this is.
                if let Some(slot) = at_mut(self.broker.memory.tables().clients, client.index()) {
                    slot.admission = Admission::Asked;
                }
                self.told = Some((client, Told::Connect(json)));
            }
            Op::Err(text) => {
                self.told = Some((client, Told::Error(text)));
                self.close(client, Reason::ClientError);
            }
            Op::Ping => self.line(client, Control::Pong),
            Op::Pong => self.pong(client),
            Op::Connect(_) | Op::Ok => {}
            Op::Subscribe { .. } | Op::Unsubscribe { .. } | Op::Message(_) if !joined => {
                self.refused(client, Reason::Authentication);
            }
            Op::Subscribe { subject, queue } => self.leaf_subscribe(client, leaf, subject, queue),
            Op::Unsubscribe { subject, queue } => {
                let Broker { memory, machine } = &mut *self.broker;
                let tables = memory.tables();
                let account = at(tables.clients, client.index()).map(|slot| slot.account);
                if let Some(place) = account.and_then(|of| machine.router.seek(&tables, of, subject, queue)) {
                    self.unsubscribe(client, &place_key(place.0, place.1), None);
                }
            }
            Op::Message(message) => self.leaf_message(client, leaf, message),
        }
    }

    fn leaf_subscribe(
        &mut self,
        client: ClientId,
        leaf: u32,
        subject: &'t [u8],
        queue: Option<(&'t [u8], u32)>,
    ) {
        let Broker { memory, machine } = &mut *self.broker;
        let tables = memory.tables();
        let Some(slot) = at(tables.clients, client.index()) else { return };
        let (account, user) = (slot.account, UserId::new(slot.user));
        let is_hub = at(tables.leaves, leaf).is_some_and(|leaf| leaf.is_hub);
        if leaf::detects_loops(subject) && machine.leaves.loop_subject(account) == subject {
            self.line(client, Control::Error(ErrorText::Loop));
            return self.close(client, Reason::Loop);
        }
        let free = leaf::detects_loops(subject) || leaf::is_routed(subject);
        let allowed = free
            || !subject::is_literal(subject)
            || memory.user(user).is_some_and(|user| leaf::allows(user.permissions.publish, subject));
        if !allowed {
            // A hub has told us the rules, so this is ours to leave out and not its fault.
            if !is_hub {
                self.leaf_violation(client, ErrorText::SubscribeViolation { subject, queue: None });
            }
            return;
        }
        let (name, weight) = queue.map_or((None, 1), |(name, weight)| (Some(name), weight));
        let tables = self.broker.memory.tables();
        let known = self.broker.machine.router.seek(&tables, account, subject, name).and_then(|place| {
            self.broker.machine.router.find(&tables, client.index(), &place_key(place.0, place.1))
        });
        if known.is_none()
            && let Err(error) = self.subscribe(client, subject, name, b"")
        {
            let text = match error {
                ErrorText::InvalidSubject => ErrorText::Protocol("Invalid Subscription"),
                error => error,
            };
            return self.line(client, Control::Error(text));
        }
        let Broker { memory, machine } = &mut *self.broker;
        let mut tables = memory.tables();
        if let Some(place) = machine.router.seek(&tables, account, subject, name)
            && let Some(subscription) =
                machine.router.find(&tables, client.index(), &place_key(place.0, place.1))
        {
            machine.router.set_weight(&mut tables, subscription, weight);
        }
    }

    fn leaf_violation(&mut self, client: ClientId, text: ErrorText<'t>) {
        self.line(client, Control::Error(text));
        self.close(client, Reason::Permissions);
    }

    fn leaf_message(&mut self, client: ClientId, leaf: u32, message: Message<'t>) {
        let Message { subject, reply, queues, body, header_len } = message;
        let Broker { memory, .. } = &mut *self.broker;
        let tables = memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()) else { return };
        slot.traffic.in_messages += 1;
        slot.traffic.in_bytes += body.len() as u64;
        let (account, user) = (slot.account, UserId::new(slot.user));
        let is_hub = at(tables.leaves, leaf).is_some_and(|leaf| leaf.is_hub);
        let allowed = leaf::is_routed(subject)
            || memory.user(user).is_some_and(|user| leaf::allows(user.permissions.subscribe, subject));
        if !allowed {
            if !is_hub {
                self.leaf_violation(client, ErrorText::PublishViolation(subject));
            }
            return;
        }
        let publish = Publish { subject, reply, body, header_len };
        self.send(client.index(), account, publish);
        if let Some(passage) = &mut self.message {
            passage.queues = Some(queues);
            if let Some((ack, subject)) = reply.and_then(leaf::ack_and_subject) {
                passage.shown = Publish { subject, reply: Some(ack), ..publish };
            }
        }
    }

    pub(super) fn leaf_interest(&mut self, news: News) -> LeafInterest<'_> {
        let Broker { memory, machine } = &mut *self.broker;
        let tables = memory.tables();
        let client = at(tables.leaves, news.leaf).map_or(NONE, |leaf| leaf.client);
        let account = at(tables.clients, client).map_or(AccountId::GLOBAL, |slot| slot.account);
        let (to, weight) = (ClientId::new(client), news.weight);
        let (subject, queue) = match news.of {
            Wanted::Loop => (Pattern::Loop(machine.leaves.loop_subject(account)), Text::EMPTY),
            Wanted::Answers => (Pattern::Answers(machine.replies.pattern()), Text::EMPTY),
            Wanted::Border(index) => {
                let from = memory.border(account, index).map_or("", |border| border.from);
                return LeafInterest {
                    to,
                    subject: Pattern::Border(from),
                    queue: Text::EMPTY,
                    weight,
                    chunks: &[],
                };
            }
            Wanted::Interest(index) => {
                let interest = at(tables.interests, index).unwrap_or(&Interest::EMPTY);
                (Pattern::Stored(interest.subject), interest.queue)
            }
        };
        LeafInterest { to, subject, queue, weight, chunks: memory.tables().chunks }
    }

    pub(super) fn leaf_delivery(&mut self, publish: Publish<'t>, leaf: u32) -> LeafDelivery<'_> {
        let operation = self.operation;
        let hop = self.broker.machine.hops.here();
        let tables = self.broker.memory.tables();
        let (client, queues) =
            at(tables.leaves, leaf).map_or((NONE, NONE), |leaf| (leaf.client, leaf.queues));
        let with_header = at(tables.clients, client).is_some_and(|slot| slot.wishes.headers);
        let (subject, reply) = (hop.subject(&publish, tables.scratch), hop.reply(&publish, tables.scratch));
        let Publish { body, header_len, .. } = publish;
        let begin = operation.len().saturating_sub(body.len() + 2);
        let (skip, header_len) = if with_header { (0, header_len) } else { (header_len, 0) };
        let body_at = begin + skip;
        LeafDelivery {
            to: ClientId::new(client),
            subject,
            reply,
            queues,
            groups: tables.groups,
            chunks: tables.chunks,
            header_len,
            body: operation.get(body_at..).unwrap_or_default(),
            body_at,
        }
    }

    /// The next line about what is wanted: first what has changed, then what those do not know yet who joined.
    pub(super) fn announce(&mut self) -> Option<Step<'t>> {
        let Broker { memory, machine } = &mut *self.broker;
        let mut news = machine.next_change(memory);
        if news.is_none() && machine.leaves.syncing > 0 {
            news = machine.next_to_sync(memory);
        }
        let news = news?;
        let len = {
            let line = self.leaf_interest(news);
            (line.to(), line.encoded_len())
        };
        let Broker { memory, machine } = &mut *self.broker;
        let slot = at_mut(memory.tables().clients, len.0.index())?;
        slot.pending += len.1;
        machine.statistics.pending += len.1;
        if slot.pending > machine.limits.pending {
            self.close(len.0, Reason::PendingBytes);
        }
        Some(Step::Announce(news))
    }
}

pub(super) fn told<'a>(client: ClientId, told: Told<'a>) -> LeafAction<'a> {
    match told {
        Told::Info(json) => LeafAction::Info(client, json),
        Told::Connect(json) => LeafAction::Connect(client, json),
        Told::Error(text) => LeafAction::Error(client, text),
    }
}

impl Machine {
    /// What changed, for the next leaf that hears of it.
    fn next_change(&mut self, memory: &mut impl Memory) -> Option<News> {
        loop {
            let interest = self.router.interests.changed();
            if interest == NONE {
                return None;
            }
            let leaves = memory.tables().leaves.len();
            while self.leaves.any() && (self.leaves.hearing as usize) < leaves {
                let leaf = self.leaves.hearing;
                self.leaves.hearing += 1;
                if self.concerns(&memory.tables(), interest, leaf)
                    && let Some(weight) = self.weight_for(memory, interest, leaf)
                {
                    return Some(News { leaf, of: Wanted::Interest(interest), weight });
                }
            }
            self.leaves.hearing = 0;
            let mut tables = memory.tables();
            self.router.told(&mut tables);
        }
    }

    /// What one who joined does not know yet.
    fn next_to_sync(&mut self, memory: &mut impl Memory) -> Option<News> {
        for leaf in 0..u32::try_from(memory.tables().leaves.len()).unwrap_or(NONE) {
            let tables = memory.tables();
            let Some(slot) = at_mut(tables.leaves, leaf).filter(|slot| slot.sync != NONE) else { continue };
            let room = at(tables.clients, slot.client)
                .is_some_and(|client| client.state == State::Open && client.pending < SYNC_PENDING);
            if !room {
                continue;
            }
            if slot.sync == 0 {
                slot.sync = 1;
                return Some(News { leaf, of: Wanted::Loop, weight: 1 });
            }
            if slot.sync >= SYNC_BORDERS {
                if let Some(of) = self.next_border(memory, leaf) {
                    return Some(News { leaf, of, weight: 1 });
                }
                continue;
            }
            let mut next = slot.sync - 1;
            let end = u32::try_from(tables.interests.len()).unwrap_or(NONE);
            let mut found = None;
            while next < end && found.is_none() {
                let interest = next;
                next += 1;
                let alive = at(memory.tables().interests, interest).is_some_and(|slot| slot.is_alive());
                if alive
                    && let Some(weight) = self.weight_for(memory, interest, leaf).filter(|weight| *weight > 0)
                {
                    found = Some(News { leaf, of: Wanted::Interest(interest), weight });
                }
            }
            if let Some(slot) = at_mut(memory.tables().leaves, leaf) {
                slot.sync = if next < end { next + 1 } else { SYNC_BORDERS };
            }
            if found.is_none() && next >= end {
                found = self.next_border(memory, leaf).map(|of| News { leaf, of, weight: 1 });
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// What crosses a border, and that leaf does not know yet. When it knows all of that, it knows everything.
    fn next_border(&mut self, memory: &mut impl Memory, leaf: u32) -> Option<Wanted> {
        let tables = memory.tables();
        let &leaf::Leaf { client, mut sync, .. } = at(tables.leaves, leaf)?;
        let &Client { account, user, .. } = at(tables.clients, client)?;
        let mut found = None;
        if sync == SYNC_BORDERS {
            sync += 1;
            found = memory.is_asked(account).then_some(Wanted::Answers);
        }
        while found.is_none() {
            let index = sync - SYNC_BORDERS - 1;
            let Some(border) = memory.border(account, index) else { break };
            let user = memory.user(UserId::new(user));
            if user.is_some_and(|user| leaf::allows(user.permissions.subscribe, border.from.as_bytes())) {
                found = Some(Wanted::Border(index));
            }
            sync += 1;
        }
        if let Some(slot) = at_mut(memory.tables().leaves, leaf) {
            slot.sync = if found.is_some() { sync } else { NONE };
            self.leaves.syncing = self.leaves.syncing.saturating_sub(u32::from(found.is_none()));
        }
        found
    }

    /// Every leaf node is told everything again.
    pub(super) fn tell_again(&mut self, tables: &mut Tables<'_>) {
        for leaf in tables.leaves.iter_mut().filter(|leaf| leaf.joined) {
            self.leaves.syncing += u32::from(leaf.sync == NONE);
            leaf.sync = 0;
        }
    }

    /// How many `leaf` is told to want `interest`; `None` if it is not told of it.
    fn weight_for(&self, memory: &mut impl Memory, interest: u32, leaf: u32) -> Option<u32> {
        let tables = memory.tables();
        let slot = at(tables.leaves, leaf).filter(|slot| slot.joined)?;
        let client = at(tables.clients, slot.client).filter(|client| client.state == State::Open)?;
        let entry = at(tables.interests, interest).filter(|entry| entry.account == client.account.index())?;
        let (user, account) = (UserId::new(client.user), client.account);
        let (subject, free, plain) = (entry.subject, entry.detects_loops, entry.group == NONE);
        let mut held = if entry.is_alive() { self.held_for(&tables, interest, leaf) } else { 0 };
        if free || (held == 0 && !plain) {
            return Some(held);
        }
        // Rules that speak of this subject are found out about text in one piece; beyond this length all that
        // is not under rules is allowed.
        let mut room = [0; 256];
        let mut len = 0;
        for part in subject.parts(tables.chunks) {
            let place = room.get_mut(len..len + part.len());
            len += part.len();
            if let Some(place) = place {
                place.copy_from_slice(part);
            }
        }
        let text = room.get(..len);
        if held == 0 {
            held = u32::from(borders(memory, account).any(|border| text == Some(border.from.as_bytes())));
        }
        if held == 0 {
            return Some(0);
        }
        let rules = memory.user(user)?.permissions.subscribe;
        let allowed = match text {
            Some(subject) => leaf::is_routed(subject) || leaf::allows(rules, subject),
            None => rules.allow.is_none() && rules.deny.is_empty(),
        };
        allowed.then_some(held)
    }

    /// Counts a message for a leaf; `None` if it does not take place.
    pub(super) fn relay<'t>(
        &mut self,
        tables: &mut Tables<'_>,
        passage: &mut Passage<'t>,
        leaf: u32,
    ) -> Option<Step<'t>> {
        let &leaf::Leaf { client, queues, .. } = at(tables.leaves, leaf)?;
        let queues_len = leaf_action::queues_len(tables.groups, queues);
        let slot = at(tables.clients, client).filter(|slot| slot.state == State::Open)?;
        let (subject, reply) = self.hops.here().lens(&passage.publish);
        let Publish { body, header_len, .. } = passage.publish;
        let (header_len, body_len) = if slot.wishes.headers {
            (header_len, body.len())
        } else {
            (0, body.len().saturating_sub(header_len))
        };
        let size = body_len + 2 + leaf_action::head_len(subject, reply, queues_len, header_len, body_len);
        let to = ClientId::new(client);
        if passage.tracing == Tracing::Only {
            passage.delivered = true;
            return Some(Step::Passed(NONE, to));
        }
        self.count_out(tables, passage, client, (size, body_len), Step::Relay(leaf), NONE)
    }

    /// Whether the message at hand may go to `leaf`.
    pub(super) fn may_relay(&self, memory: &mut impl Memory, from: u32, subject: &[u8], leaf: u32) -> bool {
        let tables = memory.tables();
        if !self.leads_away(&tables, from, leaf) {
            return false;
        }
        let client = at(tables.leaves, leaf).map_or(NONE, |slot| slot.client);
        let Some(user) = at(tables.clients, client).map(|slot| UserId::new(slot.user)) else { return false };
        leaf::is_routed(subject)
            || memory.user(user).is_some_and(|user| leaf::allows(user.permissions.publish, subject))
    }
}

/// Whether a message from a leaf is for members of the group `name`.
pub(super) fn selects(queues: Option<Queues<'_>>, tables: &Tables<'_>, group: u32) -> bool {
    let Some(queues) = queues else { return true };
    at(tables.groups, group).is_some_and(|slot| queues.iter().any(|name| slot.name.is(tables.chunks, name)))
}
