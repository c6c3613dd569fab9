//! `natsws`: NATS for browsers. Each WebSocket is a connection to the server of its own, so that identity, permissions
//! and limits are the server's.
//!
//! | file | what it does |
//! |---|---|
//! | `settings` | what it is told |
//! | `listener` | accepts connections, and ends |
//! | `page` | the page, or a folder of them |
//! | `login` | who a browser is to the server: cookies, and to whom natsws lends its own rights |
//! | `server` | connects to the server |
//! | `proxy` | WebSocket here, TCP there |
//! | `members` | JSON objects with some members replaced |

mod listener;
mod login;
mod members;
mod page;
mod proxy;
mod server;
mod settings;

use std::process::ExitCode;

use lunix::cli::Matches;

pub use settings::COMMAND;
use settings::Settings;

use crate::start::start;

const NAME: &str = "natsws";

/// Runs the daemon.
pub fn run(matches: &Matches) -> ExitCode {
    start(NAME, matches, Settings::from_matches(matches), listener::run)
}
