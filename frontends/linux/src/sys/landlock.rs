//! Landlock (landlock(7)): which files a process may use. Only system calls: the process may share our memory.
#![allow(unsafe_code, reason = "landlock has no wrapper in libc")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// `LANDLOCK_ACCESS_FS_*` of `linux/landlock.h`.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// Looking at files and folders, and executing.
pub const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
/// Every kind of access to files that the first version knows.
const FIRST: u64 = (1 << 13) - 1;
/// What a file can be asked for that is no folder.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// Every kind of access that this kernel can forbid; `None` if it has no landlock, or it is switched off.
pub fn every() -> Option<u64> {
    // LANDLOCK_CREATE_RULESET_VERSION
    // SAFETY: it reads nothing when it is asked for its version.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) };
    match version {
        ..=0 => None,
        1 => Some(FIRST),
        2 => Some(FIRST | 1 << 13),
        3 | 4 => Some(FIRST | 1 << 13 | TRUNCATE),
        5.. => Some(FIRST | 1 << 13 | TRUNCATE | IOCTL_DEV),
    }
}

/// Rules that forbid `handled` wherever nothing allows it.
///
/// # Errors
/// The kernel does not know one of them.
pub fn ruleset(handled: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: it reads the first field of a structure that has grown since, which lives until it returns.
    let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, 8_usize, 0_u32) };
    answer(fd)?;
    // SAFETY: the kernel made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    access: u64,
    parent: i32,
}

/// Allows `access` to `path` and what is below it, as far as it is of its kind.
///
/// # Errors
/// There is no such path.
pub fn allow(ruleset: BorrowedFd<'_>, path: &CStr, access: u64) -> Result<(), Errno> {
    let fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let folder = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Directory;
    let access = if folder { access } else { access & OF_FILES };
    let rule = Beneath { access, parent: fd.as_raw_fd() };
    // SAFETY: it reads a rule of the kind 1, LANDLOCK_RULE_PATH_BENEATH, which lives until it returns.
    answer(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), 1_u32, &raw const rule, 0_u32)
    })
}

/// Puts the rules into force, for good.
///
/// # Errors
/// The process can gain privileges by what it executes, and has none over others.
pub fn enforce(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: numbers.
    answer(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) })
}

fn answer(result: libc::c_long) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
