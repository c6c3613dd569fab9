//! Filters of system calls (seccomp(2)), and the questions that one can ask its supervisor (seccomp_unotify(2)).
#![allow(unsafe_code, reason = "seccomp has no wrapper in libc")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Puts a filter into force for this process and all that come from it. Only a system call.
///
/// # Errors
/// The filter is none, or the process can gain privileges by what it executes and has none over others.
pub fn install(filter: &[libc::sock_filter]) -> Result<(), Errno> {
    call(filter, 0).map(drop)
}

/// As [`install`], for a filter that notifies. Only a system call.
///
/// # Errors
/// As there; or the kernel is older than 5.0, or the process has such a filter already.
pub fn listener(filter: &[libc::sock_filter]) -> Result<OwnedFd, Errno> {
    let fd = call(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: the kernel made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn call(filter: &[libc::sock_filter], flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: it reads the program, which lives until it returns.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result >= 0 {
        return Ok(result);
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which question this is.
    pub id: u64,
    /// The thread that asks, in our namespace.
    pub thread: u32,
    /// The number of the call.
    pub number: i32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call returns this, without having been made.
    Result(Result<i64, i32>),
    /// The kernel makes the call.
    Continue,
}

/// The next question. Call it when `listener` is readable.
///
/// # Errors
/// `ENOENT`: whoever asked is gone.
pub fn question(listener: BorrowedFd<'_>) -> io::Result<Question> {
    let mut notice = MaybeUninit::<libc::seccomp_notif>::zeroed();
    loop {
        // SAFETY: it writes one structure, which is zeroed as it demands and lives until it returns.
        let result = unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, notice.as_mut_ptr())
        };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all of it is numbers, written by the kernel or zero.
    let notice = unsafe { notice.assume_init() };
    Ok(Question { id: notice.id, thread: notice.pid, number: notice.data.nr, arguments: notice.data.args })
}

/// Whether the thread still waits: what was read of it by its number was its own.
pub fn waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: it reads one number, which lives until it returns.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) == 0 }
}

/// Answers a question.
///
/// # Errors
/// `ENOENT`: whoever asked is gone.
pub fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 };
    match answer {
        Answer::Result(Ok(value)) => response.val = value,
        Answer::Result(Err(errno)) => response.error = -errno,
        Answer::Continue => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    }
    // SAFETY: it reads and writes one structure, which lives until it returns.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw mut response) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
