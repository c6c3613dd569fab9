//! What the broker says to leaf nodes, and what it tells the driver about them.

use lunix_proto::Full;

use super::client::ClientId;
use super::delivery::{Cut, digits};
use super::leaf::LoopSubject;
use super::pool::{NONE, at};
use super::reply::Answers;
use super::router::Group;
use super::text::{Chunk, Text};

/// What the driver has to do for a leaf node.
#[derive(Clone, Copy, Debug)]
pub enum LeafAction<'a> {
    /// The other side said `INFO`, with this JSON: see `lunix_proto::nats::leaf::Info`. As long as it has not joined,
    /// the driver does its part of the handshake; it need not be over when the turn is.
    Info(ClientId, &'a [u8]),
    /// The other side said `CONNECT`, with this JSON: see `lunix_proto::nats::leaf::Connect`.
    Connect(ClientId, &'a [u8]),
    /// The other side said `-ERR`, with this text; it is closed after this.
    Error(ClientId, &'a [u8]),
    /// Send `LS+` or `LS-`.
    Interest(LeafInterest<'a>),
    /// Send a message: [`LeafDelivery::encode_head`], then [`LeafDelivery::body`].
    Deliver(LeafDelivery<'a>),
}

/// What the other side says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'t> {
    Info(&'t [u8]),
    Connect(&'t [u8]),
    Error(&'t [u8]),
}

/// What is wanted on this side, or not any more.
#[derive(Clone, Copy, Debug)]
pub struct LeafInterest<'a> {
    pub(super) to: ClientId,
    pub(super) subject: Pattern<'a>,
    pub(super) queue: Text<15>,
    /// By how many; 0 is not any more.
    pub(super) weight: u32,
    pub(super) chunks: &'a [Chunk],
}

/// What is wanted, wherever it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern<'a> {
    Loop(LoopSubject),
    Answers(Answers),
    Border(&'a str),
    Stored(Text<15>),
}

impl LeafInterest<'_> {
    /// The receiver.
    pub fn to(&self) -> ClientId {
        self.to
    }

    /// The length of the line.
    pub fn encoded_len(&self) -> usize {
        let subject = match &self.subject {
            Pattern::Loop(subject) => subject.len(),
            Pattern::Answers(subject) => subject.len(),
            Pattern::Border(subject) => subject.len(),
            Pattern::Stored(subject) => subject.len(),
        };
        interest_len(subject, self.queue.len(), self.weight)
    }

    /// Writes the line with its CR LF.
    ///
    /// # Errors
    /// `out` is shorter than [`LeafInterest::encoded_len`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cut = Cut::new(out);
        cut.put(if self.weight > 0 { b"LS+ " } else { b"LS- " });
        match &self.subject {
            Pattern::Loop(subject) => cut.put(subject),
            Pattern::Answers(subject) => cut.put(subject),
            Pattern::Border(subject) => cut.put(subject.as_bytes()),
            Pattern::Stored(subject) => subject.parts(self.chunks).for_each(|part| cut.put(part)),
        }
        if self.queue.len() > 0 {
            cut.put(b" ");
            self.queue.parts(self.chunks).for_each(|part| cut.put(part));
            if self.weight > 0 {
                cut.put(b" ");
                cut.number(self.weight as usize);
            }
        }
        cut.put(b"\r\n");
        cut.finish()
    }
}

/// The length of a line about interest.
pub(super) fn interest_len(subject: usize, queue: usize, weight: u32) -> usize {
    let weight = if weight > 0 { digits(weight as usize) + 1 } else { 0 };
    subject + 6 + if queue > 0 { queue + 1 + weight } else { 0 }
}

/// A message for a leaf node.
#[derive(Clone, Copy, Debug)]
pub struct LeafDelivery<'a> {
    pub(super) to: ClientId,
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    /// The first of the queue groups of which a member there gets it.
    pub(super) queues: u32,
    pub(super) groups: &'a [Group],
    pub(super) chunks: &'a [Chunk],
    pub(super) header_len: usize,
    pub(super) body: &'a [u8],
    pub(super) body_at: usize,
}

impl<'a> LeafDelivery<'a> {
    /// The receiver.
    pub fn to(&self) -> ClientId {
        self.to
    }

    /// What follows the head: header block if the receiver knows such, payload, CR LF.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Where [`LeafDelivery::body`] lies in the bytes of [`Input::Received`](super::Input::Received).
    pub fn body_range(&self) -> core::ops::Range<usize> {
        self.body_at..self.body_at + self.body.len()
    }

    /// The length of the head.
    pub fn head_len(&self) -> usize {
        let size = self.body.len().saturating_sub(2);
        let (subject, reply) = (self.subject.len(), self.reply.map(<[u8]>::len));
        head_len(subject, reply, queues_len(self.groups, self.queues), self.header_len, size)
    }

    /// Writes the head: `LMSG`, or `HMSG` if there is a header block.
    ///
    /// # Errors
    /// `out` is shorter than [`LeafDelivery::head_len`].
    pub fn encode_head(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cut = Cut::new(out);
        cut.put(if self.header_len > 0 { b"HMSG " } else { b"LMSG " });
        cut.put(self.subject);
        cut.put(b" ");
        if self.queues != NONE {
            cut.put(if self.reply.is_some() { b"+ " } else { b"| " });
        }
        if let Some(reply) = self.reply {
            cut.put(reply);
            cut.put(b" ");
        }
        let mut group = self.queues;
        while let Some(slot) = at(self.groups, group) {
            slot.name.parts(self.chunks).for_each(|part| cut.put(part));
            cut.put(b" ");
            group = slot.touched;
        }
        if self.header_len > 0 {
            cut.number(self.header_len);
            cut.put(b" ");
        }
        cut.number(self.body.len().saturating_sub(2));
        cut.put(b"\r\n");
        cut.finish()
    }
}

/// The length of the names of a list of groups, each with a blank.
pub(super) fn queues_len(groups: &[Group], mut group: u32) -> usize {
    let mut len = 0;
    while let Some(slot) = at(groups, group) {
        len += slot.name.len() + 1;
        group = slot.touched;
    }
    len
}

/// The length of a head with so many bytes of queues, for a body of `size` bytes with its header block.
pub(super) fn head_len(
    subject_len: usize,
    reply_len: Option<usize>,
    queues_len: usize,
    header_len: usize,
    size: usize,
) -> usize {
    let reply = reply_len.map_or(0, |len| len + 1);
    let header = if header_len > 0 { digits(header_len) + 1 } else { 0 };
    let sign = if queues_len > 0 { 2 } else { 0 };
    // "LMSG ", a blank, CR LF.
    subject_len + reply + sign + queues_len + header + digits(size) + 8
}
