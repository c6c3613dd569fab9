//! A received message, owned: a daemon may keep it, and may publish while it looks at it.

use lunix_core::session::Sid;
use lunix_core::time::Instant;
use lunix_proto::nats;
use lunix_proto::nats::header::Headers;

/// A received message, in one allocation.
#[derive(Clone, Debug)]
pub struct Message {
    sid: Option<Sid>,
    received: Instant,
    bytes: Box<[u8]>,
    subject: usize,
    reply: usize,
    header: usize,
}

impl Message {
    /// Copies a message out of the receive buffer.
    pub(super) fn new(sid: Option<Sid>, received: Instant, message: &nats::Message<'_>) -> Self {
        let reply = message.reply.unwrap_or_default();
        let bytes = [message.subject, reply, message.body].concat().into_boxed_slice();
        let subject = message.subject.len();
        let reply = subject + reply.len();
        let header = reply + message.header_len.min(message.body.len());
        Self { sid, received, bytes, subject, reply, header }
    }

    /// The subscription that it is for; `None` for the answer to a request.
    pub fn sid(&self) -> Option<Sid> {
        self.sid
    }

    /// When it was taken out of the receive buffer.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// The subject it was published to.
    pub fn subject(&self) -> &[u8] {
        self.bytes.get(..self.subject).unwrap_or_default()
    }

    /// The subject as text, with U+FFFD for what is none.
    pub fn subject_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.subject())
    }

    /// Where an answer is wanted.
    pub fn reply(&self) -> Option<&[u8]> {
        self.bytes.get(self.subject..self.reply).filter(|reply| !reply.is_empty())
    }

    /// The header block as it came; empty if there is none.
    pub fn header(&self) -> &[u8] {
        self.bytes.get(self.reply..self.header).unwrap_or_default()
    }

    /// The header fields, if there is a header block.
    pub fn headers(&self) -> Option<Headers<'_>> {
        Headers::parse(self.header())
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.header..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_as_they_came() {
        let header = b"NATS/1.0\r\nA: b\r\n\r\n";
        let body = [&header[..], b"payload"].concat();
        let came = nats::Message {
            subject: b"a.b",
            sid: b"1",
            reply: Some(b"_INBOX.x"),
            body: &body,
            header_len: header.len(),
        };
        let message = Message::new(None, Instant::from_micros(0), &came);
        assert_eq!(message.subject(), b"a.b");
        assert_eq!(message.subject_text(), "a.b");
        assert_eq!(message.reply(), Some(&b"_INBOX.x"[..]));
        assert_eq!(message.header(), header);
        assert_eq!(message.payload(), b"payload");
        let bare = nats::Message { reply: None, header_len: 0, body: b"", ..came };
        let bare = Message::new(None, Instant::from_micros(0), &bare);
        assert_eq!((bare.reply(), bare.header(), bare.payload()), (None, &b""[..], &b""[..]));
    }
}
