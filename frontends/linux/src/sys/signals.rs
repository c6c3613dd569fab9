//! Signals as a descriptor (signalfd), which rustix does not offer.
#![allow(unsafe_code, reason = "signal masks and signalfd")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A set of signals that are blocked for the whole process and read from a descriptor instead.
///
/// `std::process::Command` gives children an empty mask again.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` (numbers as in `libc::SIGTERM`) and opens their descriptor, non-blocking.
    /// Call it before the first thread is started: a thread inherits the mask of its creator.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set; all pointers are to it and live through the calls.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The next signal that has arrived, or `None` when there is none now.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes to `info`, and a whole record or nothing.
        unsafe {
            let read = libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read.cast_unsigned() == size).then(|| info.assume_init().ssi_signo.cast_signed())
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_the_descriptor() {
        let signals = Signals::new(&[libc::SIGURG]).unwrap();
        // SAFETY: raises a signal that is blocked for this thread.
        unsafe { libc::raise(libc::SIGURG) };
        assert_eq!(signals.next(), Some(libc::SIGURG));
        assert_eq!(signals.next(), None);
    }
}
