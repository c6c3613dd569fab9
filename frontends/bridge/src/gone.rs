//! Peers whose machines are gone.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// How long a machine may take to answer. Where nobody knows its hardware address any more the kernel looks at that later, half a
/// minute at most: it sends again less often then (RFC 6069).
const PATIENCE: Duration = Duration::from_secs(90);

/// Has the kernel end a connection whose peer's machine has not answered for [`PATIENCE`], or has taken nothing for as long: who
/// says nothing and is told nothing would stay for ever, and who is told something for a quarter of an hour.
pub(crate) fn find_out(stream: &impl AsFd) {
    // Where the kernel will not, nothing else is to be done about it. The time-out counts in place of a number of probes (tcp(7)).
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, Duration::from_secs(60)))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10)))
        .and_then(|()| sockopt::set_tcp_user_timeout(stream, PATIENCE.as_millis() as u32));
}
