//! Readiness and status for whoever supervises us: `sd_notify` over `$NOTIFY_SOCKET`, and s6's newline on the descriptor
//! `$NOTIFY_FD`.

use std::io::Write as _;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the supervisor `READY=1`; does nothing where nobody asked.
pub fn ready() {
    send("READY=1\n");
    let fd = std::env::var("NOTIFY_FD").ok().and_then(|fd| fd.parse::<u32>().ok());
    if let Some(fd) = fd {
        // Opened anew, as the number alone says of no descriptor that it is ours to write to. Where /proc is not mounted,
        // /dev/fd is none either.
        let pipe = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"));
        let _ = pipe.and_then(|mut pipe| pipe.write_all(b"\n"));
    }
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
