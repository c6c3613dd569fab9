//! What a service listens at: the kernel asks us before listen(2) is done.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix, SocketType, bind, getsockname, listen, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::natsinit::definition::Address;
use crate::sys::seccomp::{self, Answer, Question};

/// The descriptor on which the kernel asks for every listen(2) and, if a datagram socket is waited for, bind(2) of a
/// service (seccomp_unotify(2)). It is readable when there is a question. The service stands still until it is
/// answered, for as long as it lives: also after it was found ready.
#[derive(Debug)]
pub(crate) struct Listens(OwnedFd);

/// A question that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It listens at this address now. For `unixgram:`, and a privileged port in a namespace of its own, it is about to:
    /// such a socket is bound by the kernel itself.
    Address(Address),
    /// It listens, but the kernel does not let us see where.
    Somewhere,
    /// A socket of another kind, a call that failed as it would have without us, or a process that is gone.
    Other,
}

impl Listens {
    /// Takes over a descriptor that [`AsFd`] gave before a re-execution.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Answers the next question, doing what the service asked for. `None` when there is none now.
    ///
    /// # Errors
    /// Nobody is left who could ask: the descriptor can be closed.
    pub(crate) fn next(&self) -> io::Result<Option<Heard>> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&now))?;
        let [fd] = fds;
        // Reading would wait.
        if !fd.revents().contains(PollFlags::IN) {
            let gone = fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            return if gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(None) };
        }
        let question = match seccomp::question(self.0.as_fd()) {
            Ok(question) => question,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Some(Heard::Other)),
            Err(error) => return Err(error),
        };
        let (answer, heard) = self.answer(&question);
        // Whoever is gone needs no answer.
        let _ = seccomp::answer(self.0.as_fd(), question.id, answer);
        Ok(Some(heard))
    }

    fn answer(&self, question: &Question) -> (Answer, Heard) {
        let (process, socket) = match take(question) {
            Ok(taken) => taken,
            Err(Errno::BADF) => return (Answer::Result(Err(libc::EBADF)), Heard::Other),
            Err(_) if libc::c_long::from(question.number) == libc::SYS_listen => {
                return (Answer::Continue, Heard::Somewhere);
            }
            Err(_) => return (Answer::Continue, Heard::Other),
        };
        // The number of the thread could be another's by now, and the socket with it.
        if !seccomp::waits(self.0.as_fd(), question.id) {
            return (Answer::Continue, Heard::Other);
        }
        let [_, second, third, ..] = question.arguments;
        if libc::c_long::from(question.number) == libc::SYS_listen {
            return match listen(&socket, second as i32) {
                Ok(()) => (Answer::Result(Ok(0)), address(&socket, process)),
                Err(errno) => (Answer::Result(Err(errno.raw_os_error())), Heard::Other),
            };
        }
        if sockopt::socket_type(&socket) != Ok(SocketType::DGRAM) {
            return (Answer::Continue, Heard::Other);
        }
        self.datagram(question.id, process, &socket, second, third)
    }

    /// Binds a datagram socket. The address is read once, and that is what is bound.
    fn datagram(&self, id: u64, process: Pid, socket: &OwnedFd, at: u64, len: u64) -> (Answer, Heard) {
        let mut bytes = [0; 128];
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        let read = std::fs::File::open(format!("/proc/{process}/mem"))
            .and_then(|memory| memory.read_exact_at(bytes.get_mut(..len).unwrap_or_default(), at));
        if read.is_err() || !seccomp::waits(self.0.as_fd(), id) {
            return (Answer::Continue, Heard::Other);
        }
        let [low, high, ..] = bytes;
        let family = i32::from(u16::from_ne_bytes([low, high]));
        let wanted = match (family, bytes) {
            // `struct sockaddr_in`, `struct sockaddr_in6`.
            (libc::AF_INET, [_, _, p, q, a, b, c, d, ..]) if len >= 16 => {
                SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p, q])))
            }
            (libc::AF_INET6, [_, _, p, q, rest @ ..]) if len >= 28 => {
                let part = |from: usize| rest.get(from..).unwrap_or_default();
                let word = |from: usize| part(from).first_chunk().copied().map_or(0, u32::from_ne_bytes);
                let host: [u8; 16] = part(4).first_chunk().copied().unwrap_or_default();
                let port = u16::from_be_bytes([p, q]);
                std::net::SocketAddrV6::new(host.into(), port, word(0), word(20)).into()
            }
            (libc::AF_UNIX, [_, _, rest @ ..]) => {
                let path = rest.get(..len.saturating_sub(2)).unwrap_or_default();
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                // The kernel binds it with the rights of the service, which ours must not stand in for.
                let heard = match path.is_empty() {
                    true => Heard::Other,
                    false => Heard::Address(Address::UnixDatagram(whole(process, path))),
                };
                return (Answer::Continue, heard);
            }
            _ => return (Answer::Continue, Heard::Other),
        };
        if wanted.port() != 0 && wanted.port() < first_free_port() {
            // Whether it may in a namespace of its own is the kernel's to say.
            if !same_users(process) {
                return (Answer::Continue, Heard::Address(Address::Udp(wanted)));
            }
            if !may_bind(process) {
                return (Answer::Result(Err(libc::EACCES)), Heard::Other);
            }
        }
        match bind(socket, &wanted) {
            Ok(()) => (Answer::Result(Ok(0)), address(socket, process)),
            Err(errno) => (Answer::Result(Err(errno.raw_os_error())), Heard::Other),
        }
    }
}

