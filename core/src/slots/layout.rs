//! Where the parts of a flash are.

use core::fmt;

use super::Slot;

/// A part of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What the processor starts with. Never written by an upgrade.
    Loader,
    /// Which slot is started: two copies, each in erase blocks of its own.
    Environment,
    /// A system.
    Slot(Slot),
    /// What the device keeps, whichever system runs (jffs2).
    Data,
}

impl Part {
    /// All, in the order of the flash.
    pub const ALL: [Self; 5] =
        [Self::Loader, Self::Environment, Self::Slot(Slot::A), Self::Slot(Slot::B), Self::Data];

    /// The name of its MTD partition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loader => "loader",
            Self::Environment => "environment",
            Self::Slot(Slot::A) => "slot-a",
            Self::Slot(Slot::B) => "slot-b",
            Self::Data => "data",
        }
    }
}

/// A piece of the flash, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area {
    /// From the beginning of the flash.
    pub offset: u32,
    /// How many.
    pub len: u32,
}

impl Area {
    /// The first byte after it.
    pub const fn end(self) -> u32 {
        self.offset.saturating_add(self.len)
    }
}

/// Where everything is. Part follows part without a gap, from the beginning of the flash on.
///
/// A slot has to hold kernel and root file system, and jffs2 needs five erase blocks of data, so flash with large blocks
/// and flash with small ones have a layout each:
///
/// | part | [`BLOCKS_64K`](Self::BLOCKS_64K) | [`BLOCKS_256K`](Self::BLOCKS_256K) |
/// |---|---|---|
/// | loader | 128 KiB | 256 KiB |
/// | environment | 2 × 64 KiB | 2 × 256 KiB |
/// | slot-a, slot-b | 3776 KiB each | 3072 KiB each |
/// | data | 384 KiB (6 blocks) | 1280 KiB (5 blocks) |
///
/// ```
/// use lunix_core::slots::{Layout, Part, Slot};
/// let layout = Layout::BLOCKS_256K;
/// assert_eq!(layout.area(Part::Slot(Slot::B)).offset, (256 + 512 + 3072) * 1024);
/// assert_eq!(layout.len(), 8 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes that are erased together; a power of two.
    pub block: u32,
    /// Bytes of [`Part::Loader`].
    pub loader: u32,
    /// Bytes of [`Part::Environment`], both copies.
    pub environment: u32,
    /// Bytes of each slot.
    pub slot: u32,
    /// Bytes of [`Part::Data`].
    pub data: u32,
}

const KIB: u32 = 1024;

impl Layout {
    /// 8 MiB with erase blocks of 64 KiB: most SPI NOR, and `block2mtd` on a PC.
    pub const BLOCKS_64K: Self = Self {
        block: 64 * KIB,
        loader: 128 * KIB,
        environment: 128 * KIB,
        slot: 3776 * KIB,
        data: 384 * KIB,
    };

    /// 8 MiB with erase blocks of 256 KiB: the CFI flash of QEMU's ARM `virt`.
    pub const BLOCKS_256K: Self = Self {
        block: 256 * KIB,
        loader: 256 * KIB,
        environment: 512 * KIB,
        slot: 3072 * KIB,
        data: 1280 * KIB,
    };

    /// The layout of a board that is known by its name.
    pub fn of_board(board: &str) -> Option<Self> {
        match board {
            "x86_64" => Some(Self::BLOCKS_64K),
            "arm-virt" => Some(Self::BLOCKS_256K),
            _ => None,
        }
    }

    /// The same for a flash twice as large: what it has more is the slots'.
    ///
    /// ```
    /// use lunix_core::slots::Layout;
    /// let layout = Layout::BLOCKS_64K.doubled();
    /// assert_eq!((layout.len(), layout.slot), (16 << 20, (3776 + 4096) * 1024));
    /// ```
    #[must_use]
    pub const fn doubled(self) -> Self {
        Self { slot: self.slot.saturating_add(self.len() / 2), ..self }
    }

    /// Where a part is.
    pub const fn area(&self, part: Part) -> Area {
        let environment = self.loader;
        let a = environment.saturating_add(self.environment);
        let b = a.saturating_add(self.slot);
        let data = b.saturating_add(self.slot);
        match part {
            Part::Loader => Area { offset: 0, len: self.loader },
            Part::Environment => Area { offset: environment, len: self.environment },
            Part::Slot(Slot::A) => Area { offset: a, len: self.slot },
            Part::Slot(Slot::B) => Area { offset: b, len: self.slot },
            Part::Data => Area { offset: data, len: self.data },
        }
    }

    /// Bytes of the whole flash.
    #[expect(clippy::len_without_is_empty, reason = "no flash is empty")]
    pub const fn len(&self) -> u32 {
        self.area(Part::Data).end()
    }

    /// Whether this can be a layout. Those of this module are.
    ///
    /// # Errors
    /// The part that is at fault.
    pub fn check(&self) -> Result<(), LayoutError> {
        if !self.block.is_power_of_two() || self.block < super::environment::COPY {
            return Err(LayoutError::Block);
        }
        let mut end = 0_u32;
        for part in Part::ALL {
            let len = self.area(part).len;
            let least = match part {
                Part::Loader => 0,
                Part::Environment => 2,
                Part::Slot(_) => 1,
                Part::Data => 0,
            };
            if !len.is_multiple_of(self.block) || len / self.block < least {
                return Err(LayoutError::Part(part));
            }
            end = end.checked_add(len).ok_or(LayoutError::Part(part))?;
        }
        if !(self.environment / self.block).is_multiple_of(2) {
            return Err(LayoutError::Part(Part::Environment));
        }
        Ok(())
    }
}

/// What cannot be a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The erase block is no power of two, or too small for a copy of the environment.
    Block,
    /// It is no multiple of the erase block, has too few of them, or does not fit into 4 GiB with the others.
    Part(Part),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("the erase block is no power of two of at least 4096 bytes"),
            Self::Part(part) => write!(f, "{} does not fit the erase blocks", part.as_str()),
        }
    }
}

impl core::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_8_mib_and_room_for_jffs2() {
        for layout in [Layout::BLOCKS_64K, Layout::BLOCKS_256K] {
            assert_eq!(layout.check(), Ok(()));
            assert_eq!(layout.len(), 8 << 20);
            assert_eq!(layout.doubled().check(), Ok(()));
            assert_eq!(layout.doubled().len(), 16 << 20);
            assert!(layout.data / layout.block >= 5);
            assert!(layout.slot <= 4_000_000);
        }
    }

    #[test]
    fn a_part_between_blocks_is_named() {
        let layout = Layout { slot: 3000 * KIB, ..Layout::BLOCKS_64K };
        assert_eq!(layout.check(), Err(LayoutError::Part(Part::Slot(Slot::A))));
        let layout = Layout { environment: 64 * KIB, ..Layout::BLOCKS_64K };
        assert_eq!(layout.check(), Err(LayoutError::Part(Part::Environment)));
        assert_eq!(Layout { block: 0, ..Layout::BLOCKS_64K }.check(), Err(LayoutError::Block));
        let layout = Layout { slot: 1 << 31, ..Layout::BLOCKS_64K };
        assert_eq!(layout.check(), Err(LayoutError::Part(Part::Slot(Slot::B))));
    }
}
