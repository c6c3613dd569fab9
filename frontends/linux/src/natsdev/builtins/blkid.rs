//! `blkid`: what a volume holds, and what the table of its disk says of it.
//!
//! What is on a volume may be hostile, and reading it may take for ever: a child without privileges reads, and prints the
//! properties; only those are taken that have the form of such.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use lunix_core::device::encode;
use lunix_core::device::partition::{self, Disk, Entry, Wanted};
use lunix_core::device::volume::{MAX_PIECE, Probe, Volume};
use lunix_core::time::Duration;
use rustix::fs::{major, minor};

use super::{Asked, Properties, lines, put};
use crate::natsdev::device::limited;
use crate::natsdev::probe::read_at;
use crate::natsdev::rules::programs;
use crate::natsdev::sysfs::var;

/// How long a child may read.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of an attribute.
const ATTRIBUTE: u64 = 4096;

/// Runs a child. Devices without a node have nothing to read.
pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let Some(node) = asked.device.node() else { return Ok(None) };
    // Words of a command line have no escapes; no node is called so.
    if node.iter().any(|byte| matches!(byte, b'\'' | b'"' | 0..=b' ')) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let dev = asked.root.path("/dev");
    let dev = std::os::unix::ffi::OsStrExt::as_bytes(dev.as_os_str());
    let command = [b"/proc/self/exe natsdev --udev --probe-volume '", dev, b"/", node, b"'"].concat();
    let text = programs::run(&command, std::iter::empty(), TIME)?;
    let properties: Properties = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (line.get(..at)?, line.get(at + 1..)?);
            let known = key.starts_with(b"ID_FS_") || key.starts_with(b"ID_PART_");
            let plain = key.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'_'));
            (known && plain).then(|| (key.to_vec(), value.to_vec()))
        })
        .collect();
    // Nothing found is no match.
    Ok(Some(properties).filter(|properties| !properties.is_empty()))
}

/// A volume that is open for reading, and the disk of which it is a part. What is needed of the machine is asked for before
/// privileges are dropped; then only what is open is read.
#[derive(Debug)]
pub(in crate::natsdev) struct Contents {
    volume: File,
    size: u64,
    sector: u32,
    /// Where it is on its disk.
    part: Option<Part>,
}

#[derive(Debug)]
struct Part {
    disk: File,
    size: u64,
    sector: u32,
    number: (u32, u32),
    wanted: Wanted,
}

impl Contents {
    /// Of a block device or an image.
    ///
    /// # Errors
    /// Its size cannot be found out.
    pub(in crate::natsdev) fn of(volume: File, node: &Path) -> io::Result<Self> {
        let meta = volume.metadata()?;
        let size = (&volume).seek(SeekFrom::End(0))?;
        if !meta.file_type().is_block_device() {
            return Ok(Self { volume, size, sector: 512, part: None });
        }
        let number = (major(meta.rdev()), minor(meta.rdev()));
        let folder = PathBuf::from(format!("/sys/dev/block/{}:{}", number.0, number.1));
        let sector = sector(&folder).or_else(|| sector(&folder.join(".."))).unwrap_or(512);
        let part = Part::of(&folder, node, sector);
        Ok(Self { volume, size, sector, part })
    }

    /// The file system, or what else the volume is used for.
    pub(in crate::natsdev) fn volume(&self) -> Option<Volume> {
        let mut piece = [0; MAX_PIECE];
        let mut probe = Probe::of_size(self.size);
        while let Some((offset, len)) = probe.wanted() {
            probe.feed(read(&self.volume, offset, &mut piece, len));
        }
        probe.volume().copied()
    }

    /// What it holds, as lines `KEY=VALUE`.
    pub(in crate::natsdev) fn lines(&self) -> Vec<u8> {
        lines(&self.properties())
    }

    pub(super) fn properties(&self) -> Properties {
        let mut properties = Properties::new();
        if let Some(volume) = self.volume() {
            of_volume(&mut properties, &volume);
        }
        let disk = Disk { size: self.size, sector: self.sector };
        if let (Some(table), _) = table(&self.volume, disk, None) {
            put(&mut properties, "ID_PART_TABLE_TYPE", table.scheme.as_str());
            if !table.uuid.is_empty() {
                put(&mut properties, "ID_PART_TABLE_UUID", table.uuid.as_bytes());
            }
        }
        if let Some(part) = &self.part {
            let disk = Disk { size: part.size, sector: part.sector };
            if let (_, Some(entry)) = table(&part.disk, disk, Some(part.wanted)) {
                of_entry(&mut properties, &entry, part.number);
            }
        }
        properties
    }
}

