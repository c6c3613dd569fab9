//! What a broker can be asked about its connections and subscriptions. Nothing is copied but numbers.

use lunix_proto::Full;

use super::client::{Admission, ClientId, Peer, State};
use super::control::Sid;
use super::delivery::Cut;
use super::memory::{Memory, Tables};
use super::pool::{NONE, at};
use super::text::Text;
use super::trie::Label;
use super::user::{AccountId, UserId};
use super::{Broker, Chunk};
use crate::time::{Duration, Instant};

/// Messages in both directions; their bytes are header blocks and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages that the client sent.
    pub in_messages: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Messages that the client was sent.
    pub out_messages: u64,
    /// Their bytes.
    pub out_bytes: u64,
}

impl Traffic {
    pub(super) const NONE: Self = Self { in_messages: 0, in_bytes: 0, out_messages: 0, out_bytes: 0 };
}

/// An open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientStatus {
    /// Its number in the broker's life, which [`Welcome`](super::Welcome) told it.
    pub number: u64,
    /// Where it comes from.
    pub peer: Peer,
    /// It has said `CONNECT`.
    pub connected: bool,
    /// It understands `INFO` at any time.
    pub async_info: bool,
    /// It is known who it is, or nobody asks.
    pub admitted: bool,
    /// It is a leaf node or a hub.
    pub leaf: bool,
    /// Who it is, once that is known.
    pub user: Option<UserId>,
    /// Where its subjects are.
    pub account: AccountId,
    /// When it began.
    pub opened: Instant,
    /// When it last said anything.
    pub heard: Instant,
    /// How long its last answer to a `PING` took; none as long as it has not been asked, or has not answered.
    pub rtt: Option<Duration>,
    /// Bytes that wait for it.
    pub pending: usize,
    /// Subscriptions that it has.
    pub subscriptions: u32,
    /// What it has sent and was sent.
    pub traffic: Traffic,
}

/// Names a subscription to [`Broker::subscription`], as long as there is none of the same name that began later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionId(u32);

impl SubscriptionId {
    /// The subscription in the slot `index` of [`Tables::subscriptions`].
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The slot.
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// A subscription.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionStatus<'a> {
    /// Whose it is.
    pub client: ClientId,
    /// What the client calls it.
    pub sid: Sid<'a>,
    /// The queue group's name.
    pub queue: Option<Queue<'a>>,
    /// Messages that it has got; counting ends at `u32::MAX`.
    pub messages: u32,
    /// After how many messages it ends.
    pub max: Option<u32>,
    /// The client's next one.
    pub next: Option<SubscriptionId>,
    node: u32,
    nodes: &'a [super::Node],
}

/// A queue group's name, in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    text: Text<15>,
    chunks: &'a [Chunk],
}

impl Queue<'_> {
    /// The pieces in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.text.parts(self.chunks)
    }
}

impl SubscriptionStatus<'_> {
    /// Writes the subscribed subject.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn subject(&self, out: &mut [u8]) -> Result<usize, Full> {
        // From the last token to the first: once to know where it ends, once to write it.
        let mut len = 0;
        self.labels(|label, _| len += label.len() + 1);
        let needed = usize::saturating_sub(len, 1);
        let out = out.get_mut(..needed).ok_or(Full { needed })?;
        let mut end = needed;
        self.labels(|label, chunks| {
            let begin = end.saturating_sub(label.len());
            let mut from = begin;
            for part in label.parts(chunks) {
                if let Some(place) = out.get_mut(from..from + part.len()) {
                    place.copy_from_slice(part);
                }
                from += part.len();
            }
            end = begin.saturating_sub(1);
            if begin > 0
                && let Some(dot) = out.get_mut(end)
            {
                *dot = b'.';
            }
        });
        Ok(needed)
    }

    /// The labels from the last to the first.
    fn labels<'s>(&'s self, mut each: impl FnMut(&'s Label, &'s [Chunk])) {
        let mut index = self.node;
        while let Some(node) = at(self.nodes, index).filter(|node| node.parent != NONE) {
            each(&node.label, self.sid.chunks);
            index = node.parent;
        }
    }
}

impl<M: Memory> Broker<M> {
    /// All connections that are open have numbers below this one.
    pub fn clients_end(&self) -> ClientId {
        ClientId::new(self.machine.high)
    }

    /// An open connection.
    pub fn client(&mut self, client: ClientId) -> Option<ClientStatus> {
        self.known(client, State::Open)
    }

    /// A connection that the broker has closed, and that [`Input::Closed`](super::Input::Closed) has not been said of.
    /// Its subscriptions have ended.
    pub fn leaving(&mut self, client: ClientId) -> Option<ClientStatus> {
        self.known(client, State::Closing)
    }

