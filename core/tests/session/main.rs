//! The client session against a naive server in virtual time.

mod connect;
mod cuts;
mod publish;
mod request;
mod sim;
mod subscribe;

use lunix_core::session::Outgoing;
use sim::{Pair, config};

fn pair() -> Pair {
    Pair::new(config(1), 4096)
}

fn outgoing(subject: &str) -> Outgoing<'_> {
    Outgoing::new(subject.as_bytes(), b"question")
}
