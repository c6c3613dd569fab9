//! The birth of a process with `clone3(2)`, or `clone(2)` where that is not to be had.

use std::ffi::c_void;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::null;
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// `struct clone_args` of `linux/sched.h`, up to where it chooses the group.
#[repr(C, align(8))]
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) flags: u64,
    pub(super) pidfd: u64,
    child_tid: u64,
    pub(super) parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    pub(super) cgroup: u64,
}

/// What the child begins with. It never returns.
pub(super) type Entry = extern "C" fn(*mut c_void) -> !;

const STACK: usize = 64 << 10;
/// What of it lies above the stack proper, which is aligned: a word of the kernel's.
const WORD: usize = 64;
const GUARD: usize = 16 << 10;
const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The stack of a child that shares our memory. What lies below it cannot be touched.
#[derive(Debug)]
pub(super) struct Stack(*mut c_void);

impl Stack {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: an anonymous mapping where the kernel likes; only our own part of it is made writable.
        unsafe {
            let start =
                mmap_anonymous(std::ptr::null_mut(), GUARD + STACK, ProtFlags::empty(), MapFlags::PRIVATE)?;
            let stack = Self(start);
            mprotect(start.byte_add(GUARD), STACK, MprotectFlags::READ | MprotectFlags::WRITE)?;
            Ok(stack)
        }
    }

    /// Becomes 0, and whoever waits for it (futex(2)) is woken, when the child has another memory or has ended.
    pub(super) fn shared(&self) -> &AtomicU32 {
        // SAFETY: it lies within the mapping, above the stack, and is aligned as the mapping is; it is used as nothing else.
        unsafe { AtomicU32::from_ptr(self.0.byte_add(GUARD + STACK - WORD).cast()) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever had it as stack is gone or has another memory.
        let _ = unsafe { munmap(self.0, GUARD + STACK) };
    }
}

/// A child that was made.
#[derive(Debug)]
pub(super) struct Newborn {
    /// Its number in our namespace.
    pub(super) pid: i32,
    /// Its descriptor.
    pub(super) pidfd: OwnedFd,
}