    fn known(&mut self, client: ClientId, state: State) -> Option<ClientStatus> {
        let tables = self.memory.tables();
        let slot = at(tables.clients, client.index()).filter(|slot| slot.state == state)?;
        Some(ClientStatus {
            number: slot.number,
            peer: slot.peer,
            connected: slot.connected,
            async_info: slot.wishes.async_info,
            admitted: slot.admission == Admission::Known,
            leaf: slot.leaf != NONE,
            user: (slot.user != NONE).then_some(UserId::new(slot.user)),
            account: slot.account,
            opened: slot.opened,
            heard: slot.heard,
            rtt: slot.rtt,
            pending: slot.pending,
            subscriptions: slot.subscriptions,
            traffic: slot.traffic,
        })
    }

    /// The first of a client's subscriptions, from the latest to the earliest; [`SubscriptionStatus::next`] is the
    /// next one. Who follows that over several turns must expect subscriptions to end meanwhile.
    pub fn first_subscription(&mut self, client: ClientId) -> Option<SubscriptionId> {
        let tables = self.memory.tables();
        let slot = at(tables.clients, client.index()).filter(|slot| slot.state == State::Open)?;
        id(slot.first)
    }

    /// Whether a message to `subject` would find anybody, or might find somebody in another account.
    pub fn listens(&mut self, account: AccountId, subject: &[u8]) -> bool {
        let Self { memory, machine } = self;
        let mut tables = memory.tables();
        let mut route = machine.router.route(&mut tables, account, subject);
        machine.router.next(&tables, &mut route, subject).is_some() || memory.border(account, 0).is_some()
    }

    /// All subscriptions have ids below this one.
    pub fn subscriptions_end(&mut self) -> SubscriptionId {
        let len = self.memory.tables().subscriptions.len();
        SubscriptionId(u32::try_from(len).unwrap_or(NONE))
    }

    /// A subscription.
    ///
    /// ```
    /// # use lunix_core::broker::*;
    /// # use lunix_core::time::Instant;
    /// let mut broker = Broker::new(Arrays::<8, 4, 1, 1, 2>::EMPTY, Limits::default(), 0x5eed);
    /// let (now, client) = (Instant::from_micros(0), ClientId::new(0));
    /// let bytes = b"SUB a.*.c workers 7\r\n";
    /// for input in [Input::Opened { client, peer: Peer::Local }, Input::Received { client, bytes }] {
    ///     let mut turn = broker.handle(now, input);
    ///     while turn.poll().is_some() {}
    /// }
    /// let first = broker.first_subscription(client).unwrap();
    /// let subscription = broker.subscription(first).unwrap();
    /// let mut subject = [0; 16];
    /// let len = subscription.subject(&mut subject).unwrap();
    /// assert_eq!(&subject[..len], b"a.*.c");
    /// assert_eq!(subscription.queue.unwrap().parts().next(), Some(&b"workers"[..]));
    /// assert_eq!((subscription.messages, subscription.max, subscription.next), (0, None, None));
    /// ```
    pub fn subscription(&mut self, subscription: SubscriptionId) -> Option<SubscriptionStatus<'_>> {
        let Tables { nodes, subscriptions, groups, chunks, .. } = self.memory.tables();
        let slot = at(subscriptions, subscription.0).filter(|slot| slot.client != NONE)?;
        let queue = at(groups, slot.group).map(|group| Queue { text: group.name, chunks });
        Some(SubscriptionStatus {
            client: ClientId::new(slot.client),
            sid: Sid { text: slot.sid, chunks },
            queue,
            messages: slot.got,
            max: (slot.max > 0).then_some(slot.max),
            next: id(slot.client_next),
            node: slot.node,
            nodes,
        })
    }
}

/// A subscription's texts in [`Tables::scratch`], one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described {
    pub(super) subject: usize,
    pub(super) queue: Option<usize>,
    pub(super) sid: usize,
}

/// Writes what a subscription is to [`Tables::scratch`].
pub(super) fn describe(tables: &mut Tables<'_>, subscription: u32) -> Result<Described, Full> {
    let Tables { nodes, subscriptions, groups, chunks, scratch, .. } = tables;
    let nothing = Full { needed: 0 };
    let slot = at(subscriptions, subscription).ok_or(nothing)?;
    let status = SubscriptionStatus {
        client: ClientId::new(slot.client),
        sid: Sid { text: slot.sid, chunks },
        queue: at(groups, slot.group).map(|group| Queue { text: group.name, chunks }),
        messages: 0,
        max: None,
        next: None,
        node: slot.node,
        nodes,
    };
    let subject = status.subject(scratch)?;
    let mut cut = Cut::new(scratch.get_mut(subject..).unwrap_or_default());
    let queue = status.queue.map(|queue| {
        queue.parts().for_each(|part| cut.put(part));
        queue.text.len()
    });
    status.sid.parts().for_each(|part| cut.put(part));
    cut.finish().map_err(|full| Full { needed: subject + full.needed })?;
    Ok(Described { subject, queue, sid: status.sid.len() })
}

fn id(index: u32) -> Option<SubscriptionId> {
    (index != NONE).then_some(SubscriptionId(index))
}
