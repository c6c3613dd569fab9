//! `natsd`: a NATS server for small machines. `lunix_core::broker` decides, this moves the bytes.

mod clients;
mod connection;
mod files;
mod identity;
mod lame_duck;
mod listen;
mod log;
mod memory;
mod reload;
mod server;
mod settings;
mod signal;
mod wires;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use lunix_core::broker::Broker;
use rustix::process::{Resource, Rlimit};

use crate::cli::{Command, Flag, Hint, Matches, Style};
use crate::notify;
use crate::reactor::Reactor;
use crate::sys::signals::Signals;

use files::Sign;
use identity::{Identity, LEVEL};
use listen::Listener;
use log::{Log, Tag};
use memory::Growing;
use reload::Source;
use server::Server;
pub use settings::{Listen, Logging, Operation, Settings, Socket};

const fn switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: None, help, hint: Hint::None }
}

const fn valued(names: &'static [&'static str], value: &'static str, help: &'static str, hint: Hint) -> Flag {
    Flag { names, value: Some(value), help, hint }
}

/// The command line of `natsd`.
pub static COMMAND: Command = Command {
    name: "natsd",
    about: "NATS server for small machines",
    arguments: &[],
    flags: &[
        &[
            valued(&["addr", "a", "net"], "HOST", "listen on this address [127.0.0.1]", Hint::None),
            valued(&["port", "p"], "PORT", "listen on this port, -1 for any that is free [4222]", Hint::None),
            valued(
                &["socket"],
                "PATH",
                "listen on this UNIX socket, or 'none' [$XDG_RUNTIME_DIR/natsd.sock; root: /run/natsd.sock]",
                Hint::File,
            ),
            valued(&["name", "n", "server_name"], "NAME", "the server's name [its id]", Hint::None),
            valued(&["config", "c"], "FILE", "configuration file", Hint::File),
            switch(&["check-config", "t"], "check the configuration and exit"),
            valued(&["pid", "P"], "FILE", "write the process id to this file", Hint::File),
            valued(&["ports_file_dir"], "DIR", "write natsd_PID.ports to this folder", Hint::Folder),
            valued(
                &["signal", "sl"],
                "SIGNAL[=PID]",
                "send stop, quit, term, reopen, reload or ldm to the natsd that runs, or to a process id or pid file",
                Hint::None,
            ),
        ],
        &[
            valued(&["log", "l"], "FILE", "log to this file instead of stderr", Hint::File),
            valued(&["logtime", "T"], "BOOL", "log lines bear the time, in UTC [true]", Hint::None),
            switch(&["debug", "D"], "log when connections come and go, and why"),
            switch(&["trace", "V"], "log what clients say"),
            switch(&["DV"], "both"),
            switch(&["VV"], "as --trace"),
            switch(&["DVV"], "as -DV"),
        ],
        &[
            valued(&["http_port", "m", "http"], "PORT", "not in this build", Hint::None),
            valued(&["https_port", "ms"], "PORT", "not in this build", Hint::None),
            valued(&["user"], "USER", "not in this build", Hint::None),
            valued(&["pass"], "PASSWORD", "not in this build", Hint::None),
            valued(&["auth"], "TOKEN", "not in this build", Hint::None),
            switch(&["tls", "tlsverify"], "not in this build"),
            valued(&["tlscert", "tlskey", "tlscacert"], "FILE", "without meaning without --tls", Hint::File),
            valued(
                &["routes", "cluster", "cluster_listen", "cluster_name"],
                "URL",
                "not in this build",
                Hint::None,
            ),
            switch(&["jetstream", "js"], "not in this build"),
            valued(&["store_dir", "sd"], "DIR", "without meaning without JetStream", Hint::Folder),
            switch(&["syslog", "s"], "not in this build; log to stderr, and let the supervisor collect it"),
        ],
        &[
            switch(&["help", "h"], "show this help and exit"),
            switch(&["version", "v"], "show the version and exit"),
        ],
    ],
    of: None,
    style: Style::Go,
    details: &[
        "Flags are those of nats-server, with one dash or two. A client on the UNIX socket is faster than one on \
         TCP. Nothing happens while nothing happens: an idle server makes no system call.",
        "The configuration file has nats-server's syntax and its keys: host, port, listen, server_name, \
         max_payload, max_control_line, max_connections, max_subscriptions, max_pending, write_deadline, \
         ping_interval, ping_max, no_header_support, pid_file, ports_file_dir, log_file, logtime, debug, trace; \
         and our own: socket, max_pending_all (what may wait for all clients together).",
        "Clients on this machine are not pinged unless ping_interval is set: the kernel reports their death.",
    ],
    examples: &[
        ("natsd", "on 127.0.0.1:4222 and the UNIX socket"),
        ("natsd -p -1 --ports_file_dir /tmp", "on any port; the file says which"),
        ("natsd -c natsd.conf -DV", "with a configuration, saying all that it does"),
        ("natsd --signal term=/run/natsd.pid", "stops the one with that pid file"),
    ],
};

