//! What the two sides say.

/// A message as its publisher sends it (`PUB`, `HPUB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// The subject as sent; not yet checked by [`subject::is_literal`](super::subject::is_literal).
    pub subject: &'b [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'b [u8]>,
    /// Header block and payload, without the trailing CR LF.
    pub body: &'b [u8],
    /// How much of `body` is header block; 0 for `PUB`.
    pub header_len: usize,
}

/// A message as its receiver gets it (`MSG`, `HMSG`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// The subject that it was published to.
    pub subject: &'b [u8],
    /// The receiver's own name of the subscription that matched.
    pub sid: &'b [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'b [u8]>,
    /// Header block and payload, without the trailing CR LF.
    pub body: &'b [u8],
    /// How much of `body` is header block; 0 for `MSG`.
    pub header_len: usize,
}

macro_rules! split_body {
    ($type:ident) => {
        impl<'b> $type<'b> {
            /// The header block, empty if there is none.
            pub fn header(&self) -> &'b [u8] {
                self.body.get(..self.header_len).unwrap_or(self.body)
            }

            /// The payload, without the header block.
            pub fn payload(&self) -> &'b [u8] {
                self.body.get(self.header_len..).unwrap_or_default()
            }
        }
    };
}
split_body!(Publish);
split_body!(Message);

/// What a client says to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOp<'b> {
    /// `CONNECT` with its JSON, not yet parsed: see [`Connect::parse`](super::Connect::parse).
    Connect(&'b [u8]),
    /// `PUB`.
    Pub(Publish<'b>),
    /// `HPUB`: the message has a header block.
    HPub(Publish<'b>),
    /// `SUB`; the subject is not yet checked by [`subject::is_pattern`](super::subject::is_pattern).
    Sub {
        /// The subject, which may hold wildcards.
        subject: &'b [u8],
        /// The queue group, of which one member gets each message.
        queue: Option<&'b [u8]>,
        /// The client's own name of the subscription.
        sid: &'b [u8],
    },
    /// `UNSUB`.
    Unsub {
        /// The client's own name of the subscription.
        sid: &'b [u8],
        /// Unsubscribe only after so many messages since the subscription's start.
        max: Option<u64>,
    },
    /// `PING`, to be answered `PONG`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO` with its JSON; nats-server ignores it from clients.
    Info(&'b [u8]),
    /// `+OK`; nats-server ignores it from clients.
    Ok,
    /// `-ERR` with its text, without the quotes; nats-server closes the connection.
    Err(&'b [u8]),
}

/// What a server says to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOp<'b> {
    /// `INFO` with its JSON, not yet parsed: see [`Info::parse`](super::Info::parse).
    Info(&'b [u8]),
    /// `MSG`.
    Msg(Message<'b>),
    /// `HMSG`: the message has a header block.
    HMsg(Message<'b>),
    /// `PING`, to be answered `PONG`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR` with its text, without the quotes.
    Err(&'b [u8]),
}
