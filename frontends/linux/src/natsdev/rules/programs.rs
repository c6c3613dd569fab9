//! Programs that rules run, for a time and an output that are bounded: those of udev's rules without a shell.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lunix_core::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::reactor::monotonic;
use crate::sys::spawn::{Spawned, spawn};

/// Bytes of output that count; what follows is thrown away.
const OUTPUT: usize = 16384;
/// Arguments of a program.
const ARGUMENTS: usize = 1024;
/// Where programs are whose names are no absolute paths.
const FOLDERS: [&str; 2] = ["/usr/lib/udev", "/lib/udev"];

/// The words of a command line: white space separates them, but not between `'…'` or `"…"`. There are no escapes, and a
/// quote without an end ends with the line.
///
/// ```
/// use lunix::natsdev::rules::words;
/// assert_eq!(words(br#"/bin/sh -c 'echo "a b"' x"y z""#), [&b"/bin/sh"[..], b"-c", b"echo \"a b\"", b"xy z"]);
/// ```
pub fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    for byte in line.iter().copied() {
        match quote {
            Some(end) if byte == end => quote = None,
            None if matches!(byte, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            None if byte.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
        if words.len() >= ARGUMENTS {
            return words;
        }
    }
    words.extend(word);
    words
}

/// Runs a command line and answers what it wrote to its standard output, if it has ended well. What it leaves behind in
/// its process group is killed.
///
/// # Errors
/// It cannot be started, has failed, or took longer than `time`; then it is killed, too.
pub(in crate::natsdev) fn run<'e>(
    line: &[u8],
    environment: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    time: Duration,
) -> io::Result<Vec<u8>> {
    let words = words(line);
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (output, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // What the child has is its own: only our end must not wait.
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty())?;
    let mut command = Command::new(find(Path::new(OsStr::from_bytes(program))));
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    set_environment(&mut command, environment);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    let child = spawn(&mut command)?;
    // Our copy of its end of the pipe.
    drop(command);
    let output = drain(&mut File::from(output), &child.pidfd, monotonic() + time);
    end(&child, output)
}

/// Has a shell run a command, whose text is as the administrator wrote it: what comes from outside is in the environment,
/// where a shell does not look for commands. It writes to where we do. What it leaves behind in its process group is killed.
///
/// # Errors
/// It cannot be started, has failed, or took longer than `time`; then it is killed, too.
#[cfg(feature = "mdev")]
pub(in crate::natsdev) fn shell<'e>(
    text: &[u8],
    folder: &Path,
    environment: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    time: Duration,
) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(OsStr::from_bytes(text)).current_dir(folder).stdin(Stdio::null());
    set_environment(&mut command, environment);
    let child = spawn(&mut command)?;
    let ended = wait(&mut [PollFd::new(&child.pidfd, PollFlags::IN)], monotonic() + time);
    end(&child, ended)
}

fn set_environment<'e>(command: &mut Command, environment: impl Iterator<Item = (&'e [u8], &'e [u8])>) {
    command.env_clear();
    command.envs(
        environment
            .filter(|(key, value)| !key.is_empty() && ![*key, *value].concat().contains(&0))
            .map(|(key, value)| (OsStr::from_bytes(key), OsStr::from_bytes(value))),
    );
}

/// Ends what is left of a process; the result, if it has ended well.
fn end<T>(child: &Spawned, result: io::Result<T>) -> io::Result<T> {
    // Before its number can be another's. Of what has ended, nothing changes.
    let _ = kill_process_group(child.pid, Signal::KILL);
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let result = result?;
    match status.and_then(|status| status.exit_status()) {
        Some(0) => Ok(result),
        Some(code) => Err(io::Error::other(format!("exit code {code}"))),
        None => Err(io::Error::other("ended by a signal")),
    }
}

fn find(program: &Path) -> PathBuf {
    let known = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    known.into_iter().find(|path| path.exists()).unwrap_or_else(|| program.to_path_buf())
}

