//! What a device's bytes travel in: TCP as it is, TLS, WebSocket, or WebSocket in TLS.

use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use lunix_proto::ws::{CloseCode, Decoder, Event, Kind, MAX_UNDECODED, Side, encode};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::stream::{self, Outbox, Stream};

/// A device's socket.
pub(super) enum Transport {
    /// MQTT and nothing else.
    Tcp(TcpStream),
    /// MQTT in something else.
    Wrapped(Box<Wrapped>),
}

/// A socket whose bytes are not those of MQTT.
pub(super) struct Wrapped {
    stream: Stream,
    /// Bytes of MQTT that are not taken yet.
    inbox: Vec<u8>,
    /// Bytes as they are on the wire.
    outbox: Outbox,
    frames: Option<Frames>,
    /// Nothing more is heard.
    ended: bool,
    /// The other side has gone.
    gone: bool,
}

/// WebSocket: MQTT in binary frames, cut anywhere [MQTT 5: 6].
struct Frames {
    decoder: Decoder,
    undecoded: Vec<u8>,
    /// The last frame was said.
    closed: bool,
}

/// How long a device may take to hear the last words.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// Who is sent so much and does not read is not read either: a Ping is answered.
const CROWDED: usize = 64 << 10;

impl Transport {
    /// MQTT in a stream, with TLS or without.
    pub(super) fn stream(stream: Stream) -> Self {
        Self::wrapped(stream, None)
    }

    /// MQTT in a WebSocket whose handshake is done. Its messages may be of any length: what is in them is a stream.
    pub(super) fn web_socket(stream: Stream) -> Self {
        let decoder = Decoder::new(Side::Client, u64::MAX);
        Self::wrapped(stream, Some(Frames { decoder, undecoded: Vec::new(), closed: false }))
    }

    fn wrapped(stream: Stream, frames: Option<Frames>) -> Self {
        let (inbox, outbox) = (Vec::new(), Outbox::default());
        Self::Wrapped(Box::new(Wrapped { stream, inbox, outbox, frames, ended: false, gone: false }))
    }

    /// Waits until there may be something to read, if that is wanted: `true`; or room to write in, if that is: `false`. Nothing
    /// is lost if it is cancelled.
    ///
    /// # Errors
    /// The socket's.
    pub(super) async fn ready(&mut self, read: bool, write: bool) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                let interest = match (read, write) {
                    (true, true) => Interest::READABLE | Interest::WRITABLE,
                    (true, false) => Interest::READABLE,
                    (false, true) => Interest::WRITABLE,
                    (false, false) => pending().await,
                };
                let ready = stream.ready(interest).await?;
                Ok(read && (ready.is_readable() || ready.is_read_closed()))
            }
            Self::Wrapped(wrapped) => poll_fn(|context| wrapped.poll_ready(context, read, write)).await,
        }
    }

    /// Reads what is there; none is the end.
    ///
    /// # Errors
    /// The socket's, and `WouldBlock` while nothing is there.
    pub(super) fn try_read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                let read = stream.try_read(piece)?;
                if read > 0 && read < piece.len() {
                    // There is no more until the next edge (epoll(7)), which spares the read that would have blocked.
                    let would_block = || Err::<(), _>(ErrorKind::WouldBlock.into());
                    let _ = stream.try_io(Interest::READABLE, would_block);
                }
                Ok(read)
            }
            Self::Wrapped(wrapped) => wrapped.try_read(piece),
        }
    }

    /// Takes what there is room for.
    ///
    /// # Errors
    /// The socket's, and `WouldBlock` while there is none.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Wrapped(wrapped) => wrapped.try_write(bytes),
        }
    }

    /// Says what is left to say, and that it was all.
    pub(super) async fn finish(&mut self) {
        if let Self::Wrapped(wrapped) = self {
            let _ = timeout(FAREWELL, wrapped.finish()).await;
        }
    }

    /// Says by TCP that it was all, and takes what still comes until the device has gone. [`Self::finish`] does it for the others.
    pub(super) async fn linger(&mut self) {
        if let Self::Tcp(stream) = self {
            let _ = timeout(FAREWELL, linger(stream)).await;
        }
    }
}

