//! `natstoast-dbus`: notifications of desktops are toasts. It is the notification server of a session
//! (`org.freedesktop.Notifications`), or shows toasts by the one that is there.
//!
//! `server` and `client` decide, without sockets; `daemon` is what they hear of NATS, `session` what they hear of D-Bus.

mod client;
mod daemon;
mod markup;
mod notification;
mod server;
mod session;
mod settings;

use std::process::ExitCode;

use lunix::cli::Matches;

pub use settings::COMMAND;
use settings::Settings;

use crate::start::start;

const NAME: &str = "natstoast-dbus";

/// Runs the daemon.
pub fn run(matches: &Matches) -> ExitCode {
    start(NAME, matches, Settings::from_matches(matches), daemon::run)
}
