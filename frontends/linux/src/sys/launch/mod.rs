//! The birth of a process, step by step, without a copy of our memory.
//!
//! What `std::process::Command` cannot do: be born in a group of processes and in namespaces, with capabilities, filters
//! and descriptors at numbers of their own. The child shares our memory until it executes its program, as with
//! `posix_spawn(3)`, which saves the copy of the page tables; unlike there we do not stand still meanwhile, so that a
//! child which never gets so far cannot hold us up for ever. It shares our table of descriptors, too, and copies no more of
//! it than what lies below the highest that it is given: what else we have, and a supervisor has two for each service, has
//! numbers of [`ASIDE`] and above.
#![allow(unsafe_code, reason = "the steps between clone and exec")]

mod clone;
mod step;

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, dumpable_behavior, pidfd_send_signal,
    set_dumpable_behavior, waitid,
};
use rustix::thread::futex;

pub use step::{Step, Tree};

/// The longest that a child may take to its program. Only a device or file system that hangs takes so long; then there
/// are more urgent things than this service.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// New namespaces (clone(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Users: without it the others need privileges.
    pub user: bool,
    /// Mounts.
    pub mount: bool,
    /// Network.
    pub net: bool,
    /// Processes.
    pub pid: bool,
}

impl Namespaces {
    fn flags(self) -> u64 {
        let flag = |is: bool, flag: i32| if is { u64::from(flag.cast_unsigned()) } else { 0 };
        flag(self.user, libc::CLONE_NEWUSER)
            | flag(self.mount, libc::CLONE_NEWNS)
            | flag(self.net, libc::CLONE_NEWNET)
            | flag(self.pid, libc::CLONE_NEWPID)
    }
}

/// Words for `execve(2)`.
#[derive(Debug)]
pub struct Words {
    /// Own what `pointers` point to.
    words: Vec<CString>,
    /// A place for `LISTEN_PID`, which only the child knows, and a null at the end.
    pointers: Vec<Cell<*const c_char>>,
}

impl Words {
    /// These words in this order.
    pub fn new(words: Vec<CString>) -> Self {
        let pointers = words.iter().map(|word| Cell::new(word.as_ptr()));
        let pointers = pointers.chain([Cell::new(null()), Cell::new(null())]).collect();
        Self { words, pointers }
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr().cast()
    }
}

/// A process to be.
#[derive(Debug)]
pub struct Birth<'a> {
    /// The namespaces that are its own.
    pub namespaces: Namespaces,
    /// The folder of the group that it is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// It goes there by itself instead of being born there, which takes longer.
    pub moves: bool,
    /// What it does before it executes its program, in this order.
    pub steps: &'a [Step<'a>],
    /// Where the program may be: the first that is there is executed.
    pub programs: &'a [CString],
    /// Its words.
    pub arguments: &'a Words,
    /// Its variables.
    pub environment: &'a Words,
    /// It is told its own number in `LISTEN_PID`.
    pub listen_pid: bool,
    /// Where its number is written before it runs, for whoever comes after us should we not live to know it.
    pub number: Option<&'a AtomicU32>,
}

/// A process that executes its program. Whoever has it must also reap it.
#[derive(Debug)]
pub struct Born {
    /// Its number.
    pub pid: Pid,
    /// Its descriptor, closed on exec.
    pub pidfd: OwnedFd,
    /// What [`Step::Notify`] made, or its errno.
    pub listener: Option<Result<OwnedFd, i32>>,
}

/// Why a process was not born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stillborn {
    /// How far it came.
    pub at: At,
    /// What the kernel said.
    pub errno: i32,
}

/// How far a child came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// There is none.
    Birth,
    /// The step of this place in [`Birth::steps`].
    Step(usize),
    /// The program.
    Program,
}

/// What the child says: a step and an errno, native.
const MESSAGE: usize = 8;
const PROGRAM: u32 = u32::MAX;
const LISTENER: u32 = u32::MAX - 1;

/// What the child needs.
struct Child<'a> {
    birth: &'a Birth<'a>,
    word: Word<'a>,
    /// It was not born in its group, and must join it.
    groupless: bool,
    /// The signals whose action may be another one than the default.
    signals: u64,
}

/// How a child tells what failed.
enum Word<'a> {
    /// It shares our memory and our descriptors, and our number is this.
    Shared(&'a Failure, Pid),
    /// It has copies of both. On a socket, of which the other end must be the parent's alone.
    Socket { report: BorrowedFd<'a>, ours: BorrowedFd<'a> },
}

