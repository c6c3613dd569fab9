//! A program that boot waits for, but not for ever.

use std::io;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Where tools are; the kernel says nothing of it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `words` and waits for at most `patience`. Its exit code, or 128 and the signal that ended it.
///
/// # Errors
/// It cannot be started, or it was killed as it took too long.
pub(super) fn run(words: &[&str], patience: Duration) -> io::Result<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program).args(arguments).env("PATH", PATH).stdin(Stdio::null()).spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Ok(1..) => break,
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let status = child.wait()?;
    Ok(status.code().unwrap_or(128 + status.signal().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_ends_by_itself_or_is_ended() {
        assert_eq!(run(&["sh", "-c", "exit 3"], Duration::from_secs(10)).unwrap(), 3);
        let hangs = run(&["sleep", "100"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(hangs.kind(), io::ErrorKind::TimedOut);
        assert_eq!(run(&["/nowhere/at/all"], PATIENCE).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    const PATIENCE: Duration = Duration::from_secs(10);
}
