//! The kernel's memory technology devices (`/dev/mtdN`): flash that is erased by blocks.

#![allow(unsafe_code, reason = "MEMERASE and MEMUNLOCK, which no safe crate offers")]

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Setter, ioctl, opcode};

/// `struct erase_info_user` of <mtd/mtd-abi.h>.
#[repr(C)]
#[derive(Clone, Copy)]
struct EraseInfo {
    start: u32,
    length: u32,
}

const ERASE: rustix::ioctl::Opcode = opcode::write::<EraseInfo>(b'M', 2);
const UNLOCK: rustix::ioctl::Opcode = opcode::write::<EraseInfo>(b'M', 6);

/// Sets every bit of `length` bytes from `start` on; both are multiples of the device's erase block.
///
/// # Errors
/// `device` is none of these, may not be written, or the flash did not do it.
pub fn erase(device: &impl AsFd, start: u32, length: u32) -> io::Result<()> {
    let info = EraseInfo { start, length };
    // Chips that start locked want this first; the others do not know it, and what really fails is said by the erase.
    // SAFETY: MEMUNLOCK reads the structure that its number is made of.
    let _ = unsafe { ioctl(device, Setter::<UNLOCK, EraseInfo>::new(info)) };
    // SAFETY: MEMERASE reads the structure that its number is made of.
    unsafe { ioctl(device, Setter::<ERASE, EraseInfo>::new(info)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_flash() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(erase(&file, 0, 65536).is_err());
    }
}
