//! One input's way through the broker.

use lunix_proto::nats::{ClientOp, DecodeError, Info, Publish, subject};

use super::admission::{Asking, connect};
use super::change::Look;
use super::client::{Admission, Client, ClientId, Peer, State, Wishes};
use super::control::{Control, ErrorText, Sid, Welcome};
use super::delivery::Delivery;
use super::leaf_action::{LeafAction, Told};
use super::leaf_turn::{self, News};
use super::memory::{Memory, Table};
use super::passage::Passage;
use super::pool::{NONE, at, at_mut};
use super::reply;
use super::router::Request;
use super::status::{Described, SubscriptionId};
use super::trace::Tracing;
use super::user::{AccountId, UserId};
use super::{Action, Broker, Input, Reason};
use crate::time::Instant;

/// How far [`Input::Received`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are done with.
    Consumed(usize),
    /// Nothing is done with; there must be so many bytes before another try makes sense.
    Needs(usize),
    /// Nothing is done with before [`Action::Authenticate`] is answered; it makes no sense to read on.
    Waits,
}

/// The broker while it answers one input.
#[derive(Debug)]
pub struct Turn<'t, M> {
    pub(super) broker: &'t mut Broker<M>,
    pub(super) now: Instant,
    /// The consumed bytes of a whole operation.
    pub(super) operation: &'t [u8],
    pub(super) progress: Progress,
    /// What is said first, in this order.
    pub(super) lines: [Option<(ClientId, Control<'t>)>; 2],
    closing: Option<(ClientId, Reason)>,
    pub(super) message: Option<Passage<'t>>,
    /// Whom the driver has to find out about.
    pub(super) asking: Option<Asking<'t>>,
    /// Whose subscriptions are looked at, and the next one of them.
    pub(super) reviewing: Option<(ClientId, u32)>,
    /// What a leaf node said of itself.
    pub(super) told: Option<(ClientId, Told<'t>)>,
    /// The next stalled client that is looked at.
    pub(super) stalled: u32,
    /// The slot of the client that is looked at next, and why.
    scan: u32,
    look: Look,
}

/// An action before its text is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'t> {
    Send(ClientId, Control<'t>),
    Deliver(u32, ClientId, bool),
    NoResponders(u32, ClientId),
    Close(ClientId, Reason),
    Authenticate(Asking<'t>),
    Request(ClientId),
    Unsubscribed(ClientId, Described),
    Traced,
    /// By a subscription; [`NONE`] to a leaf node.
    Passed(u32, ClientId),
    Relay(u32),
    Announce(News),
    Told(ClientId, Told<'t>),
    Stall(ClientId),
    Resume(ClientId),
}

/// What only servers publish: between gateways, and between the members of a cluster's group.
const SERVERS_OWN: [&[u8]; 2] = [b"_GR_.", b"$NRG."];

impl<'t, M: Memory> Turn<'t, M> {
    pub(super) fn new(broker: &'t mut Broker<M>, now: Instant, input: Input<'t>) -> Self {
        let mut turn = Self {
            broker,
            now,
            operation: b"",
            progress: Progress::Consumed(0),
            lines: [None; 2],
            closing: None,
            message: None,
            asking: None,
            reviewing: None,
            told: None,
            stalled: NONE,
            scan: NONE,
            look: Look::Deadlines,
        };
        match input {
            Input::Received { client, bytes } => turn.received(client, bytes),
            Input::Flushed { client, left } => turn.flushed(client, left),
            Input::Opened { client, peer } => turn.opened(client, peer, None),
            Input::Entered { client, peer, user } => turn.opened(client, peer, Some(user)),
            Input::LeafOpened { client, peer } => turn.leaf_opened(client, peer),
            Input::LeafJoined { client, terms } => turn.leaf_joined(client, terms),
            Input::Ask { client } => turn.ask(client),
            Input::Closed { client } => turn.closed(client),
            Input::Admitted { client, user } => turn.admitted(client, user),
            Input::Refused { client, reason } => turn.refused(client, reason),
            Input::Publish { account, subject, reply, header_len, body } => {
                turn.operation = body;
                let body = body.get(..body.len().saturating_sub(2)).unwrap_or_default();
                turn.send(NONE, account, Publish { subject, reply, header_len, body });
            }
            Input::Limits { limits } => turn.set_limits(limits),
            Input::Inform => turn.look_at_all(Look::Inform),
            Input::Borders => {
                let Broker { memory, machine } = &mut *turn.broker;
                machine.tell_again(&mut memory.tables());
            }
            Input::Tick => {
                turn.look_at_stalled();
                if turn.broker.machine.deadline.is_some_and(|at| at <= now) {
                    turn.broker.machine.deadline = None;
                    turn.look_at_all(Look::Deadlines);
                }
            }
        }
        turn
    }

    /// How far [`Input::Received`] got; nothing was consumed of other inputs.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The next thing to do; `None` when there is nothing left, and from then on.
    #[inline]
    pub fn poll(&mut self) -> Option<Action<'_>> {
        if let Some((to, subscription)) = self.usual() {
            return self.usual_delivery(to, subscription).map(Action::Deliver);
        }
        self.end_usual();
        let step = self.step()?;
        Some(match step {
            Step::Unsubscribed(to, described) => {
                let line = self.unsubscribed(described);
                Action::Send { to, line: Control::Error(line) }
            }
            Step::Request(client) => {
                let publish = self.message.as_ref()?.publish;
                let hop = self.broker.machine.hops.here();
                let scratch = &*self.broker.memory.tables().scratch;
                let (subject, reply) = (hop.subject(&publish, scratch), hop.reply(&publish, scratch));
                let payload = publish.body.get(publish.header_len..).unwrap_or_default();
                Action::Request { client, account: hop.account, subject, reply, payload }
            }
            Step::Traced => Action::Traced(self.traced()?),
            Step::Passed(subscription, to) => {
                let account = self.broker.machine.hops.here().account;
                let subscription = self.broker.subscription(SubscriptionId::new(subscription));
                Action::Passed { to, account, subscription }
            }
            Step::Relay(leaf) => {
                let publish = self.message.as_ref()?.publish;
                Action::Leaf(LeafAction::Deliver(self.leaf_delivery(publish, leaf)))
            }
            Step::Announce(news) => Action::Leaf(LeafAction::Interest(self.leaf_interest(news))),
            Step::Told(client, told) => Action::Leaf(leaf_turn::told(client, told)),
            Step::Authenticate(asking) => Action::Authenticate { client: asking.0, connect: connect(asking) },
            Step::Send(to, line) => Action::Send { to, line },
            Step::Close(client, reason) => Action::Close { client, reason },
            Step::Stall(client) => Action::Stall { client },
            Step::Resume(client) => Action::Resume { client },
            Step::Deliver(subscription, to, with_header) => {
                let publish = self.message.as_ref()?.shown;
                let Publish { body, header_len, .. } = publish;
                // The codec's promise: body and CR LF are the last of the consumed bytes.
                let begin = self.operation.len().saturating_sub(body.len() + 2);
                let hop = self.broker.machine.hops.here();
                let (skip, header_len) = if with_header { hop.header(header_len) } else { (header_len, 0) };
                let body_at = begin + skip;
                let body = self.operation.get(body_at..).unwrap_or_default();
                let tables = self.broker.memory.tables();
                let (subject, reply) =
                    (hop.subject(&publish, tables.scratch), hop.reply(&publish, tables.scratch));
                let sid =
                    at(tables.subscriptions, subscription).map_or(super::text::Text::EMPTY, |slot| slot.sid);
                let sid = Sid { text: sid, chunks: tables.chunks };
                let info = if with_header { hop.info(tables.scratch) } else { b"" };
                Action::Deliver(Delivery { to, subject, reply, sid, header_len, info, body, body_at })
            }
            Step::NoResponders(subscription, to) => {
                let publish = self.message.as_ref()?.publish;
                let sid = self.sid(subscription);
                let reply = publish.reply.unwrap_or_default();
                Action::Send { to, line: Control::NoResponders { reply, sid, subject: publish.subject } }
            }
        })
    }

    fn sid(&mut self, subscription: u32) -> Sid<'_> {
        let tables = self.broker.memory.tables();
        let text = at(tables.subscriptions, subscription).map_or(super::text::Text::EMPTY, |slot| slot.sid);
        Sid { text, chunks: tables.chunks }
    }

    fn step(&mut self) -> Option<Step<'t>> {
        loop {
            if self.lines.iter().any(Option::is_some)
                && let Some((to, line)) = self.lines.iter_mut().find_map(Option::take)
            {
                match self.say(to, line) {
                    Some(step) => return Some(step),
                    None => continue,
                }
            }
            if self.reviewing.is_some()
                && let Some(step) = self.review()
            {
                return Some(step);
            }
            if let Some(passage) = &mut self.message {
                if let Some(step) = self.broker.carry(self.now, passage) {
                    return Some(step);
                }
                let Passage { from, behind, .. } = *passage;
                self.message = None;
                if behind != NONE && self.stall(from, behind) {
                    return Some(Step::Stall(ClientId::new(from)));
                }
            }
            if let Some((client, told)) = self.told.take() {
                return Some(Step::Told(client, told));
            }
            if let Some(asking) = self.asking.take() {
                return Some(Step::Authenticate(asking));
            }
            if let Some((client, reason)) = self.closing.take() {
                self.broker.machine.close(&mut self.broker.memory.tables(), client, reason);
                return Some(Step::Close(client, reason));
            }
            if self.stalled != NONE
                && let Some(step) = self.resume()
            {
                return Some(step);
            }
            if !self.look_at_next() {
                self.broker.machine.settle(&mut self.broker.memory.tables());
                let news = self.announce();
                if news.is_none() && self.closing.is_some() {
                    continue;
                }
                return news;
            }
        }
    }

    pub(super) fn look_at_all(&mut self, look: Look) {
        (self.scan, self.look) = (0, look);
    }

    pub(super) fn line(&mut self, to: ClientId, line: Control<'t>) {
        if let Some(place) = self.lines.iter_mut().find(|place| place.is_none()) {
            *place = Some((to, line));
        }
    }

    pub(super) fn close(&mut self, client: ClientId, reason: Reason) {
        self.closing = Some((client, reason));
    }

    /// Sends a line, unless that makes the client a slow consumer.
    fn say(&mut self, to: ClientId, line: Control<'t>) -> Option<Step<'t>> {
        let tables = self.broker.memory.tables();
        let machine = &mut self.broker.machine;
        let Some(slot) = at_mut(tables.clients, to.index()) else {
            // A connection beyond the limit has no slot, and is told so.
            return Some(Step::Send(to, line));
        };
        if slot.state == State::Closing {
            return None;
        }
        if slot.state == State::Open {
            let len = line.len();
            slot.pending += len;
            machine.statistics.pending += len;
            if slot.pending > machine.limits.pending {
                self.close(to, Reason::PendingBytes);
                return None;
            }
        }
        Some(Step::Send(to, line))
    }

    fn opened(&mut self, client: ClientId, peer: Peer, user: Option<UserId>) {
        if let Some(welcome) = self.open(client, peer, user.is_some()) {
            self.line(client, Control::Info(welcome));
            if let Some(user) = user {
                self.admitted(client, user);
            }
        }
    }

    /// Begins a connection, if there may be one more. One that is known is given no time to say who it is.
    pub(super) fn open(&mut self, client: ClientId, peer: Peer, known: bool) -> Option<Welcome> {
        let Broker { memory, machine } = &mut *self.broker;
        let index = client.index();
        let room = machine.statistics.connections < machine.limits.connections && {
            while at(memory.tables().clients, index).is_none() && memory.grow(Table::Clients) {}
            at(memory.tables().clients, index).is_some_and(|slot| slot.state == State::Free)
        };
        if !room {
            self.line(client, Control::Error(ErrorText::Connections));
            self.close(client, Reason::Connections);
            return None;
        }
        machine.statistics.total_connections += 1;
        machine.statistics.connections += 1;
        machine.high = machine.high.max(index + 1);
        let mut slot = Client::open(self.now, machine.statistics.total_connections, peer, &machine.limits);
        if known {
            slot.until = None;
        }
        machine.note(slot.deadline(&machine.limits));
        let welcome = welcome(&slot, false);
        if let Some(place) = at_mut(memory.tables().clients, index) {
            *place = slot;
        }
        Some(welcome)
    }

    fn closed(&mut self, client: ClientId) {
        let mut tables = self.broker.memory.tables();
        self.broker.machine.close(&mut tables, client, Reason::ClientError);
        self.broker.machine.settle(&mut tables);
        if let Some(slot) = at_mut(tables.clients, client.index()) {
            slot.state = State::Free;
            let is_awaited = core::mem::replace(&mut slot.is_awaited, false);
            let leaf = core::mem::replace(&mut slot.leaf, NONE);
            if leaf != NONE {
                self.broker.machine.leaves.give(&mut tables, leaf);
            }
            if is_awaited {
                self.look_at_stalled();
            }
        }
    }

    fn flushed(&mut self, client: ClientId, left: usize) {
        let tables = self.broker.memory.tables();
        let machine = &mut self.broker.machine;
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        let before = core::mem::replace(&mut slot.pending, left);
        machine.statistics.pending = machine.statistics.pending.saturating_sub(before) + left;
        if left == 0 {
            slot.blocked = None;
        } else if left < before || slot.blocked.is_none() {
            slot.blocked = Some(self.now);
            let deadline = slot.deadline(&machine.limits);
            machine.note(deadline);
        }
        if slot.is_awaited && !machine.limits.is_behind(left, machine.statistics.pending) {
            slot.is_awaited = false;
            self.look_at_stalled();
        }
    }

    fn ask(&mut self, client: ClientId) {
        let tables = self.broker.memory.tables();
        if let Some(slot) = at_mut(tables.clients, client.index())
            && slot.state == State::Open
            && slot.asked.is_none()
        {
            slot.asked = Some(self.now);
            self.line(client, Control::Ping);
        }
    }

    fn received(&mut self, client: ClientId, bytes: &'t [u8]) {
        self.progress = Progress::Consumed(bytes.len());
        let tables = self.broker.memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        slot.heard = self.now;
        if slot.admission == Admission::Asked {
            self.progress = Progress::Waits;
            return;
        }
        if slot.leaf != NONE {
            let leaf = slot.leaf;
            return self.leaf_received(client, leaf, bytes);
        }
        match slot.admission {
            Admission::Known | Admission::Asked => {}
            Admission::Stranger if bytes.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'C')) => {}
            Admission::Stranger => return self.refused(client, Reason::Authentication),
        }
        match slot.decoder.decode(bytes) {
            Ok(Some((op, len))) => {
                self.progress = Progress::Consumed(len);
                self.operation = bytes.get(..len).unwrap_or(bytes);
                let wishes = slot.wishes;
                if let ClientOp::Pub(publish) | ClientOp::HPub(publish) = op {
                    slot.traffic.in_messages += 1;
                    slot.traffic.in_bytes += publish.body.len() as u64;
                }
                self.operate(client, wishes, op);
            }
            Ok(None) => self.progress = Progress::Needs(slot.decoder.needed()),
            Err(error) => {
                // Headers are not for everybody, whatever else is wrong with what has them.
                let silent =
                    error != DecodeError::ControlLineTooLong && !slot.wishes.headers && is_hpub(bytes);
                if let Some(text) = ErrorText::of(error).filter(|_| !silent) {
                    self.line(client, Control::Error(text));
                }
                self.close(client, Reason::Protocol);
            }
        }
    }

    fn operate(&mut self, client: ClientId, wishes: Wishes, op: ClientOp<'t>) {
        match op {
            ClientOp::Pub(publish) => self.publish(client, wishes, publish),
            // A body with headers from a client that has not said it knows them: closed without a word.
            ClientOp::HPub(_) if !wishes.headers => self.close(client, Reason::Protocol),
            ClientOp::HPub(publish) => self.publish(client, wishes, publish),
            ClientOp::Sub { subject, queue, sid } => match self.subscribe(client, subject, queue, sid) {
                Ok(()) => self.ok(client, wishes),
                Err(error) => self.line(client, Control::Error(error)),
            },
            ClientOp::Unsub { sid, max } => {
                self.unsubscribe(client, sid, max);
                self.ok(client, wishes);
            }
            ClientOp::Ping => self.ping(client),
            ClientOp::Pong => self.pong(client),
            ClientOp::Connect(json) => self.connect(client, wishes, json),
            ClientOp::Info(json) if Info::parse(json).is_err() => self.close(client, Reason::Protocol),
            ClientOp::Info(_) | ClientOp::Ok => {}
            ClientOp::Err(_) => self.close(client, Reason::ClientError),
        }
    }

    pub(super) fn pong(&mut self, client: ClientId) {
        if let Some(slot) = at_mut(self.broker.memory.tables().clients, client.index()) {
            slot.pings_out = 0;
            slot.rtt = slot.asked.take().map(|asked| self.now.since(asked)).or(slot.rtt);
        }
    }

    pub(super) fn ok(&mut self, client: ClientId, wishes: Wishes) {
        if wishes.verbose {
            self.line(client, Control::Ok);
        }
    }

    fn ping(&mut self, client: ClientId) {
        self.line(client, Control::Pong);
        let tables = self.broker.memory.tables();
        if let Some(slot) = at_mut(tables.clients, client.index())
            && slot.connected
            && !core::mem::replace(&mut slot.informed, true)
            && slot.wishes.async_info
        {
            let welcome = welcome(slot, true);
            self.line(client, Control::Info(welcome));
        }
    }

    fn publish(&mut self, client: ClientId, wishes: Wishes, publish: Publish<'t>) {
        if wishes.pedantic && !subject::is_literal(publish.subject) {
            // nats-server says so, and delivers all the same.
            self.line(client, Control::Error(ErrorText::InvalidPublishSubject));
        }
        let Some(slot) = at(self.broker.memory.tables().clients, client.index()) else { return };
        let account = slot.account;
        let allowed = (!slot.rights.publish || self.may_publish(client, publish.subject))
            && !SERVERS_OWN.iter().any(|prefix| publish.subject.starts_with(prefix));
        if !allowed {
            self.broker.machine.receive(&publish);
            return self.line(client, Control::Error(ErrorText::PublishViolation(publish.subject)));
        }
        if let Some(reply) = publish.reply
            && reply::is_reserved(reply)
        {
            self.broker.machine.receive(&publish);
            return self.line(client, Control::Error(ErrorText::ReservedReply(reply)));
        }
        let mut tracing = Tracing::Not;
        if publish.header_len > 0 && self.broker.machine.limits.trace {
            match self.tracing(client, &publish) {
                Some(follow) => tracing = follow,
                None => return self.broker.machine.receive(&publish),
            }
        }
        self.ok(client, wishes);
        self.send(client.index(), account, publish);
        self.follow(tracing);
    }

    /// Begins a message's way.
    pub(super) fn send(&mut self, from: u32, account: AccountId, publish: Publish<'t>) {
        self.message = Some(Passage::new(self.broker, from, account, publish));
    }

    pub(super) fn subscribe(
        &mut self,
        client: ClientId,
        subject: &'t [u8],
        queue: Option<&'t [u8]>,
        sid: &'t [u8],
    ) -> Result<(), ErrorText<'t>> {
        let slot = at(self.broker.memory.tables().clients, client.index());
        if slot.is_some_and(|slot| slot.rights.subscribe) && !self.may_subscribe(client, subject, queue) {
            return Err(ErrorText::SubscribeViolation { subject, queue });
        }
        let Broker { memory, machine } = &mut *self.broker;
        let mut tables = memory.tables();
        let Some(slot) = at(tables.clients, client.index()) else { return Ok(()) };
        let request = Request { client: client.index(), account: slot.account, subject, queue, sid };
        if slot.subscriptions >= slot.subscriptions_max.min(machine.limits.subscriptions) {
            return Err(ErrorText::Subscriptions);
        }
        if machine.router.find(&tables, request.client, request.sid).is_some() {
            return Ok(());
        }
        if !subject::is_pattern(request.subject) {
            return Err(ErrorText::InvalidSubject);
        }
        if tables.found.is_empty() {
            memory.grow(Table::Found);
            tables = memory.tables();
        }
        while let Some(table) = machine.router.short_of(&tables, request) {
            if !memory.grow(table) {
                return Err(ErrorText::Subscriptions);
            }
            tables = memory.tables();
        }
        let mut first = at(tables.clients, request.client).map_or(NONE, |slot| slot.first);
        let done = machine.router.subscribe(&mut tables, request, &mut first);
        if let Some(slot) = at_mut(tables.clients, request.client) {
            slot.first = first;
            slot.subscriptions += u32::from(done.is_some());
        }
        machine.statistics.total_subscriptions += u64::from(done.is_some());
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, client: ClientId, sid: &[u8], max: Option<u64>) {
        let mut tables = self.broker.memory.tables();
        let router = &mut self.broker.machine.router;
        let Some(subscription) = router.find(&tables, client.index(), sid) else { return };
        if max.is_some_and(|max| !router.limit(&mut tables, subscription, max)) {
            return;
        }
        let mut first = at(tables.clients, client.index()).map_or(NONE, |slot| slot.first);
        router.unsubscribe(&mut tables, subscription, &mut first);
        if let Some(slot) = at_mut(tables.clients, client.index()) {
            slot.first = first;
            slot.subscriptions = slot.subscriptions.saturating_sub(1);
        }
    }

    /// Looks at one client; answers whether there was one.
    fn look_at_next(&mut self) -> bool {
        if self.scan >= self.broker.machine.high {
            return false;
        }
        let client = ClientId::new(self.scan);
        self.scan += 1;
        match self.look {
            Look::Deadlines => self.look_at_deadlines(client),
            Look::Limits => self.limit(client),
            Look::Inform => self.inform(client),
        }
        true
    }
}

fn is_hpub(bytes: &[u8]) -> bool {
    matches!(bytes.split_at_checked(4), Some((verb, [b' ' | b'\t', ..])) if verb.eq_ignore_ascii_case(b"HPUB"))
}

pub(super) fn welcome(slot: &Client, connected: bool) -> Welcome {
    let client_ip = match slot.peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        Peer::Local => None,
    };
    Welcome { client_id: slot.number, client_ip, connected, account: slot.account }
}
