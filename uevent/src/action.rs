//! What happened to a device.

use core::fmt;

/// What happened to a device, as the kernel names it.
///
/// ```
/// use lunix_uevent::Action;
/// assert_eq!(Action::from_bytes(b"bind"), Action::Bind);
/// assert_eq!(Action::from_bytes(b"hibernate"), Action::Unknown(b"hibernate"));
/// assert_eq!(Action::Bind.as_bytes(), b"bind");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action<'b> {
    /// The device appeared; its driver may come later.
    Add,
    /// The device is gone.
    Remove,
    /// Something about the device changed: medium, size, state, or a person asked.
    Change,
    /// The device was renamed; `DEVPATH_OLD` holds its former path.
    Move,
    /// The device (a processor, memory) is in use again.
    Online,
    /// The device is present but out of use.
    Offline,
    /// A driver took the device.
    Bind,
    /// The driver let go of the device.
    Unbind,
    /// An action that this version does not know, as it came.
    Unknown(&'b [u8]),
}

impl<'b> Action<'b> {
    /// Names `bytes`; what has no name stays [`Action::Unknown`].
    pub const fn from_bytes(bytes: &'b [u8]) -> Self {
        match bytes {
            b"add" => Self::Add,
            b"remove" => Self::Remove,
            b"change" => Self::Change,
            b"move" => Self::Move,
            b"online" => Self::Online,
            b"offline" => Self::Offline,
            b"bind" => Self::Bind,
            b"unbind" => Self::Unbind,
            _ => Self::Unknown(bytes),
        }
    }

    /// The word on the wire.
    pub const fn as_bytes(self) -> &'b [u8] {
        match self {
            Self::Add => b"add",
            Self::Remove => b"remove",
            Self::Change => b"change",
            Self::Move => b"move",
            Self::Online => b"online",
            Self::Offline => b"offline",
            Self::Bind => b"bind",
            Self::Unbind => b"unbind",
            Self::Unknown(bytes) => bytes,
        }
    }
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}
