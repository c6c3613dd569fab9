//! A child process that dies with its parent.
#![allow(unsafe_code, reason = "the steps between fork and exec")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};

/// A process and the descriptor that becomes readable when it ends. Whoever has it must also reap it.
#[derive(Debug)]
pub struct Spawned {
    /// The process, which is also its process group.
    pub pid: Pid,
    /// Its descriptor, closed on exec.
    pub pidfd: OwnedFd,
}

/// Starts `command` as the leader of a process group of its own, so that the terminal's Ctrl-C does not reach it.
/// The kernel kills it when the calling thread ends, in whatever way. No signal is blocked in it, whatever is here.
///
/// # Errors
/// There is no such program, or no process or descriptor left. No child remains.
pub fn spawn(command: &mut Command) -> io::Result<Spawned> {
    let parent = getpid();
    command.process_group(0);
    // SAFETY: between fork and exec the closure only makes system calls; it allocates nothing and takes no lock. The
    // set is written by `sigemptyset` before it is read.
    unsafe {
        command.pre_exec(move || {
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that died before the call above sends no signal any more.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Spawned { pid, pidfd }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

/// Lets `command` begin a session of its own whose terminal is its input, if that is one. No signal is blocked in it.
pub fn on_terminal(command: &mut Command) {
    // SAFETY: between fork and exec the closure only makes system calls; it allocates nothing and takes no lock. The
    // set is written by `sigemptyset` before it is read.
    unsafe {
        command.pre_exec(|| {
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY as _, 1);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_child_is_signalled_and_reaped_by_its_descriptor() {
        // SIGTERM is blocked here, and must not be there.
        let _signals = crate::sys::signals::Signals::new(&[libc::SIGTERM]).unwrap();
        let child = spawn(Command::new("sleep").arg("100")).unwrap();
        pidfd_send_signal(&child.pidfd, Signal::TERM).unwrap();
        let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = spawn(&mut Command::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
