//! `natsd`: a NATS server for small machines. `lunix_core::broker` decides, this moves the bytes.
#![cfg_attr(
    not(all(feature = "jwt", feature = "leaf", feature = "monitoring")),
    allow(dead_code, reason = "only parts that are left out need it")
)]

#[cfg(not(all(feature = "leaf", feature = "monitoring")))]
mod absent;
mod admission;
mod auth;
mod clients;
mod command;
mod connection;
mod embedded;
mod files;
mod handshake;
mod identity;
mod lame_duck;
#[cfg(feature = "leaf")]
mod leaf;
mod listen;
mod log;
mod memory;
#[cfg(feature = "monitoring")]
mod monitor;
mod output;
mod reload;
mod server;
mod settings;
mod signal;
mod start;
#[cfg(feature = "monitoring")]
mod system;
mod tls;
mod transport;
mod wires;

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

use rustix::process::{Resource, Rlimit};

#[cfg(not(feature = "leaf"))]
use absent::leaf;
#[cfg(not(feature = "monitoring"))]
use absent::{monitor, system};

use crate::cli::Matches;
use crate::notify;
use crate::sys::signals::Signals;

pub use command::COMMAND;
pub use embedded::Server;
#[cfg(feature = "monitoring")]
pub use monitor::query;
use reload::Source;
pub use settings::{
    ClientTls, First, LeafUser, Leafnodes, Listen, Logging, Monitoring, Operation, Remote, RemoteUrl,
    SeedText, Settings, Socket, Tls, TlsVersion,
};
use start::Started;

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
    match serve(Source { matches: matches.clone(), settings: Rc::new(settings) }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("natsd: {line}");
            ExitCode::FAILURE
        }
    }
}

fn serve(source: Source) -> Result<(), String> {
    // A connection is a descriptor, and the usual limit of 1024 is there for programs that use select(2).
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    // Before anything that others may react to: who asks us to stop must find us listening.
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];
    let signals = Signals::new(&signals).map_err(|error| error.to_string())?;
    let started = Started::new(source, signals, None)?;
    notify::ready();
    let end = started.run();
    notify::stopping();
    end
}

/// Runs `natsd` with these arguments, as a program of its own would.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    COMMAND.parse(args).map_or_else(|code| code, |matches| run(&matches))
}
