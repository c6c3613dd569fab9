//! Makes the process of a definition, with everything that the definition says of it.
//!
//! The supervisor prepares every word, path and table; between its birth and its program the new process only makes
//! system calls ([`crate::sys::launch`]). A step that fails ends it, and the error names the step.

mod accounts;
mod filter;
mod listens;
mod plan;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Rlimit, Signal, kill_process, kill_process_group};

use super::cgroup::Group;
use super::definition::{Definition, Notification};
use super::usage;
use crate::sys::launch::{self as birth, At, Birth, Step, aside};
use plan::Plan;

pub(crate) use filter::PROFILES;
pub(crate) use listens::{Heard, Listens, covers};

/// What is to be launched, and what the supervisor gives to it.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// What the service is.
    pub(crate) definition: &'a Definition,
    /// Words to execute instead of the definition's program: what reloads it or undoes it. Nothing waits for their
    /// readiness, so they get neither a descriptor of s6 nor `$NOTIFY_SOCKET` nor a filter of listen(2).
    pub(crate) instead: Option<&'a [String]>,
    /// Variables beside those of the supervisor; the definition's own go before them.
    pub(crate) environment: &'a [(String, String)],
    /// Where it says how it is (`$NOTIFY_SOCKET`).
    pub(crate) notify: Option<&'a Path>,
    /// Its sockets and their names, from descriptor 3 on (`$LISTEN_FDS`, `$LISTEN_FDNAMES`, sd_listen_fds(3)).
    pub(crate) sockets: &'a [(String, BorrowedFd<'a>)],
    /// Its input; `/dev/null` if there is none, and the terminal if the definition names one.
    pub(crate) input: Option<OwnedFd>,
    /// The group it is born in.
    pub(crate) cgroup: Option<&'a Group>,
    /// The kernel kills it when the calling thread ends. PID 1 does without, so that services outlive a re-execution.
    pub(crate) die_with_parent: bool,
    /// Where its number is written before it runs.
    pub(crate) number: Option<&'a AtomicU32>,
    /// How many files it may have open, where the definition says nothing and the supervisor itself may have more.
    pub(crate) files: Option<Rlimit>,
}

/// A process that runs its program. Whoever has it must also reap it.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The process, which leads a process group of its own.
    pub(crate) pid: Pid,
    /// Its descriptor, which is readable when it has ended.
    pub(crate) pidfd: OwnedFd,
    /// The reading end of its stdout and stderr, non-blocking; `None` if they are the supervisor's or a terminal.
    pub(crate) output: Option<OwnedFd>,
    /// The reading end of the descriptor on which it writes a newline when it is ready (s6), non-blocking.
    pub(crate) ready: Option<OwnedFd>,
    /// What it listens at. `None` although the definition wants it if this kernel cannot tell, which `lacks` says; then
    /// its start is all there is to know.
    pub(crate) listens: Option<Listens>,
    /// What the definition asks for and this kernel has not, a line each: landlock, and seeing what it listens at. For
    /// lack of anything else there is no process.
    pub(crate) lacks: Vec<String>,
}

/// Why there is no process. It prints as one line, without the service's name: "user 'x' is not in /etc/passwd",
/// "directory /x: No such file or directory".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchError {
    /// The step that failed, with what it was done to.
    pub(crate) step: String,
    /// What the kernel said; 0 if it was not asked.
    pub(crate) errno: i32,
}

impl LaunchError {
    fn said(step: String) -> Self {
        Self { step, errno: 0 }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            0 => out.write_str(&self.step),
            errno => {
                write!(out, "{}: {}", self.step, Errno::from_raw_os_error(errno))
            }
        }
    }
}

impl std::error::Error for LaunchError {}

/// Makes the process, and comes back when it executes its program.
///
/// # Errors
/// A step failed. No process remains.
pub(crate) fn launch(launch: &Launch<'_>) -> Result<Launched, LaunchError> {
    let plan = Plan::of(launch)?;
    let files = Files::open(launch)?;
    let steps = plan.steps(launch, &files.places);
    let birth = Birth {
        namespaces: plan.namespaces,
        cgroup: launch.cgroup.map(Group::as_fd),
        moves: launch.cgroup.is_some_and(Group::is_killed),
        steps: &steps,
        programs: &plan.programs,
        arguments: &plan.arguments,
        environment: &plan.environment,
        listen_pid: !launch.sockets.is_empty(),
        number: launch.number,
    };
    let born = birth::birth(&birth).map_err(|stillborn| LaunchError {
        step: match stillborn.at {
            At::Birth if launch.cgroup.is_some() => "a process in its group".to_owned(),
            At::Birth => "a process".to_owned(),
            At::Step(step) => steps.get(step).map(Step::to_string).unwrap_or_default(),
            At::Program => plan.name.clone(),
        },
        errno: stillborn.errno,
    })?;
    let mut lacks = plan.lacks;
    let listens = match born.listener {
        None => None,
        Some(Ok(fd)) => Some(Listens::from_fd(aside(fd))),
        Some(Err(errno)) => {
            let why = Errno::from_raw_os_error(errno);
            lacks.push(format!("it is not seen whether it listens ({why}): its start counts as readiness"));
            None
        }
    };
    let Files { output, ready, .. } = files;
    Ok(Launched { pid: born.pid, pidfd: born.pidfd, output, ready, listens, lacks })
}

