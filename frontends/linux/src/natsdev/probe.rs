//! What volumes hold is found out by short-lived children: reading a broken stick may take for ever, and what is
//! on it may be hostile.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use lunix_core::device::usb::ProbeId;
use lunix_core::time::{Duration, Instant};
use lunix_proto::json::{self, Writer};
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::{Token, builtins};
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor, Ready};
use crate::sys::spawn::{Spawned, spawn};

/// What a child found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) fstype: String,
    pub(super) label: String,
    pub(super) uuid: String,
}

/// The children, at most [`CHILDREN`] at once, and the questions that wait for one.
#[derive(Debug)]
pub(super) struct Probes {
    running: [Option<Running>; CHILDREN],
    waiting: VecDeque<Waiting>,
    timeout: Duration,
    dev: PathBuf,
}

const CHILDREN: usize = 4;
/// The longest answer: a label's 96 bytes may become six each.
const MAX_ANSWER: usize = 1024;

#[derive(Debug)]
struct Running {
    /// `None` once its time was over.
    probe: Option<ProbeId>,
    child: Spawned,
    answer: File,
    key: Key,
    deadline: Instant,
}

#[derive(Debug)]
struct Waiting {
    probe: ProbeId,
    devnode: Vec<u8>,
    deadline: Instant,
}

impl Probes {
    /// Nodes are looked for in `dev`, whatever folder their names begin with.
    pub(super) fn new(timeout: Duration, dev: &Path) -> Self {
        Self {
            running: [const { None }; CHILDREN],
            waiting: VecDeque::new(),
            timeout,
            dev: dev.to_path_buf(),
        }
    }

    /// Takes a question. There are never more than there are devices.
    pub(super) fn ask(&mut self, now: Instant, probe: ProbeId, devnode: &[u8]) {
        self.waiting.push_back(Waiting { probe, devnode: devnode.to_vec(), deadline: now + self.timeout });
    }

    /// Starts children for what waits. Answers a question whose child cannot be started.
    pub(super) fn start(&mut self, reactor: &mut Reactor<Token>) -> Option<(ProbeId, Contents)> {
        while let Some(index) = self.running.iter().position(Option::is_none) {
            let waiting = self.waiting.pop_front()?;
            match self.spawn(reactor, index, &waiting) {
                Ok(running) => {
                    if let Some(place) = self.running.get_mut(index) {
                        *place = Some(running);
                    }
                }
                Err(error) => {
                    let node = waiting.devnode.escape_ascii();
                    log::line(Level::Warn, super::NAME, format_args!("{node}: no probe: {error}"));
                    return Some((waiting.probe, Contents::default()));
                }
            }
        }
        None
    }

