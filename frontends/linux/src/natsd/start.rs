//! Starting a server: everything that can fail comes before it is ready.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use lunix_core::broker::Broker;

use super::auth::door::Door;
use super::files::Sign;
use super::handshake::Handshakes;
use super::identity::{Identity, LEVEL};
use super::leaf::Leaves;
use super::listen::{self, Listener};
use super::log::{Log, Tag};
use super::memory::Growing;
use super::monitor::Monitor;
use super::reload::{Source, busy};
use super::server::{Server, Token};
use super::settings::Socket;
use super::tls::Acceptor;
use super::wires::Wires;
use crate::reactor::Reactor;
use crate::sys::signals::Signals;

/// A server that listens, and serves as soon as it runs.
pub(super) struct Started {
    server: Server,
    reactor: Reactor<Token>,
    /// Its pid and ports files, which are gone when it is.
    signs: Vec<Sign>,
    address: SocketAddr,
}

impl Started {
    /// Opens all that the settings ask for. The server ends by `signals`, or when `stop` becomes readable.
    pub(super) fn new(source: Source, signals: Signals, stop: Option<OwnedFd>) -> Result<Self, String> {
        let settings = &source.settings;
        let log_path = settings.logging.file.as_deref();
        let log = Log::new(&settings.logging).map_err(at(log_path.unwrap_or(Path::new("stderr"))))?;
        let handshakes = Handshakes::new(&settings.tls)?;
        let mut listeners = vec![
            Listener::tcp(&settings.listen.host, settings.listen.port)
                .map_err(|error| format!("{}:{}: {error}", settings.listen.host, settings.listen.port))?,
        ];
        let address = listeners.first().and_then(Listener::address).ok_or("no address")?;
        listeners.extend(listen_locally(&settings.listen.socket, &log)?);
        let leaf_listener = match &settings.leafnodes.listen {
            None => None,
            Some((host, port)) => {
                let listener = Listener::tcp(host, *port)
                    .map_err(|error| format!("leafnodes: {host}:{port}: {error}"))?;
                let address = listener.address().ok_or("no address")?;
                listeners.push(listener);
                Some((listeners.len() - 1, address.to_string()))
            }
        };

        let random = random().map_err(|error| error.to_string())?;
        let id = server_id(&random);
        let mut identity = Identity {
            name: settings.listen.name.clone().unwrap_or_else(|| id.clone()),
            id,
            host: settings.listen.host.clone(),
            port: address.port(),
            headers: settings.limits.headers,
            max_payload: settings.limits.payload as u64,
            ldm: false,
            bound: address.port(),
        };
        identity.advertise(&settings.listen);
        log.line(Tag::Info, "Starting natsd");
        log.line(
            Tag::Info,
            format_args!("  Version:  {}, by the rules of nats-server {LEVEL}", env!("CARGO_PKG_VERSION")),
        );
        log.line(Tag::Info, format_args!("  Name:     {}", identity.name));
        log.line(Tag::Info, format_args!("  ID:       {}", identity.id));
        if let Some(path) = source.matches.path("config") {
            log.line(Tag::Info, format_args!("Using configuration file: {}", path.display()));
        }
        settings.remarks.iter().for_each(|remark| log.line(Tag::Warn, remark));
        let shown = if settings.listen.host.contains(':') {
            format!("[{}]", settings.listen.host)
        } else {
            settings.listen.host.clone()
        };
        log.line(Tag::Info, format_args!("Listening for client connections on {shown}:{}", address.port()));
        if settings.tls.tls.is_some() {
            let word = if settings.tls.allow_non_tls { "available" } else { "required" };
            log.line(Tag::Info, format_args!("TLS {word} for client connections"));
        }
        for listener in &listeners {
            if let Listener::Unix(_, path) = listener {
                log.line(Tag::Info, format_args!("Listening on UNIX socket {}", path.display()));
            }
        }
        let mut memory = Growing::default();
        let mut door =
            Door::new(Rc::clone(settings), &mut memory.users).map_err(|error| error.to_string())?;
        if let Some(complaint) = door.complaint() {
            log.line(Tag::Warn, complaint);
        }

        let mut reactor = Reactor::new().map_err(|error| error.to_string())?;
        reactor.set_busy(busy(settings));
        let (host, tls) = (&settings.listen.host, settings.tls.tls.as_ref());
        let monitor = Monitor::new(&settings.monitoring, tls, host, reactor.now())
            .map_err(|error| format!("monitoring: {error}"))?;
        let http = if settings.monitoring.secure { "https" } else { "http" };
        if let Some(address) = monitor.address() {
            log.line(Tag::Info, format_args!("Starting {http} monitor on {address}"));
        }

        let mut signs = Vec::new();
        if let Some(path) = &settings.listen.pid_file {
            signs.push(Sign::pid(path).map_err(at(path))?);
        }
        if let Some(folder) = &settings.listen.ports_file_dir {
            let scheme = if settings.tls.tls.is_some() { "tls" } else { "nats" };
            let url = |address: SocketAddr| format!("{scheme}://{address}");
            let mut services = vec![("nats", listen::reachable(address).into_iter().map(url).collect())];
            if let Some(address) = monitor.address() {
                let url = |address: SocketAddr| format!("{http}://{address}");
                services.push(("monitoring", listen::reachable(address).into_iter().map(url).collect()));
            }
            signs.push(Sign::ports(folder, &program(), &services).map_err(at(folder))?);
        }

        let seed = random.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        memory.served.id.clone_from(&identity.id);
        memory.served.claims = door.keeps_tokens();
        door.expect_leaves(&settings.leafnodes.users, &mut memory.users);
        let broker = Broker::new(memory, settings.limits, seed);
        let mut leaves = Leaves::new(Rc::clone(settings), seed.rotate_left(7));
        if let Some((index, address)) = leaf_listener {
            log.line(Tag::Info, format_args!("Listening for leafnode connections on {address}"));
            let tls = settings.leafnodes.tls.as_ref();
            let acceptor = tls.map(|tls| Acceptor::new(tls, false)).transpose()?;
            leaves.listen(index, address, acceptor);
        }
        let wires = Wires::new(identity, log, door);
        let mut server = Server::new(broker, wires, listeners, signals, source, leaves, monitor);
        server.stop = stop;
        server.handshakes = handshakes;
        server.register(&mut reactor).map_err(|error| error.to_string())?;
        server.join_hubs(&mut reactor);
        Ok(Self { server, reactor, signs, address })
    }