/// Kills a process, which was not reaped yet, and what came from it, where there is no group of the kernel's: its
/// process group, its session, its children and theirs. What has left all of them is not found.
pub(crate) fn kill_family(leader: Pid) {
    let leader_number = leader.as_raw_nonzero().get().cast_unsigned();
    let mut still = BTreeSet::new();
    // What stands still does not multiply; what was made before it stood is found in the next round.
    for _ in 0..16 {
        let family = usage::family(leader_number).into_iter();
        let new: Vec<_> = family.filter(|pid| still.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        signal(&new, Signal::STOP);
    }
    let _ = kill_process_group(leader, Signal::KILL);
    let still: Vec<_> = still.into_iter().collect();
    signal(&still, Signal::KILL);
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        let _ = kill_process(pid, signal);
    }
}

/// The descriptors of a process to be, and our ends of them.
struct Files<'a> {
    /// What the child has, and under which number.
    places: Vec<(RawFd, RawFd)>,
    output: Option<OwnedFd>,
    ready: Option<OwnedFd>,
    /// The child's ends, until it has them.
    _theirs: Vec<OwnedFd>,
    _launch: &'a Launch<'a>,
}

/// How many sockets a service is given at most.
const SOCKETS: usize = 64;

impl<'a> Files<'a> {
    fn open(launch: &'a Launch<'a>) -> Result<Self, LaunchError> {
        let definition = launch.definition;
        let failed = |step: &str| {
            let step = step.to_owned();
            move |errno: Errno| LaunchError { step, errno: errno.raw_os_error() }
        };
        if launch.sockets.len() > SOCKETS {
            return Err(LaunchError::said(format!("{} sockets: at most {SOCKETS}", launch.sockets.len())));
        }
        let (mut places, mut theirs) = (Vec::new(), Vec::new());
        let (mut output, mut ready) = (None, None);
        if definition.surroundings.terminal.is_none() {
            if launch.input.is_none() {
                let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
                let null = null.map_err(failed("/dev/null"))?;
                places.push((null.as_raw_fd(), 0));
                theirs.push(null);
            }
            if !definition.output.inherit {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("a pipe"))?;
                fcntl_setfl(&read, OFlags::NONBLOCK).map_err(failed("a pipe"))?;
                output = Some(aside(read));
                places.push((write.as_raw_fd(), 1));
                places.push((write.as_raw_fd(), 2));
                theirs.push(write);
            }
        }
        if let (Notification::Descriptor(number), None) = (&definition.readiness, launch.instead) {
            let first = 3;
            let taken = first..first + launch.sockets.len() as RawFd;
            if *number < first || *number > 1023 || taken.contains(number) {
                return Err(LaunchError::said(format!(
                    "descriptor {number} cannot say that it is ready: it is another's, or not from 3 to 1023"
                )));
            }
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("a pipe"))?;
            fcntl_setfl(&read, OFlags::NONBLOCK).map_err(failed("a pipe"))?;
            ready = Some(aside(read));
            places.push((write.as_raw_fd(), *number));
            theirs.push(write);
        }
        if let Some(input) = launch.input.as_ref().filter(|_| definition.surroundings.terminal.is_none()) {
            places.push((input.as_raw_fd(), 0));
        }
        places.extend((3..).zip(launch.sockets).map(|(to, (_, fd))| (fd.as_raw_fd(), to)));
        Ok(Self { places, output, ready, _theirs: theirs, _launch: launch })
    }
}

/// Who a service runs as: its user and its group, `None` where that is the supervisor's own.
///
/// # Errors
/// There is no such user or group.
pub(crate) fn owner(definition: &Definition) -> std::io::Result<(Option<u32>, Option<u32>)> {
    let accounts = accounts::Accounts::read(Path::new("/etc"));
    let missing =
        |what: &str| std::io::Error::new(std::io::ErrorKind::NotFound, format!("there is no '{what}'"));
    let identity = &definition.identity;
    let user = match &identity.user {
        Some(name) => Some(accounts.user(name).ok_or_else(|| missing(name))?),
        None => None,
    };
    let group = match &identity.group {
        Some(name) => Some(accounts.group(name).ok_or_else(|| missing(name))?),
        None => user.as_ref().map(|user| user.group),
    };
    Ok((user.map(|user| user.id), group))
}
