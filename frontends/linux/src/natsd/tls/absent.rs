//! TLS where it is left out: types that cannot be made, so that what deals with them costs nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lunix_core::time::Instant;
use lunix_proto::nats::Info;
use rustix::io::Errno;

use super::Expiry;
use crate::natsd::settings::Tls;
use crate::natsd::transport::Read;

const ABSENT: &str = "TLS is not in this build";

#[derive(Clone, Copy, Debug)]
enum Never {}

#[derive(Debug)]
pub(in crate::natsd) struct Acceptor(Never);

#[derive(Clone, Debug)]
pub(in crate::natsd) struct Connector(Never);

#[derive(Debug)]
pub(in crate::natsd) struct Stream(Never);

#[derive(Debug)]
pub(in crate::natsd) struct Certificate(Never);

impl Acceptor {
    pub(in crate::natsd) fn new(_: &Tls, _: bool) -> Result<Self, String> {
        Err(ABSENT.to_owned())
    }

    pub(in crate::natsd) fn accept(&self, _: OwnedFd, _: Instant) -> Stream {
        match self.0 {}
    }

    pub(in crate::natsd) fn admits(&mut self, _: Instant) -> bool {
        match self.0 {}
    }
}

impl Connector {
    pub(in crate::natsd) fn new(_: &Tls) -> Result<Self, String> {
        Err(ABSENT.to_owned())
    }

    pub(in crate::natsd) fn connect(&self, _: OwnedFd, _: &str, _: Instant) -> Result<Stream, String> {
        match self.0 {}
    }
}

impl Certificate {
    pub(in crate::natsd) fn names(&self) -> impl Iterator<Item = &str> {
        match self.0 {}
        #[allow(unreachable_code, reason = "what kind of iterator it would be")]
        std::iter::empty()
    }

    pub(in crate::natsd) fn is_subject(&self, _: &str) -> bool {
        match self.0 {}
    }

    pub(in crate::natsd) fn is_whole_subject(&self, _: &str) -> bool {
        match self.0 {}
    }

    pub(in crate::natsd) fn is_short_subject(&self, _: &str) -> bool {
        match self.0 {}
    }
}

macro_rules! never {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl Stream {
            $(pub(in crate::natsd) fn $name(&mut self, $(_: $argument),*) -> $answer {
                match self.0 {}
            })*
        }
    };
}

never! {
    greets(usize) -> bool;
    write_clear(&[u8]) -> Result<usize, Errno>;
    expire(Instant) -> Expiry;
    trouble() -> Option<String>;
    roused() -> bool;
    agreed() -> Option<String>;
    read(&mut Vec<u8>) -> Read;
    write(&[u8]) -> Result<usize, Errno>;
    flush() -> Result<bool, Errno>;
    say_goodbye() -> ();
}

impl Stream {
    pub(in crate::natsd) fn deadline(&self) -> Option<Instant> {
        match self.0 {}
    }

    pub(in crate::natsd) fn greeting(&self) -> usize {
        match self.0 {}
    }

    pub(in crate::natsd) fn maps_users(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::natsd) fn certificate(&self) -> Option<Certificate> {
        match self.0 {}
    }

    pub(in crate::natsd) fn inform(&self, _: &mut Info<'_>) {
        match self.0 {}
    }

    pub(in crate::natsd) fn left(&self) -> usize {
        match self.0 {}
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}

/// Nothing is read.
pub(in crate::natsd) fn fingerprint(_: &Tls) -> u64 {
    0
}
