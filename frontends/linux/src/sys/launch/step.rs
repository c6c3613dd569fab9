//! What a child does between its birth and its program. Only system calls: it may share our memory.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::null;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Child, Failure, LISTENER, MESSAGE, PROGRAM, Word};
use crate::sys::{landlock, mounts, seccomp};

/// One thing that a child does. They are done in the order in which they stand, which is the caller's to choose: what
/// needs privileges comes before they are given up.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Each first descriptor becomes the second number; everything else from 3 on is closed by exec. Must come first.
    Descriptors(&'a [(RawFd, RawFd)]),
    /// The user and group that it is in its user namespace: the lines of `uid_map` and `gid_map`.
    Users(&'a CStr, &'a CStr),
    /// It leads a process group.
    ProcessGroup,
    /// It leads a session.
    Session,
    /// It leads a session on this terminal, which is its input and output.
    Terminal(&'a CStr),
    /// The parent gets a descriptor that tells of the calls which this filter notifies of. A kernel that has no such
    /// thing is no mistake.
    Notify(&'a [libc::sock_filter]),
    /// How willingly the kernel kills it for lack of memory, in digits.
    OomScore(&'a CStr),
    /// Its niceness.
    Nice(i32),
    /// A limit for each process, with its name.
    Limit(&'static str, Resource, Rlimit),
    /// Its umask.
    Umask(u32),
    /// Its loopback interface is up.
    Loopback,
    /// What is mounted in its namespace stays there.
    OwnMounts,
    /// This tree is to be as it is now, whatever becomes of what is around it.
    Keep(Tree<'a>),
    /// Everything is read-only.
    ReadOnly,
    /// An empty tmpfs for anybody's files, if there is such a folder.
    Temporary(&'a CStr),
    /// A tree that was kept is back at its place.
    Return(Tree<'a>),
    /// `/proc` shows its own namespace.
    Proc,
    /// These capabilities are all that can ever be had, as bits.
    Bounding(u64),
    /// Capabilities outlast the change of the user.
    KeepCapabilities,
    /// Its supplementary groups.
    Groups(&'a [u32]),
    /// Its group.
    Group(u32),
    /// Its user.
    User(u32),
    /// The capabilities that it has, as bits.
    Capabilities(u64),
    /// A capability that its program inherits, by number.
    Ambient(u8),
    /// Its working directory.
    Directory(&'a CStr),
    /// It gains nothing by what it executes.
    NoNewPrivileges,
    /// The kinds of access that landlock forbids from here on unless a path allows them.
    Landlock(u64),
    /// The kinds of access that are allowed below a path.
    Allow(&'a CStr, u64),
    /// Landlock's rules are in force.
    Enforce,
    /// It is killed when its parent ends.
    DieWithParent,
    /// A filter of its system calls. Must come last.
    Filter(&'a [libc::sock_filter]),
}

/// A tree of mounts that a child carries from [`Step::Keep`] to [`Step::Return`].
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Where it is.
    pub path: &'a CStr,
    /// Which of the child's places it takes, below [`Tree::MOST`].
    pub place: u8,
    /// It is made anew on an empty file system, so its folders are made.
    pub anew: bool,
}

impl Tree<'_> {
    /// How many trees a child can carry.
    pub const MOST: u8 = 64;
}

impl fmt::Display for Step<'_> {
    /// What it does and with what, as the start of a line that goes on with what the kernel said.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |out: &mut fmt::Formatter<'_>, what: &str, path: &CStr| {
            write!(out, "{what} {}", path.to_string_lossy())
        };
        match self {
            Self::Descriptors(_) => out.write_str("its descriptors"),
            Self::Users(..) => out.write_str("a namespace of users"),
            Self::ProcessGroup => out.write_str("a process group"),
            Self::Session => out.write_str("a session"),
            Self::Terminal(terminal) => path(out, "terminal", terminal),
            Self::Notify(_) => out.write_str("asking about listen(2)"),
            Self::OomScore(score) => path(out, "oom_score", score),
            Self::Nice(nice) => write!(out, "nice {nice}"),
            Self::Limit(name, _, Rlimit { maximum: Some(limit), .. }) => write!(out, "{name} {limit}"),
            Self::Limit(name, ..) => write!(out, "{name} infinity"),
            Self::Umask(mask) => write!(out, "umask {mask:03o}"),
            Self::Loopback => out.write_str("a loopback interface"),
            Self::OwnMounts => out.write_str("mounts of its own"),
            Self::Keep(tree) | Self::Return(tree) => path(out, "keeping", tree.path),
            Self::ReadOnly => out.write_str("read-only mounts"),
            Self::Temporary(folder) => path(out, "a private", folder),
            Self::Proc => out.write_str("a /proc of its own"),
            Self::Bounding(_) => out.write_str("giving capabilities up"),
            Self::KeepCapabilities => out.write_str("keeping capabilities"),
            Self::Groups(_) => out.write_str("supplementary groups"),
            Self::Group(group) => write!(out, "group {group}"),
            Self::User(user) => write!(out, "user {user}"),
            Self::Capabilities(_) => out.write_str("capabilities"),
            Self::Ambient(capability) => write!(out, "capability {capability}"),
            Self::Directory(folder) => path(out, "directory", folder),
            Self::NoNewPrivileges => out.write_str("no_new_privileges"),
            Self::Landlock(_) | Self::Enforce => out.write_str("landlock"),
            Self::Allow(allowed, _) => path(out, "landlock", allowed),
            Self::DieWithParent => out.write_str("dying with the supervisor"),
            Self::Filter(_) => out.write_str("seccomp"),
        }
    }
}

/// What a child carries from step to step.
struct State<'a> {
    report: Report<'a>,
    trees: [Option<OwnedFd>; Tree::MOST as usize],
    ruleset: Option<OwnedFd>,
}

/// Where it tells what failed.
enum Report<'a> {
    Shared(&'a Failure, Pid),
    Socket(RawFd),
}

/// Does everything, and tells what failed.
pub(super) fn run(child: &Child<'_>) -> ! {
    match prepare(child) {
        Ok(report) => {
            let mut state = State { report, trees: [const { None }; Tree::MOST as usize], ruleset: None };
            let outcome = (0..).zip(child.birth.steps).try_for_each(|(index, step)| {
                state.take(*step).map_err(|errno| (index, errno.raw_os_error()))
            });
            let (step, errno) = match outcome {
                Err(failed) => failed,
                Ok(()) => (PROGRAM, execute(child)),
            };
            state.report.say(step, errno);
        }
        Err(errno) => match child.word {
            Word::Shared(failure, pid) => Report::Shared(failure, pid).say(PROGRAM, errno.raw_os_error()),
            Word::Socket { report, .. } => {
                Report::Socket(report.as_raw_fd()).say(PROGRAM, errno.raw_os_error());
            }
        },
    }
    // SAFETY: ends this process, without anything that is to run at our end.
    unsafe { libc::_exit(127) }
}

/// Leaves what is shared, clears what is inherited, and gives a report a number above all that are wanted.
fn prepare<'a>(child: &Child<'a>) -> Result<Report<'a>, Errno> {
    if let Word::Shared(..) = child.word {
        own_table(child)?;
    }
    // The kernel has cleared handlers already, where it can; what is ignored would be inherited. The structure of the
    // kernel is zero for the default action of every architecture, and shorter than this.
    let default = [0_u64; 8];
    for signal in (1..=64).filter(|signal| child.signals >> (signal - 1) & 1 == 1) {
        // SAFETY: it reads a `struct kernel_sigaction`, which lives until it returns; it refuses SIGKILL and SIGSTOP.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null::<u8>(), 8_usize) };
    }
    if child.groupless
        && let Some(group) = child.birth.cgroup
    {
        let procs = openat(group, c"cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&procs, b"0")?;
    }
    match child.word {
        Word::Shared(failure, pid) => Ok(Report::Shared(failure, pid)),
        Word::Socket { report, ours } => {
            // SAFETY: the parent's end in this process, where nobody else uses it: it must be the parent's alone.
            unsafe { libc::close(ours.as_raw_fd()) };
            let above = above(places(child).map(|(_, to)| to));
            Ok(Report::Socket(fcntl_dupfd_cloexec(report, above)?.into_raw_fd()))
        }
    }
}

/// The descriptors that it is given, and their numbers.
fn places(child: &Child<'_>) -> impl Iterator<Item = (RawFd, RawFd)> {
    let all = child.birth.steps.iter().filter_map(|step| match step {
        Step::Descriptors(places) => Some(places.iter().copied()),
        _ => None,
    });
    all.flatten()
}

/// The first number that is above all of these and the usual three.
fn above(numbers: impl Iterator<Item = RawFd>) -> RawFd {
    numbers.max().unwrap_or(2).max(2).saturating_add(1)
}

/// Leaves the parent's table of descriptors for one of its own, with what it needs of it.
fn own_table(child: &Child<'_>) -> Result<(), Errno> {
    let group = child.birth.cgroup.map(|group| group.as_raw_fd()).filter(|_| child.groupless);
    let first = above(places(child).map(|(from, _)| from).chain(group));
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: numbers. What is closed is closed in the new table alone.
    if unsafe { libc::syscall(libc::SYS_close_range, first, RawFd::MAX, flags) } >= 0 {
        return Ok(());
    }
    // Kernels before 5.9 have no such call.
    // SAFETY: a number.
    answer(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FILES) })
}

impl Report<'_> {
    fn say(&self, step: u32, errno: i32) {
        match self {
            Self::Shared(failure, _) => {
                failure.errno.store(errno, Ordering::Relaxed);
                failure.step.store(step, Ordering::Release);
            }
            Self::Socket(fd) => {
                // SAFETY: it was made by `prepare`, or is the parent's, and nobody has closed it.
                let _ = rustix::io::write(unsafe { BorrowedFd::borrow_raw(*fd) }, &message(step, errno));
            }
        }
    }

    /// Whether the parent is still there.
    fn is_heard(&self) -> bool {
        match self {
            Self::Shared(_, parent) => rustix::process::getppid() == Some(*parent),
            Self::Socket(fd) => {
                // SAFETY: it was made by `prepare` and nobody has closed it.
                let report = unsafe { BorrowedFd::borrow_raw(*fd) };
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut [PollFd::from_borrowed_fd(report, PollFlags::empty())], Some(&now)) == Ok(0)
            }
        }
    }
}

