//! USB sticks: files with a FAT file system in them, plugged in and out through the monitor.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::qmp::Qmp;
use crate::paths::Scratch;
use crate::shell;

/// What the stick looks like from its first sector on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The file system fills the whole stick: it appears as `sda`.
    Whole,
    /// An MBR with one partition, as sticks are sold: it appears as `sda1`.
    Partition,
}

/// A stick that lies on the table or is plugged in.
pub struct Stick {
    /// QEMU's name of it.
    pub id: String,
    /// The file system's label, as the guest must report it.
    pub label: String,
    /// The volume id in the form that everybody calls a FAT file system's UUID: `1A2B-3C4D`.
    pub uuid: String,
    image: PathBuf,
}

const SECTOR: u64 = 512;
/// Where the partition starts: 1 MiB, as every partitioning program aligns it.
const PARTITION_START: u64 = 2048;
/// 16 MiB: FAT16, the smallest that is not FAT12.
const FAT_SECTORS: u64 = 32_768;

impl Stick {
    /// Makes a stick. `number` tells sticks apart: it goes into label, volume id and serial number.
    pub fn make(dir: &Scratch, number: u16, layout: Layout) -> Result<Self> {
        let id = format!("stick{number}");
        let label = format!("LUNIX{number:03}");
        let volume = 0x4C58_0000 | u32::from(number);
        let fat = dir.path().join(format!("{id}.fat"));
        let mkfs = shell::which("mkfs.vfat").context("no mkfs.vfat")?;
        shell::quiet(
            Command::new(mkfs)
                .args(["-C", "-F", "16", "-n", &label, "-i", &format!("{volume:08X}")])
                .arg(&fat)
                .arg((FAT_SECTORS * SECTOR / 1024).to_string()),
        )?;
        let note = dir.path().join(format!("{id}.txt"));
        fs::write(&note, format!("This is {label}.\n"))?;
        shell::quiet(Command::new("mcopy").arg("-i").arg(&fat).arg(&note).arg("::README.TXT"))?;
        let image = match layout {
            Layout::Whole => fat,
            Layout::Partition => {
                let image = dir.path().join(format!("{id}.img"));
                let mut file = File::create(&image)?;
                file.write_all(&partition_table())?;
                file.seek(SeekFrom::Start(PARTITION_START * SECTOR))?;
                file.write_all(&fs::read(&fat)?)?;
                image
            }
        };
        let uuid = format!("{:04X}-{:04X}", volume >> 16, volume & 0xFFFF);
        Ok(Self { id, label, uuid, image })
    }

    /// Plugs it in; returns when QEMU has done so, before the guest has noticed.
    pub fn plug(&self, qmp: &mut Qmp) -> Result<()> {
        qmp.execute("blockdev-add", self.backend())?;
        qmp.execute("device_add", self.device())?;
        Ok(())
    }

    /// Its file, as QEMU is told of it.
    pub fn backend(&self) -> Value {
        json!({ "driver": "raw", "node-name": format!("{}-file", self.id),
                "file": { "driver": "file", "filename": self.image, "locking": "off" } })
    }

    /// The device that reads the file.
    pub fn device(&self) -> Value {
        json!({ "driver": "usb-storage", "id": self.id, "bus": "usb.0", "drive": format!("{}-file", self.id),
                "serial": self.serial(), "removable": true })
    }

    /// Pulls it out, file system mounted or not, as people do.
    pub fn unplug(&self, qmp: &mut Qmp) -> Result<()> {
        qmp.execute("device_del", json!({ "id": self.id }))?;
        qmp.wait_event("DEVICE_DELETED", Duration::from_secs(60), |data| data["device"] == *self.id)?;
        qmp.execute("blockdev-del", json!({ "node-name": format!("{}-file", self.id) }))?;
        Ok(())
    }

    /// The USB serial number that the guest reads.
    pub fn serial(&self) -> String {
        format!("LUNIX-{}", self.label)
    }
}

/// One primary partition of type 0x0E (FAT16, LBA).
fn partition_table() -> [u8; 512] {
    let mut mbr = [0; 512];
    let entry = &mut mbr[446..462];
    entry[4] = 0x0E;
    entry[8..12].copy_from_slice(&(PARTITION_START as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&(FAT_SECTORS as u32).to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    mbr
}
