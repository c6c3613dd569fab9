//! What a service is: everything that its file can say, checked and with every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lunix_core::supervise::Policy;

use super::rare::{Rare, Usual};

/// A service as its file defines it. Equal definitions mean equal services: a reload restarts only what differs.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Definition {
    /// The name of the file without `.toml`: letters, digits, `-` and `_`, at most 32.
    pub(crate) name: String,
    /// One line for people; may be empty.
    pub(crate) description: String,
    /// It starts at boot, unless something must trigger it first.
    pub(crate) enabled: bool,
    /// What is executed; for people who write `natsinit NAME=COMMAND`, too.
    pub(crate) program: Program,
    /// When it starts, what makes it ready, how it stops, when it starts again.
    pub(crate) policy: Policy,
    /// Names of other services, by how they are related to this one.
    pub(crate) relations: Rare<Relations>,
    /// How it says that it is ready.
    pub(crate) readiness: Notification,
    /// What starts it, where it does not start by itself.
    pub(crate) activation: Activation,
    /// What is executed to reload it, where that is not a signal.
    pub(crate) reload: Option<Vec<String>>,
    /// What is executed to undo a oneshot, when it stops.
    pub(crate) undo: Option<Vec<String>>,
    /// Who it runs as.
    pub(crate) identity: Rare<Identity>,
    /// Where it runs.
    pub(crate) surroundings: Rare<Surroundings>,
    /// How much it may use.
    pub(crate) limits: Rare<Limits>,
    /// What it may see and do.
    pub(crate) sandbox: Rare<Sandbox>,
    /// Where its output goes.
    pub(crate) output: Rare<Output>,
}

/// What a service's process executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A daemon in this very binary: its name, and its arguments.
    Applet(Vec<String>),
    /// A command of `lunix` in this very binary.
    Command(Vec<String>),
    /// These words, without a shell; the first is looked for along the PATH of the service's environment.
    Words(Vec<String>),
}

/// Other services, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relations {
    /// Started with it, ready before it starts; it stops before they are stopped.
    pub(crate) needs: Vec<String>,
    /// Started with it, and waited for until they are ready or have failed; one that is not there is no mistake.
    pub(crate) wants: Vec<String>,
    /// If they start anyway, they start before it.
    pub(crate) after: Vec<String>,
    /// Never run together with it: whichever starts stops the other.
    pub(crate) conflicts: Vec<String>,
}

impl Usual for Relations {
    const USUAL: &'static Self =
        &Self { needs: Vec::new(), wants: Vec::new(), after: Vec::new(), conflicts: Vec::new() };
}

/// How a service says that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// That it runs is enough.
    Start,
    /// A newline on this descriptor (s6).
    Descriptor(i32),
    /// `READY=1` on `$NOTIFY_SOCKET`.
    Socket,
    /// Any message on this subject.
    Publish(String),
    /// It listens at one of these.
    Listens(Vec<Address>),
}

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `tcp:HOST:PORT`
    Tcp(SocketAddr),
    /// `udp:HOST:PORT`
    Udp(SocketAddr),
    /// `unix:/PATH`, a stream
    Unix(PathBuf),
    /// `unixgram:/PATH`
    UnixDatagram(PathBuf),
}

/// What starts a service that does not start by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing: it starts when it is wanted.
    None,
    /// The first connection or datagram; the sockets are handed over (`LISTEN_FDS`, sd_listen_fds(3)), each with its name.
    Sockets(Vec<(String, Address)>),
    /// Time: so long after boot, then so long after the start before.
    Timer {
        /// From the moment that it is wanted to the first start.
        first: Duration,
        /// From one start to the next; `None` for once.
        every: Option<Duration>,
    },
    /// A device of this class is ready (`hardware.<class>.add`) whose message has these members; it is in `$LUNIX_DEVICE`.
    Device {
        /// The class, as in the subject.
        class: String,
        /// Members of the message and the text that they must have.
        matches: BTreeMap<String, String>,
    },
    /// A message on this subject; its payload is the process's input.
    Message(String),
}

/// Who a service runs as; `None` is whoever the supervisor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// By name or number, looked up when it starts.
    pub(crate) user: Option<String>,
    /// By name or number; the user's own group if there is none.
    pub(crate) group: Option<String>,
    /// Supplementary groups; if empty and there is a user, those of the group file.
    pub(crate) groups: Vec<String>,
    /// All that it keeps of the supervisor's capabilities, by number; `None` keeps what the user has.
    pub(crate) capabilities: Option<Vec<u8>>,
    /// It can never gain privileges by what it executes.
    pub(crate) no_new_privileges: bool,
}

