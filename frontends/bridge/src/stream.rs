//! Sockets of any kind, read through one buffer and written through one of each connection's own.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// A socket, with TLS or without.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

pub(crate) type Stream = Box<dyn Socket>;

/// How long a peer may take none of what waits for it: nats-server's `write_deadline`.
const STALL: Duration = Duration::from_secs(10);

/// The most that is read at a time.
const PIECE: usize = 64 << 10;

/// What a buffer may keep that is empty.
const KEPT: usize = 256;

thread_local! {
    /// What everything is read into, so that a connection on which nothing happens has no buffer.
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// Appends what comes next and says how many bytes that is; none is the end. Nothing is lost if it is cancelled.
///
/// # Errors
/// The socket's.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|context| poll_read(stream, context, into)).await
}

/// As [`read`], of those who wait for something else, too.
pub(crate) fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    into: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    SHARED.with_borrow_mut(|shared| {
        let mut buffer = ReadBuf::new(shared);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        into.extend_from_slice(buffer.filled());
        Ok(buffer.filled().len()).into()
    })
}

/// What everything is read into, for as long as `work` takes, which must not read itself.
pub(crate) fn with_shared<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SHARED.with_borrow_mut(|shared| work(shared))
}

/// Gives back the memory of a buffer that is empty, unless it is hardly any.
pub(crate) fn relax(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    written: usize,
}

impl From<Vec<u8>> for Outbox {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }
}

impl Outbox {
    /// Writes all. Nothing is lost or said twice if it is cancelled.
    ///
    /// # Errors
    /// The socket's, and `TimedOut` if the peer takes nothing for [`STALL`].
    pub(crate) async fn flush(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(rest) = self.rest() {
            let len = timeout(STALL, stream.write(rest)).await.map_err(|_| ErrorKind::TimedOut)??;
            if len == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.written += len;
        }
        self.clear();
        timeout(STALL, stream.flush()).await.map_err(|_| ErrorKind::TimedOut)?
    }

    /// As [`Outbox::flush`], of those who wait for something else, too, and as long as the peer likes.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.rest() {
            let len = ready!(Pin::new(&mut *stream).poll_write(context, rest))?;
            if len == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += len;
        }
        self.clear();
        Pin::new(stream).poll_flush(context)
    }

    /// How many bytes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len().saturating_sub(self.written)
    }

    fn rest(&self) -> Option<&[u8]> {
        self.bytes.get(self.written..).filter(|rest| !rest.is_empty())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        relax(&mut self.bytes);
    }
}