fn message(step: u32, errno: i32) -> [u8; MESSAGE] {
    let ([a, b, c, d], [e, f, g, h]) = (step.to_ne_bytes(), errno.to_ne_bytes());
    [a, b, c, d, e, f, g, h]
}

impl State<'_> {
    fn take(&mut self, step: Step<'_>) -> Result<(), Errno> {
        match step {
            Step::Descriptors(places) => self.descriptors(places),
            Step::Users(users, groups) => {
                // Without this an ordinary user may not say what the groups are. Kernels before 3.19 have no such file.
                match put(c"/proc/self/setgroups", c"deny") {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno),
                }
                put(c"/proc/self/uid_map", users)?;
                put(c"/proc/self/gid_map", groups)
            }
            Step::ProcessGroup => rustix::process::setpgid(None, None),
            Step::Session => rustix::process::setsid().map(drop),
            Step::Terminal(path) => terminal(path),
            Step::Notify(filter) => self.notify(filter),
            Step::OomScore(score) => put(c"/proc/self/oom_score_adj", score),
            Step::Nice(nice) => rustix::process::setpriority_process(None, nice),
            Step::Limit(_, resource, limit) => rustix::process::setrlimit(resource, limit),
            Step::Umask(mask) => {
                rustix::process::umask(Mode::from_raw_mode(mask));
                Ok(())
            }
            Step::Loopback => loopback(),
            Step::OwnMounts => mounts::own(),
            Step::Keep(tree) => {
                let fd = mounts::copy(tree.path)?;
                *self.trees.get_mut(usize::from(tree.place)).ok_or(Errno::TOOBIG)? = Some(fd);
                Ok(())
            }
            Step::ReadOnly => mounts::read_only(),
            Step::Temporary(folder) => match mounts::temporary(folder) {
                Err(Errno::NOENT) => Ok(()),
                result => result,
            },
            Step::Return(tree) => {
                let kept = self.trees.get_mut(usize::from(tree.place)).and_then(Option::take);
                let kept = kept.ok_or(Errno::BADF)?;
                if tree.anew {
                    make(tree.path)?;
                }
                mounts::put(&kept, tree.path)
            }
            Step::Proc => mounts::proc(),
            Step::Bounding(keep) => bounding(keep),
            Step::KeepCapabilities => rustix::thread::set_keep_capabilities(true),
            Step::Groups(groups) => {
                // SAFETY: it reads as many numbers as it is told of.
                answer(unsafe { libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()) })
            }
            // SAFETY: numbers, for this thread alone, which is the only one of its process.
            Step::Group(group) => answer(unsafe { libc::syscall(SETRESGID, group, group, group) }),
            // SAFETY: as above.
            Step::User(user) => answer(unsafe { libc::syscall(SETRESUID, user, user, user) }),
            Step::Capabilities(bits) => {
                let set = CapabilitySet::from_bits_retain(bits);
                let sets = CapabilitySets { effective: set, permitted: set, inheritable: set };
                rustix::thread::set_capabilities(None, sets)
            }
            Step::Ambient(capability) => {
                // SAFETY: numbers.
                answer(unsafe {
                    libc::syscall(
                        libc::SYS_prctl,
                        libc::PR_CAP_AMBIENT,
                        libc::PR_CAP_AMBIENT_RAISE as usize,
                        usize::from(capability),
                        0_usize,
                        0_usize,
                    )
                })
            }
            Step::Directory(path) => rustix::process::chdir(path),
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::Landlock(handled) => {
                self.ruleset = Some(landlock::ruleset(handled)?);
                Ok(())
            }
            Step::Allow(path, access) => {
                let ruleset = self.ruleset.as_ref().ok_or(Errno::BADF)?;
                landlock::allow(ruleset.as_fd(), path, access)
            }
            Step::Enforce => landlock::enforce(self.ruleset.as_ref().ok_or(Errno::BADF)?.as_fd()),
            Step::DieWithParent => {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                // A parent that died before sends no signal any more.
                if self.report.is_heard() { Ok(()) } else { Err(Errno::PIPE) }
            }
            Step::Filter(filter) => {
                unblock();
                seccomp::install(filter)
            }
        }
    }

    fn descriptors(&self, places: &[(RawFd, RawFd)]) -> Result<(), Errno> {
        // First above all that are wanted, where none is in the way of another.
        let above = above(places.iter().map(|(_, to)| *to));
        let mut last = 2;
        let mut copies = [(-1, -1); 80];
        for (copy, (from, to)) in copies.iter_mut().zip(places) {
            // SAFETY: the caller's, which are open.
            let from = unsafe { BorrowedFd::borrow_raw(*from) };
            *copy = (fcntl_dupfd_cloexec(from, above)?.into_raw_fd(), *to);
        }
        if places.len() > copies.len() {
            return Err(Errno::MFILE);
        }
        for (from, to) in copies.iter().filter(|(from, _)| *from >= 0) {
            // SAFETY: numbers of this process alone, whose table is a copy.
            answer(unsafe { libc::syscall(libc::SYS_dup3, *from, *to, 0) })?;
        }
        // Whatever we have inherited is not for services.
        for _ in 0..=places.len() {
            let next = places.iter().map(|(_, to)| *to).filter(|to| *to > last).min();
            let (from, until) = (last + 1, next.unwrap_or(RawFd::MAX));
            if from < until {
                let flags = libc::CLOSE_RANGE_CLOEXEC;
                // SAFETY: numbers. Kernels before 5.11 do not know it; then what we have inherited is inherited.
                let _ = unsafe { libc::syscall(libc::SYS_close_range, from, until - 1, flags) };
            }
            match next {
                Some(next) => last = next,
                None => break,
            }
        }
        Ok(())
    }

    fn notify(&self, filter: &[libc::sock_filter]) -> Result<(), Errno> {
        let Report::Socket(report) = self.report else { return Err(Errno::NOTSOCK) };
        match seccomp::listener(filter) {
            Err(errno) => self.report.say(LISTENER, errno.raw_os_error()),
            Ok(fd) => {
                use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let fds = [fd.as_fd()];
                control.push(SendAncillaryMessage::ScmRights(&fds));
                let message = message(LISTENER, 0);
                // SAFETY: it was made by `prepare` and nobody has closed it.
                let report = unsafe { BorrowedFd::borrow_raw(report) };
                sendmsg(report, &[std::io::IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
            }
        }
        Ok(())
    }
}

/// 32-bit architectures have older calls of these names, for 16-bit numbers.
#[cfg(target_arch = "arm")]
const SETGROUPS: libc::c_long = 206;
#[cfg(target_arch = "arm")]
const SETRESUID: libc::c_long = 208;
#[cfg(target_arch = "arm")]
const SETRESGID: libc::c_long = 210;
#[cfg(not(target_arch = "arm"))]
const SETGROUPS: libc::c_long = libc::SYS_setgroups;
#[cfg(not(target_arch = "arm"))]
const SETRESUID: libc::c_long = libc::SYS_setresuid;
#[cfg(not(target_arch = "arm"))]
const SETRESGID: libc::c_long = libc::SYS_setresgid;

/// What a system call answered.
fn answer(result: libc::c_long) -> Result<(), Errno> {
    if result >= 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

/// Writes a file that is there.
fn put(path: &CStr, text: &CStr) -> Result<(), Errno> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(drop)
}

fn terminal(path: &CStr) -> Result<(), Errno> {
    rustix::process::setsid()?;
    // A serial line without a carrier would hold us up.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = openat(CWD, path, flags, Mode::empty())?;
    // SAFETY: the call reads no memory; 1 takes the terminal from the session that has it, which only root may.
    let mut taken =
        answer(unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSCTTY, 1_usize) });
    if taken == Err(Errno::PERM) {
        taken = rustix::process::ioctl_tiocsctty(&terminal);
    }
    taken?;
    rustix::fs::fcntl_setfl(&terminal, OFlags::empty())?;
    for number in 0..3 {
        // SAFETY: numbers of this process alone, whose table is a copy.
        answer(unsafe { libc::syscall(libc::SYS_dup3, terminal.as_raw_fd(), number, 0) })?;
    }
    Ok(())
}

