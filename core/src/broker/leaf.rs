//! Leaf nodes: connections to other servers, by which the accounts of both sides become one space of subjects.
//!
//! A leaf's connection is a client's with another protocol. What the other side wants are subscriptions of it;
//! what matches any of them goes out once, with the queue groups of which a member there was chosen. The driver
//! shakes hands: it is told every `INFO` and `CONNECT`, writes its own, and says [`Input::LeafJoined`].
//!
//! The rules are nats-server's: nothing goes back to the cluster that it came from; what one hub wants is not said
//! to another one; local members of a queue group come before those of leaves.
//!
//! [`Input::LeafJoined`]: super::Input::LeafJoined

use lunix_proto::nats::leaf::Decoder;
use lunix_proto::nats::{Limits as DecoderLimits, subject};

use super::client::State;
use super::limits::Limits;
use super::memory::Tables;
use super::pool::{NONE, Pool, Slot, at, at_mut, hash};
use super::router::place_key;
use super::user::{AccountId, Subjects, UserId};
use super::{Broker, ClientId, Machine, Memory};

/// What a joining leaf node is, which the driver has found out in their handshake.
#[derive(Clone, Copy, Debug)]
pub struct LeafTerms<'b> {
    /// Its account, and its rules: what it may be sent (`publish`), and what is taken from it (`subscribe`).
    pub user: UserId,
    /// The other side is the hub, and we are its leaf.
    pub is_hub: bool,
    /// It is not told what other leaves want.
    pub isolated: bool,
    /// Its cluster's name; empty if it has none.
    pub cluster: &'b [u8],
    /// It understands header blocks.
    pub headers: bool,
}

/// A leaf node's slot.
#[derive(Clone, Debug)]
pub struct Leaf {
    next: u32,
    /// [`NONE`] while the slot is free.
    pub(super) client: u32,
    pub(super) joined: bool,
    pub(super) is_hub: bool,
    pub(super) isolated: bool,
    /// The hash of its cluster's name; 0 if it has none.
    pub(super) cluster: u64,
    pub(super) decoder: Decoder,
    /// What it is told next of what has been wanted since before it joined: 0 is the loop detection, then come interests,
    /// from [`SYNC_BORDERS`] on what crosses borders; [`NONE`] when it knows all.
    pub(super) sync: u32,
    /// The message at hand goes to it.
    pub(super) touched: bool,
    pub(super) next_touched: u32,
    /// The first of the groups of which it has the chosen member.
    pub(super) queues: u32,
}

impl Leaf {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        next: NONE,
        client: NONE,
        joined: false,
        is_hub: false,
        isolated: false,
        cluster: 0,
        decoder: Decoder::new(DecoderLimits { control_line: 0, payload: 0 }),
        sync: NONE,
        touched: false,
        next_touched: NONE,
        queues: NONE,
    };
}

impl Slot for Leaf {
    fn next(&self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// The leaves' bookkeeping; they are in [`Tables::leaves`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves {
    seed: u64,
    pool: Pool,
    /// How many do not know yet all that is wanted.
    pub(super) syncing: u32,
    /// The first of those to which the message at hand goes.
    pub(super) touched: u32,
    /// The one of them to which it has just gone.
    pub(super) relayed: u32,
    /// The one that hears next of the interest that has changed.
    pub(super) hearing: u32,
}

/// Of how many of its bytes may wait before a leaf that has joined is told more of what is wanted.
pub(super) const SYNC_PENDING: usize = 32 << 10;

/// See [`Leaf::sync`].
pub(super) const SYNC_BORDERS: u32 = 1 << 31;

/// `$LDS.` and 22 letters and digits, as nats-server has it.
pub(super) type LoopSubject = [u8; 27];

/// By which loops are detected: every server wants a subject of its own in each account.
const LOOP: &[u8; 5] = b"$LDS.";

impl Leaves {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, pool: Pool::NEW, syncing: 0, touched: NONE, relayed: NONE, hearing: 0 }
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.pool.used() > 0
    }

    pub(super) fn used(&self) -> u32 {
        self.pool.used()
    }

    /// A slot for `client`; `None` if there is none.
    pub(super) fn take(&mut self, tables: &mut Tables<'_>, client: u32, limits: &Limits) -> Option<u32> {
        let index = self.pool.take(tables.leaves)?;
        let control_line = limits.control_line.saturating_mul(16);
        let decoder = Decoder::new(DecoderLimits { control_line, payload: limits.payload });
        *at_mut(tables.leaves, index)? = Leaf { client, decoder, ..Leaf::EMPTY };
        Some(index)
    }

    pub(super) fn give(&mut self, tables: &mut Tables<'_>, index: u32) {
        if let Some(leaf) = at_mut(tables.leaves, index) {
            self.syncing -= u32::from(leaf.sync != NONE);
            *leaf = Leaf::EMPTY;
            self.pool.give(tables.leaves, index);
        }
    }

    /// The subject by which this server knows itself in `account`.
    pub(super) fn loop_subject(&self, account: AccountId) -> LoopSubject {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut subject = *b"$LDS.0000000000000000000000";
        for (place, byte) in (0_u32..).zip(subject.iter_mut().skip(LOOP.len())) {
            let digit = hash(self.seed, account.index(), &place.to_le_bytes()) % 62;
            *byte = *DIGITS.get(digit as usize).unwrap_or(&b'0');
        }
        subject
    }

    pub(super) fn cluster(&self, name: &[u8]) -> u64 {
        if name.is_empty() {
            return 0;
        }
        let (low, high) = (hash(self.seed, 1, name), hash(self.seed, 2, name));
        (u64::from(high) << 32 | u64::from(low)).max(1)
    }
}

