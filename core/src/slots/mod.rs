//! Two systems in one flash: where everything is, which of them is started, and how one is replaced by a newer one.
//!
//! An 8 MiB NOR flash holds a boot loader, an environment, the slots A and B, and data ([`Layout`]). A slot holds an
//! [`image`]: header, kernel, root file system. The [`environment`] says which slot is good and which is on trial;
//! [`choose`](environment::Environment::choose) is what a boot loader asks before anything else. An [`upgrade`] writes the
//! slot that does not run, and puts it on trial; only a system that was seen healthy is confirmed.
//!
//! # What a power cut may do
//!
//! NOR flash clears single bits, and sets them again only by a whole erase block. A cut leaves the word that was being
//! written with any of its new zeros missing, and the block that was being erased with anything in it. After a cut at
//! any moment there is a slot whose image is whole, and [`choose`](environment::Environment::choose) names it:
//!
//! - the slot that runs is never written; the header of the other is destroyed first and written last;
//! - a record of the environment counts when its checksum is right, and the newest one before it counts until then;
//! - everything that is noted about a record later is one bit, which is cleared or is not.

pub mod command_line;
pub mod environment;
pub mod fdt;
pub mod image;
pub mod manifest;
pub mod upgrade;

mod layout;
mod text;
mod version;
pub use layout::{Area, Layout, LayoutError, Part};
pub use text::Name;
pub use version::newer;

/// One of the two systems of a flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The first, which a new device starts.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both, in the order of the flash.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As the kernel's command line (`lunix.slot=`) and people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The slot that is called so.
    ///
    /// ```
    /// use lunix_core::slots::Slot;
    /// assert_eq!(Slot::of("b"), Some(Slot::B));
    /// assert_eq!(Slot::of("c"), None);
    /// ```
    pub fn of(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.as_str() == name)
    }

    /// What there is of this slot in a pair.
    pub const fn of_pair<T: Copy>(self, pair: [T; 2]) -> T {
        let [a, b] = pair;
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

impl core::fmt::Display for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