/// What failed: [`NOTHING`], or a step, or [`PROGRAM`], and its errno.
struct Failure {
    step: AtomicU32,
    errno: AtomicI32,
}

const NOTHING: u32 = u32::MAX - 2;
/// All 64 of them.
const EVERY_SIGNAL: u64 = u64::MAX;

/// Makes a process.
///
/// # Errors
/// Where it failed. No process remains.
pub fn birth(birth: &Birth<'_>) -> Result<Born, Stillborn> {
    // What sets the score of a process sets that of all who share its memory (mm/oom_kill.c); a descriptor comes back on
    // a socket; and in a namespace of its own processes it cannot see whether we are still there.
    let apart = |step: &Step<'_>| matches!(step, Step::OomScore(_) | Step::Notify(_));
    if !clone::SHARING || birth.namespaces.pid || birth.steps.iter().any(apart) {
        return born_apart(birth);
    }
    match born_shared(birth) {
        Err(Stillborn { at: At::Birth, errno: libc::ENOSYS }) => born_apart(birth),
        born => born,
    }
}

/// From here on are the numbers of descriptors that no child is given.
pub const ASIDE: RawFd = 64;

/// Puts a descriptor that stays for long where the copies that children make of our table do not come.
pub fn aside(fd: OwnedFd) -> OwnedFd {
    // Where the limit of descriptors is so low, it stays where it is, and is copied.
    fcntl_dupfd_cloexec(&fd, ASIDE).unwrap_or(fd)
}

impl Stillborn {
    const fn unborn(errno: i32) -> Self {
        Self { at: At::Birth, errno }
    }

    fn of(error: io::Error) -> Self {
        Self::unborn(error.raw_os_error().unwrap_or(libc::EINVAL))
    }

    fn said(step: u32, errno: i32) -> Self {
        Self { at: if step == PROGRAM { At::Program } else { At::Step(step as usize) }, errno }
    }
}

impl Birth<'_> {
    /// The group that it can be born in.
    fn group(&self) -> Option<RawFd> {
        self.cgroup.filter(|_| !self.moves).map(|group| group.as_raw_fd())
    }
}

/// A child that shares our memory and our table of descriptors.
fn born_shared(birth: &Birth<'_>) -> Result<Born, Stillborn> {
    let stack = clone::Stack::new().map_err(Stillborn::of)?;
    let failure = Failure { step: AtomicU32::new(NOTHING), errno: AtomicI32::new(0) };
    let mut child = Child {
        birth,
        word: Word::Shared(&failure, rustix::process::getpid()),
        groupless: birth.moves,
        signals: ignored(),
    };
    // A change of the user makes the memory undumpable, ours as well while it is shared.
    let dumpable = dumpable_behavior();
    let made = blocked(|| {
        // SAFETY: `begin` only makes system calls, and leaves the table first. It is over when the word of the stack is 0,
        // which is waited for; if that does not come, the stack is not given back, and SIGKILL takes effect before any of
        // our code: nobody looks at what `child` points to.
        unsafe {
            clone::clone(
                birth.namespaces.flags(),
                birth.group(),
                Some(&stack),
                birth.number,
                begin,
                (&raw mut child).cast(),
            )
        }
    });
    let made = made.map_err(Stillborn::of)?;
    let killed = if shares(&stack) {
        let _ = pidfd_send_signal(&made.pidfd, Signal::KILL);
        if shares(&stack) {
            std::mem::forget(stack);
            return Err(Stillborn::unborn(libc::ETIMEDOUT));
        }
        Some(Stillborn::unborn(libc::ETIMEDOUT))
    } else {
        None
    };
    if matches!(dumpable, Ok(DumpableBehavior::Dumpable))
        && !matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable))
    {
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    }
    let failed = match failure.step.load(Ordering::Acquire) {
        NOTHING => killed,
        step => Some(Stillborn::said(step, failure.errno.load(Ordering::Relaxed))),
    };
    born(made, failed, None)
}

/// Waits until the child has another memory; whether it has not, although it had all the time that it may take.
fn shares(stack: &clone::Stack) -> bool {
    while stack.shared().load(Ordering::Acquire) != 0 {
        // Not a private one: the kernel's own wake-up is not. Any other error is a signal, or that it is 0 already.
        let waited = futex::wait(stack.shared(), futex::Flags::empty(), 1, Some(&PATIENCE));
        if waited == Err(rustix::io::Errno::TIMEDOUT) {
            return stack.shared().load(Ordering::Acquire) != 0;
        }
    }
    false
}