fn sector(folder: &Path) -> Option<u32> {
    number(&folder.join("queue/logical_block_size"))
}

fn number<N: std::str::FromStr>(path: &Path) -> Option<N> {
    str::from_utf8(&limited(path, ATTRIBUTE).ok()?).ok()?.trim().parse().ok()
}

impl Part {
    fn of(folder: &Path, node: &Path, sector: u32) -> Option<Self> {
        number::<u32>(&folder.join("partition"))?;
        let (start, size): (u64, u64) = (number(&folder.join("start"))?, number(&folder.join("size"))?);
        let wanted = Wanted { offset: start.checked_mul(512)?, size: size.checked_mul(512)? };
        let uevent = limited(&folder.join("../uevent"), ATTRIBUTE).ok()?;
        let text = |key| str::from_utf8(var(&uevent, key)?).ok();
        let name = Path::new(text(b"DEVNAME")?).file_name()?;
        let disk = File::open(node.parent()?.join(name)).ok()?;
        let number = (text(b"MAJOR")?.parse().ok()?, text(b"MINOR")?.parse().ok()?);
        let meta = disk.metadata().ok()?;
        // Whatever has that name now is the disk, or nothing.
        if !meta.file_type().is_block_device() || (major(meta.rdev()), minor(meta.rdev())) != number {
            return None;
        }
        let size = (&disk).seek(SeekFrom::End(0)).ok()?;
        Some(Self { disk, size, sector, number, wanted })
    }
}

fn read<'p>(file: &File, offset: u64, piece: &'p mut [u8; MAX_PIECE], len: usize) -> &'p [u8] {
    let read = read_at(file, offset, piece.get_mut(..len).unwrap_or_default());
    piece.get(..read).unwrap_or_default()
}

fn table(file: &File, disk: Disk, wanted: Option<Wanted>) -> (Option<partition::Table>, Option<Entry>) {
    let mut piece = [0; MAX_PIECE];
    let mut probe = partition::Probe::new(disk, wanted);
    while let Some((offset, len)) = probe.wanted() {
        probe.feed(read(file, offset, &mut piece, len));
    }
    (probe.table().copied(), probe.entry().copied())
}

/// Safe in names, and encoded.
fn both(properties: &mut Properties, key: &str, text: &[u8]) {
    if !text.is_empty() {
        let mut safe = text.to_vec();
        let len = encode::safe_label(&mut safe);
        safe.truncate(len);
        put(properties, key, safe);
        put(properties, &format!("{key}_ENC"), encode::encoded(text).collect::<Vec<_>>());
    }
}

fn of_volume(properties: &mut Properties, volume: &Volume) {
    put(properties, "ID_FS_TYPE", volume.fstype);
    put(properties, "ID_FS_USAGE", volume.usage.as_str());
    if !volume.version.is_empty() {
        put(properties, "ID_FS_VERSION", volume.version.as_bytes());
    }
    both(properties, "ID_FS_UUID", volume.uuid.as_bytes());
    both(properties, "ID_FS_UUID_SUB", volume.uuid_sub.as_bytes());
    both(properties, "ID_FS_LABEL", volume.label.as_bytes());
}

fn of_entry(properties: &mut Properties, entry: &Entry, disk: (u32, u32)) {
    let mut put = |key: &str, value: &[u8]| {
        if !value.is_empty() {
            put(properties, &format!("ID_PART_ENTRY_{key}"), value);
        }
    };
    let encoded = |text: &[u8]| encode::encoded(text).collect::<Vec<_>>();
    put("SCHEME", entry.scheme.as_str().as_bytes());
    put("NAME", &encoded(entry.name.as_bytes()));
    put("UUID", entry.uuid.as_bytes());
    put("TYPE", &encoded(entry.kind.as_bytes()));
    if entry.flags != 0 {
        put("FLAGS", format!("{:#x}", entry.flags).as_bytes());
    }
    put("NUMBER", entry.number.to_string().as_bytes());
    put("OFFSET", entry.offset.to_string().as_bytes());
    put("SIZE", entry.size.to_string().as_bytes());
    put("DISK", format!("{}:{}", disk.0, disk.1).as_bytes());
}
