//! What goes through the connection: publishes, subscriptions, requests, and what the server sends.

use lunix_proto::Full;
use lunix_proto::nats::header::Headers;
use lunix_proto::nats::{Info, Message, ServerOp, encode, subject};

use super::connection::Phase;
use super::digits::{self, Digits};
use super::{
    Incoming, Outgoing, PublishError, Received, RequestError, RequestId, ServerError, Session, Sid,
    SubscribeError, Why,
};
use crate::time::{Duration, Instant};

const PREFIX: &[u8] = b"_INBOX.";

/// `_INBOX.`, 22 letters, a dot and a number.
const INBOX: usize = PREFIX.len() + 22 + 1 + 20;

impl<B: AsRef<[u8]> + AsMut<[u8]>, const SUBS: usize, const REQS: usize> Session<B, SUBS, REQS> {
    /// Queues a message, whether or not there is a server.
    ///
    /// # Errors
    /// See [`PublishError`]. `Full` comes only with [`Overflow::RefuseNewest`](super::Overflow::RefuseNewest),
    /// and for a message that is larger than the whole buffer.
    pub fn publish(&mut self, message: Outgoing<'_>) -> Result<(), PublishError> {
        let Outgoing { subject: name, reply, header, payload } = message;
        if self.phase == Phase::Closed {
            return Err(PublishError::Closed);
        }
        if !subject::is_literal(name) || !reply.is_none_or(subject::is_literal) {
            return Err(PublishError::InvalidSubject);
        }
        if header.len().saturating_add(payload.len()) > self.max_payload {
            return Err(PublishError::TooLarge { max: self.max_payload });
        }
        if !header.is_empty() && !self.headers {
            return Err(PublishError::HeadersUnsupported);
        }
        let room = message.room();
        let full = |Full { needed }| PublishError::Full { needed };
        // A publish may rely on a subscription made before it (to its answers).
        if self.knows_subscriptions() && !self.restoring && self.subscriptions.owes() {
            self.settle();
            if self.subscriptions.owes() {
                return Err(PublishError::Full { needed: self.outbox.capacity().saturating_add(room) });
            }
        }
        if let Err(error) = self.outbox.reserve(room) {
            self.overflow(room);
            self.outbox.reserve(room).map_err(|_| full(error))?;
        }
        self.outbox.append(room, |out| encode::publish(out, name, reply, header, payload)).map_err(full)
    }

    /// Subscribes, at this server and every later one.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>) -> Result<Sid, SubscribeError> {
        if self.phase == Phase::Closed || self.is_draining() {
            return Err(SubscribeError::Closed);
        }
        let longest = self.control.memory.as_ref().len();
        self.subscriptions.add(subject, queue, false, longest)
    }

    /// Ends a subscription; messages on their way do not come any more. Does nothing if it is over.
    pub fn unsubscribe(&mut self, sid: Sid) {
        let connected = self.knows_subscriptions();
        self.subscriptions.remove(sid, connected);
    }

    /// Ends a subscription after `max` messages, counted from its start and across reconnects; at once if so many
    /// have come already.
    pub fn unsubscribe_after(&mut self, sid: Sid, max: u64) {
        let connected = self.knows_subscriptions();
        self.subscriptions.limit(sid, max, connected);
    }

    /// Publishes `message` with a reply subject of its own, for up to `replies` answers until `timeout`.
    /// A reply subject in `message` is ignored.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn request(
        &mut self,
        now: Instant,
        message: Outgoing<'_>,
        replies: u32,
        timeout: Duration,
    ) -> Result<RequestId, RequestError> {
        let mut space = [0; INBOX];
        if self.is_draining() {
            return Err(RequestError::Inbox(SubscribeError::Closed));
        }
        if !self.inbox.is_some_and(|sid| self.subscriptions.contains(sid)) {
            let wildcard = inbox(&mut space, &self.inbox_name, b"*");
            let longest = self.control.memory.as_ref().len();
            let sid = self.subscriptions.add(wildcard, None, true, longest).map_err(RequestError::Inbox)?;
            self.inbox = Some(sid);
        }
        let request = self.requests.add(replies, now + timeout).ok_or(RequestError::TooMany)?;
        let reply = inbox(&mut space, &self.inbox_name, Digits::new(request.0).as_bytes());
        if let Err(error) = self.publish(Outgoing { reply: Some(reply), ..message }) {
            self.requests.cancel(request);
            return Err(error.into());
        }
        Ok(request)
    }

    /// Waits no more for answers. Does nothing if the request is over.
    pub fn cancel(&mut self, request: RequestId) {
        self.requests.cancel(request);
    }

    /// Takes bytes from the server up to and including the next thing that the caller should know.
    /// Then drain [`poll`](Session::poll), and call again with the bytes not consumed, until `incoming` is `None`;
    /// whatever the server sends, nothing worse than the end of the connection follows.
    pub fn receive<'b>(&mut self, now: Instant, bytes: &'b [u8]) -> Received<'b> {
        self.now = now;
        self.heard();
        let mut consumed = 0;
        loop {
            if matches!(self.phase, Phase::Waiting { .. } | Phase::Opening { .. } | Phase::Closed) {
                return Received { consumed: bytes.len(), needed: 1, incoming: None };
            }
            let rest = bytes.get(consumed..).unwrap_or_default();
            match self.decoder.decode(rest) {
                Ok(Some((op, length))) => {
                    consumed += length;
                    if let Some(incoming) = self.take(op) {
                        return Received { consumed, needed: 1, incoming: Some(incoming) };
                    }
                }
                Ok(None) => return Received { consumed, needed: self.decoder.needed(), incoming: None },
                Err(_) => self.drop_transport(Why::Protocol),
            }
        }
    }

    fn take<'b>(&mut self, op: ServerOp<'b>) -> Option<Incoming<'b>> {
        match op {
            ServerOp::Msg(message) | ServerOp::HMsg(message) => return self.take_message(message),
            ServerOp::Ping => self.on_ping(),
            ServerOp::Pong => self.on_pong(),
            ServerOp::Ok => {}
            ServerOp::Info(json) => match Info::parse(json) {
                Ok(info) => {
                    self.on_info(&info);
                    return Some(Incoming::Info(info));
                }
                Err(_) => self.drop_transport(Why::Protocol),
            },
            ServerOp::Err(text) => {
                let error = ServerError::from_text(text);
                self.on_error(error);
                return Some(Incoming::Error { error, text });
            }
        }
        None
    }

    fn take_message<'b>(&mut self, message: Message<'b>) -> Option<Incoming<'b>> {
        if !self.is_ready() {
            return None;
        }
        let delivery = self.subscriptions.deliver(message.sid)?;
        if !delivery.inbox {
            return Some(Incoming::Message { sid: delivery.sid, message, last: delivery.last });
        }
        let token = message.subject.get(PREFIX.len() + self.inbox_name.len() + 1..)?;
        let number = digits::parse(token)?;
        let nobody = message.payload().is_empty()
            && Headers::parse(message.header()).and_then(|headers| headers.status()) == Some(503);
        let (request, last) = self.requests.answer(number)?;
        if nobody {
            self.requests.cancel(request);
            return Some(Incoming::NoResponders { request });
        }
        Some(Incoming::Answer { request, message, last })
    }
}

fn inbox<'s>(space: &'s mut [u8; INBOX], name: &[u8; 22], last: &[u8]) -> &'s [u8] {
    let mut length = 0;
    let parts = PREFIX.iter().chain(name).chain(b".").chain(last);
    for (to, from) in space.iter_mut().zip(parts) {
        *to = *from;
        length += 1;
    }
    space.get(..length).unwrap_or_default()
}
