//! Filters of system calls, as classic BPF for `seccomp(2)`.
//!
//! The kernel works out once for each number whether it is always allowed (since 5.11), so a table's length costs
//! nothing later.

use libc::sock_filter;

/// The profiles that a definition can name, and what each does, for people.
pub(crate) const PROFILES: &[(&str, &str)] = &[
    (
        "service",
        "all but what a service has no business with: mounts, modules, namespaces, clocks, reboot, tracing, keys, \
         BPF, io_uring, raw hardware",
    ),
    ("network-client", "as service, and nobody can connect to it: no listen and accept"),
    (
        "strict",
        "only files, memory, processes and threads, time, pipes, and sockets of UNIX and IP; no other user, \
         no owner of a file is changed",
    ),
];

/// The filter of a profile; `None` if there is no such profile.
pub(super) fn profile(name: &str) -> Option<Vec<sock_filter>> {
    let mut filter = Filter::new(REFUSE);
    match name {
        "service" => filter.dangerous(),
        "network-client" => {
            filter.dangerous();
            for call in [libc::SYS_listen, libc::SYS_accept4] {
                filter.on(call, REFUSE);
            }
            #[cfg(not(target_arch = "s390x"))]
            filter.on(libc::SYS_accept, REFUSE);
        }
        "strict" => {
            filter.refused_arguments();
            // AF_UNIX, AF_INET, AF_INET6: anything else is another address family than it can have.
            for family in [1, 2, 10] {
                filter.on_equal(libc::SYS_socket, 0, family, ALLOW);
            }
            filter.on(libc::SYS_socket, libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32);
            for call in STRICT.iter().chain(STRICT_HERE) {
                filter.on(*call, ALLOW);
            }
            // What came after this table is not there, so that libraries do without.
            filter.from(NEWER, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
            filter.end(REFUSE);
            return Some(filter.0);
        }
        _ => return None,
    }
    filter.end(ALLOW);
    Some(filter.0)
}

/// Notifies of `listen(2)` and, if there are datagrams to wait for, `bind(2)`.
pub(super) fn listens(datagrams: bool) -> Vec<sock_filter> {
    let mut filter = Filter::new(ALLOW);
    filter.on(libc::SYS_listen, libc::SECCOMP_RET_USER_NOTIF);
    if datagrams {
        filter.on(libc::SYS_bind, libc::SECCOMP_RET_USER_NOTIF);
    }
    filter.end(ALLOW);
    filter.0
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// Not among libc's numbers for musl on ARM.
#[cfg(target_arch = "arm")]
const RSEQ: libc::c_long = 398;
#[cfg(not(target_arch = "arm"))]
const RSEQ: libc::c_long = libc::SYS_rseq;

/// `AUDIT_ARCH_*` of `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "arm")]
const ARCHITECTURE: u32 = 0x4000_0028;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

/// Where `struct seccomp_data` has the number, the architecture and the lower half of each argument.
const NUMBER: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// The first number that the table of `strict` has not looked at; the same on every architecture.
const NEWER: u32 = 463;

struct Filter(Vec<sock_filter>);

impl Filter {
    /// What to do with calls of another architecture, whose numbers mean something else.
    fn new(foreign: u32) -> Self {
        let mut filter = Self(Vec::with_capacity(256));
        filter.load(ARCHITECTURE_AT);
        filter.jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0);
        filter.end(foreign);
        filter.load(NUMBER);
        // The numbers of x32.
        #[cfg(target_arch = "x86_64")]
        filter.from(0x4000_0000, foreign);
        filter
    }

    fn load(&mut self, at: u32) {
        self.0.push(sock_filter {
            code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
            jt: 0,
            jf: 0,
            k: at,
        });
    }

    fn jump(&mut self, test: u32, value: u32, yes: u8, no: u8) {
        let code = (libc::BPF_JMP | test | libc::BPF_K) as u16;
        self.0.push(sock_filter { code, jt: yes, jf: no, k: value });
    }

    fn end(&mut self, action: u32) {
        self.0.push(sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action });
    }

    fn on(&mut self, call: libc::c_long, action: u32) {
        self.jump(libc::BPF_JEQ, call as u32, 0, 1);
        self.end(action);
    }

    fn from(&mut self, first: u32, action: u32) {
        self.jump(libc::BPF_JGE, first, 0, 1);
        self.end(action);
    }

    fn on_test(&mut self, call: libc::c_long, index: u32, test: u32, value: u32, action: u32) {
        self.jump(libc::BPF_JEQ, call as u32, 0, 4);
        self.load(argument(index));
        self.jump(test, value, 0, 1);
        self.end(action);
        self.load(NUMBER);
    }

    fn on_equal(&mut self, call: libc::c_long, index: u32, value: u32, action: u32) {
        self.on_test(call, index, libc::BPF_JEQ, value, action);
    }

    /// Calls that are ordinary but for one argument.
    fn refused_arguments(&mut self) {
        // New namespaces, with which anybody reaches code of the kernel that only root was meant to reach. The flags of
        // clone3 lie in memory where no filter sees them: without it, libraries use clone.
        let namespaces = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET;
        self.on_test(libc::SYS_clone, 0, libc::BPF_JSET, namespaces.cast_unsigned(), REFUSE);
        self.on(libc::SYS_clone3, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        // Typing on behalf of who sits at the terminal.
        for request in [libc::TIOCSTI as u32, TIOCLINUX] {
            self.on_equal(libc::SYS_ioctl, 1, request, REFUSE);
        }
    }

    fn dangerous(&mut self) {
        self.refused_arguments();
        for call in DANGEROUS.iter().chain(DANGEROUS_HERE) {
            self.on(*call, REFUSE);
        }
    }
}

const TIOCLINUX: u32 = 0x541c;

/// What a service has no business with, even as root.
const DANGEROUS: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const DANGEROUS_HERE: &[libc::c_long] =
    &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const DANGEROUS_HERE: &[libc::c_long] = &[];

/// What ordinary programs call on every architecture.
const STRICT: &[libc::c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // Processes, threads and signals.
    libc::SYS_capget,
    libc::SYS_clone,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    RSEQ,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Who it is.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getuid,
    libc::SYS_seccomp,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getitimer,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    // Files.
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getrandom,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_ioctl,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_tee,
    libc::SYS_truncate,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_vmsplice,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Sockets.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// The older calls that this architecture has beside those.
#[cfg(target_arch = "x86_64")]
const STRICT_HERE: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_fadvise64,
    libc::SYS_fork,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_inotify_init,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_mmap,
    libc::SYS_newfstatat,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_setrlimit,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    341, // arm_sync_file_range
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];
#[cfg(target_arch = "aarch64")]
const STRICT_HERE: &[libc::c_long] = &[
    libc::SYS_fadvise64,
    libc::SYS_getrlimit,
    libc::SYS_mmap,
    libc::SYS_newfstatat,
    libc::SYS_renameat,
    libc::SYS_setrlimit,
    libc::SYS_sync_file_range,
];
#[cfg(target_arch = "riscv64")]
const STRICT_HERE: &[libc::c_long] = &[
    libc::SYS_fadvise64,
    libc::SYS_mmap,
    libc::SYS_newfstatat,
    libc::SYS_riscv_flush_icache,
    libc::SYS_sync_file_range,
];
/// With the calls that have 64-bit offsets and times (numbers above 402), and those of the architecture itself
/// (`__ARM_NR_*`).
#[cfg(target_arch = "arm")]
const STRICT_HERE: &[libc::c_long] = &[
    libc::SYS__llseek,
    libc::SYS__newselect,
    libc::SYS_access,
    270, // arm_fadvise64_64
    libc::SYS_chmod,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_fcntl64,
    libc::SYS_fork,
    libc::SYS_fstat64,
    libc::SYS_fstatat64,
    libc::SYS_fstatfs64,
    libc::SYS_ftruncate64,
    libc::SYS_getegid32,
    libc::SYS_geteuid32,
    libc::SYS_getgid32,
    libc::SYS_getgroups32,
    libc::SYS_getpgrp,
    libc::SYS_getresgid32,
    libc::SYS_getresuid32,
    libc::SYS_getuid32,
    libc::SYS_link,
    libc::SYS_lstat64,
    libc::SYS_mkdir,
    libc::SYS_mmap2,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_sendfile64,
    libc::SYS_setrlimit,
    libc::SYS_sigreturn,
    libc::SYS_stat64,
    libc::SYS_statfs64,
    libc::SYS_symlink,
    341, // arm_sync_file_range
    libc::SYS_truncate64,
    libc::SYS_ugetrlimit,
    libc::SYS_unlink,
    libc::SYS_vfork,
    403,         // clock_gettime64
    406,         // clock_getres_time64
    407,         // clock_nanosleep_time64
    408,         // timer_gettime64
    409,         // timer_settime64
    410,         // timerfd_gettime64
    411,         // timerfd_settime64
    412,         // utimensat_time64
    413,         // pselect6_time64
    414,         // ppoll_time64
    417,         // recvmmsg_time64
    421,         // rt_sigtimedwait_time64
    422,         // futex_time64
    0x000f_0002, // cacheflush
    0x000f_0005, // set_tls
];
