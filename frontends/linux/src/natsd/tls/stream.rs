//! One connection's TLS: ciphertext that is not a whole record yet, ciphertext that the socket has not taken yet.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use lunix_core::time::Instant;
use lunix_proto::nats::Info;
use rustix::io::Errno;
use rustls::server::UnbufferedServerConnection;

use super::Expiry;
use super::acceptor::{Terms, is_pinned};
use super::session::{Digest, Session};
use crate::certificates::Certificate;
use crate::natsd::settings::First;
use crate::natsd::transport::{self, Read};

/// A socket that speaks TLS, will, or may.
#[derive(Debug)]
pub(in crate::natsd) struct Stream {
    socket: OwnedFd,
    phase: Phase,
    /// A server's; a client has none.
    terms: Option<Arc<Terms>>,
    session: Option<Box<Session>>,
    /// Ciphertext without the record's end.
    unread: Vec<u8>,
    /// Ciphertext that waits, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// The phase ends then.
    until: Option<Instant>,
    /// `INFO` is said in the clear, at once.
    greets: bool,
    greeting: usize,
    roused: bool,
    /// What was agreed on is said.
    told: bool,
    trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Whoever speaks first begins TLS; who waits is greeted.
    First,
    /// The first byte tells whether it is TLS.
    Choice,
    Handshake,
    Open,
    Plain,
    Over,
}

/// The first byte of a client that begins TLS: a handshake record.
const HANDSHAKE: u8 = 0x16;

/// Plaintext sealed at a time: four records, one write.
const CHUNK: usize = 64 << 10;

/// Ciphertext read at a time.
const SHARED: usize = 64 << 10;

/// Room for any record.
const RECORD: usize = 18 << 10;

