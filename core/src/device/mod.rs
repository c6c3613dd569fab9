//! Devices: what the kernel's events mean.
//!
//! One event passes through here in this order:
//!
//! 1. It is said as it came: [`subject::uevent`], [`json::uevent`].
//! 2. [`DeviceTable::apply`] keeps the list of present devices and answers what the event means for it: a
//!    device appeared, changed, went, or was known already.
//! 3. That is said as `hardware.<class>.<action>`: [`subject::hardware`], [`json::device`]. The class is the
//!    subsystem.
//! 4. USB devices are the exception: one stick is a dozen kernel devices, which come one by one over a second.
//!    [`usb::Tracker`] says `hardware.usb.add` once per stick, when it is ready for use.
//!
//! [`rules`] are udev's: which names, owners, links and properties a device gets. [`queue::Queue`] says which event may
//! be handled while others still are.
//!
//! [`loss::Loss`] decides when events were lost; then the table is compared with a fresh scan of /sys, and what
//! differs is said. [`volume::Probe`] reads what file system a volume holds,
//! [`partition::Probe`] what stands in tables of partitions;
//! [`input`] tells keyboards from mice.
//!
//! [`regex`] is what the lines of an `mdev.conf` compare names with.
//!
//! Nothing here opens a file or a socket: the driver scans, reads and sends.

mod class;
pub(crate) mod crc32;
pub mod encode;
pub mod hwdb;
pub mod input;
pub mod json;
pub mod loss;
pub mod partition;
pub mod queue;
pub mod regex;
pub mod rules;
pub mod subject;
pub mod table;
pub mod usb;
pub mod volume;

pub use table::DeviceTable;

/// What is said about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// It is there and ready for use.
    Add,
    /// It is gone.
    Remove,
    /// Something about it is different: its name, its medium, its nodes.
    Change,
}

impl Happening {
    /// The last token of the subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
        }
    }
}

/// Whether an event is about a device, and not about a module, a driver, a bus, or a part of a device that the
/// kernel announces but does not list (the queues of network interfaces).
///
/// ```
/// use lunix_core::device::is_device;
/// assert!(is_device(b"/devices/virtual/mem/null", b"mem"));
/// assert!(!is_device(b"/module/loop", b"module"));
/// assert!(!is_device(b"/devices/virtual/net/lo/queues/rx-0", b"queues"));
/// ```
pub fn is_device(devpath: &[u8], subsystem: &[u8]) -> bool {
    devpath.starts_with(b"/devices/") && !subsystem.is_empty() && subsystem != b"queues"
}

/// The last part of a device's path, by which the kernel names it.
///
/// ```
/// assert_eq!(lunix_core::device::name(b"/devices/pci0000:00/usb1/1-1"), b"1-1");
/// ```
pub fn name(devpath: &[u8]) -> &[u8] {
    devpath.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
