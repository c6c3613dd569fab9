//! What a broker allows.

use crate::time::Duration;

/// What a broker allows its clients. Every limit is finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: u32,
    /// Subscriptions of one client.
    pub subscriptions: u32,
    /// Bytes of header block and payload together.
    pub payload: usize,
    /// Bytes of a control line.
    pub control_line: usize,
    /// Bytes that wait for one client; a client with more is a slow consumer and is closed.
    pub pending: usize,
    /// Bytes that wait for all clients together; beyond them the client with most is closed.
    pub pending_all: usize,
    /// Whether clients that send to one that is behind are stalled; if not, that one does not get what they send.
    pub stall: bool,
    /// How long a client may take none of what waits for it.
    pub write_deadline: Duration,
    /// How often a client that says nothing is asked whether it is there. `None`: every two minutes over a
    /// network; never on this machine, where the kernel reports a client's death.
    pub ping_interval: Option<Duration>,
    /// Unanswered pings; at the next one the connection is stale.
    pub ping_max: u8,
    /// Whether messages may have header blocks.
    pub headers: bool,
    /// Whether the way of a message is [told](super::Traced) to whom its header block says.
    pub trace: bool,
    /// Whether a client must be [admitted](super::Input::Admitted).
    pub authenticate: bool,
    /// Leaf nodes at the same time. If it is 0 when the broker begins, it stays so: what is wanted is then not
    /// written down.
    pub leaves: u32,
    /// How long a client may take to say who it is.
    pub auth_timeout: Duration,
    /// The same of a leaf node, or of a hub to let us join.
    pub leaf_timeout: Duration,
}

impl Limits {
    /// nats-server's, but for what waits: it allows each client 64 MiB, we 64 MiB to all of them.
    pub const DEFAULT: Self = Self {
        connections: 65_536,
        subscriptions: u32::MAX,
        payload: 1 << 20,
        control_line: 4096,
        pending: 32 << 20,
        pending_all: 64 << 20,
        stall: true,
        write_deadline: Duration::from_secs(10),
        ping_interval: None,
        ping_max: 2,
        headers: true,
        trace: false,
        authenticate: false,
        leaves: 0,
        auth_timeout: Duration::from_secs(2),
        leaf_timeout: Duration::from_secs(2),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
