//! A device's connection: bytes in, bytes out, and how long it may be silent.

use std::io;
use std::rc::Rc;

use lunix::log::{self, Level};
use lunix::reactor::monotonic;
use lunix_core::time::Duration;
use lunix_proto::mqtt::{self, ClientDecoder, ClientPacket, Connect, Property, ReasonCode};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::NAME;
use super::daemon::Shared;
use super::gateway::{LinkId, Refusal};
use super::rules::Rules;
use super::settings::Limits;
use super::transport::{FAREWELL, Transport};
use super::users::{Verdict, Who};

/// A connection.
pub(super) struct Connection {
    stream: Transport,
    id: LinkId,
    /// Whose it is, as far as that is known without a word of MQTT.
    who: Who,
    /// The gateway has something to say.
    wake: Rc<Notify>,
    decoder: ClientDecoder,
    /// The beginning of a packet whose rest has not come; empty most of the time.
    input: Vec<u8>,
    /// What is being written, and how much of it is.
    output: Vec<u8>,
    written: usize,
    /// When it was last heard, and how long it may be silent.
    heard: Instant,
    patience: Option<Duration>,
}

/// How a connection goes on.
enum Next {
    On,
    End,
}

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;
/// Pieces before another connection has its turn.
const SHARE: usize = 4;

impl Connection {
    pub(super) fn new(stream: Transport, who: Who, id: LinkId, wake: Rc<Notify>, limits: &Limits) -> Self {
        let packet = limits.packet;
        Self {
            stream,
            id,
            who,
            wake,
            decoder: ClientDecoder::new(mqtt::Limits { packet, whole: packet }),
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            heard: Instant::now(),
            patience: Some(limits.patience),
        }
    }

