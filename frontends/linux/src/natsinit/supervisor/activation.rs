//! What starts services that do not start by themselves: sockets, time, devices, messages.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Seek as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use lunix_core::time::Instant;
use lunix_proto::json;

use super::super::definition::{Activation, Address, Definition};
use super::super::resume::SOCKETS;
use super::Token;
use crate::reactor::{Key, Reactor, Ready};

/// What a service waits for.
#[derive(Debug, Default)]
pub(super) struct Trigger {
    /// Its own sockets with their names; they stay open from the first wait until it goes away.
    pub(super) sockets: Vec<(String, OwnedFd, Option<Key>)>,
    /// When its time comes.
    pub(super) timer: Option<Instant>,
    /// It waits now.
    waiting: bool,
    /// Messages that came and were not handled yet, each for one start.
    pending: VecDeque<Vec<u8>>,
    /// The message of the process that is there, or is about to be made.
    pub(super) current: Option<Vec<u8>>,
    pub(super) dropped: u64,
}

/// Messages that wait for a service that is busy with another one, and their bytes.
const PENDING: (usize, usize) = (64, 256 << 10);

impl Trigger {
    /// Opens its sockets, if they are not.
    ///
    /// # Errors
    /// An address is taken or cannot be.
    pub(super) fn open(&mut self, definition: &Definition) -> io::Result<()> {
        let Activation::Sockets(wanted) = &definition.activation else { return Ok(()) };
        if self.sockets.is_empty() {
            let opened = wanted.iter().take(SOCKETS).map(|(name, address)| {
                let fd = listen(address)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", Shown(address))))?;
                Ok((name.clone(), fd, None))
            });
            self.sockets = opened.collect::<io::Result<_>>()?;
        }
        Ok(())
    }

    /// It waits from now on. Whether its trigger has happened already.
    pub(super) fn arm(
        &mut self,
        definition: &Definition,
        place: u16,
        now: Instant,
        reactor: &mut Reactor<Token>,
    ) -> bool {
        self.waiting = true;
        for (_, socket, key) in &mut self.sockets {
            if key.is_none() {
                *key = reactor.add(socket, Token::Socket(place), Ready::READ).ok();
            }
        }
        if let Activation::Timer { first, .. } = definition.activation
            && self.timer.is_none()
        {
            self.timer = Some(now + first);
        }
        !self.pending.is_empty()
    }

    /// It waits no longer: it starts, or is not wanted.
    pub(super) fn disarm(&mut self, reactor: &mut Reactor<Token>) {
        self.waiting = false;
        for (_, socket, key) in &mut self.sockets {
            if let Some(key) = key.take() {
                reactor.remove(key, socket);
            }
        }
    }

    /// It is not wanted any more: what it has not handled is given up, and time begins anew.
    pub(super) fn stop(&mut self) {
        self.timer = None;
        self.pending.clear();
        self.current = None;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether its time has come; if so, the next time is set.
    pub(super) fn is_due(&mut self, definition: &Definition, now: Instant) -> bool {
        let Activation::Timer { every, .. } = definition.activation else { return false };
        if !self.waiting || self.timer.is_none_or(|at| at > now) {
            return false;
        }
        // One that is once only never comes again until it is stopped and started.
        self.timer = Some(every.map_or(Instant::from_micros(u64::MAX), |every| now + every));
        true
    }

    /// When [`Trigger::is_due`] must be asked again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timer.filter(|at| self.waiting && at.as_micros() < u64::MAX)
    }

    /// A message for it. Whether it can start for it now; else it is kept until it waits again.
    pub(super) fn message(&mut self, payload: &[u8]) -> bool {
        let bytes: usize = self.pending.iter().map(Vec::len).sum();
        if self.pending.len() >= PENDING.0 || bytes + payload.len() > PENDING.1 {
            self.dropped += 1;
            return false;
        }
        self.pending.push_back(payload.to_vec());
        self.waiting
    }

    /// Takes the message that a start is for.
    pub(super) fn begin(&mut self) {
        self.current = self.pending.pop_front();
    }

    /// Its sockets as they are handed over.
    pub(super) fn handed(&self) -> Vec<(String, BorrowedFd<'_>)> {
        self.sockets.iter().map(|(name, fd, _)| (name.clone(), fd.as_fd())).collect()
    }

    /// Closes its sockets.
    pub(super) fn close(&mut self, definition: &Definition, reactor: &mut Reactor<Token>) {
        self.disarm(reactor);
        self.sockets.clear();
        if let Activation::Sockets(addresses) = &definition.activation {
            for (_, address) in addresses {
                if let Address::Unix(path) | Address::UnixDatagram(path) = address {
                    let _ = std::fs::remove_file(path);
                }
            }
        }
    }
}

/// A socket that listens, or takes datagrams. A path that nobody answers at is taken over.
fn listen(address: &Address) -> io::Result<OwnedFd> {
    let fresh = |path: &std::path::Path| {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    let fd: OwnedFd = match address {
        Address::Tcp(address) => TcpListener::bind(address)?.into(),
        Address::Udp(address) => UdpSocket::bind(address)?.into(),
        Address::Unix(path) => {
            fresh(path)?;
            UnixListener::bind(path)?.into()
        }
        Address::UnixDatagram(path) => {
            fresh(path)?;
            UnixDatagram::bind(path)?.into()
        }
    };
    Ok(fd)
}

/// An address as it stands in the file.
struct Shown<'a>(&'a Address);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Address::Tcp(address) => write!(out, "tcp:{address}"),
            Address::Udp(address) => write!(out, "udp:{address}"),
            Address::Unix(path) => write!(out, "unix:{}", path.display()),
            Address::UnixDatagram(path) => write!(out, "unixgram:{}", path.display()),
        }
    }
}

/// Whether a device's message has these members.
pub(super) fn is_of(payload: &[u8], matches: &BTreeMap<String, String>) -> bool {
    let Ok(parsed) = json::parse(payload) else { return false };
    let Some(object) = parsed.as_object() else { return false };
    matches.iter().all(|(key, wanted)| {
        object.get(key).is_some_and(|value| match value.as_str() {
            Some(text) => text.chars().eq(wanted.chars()),
            None => value.as_u64().is_some_and(|number| number.to_string() == *wanted),
        })
    })
}

/// A message as the input of a process.
///
/// # Errors
/// The kernel has no memory or descriptor left.
pub(super) fn input(payload: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("message", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(payload)?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_must_have_their_text() {
        let payload = br#"{"vendor":"0951","speed":480,"volumes":[]}"#;
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            is_of(payload, &pairs.collect())
        };
        assert!(of(&[]) && of(&[("vendor", "0951"), ("speed", "480")]));
        assert!(!of(&[("vendor", "095")]) && !of(&[("product", "x")]) && !of(&[("volumes", "")]));
        assert!(!is_of(b"no json", &BTreeMap::new()));
    }

    #[test]
    fn messages_wait_within_bounds() {
        let mut trigger = Trigger::default();
        assert!(!trigger.message(b"one"));
        trigger.waiting = true;
        assert!(trigger.message(b"two"));
        trigger.begin();
        assert_eq!(trigger.current.as_deref(), Some(&b"one"[..]));
        for _ in 0..100 {
            trigger.message(b"more");
        }
        assert_eq!(trigger.pending.len(), PENDING.0);
        assert_eq!(trigger.dropped, 37);
        assert!(!trigger.message(&vec![0; PENDING.1]));
    }
}
