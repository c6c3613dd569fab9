//! Connects to the server.

use std::io;

use lunix::bus::{Place, Server};
use lunix::escaped::Escaped;
use lunix_proto::nats::{Info, Limits, ServerDecoder, ServerOp};
use tokio::net::{TcpStream, UnixStream};

use crate::gone;
use crate::stream::{self, Stream};
use crate::tls::Connector;

/// The longest `INFO`: nats-server's own bound of what clients accept.
const INFO: Limits = Limits { control_line: 1 << 20, payload: 0 };

/// A connection to a server.
pub(super) struct Upstream<'s> {
    pub(super) stream: Stream,
    /// What it has said up to now, from its `INFO` on.
    pub(super) begun: Vec<u8>,
    /// It wants credentials.
    pub(super) asks: bool,
    /// What it wants signed, empty if nothing.
    pub(super) nonce: String,
    /// Which it is.
    pub(super) server: &'s Server,
}

/// Connects to the first of `servers` that can be reached, and hears its `INFO`.
///
/// # Errors
/// Why the last one cannot.
pub(super) async fn connect<'s>(servers: &'s [Server], tls: Option<&Connector>) -> io::Result<Upstream<'s>> {
    let mut error = io::Error::from(io::ErrorKind::NotConnected);
    for server in servers {
        match reach(server, tls).await {
            Ok(upstream) => return Ok(upstream),
            Err(why) => error = io::Error::new(why.kind(), format!("{server}: {why}")),
        }
    }
    Err(error)
}

async fn reach<'s>(server: &'s Server, tls: Option<&Connector>) -> io::Result<Upstream<'s>> {
    let mut stream: Stream = match server.place() {
        Place::Address(address, port) => tcp((*address, *port)).await?,
        Place::Name(name, port) => tcp((name.as_str(), *port)).await?,
        Place::Path(path) => Box::new(UnixStream::connect(unix_path(path)).await?),
    };
    let mut decoder = ServerDecoder::new(INFO);
    let mut begun = Vec::new();
    loop {
        if stream::read(&mut stream, &mut begun).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match decoder.decode(&begun) {
            Ok(None) => {}
            Ok(Some((ServerOp::Info(json), len))) => {
                let info = Info::parse(json).map_err(io::Error::other)?;
                if server.is_encrypted() || info.tls_required {
                    if !(info.tls_required || info.tls_available) {
                        return Err(io::Error::other("the server does not speak TLS"));
                    }
                    if len < begun.len() {
                        return Err(io::Error::other("the server says more than INFO before TLS"));
                    }
                    let tls = tls.ok_or_else(|| io::Error::other("the server wants TLS: tls://"))?;
                    stream = tls.connect(server.certified(), stream).await?;
                }
                let (asks, nonce) = (info.auth_required, info.nonce.to_string());
                return Ok(Upstream { stream, begun, asks, nonce, server });
            }
            Ok(Some((ServerOp::Err(text), _))) => {
                return Err(io::Error::other(format!("{}", Escaped(&String::from_utf8_lossy(text)))));
            }
            Ok(Some(_)) | Err(_) => return Err(io::Error::other("not a NATS server")),
        }
    }
}

async fn tcp(address: impl tokio::net::ToSocketAddrs) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    gone::find_out(&stream);
    Ok(Box::new(stream))
}

/// A path that begins with `@` is in the abstract name space, which tokio knows by a zero byte.
fn unix_path(path: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if let Some(first) = bytes.first_mut().filter(|first| **first == b'@') {
        *first = 0;
    }
    std::ffi::OsString::from_vec(bytes).into()
}
