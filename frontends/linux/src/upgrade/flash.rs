//! The flash: MTD devices of the machine, or a file that has what a flash would have.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use lunix_core::slots::environment::{COPY, Environment};
use lunix_core::slots::image::{HEADER_LEN, Header};
use lunix_core::slots::{Layout, Part, Slot};

use crate::sys::mtd;

/// Where the kernel names its devices.
const TABLE: &str = "/proc/mtd";

/// A flash that can be written.
#[derive(Debug)]
pub(super) struct Flash {
    /// Where everything is.
    pub(super) layout: Layout,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// In the order of [`PARTS`].
    Devices([Device; 3]),
    Image(File),
}

#[derive(Debug)]
struct Device {
    path: PathBuf,
    file: File,
}

/// What an upgrade reads or writes.
const PARTS: [Part; 3] = [Part::Environment, Part::Slot(Slot::A), Part::Slot(Slot::B)];

impl Flash {
    /// The machine's own.
    ///
    /// # Errors
    /// What is missing, in one line.
    pub(super) fn of_machine(write: bool) -> Result<Self, String> {
        let table = std::fs::read_to_string(TABLE).map_err(|error| {
            format!("{TABLE}: {error}; is this lunix on flash? (--flash FILE works on a file)")
        })?;
        let mut parts = Vec::new();
        for part in PARTS {
            let (number, len, block) = entry(&table, part.as_str()).ok_or_else(|| {
                format!("{TABLE}: expected an MTD partition '{}', found none", part.as_str())
            })?;
            let path = PathBuf::from(format!("/dev/mtd{number}"));
            let file = open(&path, write).map_err(|error| format!("{}: {error}", path.display()))?;
            parts.push((Device { path, file }, len, block));
        }
        let [environment, a, b]: [(Device, u32, u32); 3] =
            parts.try_into().map_err(|_| format!("{TABLE}: not all parts"))?;
        let layout =
            Layout { block: a.2, loader: 0, environment: environment.1, slot: a.1.min(b.1), data: 0 };
        layout.check().map_err(|error| format!("{TABLE}: {error}"))?;
        Ok(Self { layout, kind: Kind::Devices([environment.0, a.0, b.0]) })
    }

    /// A file.
    ///
    /// # Errors
    /// It cannot be opened, or is too short.
    pub(super) fn of_file(path: &Path, layout: Layout, write: bool) -> Result<Self, String> {
        let said = |error: io::Error| format!("{}: {error}", path.display());
        let file = open(path, write).map_err(said)?;
        let len = file.metadata().map_err(said)?.len();
        if len < u64::from(layout.len()) {
            return Err(format!(
                "{}: expected a flash of {} bytes, found {len}",
                path.display(),
                layout.len()
            ));
        }
        Ok(Self { layout, kind: Kind::Image(file) })
    }

    /// Reads from a part; its end counts as erased.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn read(&self, part: Part, at: u32, out: &mut [u8]) -> io::Result<()> {
        let (file, base) = self.place(part)?;
        file.read_exact_at(out, base + u64::from(at))
    }

    /// Clears bits.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn write(&self, part: Part, at: u32, bytes: &[u8]) -> io::Result<()> {
        let (file, base) = self.place(part)?;
        let at = base + u64::from(at);
        match self.kind {
            Kind::Devices(_) => file.write_all_at(bytes, at),
            Kind::Image(_) => {
                let mut old = vec![0; bytes.len()];
                file.read_exact_at(&mut old, at)?;
                for (old, new) in old.iter_mut().zip(bytes) {
                    *old &= new;
                }
                file.write_all_at(&old, at)
            }
        }
    }

    /// Sets all bits of a block.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn erase(&self, part: Part, at: u32, len: u32) -> io::Result<()> {
        let (file, base) = self.place(part)?;
        match self.kind {
            Kind::Devices(_) => mtd::erase(file, at, len),
            Kind::Image(_) => {
                let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
                file.write_all_at(&vec![0xFF; len], base + u64::from(at))
            }
        }
    }

    /// Waits until everything that was written is in the flash.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match &mut self.kind {
            // MTD devices have no fsync; what they keep back (block2mtd does) is written when they are closed.
            Kind::Devices(devices) => {
                for device in devices {
                    device.file = open(&device.path, true)?;
                }
                Ok(())
            }
            Kind::Image(file) => file.sync_data(),
        }
    }

    /// What the environment says.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn environment(&self) -> io::Result<Environment> {
        let (mut a, mut b) = ([0; COPY as usize], [0; COPY as usize]);
        self.read(Part::Environment, 0, &mut a)?;
        self.read(Part::Environment, self.layout.environment / 2, &mut b)?;
        Ok(Environment::decode(&a, &b))
    }

    /// The header of a slot, if there is one.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn header(&self, slot: Slot) -> io::Result<Option<Header>> {
        let mut bytes = [0; HEADER_LEN];
        self.read(Part::Slot(slot), 0, &mut bytes)?;
        Ok(Header::decode(&bytes).ok().filter(|header| header.len <= self.layout.slot))
    }

    fn place(&self, part: Part) -> io::Result<(&File, u64)> {
        match &self.kind {
            Kind::Image(file) => Ok((file, u64::from(self.layout.area(part).offset))),
            Kind::Devices(devices) => PARTS
                .iter()
                .zip(devices)
                .find(|(name, _)| **name == part)
                .map(|(_, device)| (&device.file, 0))
                .ok_or_else(|| io::ErrorKind::InvalidInput.into()),
        }
    }
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).open(path)
}

/// The number, the bytes and the bytes of an erase block of the device called `name`: `mtd3: 00300000 00040000 "slot-a"`.
fn entry(table: &str, name: &str) -> Option<(u32, u32, u32)> {
    table.lines().find_map(|line| {
        let (device, rest) = line.strip_prefix("mtd")?.split_once(": ")?;
        let (numbers, quoted) = rest.split_once(" \"")?;
        let (len, block) = numbers.split_once(' ')?;
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        (quoted.strip_suffix('"')? == name).then_some((device.parse().ok()?, hex(len)?, hex(block)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table() {
        let table = "dev:    size   erasesize  name\nmtd0: 00003000 00040000 \"root\"\n\
                     mtd1: 00080000 00040000 \"environment\"\nmtd12: 00300000 00040000 \"slot-a\"\n";
        assert_eq!(entry(table, "environment"), Some((1, 0x8_0000, 0x4_0000)));
        assert_eq!(entry(table, "slot-a"), Some((12, 0x30_0000, 0x4_0000)));
        assert_eq!(entry(table, "slot"), None);
        assert_eq!(entry(table, "name"), None);
    }
}
