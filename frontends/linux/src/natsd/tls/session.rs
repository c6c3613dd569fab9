//! Both sides of rustls behind one face.

use std::fmt;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{Error, InvalidMessage};

/// A session without buffers of its own.
pub(super) enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.terms())
    }
}

/// What came of incoming records.
#[derive(Debug, Default)]
pub(super) struct Digest {
    /// Bytes of whole records, which are done with.
    pub(super) used: usize,
    /// The handshake is over.
    pub(super) open: bool,
    /// The peer will say nothing more.
    pub(super) ended: bool,
    /// The session is broken; what `out` then has is the alert that says so.
    pub(super) error: Option<Error>,
}

impl Session {
    /// Takes whole records from `incoming`, appends what they say to `plain`, and what has to be answered to `out`.
    pub(super) fn digest(&mut self, incoming: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Digest {
        match self {
            Self::Server(session) => digest(session, incoming, plain, out),
            Self::Client(session) => digest(session, incoming, plain, out),
        }
    }

    /// Appends `bytes`, sealed, to `out`. `unread` is what [`Session::digest`] has left: rustls remembers where in it
    /// the pieces of an unfinished message are.
    pub(super) fn seal(&mut self, bytes: &[u8], unread: &mut [u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(bytes, unread, out, false)
    }

    /// Appends the record that says that nothing more comes.
    pub(super) fn say_goodbye(&mut self, unread: &mut [u8], out: &mut Vec<u8>) {
        // A session that cannot is broken, and its peer knows.
        let _ = self.write(b"", unread, out, true);
    }

    fn write(
        &mut self,
        bytes: &[u8],
        unread: &mut [u8],
        out: &mut Vec<u8>,
        goodbye: bool,
    ) -> Result<(), Error> {
        match self {
            Self::Server(session) => write(session, bytes, unread, out, goodbye),
            Self::Client(session) => write(session, bytes, unread, out, goodbye),
        }
    }

    /// The peer's own certificate.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Self::Server(session) => session.peer_certificates()?.first(),
            Self::Client(session) => session.peer_certificates()?.first(),
        }
    }

    /// The version and the suite, for the log.
    pub(super) fn terms(&self) -> String {
        let (version, suite) = match self {
            Self::Server(session) => (session.protocol_version(), session.negotiated_cipher_suite()),
            Self::Client(session) => (session.protocol_version(), session.negotiated_cipher_suite()),
        };
        let version = version.and_then(|version| version.as_str()).unwrap_or("?").replace("TLSv1_", "1.");
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("?").replace("TLS13_", "TLS_");
        format!("TLS version {version}, cipher suite {suite}")
    }
}

trait Side {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn has_to_say(&self) -> bool;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }
}

fn digest<S: Side>(side: &mut S, incoming: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Digest {
    let mut digest = Digest::default();
    loop {
        let rest = incoming.get_mut(digest.used..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = side.process(rest);
        let mut over = false;
        match state {
            Err(error) => {
                digest.error.get_or_insert(error);
                // What is left to be said is the alert. To ask for more would be to read the same bytes again.
                over = !side.has_to_say();
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            plain.extend_from_slice(record.payload);
                        }
                        Err(error) => {
                            digest.error = Some(error);
                            break;
                        }
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let encoded = fill(out, 1024, |room| data.encode(room).map_err(size_to_encode));
                if encoded.is_err() {
                    digest.error.get_or_insert(Error::EncryptError);
                }
                over = digest.error.is_some() && (encoded.is_err() || !side.has_to_say());
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => digest.ended = true,
            Ok(ConnectionState::Closed) => {
                digest.ended = true;
                over = true;
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                digest.open = true;
                over = true;
            }
            Ok(ConnectionState::BlockedHandshake) => over = true,
            // Early data is never offered.
            Ok(_) => {
                digest.error = Some(Error::InvalidMessage(InvalidMessage::UnexpectedMessage("early data")));
                over = true;
            }
        }
        digest.used += discard;
        if over {
            return digest;
        }
    }
}

fn write<S: Side>(
    side: &mut S,
    bytes: &[u8],
    unread: &mut [u8],
    out: &mut Vec<u8>,
    goodbye: bool,
) -> Result<(), Error> {
    loop {
        match side.process(unread).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                // A record of 16 KiB grows by 22 bytes with TLS 1.3 and by 29 with TLS 1.2.
                let guess = bytes.len() + (bytes.len() / (16 << 10) + 1) * 32;
                return fill(out, guess, |room| {
                    if goodbye { traffic.queue_close_notify(room) } else { traffic.encrypt(bytes, room) }
                        .map_err(size_to_encrypt)
                })
                .map_err(|()| Error::EncryptError);
            }
            ConnectionState::EncodeTlsData(mut data) => {
                fill(out, 1024, |room| data.encode(room).map_err(size_to_encode))
                    .map_err(|()| Error::EncryptError)?;
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            _ => return Err(Error::HandshakeNotComplete),
        }
    }
}

/// Appends what `encode` makes, which says how much room it needs if it has too little.
fn fill(
    out: &mut Vec<u8>,
    guess: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), ()> {
    let begin = out.len();
    let mut room = guess;
    loop {
        out.resize(begin + room, 0);
        match encode(out.get_mut(begin..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(begin + written);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                out.truncate(begin);
                return Err(());
            }
        }
    }
}

fn size_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn size_to_encrypt(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}
