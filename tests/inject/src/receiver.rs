//! A program that listens to the kernel, where it can do no harm.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An empty /dev with nothing but `null`, an empty /run, and the /sys of this network.
const WORLD: &str = r#"
exec 9</dev/null
mount -t tmpfs none /dev && mount -t tmpfs none /run || exit
mknod -m 666 /dev/null c 1 3 2>/dev/null || { : >/dev/null && mount --bind /proc/self/fd/9 /dev/null; } || exit
mkdir /run/udev
mount -t sysfs none /sys 2>/dev/null
exec 9<&-
exec "$0" "$@"
"#;

/// How long it may take until a program listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Receiver(Child);

impl Receiver {
    /// Starts it, with a /dev and a /run of its own. This process has to be in a network of its own ([`enter`](crate::enter)).
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        output: Stdio,
        errors: Stdio,
    ) -> io::Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", WORLD]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.spawn().map(Self)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it writes to its standard error, if that is a pipe.
    pub fn errors(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// Waits until somebody in this network listens to the kernel.
    ///
    /// # Errors
    /// It ends, or does not listen.
    pub fn listens(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        while listeners()?.is_empty() {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("it ended before it listened: {status}")));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("it does not listen within {PATIENCE:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// There is nothing to wait for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A socket of this network that hears the kernel's uevents.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// By which it is named, and reached by a forger.
    pub port: u32,
    /// Bytes of the kernel's memory that its unread events take.
    pub queued: u64,
    /// Events that found no room.
    pub dropped: u64,
}

/// All of them, as the kernel lists them in /proc/net/netlink.
///
/// # Errors
/// The kernel has no such list.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let text = fs::read_to_string("/proc/self/net/netlink")?;
    Ok(text.lines().filter_map(listener).collect())
}

/// sk, protocol, port, groups (hexadecimal), queued, being sent, dump, locks, dropped, inode.
fn listener(line: &str) -> Option<Listener> {
    const UEVENTS: &str = "15";
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, UEVENTS, port, groups, queued, _, _, _, dropped, ..] = words[..] else { return None };
    let hears = u32::from_str_radix(groups, 16).ok()? & 1 == 1;
    // The kernel's own end has port 0.
    let listener =
        Listener { port: port.parse().ok()?, queued: queued.parse().ok()?, dropped: dropped.parse().ok()? };
    (hears && listener.port != 0).then_some(listener)
}
