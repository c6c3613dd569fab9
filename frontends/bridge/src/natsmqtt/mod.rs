//! `natsmqtt`: an MQTT server for devices, whose messages are NATS messages.
//!
//! `gateway` decides, without sockets and files; `daemon` is what it hears of NATS, `connection` what it hears of devices; `keeper` has
//! `store` write what is to be kept. `bridge` is a client of other brokers.

mod bridge;
mod connection;
mod daemon;
mod gateway;
mod keeper;
mod listen;
mod path;
mod rules;
mod settings;
#[cfg(feature = "store")]
mod store;
#[cfg(not(feature = "store"))]
#[path = "store/absent.rs"]
mod store;
mod transport;
mod users;

use std::process::ExitCode;

use lunix::cli::Matches;

pub use gateway::stored::{Records, Stored};
pub use settings::COMMAND;
use settings::Settings;

use crate::start::start;

const NAME: &str = "natsmqtt";

/// Runs the daemon.
pub fn run(matches: &Matches) -> ExitCode {
    start(NAME, matches, Settings::from_matches(matches), daemon::run)
}
