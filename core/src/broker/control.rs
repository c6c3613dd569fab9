//! What the broker says to a client besides messages.

use core::fmt::Write as _;
use core::net::IpAddr;

use lunix_proto::Full;
use lunix_proto::json::Str;
use lunix_proto::nats::{DecodeError, Info, encode};

use super::delivery::Cut;
use super::user::AccountId;

/// A line for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// `INFO`, of which the broker knows what differs between connections.
    Info(Welcome),
    /// `+OK`
    Ok,
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `-ERR`
    Error(ErrorText<'a>),
    /// The message that tells a requester that nobody listens.
    NoResponders {
        /// Where the answer was wanted.
        reply: &'a [u8],
        /// The requester's subscription to it.
        sid: Sid<'a>,
        /// What nobody listens to.
        subject: &'a [u8],
    },
}

/// The part of `INFO` that differs between connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The connection's number.
    pub client_id: u64,
    /// The client's address; none on a UNIX socket.
    pub client_ip: Option<IpAddr>,
    /// It is the second `INFO`, after the client's `CONNECT`.
    pub connected: bool,
    /// Where its subjects are; the driver names it in [`Info::remote_account`] of the second `INFO`.
    pub account: AccountId,
}

/// What goes wrong, as nats-server words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorText<'a> {
    /// The stream broke the protocol.
    Protocol(&'static str),
    /// A subscription to what is no subject.
    InvalidSubject,
    /// A pedantic client's publish to what is no literal subject.
    InvalidPublishSubject,
    /// A reply subject that only servers may use.
    ReservedReply(&'a [u8]),
    /// A publish to what the user may not publish to.
    PublishViolation(&'a [u8]),
    /// A subscription to what the user may not subscribe to.
    SubscribeViolation {
        /// What it asked for.
        subject: &'a [u8],
        /// In which queue group.
        queue: Option<&'a [u8]>,
    },
    /// A subscription that ends because the user may no longer have it.
    Unsubscribed {
        /// What it was to.
        subject: &'a [u8],
        /// In which queue group.
        queue: Option<&'a [u8]>,
        /// What the client called it.
        sid: &'a [u8],
    },
    /// `no_responders` without `headers`.
    NoRespondersNeedHeaders,
    /// A `protocol` that is neither 0 nor 1.
    ClientProtocol,
    /// Too many connections.
    Connections,
    /// Too many subscriptions.
    Subscriptions,
    /// Too many unanswered pings.
    Stale,
    /// Credentials that do not fit, or none.
    Authorization,
    /// Too many connections of one account.
    AccountConnections,
    /// No credentials for too long.
    AuthenticationTimeout,
    /// A user whose time is over.
    AuthenticationExpired,
    /// An account whose time is over.
    AccountExpired,
    /// A leaf node that is connected to itself by way of others.
    Loop,
}

impl ErrorText<'_> {
    /// About how long the line is.
    pub(super) fn len(&self) -> usize {
        let mut len = 9;
        self.tell(|piece, quoted| len += piece.len() + usize::from(quoted) * 2);
        len
    }

    /// Says the text: pieces, and whether each is somebody's and quoted.
    fn tell(&self, mut say: impl FnMut(&[u8], bool)) {
        let text = match *self {
            Self::Protocol(text) => text,
            Self::InvalidSubject => "Invalid Subject",
            Self::InvalidPublishSubject => "Invalid Publish Subject",
            Self::ReservedReply(reply) => {
                say(b"Permissions Violation for Publish with Reply of ", false);
                return say(reply, true);
            }
            Self::PublishViolation(subject) => {
                say(b"Permissions Violation for Publish to ", false);
                return say(subject, true);
            }
            Self::SubscribeViolation { subject, queue } => return refused(subject, queue, say),
            Self::Unsubscribed { subject, queue, sid } => {
                refused(subject, queue, &mut say);
                say(b" (sid ", false);
                say(sid, true);
                ")"
            }
            Self::Loop => "Loop detected for leafnode. Delaying attempt to reconnect for 30s",
            Self::NoRespondersNeedHeaders => "no responders requires headers support",
            Self::ClientProtocol => "invalid client protocol",
            Self::Connections => "maximum connections exceeded",
            Self::Subscriptions => "maximum subscriptions exceeded",
            Self::Stale => "Stale Connection",
            Self::Authorization => "Authorization Violation",
            Self::AccountConnections => "maximum account active connections exceeded",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationExpired => "User Authentication Expired",
            Self::AccountExpired => "Account Authentication Expired",
        };
        say(text.as_bytes(), false);
    }

    pub(super) fn of(error: DecodeError) -> Option<Self> {
        error.wire_text().map(Self::Protocol)
    }
}

fn refused(subject: &[u8], queue: Option<&[u8]>, mut say: impl FnMut(&[u8], bool)) {
    say(b"Permissions Violation for Subscription to ", false);
    say(subject, true);
    if let Some(queue) = queue {
        say(b" using queue ", false);
        say(queue, true);
    }
}

/// A subscription's name, in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Sid<'a> {
    pub(super) text: super::text::Text<11>,
    pub(super) chunks: &'a [super::Chunk],
}

