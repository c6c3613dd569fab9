//! What may hang for ever on a broken medium is done by short-lived children: mounting, unmounting, and reading what a
//! volume holds.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use lunix_core::device::volume::{MAX_PIECE, Probe};
use lunix_core::mount::VolumeId;
use lunix_core::time::{Duration, Instant};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::Token;
use super::options::Options;
use crate::reactor::{Key, Reactor, Ready};
use crate::sys::spawn::Spawned;

/// Children at the same time. One that hangs keeps its place until the kernel lets go of it.
const CHILDREN: usize = 4;
/// Looks that wait for a child.
const WAITING: usize = 256;
/// How long a volume may take to say what it holds.
const LOOK: Duration = Duration::from_secs(10);
/// The longest answer: type, label and UUID.
const ANSWER: u64 = 1024;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Mount the node, which must still be this device.
    Mount { devnode: Vec<u8>, device: (u32, u32), target: Vec<u8>, fstype: String, options: Options },
    /// Unmount the folder; `detach`: whoever uses it.
    Unmount { target: Vec<u8>, detach: bool },
    /// Read what the node holds.
    Look { devnode: Vec<u8> },
}

/// For whom something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Volume(VolumeId),
    Look(u32),
}

/// What a volume holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) fstype: String,
    pub(super) label: Vec<u8>,
    pub(super) uuid: Vec<u8>,
}

/// How it ended; an error is the kernel's number.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) whom: For,
    pub(super) error: Option<u16>,
    pub(super) contents: Contents,
}

/// The children, and what waits for one.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    running: [Option<Running>; CHILDREN],
    waiting: VecDeque<(For, Work)>,
    next: u32,
}

#[derive(Debug)]
struct Running {
    whom: For,
    child: Spawned,
    key: Key,
    answer: Option<File>,
    /// Of looks only: the others' time is kept with their volumes.
    deadline: Option<Instant>,
}

impl Jobs {
    /// Queues what is to be done for a volume, of which there is one thing at a time.
    pub(super) fn push(&mut self, id: VolumeId, work: Work) {
        self.waiting.push_back((For::Volume(id), work));
    }

