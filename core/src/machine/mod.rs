//! The machine as a whole: what Linux says of its processors, memory, pressure and out-of-memory kills, and how that
//! is told on the bus.
//!
//! The driver reads the files below `/proc` and the records of `/dev/kmsg`; [`proc`] and [`kmsg`] understand them, whatever
//! they hold, and [`encode`] writes the payloads of `system.*`.

pub mod encode;
pub mod kmsg;
pub mod proc;

#[cfg(test)]
mod tests;

/// Processor time since boot, in the kernel's clock ticks (`/proc/stat`). Guests count as `user` and `nice`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Programs.
    pub user: u64,
    /// Programs that gave way.
    pub nice: u64,
    /// The kernel for programs.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do while storage is waited for.
    pub iowait: u64,
    /// Interrupts.
    pub irq: u64,
    /// What interrupts left for later.
    pub softirq: u64,
    /// Taken by other guests of the same host.
    pub steal: u64,
}

/// Memory in bytes (`/proc/meminfo`); what the kernel does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: Option<u64>,
    /// Unused.
    pub free: Option<u64>,
    /// What programs could get without swapping.
    pub available: Option<u64>,
    /// Block devices' buffers.
    pub buffers: Option<u64>,
    /// Files.
    pub cached: Option<u64>,
    /// tmpfs and shared memory, which is in `cached`, too.
    pub shared: Option<u64>,
    /// The kernel's own objects.
    pub slab: Option<u64>,
    /// All swap space, of which `swap_free` is unused.
    pub swap_total: Option<u64>,
    /// Unused swap space.
    pub swap_free: Option<u64>,
}

/// `/proc/loadavg`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of the last 1, 5 and 15 minutes.
    pub averages: [Hundredths; 3],
    /// Threads that run or could.
    pub running: u32,
    /// All threads.
    pub threads: u32,
}

/// A number with two decimals, in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hundredths(pub u32);

/// One line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Per cent of the last 10, 60 and 300 seconds.
    pub averages: [Hundredths; 3],
    /// Microseconds since boot.
    pub total: u64,
}

/// How long something was waited for (`/proc/pressure/*`, or the same file of a cgroup).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// By some threads.
    pub some: Option<Stall>,
    /// By all at once.
    pub full: Option<Stall>,
}

/// What can be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Storage.
    Io,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// The name of its file below `/proc/pressure`, and the last token of `system.pressure.*`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}
