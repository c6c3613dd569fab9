//! What input devices are told: which key a scan code is, and how far an axis goes.

#![allow(unsafe_code, reason = "ioctl")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::ioctl::opcode;

/// An axis (`struct input_absinfo`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Where it is now.
    pub value: i32,
    /// The least that it says.
    pub minimum: i32,
    /// The most that it says.
    pub maximum: i32,
    /// Changes that are noise.
    pub fuzz: i32,
    /// What counts as the middle.
    pub flat: i32,
    /// Units a millimetre, or a radian; 0 if that is not known.
    pub resolution: i32,
}

/// What a scan code is to be.
///
/// # Errors
/// The device has no such key, or is none.
pub fn set_key(device: &File, scan: u32, key: u32) -> io::Result<()> {
    let codes = [scan, key];
    // SAFETY: EVIOCSKEYCODE reads two numbers of 32 bits, which live until it returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), opcode::write::<[u32; 2]>(b'E', 4) as _, &codes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How far an axis goes.
///
/// # Errors
/// The device has no such axis, or is none.
pub fn axis(device: &File, code: u8) -> io::Result<Axis> {
    let mut axis = Axis::default();
    let request = opcode::read::<Axis>(b'E', 0x40 + (code & 0x3f));
    // SAFETY: EVIOCGABS writes one `input_absinfo`, which `Axis` has the form of and which lives until it returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request as _, &mut axis) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(axis) }
}

/// Says how far an axis goes.
///
/// # Errors
/// The device has no such axis, or is none.
pub fn set_axis(device: &File, code: u8, axis: &Axis) -> io::Result<()> {
    let request = opcode::write::<Axis>(b'E', 0xc0 + (code & 0x3f));
    // SAFETY: EVIOCSABS reads one `input_absinfo`, which `Axis` has the form of and which lives until it returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request as _, axis) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_these_requests() {
        // `linux/input.h`, as the compiler of C has them.
        assert_eq!(opcode::write::<[u32; 2]>(b'E', 4), 0x4008_4504);
        assert_eq!(opcode::read::<Axis>(b'E', 0x40), 0x8018_4540);
        assert_eq!(opcode::write::<Axis>(b'E', 0xc1), 0x4018_45c1);
        let file = File::open("/dev/null").unwrap();
        assert!(set_key(&file, 1, 1).is_err() && axis(&file, 0).is_err());
    }
}
