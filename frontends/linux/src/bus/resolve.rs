//! Looking up a host's name without blocking the loop: getaddrinfo can block for minutes and nothing else
//! knows every source of names, so it runs in a short-lived thread that wakes the loop by an eventfd.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::EventfdFlags;

use crate::sys::thread;

/// What the look-up found.
type Found = io::Result<Vec<SocketAddr>>;

/// A look-up under way. Dropping it forgets the answer; the thread ends by itself.
#[derive(Debug)]
pub(crate) struct Lookup {
    name: String,
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    found: Mutex<Option<Found>>,
}

impl Lookup {
    /// Begins to look up `name`. Its descriptor becomes readable at the end.
    pub(crate) fn start(name: &str, port: u16) -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared { wake, found: Mutex::new(None) });
        let (theirs, host) = (Arc::clone(&shared), name.to_owned());
        let look = move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            *theirs.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            // Only a counter at its limit could refuse this, and it is written once.
            let _ = rustix::io::write(&theirs.wake, &1_u64.to_ne_bytes());
        };
        thread::spawn(c"lookup", 256 << 10, Box::new(look))?;
        Ok(Self { name: name.to_owned(), port, shared })
    }

    /// It is this one that looks for that.
    pub(super) fn is_for(&self, name: &str, port: u16) -> bool {
        self.name == name && self.port == port
    }

    /// The answer, once.
    pub(crate) fn take(&self) -> Option<Found> {
        self.shared.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AsFd for Lookup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags};

    #[test]
    fn the_answer_wakes_and_comes_once() {
        let lookup = Lookup::start("127.0.0.1", 4222).unwrap();
        assert!(lookup.is_for("127.0.0.1", 4222) && !lookup.is_for("127.0.0.1", 1));
        rustix::event::poll(&mut [PollFd::new(&lookup, PollFlags::IN)], None).unwrap();
        assert_eq!(lookup.take().unwrap().unwrap(), [SocketAddr::from(([127, 0, 0, 1], 4222))]);
        assert!(lookup.take().is_none());
    }
}