impl Usual for Identity {
    const USUAL: &'static Self =
        &Self { user: None, group: None, groups: Vec::new(), capabilities: None, no_new_privileges: false };
}

/// Where a service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Variables beside those of the supervisor.
    pub(crate) environment: BTreeMap<String, String>,
    /// Its working directory; `/` if there is none.
    pub(crate) directory: Option<PathBuf>,
    /// Its umask.
    pub(crate) umask: Option<u32>,
    /// It is the leader of a session of its own on this terminal, which is its input and output.
    pub(crate) terminal: Option<PathBuf>,
}

impl Usual for Surroundings {
    const USUAL: &'static Self =
        &Self { environment: BTreeMap::new(), directory: None, umask: None, terminal: None };
}

/// How much a service may use; `None` sets no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes, of the whole group: beyond it the kernel kills (memory.max).
    pub(crate) memory: Option<u64>,
    /// Bytes, of the whole group: beyond it the kernel slows it down (memory.high).
    pub(crate) memory_high: Option<u64>,
    /// Hundredths of one processor (cpu.max).
    pub(crate) cpu_percent: Option<u32>,
    /// Processes and threads of the whole group (pids.max).
    pub(crate) pids: Option<u64>,
    /// The group's share of storage against others, 1 to 10000 (io.weight).
    pub(crate) io_weight: Option<u16>,
    /// Of each process: `setrlimit`'s resource and its limit, `None` for infinity.
    pub(crate) resources: Vec<(Resource, Option<u64>)>,
    /// -20 to 19.
    pub(crate) nice: Option<i32>,
    /// -1000 to 1000.
    pub(crate) oom_score: Option<i32>,
}

impl Usual for Limits {
    const USUAL: &'static Self = &Self {
        memory: None,
        memory_high: None,
        cpu_percent: None,
        pids: None,
        io_weight: None,
        resources: Vec::new(),
        nice: None,
        oom_score: None,
    };
}

impl Limits {
    /// The memory of its group has a limit.
    pub(crate) fn is_memory_limited(&self) -> bool {
        self.memory.is_some() || self.memory_high.is_some()
    }
}

/// What `setrlimit(2)` limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    AddressSpace,
    Core,
    CpuSeconds,
    Data,
    FileSize,
    LockedMemory,
    OpenFiles,
    Processes,
    Stack,
}

/// What a service may see and do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sandbox {
    /// `/tmp` and `/var/tmp` of its own, which end with it.
    pub(crate) private_tmp: bool,
    /// Everything is read-only but these, `/dev`, `/proc` and `/sys`; `None` leaves things as they are.
    pub(crate) read_only_except: Option<Vec<PathBuf>>,
    /// No network but a loopback of its own.
    pub(crate) private_network: bool,
    /// It is process 1 of a namespace of its own.
    pub(crate) private_pids: bool,
    /// A seccomp profile by name.
    pub(crate) seccomp: Option<String>,
    /// Landlock: what may be read and executed, and what may be written; `None` allows all.
    pub(crate) landlock: Option<Landlock>,
}

impl Usual for Sandbox {
    const USUAL: &'static Self = &Self {
        private_tmp: false,
        read_only_except: None,
        private_network: false,
        private_pids: false,
        seccomp: None,
        landlock: None,
    };
}

/// Paths that a service may use, with all that is below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Landlock {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
}

/// Where a service's output goes besides the ring in memory and the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// To where the supervisor's own goes instead: what serves the terminal.
    pub(crate) inherit: bool,
    /// Its lines are shown on the supervisor's stderr, too.
    pub(crate) show: bool,
    /// Bytes that are kept in memory, from 4 KiB to 1 MiB.
    pub(crate) ring: usize,
    /// A file that is written, too.
    pub(crate) file: Option<PathBuf>,
    /// Bytes at which the file becomes `FILE.1`.
    pub(crate) file_size: u64,
}

impl Usual for Output {
    const USUAL: &'static Self =
        &Self { inherit: false, show: false, ring: 16 << 10, file: None, file_size: 1 << 20 };
}

impl Default for Output {
    fn default() -> Self {
        Self { inherit: false, show: false, ring: 16 << 10, file: None, file_size: 1 << 20 }
    }
}