/// `struct ifreq` of `net/if.h`, with flags.
#[repr(C)]
struct Interface {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

fn loopback() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut lo = Interface { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: 0, rest: [0; 22] };
    // SAFETY: both read and write one `struct ifreq`, which lives until they return.
    unsafe {
        answer(libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut lo))?;
        lo.flags |= libc::IFF_UP as i16;
        answer(libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut lo))
    }
}

fn bounding(keep: u64) -> Result<(), Errno> {
    for capability in 0..64_u32 {
        // SAFETY: numbers.
        let prctl = |option: libc::c_int| unsafe {
            libc::syscall(libc::SYS_prctl, option, capability as usize, 0_usize, 0_usize, 0_usize)
        };
        match prctl(libc::PR_CAPBSET_READ) {
            0 => {}
            1 if keep >> capability & 1 == 1 => {}
            1 => answer(prctl(libc::PR_CAPBSET_DROP))?,
            _ => break,
        }
    }
    Ok(())
}

/// Makes what a file is to be mounted on: an empty file, and the folders that lead to it.
fn make(path: &CStr) -> Result<(), Errno> {
    let mut part = [0_u8; 512];
    let bytes = path.to_bytes();
    let room = part.get_mut(..bytes.len()).ok_or(Errno::NAMETOOLONG)?;
    room.copy_from_slice(bytes);
    for at in 1..bytes.len() {
        if bytes.get(at) == Some(&b'/') {
            if let Some(end) = part.get_mut(at) {
                *end = 0;
            }
            let folder = CStr::from_bytes_until_nul(&part).map_err(|_| Errno::INVAL)?;
            match rustix::fs::mkdirat(CWD, folder, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            if let Some(end) = part.get_mut(at) {
                *end = b'/';
            }
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// Lets signals come again: from here on they have their default effect.
fn unblock() {
    let none = 0_u64;
    // SAFETY: it reads a mask of 64 bits, which lives until it returns.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, null::<u8>(), 8_usize)
    };
}

/// Executes the program; comes back with what the kernel said.
fn execute(child: &Child<'_>) -> i32 {
    let birth = child.birth;
    let mut text = [0_u8; 32];
    if birth.listen_pid {
        listen_pid(birth, &mut text);
    }
    if !matches!(birth.steps.last(), Some(Step::Filter(_))) {
        unblock();
    }
    let mut errno = Errno::NOENT;
    for program in birth.programs {
        // SAFETY: the words and variables end with a null, and all they point to lives.
        let result = unsafe {
            libc::syscall(
                libc::SYS_execve,
                program.as_ptr(),
                birth.arguments.as_ptr(),
                birth.environment.as_ptr(),
            )
        };
        // As execvp(3): one that may not be executed is remembered, one that is not there is not.
        match answer(result) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => errno = Errno::ACCESS,
            Err(other) => return other.raw_os_error(),
            Ok(()) => break,
        }
    }
    errno.raw_os_error()
}

/// Puts `LISTEN_PID` into the place that [`super::Words`] left for it.
fn listen_pid(birth: &super::Birth<'_>, text: &mut [u8; 32]) {
    let pid = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    let (mut digits, mut rest, mut at) = ([0_u8; 10], pid, 10);
    while at > 0 && (rest > 0 || at == 10) {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
    }
    let bytes = b"LISTEN_PID=".iter().chain(digits.iter().skip(at)).chain(&[0]);
    for (to, from) in text.iter_mut().zip(bytes) {
        *to = *from;
    }
    let words = birth.environment;
    if let Some(place) = words.pointers.get(words.words.len()) {
        place.set(text.as_ptr().cast());
    }
}