/// Runs `natsd` until a signal stops it.
pub fn run(matches: &Matches) -> ExitCode {
    match matches.text("signal") {
        Ok(None) => {}
        Ok(Some(text)) => return signal::send(matches, text),
        Err(error) => return error.report(),
    }
    let settings = match Settings::new(matches) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if matches.has("check-config") {
        println!("natsd: the configuration is good");
        return ExitCode::SUCCESS;
    }
    match serve(Source { matches: matches.clone(), settings }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("natsd: {line}");
            ExitCode::FAILURE
        }
    }
}

fn serve(source: Source) -> Result<(), String> {
    let settings = &source.settings;
    // A connection is a descriptor, and the usual limit of 1024 is there for programs that use select(2).
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let log_path = settings.logging.file.as_deref();
    let log = Log::new(&settings.logging).map_err(at(log_path.unwrap_or(Path::new("stderr"))))?;
    // Before anything that others may react to: who asks us to stop must find us listening.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2])
        .map_err(|error| error.to_string())?;

    let mut listeners = vec![
        Listener::tcp(&settings.listen.host, settings.listen.port)
            .map_err(|error| format!("{}:{}: {error}", settings.listen.host, settings.listen.port))?,
    ];
    let address = listeners.first().and_then(Listener::address).ok_or("no address")?;
    listeners.extend(listen_locally(&settings.listen.socket, &log)?);

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
    for listener in &listeners {
        if let Listener::Unix(_, path) = listener {
            log.line(Tag::Info, format_args!("Listening on UNIX socket {}", path.display()));
        }
    }
    if !address.ip().is_loopback() {
        log.line(
            Tag::Warn,
            "Anyone who can reach this address may do everything: users are not in this build",
        );
    }

    let mut signs = Vec::new();
    if let Some(path) = &settings.listen.pid_file {
        signs.push(Sign::pid(path).map_err(at(path))?);
    }
    if let Some(folder) = &settings.listen.ports_file_dir {
        let url = |address: SocketAddr| format!("nats://{address}");
        let services = [("nats", listen::reachable(address).into_iter().map(url).collect())];
        signs.push(Sign::ports(folder, &program(), &services).map_err(at(folder))?);
    }

    let seed = random.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let broker = Broker::new(Growing::default(), settings.limits, seed);
    let mut server = Server::new(broker, identity, log, listeners, signals, source);
    let mut reactor = Reactor::new().map_err(|error| error.to_string())?;
    server.register(&mut reactor).map_err(|error| error.to_string())?;
    server.log().line(Tag::Info, "Server is ready");
    notify::ready();
    let end = reactor.run(&mut server);
    notify::stopping();
    drop(signs);
    server.log().line(Tag::Info, "Server Exiting..");
    end.map_err(|error| error.to_string())
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

/// Runs `natsd` with these arguments, as a program of its own would.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    COMMAND.parse(args).map_or_else(|code| code, |matches| run(&matches))
}
