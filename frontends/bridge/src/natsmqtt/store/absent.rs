//! The store where it is left out: a type that cannot be made.

use std::io;
use std::path::Path;

#[derive(Clone, Copy, Debug)]
pub(in crate::natsmqtt) enum Store {}

impl Store {
    pub(in crate::natsmqtt) fn open(_: &Path) -> io::Result<Self> {
        Err(io::Error::other("store: not in this build"))
    }

    pub(in crate::natsmqtt) fn read(&self, _: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        match *self {}
    }

    pub(in crate::natsmqtt) fn write<'r>(
        &mut self,
        _: impl Iterator<Item = (Vec<u8>, Option<&'r [u8]>)>,
    ) -> bool {
        match *self {}
    }
}