impl Sid<'_> {
    /// The pieces in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.text.parts(self.chunks)
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// All of it and its length, if it is short.
    pub(super) fn short(&self) -> Option<(&[u8; 11], usize)> {
        self.text.short()
    }

    /// It has no bytes; clients cannot name a subscription so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Sid<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.parts().flatten().eq(other.parts().flatten())
    }
}

impl Eq for Sid<'_> {}

impl Control<'_> {
    /// Writes the line with its CR LF. `info` says what all connections have in common.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn encode(&self, out: &mut [u8], info: &Info<'_>) -> Result<usize, Full> {
        match self {
            Self::Info(welcome) => welcome.encode(out, info),
            Self::Ok => encode::ok(out),
            Self::Ping => encode::ping(out),
            Self::Pong => encode::pong(out),
            Self::Error(text) => {
                let mut cut = Cut::new(out);
                cut.put(b"-ERR '");
                text.tell(|piece, quoted| if quoted { cut.quote(piece) } else { cut.put(piece) });
                cut.put(b"'\r\n");
                cut.finish()
            }
            Self::NoResponders { reply, sid, subject } => {
                const STATUS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
                let size = STATUS.len() + subject.len() + 4;
                let mut cut = Cut::new(out);
                cut.put(b"HMSG ");
                cut.put(reply);
                cut.put(b" ");
                sid.parts().for_each(|part| cut.put(part));
                for _ in 0..2 {
                    cut.put(b" ");
                    cut.number(size);
                }
                cut.put(b"\r\n");
                cut.put(STATUS);
                cut.put(subject);
                cut.put(b"\r\n\r\n\r\n");
                cut.finish()
            }
        }
    }

    /// About how many bytes it is; exact for what a client can cause in numbers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Info(_) => 512,
            Self::Ok => 5,
            Self::Ping | Self::Pong => 6,
            Self::Error(text) => text.len(),
            Self::NoResponders { reply, sid, subject } => reply.len() + sid.len() + subject.len() + 56,
        }
    }
}

impl Welcome {
    fn encode(&self, out: &mut [u8], info: &Info<'_>) -> Result<usize, Full> {
        let mut address = AddressText { bytes: [0; 46], len: 0 };
        if let Some(ip) = self.client_ip {
            // The longest address has 45 bytes.
            let _ = write!(address, "{ip}");
        }
        let remote_account = match (self.connected, self.account) {
            (false, _) => Str::EMPTY,
            (true, AccountId::GLOBAL) if info.remote_account.is_empty() => Str::new("$G"),
            (true, _) => info.remote_account,
        };
        encode::info(
            out,
            &Info {
                client_id: self.client_id,
                client_ip: Str::new(address.as_str()),
                connect_info: self.connected,
                remote_account,
                ..*info
            },
        )
    }
}

struct AddressText {
    bytes: [u8; 46],
    len: usize,
}

impl AddressText {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl core::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
