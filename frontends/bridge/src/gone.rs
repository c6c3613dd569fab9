//! Peers whose machines are gone.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// Has the kernel find out that a peer's machine is gone, within two minutes: who says nothing, and is told nothing, would stay
/// for ever.
pub(crate) fn find_out(stream: &impl AsFd) {
    // Where the kernel will not, nothing else is to be done about it.
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, Duration::from_secs(60)))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10)))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, 3));
}
