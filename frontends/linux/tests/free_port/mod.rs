//! A port for a server that is yet to be started.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::{TcpListener, TcpStream};

/// A port of 127.0.0.1 that no other test is given. A connection that ended on it rests there for a minute (TIME_WAIT), for
/// which the kernel chooses it for nobody; a server that asks for it by number, with SO_REUSEADDR, gets it.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = TcpStream::connect(address).unwrap();
    let (ours, _) = listener.accept().unwrap();
    // Whoever closes first is the one that rests.
    drop(ours);
    drop(theirs);
    address.port()
}