/// A socket that is closed with something unread takes back what was said last.
async fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    loop {
        stream.readable().await?;
        match stream::with_shared(|piece| stream.try_read(piece)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

impl Wrapped {
    fn poll_ready(&mut self, context: &mut Context<'_>, read: bool, write: bool) -> Poll<io::Result<bool>> {
        let flushed = self.outbox.poll_flush(&mut self.stream, context)?;
        if write && flushed.is_ready() {
            return Poll::Ready(Ok(false));
        }
        if !read || self.outbox.waiting() > CROWDED {
            return Poll::Pending;
        }
        while self.inbox.is_empty() && !self.ended {
            ready!(self.poll_fill(context))?;
        }
        Poll::Ready(Ok(true))
    }

    /// Reads once.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(frames) = &mut self.frames else {
            self.gone = ready!(stream::poll_read(&mut self.stream, context, &mut self.inbox))? == 0;
            self.ended = self.gone;
            return Poll::Ready(Ok(()));
        };
        self.gone = ready!(stream::poll_read(&mut self.stream, context, &mut frames.undecoded))? == 0;
        self.ended = self.gone || frames.decode(&mut self.inbox, &mut self.outbox);
        if self.outbox.waiting() > 0 {
            // What answers it is written by whoever waits for it next, but nobody might.
            let _ = self.outbox.poll_flush(&mut self.stream, context)?;
        }
        Poll::Ready(Ok(()))
    }

    fn try_read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if self.inbox.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = self.inbox.len().min(piece.len());
        for (place, byte) in piece.iter_mut().zip(self.inbox.drain(..len)) {
            *place = byte;
        }
        stream::relax(&mut self.inbox);
        Ok(len)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.outbox.waiting() > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.frames.is_some() {
            // The longest head has room.
            let mut head = [0; 14];
            let len = encode::data(&mut head, Kind::Binary, true, true, bytes.len() as u64, None);
            self.outbox.bytes.extend_from_slice(head.get(..len.unwrap_or(0)).unwrap_or_default());
        }
        self.outbox.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn finish(&mut self) -> io::Result<()> {
        if let Some(frames) = &mut self.frames {
            frames.close(&mut self.outbox, CloseCode::NORMAL, "");
        }
        poll_fn(|context| self.outbox.poll_flush(&mut self.stream, context)).await?;
        self.stream.shutdown().await?;
        // As in `linger`.
        let mut rest = Vec::new();
        while !self.gone && stream::read(&mut self.stream, &mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    }
}

impl Frames {
    /// Takes the frames apart; `true` after the last one.
    fn decode(&mut self, inbox: &mut Vec<u8>, outbox: &mut Outbox) -> bool {
        let mut consumed = 0;
        let mut end = None;
        while end.is_none() {
            let bytes = self.undecoded.get_mut(consumed..).unwrap_or_default();
            let (event, len) = match self.decoder.decode(bytes) {
                Ok(None) => break,
                Ok(Some(found)) => found,
                Err(error) => {
                    end = Some((error.close_code(), error.reason()));
                    break;
                }
            };
            match event {
                Event::Data { kind: Kind::Binary, bytes, .. } => inbox.extend_from_slice(bytes),
                // [MQTT-6.0.0-1]
                Event::Data { .. } => end = Some((CloseCode::UNSUPPORTED_DATA, "MQTT is in binary frames")),
                Event::Ping(payload) => {
                    let mut room = [0; MAX_UNDECODED];
                    let len = encode::pong(&mut room, payload, None).unwrap_or(0);
                    outbox.bytes.extend_from_slice(room.get(..len).unwrap_or_default());
                }
                Event::Pong(_) => {}
                Event::Close(close) => end = Some((close.map_or(CloseCode::NORMAL, |close| close.code), "")),
            }
            consumed += len;
        }
        self.undecoded.drain(..consumed);
        stream::relax(&mut self.undecoded);
        if let Some((code, reason)) = end {
            self.close(outbox, code, reason);
        }
        end.is_some()
    }

    fn close(&mut self, outbox: &mut Outbox, code: CloseCode, reason: &str) {
        if !std::mem::replace(&mut self.closed, true) {
            let mut room = [0; MAX_UNDECODED];
            let len = encode::close(&mut room, code, reason, None).unwrap_or(0);
            outbox.bytes.extend_from_slice(room.get(..len).unwrap_or_default());
        }
    }
}