impl AsFd for Listens {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether who listens at `heard` can be reached at `wanted`: it listens at any address of that family, or it is the
/// same file by another name.
pub(crate) fn covers(heard: &Address, wanted: &Address) -> bool {
    let ip = |heard: &SocketAddr, wanted: &SocketAddr| {
        let any = heard.ip().is_unspecified() && (heard.is_ipv6() || wanted.is_ipv4());
        heard.port() == wanted.port() && (any || heard.ip() == wanted.ip())
    };
    let file = |heard: &Path, wanted: &Path| {
        let id = |path| std::fs::metadata(path).map(|data: std::fs::Metadata| (data.dev(), data.ino())).ok();
        heard == wanted || id(heard).is_some_and(|heard| Some(heard) == id(wanted))
    };
    match (heard, wanted) {
        (Address::Tcp(heard), Address::Tcp(wanted)) | (Address::Udp(heard), Address::Udp(wanted)) => {
            ip(heard, wanted)
        }
        (Address::Unix(heard), Address::Unix(wanted))
        | (Address::UnixDatagram(heard), Address::UnixDatagram(wanted)) => file(heard, wanted),
        _ => false,
    }
}

/// The process that asks, and the socket of its first argument.
fn take(question: &Question) -> Result<(Pid, OwnedFd), Errno> {
    let thread = i32::try_from(question.thread).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let (process, pidfd) = match pidfd_open(thread, PidfdFlags::empty()) {
        Ok(pidfd) => (thread, pidfd),
        Err(_) => {
            let process = number(thread, "Tgid:", 10).and_then(|number| i32::try_from(number).ok());
            let process = process.and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
            (process, pidfd_open(process, PidfdFlags::empty())?)
        }
    };
    let [number, ..] = question.arguments;
    let socket = pidfd_getfd(&pidfd, number as i32, PidfdGetfdFlags::empty())?;
    Ok((process, socket))
}

fn address(socket: &OwnedFd, process: Pid) -> Heard {
    let Ok(name) = getsockname(socket) else { return Heard::Other };
    let kind = sockopt::socket_type(socket);
    match (SocketAddr::try_from(name.clone()), kind) {
        (Ok(address), Ok(SocketType::STREAM)) => return Heard::Address(Address::Tcp(address)),
        (Ok(address), Ok(SocketType::DGRAM)) => return Heard::Address(Address::Udp(address)),
        _ => {}
    }
    match (unix(name), kind) {
        (Some(path), Ok(SocketType::STREAM)) => Heard::Address(Address::Unix(whole(process, &path))),
        _ => Heard::Other,
    }
}

fn unix(name: SocketAddrAny) -> Option<Vec<u8>> {
    SocketAddrUnix::try_from(name).ok()?.path_bytes().map(<[u8]>::to_vec)
}

/// A path as the process means it.
fn whole(process: Pid, path: &[u8]) -> PathBuf {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    match path.is_absolute() {
        true => path.to_owned(),
        false => std::fs::read_link(format!("/proc/{process}/cwd")).unwrap_or_default().join(path),
    }
}

/// Whether the process is in our namespace of users, in which its capabilities mean what ours do.
fn same_users(process: Pid) -> bool {
    let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user")).ok();
    namespace("self").is_some_and(|ours| namespace(&process.to_string()) == Some(ours))
}

/// The first port that needs no privilege, in our namespace of the network.
fn first_free_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// Whether the process has CAP_NET_BIND_SERVICE.
fn may_bind(process: Pid) -> bool {
    number(process, "CapEff:", 16).is_some_and(|bits| bits >> 10 & 1 == 1)
}

/// A number of `/proc/PID/status`.
fn number(process: Pid, key: &str, radix: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(value.trim(), radix).ok()
}
