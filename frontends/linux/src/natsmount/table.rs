//! What is mounted here, as the kernel tells it in /proc/self/mountinfo, which also wakes us when that changes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of the longest table that is read.
const LONGEST: u64 = 16 << 20;

/// The table, and the file that it is read from.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    mounts: Vec<Mount>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The device, unless the file system makes up a number of its own.
    pub(super) device: (u32, u32),
    /// Where it is.
    pub(super) target: Vec<u8>,
    /// What was mounted: mostly the node.
    pub(super) source: Vec<u8>,
}

impl Table {
    /// As it is now.
    ///
    /// # Errors
    /// There is no /proc.
    pub(super) fn open() -> io::Result<Self> {
        let mut table = Self { file: File::open("/proc/self/mountinfo")?, mounts: Vec::new() };
        table.refresh()?;
        Ok(table)
    }

    /// Reads it again.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        self.file.rewind()?;
        (&self.file).take(LONGEST).read_to_end(&mut text)?;
        self.mounts = text.split(|byte| *byte == b'\n').filter_map(parse).collect();
        Ok(())
    }

    /// Where the volume is mounted, the last place first.
    pub(super) fn of<'t>(&'t self, device: (u32, u32), devnode: &[u8]) -> impl Iterator<Item = &'t Mount> {
        let devnode = devnode.to_vec();
        self.mounts.iter().rev().filter(move |mount| mount.device == device || mount.source == devnode)
    }

    /// What is mounted at `target`.
    pub(super) fn at(&self, target: &[u8]) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.target == target)
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS … - TYPE SOURCE OPTIONS`, proc(5).
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let target = unescaped(fields.nth(1)?);
    let source = unescaped(fields.skip_while(|field| *field != b"-").nth(2)?);
    Some(Mount { device, target, source })
}

/// `\040` is a space.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| *byte == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        if let Some(digits) = octal {
            out.push(
                digits.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
            );
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_writes_them() {
        let line =
            b"36 35 98:0 /mnt1 /mnt\\0402\\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount { device: (98, 0), target: b"/mnt 2\\".to_vec(), source: b"/dev/root".to_vec() };
        assert_eq!(parse(line), Some(mount));
        for wrong in [&b""[..], b"36 35", b"36 35 x:0 / /mnt rw - a b", b"36 35 8:0 / /mnt rw"] {
            assert_eq!(parse(wrong), None);
        }
        assert_eq!(unescaped(b"\\04"), b"\\04");
    }

    #[test]
    fn this_machine_has_a_root() {
        let table = Table::open().unwrap();
        assert!(table.at(b"/").is_some());
        assert!(table.at(b"/no/such/folder").is_none());
    }
}
