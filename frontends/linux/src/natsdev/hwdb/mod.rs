//! The table of what is known of hardware: made of udev's texts, mapped and asked.

mod build;
pub(super) mod command;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use lunix_core::device::hwdb::{Hwdb, HwdbError};

use super::device::Root;
use crate::sys::mapping::Mapping;

pub use build::{Built, FileMistake, build};
pub(super) use command::run;

/// Where the table is: made on this machine, or shipped. The first one counts.
pub(super) const TABLES: [&str; 2] = ["/etc/udev/hwdb.lunix", "/usr/lib/udev/hwdb.lunix"];
/// Bytes of a table.
const TABLE: u64 = 256 << 20;

/// A table in memory.
#[derive(Debug)]
pub(super) struct Mapped {
    mapping: Mapping,
    path: PathBuf,
}

impl Mapped {
    /// The table of this machine; `None` if there is none.
    ///
    /// # Errors
    /// There is one that cannot be read.
    pub(super) fn open(root: &Root) -> io::Result<Option<Self>> {
        for path in TABLES {
            let path = root.path(path);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            return Ok(Some(Self { mapping: Mapping::of(&file, TABLE)?, path }));
        }
        Ok(None)
    }

    /// # Errors
    /// The file is no table.
    pub(super) fn hwdb(&self) -> io::Result<Hwdb<'_>> {
        Hwdb::open(self.mapping.bytes()).map_err(|error| {
            let why = match error {
                HwdbError::Foreign => "no table of this version",
                HwdbError::Damaged => "a damaged table",
            };
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", self.path.display()))
        })
    }
}

#[cfg(test)]
mod tests;