    /// Queues a look; `None` if there are too many.
    pub(super) fn look(&mut self, devnode: &[u8]) -> Option<u32> {
        if self.waiting.len() >= WAITING {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back((For::Look(self.next), Work::Look { devnode: devnode.to_vec() }));
        Some(self.next)
    }

    /// Starts what can be started; answers what could not.
    pub(super) fn start(&mut self, reactor: &mut Reactor<Token>) -> Option<Outcome> {
        while let Some(index) = self.running.iter().position(Option::is_none) {
            let (whom, work) = self.waiting.pop_front()?;
            match spawn(reactor, index, whom, &work) {
                Ok(running) => {
                    if let Some(place) = self.running.get_mut(index) {
                        *place = Some(running);
                    }
                }
                Err(error) => return Some(Outcome::failed(whom, error_of(&error))),
            }
        }
        None
    }

    /// Child number `index` has ended.
    pub(super) fn ended(&mut self, reactor: &mut Reactor<Token>, index: u8) -> Option<Outcome> {
        let running = self.running.get_mut(usize::from(index))?.take()?;
        reactor.remove(running.key, &running.child.pidfd);
        let status = waitid(WaitId::PidFd(running.child.pidfd.as_fd()), WaitIdOptions::EXITED).ok().flatten();
        let code = status.and_then(|status| status.exit_status());
        let mut text = Vec::new();
        if let Some(answer) = running.answer {
            // It has ended, and nobody else holds the pipe.
            let _ = answer.take(ANSWER).read_to_end(&mut text);
        }
        let error = match code {
            Some(0) => None,
            Some(code) if code < 255 => u16::try_from(code).ok(),
            // It was killed, or it is broken.
            _ => Some(Errno::TIMEDOUT.raw_os_error().unsigned_abs() as u16),
        };
        Some(Outcome { whom: running.whom, error, contents: Contents::parse(&text) })
    }

    /// Ends what is being done for a volume: its child is killed, which answers once the kernel lets go of it. What has
    /// not begun is answered at once.
    pub(super) fn abandon(&mut self, id: VolumeId) -> Option<Outcome> {
        let whom = For::Volume(id);
        if let Some(at) = self.waiting.iter().position(|(other, _)| *other == whom) {
            self.waiting.remove(at);
            return Some(Outcome::failed(whom, Errno::TIMEDOUT));
        }
        self.running.iter().flatten().filter(|running| running.whom == whom).for_each(Running::kill);
        None
    }

    /// Ends looks that take too long.
    pub(super) fn tick(&mut self, now: Instant) {
        for running in self.running.iter_mut().flatten() {
            if running.deadline.is_some_and(|deadline| deadline <= now) {
                running.deadline = None;
                running.kill();
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.running.iter().flatten().filter_map(|running| running.deadline).min()
    }
}

impl Running {
    fn kill(&self) {
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
    }
}

impl Outcome {
    fn failed(whom: For, error: Errno) -> Self {
        let error = u16::try_from(error.raw_os_error()).unwrap_or(u16::MAX);
        Self { whom, error: Some(error), contents: Contents::default() }
    }
}

fn error_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn spawn(reactor: &mut Reactor<Token>, index: usize, whom: For, work: &Work) -> io::Result<Running> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(super::NAME).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for word in work.words() {
        command.arg("--perform").arg(OsStr::from_bytes(&word));
    }
    let looks = matches!(work, Work::Look { .. });
    let mut answer = None;
    if looks {
        // The answer fits into the pipe: a child that wrote it has nothing to wait for.
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        answer = Some(reader.into());
        command.stdout(writer);
    }
    let child = crate::sys::spawn::spawn(&mut command)?;
    let number = u8::try_from(index).unwrap_or(u8::MAX);
    let key = reactor.add(&child.pidfd, Token::Child(number), Ready::READ)?;
    let deadline = looks.then(|| reactor.now() + LOOK);
    Ok(Running { whom, child, key, answer, deadline })
}

impl Work {
    /// What a child is told.
    fn words(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Mount { devnode, device: (major, minor), target, fstype, options } => {
                let device = [major, minor].map(|number| number.to_string().into_bytes());
                let head = [b"mount".to_vec(), devnode.clone(), target.clone(), fstype.clone().into_bytes()];
                head.into_iter().chain(device).chain(options.words().map(String::into_bytes)).collect()
            }
            Self::Unmount { target, detach } => {
                let verb = if *detach { &b"detach"[..] } else { b"unmount" };
                vec![verb.to_vec(), target.clone()]
            }
            Self::Look { devnode } => vec![b"look".to_vec(), devnode.clone()],
        }
    }

    fn from_words(words: &[&[u8]]) -> Option<Self> {
        let text = |word: &[u8]| String::from_utf8(word.to_vec()).ok();
        Some(match *words {
            [b"mount", devnode, target, fstype, major, minor, ref options @ ..] => Self::Mount {
                devnode: devnode.to_vec(),
                device: (text(major)?.parse().ok()?, text(minor)?.parse().ok()?),
                target: target.to_vec(),
                fstype: text(fstype)?,
                options: Options::from_words(options.iter().map(|word| text(word)))?,
            },
            [verb @ (b"unmount" | b"detach"), target] => {
                Self::Unmount { target: target.to_vec(), detach: verb == b"detach" }
            }
            [b"look", devnode] => Self::Look { devnode: devnode.to_vec() },
            _ => return None,
        })
    }
}

/// The child: does what these words say. Its exit code is the kernel's number of what went wrong.
pub(super) fn run<'w>(words: impl Iterator<Item = &'w OsStr>) -> ExitCode {
    let words: Vec<&[u8]> = words.map(|word| word.as_bytes()).collect();
    let done = Work::from_words(&words).ok_or(Errno::INVAL).and_then(|work| perform(&work));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => ExitCode::from(u8::try_from(errno.raw_os_error()).unwrap_or(254)),
    }
}

