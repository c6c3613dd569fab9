//! One running process of a service: its end, its output, its word that it is ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lunix_core::supervise::notify::{Notice, notices};
use lunix_core::supervise::{Exit, Readiness, Signal};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_send_signal, waitid,
};

use super::lines::Lines;
use super::plan::{Output, Program, Unit};
use super::session::Token;
use crate::reactor::{Key, Reactor, Ready};
use crate::sys::spawn::{Spawned, spawn};

/// A process that has not been reaped.
#[derive(Debug)]
pub(super) struct Child {
    process: Spawned,
    key: Key,
    streams: Vec<Stream>,
}

/// The reading end of the child's stdout and stderr.
#[derive(Debug)]
struct Stream {
    pipe: OwnedFd,
    key: Key,
    lines: Lines,
}

/// How many bytes of output are read before others have their turn.
const SHARE: usize = 16 * 1024;

impl Child {
    /// Makes the process of the service number `index`.
    pub(super) fn spawn(
        unit: &Unit,
        index: u16,
        environment: &[(&'static str, String)],
        notify: Option<&Path>,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Self> {
        let mut command = match &unit.program {
            Program::Applet(arguments) => {
                use std::os::unix::process::CommandExt as _;
                let mut command = Command::new("/proc/self/exe");
                // A command of the program `lunix` is not called by its own name, a daemon is.
                match unit.applet_is_daemon() {
                    true => command.arg0(&unit.name),
                    false => command.arg0("lunix").arg(&unit.name),
                };
                command.args(arguments);
                command
            }
            Program::Command(words) => {
                let mut words = words.iter();
                let mut command = Command::new(words.next().map_or("", String::as_str));
                command.args(words);
                command
            }
        };
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        if let Some(path) = notify {
            command.env("NOTIFY_SOCKET", path);
        }
        let mut pipe = None;
        if unit.output == Output::Lines {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            fcntl_setfl(&read, OFlags::NONBLOCK)?;
            command.stdout(write.try_clone()?).stderr(write);
            pipe = Some(read);
        }
        let process = spawn(&mut command)?;
        // The command holds the writing end, whose last copy must be the child's.
        drop(command);
        let key = match reactor.add(&process.pidfd, Token::Exit(index), Ready::READ) {
            Ok(key) => key,
            Err(error) => {
                let _ = pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL);
                let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
                return Err(error);
            }
        };
        let mut child = Self { process, key, streams: Vec::new() };
        if let Some(pipe) = pipe
            && let Ok(key) = reactor.add(&pipe, Token::Output(index), Ready::READ)
        {
            child.streams.push(Stream { pipe, key, lines: Lines::default() });
        }
        Ok(child)
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Sends a signal: SIGKILL to the whole process group, any other to the process.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let named =
            rustix::process::Signal::from_named_raw(signal.0.into()).ok_or(io::ErrorKind::InvalidInput)?;
        pidfd_send_signal(&self.process.pidfd, named)?;
        if signal == Signal::KILL {
            // The leader is not reaped, so the group cannot be somebody else's.
            let _ = kill_process_group(self.process.pid, named);
        }
        Ok(())
    }

    /// How the process ended, if it has. What is left of its group is killed, and nothing remains of the process.
    pub(super) fn reap(&self) -> Option<Exit> {
        let id = || WaitId::PidFd(self.process.pidfd.as_fd());
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(id(), peek).ok()??;
        let _ = kill_process_group(self.process.pid, rustix::process::Signal::KILL);
        let status = waitid(id(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
        Some(exit(&status))
    }

    /// Reads output until there is none now, or until it had its share.
    pub(super) fn read(&mut self, reactor: &mut Reactor<Token>, mut show: impl FnMut(&str)) {
        let mut buffer = [0; SHARE];
        for stream in &mut self.streams {
            match rustix::io::read(&stream.pipe, &mut buffer) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => reactor.read_blocked(stream.key),
                Ok(length) => stream.lines.push(buffer.get(..length).unwrap_or_default(), &mut show),
                Err(_) => reactor.read_blocked(stream.key),
            }
        }
    }

    /// Takes the last output and closes everything.
    pub(super) fn close(mut self, reactor: &mut Reactor<Token>, mut show: impl FnMut(&str)) {
        let mut buffer = [0; SHARE];
        for stream in &mut self.streams {
            // A pipe holds 64 KiB; whoever still writes into it has lost the service.
            for _ in 0..8 {
                match rustix::io::read(&stream.pipe, &mut buffer) {
                    Ok(length @ 1..) => {
                        stream.lines.push(buffer.get(..length).unwrap_or_default(), &mut show)
                    }
                    _ => break,
                }
            }
            stream.lines.end(&mut show);
            reactor.remove(stream.key, &stream.pipe);
        }
        reactor.remove(self.key, &self.process.pidfd);
    }
}

fn exit(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// The socket on which a service says that it is ready; it outlives the service's processes.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    /// A socket for `unit` in `folder`, unless its readiness is its start.
    pub(super) fn open(
        unit: &Unit,
        index: u16,
        folder: &Path,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Option<Self>> {
        if unit.policy.readiness == Readiness::Start {
            return Ok(None);
        }
        let path = folder.join(format!("{}.notify", unit.name));
        // The folder is ours alone; what is there is left of a run that was killed.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        reactor.add(&socket, Token::Notify(index), Ready::READ)?;
        Ok(Some(Self { socket, path }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one datagram; `None` when there is none now. Says whether it tells readiness.
    pub(super) fn receive(&self) -> Option<bool> {
        let mut datagram = [0; 4096];
        let length = self.socket.recv(&mut datagram).ok()?;
        Some(notices(datagram.get(..length).unwrap_or_default()).any(|notice| notice == Notice::Ready))
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
