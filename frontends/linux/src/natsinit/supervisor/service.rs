//! One service: what it is, its process, and the descriptors that it is heard by.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use lunix_core::supervise::{Exit, Signal};
use lunix_core::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, pidfd_send_signal, waitid,
};

use super::super::cgroup::Group;
use super::super::definition::{Definition, Notification};
use super::super::plan::Origin;
use super::super::process::Listens;
use super::super::ring::Log;
use super::Token;
use super::activation::Trigger;
use crate::reactor::{Key, Reactor, Ready};
use crate::sys::group::group_of;
use crate::sys::launch::aside;

/// A service in its place.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) definition: Definition,
    /// Where it comes from.
    pub(super) origin: Origin,
    /// What it wrote, once it wrote something.
    pub(super) log: Option<Box<Log>>,
    pub(super) notify: Option<NotifySocket>,
    pub(super) child: Option<Child>,
    pub(super) group: Option<Box<Group>>,
    pub(super) trigger: Trigger,
    /// What it says of itself for people (`STATUS=`).
    pub(super) status: String,
    /// When its process was made.
    pub(super) starting: Instant,
    /// It goes away when it is down.
    pub(super) leaving: bool,
    /// Its processes stand still.
    pub(super) frozen: bool,
    /// Processes of its group that the kernel has killed as memory ran out, as far as was told.
    pub(super) oom_kills: u64,
    /// It was said that it has as many processes as it may.
    pub(super) crowded: bool,
    /// What this kernel lacks for it was said.
    pub(super) warned: bool,
    /// It was there before us.
    pub(super) adopted: bool,
    /// When it was first wanted, made and ready.
    pub(super) times: [Option<Instant>; 3],
    /// It was said that a process is not followed.
    pub(super) refused: bool,
    /// What reloads it is executed now.
    pub(super) reloading: VecDeque<Pid>,
}

/// A process that has not been reaped.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    key: Key,
    /// The one that was made, where the service has named another one as its main process.
    pub(super) made: Option<Made>,
    pub(super) output: Option<(OwnedFd, Key)>,
    pub(super) ready: Option<(OwnedFd, Key)>,
    pub(super) listens: Option<(Listens, Key)>,
}

/// A process that was made, and is not the main one any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) pid: Pid,
    /// Its number may be somebody else's.
    pub(super) reaped: bool,
}

/// The descriptors of a process that was just made, or that was there before us.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) output: Option<OwnedFd>,
    pub(super) ready: Option<OwnedFd>,
    pub(super) listens: Option<Listens>,
}

impl Made {
    pub(super) fn numbers(self) -> (u32, bool) {
        (number(self.pid), self.reaped)
    }

    pub(super) fn from_numbers((pid, reaped): (u32, bool)) -> Option<Self> {
        Some(Self { pid: Pid::from_raw(pid.cast_signed())?, reaped })
    }
}

impl Child {
    /// Watches a process and what it says.
    ///
    /// # Errors
    /// The kernel watches no more; the process was killed and reaped.
    pub(super) fn watch(parts: Parts, place: u16, reactor: &mut Reactor<Token>) -> io::Result<Self> {
        let Parts { pid, pidfd, output, ready, listens } = parts;
        let key = match reactor.add(&pidfd, Token::Exit(place), Ready::READ) {
            Ok(key) => key,
            Err(error) => {
                let _ = pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                return Err(error);
            }
        };
        let mut watched = |fd: OwnedFd, token| {
            let key = reactor.add(&fd, token, Ready::READ).ok()?;
            Some((fd, key))
        };
        let output = output.and_then(|fd| watched(fd, Token::Output(place)));
        let ready = ready.and_then(|fd| watched(fd, Token::Descriptor(place)));
        let listens = listens.and_then(|listens| {
            let key = reactor.add(&listens, Token::Listens(place), Ready::READ).ok()?;
            Some((listens, key))
        });
        Ok(Self { pid, pidfd, key, made: None, output, ready, listens })
    }

    /// Watches another process of the service instead, and what was said until now is still heard.
    ///
    /// # Errors
    /// The kernel watches no more: everything is as it was.
    pub(super) fn follow(
        &mut self,
        main: (Pid, OwnedFd),
        place: u16,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<()> {
        let (pid, pidfd) = main;
        let key = reactor.add(&pidfd, Token::Exit(place), Ready::READ)?;
        reactor.remove(self.key, &self.pidfd);
        let made = Made { pid: self.pid, reaped: false };
        self.made.get_or_insert(made);
        (self.pid, self.pidfd, self.key) = (pid, pidfd, key);
        Ok(())
    }

    /// The process as a number.
    pub(super) fn number(&self) -> u32 {
        number(self.pid)
    }

    /// Sends a signal: SIGKILL to the whole process group, any other to the process.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let named =
            rustix::process::Signal::from_named_raw(signal.0.into()).ok_or(io::ErrorKind::InvalidInput)?;
        pidfd_send_signal(&self.pidfd, named)?;
        if signal == Signal::KILL {
            let _ = self.signal_group(named);
        }
        Ok(())
    }

    /// Sends a signal to the process group, and to that of the process that was made, as far as those are its own.
    ///
    /// # Errors
    /// There is none that could be reached.
    pub(super) fn signal_group(&self, signal: rustix::process::Signal) -> rustix::io::Result<()> {
        // Who is not reaped keeps its number, also as that of a group.
        let own = kill_process_group(self.pid, signal);
        let Some(made) = self.made else { return own };
        if !made.reaped {
            let _ = kill_process(made.pid, signal);
        }
        // And who is in a group keeps that group's.
        match !made.reaped || group_of(self.pid) == Some(made.pid) {
            true => kill_process_group(made.pid, signal).or(own),
            false => own,
        }
    }

