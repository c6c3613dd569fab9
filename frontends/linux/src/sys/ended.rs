//! Which child has ended, before anything of it is taken away.
#![allow(unsafe_code, reason = "waitid(2) with the number of the process, which rustix keeps to itself")]

use rustix::process::Pid;

/// A child, or somebody inherited, that has ended and was not waited for. It stays so: its number is its own until
/// somebody waits for it.
pub fn ended() -> Option<Pid> {
    // SAFETY: a `siginfo_t` of zeros is one that says nothing.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one `siginfo_t`, which is what the pointer is to.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, how) } != 0 {
        return None;
    }
    // SAFETY: waitid(2) fills what SIGCHLD tells, or leaves the zeros, which are the number of nobody.
    Pid::from_raw(unsafe { info.si_pid() })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is waited for by its number")]
    fn who_has_ended_stays_so() {
        // Alone in a process, as other tests have children, too: this one executes itself.
        let alone = "LUNIX_TEST_ENDED";
        if std::env::var_os(alone).is_none() {
            let name = "sys::ended::tests::who_has_ended_stays_so";
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--test-threads", "1"])
                .env(alone, "1")
                .status();
            assert!(status.unwrap().success());
            return;
        }
        assert_eq!(super::ended(), None);
        let child = Command::new("true").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert_eq!((super::ended(), super::ended()), (Some(pid), Some(pid)));
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        assert_eq!(super::ended(), None);
    }
}
