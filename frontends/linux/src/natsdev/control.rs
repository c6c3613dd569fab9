//! `/run/udev/control`, by which `udevadm` speaks to whoever handles devices.
//!
//! ```text
//! offset  bytes  byte order  meaning of a packet
//!      0     16              "udev-" and a version
//!     16      4  native      magic 0xdead1dea
//!     20      4  native      0 end, 1 log level, 2 stop, 3 start, 4 reload, 5 environment, 6 children, 7 ping, 8 exit
//!     24    256              a number or a text
//! ```
//!
//! Who has said the end waits until the connection is closed: then it is done.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, recv,
    socket_with, sockopt,
};

/// The socket, and who speaks at it.
#[derive(Debug)]
pub(super) struct Control {
    socket: OwnedFd,
    path: PathBuf,
}

/// Somebody who wants something.
#[derive(Debug)]
pub(super) struct Visitor(OwnedFd);

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Read the rules again.
    Reload,
    /// Say when everything that has happened until now is known.
    Ping,
    /// Nothing more: close.
    End,
    /// Say more in the log, or less: a priority of syslog(3).
    LogLevel(u32),
    /// End.
    Exit,
    /// Something that is not ours to do.
    Other,
}

const MAGIC: u32 = 0xdead_1dea;
const BACKLOG: i32 = 8;

impl Control {
    /// Listens; a file that is left of another time is replaced.
    ///
    /// # Errors
    /// The folder cannot be made, or the socket.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let _ = fs::remove_file(path);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, path: path.to_path_buf() })
    }

    /// The next one who speaks to us; only root may.
    pub(super) fn accept(&self) -> io::Result<Visitor> {
        loop {
            let socket = accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            if sockopt::socket_peercred(&socket).is_ok_and(|peer| peer.uid.is_root()) {
                return Ok(Visitor(socket));
            }
        }
    }
}

/// Whether somebody in our network listens at a control socket: who was killed leaves a file at which nobody does, and users of
/// libudev hear nobody from elsewhere. Only root could ask by connecting.
pub(super) fn is_answered(path: &Path) -> bool {
    path.exists()
        && fs::read("/proc/net/unix").is_ok_and(|list| is_listed(&list, path.as_os_str().as_bytes()))
}

/// Whether `list`, as of proc_net(5), has a socket with this name.
fn is_listed(list: &[u8], name: &[u8]) -> bool {
    list.split(|byte| *byte == b'\n').any(|line| {
        // Num RefCount Protocol Flags Type St Inode, then the path, which may hold spaces.
        let before = line.strip_suffix(name).and_then(|rest| rest.strip_suffix(b" "));
        before
            .is_some_and(|rest| rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).count() == 7)
    })
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Visitor {
    /// The next wish; `None` when there is none now.
    pub(super) fn wish(&self) -> Option<Wish> {
        let mut packet = [0; 512];
        match recv(&self.0, &mut packet[..], RecvFlags::empty()) {
            Err(rustix::io::Errno::AGAIN) => None,
            Ok((len @ 1.., _)) => Some(Wish::parse(packet.get(..len).unwrap_or_default())),
            Ok(_) | Err(_) => Some(Wish::End),
        }
    }
}

/// What a wish is as a packet, for those who have one.
pub(super) fn packet(wish: Wish) -> [u8; 280] {
    let (kind, value): (u32, u32) = match wish {
        Wish::End => (0, 0),
        Wish::LogLevel(priority) => (1, priority),
        Wish::Reload => (4, 0),
        Wish::Ping => (7, 0),
        Wish::Exit => (8, 0),
        Wish::Other => (u32::MAX, 0),
    };
    let mut packet = [0; 280];
    let numbers = [MAGIC, kind, value].map(u32::to_ne_bytes);
    let parts = [(0, &b"udev-252"[..]), (16, numbers.as_flattened())];
    for (at, part) in parts {
        if let Some(place) = packet.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
    }
    packet
}

impl Wish {
    fn parse(packet: &[u8]) -> Self {
        let number = |at: usize| Some(u32::from_ne_bytes(*packet.get(at..)?.first_chunk()?));
        match (number(16), number(20)) {
            (Some(MAGIC), Some(0)) => Self::End,
            (Some(MAGIC), Some(1)) => number(24).map_or(Self::Other, Self::LogLevel),
            (Some(MAGIC), Some(4)) => Self::Reload,
            (Some(MAGIC), Some(7)) => Self::Ping,
            (Some(MAGIC), Some(8)) => Self::Exit,
            (Some(MAGIC), Some(_)) => Self::Other,
            _ => Self::End,
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Visitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_udevadm_says_is_understood() {
        let packet = |magic: u32, kind: u32| {
            let mut packet = [0; 280];
            packet[..8].copy_from_slice(b"udev-252");
            packet[16..20].copy_from_slice(&magic.to_ne_bytes());
            packet[20..24].copy_from_slice(&kind.to_ne_bytes());
            packet
        };
        for (kind, wish) in [
            (0, Wish::End),
            (1, Wish::LogLevel(0)),
            (4, Wish::Reload),
            (7, Wish::Ping),
            (8, Wish::Exit),
            (99, Wish::Other),
        ] {
            assert_eq!(Wish::parse(&packet(MAGIC, kind)), wish);
        }
        assert_eq!(Wish::parse(&packet(1, 4)), Wish::End);
        for wish in [Wish::End, Wish::LogLevel(7), Wish::Reload, Wish::Ping, Wish::Exit, Wish::Other] {
            assert_eq!(Wish::parse(&super::packet(wish)), wish);
        }
        for len in 0..24 {
            assert_eq!(Wish::parse(&packet(MAGIC, 4)[..len]), Wish::End);
        }
    }

    #[test]
    fn a_file_that_nobody_listens_at_is_no_udevd() {
        let folder = std::env::temp_dir().join(format!("lunix-control-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("control");
        assert!(!is_answered(&path));
        fs::write(&path, "").unwrap();
        assert!(!is_answered(&path));
        let control = Control::open(&path).unwrap();
        assert!(is_answered(&path) && !is_answered(&folder.join("con")) && !is_answered(&folder));
        // As by kill -9: the file stays.
        let moved = folder.join("moved");
        fs::hard_link(&path, &moved).unwrap();
        drop(control);
        fs::rename(&moved, &path).unwrap();
        assert!(path.exists());
        // What another test starts meanwhile has a copy of the socket until it is executed.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while is_answered(&path) {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn sockets_are_found_by_their_whole_name() {
        let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0005 01 20304 /run/udev/control\n\
            0000000000000000: 00000003 00000000 00000000 0001 03     5 /run/a b\n\
            0000000000000000: 00000002 00000000 00000000 0002 01  1611\n";
        assert!(is_listed(list, b"/run/udev/control") && is_listed(list, b"/run/a b"));
        for name in ["control", "/control", "/run/udev/control2", "b", "1611", ""] {
            assert!(!is_listed(list, name.as_bytes()), "{name}");
        }
    }
}
