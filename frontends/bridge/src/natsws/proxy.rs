//! One WebSocket here, one connection to the server there, until either ends.
//!
//! Each direction reads only once what it read before is written: whoever is slow is heard in the other's socket, and the
//! server's own rules for slow consumers and fast producers hold. What is read lies in the buffer that all connections
//! share, is framed or unframed there, and written from there; a connection has memory only for what a socket did not take,
//! and for what of a frame or an operation is not whole.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lunix_proto::nats::{self, ServerDecoder, ServerOp};
use lunix_proto::ws::{Close, CloseCode, Decoder, Event, Kind, MAX_UNDECODED, Side, encode};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Duration, Sleep, sleep, timeout};

use super::login::{Login, NoConnect};
use super::members;
use crate::stream::{self, Outbox, Stream};

/// The longest message of a browser, of which nothing is kept: clients put into one what they have, and it is the
/// server that knows how long a message of its own may be.
const MAX_MESSAGE: u64 = 64 << 20;

/// What a server may send at most: nats-server's own bounds of `max_payload` and of `INFO`.
const SERVER: nats::Limits = nats::Limits { control_line: 1 << 20, payload: 64 << 20 };

/// The longest head of a frame that a server sends.
const HEAD: usize = 10;

/// How long a browser may take to answer a Close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where browsers find us, which `INFO` is to say instead of where we find the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    pub(super) address: SocketAddr,
    pub(super) secure: bool,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// A socket broke: there is nobody to tell.
    Lost,
    /// The browser said so, with this code.
    Asked(CloseCode),
    /// The browser is told so.
    Told(CloseCode, String),
    /// The browser is told in NATS's words first.
    Refused(&'static str),
}

/// Two connections of which the handshakes are done.
pub(super) struct Session {
    pub(super) web: Stream,
    pub(super) server: Stream,
    /// What the server has said up to now.
    pub(super) begun: Vec<u8>,
    /// Who the browser is; `None` if it is not let through.
    pub(super) login: Option<Login>,
    pub(super) here: Here,
    /// How long either side may take nothing of what waits for it.
    pub(super) write_deadline: Duration,
}

/// Passes on what comes from either side, and closes both. `stop` changes when natsws ends.
pub(super) async fn run(session: Session, mut stop: watch::Receiver<bool>) {
    let Session { mut web, mut server, begun, login, here, write_deadline } = session;
    let mut to_server = ToServer::new(login, write_deadline);
    let mut to_browser = ToBrowser::new(begun, here, write_deadline);
    let passed = poll_fn(|context| {
        loop {
            // What the server has said is said first.
            let said = to_browser.step(&mut server, &mut web, context)?;
            let heard = to_server.step(&mut web, &mut server, &mut to_browser.pong, context)?;
            if said.is_pending() && heard.is_pending() {
                return Poll::<Result<Infallible, End>>::Pending;
            }
        }
    });
    let end = tokio::select! {
        biased;
        Err(end) = passed => end,
        _ = stop.wait_for(|stop| *stop) => End::Told(CloseCode::GOING_AWAY, "natsws ends".to_owned()),
    };
    // In memory of its own, which connections that do not end need not have.
    let farewell = Box::pin(close(end, &mut web, &mut to_browser.out.outbox));
    let _ = timeout(FAREWELL, farewell).await;
}

/// What waits for one of the sides.
struct Out {
    outbox: Outbox,
    /// Since it took something last, or since something waits.
    stall: Option<Pin<Box<Sleep>>>,
    write_deadline: Duration,
}