    /// Where it listens for clients.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped.
    pub(super) fn run(self) -> Result<(), String> {
        let Self { mut server, mut reactor, signs, .. } = self;
        server.log().line(Tag::Info, "Server is ready");
        let end = reactor.run(&mut server);
        drop(signs);
        server.log().line(Tag::Info, "Server Exiting..");
        end.map_err(|error| error.to_string())
    }
}

/// An error with the file that it is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> String + use<'_> {
    move |error| format!("{}: {error}", path.display())
}

fn listen_locally(wish: &Socket, log: &Log) -> Result<Option<Listener>, String> {
    match wish {
        Socket::None => Ok(None),
        Socket::At(path) => match Listener::unix(path) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        },
        Socket::Usual => {
            let Some(path) = Socket::usual() else { return Ok(None) };
            let listener = Listener::unix(&path).map_err(|error| {
                log.line(Tag::Warn, format_args!("Not listening on UNIX socket {}: {error}", path.display()));
            });
            Ok(listener.ok())
        }
    }
}

/// The name that this program was called by.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("natsd");
    // As an applet it is called by another program's name.
    if name == "lunix" { "natsd".to_owned() } else { name.to_owned() }
}

fn random() -> io::Result<[u8; 64]> {
    let mut bytes = [0; 64];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if read < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// 56 letters and digits as nats-server's ids have them.
fn server_id(random: &[u8; 64]) -> String {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digits = random.iter().skip(8).take(55).filter_map(|byte| BASE32.get(usize::from(byte % 32)));
    std::iter::once('N').chain(digits.map(|digit| char::from(*digit))).collect()
}
