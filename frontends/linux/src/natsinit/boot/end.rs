//! After the last service: everybody else is ended, what is mounted is let go, and the machine is told what to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::process::{WaitOptions, getpid, wait};
use rustix::system::{RebootCommand, reboot};

use super::super::files::InitSettings;
use super::{NAME, clock, is_first_of_machine, seed, step};
use crate::log::{self, Level};
use crate::sys::machine;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsinit) enum Ending {
    PowerOff,
    Reboot,
    Halt,
    /// The kernel that `kexec -l` has loaded is started; without one, the machine.
    Kexec,
    /// Only we end: a session, or a container by its master's wish.
    Exit,
}

impl Ending {
    /// As in `system.<what>`, and as it is said.
    pub(in crate::natsinit) fn as_str(self) -> &'static str {
        match self {
            Self::PowerOff => "shutdown",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
            Self::Kexec => "kexec",
            Self::Exit => "the end",
        }
    }

    /// As it is noted for whoever comes after us; 0 stands for none.
    pub(in crate::natsinit) fn number(self) -> u32 {
        self as u32 + 1
    }

    /// What [`Ending::number`] noted.
    pub(in crate::natsinit) fn from_number(number: u32) -> Option<Self> {
        [Self::PowerOff, Self::Reboot, Self::Halt, Self::Kexec, Self::Exit]
            .into_iter()
            .find(|ending| ending.number() == number)
    }
}

/// From SIGTERM to SIGKILL for what is no service.
const GRACE: Duration = Duration::from_secs(3);
/// From SIGKILL until what is left is left behind.
const BURIAL: Duration = Duration::from_secs(2);
/// What writing everything to storage may take.
const SYNC: Duration = Duration::from_secs(20);

/// All of it. Comes back only where a machine cannot be told, as in most containers: then PID 1 ends.
pub(in crate::natsinit) fn end(ending: Ending, settings: &InitSettings) {
    everybody();
    if is_first_of_machine() {
        clock::end(&settings.clock);
        if let Some(file) = &settings.random_seed {
            step("random seed", seed::save(file));
        }
        sync();
        release();
        sync();
    }
    tell(ending);
}

/// Tells the kernel, without further ado.
pub(in crate::natsinit) fn tell(ending: Ending) {
    if ending == Ending::Kexec && reboot(RebootCommand::Kexec).is_ok() {
        return;
    }
    let command = match ending {
        Ending::PowerOff => RebootCommand::PowerOff,
        Ending::Reboot | Ending::Kexec => RebootCommand::Restart,
        Ending::Halt => RebootCommand::Halt,
        Ending::Exit => return,
    };
    step("the end", reboot(command));
}

/// Ends every process, first with SIGTERM.
pub(in crate::natsinit) fn everybody() {
    if getpid().as_raw_pid() != 1 {
        return;
    }
    for (signal, patience) in [(libc::SIGTERM, GRACE), (libc::SIGKILL, BURIAL)] {
        machine::signal_everybody(signal);
        // What stands still cannot hear.
        machine::signal_everybody(libc::SIGCONT);
        if gone(patience) {
            return;
        }
    }
    log::line(Level::Warn, NAME, "some processes do not end on SIGKILL and are left behind");
}

/// Whether all children have ended within `patience`; as PID 1 we inherit everybody.
fn gone(patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Err(rustix::io::Errno::CHILD) => return true,
            _ if Instant::now() >= end => return false,
            _ => pause(end),
        }
    }
}

/// Until a child ends, or the time is over. SIGCHLD is blocked, and waits for us.
fn pause(end: Instant) {
    let Ok(signals) = crate::sys::signals::Signals::new(&[libc::SIGCHLD]) else { return };
    let left = end.saturating_duration_since(Instant::now());
    let left =
        rustix::event::Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    use rustix::event::{PollFd, PollFlags, poll};
    let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&left));
    while signals.next().is_some() {}
}

/// Writes everything to storage; a device that hangs holds up a child of ours, where there is such a tool.
fn sync() {
    match super::tool::run(&["sync"], SYNC) {
        Ok(0) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => step("sync", Err::<(), _>(error)),
        _ => rustix::fs::sync(),
    }
}

/// Stops swapping and unmounts, the last mounted first; what cannot be unmounted becomes read-only.
fn release() {
    for swap in fs::read_to_string("/proc/swaps").unwrap_or_default().lines().skip(1) {
        if let Some(path) = swap.split_whitespace().next() {
            step(path, machine::swap_off(&unescaped(path)));
        }
    }
    // What was in use by something that is gone now goes in a second round.
    for round in 0..2 {
        for target in mounted().iter().rev().filter(|target| !stays(target)) {
            if unmount(target, UnmountFlags::empty()).is_err() && round > 0 {
                step(&target.display().to_string(), mount_remount(target, MountFlags::RDONLY, c""));
            }
        }
    }
    step("/ read-only", mount_remount("/", MountFlags::RDONLY, c""));
}

/// What the kernel itself shows, and what is memory, has nothing to lose; we stand on the root.
fn stays(target: &Path) -> bool {
    target == Path::new("/")
        || ["/proc", "/sys", "/dev", "/run"].iter().any(|kernel| target.starts_with(kernel))
}

fn mounted() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(1)).map(unescaped).collect()
}

/// `\040` as /proc writes a space.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let octal = (*byte == b'\\').then(|| after.get(..3)).flatten();
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(value.unwrap_or(*byte));
        rest = if value.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_proc_are_read() {
        assert_eq!(unescaped("/mnt/a\\040b\\134"), Path::new("/mnt/a b\\"));
        assert_eq!(unescaped("/a\\9"), Path::new("/a\\9"));
        assert!(mounted().contains(&PathBuf::from("/proc")));
        assert!(stays(Path::new("/run/x")) && !stays(Path::new("/data")));
    }
}