thread_local! {
    /// The buffers for ciphertext that all connections share, one for each direction.
    static INCOMING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTGOING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The most that a shared buffer keeps.
const KEPT: usize = 2 * SHARED;

fn give_back(place: &'static std::thread::LocalKey<Cell<Vec<u8>>>, mut buffer: Vec<u8>) {
    if buffer.capacity() <= KEPT {
        buffer.clear();
        place.set(buffer);
    }
}

impl Stream {
    /// A client has connected.
    pub(super) fn accepted(socket: OwnedFd, terms: Arc<Terms>, now: Instant) -> Self {
        let (phase, wait) = match terms.first {
            First::Never => Phase::after_greeting(&terms),
            First::Always => (Phase::Handshake, terms.timeout),
            First::Within(delay) => (Phase::First, delay),
        };
        let greets = terms.first == First::Never;
        Self { greets, ..Self::new(socket, phase, Some(terms), None, now + wait) }
    }

    /// We have connected; the first flush says hello.
    pub(super) fn connected(socket: OwnedFd, session: Session, until: Instant) -> Self {
        let mut stream = Self::new(socket, Phase::Handshake, None, Some(Box::new(session)), until);
        stream.digest(&mut [], &mut Vec::new());
        stream
    }

    fn new(
        socket: OwnedFd,
        phase: Phase,
        terms: Option<Arc<Terms>>,
        session: Option<Box<Session>>,
        until: Instant,
    ) -> Self {
        Self {
            socket,
            phase,
            terms,
            session,
            unread: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            until: Some(until),
            greets: false,
            greeting: 0,
            roused: false,
            told: false,
            trouble: None,
        }
    }

    /// When [`Stream::expire`] is due.
    pub(in crate::natsd) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// The handshake is over, or there will be none.
    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Plain)
    }

    /// Whether what was queued first, `len` bytes, is to be said in the clear now. If not, it may be after
    /// [`Expiry::Greet`].
    pub(in crate::natsd) fn greets(&mut self, len: usize) -> bool {
        self.greeting = len;
        self.greets
    }

    /// How many bytes [`Stream::greets`] was told of.
    pub(in crate::natsd) fn greeting(&self) -> usize {
        self.greeting
    }

    /// Writes in the clear, before the handshake.
    pub(in crate::natsd) fn write_clear(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::io::write(&self.socket, bytes)
    }

    /// Ends the phase whose time is over.
    pub(in crate::natsd) fn expire(&mut self, now: Instant) -> Expiry {
        if self.until.is_none_or(|until| until > now) {
            return Expiry::Nothing;
        }
        match (self.phase, &self.terms) {
            (Phase::First, Some(terms)) => {
                let (phase, wait) = Phase::after_greeting(terms);
                self.phase = phase;
                self.until = Some(now + wait);
                Expiry::Greet
            }
            (Phase::Choice, _) => {
                self.phase = Phase::Plain;
                self.until = None;
                Expiry::Plain
            }
            _ => {
                self.fail("timeout".to_owned());
                Expiry::Failed
            }
        }
    }

    /// Why there is no TLS, if the handshake failed.
    pub(in crate::natsd) fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// See [`Transport::roused`](crate::natsd::transport::Transport::roused).
    pub(in crate::natsd) fn roused(&mut self) -> bool {
        std::mem::take(&mut self.roused)
    }

    /// The client's certificate tells who it is (`verify_and_map`).
    pub(in crate::natsd) fn maps_users(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.map)
    }

    /// The client's certificate, if [it tells who the client is](Self::maps_users).
    pub(in crate::natsd) fn certificate(&self) -> Option<Certificate> {
        let der = self.session.as_ref()?.certificate()?;
        self.maps_users().then(|| Certificate::parse(der).unwrap_or_default())
    }

    /// The version and the suite that the handshake has agreed on, once.
    pub(in crate::natsd) fn agreed(&mut self) -> Option<String> {
        let session = self.session.as_ref().filter(|_| self.phase == Phase::Open)?;
        (!std::mem::replace(&mut self.told, true)).then(|| session.terms())
    }

    /// Says in `INFO` what a client may expect.
    pub(in crate::natsd) fn inform(&self, info: &mut Info<'_>) {
        if let Some(terms) = &self.terms {
            info.tls_required = !terms.allow_plain;
            info.tls_available = terms.allow_plain;
            info.tls_verify = terms.verify;
        }
    }

    /// Reads once; answers what came of it for `plain`.
    pub(in crate::natsd) fn read(&mut self, plain: &mut Vec<u8>) -> Read {
        match self.phase {
            Phase::Plain => return transport::read(&self.socket, plain),
            Phase::Over => return Read::End,
            _ => {}
        }
        let mut cipher = INCOMING.take();
        cipher.reserve_exact(SHARED.max(self.unread.len() + RECORD));
        cipher.extend_from_slice(&self.unread);
        let read = transport::read(&self.socket, &mut cipher);
        if !matches!(read, Read::Bytes(_)) {
            give_back(&INCOMING, cipher);
            if read == Read::End && !self.is_open() {
                self.fail("the client has gone".to_owned());
            }
            return read;
        }
        self.unread = Vec::new();
        if matches!(self.phase, Phase::First | Phase::Choice) {
            self.begin(cipher.first().copied());
        }
        if self.phase == Phase::Plain {
            plain.extend_from_slice(&cipher);
            give_back(&INCOMING, cipher);
            return read;
        }
        let before = plain.len();
        let used = self.digest(&mut cipher, plain);
        self.unread = cipher.get(used..).unwrap_or_default().into();
        give_back(&INCOMING, cipher);
        match self.phase {
            Phase::Over if plain.len() == before => Read::End,
            // What came before the end counts; the next read answers the end.
            Phase::Over => Read::Bytes(false),
            _ => read,
        }
    }

    /// The client's first byte is there.
    fn begin(&mut self, first: Option<u8>) {
        if self.phase == Phase::Choice && first != Some(HANDSHAKE) {
            self.phase = Phase::Plain;
            self.until = None;
            self.roused = true;
            return;
        }
        if self.phase == Phase::First {
            // The delay was for the first byte alone.
            let timeout = self.terms.as_ref().map(|terms| terms.timeout);
            self.until = self.until.zip(timeout).map(|(until, timeout)| until + timeout);
        }
        self.phase = Phase::Handshake;
    }

    /// Takes whole records from `cipher` and answers how many bytes they were.
    fn digest(&mut self, cipher: &mut [u8], plain: &mut Vec<u8>) -> usize {
        let session = match (&mut self.session, &self.terms) {
            (Some(session), _) => session,
            (place, Some(terms)) => match UnbufferedServerConnection::new(Arc::clone(&terms.config)) {
                Ok(session) => place.insert(Box::new(Session::Server(session))),
                Err(error) => {
                    self.fail(error.to_string());
                    return 0;
                }
            },
            (None, None) => return 0,
        };
        let (waiting, before) = (self.outgoing.len(), plain.len());
        let Digest { used, open, ended, error } = session.digest(cipher, plain, &mut self.outgoing);
        self.roused |= self.outgoing.len() > waiting;
        if let Some(error) = error {
            // What the socket takes of the alert is all that can still be said.
            let _ = self.flush();
            self.fail(error.to_string());
        } else {
            if open && self.phase == Phase::Handshake {
                self.open();
            }
            if ended {
                self.phase = Phase::Over;
            }
        }
        if self.trouble.is_some() {
            // Nothing that came with what is wrong is believed.
            plain.truncate(before);
        }
        used
    }

    /// The handshake is over.
    fn open(&mut self) {
        self.roused = true;
        let pinned = self.terms.as_ref().map_or(&[][..], |terms| &terms.pinned);
        let certificate = self.session.as_ref().and_then(|session| session.certificate());
        if !pinned.is_empty() && !certificate.is_some_and(|der| is_pinned(der, pinned)) {
            return self.fail("the certificate is not among pinned_certs".to_owned());
        }
        self.phase = Phase::Open;
        self.until = None;
    }

    fn fail(&mut self, why: String) {
        self.trouble.get_or_insert(why);
        self.phase = Phase::Over;
        self.until = None;
    }

    /// See [`Transport::write`](crate::natsd::transport::Transport::write).
    pub(in crate::natsd) fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.phase {
            Phase::Plain => return rustix::io::write(&self.socket, bytes),
            Phase::Open => {}
            Phase::Over => return Err(Errno::PIPE),
            Phase::First | Phase::Choice => return Err(Errno::AGAIN),
            Phase::Handshake => {
                self.flush()?;
                return Err(Errno::AGAIN);
            }
        }
        if !self.flush()? {
            return Err(Errno::AGAIN);
        }
        let Some(session) = &mut self.session else { return Err(Errno::PIPE) };
        let piece = bytes.get(..CHUNK).unwrap_or(bytes);
        self.outgoing = OUTGOING.take();
        session.seal(piece, &mut self.unread, &mut self.outgoing).map_err(|_| Errno::PIPE)?;
        self.flush()?;
        Ok(piece.len())
    }

    /// See [`Transport::flush`](crate::natsd::transport::Transport::flush).
    pub(in crate::natsd) fn flush(&mut self) -> Result<bool, Errno> {
        while let Some(waiting) = self.outgoing.get(self.sent..).filter(|waiting| !waiting.is_empty()) {
            match rustix::io::write(&self.socket, waiting) {
                Ok(taken) => self.sent += taken,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if self.outgoing.capacity() > self.left() * 2 {
                        // A slow peer keeps what it has not taken, not the buffer that all share.
                        let rest = self.outgoing.get(self.sent..).unwrap_or_default().into();
                        give_back(&OUTGOING, std::mem::replace(&mut self.outgoing, rest));
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        if self.outgoing.capacity() > 0 {
            give_back(&OUTGOING, std::mem::take(&mut self.outgoing));
        }
        Ok(true)
    }

    /// Ciphertext that waits.
    pub(in crate::natsd) fn left(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Tells the peer that nothing more comes, if the socket takes it.
    pub(in crate::natsd) fn say_goodbye(&mut self) {
        if self.phase == Phase::Open
            && let Ok(true) = self.flush()
            && let Some(session) = &mut self.session
        {
            session.say_goodbye(&mut self.unread, &mut self.outgoing);
            let _ = self.flush();
        }
    }
}

impl Phase {
    /// What follows `INFO` in the clear, and how long it may take.
    fn after_greeting(terms: &Terms) -> (Self, Duration) {
        (if terms.allow_plain { Self::Choice } else { Self::Handshake }, terms.timeout)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
