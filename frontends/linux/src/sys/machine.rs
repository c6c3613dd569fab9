//! What PID 1 sets up in the kernel by ioctl, and how the machine ends.
#![allow(unsafe_code, reason = "ioctl, kill of everybody, swapoff")]

use std::ffi::{CString, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Gives the kernel's pool bytes that nobody else knows, and credits all their bits.
///
/// # Errors
/// Not root, or the kernel refuses.
pub fn add_randomness(pool: &File, bytes: &[u8]) -> io::Result<()> {
    /// `_IOW('R', 3, int[2])`
    const RNDADDENTROPY: u32 = 0x4008_5203;
    // struct rand_pool_info: bits, bytes, and the bytes.
    let count = i32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut info = Vec::with_capacity(8 + bytes.len());
    info.extend_from_slice(&count.saturating_mul(8).to_ne_bytes());
    info.extend_from_slice(&count.to_ne_bytes());
    info.extend_from_slice(bytes);
    // SAFETY: the kernel reads the two numbers and then as many bytes as the second one says, which are there.
    check(unsafe { libc::ioctl(pool.as_raw_fd(), RNDADDENTROPY as _, info.as_ptr()) })
}

/// Sets after how many seconds without a word a hardware watchdog resets the machine; what it really takes.
///
/// # Errors
/// It is no watchdog, or its time cannot be set.
pub fn set_watchdog(watchdog: &impl AsFd, seconds: u32) -> io::Result<u32> {
    /// `_IOWR('W', 6, int)`
    const WDIOC_SETTIMEOUT: u32 = 0xC004_5706;
    let mut taken = seconds.cast_signed();
    // SAFETY: the kernel reads and writes one int.
    check(unsafe { libc::ioctl(watchdog.as_fd().as_raw_fd(), WDIOC_SETTIMEOUT as _, &raw mut taken) })?;
    Ok(taken.cast_unsigned())
}

/// Tells a hardware watchdog that we live.
///
/// # Errors
/// It is no watchdog.
pub fn feed_watchdog(watchdog: &impl AsFd) -> io::Result<()> {
    /// `_IOR('W', 5, int)`
    const WDIOC_KEEPALIVE: u32 = 0x8004_5705;
    let mut unused: c_int = 0;
    // SAFETY: the kernel writes at most one int.
    check(unsafe { libc::ioctl(watchdog.as_fd().as_raw_fd(), WDIOC_KEEPALIVE as _, &raw mut unused) })
}

/// Sends a signal to every process that we may send one to, except ourselves (and PID 1).
pub fn signal_everybody(signal: i32) {
    // SAFETY: sends a signal. There may be nobody.
    unsafe { libc::kill(-1, signal) };
}

/// Sends the first process a signal, also one of those that have no name.
///
/// # Errors
/// We may not.
pub fn signal_first(signal: i32) -> io::Result<()> {
    // SAFETY: sends a signal.
    check(unsafe { libc::kill(1, signal) })
}

/// Stops swapping to a file or device.
///
/// # Errors
/// It is no swap, or there is no memory for what is on it.
pub fn swap_off(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero byte.
    check(unsafe { libc::swapoff(path.as_ptr()) })
}

/// The number of `SIGRTMIN+n` as glibc counts, and with it systemd and those who run containers. musl, which this program
/// may be built with, counts from 35.
#[must_use]
pub const fn real_time_signal(n: i32) -> i32 {
    34 + n
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
