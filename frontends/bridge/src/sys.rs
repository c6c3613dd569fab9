//! What the compiler cannot check.
#![allow(unsafe_code, reason = "tokio takes a descriptor's owner at its word")]

use std::io;

use lunix::reactor::Reactor;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A reactor that tokio watches.
///
/// # Errors
/// The kernel refuses another watch.
pub(crate) fn watch<T>(reactor: Reactor<T>) -> io::Result<AsyncFd<Reactor<T>>> {
    // SAFETY: a reactor has one epoll descriptor, opened with it and closed when it is dropped, which `AsyncFd` does after it
    // has stopped watching.
    Ok(unsafe { AsyncFd::register_with_interest(reactor, Interest::READABLE) }?)
}
