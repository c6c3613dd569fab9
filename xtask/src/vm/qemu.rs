//! One QEMU: started with its console and its monitor on socket pairs, ended with this process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::qmp::Qmp;
use crate::free_port::free_port;

/// Where the guest's server listens, seen from inside, and what serves the page.
const GUEST_NATS_PORT: u16 = 4222;
const GUEST_PAGE_PORT: u16 = 8080;

/// What to start.
pub struct Machine<'a> {
    /// The compressed kernel.
    pub kernel: &'a Path,
    /// The first root.
    pub initramfs: &'a Path,
    /// Added to the kernel's command line.
    pub append: &'a str,
    /// What the machine has besides, as arguments of QEMU.
    pub parts: &'a [String],
    /// MiB. Debian's amd64 kernel needs 96 to start.
    pub memory: u32,
    /// The port of 127.0.0.1 behind which the guest's page is.
    pub page: Option<u16>,
}

/// A running machine. Dropping it ends it.
pub struct Qemu {
    child: Child,
    /// The monitor.
    pub qmp: Qmp,
    /// The guest's serial console, to write to.
    pub console: UnixStream,
    /// What the guest wrote to its console.
    pub log: Log,
    /// The port on 127.0.0.1 behind which the guest's NATS server is.
    pub nats_port: u16,
}

impl Qemu {
    /// Starts the machine. `watch` sees what the guest writes to its console, as it comes, in pieces; an
    /// empty piece is the end.
    pub fn start(machine: &Machine, watch: impl FnMut(&[u8]) + Send + 'static) -> Result<Self> {
        let nats_port = free_port();
        let nic = format!("user,model=virtio-net-pci{}", forward(nats_port, machine.page));
        let append = format!("console=ttyS0 panic=-1 mitigations=off no_timer_check {}", machine.append);
        let (memory, kernel) = (machine.memory.to_string(), machine.kernel.display().to_string());
        let initramfs = machine.initramfs.display().to_string();
        let own = ["-machine", "q35", "-cpu", "max", "-m", &memory, "-nic", &nic, "-kernel", &kernel];
        let own = own.into_iter().chain(["-initrd", &initramfs, "-append", &append]).map(str::to_owned);
        let arguments: Vec<String> = own.chain(machine.parts.iter().cloned()).collect();
        Self::launch("qemu-system-x86_64", &arguments, nats_port, watch)
    }

    /// Starts `program`, a QEMU, with a console, a monitor and a USB controller, and what `arguments` add. Something in
    /// them leads from `nats_port` to the guest's server. `watch` as in [`Self::start`].
    pub fn launch(
        program: &str,
        arguments: &[String],
        nats_port: u16,
        watch: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self> {
        let (monitor, monitor_end) = UnixStream::pair()?;
        let (console, console_end) = UnixStream::pair()?;
        let mut command = Command::new("setpriv");
        command
            // However this process ends, the machine ends with it.
            .args(["--pdeathsig", "KILL", program])
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg"])
            .args(["-chardev", "socket,id=monitor,fd=0", "-mon", "chardev=monitor,mode=control"])
            .args(["-chardev", "socket,id=console,fd=1", "-serial", "chardev:console"])
            .args(["-device", "qemu-xhci,id=usb,p2=15,p3=15"])
            .args(arguments)
            .stdin(OwnedFd::from(monitor_end))
            .stdout(OwnedFd::from(console_end))
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {program}"))?;
        // The command holds the ends that are QEMU's: only without them does a dead QEMU close the sockets.
        drop(command);
        let log = Log::default();
        log.follow(console.try_clone()?, watch);
        match Qmp::new(monitor) {
            Ok(qmp) => Ok(Self { child, qmp, console, log, nats_port }),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                let mut stderr = String::new();
                if let Some(mut pipe) = child.stderr.take() {
                    let _ = pipe.read_to_string(&mut stderr);
                }
                Err(e.context(format!("QEMU says: {}", stderr.trim())))
            }
        }
    }
}

impl Qemu {
    /// Whether the machine has ended because the guest wanted to start again.
    pub fn rebooted(&mut self) -> bool {
        let shutdown = self.qmp.wait_event("SHUTDOWN", Duration::from_millis(200), |_| true);
        shutdown.is_ok_and(|data| data["reason"] == "guest-reset")
    }

    /// Ends the machine at once.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.end();
    }
}

