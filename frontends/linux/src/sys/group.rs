//! The group that a process is in.
#![allow(unsafe_code, reason = "getpgid(2), whose 0 rustix takes for a number of a process")]

use rustix::process::Pid;

/// The process group of `process`. None if there is no such process, or no group that this namespace can name: a
/// process that somebody reaps meanwhile has none, nor has one whose group is of a namespace above.
pub fn group_of(process: Pid) -> Option<Pid> {
    // SAFETY: getpgid(2) takes a number and touches no memory.
    match unsafe { libc::getpgid(process.as_raw_pid()) } {
        group @ 1.. => Pid::from_raw(group),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use rustix::process::Pid;

    use super::group_of;

    #[test]
    fn a_process_has_a_group_until_it_is_reaped() {
        let mut child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(group_of(pid), Some(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(group_of(pid), None);
    }
}