/// Whether a subscription is there to detect loops, which no rule applies to.
pub(super) fn detects_loops(subject: &[u8]) -> bool {
    subject.starts_with(LOOP)
}

/// Whether a subject is one by which servers answer each other, which no rule applies to.
pub(super) fn is_routed(subject: &[u8]) -> bool {
    [&b"_R_."[..], b"$JS.ACK.", b"_GR_.", b"$GR."].iter().any(|prefix| subject.starts_with(prefix))
}

/// Whether rules allow all that `pattern` matches.
pub(super) fn allows(rules: Subjects<'_>, pattern: &[u8]) -> bool {
    fn any(list: &str, pattern: &[u8]) -> bool {
        list.lines().filter(|line| !line.is_empty()).any(|line| {
            let line = line.split_once(' ').map_or(line, |(line, _)| line);
            covers(line.as_bytes(), pattern)
        })
    }
    rules.allow.is_none_or(|allow| any(allow, pattern)) && !any(rules.deny, pattern)
}

/// Whether everything that `inner` matches is matched by `outer`.
fn covers(outer: &[u8], inner: &[u8]) -> bool {
    let (mut outer, mut inner) = (subject::tokens(outer), subject::tokens(inner));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) | (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(token)) if token != b">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Where the message has to go at JetStream's receivers: what a consumer delivers travels between servers to
/// the consumer's subject, with the stream's subject behind an `@` in the reply.
pub(super) fn ack_and_subject(reply: &[u8]) -> Option<(&[u8], &[u8])> {
    if !reply.starts_with(b"$JS.ACK.") {
        return None;
    }
    let mut dots = 0;
    for (at, byte) in reply.iter().enumerate() {
        match byte {
            b'.' => dots += 1,
            b'@' if dots >= 8 => {
                let (ack, rest) = reply.split_at_checked(at)?;
                return rest.get(1..).filter(|subject| !subject.is_empty()).map(|subject| (ack, subject));
            }
            _ => {}
        }
    }
    None
}

impl Machine {
    /// The leaf that a client is; [`NONE`] if it is none.
    pub(super) fn leaf_of(&self, tables: &Tables<'_>, client: u32) -> u32 {
        if self.leaves.any() { at(tables.clients, client).map_or(NONE, |slot| slot.leaf) } else { NONE }
    }

    /// Whether a message from `publisher` may go to `leaf`: not back to the cluster that it comes from.
    pub(super) fn leads_away(&self, tables: &Tables<'_>, publisher: u32, leaf: u32) -> bool {
        let from = at(tables.leaves, self.leaf_of(tables, publisher)).map_or(0, |leaf| leaf.cluster);
        let Some(slot) = at(tables.leaves, leaf) else { return false };
        let open = at(tables.clients, slot.client).is_some_and(|client| client.state == State::Open);
        slot.joined && open && (from == 0 || from != slot.cluster)
    }

    /// The message at hand goes to `leaf`.
    pub(super) fn touch(&mut self, tables: &mut Tables<'_>, leaf: u32) {
        if let Some(slot) = at_mut(tables.leaves, leaf)
            && !core::mem::replace(&mut slot.touched, true)
        {
            slot.next_touched = core::mem::replace(&mut self.leaves.touched, leaf);
        }
    }

    /// A leaf has the chosen member of `group`.
    pub(super) fn touch_group(&mut self, tables: &mut Tables<'_>, leaf: u32, group: u32) {
        self.touch(tables, leaf);
        let (Some(slot), Some(group_slot)) = (at_mut(tables.leaves, leaf), at_mut(tables.groups, group))
        else {
            return;
        };
        group_slot.touched = core::mem::replace(&mut slot.queues, group);
    }