/// Makes a process that begins with `entry(data)`. With a stack it shares our memory and our table of descriptors, and
/// runs at the same time as we do until it executes a program or ends; without, it has a copy of both. No signal may be
/// able to come until then. Before it runs, the kernel writes its number to `number`.
///
/// # Safety
/// `entry` may only make system calls. With a stack, it leaves the table before it changes anything in it, and `data`,
/// whatever it points to, and the stack live until [`Stack::shared`] is 0.
pub(super) unsafe fn clone(
    flags: u64,
    group: Option<RawFd>,
    stack: Option<&Stack>,
    number: Option<&AtomicU32>,
    entry: Entry,
    data: *mut c_void,
) -> io::Result<Newborn> {
    let mut pidfd: RawFd = -1;
    let mut arguments = Arguments {
        flags: flags | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Arguments::default()
    };
    if let Some(number) = number {
        arguments.flags |= libc::CLONE_PARENT_SETTID as u64;
        arguments.parent_tid = number.as_ptr().addr() as u64;
    }
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.cast_unsigned());
    }
    if let Some(stack) = stack {
        let shared = stack.shared();
        shared.store(1, std::sync::atomic::Ordering::Relaxed);
        arguments.flags |= (libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_CHILD_CLEARTID) as u64;
        arguments.child_tid = std::ptr::from_ref(shared).addr() as u64;
        arguments.stack = (stack.0.addr() + GUARD) as u64;
        arguments.stack_size = (STACK - WORD) as u64;
        // SAFETY: the arguments are whole, the stack is the child's alone; the rest is promised by the caller.
        let pid = unsafe { clone3_shared(&arguments, entry, data) };
        if pid > 0 {
            return Ok(newborn(pid as i32, pidfd));
        }
        Err(io::Error::from_raw_os_error(-pid as i32))
    } else {
        // SAFETY: the arguments are whole; without a stack of its own and CLONE_VM the child goes on with a copy of ours.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) };
        match pid {
            0 => entry(data),
            1.. => Ok(newborn(pid as i32, pidfd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// As [`clone`] with a copy of our memory, in our own group, where that is not to be had: some containers answer ENOSYS.
///
/// # Safety
/// As [`clone`].
pub(super) unsafe fn clone_plain(
    flags: u64,
    number: Option<&AtomicU32>,
    entry: Entry,
    data: *mut c_void,
) -> io::Result<Newborn> {
    let own = AtomicU32::new(0);
    let number = number.unwrap_or(&own).as_ptr();
    let flags = flags as libc::c_long | libc::c_long::from(libc::CLONE_PARENT_SETTID | libc::SIGCHLD);
    // SAFETY: a child with a copy of our memory; the kernel writes one word. The last two arguments are in an order that
    // varies, and zero.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, null::<c_void>(), number, 0_usize, 0_usize) };
    match pid {
        0 => entry(data),
        1.. => {
            // Who was not waited for keeps the number.
            let pidfd = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::NotFound)?;
            Ok(Newborn { pid: pid as i32, pidfd: pidfd_open(pidfd, PidfdFlags::empty())? })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn newborn(pid: i32, pidfd: RawFd) -> Newborn {
    // SAFETY: the kernel made the descriptor for us, just now.
    Newborn { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }
}

/// Whether a child can share our memory: it needs a few words of assembler.
pub(super) const SHARING: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "arm", not(target_feature = "thumb-mode")),
    target_arch = "riscv64"
));

/// The child begins on its own stack, so it cannot return into our frames.
///
/// # Safety
/// As [`clone`]; `arguments` name a stack.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3_shared(arguments: &Arguments, entry: Entry, data: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: the parent's path changes what a system call changes; the child's never comes back.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {data}",
            "call {entry}",
            "ud2",
            "2:",
            data = in(reg) data,
            entry = in(reg) entry,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size_of::<Arguments>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone3_shared(arguments: &Arguments, entry: Entry, data: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: the parent's path changes what a system call changes; the child's never comes back.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, {data}",
            "blr {entry}",
            "brk 1",
            "2:",
            data = in(reg) data,
            entry = in(reg) entry,
            in("x8") libc::SYS_clone3,
            inlateout("x0") arguments as *const Arguments as isize => result,
            in("x1") size_of::<Arguments>(),
        );
    }
    result
}

#[cfg(all(target_arch = "arm", not(target_feature = "thumb-mode")))]
unsafe fn clone3_shared(arguments: &Arguments, entry: Entry, data: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: the parent's path changes what a system call changes; the child's never comes back.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cmp r0, #0",
            "bne 2f",
            "mov r0, {data}",
            "blx {entry}",
            "udf #0",
            "2:",
            data = in(reg) data,
            entry = in(reg) entry,
            in("r7") libc::SYS_clone3,
            inlateout("r0") arguments as *const Arguments as isize => result,
            in("r1") size_of::<Arguments>(),
        );
    }
    result
}

#[cfg(target_arch = "riscv64")]
unsafe fn clone3_shared(arguments: &Arguments, entry: Entry, data: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: the parent's path changes what a system call changes; the child's never comes back.
    unsafe {
        std::arch::asm!(
            "ecall",
            "bnez a0, 2f",
            "mv a0, {data}",
            "jalr {entry}",
            "unimp",
            "2:",
            data = in(reg) data,
            entry = in(reg) entry,
            in("a7") libc::SYS_clone3,
            inlateout("a0") arguments as *const Arguments as isize => result,
            in("a1") size_of::<Arguments>(),
        );
    }
    result
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "arm", not(target_feature = "thumb-mode")),
    target_arch = "riscv64"
)))]
unsafe fn clone3_shared(_: &Arguments, _: Entry, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}
