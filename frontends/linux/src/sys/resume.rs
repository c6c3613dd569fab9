//! Becoming another program in place, on purpose or because of a fault: descriptors that are listed in memory stay open, and
//! the program at the same path is executed with the words that it takes to go on.
#![allow(unsafe_code, reason = "signal handlers and execve")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::shared::Shared;

/// What is executed, and what stays open.
#[derive(Debug)]
pub struct Successor {
    /// Programs, in order of preference, as paths.
    programs: Vec<CString>,
    /// The words of its command line, and null.
    words: Vec<*const c_char>,
    /// What `words` points to.
    _held: Vec<CString>,
    table: &'static Shared,
    /// Where in the table words stand that are descriptors plus one, or 0; and how many there are.
    kept: (usize, usize),
    /// Where the number of the signal of a fault is noted.
    fault: usize,
}

// SAFETY: the pointers are to memory that is never changed or freed.
unsafe impl Sync for Successor {}

static SUCCESSOR: AtomicPtr<Successor> = AtomicPtr::new(null_mut());
static AT_FAULT: AtomicBool = AtomicBool::new(false);

/// Signals that mean a fault of ours.
const FAULTS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];
/// The stack on which a fault is handled: the usual one may be what is broken.
const STACK: usize = 64 << 10;

impl Successor {
    /// `programs` are tried in this order with `words`. `kept` says where in `table` descriptors plus one stand, and how
    /// many; `fault` is the place of the word that a fault's signal is written to. `None` if a word holds a zero byte.
    pub fn new(
        programs: Vec<Vec<u8>>,
        words: Vec<Vec<u8>>,
        table: &'static Shared,
        kept: (usize, usize),
        fault: usize,
    ) -> Option<Self> {
        let strings =
            |list: Vec<Vec<u8>>| list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().ok();
        let (programs, held) = (strings(programs)?, strings(words)?);
        let words = held.iter().map(|word| word.as_ptr()).chain([null()]).collect();
        Some(Self { programs, words, _held: held, table, kept, fault })
    }

    /// Makes it what [`succeed`] and every fault from now on execute.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn arm(self) -> io::Result<()> {
        // It stays for as long as the process: a handler may read it at any time.
        SUCCESSOR.store(Box::leak(Box::new(self)), Ordering::Release);
        static ARMED: AtomicBool = AtomicBool::new(false);
        if ARMED.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        static SPACE: AtomicPtr<u8> = AtomicPtr::new(null_mut());
        SPACE.store(Box::leak(vec![0_u8; STACK].into_boxed_slice()).as_mut_ptr(), Ordering::Relaxed);
        // SAFETY: the stack is as large as said and is never freed; the handler makes only calls that are allowed in one
        // (execve, fcntl, write, waitpid, pause) and does not return.
        unsafe {
            let stack =
                libc::stack_t { ss_sp: SPACE.load(Ordering::Relaxed).cast(), ss_flags: 0, ss_size: STACK };
            if libc::sigaltstack(&raw const stack, null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = fault as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_SIGINFO;
            libc::sigemptyset(&raw mut action.sa_mask);
            for signal in FAULTS {
                if libc::sigaction(signal, &raw const action, null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(())
    }

    /// Executes it. Safe to be called from a signal handler.
    fn execute(&self) {
        self.close_on_exec(false);
        for program in &self.programs {
            // SAFETY: the path and the list end with a zero byte and null; the environment is the process's own.
            unsafe { libc::execve(program.as_ptr(), self.words.as_ptr(), environ()) };
        }
        self.close_on_exec(true);
    }

    fn close_on_exec(&self, close: bool) {
        let flag = if close { libc::FD_CLOEXEC } else { 0 };
        let (start, count) = self.kept;
        let listed = (0..count).filter_map(|at| self.table.word(start + 4 * at));
        let listed = listed.map(|word| word.load(Ordering::Relaxed).cast_signed() - 1).filter(|fd| *fd >= 0);
        for fd in listed.chain([self.table.as_fd().as_raw_fd()]) {
            // SAFETY: sets a flag of a descriptor, whatever it is.
            unsafe { libc::fcntl(fd, libc::F_SETFD, flag) };
        }
    }
}

/// Executes the armed successor in our place. Signals that are blocked stay so, and those that wait go on waiting.
///
/// # Errors
/// None of its programs can be executed, or none is armed: everything is as it was.
pub fn succeed() -> io::Error {
    // SAFETY: the pointer is null or to what was leaked for it.
    match unsafe { SUCCESSOR.load(Ordering::Acquire).as_ref() } {
        Some(successor) => {
            successor.execute();
            io::Error::last_os_error()
        }
        None => io::ErrorKind::NotFound.into(),
    }
}

/// Takes over a descriptor that the program before us has left open for us; `None` if there is none of this number.
/// To be called once for each: nobody else in this program may own it.
pub fn inherit(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: sets a flag of a descriptor, which fails if there is none; the caller is told that it becomes the owner.
    unsafe {
        (fd >= 0 && libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

/// From now on a fault ends the process, as it does any other.
pub fn disarm() {
    for signal in FAULTS {
        // SAFETY: sets a disposition that the kernel knows.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

extern "C" fn fault(signal: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the pointer is null or to what was leaked for it.
    let successor = unsafe { SUCCESSOR.load(Ordering::Acquire).as_ref() };
    if let Some(successor) = successor
        && !AT_FAULT.swap(true, Ordering::Relaxed)
    {
        if let Some(word) = successor.table.word(successor.fault) {
            word.store(signal.cast_unsigned(), Ordering::Relaxed);
        }
        successor.execute();
    }
    // SAFETY: only calls that are allowed in a handler, with lists that end with null.
    unsafe {
        if libc::getpid() != 1 {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
            libc::_exit(128 + signal);
        }
        say(b"natsinit: no program can be executed: a shell\n");
        let shell = c"/bin/sh".as_ptr();
        libc::execve(shell, [shell, null()].as_ptr(), environ());
        // The first process must not end. It still buries the dead.
        loop {
            if libc::waitpid(-1, null_mut(), 0) < 0 {
                libc::pause();
            }
        }
    }
}

fn say(text: &[u8]) {
    // SAFETY: `text` is readable for its length.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

fn environ() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: libc's own pointer, which is there from the start; nobody changes the environment after it.
    unsafe { environ }
}