    /// Serves the device until either side ends the connection. Whether it was told all there was to say, of which some may still
    /// be on its way.
    pub(super) async fn serve(&mut self, shared: &Shared) -> bool {
        let (mut alarm, mut armed) = (None, None);
        loop {
            match self.write(shared) {
                Ok(Next::On) => {}
                Ok(Next::End) => {
                    self.stream.finish().await;
                    return true;
                }
                Err(_) => return false,
            }
            // Who has gone takes no last words, and is gone for the others only after them.
            let is_closing = shared.daemon.borrow().gateway.is_closing(self.id);
            let patience = if is_closing { Some(FAREWELL) } else { self.patience };
            if patience != armed {
                armed = patience;
                let since = if is_closing { Instant::now() } else { self.heard };
                alarm = patience.map(|patience| Box::pin(sleep_until(since + patience)));
            }
            let is_crowded = shared.daemon.borrow_mut().is_crowded();
            let is_ahead = shared.daemon.borrow().gateway.is_ahead(self.id);
            let is_writing = self.written < self.output.len();
            let alarmed = async {
                match &mut alarm {
                    Some(alarm) => alarm.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                ready = self.stream.ready(!is_crowded && !is_ahead, is_writing) => {
                    let next = match ready {
                        // In a box, so that connections on which nothing is said have no room for what was decoded.
                        Ok(true) => Box::pin(self.read(shared)).await,
                        Ok(false) => Ok(Next::On),
                        Err(error) => Err(error),
                    };
                    match next {
                        Ok(Next::On) => {}
                        Ok(Next::End) => {
                            self.stream.finish().await;
                            return false;
                        }
                        Err(_) => return false,
                    }
                }
                // It may have said something that nobody has read.
                () = shared.room.notified(), if is_crowded => self.heard = Instant::now(),
                () = alarmed => {
                    if is_closing {
                        return false;
                    }
                    if let Some(alarm) = &mut alarm {
                        self.ring(alarm.as_mut(), shared, is_crowded);
                    }
                }
            }
        }
    }

    /// Until the device has heard the last words, and gone, or has had the time to.
    pub(super) async fn linger(&mut self) {
        self.stream.linger().await;
    }

    /// The alarm was set for what was known then; the device may have been heard since.
    fn ring(&mut self, alarm: std::pin::Pin<&mut Sleep>, shared: &Shared, is_crowded: bool) {
        let Some(patience) = self.patience else { return };
        let now = Instant::now();
        let mut due = if is_crowded { now + patience } else { self.heard + patience };
        if due <= now {
            let words = format!("nothing was heard for {} s", patience.as_secs());
            let refusal = Refusal::new(ReasonCode::KeepAliveTimeout, words);
            shared.daemon.borrow_mut().gateway.end(self.id, refusal);
            due = now + patience;
        }
        alarm.reset(due);
    }

    async fn read(&mut self, shared: &Shared) -> io::Result<Next> {
        for _ in 0..SHARE {
            let mut piece = shared.piece.take();
            piece.resize(PIECE, 0);
            let read = match self.stream.try_read(&mut piece) {
                Ok(0) => return Ok(Next::End),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            self.heard = Instant::now();
            let whole = piece.get(..read).unwrap_or_default();
            if self.input.is_empty() {
                let taken = self.take(shared, whole).await;
                self.input.extend_from_slice(whole.get(taken..).unwrap_or_default());
            } else {
                self.input.extend_from_slice(whole);
                if self.input.len() >= self.decoder.needed() {
                    let input = std::mem::take(&mut self.input);
                    let taken = self.take(shared, &input).await;
                    self.input.extend_from_slice(input.get(taken..).unwrap_or_default());
                }
            }
            shared.piece.set(piece);
            shared.changed.notify_one();
            let mut daemon = shared.daemon.borrow_mut();
            if read < PIECE || daemon.is_crowded() || daemon.gateway.is_ahead(self.id) {
                break;
            }
        }
        Ok(Next::On)
    }

    /// Hands over all whole packets, and says how many bytes they were.
    async fn take(&mut self, shared: &Shared, bytes: &[u8]) -> usize {
        let mut taken = 0;
        let mut now = monotonic();
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.decoder.decode(rest) {
                Ok(Some((packet, length))) => {
                    taken += length;
                    let ClientPacket::Connect(connect) = packet else {
                        shared.daemon.borrow_mut().gateway.take(now, self.id, packet);
                        continue;
                    };
                    let rules = match self.admit(shared, &connect).await {
                        Ok(rules) => rules,
                        Err(refusal) => {
                            shared.daemon.borrow_mut().gateway.reject(self.id, &connect, refusal);
                            return bytes.len();
                        }
                    };
                    // That may have taken a while.
                    self.heard = Instant::now();
                    let keep_alive = shared.limits.keep_alive(&connect).0;
                    // One and a half times what it has promised [MQTT-3.1.2-22].
                    let patience = Duration::from_secs(keep_alive.into()) * 3 / 2;
                    self.patience = (keep_alive > 0).then_some(patience);
                    let said = connect.username.filter(|_| !shared.users.is_empty());
                    // Who has a certificate that says so needs no name.
                    let user = self.who.user().or(said);
                    now = monotonic();
                    shared.daemon.borrow_mut().gateway.connect(now, self.id, connect, rules, user);
                }
                Ok(None) => return taken,
                Err(error) => {
                    let version = self.decoder.version();
                    shared.daemon.borrow_mut().gateway.fail(self.id, error, version);
                    return bytes.len();
                }
            }
        }
    }

    /// What the client may do, or why it may not connect.
    async fn admit(&self, shared: &Shared, connect: &Connect<'_>) -> Result<Rc<Rules>, Refusal> {
        // [MQTT 5: 4.12]
        let by_method = |property| matches!(property, Property::AuthenticationMethod(_));
        if connect.properties.iter().any(by_method) {
            let words = "there is no authentication beyond user name, password and certificate";
            return Err(Refusal::new(ReasonCode::BadAuthenticationMethod, words));
        }
        match shared.users.verify(connect.username, connect.password, &self.who) {
            Verdict::Refused(refusal) => {
                match self.who {
                    Who::Stranger if shared.users.is_empty() => shared.refused_foreign(),
                    Who::Nobody => log::line(Level::Warn, NAME, "the certificate is no user's"),
                    _ => {}
                }
                Err(refusal)
            }
            Verdict::Admitted(rules) => Ok(rules),
            Verdict::Hash(question, rules) => {
                let answer = tokio::task::spawn_blocking(move || question.answer()).await;
                if answer.unwrap_or(false) {
                    Ok(rules)
                } else {
                    Err(ReasonCode::BadUserNameOrPassword.into())
                }
            }
        }
    }

    /// Writes what there is, as far as the device takes it.
    fn write(&mut self, shared: &Shared) -> io::Result<Next> {
        loop {
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                let mut daemon = shared.daemon.borrow_mut();
                daemon.gateway.sent(monotonic(), self.id);
                let Some((output, is_closing)) = daemon.gateway.output(self.id) else { return Ok(Next::End) };
                if output.is_empty() {
                    self.output = Vec::new();
                    return Ok(if is_closing { Next::End } else { Next::On });
                }
                std::mem::swap(&mut self.output, output);
            }
            match self.stream.try_write(self.output.get(self.written..).unwrap_or_default()) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::On),
                Err(error) => return Err(error),
            }
        }
    }
}
