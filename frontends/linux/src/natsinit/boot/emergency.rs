//! The console, and the shell on it where nothing else goes.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, WaitOptions, wait};

use super::NAME;
use crate::log::{self, Level};

/// Speaks and reads on `console`, if it is told to or has no other place.
pub(super) fn speak_on(console: &Path, told: bool) -> io::Result<()> {
    let silent = || {
        rustix::fs::fstat(rustix::stdio::stderr())
            .is_ok_and(|found| found.st_rdev == rustix::fs::makedev(1, 3))
    };
    let closed = rustix::io::fcntl_getfd(rustix::stdio::stderr()).is_err() || silent();
    let wanted = told || (closed && super::is_first_of_machine());
    if !wanted {
        return Ok(());
    }
    let open = OpenOptions::new().read(true).write(true).open(console)?;
    rustix::stdio::dup2_stdin(&open)?;
    rustix::stdio::dup2_stdout(&open)?;
    rustix::stdio::dup2_stderr(&open)?;
    Ok(())
}

/// From now on a terminal that is halted (Ctrl-S) loses our lines instead of holding us up. Only our own: others write as
/// before.
pub(super) fn never_wait() -> io::Result<()> {
    if super::is_first_of_machine() && io::stderr().is_terminal() {
        let own = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open("/proc/self/fd/2")?;
        rustix::stdio::dup2_stderr(&own)?;
    }
    Ok(())
}

/// Runs a shell on the console until it ends. Meanwhile nothing happens but that the dead are buried. Where there is no
/// shell, it is said, and we come back.
pub(in crate::natsinit) fn shell(words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let candidates: [&[&str]; 3] = [&words, &["/bin/sh"], &["/bin/busybox", "sh"]];
    let Some(shell) = candidates.iter().find_map(|words| start(words)) else {
        log::line(Level::Error, NAME, "there is no shell");
        return;
    };
    let pid = Pid::from_child(&shell);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, _))) if ended == pid => return,
            Err(rustix::io::Errno::CHILD) => return,
            _ => {}
        }
    }
}

/// So that what fails at once is not tried again at once.
pub(in crate::natsinit) fn wait_a_second() {
    let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
    let _ = rustix::event::poll(&mut [], Some(&second));
}

fn start(words: &[&str]) -> Option<Child> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env("HOME", "/root").env("PS1", "(emergency) # ");
    // Our stderr never waits, which a shell is not made for.
    if let Ok(out) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3) {
        command.stderr(out);
    }
    // A session of its own with the terminal, if it is one: else Ctrl-C would do nothing.
    crate::sys::spawn::on_terminal(&mut command);
    command.spawn().ok()
}