    /// The next leaf to which the message at hand goes.
    pub(super) fn next_touched(&mut self, tables: &mut Tables<'_>) -> Option<u32> {
        let index = self.leaves.touched;
        if let Some(last) = at_mut(tables.leaves, self.leaves.relayed) {
            let mut group = core::mem::replace(&mut last.queues, NONE);
            while let Some(slot) = at_mut(tables.groups, group) {
                group = core::mem::replace(&mut slot.touched, NONE);
            }
        }
        self.leaves.relayed = index;
        let slot = at_mut(tables.leaves, index)?;
        slot.touched = false;
        self.leaves.touched = core::mem::replace(&mut slot.next_touched, NONE);
        Some(index)
    }

    /// Whether a leaf may have to hear of the change of the interest `index`: not of its own.
    pub(super) fn concerns(&self, tables: &Tables<'_>, index: u32, leaf: u32) -> bool {
        let Some(interest) = at(tables.interests, index) else { return false };
        let (Some(target), Some(by)) =
            (at(tables.leaves, leaf), at(tables.leaves, self.leaf_of(tables, interest.changed_by)))
        else {
            return true;
        };
        let same = target.client == by.client || (by.cluster != 0 && by.cluster == target.cluster);
        let between_hubs = by.is_hub && target.is_hub && !interest.detects_loops;
        !same && !between_hubs && !target.isolated
    }

    /// What of the interest `index` a leaf is told: by how many on our side it is held.
    pub(super) fn held_for(&self, tables: &Tables<'_>, index: u32, leaf: u32) -> u32 {
        let (Some(interest), Some(target)) = (at(tables.interests, index), at(tables.leaves, leaf)) else {
            return 0;
        };
        if target.isolated || interest.above + interest.below == 0 {
            return interest.own;
        }
        // What hubs want is no other hub's business, except where it shows a loop.
        let is_counted = |other: &Leaf| !(target.is_hub && other.is_hub) || interest.detects_loops;
        let above = if target.is_hub && !interest.detects_loops { 0 } else { interest.above };
        let mut held = interest.own.saturating_add(interest.below).saturating_add(above);
        let key = place_key(interest.node, interest.group);
        for (other_index, other) in (0..).zip(&*tables.leaves) {
            let same = other_index == leaf || (target.cluster != 0 && other.cluster == target.cluster);
            if same
                && other.joined
                && is_counted(other)
                && let Some(subscription) = self.router.find(tables, other.client, &key)
            {
                held = held.saturating_sub(self.router.weight(tables, subscription));
            }
        }
        held
    }
}

/// A leaf node that has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafStatus {
    /// The other side is the hub.
    pub is_hub: bool,
    /// It has joined.
    pub joined: bool,
}

impl<M: Memory> Broker<M> {
    /// What a connection is as a leaf node; `None` if it is a client's. The rest is in its
    /// [status](super::Broker::client).
    ///
    /// ```
    /// # use lunix_core::broker::*;
    /// let mut broker = Broker::new(Arrays::<8, 4, 1, 1, 2>::EMPTY, Limits::default(), 0x5eed);
    /// assert_eq!(broker.leaf(ClientId::new(0)), None);
    /// ```
    pub fn leaf(&mut self, client: ClientId) -> Option<LeafStatus> {
        let tables = self.memory.tables();
        let leaf = at(tables.leaves, at(tables.clients, client.index())?.leaf)?;
        Some(LeafStatus { is_hub: leaf.is_hub, joined: leaf.joined })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (outer, inner, expected) in [
            ("a.>", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.*.c", true),
            ("a.*", "a.>", false),
            ("a.*", "a.*", true),
            ("a.b", "a.*", false),
            (">", ">", true),
            ("*", ">", false),
        ] {
            assert_eq!(covers(outer.as_bytes(), inner.as_bytes()), expected, "{outer} {inner}");
        }
        let rules = Subjects { allow: Some("a.>\nb q"), deny: "a.secret\n" };
        for (subject, expected) in
            [("a.b", true), ("a.secret", false), ("b", true), ("c", false), ("a.>", true), (">", false)]
        {
            assert_eq!(allows(rules, subject.as_bytes()), expected, "{subject}");
        }
    }

    #[test]
    fn a_consumers_reply_names_the_stream_s_subject() {
        let ack = &b"$JS.ACK.S.C.1.2.3.4.5"[..];
        assert_eq!(ack_and_subject(b"$JS.ACK.S.C.1.2.3.4.5@a.b"), Some((ack, &b"a.b"[..])));
        for reply in
            [&b"$JS.ACK.S.C.1.2.3.4.5"[..], b"$JS.ACK.S.C.1.2.3.4.5@", b"$JS.ACK.a@b.1.2.3.4.5", b"_INBOX.1"]
        {
            assert_eq!(ack_and_subject(reply), None);
        }
    }
}
