//! Readiness and status for whoever supervises us: `sd_notify` over `$NOTIFY_SOCKET`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the supervisor `READY=1`; does nothing where nobody asked.
pub fn ready() {
    send("READY=1\n");
}

/// Tells the supervisor that the stop has begun.
pub fn stopping() {
    send("STOPPING=1\n");
}

fn send(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    // A supervisor that does not listen is its own problem, not the daemon's.
    let _ = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_asked() {
        // `cargo test` sets no NOTIFY_SOCKET: nothing happens, and nothing fails.
        ready();
        stopping();
    }
}