    /// Whether the process has ended.
    pub(super) fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ended| ended > 0)
    }

    /// How the process ended, if it has. What is left of its group is killed, and nothing remains of the process.
    pub(super) fn reap(&self) -> Option<Exit> {
        let id = || WaitId::PidFd(self.pidfd.as_fd());
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(id(), peek) {
            Ok(status) => drop(status?),
            // How it ended is for its parent alone, which lives.
            Err(Errno::CHILD) if self.has_ended() => {
                let _ = self.signal_group(rustix::process::Signal::KILL);
                return Some(Exit::Code(-1));
            }
            Err(_) => return None,
        }
        let _ = self.signal_group(rustix::process::Signal::KILL);
        let status = waitid(id(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
        Some(exit(&status))
    }

    /// Closes everything.
    pub(super) fn close(self, reactor: &mut Reactor<Token>) {
        if let Some((fd, key)) = &self.output {
            reactor.remove(*key, fd);
        }
        if let Some((fd, key)) = &self.ready {
            reactor.remove(*key, fd);
        }
        if let Some((listens, key)) = &self.listens {
            reactor.remove(*key, listens);
        }
        reactor.remove(self.key, &self.pidfd);
    }

    /// Closes the descriptor on which it said that it is ready.
    pub(super) fn close_ready(&mut self, reactor: &mut Reactor<Token>) {
        if let Some((fd, key)) = self.ready.take() {
            reactor.remove(key, &fd);
        }
    }

    /// Closes the descriptor of what it listens at, as nobody is left who could ask.
    pub(super) fn close_listens(&mut self, reactor: &mut Reactor<Token>) {
        if let Some((listens, key)) = self.listens.take() {
            reactor.remove(key, &listens);
        }
    }

    /// Closes its output, to which nobody can write any more.
    pub(super) fn close_output(&mut self, reactor: &mut Reactor<Token>) {
        if let Some((fd, key)) = self.output.take() {
            reactor.remove(key, &fd);
        }
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}

fn exit(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// The socket on which a service says how it is (`sd_notify`); it outlives the service's processes.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    key: Key,
}

impl NotifySocket {
    /// A socket for `definition` in `folder`, if it has something to say there.
    ///
    /// # Errors
    /// It cannot be made, or given to the user of the service.
    pub(super) fn open(
        definition: &Definition,
        place: u16,
        folder: &Path,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Option<Self>> {
        if definition.readiness != Notification::Socket && definition.policy.watchdog.is_none() {
            return Ok(None);
        }
        let path = Self::path_of(definition, folder);
        // The folder is ours alone; what is there is left of a run that was killed.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        if definition.identity.user.is_some() {
            // Only who runs as it may speak for it.
            let (user, group) = super::super::process::owner(definition)?;
            std::os::unix::fs::chown(&path, user, group)?;
        }
        Self::watch(socket, path, place, reactor).map(Some)
    }

    /// Goes on with one that was there before us.
    pub(super) fn adopt(
        fd: OwnedFd,
        definition: &Definition,
        place: u16,
        folder: &Path,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Self> {
        Self::watch(fd.into(), Self::path_of(definition, folder), place, reactor)
    }

    fn watch(
        socket: UnixDatagram,
        path: PathBuf,
        place: u16,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Self> {
        let socket = UnixDatagram::from(aside(socket.into()));
        socket.set_nonblocking(true)?;
        let key = reactor.add(&socket, Token::Notify(place), Ready::READ)?;
        Ok(Self { socket, path, key })
    }

    fn path_of(definition: &Definition, folder: &Path) -> PathBuf {
        folder.join(format!("{}.notify", definition.name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one datagram; `None` when there is none now.
    pub(super) fn receive<'b>(&self, space: &'b mut [u8; 4096]) -> Option<&'b [u8]> {
        let length = self.socket.recv(space).ok()?;
        space.get(..length)
    }

    /// Closes it, and nothing of it remains.
    pub(super) fn close(self, reactor: &mut Reactor<Token>) {
        reactor.remove(self.key, &self.socket);
        let _ = std::fs::remove_file(&self.path);
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Service {
    pub(super) fn new(definition: Definition, origin: Origin, now: Instant) -> Self {
        Self {
            log: None,
            trigger: Trigger::default(),
            definition,
            origin,
            notify: None,
            child: None,
            group: None,
            status: String::new(),
            starting: now,
            leaving: false,
            frozen: false,
            oom_kills: 0,
            crowded: false,
            warned: false,
            adopted: false,
            times: [None; 3],
            refused: false,
            reloading: VecDeque::new(),
        }
    }

    /// Others are told of it.
    pub(super) fn is_public(&self) -> bool {
        self.origin != Origin::Hidden
    }

    /// Its log, for what is written now.
    pub(super) fn log(&mut self) -> &mut Log {
        log(&mut self.log, &self.definition)
    }

    pub(super) fn name(&self) -> &str {
        &self.definition.name
    }
}

/// The log of `definition` in its place, for what is written now.
pub(super) fn log<'s>(place: &'s mut Option<Box<Log>>, definition: &Definition) -> &'s mut Log {
    place.get_or_insert_with(|| Box::new(Log::new(&definition.output)))
}