    fn spawn(&self, reactor: &mut Reactor<Token>, index: usize, waiting: &Waiting) -> io::Result<Running> {
        let name = waiting.devnode.strip_prefix(b"/dev/").unwrap_or(&waiting.devnode);
        let mut command = Command::new("/proc/self/exe");
        command.arg0(super::NAME).arg("--probe-volume").arg(self.dev.join(OsStr::from_bytes(name)));
        // The answer fits into the pipe: a child that wrote it has nothing to wait for.
        let (answer, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        command.env_clear().stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        let child = spawn(&mut command)?;
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        let key = reactor.add(&child.pidfd, Token::Child(index), Ready::READ)?;
        Ok(Running {
            probe: Some(waiting.probe),
            child,
            answer: answer.into(),
            key,
            deadline: waiting.deadline,
        })
    }

    /// Child number `index` has ended: its answer, unless it comes too late.
    pub(super) fn ended(&mut self, reactor: &mut Reactor<Token>, index: u8) -> Option<(ProbeId, Contents)> {
        let running = self.running.get_mut(usize::from(index))?.take()?;
        reactor.remove(running.key, &running.child.pidfd);
        let status = waitid(WaitId::PidFd(running.child.pidfd.as_fd()), WaitIdOptions::EXITED);
        let mut text = Vec::new();
        // It has ended, and nobody else holds the pipe: this reads what there is and then the end.
        let _ = running.answer.take(MAX_ANSWER as u64).read_to_end(&mut text);
        let well = matches!(status, Ok(Some(status)) if status.exit_status() == Some(0));
        let contents = if well { parse(&text).unwrap_or_default() } else { Contents::default() };
        Some((running.probe?, contents))
    }

    /// A question whose time is over: its child is killed, it counts as answered with nothing.
    pub(super) fn expired(&mut self, now: Instant) -> Option<(ProbeId, Contents)> {
        for running in self.running.iter_mut().flatten() {
            if running.deadline <= now
                && let Some(probe) = running.probe.take()
            {
                // A child that hangs in a read keeps its place until the kernel lets go of it.
                let _ = pidfd_send_signal(&running.child.pidfd, Signal::KILL);
                return Some((probe, Contents::default()));
            }
        }
        let index = self.waiting.iter().position(|waiting| waiting.deadline <= now)?;
        let waiting = self.waiting.remove(index)?;
        Some((waiting.probe, Contents::default()))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let running = self.running.iter().flatten().filter(|running| running.probe.is_some());
        let running = running.map(|running| running.deadline);
        running.chain(self.waiting.iter().map(|waiting| waiting.deadline)).min()
    }
}

fn parse(text: &[u8]) -> Option<Contents> {
    let object = json::parse(text).ok()?.as_object()?;
    let text = |key| object.get(key).and_then(|value| value.as_str()).map(|text| text.chars().collect());
    Some(Contents {
        fstype: text("fstype").unwrap_or_default(),
        label: text("label").unwrap_or_default(),
        uuid: text("uuid").unwrap_or_default(),
    })
}

/// What the child does: reads `node`, prints what it holds as one JSON object or as properties, a line each.
pub(super) fn run(node: &Path, udev: bool) -> ExitCode {
    match contents(node, udev) {
        Ok(text) => match io::stdout().write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            log::line(Level::Error, super::NAME, format_args!("{}: {error}", node.display()));
            ExitCode::FAILURE
        }
    }
}

fn contents(node: &Path, udev: bool) -> io::Result<Vec<u8>> {
    // Opening a drive for reading must not wait for a medium, and opening a FIFO not for a writer.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let volume = File::options().read(true).custom_flags(flags).open(node)?;
    let kind = volume.metadata()?.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a block device nor a file"));
    }
    let contents = builtins::Contents::of(volume, node)?;
    drop_privileges()?;
    if udev {
        return Ok(contents.lines());
    }
    let mut out = vec![0; MAX_ANSWER];
    let mut json = Writer::new(&mut out);
    json.begin_object();
    if let Some(volume) = contents.volume() {
        json.key("fstype").string(volume.fstype);
        json.key("label").string_bytes(volume.label.as_bytes());
        json.key("uuid").string_bytes(volume.uuid.as_bytes());
    }
    json.end_object();
    let len = json.finish().map_err(io::Error::other)?;
    out.truncate(len);
    out.push(b'\n');
    Ok(out)
}

/// As many bytes as there are; what cannot be read is not there.
pub(super) fn read_at(volume: &File, offset: u64, piece: &mut [u8]) -> usize {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match volume.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    filled
}

/// The volume is open: nothing more is needed of what root may do.
fn drop_privileges() -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid};
    const NOBODY: u32 = 65534;
    set_no_new_privs(true)?;
    if rustix::process::geteuid().is_root() {
        // This process has one thread. In a user namespace there may be no such user: then there is nothing to drop.
        if set_thread_groups(&[]).is_ok() && set_thread_gid(Gid::from_raw(NOBODY)).is_ok() {
            set_thread_uid(Uid::from_raw(NOBODY))?;
        }
    }
    Ok(())
}
