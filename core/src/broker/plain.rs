//! The usual delivery: to a plain subscription of a client about which there is nothing to ask. It is decided in one
//! go; whatever is not as usual is left, untouched, to [`Broker::carry`](super::Broker).

use lunix_proto::nats::Publish;

use super::client::{ClientId, State};
use super::control::Sid;
use super::delivery::{self, Delivery};
use super::memory::Memory;
use super::passage::Passage;
use super::pool::{NONE, at, at_mut};
use super::text::Text;
use super::turn::Turn;

/// What of a message is the same for all usual receivers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    /// There may be such receivers at all.
    pub(super) is: bool,
    /// The length of a delivery, but for the subscription id.
    size: usize,
}

impl Usual {
    /// Not everybody can have a header block.
    #[inline]
    pub(super) fn new(publish: &Publish<'_>, is: bool) -> Self {
        let body = publish.body.len();
        let size =
            body + 2 + delivery::head_len(publish.subject.len(), publish.reply.map(<[u8]>::len), 0, 0, body);
        Self { is: is && publish.header_len == 0, size }
    }
}

impl Passage<'_> {
    fn is_usual(&self) -> bool {
        self.usual.is && self.held.is_none() && self.queues.is_none()
    }
}

impl<M: Memory> Turn<'_, M> {
    /// The next receiver of the message at hand, if that is a usual one: its client and its subscription.
    #[inline]
    pub(super) fn usual(&mut self) -> Option<(ClientId, u32)> {
        let passage = self.message.as_mut().filter(|passage| passage.is_usual())?;
        if self.lines.iter().any(Option::is_some) {
            return None;
        }
        let tables = self.broker.memory.tables();
        let machine = &mut self.broker.machine;
        let subscription = match passage.route.next {
            NONE => at(tables.nodes, passage.route.nodes.pop()?)?.subscriptions,
            next => next,
        };
        // Whatever comes next, it begins here.
        passage.route.next = subscription;
        let slot = at_mut(tables.subscriptions, subscription)?;
        let client = at_mut(tables.clients, slot.client)?;
        let size = passage.usual.size + slot.sid.len();
        let pending = client.pending + size;
        let pending_all = machine.statistics.pending + size;
        let is_usual = slot.is_plain()
            && slot.client != passage.from
            && client.state == State::Open
            && client.leaf == NONE
            && !client.rights.filter
            && !(client.rights.answer && passage.publish.reply.is_some())
            && !machine.limits.is_behind(pending, pending_all);
        if !is_usual {
            return None;
        }
        passage.route.next = slot.give();
        passage.delivered = true;
        let body = passage.publish.body.len() as u64;
        client.pending = pending;
        client.traffic.out_messages += 1;
        client.traffic.out_bytes += body;
        machine.statistics.pending = pending_all;
        machine.statistics.out_messages += 1;
        machine.statistics.out_bytes += body;
        Some((ClientId::new(slot.client), subscription))
    }

    /// Ends the way of a message that has no receivers but usual ones, and is with all of them.
    #[inline]
    pub(super) fn end_usual(&mut self) {
        if let Some(passage) = &self.message
            && passage.is_usual()
            && passage.route.is_over()
            && (passage.delivered || passage.publish.reply.is_none())
            && !self.broker.machine.router.is_unsettled()
            && !self.broker.machine.leaves.any()
            && !self.broker.has_borders(passage)
        {
            self.message = None;
        }
    }

    /// The message at hand for its [usual](Turn::usual) receiver.
    #[inline]
    pub(super) fn usual_delivery(&mut self, to: ClientId, subscription: u32) -> Option<Delivery<'_>> {
        let Publish { subject, reply, body, .. } = self.message.as_ref()?.publish;
        // The codec's promise: body and CR LF are the last of the consumed bytes.
        let body_at = self.operation.len().saturating_sub(body.len() + 2);
        let body = self.operation.get(body_at..).unwrap_or_default();
        let tables = self.broker.memory.tables();
        let text = at(tables.subscriptions, subscription).map_or(Text::EMPTY, |slot| slot.sid);
        let sid = Sid { text, chunks: tables.chunks };
        Some(Delivery { to, subject, reply, sid, header_len: 0, info: b"", body, body_at })
    }
}