fn perform(work: &Work) -> Result<(), Errno> {
    match work {
        Work::Mount { devnode, device, target, fstype, options } => {
            if device_of(devnode) != Some(*device) {
                return Err(Errno::NODEV);
            }
            options.mount(devnode, target, fstype)
        }
        Work::Unmount { target, detach } => {
            let flags = if *detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
            match rustix::mount::unmount(target.as_slice(), flags | UnmountFlags::NOFOLLOW) {
                // Somebody else was faster.
                Err(Errno::INVAL | Errno::NOENT) => Ok(()),
                other => other,
            }
        }
        Work::Look { devnode } => {
            let contents = read(devnode).map_err(|error| error_of(&error))?;
            let Contents { fstype, label, uuid } = contents;
            let text = [fstype.as_bytes(), b"\0", &label, b"\0", &uuid].concat();
            io::stdout().write_all(&text).and_then(|()| io::stdout().flush()).map_err(|_| Errno::IO)
        }
    }
}

/// The number of the block device at `devnode`.
pub(super) fn device_of(devnode: &[u8]) -> Option<(u32, u32)> {
    let found = std::fs::metadata(OsStr::from_bytes(devnode)).ok()?;
    let number = found.rdev();
    found.file_type().is_block_device().then(|| (rustix::fs::major(number), rustix::fs::minor(number)))
}

/// The number of the medium in that device, which no other one has had since the machine was started; `None` before
/// Linux 5.15.
pub(super) fn medium_of((major, minor): (u32, u32)) -> Option<u64> {
    let device = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    // A partition has that of its disk.
    let files = ["diskseq", "../diskseq"].map(|file| device.join(file));
    files.iter().find_map(|file| std::fs::read_to_string(file).ok())?.trim().parse().ok()
}

impl Contents {
    fn parse(text: &[u8]) -> Self {
        let mut parts = text.splitn(3, |byte| *byte == 0).map(<[u8]>::to_vec);
        let mut next = || parts.next().unwrap_or_default();
        Self { fstype: String::from_utf8_lossy(&next()).into_owned(), label: next(), uuid: next() }
    }
}

fn read(devnode: &[u8]) -> io::Result<Contents> {
    // Opening a drive for reading must not wait for a medium.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let node = Path::new(OsStr::from_bytes(devnode));
    let volume = File::options().read(true).custom_flags(flags).open(node)?;
    if !volume.metadata()?.file_type().is_block_device() {
        return Err(Errno::NOTBLK.into());
    }
    let mut piece = [0; MAX_PIECE];
    let mut probe = Probe::new();
    while let Some((offset, len)) = probe.wanted() {
        let mut filled = 0;
        while let Some(rest) = piece.get_mut(filled..len).filter(|rest| !rest.is_empty()) {
            match volume.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        probe.feed(piece.get(..filled).unwrap_or_default());
    }
    Ok(probe.volume().map_or_else(Contents::default, |volume| Contents {
        fstype: volume.fstype.to_owned(),
        label: volume.label.as_bytes().to_vec(),
        uuid: volume.uuid.as_bytes().to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_understands_what_it_is_told() {
        let mut options = Options::default();
        for word in ["ro", "exec", "uid=1000"] {
            options.add(word).unwrap();
        }
        let mount = |options, fstype: &str| Work::Mount {
            devnode: b"/dev/sda1".to_vec(),
            device: (8, 1),
            target: b"/media/-\xff\n".to_vec(),
            fstype: fstype.to_owned(),
            options,
        };
        for work in [
            mount(options, "vfat"),
            mount(Options::default(), ""),
            Work::Unmount { target: b"/media/A".to_vec(), detach: true },
            Work::Unmount { target: b"/media/A".to_vec(), detach: false },
            Work::Look { devnode: b"/dev/sda".to_vec() },
        ] {
            let words = work.words();
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            assert_eq!(Work::from_words(&words), Some(work));
        }
        for wrong in [
            "",
            "mount",
            "unmount",
            "look a b",
            "eat a",
            "mount /dev/a /b ext4 8 x",
            "mount /dev/a /b ext4 8 1 bind",
        ] {
            let wrong: Vec<&[u8]> = wrong.split_whitespace().map(str::as_bytes).collect();
            assert_eq!(Work::from_words(&wrong), None);
        }
    }

    #[test]
    fn what_was_read_is_told_in_one_piece() {
        let contents = Contents { fstype: "ext4".into(), label: b"A\xff".to_vec(), uuid: b"1".to_vec() };
        assert_eq!(Contents::parse(b"ext4\0A\xff\x001"), contents);
        assert_eq!(Contents::parse(b""), Contents::default());
    }
}