/// A child that has copies of our memory and of our table of descriptors.
fn born_apart(birth: &Birth<'_>) -> Result<Born, Stillborn> {
    let (ours, report) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Stillborn::of(errno.into()))?;
    let mut child = Child {
        birth,
        word: Word::Socket { report: report.as_fd(), ours: ours.as_fd() },
        groupless: birth.moves,
        signals: EVERY_SIGNAL,
    };
    let made = blocked(|| {
        let data = (&raw mut child).cast();
        // SAFETY: `begin` only makes system calls, with a copy of all that it uses.
        match unsafe {
            clone::clone(birth.namespaces.flags(), birth.group(), None, birth.number, begin, data)
        } {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                child.groupless = birth.cgroup.is_some();
                // SAFETY: as above.
                unsafe { clone::clone_plain(birth.namespaces.flags(), birth.number, begin, data) }
            }
            made => made,
        }
    });
    drop(report);
    let made = made.map_err(Stillborn::of)?;
    match finish(&ours, &made.pidfd) {
        Finish::Runs(listener) => born(made, None, listener),
        Finish::Failed(stillborn) => born(made, Some(stillborn), None),
        Finish::Hangs => Err(Stillborn::unborn(libc::ETIMEDOUT)),
    }
}

/// What came of a child: one that has failed is reaped.
fn born(
    made: clone::Newborn,
    failed: Option<Stillborn>,
    listener: Option<Result<OwnedFd, i32>>,
) -> Result<Born, Stillborn> {
    if let Some(stillborn) = failed {
        let _ = waitid(WaitId::PidFd(made.pidfd.as_fd()), WaitIdOptions::EXITED);
        return Err(stillborn);
    }
    let pid = Pid::from_raw(made.pid).ok_or(Stillborn::unborn(libc::ESRCH))?;
    Ok(Born { pid, pidfd: aside(made.pidfd), listener })
}

/// The signals that we ignore, which the kernel does not give back their default action at a birth. Ours never change.
fn ignored() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        (1..=64).filter(|signal| is_ignored(*signal)).fold(0, |all, signal| all | 1 << (signal - 1))
    })
}

fn is_ignored(signal: i32) -> bool {
    // libc keeps two of them to itself. The kernel's structure begins with the handler wherever a child shares our memory.
    let mut action = [0_usize; 8];
    // SAFETY: it writes a `struct kernel_sigaction`, which is shorter, and reads none.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, null::<u8>(), action.as_mut_ptr(), 8_usize) };
    let [handler, ..] = action;
    result == 0 && handler == libc::SIG_IGN
}

enum Finish {
    Runs(Option<Result<OwnedFd, i32>>),
    Failed(Stillborn),
    Hangs,
}

/// Waits until the child runs its program or has ended: then it has no copy of the other end any more.
fn finish(ours: &OwnedFd, pidfd: &OwnedFd) -> Finish {
    let mut failed = None;
    let mut listener = None;
    let mut killed = false;
    loop {
        match poll(&mut [PollFd::new(ours, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(0) if killed => return Finish::Hangs,
            Ok(0) => {
                killed = true;
                failed = Some(Stillborn::unborn(libc::ETIMEDOUT));
                let _ = pidfd_send_signal(pidfd, Signal::KILL);
                continue;
            }
            Err(rustix::io::Errno::INTR) => continue,
            _ => {}
        }
        let mut message = [0; MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(ours, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::CMSG_CLOEXEC);
        match got {
            Ok(got) if got.bytes == MESSAGE => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => break,
        }
        let [a, b, c, d, e, f, g, h] = message;
        let (step, errno) = (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]));
        if step == LISTENER {
            let fd = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            });
            listener = Some(fd.ok_or(errno));
            continue;
        }
        failed.get_or_insert(Stillborn::said(step, errno));
    }
    match failed {
        Some(stillborn) => Finish::Failed(stillborn),
        None => Finish::Runs(listener),
    }
}

/// Calls `during` while no signal can come: a handler of ours must not run in the child, which has our memory.
fn blocked<T>(during: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are written before they are read, and live through the calls.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = during();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    result
}

/// What the child begins with.
extern "C" fn begin(data: *mut c_void) -> ! {
    // SAFETY: `birth` passes a `Child`, which lives until this ends; nobody else looks at it meanwhile.
    let child = unsafe { &*data.cast::<Child<'_>>() };
    step::run(child)
}
