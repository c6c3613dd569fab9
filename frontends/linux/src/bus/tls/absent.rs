//! TLS where it is left out: types that cannot be made.

use std::io;

use super::TlsFiles;
use crate::bus::transport::Stream;

#[derive(Clone, Copy, Debug)]
enum Never {}

#[derive(Clone, Debug)]
pub(in crate::bus) struct Connector(Never);

#[derive(Debug)]
pub(in crate::bus) struct Session(Never);

impl Connector {
    pub(in crate::bus) fn new(_: &TlsFiles) -> Result<Self, String> {
        Err("TLS is not in this build".to_owned())
    }

    pub(in crate::bus) fn begin(&self, _: &str) -> Result<Session, String> {
        match self.0 {}
    }
}

impl Session {
    pub(in crate::bus) fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::bus) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::bus) fn read(&mut self, _: &Stream, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::bus) fn write(&mut self, _: &Stream, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::bus) fn flush(&mut self, _: &Stream) -> io::Result<()> {
        match self.0 {}
    }
}
