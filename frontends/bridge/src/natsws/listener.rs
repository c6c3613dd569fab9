//! Accepts connections, opens what is allowed, and ends when it is told to.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use lunix::log::{self, Level};
use lunix::notify;
use lunix::reactor::{App, Key, Reactor, Ready};
use lunix::sys::signals::Signals;
use lunix_core::time::Instant;
use lunix_proto::ws::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;
use tokio::time::{Duration, timeout};

use super::login::{self, Login, Own};
use super::proxy::{self, Here, Session};
use super::server::Upstream;
use super::settings::Settings;
use super::{NAME, server};
use crate::own::OwnUser;
use crate::request::{Answer, Request};
use crate::stream::{Outbox, Stream};
use crate::tls::Acceptor;
use crate::{gone, origin, upstream};

/// How long connections may take to end.
const DRAIN: Duration = Duration::from_secs(3);

/// What connections share.
struct Shared {
    settings: Settings,
    own: OwnUser,
    open: Cell<usize>,
    /// A connection has ended, and with it its descriptors.
    closed: Notify,
    stop: watch::Receiver<bool>,
}

/// Serves until SIGTERM.
///
/// # Errors
/// The address cannot be listened on, or the kernel refuses what every program gets.
pub(super) fn run(settings: Settings) -> io::Result<()> {
    // Before anything else: no signal may kill what is half set up.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, (), Ready::READ)?;
    let (ending, changed) =
        (RefCell::new(Ending { signals, acceptor: settings.acceptor.clone() }), Notify::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listen = settings.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("--listen {listen}: {error}")))?;
        let scheme = if settings.is_secure() { "wss" } else { "ws" };
        log::line(
            Level::Info,
            NAME,
            format_args!("browsers connect to {scheme}://{}", listener.local_addr()?),
        );
        let (stop, stopped) = watch::channel(false);
        let shared = Rc::new(Shared {
            settings,
            own: OwnUser::new(),
            open: Cell::new(0),
            closed: Notify::new(),
            stop: stopped,
        });
        notify::ready();
        tokio::select! {
            () = accept(&listener, &shared) => {}
            ended = upstream::run(reactor, &ending, &changed) => ended?,
        }
        notify::stopping();
        drop(listener);
        let _ = stop.send(true);
        let _ = timeout(DRAIN, async {
            while shared.open.get() > 0 {
                shared.closed.notified().await;
            }
        })
        .await;
        Ok(())
    })
}

/// Waits for a signal that ends everything.
struct Ending {
    signals: Signals,
    /// Read anew at a SIGHUP.
    acceptor: Option<Rc<Acceptor>>,
}

impl App for Ending {
    type Token = ();

    fn ready(&mut self, reactor: &mut Reactor<()>, key: Key, (): (), _: Ready) {
        while let Some(signal) = self.signals.next() {
            match &self.acceptor {
                Some(acceptor) if signal == libc::SIGHUP => acceptor.renew_and_say(NAME),
                _ if signal == libc::SIGHUP => {}
                _ => reactor.stop(),
            }
        }
        reactor.read_blocked(key);
    }

    fn deadline(&mut self, _: &mut Reactor<()>) {}

    fn flush(&mut self, _: &mut Reactor<()>) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Accepts connections for as long as it runs.
async fn accept(listener: &TcpListener, shared: &Rc<Shared>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // There are no descriptors: until some connection ends.
            shared.closed.notified().await;
            continue;
        };
        let room = shared.open.get() < shared.settings.connections;
        shared.open.set(shared.open.get() + 1);
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move {
            if room {
                serve(stream, peer, &shared).await;
            } else {
                log::line(Level::Warn, NAME, format_args!("{peer}: there are too many connections"));
            }
            shared.open.set(shared.open.get() - 1);
            shared.closed.notify_one();
        });
    }
}

/// One connection, from its request to its end.
async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    let Ok(address) = stream.local_addr() else { return };
    let is_ours = shared.own.is_at(&stream);
    let _ = stream.set_nodelay(true);
    gone::find_out(&stream);
    // In memory of its own, which those that have connected do not need.
    let opened = Box::pin(open(stream, peer, address, is_ours, shared));
    let opened = timeout(shared.settings.handshake, opened).await;
    match opened {
        Ok(Some(session)) => {
            log::line(Level::Debug, NAME, format_args!("{peer}: connected"));
            proxy::run(session, shared.stop.clone()).await;
            log::line(Level::Debug, NAME, format_args!("{peer}: gone"));
        }
        Ok(None) => {}
        Err(_) => log::line(Level::Debug, NAME, format_args!("{peer}: no request in time")),
    }
}

/// The handshake; `None` if the request got another answer.
async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    address: SocketAddr,
    is_ours: bool,
    shared: &Shared,
) -> Option<Session> {
    let Settings { servers, origins, cookies, credentials, page, .. } = &shared.settings;
    let mut stream: Stream = match &shared.settings.acceptor {
        None => Box::new(stream),
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok((stream, _)) => stream,
            Err(why) => {
                log::line(Level::Warn, NAME, format_args!("{peer}: TLS: {why}"));
                return None;
            }
        },
    };
    let request = match Request::read(&mut stream).await {
        Ok(request) => request,
        Err(answer) => {
            if let Some(answer) = answer {
                let _ = answer.send(&mut stream, false).await;
            }
            return None;
        }
    };
    let decided = async {
        if !request.is_upgrade() {
            return Err(page.answer(&request));
        }
        let accept = request.accept()?;
        let host = request.field("host").unwrap_or_default();
        let origin = request.field("origin");
        if !origin::may_connect(origins, shared.settings.is_secure(), host, origin) {
            let origin = lunix::escaped::Escaped(origin.unwrap_or_default());
            log::line(Level::Warn, NAME, format_args!("a page of {origin} was refused (see --origin)"));
            return Err(Answer::new(403, "pages of this origin may not connect"));
        }
        let upstream =
            server::connect(servers, shared.settings.connector.as_ref()).await.map_err(|error| {
                log::line(Level::Warn, NAME, &error);
                Answer::new(503, "the NATS server cannot be reached")
            })?;
        Ok((accept, upstream))
    };
    match decided.await {
        Ok((accept, upstream)) => {
            let lend = shared.settings.lend(request.field("origin"));
            let lent = lend.includes(is_ours && !request.is_forwarded()).then(|| {
                login::own(credentials, upstream.server, &upstream.nonce).unwrap_or_else(|error| {
                    log::line(Level::Warn, NAME, &error);
                    Own::default()
                })
            });
            let let_through = lent.is_some() || upstream.asks;
            let login = let_through.then(|| Login::new(&request, cookies, lent));
            if login.is_none() {
                log::line(
                    Level::Warn,
                    NAME,
                    "somebody was refused who is not lent our rights: the server asks for no credentials (see --anonymous)",
                );
            }
            let mut response = [0; 160];
            let len = handshake::response(&mut response, &accept).unwrap_or(0);
            let mut outbox = Outbox::from(response.get(..len).unwrap_or_default().to_vec());
            outbox.flush(&mut stream).await.ok()?;
            let here = Here { address, secure: shared.settings.is_secure() };
            let Upstream { stream: server, begun, .. } = upstream;
            let write_deadline = shared.settings.write_deadline;
            Some(Session { web: stream, server, begun, login, here, write_deadline })
        }
        Err(answer) => {
            let _ = answer.send(&mut stream, request.method == "HEAD").await;
            None
        }
    }
}
