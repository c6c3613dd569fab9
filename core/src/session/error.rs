//! What can go wrong, sorted by whose fault it is.

use core::fmt;

/// A message that was not taken. Nothing of it has been kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The caller's fault: subjects and reply subjects hold no wildcards, white space or empty tokens.
    InvalidSubject,
    /// The caller's fault: header block and payload together exceed `max` bytes, the server's limit.
    TooLarge {
        /// The server's `max_payload`, or [`Config::max_payload`](super::Config::max_payload) before it is known.
        max: usize,
    },
    /// The caller's fault: the server understands no header blocks.
    HeadersUnsupported,
    /// A lack of room: the outgoing buffer is full, or would have to hold `needed` bytes.
    Full {
        /// The buffer length that would have been enough.
        needed: usize,
    },
    /// The caller's fault: the session has been closed.
    Closed,
}

/// A subscription that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The caller's fault: no valid subject, or a queue name that is empty or holds white space.
    InvalidSubject,
    /// A lack of room: the table of subscriptions is full.
    TooMany,
    /// A lack of room: the memory for subjects would have to hold `needed` bytes.
    Full {
        /// The memory length that would have been enough.
        needed: usize,
    },
    /// The caller's fault: the subject and queue name do not fit into one control line.
    TooLong,
    /// The caller's fault: the session has been closed.
    Closed,
}

/// A request that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// A lack of room: so many requests are waiting for their answers already.
    TooMany,
    /// The subscription for the answers could not be made.
    Inbox(SubscribeError),
    /// The message could not be published.
    Publish(PublishError),
}

/// Why a connection ended, or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The transport: the connect failed, or the peer or the network ended the connection.
    Transport,
    /// No [`Ready`](super::Action::Ready) within [`Config::connect_timeout`](super::Config::connect_timeout).
    Timeout,
    /// The server left a PING unanswered.
    Stale,
    /// The server said something that is no NATS.
    Protocol,
    /// The server's last word, an `-ERR` that ends the connection.
    Refused(ServerError),
    /// The outgoing control buffer is too small for `CONNECT`: the driver's fault.
    Room,
    /// Asked for by [`close`](super::Session::close) or the end of [`drain`](super::Session::drain).
    Done,
}

/// An `-ERR`, by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// `Authorization Violation`, and what else says that these credentials are not taken. Ends the connection.
    Authorization,
    /// `Authentication Timeout`. Ends the connection.
    AuthenticationTimeout,
    /// `User Authentication Expired` and its kin. Ends the connection.
    Expired,
    /// `Stale Connection`: the server got no answer to its PING. Ends the connection.
    Stale,
    /// `maximum connections exceeded`. Ends the connection.
    TooManyConnections,
    /// `Maximum Payload Violation`. Ends the connection.
    PayloadTooLarge,
    /// `Permissions Violation for Publish …` or `… for Subscription …`. The connection goes on.
    Permissions,
    /// `maximum subscriptions exceeded`. The connection goes on.
    TooManySubscriptions,
    /// `Invalid Subject`, `Invalid Publish Subject`. The connection goes on.
    InvalidSubject,
    /// Anything else; the server decides whether the connection goes on.
    Other,
}

impl ServerError {
    /// Classifies the text of an `-ERR`, without its quotes. Servers differ in case.
    pub fn from_text(text: &[u8]) -> Self {
        const TEXTS: &[(&[u8], ServerError)] = &[
            (b"authorization violation", ServerError::Authorization),
            (b"authentication timeout", ServerError::AuthenticationTimeout),
            (b"user authentication expired", ServerError::Expired),
            (b"user authentication revoked", ServerError::Expired),
            (b"account authentication expired", ServerError::Expired),
            (b"credentials have been revoked", ServerError::Expired),
            (b"stale connection", ServerError::Stale),
            (b"maximum connections exceeded", ServerError::TooManyConnections),
            (b"maximum account active connections exceeded", ServerError::TooManyConnections),
            (b"maximum payload violation", ServerError::PayloadTooLarge),
            (b"permissions violation", ServerError::Permissions),
            (b"maximum subscriptions exceeded", ServerError::TooManySubscriptions),
            (b"invalid subject", ServerError::InvalidSubject),
            (b"invalid publish subject", ServerError::InvalidSubject),
        ];
        let starts =
            |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        TEXTS.iter().find(|(start, _)| starts(start)).map_or(Self::Other, |(_, error)| *error)
    }

    /// The server closes the connection after this.
    pub const fn is_fatal(self) -> bool {
        !matches!(self, Self::Permissions | Self::TooManySubscriptions | Self::InvalidSubject | Self::Other)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSubject => f.write_str("invalid subject"),
            Self::TooLarge { max } => write!(f, "message larger than the server's limit of {max} bytes"),
            Self::HeadersUnsupported => f.write_str("the server understands no headers"),
            Self::Full { .. } => f.write_str("outgoing buffer full"),
            Self::Closed => f.write_str("the session is closed"),
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidSubject => "invalid subject or queue group",
            Self::TooMany => "too many subscriptions",
            Self::Full { .. } => "no room for the subject",
            Self::TooLong => "subject and queue group too long",
            Self::Closed => "the session is closed",
        })
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many requests are waiting"),
            Self::Inbox(error) => write!(f, "no inbox: {error}"),
            Self::Publish(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport => f.write_str("connection lost"),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Stale => f.write_str("the server stopped answering"),
            Self::Protocol => f.write_str("the server does not speak NATS"),
            Self::Refused(error) => write!(f, "refused by the server: {error}"),
            Self::Room => f.write_str("no room for the credentials"),
            Self::Done => f.write_str("closed"),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorization => "authorization violation",
            Self::AuthenticationTimeout => "authentication timeout",
            Self::Expired => "authentication expired",
            Self::Stale => "stale connection",
            Self::TooManyConnections => "maximum connections exceeded",
            Self::PayloadTooLarge => "maximum payload violation",
            Self::Permissions => "permissions violation",
            Self::TooManySubscriptions => "maximum subscriptions exceeded",
            Self::InvalidSubject => "invalid subject",
            Self::Other => "error",
        })
    }
}

impl core::error::Error for PublishError {}
impl core::error::Error for SubscribeError {}
impl core::error::Error for RequestError {}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_known_by_their_text() {
        for (text, error, fatal) in [
            (&b"Authorization Violation"[..], ServerError::Authorization, true),
            (b"Stale Connection", ServerError::Stale, true),
            (b"maximum connections exceeded", ServerError::TooManyConnections, true),
            (b"Permissions Violation for Publish to \"a.b\"", ServerError::Permissions, false),
            (b"Invalid Subject", ServerError::InvalidSubject, false),
            (b"", ServerError::Other, false),
            (b"Something new", ServerError::Other, false),
        ] {
            assert_eq!(ServerError::from_text(text), error);
            assert_eq!(error.is_fatal(), fatal);
        }
    }
}