impl Out {
    fn new(write_deadline: Duration) -> Self {
        Self { outbox: Outbox::default(), stall: None, write_deadline }
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// The socket's, and `TimedOut` if it takes nothing until the deadline.
    fn poll_flush(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.outbox.waiting();
        if let Poll::Ready(done) = self.outbox.poll_flush(stream, context) {
            self.stall = None;
            return Poll::Ready(done);
        }
        if self.outbox.waiting() < before {
            self.stall = None;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(self.write_deadline)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes `bytes` from where they are, and keeps only what the socket does not take at once.
    fn write(&mut self, stream: &mut Stream, context: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if self.outbox.waiting() == 0
            && !rest.is_empty()
            && let Poll::Ready(written) = Pin::new(stream).poll_write(context, rest)
        {
            rest = rest.get(written?..).unwrap_or_default();
        }
        self.outbox.bytes.extend_from_slice(rest);
        Ok(())
    }
}

/// What the browser says, to the server.
struct ToServer {
    /// Who says it, until that is said to the server.
    login: Option<Box<Login>>,
    refused: bool,
    decoder: Decoder,
    /// Of a frame, as little as the decoder cannot do without.
    undecoded: Vec<u8>,
    out: Out,
    /// Nothing follows.
    end: Option<End>,
    /// The server takes no more; why, it says in the other direction.
    deaf: bool,
}

impl ToServer {
    fn new(login: Option<Login>, write_deadline: Duration) -> Self {
        Self {
            refused: login.is_none(),
            login: login.map(Box::new),
            decoder: Decoder::new(Side::Client, MAX_MESSAGE),
            undecoded: Vec::new(),
            out: Out::new(write_deadline),
            end: None,
            deaf: false,
        }
    }

    /// Passes on what has come, at most a buffer of it.
    fn step(
        &mut self,
        web: &mut Stream,
        server: &mut Stream,
        pong: &mut Option<Vec<u8>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        if self.refused {
            return Poll::Ready(Err(End::Refused("Authorization Violation")));
        }
        if self.deaf {
            return Poll::Pending;
        }
        match ready!(self.out.poll_flush(server, context)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let reason = "the server takes nothing".to_owned();
                return Poll::Ready(Err(End::Told(CloseCode::TRY_AGAIN_LATER, reason)));
            }
            Err(_) => {
                self.deaf = true;
                return Poll::Pending;
            }
        }
        // What came before the end is the server's all the same.
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        stream::with_shared(|shared| {
            let start = self.undecoded.len();
            let mut buffer = ReadBuf::new(shared.get_mut(start..).unwrap_or_default());
            let len = match ready!(Pin::new(web).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => buffer.filled().len(),
                _ => return Poll::Ready(Err(End::Lost)),
            };
            let bytes = shared.get_mut(..start + len).unwrap_or_default();
            if let Some(room) = bytes.get_mut(..start) {
                room.copy_from_slice(&self.undecoded);
            }
            let operations = self.take(bytes, pong);
            if self.out.write(server, context, bytes.get(operations).unwrap_or_default()).is_err() {
                self.deaf = true;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes in what the browser says, and answers where in `bytes` the operations are that go on as they are.
    fn take(&mut self, bytes: &mut [u8], pong: &mut Option<Vec<u8>>) -> Range<usize> {
        let (mut consumed, mut found) = (0, 0..0);
        while self.end.is_none() {
            let (event, len) = match self.decoder.decode(bytes.get_mut(consumed..).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some(decoded)) => decoded,
                Err(error) => {
                    self.end = Some(End::Told(error.close_code(), error.reason().to_owned()));
                    break;
                }
            };
            consumed += len;
            match event {
                Event::Data { bytes: data, .. } => match &mut self.login {
                    Some(login) => match login.take(data) {
                        Ok(None) => {}
                        Ok(Some(begin)) => {
                            self.out.outbox.bytes.extend_from_slice(&begin);
                            self.login = None;
                        }
                        Err(NoConnect) => self.end = Some(End::Refused("Unknown Protocol Operation")),
                    },
                    None => {
                        // Of several frames the second follows the first where its head was.
                        let data = consumed - data.len()..consumed;
                        if found.is_empty() {
                            found = data;
                        } else {
                            let len = data.len();
                            bytes.copy_within(data, found.end);
                            found.end += len;
                        }
                    }
                },
                Event::Ping(payload) => *pong = Some(payload.to_vec()),
                Event::Pong(_) => {}
                // None came, none is answered.
                Event::Close(close) => {
                    self.end = Some(End::Asked(close.map_or(CloseCode(1005), |Close { code, .. }| code)));
                }
            }
        }
        self.undecoded.clear();
        self.undecoded.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
        stream::relax(&mut self.undecoded);
        found
    }
}

/// What the server says, to the browser.
struct ToBrowser {
    decoder: ServerDecoder,
    /// The beginning of an operation, behind room for the head of a frame.
    inbox: Vec<u8>,
    out: Out,
    here: Here,
    /// The answer to the browser's Ping: of several Pings the last is answered (RFC 6455, 5.5.3).
    pong: Option<Vec<u8>>,
    /// The last thing that the server complained of.
    trouble: Option<String>,
    /// Nothing follows.
    end: Option<End>,
}

impl ToBrowser {
    fn new(begun: Vec<u8>, here: Here, write_deadline: Duration) -> Self {
        let mut to_browser = Self {
            decoder: ServerDecoder::new(SERVER),
            inbox: Vec::new(),
            out: Out::new(write_deadline),
            here,
            pong: None,
            trouble: None,
            end: None,
        };
        let mut begun = [&[0; HEAD], begun.as_slice()].concat();
        let (frames, end) = to_browser.take(&mut begun);
        to_browser.out.outbox.bytes.extend_from_slice(begun.get(frames).unwrap_or_default());
        to_browser.keep(&begun, end);
        to_browser
    }

    /// Passes on what has come, at most a buffer of it.
    fn step(
        &mut self,
        server: &mut Stream,
        web: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        match ready!(self.out.poll_flush(web, context)) {
            Ok(()) => {}
            // It hears of it if it goes on before long.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let reason = "Slow Consumer".to_owned();
                return Poll::Ready(Err(End::Told(CloseCode::POLICY_VIOLATION, reason)));
            }
            Err(_) => return Poll::Ready(Err(End::Lost)),
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        if let Some(payload) = self.pong.take() {
            let mut room = [0; MAX_UNDECODED];
            let len = encode::pong(&mut room, &payload, None).unwrap_or(0);
            self.out.outbox.bytes.extend_from_slice(room.get(..len).unwrap_or_default());
            return Poll::Ready(Ok(()));
        }
        stream::with_shared(|shared| {
            let before = self.inbox.len().max(HEAD);
            // A message that is longer than the buffer is put together elsewhere.
            let apart = before > shared.len() / 2;
            let start = if apart { 0 } else { before };
            let mut buffer = ReadBuf::new(shared.get_mut(start..).unwrap_or_default());
            let len = match ready!(Pin::new(server).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => buffer.filled().len(),
                _ => {
                    self.end = Some(self.ended());
                    return Poll::Ready(Ok(()));
                }
            };
            let written;
            if apart {
                let mut bytes = std::mem::take(&mut self.inbox);
                bytes.extend_from_slice(buffer.filled());
                let (frames, end) = self.take(&mut bytes);
                written = self.out.write(web, context, bytes.get(frames).unwrap_or_default());
                if end == HEAD {
                    self.inbox = bytes;
                } else {
                    self.keep(&bytes, end);
                }
            } else {
                let bytes = shared.get_mut(..start + len).unwrap_or_default();
                if let Some(room) = bytes.get_mut(..self.inbox.len()) {
                    room.copy_from_slice(&self.inbox);
                }
                let (frames, end) = self.take(bytes);
                written = self.out.write(web, context, bytes.get(frames).unwrap_or_default());
                self.keep(bytes, end);
            }
            Poll::Ready(written.map_err(|_| End::Lost))
        })
    }

    /// Keeps what of `bytes` is from `start` on.
    fn keep(&mut self, bytes: &[u8], start: usize) {
        self.inbox.clear();
        if start < bytes.len() {
            self.inbox.extend_from_slice(&[0; HEAD]);
            self.inbox.extend_from_slice(bytes.get(start..).unwrap_or_default());
        }
        stream::relax(&mut self.inbox);
    }

    /// Puts the whole operations of `bytes`, which begin behind room for a head, into a frame where they are. Answers where
    /// that is, and where what is not whole begins. What comes before an `INFO`, and that in other words, waits already.
    fn take(&mut self, bytes: &mut [u8]) -> (Range<usize>, usize) {
        let (mut start, mut end) = (HEAD, HEAD);
        while self.end.is_none() {
            let inform = match self.decoder.decode(bytes.get(end..).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some((ServerOp::Info(json), len))) => Some((inform(json, self.here), len)),
                Ok(Some((op, len))) => {
                    if let ServerOp::Err(text) = op {
                        self.trouble = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    end += len;
                    None
                }
                Err(_) => {
                    self.end = Some(broken());
                    None
                }
            };
            if let Some((line, len)) = inform {
                say(&mut self.out.outbox, bytes.get(start..end).unwrap_or_default());
                match line {
                    Some(line) => say(&mut self.out.outbox, &line),
                    None => self.end = Some(broken()),
                }
                end += len;
                start = end;
            }
        }
        if start == end {
            return (0..0, end);
        }
        let mut head = [0; HEAD];
        let len = head_of(&mut head, end - start);
        let begin = start - len;
        if let Some(room) = bytes.get_mut(begin..start) {
            room.copy_from_slice(head.get(..len).unwrap_or_default());
        }
        (begin..end, end)
    }

    /// What the browser is told when the server has closed.
    fn ended(&mut self) -> End {
        self.trouble.take().map_or_else(
            || End::Told(CloseCode::GOING_AWAY, "the server has closed the connection".to_owned()),
            |text| End::Told(meant(&text), text),
        )
    }
}

fn broken() -> End {
    End::Told(CloseCode::INTERNAL_ERROR, "the server broke the protocol".to_owned())
}

/// Puts whole operations into a frame.
fn say(outbox: &mut Outbox, operations: &[u8]) {
    if operations.is_empty() {
        return;
    }
    let mut head = [0; HEAD];
    let len = head_of(&mut head, operations.len());
    outbox.bytes.extend_from_slice(head.get(..len).unwrap_or_default());
    outbox.bytes.extend_from_slice(operations);
}

/// Writes the head of a frame of so many bytes, and says how long it is.
fn head_of(head: &mut [u8; HEAD], len: usize) -> usize {
    // The longest has room.
    encode::data(head, Kind::Binary, true, true, len as u64, None).unwrap_or(0)
}

/// The server's `INFO` as a browser is to hear it; `None` if it is none.
fn inform(json: &[u8], here: Here) -> Option<Vec<u8>> {
    let of_server = |key: &str| {
        matches!(
            key,
            "host"
                | "port"
                | "tls_required"
                | "tls_available"
                | "tls_verify"
                | "connect_urls"
                | "ws_connect_urls"
        )
    };
    let json = members::replaced(json, of_server, |writer| {
        writer.key("host").string(&here.address.ip().to_string());
        writer.key("port").number(here.address.port().into());
        if here.secure {
            writer.key("tls_required").bool(true);
        }
    })?;
    Some([b"INFO ", json.as_slice(), b"\r\n"].concat())
}

/// With which code nats-server closes a WebSocket after such an `-ERR`.
fn meant(error: &str) -> CloseCode {
    let error = error.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if has(&["payload"]) {
        CloseCode::MESSAGE_TOO_BIG
    } else if has(&["protocol", "parser", "control line"]) {
        CloseCode::PROTOCOL_ERROR
    } else if has(&["authoriz", "authentic", "maximum", "slow", "stale", "account", "revoked"]) {
        CloseCode::POLICY_VIOLATION
    } else {
        CloseCode::GOING_AWAY
    }
}

/// Says what is to be said, a Close last, and reads until it is answered.
async fn close(end: End, web: &mut Stream, outbox: &mut Outbox) {
    let (code, reason, asked) = match end {
        End::Lost => return,
        End::Asked(code) => (code, String::new(), true),
        End::Told(code, reason) => (code, reason, false),
        End::Refused(why) => {
            let line = format!("-ERR '{why}'\r\n");
            say(outbox, line.as_bytes());
            (meant(why), why.to_owned(), false)
        }
    };
    let mut room = [0; MAX_UNDECODED];
    let len = encode::close(&mut room, code, &reason, None).unwrap_or(0);
    outbox.bytes.extend_from_slice(room.get(..len).unwrap_or_default());
    if outbox.flush(web).await.is_err() {
        return;
    }
    // The server is the first to close TCP (RFC 6455, 7.1.1): Chromium waits two seconds for that before a page hears of it.
    if web.shutdown().await.is_err() {
        return;
    }
    // A socket that is closed with something unread takes back what was said last.
    let mut rest = Vec::new();
    while !asked && matches!(stream::read(web, &mut rest).await, Ok(1..)) {
        rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_says_where_the_browser_is() {
        let here = Here { address: "127.0.0.1:8080".parse().unwrap(), secure: true };
        let json =
            br#"{"server_id":"A","host":"0.0.0.0","port":4222,"connect_urls":["10.0.0.1:4222"],"x":1}"#;
        let expected = r#"{"server_id":"A","x":1,"host":"127.0.0.1","port":8080,"tls_required":true}"#;
        assert_eq!(inform(json, here).unwrap(), format!("INFO {expected}\r\n").into_bytes());
        assert_eq!(inform(b"[]", here), None);
    }

    #[test]
    fn codes_as_nats_server_closes() {
        for (error, code) in [
            ("Authorization Violation", 1008),
            ("Maximum Payload Violation", 1009),
            ("Unknown Protocol Operation", 1002),
            ("Slow Consumer", 1008),
            ("Server Shutdown", 1001),
        ] {
            assert_eq!(meant(error).0, code, "{error}");
        }
    }
}