/// What comes until the process ends. What it has started may keep the pipe open: nobody waits for that.
fn drain(output: &mut File, process: &OwnedFd, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut all, mut piece, mut cut) = (Vec::new(), [0; 4096], false);
    let (mut open, mut running) = (true, true);
    while open || running {
        match if open { output.read(&mut piece) } else { Err(io::ErrorKind::WouldBlock.into()) } {
            Ok(0) => open = false,
            Ok(len) => {
                let room = OUTPUT - all.len();
                cut |= len > room;
                all.extend_from_slice(piece.get(..len.min(room)).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && running => {
                let mut waiting = [PollFd::new(process, PollFlags::IN), PollFd::new(&*output, PollFlags::IN)];
                let watched = if open { waiting.as_mut_slice() } else { waiting.split_at_mut(1).0 };
                wait(watched, deadline)?;
                running = waiting.first().is_some_and(|process| process.revents().is_empty());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => open = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if monotonic() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    // Half a line may say something else than the whole.
    let whole = all.iter().rposition(|byte| *byte == b'\n').filter(|_| cut);
    all.truncate(whole.unwrap_or(all.len()));
    Ok(all)
}

fn wait(watched: &mut [PollFd<'_>], deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.since(monotonic()).as_micros();
        let timeout = Timespec {
            tv_sec: i64::try_from(left / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (left % 1_000_000 * 1000).try_into().unwrap_or(0),
        };
        match poll(watched, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(rustix::io::Errno::INTR) => {}
            result => return result.map(|_| ()).map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(line: &str) -> io::Result<Vec<u8>> {
        run(line.as_bytes(), [(&b"KEY"[..], &b"a value"[..])].into_iter(), Duration::from_secs(60))
    }

    #[test]
    fn programs_run_without_a_shell() {
        assert_eq!(output("/bin/echo -n $KEY; 'a  b' c\"d").unwrap(), b"$KEY; a  b cd");
        assert_eq!(output("/bin/sh -c 'echo $KEY'").unwrap(), b"a value\n");
        assert_eq!(output("/bin/sh -c 'exit 3'").unwrap_err().to_string(), "exit code 3");
        assert!(output("/nowhere/at/all").is_err());
        assert!(output("   ").is_err());
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        assert_eq!(output("/bin/sh -c 'sleep 100 & echo x'").unwrap(), b"x\n");
        assert_eq!(output("/bin/sh -c 'exec >&-; sleep 0.1; exit 0'").unwrap(), b"");
    }

    #[test]
    fn a_program_cannot_write_or_run_for_ever() {
        assert_eq!(output("/bin/sh -c 'head -c 1000000 /dev/zero'").unwrap().len(), OUTPUT);
        let lines = output("/bin/sh -c 'yes ABCDE=12345 | head -n 5000'").unwrap();
        assert!(lines.len() > OUTPUT - 12 && lines.ends_with(b"\nABCDE=12345"));
        let time = Duration::from_millis(100);
        for line in ["/bin/sleep 100", "/bin/sh -c 'exec >&-; sleep 100'", "/bin/cat /dev/zero"] {
            let error = run(line.as_bytes(), std::iter::empty(), time).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{line}");
        }
    }

    #[cfg(feature = "mdev")]
    #[test]
    fn a_shell_ends_with_all_that_it_has_started() {
        let marker = std::env::temp_dir().join(format!("lunix-shell-{}", std::process::id()));
        let environment = [(&b"MARKER"[..], marker.as_os_str().as_bytes()), (b"ODD", b"$(exit 3); exit 4")];
        let run = |text: &str, ms| {
            shell(text.as_bytes(), Path::new("/"), environment.into_iter(), Duration::from_millis(ms))
        };
        run("test \"$PWD$ODD\" = '/$(exit 3); exit 4'; result=$?; sleep 100 & echo $! > $MARKER; exit $result", 10_000).unwrap();
        let sleeper = std::fs::read_to_string(&marker).unwrap();
        // It is gone, or nobody has reaped it yet.
        let state =
            || std::fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or(") Z".into());
        while ![") Z", ") X"].iter().any(|dead| state().contains(dead)) {
            std::thread::yield_now();
        }
        assert_eq!(run("sleep 100", 50).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(run("exit 3", 10_000).unwrap_err().to_string(), "exit code 3");
        std::fs::remove_file(marker).unwrap();
    }
}