/// What QEMU's user network has to know of the guest's server and of its page: behind which ports of 127.0.0.1 they are.
pub fn forward(nats: u16, page: Option<u16>) -> String {
    let ports = [Some((nats, GUEST_NATS_PORT)), page.map(|page| (page, GUEST_PAGE_PORT))];
    let forward = |(own, guest)| format!(",hostfwd=tcp:127.0.0.1:{own}-:{guest}");
    ports.into_iter().flatten().map(forward).collect()
}

/// The port at which people look for the page, or another one where somebody has that.
pub fn page_port() -> u16 {
    let usual = TcpListener::bind(("127.0.0.1", GUEST_PAGE_PORT)).is_ok();
    if usual { GUEST_PAGE_PORT } else { free_port() }
}

/// The console's lines, kept for waiting and for showing what happened after a failure.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    /// What there is of a line without its end: a prompt.
    begun: String,
    /// How many lines were dropped from the front of `kept`.
    dropped: usize,
    ended: bool,
}

/// A guest that writes without end costs this many lines.
const LINES_KEPT: usize = 20_000;

impl Log {
    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().skip(lines.kept.len().saturating_sub(count)).cloned().collect()
    }

    /// Waits for a line that `wanted` accepts, from the first one of all on.
    pub fn wait(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.look(limit, false, wanted)
    }

    /// The same, and the line may still be without its end, as prompts are.
    pub fn prompt(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.look(limit, true, wanted)
    }

    fn look(&self, limit: Duration, begun: bool, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + limit;
        let (mutex, changed) = &*self.0;
        let mut lines = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = 0;
        loop {
            let fresh = next.max(lines.dropped) - lines.dropped;
            if let Some(line) = lines.kept.iter().skip(fresh).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            if begun && !lines.begun.is_empty() && wanted(&lines.begun) {
                return Ok(lines.begun.clone());
            }
            next = lines.dropped + lines.kept.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended {
                bail!("the guest has ended");
            }
            if left.is_zero() {
                bail!("the guest did not say it within {limit:?}");
            }
            lines = changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the line `end` behind the line `begin`, and returns what is between them and what follows `end` on
    /// its line.
    pub fn between(&self, limit: Duration, begin: &str, end: &str) -> Result<(Vec<String>, String)> {
        let last = self.wait(limit, |line| line.starts_with(end))?;
        let lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = lines.kept.iter().skip_while(|line| !line.ends_with(begin)).skip(1);
        let inside = inside.take_while(|line| !line.starts_with(end)).cloned().collect();
        Ok((inside, last.get(end.len()..).unwrap_or_default().to_owned()))
    }

    fn follow(&self, stream: UnixStream, mut watch: impl FnMut(&[u8]) + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(bytes) = reader.fill_buf() {
                if bytes.is_empty() {
                    break;
                }
                watch(bytes);
                for &byte in bytes {
                    match byte {
                        b'\n' => log.push(&std::mem::take(&mut line)),
                        b'\r' => {}
                        _ => line.push(byte),
                    }
                }
                let read = bytes.len();
                reader.consume(read);
                if !line.is_empty() {
                    log.begun(&line);
                }
            }
            watch(&[]);
            if !line.is_empty() {
                log.push(&line);
            }
            log.0.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            log.0.1.notify_all();
        });
    }

    fn begun(&self, line: &[u8]) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).begun =
            String::from_utf8_lossy(line).into_owned();
        self.0.1.notify_all();
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.kept.len() == LINES_KEPT {
            lines.kept.pop_front();
            lines.dropped += 1;
        }
        lines.begun.clear();
        lines.kept.push_back(String::from_utf8_lossy(line).into_owned());
        drop(lines);
        self.0.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_is_found_before_and_after_it_is_there() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let log = Log::default();
        log.follow(ours, |_| {});
        theirs.write_all(b"one\r\ntwo").unwrap();
        assert_eq!(log.wait(Duration::from_secs(60), |line| line == "one").unwrap(), "one");
        theirs.write_all(b"!\nthree\n").unwrap();
        assert_eq!(log.wait(Duration::from_secs(60), |line| line.starts_with("two")).unwrap(), "two!");
        log.wait(Duration::from_secs(60), |line| line == "three").unwrap();
        assert_eq!(log.tail(2), ["two!", "three"]);
        assert!(log.wait(Duration::from_millis(20), |line| line == "four").is_err());
        drop(theirs);
        assert_eq!(
            log.wait(Duration::from_secs(60), |_| false).unwrap_err().to_string(),
            "the guest has ended"
        );
    }
}
